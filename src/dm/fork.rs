//! What a process needs that must go on while volumes stand still: a second process beside it, a page that both see, locked memory,
//! and quiet.
//!
//! The second process is made by `clone` without flags: it has a copy of the memory and the files, and ends without a signal, so
//! that nobody who waits for children of his own is handed it. Memory is locked as it is and as it is touched
//! (`MCL_ONFAULT`, Linux 4.4), never read from the disk for that: what is needed is touched first.
#![allow(unsafe_code)]

use std::num::NonZeroUsize;
use std::ops::Deref;
use std::os::fd::RawFd;
use std::ptr::NonNull;
use std::sync::atomic::AtomicU32;
use std::sync::{Mutex, Once, PoisonError};

use nix::errno::Errno;
use nix::libc;
use nix::sys::mman::{MapFlags, MlockAllFlags, ProtFlags, mlockall, mmap_anonymous, munlockall, munmap};
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, SigmaskHow, Signal, sigaction};
use nix::unistd::{Pid, getpid, gettid};

/// Gets a thread out of a system call. Nobody else sends it here, and one more is no harm: by default it is ignored.
const KICK: Signal = Signal::SIGURG;

/// As lvm2's in the same place (`activation/process_priority`).
const PRIORITY: libc::c_int = -18;

/// Runs `child` in a process of its own, which ends when it returns.
///
/// Other threads are not there, and a lock that one of them held stays held: a `child` that allocates may wait for ever.
pub fn fork(child: &mut dyn FnMut()) -> nix::Result<Pid> {
    // SAFETY: without flags nothing is shared with the new process: it has copies of memory, of this thread and of its stack, and
    // goes on in them. Threads that it lacks break no memory: what they had locked stays locked.
    let made = unsafe { libc::syscall(libc::SYS_clone, 0_u64, 0_u64, 0_u64, 0_u64, 0_u64) };
    match i32::try_from(made) {
        Ok(0) => alone(child),
        Ok(pid) if pid > 0 => Ok(Pid::from_raw(pid)),
        _ => Err(Errno::last()),
    }
}

/// The whole life of the second process.
fn alone(child: &mut dyn FnMut()) -> ! {
    /// There is no way back into the code that the parent is in.
    struct NoWayBack;
    impl Drop for NoWayBack {
        fn drop(&mut self) {
            std::process::abort();
        }
    }
    let _no_way_back = NoWayBack;
    child();
    // SAFETY: it ends the process, and runs nothing of what others have left for its end.
    unsafe { libc::_exit(0) }
}

/// Closes every file but these, which come in order.
pub fn close_all_but(files: &[RawFd]) {
    let mut first = 0;
    for file in files.iter().filter_map(|file| libc::c_uint::try_from(*file).ok()) {
        if first < file {
            close_range(first, file - 1);
        }
        first = file + 1;
    }
    close_range(first, libc::c_uint::MAX);
}

fn close_range(first: libc::c_uint, last: libc::c_uint) {
    // SAFETY: three numbers. Nothing in this process uses a file that is closed here: it knows those that are kept.
    let closed = unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) };
    // Before Linux 5.9 there is no such call.
    if closed != 0 {
        for file in first..=last.min(first.saturating_add(65_535)) {
            let Ok(file) = RawFd::try_from(file) else { return };
            let _ = nix::unistd::close(file);
        }
    }
}

/// Four words that a process and those forked from it both see.
pub struct Shared {
    page: NonNull<[AtomicU32; 4]>,
}

const PAGE: NonZeroUsize = NonZeroUsize::new(4096).expect("it is not zero");

impl Shared {
    /// Four zeroes.
    pub fn new() -> nix::Result<Self> {
        let (access, flags) = (ProtFlags::PROT_READ | ProtFlags::PROT_WRITE, MapFlags::MAP_SHARED);
        // SAFETY: a new mapping where the kernel likes takes nothing from anybody.
        let page = unsafe { mmap_anonymous(None, PAGE, access, flags) }?;
        Ok(Self { page: page.cast() })
    }
}

impl Deref for Shared {
    type Target = [AtomicU32; 4];

    fn deref(&self) -> &[AtomicU32; 4] {
        // SAFETY: the mapping is larger, zeroed, begins at a page, and lives as long as self; it is never borrowed exclusively.
        unsafe { self.page.as_ref() }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // SAFETY: mapped with this length, borrowed no longer, and unmapped once.
        let _ = unsafe { munmap(self.page.cast(), PAGE.get()) };
    }
}

/// A thread of this process, for another process to kick.
#[derive(Clone, Copy)]
pub struct Thread {
    process: Pid,
    thread: Pid,
}

impl Thread {
    /// The one that asks.
    pub fn current() -> Self {
        Self { process: getpid(), thread: gettid() }
    }

    /// Interrupts the system call that it waits in, if that can be interrupted.
    pub fn kick(self) {
        self.kick_with(Some(KICK));
    }

    /// The same with another signal; none only looks whether the thread is there.
    pub fn kick_with(self, signal: Option<Signal>) {
        let signal = signal.map_or(0, |signal| signal as libc::c_int);
        // SAFETY: three numbers; whoever has [`Quiet`] has a handler for the signal.
        unsafe { libc::syscall(libc::SYS_tgkill, self.process.as_raw(), self.thread.as_raw(), signal) };
    }
}

extern "C" fn kicked(_: libc::c_int) {}

/// While it lives, no signal but the kick reaches this thread, and the thread goes before others. A child has it too.
pub struct Quiet {
    mask: SigSet,
    priority: libc::c_int,
}

impl Quiet {
    /// Quiet from now on.
    pub fn begin() -> nix::Result<Self> {
        static HANDLER: Once = Once::new();
        // Without SA_RESTART: the call shall not begin again.
        let action = SigAction::new(SigHandler::Handler(kicked), SaFlags::empty(), SigSet::empty());
        HANDLER.call_once(|| {
            // SAFETY: the handler does nothing, which may be done at any time.
            let _ = unsafe { sigaction(KICK, &action) };
        });
        let mut all = SigSet::all();
        all.remove(KICK);
        let mask = all.thread_swap_mask(SigmaskHow::SIG_SETMASK)?;
        // SAFETY: numbers. 0 is this thread.
        let priority = unsafe { libc::getpriority(libc::PRIO_PROCESS, 0) };
        set_priority(PRIORITY);
        Ok(Self { mask, priority })
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        set_priority(self.priority);
        let _ = self.mask.thread_set_mask();
    }
}

/// Without the right to it things only go slower.
fn set_priority(priority: libc::c_int) {
    // SAFETY: numbers. 0 is this thread.
    unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, priority) };
}

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
