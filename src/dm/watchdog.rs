//! A second process that ends a switch whose own process cannot: because it is dead, or because the freeze lasts too long.
//!
//! It is forked before the first suspend, for all switches of a round. That its parent is dead it hears in two ways: by a socket, whose
//! other end closes with the parent's last thread, whatever that died of; and by the signal that the kernel sends when the thread ends
//! that forked, which comes at once, even if another thread hangs in a call that no signal ends and keeps the files open.
//!
//! Words that both see say who has the switch: the parent, until it has ended it or until the watchdog
//! has taken it over. The parent says which step it fires *before* it looks who has the switch, and the watchdog takes it *before* it
//! looks how far it came: so either the parent fires nothing more, or the watchdog knows of it. One step may still be fired
//! behind the watchdog's back, by a parent that was stopped in between; the parent sees that afterwards and ends the switch once
//! more, or dies and the watchdog does. A watchdog that has taken a switch serves no other. It writes nothing, allocates nothing and knows
//! no locks.

use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use super::quiet::Thread;
use super::shared::Shared;
use super::switch::Reached;
use super::{apart, fork, locked};
use crate::held;

/// Who has a switch; beside it stands the switch's number.
const NOBODY: u32 = 0;
const PARENT: u32 = 1;
const WATCHDOG: u32 = 2;
const OWNERS: u32 = 4;

/// Beside the number of the step: it failed, and the switch is on its way back.
const BACK: u32 = 1 << 31;

/// For what is done in microseconds: longer, and something is wrong.
const PATIENCE: Duration = Duration::from_secs(30);

/// Between two kicks at a parent that has lost its switch and does not see it.
const KICKS: Duration = Duration::from_millis(100);

/// Between the first two: the parent may have been about to begin its call.
const SECOND_KICK: Duration = Duration::from_millis(10);

/// Says that the parent's thread has ended. Nobody else sends it here.
const ORPHANED: Signal = Signal::SIGUSR2;

/// What a watchdog is to see to.
pub trait Charge {
    /// Touches all that a rescue touches.
    fn rehearse(&mut self);
    /// Ends the switch of this number.
    fn rescue(&mut self, number: usize, reached: Reached);
}

/// What both processes see.
struct Words {
    shared: Shared,
    /// Before the fork: both count from here.
    base: Instant,
}

impl Words {
    fn owner(&self) -> &AtomicU32 {
        &self.shared[0]
    }

    fn step(&self) -> &AtomicU32 {
        &self.shared[1]
    }

    /// What the step was when the watchdog took the switch: it goes by that, whatever the parent still says.
    fn taken_at(&self) -> &AtomicU32 {
        &self.shared[2]
    }

    /// When the switch began, in milliseconds.
    fn began(&self) -> &AtomicU32 {
        &self.shared[3]
    }

    fn now(&self) -> u32 {
        u32::try_from(self.base.elapsed().as_millis()).unwrap_or(u32::MAX)
    }

    /// Until when the switch that is under way may last.
    fn deadline(&self, budget: Duration) -> Instant {
        let began = self.began().load(Ordering::SeqCst);
        // It counts whole milliseconds.
        self.base + Duration::from_millis(u64::from(began) + 1) + budget
    }

    /// True if the owner was `from` and is `to` now.
    fn hand_over(&self, from: u32, to: u32) -> bool {
        self.owner().compare_exchange(from, to, Ordering::SeqCst, Ordering::SeqCst).is_ok()
    }
}

/// The owner's word for a switch.
fn owned(number: usize, by: u32) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX / OWNERS).saturating_mul(OWNERS) | by
}

/// How far the parent came, as a word says it.
fn reached(word: &AtomicU32) -> Reached {
    let word = word.load(Ordering::SeqCst);
    Reached { step: usize::try_from(word & !BACK).unwrap_or(usize::MAX), back: word & BACK != 0 }
}

/// The parent's side.
pub struct Watchdog {
    words: Words,
    socket: UnixStream,
    child: Pid,
    /// The switch that is under way, or was last.
    number: usize,
    /// It has said that it is ready.
    ready: bool,
    /// It does not answer: it is not waited for.
    lost: bool,
}

impl Watchdog {
    /// Starts one, which keeps of all files only `control` and the locks: whoever waits for them waits for its rescue.
    pub fn start(budget: Duration, control: &impl AsRawFd, charge: &mut dyn Charge) -> io::Result<Self> {
        let words = Words { shared: Shared::new()?, base: Instant::now() };
        let (ours, its) = UnixStream::pair()?;
        ours.set_read_timeout(Some(PATIENCE))?;
        let parent = Thread::current();
        let mut child = || {
            held::with(|locks| {
                let mut kept = [&[its.as_raw_fd(), control.as_raw_fd()], locks].concat();
                kept.sort_unstable();
                fork::fork(&mut || {
                    fork::close_all_but(&kept);
                    if let Ok(orphaned) = orphaned() {
                        Child { words: &words, socket: &its, orphaned, parent }.live(budget, charge);
                    }
                })
            })
        };
        let child = apart::forking(&mut child)?;
        Ok(Self { words, socket: ours, child, number: 0, ready: false, lost: false })
    }

    /// Waits until it is ready.
    pub fn expect(&mut self) -> io::Result<()> {
        if self.ready {
            return Ok(());
        }
        self.ready = self.is_told();
        self.lost = !self.ready;
        if self.lost { Err(Errno::ETIMEDOUT.into()) } else { Ok(()) }
    }

    /// True unless it is gone, which it tells by hanging up.
    pub fn is_there(&self) -> bool {
        let mut files = [PollFd::new(self.socket.as_fd(), PollFlags::POLLIN)];
        let heard = self.ready && poll(&mut files, PollTimeout::ZERO) != Ok(0);
        !self.lost && !heard
    }

    /// Says that a switch begins: what was said before was a rehearsal.
    pub fn begin(&mut self, number: usize) {
        self.number = number;
        self.words.step().store(0, Ordering::SeqCst);
        self.words.began().store(self.words.now(), Ordering::SeqCst);
        self.words.owner().store(owned(number, PARENT), Ordering::SeqCst);
    }

    /// Says that a step is about to be fired. False if the watchdog has the switch: then it must not be.
    pub fn may_fire(&self, number: usize) -> bool {
        self.words.step().store(u32::try_from(number).unwrap_or(BACK - 1), Ordering::SeqCst);
        !self.has_taken()
    }

    /// Says that the step has failed and the switch goes back.
    pub fn goes_back(&self) {
        self.words.step().fetch_or(BACK, Ordering::SeqCst);
    }

    /// True if the watchdog has the switch.
    pub fn has_taken(&self) -> bool {
        self.words.owner().load(Ordering::SeqCst) % OWNERS == WATCHDOG
    }

    /// The switch is over. False if the watchdog has taken it: it was ended then, but perhaps for one step, and the parent has
    /// to end it once more before it says [`Watchdog::done`].
    pub fn dismiss(&mut self) -> bool {
        let dismissed = self.words.hand_over(owned(self.number, PARENT), owned(self.number, NOBODY));
        self.lost |= !dismissed && !self.is_told();
        dismissed
    }

    /// How far the parent came, as the watchdog saw it, so that both go the same way.
    pub fn reached(&self) -> Reached {
        reached(if self.lost { self.words.step() } else { self.words.taken_at() })
    }

    /// Nothing is suspended any more.
    pub fn done(&self) {
        self.words.owner().store(owned(self.number, NOBODY), Ordering::SeqCst);
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

/// The file that says that the parent's thread has ended.
fn orphaned() -> nix::Result<SignalFd> {
    let mut signals = SigSet::empty();
    signals.add(ORPHANED);
    let file = SignalFd::with_flags(&signals, SfdFlags::SFD_NONBLOCK)?;
    set_pdeathsig(ORPHANED)?;
    Ok(file)
}

/// The watchdog itself. Like its parent's thread it hears no signal but the kick.
struct Child<'a> {
    words: &'a Words,
    socket: &'a UnixStream,
    orphaned: SignalFd,
    parent: Thread,
}

impl Child<'_> {
    fn live(&self, budget: Duration, charge: &mut dyn Charge) {
        // Away from the terminal and from the parent's group of processes.
        let _ = nix::unistd::setsid();
        spare_from_oom_killer();
        charge.rehearse();
        self.rehearse(budget);
        // Without the right to it what is needed is in memory all the same, just now.
        let _ = locked::lock_memory();
        if !self.speak() {
            return;
        }
        if let Some(number) = self.overdue(budget) {
            self.take_over(number, charge);
        }
        // The parent is dead, unless it has nothing under way.
        let word = self.words.owner().load(Ordering::SeqCst);
        match word % OWNERS {
            PARENT => rescue(charge, word, self.words.step()),
            WATCHDOG => rescue(charge, word, self.words.taken_at()),
            _ => {}
        }
    }

    /// Goes through what it may have to do itself, without doing it.
    fn rehearse(&self, budget: Duration) {
        self.words.hand_over(owned(0, NOBODY), owned(0, NOBODY));
        let _ = self.words.deadline(budget);
        self.parent_lives_at(Instant::now());
        self.parent.kick_with(None);
    }

    /// Waits until a switch lasts too long, which is the watchdog's from then on; none as soon as the parent is dead or has hung up.
    fn overdue(&self, budget: Duration) -> Option<u32> {
        loop {
            let word = self.words.owner().load(Ordering::SeqCst);
            let is_under_way = word % OWNERS == PARENT;
            // One that begins meanwhile may last as long as that at least.
            let until = if is_under_way { self.words.deadline(budget) } else { Instant::now() + budget };
            // When it began was said before whose it is: if it is still that one's, then that is when it began.
            let is_overdue = is_under_way && Instant::now() >= until;
            if is_overdue && self.words.hand_over(word, word - PARENT + WATCHDOG) {
                return Some(word);
            }
            if !is_overdue && !self.parent_lives_at(until) {
                return None;
            }
        }
    }

    /// Ends a switch, and calls the parent back until it sees that.
    fn take_over(&self, word: u32, charge: &mut dyn Charge) {
        self.words.taken_at().store(self.words.step().load(Ordering::SeqCst), Ordering::SeqCst);
        self.parent.kick();
        if self.parent_lives_at(Instant::now() + SECOND_KICK) {
            self.parent.kick();
        }
        rescue(charge, word, self.words.taken_at());
        self.speak();
        while self.parent_lives_at(Instant::now() + KICKS) {
            self.parent.kick();
        }
    }

    fn speak(&self) -> bool {
        let mut socket = self.socket;
        socket.write(&[1]).is_ok()
    }

    /// Waits until then; false as soon as the parent has closed its end, or its thread has ended.
    fn parent_lives_at(&self, until: Instant) -> bool {
        loop {
            let left = until.saturating_duration_since(Instant::now());
            // Up to the next millisecond: 0 would not wait at all.
            let left = PollTimeout::try_from(left + Duration::from_millis(1)).unwrap_or(PollTimeout::MAX);
            let file = |file| PollFd::new(file, PollFlags::POLLIN);
            let mut files = [file(self.socket.as_fd()), file(self.orphaned.as_fd())];
            match poll(&mut files, left) {
                Ok(0) if Instant::now() < until => {}
                Ok(0) => return true,
                Err(Errno::EINTR | Errno::EAGAIN) => {}
                Ok(_) | Err(_) => return false,
            }
        }
    }
}

fn rescue(charge: &mut dyn Charge, word: u32, said: &AtomicU32) {
    if let Ok(number) = usize::try_from(word / OWNERS) {
        charge.rescue(number, reached(said));
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
