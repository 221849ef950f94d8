//! Bringing volumes up and taking them down. No metadata changes: the kernel is all there is to converge.

use std::collections::BTreeSet;

use super::operation::{Change, Mode, Report, Session};
use super::view::VolumeView;
use super::volume::{in_words, is_hidden};
use super::{Engine, desired::root_of, list, mark::Mark};
use crate::error::{Error, Kind, Result};
use crate::lvm::{LvName, Role, SegmentKind, VgName};

impl Engine {
    /// Activates volumes with their snapshots; none named: all of the group that dmsnap can build.
    pub fn activate(&self, vg: &VgName, names: &[LvName], mode: Mode) -> Result<Report<VolumeView>> {
        let report = self.run(
            vg,
            mode,
            "activate",
            |session| session.activation(names),
            |session| session.volume_views(),
        );
        report.map_err(|error| error.doing(format!("activate {}", subject(vg, names))))
    }

    /// Deactivates volumes with their snapshots; none named: all of the group.
    pub fn deactivate(&self, vg: &VgName, names: &[LvName], mode: Mode) -> Result<Report<VolumeView>> {
        let report = self.run(
            vg,
            mode,
            "deactivate",
            |session| session.deactivation(names),
            |session| session.volume_views(),
        );
        report.map_err(|error| error.doing(format!("deactivate {}", subject(vg, names))))
    }
}

fn subject(vg: &VgName, names: &[LvName]) -> String {
    if names.is_empty() { vg.to_string() } else { in_words(vg, names) }
}

impl Session<'_> {
    fn activation(&self, names: &[LvName]) -> Result<Change> {
        let mut change = Change::default();
        let roots = if names.is_empty() { self.buildable(&mut change.notes) } else { self.roots(names)? };
        change.touched.clone_from(&roots);
        change.activate = roots;
        Ok(change)
    }

    fn deactivation(&self, names: &[LvName]) -> Result<Change> {
        let vg = self.vg();
        if let Some(snapshot) = names.iter().find_map(|name| vg.snapshot_of_store(name)) {
            let cause = format!(
                "{}/{} is a snapshot: it is active as long as {}",
                vg.name, snapshot.store, snapshot.origin
            );
            return Err(Error::new(Kind::Usage, cause).hint("deactivate the volume that it was taken of"));
        }
        let roots = if names.is_empty() { self.buildable(&mut Vec::new()) } else { self.roots(names)? };
        for root in &roots {
            self.refuse_in_use(root)?;
        }
        Ok(Change { touched: roots.clone(), deactivate: roots, ..Change::default() })
    }

    fn refuse_in_use(&self, root: &LvName) -> Result<()> {
        let vg = self.vg();
        let stores = vg.snapshots_of(root).map(|snapshot| &snapshot.store);
        for name in stores.chain([root]) {
            if let Some(holders) = self.holders(vg.find_lv(name)?)? {
                return Err(Error::new(Kind::InUse, format!("{}/{name} is in use: {holders}", vg.name))
                    .hint("unmount or close it first"));
            }
        }
        Ok(())
    }

    fn roots(&self, names: &[LvName]) -> Result<BTreeSet<LvName>> {
        let vg = self.vg();
        let mut roots = BTreeSet::new();
        for name in names {
            vg.find_lv(name)?;
            if matches!(vg.role(name), Some(Role::Hidden) | None) {
                return Err(is_hidden(vg, name));
            }
            roots.insert(root_of(vg, name));
        }
        Ok(roots)
    }

    /// Every volume that is its own root and has only segments that dmsnap builds; notes name the others.
    fn buildable(&self, notes: &mut Vec<String>) -> BTreeSet<LvName> {
        let vg = self.vg();
        let mut roots = BTreeSet::new();
        for lv in &vg.lvs {
            let is_root = matches!(vg.role(&lv.name), Some(Role::Plain | Role::Origin));
            if !is_root || !vg.visible(&lv.name) || Mark::of(lv) == Some(Mark::Deleting) {
                continue;
            }
            match list::foreign_type(lv) {
                None => {
                    roots.insert(lv.name.clone());
                }
                Some(kind) => notes.push(format!("{}/{} is left alone: it is {kind}", vg.name, lv.name)),
            }
        }
        roots
    }
}

/// True for a segment that dmsnap can build by itself.
pub(super) fn is_built_here(kind: &SegmentKind) -> bool {
    matches!(kind, SegmentKind::Striped { areas, .. } if areas.iter().all(|a| matches!(a, crate::lvm::Area::Pv { .. })))
}
