//! Keeps forks and frozen volumes of one process apart.
//!
//! A fork takes every page of its process away for writing: whoever writes to one gets a copy. A thread that has a volume suspended
//! and was sure of its memory would have to wait for memory then, and memory may have to be written to that volume. So a fork waits
//! until nothing is suspended; but not for long, for nobody shall wait for another's disks. A switch waits for a fork, which waits for
//! no disk.

use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

/// Longer than switches usually take.
const PATIENCE: Duration = Duration::from_millis(50);

/// How many threads keep forks away.
static FROZEN: Mutex<usize> = Mutex::new(0);
static THAWED: Condvar = Condvar::new();

/// While it lives no thread of this process forks, but for one that has waited for long.
pub struct Undisturbed(());

impl Undisturbed {
    /// From now on. A fork that is under way is waited for.
    pub fn begin() -> Self {
        *FROZEN.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        Self(())
    }
}

impl Drop for Undisturbed {
    fn drop(&mut self) {
        *FROZEN.lock().unwrap_or_else(PoisonError::into_inner) -= 1;
        THAWED.notify_all();
    }
}

/// Forks when nobody minds.
pub fn forking<T>(fork: impl FnOnce() -> T) -> T {
    let frozen = FROZEN.lock().unwrap_or_else(PoisonError::into_inner);
    let waited = THAWED.wait_timeout_while(frozen, PATIENCE, |frozen| *frozen > 0);
    let _frozen = waited.unwrap_or_else(PoisonError::into_inner);
    fork()
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::thread;

    use super::*;

    #[test]
    fn a_fork_waits_for_what_is_frozen_but_not_for_ever() {
        let (say, said) = mpsc::channel();
        let frozen = Undisturbed::begin();
        let begun = std::time::Instant::now();
        forking(|| say.send("patience").unwrap());
        assert!(begun.elapsed() >= PATIENCE);
        thread::scope(|scope| {
            scope.spawn(|| {
                say.send("waits").unwrap();
                forking(|| say.send("forks").unwrap());
            });
            let words = || said.recv().unwrap();
            assert_eq!([words(), words()], ["patience", "waits"]);
            say.send("thaws").unwrap();
            drop(frozen);
            assert_eq!([words(), words()], ["thaws", "forks"]);
        });
    }
}
