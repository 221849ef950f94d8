//! Takes away what a dead process left, by the same road as everything else.
//!
//! Nobody was told that a volume marked pending exists, and a volume marked deleting is as good as gone. Both go: a pending
//! snapshot is detached from its origin, which goes on as if the snapshot had never been, and its extents become free when the
//! kernel has let go of them.

use std::collections::BTreeSet;

use super::converge::converge;
use super::desired::{Activation, desired};
use super::execute::execute;
use super::mark::Mark;
use super::operation::{Mode, Session};
use super::plan::Plan;
use super::tree::FoundTree;
use super::{Engine, Report};
use crate::error::Result;
use crate::lvm::{Edit, Lv, LvName, Vg, VgName};

impl Session<'_> {
    /// Finishes or undoes what other processes began; says what it did, or would do in a dry run.
    pub(super) fn recover(&mut self, mode: Mode) -> Result<Vec<String>> {
        let found = || FoundTree::read_all(self.kernel(), &self.naming().uuid_prefix(), &self.expected(self.vg().lvs.iter()));
        if self.unfinished(&FoundTree::default())?.is_empty() {
            return Ok(Vec::new());
        }
        let found = found()?;
        let names = self.unfinished(&found)?;
        if names.is_empty() {
            return Ok(Vec::new());
        }
        let (intent, plan, confirm) = self.removal(&found, &names)?;
        if mode.dry_run {
            return Ok(lines(&intent, &plan, &confirm));
        }
        self.commit(&intent, "recover")?;
        execute(&plan, self.kernel(), self.engine.world.devices.as_ref())?;
        self.commit(&confirm, "recover")?;
        Ok(lines(&intent, &plan, &confirm))
    }

    /// Marked volumes that nobody has open: one that is in use stays until it is not.
    fn unfinished(&self, found: &FoundTree) -> Result<Vec<LvName>> {
        let naming = self.naming();
        let is_free = |lv: &&Lv| found.users(&naming.uuid(&lv.id, super::naming::Layer::Top)) == 0;
        let marked = self.vg().lvs.iter().filter(|lv| Mark::of(lv).is_some()).filter(is_free);
        Ok(marked.map(|lv| lv.name.clone()).collect())
    }

    fn removal(&self, found: &FoundTree, names: &[LvName]) -> Result<(Vec<Edit>, Plan, Vec<Edit>)> {
        let vg = self.vg();
        let intent = names.iter().flat_map(|name| release(vg, name)).collect::<Vec<_>>();
        let intended = vg.apply(&intent)?;
        let roots = self.active_roots(found, vg.lvs.iter());
        let plan = self.plan_for(&intended, found, &roots)?;
        let confirm = names.iter().map(|name| Edit::RemoveLv { lv: name.clone() }).collect();
        Ok((intent, plan, confirm))
    }

    /// What `check` shows and `repair` carries out: everything that differs between metadata and kernel.
    pub(super) fn difference(&self) -> Result<(Vec<Edit>, Plan, Vec<Edit>)> {
        let found =
            FoundTree::read_all(self.kernel(), &self.naming().uuid_prefix(), &self.expected(self.vg().lvs.iter()))?;
        let names = self.unfinished(&found)?;
        self.removal(&found, &names)
    }
}

/// The edits that make a volume one that can be removed: no snapshot any more, and marked so.
pub(super) fn release(vg: &Vg, name: &LvName) -> Vec<Edit> {
    let mark = vg.lv(name).and_then(Mark::of);
    let mut edits = Vec::new();
    if vg.snapshot_of_store(name).is_some() {
        edits.push(Edit::DetachSnapshot { store: name.clone() });
    }
    if mark == Some(Mark::Pending) {
        edits.push(Edit::RemoveLvTag { lv: name.clone(), tag: Mark::Pending.tag() });
    }
    if mark != Some(Mark::Deleting) {
        edits.push(Edit::AddLvTag { lv: name.clone(), tag: Mark::Deleting.tag() });
    }
    edits
}

fn lines(intent: &[Edit], plan: &Plan, confirm: &[Edit]) -> Vec<String> {
    let edit = |edit: &Edit| format!("  metadata: {edit}");
    intent.iter().map(edit).chain(plan.lines()).chain(confirm.iter().map(edit)).collect()
}

impl Engine {
    /// What differs between a volume group's metadata and the kernel, as lines of a plan. Changes nothing.
    pub fn check(&self, vg: &VgName, mode: Mode) -> Result<Vec<String>> {
        let session = self.session(vg, mode)?;
        let (intent, plan, confirm) = session.difference()?;
        Ok(lines(&intent, &plan, &confirm))
    }

    /// Carries out what [`Engine::check`] shows.
    pub fn repair(&self, vg: &VgName, mode: Mode) -> Result<Report<()>> {
        let began = std::time::Instant::now();
        let mut session = self.session(vg, mode)?;
        let (intent, plan, confirm) = session.difference()?;
        let planned = lines(&intent, &plan, &confirm);
        let mut frozen = None;
        if !mode.dry_run {
            session.commit(&intent, "repair")?;
            let executed = execute(&plan, session.kernel(), self.world.devices.as_ref())?;
            frozen = executed.frozen.iter().map(|(_, time)| *time).max();
            session.commit(&confirm, "repair")?;
        }
        Ok(Report { objects: Vec::new(), elapsed: began.elapsed(), frozen, planned: Some(planned), notes: Vec::new() })
    }
}
