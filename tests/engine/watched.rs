//! Stores that the monitor must not lose sight of, whatever else goes on in their group or in another one.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::lab::{Lab, MODE, cut, lv, other, vg, volume};
use crate::monitor::{keeper, tell};
use dmsnap::dm::{DmName, Freeze, Kernel, UdevFlags};
use dmsnap::engine::monitor::{Board, Keeper, Options, Rate};
use dmsnap::engine::snapshot::NewSnapshots;
use dmsnap::engine::store::StoreGrowth;
use dmsnap::engine::view::{SnapshotState, SnapshotView};
use dmsnap::engine::volume::NewVolume;
use dmsnap::lvm::Locks;
use dmsnap::lvm::lock;
use dmsnap::units::{Bytes, Size};

const CHUNK: u64 = 64 << 10;

/// What can be written to the disks of the lab.
const SLOW: Rate = Rate(64 << 20);

fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

fn name(text: &str) -> DmName {
    DmName::new(text).unwrap()
}

fn small(name: &str, origin: &str) -> NewSnapshots {
    NewSnapshots { size: Some(Size::Absolute(Bytes::mib(2))), ..cut(&[(origin, name)]) }
}

/// `db` with the snapshot `s`, whose store has 2 MiB.
fn lab() -> Lab {
    let lab = Lab::new();
    lab.engine().create_volume(&volume("db", 32), MODE).unwrap();
    lab.engine().create_snapshots(&small("s", "db"), MODE).unwrap();
    lab
}

fn write(lab: &Lab, device: &str, chunks: Range<u64>) {
    chunks.for_each(|chunk| lab.write(device, chunk * CHUNK, 9));
}

fn snapshot(lab: &Lab, name: &str) -> SnapshotView {
    lab.snapshots().into_iter().find(|snapshot| snapshot.name == name).unwrap()
}

/// A chunk in a millisecond, of which the store holds thirty; the keeper looks as often as it says.
fn fill(lab: &Lab, keeper: &mut Keeper<'_>, from: u64) {
    let mut due = ms(from);
    for now in from..from + 100 {
        if ms(now) >= due {
            due = ms(now) + keeper.turn(ms(now));
        }
        write(lab, "vg--0-db", now - from..now - from + 1);
    }
}

/// The metadata says that the store is larger, and the kernel does not.
#[test]
fn growth_that_a_dead_process_left_in_the_metadata_is_no_room() {
    for last in 1.. {
        let lab = lab();
        let growth = StoreGrowth { vg: vg(), name: lv("s"), size: "+24M".parse().unwrap(), on: Vec::new() };
        let outcome = lab.mortal_engine(last).extend_snapshot(&growth, MODE);
        let (engine, board) = (lab.engine(), Board::default());
        fill(&lab, &mut keeper(&engine, SLOW, &board), 0);
        assert_eq!(snapshot(&lab, "s").state, SnapshotState::Active, "dead before step {last}");
        if outcome.is_ok() {
            break;
        }
    }
}

/// LVM2 suspends snapshots for a moment, and others for longer.
#[test]
fn a_store_that_cannot_be_asked_while_its_group_is_read_is_not_forgotten() {
    for was_known in [true, false] {
        let lab = lab();
        let (engine, board) = (lab.engine(), Board::default());
        let mut keeper = keeper(&engine, SLOW, &board);
        if was_known {
            keeper.turn(ms(0));
        }
        lab.kernel.suspend(&name("vg--0-s"), Freeze::Io).unwrap();
        tell(&mut keeper, &engine);
        keeper.turn(ms(1));
        lab.kernel.resume(&name("vg--0-s"), UdevFlags::unchanged()).unwrap();
        // One that was never seen is looked for again soon.
        fill(&lab, &mut keeper, if was_known { 2 } else { 1100 });
        assert_eq!(snapshot(&lab, "s").state, SnapshotState::Active, "was known: {was_known}");
    }
}

/// `web` with the snapshot `w`, whose store has 2 MiB, and with one that somebody has taken away with `dmsetup`: nothing of `web` can
/// be changed any more.
fn lab_with_stuck_volume() -> Lab {
    let lab = lab();
    lab.engine().create_volume(&volume("web", 32), MODE).unwrap();
    lab.engine().create_snapshots(&small("w", "web"), MODE).unwrap();
    lab.engine().create_snapshots(&small("gone", "web"), MODE).unwrap();
    lab.kernel.remove(&name("vg--0-gone"), UdevFlags::hidden()).unwrap();
    lab
}

#[test]
fn a_store_that_the_kernel_cannot_make_larger_keeps_no_other_from_it() {
    let lab = lab_with_stuck_volume();
    let (engine, board) = (lab.engine(), Board::default());
    let mut keeper = keeper(&engine, SLOW, &board);
    keeper.turn(ms(0));
    ["vg--0-web", "vg--0-db"].iter().for_each(|device| write(&lab, device, 0..20));
    let wait = keeper.turn(ms(100));
    assert_eq!(snapshot(&lab, "w").cow_size_bytes, Bytes::mib(2), "it can grow after all");
    assert!(snapshot(&lab, "s").cow_size_bytes > Bytes::mib(2));
    assert!(wait < ms(500), "the other store is looked at after {wait:?} only");
    let known = board.groups().remove(&vg()).unwrap();
    let short: Vec<_> =
        known.snapshots.values().filter(|one| one.short.is_some()).map(|one| &one.view.name).collect();
    assert_eq!(short, ["w"]);
}

#[test]
fn a_group_that_somebody_has_locked_keeps_the_monitor_from_no_other() {
    let lab = lab();
    write(&lab, "vg--0-db", 0..20);
    let far = NewVolume { vg: other().name, ..volume("afar", 32) };
    let cuts = NewSnapshots { vg: other().name, ..small("t", "afar") };
    lab.engine().create_group(&other(), MODE).unwrap();
    lab.engine().create_volume(&far, MODE).unwrap();
    lab.engine().create_snapshots(&cuts, MODE).unwrap();
    // Its extents are larger, and so is its store.
    write(&lab, "other-afar", 0..45);
    let engine = lab.engine();
    let groups = engine.vg_names().unwrap().0;
    let (board, stop, ready) = (Board::default(), AtomicBool::new(false), AtomicBool::new(false));
    let options = Options { groups: Vec::new(), fastest: Some(SLOW) };
    let held = Locks::new(lab.locks.path()).vg(&groups[0], lock::Mode::Exclusive, lock::Wait::No).unwrap();
    std::thread::scope(|scope| {
        let ready = &ready;
        let monitor =
            scope.spawn(|| engine.monitor(&options, &board, &stop, || ready.store(true, Ordering::SeqCst)));
        let has_grown = || board.groups().get(&groups[1]).is_some_and(|group| group.extensions > 0);
        let is_kept = within_seconds(has_grown);
        let was_ready = ready.load(Ordering::SeqCst);
        drop(held);
        let becomes_ready = within_seconds(|| ready.load(Ordering::SeqCst));
        stop.store(true, Ordering::SeqCst);
        monitor.join().unwrap().unwrap();
        assert!(is_kept, "{} waits for the lock of {}", groups[1], groups[0]);
        assert!(!was_ready && becomes_ready, "ready before every group was looked at, or never");
    });
}

fn within_seconds(happens: impl Fn() -> bool) -> bool {
    (0..1000).any(|_| {
        std::thread::sleep(ms(5));
        happens()
    })
}
