//! When stores will be full, as the monitor last knew, left in files for those who only pass by: one look shows no rate.
//!
//! A file for each volume group, written by its keeper while something fills and replaced as a whole. One that has not been renewed
//! for a while is no news: its writer is gone.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::engine::view::SnapshotView;
use crate::error::{Error, Result};

/// Where the files are.
pub const DIRECTORY: &str = "/run/dmsnap/monitor";

/// How often a file is renewed.
pub const RENEWED: Duration = Duration::from_secs(1);

/// A file that is older says nothing, in seconds: a busy host may be late.
const STALE: u64 = 5;

/// What a file says. Times are seconds since 1970.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Foresight {
    /// When it was written.
    at: u64,
    /// When the stores will be full, by the snapshots' uuids.
    full: BTreeMap<String, u64>,
}

impl Foresight {
    /// At this time, so many seconds until each store is full.
    pub fn new(at: u64, until_full: impl IntoIterator<Item = (String, u64)>) -> Self {
        let full = until_full.into_iter().map(|(uuid, seconds)| (uuid, at.saturating_add(seconds)));
        Self { at, full: full.collect() }
    }

    /// True if no store will be full.
    pub fn is_empty(&self) -> bool {
        self.full.is_empty()
    }

    /// How many seconds there are left for a store.
    fn until_full(&self, uuid: &str, now: u64) -> Option<u64> {
        let is_news = now.saturating_sub(self.at) <= STALE && self.at <= now.saturating_add(STALE);
        self.full.get(uuid).filter(|_| is_news).map(|full| full.saturating_sub(now))
    }

    /// Replaces a group's file.
    pub fn write(&self, directory: &Path, vg: &str) -> Result<()> {
        let written = || -> std::io::Result<()> {
            fs::create_dir_all(directory)?;
            let (path, new) = (file(directory, vg), directory.join(format!(".{vg}.new")));
            fs::write(&new, serde_json::to_vec(self)?)?;
            fs::rename(new, path)
        };
        let cause = || format!("what is known of {vg} cannot be left in {}", directory.display());
        written().map_err(|error| Error::io(cause(), error))
    }

    fn read(directory: &Path, vg: &str) -> Option<Self> {
        serde_json::from_slice(&fs::read(file(directory, vg)).ok()?).ok()
    }
}

/// Fills in what the files in a directory say of snapshots.
pub fn foretell(directory: &Path, now: u64, views: &mut [SnapshotView]) {
    let mut read: BTreeMap<String, Option<Foresight>> = BTreeMap::new();
    for view in views {
        let known = read.entry(view.vg.clone()).or_insert_with(|| Foresight::read(directory, &view.vg));
        view.eta_full_seconds = known.as_ref().and_then(|known| known.until_full(&view.uuid, now));
    }
}

/// A group's name is a file's: lvm2 allows no other characters.
fn file(directory: &Path, vg: &str) -> PathBuf {
    directory.join(format!("{vg}.json"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_foreseen_comes_nearer_and_goes_stale() {
        let directory = tempfile::tempdir().unwrap();
        let place = directory.path().join("below");
        assert_eq!(Foresight::read(&place, "vg"), None);
        let foresight = Foresight::new(1000, [("a".to_owned(), 30), ("b".to_owned(), 0)]);
        foresight.write(&place, "vg").unwrap();
        let read = Foresight::read(&place, "vg").unwrap();
        assert_eq!(read, foresight);
        assert_eq!(read.until_full("a", 1003), Some(27));
        assert_eq!(read.until_full("b", 1003), Some(0));
        assert_eq!(read.until_full("c", 1003), None);
        assert_eq!(read.until_full("a", 1006), None);
        assert_eq!(read.until_full("a", 990), None, "written in another time");
        assert_eq!(std::fs::read_dir(&place).unwrap().count(), 1);
    }

    #[test]
    fn a_damaged_file_says_nothing() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(file(directory.path(), "vg"), "{").unwrap();
        assert_eq!(Foresight::read(directory.path(), "vg"), None);
    }
}
