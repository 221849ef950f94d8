//! The writing itself: one record after the other, each acknowledged before the next begins.

use std::error::Error;
use std::fs::OpenOptions;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};
use nix::fcntl::OFlag;
use nix::sys::signal::{SigSet, Signal};
use serde_json::{Value, json};

use crate::log::{Entry, Log, milliseconds, now};
use crate::record::{self, Ring};
use crate::state::{State, Which};

/// When a write counts as acknowledged.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Sync {
    /// After an fdatasync.
    Fdatasync,
    /// When a write with O_DSYNC returns.
    Dsync,
    /// When the write returns: with --direct the purest measure of how long the device waits.
    None,
}

#[derive(Args)]
pub struct Options {
    /// Files, made if absent, or block devices (then with --slots); each gets the next record.
    #[arg(required = true)]
    files: Vec<PathBuf>,
    #[command(flatten)]
    ring: Ring,
    /// When a write is acknowledged.
    #[arg(long, value_enum, default_value = "fdatasync")]
    sync: Sync,
    /// Past the page cache.
    #[arg(long)]
    direct: bool,
    /// Where to tell what was started and acknowledged; on a tmpfs.
    #[arg(long)]
    state: Option<PathBuf>,
    /// Where to note every write; on a tmpfs.
    #[arg(long)]
    log: Option<PathBuf>,
    /// The number of the first record: behind that of the last one in a file that is written on.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    first: u64,
    /// Stop behind this record.
    #[arg(long)]
    last: Option<u64>,
    /// Stop after so many seconds.
    #[arg(long)]
    seconds: Option<u64>,
    /// Rest so many microseconds after each write.
    #[arg(long, default_value_t = 0)]
    rest: u64,
}

/// Writes until told to stop, and says what the writes were like.
pub fn run(options: &Options) -> Result<Value, Box<dyn Error>> {
    let stop = stop_on_signal()?;
    let mut flags = OFlag::empty();
    flags.set(OFlag::O_DIRECT, options.direct);
    flags.set(OFlag::O_DSYNC, options.sync == Sync::Dsync);
    let mut open = OpenOptions::new();
    open.write(true).create(true).truncate(false).custom_flags(flags.bits());
    let files = options.files.iter().map(|path| open.open(path)).collect::<Result<Vec<_>, _>>()?;
    let state = options.state.as_deref().map(|path| State::create(path, options.first - 1)).transpose()?;
    let mut log = options.log.as_deref().map(Log::create).transpose()?;

    // O_DIRECT wants its memory aligned: the record lies at the first page boundary of a larger buffer.
    let mut memory = vec![0; options.ring.record + 4096];
    let start = memory.as_ptr().align_offset(4096);
    let buffer = &mut memory[start..start + options.ring.record];

    let mut times = Vec::with_capacity(1 << 20);
    let begun = Instant::now();
    let limit = options.seconds.map(Duration::from_secs);
    for number in options.first..=options.last.unwrap_or(u64::MAX) {
        if stop.load(Ordering::Relaxed) || limit.is_some_and(|limit| begun.elapsed() >= limit) {
            break;
        }
        record::pack(number, buffer);
        if let Some(state) = &state {
            state.set(Which::Started, number)?;
        }
        let (file, offset) = options.ring.place(number, &files).ok_or("there is no file")?;
        let began = now()?;
        file.write_all_at(buffer, offset)?;
        if options.sync == Sync::Fdatasync {
            file.sync_data()?;
        }
        let took = now()? - began;
        if let Some(state) = &state {
            state.set(Which::Acknowledged, number)?;
        }
        if let Some(log) = &mut log {
            log.note(Entry { number, began, took })?;
        }
        times.push(took);
        if options.rest > 0 {
            std::thread::sleep(Duration::from_micros(options.rest));
        }
    }
    Ok(summary(times, begun.elapsed()))
}

/// A flag that SIGTERM and SIGINT raise. Call before any other thread exists.
fn stop_on_signal() -> Result<Arc<AtomicBool>, Box<dyn Error>> {
    let signals: SigSet = [Signal::SIGTERM, Signal::SIGINT].into_iter().collect();
    signals.thread_block()?;
    let stop = Arc::new(AtomicBool::new(false));
    let raised = Arc::clone(&stop);
    std::thread::spawn(move || {
        // A wait that fails also stops the writer: better a short test than one that nobody can end.
        let _ = signals.wait();
        raised.store(true, Ordering::Relaxed);
    });
    Ok(stop)
}

fn summary(mut times: Vec<u64>, elapsed: Duration) -> Value {
    times.sort_unstable();
    let at = |part: usize, of: usize| times.get(times.len() * part / of).map(|took| milliseconds(*took));
    json!({
        "writes": times.len(),
        "seconds": elapsed.as_secs_f64(),
        "median_ms": at(1, 2),
        "p99_ms": at(99, 100),
        "p999_ms": at(999, 1000),
        "longest_stall_ms": times.last().map(|took| milliseconds(*took)),
    })
}
