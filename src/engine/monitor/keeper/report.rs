//! What a keeper tells: the board for whoever asks this process, and files for those who only pass by.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Keeper, Watched};
use crate::engine::list::GroupSeen;
use crate::engine::monitor::board::Figures;
use crate::engine::monitor::foresight::{Foresight, RENEWED};
use crate::engine::view::SnapshotView;

impl Keeper<'_> {
    /// Leaves word of what will be full when.
    pub(super) fn foretell(&mut self, now: Duration) {
        let Some(directory) = &self.engine.foresight else { return };
        if self.foretold.is_some_and(|when| now.saturating_sub(when) < RENEWED) {
            return;
        }
        let left = |store: &Watched| Some((store.uuid.clone(), store.gauge.until_full(now)?.as_secs()));
        let foresight = Foresight::new(self.engine.seconds(), self.stores.iter().filter_map(left));
        if foresight.is_empty() && !self.is_foretelling {
            return;
        }
        (self.foretold, self.is_foretelling) = (Some(now), !foresight.is_empty());
        self.complaints.hear("what is foreseen", foresight.write(directory, self.vg.as_str()));
    }

    /// After all of the group was seen.
    pub(super) fn publish_all(&self, group: &GroupSeen) {
        let stores: BTreeMap<_, _> = self.stores.iter().map(|store| (&store.uuid, store)).collect();
        let figures = |view: &SnapshotView| {
            let store = stores.get(&view.uuid);
            let gauge = store.map(|store| store.gauge.clone());
            let short = store.and_then(|store| store.short);
            (view.uuid.clone(), Figures { view: view.clone(), gauge, short })
        };
        let snapshots = group.snapshots.iter().map(figures).collect();
        self.board.note(&self.vg, |known| {
            (known.size, known.free, known.snapshots) = (group.size, self.free, snapshots);
            known.filling.clone_from(&group.filling);
        });
    }

    /// After so many stores have grown, and others should have.
    pub(super) fn publish(&self, grown: u64, took: Option<Duration>) {
        self.board.note(&self.vg, |known| {
            known.free = self.free;
            known.extensions += grown;
            known.extension = took.or(known.extension);
            for store in &self.stores {
                if let Some(figures) = known.snapshots.get_mut(&store.uuid) {
                    known.failures += u64::from(store.short.is_some() && figures.short.is_none());
                    figures.short = store.short;
                    figures.gauge = Some(store.gauge.clone());
                }
            }
        });
    }
}
