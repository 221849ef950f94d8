//! Bringing volumes up and taking them down. No metadata changes: the kernel is all there is to converge.

use std::collections::BTreeSet;
use std::time::Instant;

use super::operation::{Change, Mode, Report};
use super::session::Session;
use super::view::VolumeView;
use super::volume::{in_words, is_hidden};
use super::{Engine, mark::Mark};
use crate::error::{Error, Kind, Result};
use crate::lvm::{LvFlag, LvName, Role, VgName};

impl Engine {
    /// Activates volumes with their snapshots; none named: all of the group that dmsnap can build.
    pub fn activate(&self, vg: &VgName, names: &[LvName], mode: Mode) -> Result<Report<VolumeView>> {
        let change = |session: &Session<'_>| session.activation(names);
        let began = Instant::now();
        let session = self.activation_session(vg, mode);
        let views = |session: &Session<'_>| session.root_views(names);
        let report = session.and_then(|session| session.operate(began, mode, "activate", change, views));
        report.map_err(|error| error.doing(format!("activate {}", subject(vg, names))))
    }

    /// Deactivates volumes with their snapshots; none named: all of the group.
    pub fn deactivate(&self, vg: &VgName, names: &[LvName], mode: Mode) -> Result<Report<VolumeView>> {
        let change = |session: &Session<'_>| session.deactivation(names);
        let began = Instant::now();
        let session = self.activation_session(vg, mode);
        let views = |session: &Session<'_>| session.root_views(names);
        let report = session.and_then(|session| session.operate(began, mode, "deactivate", change, views));
        report.map_err(|error| error.doing(format!("deactivate {}", subject(vg, names))))
    }
}

fn subject(vg: &VgName, names: &[LvName]) -> String {
    if names.is_empty() { vg.to_string() } else { in_words(vg, names) }
}

impl Session<'_> {
    /// The volumes that these names stand for; none named: all of the group.
    fn root_views(&self, names: &[LvName]) -> Result<Vec<VolumeView>> {
        let roots: Vec<_> = names.iter().map(|name| self.vg().root_of(name)).collect();
        self.volume_views_of(&roots)
    }

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
            roots.insert(vg.root_of(name));
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
            let left = |why: &str| format!("{}/{} is left alone: {why}", vg.name, lv.name);
            match lv.foreign_layout() {
                Some(kind) => notes.push(left(&format!("it is {kind}"))),
                // What lvm2's `lvchange -ky` sets.
                None if lv.flags.has(LvFlag::ActivationSkip.word()) => {
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
