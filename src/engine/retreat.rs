//! What a failed operation goes back to: it has not happened.
//!
//! The kernel goes back first and the metadata after it ([`super::round`]): no extent may be free that a live table maps, and what
//! dies between is found by its mark. Three things cannot be undone, and stay done: an origin went on without a snapshot, a volume or a
//! store was larger for a moment, in which somebody may have used its end, and an origin was rolled back. A change of which all that was
//! asked for is done so, and every rollback, is gone on with, and has happened.

use std::collections::BTreeSet;

use super::fill::{self, fills, readers};
use super::naming::Layer;
use super::operation::Change;
use super::plan::Plan;
use super::session::{Session, roots_in};
use super::tree::FoundTree;
use crate::error::Result;
use crate::lvm::{Edit, Lv, LvName, Snapshot, Uuid, Vg};

/// The way back from a failed plan, or on.
pub(super) struct Retreat {
    /// Brings the kernel back to what it was.
    pub(super) plan: Plan,
    /// The edits that make the metadata of then what is true now.
    pub(super) lasting: Vec<Edit>,
    /// True if the plan goes on instead, and the change is done when it is carried out.
    pub(super) goes_on: bool,
}

impl Session<'_> {
    /// After a failed plan: the way back to what was `before`, with those volumes active that were.
    pub(super) fn retreat(&self, change: &Change, before: &Vg, active: &BTreeSet<Uuid>) -> Result<Retreat> {
        let found = self.found(before, &change.touched)?;
        let done = self.done_for_good(before, &found);
        let whole: Vec<_> = change.intent.iter().chain(&change.confirm).cloned().collect();
        let goes_on = self.has_rolled_back(before, &found) || is_all(before, change, &done, &whole)?;
        let lasting = if goes_on { whole } else { done };
        let old = before.apply(&lasting)?;
        let plan = self.plan_for(&old, &found, &roots_in(&old, active))?;
        Ok(Retreat { plan, lasting, goes_on })
    }

    /// The edits that no way leads back from.
    fn done_for_good(&self, before: &Vg, found: &FoundTree) -> Vec<Edit> {
        let intended = self.vg();
        let mut edits = Vec::new();
        for store in self.lost(before, found) {
            // What was filled from it was on its way out as well.
            let filled = readers(before, &store).flat_map(|fill| [fill.volume, fill.map]);
            edits.extend(filled.flat_map(fill::removal));
            edits.push(Edit::DetachSnapshot { store: store.clone() });
            edits.push(Edit::RemoveLv { lv: store });
        }
        let grown = before.lvs.iter().filter_map(|lv| Some((lv, intended.lv(&lv.name)?)));
        let grown =
            grown.filter(|(lv, now)| now.extents() > lv.extents() && self.is_longer(before, lv, found));
        edits.extend(
            grown
                .map(|(lv, now)| Edit::SetLvSegments { lv: lv.name.clone(), segments: now.segments.clone() }),
        );
        edits
    }

    /// True if an origin shows a snapshot's content that it did not show before: what it held is in its new snapshot, if anywhere.
    fn has_rolled_back(&self, before: &Vg, found: &FoundTree) -> bool {
        let was_merging =
            |one: &Snapshot| before.snapshot_of_store(&one.store).is_some_and(|old| old.merging);
        let mut begun = self.vg().snapshots().iter().filter(|one| one.merging && !was_merging(one));
        let mut rollbacks =
            fills(self.vg()).filter(|fill| fill.is_rollback() && before.lv(&fill.map.name).is_none());
        begun.any(|one| self.has_begun(&one.origin, found))
            || rollbacks.any(|rollback| self.is_led_to_clone(&rollback, found))
    }

    /// The snapshots on their way out whose origins went on without them.
    fn lost(&self, before: &Vg, found: &FoundTree) -> Vec<LvName> {
        let naming = self.naming();
        let is_live = |name: &LvName| {
            let top = before.lv(name).map(|lv| naming.uuid(&lv.id, Layer::Top));
            top.and_then(|uuid| found.nodes.get(&uuid)).is_some_and(|node| node.info.live)
        };
        let leaving = before.snapshots().iter().filter(|snapshot| {
            self.vg().lv(&snapshot.store).is_some() && self.vg().snapshot_of_store(&snapshot.store).is_none()
        });
        let lost = leaving.filter(|snapshot| !is_live(&snapshot.store) && is_live(&snapshot.origin));
        lost.map(|snapshot| snapshot.store.clone()).collect()
    }

    /// True if the volume, as somebody or as the kernel writes to it, is longer than it was. A `-real` layer may be: nobody sees it.
    fn is_longer(&self, before: &Vg, lv: &Lv, found: &FoundTree) -> bool {
        let size = lv.extents().sectors(before.extent_size);
        let uuids = [Layer::Top, Layer::Cow].map(|layer| self.naming().uuid(&lv.id, layer));
        let mut nodes = uuids.iter().filter_map(|uuid| found.nodes.get(uuid));
        nodes.any(|node| node.table.0.last().is_some_and(|line| line.start + line.length > size))
    }
}

/// True if what is done for good is the `whole` of a change. A file system that was to grow with its volume may not have.
fn is_all(before: &Vg, change: &Change, done: &[Edit], whole: &[Edit]) -> Result<bool> {
    let may_be = !done.is_empty() && change.grow_fs.is_empty();
    Ok(may_be && before.apply(done)?.lvs == before.apply(whole)?.lvs)
}
