//! Every operation, cut at every step in every way in which a process that lives or dies can be cut.

use std::sync::{Arc, Mutex};

use crate::checker::kernel::World;
use crate::lab::Lab;
use crate::operations::{cut_ones, rounds};
use crate::tally::{Tally, is_long, seed};
use crate::trial::{Cut, Point, Trial, steps, watched_steps};
use crate::user::User;
use dmsnap::block::mem::mixed;

/// At every instant of every operation the disks and the kernel's tables keep the invariants, whatever the user writes.
#[test]
fn at_every_instant_of_every_operation_the_invariants_hold() {
    let mut tally = Tally::new("instants");
    for operation in cut_ones() {
        let trial = Trial::new(operation);
        let found = Arc::default();
        let mut cut = trial.run(|lab, user| watched_steps(lab, user, &found));
        settled(&trial, &mut cut, 1);
        let mut found = found.lock().unwrap().clone();
        found.extend(trial.judge(&cut));
        (0..cut.steps).for_each(|_| tally.cut(operation.name, "not cut", &[]));
        tally.cut(operation.name, "not cut", &found);
    }
    tally.end();
}

#[test]
fn whatever_step_is_refused_nothing_stays_suspended_and_the_next_command_puts_the_rest_right() {
    living("refusals", Point::Refused);
}

#[test]
fn whatever_step_is_done_and_said_to_have_failed_nothing_stays_suspended_and_the_next_command_puts_the_rest_right()
 {
    living("denials", Point::Denied);
}

/// The process lives and sees to it at once that I/O goes on.
fn living(kind: &'static str, point: fn(u64) -> Point) {
    let mut tally = Tally::new(kind);
    for operation in cut_ones() {
        let trial = Trial::new(operation);
        for step in 1..=trial.steps {
            let mut cut = trial.cut(point(step));
            let was = trial.lab.kernel.unsettled();
            let unsettled = cut.lab.kernel.unsettled().into_iter().filter(|name| !was.contains(name));
            let mut found: Vec<_> = unsettled.map(|name| format!("{name} is unsettled")).collect();
            found.extend(trial.undone_at_once(&cut));
            found.extend(settled(&trial, &mut cut, step));
            tally.cut(operation.name, &format!("step {step}"), &found);
        }
    }
    tally.end();
}

/// Where the way back is refused as well a volume may be left suspended, until the operation goes back: the others of its round do not wait
/// for udev before that. A fourth refusal would meet that too.
#[test]
fn however_many_steps_of_a_round_are_refused_nobody_waits_while_a_volume_is_suspended() {
    let mut tally = Tally::new("rows of refusals");
    for operation in cut_ones().filter(|operation| !rounds::parts(operation).is_empty()) {
        let trial = Trial::new(operation);
        for (step, length) in (1..=trial.steps).flat_map(|step| (2..=3).map(move |length| (step, length))) {
            let mut cut = trial.cut(Point::Row(step, length));
            let found = settled(&trial, &mut cut, step);
            tally.cut(operation.name, &format!("{length} steps from {step} on"), &found);
        }
    }
    tally.end();
}

#[test]
fn whenever_a_process_dies_the_next_command_finishes_or_undoes() {
    let mut tally = Tally::new("deaths");
    for operation in cut_ones() {
        let trial = Trial::new(operation);
        for step in 1..=trial.steps + 1 {
            let mut cut = trial.cut(Point::Death(step));
            let found = settled(&trial, &mut cut, step);
            tally.cut(operation.name, &format!("dead before step {step}"), &found);
        }
    }
    tally.end();
}

/// A process dies at each step of a switch, on its way there and back, and its watchdog ends the switch.
#[test]
fn whenever_a_watchdog_ends_a_switch_nothing_stays_suspended_and_the_next_command_finishes_or_undoes() {
    let mut tally = Tally::new("rescues");
    for operation in cut_ones() {
        let trial = Trial::new(operation);
        for step in 1..=trial.steps {
            let dead = trial.cut(Point::Death(step));
            if dead.lab.kernel.reached().is_empty() {
                continue;
            }
            rescued(&trial, &dead, &mut tally, &format!("dead before step {step}"));
            let mut back = None;
            for later in step + 1.. {
                let dead = trial.cut(Point::Broken(step, later));
                let taken = Some(dead.lab.kernel.taken_back());
                if taken == back {
                    break;
                }
                back = taken;
                rescued(&trial, &dead, &mut tally, &format!("{step} refused, dead before step {later}"));
            }
        }
    }
    tally.end();
}

fn rescued(trial: &Trial, dead: &Cut, tally: &mut Tally, when: &str) {
    let suspended = |lab: &Lab| {
        let all = World::of(lab).devices.into_iter().filter(|device| device.suspended);
        all.map(|device| device.name).collect::<Vec<_>>()
    };
    let was = suspended(&trial.lab);
    for (reached, mut cut) in dead.rescued() {
        let left = suspended(&cut.lab).into_iter().filter(|name| !was.contains(name));
        let mut found: Vec<_> = left.map(|name| format!("{name} is left suspended")).collect();
        found.extend(settled(trial, &mut cut, tally.total()));
        tally.cut(trial.operation.name, &format!("{when}, {reached:?}"), &found);
    }
}

/// The command that puts right what the first one left dies as well; a third one follows.
#[test]
fn whenever_the_next_process_dies_as_well_the_one_after_it_finishes_or_undoes() {
    let mut tally = Tally::new("two deaths");
    let mut number = seed();
    for operation in cut_ones() {
        let trial = Trial::new(operation);
        for step in 1..=trial.steps {
            let first = trial.cut(Point::Death(step));
            let next = |lab: &Lab, user: &User, point| {
                let steps = steps(user, point);
                let outcome = trial.next(&lab.engine_stepping(&steps), step);
                (outcome, steps.taken())
            };
            let whole = first.copy();
            let (_, taken) = next(&whole.lab, &whole.user, Point::Nowhere);
            number = mixed(number);
            let one = 1 + number % taken.max(1);
            for second in (1..=taken).filter(|second| is_long() || *second == one) {
                let mut cut = first.copy();
                // Acknowledged or not, what the second one was to do itself is not looked at.
                let _ = next(&cut.lab, &cut.user, Point::Death(second));
                let found = settled(&trial, &mut cut, step + second + 100);
                tally.cut(operation.name, &format!("dead before step {step}, then {second}"), &found);
            }
        }
    }
    tally.end();
}

/// Lets the next command run, watched, and says what is wrong with what is left.
fn settled(trial: &Trial, cut: &mut Cut, number: u64) -> Vec<String> {
    let watched = Arc::new(Mutex::new(Vec::new()));
    let done = match is_long() {
        true => {
            let steps = watched_steps(&cut.lab, &cut.user, &watched);
            trial.next(&cut.lab.engine_stepping(&steps), number)
        }
        false => {
            cut.user.turn();
            trial.next(&cut.lab.engine_stepping(&steps(&cut.user, Point::Nowhere)), number)
        }
    };
    let mut found = watched.lock().unwrap().clone();
    if let Err(error) = done
        && trial.operation.next != crate::operations::Next::Itself
    {
        found.push(format!("the next command fails: {error} {:?}", error.chain()));
    }
    cut.user.turn();
    found.extend(trial.judge(cut));
    if found.is_empty() {
        found.extend(trial.go_on(cut).into_iter().map(|what| format!("later: {what}")));
    }
    found
}
