//! Operations on one volume group that come at once: what they share, and that each has the outcome that it would have alone.

use std::collections::BTreeSet;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use crate::lab::{Lab, cut, differ, growth, has, has_volume, lv, vg, volume};
use dmsnap::block::mem::{Event, Operation};
use dmsnap::dm::sim::Call;
use dmsnap::dm::{DmName, Freeze};
use dmsnap::engine::resize::Growth;
use dmsnap::engine::snapshot::NewSnapshots;
use dmsnap::engine::volume::NewVolume;
use dmsnap::engine::{Engine, Mode};
use dmsnap::error::{Kind, Result};
use dmsnap::lvm::Locks;
use dmsnap::lvm::lock;
use dmsnap::units::Bytes;

/// As the agent asks: it waits for its turn.
pub const MODE: Mode = Mode { dry_run: false, no_wait: false };

pub type Act<'a> = Box<dyn Fn(&Engine) -> Result<()> + Send + 'a>;

pub fn create(origin: &str, name: &str) -> Act<'static> {
    let new = cut(&[(origin, name)]);
    Box::new(move |engine| engine.create_snapshots(&new, MODE).map(drop))
}

pub fn remove(name: &str) -> Act<'static> {
    let name = lv(name);
    Box::new(move |engine| engine.remove_snapshots(&vg(), std::slice::from_ref(&name), MODE).map(drop))
}

pub fn make(name: &str, mib: u64) -> Act<'static> {
    let new = volume(name, mib);
    Box::new(move |engine| engine.create_volume(&new, MODE).map(drop))
}

fn extend(name: &str, more: &str) -> Act<'static> {
    let growth = Growth { name: lv(name), ..growth(more) };
    Box::new(move |engine| engine.extend_volume(&growth, MODE).map(drop))
}

pub fn until(what: &str, is_so: impl Fn() -> bool) {
    let limit = Instant::now() + Duration::from_secs(60);
    while !is_so() {
        assert!(Instant::now() < limit, "not within a minute: {what}");
        thread::sleep(Duration::from_millis(1));
    }
}

/// Lets these wait for the group, in this order, and then begin together.
pub fn at_once(lab: &Lab, engine: &Engine, acts: Vec<Act<'_>>) -> Vec<Result<()>> {
    waiting_together(lab.locks.path(), engine, acts)
}

/// The same where the locks are.
pub fn waiting_together(locks: &Path, engine: &Engine, acts: Vec<Act<'_>>) -> Vec<Result<()>> {
    let other = Locks::new(locks);
    let held = other.vg(&vg(), lock::Mode::Exclusive, lock::Wait::Forever).unwrap();
    thread::scope(|scope| {
        let mut threads = Vec::new();
        for (act, number) in acts.into_iter().zip(1..) {
            threads.push(scope.spawn(move || {
                differ(number);
                act(engine)
            }));
            until("the thread waits", || engine.waiting(&vg()) == threads.len());
        }
        drop(held);
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}

/// A lab with so many volumes of the group, `v0` and on.
pub fn lab_with_volumes(count: usize) -> Lab {
    let lab = Lab::new();
    for number in 0..count {
        lab.engine().create_volume(&volume(&format!("v{number}"), 1), MODE).unwrap();
    }
    lab
}

pub fn seqno(lab: &Lab) -> u64 {
    lab.engine().vgs(Some(&vg())).unwrap()[0].seqno
}

fn flushes(lab: &Lab) -> usize {
    lab.disks.log().records().iter().filter(|record| record.event == Event::Flush).count()
}

pub fn kinds(outcomes: Vec<Result<()>>) -> Vec<Option<Kind>> {
    outcomes.into_iter().map(|outcome| outcome.err().map(|error| error.kind())).collect()
}

#[test]
fn sixty_four_snapshots_at_once_share_two_commits_and_flush_as_often_as_one() {
    let lab = lab_with_volumes(64);
    let engine = lab.engine();
    let (began, flushed) = (seqno(&lab), flushes(&lab));
    create("v0", "alone")(&engine).unwrap();
    let alone = flushes(&lab) - flushed;
    let flushed = flushes(&lab);
    let acts = (0..64).map(|number| create(&format!("v{number}"), &format!("s{number}"))).collect();
    let outcomes = at_once(&lab, &engine, acts);
    assert_eq!(kinds(outcomes), [None; 64]);
    assert_eq!(seqno(&lab), began + 4, "two commits alone, two for all the others");
    let together = flushes(&lab) - flushed;
    assert!(together <= alone + 1, "{together} flushes together and {alone} alone: there is one disk more");
    assert_eq!(lab.snapshots().len(), 65);
    lab.assert_at_rest("after 64 at once");
}

/// Each switch is as short as alone: there is never more than one origin that waits.
#[test]
fn what_shares_a_commit_does_not_share_a_freeze() {
    let lab = lab_with_volumes(8);
    lab.kernel.forget_calls();
    let acts = (0..8).map(|number| create(&format!("v{number}"), &format!("s{number}"))).collect();
    kinds(at_once(&lab, &lab.engine(), acts)).iter().for_each(|kind| assert_eq!(*kind, None));
    let mut suspended = BTreeSet::new();
    for call in lab.kernel.calls() {
        match call {
            Call::Suspend(name, Freeze::FileSystem | Freeze::Io) => drop(suspended.insert(name)),
            Call::Resume(name, _) => drop(suspended.remove(&name)),
            _ => {}
        }
        assert!(suspended.len() <= 1, "{suspended:?}");
    }
    lab.assert_short_switches();
}

/// Whoever waits for others' switches is written to meanwhile.
#[test]
fn a_file_system_is_written_back_directly_before_its_own_freeze() {
    let lab = lab_with_volumes(3);
    for name in ["v0", "v1", "v2"] {
        lab.devices.mount(&DmName::new(lab.top(name)).unwrap(), format!("/mnt/{name}"));
    }
    lab.kernel.forget_calls();
    let acts = (0..3).map(|number| create(&format!("v{number}"), &format!("s{number}"))).collect();
    kinds(at_once(&lab, &lab.engine(), acts)).iter().for_each(|kind| assert_eq!(*kind, None));
    let calls = lab.kernel.calls();
    let switching = |call: &&Call| matches!(call, Call::Sync(_) | Call::Suspend(_, Freeze::FileSystem));
    let order: Vec<_> = calls.iter().filter(switching).map(ToString::to_string).collect();
    let wanted: Vec<_> = (0..3)
        .flat_map(|number| {
            let name = lab.top(&format!("v{number}"));
            [format!("sync the file system on {name}"), format!("suspend {name} and its file system")]
        })
        .collect();
    assert_eq!(order, wanted);
}

#[test]
fn the_metadata_says_what_the_first_did_and_how_many_more() {
    let lab = lab_with_volumes(3);
    let acts = (0..3).map(|number| create(&format!("v{number}"), &format!("s{number}"))).collect();
    at_once(&lab, &lab.engine(), acts);
    let area = lab.disks.device("/dev/sda").unwrap().peek(Bytes::ZERO, 1 << 20);
    let text = String::from_utf8_lossy(&area);
    assert!(text.contains("dmsnap snapshot create vg-0/v0 and 2 more"));
}

#[test]
fn of_two_that_want_one_name_the_first_gets_it() {
    let lab = lab_with_volumes(2);
    let outcomes =
        at_once(&lab, &lab.engine(), vec![create("v0", "s"), create("v1", "s"), create("v0", "t")]);
    assert_eq!(kinds(outcomes), [None, Some(Kind::AlreadyExists), None]);
    let origins: Vec<_> = lab.snapshots().into_iter().map(|s| (s.name, s.origin)).collect();
    assert_eq!(origins, [("s".to_owned(), "v0".to_owned()), ("t".into(), "v0".into())]);
}

#[test]
fn only_the_one_for_which_there_is_no_room_is_told_so() {
    let lab = lab_with_volumes(1);
    let outcomes = at_once(&lab, &lab.engine(), vec![make("a", 100), make("b", 500), make("c", 100)]);
    assert_eq!(kinds(outcomes), [None, Some(Kind::NoSpace), None]);
    lab.assert_at_rest("after one had no room");
}

/// What somebody else takes away in the same round is not there to be had before it is gone.
#[test]
fn who_needs_what_another_gives_back_waits_for_it() {
    let lab = lab_with_volumes(1);
    let engine = lab.engine();
    create("v0", "s")(&engine).unwrap();
    make("large", 200)(&engine).unwrap();
    let large: Act<'_> =
        Box::new(|engine| engine.remove_volumes(&vg(), &[lv("large")], false, MODE).map(drop));
    let acts = vec![remove("s"), create("v0", "s"), large, make("next", 200), extend("v0", "+1M")];
    assert_eq!(kinds(at_once(&lab, &engine, acts)), [None; 5]);
    assert!(has(&lab, "s") && has_volume(&lab, "next") && !has_volume(&lab, "large"));
    lab.assert_at_rest("after all have waited");
}

#[test]
fn who_asks_for_what_is_not_possible_harms_nobody() {
    let lab = lab_with_volumes(3);
    let engine = lab.engine();
    create("v2", "old")(&engine).unwrap();
    let began = seqno(&lab);
    let acts = vec![
        create("none", "s"),
        create("v0", "a"),
        remove("none"),
        remove("old"),
        make("nothing", 0),
        create("v1", "b"),
        make("v0", 1),
    ];
    let wrong = [Some(Kind::NotFound), None, Some(Kind::NotFound), None, Some(Kind::Usage)];
    let outcomes = at_once(&lab, &engine, acts);
    assert_eq!(kinds(outcomes), [&wrong[..], &[None, Some(Kind::AlreadyExists)]].concat());
    assert_eq!(lab.snapshot_names(), ["a", "b"]);
    assert!(seqno(&lab) <= began + 4, "those that are possible share their commits");
}

#[test]
fn a_store_that_cannot_be_wiped_is_the_failure_of_its_operation_alone() {
    for operation in [Operation::Write, Operation::Flush] {
        let lab = lab_with_volumes(3);
        lab.disks.device("/dev/sdb").unwrap().fail_nth(operation, 1);
        let new = NewSnapshots { on: vec!["/dev/sdb".into()], ..cut(&[("v1", "b")]) };
        let elsewhere: Act<'_> = Box::new(|engine| engine.create_snapshots(&new, MODE).map(drop));
        let outcomes = at_once(&lab, &lab.engine(), vec![create("v0", "a"), elsewhere, create("v2", "c")]);
        assert_eq!(kinds(outcomes), [None, Some(Kind::Internal), None], "{operation:?}");
        assert_eq!(lab.snapshot_names(), ["a", "c"], "{operation:?}");
        lab.assert_at_rest("after a store was not wiped");
    }
}

#[test]
fn each_is_told_why_its_group_is_not_to_be_had() {
    let lab = Lab::new();
    let engine = lab.engine();
    let nowhere = NewVolume { vg: "none".parse().unwrap(), ..volume("v", 1) };
    let outcomes: Vec<_> = thread::scope(|scope| {
        let ask = || engine.create_volume(&nowhere, MODE).map(drop);
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(ask)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(kinds(outcomes), [Some(Kind::NotFound); 4]);
}

/// Different operations of one round, and what tells for each that it has happened.
struct Mixture {
    lab: Lab,
}

type Happened = fn(&Lab) -> bool;

const HAPPENED: [Happened; 5] = [
    |lab| has(lab, "a"),
    |lab| !has(lab, "old"),
    |lab| has_volume(lab, "new"),
    |lab| size_of(lab, "v2") == Bytes::mib(2),
    |lab| !has_volume(lab, "v3"),
];

fn size_of(lab: &Lab, name: &str) -> Bytes {
    let volumes = lab.engine().volumes(&dmsnap::engine::list::Select::default()).unwrap();
    volumes.iter().find(|volume| volume.name == name).unwrap().size_bytes
}

impl Mixture {
    fn new() -> Self {
        let lab = lab_with_volumes(4);
        for (name, origin) in [("old", "v1"), ("kept", "v2"), ("less", "v3")] {
            create(origin, name)(&lab.engine()).unwrap();
        }
        lab.write("vg--0-v2", 0, 1);
        Self { lab }
    }

    fn run(&self, engine: &Engine) -> Vec<Result<()>> {
        let last: Act<'_> =
            Box::new(|engine| engine.remove_volumes(&vg(), &[lv("v3")], true, MODE).map(drop));
        let acts = vec![create("v0", "a"), remove("old"), make("new", 1), extend("v2", "2M"), last];
        at_once(&self.lab, engine, acts)
    }

    /// Who was told that it is done finds it so.
    fn assert_kept(&self, outcomes: &[Result<()>], when: &str) {
        for ((outcome, happened), number) in outcomes.iter().zip(HAPPENED).zip(0..) {
            assert!(outcome.is_err() || happened(&self.lab), "{when}: number {number} is lost");
        }
        assert!(has(&self.lab, "kept"), "{when}");
        assert_eq!(self.lab.read("vg--0-kept", 0), 0, "{when}");
        assert_eq!(self.lab.read("vg--0-v2", 0), 1, "{when}");
    }
}

#[test]
fn different_operations_share_a_round() {
    let mixture = Mixture::new();
    let began = seqno(&mixture.lab);
    let outcomes = mixture.run(&mixture.lab.engine());
    mixture.assert_kept(&outcomes, "undisturbed");
    assert_eq!(kinds(outcomes), [None; 5]);
    assert_eq!(seqno(&mixture.lab), began + 2);
    mixture.lab.assert_at_rest("undisturbed");
}

/// The kernel refuses each step in turn: one operation fails and has not happened, the others have.
#[test]
fn whatever_the_kernel_refuses_it_is_one_operation_that_fails() {
    let mut failures = BTreeSet::new();
    for nth in 1.. {
        let mixture = Mixture::new();
        let when = format!("refusal {nth}");
        mixture.lab.kernel.fail_nth(nth);
        let outcomes = mixture.run(&mixture.lab.engine());
        mixture.lab.kernel.heal();
        mixture.lab.assert_at_rest(&when);
        mixture.assert_kept(&outcomes, &when);
        let failed: Vec<_> = (0..5).filter(|number| outcomes[*number].is_err()).collect();
        assert!(failed.len() <= 1, "{when}: {failed:?}");
        failures.extend(failed);
        if outcomes.iter().all(Result::is_ok) && nth > mixture.lab.kernel.calls().len() as u64 {
            break;
        }
    }
    assert_eq!(failures.len(), 5, "each of them failed at some step");
}

/// The process dies before each of its steps in turn; the next command leaves everything in order.
#[test]
fn whenever_the_process_dies_each_operation_is_finished_or_undone() {
    let mut cuts = 0;
    for last in 1.. {
        let mixture = Mixture::new();
        let when = format!("dead before step {last}");
        let outcomes = mixture.run(&mixture.lab.mortal_engine(last));
        cuts += 1;
        make("next", 1)(&mixture.lab.engine()).unwrap_or_else(|error| panic!("{when}: {error}"));
        mixture.lab.assert_at_rest(&when);
        mixture.assert_kept(&outcomes, &when);
        if outcomes.iter().all(Result::is_ok) {
            break;
        }
        assert!(outcomes.iter().all(Result::is_err), "{when}: one commit confirms all or none");
    }
    println!("{cuts} cuts");
}

/// A disk refuses a write or a flush: whoever is told so, the group is in order after the next command.
#[test]
fn whatever_a_disk_refuses_nothing_acknowledged_is_lost() {
    for operation in [Operation::Write, Operation::Flush] {
        for (disk, nth) in
            ["/dev/sda", "/dev/sdb"].into_iter().flat_map(|disk| (1..12).map(move |n| (disk, n)))
        {
            let mixture = Mixture::new();
            let when = format!("{operation:?} {nth} of {disk}");
            let device = mixture.lab.disks.device(disk).unwrap();
            device.fail_nth(operation, nth);
            let outcomes = mixture.run(&mixture.lab.engine());
            device.heal();
            make("next", 1)(&mixture.lab.engine()).unwrap_or_else(|error| panic!("{when}: {error}"));
            mixture.lab.assert_at_rest(&when);
            mixture.assert_kept(&outcomes, &when);
        }
    }
}
