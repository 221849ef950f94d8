//! One operation on a prepared host, cut somewhere, and what the checker says of what is left.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use crate::checker::disk::{Disk, Vg};
use crate::checker::kernel::{Dev, Line, World};
use crate::checker::rules::{Findings, History, Metadata, always, at_rest};
use crate::lab::{IDLE, Lab, MODE, Running, has_volume, used_lab_with_volume, volume};
use crate::operations::{Next, Operation, rounds};
use crate::user::User;
use dmsnap::dm::{DmName, Kernel, Reached, Slot};
use dmsnap::engine::volume::NewVolume;
use dmsnap::error::{Error, Kind, Result};
use dmsnap::steps::Steps;

impl World {
    /// What there is to be seen of a host.
    pub fn of(lab: &Lab) -> Self {
        let disks = lab.disks.images().into_keys().map(|number| {
            let device = lab.disks.by_number(number).unwrap();
            Disk {
                number: number.to_string(),
                bytes: Box::new(move |at, length| device.peek(dmsnap::units::Bytes(at), length)),
            }
        });
        let device = |info: dmsnap::dm::Info| {
            let table = lab.kernel.table(&info.name, Slot::Live).unwrap().to_string();
            let status = lab.kernel.status(&info.name).unwrap();
            Dev {
                name: info.name.to_string(),
                uuid: info.uuid.map(|uuid| uuid.as_str().to_owned()).unwrap_or_default(),
                number: info.number.to_string(),
                live: table.lines().map(Line::read).collect(),
                inactive: info.inactive,
                suspended: info.suspended,
                read_only: info.read_only,
                status: status.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
                filled: lab.kernel.filled(&info.name),
            }
        };
        let paths = lab.kernel.published().into_iter().map(|(name, (number, link))| {
            (name.to_string(), number.to_string(), link.map(|link| link.display().to_string()))
        });
        Self {
            disks: disks.collect(),
            devices: lab.kernel.list().unwrap().into_iter().map(device).collect(),
            paths: paths.collect(),
        }
    }
}

/// What is compared between what was cut and what was not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    /// The volumes of all groups.
    pub metadata: Vec<String>,
    /// Those that are active.
    active: Vec<String>,
    /// The disks with labels.
    labels: BTreeSet<String>,
    /// Those among them that say that a group uses them, and none has them.
    claimed: BTreeSet<String>,
}

impl State {
    pub fn of(world: &World, metadata: &Metadata) -> Self {
        let mut active = Vec::new();
        for vg in metadata.groups.values() {
            let is_active = |id: &str| {
                let device = world.device(&format!("LVM-{}{id}", vg.id));
                device.is_some_and(|device| !device.live.is_empty())
            };
            active.extend(
                vg.lvs.iter().filter(|lv| is_active(&lv.id)).map(|lv| format!("{}/{}", vg.name, lv.name)),
            );
        }
        let is_next = |line: &String| line.contains("/next");
        active.retain(|line| !is_next(line));
        active.sort();
        let mut lines = metadata.signature();
        lines.retain(|line| !is_next(line));
        let has = |id: &str| metadata.groups.values().any(|vg| vg.pvs.iter().any(|pv| pv.id == id));
        let claimed = metadata.labels.iter().filter(|label| label.used && !has(&label.id));
        Self {
            metadata: lines,
            active,
            labels: metadata.labels.iter().map(|label| label.disk.clone()).collect(),
            claimed: claimed.map(|label| label.disk.clone()).collect(),
        }
    }

    fn now(lab: &Lab) -> Self {
        let world = World::of(lab);
        Self::of(&world, &Metadata::of(&world))
    }
}

/// An operation whose host is prepared, and what it comes to when nothing cuts it.
pub struct Trial {
    pub operation: &'static Operation,
    pub lab: Lab,
    pub user: User,
    pub before: State,
    pub after: State,
    /// What it comes to when only some of its parts are done, by their numbers.
    partly: Vec<(BTreeSet<usize>, State)>,
    /// The idle volume and its snapshot, by uuid.
    idle: Option<[String; 2]>,
    /// What the user had written when the snapshots that are kept were taken, and when the operation began.
    pub kept_at: usize,
    pub begun_at: usize,
    /// The snapshots that there were, by uuid.
    pub known: BTreeSet<String>,
    pub steps: u64,
}

/// A host on which an operation was cut.
pub struct Cut {
    pub lab: Lab,
    pub user: User,
    pub outcome: Result<()>,
    /// Those of its parts that were told that they are done.
    pub done: BTreeSet<usize>,
    /// A single step was refused, so it could undo what it did: what failed has not happened.
    pub is_refused: bool,
    /// The process that was cut did not die: it could undo what it did.
    pub is_alive: bool,
    pub steps: u64,
}

/// Where a step is refused, or told to have failed, or the process ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Point {
    Nowhere,
    /// The step does not happen, and the process hears so.
    Refused(u64),
    /// The step happens, and the process hears that it has not.
    Denied(u64),
    /// Neither this step nor any later one happens.
    Death(u64),
    /// The first step does not happen, and the process hears so; before the second one it dies.
    Broken(u64, u64),
    /// From the step on so many do not happen, and the process hears so each time.
    Row(u64, u64),
}

fn failed(what: &str) -> Result<()> {
    Err(Error::new(Kind::Internal, what))
}

/// Steps that are cut at a point, with a turn of the user before each.
pub fn steps(user: &User, point: Point) -> Steps {
    let user = user.clone();
    let before = move |step| {
        user.turn();
        match point {
            Point::Refused(at) | Point::Broken(at, _) if step == at => failed("this step is refused"),
            Point::Row(at, length) if (at..at + length).contains(&step) => failed("these steps are refused"),
            Point::Death(at) | Point::Broken(_, at) if step >= at => failed("the process is dead"),
            _ => Ok(()),
        }
    };
    let after = move |step| match point {
        Point::Denied(at) if step == at => failed("this step is said to have failed"),
        _ => Ok(()),
    };
    Steps::around(before, after)
}

/// Steps before each of which the checker looks at the host.
pub fn watched_steps(lab: &Lab, user: &User, found: &Arc<Mutex<Findings>>) -> Steps {
    let (lab, user, found) = (lab.clone(), user.clone(), Arc::clone(found));
    let history = Mutex::new(History::default());
    Steps::new(move |step| {
        let world = World::of(&lab);
        let metadata = Metadata::of(&world);
        let mut now = always(&world, &metadata);
        now.extend(history.lock().unwrap().note(&metadata));
        found.lock().unwrap().extend(now.into_iter().map(|what| format!("before step {step}: {what}")));
        user.turn();
        Ok(())
    })
}

impl Trial {
    pub fn new(operation: &'static Operation) -> Self {
        let lab = used_lab_with_volume();
        let mut user = User::new(&lab, &["db"]);
        (operation.prepare)(&lab);
        let others = ["wal", "wide"].into_iter().filter(|name| is_written_to(&lab, operation, name));
        let volumes: Vec<_> = ["db"].into_iter().chain(others).collect();
        if volumes.len() > 1 {
            user = User::new(&lab, &volumes);
        }
        let kept_at = if operation.kept.is_empty() { 0 } else { 16 };
        if has_volume(&lab, "afar") {
            user = User::new(&lab, &["db", "other/afar"]);
        }
        (0..5).for_each(|_| user.turn());
        let before = State::now(&lab);
        let world = World::of(&lab);
        let there = snapshots(&Metadata::of(&world));
        let idle = there.iter().find(|(.., name)| name == "i");
        let idle = idle.map(|(origin, store, _)| [origin.clone(), store.clone()]);
        let known = there.into_iter().map(|(_, store, _)| store).collect();
        let (begun_at, after) = (user.writes(), before.clone());
        let partly = partly(&lab, operation);
        let mut trial =
            Self { operation, lab, user, before, after, partly, idle, kept_at, begun_at, known, steps: 0 };
        let done = trial.cut(Point::Nowhere);
        done.outcome.unwrap_or_else(|error| panic!("{}: {error}", operation.name));
        assert!((operation.happened)(&done.lab), "{}: it has not happened", operation.name);
        trial.after = State::now(&done.lab);
        trial.steps = done.steps;
        trial
    }

    /// A copy of the prepared host, and of its user.
    pub fn host(&self) -> (Lab, User) {
        let lab = self.lab.fork();
        let user = self.user.on(&lab);
        (lab, user)
    }

    /// Runs the operation with steps that are made for the host.
    pub fn run(&self, steps: impl FnOnce(&Lab, &User) -> Steps) -> Cut {
        let (lab, user) = self.host();
        let steps = steps(&lab, &user);
        let engine = lab.engine_stepping(&steps);
        let outcome = (self.operation.run)(&engine, MODE);
        let done = engine.done.lock().unwrap().clone();
        Cut { lab, user, outcome, done, is_refused: false, is_alive: true, steps: steps.taken() }
    }

    pub fn cut(&self, point: Point) -> Cut {
        let cut = self.run(|_, user| steps(user, point));
        let is_alive = !matches!(point, Point::Death(_) | Point::Broken(..));
        Cut { is_alive, is_refused: matches!(point, Point::Refused(_)), ..cut }
    }

    /// The next command, on each group, in one order or the other.
    pub fn next(&self, engine: &Running, number: u64) -> Result<()> {
        if self.operation.next == Next::Itself {
            return (self.operation.run)(engine, MODE).or_else(|_| repair_all(engine));
        }
        let mut groups = engine.vg_names()?.0;
        if number % 4 > 1 {
            groups.reverse();
        }
        for group in groups {
            if self.operation.next == Next::Any && number.is_multiple_of(2) {
                let next = NewVolume { vg: group, ..volume(&format!("next{number}"), 2) };
                engine.create_volume(&next, MODE)?;
            } else {
                engine.repair(&group, MODE)?;
            }
        }
        Ok(())
    }

    /// Everything that is wrong with a host on which the next command ran.
    pub fn judge(&self, cut: &Cut) -> Findings {
        let world = World::of(&cut.lab);
        let metadata = Metadata::of(&world);
        let mut wrong = at_rest(&world, &metadata);
        wrong.extend(cut.lab.kernel.violations());
        wrong.extend(cut.user.failures());
        let now = State::of(&world, &metadata);
        self.compare(&now, cut, &mut wrong);
        self.content(&world, &metadata, &cut.user, &mut wrong);
        self.idle_content(&cut.lab, &metadata, &mut wrong);
        wrong
    }

    /// What sleeps is looked at when it has been woken, on a copy of the host. A snapshot that is merged is none any more: its volume
    /// holds what it held.
    pub fn idle_content(&self, lab: &Lab, metadata: &Metadata, wrong: &mut Findings) {
        let Some([volume, snapshot]) = &self.idle else { return };
        let [own, old] = IDLE;
        let is_rolled_back = self.is_rolled_back(metadata, volume);
        let lab = lab.fork();
        if let Err(error) = lab.engine().activate(&lab.group(), &[], MODE) {
            wrong.push(format!("what is idle does not come up: {error} {:?}", error.chain()));
        }
        let world = World::of(&lab);
        let begin = |uuid: &str| Some(world.read(&world.device(uuid)?.number, 0).ok()?.first().copied());
        let all = snapshots(&Metadata::of(&world));
        let is_there = |store: &String| !(is_rolled_back && store == snapshot);
        let stores = all.iter().filter(|(origin, store, _)| origin == volume && is_there(store));
        let stores = stores.map(|(_, store, _)| (store, if store == snapshot { old } else { own }));
        let shows = if is_rolled_back { old } else { own };
        for (uuid, wanted) in stores.chain(world.device(volume).map(|_| (volume, shows))) {
            let shown = begin(uuid);
            if shown != Some(Some(wanted)) {
                wrong.push(format!("{uuid}, which is idle, holds {shown:?} and not {wanted}"));
            }
        }
    }

    fn compare(&self, now: &State, cut: &Cut, wrong: &mut Findings) {
        let same = |state: &State| (&now.metadata, &now.active) == (&state.metadata, &state.active);
        if cut.outcome.is_ok() && !same(&self.after) {
            wrong.push(format!("acknowledged and not there: {now:#?}\nwanted {:#?}", self.after));
        } else if !same(&self.before) && !same(&self.after) && !self.may_be_part(now, cut) {
            wrong.push(format!(
                "neither before nor after: {now:#?}\nbefore {:#?}\nafter {:#?}",
                self.before, self.after
            ));
        }
        let labels = [&self.before.labels, &self.after.labels];
        let is_least = (labels[0] & labels[1]).is_subset(&now.labels);
        if !is_least || !now.labels.is_subset(&(labels[0] | labels[1])) {
            wrong.push(format!("labels are on {:?}", now.labels));
        }
        if !now.claimed.is_subset(&self.before.claimed) {
            wrong.push(format!("{:?} are of no group and not to be had", now.claimed));
        }
    }

    /// What fails has not happened, or a mark says what the next command makes of it. Two things may have happened: a volume is larger though
    /// its file system is not, and what is written to one device alone is there although its flush is said to have failed.
    pub fn undone_at_once(&self, cut: &Cut) -> Findings {
        let now = State::now(&cut.lab);
        let is_marked = |line: &String| line.contains("dmsnap.");
        let is_before = (&now.metadata, &now.active) == (&self.before.metadata, &self.before.active);
        let lags = self.operation.name == "growth with the file system";
        let may_be_after = now == self.after && (lags || self.is_on_one_device());
        let may_differ = may_be_after || now.metadata.iter().any(is_marked) || self.may_be_part(&now, cut);
        if !cut.is_refused || cut.outcome.is_ok() || is_before || may_differ {
            return Findings::new();
        }
        vec![format!("it failed and has happened: {now:#?}\nwanted {:#?}", self.before)]
    }

    /// The group that it makes, changes or removes has one device.
    fn is_on_one_device(&self) -> bool {
        let [before, after] = [&self.before.metadata, &self.after.metadata];
        let differs = |line: &&String| !(before.contains(line) && after.contains(line));
        let mut lines = before.iter().chain(after).filter(differs);
        lines.any(|line| line.ends_with(": 1 devices []"))
    }

    /// Some of its parts have happened, whatever is active.
    pub fn is_some(&self, now: &State) -> bool {
        self.partly.iter().any(|(_, state)| state.metadata == now.metadata)
    }

    /// Some of its parts are done, with those that were told so.
    fn is_partly(&self, now: &State, done: &BTreeSet<usize>) -> bool {
        let is_so = |(parts, state): &(BTreeSet<usize>, State)| {
            done.is_subset(parts) && (&state.metadata, &state.active) == (&now.metadata, &now.active)
        };
        self.partly.iter().any(is_so)
    }

    /// Volumes come up and go down one by one. So does the kernel let go of snapshots, and what it let go of cannot come back: who is told
    /// that a removal of several failed may find some of them gone, but who is told nothing finds all of them or none. A store that was made
    /// larger, for a rollback or beside others, stays so: its end may be in use.
    fn may_be_part(&self, now: &State, cut: &Cut) -> bool {
        if !self.partly.is_empty() {
            return self.is_partly(now, &cut.done);
        }
        let [before, after] = [&self.before, &self.after];
        let is_known = |line: &String| before.metadata.contains(line) || after.metadata.contains(line);
        let is_each_known = |now: &State| now.active == before.active && now.metadata.iter().all(is_known);
        match self.operation.command {
            "activate" => {
                let is_less =
                    |less: &State, more: &State| less.active.iter().all(|lv| more.active.contains(lv));
                now.metadata == after.metadata && is_less(before, now) && is_less(now, after)
            }
            "snapshot remove" => {
                let is_less = |less: &State, more: &State| {
                    less.metadata.iter().all(|line| more.metadata.contains(line))
                };
                cut.is_alive && cut.outcome.is_err() && is_less(now, before) && is_less(after, now)
            }
            "snapshot rollback" => now.active == before.active && self.has_longer_stores(now),
            "monitor" => cut.is_alive && cut.outcome.is_err() && is_each_known(now),
            _ => false,
        }
    }

    /// True if a rollback has left no more than stores that were made larger for it.
    pub fn has_longer_stores(&self, now: &State) -> bool {
        let [before, after] = [&self.before, &self.after];
        let relations = |state: &State| -> Vec<_> {
            state.metadata.iter().filter(|line| line.contains(" of ")).cloned().collect()
        };
        let is_known = |line: &String| before.metadata.contains(line) || after.metadata.contains(line);
        self.operation.command == "snapshot rollback"
            && relations(now) == relations(before)
            && now.metadata.iter().all(is_known)
    }

    /// Every volume holds what was written to it, every snapshot what was there at one instant, which all new ones have in common.
    fn content(&self, world: &World, metadata: &Metadata, user: &User, wrong: &mut Findings) {
        for (name, uuid) in user.volumes() {
            let shown = world.device(&uuid).ok_or_else(|| "it is gone".to_owned());
            let shown = shown.and_then(|device| User::shown(world, &device.number));
            let is_right = |state: Vec<u64>| shown.as_ref() == Ok(&state);
            let may_show = match self.is_rolled_back(metadata, &uuid) {
                false => is_right(user.state(&uuid, user.writes())),
                true => (self.begun_at..=user.writes())
                    .any(|at| is_right(user.state_rolled_back(&uuid, self.snapped_at(), at))),
            };
            if !may_show {
                wrong.push(format!("{name} holds {shown:?}"));
            }
        }
        let mut new = Vec::new();
        for (origin, store, name) in snapshots(metadata) {
            if !user.volumes().iter().any(|(_, uuid)| *uuid == origin) {
                continue;
            }
            let is_new = !self.known.contains(&store);
            let shown = world.device(&store).ok_or_else(|| "it is gone".to_owned());
            let shown = shown.and_then(|device| User::shown(world, &device.number));
            if self.operation.kept.contains(&name.as_str()) {
                if shown.as_ref() != Ok(&user.state(&origin, self.kept_at)) {
                    wrong.push(format!("the snapshot {name}, which was there, holds {shown:?}"));
                }
            } else if is_new {
                new.push((origin, name, shown));
            }
        }
        let at = |writes: &usize| {
            new.iter().all(|(origin, _, shown)| shown.as_ref() == Ok(&user.state(origin, *writes)))
        };
        if let Some(kept) = self.operation.kept.first() {
            self.copies(world, metadata, user, kept, wrong);
        }
        if !(self.begun_at..=user.writes()).any(|writes| at(&writes)) {
            wrong.push(format!("new snapshots show no moment: {new:?}"));
        }
    }

    /// True if the operation is a rollback, and has happened to this volume.
    pub fn is_rolled_back(&self, metadata: &Metadata, uuid: &str) -> bool {
        let is_merged = |vg: &Vg| {
            vg.snapshots().any(|(origin, _, _, _, merging)| {
                let origin = vg.lv(origin).map(|lv| format!("LVM-{}{}", vg.id, lv.id));
                merging && origin.as_deref() == Some(uuid)
            }) || vg.rollbacks().any(|fill| format!("LVM-{}{}", vg.id, fill.volume.id) == uuid)
        };
        self.operation.name.starts_with("a rollback") && metadata.groups.values().any(is_merged)
    }

    /// What was written when the first snapshots were taken.
    pub fn snapped_at(&self) -> usize {
        16
    }

    /// The volume `copy`, where there is one, holds what the snapshot does that it was restored from.
    pub fn copies(&self, world: &World, metadata: &Metadata, user: &User, kept: &str, wrong: &mut Findings) {
        let of = |vg: &Vg| vg.lv("copy").map(|lv| format!("LVM-{}{}", vg.id, lv.id));
        let db = user.volumes().into_iter().find(|(name, _)| name == "db");
        for (uuid, (_, db)) in metadata.groups.values().filter_map(of).zip(db) {
            let shown = world.device(&uuid).ok_or_else(|| "it is gone".to_owned());
            let shown = shown.and_then(|device| User::shown(world, &device.number));
            if shown.as_ref() != Ok(&user.state(&db, self.kept_at)) {
                wrong.push(format!("copy, restored from {kept}, holds {shown:?}"));
            }
        }
    }

    /// What was not done can be done, and what is kept is kept from later writes too.
    pub fn go_on(&self, cut: &Cut) -> Findings {
        let mut wrong = Findings::new();
        if State::now(&cut.lab) != self.after && self.before != self.after {
            let error = (self.operation.run)(&cut.lab.engine(), MODE).err();
            let is_partial = cut.is_alive && self.operation.command == "snapshot remove";
            if let Some(error) = error {
                if !self.partly.is_empty() || is_partial && error.kind() == Kind::NotFound {
                    return wrong;
                }
                wrong.push(format!("a second attempt fails: {error}"));
            }
        }
        cut.user.turn();
        cut.user.disturb();
        let (lab, user) = (cut.lab.clone(), cut.user.clone());
        let done = BTreeSet::new();
        let again = Cut { lab, user, outcome: Ok(()), done, is_refused: false, is_alive: true, steps: 0 };
        wrong.extend(self.judge(&again));
        wrong
    }
}

/// Each group, as far as it can be: one that lacks devices cannot.
pub fn repair_all(engine: &Running) -> Result<()> {
    engine.vg_names()?.0.iter().for_each(|vg| drop(engine.repair(vg, MODE)));
    Ok(())
}

/// Somebody writes to it whatever the operation does.
fn is_written_to(lab: &Lab, operation: &Operation, name: &str) -> bool {
    let is_active =
        DmName::new(format!("vg--0-{name}")).is_ok_and(|top| lab.kernel.info(&top).unwrap().is_some());
    is_active && operation.command != "volume remove"
}

/// What there is when only some parts of an operation are done.
fn partly(lab: &Lab, operation: &Operation) -> Vec<(BTreeSet<usize>, State)> {
    let parts = rounds::parts(operation);
    let some = |which: usize| {
        let lab = lab.fork();
        let done = (0..parts.len()).filter(|number| which >> number & 1 == 1).collect::<BTreeSet<_>>();
        done.iter().for_each(|number| parts[*number](&lab.engine(), MODE).unwrap());
        (done, State::now(&lab))
    };
    if parts.is_empty() { Vec::new() } else { (0..1 << parts.len()).map(some).collect() }
}

impl Cut {
    /// The same on a copy of the host.
    pub fn copy(&self) -> Self {
        let lab = self.lab.fork();
        let user = self.user.on(&lab);
        let outcome = self.outcome.as_ref().map_err(Clone::clone).copied();
        Self { lab, user, outcome, done: self.done.clone(), ..*self }
    }

    /// The host as the watchdog of its dead process leaves it, if it died in a switch: in each way in which it may have said how far it
    /// came.
    pub fn rescued(&self) -> Vec<(Reached, Self)> {
        let rescued = |reached| {
            let copy = self.copy();
            copy.user.turn();
            copy.lab.kernel.rescue(reached);
            (reached, copy)
        };
        self.lab.kernel.reached().into_iter().map(rescued).collect()
    }
}

/// The uuids of origin and snapshot, and the snapshot's name.
pub fn snapshots(metadata: &Metadata) -> Vec<(String, String, String)> {
    let of = |vg: &Vg| {
        let uuid = |lv: &str| vg.lv(lv).map(|lv| format!("LVM-{}{}", vg.id, lv.id)).unwrap_or_default();
        let all = vg.snapshots().map(|(origin, store, ..)| (uuid(origin), uuid(store), store.to_owned()));
        all.collect::<Vec<_>>()
    };
    metadata.groups.values().flat_map(of).collect()
}
