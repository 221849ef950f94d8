//! Two numbers that the writer shares with whoever looks: the record started last and the one acknowledged last.
//!
//! They lie in a small file on a tmpfs, far from the file system under test. `started` is set before the write is
//! issued and `acknowledged` after it was reported safe, so a reader who looks at `acknowledged` before a cut and at
//! `started` after it knows what must be in the snapshot and what must not.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Which of the two numbers.
#[derive(Clone, Copy, clap::ValueEnum)]
pub enum Which {
    Started,
    Acknowledged,
}

impl Which {
    fn offset(self) -> u64 {
        match self {
            Self::Started => 0,
            Self::Acknowledged => 8,
        }
    }
}

/// The writer's end of the file.
pub struct State(File);

impl State {
    /// Nothing is started yet behind this number. A file that is there is changed in place: it is right at every instant.
    pub fn create(path: &Path, number: u64) -> io::Result<Self> {
        let state = Self(File::options().write(true).create(true).truncate(false).open(path)?);
        state.set(Which::Started, number)?;
        state.set(Which::Acknowledged, number)?;
        Ok(state)
    }

    pub fn set(&self, which: Which, number: u64) -> io::Result<()> {
        self.0.write_all_at(&number.to_le_bytes(), which.offset())
    }
}

/// The number as it is now.
pub fn read(path: &Path, which: Which) -> io::Result<u64> {
    let mut bytes = [0; 8];
    File::open(path)?.read_exact_at(&mut bytes, which.offset())?;
    Ok(u64::from_le_bytes(bytes))
}
