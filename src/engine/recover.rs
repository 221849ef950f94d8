//! Takes away what a dead process left, by the same road as everything else.
//!
//! Nobody was told that a volume marked pending exists, and a volume marked deleting is as good as gone. Both go: a pending
//! snapshot is detached from its origin, which goes on as if the snapshot had never been, and its extents become free when the
//! kernel has let go of them.

use std::time::Instant;

use super::execute::{Executed, execute};
use super::mark::{Mark, changing, group_changing, is_unfinished};
use super::naming::Layer;
use super::operation::{Mode, Session};
use super::plan::Plan;
use super::tree::FoundTree;
use super::{Engine, Report};
use crate::error::Result;
use crate::lvm::{Edit, Lv, LvName, Vg, VgName};

/// What takes away everything unfinished, and brings the kernel to what the metadata then says.
pub(super) struct Recovery {
    intent: Vec<Edit>,
    plan: Plan,
    confirm: Vec<Edit>,
}

impl Recovery {
    fn lines(&self) -> Vec<String> {
        let edit = |edit: &Edit| format!("  metadata: {edit}");
        self.intent.iter().map(edit).chain(self.plan.lines()).chain(self.confirm.iter().map(edit)).collect()
    }
}

impl Session<'_> {
    /// Finishes or undoes what other processes began; says what it did, or would do in a dry run.
    pub(super) fn recover(&mut self, mode: Mode) -> Result<Vec<String>> {
        if !is_unfinished(self.vg()) {
            return Ok(Vec::new());
        }
        let recovery = self.difference()?;
        if !mode.dry_run {
            self.restore_order(&recovery)?;
        }
        Ok(recovery.lines())
    }

    /// Everything that differs between metadata and kernel, in the whole group.
    fn difference(&self) -> Result<Recovery> {
        let vg = self.vg();
        let all = || vg.lvs.iter().map(AsRef::as_ref);
        let naming = self.naming();
        let mut found = FoundTree::read_all(self.kernel(), &naming.uuid_prefix(), &self.expected(all()))?;
        // One that is to go and that somebody has open stays, with its devices, until nobody has.
        let goes = |lv: &&Lv| matches!(Mark::of(lv), Some(Mark::Pending | Mark::Deleting));
        let is_used = |lv: &&Lv| found.users(&naming.uuid(&lv.id, Layer::Top)) > 0;
        let (used, gone): (Vec<_>, Vec<_>) = all().filter(goes).partition(is_used);
        let kept = used.iter().filter(|lv| Mark::of(lv) == Some(Mark::Deleting));
        let kept: Vec<_> = kept.flat_map(|lv| naming.expected(lv)).map(|device| device.uuid).collect();
        found.nodes.retain(|uuid, _| !kept.contains(uuid));
        let names: Vec<_> = gone.iter().map(|lv| lv.name.clone()).collect();
        let intent: Vec<_> = names.iter().flat_map(|name| release(vg, name)).collect();
        let plan = self.plan_for(&vg.apply(&intent)?, &found, &self.active_roots(&found, all()))?;
        let changed = all().filter(|lv| Mark::of(lv) == Some(Mark::Changing)).map(|lv| changing(&lv.name).1);
        let renamed = vg.tags.contains(&Mark::Changing.tag()).then(|| group_changing().1);
        let gone = names.into_iter().map(|lv| Edit::RemoveLv { lv });
        let confirm = gone.chain(changed).chain(renamed).collect();
        Ok(Recovery { intent, plan, confirm })
    }

    fn restore_order(&mut self, recovery: &Recovery) -> Result<Executed> {
        self.commit(&recovery.intent, "recover")?;
        let executed = execute(&recovery.plan, self.kernel(), self.engine.world.devices.as_ref())?;
        self.commit(&recovery.confirm, "recover")?;
        Ok(executed)
    }
}

/// The edits that make a volume one that can be removed: no snapshot any more, and marked so.
pub(super) fn release(vg: &Vg, name: &LvName) -> Vec<Edit> {
    let mark = vg.lv(name).and_then(|lv| Mark::of(lv));
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

impl Engine {
    /// What differs between a volume group's metadata and the kernel, as lines of a plan. Changes nothing.
    pub fn check(&self, vg: &VgName, mode: Mode) -> Result<Vec<String>> {
        Ok(self.session(vg, mode)?.difference()?.lines())
    }

    /// Carries out what [`Engine::check`] shows.
    pub fn repair(&self, vg: &VgName, mode: Mode) -> Result<Report<()>> {
        let began = Instant::now();
        let mut session = self.session(vg, mode)?;
        let recovery = session.difference()?;
        let executed = if mode.dry_run { Executed::default() } else { session.restore_order(&recovery)? };
        Ok(Report {
            elapsed: began.elapsed(),
            frozen: executed.frozen.iter().map(|(_, time)| *time).max(),
            planned: Some(recovery.lines()),
            ..Report::default()
        })
    }
}
