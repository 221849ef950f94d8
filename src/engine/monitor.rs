//! The monitor: snapshots that are never full, and an end to what goes on behind.
//!
//! Each volume group has a keeper on a thread of its own ([`keeper`]), which asks the kernel and makes stores larger: a group whose lock is
//! held, or whose disks are slow in that, does not keep another one waiting. The disks are read for all of them at once, on the monitor's
//! own thread, which hears what is new. When to look and how much to add is decided by pure functions ([`policy`]). What they know is
//! on a [`Board`] for whoever shows it. Everything that changes goes the road of the commands; the monitor holds nothing that its
//! death would lose, and nothing but the want of device-mapper ends it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::Engine;
use super::list::GroupRead;
use crate::dm::Events;
use crate::error::Result;
use crate::lvm::VgName;

pub mod board;
pub mod foresight;
pub mod gauge;
mod keeper;
mod keepers;
pub mod policy;
mod retry;
mod watched;

pub use board::Board;
pub use gauge::Rate;
pub use keeper::Keeper;

use keepers::Keepers;
use retry::Complaints;

/// How long nothing is read anew, if nobody says that anything is new: tags, free space and disks change without an event.
const AT_LEAST_EVERY: Duration = Duration::from_secs(60);

/// How long it takes at most to see that the monitor shall stop, and that devices came or went.
const BEAT: Duration = Duration::from_secs(1);

/// The same until it is ready.
const FIRST_BEAT: Duration = Duration::from_millis(20);

/// lvm2 makes a snapshot's devices before it commits that it is one, and nothing tells of the commit: for so long after news the groups
/// are read at every beat.
const SETTLING: Duration = Duration::from_secs(5);

/// A command makes and removes several devices: their news is read together.
const TOGETHER: Duration = Duration::from_millis(20);

/// How often it is asked whether a volume is suspended: nothing tells of that, and it is one question a device.
const SUSPENDED_EVERY: Duration = Duration::from_secs(15);

/// Whoever waits for the monitor waits no longer for groups that somebody has locked, or for disks that do not answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// What is monitored, and how.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Only these groups; empty: all.
    pub groups: Vec<VgName>,
    /// What no writer is faster than, if the disks do not show otherwise; nothing: [`FASTEST`].
    pub fastest: Option<Rate>,
}

/// Faster than most disks.
pub const FASTEST: Rate = Rate(1 << 30);

impl Engine {
    /// Monitors until `stop` is set. `ready` is called when every group that there is then has been looked at once, or is late.
    pub fn monitor(
        &self,
        options: &Options,
        board: &Board,
        stop: &AtomicBool,
        ready: impl FnOnce(),
    ) -> Result<()> {
        let mut events = self.world.kernel.events()?;
        std::thread::scope(|scope| {
            let keepers = Keepers::new(self, scope, options.fastest.unwrap_or(FASTEST), board);
            let mut watch = Watch::new(self, options, keepers);
            let mut ready = Some(ready);
            while !stop.load(Ordering::SeqCst) {
                watch.beat(events.as_mut());
                if let Some(ready) = ready.take_if(|_| watch.is_ready()) {
                    ready();
                }
            }
        });
        Ok(())
    }
}

/// The monitor's own thread: hears what is new, and reads the disks then.
struct Watch<'m, 'scope, 'env> {
    engine: &'m Engine,
    options: &'m Options,
    keepers: Keepers<'scope, 'env>,
    complaints: Complaints,
    began: Instant,
    is_ready: bool,
    /// When the groups were read.
    read: Option<Instant>,
    /// When something was new.
    news: Option<Instant>,
    /// When it was asked what is suspended.
    asked: Option<Instant>,
}

impl<'m, 'scope, 'env> Watch<'m, 'scope, 'env> {
    fn new(engine: &'m Engine, options: &'m Options, keepers: Keepers<'scope, 'env>) -> Self {
        let (complaints, began) = (Complaints::default(), Instant::now());
        Self {
            engine,
            options,
            keepers,
            complaints,
            began,
            is_ready: false,
            read: None,
            news: None,
            asked: None,
        }
    }

    fn beat(&mut self, events: &mut dyn Events) {
        let beat = if self.is_ready { BEAT } else { FIRST_BEAT };
        let heard = self.complaints.hear("events", events.wait(beat));
        if heard.is_none() {
            // Without ears it looks at every beat.
            std::thread::sleep(beat);
        }
        let is_news = heard.as_ref().is_some_and(Option::is_some);
        if is_news {
            self.news = Some(Instant::now());
            std::thread::sleep(TOGETHER);
        }
        let is_fresh = |when: Option<Instant>, age| when.is_some_and(|when| when.elapsed() < age);
        let is_due =
            is_news || heard.is_none() || is_fresh(self.news, SETTLING) && !is_fresh(self.read, BEAT);
        // In this order: each of them forgets what it has told.
        let is_asked_for = self.keepers.bury() | self.keepers.are_stale() | self.is_any_suspended();
        if is_due || is_asked_for || !is_fresh(self.read, AT_LEAST_EVERY) {
            self.read(is_news);
        }
    }

    fn read(&mut self, is_news: bool) {
        self.read = Some(Instant::now());
        let read = self.engine.read_groups();
        let Some(mut groups) = self.complaints.hear("the groups", read) else { return };
        let wanted = &self.options.groups;
        groups.retain(|group| wanted.is_empty() || wanted.contains(group.name()));
        groups.iter().for_each(|group| self.tell_refusal(group));
        self.keepers.tell(groups.into_iter().map(Arc::new), is_news);
    }

    fn tell_refusal(&mut self, group: &GroupRead) {
        let about = format!("refusal of {}", group.name());
        match group.refusal() {
            Some(why) => {
                let vg = group.name();
                let words = format!("volume group {vg} is watched, and cannot be changed: {why}");
                self.complaints.tell(&about, words);
            }
            None => self.complaints.forget(&about),
        }
    }

    fn is_any_suspended(&mut self) -> bool {
        if self.asked.is_some_and(|asked| asked.elapsed() < SUSPENDED_EVERY) {
            return false;
        }
        self.asked = Some(Instant::now());
        let asked = self.engine.is_any_suspended();
        self.complaints.hear("what is suspended", asked).unwrap_or(false)
    }

    /// True as soon as every group has been looked at, or has had its time for that.
    fn is_ready(&mut self) -> bool {
        let late = self.keepers.late();
        let is_late = self.began.elapsed() >= PATIENCE;
        if !self.is_ready && is_late {
            late.iter().for_each(|vg| tracing::warn!("volume group {vg} could not be looked at yet"));
        }
        self.is_ready |= is_late || self.keepers.have_heard() && late.is_empty();
        self.is_ready
    }
}
