//! A command beside the writer: how long it took, seen from its parent, and how long the longest write waited meanwhile.

use std::error::Error;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use clap::Args;
use serde_json::json;

use crate::log::{self, Entry, milliseconds, now};

/// A write that hangs longer than this behind the command is not waited for.
const LIMIT: Duration = Duration::from_secs(10);

#[derive(Args)]
pub struct Options {
    /// The writer's log; none: there is no writer, and only the time is reported.
    #[arg(long)]
    log: Option<PathBuf>,
    /// Where to put the report, as JSON.
    #[arg(long)]
    report: PathBuf,
    /// The command and its arguments.
    #[arg(last = true, required = true)]
    command: Vec<OsString>,
}

/// Runs the command and writes the report. The exit status is the command's.
pub fn run(options: &Options) -> Result<ExitCode, Box<dyn Error>> {
    let began = now()?;
    let status = Command::new(&options.command[0]).args(&options.command[1..]).status()?;
    let ended = now()?;
    let writes = options.log.as_deref().map_or(Ok(Vec::new()), |log| writes_until(log, ended))?;
    let during = writes.iter().filter(|write| write.began < ended && write.began + write.took > began);
    let longest = during.clone().max_by_key(|write| write.took);
    let report = json!({
        "status": status.code(),
        "wall_ms": milliseconds(ended - began),
        "writes": during.count(),
        "longest_stall_ms": longest.map(|write| milliseconds(write.took)),
        "longest_stall_record": longest.map(|write| write.number),
    });
    std::fs::write(&options.report, format!("{report}\n"))?;
    Ok(status.code().and_then(|code| u8::try_from(code).ok()).map_or(ExitCode::FAILURE, ExitCode::from))
}

/// The log, once it holds a write that began after the command's end: then no write that it delayed is missing.
fn writes_until(path: &Path, ended: u64) -> Result<Vec<Entry>, Box<dyn Error>> {
    let asked = Instant::now();
    loop {
        let writes = log::read(path)?;
        if writes.last().is_some_and(|write| write.began >= ended) {
            return Ok(writes);
        }
        if asked.elapsed() > LIMIT {
            return Err("the writer does not write any more".into());
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}
