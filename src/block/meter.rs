//! How much is written to a device: the kernel counts it.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use crate::error::{Error, Result};
use crate::units::{Bytes, Sectors};

/// A counter of what is written to a device. It only goes up, but for a wrap after more than any disk holds.
pub trait Meter: Send {
    /// What was written so far.
    fn written(&self) -> Result<Bytes>;
}

/// The place of the sectors written among the numbers of a `stat` file (`Documentation/block/stat.rst`).
const WRITTEN: usize = 6;

/// Longer than the file is.
const PAGE: usize = 1024;

/// A device's `stat` file, kept open: one system call a look.
pub(super) struct Stat(File);

impl Stat {
    /// The counter of a device with this folder in sysfs; none if the kernel keeps none, or was told not to.
    pub(super) fn open(folder: &Path) -> Option<Self> {
        // A partition's queue is its disk's.
        let queues = ["queue/iostats", "../queue/iostats"].map(|queue| folder.join(queue));
        let counts = queues.iter().find_map(|queue| std::fs::read_to_string(queue).ok())?;
        if counts.trim() == "0" {
            return None;
        }
        File::open(folder.join("stat")).ok().map(Self)
    }
}

impl Meter for Stat {
    fn written(&self) -> Result<Bytes> {
        let mut page = [0; PAGE];
        let read = self.0.read_at(&mut page, 0);
        let length = read.map_err(|error| Error::io("the counters of a device cannot be read", error))?;
        let text = std::str::from_utf8(page.get(..length).unwrap_or_default()).unwrap_or_default();
        let sectors = text.split_ascii_whitespace().nth(WRITTEN).and_then(|word| word.parse().ok());
        let sectors =
            sectors.ok_or_else(|| Error::io("the counters of a device are none", text.to_owned()))?;
        Ok(Sectors(sectors).bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(iostats: &str, stat: &str) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join("queue")).unwrap();
        std::fs::create_dir_all(folder.path().join("part")).unwrap();
        std::fs::write(folder.path().join("queue/iostats"), iostats).unwrap();
        for place in ["stat", "part/stat"] {
            std::fs::write(folder.path().join(place), stat).unwrap();
        }
        folder
    }

    #[test]
    fn what_is_written_is_the_seventh_number_of_a_disk_and_of_a_partition() {
        let folder = folder("1\n", "  11 0 88 3  22 0 2048 5 0 0 0\n");
        for place in [folder.path().to_owned(), folder.path().join("part")] {
            assert_eq!(Stat::open(&place).unwrap().written().unwrap(), Bytes::mib(1));
        }
    }

    #[test]
    fn counters_that_are_switched_off_or_no_counters_are_not_taken_for_silence() {
        assert!(Stat::open(folder("0\n", "1 2 3 4 5 6 7 8\n").path()).is_none());
        assert!(Stat::open(tempfile::tempdir().unwrap().path()).is_none());
        assert!(Stat::open(folder("1\n", "1 2 3\n").path()).unwrap().written().is_err());
    }
}
