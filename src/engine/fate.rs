//! What becomes of volumes that an operation left unfinished, or that the kernel has finished with.
//!
//! What is pending was never acknowledged and goes, what is deleting goes. A snapshot that the kernel has merged whole goes too, whoever
//! began the merge: its origin holds all of it. So does what helped to fill a volume that is full. A rollback that nobody was told of
//! is taken back while the kernel has not begun it; from then on, or when the origin is not active, it stands, and with it the
//! snapshot that keeps the state before.

use std::collections::BTreeSet;

use super::fill::{Fill, fills, is_idle_map, is_idle_source, rollback_of};
use super::mark::{Bond, Mark, outlives_rollback};
use super::naming::Layer;
use super::session::Session;
use super::tree::FoundTree;
use crate::dm::{Slot, Status, Target};
use crate::error::{Kind, Result};
use crate::lvm::{Edit, Lv, LvName, Snapshot, Vg};

/// What the kernel says of the merges of a group.
pub(super) struct Fates<'v> {
    vg: &'v Vg,
    /// Stores of which nothing is left to merge.
    merged: BTreeSet<LvName>,
    /// Stores whose merges are taken back.
    taken_back: BTreeSet<LvName>,
    /// What the kernel has filled.
    full: Vec<Fill<'v>>,
    /// Rollbacks by filling that are taken back.
    abandoned: Vec<Fill<'v>>,
}

impl Session<'_> {
    /// True if the kernel has merged a snapshot whole that is still there.
    pub(super) fn has_merged(&self) -> Result<bool> {
        Ok(!self.merged()?.is_empty())
    }

    pub(super) fn fates(&self, found: &FoundTree) -> Result<Fates<'_>> {
        let vg = self.vg();
        let unconfirmed =
            self.merging().filter(|one| vg.lv(&one.store).is_some_and(|store| is_unconfirmed(store)));
        let taken_back =
            unconfirmed.filter(|one| self.is_live(&one.origin, found) && !self.has_begun(&one.origin, found));
        let taken_back = taken_back.map(|one| one.store.clone()).collect();
        let unconfirmed = fills(vg).filter(|fill| fill.is_rollback() && is_unconfirmed(fill.map));
        let abandoned = unconfirmed.filter(|rollback| {
            self.is_live(&rollback.volume.name, found) && !self.is_led_to_clone(rollback, found)
        });
        let abandoned = abandoned.collect();
        Ok(Fates { vg, merged: self.merged()?, taken_back, full: self.full()?, abandoned })
    }

    fn merging(&self) -> impl Iterator<Item = &Snapshot> {
        self.vg().snapshots().iter().filter(|snapshot| snapshot.merging)
    }

    fn merged(&self) -> Result<BTreeSet<LvName>> {
        let mut merged = BTreeSet::new();
        for snapshot in self.merging() {
            if self.is_merged(snapshot)? {
                merged.insert(snapshot.store.clone());
            }
        }
        Ok(merged)
    }

    /// True if the origin's live table merges this snapshot and its store is empty: there is no event that says so (Linux 6.1).
    fn is_merged(&self, snapshot: &Snapshot) -> Result<bool> {
        let vg = self.vg();
        let (origin, store) = (vg.find_lv(&snapshot.origin)?, vg.find_lv(&snapshot.store)?);
        let find = |lv: &Lv, layer| self.kernel().find(&self.naming().uuid(&lv.id, layer));
        let (Some(origin), Some(cow)) = (find(origin, Layer::Top)?, find(store, Layer::Cow)?) else {
            return Ok(false);
        };
        // The status of a suspended device would wait for its store.
        if !origin.live || origin.suspended {
            return Ok(false);
        }
        let table = self.kernel().table(&origin.name, Slot::Live);
        let told = table.and_then(|table| Ok((table, self.kernel().status(&origin.name)?)));
        let (table, status) = match told {
            Err(error) if error.kind() == Kind::NotFound => return Ok(false),
            told => told?,
        };
        let merges = table
            .0
            .iter()
            .any(|line| matches!(line.target, Target::Merge { cow: merged, .. } if merged == cow.number));
        Ok(merges && status.first().is_some_and(Status::is_merged))
    }

    /// True if a volume has a live table.
    fn is_live(&self, name: &LvName, found: &FoundTree) -> bool {
        let top = self.vg().lv(name).map(|lv| self.naming().uuid(&lv.id, Layer::Top));
        top.and_then(|uuid| found.nodes.get(&uuid)).is_some_and(|node| node.info.live)
    }

    /// True if a volume's live table merges a snapshot into it: nothing leads back from there.
    pub(super) fn has_begun(&self, origin: &LvName, found: &FoundTree) -> bool {
        let top = self.vg().lv(origin).map(|lv| self.naming().uuid(&lv.id, Layer::Top));
        let node = top.and_then(|uuid| found.nodes.get(&uuid));
        node.is_some_and(|node| node.table.0.iter().any(|line| matches!(line.target, Target::Merge { .. })))
    }
}

impl Fates<'_> {
    /// True for a volume that recovery takes away. One that lvm2 has put to use meanwhile is somebody's, and stays: with a snapshot,
    /// as a snapshot, or as none.
    pub(super) fn goes(&self, lv: &Lv) -> bool {
        if self.merged.contains(&lv.name) {
            return true;
        }
        let snapshot = self.vg.snapshot_of_store(&lv.name);
        let is_what_it_was = match Mark::of(lv) {
            Some(Mark::Pending | Mark::Deleting) => snapshot.is_none(),
            Some(Mark::PendingSnapshot) => {
                Bond::joining(lv).is_none()
                    && !outlives_rollback(self.vg, lv)
                    && snapshot.is_some_and(|one| !one.merging && !self.is_rolled_back(&one.origin))
            }
            Some(Mark::Changing | Mark::RollingBack) | None => self.is_spent(lv),
        };
        let mut stores = self.vg.snapshots_of(&lv.name).filter_map(|snapshot| self.vg.lv(&snapshot.store));
        is_what_it_was && stores.all(|store| self.goes(store))
    }

    /// True for what only helped to fill a volume that is full.
    fn is_spent(&self, lv: &Lv) -> bool {
        match self.vg.snapshot_of_store(&lv.name) {
            Some(snapshot) => !snapshot.merging && is_idle_source(self.vg, lv),
            None => is_idle_map(self.vg, lv) || self.over().any(|fill| fill.map.id == lv.id),
        }
    }

    fn over(&self) -> impl Iterator<Item = &Fill<'_>> {
        self.full.iter().chain(&self.abandoned)
    }

    /// The fills of these volumes that are over, or taken back.
    pub(super) fn ended<'l>(&self, lvs: impl Iterator<Item = &'l Lv>) -> impl Iterator<Item = &Fill<'_>> {
        let ids: BTreeSet<_> = lvs.map(|lv| lv.id).collect();
        self.over().filter(move |fill| ids.contains(&fill.volume.id))
    }

    /// Those of these volumes that the kernel has filled.
    pub(super) fn filled<'l>(&self, lvs: impl Iterator<Item = &'l Lv>) -> Vec<LvName> {
        let ids: BTreeSet<_> = lvs.map(|lv| lv.id).collect();
        let full = self.full.iter().map(|fill| fill.volume).filter(|volume| ids.contains(&volume.id));
        full.map(|volume| volume.name.clone()).collect()
    }

    /// True if a rollback of this volume that nobody was told of stands.
    fn is_rolled_back(&self, origin: &LvName) -> bool {
        let is_filled = rollback_of(self.vg, origin).is_some_and(|rollback| {
            is_unconfirmed(rollback.map) && !self.abandoned.iter().any(|one| one.map.id == rollback.map.id)
        });
        is_filled
            || self.vg.snapshots_of(origin).any(|snapshot| {
                let is_begun = self.vg.lv(&snapshot.store).is_some_and(|store| is_unconfirmed(store));
                snapshot.merging && is_begun && !self.taken_back.contains(&snapshot.store)
            })
    }

    /// The edits that take rollbacks of these volumes back.
    pub(super) fn take_back<'l>(&self, lvs: impl Iterator<Item = &'l LvName>) -> Vec<Edit> {
        let taken_back = lvs.filter(|name| self.taken_back.contains(*name));
        taken_back.map(|store| Edit::SetMerging { store: store.clone(), merging: false }).collect()
    }
}

/// True for the snapshot that is merged by a rollback, or the map of one, that nobody was told of.
fn is_unconfirmed(lv: &Lv) -> bool {
    Mark::of(lv) == Some(Mark::RollingBack)
}
