//! Bringing volumes up and taking them down. No metadata changes: the kernel is all there is to converge.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use super::Engine;
use super::converge::check_tracked;
use super::desired::families;
use super::fill::{built_here, fills, is_skipped, rollback_of, root_of};
use super::operation::{Change, Mode, Report};
use super::session::{Session, roots_in};
use super::view::VolumeView;
use super::volume::in_words;
use crate::error::Result;
use crate::lvm::{Lv, LvName, Role, Snapshot, Vg, VgName};

impl Engine {
    /// Activates volumes with their snapshots; none named: all of the group that dmsnap can build. Those that cannot be activated
    /// then keep no other down, and are the error when all else is done.
    pub fn activate(&self, vg: &VgName, names: &[LvName], mode: Mode) -> Result<Report<VolumeView>> {
        let views = |session: &Session<'_>| {
            session.refuse_resting(&session.activation(names)?.touched)?;
            session.root_views(names)
        };
        self.converged(vg, names, mode, "activate", |session| session.activation(names), views)
    }

    /// Deactivates volumes with their snapshots; none named: all of the group.
    pub fn deactivate(&self, vg: &VgName, names: &[LvName], mode: Mode) -> Result<Report<VolumeView>> {
        let views = |session: &Session<'_>| session.root_views(names);
        self.converged(vg, names, mode, "deactivate", |session| session.deactivation(names), views)
    }

    fn converged(
        &self,
        vg: &VgName,
        names: &[LvName],
        mode: Mode,
        verb: &str,
        change: impl FnOnce(&Session<'_>) -> Result<Change>,
        views: impl FnOnce(&Session<'_>) -> Result<Vec<VolumeView>>,
    ) -> Result<Report<VolumeView>> {
        let began = Instant::now();
        let session = self.activation_session(vg, mode);
        let report = session.and_then(|session| session.operate(began, mode, verb, change, views));
        report.map_err(|error| error.doing(format!("{verb} {}", subject(vg, names))))
    }
}

fn subject(vg: &VgName, names: &[LvName]) -> String {
    if names.is_empty() { vg.to_string() } else { in_words(vg, names) }
}

/// LVM2 lets the store of such a merge be removed meanwhile, and the volume is then neither what it was nor what it should be.
fn rests(vg: &Vg, snapshot: &Snapshot) -> String {
    format!(
        "the merge of {group}/{} into {group}/{} goes on at the next activation: until then neither may be removed",
        snapshot.store,
        snapshot.origin,
        group = vg.name
    )
}

impl Session<'_> {
    /// The volumes that these names stand for; none named: all of the group.
    fn root_views(&self, names: &[LvName]) -> Result<Vec<VolumeView>> {
        let roots: Vec<_> = names.iter().map(|name| root_of(self.vg(), name)).collect();
        self.volume_views_of(&roots)
    }

    fn activation(&self, names: &[LvName]) -> Result<Change> {
        let mut change = Change { apart: names.is_empty(), ..Change::default() };
        let roots = if names.is_empty() { self.all(&mut change.notes) } else { self.roots(names)? };
        change.touched.clone_from(&roots);
        change.activate = roots;
        Ok(change)
    }

    fn deactivation(&self, names: &[LvName]) -> Result<Change> {
        let vg = self.vg();
        let all = || built_here(vg).map(|lv| root_of(vg, &lv.name)).collect();
        let roots = if names.is_empty() { all() } else { self.roots(names)? };
        let fills: Vec<_> = fills(vg).collect();
        for root in &roots {
            let stores = vg.snapshots_of(root).map(|snapshot| &snapshot.store);
            let filling = fills.iter().filter(|fill| fill.source.origin == *root);
            let all = filling.map(|fill| &fill.volume.name).chain(stores).chain([root]);
            all.into_iter().try_for_each(|name| self.refuse_in_use(vg.find_lv(name)?))?;
        }
        self.refuse_untracked(&roots)?;
        let merges = roots.iter().flat_map(|root| vg.snapshots_of(root)).filter(|snapshot| snapshot.merging);
        let rollbacks = roots.iter().filter_map(|root| rollback_of(vg, root)).map(|rollback| {
            let (origin, store) = (&rollback.volume.name, &rollback.source.store);
            format!(
                "the rollback of {}/{origin} to {}/{store} goes on at the next activation",
                vg.name, vg.name
            )
        });
        let notes = merges.map(|snapshot| rests(vg, snapshot)).chain(rollbacks).collect();
        Ok(Change { touched: roots.clone(), deactivate: roots, notes, ..Change::default() })
    }

    /// An error if a volume runs without one of its snapshots: nothing else tells that what was written meanwhile is lost to it, and
    /// activated again the two would look sound.
    fn refuse_untracked(&self, roots: &BTreeSet<LvName>) -> Result<()> {
        let vg = self.vg();
        let found = self.found(vg, roots)?;
        let members = families(vg, roots);
        let running = roots_in(vg, &self.active(&found, members.into_values()));
        // What cannot be built is not activated again before that is mended.
        self.wanted(vg, &found, &running, &BTreeSet::new())
            .map_or(Ok(()), |wanted| check_tracked(&found, &wanted))
    }

    /// The volumes that decide whether these are active.
    fn roots(&self, names: &[LvName]) -> Result<BTreeSet<LvName>> {
        let vg = self.vg();
        let mut roots = BTreeSet::new();
        for name in names {
            self.named(name)?;
            let root = root_of(vg, name);
            self.named(&root)?;
            roots.insert(root);
        }
        Ok(roots)
    }

    /// Every volume that can be active; notes name the others that people see.
    pub(super) fn all(&self, notes: &mut Vec<String>) -> BTreeSet<LvName> {
        let vg = self.vg();
        let mut roots = BTreeSet::new();
        let is_root = |lv: &&Arc<Lv>| {
            matches!(vg.role(&lv.name), Some(Role::Plain | Role::Origin)) && root_of(vg, &lv.name) == lv.name
        };
        for lv in vg.lvs.iter().filter(is_root).filter(|lv| vg.visible(&lv.name)) {
            let left = |why: &str| format!("{}/{} is left alone: {why}", vg.name, lv.name);
            match vg.foreign_kind(lv) {
                Some(kind) => notes.push(left(&format!("it is {kind}"))),
                // What lvm2's `lvchange -ky` sets.
                None if is_skipped(vg, lv) => {
                    notes.push(left("it is to be activated only when it is named"));
                }
                None => {
                    roots.insert(lv.name.clone());
                }
            }
        }
        roots
    }
}
