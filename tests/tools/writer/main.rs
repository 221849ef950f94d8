//! A writer that knows what it was promised, for tests of snapshots under load.
//!
//! `write` puts numbered records into a file or a device, one acknowledged write after the other, and tells others which
//! number was started and which was acknowledged last; `verify` reads such a file back, from a snapshot, and says which
//! records are in it; `during` runs a command and says how long it took and how long the longest write waited meanwhile.

mod during;
mod log;
mod record;
mod state;
mod verify;
mod write;

use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use record::Ring;

#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Write records until a SIGTERM, a SIGINT or the end of the time; then print what it was like as JSON.
    Write(write::Options),
    /// Check the records of the files and print the first and the last number as JSON; fail on a hole or a damaged record.
    Verify {
        #[arg(required = true)]
        files: Vec<PathBuf>,
        #[command(flatten)]
        ring: Ring,
    },
    /// Print the number of the record that was last started, or last acknowledged.
    State { file: PathBuf, which: state::Which },
    /// Run a command beside a writer, with the command's exit status; report the time it took and the longest write during it.
    During(during::Options),
}

fn main() -> Result<ExitCode, Box<dyn Error>> {
    match Arguments::parse().command {
        Command::Write(options) => print(&write::run(&options)?),
        Command::Verify { files, ring } => print(&verify::run(&files, ring)?),
        Command::State { file, which } => println!("{}", state::read(&file, which)?),
        Command::During(options) => return during::run(&options),
    }
    Ok(ExitCode::SUCCESS)
}

fn print(answer: &serde_json::Value) {
    println!("{answer}");
}
