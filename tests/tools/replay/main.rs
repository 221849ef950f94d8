//! Brings an image to instants of a recorded past, for tests of power cuts: `replay LOG IMAGE`.
//!
//! LOG is what dm-log-writes recorded of a disk, IMAGE a disk as that one was when the recording began. For each instant that is
//! drawn the image is brought to it, one line of JSON says which it is, and a line on standard input asks for the next. What the
//! reader does to the image meanwhile must be undone by the reader.
//!
//! An instant lies at a mark, behind a flush or behind a forced write, and everything up to there is on the disk; or it lies
//! between two flushes, and of what the disk had not promised yet, a random part is there.

mod image;
mod instant;
mod log;

use std::error::Error;
use std::io::BufRead;
use std::path::PathBuf;

use clap::Parser;
use serde_json::json;

use image::Image;
use log::{Entry, Log};

#[derive(Parser)]
struct Arguments {
    log: PathBuf,
    image: PathBuf,
    /// Repeats the choice of instants and of parts.
    #[arg(long)]
    seed: u64,
    /// So many instants at most, drawn by lot; none: all.
    #[arg(long)]
    most: Option<usize>,
    /// For each flush so many instants before it, each with another part of what it makes safe.
    #[arg(long, default_value_t = 1)]
    between: usize,
    /// Only from the mark that begins with this on.
    #[arg(long)]
    from: Option<String>,
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::parse();
    let log = Log::open(&arguments.log)?;
    let mut image = Image::open(&arguments.image)?;
    let mut lot = fastrand::Rng::with_seed(arguments.seed);
    let all = instant::all(log.entries(), arguments.between, arguments.from.as_deref());
    let chosen = instant::drawn(&all, arguments.most.unwrap_or(all.len()), &mut lot);

    let mut asked = std::io::stdin().lock().lines();
    let mut done = 0;
    for (number, instant) in (1..).zip(&chosen) {
        image.step_back()?;
        for entry in &log.entries()[done..instant.entries] {
            image.apply(&log, entry)?;
        }
        done = instant.entries;
        let parts = image.apply_parts(&log, &log.entries()[instant.unsafe_entries()], &mut lot)?;
        image.settle()?;
        let answer = json!({
            "instant": number,
            "of": chosen.len(),
            "possible": all.len(),
            "kind": instant.kind.name(),
            "entries": instant.entries,
            "parts": parts,
            "mark": log.entries()[..instant.entries].iter().rev().find_map(Entry::mark),
        });
        println!("{answer}");
        if asked.next().transpose()?.is_none() {
            break;
        }
    }
    Ok(())
}
