//! The keeper of one volume group: looks at its stores when it is time, and makes those larger that need it, all in one commit.
//!
//! A turn is what it does between two waits. Time comes in as an argument, so that turns can be tried without waiting. Whatever fails is
//! told and tried again later; it keeps nothing else from being done.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::AT_LEAST_EVERY;
use super::board::Board;
use super::gauge::{Rate, Sample};
use super::policy::{self, Pace};
use super::retry::{Complaints, Retry};
use super::watched::{Listed, Seen, Watched, listed, since, usage};
use crate::block::{DevNo, Meter};
use crate::dm::DmUuid;
use crate::engine::behind::Behind;
use crate::engine::list::{GroupRead, GroupSeen};
use crate::engine::{Engine, Mode};
use crate::error::Result;
use crate::lvm::{Uuid, VgName};
use crate::units::Bytes;

mod ends;
mod growth;
mod report;

/// The disks' speed is taken over no shorter time: their counters go up by whole requests.
const WINDOW: Duration = Duration::from_millis(200);

/// How often it is looked at what moves without telling.
const OFTEN: Duration = Duration::from_secs(1);

/// Until a lock is asked for again that somebody has: who asks waits a quarter of a second.
const UNLOCKED: Duration = Duration::from_millis(10);

/// The stores have to be looked at again soon: the lock is waited for no longer than that.
const HASTY: Mode = Mode { dry_run: false, no_wait: true };

/// Keeps the stores of one volume group from being full.
pub struct Keeper<'e> {
    engine: &'e Engine,
    vg: VgName,
    board: &'e Board,
    pace: Pace,
    complaints: Complaints,
    /// The group, as it was read last.
    read: Option<Arc<GroupRead>>,
    /// It has to be read anew.
    is_stale: Arc<AtomicBool>,
    /// When the kernel was asked of everything the last time; nothing if it has to be.
    listed: Option<Duration>,
    /// Of the disks that the group lies on; none if not all of them have one.
    meters: Option<Vec<Box<dyn Meter>>>,
    /// The disks of the meters.
    disks: Vec<DevNo>,
    /// What the meters said last.
    written: Option<Bytes>,
    /// What was written to the disks, and when they said so, at the beginning of the window.
    window: Option<(Duration, Bytes)>,
    stores: Vec<Watched>,
    /// What is free of the group, and whether that was read since it was counted last.
    free: Bytes,
    is_told: bool,
    /// When this turn should have begun; nothing if the last one did more than look.
    expected: Option<Duration>,
    /// The last turn has made a store larger.
    has_grown: bool,
    growing: Retry,
    /// Since when somebody has the lock.
    locked_out: Option<Duration>,
    /// The kernel works on something behind.
    is_behind: bool,
    ending: Retry,
    /// A store has not been seen yet: somebody has suspended it.
    is_unseen: bool,
    /// Since when a volume has been seen suspended.
    suspended: Option<Duration>,
    /// Nobody has looked for that yet: a process may have died before this one began.
    is_new: bool,
    waking: Retry,
    foretold: Option<Duration>,
    is_foretelling: bool,
}

impl<'e> Keeper<'e> {
    /// One that knows nothing of its group yet.
    pub fn new(engine: &'e Engine, vg: VgName, fastest: Rate, board: &'e Board) -> Self {
        Self {
            engine,
            vg,
            board,
            pace: Pace::new(fastest),
            complaints: Complaints::default(),
            read: None,
            is_stale: Arc::default(),
            listed: None,
            meters: None,
            disks: Vec::new(),
            written: None,
            window: None,
            stores: Vec::new(),
            free: Bytes::ZERO,
            is_told: false,
            expected: None,
            has_grown: false,
            growing: Retry::default(),
            locked_out: None,
            is_behind: false,
            ending: Retry::default(),
            is_unseen: false,
            suspended: None,
            is_new: true,
            waking: Retry::default(),
            foretold: None,
            is_foretelling: false,
        }
    }

    /// The group was read: the next turn looks at all of it.
    pub fn hear(&mut self, read: Arc<GroupRead>) {
        self.read = Some(read);
        self.is_told = true;
        self.listed = None;
    }

    /// Something is new with devices: what failed may be possible now.
    pub fn take_heart(&mut self) {
        [&mut self.growing, &mut self.ending, &mut self.waking].into_iter().for_each(Retry::renew);
    }

    /// Is set when the group should be read anew.
    pub fn stale(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.is_stale)
    }

    /// Does what is to be done now, and says how long nothing has to be.
    pub fn turn(&mut self, now: Duration) -> Duration {
        if let Some(expected) = self.expected.take() {
            self.pace.woke(now.saturating_sub(expected), now);
        }
        if self.listed.is_none_or(|listed| now.saturating_sub(listed) >= self.listing_again()) {
            self.list(now);
        }
        let before = self.written;
        self.written = self.meter();
        let is_quiet = before.is_some() && before == self.written;
        self.measure(now);
        self.look(now);
        self.extend(now);
        self.foretell(now);
        let wait = self.wait(is_quiet);
        if !self.has_grown && self.locked_out.is_none() {
            self.expected = Some(now + wait);
        }
        wait
    }

    /// The first turns, until every store has the room that it needs: how long growing takes here is not known before one has grown.
    pub fn begin(&mut self, clock: impl Fn() -> Duration) -> Duration {
        let mut wait = self.turn(clock());
        while self.has_grown {
            wait = self.turn(clock());
        }
        wait
    }

    /// True if its stores had the room that they need, or will not get it, when it looked last.
    pub fn is_through(&self) -> bool {
        self.read.is_some() && self.locked_out.is_none()
    }

    fn wait(&self, is_quiet: bool) -> Duration {
        if self.locked_out.is_some() {
            return UNLOCKED;
        }
        let fillable = self.stores.iter().filter(|store| store.short.is_none() && store.can_be_full());
        let least = fillable.map(|store| store.store().sure()).min();
        let wait = least.map_or(policy::LONGEST_AT_REST, |sure| policy::tick(sure, is_quiet, &self.pace));
        let is_soon = self.is_foretelling || self.listing_again() == OFTEN;
        let is_soon = is_soon || self.stores.iter().any(|store| store.short.is_some());
        if is_soon { wait.min(OFTEN) } else { wait }
    }

    /// Merges and fills move without telling, and who resumes a volume does not tell either.
    fn listing_again(&self) -> Duration {
        let is_soon = self.is_behind || self.is_unseen || self.suspended.is_some() || self.meters_failed();
        if is_soon { OFTEN } else { AT_LEAST_EVERY }
    }

    /// True if the disks' meters were there, and one of them has failed.
    fn meters_failed(&self) -> bool {
        self.meters.is_none() && !self.disks.is_empty()
    }

    /// Asks the kernel of everything that the group has. What is known of its stores stays known.
    fn list(&mut self, now: Duration) {
        let Some(read) = self.read.clone() else { return };
        self.listed = Some(now);
        let seen = self.engine.group_seen(&read);
        let Some(group) = self.complaints.hear("the group", seen) else { return };
        self.find_meters(read.disks());
        if std::mem::take(&mut self.is_told) && self.free != group.free {
            self.free = group.free;
            self.growing.renew();
        }
        self.take_in(read.id(), &group, now);
        self.pace.shares(self.free, self.stores.len());
        self.publish_all(&group);
        self.end_behind(Behind::of(&group.snapshots, &group.filling), now);
        self.wake(!group.suspended.is_empty(), now);
    }

    fn find_meters(&mut self, disks: &[DevNo]) {
        if self.meters.is_some() && self.disks == disks {
            return;
        }
        let devices = &self.engine.world.devices;
        let meters = disks.iter().map(|disk| devices.meter(*disk).transpose());
        let meters: Option<Result<Vec<_>>> = meters.collect();
        let found = meters.and_then(|meters| self.complaints.hear("the disks' counters", meters));
        // Where nobody counts nothing has failed.
        self.disks = if found.is_some() { disks.to_vec() } else { Vec::new() };
        (self.meters, self.written, self.window) = (found, None, None);
    }

    /// Watches those stores that are there now.
    fn take_in(&mut self, vg: Uuid, group: &GroupSeen, now: Duration) {
        let copies = self.engine.world.kernel.copies_at_once();
        let mut known: BTreeMap<_, _> =
            std::mem::take(&mut self.stores).into_iter().map(|store| (store.uuid.clone(), store)).collect();
        self.is_unseen = false;
        for view in &group.snapshots {
            let before = known.remove(&view.uuid);
            if before.is_some() && view.invalid {
                tracing::error!("snapshot {}/{} is lost: its store was full", view.vg, view.name);
            }
            let look = |device: &DmUuid| usage(self.engine, device);
            match self.complaints.hear(&view.uuid, listed(vg, view, before, copies, now, look)) {
                Some(Listed::Watched(store)) => self.stores.push(store),
                Some(Listed::Suspended) => self.is_unseen = true,
                Some(Listed::Unwatched) | None => {}
            }
        }
    }

    /// What was written to the disks so far; nothing if nobody counts.
    fn meter(&mut self) -> Option<Bytes> {
        let sum = |meters: &Vec<Box<dyn Meter>>| {
            let add = |all: Bytes, one: Result<Bytes>| Ok(Bytes(all.get().wrapping_add(one?.get())));
            meters.iter().map(|meter| meter.written()).try_fold(Bytes::ZERO, add)
        };
        let written = self.complaints.hear("a disk's counter", sum(self.meters.as_ref()?));
        if written.is_none() {
            // A disk may have gone: until it is known which there are every store is looked at.
            self.meters = None;
            self.is_stale.store(true, Ordering::SeqCst);
        }
        written
    }

    /// Learns how fast the disks are.
    fn measure(&mut self, now: Duration) {
        let Some(written) = self.written else { return };
        let (from, before) = *self.window.get_or_insert((now, written));
        let time = now.saturating_sub(from);
        if time >= WINDOW {
            self.pace.wrote(Rate::of(since(before, written), time), now);
            self.window = Some((now, written));
        }
    }

    /// Looks at the stores of which too much may have gone unseen.
    fn look(&mut self, now: Duration) {
        let mut is_news = false;
        let written = self.written;
        for store in self.stores.iter_mut().filter(|store| store.can_be_full() && store.is_due(written)) {
            let seen = usage(self.engine, &store.device);
            match self.complaints.hear(store.device.as_str(), seen) {
                Some(Seen::Usage(used, total)) => {
                    store.gauge.note(Sample { at: now, used, total });
                    store.seen = self.written;
                    self.board.note_gauge(&self.vg, &store.uuid, &store.gauge);
                }
                Some(Seen::Changed) => is_news = true,
                Some(Seen::Suspended) | None => {}
            }
        }
        if is_news {
            self.listed = None;
            self.is_stale.store(true, Ordering::SeqCst);
        }
    }
}
