//! Takes away what a dead process left, by the same road as everything else.
//!
//! What becomes of each volume that was left unfinished is said in [`super::fate`]. Nobody was told that a volume marked pending
//! exists, and a volume marked deleting is as good as gone. Both go: a pending snapshot is detached from its origin, which goes on as
//! if the snapshot had never been, and its extents become free when the kernel has let go of them. Each stack of volumes is helped on
//! its own: one that cannot be, because no plan can be made or something that has to go is in use, stays as it is in the kernel and in
//! the metadata, but for what is suspended: that goes on.

use std::collections::BTreeSet;
use std::time::Instant;

use serde::Serialize;

use super::converge::as_it_is;
use super::execute::{Executed, execute, switch_apart};
use super::fate::Fates;
use super::fill::{self, built_here, is_idle_source};
use super::mark::{Mark, is_unfinished, unmark, unmark_group};
use super::operation::{Mode, first_failure};
use super::outline::Entry;
use super::plan::Plan;
use super::session::Session;
use super::stack::stacks;
use super::tree::FoundTree;
use super::{Engine, Report};
use crate::dm::DmName;
use crate::error::{Error, Kind, Result};
use crate::lvm::{Edit, Lv, LvName, Vg, VgName};

/// What takes away everything unfinished, and brings the kernel to what the metadata then says.
pub(super) struct Recovery {
    stacks: Vec<Rescue>,
    /// Why some stacks are not helped.
    pub(super) stuck: Vec<Error>,
    /// When no stack is stuck.
    confirm: Vec<Edit>,
    /// Older copies of the metadata are renewed, by a commit of nothing new if there is no other.
    renews: bool,
}

/// The same for one stack of volumes.
#[derive(Default)]
struct Rescue {
    members: Vec<LvName>,
    /// Volumes of which the disks must hold what the kernel says that they are filled with, before the metadata says so.
    flushed: Vec<LvName>,
    intent: Vec<Edit>,
    plan: Plan,
    confirm: Vec<Edit>,
}

impl Recovery {
    fn intent(&self) -> Vec<Edit> {
        self.stacks.iter().flat_map(|rescue| rescue.intent.clone()).collect()
    }

    /// The edits that confirm these, which are all if nothing is stuck.
    fn confirmation<'a>(&self, rescued: impl IntoIterator<Item = &'a Rescue>) -> Vec<Edit> {
        let own = rescued.into_iter().flat_map(|rescue| rescue.confirm.clone());
        own.chain(self.confirm.iter().filter(|_| self.stuck.is_empty()).cloned()).collect()
    }

    pub(super) fn entries(&self) -> Vec<Entry> {
        let renewal = self.renews.then_some(Entry::Renew);
        let (intent, confirm) = (self.intent(), self.confirmation(&self.stacks));
        let plans = self.stacks.iter().flat_map(|rescue| rescue.plan.entries());
        let stuck = self.stuck.iter().map(|error| Entry::Stuck(error.to_string()));
        let entries = renewal.into_iter().chain(Entry::edits(&intent)).chain(plans);
        entries.chain(Entry::edits(&confirm)).chain(stuck).collect()
    }
}

impl Session<'_> {
    /// Finishes or undoes what other processes began; says what it did. In a dry run only the session's view of the metadata
    /// is as if it had been done.
    pub(super) fn recover(&mut self, mode: Mode) -> Result<Vec<Entry>> {
        let mut entries = self.recover_once(mode)?;
        // What a volume was filled from goes when the volume is full.
        if self.has_idle_source() && !mode.dry_run {
            entries.extend(self.recover_once(mode)?);
        }
        Ok(entries)
    }

    /// True if a snapshot that was made to fill a volume waits to be taken away.
    fn has_idle_source(&self) -> bool {
        self.vg().lvs.iter().any(|lv| is_idle_source(self.vg(), lv))
    }

    fn recover_once(&mut self, mode: Mode) -> Result<Vec<Entry>> {
        let is_settled = !is_unfinished(self.vg())
            && !self.open.has_older_copies()
            && !self.has_merged()?
            && self.full()?.is_empty()
            && !self.has_idle_source();
        // Volumes can be activated all the same: what changes metadata is refused later.
        let is_kept = self.open.refusal.is_some() || self.engine.check_writable().is_err();
        if is_settled || is_kept {
            return Ok(Vec::new());
        }
        let followed = self.follow(mode)?;
        let mut recovery = self.difference()?;
        let entries = [followed.entries(), recovery.entries()].concat();
        followed.stuck.iter().for_each(|error| tracing::warn!("{error}"));
        if mode.dry_run {
            let confirm = recovery.confirmation(&recovery.stacks);
            self.open.vg = self.open.vg.apply(&recovery.intent())?.apply(&confirm)?;
        } else {
            self.restore_order(&mut recovery)?;
            recovery.stuck.iter().for_each(|error| tracing::warn!("{error}"));
        }
        Ok(entries)
    }

    /// Everything that differs between metadata and kernel, of the volumes that dmsnap builds.
    pub(super) fn difference(&self) -> Result<Recovery> {
        let vg = self.vg();
        let found = FoundTree::read(self.kernel(), &self.expected(built_here(vg)))?;
        let fates = self.fates(&found)?;
        let intended = vg.apply(&meant(vg, &fates, &built_here(vg).collect::<Vec<_>>()))?;
        let mut recovery = Recovery {
            stacks: Vec::new(),
            stuck: Vec::new(),
            confirm: unmark_group(vg).collect(),
            renews: self.open.has_older_copies(),
        };
        for members in stacks(vg, &self.naming(), &found) {
            let members: Vec<_> = members.iter().filter_map(|name| vg.lv(name)).map(AsRef::as_ref).collect();
            let found = found.only(&self.expected(members.iter().copied()));
            let (rescue, stuck) = self.rescue(&members, &found, &intended, &fates)?;
            recovery.stacks.push(rescue);
            recovery.stuck.extend(stuck);
        }
        Ok(recovery)
    }

    /// What helps one stack, or what can be done for it as it is, and why no more.
    fn rescue(
        &self,
        members: &[&Lv],
        found: &FoundTree,
        intended: &Vg,
        fates: &Fates<'_>,
    ) -> Result<(Rescue, Option<Error>)> {
        let vg = self.vg();
        let active = self.active_in(intended, found, members.iter().copied());
        let roots = members.iter().filter(|lv| active.contains(&lv.id)).map(|lv| lv.name.clone()).collect();
        let plan = self.plan_for(intended, found, &roots).and_then(|plan| {
            refuse_held(vg, found, &plan)?;
            Ok(plan)
        });
        match plan {
            Ok(plan) => {
                let (gone, kept): (Vec<&Lv>, Vec<_>) = members.iter().copied().partition(|lv| fates.goes(lv));
                let flushed = fates.filled(members.iter().copied());
                let confirm = gone.into_iter().flat_map(fill::removal);
                Ok((
                    Rescue {
                        members: members.iter().map(|lv| lv.name.clone()).collect(),
                        flushed,
                        intent: meant(vg, fates, members),
                        plan,
                        confirm: confirm.chain(kept.into_iter().flat_map(unmark)).collect(),
                    },
                    None,
                ))
            }
            // What is wrong with one stack, be it a disk that cannot be read, is nothing to the others.
            Err(error) => {
                let plan = as_it_is(&found.live())?;
                Ok((Rescue { plan, ..Rescue::default() }, Some(error)))
            }
        }
    }

    /// After a plan of these volumes failed: whatever they are now, their I/O goes on, and no table waits.
    fn let_go_on(&self, members: &[LvName]) {
        let lvs = members.iter().filter_map(|name| self.vg().lv(name)).map(AsRef::as_ref);
        let live = FoundTree::read(self.kernel(), &self.expected(lvs)).map(|found| found.live());
        let plan = live.and_then(|live| as_it_is(&live));
        let done = plan.and_then(|plan| execute(&plan, self.kernel(), self.engine.world.devices.as_ref()));
        if let Err(error) = done {
            tracing::error!(%error, "what a failed recovery left could not be taken away");
        }
    }

    /// Does it, stack by stack: what the kernel refuses for one of them is added to what is stuck.
    pub(super) fn restore_order(&mut self, recovery: &mut Recovery) -> Result<Executed> {
        for rescue in std::mem::take(&mut recovery.stacks) {
            match rescue.flushed.iter().try_for_each(|name| self.flush(name)) {
                Ok(()) => recovery.stacks.push(rescue),
                Err(error) => recovery.stuck.push(error),
            }
        }
        let intent = recovery.intent();
        if recovery.renews && intent.is_empty() && recovery.confirmation(&recovery.stacks).is_empty() {
            self.renew("recover")?;
        }
        self.commit(&intent, "recover")?;
        let stacks = std::mem::take(&mut recovery.stacks);
        let plans: Vec<_> = stacks.iter().map(|rescue| &rescue.plan).collect();
        let switched = switch_apart(&plans, self.kernel(), self.engine.world.devices.as_ref());
        // Before the others clean up and wait for udev: something may stand still.
        let failed = stacks.iter().zip(switched.outcomes()).filter(|(_, outcome)| outcome.is_err());
        failed.for_each(|(rescue, _)| self.let_go_on(&rescue.members));
        let mut executed = Executed::default();
        let mut rescued = Vec::new();
        for (rescue, outcome) in stacks.iter().zip(switched.clean_up()) {
            match outcome {
                Ok(one) => {
                    executed.frozen.extend(one.frozen);
                    rescued.push(rescue);
                }
                Err(error) => {
                    self.let_go_on(&rescue.members);
                    recovery.stuck.push(error);
                }
            }
        }
        let confirm = self.emptied(recovery.confirmation(rescued));
        self.commit(&confirm, "recover")?;
        Ok(executed)
    }
}

/// What the metadata is to say of these volumes, before the kernel follows.
fn meant(vg: &Vg, fates: &Fates<'_>, lvs: &[&Lv]) -> Vec<Edit> {
    let doomed: Vec<_> = lvs.iter().filter(|lv| fates.goes(lv)).map(|lv| lv.name.clone()).collect();
    let mut edits = release(vg, &doomed);
    edits.extend(fates.take_back(lvs.iter().map(|lv| &lv.name)));
    edits.extend(fates.ended(lvs.iter().copied()).flat_map(|fill| fill.end()));
    edits
}

/// An error if the plan takes away what somebody has open besides the devices above it.
fn refuse_held(vg: &Vg, found: &FoundTree, plan: &Plan) -> Result<()> {
    let goes: BTreeSet<&DmName> = plan.removed().collect();
    let used = found.used();
    let mut nodes = found.nodes.iter().filter(|(_, node)| goes.contains(&node.info.name));
    nodes.find(|(uuid, _)| used.contains(uuid)).map_or(Ok(()), |(_, node)| {
        let cause = format!("device {} of volume group {} is to go, and is in use", node.info.name, vg.name);
        Err(Error::new(Kind::InUse, cause)
            .hint(format!("unmount or close it, then `dmsnap repair {}` removes it", vg.name)))
    })
}

/// The edits that make volumes ones that can be removed: no snapshots any more, and marked so. Edits of a kind stand together, which
/// is how many of them cost little.
pub(super) fn release(vg: &Vg, names: &[LvName]) -> Vec<Edit> {
    let mut edits: Vec<_> = names.iter().flat_map(|name| release_one(vg, name)).collect();
    edits.sort_by_key(|edit| !matches!(edit, Edit::DetachSnapshot { .. }));
    edits
}

fn release_one(vg: &Vg, name: &LvName) -> Vec<Edit> {
    let mark = vg.lv(name).and_then(|lv| Mark::of(lv));
    let mut edits = Vec::new();
    if vg.snapshot_of_store(name).is_some() {
        edits.push(Edit::DetachSnapshot { store: name.clone() });
    }
    if let Some(pending @ (Mark::Pending | Mark::PendingSnapshot)) = mark {
        edits.push(Edit::RemoveLvTag { lv: name.clone(), tag: pending.tag() });
    }
    if mark != Some(Mark::Deleting) {
        edits.push(Edit::AddLvTag { lv: name.clone(), tag: Mark::Deleting.tag() });
    }
    edits
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
        let mut session = self.reading_session(vg, mode)?;
        if let Some(refusal) = &session.open.refusal {
            return Ok(Check { vg: vg.to_string(), plan: Vec::new(), reason: Some(refusal.reason.clone()) });
        }
        let followed = session.follow(Mode { dry_run: true, ..mode })?;
        let plan = [followed.entries(), session.difference()?.entries()].concat();
        Ok(Check { vg: vg.to_string(), plan, reason: None })
    }

    /// Carries out what [`Engine::check`] shows. An error if something is left that cannot be, when all else is done.
    pub fn repair(&self, vg: &VgName, mode: Mode) -> Result<Report<()>> {
        self.repaired(vg, mode).map_err(|error| error.doing(format!("repair volume group {vg}")))
    }

    fn repaired(&self, vg: &VgName, mode: Mode) -> Result<Report<()>> {
        let began = Instant::now();
        let mut session = self.session(vg, mode)?;
        let followed = session.follow(mode)?;
        let mut recovery = session.difference()?;
        if mode.dry_run {
            let planned = Some([followed.entries(), recovery.entries()].concat());
            return Ok(Report { planned, ..Report::default() });
        }
        // What a volume was filled from goes when the volume is full.
        let mut executed = session.restore_order(&mut recovery)?;
        if recovery.stuck.is_empty() && session.has_idle_source() {
            recovery = session.difference()?;
            executed.frozen.extend(session.restore_order(&mut recovery)?.frozen);
        }
        let elapsed = began.elapsed();
        first_failure([followed.stuck, recovery.stuck].concat())?;
        Ok(Report { elapsed, frozen: executed.longest_freeze(), ..Report::default() })
    }
}
