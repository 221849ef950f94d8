//! Quiet for a thread while volumes stand still: of all signals only the kick of its watchdog reaches it.
#![allow(unsafe_code)]

use std::sync::Once;

use nix::libc;
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, SigmaskHow, Signal, sigaction};
use nix::unistd::{Pid, getpid, gettid};

/// Gets a thread out of a system call. Nobody else sends it here, and one more is no harm: by default it is ignored.
const KICK: Signal = Signal::SIGURG;

/// As lvm2's in the same place (`activation/process_priority`).
const PRIORITY: libc::c_int = -18;

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
