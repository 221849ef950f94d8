//! Rolling back to a snapshot that stays: what the volume shows, what becomes of it, and what is refused meanwhile.

use crate::lab::{Lab, MODE, cut, growth, has_volume, lab_with_volume, lv, restoration, snap, vg, volume};
use crate::operations::rollbacks::back;
use dmsnap::block::{Access, Devices};
use dmsnap::dm::sim::Call;
use dmsnap::dm::{DmName, Kernel, Slot, Status, UdevFlags};
use dmsnap::engine::diff::Comparison;
use dmsnap::engine::list::Select;
use dmsnap::engine::rollback::Rollback;
use dmsnap::engine::snapshot::NewSnapshots;
use dmsnap::engine::view::{SnapshotState, VolumeState, VolumeView};
use dmsnap::error::{Error, Kind, Result};
use dmsnap::lvm::{Edit, LvFlag, open_vg};
use dmsnap::units::{Bytes, ChunkSize, Size};

const ORIGIN: &str = "vg--0-db";
const CLONE: &str = "vg--0-db_fill-clone";
const FLAGS: [&str; 2] = ["ACTIVATION_SKIP", "NOAUTOACTIVATE"];

fn name(text: &str) -> DmName {
    DmName::new(text).unwrap()
}

/// `db` holds 1, its snapshot `s` was taken then; since then 2 was written to the origin, and 3 to the snapshot elsewhere.
fn lab() -> Lab {
    let lab = lab_with_volume();
    snap(&lab, "s");
    lab.write(ORIGIN, 0, 2);
    lab.write("vg--0-s", 2 << 20, 3);
    lab
}

fn roll_back(lab: &Lab, snapshot: &str) {
    lab.engine().roll_back(&back(snapshot), MODE).unwrap();
}

fn fill(lab: &Lab) {
    lab.kernel.hydrate(&name(CLONE), usize::MAX).unwrap();
    lab.engine().repair(&vg(), MODE).unwrap();
}

fn view(lab: &Lab) -> VolumeView {
    lab.engine().volumes(&Select { vg: Some(vg()), names: vec![lv("db")] }).unwrap().remove(0)
}

/// The snapshot `s` loses its content.
fn lose(lab: &Lab) {
    lab.kernel.set_status(&name("vg--0-s"), &Status::Invalid);
    let store = lab.devices.open("/dev/mapper/vg--0-s-cow".as_ref(), Access::Write).unwrap();
    store.write_at(Bytes(4), &[0; 4]).unwrap();
}

fn shown(lab: &Lab, device: &str) -> [u8; 3] {
    [0, 1 << 20, 2 << 20].map(|at| lab.read(device, at))
}

fn refused<T: std::fmt::Debug>(outcome: Result<T>, kind: Kind, words: &str) {
    let error: Error = outcome.unwrap_err();
    assert_eq!(error.kind(), kind, "{error}");
    assert!(error.to_string().contains(words), "\"{words}\" is not in: {error}");
}

#[test]
fn the_volume_shows_the_snapshots_content_at_once_and_the_snapshot_stays() {
    let lab = lab();
    let report = lab.engine().roll_back(&back("s"), MODE).unwrap();
    assert_eq!((report.objects[0].name.as_str(), report.objects[0].state), ("db", VolumeState::RollingBack));
    assert!(report.frozen.is_some());
    lab.assert_short_switches();
    assert_eq!(shown(&lab, ORIGIN), [1, 1, 3]);
    lab.assert_at_rest("while it is filled");
    let filling = view(&lab);
    assert_eq!((filling.state, filling.filled_from.as_deref()), (VolumeState::RollingBack, Some("s")));
    assert_eq!(lab.snapshots()[0].in_use_by, ["vg-0/db"]);
    lab.write(ORIGIN, 3 << 20, 5);
    fill(&lab);
    assert_eq!(shown(&lab, ORIGIN), [1, 1, 3]);
    assert_eq!((lab.read(ORIGIN, 3 << 20), lab.read("vg--0-s", 3 << 20)), (5, 0));
    assert_eq!(shown(&lab, "vg--0-s"), [1, 1, 3]);
    let full = view(&lab);
    assert_eq!((full.state, full.filled_from, full.progress_percent), (VolumeState::Active, None, None));
    assert!(!has_volume(&lab, "db_fill"));
    lab.assert_at_rest("behind it");
}

#[test]
fn only_what_changed_is_copied() {
    let lab = lab();
    roll_back(&lab, "s");
    // Of 128 regions all but the two that have exceptions.
    assert_eq!(view(&lab).progress_percent, Some(98.43));
    let used = lab.snapshots()[0].used_bytes;
    assert_eq!(lab.kernel.hydrate(&name(CLONE), usize::MAX).unwrap(), 2);
    assert_eq!(lab.snapshots()[0].used_bytes, used, "a chunk was copied that had not changed");
}

#[test]
fn it_can_be_gone_back_to_again_and_to_the_state_before() {
    let lab = lab();
    lab.engine().roll_back(&Rollback { undo: Some(lv("u")), ..back("s") }, MODE).unwrap();
    fill(&lab);
    lab.write(ORIGIN, 0, 9);
    roll_back(&lab, "s");
    assert_eq!(shown(&lab, ORIGIN), [1, 1, 3]);
    fill(&lab);
    roll_back(&lab, "u");
    assert_eq!(shown(&lab, ORIGIN), [2, 1, 0]);
    fill(&lab);
    assert_eq!(shown(&lab, ORIGIN), [2, 1, 0]);
    assert_eq!((shown(&lab, "vg--0-s"), shown(&lab, "vg--0-u")), ([1, 1, 3], [2, 1, 0]));
    lab.assert_at_rest("behind all of it");
}

/// It would be lost, or half of it: what was noted as unchanged shows it, what was noted as changed does not.
#[test]
fn what_is_written_while_a_rollback_is_prepared_is_rolled_back_as_well() {
    let lab = lab();
    let (devices, written) = (lab.devices.clone(), std::sync::Once::new());
    let engine = lab.engine_with(move |step| {
        if step > 20 {
            written.call_once(|| {
                let device = devices.open("/dev/mapper/vg--0-db".as_ref(), Access::Write).unwrap();
                device.write_at(Bytes::mib(4), &[7; 4096]).unwrap();
            });
        }
        Ok(())
    });
    lab.kernel.forget_calls();
    engine.roll_back(&back("s"), MODE).unwrap();
    assert_eq!(lab.read(ORIGIN, 4 << 20), 0);
    let turns = |call: &Call| matches!(call, Call::Suspend(device, _) if *device == name(ORIGIN));
    assert_eq!(lab.kernel.calls().iter().filter(|call| turns(call)).count(), 2, "it was not tried again");
    fill(&lab);
    assert_eq!(lab.read(ORIGIN, 4 << 20), 0);
    lab.assert_at_rest("behind it");
}

#[test]
fn somebody_who_never_stops_to_write_is_told_of() {
    let lab = lab();
    lab.kernel.hold(&name(ORIGIN));
    let devices = lab.devices.clone();
    let place = std::sync::atomic::AtomicU64::new(3);
    let engine = lab.engine_with(move |_| {
        let at = place.fetch_add(1, std::sync::atomic::Ordering::SeqCst) % 127;
        if let Ok(device) = devices.open("/dev/mapper/vg--0-db".as_ref(), Access::Write) {
            let _ = device.write_at(Bytes(at << 16), &[7; 4096]);
        }
        Ok(())
    });
    refused(
        engine.roll_back(&Rollback { force: true, ..back("s") }, MODE),
        Kind::InUse,
        "was written to meanwhile",
    );
    lab.assert_at_rest("behind the refusal");
    assert!(lab.read(ORIGIN, 0) != 1, "it is rolled back all the same");
}

#[test]
fn what_is_open_is_refused_and_what_is_opened_at_the_last_moment_does_not_change_underneath() {
    for (device, force) in [(ORIGIN, false), (ORIGIN, true), ("vg--0-s", false), ("vg--0-s", true)] {
        let lab = lab();
        lab.devices.mount(&name(device), "/srv/data");
        refused(lab.engine().roll_back(&Rollback { force, ..back("s") }, MODE), Kind::InUse, "/srv/data");
    }
    let lab = lab();
    refused(lab.engine_overtaken(ORIGIN).roll_back(&back("s"), MODE), Kind::InUse, "is in use: ");
    assert_eq!(lab.read(ORIGIN, 0), 2);
    lab.assert_at_rest("behind the refusal");
    lab.engine().roll_back(&Rollback { force: true, ..back("s") }, MODE).unwrap();
    assert_eq!(lab.read(ORIGIN, 0), 1);
}

#[test]
fn while_a_volume_is_rolled_back_nothing_touches_what_that_needs() {
    let lab = lab();
    snap(&lab, "t");
    roll_back(&lab, "s");
    let engine = lab.engine();
    let busy = "vg-0/db is being rolled back to vg-0/s";
    refused(engine.roll_back(&back("t"), MODE), Kind::InUse, busy);
    refused(engine.merge_snapshot(&back("t"), MODE), Kind::InUse, busy);
    refused(engine.remove_snapshots(&vg(), &[lv("s")], MODE), Kind::InUse, busy);
    refused(engine.create_snapshots(&cut(&[("db", "u")]), MODE), Kind::InUse, busy);
    refused(engine.extend_volume(&growth("+1M"), MODE), Kind::InUse, busy);
    refused(engine.rename_volume(&vg(), &lv("db"), &lv("other"), MODE), Kind::InUse, busy);
    refused(engine.clone_volume(&restoration("db", "twin"), MODE), Kind::InUse, busy);
    let comparison = Comparison { vg: vg(), snapshot: lv("s"), since: None, content: false };
    refused(engine.differences(&comparison, MODE), Kind::InUse, busy);
    refused(engine.remove_volumes(&vg(), &[lv("db")], false, MODE), Kind::InUse, "has snapshots");
    // Other snapshots may go, and what is restored from one is.
    engine.restore_snapshot(&restoration("s", "copy"), MODE).unwrap();
    assert_eq!(shown(&lab, "vg--0-copy"), [1, 1, 3]);
    engine.remove_snapshots(&vg(), &[lv("t")], MODE).unwrap();
    lab.assert_at_rest("while it is filled");
    fill(&lab);
    assert_eq!((shown(&lab, ORIGIN), shown(&lab, "vg--0-copy")), ([1, 1, 3], [1, 1, 3]));
}

#[test]
fn it_goes_on_when_the_volume_comes_up_again_and_copies_no_more_than_before() {
    let lab = lab();
    roll_back(&lab, "s");
    lab.write(ORIGIN, 3 << 20, 5);
    lab.kernel.hydrate(&name(CLONE), 1).unwrap();
    let notes = lab.engine().deactivate(&vg(), &[lv("db")], MODE).unwrap().notes;
    assert!(notes[0].contains("the rollback of vg-0/db to vg-0/s goes on"), "{notes:?}");
    assert_eq!(lab.kernel.list().unwrap(), []);
    // Of its own, whoever names nothing brings it up too.
    lab.engine().activate(&vg(), &[], MODE).unwrap();
    assert_eq!((shown(&lab, ORIGIN), lab.read(ORIGIN, 3 << 20)), ([1, 1, 3], 5));
    assert_eq!(lab.kernel.hydrate(&name(CLONE), usize::MAX).unwrap(), 1);
    fill(&lab);
    assert_eq!((shown(&lab, ORIGIN), lab.read(ORIGIN, 3 << 20)), ([1, 1, 3], 5));
    lab.assert_at_rest("behind it");
}

#[test]
fn an_inactive_volume_is_rolled_back_when_it_comes_up() {
    let lab = lab();
    lab.engine().deactivate(&vg(), &[lv("db")], MODE).unwrap();
    let rollback = Rollback { undo: Some(lv("u")), ..back("s") };
    assert_eq!(lab.engine().roll_back(&rollback, MODE).unwrap().frozen, None);
    refused(lab.engine().fill(&vg(), &lv("db"), MODE, &|_| {}), Kind::InUse, "vg-0/db is not active");
    lab.engine().activate(&vg(), &[lv("db")], MODE).unwrap();
    assert_eq!((shown(&lab, ORIGIN), shown(&lab, "vg--0-u")), ([1, 1, 3], [2, 1, 0]));
    fill(&lab);
    assert_eq!((shown(&lab, ORIGIN), shown(&lab, "vg--0-u")), ([1, 1, 3], [2, 1, 0]));
    lab.assert_at_rest("behind it");
}

/// Regions are larger than its chunks: it keeps what they hold besides.
#[test]
fn the_snapshots_own_store_and_its_siblings_are_extended_first() {
    let lab = lab_with_volume();
    let small = |name| NewSnapshots {
        size: Some(Size::Absolute(Bytes::mib(1))),
        chunk: ChunkSize::new(Bytes::kib(4)).unwrap(),
        ..cut(&[("db", name)])
    };
    lab.engine().create_snapshots(&small("s"), MODE).unwrap();
    (0..64).for_each(|place| lab.write(ORIGIN, place << 17, 5));
    lab.engine().create_snapshots(&small("t"), MODE).unwrap();
    let notes = lab.engine().roll_back(&back("s"), MODE).unwrap().notes;
    for name in ["s", "t"] {
        assert!(
            notes.iter().any(|note| note.contains(&format!("the store of vg-0/{name} is extended"))),
            "{notes:?}"
        );
    }
    fill(&lab);
    assert!((1..64).all(|place| lab.read(ORIGIN, place << 17) == u8::from(place == 8)));
    assert!((0..64).all(|place| lab.read("vg--0-t", place << 17) == 5));
    assert!(lab.snapshots().iter().all(|snapshot| snapshot.state == SnapshotState::Active));
}

#[test]
fn where_there_is_no_room_for_a_store_the_rollback_is_refused() {
    let lab = lab_with_volume();
    let chunk = ChunkSize::new(Bytes::kib(4)).unwrap();
    let small = NewSnapshots { size: Some(Size::Absolute(Bytes::mib(1))), chunk, ..cut(&[("db", "s")]) };
    lab.engine().create_snapshots(&small, MODE).unwrap();
    (0..64).for_each(|place| lab.write(ORIGIN, place << 17, 5));
    lab.engine().create_volume(&volume("full", lab.free().get() >> 20), MODE).unwrap();
    refused(lab.engine().roll_back(&back("s"), MODE), Kind::NoSpace, "would overflow the snapshot vg-0/s");
    assert_eq!(lab.read(ORIGIN, 0), 5);
    lab.assert_at_rest("behind the refusal");
}

#[test]
fn a_snapshot_that_is_shorter_than_its_volume_gives_back_its_own_part() {
    let lab = lab();
    lab.engine().extend_volume(&growth("+4M"), MODE).unwrap();
    lab.write(ORIGIN, 10 << 20, 8);
    roll_back(&lab, "s");
    lab.write(ORIGIN, 11 << 20, 9);
    let all = |lab: &Lab| [0, 2 << 20, 10 << 20, 11 << 20].map(|at| lab.read(ORIGIN, at));
    assert_eq!(all(&lab), [1, 3, 8, 9]);
    fill(&lab);
    assert_eq!(all(&lab), [1, 3, 8, 9]);
    lab.assert_at_rest("behind it");
}

#[test]
fn a_snapshot_that_is_lost_and_a_kernel_without_clones_are_refused() {
    let lab = lab();
    lab.kernel.without_target("clone");
    let error = lab.engine().roll_back(&back("s"), MODE).unwrap_err();
    assert!(error.way_out().unwrap().contains("--merge"), "{error}");
    let lab = lab_with_volume();
    let small = NewSnapshots { size: Some(Size::Absolute(Bytes::mib(1))), ..cut(&[("db", "s")]) };
    lab.engine().create_snapshots(&small, MODE).unwrap();
    (0..64).for_each(|place| lab.write(ORIGIN, place << 17, 9));
    refused(lab.engine().roll_back(&back("s"), MODE), Kind::Refused, "worth nothing");
}

/// LVM2 has such flags for a person's wish; a rollback borrows them.
#[test]
fn flags_that_a_volume_had_before_it_has_behind_a_rollback() {
    for own in [vec![], vec![LvFlag::ActivationSkip], vec![LvFlag::ActivationSkip, LvFlag::NoAutoActivate]] {
        let lab = lab();
        let set = |flag: &LvFlag| Edit::SetLvFlag { lv: lv("db"), flag: *flag, on: true };
        lab.lvm2_commits(&own.iter().map(set).collect::<Vec<_>>());
        let flags = |lab: &Lab| {
            let open = open_vg(&lab.disks, &dmsnap::lvm::Host::default(), &vg(), Access::Read).unwrap();
            let has = |flag: &&str| open.vg.lv(&lv("db")).unwrap().flags.has(flag);
            FLAGS.into_iter().filter(has).collect::<Vec<_>>()
        };
        let before = flags(&lab);
        roll_back(&lab, "s");
        assert_eq!(flags(&lab), FLAGS);
        fill(&lab);
        assert_eq!(flags(&lab), before);
    }
}

#[test]
fn a_table_that_somebody_else_gave_the_volume_is_told_of() {
    let lab = lab();
    roll_back(&lab, "s");
    let plain = lab.kernel.table(&name("vg--0-db_fill-dest"), Slot::Live).unwrap();
    lab.kernel.load(&name(ORIGIN), &plain, false).unwrap();
    lab.kernel.resume(&name(ORIGIN), UdevFlags::visible()).unwrap();
    refused(lab.engine().repair(&vg(), MODE), Kind::Refused, "somebody has given it another table");
    lab.engine().deactivate(&vg(), &[lv("db")], MODE).unwrap();
    lab.engine().activate(&vg(), &[lv("db")], MODE).unwrap();
    assert_eq!(shown(&lab, ORIGIN), [1, 1, 3]);
    lab.assert_at_rest("when it is up again");
}

#[test]
fn a_snapshot_that_is_lost_on_the_way_is_told_to_who_waits() {
    let lab = lab();
    roll_back(&lab, "s");
    lab.kernel.set_status(&name("vg--0-s"), &Status::Invalid);
    refused(lab.engine().fill(&vg(), &lv("db"), MODE, &|_| {}), Kind::Refused, "has lost its content");
}

/// It never ends, and somebody must say so: the volume goes on with a part of it.
#[test]
fn a_rollback_to_a_snapshot_that_is_lost_on_the_way_can_be_given_up() {
    for is_active in [true, false] {
        let lab = lab();
        snap(&lab, "t");
        roll_back(&lab, "s");
        lab.kernel.hydrate(&name(CLONE), 1).unwrap();
        lose(&lab);
        if !is_active {
            lab.engine().deactivate(&vg(), &[lv("db")], MODE).unwrap();
            refused(
                lab.engine().activate(&vg(), &[lv("db")], MODE),
                Kind::Refused,
                "vg-0/s is worth nothing",
            );
        }
        lab.engine().remove_snapshots(&vg(), &[lv("s")], MODE).unwrap();
        lab.engine().activate(&vg(), &[lv("db")], MODE).unwrap();
        assert_eq!((shown(&lab, ORIGIN), shown(&lab, "vg--0-t")), ([1, 1, 0], [2, 1, 0]));
        assert_eq!(view(&lab).state, VolumeState::Active);
        lab.assert_at_rest("without it");
    }
}

#[test]
fn who_waits_sees_it_full() {
    let lab = lab();
    roll_back(&lab, "s");
    let kernel = lab.kernel.clone();
    let far = std::sync::Mutex::new(Vec::new());
    let tell = |progress: dmsnap::engine::filling::Progress| {
        far.lock().unwrap().push(progress.percent());
        kernel.hydrate(&name(CLONE), 1).unwrap();
    };
    let report = lab.engine().fill(&vg(), &lv("db"), MODE, &tell).unwrap();
    assert_eq!(*far.lock().unwrap(), [98.43, 99.21, 100.0]);
    assert_eq!(report.objects[0].state, VolumeState::Active);
    assert_eq!(shown(&lab, ORIGIN), [1, 1, 3]);
}

#[test]
fn a_dry_run_says_what_a_rollback_does_and_does_nothing() {
    let lab = lab();
    let mode = dmsnap::engine::Mode { dry_run: true, ..MODE };
    let planned = lab.engine().roll_back(&back("s"), mode).unwrap().planned.unwrap();
    let lines: Vec<_> = planned.iter().map(ToString::to_string).collect();
    let at = |words: &str| {
        lines.iter().position(|line| line.starts_with(words)).unwrap_or_else(|| panic!("{words}: {lines:#?}"))
    };
    assert!(at("lock volume db") < at("tell vg--0-db_fill-clone that it has 7.87 MiB already"));
    assert!(at("tell vg--0-db_fill-clone") < at("suspend vg--0-db (unless it is open)"));
    assert!(at("suspend vg--0-db") < at("see that vg--0-s has used no more than"));
    assert!(at("resume vg--0-db") < at("let vg--0-db_fill-clone fill"));
    assert_eq!(lab.read(ORIGIN, 0), 2);
    lab.assert_at_rest("behind a dry run");
}
