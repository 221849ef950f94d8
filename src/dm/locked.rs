//! Memory that stays where it is while volumes stand still, whose disks it might have to be read from.
//!
//! It is locked as it is and as it is touched (`MCL_ONFAULT`, Linux 4.4), never read in for that: what is needed is touched first.

use std::sync::{Mutex, PoisonError};

use nix::libc;
use nix::sys::mman::{MlockAllFlags, mlockall, munlockall};

/// How many there are: the lock is the process's.
static LOCKED: Mutex<usize> = Mutex::new(0);

/// While it lives, this process's memory stays where it is.
pub struct Locked(());

impl Locked {
    /// Locks what is in memory, and what comes in later.
    pub fn begin() -> nix::Result<Self> {
        let mut locked = LOCKED.lock().unwrap_or_else(PoisonError::into_inner);
        lock_memory()?;
        *locked += 1;
        Ok(Self(()))
    }
}

impl Drop for Locked {
    fn drop(&mut self) {
        let mut locked = LOCKED.lock().unwrap_or_else(PoisonError::into_inner);
        *locked = locked.saturating_sub(1);
        if *locked == 0 {
            let _ = munlockall();
        }
    }
}

/// The same for good, and without a lock of ours: for a child.
pub fn lock_memory() -> nix::Result<()> {
    // MCL_ONFAULT, which libc's crate does not have for every machine: on each it is MCL_CURRENT times four.
    let on_fault = MlockAllFlags::from_bits_retain(libc::MCL_CURRENT << 2);
    mlockall(MlockAllFlags::MCL_CURRENT | on_fault)
}
