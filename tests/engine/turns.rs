//! Who works on a volume group when: threads of one process, other processes, and what becomes of those whose leader panics.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Barrier, Condvar, Mutex};
use std::thread;

use crate::lab::{Lab, Running, cut, differ, has_volume, other, vg, volume};
use crate::together::{Act, MODE, at_once, create, kinds, lab_with_volumes, make, remove, seqno, until};
use dmsnap::engine::Mode;
use dmsnap::engine::volume::NewVolume;
use dmsnap::error::{Error, Kind};
use dmsnap::units::{Bytes, Size};
use nix::fcntl::{Flock, FlockArg};

/// Somebody stands at a gate until it is opened.
#[derive(Default)]
struct Gate {
    is_open: Mutex<bool>,
    opened: Condvar,
    arrivals: AtomicU64,
}

impl Gate {
    fn pass(&self) {
        self.arrivals.fetch_add(1, Ordering::SeqCst);
        let mut is_open = self.is_open.lock().unwrap();
        while !*is_open {
            is_open = self.opened.wait(is_open).unwrap();
        }
    }

    fn open(&self) {
        *self.is_open.lock().unwrap() = true;
        self.opened.notify_all();
    }

    fn is_reached(&self) -> bool {
        self.arrivals.load(Ordering::SeqCst) > 0
    }
}

/// An engine that stops before its first step until the gate is opened.
fn gated(lab: &Lab) -> (Running, Arc<Gate>) {
    let gate = Arc::new(Gate::default());
    let inner = gate.clone();
    let engine = lab.engine_with(move |step| {
        if step == 1 {
            inner.pass();
        }
        Ok(())
    });
    (engine, gate)
}

#[test]
fn who_comes_while_a_round_is_under_way_shares_the_next() {
    let lab = lab_with_volumes(9);
    let (engine, gate) = gated(&lab);
    let began = seqno(&lab);
    let engine = &engine;
    thread::scope(|scope| {
        for number in 0..9 {
            scope.spawn(move || {
                differ(number);
                create(&format!("v{number}"), &format!("s{number}"))(engine).unwrap();
            });
            if number == 0 {
                until("the first begins", || gate.is_reached());
            }
        }
        until("the others wait", || engine.waiting(&vg()) == 8);
        gate.open();
    });
    assert_eq!(seqno(&lab), began + 4);
    lab.assert_at_rest("after two rounds");
}

#[test]
fn who_is_not_to_wait_does_not_wait_for_this_process_either() {
    let lab = lab_with_volumes(2);
    let (engine, gate) = gated(&lab);
    thread::scope(|scope| {
        let first = scope.spawn(|| create("v0", "s")(&engine));
        until("the first begins", || gate.is_reached());
        let hasty = engine.create_snapshots(&cut(&[("v1", "t")]), Mode { no_wait: true, ..MODE });
        assert_eq!(hasty.unwrap_err().kind(), Kind::Locked);
        gate.open();
        first.join().unwrap().unwrap();
    });
}

#[test]
fn groups_do_not_wait_for_each_other() {
    let lab = lab_with_volumes(1);
    lab.engine().create_group(&other(), MODE).unwrap();
    let (engine, gate) = gated(&lab);
    thread::scope(|scope| {
        let first = scope.spawn(|| create("v0", "s")(&engine));
        until("the first begins", || gate.is_reached());
        differ(7);
        let elsewhere = NewVolume { vg: other().name, size: Size::Absolute(Bytes::mib(4)), ..volume("v", 4) };
        engine.create_volume(&elsewhere, MODE).unwrap();
        gate.open();
        first.join().unwrap().unwrap();
    });
    assert!(has_volume(&lab, "v"));
}

/// True if somebody stands before the group's lock: he has the lock before the lock.
fn somebody_is_next(lab: &Lab) -> bool {
    let file = std::fs::File::create(lab.locks.path().join("V_vg-0:aux")).unwrap();
    Flock::lock(file, FlockArg::LockExclusiveNonblock).is_err()
}

#[test]
fn another_process_has_its_turn_between_two_rounds() {
    let lab = lab_with_volumes(3);
    let (engine, gate) = gated(&lab);
    let stranger = lab.engine();
    thread::scope(|scope| {
        let first = scope.spawn(|| create("v0", "s")(&engine));
        until("the first begins", || gate.is_reached());
        let foreign = scope.spawn(|| {
            differ(1);
            create("v1", "twin")(&stranger)
        });
        until("the other process waits", || somebody_is_next(&lab));
        let late = scope.spawn(|| {
            differ(2);
            create("v2", "twin")(&engine)
        });
        until("the next round waits", || engine.waiting(&vg()) == 1);
        gate.open();
        first.join().unwrap().unwrap();
        foreign.join().unwrap().unwrap();
        assert_eq!(late.join().unwrap().unwrap_err().kind(), Kind::AlreadyExists);
    });
}

#[test]
fn when_a_leader_panics_its_round_fails_and_the_next_one_goes_on() {
    let lab = lab_with_volumes(4);
    let gate = Arc::new(Gate::default());
    let inner = gate.clone();
    let engine = lab.engine_with(move |step| {
        if step == 9 {
            inner.pass();
            panic!("on purpose");
        }
        Ok(())
    });
    thread::scope(|scope| {
        let round = scope.spawn(|| {
            thread::scope(|scope| {
                let led = scope.spawn(|| create("v0", "a")(&engine));
                led.join().map_err(drop)
            })
        });
        until("the first begins", || gate.is_reached());
        let late = scope.spawn(|| {
            differ(1);
            create("v1", "b")(&engine)
        });
        until("another waits", || engine.waiting(&vg()) == 1);
        gate.open();
        round.join().unwrap().unwrap_err();
        late.join().unwrap().unwrap();
    });
    assert_eq!(lab.snapshot_names(), ["b"]);
    lab.assert_at_rest("after a panic");
}

#[test]
fn whose_leader_panics_is_told_and_does_not_hang() {
    let lab = lab_with_volumes(3);
    let engine = lab.engine_with(|step| if step == 9 { panic!("on purpose") } else { Ok(()) });
    let acts = (0..3).map(|number| {
        let act = create(&format!("v{number}"), &format!("s{number}"));
        let caught: Act<'_> = Box::new(move |engine| {
            let act = std::panic::AssertUnwindSafe(|| act(engine));
            std::panic::catch_unwind(act).unwrap_or_else(|_| Err(Error::new(Kind::InUse, "it led")))
        });
        caught
    });
    let outcomes = at_once(&lab, &engine, acts.collect());
    assert_eq!(kinds(outcomes), [Some(Kind::InUse), Some(Kind::Internal), Some(Kind::Internal)]);
    make("next", 1)(&engine).unwrap();
    lab.assert_at_rest("after a panic");
}

/// Two processes of four threads each make and take away what is theirs.
#[test]
fn under_a_crowd_everybody_finds_what_is_theirs() {
    let lab = lab_with_volumes(4);
    let processes = [lab.engine(), lab.engine()];
    let begin = Barrier::new(8);
    thread::scope(|scope| {
        for number in 0..8_u64 {
            let (engine, begin) = (&processes[usize::from(number % 2 == 0)], &begin);
            scope.spawn(move || {
                differ(number);
                begin.wait();
                for turn in 0..6 {
                    let name = format!("t{number}n{turn}");
                    create(&format!("v{}", (number + turn) % 4), &name)(engine).unwrap();
                    if turn % 3 != 0 {
                        remove(&name)(engine).unwrap();
                    }
                }
            });
        }
    });
    let kept: BTreeSet<_> = (0..8).flat_map(|n| [0, 3].map(|turn| format!("t{n}n{turn}"))).collect();
    assert_eq!(lab.snapshot_names().into_iter().collect::<BTreeSet<_>>(), kept);
    lab.assert_at_rest("after the crowd");
    lab.assert_short_switches();
}
