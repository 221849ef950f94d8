//! lvm2's memory of which devices are physical volumes, and how it is made to forget.
//!
//! LVM2's commands look at the devices in `/run/lvm/hints` only, and believe what stands there about their groups. Whoever changes
//! the set of physical volumes, or which group one is in, or a group's name, empties the file first, under the global lock, and
//! keeps it locked until the change is done: else a command could write down meanwhile what is about to change. Readers do not wait for
//! the lock; they look at all devices.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::Flock;

use super::lock::{Mode, flock};

/// Where lvm2 keeps what it knows until the next boot.
pub const DIRECTORY: &str = "/run/lvm";

/// Readers hold the lock for an instant, and writers come one by one through the global lock.
const PATIENCE: Duration = Duration::from_secs(5);

/// Keeps LVM2 from remembering anything until this is dropped.
#[derive(Debug)]
pub struct Forgotten {
    _file: Option<Flock<File>>,
}

/// Makes LVM2 forget which devices are physical volumes. To be called under the global lock. Where there is no such directory
/// there is nothing to forget; what fails is logged, for LVM2 checks what it remembers.
pub fn forget(directory: &Path) -> Forgotten {
    if !directory.is_dir() {
        return Forgotten { _file: None };
    }
    match emptied(directory) {
        Ok(file) => Forgotten { _file: file },
        Err(error) => {
            tracing::warn!("LVM2's hints in {} cannot be emptied: {error}", directory.display());
            Forgotten { _file: None }
        }
    }
}

fn emptied(directory: &Path) -> std::io::Result<Option<Flock<File>>> {
    let nohints = directory.join("nohints");
    // New readers keep away while this is there, so that those in the file are soon gone.
    touch(&nohints)?;
    let locked = locked(&directory.join("hints"));
    std::fs::remove_file(&nohints)?;
    let (mut file, lock) = match locked? {
        Ok(lock) => (lock.try_clone()?, Some(lock)),
        // Emptied it is of no use to whoever reads it, locked or not.
        Err(file) => (file, None),
    };
    file.set_len(0)?;
    file.write_all(b"# emptied by dmsnap\n")?;
    touch(&directory.join("newhints"))?;
    Ok(lock)
}

fn touch(path: &Path) -> std::io::Result<()> {
    OpenOptions::new().create(true).write(true).truncate(true).mode(0o644).open(path).map(drop)
}

/// The file and its lock, or the file alone if somebody does not let go of it.
fn locked(path: &Path) -> std::io::Result<Result<Flock<File>, File>> {
    let file =
        OpenOptions::new().create(true).truncate(false).read(true).write(true).mode(0o644).open(path)?;
    match flock(file, Mode::Exclusive, Some(Instant::now() + PATIENCE)) {
        Ok(lock) => Ok(Ok(lock)),
        Err((file, Errno::EWOULDBLOCK)) => Ok(Err(file)),
        Err((_, errno)) => Err(errno.into()),
    }
}

#[cfg(test)]
mod tests {
    use nix::fcntl::FlockArg;

    use super::*;

    #[test]
    fn what_was_remembered_is_gone_and_nothing_new_gets_in_before_the_end() {
        let directory = tempfile::tempdir().unwrap();
        let hints = directory.path().join("hints");
        std::fs::write(&hints, "scan:/dev/sda pvid:x devn:8:0 vg:vg\n").unwrap();
        let forgotten = forget(directory.path());
        assert_eq!(std::fs::read_to_string(&hints).unwrap(), "# emptied by dmsnap\n");
        assert!(directory.path().join("newhints").exists());
        assert!(!directory.path().join("nohints").exists());
        let try_lock = || Flock::lock(File::open(&hints).unwrap(), FlockArg::LockSharedNonblock).is_ok();
        assert!(!try_lock());
        drop(forgotten);
        assert!(try_lock());
    }

    #[test]
    fn where_lvm2_keeps_nothing_nothing_is_made() {
        let directory = tempfile::tempdir().unwrap();
        drop(forget(&directory.path().join("lvm")));
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
    }
}
