//! Copies of volume groups' metadata in files, as LVM2 keeps them for `vgcfgrestore`.
//!
//! `archive/VG_00042-123.vg` is the version before a change, `backup/VG` the newest one. They are never needed to be right: what
//! cannot be written is logged, and the operation goes on. LVM2 writes a backup anew that is not of the newest version, so one
//! is written after each change.

use std::fs::{DirBuilder, DirEntry};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::model::{Stamp, Vg};
use super::name::VgName;
use super::replace::{replace_file, sync_directory, write_new};
use super::settings::Archives;
use crate::error::{Error, Result};

/// More archived versions than there are numbers for.
const TRIES: u32 = 10;

/// What the names of files begin with while they are written.
const UNFINISHED: &str = ".dmsnap_";

/// So old is no file that somebody is still writing.
const LEFT_BEHIND: Duration = Duration::from_secs(60 * 60);

impl Archives {
    /// Keeps the version that is about to be changed; `random` tells apart what two hosts keep in one directory.
    pub fn archive(&self, vg: &Vg, stamp: &Stamp, random: u32) {
        let Some(directory) = &self.archive else { return };
        let kept = self.archived(directory, vg, stamp, random);
        if let Err(error) = kept {
            tracing::warn!("volume group {} is not archived: {}", vg.name, reason(&error));
        }
    }

    /// Keeps the version that is in force.
    pub fn back_up(&self, vg: &Vg, stamp: &Stamp) {
        let Some(directory) = &self.backup else { return };
        let kept = text(vg, stamp, "after").and_then(|text| {
            let (new, path) = (prepared(directory, &vg.name)?, directory.join(vg.name.as_str()));
            replace_file(&path, &new, &text).map_err(|error| unwritten(&path, error))
        });
        if let Err(error) = kept {
            tracing::warn!("volume group {} is not backed up: {}", vg.name, reason(&error));
        }
    }

    /// Takes away the newest version of a group that is no more, or has another name now. Archived versions stay.
    pub fn drop_backup(&self, name: &VgName) {
        let Some(directory) = &self.backup else { return };
        if let Err(error) = std::fs::remove_file(directory.join(name.as_str()))
            && error.kind() != std::io::ErrorKind::NotFound
        {
            tracing::warn!("the backup of volume group {name} stays: {error}");
        }
    }

    fn archived(&self, directory: &Path, vg: &Vg, stamp: &Stamp, random: u32) -> Result<()> {
        let new = prepared(directory, &vg.name)?;
        write_new(&new, &text(vg, stamp, "before")?).map_err(|error| unwritten(&new, error))?;
        let known = archives(directory, &vg.name);
        let next = known.last().map_or(0, |(number, _)| number.saturating_add(1));
        let path = |number: u32| directory.join(format!("{}_{number:05}-{random}.vg", vg.name));
        // A link, other than a new name, takes nobody's place.
        let link = |more| std::fs::hard_link(&new, path(next.saturating_add(more)));
        let linked = (1..TRIES).fold(link(0), |done, more| done.or_else(|_| link(more)));
        let removed = std::fs::remove_file(&new);
        let kept = linked.and(removed).and_then(|()| sync_directory(&new));
        kept.map_err(|error| unwritten(&path(next), error))?;
        self.expire(&known, Duration::from_secs(stamp.time));
        Ok(())
    }

    /// Removes the oldest of the versions that there were before, while there are more than enough and they are old enough.
    fn expire(&self, known: &[(u32, PathBuf)], now: Duration) {
        let spare = (known.len() + 1).saturating_sub(self.retain_min);
        let age = Duration::from_secs(self.retain_days.saturating_mul(24 * 60 * 60));
        let limit = SystemTime::UNIX_EPOCH + now.saturating_sub(age);
        for (_, path) in known.iter().take(spare) {
            let written = std::fs::metadata(path).and_then(|metadata| metadata.modified());
            if written.is_ok_and(|written| written > limit) {
                return;
            }
            if let Err(error) = std::fs::remove_file(path) {
                tracing::warn!("the old archive {} stays: {error}", path.display());
            }
        }
    }
}

/// The archived versions of a group by number, the oldest first.
fn archives(directory: &Path, name: &VgName) -> Vec<(u32, PathBuf)> {
    let number = |path: &Path| {
        let (vg, rest) = path.file_name()?.to_str()?.strip_suffix(".vg")?.rsplit_once('_')?;
        let digits = rest.split(|character: char| !character.is_ascii_digit()).next()?;
        (vg == name.as_str()).then(|| digits.parse().ok()).flatten()
    };
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut found: Vec<(u32, PathBuf)> = entries.filter_map(|path| Some((number(&path)?, path))).collect();
    found.sort();
    found
}

fn text(vg: &Vg, stamp: &Stamp, when: &str) -> Result<Vec<u8>> {
    let description = format!("Created *{when}* executing '{}'", stamp.description);
    vg.text(&Stamp { description, ..stamp.clone() })
}

/// Where a file is written before it has its name. Both directories are root's alone, as LVM2 makes them. What dead processes left
/// there goes.
fn prepared(directory: &Path, name: &VgName) -> Result<PathBuf> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(directory);
    made.map_err(|error| unwritten(directory, error))?;
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    let is_old = |entry: &DirEntry| {
        let age = entry.metadata().and_then(|metadata| metadata.modified()).map(|written| written.elapsed());
        matches!(age, Ok(Ok(age)) if age > LEFT_BEHIND)
    };
    for left in entries.filter(|entry| is_unfinished(entry) && is_old(entry)) {
        let _ = std::fs::remove_file(left.path());
    }
    Ok(directory.join(format!("{UNFINISHED}{name}_{}", std::process::id())))
}

fn is_unfinished(entry: &DirEntry) -> bool {
    entry.file_name().to_str().is_some_and(|name| name.starts_with(UNFINISHED))
}

fn unwritten(path: &Path, error: std::io::Error) -> Error {
    Error::io(format!("{} cannot be written", path.display()), error)
}

fn reason(error: &Error) -> String {
    [vec![error.message()], error.chain()].concat().join(": ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lvm::commit::tests::{new_vg, stamp};

    fn vg() -> Vg {
        Vg::new(&new_vg(), &[]).unwrap()
    }

    fn copies(directory: &Path, retain_min: usize) -> Archives {
        let place = |name: &str| Some(directory.join(name));
        Archives { backup: place("backup"), archive: place("archive"), retain_min, retain_days: 0 }
    }

    fn names(directory: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name());
        let mut names: Vec<_> = entries.map(|name| name.into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// Later than any file that a test writes.
    fn later() -> Stamp {
        Stamp { time: 1 << 40, ..stamp() }
    }

    #[test]
    fn archives_are_numbered_and_the_oldest_expire() {
        let directory = tempfile::tempdir().unwrap();
        let (vg, archive) = (vg(), directory.path().join("archive"));
        for _ in 0..5 {
            copies(directory.path(), 3).archive(&vg, &later(), 7);
        }
        let name = |number| format!("{}_{number:05}-7.vg", vg.name);
        assert_eq!(names(&archive), [name(2), name(3), name(4)]);
        // One that is young stays.
        copies(directory.path(), 3).archive(&vg, &stamp(), 7);
        assert_eq!(names(&archive).len(), 4);
    }

    #[test]
    fn the_backup_is_one_file_and_goes_with_its_group() {
        let directory = tempfile::tempdir().unwrap();
        let (vg, copies) = (vg(), copies(directory.path(), 3));
        copies.back_up(&vg, &stamp());
        copies.back_up(&vg, &stamp());
        let backup = directory.path().join("backup");
        assert_eq!(names(&backup), [vg.name.to_string()]);
        let text = std::fs::read_to_string(backup.join(vg.name.as_str())).unwrap();
        assert!(text.contains("Created *after* executing"), "{text}");
        copies.drop_backup(&vg.name);
        assert!(names(&backup).is_empty());
    }

    #[test]
    fn what_a_dead_process_left_goes_when_it_is_old() {
        let directory = tempfile::tempdir().unwrap();
        let (vg, copies) = (vg(), copies(directory.path(), 3));
        copies.back_up(&vg, &stamp());
        let backup = directory.path().join("backup");
        for name in [".dmsnap_vg_1", ".dmsnap_vg_2", ".other"] {
            std::fs::write(backup.join(name), "half").unwrap();
        }
        let old = SystemTime::now() - 2 * LEFT_BEHIND;
        for name in [".dmsnap_vg_1", ".other"] {
            std::fs::File::options().write(true).open(backup.join(name)).unwrap().set_modified(old).unwrap();
        }
        copies.back_up(&vg, &stamp());
        assert_eq!(names(&backup), [".dmsnap_vg_2", ".other", vg.name.as_str()]);
    }

    #[test]
    fn what_cannot_be_written_is_no_error() {
        let copies = copies(Path::new("/proc/nothing"), 3);
        copies.archive(&vg(), &stamp(), 7);
        copies.back_up(&vg(), &stamp());
        copies.drop_backup(&vg().name);
    }
}
