//! The monitor on a simulated kernel: who fills a store, and what it costs to look on.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::lab::{Lab, MODE, cut, lab_with_volume, lv, restore, snap, vg, volume};
use dmsnap::block::mem::Operation;
use dmsnap::dm::{DmName, Freeze, Kernel, UdevFlags};
use dmsnap::engine::list::Select;
use dmsnap::engine::monitor::board::Short;
use dmsnap::engine::monitor::{Board, Keeper, Options, Rate};
use dmsnap::engine::snapshot::NewSnapshots;
use dmsnap::engine::view::{SnapshotState, VolumeState};
use dmsnap::engine::{Done, Engine, Observer};
use dmsnap::lvm::lock::{Locks, Mode, Wait};
use dmsnap::metrics::Metrics;
use dmsnap::units::{Bytes, Chunks, Size};

/// The disks of the lab are small, and so is what they can be written in a millisecond.
const SLOW: Rate = Rate(16 << 20);

/// What makes stores of the lab large enough for a monitor in real time.
const BRISK: Rate = Rate(64 << 20);

fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

/// Tells a keeper what stands on the disks.
pub fn tell(keeper: &mut Keeper<'_>, engine: &Engine) {
    let groups = engine.read_groups().unwrap();
    let own = groups.into_iter().find(|group| *group.name() == vg()).unwrap();
    keeper.hear(Arc::new(own));
}

/// One that knows its group.
pub fn keeper<'e>(engine: &'e Engine, fastest: Rate, board: &'e Board) -> Keeper<'e> {
    let mut keeper = Keeper::new(engine, vg(), fastest, board);
    tell(&mut keeper, engine);
    keeper
}

fn name(device: &str) -> DmName {
    DmName::new(device).unwrap()
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

/// Counts commits, and operations.
#[derive(Default)]
struct Commits(AtomicU64, AtomicU64);

impl Observer for Commits {
    fn committed(&self, _: &str) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }

    fn done(&self, _: &Done<'_>) {
        self.1.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn a_store_grows_before_it_is_full_as_long_as_there_is_space() {
    let lab = lab_with_large_volume();
    let (engine, board) = (lab.engine(), Board::default());
    let mut keeper = keeper(&engine, SLOW, &board);
    // A chunk in a millisecond, which is four times what the keeper was told: it learns.
    for now in 0..1000 {
        keeper.turn(ms(now));
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

/// Chunks are in use when their copies begin, and counted when they are written.
#[test]
fn a_burst_that_no_disk_has_written_yet_fills_no_store() {
    let lab = lab_with_large_volume();
    lab.kernel.copy_at_once(Chunks(64));
    let (engine, board) = (lab.engine(), Board::default());
    let mut keeper = keeper(&engine, SLOW, &board);
    for now in 0..3 {
        keeper.turn(ms(now));
    }
    for disk in ["/dev/sda", "/dev/sdb"] {
        lab.disks.device(disk).unwrap().lag_meter(Bytes::mib(4));
    }
    for now in 0..500 {
        // All that may be in flight at once; then as fast as it is written.
        let chunks = if now == 0 { 0..60 } else { 59 + now..60 + now };
        write(&lab, "vg--0-db", chunks);
        keeper.turn(ms(3 + now));
        assert_eq!(state(&lab).0, SnapshotState::Active, "after {now} ms");
    }
    let known = board.groups().remove(&vg()).unwrap();
    assert!(known.extensions > 1, "{known:?}");
}

#[test]
fn a_lock_that_another_process_holds_is_told_and_costs_no_space() {
    let lab = lab_with_large_volume();
    let (engine, board) = (lab.engine(), Arc::new(Board::default()));
    let mut keeper = keeper(&engine, SLOW, &board);
    let held = Locks::new(lab.locks.path()).vg(&vg(), Mode::Exclusive, Wait::No).unwrap();
    write(&lab, "vg--0-db", 0..24);
    let began = Instant::now();
    let wait = keeper.turn(ms(0));
    assert!(wait < ms(50) && began.elapsed() < Duration::from_secs(5), "{wait:?}");
    keeper.turn(ms(1000));
    assert_eq!(board.groups()[&vg()].locked_out, Some(ms(0)));
    let text = Metrics::new(Arc::clone(&board)).text().unwrap();
    assert!(!text.contains("dmsnap_keeper_late_seconds{vg=\"vg-0\"} 0.0"), "{text}");
    drop(held);
    keeper.turn(ms(1300));
    assert_eq!(board.groups()[&vg()].locked_out, None);
    let (state, size) = state(&lab);
    assert!(state == SnapshotState::Active && size > Bytes::mib(2) && size < Bytes::mib(12), "{size}");
}

#[test]
fn a_counter_that_fails_blinds_nobody() {
    let lab = lab_with_large_volume();
    let (engine, board) = (lab.engine(), Board::default());
    let mut keeper = keeper(&engine, SLOW, &board);
    keeper.turn(ms(0));
    let before = state(&lab).1;
    lab.disks.device("/dev/sdb").unwrap().fail_nth(Operation::Meter, 1);
    let room = before.get() / (64 << 10);
    write(&lab, "vg--0-db", 0..room - 6);
    keeper.turn(ms(100));
    assert!(state(&lab).1 > before, "the store was not looked at");
    assert!(keeper.stale().load(Ordering::SeqCst), "a disk may have left the group");
    // It is asked again, and then no store is looked at for nothing.
    keeper.turn(ms(1200));
    let questions = lab.kernel.questions();
    keeper.turn(ms(1300));
    assert_eq!(lab.kernel.questions(), questions);
}

#[test]
fn a_store_that_is_suspended_when_its_group_is_read_is_watched_all_the_same() {
    let lab = lab_with_large_volume();
    let (engine, board) = (lab.engine(), Board::default());
    let device = name("vg--0-s");
    for is_known in [true, false] {
        let mut keeper = keeper(&engine, SLOW, &board);
        let mut now = ms(0);
        if is_known {
            keeper.turn(now);
        }
        lab.kernel.suspend(&device, Freeze::Io).unwrap();
        tell(&mut keeper, &engine);
        now += ms(100);
        // Somebody is at work.
        let held = Locks::new(lab.locks.path()).vg(&vg(), Mode::Exclusive, Wait::No).unwrap();
        let wait = keeper.turn(now);
        assert!(wait <= ms(1000), "{wait:?}");
        lab.kernel.resume(&device, UdevFlags::unchanged()).unwrap();
        drop(held);
        now += wait;
        keeper.turn(now);
        keeper.turn(now + ms(1000));
        assert!(board.groups()[&vg()].snapshots.values().all(|figures| figures.gauge.is_some()));
    }
}

#[test]
fn stores_of_a_group_that_may_not_be_changed_are_watched_and_that_they_cannot_grow_is_said() {
    let lab = lab_with_large_volume();
    let (engine, board) = (lab.engine(), Board::default());
    let mut keeper = keeper(&engine, SLOW, &board);
    let disk = lab.disks.remove("/dev/sdb".as_ref()).unwrap();
    tell(&mut keeper, &engine);
    write(&lab, "vg--0-db", 0..24);
    keeper.turn(ms(100));
    let short = || board.groups()[&vg()].snapshots.values().map(|known| known.short).collect::<Vec<_>>();
    assert_eq!(short(), [Some(Short::Refused)]);
    lab.disks.plug(disk);
    tell(&mut keeper, &engine);
    keeper.take_heart();
    keeper.turn(ms(200));
    assert_eq!(short(), [None]);
    assert!(state(&lab).1 > Bytes::mib(2));
}

#[test]
fn what_processes_left_suspended_goes_on() {
    // Its store is never extended: what an extension meets goes on too.
    let lab = lab_with_volume();
    snap(&lab, "s");
    let (engine, board) = (lab.engine(), Board::default());
    let origin = name("vg--0-db");
    let suspend = || lab.kernel.suspend(&origin, Freeze::Io).unwrap();
    // Who died before this one began, and its watchdog with it.
    suspend();
    let mut keeper = keeper(&engine, SLOW, &board);
    keeper.turn(ms(0));
    assert_eq!(lab.kernel.unsettled(), []);
    // Somebody suspends it now: that one is given time.
    suspend();
    tell(&mut keeper, &engine);
    for now in (1..11).map(|second| ms(second * 1000)) {
        keeper.turn(now);
        assert_eq!(lab.kernel.unsettled(), std::slice::from_ref(&origin), "at {now:?}");
    }
    assert_eq!(board.groups()[&vg()].suspended, Some(ms(1000)));
    for second in 11..15 {
        keeper.turn(ms(second * 1000));
    }
    assert_eq!(board.groups()[&vg()].suspended, None);
    lab.assert_at_rest("when it goes on");
}

#[test]
fn what_fails_is_tried_less_and_less_often() {
    let lab = lab_with_large_volume();
    let counted = Arc::new(Commits::default());
    let engine = lab.engine().into_engine().observed_by(Arc::clone(&counted) as _);
    let board = Board::default();
    write(&lab, "vg--0-db", 0..24);
    for disk in ["/dev/sda", "/dev/sdb"] {
        lab.disks.device(disk).unwrap().fail_from(Operation::Write, 1);
    }
    let mut keeper = keeper(&engine, SLOW, &board);
    for second in 0..60 {
        keeper.turn(ms(second * 1000));
    }
    let short = board.groups()[&vg()].snapshots.values().map(|known| known.short).collect::<Vec<_>>();
    assert_eq!(short, [Some(Short::Failed)]);
    assert_eq!(counted.1.load(Ordering::SeqCst), 6, "at 0, 1, 3, 7, 15 and 31 s");
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
    let mut keeper = keeper(&engine, SLOW, &board);
    keeper.turn(ms(0));
    let before = commits.0.load(Ordering::SeqCst);
    assert_eq!(before, 0, "nothing is written yet");
    write(&lab, "vg--0-db", 0..27);
    keeper.turn(ms(100));
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
    // So slow that stores of half an extent have room enough for seconds.
    let mut keeper = keeper(&engine, Rate(1 << 14), &board);
    keeper.turn(ms(0));
    let readings = || ["/dev/sda", "/dev/sdb"].map(|disk| lab.disks.device(disk).unwrap().readings());
    // The first two find out that nothing is written.
    keeper.turn(ms(1));
    keeper.turn(ms(2));
    let (questions, before) = (lab.kernel.questions(), readings());
    let (mut now, mut turns) = (ms(2), 0);
    while now < ms(10_000) {
        now += keeper.turn(now);
        turns += 1;
    }
    assert_eq!(lab.kernel.questions(), questions, "a store was looked at");
    assert_eq!(readings(), before.map(|count| count + turns));
    assert!(turns <= 5, "{turns} turns in 10 s");
}

#[test]
fn what_cannot_grow_is_said_and_the_rest_grows_all_the_same() {
    let lab = lab_with_large_volume();
    let rest = Size::Absolute(Bytes(lab.free().get() - Bytes::mib(3).get()));
    lab.engine()
        .create_volume(&dmsnap::engine::volume::NewVolume { size: rest, ..volume("rest", 1) }, MODE)
        .unwrap();
    let (engine, board) = (lab.engine(), Arc::new(Board::default()));
    let mut keeper = keeper(&engine, SLOW, &board);
    keeper.turn(ms(0));
    write(&lab, "vg--0-db", 0..27);
    keeper.turn(ms(100));
    assert_eq!(state(&lab), (SnapshotState::Active, Bytes::mib(5)), "what there is is taken");
    write(&lab, "vg--0-db", 27..70);
    let wait = keeper.turn(ms(200));
    assert!(wait >= ms(500), "nobody runs in circles: {wait:?}");
    let known = board.groups().remove(&vg()).unwrap();
    assert_eq!(known.failures, 1);
    assert!(known.snapshots.values().all(|figures| figures.short == Some(Short::NoSpace)));
    let text = Metrics::new(Arc::clone(&board)).text().unwrap();
    let labels = "vg=\"vg-0\",snapshot=\"s\",origin=\"db\",reason=\"no_space\"";
    assert!(text.contains(&format!("dmsnap_snapshot_short{{{labels}}} 1")), "{text}");
    // Somebody makes space: it is news.
    lab.engine().remove_volumes(&vg(), &[lv("rest")], false, MODE).unwrap();
    tell(&mut keeper, &engine);
    keeper.turn(ms(300));
    assert!(state(&lab).1 > Bytes::mib(5));
}

#[test]
fn a_list_says_when_a_store_is_full_while_a_monitor_knows() {
    let lab = lab_with_large_volume();
    let directory = tempfile::tempdir().unwrap();
    let board = Board::default();
    let engine = lab.engine().into_engine().foreseeing(directory.path());
    let mut keeper = keeper(&engine, Rate(1 << 20), &board);
    keeper.turn(ms(0));
    let eta = || engine.snapshots(&Select::default()).unwrap()[0].eta_full_seconds;
    assert_eq!(eta(), None);
    write(&lab, "vg--0-db", 0..8);
    keeper.turn(ms(1000));
    assert!(matches!(eta(), Some(1..=10)), "{:?}", eta());
    assert_eq!(lab.snapshots()[0].eta_full_seconds, None, "one look shows no rate");
}

#[test]
fn a_snapshot_that_is_gone_is_forgotten() {
    let lab = lab_with_large_volume();
    let (engine, board) = (lab.engine(), Board::default());
    let mut keeper = keeper(&engine, SLOW, &board);
    keeper.turn(ms(0));
    lab.engine().remove_snapshots(&vg(), &[lv("s")], MODE).unwrap();
    write(&lab, "vg--0-db", 0..100);
    keeper.turn(ms(10));
    assert!(keeper.stale().load(Ordering::SeqCst), "what it was told is not so any more");
    tell(&mut keeper, &engine);
    keeper.turn(ms(20));
    assert!(board.groups()[&vg()].snapshots.is_empty());
}

/// The whole of it, on threads and in real time: groups and snapshots that come later are kept too, and it ends when it shall.
#[test]
fn the_monitor_keeps_what_comes_while_it_runs_and_stops_when_told() {
    let lab = Lab::new();
    let (engine, board, stop) = (lab.engine(), Board::default(), AtomicBool::new(false));
    let ready = AtomicBool::new(false);
    let options = Options { groups: Vec::new(), fastest: Some(BRISK) };
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
    let mut keeper = keeper(&engine, SLOW, &board);
    keeper.turn(ms(0));
    let text = || Metrics::new(Arc::clone(&board)).text().unwrap();
    let shown = "dmsnap_volume_filled_ratio{vg=\"vg-0\",volume=\"copy\"}";
    assert!(text().contains(&format!("{shown} 0.0")), "{}", text());
    lab.kernel.hydrate(&DmName::new("vg--0-copy").unwrap(), 1000).unwrap();
    // Nobody tells of it: it is looked for every second.
    keeper.turn(ms(500));
    assert!(lab.is_filling("copy"));
    keeper.turn(ms(1100));
    assert!(!lab.is_filling("copy"));
    let copy = Select { vg: Some(vg()), names: vec![lv("copy")] };
    assert_eq!(engine.volumes(&copy).unwrap()[0].state, VolumeState::Active);
    tell(&mut keeper, &engine);
    keeper.turn(ms(1200));
    assert!(!text().contains(shown), "{}", text());
    lab.assert_at_rest("when the volume is full");
}
