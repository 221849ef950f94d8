//! A second process that ends a switch whose own process cannot: because it is dead, or because the freeze lasts too long.
//!
//! It is forked before the first suspend and hears from its parent by a socket, whose other end closes with the parent's
//! death, whatever that was. Words that both see say who has the switch: the parent, until it has ended it or until the watchdog
//! has taken it over. The parent says which step it fires *before* it looks who has the switch, and the watchdog takes it *before* it
//! looks how far it came: so either the parent fires nothing more, or the watchdog knows of it. One step may still be fired
//! behind the watchdog's back, by a parent that was stopped in between; the parent sees that afterwards and ends the switch once
//! more, or dies and the watchdog does. It writes nothing, allocates nothing and knows no locks.

use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use super::fork::{self, Shared, Thread};
use super::switch::Reached;
use crate::held;

/// Who has the switch.
const PARENT: u32 = 0;
const WATCHDOG: u32 = 1;
const NOBODY: u32 = 2;

/// Beside the number of the step: it failed, and the switch is on its way back.
const BACK: u32 = 1 << 31;

/// For what is done in microseconds: longer, and something is wrong.
const PATIENCE: Duration = Duration::from_secs(30);

/// Between two kicks at a parent that has lost its switch and does not see it.
const KICKS: Duration = Duration::from_millis(100);

/// From being ready to the look whether the parent has begun, which it does at once unless it is kept from running.
const FIRST_LOOK: Duration = Duration::from_millis(20);

/// Between the first two: the parent may have been about to begin its call.
const SECOND_KICK: Duration = Duration::from_millis(10);

/// What a watchdog is to see to.
pub trait Charge {
    /// Touches all that a rescue touches.
    fn rehearse(&mut self);
    /// Ends the switch.
    fn rescue(&mut self, reached: Reached);
}

/// The parent's side.
pub struct Watchdog {
    words: Shared,
    socket: UnixStream,
    child: Pid,
    /// It does not answer: it is not waited for.
    lost: bool,
}

fn owner(words: &Shared) -> &AtomicU32 {
    &words[0]
}

fn step(words: &Shared) -> &AtomicU32 {
    &words[1]
}

/// What the step was when the watchdog took the switch: it goes by that, whatever the parent still says.
fn taken_at(words: &Shared) -> &AtomicU32 {
    &words[3]
}

/// Not 0 from the first step on.
fn begun(words: &Shared) -> &AtomicU32 {
    &words[2]
}

/// How far the parent came, as a word says it; none before its first step.
fn reached(words: &Shared, said: fn(&Shared) -> &AtomicU32) -> Option<Reached> {
    if begun(words).load(Ordering::SeqCst) == 0 {
        return None;
    }
    let word = said(words).load(Ordering::SeqCst);
    Some(Reached { step: usize::try_from(word & !BACK).ok()?, back: word & BACK != 0 })
}

impl Watchdog {
    /// Starts one, which keeps of all files only `control` and the locks: whoever waits for them waits for its rescue.
    pub fn start(budget: Duration, control: &impl AsRawFd, charge: &mut dyn Charge) -> io::Result<Self> {
        let words = Shared::new()?;
        let (ours, its) = UnixStream::pair()?;
        ours.set_read_timeout(Some(PATIENCE))?;
        let parent = Thread::current();
        let child = held::with(|locks| {
            let mut kept = [&[its.as_raw_fd(), control.as_raw_fd()], locks].concat();
            kept.sort_unstable();
            fork::fork(&mut || {
                fork::close_all_but(&kept);
                Child { words: &words, socket: &its, parent }.live(budget, charge);
            })
        })?;
        Ok(Self { words, socket: ours, child, lost: false })
    }

    /// Waits until it is ready, and says that the switch begins: what was said before was a rehearsal.
    pub fn begin(&mut self) -> io::Result<()> {
        self.lost = !self.is_told();
        if self.lost {
            return Err(Errno::ETIMEDOUT.into());
        }
        step(&self.words).store(0, Ordering::SeqCst);
        begun(&self.words).store(1, Ordering::SeqCst);
        Ok(())
    }

    /// Says that a step is about to be fired. False if the watchdog has the switch: then it must not be.
    pub fn may_fire(&self, number: usize) -> bool {
        step(&self.words).store(u32::try_from(number).unwrap_or(BACK - 1), Ordering::SeqCst);
        !self.has_taken()
    }

    /// Says that the step has failed and the switch goes back.
    pub fn goes_back(&self) {
        step(&self.words).fetch_or(BACK, Ordering::SeqCst);
    }

    /// True if the watchdog has the switch.
    pub fn has_taken(&self) -> bool {
        owner(&self.words).load(Ordering::SeqCst) == WATCHDOG
    }

    /// The switch is over. False if the watchdog has taken it: it was ended then, but perhaps for one step, and the parent has
    /// to end it once more before it says [`Watchdog::done`].
    pub fn dismiss(&mut self) -> bool {
        let dismissed = exchange(&self.words, PARENT, NOBODY);
        self.lost |= !dismissed && !self.is_told();
        dismissed
    }

    /// How far the parent came, as the watchdog saw it, so that both go the same way.
    pub fn reached(&self) -> Option<Reached> {
        reached(&self.words, if self.lost { step } else { taken_at })
    }

    /// Nothing is suspended any more.
    pub fn done(&self) {
        owner(&self.words).store(NOBODY, Ordering::SeqCst);
    }

    /// Waits for its word; false if none comes.
    fn is_told(&self) -> bool {
        matches!(self.hear(), Ok(1))
    }

    /// Hangs up, and waits for it to end; false if it does not.
    fn has_ended(&self) -> bool {
        let _ = self.socket.shutdown(Shutdown::Write);
        loop {
            match self.hear() {
                Ok(0) => return true,
                // A word that came too late.
                Ok(_) => {}
                Err(_) => return false,
            }
        }
    }

    /// What comes from it, not waited for without limit: 1 for a word, 0 for its end.
    fn hear(&self) -> io::Result<usize> {
        loop {
            match (&self.socket).read(&mut [0]) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                heard => return heard,
            }
        }
    }
}

/// True if it was `from` and is `to` now.
fn exchange(words: &Shared, from: u32, to: u32) -> bool {
    owner(words).compare_exchange(from, to, Ordering::SeqCst, Ordering::SeqCst).is_ok()
}

impl Drop for Watchdog {
    /// It goes, and leaves no zombie behind; it still ends a switch of which nobody said that it is over. One that is stopped does not
    /// go: it is ended, and not waited for without limit.
    fn drop(&mut self) {
        if !self.lost && self.has_ended() {
            while waitpid(self.child, Some(WaitPidFlag::__WALL)) == Err(Errno::EINTR) {}
            return;
        }
        let _ = kill(self.child, Signal::SIGKILL);
        let until = Instant::now() + PATIENCE;
        let how = WaitPidFlag::__WALL | WaitPidFlag::WNOHANG;
        while waitpid(self.child, Some(how)) == Ok(WaitStatus::StillAlive) && Instant::now() < until {
            std::thread::sleep(KICKS);
        }
    }
}

/// The watchdog itself.
struct Child<'a> {
    words: &'a Shared,
    socket: &'a UnixStream,
    parent: Thread,
}

impl Child<'_> {
    fn live(&self, budget: Duration, charge: &mut dyn Charge) {
        // Away from the terminal and from the parent's group of processes.
        let _ = nix::unistd::setsid();
        spare_from_oom_killer();
        charge.rehearse();
        self.rehearse();
        // Without the right to it what is needed is in memory all the same, just now.
        let _ = fork::lock_memory();
        if !self.speak() || !self.parent_begins() {
            return;
        }
        if self.parent_lives_at(Instant::now() + budget) {
            if !exchange(self.words, PARENT, WATCHDOG) {
                return;
            }
            taken_at(self.words).store(step(self.words).load(Ordering::SeqCst), Ordering::SeqCst);
            self.parent.kick();
            if self.parent_lives_at(Instant::now() + SECOND_KICK) {
                self.parent.kick();
            }
            self.rescue(charge, taken_at);
            self.speak();
            while self.parent_lives_at(Instant::now() + KICKS) {
                self.parent.kick();
            }
        }
        // The parent is dead, unless it said that it is done.
        match owner(self.words).load(Ordering::SeqCst) {
            NOBODY => {}
            WATCHDOG => self.rescue(charge, taken_at),
            _ => self.rescue(charge, step),
        }
    }

    /// Goes through what it may have to do itself, without doing it.
    fn rehearse(&self) {
        exchange(self.words, NOBODY, NOBODY);
        self.parent.kick_with(None);
    }

    fn rescue(&self, charge: &mut dyn Charge, said: fn(&Shared) -> &AtomicU32) {
        if let Some(reached) = reached(self.words, said) {
            charge.rescue(reached);
        }
    }

    /// Waits for the first step; false if there is none to come.
    fn parent_begins(&self) -> bool {
        loop {
            let lives = self.parent_lives_at(Instant::now() + FIRST_LOOK);
            if reached(self.words, step).is_some() {
                return true;
            }
            if !lives {
                return false;
            }
        }
    }

    fn speak(&self) -> bool {
        let mut socket = self.socket;
        socket.write(&[1]).is_ok()
    }

    /// Waits until then; false as soon as the parent has closed its end.
    fn parent_lives_at(&self, until: Instant) -> bool {
        loop {
            let left = until.saturating_duration_since(Instant::now());
            // Up to the next millisecond: 0 would not wait at all.
            let left = PollTimeout::try_from(left + Duration::from_millis(1)).unwrap_or(PollTimeout::MAX);
            let mut files = [PollFd::new(self.socket.as_fd(), PollFlags::POLLIN)];
            match poll(&mut files, left) {
                Ok(0) if Instant::now() < until => {}
                Ok(0) => return true,
                Err(Errno::EINTR | Errno::EAGAIN) => {}
                Ok(_) | Err(_) => return false,
            }
        }
    }
}

/// Where memory is short the parent may be what is killed for it; the watchdog is small and gone soon.
fn spare_from_oom_killer() {
    use nix::fcntl::{OFlag, open};
    use nix::sys::stat::Mode;
    if let Ok(file) = open(c"/proc/self/oom_score_adj", OFlag::O_WRONLY, Mode::empty()) {
        let _ = nix::unistd::write(&file, b"-1000");
    }
}
