//! Takes away what a dead process left, by the same road as everything else.
//!
//! Nobody was told that a volume marked pending exists, and a volume marked deleting is as good as gone. Both go: a pending
//! snapshot is detached from its origin, which goes on as if the snapshot had never been, and its extents become free when the
//! kernel has let go of them. A family for which no plan can be made stays as it is, in the kernel and in the metadata.

use std::collections::BTreeMap;
use std::time::Instant;

use serde::Serialize;

use super::desired::families;
use super::execute::{Executed, execute};
use super::mark::{Mark, group_changing, is_unfinished};
use super::naming::Layer;
use super::operation::Mode;
use super::outline::Entry;
use super::plan::Plan;
use super::session::{Session, roots_in};
use super::tree::FoundTree;
use super::{Engine, Report};
use crate::error::{Error, Kind, Result};
use crate::lvm::{Edit, Lv, LvName, Vg, VgName};

/// What takes away everything unfinished, and brings the kernel to what the metadata then says.
pub(super) struct Recovery {
    intent: Vec<Edit>,
    plan: Plan,
    confirm: Vec<Edit>,
    /// Why some families are not planned for.
    stuck: Vec<Error>,
    /// Older copies of the metadata are renewed, by a commit of nothing new if there is no other.
    renews: bool,
}

impl Recovery {
    fn entries(&self) -> Vec<Entry> {
        let renewal = self.renews.then_some(Entry::Renew);
        let intent = Entry::edits(&self.intent);
        let confirm = Entry::edits(&self.confirm);
        let stuck = self.stuck.iter().map(|error| Entry::Stuck(error.to_string()));
        renewal.into_iter().chain(intent).chain(self.plan.entries()).chain(confirm).chain(stuck).collect()
    }
}

impl Session<'_> {
    /// Finishes or undoes what other processes began; says what it did. In a dry run only the session's view of the metadata
    /// is as if it had been done.
    pub(super) fn recover(&mut self, mode: Mode) -> Result<Vec<Entry>> {
        let is_settled = !is_unfinished(self.vg()) && !self.open.has_older_copies();
        if is_settled || self.open.refusal.is_some() {
            return Ok(Vec::new());
        }
        let recovery = self.difference()?;
        if mode.dry_run {
            self.open.vg = self.open.vg.apply(&recovery.intent)?.apply(&recovery.confirm)?;
        } else {
            recovery.stuck.iter().for_each(|error| tracing::warn!("{error}"));
            self.restore_order(&recovery)?;
        }
        Ok(recovery.entries())
    }

    /// Everything that differs between metadata and kernel, of the volumes that dmsnap builds.
    fn difference(&self) -> Result<Recovery> {
        let vg = self.vg();
        let naming = self.naming();
        let mut found = FoundTree::read(self.kernel(), &self.expected(vg.built_here()))?;
        // One that is to go and that somebody has open stays until nobody has.
        let goes = |lv: &&Lv| goes(vg, lv);
        let is_used = |lv: &&Lv| found.users(&naming.uuid(&lv.id, Layer::Top)) > 0;
        let (used, gone): (Vec<_>, Vec<_>) = vg.built_here().filter(goes).partition(is_used);
        let kept = used.iter().filter(|lv| Mark::of(lv) == Some(Mark::Deleting));
        let kept: Vec<_> = kept.map(|lv| naming.uuid(&lv.id, Layer::Top)).collect();
        found.leave_alone(kept);
        let mut names: Vec<_> = gone.iter().map(|lv| lv.name.clone()).collect();
        let intended = vg.apply(&releases(vg, &names))?;
        let roots = roots_in(&intended, &self.active(&found, vg.built_here()));
        let (plan, stuck) = match self.plan_for(&intended, &found, &roots) {
            Err(error) if error.kind() == Kind::Refused => self.plan_each(&intended, &found)?,
            plan => (plan?, Stuck::new()),
        };
        // The kernel keeps what is not planned for, and so does the metadata.
        names.retain(|name| !is_stuck(vg, name, &stuck));
        let unmark = unmark_kept(vg, &stuck);
        Ok(Recovery {
            intent: releases(vg, &names),
            plan,
            confirm: names.into_iter().map(|lv| Edit::RemoveLv { lv }).chain(unmark).collect(),
            stuck: stuck.into_values().collect(),
            renews: self.open.has_older_copies(),
        })
    }

    /// The plans of those families that can be helped, and why the others cannot.
    fn plan_each(&self, intended: &Vg, found: &FoundTree) -> Result<(Plan, Stuck)> {
        let vg = self.vg();
        let (mut plan, mut stuck) = (Plan::default(), Stuck::new());
        for root in vg.built_here().filter(|lv| vg.root_of(&lv.name) == lv.name) {
            let members = families(vg, [&root.name]);
            let found = found.only(&self.expected(members.values().copied()));
            let roots = roots_in(intended, &self.active(&found, members.values().copied()));
            match self.plan_for(intended, &found, &roots) {
                Ok(own) => plan.append(own),
                Err(error) if error.kind() == Kind::Refused => {
                    stuck.insert(root.name.clone(), error);
                }
                Err(error) => return Err(error),
            }
        }
        Ok((plan, stuck))
    }

    fn restore_order(&mut self, recovery: &Recovery) -> Result<Executed> {
        if recovery.renews && recovery.intent.is_empty() && recovery.confirm.is_empty() {
            self.renew("recover")?;
        }
        self.commit(&recovery.intent, "recover")?;
        let executed = execute(&recovery.plan, self.kernel(), self.engine.world.devices.as_ref())?;
        self.commit(&recovery.confirm, "recover")?;
        Ok(executed)
    }
}

/// The families for which no plan can be made, by their roots, and why.
type Stuck = BTreeMap<LvName, Error>;

fn is_stuck(vg: &Vg, name: &LvName, stuck: &Stuck) -> bool {
    stuck.contains_key(&vg.root_of(name))
}

fn releases(vg: &Vg, names: &[LvName]) -> Vec<Edit> {
    names.iter().flat_map(|name| release(vg, name)).collect()
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

/// True for a volume that recovery takes away. One that lvm2 has put to use meanwhile is somebody's: it stays.
fn goes(vg: &Vg, lv: &Lv) -> bool {
    let is_marked = |lv: &Lv| matches!(Mark::of(lv), Some(Mark::Pending | Mark::Deleting));
    let is_kept = |store: &LvName| vg.lv(store).is_some_and(|store| !is_marked(store));
    let has_snapshot = vg.snapshots_of(&lv.name).any(|snapshot| is_kept(&snapshot.store));
    let is_merged = vg.snapshot_of_store(&lv.name).is_some_and(|snapshot| snapshot.merging);
    is_marked(lv) && !has_snapshot && !is_merged
}

/// The edits that take the marks off what stays. A group's mark speaks for all of its volumes.
fn unmark_kept(vg: &Vg, stuck: &Stuck) -> Vec<Edit> {
    let is_over = vg.tags.contains(&Mark::Changing.tag()) && stuck.is_empty();
    let kept = vg.built_here().filter(|lv| !goes(vg, lv) && !is_stuck(vg, &lv.name, stuck));
    let unmark =
        kept.filter_map(|lv| Some(Edit::RemoveLvTag { lv: lv.name.clone(), tag: Mark::of(lv)?.tag() }));
    unmark.chain(is_over.then(|| group_changing().1)).collect()
}

/// What differs between a volume group's metadata and the kernel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// The volume group.
    pub vg: String,
    /// What would bring the kernel to what the metadata says.
    pub plan: Vec<Entry>,
    /// Why the group may not be changed, and so is not looked into.
    pub reason: Option<String>,
}

impl Engine {
    /// Says what differs between a volume group's metadata and the kernel, and what is unfinished. Changes nothing.
    pub fn check(&self, vg: &VgName, mode: Mode) -> Result<Check> {
        let session = self.reading_session(vg, mode)?;
        let reason = session.open.refusal.as_ref().map(|refusal| refusal.reason.clone());
        let plan = if reason.is_none() { session.difference()?.entries() } else { Vec::new() };
        Ok(Check { vg: vg.to_string(), plan, reason })
    }

    /// Carries out what [`Engine::check`] shows. An error if something is left that cannot be, when all else is done.
    pub fn repair(&self, vg: &VgName, mode: Mode) -> Result<Report<()>> {
        self.repaired(vg, mode).map_err(|error| error.doing(format!("repair volume group {vg}")))
    }

    fn repaired(&self, vg: &VgName, mode: Mode) -> Result<Report<()>> {
        let began = Instant::now();
        let mut session = self.session(vg, mode)?;
        let recovery = session.difference()?;
        if mode.dry_run {
            return Ok(Report { planned: Some(recovery.entries()), ..Report::default() });
        }
        let executed = session.restore_order(&recovery)?;
        let elapsed = began.elapsed();
        let mut stuck = recovery.stuck.into_iter();
        if let Some(first) = stuck.next() {
            stuck.for_each(|error| tracing::warn!("{error}"));
            return Err(first);
        }
        let frozen = executed.frozen.iter().map(|(_, time)| *time).max();
        Ok(Report { elapsed, frozen, ..Report::default() })
    }
}
