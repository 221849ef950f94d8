//! LVM2's devices file on disk: changed under its own lock, as a whole.
//!
//! LVM2 takes the lock between the global one and those of volume groups. Here a group's may be held already, so the wait has a limit.
//! LVM2 writes a second file and gives it the name.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::Flock;

use super::lock::{Mode, flock};
use super::replace::replace_file;
use crate::error::{Error, Kind, Result};

/// LVM2 holds the lock while it reads or writes the file, or labels devices.
const PATIENCE: Duration = Duration::from_secs(30);

/// The file and its lock.
#[derive(Debug, Clone)]
pub struct DevicesFile {
    path: PathBuf,
    lock: PathBuf,
}

/// Tells two contents of the file apart: the device and number of the file, when it was written, and its size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Version((u64, u64), (i64, i64), u64);

impl DevicesFile {
    /// The file at `path`, whose lock is in `locking_dir`.
    pub fn new(path: &Path, locking_dir: &Path) -> Self {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        Self { path: path.to_owned(), lock: locking_dir.join(format!("D_{name}")) }
    }

    /// Which version of the file there is; none if there is no file.
    pub(super) fn version(&self) -> Result<Option<Version>> {
        match std::fs::metadata(&self.path) {
            Ok(file) => {
                Ok(Some(Version((file.dev(), file.ino()), (file.mtime(), file.mtime_nsec()), file.size())))
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(self.unread(error)),
        }
    }

    /// What is in the file; nothing if there is none.
    pub(super) fn read(&self) -> Result<Option<String>> {
        match std::fs::read(&self.path) {
            Ok(text) => Ok(Some(String::from_utf8_lossy(&text).into_owned())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(self.unread(error)),
        }
    }

    fn unread(&self, error: std::io::Error) -> Error {
        Error::new(Kind::Usage, format!("the settings file {} cannot be read", self.path.display()))
            .with_source(error)
    }

    /// Gives the file the text that `change` makes of its present one. One that is not there is not made: LVM2 would see
    /// nothing but what is in it.
    pub(super) fn change(&self, change: impl Fn(&str) -> Result<Option<String>>) -> Result<()> {
        let failed = |error| Error::io(format!("{} cannot be changed", self.path.display()), error);
        let _lock = locked(&self.lock)?;
        let Some(text) = self.read()? else { return Ok(()) };
        let changed =
            change(&text).map_err(|error| error.doing(format!("change {}", self.path.display())))?;
        changed.map_or(Ok(()), |text| self.write(&text).map_err(failed))
    }

    fn write(&self, text: &str) -> std::io::Result<()> {
        let mut new = self.path.clone().into_os_string();
        new.push("_new");
        replace_file(&self.path, Path::new(&new), text.as_bytes())
    }
}

fn locked(path: &Path) -> Result<Flock<File>> {
    let failed = |error| Error::io(format!("{} cannot be locked", path.display()), error);
    let open = OpenOptions::new().create(true).truncate(false).read(true).write(true).mode(0o600).open(path);
    let until = Instant::now() + PATIENCE;
    flock(open.map_err(failed)?, Mode::Exclusive, Some(until)).map_err(|(_, errno)| match errno {
        Errno::EWOULDBLOCK => {
            let text = format!("another process holds {}", path.display());
            Error::new(Kind::Locked, text).hint("try again when it is done")
        }
        errno => failed(errno.into()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_changed_as_a_whole_and_one_that_is_not_there_is_not_made() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("system.devices");
        let file = DevicesFile::new(&path, directory.path());
        let append = |text: &str| Ok(Some(format!("{text}more\n")));
        file.change(append).unwrap();
        assert!(!path.exists());
        std::fs::write(&path, "first\n").unwrap();
        file.change(append).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "first\nmore\n");
        file.change(|_| Ok(None)).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "first\nmore\n");
        assert!(!directory.path().join("system.devices_new").exists());
        assert!(directory.path().join("D_system.devices").exists());
    }
}
