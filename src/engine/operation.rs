//! The road that every change of a volume group goes: intent, act, confirm.
//!
//! Under the group's lock: read the metadata, take away what a dead process left, let the operation say what it changes,
//! commit that as intent, converge the kernel, commit the confirmation ([`super::round`]). Whatever fails on the way is answered by
//! planning again from what is there; an operation that was not confirmed never happened ([`super::retreat`]).

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use super::blank::Blank;
use super::outline::Entry;
use super::plan::Plan;
use super::round::Round;
use super::session::{Aim, Session};
use super::setup::Taken;
use super::{Engine, mark};
use crate::error::{Error, Kind, Result};
use crate::lvm::lock::Wait;
use crate::lvm::{Edit, LvName, Vg, VgName, check_room};

/// How an operation is run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Mode {
    /// Say what would be done, under the same checks, and do nothing.
    pub dry_run: bool,
    /// Fail with [`crate::error::Kind::Locked`] instead of waiting for a lock, whoever has it: an operation of this process is no
    /// different from another process.
    pub no_wait: bool,
}

impl Mode {
    /// What taking a lock does when another process has it.
    pub fn wait(self) -> Wait {
        if self.no_wait { Wait::No } else { Wait::Forever }
    }
}

/// What an operation changes. Made from the metadata as it is, by code that does no I/O.
#[derive(Debug, Clone, Default)]
pub struct Change {
    /// Devices that join the group: those that are no physical volumes yet are labelled first.
    pub labels: Vec<Taken>,
    /// Ranges of free extents that are zeroed before the metadata names them.
    pub blanks: Vec<Blank>,
    /// Committed before the kernel is touched.
    pub intent: Vec<Edit>,
    /// Volumes whose devices may change, in the metadata before or after the intent.
    pub touched: BTreeSet<LvName>,
    /// Volumes to be active that may not be so.
    pub activate: BTreeSet<LvName>,
    /// Volumes not to be active any more.
    pub deactivate: BTreeSet<LvName>,
    /// Snapshots that are merged though they or their origins are open.
    pub forced: BTreeSet<LvName>,
    /// Volumes whose mounted file systems are then made as large as they are.
    pub grow_fs: BTreeSet<LvName>,
    /// What cannot be done for one of the touched volumes keeps it from being done for no other. Only without edits: they are
    /// committed together.
    pub apart: bool,
    /// Committed when the kernel has followed.
    pub confirm: Vec<Edit>,
    /// What a person should know: a size that was rounded.
    pub notes: Vec<String>,
}

impl Change {
    /// Makes a volume or a store larger: between the two commits its devices may not be what the metadata says. Answers the edits of
    /// the first.
    pub(super) fn enlarge(&mut self, lv: &LvName, longer: Edit) -> [Edit; 2] {
        let (begin, end) = mark::changing(lv);
        let edits = [begin, longer];
        self.intent.extend(edits.clone());
        self.confirm.push(end);
        self.touched.insert(lv.clone());
        edits
    }

    /// True if it changes the metadata.
    pub(super) fn commits(&self) -> bool {
        !self.intent.is_empty() || !self.confirm.is_empty()
    }

    /// What of it is planned for together.
    fn parts(&self) -> Vec<Self> {
        if self.apart {
            self.touched.iter().map(|name| self.only(name)).collect()
        } else {
            vec![self.clone()]
        }
    }

    /// What of it concerns this volume.
    fn only(&self, name: &LvName) -> Self {
        let name = BTreeSet::from([name.clone()]);
        Self {
            touched: &self.touched & &name,
            activate: &self.activate & &name,
            deactivate: &self.deactivate & &name,
            ..Self::default()
        }
    }
}

/// The first of the errors, when all else is done; the others are logged.
pub(super) fn first_failure(failures: Vec<Error>) -> Result<()> {
    let mut failures = failures.into_iter();
    let Some(first) = failures.next() else { return Ok(()) };
    failures.for_each(|error| tracing::warn!("{error}"));
    Err(first)
}

/// What an operation did, or with `--dry-run` would do.
#[derive(Debug, Clone, PartialEq)]
pub struct Report<T> {
    /// What it made or changed.
    pub objects: Vec<T>,
    /// From the call to the confirmation.
    pub elapsed: Duration,
    /// Of that, how long it had the group's lock, if it took it for itself or with others.
    pub worked: Duration,
    /// The longest time that a volume's I/O waited, where a switch was needed.
    pub frozen: Option<Duration>,
    /// The metadata edits and device-mapper steps, for a dry run.
    pub planned: Option<Vec<Entry>>,
    /// What a person should know.
    pub notes: Vec<String>,
}

impl<T> Default for Report<T> {
    fn default() -> Self {
        let (elapsed, worked) = (Duration::ZERO, Duration::ZERO);
        Self { objects: Vec::new(), elapsed, worked, frozen: None, planned: None, notes: Vec::new() }
    }
}

impl<T> Report<T> {
    /// True if there is nothing to show but notes.
    pub fn is_empty(&self) -> bool {
        self.objects.is_empty() && self.planned.is_none()
    }

    /// Adds what another operation did.
    pub fn absorb(&mut self, other: Self) {
        self.objects.extend(other.objects);
        self.elapsed += other.elapsed;
        self.worked += other.worked;
        self.frozen = self.frozen.max(other.frozen);
        self.planned = match (self.planned.take(), other.planned) {
            (Some(plan), Some(more)) => Some([plan, more].concat()),
            (plan, more) => plan.or(more),
        };
        self.notes.extend(other.notes);
    }
}

impl Engine {
    /// Runs one operation on a volume group down the whole road; `views` says afterwards what became of it.
    pub(super) fn run<T>(
        &self,
        vg: &VgName,
        mode: Mode,
        description: &str,
        change: impl FnOnce(&Session<'_>) -> Result<Change>,
        views: impl FnOnce(&Session<'_>) -> Result<Vec<T>>,
    ) -> Result<Report<T>> {
        self.run_to(Aim::Change, vg, mode, description, change, views)
    }

    /// The same for an operation that takes something away, which is possible while devices are missing.
    pub(super) fn run_reducing<T>(
        &self,
        vg: &VgName,
        mode: Mode,
        description: &str,
        change: impl FnOnce(&Session<'_>) -> Result<Change>,
        views: impl FnOnce(&Session<'_>) -> Result<Vec<T>>,
    ) -> Result<Report<T>> {
        self.run_to(Aim::Reduction, vg, mode, description, change, views)
    }

    fn run_to<T>(
        &self,
        aim: Aim,
        vg: &VgName,
        mode: Mode,
        description: &str,
        change: impl FnOnce(&Session<'_>) -> Result<Change>,
        views: impl FnOnce(&Session<'_>) -> Result<Vec<T>>,
    ) -> Result<Report<T>> {
        let began = Instant::now();
        let session = self.session_to(vg, aim, mode);
        let report = session.and_then(|session| session.operate(began, mode, description, change, views));
        self.tell_done(description, began.elapsed(), &report);
        report
    }

    /// Keeps a copy of what is about to be changed. Nothing may be suspended: the file may lie on what is.
    pub(super) fn archive(&self, vg: &Vg, description: &str) {
        let mut random = [0; 4];
        (self.world.random)(&mut random);
        // LVM2's are not negative.
        let random = u32::from_ne_bytes(random) >> 1;
        self.world.lvm2.archives.archive(vg, &self.stamp(description), random);
    }

    /// Keeps a copy of what is in force. The same holds.
    pub(super) fn back_up(&self, vg: &Vg, description: &str) {
        self.world.lvm2.archives.back_up(vg, &self.stamp(description));
    }
}

impl Session<'_> {
    /// The road from here on, for an operation that began when it asked for the lock.
    pub(super) fn operate<T>(
        mut self,
        began: Instant,
        mode: Mode,
        description: &str,
        change: impl FnOnce(&Session<'_>) -> Result<Change>,
        views: impl FnOnce(&Session<'_>) -> Result<Vec<T>>,
    ) -> Result<Report<T>> {
        let recovery = self.recover(mode)?;
        let mut change = change(&self)?;
        if mode.dry_run && !recovery.is_empty() {
            // The kernel is not yet what it will be: the device steps cannot be said.
            change.notes.push(
                "what a dead process left is taken away first; the steps behind that are not shown"
                    .to_owned(),
            );
            let (_, change) = self.judged(&change, description)?;
            let planned = Some([recovery, planned(&change, &Plan::default())].concat());
            return Ok(Report { planned, notes: change.notes, ..Report::default() });
        }
        let mut round = Round::new(&mut self);
        let mut failures = Vec::new();
        for part in change.parts() {
            failures.extend(round.admit(&part, description).err());
        }
        if mode.dry_run {
            let planned = Some(round.entries());
            first_failure(failures)?;
            return Ok(Report { planned, notes: change.notes, ..Report::default() });
        }
        let mut frozen = None;
        for outcome in round.run() {
            match outcome {
                Ok(executed) => frozen = frozen.max(executed.longest_freeze()),
                Err(error) => failures.push(error),
            }
        }
        let (elapsed, worked) = (began.elapsed(), self.since().elapsed());
        first_failure(failures)?;
        Ok(Report { objects: views(&self)?, elapsed, worked, frozen, planned: None, notes: change.notes })
    }

    /// The metadata as it will be, and the change as it can be made; an error if it cannot. Nothing is written yet.
    pub(super) fn judged(&mut self, change: &Change, description: &str) -> Result<(Vg, Change)> {
        if change.commits() {
            self.engine.check_writable()?;
        }
        change.labels.iter().for_each(|taken| self.open.join(taken.pv.clone()));
        let (intended, change) = self.with_room(change, description)?;
        intended.apply(&change.confirm)?;
        Ok((intended, change))
    }

    /// The metadata as it will be, and the change as it fits into the metadata areas. A removal must be possible where there is no
    /// room even for its mark: it then goes without, as lvm2's do.
    fn with_room(&self, change: &Change, description: &str) -> Result<(Vg, Change)> {
        if change.intent.is_empty() {
            return Ok((self.open.vg.clone(), change.clone()));
        }
        let stamp = self.engine.stamp(description);
        let fits = |change: &Change| {
            let intended = self.open.vg.apply(&change.intent)?;
            check_room(&self.open, &intended, &stamp).map(|()| intended)
        };
        let unmarked = mark::without_deleting(&change.intent);
        match fits(change) {
            Err(error) if error.kind() == Kind::NoSpace && unmarked.len() < change.intent.len() => {
                let change = Change { intent: unmarked, ..change.clone() };
                let intended = if change.intent.is_empty() { self.open.vg.clone() } else { fits(&change)? };
                Ok((intended, change))
            }
            fits => fits.map(|intended| (intended, change.clone())),
        }
    }
}

/// A change and its plan, in the order of their doing.
pub(super) fn planned(change: &Change, plan: &Plan) -> Vec<Entry> {
    let labels = change.labels.iter().filter_map(Taken::entry);
    let blanks = change.blanks.iter().cloned().map(Entry::Blank);
    let intent = Entry::edits(&change.intent);
    labels.chain(blanks).chain(intent).chain(plan.entries()).chain(Entry::edits(&change.confirm)).collect()
}
