//! The monitor on a simulated kernel: who fills a store, and what it costs to look on.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use crate::lab::{Lab, MODE, cut, lab_with_volume, lv, restore, snap, vg, volume};
use dmsnap::dm::DmName;
use dmsnap::engine::list::Select;
use dmsnap::engine::monitor::{Board, Keeper, Options, Rate};
use dmsnap::engine::snapshot::NewSnapshots;
use dmsnap::engine::view::{SnapshotState, VolumeState};
use dmsnap::engine::{Done, Observer};
use dmsnap::metrics::Metrics;
use dmsnap::units::{Bytes, Size};

/// The disks of the lab are small, and so is what they can be written in a millisecond.
const SLOW: Rate = Rate(16 << 20);

fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

fn small(name: &str, origin: &str, mib: u64) -> NewSnapshots {
    NewSnapshots { size: Some(Size::Absolute(Bytes::mib(mib))), ..cut(&[(origin, name)]) }
}

/// `db` of 64 MiB with the snapshot `s`, whose store has 2 MiB.
fn lab_with_large_volume() -> Lab {
    let lab = Lab::new();
    lab.engine().create_volume(&volume("db", 64), MODE).unwrap();
    lab.engine().create_snapshots(&small("s", "db", 2), MODE).unwrap();
    lab
}

/// Writes to the first so many chunks of a volume.
fn write(lab: &Lab, device: &str, chunks: std::ops::Range<u64>) {
    chunks.for_each(|chunk| lab.write(device, chunk * (64 << 10), 9));
}

fn state(lab: &Lab) -> (SnapshotState, Bytes) {
    let snapshot = lab.snapshots().remove(0);
    (snapshot.state, snapshot.cow_size_bytes)
}

/// Counts commits.
#[derive(Default)]
struct Commits(AtomicU64);

impl Observer for Commits {
    fn committed(&self, _: &str) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }

    fn done(&self, _: &Done<'_>) {}
}

#[test]
fn a_store_grows_before_it_is_full_as_long_as_there_is_space() {
    let lab = lab_with_large_volume();
    let (engine, board) = (lab.engine(), Board::default());
    let mut keeper = Keeper::new(&engine, vg(), SLOW, &board);
    // A chunk in a millisecond, which is four times what the keeper was told: it learns.
    for now in 0..1000 {
        keeper.turn(ms(now)).unwrap().unwrap();
        write(&lab, "vg--0-db", now..now + 1);
        assert_eq!(state(&lab).0, SnapshotState::Active, "after {now} ms");
    }
    let (_, size) = state(&lab);
    assert!(size >= Bytes::mib(63), "{size}");
    let known = board.groups().remove(&vg()).unwrap();
    assert!(known.extensions >= 1 && known.failures == 0, "{known:?}");
    assert!(known.extensions < 20, "the store grew in {} steps", known.extensions);
    lab.assert_at_rest("after the store has grown");
    lab.assert_short_switches();
}

#[test]
fn a_store_without_a_keeper_would_have_been_full() {
    let lab = lab_with_large_volume();
    write(&lab, "vg--0-db", 0..100);
    assert_eq!(state(&lab).0, SnapshotState::Invalid);
}

#[test]
fn stores_that_need_it_at_once_grow_in_one_commit() {
    let lab = lab_with_large_volume();
    for name in ["t", "u"] {
        lab.engine().create_snapshots(&small(name, "db", 2), MODE).unwrap();
    }
    let commits = Arc::new(Commits::default());
    let (engine, board) =
        (lab.engine().into_engine().observed_by(Arc::clone(&commits) as _), Board::default());
    let mut keeper = Keeper::new(&engine, vg(), SLOW, &board);
    keeper.turn(ms(0)).unwrap();
    let before = commits.0.load(Ordering::SeqCst);
    assert_eq!(before, 0, "nothing is written yet");
    write(&lab, "vg--0-db", 0..27);
    keeper.turn(ms(100)).unwrap();
    assert!(
        lab.snapshots().iter().all(|snapshot| snapshot.cow_size_bytes > Bytes::mib(2)),
        "{:?}",
        lab.snapshots()
    );
    // The intent and the confirmation.
    assert_eq!(commits.0.load(Ordering::SeqCst), 2);
}

#[test]
fn at_rest_no_store_is_looked_at_and_each_disk_is_asked_once_a_turn() {
    let lab = lab_with_volume();
    for number in 0..20 {
        let names: Vec<_> = (0..20).map(|cut| format!("s{number}x{cut}")).collect();
        let pairs: Vec<_> = names.iter().map(|name| ("v", name.as_str())).collect();
        let origin = format!("v{number}");
        lab.engine().create_volume(&volume(&origin, 1), MODE).unwrap();
        let cuts = pairs.iter().map(|(_, name)| (lv(&origin), lv(name))).collect();
        // Nothing is said of the size: they cannot be full. Half of them can.
        let size = (number % 2 == 0).then_some(Size::Absolute(Bytes::kib(512)));
        let new = NewSnapshots { cuts, size, ..cut(&[]) };
        if lab.engine().create_snapshots(&new, MODE).is_err() {
            break;
        }
    }
    let snapshots = lab.snapshots().len();
    assert!(snapshots >= 60, "{snapshots}");
    let (engine, board) = (lab.engine(), Board::default());
    // So slow that stores of an extent have room enough.
    let mut keeper = Keeper::new(&engine, vg(), Rate(1 << 20), &board);
    keeper.turn(ms(0)).unwrap();
    let readings = || ["/dev/sda", "/dev/sdb"].map(|disk| lab.disks.device(disk).unwrap().readings());
    let (questions, before) = (lab.kernel.questions(), readings());
    let (mut now, mut turns) = (Duration::ZERO, 0);
    while now < ms(10_000) {
        now += keeper.turn(now).unwrap().unwrap();
        turns += 1;
    }
    assert_eq!(lab.kernel.questions(), questions, "a store was looked at");
    assert_eq!(readings(), before.map(|count| count + turns));
    assert!(turns <= 10 * 1000, "{turns} turns in 10 s");
}

#[test]
fn what_cannot_grow_is_said_and_the_rest_grows_all_the_same() {
    let lab = lab_with_large_volume();
    let rest = Size::Absolute(Bytes(lab.free().get() - Bytes::mib(3).get()));
    lab.engine()
        .create_volume(&dmsnap::engine::volume::NewVolume { size: rest, ..volume("rest", 1) }, MODE)
        .unwrap();
    let (engine, board) = (lab.engine(), Arc::new(Board::default()));
    let mut keeper = Keeper::new(&engine, vg(), SLOW, &board);
    keeper.turn(ms(0)).unwrap();
    write(&lab, "vg--0-db", 0..27);
    keeper.turn(ms(100)).unwrap();
    assert_eq!(state(&lab), (SnapshotState::Active, Bytes::mib(5)), "what there is is taken");
    write(&lab, "vg--0-db", 27..70);
    let wait = keeper.turn(ms(200)).unwrap().unwrap();
    assert!(wait >= ms(500), "nobody runs in circles: {wait:?}");
    let known = board.groups().remove(&vg()).unwrap();
    assert_eq!(known.failures, 1);
    assert!(known.snapshots.values().all(|figures| figures.is_short));
    let text = Metrics::new(Arc::clone(&board)).text().unwrap();
    let labels = "vg=\"vg-0\",snapshot=\"s\",origin=\"db\"";
    assert!(text.contains(&format!("dmsnap_snapshot_short{{{labels}}} 1")), "{text}");
    // Somebody makes space: it is news.
    lab.engine().remove_volumes(&vg(), &[lv("rest")], false, MODE).unwrap();
    keeper.hear();
    keeper.turn(ms(300)).unwrap();
    assert!(state(&lab).1 > Bytes::mib(5));
}

#[test]
fn a_list_says_when_a_store_is_full_while_a_monitor_knows() {
    let lab = lab_with_large_volume();
    let directory = tempfile::tempdir().unwrap();
    let board = Board::default();
    let engine = lab.engine().into_engine().foreseeing(directory.path());
    let mut keeper = Keeper::new(&engine, vg(), Rate(1 << 20), &board);
    keeper.turn(ms(0)).unwrap();
    let eta = || engine.snapshots(&Select::default()).unwrap()[0].eta_full_seconds;
    assert_eq!(eta(), None);
    write(&lab, "vg--0-db", 0..8);
    keeper.turn(ms(1000)).unwrap();
    assert!(matches!(eta(), Some(1..=10)), "{:?}", eta());
    assert_eq!(lab.snapshots()[0].eta_full_seconds, None, "one look shows no rate");
}

#[test]
fn a_group_or_a_snapshot_that_is_gone_is_forgotten() {
    let lab = lab_with_large_volume();
    let (engine, board) = (lab.engine(), Board::default());
    let mut keeper = Keeper::new(&engine, vg(), SLOW, &board);
    keeper.turn(ms(0)).unwrap();
    lab.engine().remove_snapshots(&vg(), &[lv("s")], MODE).unwrap();
    write(&lab, "vg--0-db", 0..100);
    // The first look finds nothing, the next turn reads why.
    keeper.turn(ms(10)).unwrap();
    keeper.turn(ms(20)).unwrap();
    assert!(board.groups()[&vg()].snapshots.is_empty());
    lab.engine().remove_volumes(&vg(), &[lv("db")], false, MODE).unwrap();
    lab.engine().remove_group(&vg(), MODE).unwrap();
    keeper.hear();
    assert_eq!(keeper.turn(ms(30)).unwrap(), None);
    assert!(board.groups().is_empty());
}

/// The whole of it, on threads and in real time: groups and snapshots that come later are kept too, and it ends when it shall.
#[test]
fn the_monitor_keeps_what_comes_while_it_runs_and_stops_when_told() {
    let lab = Lab::new();
    let (engine, board, stop) = (lab.engine(), Board::default(), AtomicBool::new(false));
    let ready = AtomicBool::new(false);
    let options = Options { groups: Vec::new(), fastest: Some(SLOW) };
    std::thread::scope(|scope| {
        let monitor =
            scope.spawn(|| engine.monitor(&options, &board, &stop, || ready.store(true, Ordering::SeqCst)));
        until("it is ready", || ready.load(Ordering::SeqCst));
        let patient = dmsnap::engine::Mode::default();
        engine.create_volume(&volume("db", 64), patient).unwrap();
        engine.create_snapshots(&small("s", "db", 2), patient).unwrap();
        until("the snapshot is known", || !board.groups()[&vg()].snapshots.is_empty());
        for chunk in 0..200 {
            write(&lab, "vg--0-db", chunk..chunk + 1);
            std::thread::sleep(ms(2));
        }
        assert_eq!(state(&lab).0, SnapshotState::Active);
        lab.kernel.set_status(&DmName::new("vg--0-s").unwrap(), &dmsnap::dm::Status::Invalid);
        until("its loss is known", || {
            board.groups()[&vg()].snapshots.values().all(|figures| figures.view.invalid)
        });
        stop.store(true, Ordering::SeqCst);
        monitor.join().unwrap().unwrap();
    });
    lab.assert_at_rest("after the monitor");
}

fn until(what: &str, happened: impl Fn() -> bool) {
    for _ in 0..2000 {
        if happened() {
            return;
        }
        std::thread::sleep(ms(5));
    }
    panic!("not within ten seconds: {what}");
}

#[test]
fn a_volume_that_is_full_is_made_a_plain_one_by_its_keeper() {
    let lab = lab_with_volume();
    snap(&lab, "a");
    restore(&lab, "a", "copy");
    let (engine, board) = (lab.engine(), Arc::new(Board::default()));
    let mut keeper = Keeper::new(&engine, vg(), SLOW, &board);
    keeper.turn(ms(0)).unwrap();
    let text = || Metrics::new(Arc::clone(&board)).text().unwrap();
    let shown = "dmsnap_volume_filled_ratio{vg=\"vg-0\",volume=\"copy\"}";
    assert!(text().contains(&format!("{shown} 0.0")), "{}", text());
    lab.kernel.hydrate(&DmName::new("vg--0-copy").unwrap(), 1000).unwrap();
    // Nobody tells of it: it is looked for every second.
    keeper.turn(ms(500)).unwrap();
    assert!(lab.is_filling("copy"));
    keeper.turn(ms(1100)).unwrap();
    assert!(!lab.is_filling("copy"));
    let copy = Select { vg: Some(vg()), names: vec![lv("copy")] };
    assert_eq!(engine.volumes(&copy).unwrap()[0].state, VolumeState::Active);
    keeper.turn(ms(1200)).unwrap();
    assert!(!text().contains(shown), "{}", text());
    lab.assert_at_rest("when the volume is full");
}
