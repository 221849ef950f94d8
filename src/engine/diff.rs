//! What changed since a snapshot was taken, or between two, from their exception stores.
//!
//! A store is read while the volume is in use, and nothing has to stand still for it: outside a merge the kernel only appends to it, and has
//! written an exception before the write that causes it reaches the origin. What is read past the page cache is a beginning of the
//! list, which covers every write that was over when the command began, be an area torn by a write in flight: what is not yet written of
//! it is zero, which ends the list. That the snapshot is valid is asked again behind it. The group's lock is held, shared with other readers, so
//! that nobody merges or removes the store meanwhile.
//!
//! Of two snapshots the older one is read first. What is written in between then has an exception in the newer one alone, once copies
//! that were under way are done: the newer store is read until it has as much in it as the kernel had given out by then.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use super::Engine;
use super::blank::is_unused_store;
use super::desired::families;
use super::mark::Mark;
use super::naming::Layer;
use super::operation::Mode;
use super::session::{Session, roots_in};
use crate::block::{Access, Device};
use crate::cow::diff::{Range, Ranges, is_all_before};
use crate::cow::store::{Store, Table};
use crate::dm::{DmName, Status};
use crate::error::{Error, Kind, Result};
use crate::lvm::span::Span;
use crate::lvm::{Lv, LvName, Snapshot, VgName};
use crate::units::{Bytes, Sectors};

/// A copy of a chunk takes milliseconds.
const PAUSE: Duration = Duration::from_millis(5);
/// So often the newer of two stores is read again before it counts as one that never comes to rest.
const READINGS: usize = 50;

/// What is compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Comparison {
    /// The volume group.
    pub vg: VgName,
    /// The snapshot.
    pub snapshot: LvName,
    /// An older snapshot of the same volume, to compare it with; none for the volume itself.
    pub since: Option<LvName>,
}

/// The parts of a volume that may differ, and all that do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// The volume group.
    pub vg: String,
    /// The snapshot.
    pub snapshot: String,
    /// The older snapshot; none if it is compared with its origin.
    pub since: Option<String>,
    /// The volume that they are snapshots of.
    pub origin: String,
    /// The size of the origin; between two snapshots, of the newer one.
    pub size_bytes: Bytes,
    /// What changed is known in pieces of this size.
    pub chunk_bytes: Bytes,
    /// True if each range was written to between the two; false if some may not have been.
    pub exact: bool,
    /// In all ranges.
    pub changed_bytes: Bytes,
    /// Why it is not exact, and what else a person should know.
    pub notes: Vec<String>,
    /// In order; none touches the next.
    pub ranges: Vec<RangeView>,
}

/// A part of a volume.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct RangeView {
    /// Where it begins.
    pub offset_bytes: Bytes,
    /// How long it is.
    pub length_bytes: Bytes,
}

/// A store as it was read.
struct Reading {
    table: Table,
    /// The exceptions that the kernel had begun before are in it.
    is_complete: bool,
}

/// What was found, before it is shown.
struct Found {
    ranges: Ranges,
    size: Sectors,
    chunk: Sectors,
    /// Why it is more than what changed.
    doubts: Vec<String>,
    notes: Vec<String>,
}

impl Engine {
    /// The ranges in which a snapshot and its origin, or a snapshot and an older one of the same origin, differ.
    pub fn differences(&self, wanted: &Comparison, mode: Mode) -> Result<Difference> {
        let compared = || self.reading_session(&wanted.vg, mode)?.difference_of(wanted);
        compared().map_err(|error| error.doing(format!("compare {}/{}", wanted.vg, wanted.snapshot)))
    }
}

impl Session<'_> {
    fn difference_of(&self, wanted: &Comparison) -> Result<Difference> {
        let snapshot = self.comparable(&wanted.snapshot)?;
        let older = wanted.since.as_ref().map(|name| self.older(name, snapshot)).transpose()?;
        let is_active = self.is_tracked(&snapshot.origin)?;
        let found = match older {
            None => self.since_cut(snapshot, is_active)?,
            Some(older) => self.between(older, snapshot, is_active)?,
        };
        let view = |range: Range| RangeView {
            offset_bytes: range.start.bytes(),
            length_bytes: range.length().bytes(),
        };
        Ok(Difference {
            vg: self.vg().name.to_string(),
            snapshot: snapshot.store.to_string(),
            since: older.map(|older| older.store.to_string()),
            origin: snapshot.origin.to_string(),
            size_bytes: found.size.bytes(),
            chunk_bytes: found.chunk.bytes(),
            exact: found.doubts.is_empty(),
            changed_bytes: found.ranges.total().bytes(),
            notes: [found.doubts, found.notes].concat(),
            ranges: found.ranges.iter().map(view).collect(),
        })
    }

    fn since_cut(&self, snapshot: &Snapshot, is_active: bool) -> Result<Found> {
        let vg = self.vg();
        let (origin, store) = (vg.find_lv(&snapshot.origin)?, vg.find_lv(&snapshot.store)?);
        let (cut, size) = (self.size_at_cut(snapshot), origin.extents().sectors(vg.extent_size));
        let table = self.reading(snapshot, is_active)?.table;
        let mut found = Found {
            ranges: Ranges::of(&table, cut),
            size,
            chunk: table.chunk_size,
            doubts: self.doubts([store.as_ref()]),
            notes: Vec::new(),
        };
        found.add_growth(cut, &format!("{}/{} has grown", vg.name, origin.name));
        Ok(found)
    }

    fn between(&self, older: &Snapshot, newer: &Snapshot, is_active: bool) -> Result<Found> {
        let vg = self.vg();
        let stores = [vg.find_lv(&older.store)?.as_ref(), vg.find_lv(&newer.store)?.as_ref()];
        let first = self.reading(older, is_active)?.table;
        let Reading { table: second, is_complete } = self.complete_reading(newer, is_active)?;
        let [before, size] = [older, newer].map(|snapshot| self.size_at_cut(snapshot));
        let mut ranges = Ranges::of(&first, before);
        if stores.iter().any(|store| store.writable()) {
            ranges = ranges.and(&Ranges::of(&second, before));
        }
        let chunk = first.chunk_size.max(second.chunk_size);
        let mut found = Found { ranges, size, chunk, doubts: self.doubts(stores), notes: Vec::new() };
        if !is_complete || !is_all_before(&first, &second) {
            found.doubts.push(format!(
                "what was written since {}/{newer} was taken may be among it",
                vg.name,
                newer = newer.store
            ));
        }
        found.add_growth(before, &format!("{}/{} grew in between", vg.name, newer.origin));
        Ok(found)
    }

    fn size_at_cut(&self, snapshot: &Snapshot) -> Sectors {
        snapshot.length.sectors(self.vg().extent_size)
    }

    /// What keeps an exception from telling that the origin was written to.
    fn doubts<'v>(&self, stores: impl IntoIterator<Item = &'v Lv>) -> Vec<String> {
        let vg = &self.vg().name;
        let writable = stores.into_iter().filter(|store| store.writable());
        writable
            .map(|store| {
                format!("{vg}/{} is writable: what was written to it is among what changed", store.name)
            })
            .collect()
    }

    /// A snapshot that is finished, and is one still.
    fn comparable(&self, name: &LvName) -> Result<&Snapshot> {
        let vg = self.vg();
        let snapshot = self.snapshot_named(name)?;
        match Mark::of(vg.find_lv(name)?) {
            None | Some(Mark::Changing) => Ok(snapshot),
            Some(_) => Err(Error::new(Kind::NotFound, format!("{}/{name} is unfinished", vg.name))
                .hint(format!("`dmsnap repair {}` finishes or undoes what a dead process began", vg.name))),
        }
    }

    /// The snapshot of this name, if it is of the same origin and was taken before.
    fn older(&self, name: &LvName, newer: &Snapshot) -> Result<&Snapshot> {
        let vg = &self.vg().name;
        let older = self.comparable(name)?;
        if older.origin != newer.origin {
            let (one, other) = (&older.origin, &newer.origin);
            let cause = format!("{vg}/{name} is a snapshot of {one}, {vg}/{} one of {other}", newer.store);
            return Err(Error::new(Kind::Usage, cause).hint("compare snapshots of one volume"));
        }
        // They stand in the order of their cuts.
        let place =
            |store: &LvName| self.vg().snapshots_of(&newer.origin).position(|one| one.store == *store);
        if place(&older.store) < place(&newer.store) {
            return Ok(older);
        }
        Err(Error::new(Kind::Usage, format!("{vg}/{name} was not taken before {vg}/{}", newer.store))
            .hint(format!("`dmsnap snapshot list {vg}` shows when each was taken")))
    }

    /// True if the origin is active, and with it its snapshots as the metadata has them; false if none of them is. An error if the
    /// kernel has anything else: writes may go by a store then.
    fn is_tracked(&self, origin: &LvName) -> Result<bool> {
        let vg = self.vg();
        let touched = BTreeSet::from([origin.clone()]);
        let found = self.found(vg, &touched)?;
        let active = self.active(&found, families(vg, &touched).into_values());
        let plan = self.plan_for(vg, &found, &roots_in(vg, &active))?;
        if plan.prepare.is_empty() && plan.switch.is_empty() && plan.removed().next().is_none() {
            return Ok(!active.is_empty());
        }
        let cause = format!("the kernel does not have {}/{origin} as the metadata says", vg.name);
        Err(Error::new(Kind::Refused, cause).hint(format!("`dmsnap check {}` says what differs", vg.name)))
    }

    /// Reads a store until everything is in it that the kernel had begun when this was called.
    fn complete_reading(&self, snapshot: &Snapshot, is_active: bool) -> Result<Reading> {
        let begun = if is_active { Some(self.used(snapshot)?) } else { None };
        for _ in 0..READINGS {
            let reading = self.reading(snapshot, is_active)?;
            let used = reading.table.used().sectors(reading.table.chunk_size);
            if begun.is_none_or(|begun| used >= begun) {
                return Ok(reading);
            }
            std::thread::sleep(PAUSE);
        }
        self.reading(snapshot, is_active).map(|reading| Reading { is_complete: false, ..reading })
    }

    fn reading(&self, snapshot: &Snapshot, is_active: bool) -> Result<Reading> {
        let vg = self.vg();
        let store = vg.find_lv(&snapshot.store)?;
        let length = Some(self.size_at_cut(snapshot));
        let table = if is_active {
            let table = Store::open(self.cow_device(store)?.as_ref())?.table(length)?;
            // A store that became invalid meanwhile says nothing of later writes.
            self.used(snapshot)?;
            table
        } else if is_unused_store(&self.open, store)? {
            Table { chunk_size: snapshot.chunk_size, exceptions: Vec::new() }
        } else {
            let span = Span::new(&self.open, &format!("{}/{}", vg.name, store.name), &store.segments)?;
            Store::open(&span)?.table(length)?
        };
        Ok(Reading { table, is_complete: true })
    }

    fn cow_device(&self, store: &Lv) -> Result<Arc<dyn Device>> {
        let name = self.naming().name(&store.name, Layer::Cow)?;
        let path = self.engine.dev().join("mapper").join(name.as_str());
        self.engine.world.devices.open(&path, Access::Read)
    }

    /// What the kernel has given out of an active snapshot's store; an error if the store tracks its origin no more.
    fn used(&self, snapshot: &Snapshot) -> Result<Sectors> {
        let name: DmName = self.naming().name(&snapshot.store, Layer::Top)?;
        match self.kernel().status(&name)?.first() {
            Some(Status::Store { used, merging: false, .. }) => Ok(*used),
            status => {
                let word = status.map_or_else(|| "nothing".to_owned(), ToString::to_string);
                let vg = &self.vg().name;
                let cause = format!("the kernel says \"{word}\" of {vg}/{}", snapshot.store);
                Err(Error::new(Kind::Refused, cause).hint("its store says no more what changed"))
            }
        }
    }
}

impl Found {
    /// What there is of the volume behind the end that it had.
    fn add_growth(&mut self, end: Sectors, what: &str) {
        if end < self.size {
            self.ranges = std::mem::take(&mut self.ranges).with(Range { start: end, end: self.size });
            self.notes.push(format!("{what}: what lies behind {} is new", end.bytes()));
        }
    }
}
