//! Every operation, cut by a power failure at every write: the kernel's state is gone, and of what was not flushed any part may be there.

use crate::checker::kernel::World;
use crate::checker::rules::{Findings, Metadata, at_rest};
use crate::lab::{Lab, MODE};
use crate::operations::{Next, cut_ones, operations};
use crate::tally::{Tally, is_long, seed};
use crate::trial::{Point, State, Trial, snapshots, steps};
use crate::user::User;
use dmsnap::block::mem::{Remains, mixed};
use dmsnap::steps::Steps;

/// So many of the contents that the disks may have are tried after each event; all of them in a long run.
const EACH: usize = 5;

#[test]
fn whenever_power_fails_the_next_boot_finishes_or_undoes() {
    cut("power cuts", 1, |_| Steps::counted());
}

#[test]
fn whenever_power_fails_under_load_the_next_boot_finishes_or_undoes() {
    cut("power cuts under load", 5, |user| steps(&user.clone().careless(), Point::Nowhere));
}

/// Power fails after each event of the log, or only after each `stride`th.
fn cut(kind: &'static str, stride: usize, steps: fn(&User) -> Steps) {
    let stride = if is_long() { 1 } else { stride };
    let mut tally = Tally::new(kind);
    let mut number = seed();
    for operation in cut_ones() {
        let trial = Trial::new(operation);
        let done = trial.run(|lab, user| {
            lab.disks.settle();
            steps(user)
        });
        let events = done.lab.disks.log().len();
        for event in (0..=events).filter(|event| (events - event).is_multiple_of(stride)) {
            number = mixed(number);
            let remains = match is_long() {
                true => done.lab.disks.images_after_cut(event),
                false => done.lab.disks.some_images_after_cut(event, EACH, number),
            };
            for Remains { words, devices } in remains {
                let lab = done.lab.booted(&devices);
                let user = done.user.restarted_on(&lab);
                let found = booted(&trial, &lab, &user, event == events);
                tally.cut(operation.name, &words, &found);
            }
        }
    }
    tally.end();
}

/// The kernel does not flush an empty store before its first exception, and where there is no metadata a commit flushes nothing either.
#[test]
fn a_store_is_empty_after_a_power_failure_whatever_lay_there_before() {
    let mut tally = Tally::new("power cuts of an empty store");
    let name = "a snapshot on a device without metadata";
    let trial = Trial::new(operations().find(|operation| operation.name == name).unwrap());
    let done = trial.run(|lab, _| {
        lab.disks.settle();
        Steps::counted()
    });
    for Remains { words, devices } in done.lab.disks.images_after_cut(done.lab.disks.log().len()) {
        let lab = done.lab.booted(&devices);
        let found = booted(&trial, &lab, &done.user.restarted_on(&lab), true);
        tally.cut(name, &words, &found);
    }
    tally.end();
}

/// Boots, and says what is wrong then.
fn booted(trial: &Trial, lab: &Lab, user: &User, is_acknowledged: bool) -> Findings {
    let mut wrong = Findings::new();
    let names = lab.engine().vg_names().unwrap().0;
    let is_its_own_way_out = trial.operation.next == Next::Itself;
    if is_its_own_way_out {
        // It has happened, or is possible again.
        trial.next(&lab.engine(), 0).unwrap();
    }
    for vg in names {
        let repaired = if is_its_own_way_out { Ok(()) } else { lab.engine().repair(&vg, MODE).map(drop) };
        if let Err(error) = repaired.and_then(|()| lab.engine().activate(&vg, &[], MODE)) {
            wrong.push(format!("{vg} does not come up: {error} {:?}", error.chain()));
        }
    }
    let world = World::of(lab);
    let metadata = Metadata::of(&world);
    wrong.extend(at_rest(&world, &metadata));
    wrong.extend(lab.kernel.violations());
    let now = State::of(&world, &metadata);
    let is_new = now.metadata == trial.after.metadata;
    let is_old =
        now.metadata == trial.before.metadata || trial.is_some(&now) || trial.has_longer_stores(&now);
    if !is_new && (is_acknowledged || !is_old) {
        wrong.push(format!("neither before nor after: {now:#?}\nafter {:#?}", trial.after));
    }
    content(trial, &world, &metadata, user, &mut wrong);
    trial.idle_content(lab, &metadata, &mut wrong);
    // What is tracked after the boot is kept from what is written then.
    if wrong.is_empty() {
        user.disturb();
        wrong.extend(user.failures());
        let world = World::of(lab);
        content_of_snapshots(trial, &world, &metadata, user, &mut wrong);
    }
    wrong
}

/// What was flushed before the operation is there.
fn content(trial: &Trial, world: &World, metadata: &Metadata, user: &User, wrong: &mut Findings) {
    for (name, uuid) in user.volumes() {
        let shown = shown(world, &uuid);
        let before = user.state(&uuid, trial.begun_at);
        if shown.as_deref().map(User::still) != Ok(User::still(&before)) {
            wrong.push(format!("{name} holds {shown:?}"));
        }
    }
    content_of_snapshots(trial, world, metadata, user, wrong);
    if let Some(kept) = trial.operation.kept.first() {
        trial.copies(world, metadata, user, kept, wrong);
    }
}

/// A snapshot that was there has what it had; a new one what nobody wrote to meanwhile.
fn content_of_snapshots(
    trial: &Trial,
    world: &World,
    metadata: &Metadata,
    user: &User,
    wrong: &mut Findings,
) {
    for (origin, store, name) in snapshots(metadata) {
        if !user.volumes().iter().any(|(_, uuid)| *uuid == origin) {
            continue;
        }
        let shown = shown(world, &store);
        let is_kept = trial.operation.kept.contains(&name.as_str());
        if !is_kept && trial.known.contains(&store) {
            continue;
        }
        let is_right = if is_kept {
            shown.as_ref() == Ok(&user.state(&origin, trial.kept_at))
        } else {
            shown.as_deref().map(User::still) == Ok(User::still(&user.state(&origin, trial.begun_at)))
        };
        if !is_right {
            wrong.push(format!("the snapshot {name} holds {shown:?}"));
        }
    }
}

fn shown(world: &World, uuid: &str) -> Result<Vec<u64>, String> {
    let device = world.device(uuid).ok_or_else(|| "it is gone".to_owned());
    device.and_then(|device| User::shown(world, &device.number))
}
