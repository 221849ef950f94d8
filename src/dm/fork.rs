//! A second process beside this one, which goes on where this one cannot.
//!
//! It is made by `clone` without flags: it has a copy of the memory and the files, and ends without a signal, so that nobody who waits
//! for children of his own is handed it.
#![allow(unsafe_code)]

use std::os::fd::RawFd;

use nix::errno::Errno;
use nix::libc;
use nix::unistd::Pid;

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
