//! One turn of a volume group's writer: what came together is edited and committed at once, carried out each for itself, and
//! confirmed at once.
//!
//! Each member is judged on the metadata that those before it leave, and planned for alone. One that fails goes back
//! ([`super::retreat`]) and the others go on: the confirmation is the metadata of the beginning with the edits of those that did not.
//! Whoever dies in between leaves marked volumes, and each is finished or undone by itself ([`super::recover`]).

use std::collections::BTreeSet;

use super::blank::blank;
use super::desired::families;
use super::execute::{Executed, execute_apart, switch_apart};
use super::fill::root_of;
use super::operation::{Change, planned};
use super::outline::Entry;
use super::plan::Plan;
use super::session::{Session, roots_in};
use crate::error::{Error, Result};
use crate::lvm::{Edit, LvName, Uuid, Vg};

/// Operations under one lock, between the same two commits.
pub(super) struct Round<'r, 'e> {
    /// Its view of the metadata is what the members so far leave.
    session: &'r mut Session<'e>,
    before: Vg,
    members: Vec<Member>,
    /// The volumes of every stack that a member touches.
    touched: BTreeSet<LvName>,
    /// What the first of them does.
    what: String,
}

/// An operation that can be done.
struct Member {
    change: Change,
    plan: Plan,
    /// The volumes of its stacks that are active.
    active: BTreeSet<Uuid>,
    intent: Intent,
    outcome: Result<Executed>,
}

/// What of a member's intent is in the metadata, or will be.
enum Intent {
    /// All of it.
    Stands,
    /// Nothing: the member failed before it was committed.
    Dropped,
    /// The member failed, and the kernel is what it was but for these edits, which nothing undoes.
    TakenBack(Vec<Edit>),
}

impl Member {
    fn is_going(&self) -> bool {
        self.outcome.is_ok()
    }

    fn stands(&self) -> bool {
        matches!(self.intent, Intent::Stands)
    }

    fn takes_back(&self) -> bool {
        matches!(self.intent, Intent::TakenBack(_)) && !self.change.intent.is_empty()
    }

    /// It fails before anything of it is in force.
    fn is_dropped(&mut self, error: &Error) {
        self.intent = Intent::Dropped;
        self.outcome = Err(error.clone());
    }

    /// It failed where nothing leads back from, and the rest was done in another way.
    fn goes_on(&mut self, executed: Executed) {
        if let Err(error) = std::mem::replace(&mut self.outcome, Ok(executed)) {
            tracing::warn!("{error}; it is done all the same");
        }
    }

    /// What it left stays until the next command.
    fn is_left(&mut self, vg: &Vg, failure: &Error) {
        tracing::error!(%failure, "what the failed operation left could not be taken away");
        if let Err(error) = &mut self.outcome {
            let hint = format!("`dmsnap repair {}` takes away what is left of it", vg.name);
            *error = error.clone().hint(hint);
        }
    }
}

impl<'r, 'e> Round<'r, 'e> {
    /// Without members yet.
    pub(super) fn new(session: &'r mut Session<'e>) -> Self {
        let before = session.open.vg.clone();
        Self { session, before, members: Vec::new(), touched: BTreeSet::new(), what: String::new() }
    }

    /// True if nobody takes part.
    pub(super) fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// The group as the members so far leave it.
    pub(super) fn session(&mut self) -> &mut Session<'e> {
        self.session
    }

    /// True if a change concerns a stack of volumes that a member touches, whose outcome nobody knows yet.
    pub(super) fn meets(&self, change: &Change) -> bool {
        !self.stacks_of(change).is_disjoint(&self.touched)
    }

    /// Takes in an operation; an error, and nothing has changed, if it is not possible after those before it.
    pub(super) fn admit(&mut self, change: &Change, what: &str) -> Result<()> {
        let description = described(if self.is_empty() { what } else { &self.what }, self.members.len());
        let (intended, change) = self.session.judged(change, &description)?;
        let found = self.session.found(&intended, &change.touched)?;
        let stacks = families(self.session.vg(), &change.touched);
        let active = self.session.active(&found, stacks.into_values());
        let roots = roots_after(&intended, &active, &change);
        let mut plan = self.session.plan_forcing(&intended, &found, &roots, &change.forced)?;
        plan.cleanup.extend(self.session.file_systems(&intended, &change.grow_fs)?);
        if self.is_empty() {
            what.clone_into(&mut self.what);
        }
        self.touched.extend(self.stacks_of(&change));
        self.session.open.vg = intended;
        let outcome = Ok(Executed::default());
        self.members.push(Member { change, plan, active, intent: Intent::Stands, outcome });
        Ok(())
    }

    fn stacks_of(&self, change: &Change) -> BTreeSet<LvName> {
        let stacks = families(self.session.vg(), &change.touched).into_keys();
        stacks.chain(change.touched.iter().cloned()).collect()
    }

    /// What would be done, in order.
    pub(super) fn entries(&self) -> Vec<Entry> {
        self.members.iter().flat_map(|member| planned(&member.change, &member.plan)).collect()
    }

    /// Does it all; what became of each member, in their order.
    pub(super) fn run(mut self) -> Vec<Result<Executed>> {
        self.begin();
        self.carry_out();
        self.confirm();
        self.end()
    }

    /// Prepares and commits the intents.
    pub(super) fn begin(&mut self) {
        let intended = std::mem::replace(&mut self.session.open.vg, self.before.clone());
        if self.commits() {
            self.session.engine.archive(&self.before, &self.description());
        }
        self.prepare();
        if let Err(error) = self.intend(intended) {
            self.going().for_each(|member| member.is_dropped(&error));
        }
    }

    /// What became of each member, in their order.
    pub(super) fn end(self) -> Vec<Result<Executed>> {
        if self.commits() && self.members.iter().any(Member::is_going) {
            self.session.engine.back_up(&self.session.open.vg, &self.description());
        }
        self.members.into_iter().map(|member| member.outcome).collect()
    }

    /// The plans of those who have not failed.
    pub(super) fn plans(&self) -> Vec<&Plan> {
        self.members.iter().filter(|member| member.is_going()).map(|member| &member.plan).collect()
    }

    /// The first error of a member.
    pub(super) fn failure(&self) -> Option<Error> {
        self.members.iter().find_map(|member| member.outcome.as_ref().err().cloned())
    }

    /// All who have not failed do so: what they intended stands.
    pub(super) fn fail(&mut self, error: &Error) {
        self.going().for_each(|member| member.outcome = Err(error.clone()));
    }

    /// It does not begin.
    pub(super) fn drop_out(&mut self, error: &Error) {
        self.members.iter_mut().for_each(|member| member.is_dropped(error));
    }

    fn commits(&self) -> bool {
        self.members.iter().any(|member| member.change.commits())
    }

    fn description(&self) -> String {
        described(&self.what, self.members.len().saturating_sub(1))
    }

    fn going(&mut self) -> impl Iterator<Item = &mut Member> {
        self.members.iter_mut().filter(|member| member.is_going())
    }

    /// What is written before the metadata names it.
    fn prepare(&mut self) {
        let blanked = blank(&self.session.open, self.members.iter().map(|m| m.change.blanks.as_slice()));
        for (member, blanked) in self.members.iter_mut().zip(blanked) {
            if let Err(error) = blanked.and_then(|()| self.session.engine.label(&member.change.labels)) {
                member.is_dropped(&error);
            }
        }
    }

    /// Commits the intents; `all` is the metadata with every member's.
    fn intend(&mut self, all: Vg) -> Result<()> {
        if !self.going().any(|member| !member.change.intent.is_empty()) {
            return Ok(());
        }
        let is_whole = self.members.iter().all(Member::stands);
        let next = if is_whole { all } else { self.with_intents()? };
        self.session.put(next, &self.description())
    }

    /// The metadata of the beginning with the intents that stand.
    fn with_intents(&self) -> Result<Vg> {
        let standing = self.members.iter().filter(|member| member.stands());
        let edits: Vec<_> = standing.flat_map(|member| member.change.intent.iter().cloned()).collect();
        self.before.apply(&edits)
    }

    /// Who fails in its switch goes back before the others clean up and wait for udev: its volumes may stand still.
    fn carry_out(&mut self) {
        let world = &self.session.engine.world;
        let members = self.members.iter_mut().enumerate().filter(|(_, member)| member.is_going());
        let (going, plans): (Vec<_>, Vec<_>) =
            members.map(|(number, member)| (number, std::mem::take(&mut member.plan))).unzip();
        let plans: Vec<_> = plans.iter().collect();
        let switched = switch_apart(&plans, world.kernel.as_ref(), world.devices.as_ref());
        let outcomes = switched.outcomes().to_vec();
        self.note(going.iter().copied().zip(outcomes.clone()));
        go_back(std::slice::from_mut(self));
        let cleaned = going.into_iter().zip(switched.clean_up()).zip(outcomes);
        self.note(cleaned.filter(|(_, switched)| switched.is_ok()).map(|(cleaned, _)| cleaned));
        go_back(std::slice::from_mut(self));
    }

    /// What became of the members of these numbers.
    fn note(&mut self, outcomes: impl IntoIterator<Item = (usize, Result<Executed>)>) {
        for (number, outcome) in outcomes {
            if let Some(member) = self.members.get_mut(number) {
                member.outcome = outcome;
            }
        }
    }

    /// Commits that those are done who are, and what is left of those who went back.
    pub(super) fn confirm(&mut self) {
        let done: Vec<_> = self.going().flat_map(|member| member.change.confirm.clone()).collect();
        let done = self.session.emptied(done);
        if done.is_empty() && !self.members.iter().any(Member::takes_back) {
            return;
        }
        let is_any_going = self.members.iter().any(Member::is_going);
        let description = if is_any_going { self.description() } else { "take back".to_owned() };
        let next = self.without_taken_back().and_then(|vg| vg.apply(&done));
        let Err(error) = next.and_then(|next| self.session.put(next, &description)) else { return };
        for member in &mut self.members {
            if member.takes_back() {
                member.is_left(&self.before, &error);
            } else if member.is_going() && !member.change.confirm.is_empty() {
                member.outcome = Err(error.clone());
            }
        }
    }

    /// The metadata with the intents that stand still, and what nothing undoes.
    fn without_taken_back(&self) -> Result<Vg> {
        if !self.members.iter().any(Member::takes_back) {
            return Ok(self.session.vg().clone());
        }
        let lasting = self.members.iter().flat_map(|member| match &member.intent {
            Intent::TakenBack(lasting) => lasting.clone(),
            Intent::Stands | Intent::Dropped => Vec::new(),
        });
        self.with_intents()?.apply(&lasting.collect::<Vec<_>>())
    }
}

/// Brings the kernel back to what it was for those whose plans failed; in all rounds before anything waits for udev. Where that fails
/// too, the intent stands and its marks say so.
pub(super) fn go_back(rounds: &mut [Round<'_, '_>]) {
    let Some(engine) = rounds.first().map(|round| round.session.engine) else { return };
    let mut failed = Vec::new();
    for Round { session, before, members, .. } in rounds {
        for member in members.iter_mut().filter(|member| member.stands() && !member.is_going()) {
            let retreat = session.retreat(&member.change, before, &member.active);
            failed.push((member, &*before, retreat));
        }
    }
    let nowhere = Plan::default();
    let plans: Vec<_> =
        failed.iter().map(|(_, _, way)| way.as_ref().map_or(&nowhere, |way| &way.plan)).collect();
    let outcomes = execute_apart(&plans, engine.world.kernel.as_ref(), engine.world.devices.as_ref());
    for ((member, before, retreat), outcome) in failed.into_iter().zip(outcomes) {
        match retreat.and_then(|retreat| outcome.map(|executed| (retreat, executed))) {
            Ok((retreat, executed)) if retreat.goes_on => member.goes_on(executed),
            Ok((retreat, _)) => member.intent = Intent::TakenBack(retreat.lasting),
            Err(failure) => member.is_left(before, &failure),
        }
    }
}

fn roots_after(intended: &Vg, active: &BTreeSet<Uuid>, change: &Change) -> BTreeSet<LvName> {
    let mut roots = roots_in(intended, active);
    roots.extend(change.activate.iter().map(|name| root_of(intended, name)));
    roots.retain(|name| !change.deactivate.contains(name));
    roots
}

/// What stands in the metadata of so many more than the first.
fn described(first: &str, more: usize) -> String {
    if more == 0 { first.to_owned() } else { format!("{first} and {more} more") }
}
