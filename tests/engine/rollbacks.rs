//! What a rollback shows, what it refuses, and how its merge ends.

use std::time::Duration;

use crate::lab::{IDLE, Lab, MODE, cut, growth, has, idle, lab_with_volume, lv, snap, vg, volume};
use crate::operations::rollbacks::back;
use dmsnap::block::Access;
use dmsnap::dm::sim::Call;
use dmsnap::dm::{DmName, Freeze, Kernel, Status, UdevFlags};
use dmsnap::engine::rollback::Rollback;
use dmsnap::engine::snapshot::NewSnapshots;
use dmsnap::engine::store::StoreGrowth;
use dmsnap::engine::view::SnapshotState;
use dmsnap::error::{Error, Kind};
use dmsnap::lvm::{Edit, open_vg};
use dmsnap::units::{Bytes, ChunkSize, Size};

const ORIGIN: &str = "vg--0-db";

fn name(text: &str) -> DmName {
    DmName::new(text).unwrap()
}

/// `db` holds 1, its snapshot `s` was taken then; since then 2 was written to the origin, and 3 to the snapshot elsewhere.
fn lab_with_changes() -> Lab {
    let lab = lab_with_volume();
    snap(&lab, "s");
    lab.write(ORIGIN, 0, 2);
    lab.write("vg--0-s", 2 << 20, 3);
    lab
}

fn refused(lab: &Lab, rollback: &Rollback) -> Error {
    let before = lab.engine().vgs(Some(&vg())).unwrap();
    let error = lab.engine().merge_snapshot(rollback, MODE).unwrap_err();
    assert_eq!(lab.engine().vgs(Some(&vg())).unwrap(), before, "the metadata changed");
    assert_eq!(lab.kernel.unsettled(), []);
    error
}

fn merge_all(lab: &Lab) {
    lab.kernel.merge(&name(ORIGIN), usize::MAX).unwrap();
}

#[test]
fn the_volume_shows_the_snapshots_content_at_once_and_when_all_is_merged() {
    let lab = lab_with_changes();
    let report = lab.engine().merge_snapshot(&back("s"), MODE).unwrap();
    assert_eq!(report.objects[0].name, "db");
    assert!(report.frozen.is_some());
    lab.assert_short_switches();
    let shown = || [0, 1 << 20, 2 << 20].map(|at| lab.read(ORIGIN, at));
    assert_eq!(shown(), [1, 1, 3]);
    lab.assert_at_rest("while it is merged");
    merge_all(&lab);
    lab.engine().finish_merges(&vg(), MODE).unwrap();
    assert_eq!(shown(), [1, 1, 3]);
    assert_eq!(lab.snapshot_names(), [""; 0]);
    lab.assert_at_rest("behind it");
}

#[test]
fn a_merge_is_listed_with_how_far_it_is() {
    let lab = lab_with_changes();
    assert_eq!(lab.snapshots()[0].progress_percent, None);
    lab.engine().merge_snapshot(&back("s"), MODE).unwrap();
    let far = || {
        let view = lab.snapshots().remove(0);
        assert_eq!((view.state, view.merging), (SnapshotState::Merging, true));
        view.progress_percent.unwrap()
    };
    let first = far();
    assert!(first < 100.0, "{first}");
    lab.kernel.merge(&name(ORIGIN), 1).unwrap();
    assert!(far() > first);
    merge_all(&lab);
    assert!((far() - 100.0).abs() < f64::EPSILON);
}

#[test]
fn the_next_command_finishes_a_merge_that_is_over_and_check_says_so() {
    let lab = lab_with_changes();
    let free = lab.free();
    lab.engine().merge_snapshot(&back("s"), MODE).unwrap();
    merge_all(&lab);
    let plan = lab.engine().check(&vg(), MODE).unwrap().plan;
    assert!(plan.iter().any(|entry| entry.to_string() == "remove volume s"), "{plan:?}");
    lab.engine().create_volume(&volume("next", 1), MODE).unwrap();
    assert_eq!(lab.snapshot_names(), [""; 0]);
    assert!(lab.free() > free, "the store is not free");
}

#[test]
fn a_merge_that_lvm2_began_is_finished() {
    let lab = lab_with_changes();
    lab.lvm2_commits(&[Edit::SetMerging { store: lv("s"), merging: true }]);
    lab.engine().activate(&vg(), &[lv("db")], MODE).unwrap();
    assert_eq!(lab.read(ORIGIN, 0), 1);
    merge_all(&lab);
    lab.engine().finish_merges(&vg(), MODE).unwrap();
    assert_eq!((lab.snapshot_names(), lab.read(ORIGIN, 2 << 20)), (Vec::new(), 3));
}

#[test]
fn a_mounted_volume_or_snapshot_is_refused_with_the_place_and_by_force_too() {
    for (device, force) in [(ORIGIN, false), (ORIGIN, true), ("vg--0-s", false), ("vg--0-s", true)] {
        let lab = lab_with_changes();
        lab.devices.mount(&name(device), "/srv/data");
        let error = refused(&lab, &Rollback { force, ..back("s") });
        assert_eq!(error.kind(), Kind::InUse);
        assert!(error.to_string().contains("/srv/data"), "{error}");
        assert_eq!(lab.read(ORIGIN, 0), 2);
    }
}

#[test]
fn a_program_that_has_it_open_is_in_the_way_unless_it_copes() {
    let lab = lab_with_changes();
    lab.kernel.hold(&name(ORIGIN));
    assert_eq!(refused(&lab, &back("s")).kind(), Kind::InUse);
    lab.engine().merge_snapshot(&Rollback { force: true, ..back("s") }, MODE).unwrap();
    assert_eq!(lab.read(ORIGIN, 0), 1);
}

/// Between the look and the suspend there is a moment.
#[test]
fn what_is_opened_at_the_last_moment_does_not_change_underneath() {
    for device in [ORIGIN, "vg--0-s"] {
        let lab = lab_with_changes();
        let error = lab.engine_overtaken(device).merge_snapshot(&back("s"), MODE).unwrap_err();
        assert_eq!(error.kind(), Kind::InUse, "{error}");
        assert_eq!(lab.read(ORIGIN, 0), 2);
        lab.assert_at_rest("behind the refusal");
        assert!(!lab.snapshots()[0].merging);
        assert!(error.to_string().contains("is in use: "), "{error}");
        lab.kernel.release(&name(device));
        lab.engine().merge_snapshot(&back("s"), MODE).unwrap();
        assert_eq!(lab.read(ORIGIN, 0), 1);
    }
}

#[test]
fn a_snapshot_that_is_lost_is_refused_active_or_not() {
    let lab = lab_with_volume();
    let small = NewSnapshots { size: Some(Size::Absolute(Bytes::mib(1))), ..cut(&[("db", "s")]) };
    lab.engine().create_snapshots(&small, MODE).unwrap();
    (0..64).for_each(|place| lab.write(ORIGIN, place << 17, 9));
    assert_eq!(lab.snapshots()[0].state, SnapshotState::Invalid);
    let error = refused(&lab, &back("s"));
    assert_eq!(error.kind(), Kind::Refused);
    assert!(error.to_string().contains("worth nothing"), "{error}");
    lab.engine().deactivate(&vg(), &[lv("db")], MODE).unwrap();
    assert_eq!(refused(&lab, &back("s")).kind(), Kind::Refused);
}

#[test]
fn what_cannot_be_rolled_back_is_refused_in_words() {
    let lab = lab_with_changes();
    snap(&lab, "t");
    assert_eq!(refused(&lab, &back("db")).kind(), Kind::Usage);
    assert_eq!(refused(&lab, &back("none")).kind(), Kind::NotFound);
    let taken = Rollback { undo: Some(lv("t")), ..back("s") };
    assert_eq!(refused(&lab, &taken).kind(), Kind::AlreadyExists);
    lab.kernel.without_target("snapshot-merge");
    assert!(refused(&lab, &back("s")).to_string().contains("snapshot-merge"));
    let lab = lab_with_changes();
    lab.lvm2_commits(&[Edit::SetLvWritable { lv: lv("db"), writable: false }]);
    assert!(refused(&lab, &back("s")).to_string().contains("read-only"));
}

#[test]
fn while_a_snapshot_is_merged_nothing_touches_what_the_merge_needs() {
    let lab = lab_with_changes();
    snap(&lab, "t");
    lab.engine().merge_snapshot(&back("s"), MODE).unwrap();
    let engine = lab.engine();
    let more = StoreGrowth { vg: vg(), name: lv("s"), size: "+1M".parse().unwrap(), on: Vec::new() };
    let errors = [
        engine.merge_snapshot(&back("t"), MODE).unwrap_err(),
        engine.merge_snapshot(&back("s"), MODE).unwrap_err(),
        engine.remove_snapshots(&vg(), &[lv("s")], MODE).unwrap_err(),
        engine.create_snapshots(&cut(&[("db", "u")]), MODE).unwrap_err(),
        engine.extend_volume(&growth("+1M"), MODE).unwrap_err(),
        engine.extend_snapshot(&more, MODE).unwrap_err(),
    ];
    for error in errors {
        assert_eq!(error.kind(), Kind::InUse, "{error}");
        assert!(error.to_string().contains("vg-0/s is being merged into vg-0/db"), "{error}");
    }
    // Other snapshots may go, and the volume may be down for a while.
    engine.remove_snapshots(&vg(), &[lv("t")], MODE).unwrap();
    let notes = engine.deactivate(&vg(), &[lv("db")], MODE).unwrap().notes;
    assert!(
        notes[0].contains("the merge of vg-0/s into vg-0/db goes on at the next activation"),
        "{notes:?}"
    );
    engine.activate(&vg(), &[lv("db")], MODE).unwrap();
    assert_eq!(lab.read(ORIGIN, 0), 1);
    lab.assert_at_rest("while it is merged");
}

#[test]
fn the_state_before_is_kept_and_can_be_gone_back_to() {
    let lab = lab_with_changes();
    lab.engine().merge_snapshot(&Rollback { undo: Some(lv("u")), ..back("s") }, MODE).unwrap();
    assert_eq!((lab.read(ORIGIN, 0), lab.read("vg--0-u", 0)), (1, 2));
    merge_all(&lab);
    lab.engine().finish_merges(&vg(), MODE).unwrap();
    assert_eq!(lab.read("vg--0-u", 0), 2);
    lab.engine().merge_snapshot(&back("u"), MODE).unwrap();
    assert_eq!([0, 2 << 20].map(|at| lab.read(ORIGIN, at)), [2, 0]);
    merge_all(&lab);
    lab.engine().finish_merges(&vg(), MODE).unwrap();
    assert_eq!([0, 2 << 20].map(|at| lab.read(ORIGIN, at)), [2, 0]);
}

/// A sibling of so many MiB, taken when much had changed since `s`.
fn lab_with_sibling(mib: u64, kib: u64) -> Lab {
    let lab = lab_with_volume();
    snap(&lab, "s");
    (0..64).for_each(|place| lab.write(ORIGIN, place << 17, 5));
    let chunk = ChunkSize::new(Bytes::kib(kib)).unwrap();
    let size = Some(Size::Absolute(Bytes::mib(mib)));
    lab.engine().create_snapshots(&NewSnapshots { size, chunk, ..cut(&[("db", "t")]) }, MODE).unwrap();
    lab
}

#[test]
fn a_sibling_that_the_merge_would_overflow_is_extended_first() {
    for kib in [4, 16, 64, 256] {
        let lab = lab_with_sibling(1, kib);
        let report = lab.engine().merge_snapshot(&back("s"), MODE).unwrap();
        assert!(report.notes[0].contains("the store of vg-0/t is extended"), "{:?}", report.notes);
        merge_all(&lab);
        assert_eq!(lab.read(ORIGIN, 1 << 17), 0);
        assert!((0..64).all(|place| lab.read("vg--0-t", place << 17) == 5), "chunks of {kib} KiB");
        lab.engine().finish_merges(&vg(), MODE).unwrap();
        assert_eq!(lab.snapshots()[0].state, SnapshotState::Active);
        lab.assert_at_rest("behind it");
    }
}

/// The kernel says that it is valid.
#[test]
fn a_sibling_whose_store_cannot_be_understood_is_not_given_up() {
    let lab = lab_with_sibling(1, 64);
    lab.write("vg--0-t-cow", 64 << 10, 0xff);
    let error = refused(&lab, &back("s"));
    assert!(error.to_string().contains("may overflow the snapshot vg-0/t"), "{error}");
    assert_eq!(lab.read(ORIGIN, 0), 5);
}

#[test]
fn a_sibling_that_has_room_stays_as_it_is() {
    let lab = lab_with_sibling(6, 64);
    let report = lab.engine().merge_snapshot(&back("s"), MODE).unwrap();
    assert_eq!(report.notes, [""; 0]);
    merge_all(&lab);
    assert!((0..64).all(|place| lab.read("vg--0-t", place << 17) == 5));
}

#[test]
fn where_there_is_no_room_for_a_sibling_the_rollback_is_refused() {
    let lab = lab_with_sibling(1, 64);
    let full = volume("full", lab.free().get() >> 20);
    lab.engine().create_volume(&full, MODE).unwrap();
    let error = refused(&lab, &back("s"));
    assert_eq!(error.kind(), Kind::NoSpace);
    assert!(error.to_string().contains("would overflow the snapshot vg-0/t"), "{error}");
    assert_eq!(lab.read(ORIGIN, 0), 5);
    lab.engine().remove_snapshots(&vg(), &[lv("t")], MODE).unwrap();
    lab.engine().merge_snapshot(&back("s"), MODE).unwrap();
    assert_eq!(lab.read(ORIGIN, 0), 1);
}

#[test]
fn a_snapshot_that_is_shorter_than_its_volume_gives_back_its_own_part() {
    let lab = lab_with_changes();
    lab.engine().extend_volume(&growth("+4M"), MODE).unwrap();
    lab.write(ORIGIN, 10 << 20, 8);
    lab.engine().merge_snapshot(&back("s"), MODE).unwrap();
    merge_all(&lab);
    lab.engine().finish_merges(&vg(), MODE).unwrap();
    assert_eq!([0, 10 << 20].map(|at| lab.read(ORIGIN, at)), [1, 8]);
}

#[test]
fn an_inactive_volume_is_rolled_back_when_it_comes_up() {
    let lab = lab_with_changes();
    idle(&lab);
    let rollback = Rollback { undo: Some(lv("before")), ..back("i") };
    let report = lab.engine().merge_snapshot(&rollback, MODE).unwrap();
    assert_eq!(report.frozen, None);
    let error = lab.engine().await_merge(&vg(), &lv("i"), MODE).unwrap_err();
    assert!(error.to_string().contains("vg-0/idle is not active"), "{error}");
    lab.engine().activate(&vg(), &[lv("idle")], MODE).unwrap();
    lab.kernel.merge(&name("vg--0-idle"), usize::MAX).unwrap();
    lab.engine().await_merge(&vg(), &lv("i"), MODE).unwrap();
    assert!(!has(&lab, "i") && has(&lab, "before"));
    assert_eq!(["vg--0-idle", "vg--0-before"].map(|one| lab.read(one, 0)), [IDLE[1], IDLE[0]]);
    lab.assert_at_rest("when it is up");
}

#[test]
fn who_waits_is_told_when_all_is_merged() {
    let lab = lab_with_changes();
    lab.engine().merge_snapshot(&back("s"), MODE).unwrap();
    let engine = lab.engine();
    std::thread::scope(|threads| {
        let waiting = threads.spawn(|| engine.await_merge(&vg(), &lv("s"), MODE));
        std::thread::sleep(Duration::from_millis(10));
        assert!(has(&lab, "s"), "it did not wait");
        merge_all(&lab);
        waiting.join().unwrap().unwrap();
    });
    assert!(!has(&lab, "s"));
    lab.engine().await_merge(&vg(), &lv("s"), MODE).unwrap();
}

/// Somebody suspends the origin for a moment: that is no reason to go.
#[test]
fn who_waits_for_a_merge_waits_for_a_suspended_origin_too() {
    let lab = lab_with_changes();
    lab.engine().merge_snapshot(&back("s"), MODE).unwrap();
    let engine = lab.engine();
    lab.kernel.suspend(&name(ORIGIN), Freeze::Io).unwrap();
    std::thread::scope(|threads| {
        let waiting = threads.spawn(|| engine.await_merge(&vg(), &lv("s"), MODE));
        std::thread::sleep(Duration::from_millis(10));
        lab.kernel.resume(&name(ORIGIN), UdevFlags::visible()).unwrap();
        merge_all(&lab);
        waiting.join().unwrap().unwrap();
    });
    assert!(!has(&lab, "s"));
    lab.engine().create_snapshots(&cut(&[("db", "s")]), MODE).unwrap();
    lab.engine().merge_snapshot(&back("s"), MODE).unwrap();
    lab.kernel.remove(&name(ORIGIN), UdevFlags::hidden()).unwrap();
    let error = lab.engine().await_merge(&vg(), &lv("s"), MODE).unwrap_err();
    assert!(error.to_string().contains("vg-0/db is not active"), "{error}");
}

#[test]
fn a_merge_that_fails_is_told_and_one_that_is_invalid_can_be_taken_away() {
    let lab = lab_with_changes();
    lab.engine().merge_snapshot(&back("s"), MODE).unwrap();
    lab.kernel.set_status(&name(ORIGIN), &Status::MergeFailed);
    assert_eq!(lab.snapshots()[0].state, SnapshotState::Failed);
    let error = lab.engine().await_merge(&vg(), &lv("s"), MODE).unwrap_err();
    assert!(error.to_string().contains("failed"), "{error}");
    assert_eq!(lab.engine().remove_snapshots(&vg(), &[lv("s")], MODE).unwrap_err().kind(), Kind::InUse);
    lab.kernel.set_status(&name(ORIGIN), &Status::Invalid);
    lab.engine().await_merge(&vg(), &lv("s"), MODE).unwrap_err();
    lab.engine().remove_snapshots(&vg(), &[lv("s")], MODE).unwrap();
    lab.assert_at_rest("without it");
}

/// Nobody was told of it, and the origin goes on with what it has: weeks later, at the next activation, it must not jump back.
#[test]
fn a_rollback_whose_process_died_before_the_switch_is_taken_back() {
    let mut taken_back = 0;
    for last in 1.. {
        let lab = lab_with_changes();
        let outcome = lab.mortal_engine(last).merge_snapshot(&back("s"), MODE);
        if outcome.is_ok() {
            break;
        }
        let was_committed = lab.snapshots()[0].merging;
        lab.devices.mount(&name(ORIGIN), "/srv/data");
        lab.engine().create_volume(&volume("next", 1), MODE).unwrap();
        let stays = lab.snapshots()[0].merging;
        assert_eq!(lab.read(ORIGIN, 0), if stays { 1 } else { 2 }, "dead before step {last}");
        taken_back += u32::from(was_committed && !stays);
        let open = open_vg(&lab.disks, &dmsnap::lvm::Host::default(), &vg(), Access::Read).unwrap();
        assert_eq!(open.vg.lv(&lv("s")).unwrap().tags, [], "dead before step {last}");
    }
    assert!(taken_back > 0);
}

/// LVM2's poller takes the merged snapshot away, and with it what says that the rollback was not acknowledged.
#[test]
fn the_state_before_outlives_a_rollback_that_was_cut_and_that_lvm2_ended() {
    let mut ended = 0;
    for last in 1.. {
        let lab = lab_with_changes();
        let kept = Rollback { undo: Some(lv("u")), ..back("s") };
        let outcome = lab.mortal_engine(last).merge_snapshot(&kept, MODE);
        let is_merged = lab.snapshots()[0].merging;
        if is_merged {
            // The power fails, and LVM2 activates the group at boot.
            let lab = lab.booted(&lab.disks);
            lab.lvm2_commits(&[Edit::DetachSnapshot { store: lv("s") }, Edit::RemoveLv { lv: lv("s") }]);
            lab.engine().create_volume(&volume("next", 1), MODE).unwrap();
            assert_eq!(lab.snapshot_names(), ["u"], "dead before step {last}");
            let open = open_vg(&lab.disks, &dmsnap::lvm::Host::default(), &vg(), Access::Read).unwrap();
            assert_eq!(open.vg.lv(&lv("u")).unwrap().tags, [], "dead before step {last}");
            ended += u32::from(outcome.is_err());
        }
        if outcome.is_ok() {
            break;
        }
    }
    assert!(ended > 0);
}

#[test]
fn a_dry_run_says_what_a_rollback_does_and_does_nothing() {
    let lab = lab_with_changes();
    let mode = dmsnap::engine::Mode { dry_run: true, ..MODE };
    let planned = lab.engine().merge_snapshot(&back("s"), mode).unwrap().planned.unwrap();
    let lines: Vec<_> = planned.iter().map(ToString::to_string).collect();
    let at = |words: &str| lines.iter().position(|line| line.starts_with(words)).unwrap();
    assert!(at("begin to merge snapshot s") < at("suspend vg--0-db (unless it is open)"));
    assert!(at("resume vg--0-db") < at("resume vg--0-s"));
    assert_eq!(lab.read(ORIGIN, 0), 2);
    lab.assert_at_rest("behind a dry run");
}

/// udev looks at what is new.
#[test]
fn what_is_opened_for_a_moment_is_looked_at_once_more() {
    let lab = lab_with_changes();
    let kernel = lab.kernel.clone();
    let mut looks = 1;
    lab.kernel.before_each(move |call| {
        match call {
            Call::Suspend(..) if looks > 0 => {
                looks -= 1;
                kernel.hold(&name(ORIGIN));
            }
            Call::Resume(..) => kernel.release(&name(ORIGIN)),
            _ => {}
        }
        Ok(())
    });
    lab.engine().merge_snapshot(&back("s"), MODE).unwrap();
    lab.kernel.heal();
    assert_eq!(lab.read(ORIGIN, 0), 1);
    lab.assert_at_rest("while it is merged");
}
