//! LVM2's own file locks, so that dmsnap and LVM2 keep out of each other's way.
//!
//! One file for each volume group (`V_<vg>`) and one for the set of physical volumes and volume groups (`P_global`).
//! Writers come before readers through a second file (`:aux`), which everybody passes through on the way to the first. The
//! last holder unlinks the file, so whoever gets a lock checks that the file is still the one that the name means. The order
//! is: global, then volume groups by name. A dead holder's lock is free.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::ErrorKind;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};

use super::name::VgName;
use crate::error::{Error, Kind, Result};
use crate::held::Held;

/// Who else may hold the lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Other readers.
    Shared,
    /// Nobody.
    Exclusive,
}

/// What to do while another holds the lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    /// Fail with [`crate::error::Kind::Locked`].
    No,
    /// Wait so long, then fail so.
    AtMost(Duration),
    /// Wait.
    Forever,
}

/// flock(2) knows no time limit: while there is one, the lock is tried this often.
const PAUSE: Duration = Duration::from_millis(5);

/// Readers pass through `:aux`, and whoever leaves locks the file alone to unlink it: nobody else is at work then, and this much is no
/// waiting.
const INSTANT: Duration = Duration::from_millis(250);

/// The directory of the lock files.
#[derive(Debug, Clone)]
pub struct Locks {
    directory: PathBuf,
    waits: bool,
    writers_first: bool,
}

/// A lock that is held until this is dropped.
#[derive(Debug)]
pub struct Guard {
    path: PathBuf,
    file: Option<Flock<File>>,
    /// Until the lock is let go.
    held: Option<Held>,
    /// When it was got.
    since: Instant,
}

impl Locks {
    /// Locks in this directory: `/run/lock/lvm` unless LVM2's configuration says otherwise.
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self { directory: directory.into(), waits: true, writers_first: true }
    }

    /// With false, nobody waits for a lock, whoever asks for it: LVM2's `global/wait_for_locks`.
    #[must_use]
    pub fn waiting(self, waits: bool) -> Self {
        Self { waits, ..self }
    }

    /// With false, readers do not stand back behind a writer that waits: LVM2's `global/prioritise_write_locks`.
    #[must_use]
    pub fn writers_first(self, writers_first: bool) -> Self {
        Self { writers_first, ..self }
    }

    /// Locks a volume group.
    pub fn vg(&self, name: &VgName, mode: Mode, wait: Wait) -> Result<Guard> {
        self.lock(&format!("V_{name}"), mode, wait)
            .map_err(|error| busy(error, &format!("another process works on volume group {name}")))
    }

    /// Locks the set of physical volumes and volume groups.
    pub fn global(&self, mode: Mode, wait: Wait) -> Result<Guard> {
        self.lock("P_global", mode, wait)
            .map_err(|error| busy(error, "another process works on the set of volume groups"))
    }

    /// As LVM2 locks with `global/prioritise_write_locks`, its default: a writer keeps `:aux` until it has the lock, and so keeps
    /// new readers from it; a reader only passes through. Without, there is no `:aux`.
    fn lock(&self, name: &str, mode: Mode, wait: Wait) -> std::result::Result<Guard, Failure> {
        self.make_directory()?;
        let path = self.directory.join(name);
        let auxiliary = self.directory.join(format!("{name}:aux"));
        let until = match wait {
            _ if !self.waits => Some(Instant::now() + INSTANT),
            Wait::No => Some(Instant::now() + INSTANT),
            Wait::AtMost(limit) => Some(Instant::now() + limit),
            Wait::Forever => None,
        };
        let first = self.writers_first.then(|| hold(&auxiliary, Mode::Exclusive, until)).transpose()?;
        match mode {
            Mode::Exclusive => hold(&path, mode, until),
            Mode::Shared => {
                drop(first);
                hold(&path, mode, until)
            }
        }
    }

    fn make_directory(&self) -> std::result::Result<(), Failure> {
        let made = DirBuilder::new().recursive(true).mode(0o700).create(&self.directory);
        made.map_err(|error| Failure::Io(self.directory.clone(), error))
    }
}

/// Why there is no lock.
enum Failure {
    Held,
    Io(PathBuf, std::io::Error),
}

fn busy(failure: Failure, cause: &str) -> Error {
    match failure {
        Failure::Held => Error::new(Kind::Locked, cause).hint("wait for it to end"),
        Failure::Io(path, error) => Error::io(format!("the lock {} cannot be taken", path.display()), error),
    }
}

/// Locks the file that the name means when the lock is held.
fn hold(path: &Path, mode: Mode, until: Option<Instant>) -> std::result::Result<Guard, Failure> {
    loop {
        let file = open(path).map_err(|error| Failure::Io(path.to_owned(), error))?;
        let file = flock(file, mode, until).map_err(|(_, errno)| match errno {
            Errno::EWOULDBLOCK => Failure::Held,
            errno => Failure::Io(path.to_owned(), errno.into()),
        })?;
        if is_current(path, &file) {
            return Ok(Guard::new(path, file));
        }
    }
}

fn open(path: &Path) -> std::io::Result<File> {
    OpenOptions::new().create(true).append(true).read(true).mode(0o777).open(path)
}

/// Locks an open file. When the time is over and another still holds it the file comes back, with EWOULDBLOCK.
pub(super) fn flock(
    mut file: File,
    mode: Mode,
    until: Option<Instant>,
) -> std::result::Result<Flock<File>, (File, Errno)> {
    let operation = match (mode, until) {
        (Mode::Shared, None) => FlockArg::LockShared,
        (Mode::Exclusive, None) => FlockArg::LockExclusive,
        (Mode::Shared, Some(_)) => FlockArg::LockSharedNonblock,
        (Mode::Exclusive, Some(_)) => FlockArg::LockExclusiveNonblock,
    };
    loop {
        let errno = match Flock::lock(file, operation) {
            Ok(lock) => return Ok(lock),
            Err((back, errno)) => {
                file = back;
                errno
            }
        };
        match errno {
            Errno::EINTR => {}
            Errno::EWOULDBLOCK if until.is_some_and(|until| Instant::now() < until) => {
                std::thread::sleep(PAUSE);
            }
            errno => return Err((file, errno)),
        }
    }
}

/// False if another holder unlinked the file after we opened it.
fn is_current(path: &Path, file: &File) -> bool {
    match (std::fs::metadata(path), file.metadata()) {
        (Ok(named), Ok(held)) => named.ino() == held.ino() && named.dev() == held.dev(),
        _ => false,
    }
}

impl Guard {
    fn new(path: &Path, file: Flock<File>) -> Self {
        let (held, since) = (Some(Held::new(&*file)), Instant::now());
        Self { path: path.to_owned(), held, file: Some(file), since }
    }

    /// When the lock was got.
    pub fn since(&self) -> Instant {
        self.since
    }
}

impl Drop for Guard {
    /// The last holder unlinks the file: whoever can lock it alone is that. A process that was forked meanwhile and has the file
    /// still open holds the same lock, and it is gone for both.
    fn drop(&mut self) {
        self.held = None;
        let Some(lock) = self.file.take() else { return };
        let alone = lock.relock(FlockArg::LockExclusiveNonblock).is_ok();
        if alone && is_current(&self.path, &lock) {
            let removed = std::fs::remove_file(&self.path);
            if let Err(error) = removed
                && error.kind() != ErrorKind::NotFound
            {
                tracing::warn!(path = %self.path.display(), %error, "the lock file stays");
            }
        }
        tracing::trace!(fd = lock.as_raw_fd(), path = %self.path.display(), "unlocked");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};

    fn vg() -> VgName {
        "vg0".parse().unwrap()
    }

    #[test]
    fn a_writer_shuts_out_everybody_and_readers_only_writers() {
        let directory = tempfile::tempdir().unwrap();
        let locks = Locks::new(directory.path().join("lvm"));
        let writer = locks.vg(&vg(), Mode::Exclusive, Wait::No).unwrap();
        for mode in [Mode::Shared, Mode::Exclusive] {
            assert_eq!(locks.vg(&vg(), mode, Wait::No).unwrap_err().kind(), Kind::Locked);
        }
        drop(writer);
        let reader = locks.vg(&vg(), Mode::Shared, Wait::No).unwrap();
        let other = locks.vg(&vg(), Mode::Shared, Wait::No).unwrap();
        assert_eq!(locks.vg(&vg(), Mode::Exclusive, Wait::No).unwrap_err().kind(), Kind::Locked);
        drop((reader, other));
        locks.vg(&vg(), Mode::Exclusive, Wait::No).unwrap();
    }

    #[test]
    fn the_last_holder_unlinks_the_file() {
        let directory = tempfile::tempdir().unwrap();
        let locks = Locks::new(directory.path());
        let (one, other) = (
            locks.vg(&vg(), Mode::Shared, Wait::No).unwrap(),
            locks.vg(&vg(), Mode::Shared, Wait::No).unwrap(),
        );
        drop(one);
        assert!(directory.path().join("V_vg0").exists());
        drop(other);
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
    }

    fn forked_processes_keep(path: &Path) -> bool {
        let link = |file: &i32| std::fs::read_link(format!("/proc/self/fd/{file}")).unwrap_or_default();
        crate::held::with(|files| files.iter().any(|file| link(file) == path))
    }

    #[test]
    fn a_forked_process_has_the_lock_until_it_is_let_go() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("V_vg0");
        let locks = Locks::new(directory.path());
        let held = locks.vg(&vg(), Mode::Exclusive, Wait::No).unwrap();
        assert!(forked_processes_keep(&path));
        // As a process that was forked and has not ended yet.
        let copy = held.file.as_ref().unwrap().try_clone().unwrap();
        drop(held);
        assert!(!forked_processes_keep(&path) && !path.exists());
        locks.vg(&vg(), Mode::Exclusive, Wait::No).unwrap();
        drop(copy);
    }

    #[test]
    fn readers_that_do_not_wait_let_each_other_pass() {
        let directory = tempfile::tempdir().unwrap();
        let locks = Locks::new(directory.path());
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..100 {
                        drop(locks.vg(&vg(), Mode::Shared, Wait::No).unwrap());
                    }
                });
            }
        });
    }

    #[test]
    fn a_wait_has_a_limit() {
        let directory = tempfile::tempdir().unwrap();
        let locks = Locks::new(directory.path());
        let _held = locks.global(Mode::Exclusive, Wait::No).unwrap();
        let wait = Wait::AtMost(Duration::from_millis(30));
        assert_eq!(locks.global(Mode::Exclusive, wait).unwrap_err().kind(), Kind::Locked);
    }

    #[test]
    fn with_waiting_turned_off_nobody_waits() {
        let directory = tempfile::tempdir().unwrap();
        let locks = Locks::new(directory.path()).waiting(false);
        let _held = locks.vg(&vg(), Mode::Exclusive, Wait::Forever).unwrap();
        assert_eq!(locks.vg(&vg(), Mode::Shared, Wait::Forever).unwrap_err().kind(), Kind::Locked);
    }

    #[test]
    fn locks_of_different_groups_share_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let locks = Locks::new(directory.path());
        let _one = locks.vg(&vg(), Mode::Exclusive, Wait::No).unwrap();
        locks.vg(&"vg1".parse().unwrap(), Mode::Exclusive, Wait::No).unwrap();
        locks.global(Mode::Exclusive, Wait::No).unwrap();
    }

    /// Somebody who locks as a program without this library does.
    fn stranger(path: &Path, operation: FlockArg) -> Flock<File> {
        Flock::lock(open(path).unwrap(), operation).map_err(|(_, errno)| errno).unwrap()
    }

    #[test]
    fn without_priority_for_writers_there_is_no_auxiliary_lock() {
        let directory = tempfile::tempdir().unwrap();
        let locks = Locks::new(directory.path()).writers_first(false);
        let _held = stranger(&directory.path().join("V_vg0:aux"), FlockArg::LockExclusive);
        for mode in [Mode::Shared, Mode::Exclusive] {
            drop(locks.vg(&vg(), mode, Wait::No).unwrap());
        }
    }

    #[test]
    fn whoever_holds_the_auxiliary_lock_keeps_everybody_out() {
        let directory = tempfile::tempdir().unwrap();
        let locks = Locks::new(directory.path());
        let held = stranger(&directory.path().join("V_vg0:aux"), FlockArg::LockExclusive);
        for mode in [Mode::Shared, Mode::Exclusive] {
            assert_eq!(locks.vg(&vg(), mode, Wait::No).unwrap_err().kind(), Kind::Locked);
        }
        drop(held);
        locks.vg(&vg(), Mode::Exclusive, Wait::No).unwrap();
    }

    #[test]
    fn a_writer_that_waits_keeps_new_readers_out() {
        let directory = tempfile::tempdir().unwrap();
        let locks = Locks::new(directory.path());
        let reader = locks.vg(&vg(), Mode::Shared, Wait::No).unwrap();
        std::thread::scope(|scope| {
            let writer = scope.spawn(|| locks.vg(&vg(), Mode::Exclusive, Wait::Forever).unwrap());
            let kept_out =
                || locks.vg(&vg(), Mode::Shared, Wait::No).is_err_and(|error| error.kind() == Kind::Locked);
            while !kept_out() {
                std::thread::yield_now();
            }
            drop(reader);
            drop(writer.join().unwrap());
        });
        locks.vg(&vg(), Mode::Shared, Wait::No).unwrap();
    }

    #[test]
    fn a_lock_on_a_file_that_was_unlinked_is_none() {
        let directory = tempfile::tempdir().unwrap();
        let locks = Locks::new(directory.path());
        let path = directory.path().join("V_vg0");
        let stale = stranger(&path, FlockArg::LockExclusive);
        std::fs::remove_file(&path).unwrap();
        let own = locks.vg(&vg(), Mode::Exclusive, Wait::No).unwrap();
        // Letting go of the old file does not unlink the new one.
        drop(Guard::new(&path, stale));
        assert!(path.exists());
        assert_eq!(locks.vg(&vg(), Mode::Shared, Wait::No).unwrap_err().kind(), Kind::Locked);
        drop(own);
        assert!(!path.exists());
    }

    #[test]
    fn unlinking_never_lets_two_writers_in() {
        let directory = tempfile::tempdir().unwrap();
        let locks = Locks::new(directory.path());
        let inside = AtomicU32::new(0);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..200 {
                        let _guard = locks.vg(&vg(), Mode::Exclusive, Wait::Forever).unwrap();
                        assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0);
                        std::thread::yield_now();
                        inside.fetch_sub(1, Ordering::SeqCst);
                    }
                });
            }
        });
    }

    #[test]
    fn a_directory_that_cannot_be_made_is_named() {
        let error = Locks::new("/proc/nothing").global(Mode::Shared, Wait::No).unwrap_err();
        assert_eq!(error.kind(), Kind::Internal);
        assert!(error.to_string().contains("/proc/nothing"), "{error}");
    }
}
