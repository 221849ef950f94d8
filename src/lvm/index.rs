//! Finds volumes by name and snapshots by their parts, however many there are.

use std::collections::HashMap;
use std::sync::Arc;

use super::model::{Lv, SegmentKind, Snapshot};
use super::name::LvName;

/// Finds volumes by name and snapshots by their parts.
#[derive(Debug, Clone, Default)]
pub(super) struct Index {
    pub(super) lvs: HashMap<LvName, usize>,
    pub(super) snapshots: Vec<Snapshot>,
    pub(super) by_store: HashMap<LvName, usize>,
    pub(super) by_origin: HashMap<LvName, Vec<usize>>,
}

impl Index {
    /// Finds the snapshots among the volumes.
    pub(super) fn relate(&mut self, lvs: &[Arc<Lv>]) {
        self.snapshots.clear();
        self.by_store.clear();
        self.by_origin.clear();
        for lv in lvs {
            self.add_snapshots(lv);
        }
    }

    /// Takes in what a further volume, behind all others, says.
    pub(super) fn add_snapshots(&mut self, lv: &Lv) {
        crate::work::step();
        for segment in &lv.segments {
            if let SegmentKind::Snapshot { chunk_size, origin, store, merging } = &segment.kind {
                let place = self.snapshots.len();
                self.by_origin.entry(origin.clone()).or_default().push(place);
                self.by_store.entry(store.clone()).or_insert(place);
                self.snapshots.push(Snapshot {
                    hidden: lv.name.clone(),
                    store: store.clone(),
                    origin: origin.clone(),
                    chunk_size: *chunk_size,
                    length: segment.length,
                    merging: *merging,
                });
            }
        }
    }
}
