//! Group commit: operations on one volume group that wait together share one round, its lock and its commits.
//!
//! Whoever stands in the queue ([`super::queue`]) has the outcome that it would have one after the other, in some order: a member of a
//! round is judged on what those before it leave, and who is refused then, or concerns the same volumes, is judged again when they
//! are over; only a refusal with nobody before it is an answer. Between two rounds the lock is free, for lvm2 and other processes.
//! Operations that take long, or concern the group as a whole, take the lock by themselves as another process would, and so do
//! those that are not to wait.

use std::sync::mpsc::{self, Sender};
use std::time::Instant;

use super::Engine;
use super::execute::Executed;
use super::operation::{Change, Mode, Report};
use super::queue::{Lead, Queues, Waiter};
use super::round::Round;
use super::session::{Aim, Session};
use crate::error::{Error, Kind, Result};
use crate::lvm::VgName;

/// So many are asked for a round at most: other processes get their turn.
const ASKED: usize = 128;

/// When so many of them have to wait for the next one, it is time for it.
const DEFERRED: usize = 16;

/// What is asked of a group under its lock.
type Asked<T> = Box<dyn Fn(&Session<'_>) -> Result<T> + Send>;

/// An operation that may share a round: it touches whole stacks of volumes and nothing else of the group, and takes no longer than its
/// plan and its commits. It may be judged several times, on another thread.
pub(super) struct Shared<T> {
    pub(super) vg: VgName,
    pub(super) mode: Mode,
    pub(super) aim: Aim,
    /// What stands in the metadata of it.
    pub(super) what: String,
    /// What it changes.
    pub(super) change: Asked<Change>,
    /// What became of it.
    pub(super) views: Asked<Vec<T>>,
}

/// One of them in a queue, whatever it answers with.
pub(super) trait Task: Waiter + Send {
    fn aim(&self) -> Aim;
    fn what(&self) -> &str;
    fn change(&self, session: &Session<'_>) -> Result<Change>;
    fn answer(self: Box<Self>, done: Result<Done<'_, '_>>);
}

/// A round that went well for a member.
pub(super) struct Done<'s, 'e> {
    session: &'s Session<'e>,
    executed: Executed,
    notes: Vec<String>,
    at: Instant,
}

/// The operations that wait.
pub(super) type Tasks = Queues<Box<dyn Task>>;

struct Waiting<T> {
    shared: Shared<T>,
    began: Instant,
    caller: Sender<Word<T>>,
}

/// What a caller is told.
enum Word<T> {
    /// It leads the next round.
    Lead,
    /// It has its answer.
    Done(Result<Report<T>>),
}

impl Waiter for Box<dyn Task> {
    fn lead(&self) -> bool {
        self.as_ref().lead()
    }
}

impl<T> Waiter for Waiting<T> {
    fn lead(&self) -> bool {
        self.caller.send(Word::Lead).is_ok()
    }
}

impl<T: Send> Task for Waiting<T> {
    fn aim(&self) -> Aim {
        self.shared.aim
    }

    fn what(&self) -> &str {
        &self.shared.what
    }

    fn change(&self, session: &Session<'_>) -> Result<Change> {
        (self.shared.change)(session)
    }

    fn answer(self: Box<Self>, done: Result<Done<'_, '_>>) {
        let report = done.and_then(|Done { session, executed, notes, at }| {
            let objects = (self.shared.views)(session)?;
            let [elapsed, worked] =
                [self.began, session.since()].map(|since| at.saturating_duration_since(since));
            Ok(Report { objects, elapsed, worked, frozen: executed.longest_freeze(), planned: None, notes })
        });
        // Nobody waits for the answer if the caller has panicked.
        let _ = self.caller.send(Word::Done(report));
    }
}

impl Engine {
    /// How many operations wait for a volume group in this process.
    pub fn waiting(&self, vg: &VgName) -> usize {
        self.tasks.waiting(vg)
    }

    /// Runs an operation, with others that wait for the same group.
    pub(super) fn share<T: Send + 'static>(&self, shared: Shared<T>) -> Result<Report<T>> {
        let (began, what) = (Instant::now(), shared.what.clone());
        let report = self.shared(shared, began);
        self.tell_done(&what, began.elapsed(), &report);
        report
    }

    fn shared<T: Send + 'static>(&self, shared: Shared<T>, began: Instant) -> Result<Report<T>> {
        let Shared { vg, mode, aim, .. } = &shared;
        if mode.dry_run || mode.no_wait {
            let session = self.session_to(vg, *aim, *mode)?;
            return session.operate(began, *mode, &shared.what, shared.change, shared.views);
        }
        let vg = vg.clone();
        let (caller, told) = mpsc::channel();
        let mut lead = self.tasks.enter(&vg, Box::new(Waiting { shared, began, caller }));
        loop {
            if let Some(lead) = lead.take() {
                self.lead(&lead);
            }
            match told.recv() {
                Ok(Word::Lead) => lead = Some(self.tasks.lead(&vg)),
                Ok(Word::Done(report)) => return report,
                Err(_) => return Err(abandoned(&vg)),
            }
        }
    }

    /// One round. What keeps it from beginning is the leader's to answer for: the next one finds out for itself.
    fn lead(&self, lead: &Lead<'_, Box<dyn Task>>) {
        let Some(aim) = lead.first(|task| task.aim()) else { return };
        let begin = || {
            let mut session = self.session_to(lead.vg(), aim, Mode::default())?;
            session.recover(Mode::default())?;
            Ok::<_, Error>(session)
        };
        match begin() {
            Ok(session) => hold_round(session, lead),
            Err(error) => {
                if let Some(task) = lead.next() {
                    task.answer(Err(error));
                }
            }
        }
    }
}

fn hold_round(mut session: Session<'_>, lead: &Lead<'_, Box<dyn Task>>) {
    let mut round = Round::new(&mut session);
    let (mut members, mut notes, mut deferred) = (Vec::new(), Vec::new(), Vec::new());
    for task in std::iter::from_fn(|| lead.next()).take(ASKED) {
        match judged(&mut round, task.as_ref()) {
            Verdict::Joins(noted) => {
                members.push(task);
                notes.push(noted);
            }
            Verdict::Waits => deferred.push(task),
            Verdict::Refused(error) => task.answer(Err(error)),
        }
        if deferred.len() == DEFERRED {
            break;
        }
    }
    lead.put_back(deferred);
    let outcomes = round.run();
    let at = Instant::now();
    for ((task, notes), outcome) in members.into_iter().zip(notes).zip(outcomes) {
        task.answer(outcome.map(|executed| Done { session: &session, executed, notes, at }));
    }
}

enum Verdict {
    /// It takes part; with what a person should know.
    Joins(Vec<String>),
    Waits,
    Refused(Error),
}

fn judged(round: &mut Round<'_, '_>, task: &dyn Task) -> Verdict {
    let is_first = round.is_empty();
    let session = round.session();
    if !session.serves(task.aim()) {
        return Verdict::Waits;
    }
    // What is in use for a moment holds up nobody but who leads.
    session.is_patient = is_first;
    let admitted = task.change(session).and_then(|change| {
        if round.meets(&change) {
            return Ok(Verdict::Waits);
        }
        round.admit(&change, task.what())?;
        Ok(Verdict::Joins(change.notes))
    });
    match admitted {
        Err(error) if is_first => Verdict::Refused(error),
        Err(_) => Verdict::Waits,
        Ok(verdict) => verdict,
    }
}

/// Its leader has panicked.
fn abandoned(vg: &VgName) -> Error {
    let cause = format!("the thread that worked on volume group {vg} for this operation failed");
    Error::new(Kind::Internal, cause).hint(format!("`dmsnap check {vg}` says what is left of it"))
}
