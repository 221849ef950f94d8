//! Snapshots in several volume groups at one instant, all of them or none.
//!
//! Each group is edited and committed for itself, in a round of its own ([`super::round`]); the plans are one, so that everything is suspended
//! before the first device is resumed. Their locks are taken in the order of their names, and held until the end. The last of them
//! decides ([`super::verdict`]): its confirmation is the others' too, and whoever dies before it has taken no snapshot anywhere.

use std::collections::BTreeMap;
use std::time::Instant;

use super::Engine;
use super::execute::{Executed, execute};
use super::mark::Bond;
use super::operation::{Change, Mode, Report, planned};
use super::outline::Entry;
use super::plan::Plan;
use super::round::{Round, go_back};
use super::session::Session;
use super::snapshot::NewSnapshots;
use super::view::SnapshotView;
use super::volume::in_words;
use crate::error::{Error, Kind, Result};
use crate::lvm::{Edit, LvName, Uuid, Vg, VgName};

/// The part of one group.
struct Part<'e, 'n> {
    session: Session<'e>,
    new: &'n NewSnapshots,
    change: Change,
    what: String,
}

impl Part<'_, '_> {
    fn names(&self) -> Vec<LvName> {
        self.new.cuts.iter().map(|(_, name)| name.clone()).collect()
    }
}

impl Engine {
    /// Makes snapshots in several groups, each named once.
    pub fn create_snapshots_across(&self, new: &[NewSnapshots], mode: Mode) -> Result<Report<SnapshotView>> {
        self.taken_across(new, mode).map_err(|error| {
            let volumes = new.iter().map(volumes_of);
            error.doing(format!("snapshot {}", volumes.collect::<Vec<_>>().join(", ")))
        })
    }

    fn taken_across(&self, new: &[NewSnapshots], mode: Mode) -> Result<Report<SnapshotView>> {
        let began = Instant::now();
        let mut parts = Vec::new();
        let mut recovered = Vec::new();
        for new in in_lock_order(new)?.into_values() {
            let mut session = self.session(&new.vg, mode)?;
            recovered.extend(session.recover(mode)?);
            let change = session.new_snapshots(new)?;
            let what = format!("snapshot create {}", volumes_of(new));
            parts.push(Part { session, new, change, what });
        }
        let bonds = tie(&mut parts, self.new_uuid());
        let mut notes: Vec<_> = parts.iter().flat_map(|part| part.change.notes.clone()).collect();
        let mut rounds = Vec::new();
        for part in &mut parts {
            let mut round = Round::new(&mut part.session);
            round.admit(&part.change, &part.what)?;
            rounds.push(round);
        }
        if mode.dry_run {
            if !recovered.is_empty() {
                notes.push("what a dead process left is taken away first".to_owned());
            }
            let plan = Plan::joined(rounds.iter().flat_map(Round::plans));
            drop(rounds);
            let planned = Some([recovered, entries(&parts, &plan, &bonds)].concat());
            return Ok(Report { planned, notes, ..Report::default() });
        }
        let executed = self.carried_out(rounds)?;
        forget(&mut parts, &bonds);
        let elapsed = began.elapsed();
        let mut objects = Vec::new();
        for part in &parts {
            objects.extend(part.session.snapshot_views_of(&part.names())?);
        }
        Ok(Report { objects, elapsed, frozen: executed.longest_freeze(), notes, ..Report::default() })
    }

    /// Commits what every group intends, lets the kernel follow in one plan, and confirms; the group that decides comes first then.
    fn carried_out(&self, mut rounds: Vec<Round<'_, '_>>) -> Result<Executed> {
        let mut failure = None;
        for round in &mut rounds {
            match &failure {
                None => {
                    round.begin();
                    failure = round.failure();
                }
                Some(error) => round.drop_out(error),
            }
        }
        let plan = Plan::joined(rounds.iter().flat_map(Round::plans));
        let executed = failure.map_or_else(
            || execute(&plan, self.world.kernel.as_ref(), self.world.devices.as_ref()),
            |error: Error| Err(error),
        );
        if let Err(error) = &executed {
            rounds.iter_mut().for_each(|round| round.fail(error));
            go_back(&mut rounds);
        }
        confirm(&mut rounds);
        let outcomes = rounds.into_iter().flat_map(Round::end);
        outcomes.collect::<Result<Vec<_>>>()?;
        executed
    }
}

/// A confirmation that fails may stand on the disk all the same: what the others do then is for the next command to say, which reads it.
fn confirm(rounds: &mut [Round<'_, '_>]) {
    let Some((decides, others)) = rounds.split_last_mut() else { return };
    decides.confirm();
    match decides.failure() {
        Some(error) if others.iter().all(|round| round.failure().is_none()) => {
            others.iter_mut().for_each(|round| round.fail(&error));
        }
        _ => others.iter_mut().for_each(Round::confirm),
    }
}

/// lvm2 takes several locks in this order too.
fn in_lock_order(new: &[NewSnapshots]) -> Result<BTreeMap<&VgName, &NewSnapshots>> {
    let by_name: BTreeMap<_, _> = new.iter().map(|new| (&new.vg, new)).collect();
    if by_name.len() < new.len() {
        return Err(Error::new(Kind::Internal, "a volume group is named twice"));
    }
    Ok(by_name)
}

fn volumes_of(new: &NewSnapshots) -> String {
    let origins: Vec<_> = new.cuts.iter().map(|(origin, _)| origin.clone()).collect();
    in_words(&new.vg, &origins)
}

/// Joins what each group makes to the last of them, which awaits the others; says by which bonds.
fn tie(parts: &mut [Part<'_, '_>], cut: Uuid) -> Vec<Bond> {
    let Some((decides, others)) = parts.split_last_mut() else { return Vec::new() };
    let joined = Bond { group: decides.session.vg().id, cut }.joined();
    for part in &mut *others {
        for lv in part.names() {
            part.change.intent.push(Edit::AddLvTag { lv: lv.clone(), tag: joined.clone() });
            part.change.confirm.push(Edit::RemoveLvTag { lv, tag: joined.clone() });
        }
    }
    let bonds: Vec<_> = others.iter().map(|part| Bond { group: part.session.vg().id, cut }).collect();
    let awaits =
        |bond: &Bond| Some(Edit::AddLvTag { lv: decides.names().first()?.clone(), tag: bond.awaits() });
    let awaits: Vec<_> = bonds.iter().filter_map(awaits).collect();
    decides.change.intent.extend(awaits);
    bonds
}

/// The edits by which the group that decided awaits nobody any more.
fn releases(vg: &Vg, names: &[LvName], bonds: &[Bond]) -> Vec<Edit> {
    let Some(lv) = names.first().filter(|name| vg.lv(name).is_some()) else { return Vec::new() };
    bonds.iter().map(|bond| Edit::RemoveLvTag { lv: lv.clone(), tag: bond.awaits() }).collect()
}

/// All groups have followed. The next command finds that out as well.
fn forget(parts: &mut [Part<'_, '_>], bonds: &[Bond]) {
    let Some(decides) = parts.last_mut() else { return };
    let edits = releases(decides.session.vg(), &decides.names(), bonds);
    if let Err(error) = decides.session.commit(&edits, &decides.what) {
        tracing::warn!("{error}");
    }
}

/// What is done, in order.
fn entries(parts: &[Part<'_, '_>], plan: &Plan, bonds: &[Bond]) -> Vec<Entry> {
    let mut whole = Change::default();
    for part in parts {
        whole.blanks.extend(part.change.blanks.iter().cloned());
        whole.intent.extend(part.change.intent.iter().cloned());
    }
    // The one that decides is the first to confirm.
    whole.confirm.extend(parts.iter().rev().flat_map(|part| part.change.confirm.clone()));
    if let Some(decides) = parts.last() {
        whole.confirm.extend(releases(decides.session.vg(), &decides.names(), bonds));
    }
    planned(&whole, plan)
}
