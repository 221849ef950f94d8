//! What changed since a snapshot was taken, or between two, from their exception stores ([`super::reading`]).
//!
//! Of two snapshots the older one is read first. What is written in between then has an exception in the newer one alone, once copies
//! that were under way are done: the newer store is read until it has as much in it as the kernel had given out by then.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde::Serialize;

use super::Engine;
use super::desired::families;
use super::naming::Layer;
use super::operation::Mode;
use super::reading::Reading;
use super::session::{Session, roots_in};
use super::snapshot::merging;
use crate::block::Device;
use crate::cow::diff::{Range, Ranges, is_all_before};
use crate::error::{Error, Kind, Result};
use crate::lvm::{Lv, LvName, Snapshot, VgName};
use crate::units::{Bytes, Sectors};

/// What is compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Comparison {
    /// The volume group.
    pub vg: VgName,
    /// The snapshot.
    pub snapshot: LvName,
    /// An older snapshot of the same volume, to compare it with; none for the volume itself.
    pub since: Option<LvName>,
    /// Read both snapshots where they may differ, and keep only where they do.
    pub content: bool,
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
    /// True if each range was written to between the two, or, where content is read, differs; false if some may not have been.
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

/// What was found, before it is shown.
struct Found {
    ranges: Ranges,
    size: Sectors,
    chunk: Sectors,
    /// Of the store with the smaller chunks.
    least_chunk: Sectors,
    /// Why it is more than what changed.
    doubts: Vec<String>,
    notes: Vec<String>,
}

impl Engine {
    /// The ranges in which a snapshot and its origin, or a snapshot and an older one of the same origin, differ.
    pub fn differences(&self, wanted: &Comparison, mode: Mode) -> Result<Difference> {
        let doing = |error: Error| error.doing(format!("compare {}/{}", wanted.vg, wanted.snapshot));
        self.compared(wanted, mode).map_err(doing)
    }

    fn compared(&self, wanted: &Comparison, mode: Mode) -> Result<Difference> {
        let session = self.reading_session(&wanted.vg, mode)?;
        let (difference, found) = session.difference_of(wanted)?;
        if !wanted.content {
            return Ok(difference);
        }
        // Who has them open keeps them: the lock need not be held while content is read.
        let (one, other) = session.both(wanted)?;
        drop(session);
        let ranges = found.ranges.differing(one.as_ref(), other.as_ref(), found.least_chunk)?;
        Ok(Difference {
            exact: true,
            notes: found.notes,
            chunk_bytes: found.least_chunk.bytes(),
            ..difference
        }
        .with(&ranges))
    }
}

impl Difference {
    fn with(self, ranges: &Ranges) -> Self {
        let view = |range: Range| RangeView {
            offset_bytes: range.start.bytes(),
            length_bytes: range.length().bytes(),
        };
        Self { changed_bytes: ranges.total().bytes(), ranges: ranges.iter().map(view).collect(), ..self }
    }
}

impl Session<'_> {
    fn difference_of(&self, wanted: &Comparison) -> Result<(Difference, Found)> {
        let snapshot = self.comparable(&wanted.snapshot)?;
        let older = wanted.since.as_ref().map(|name| self.older(name, snapshot)).transpose()?;
        if older.is_none() {
            self.refuse_merged(&snapshot.origin)?;
            self.refuse_filling(self.vg().find_lv(&snapshot.origin)?)?;
        }
        let is_active = self.is_tracked(&snapshot.origin)?;
        let found = match older {
            None => self.since_cut(snapshot, is_active)?,
            Some(older) => self.between(older, snapshot, is_active)?,
        };
        let difference = Difference {
            vg: self.vg().name.to_string(),
            snapshot: snapshot.store.to_string(),
            since: older.map(|older| older.store.to_string()),
            origin: snapshot.origin.to_string(),
            size_bytes: found.size.bytes(),
            chunk_bytes: found.chunk.bytes(),
            exact: found.doubts.is_empty(),
            changed_bytes: Bytes::ZERO,
            notes: [found.doubts.as_slice(), &found.notes].concat(),
            ranges: Vec::new(),
        };
        Ok((difference.with(&found.ranges), found))
    }

    /// The devices of both snapshots.
    fn both(&self, wanted: &Comparison) -> Result<(Arc<dyn Device>, Arc<dyn Device>)> {
        let older = wanted.since.as_ref().ok_or_else(|| {
            Error::new(Kind::Usage, "the content of a volume in use changes while it is compared")
                .hint("take another snapshot, and compare the two: --since")
        })?;
        Ok((self.snapshot_device(older)?, self.snapshot_device(&wanted.snapshot)?))
    }

    fn snapshot_device(&self, name: &LvName) -> Result<Arc<dyn Device>> {
        let vg = &self.vg().name;
        let device = self.naming().name(name, Layer::Top)?;
        if self.kernel().info(&device)?.is_none() {
            return Err(Error::new(
                Kind::InUse,
                format!("{vg}/{name} is not active: its content cannot be read"),
            )
            .hint(format!("`dmsnap activate {vg}` first")));
        }
        self.opened(&device)
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
            least_chunk: table.chunk_size,
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
        let least_chunk = first.chunk_size.min(second.chunk_size);
        let (doubts, notes) = (self.doubts(stores), Vec::new());
        let mut found = Found { ranges, size, chunk, least_chunk, doubts, notes };
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

    /// Of the origin.
    pub(super) fn size_at_cut(&self, snapshot: &Snapshot) -> Sectors {
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
        let snapshot = self.snapshot_named(name)?;
        self.refuse_unfinished(self.vg().find_lv(name)?).map(|()| snapshot)
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

    /// An error while a snapshot is merged into a volume: it shows what was not written to it yet, and no store tells of that.
    fn refuse_merged(&self, origin: &LvName) -> Result<()> {
        let vg = self.vg();
        let merged = vg.snapshots_of(origin).find(|snapshot| snapshot.merging);
        merged.map_or(Ok(()), |snapshot| Err(merging(vg, &snapshot.store, origin)))
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
