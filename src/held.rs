//! The files that a process which is forked from this one keeps open: the locks that this one works under.
//!
//! A lock of flock(2) is free when the last who has its file open ends. So whoever ends a dead process's work still has its locks.

use std::os::fd::{AsRawFd, RawFd};
use std::sync::{Mutex, MutexGuard, PoisonError};

static HELD: Mutex<Vec<RawFd>> = Mutex::new(Vec::new());

fn held() -> MutexGuard<'static, Vec<RawFd>> {
    HELD.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A file that is kept until this is dropped, which has to be before the file is closed.
#[derive(Debug)]
pub(crate) struct Held(RawFd);

impl Held {
    /// Keeps it from now on.
    pub(crate) fn new(file: &impl AsRawFd) -> Self {
        let file = file.as_raw_fd();
        held().push(file);
        Self(file)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        held().retain(|file| *file != self.0);
    }
}

/// Acts while nobody lets go of these.
pub(crate) fn with<T>(act: impl FnOnce(&[RawFd]) -> T) -> T {
    act(&held())
}
