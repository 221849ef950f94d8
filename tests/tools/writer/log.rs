//! What the writer notes of each acknowledged write: its number, when it began on the monotonic clock, and how long it took.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use nix::time::{ClockId, clock_gettime};

/// One write. Times are nanoseconds.
#[derive(Clone, Copy)]
pub struct Entry {
    pub number: u64,
    pub began: u64,
    pub took: u64,
}

const ENTRY: usize = 24;

/// The writer's end of the log. On a tmpfs, so that noting a write waits for nothing.
pub struct Log(File);

impl Log {
    pub fn create(path: &Path) -> io::Result<Self> {
        Ok(Self(File::create(path)?))
    }

    pub fn note(&mut self, entry: Entry) -> io::Result<()> {
        let mut bytes = [0; ENTRY];
        for (field, value) in bytes.chunks_mut(8).zip([entry.number, entry.began, entry.took]) {
            field.copy_from_slice(&value.to_le_bytes());
        }
        self.0.write_all(&bytes)
    }
}

/// All writes noted so far.
pub fn read(path: &Path) -> io::Result<Vec<Entry>> {
    let word = |bytes: &[u8]| bytes.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte));
    let bytes = std::fs::read(path)?;
    let entry = |bytes: &[u8]| Entry {
        number: word(&bytes[..8]),
        began: word(&bytes[8..16]),
        took: word(&bytes[16..]),
    };
    Ok(bytes.chunks_exact(ENTRY).map(entry).collect())
}

/// The monotonic clock in nanoseconds, the same in every process.
pub fn now() -> io::Result<u64> {
    let time = clock_gettime(ClockId::CLOCK_MONOTONIC)?;
    u64::try_from(time.tv_sec() * 1_000_000_000 + time.tv_nsec()).map_err(io::Error::other)
}

/// Nanoseconds as milliseconds, for people.
pub fn milliseconds(nanoseconds: u64) -> f64 {
    (nanoseconds / 1000) as f64 / 1000.0
}
