//! Volumes that are restored from snapshots: what they show, what becomes of them, and what is refused meanwhile.

use crate::lab::{
    Lab, MODE, cut, growth, has_volume, lab_with_volume, lv, restoration, restore, size, snap, vg, volume,
};
use std::time::Duration;

use dmsnap::dm::{DmName, Freeze, Kernel, Line, Table, Target, UdevFlags};
use dmsnap::engine::list::Select;
use dmsnap::engine::restore::Restoration;
use dmsnap::engine::snapshot::NewSnapshots;
use dmsnap::engine::view::{VolumeState, VolumeView};
use dmsnap::error::{Error, Kind, Result};
use dmsnap::lvm::Edit;
use dmsnap::units::{Bytes, Sectors, Size};

/// `db` with the snapshot `a` of its first content, and `copy`, which is being restored from that.
fn lab() -> Lab {
    let lab = lab_with_volume();
    snap(&lab, "a");
    lab.write("vg--0-db", 0, 2);
    restore(&lab, "a", "copy");
    lab
}

fn name(text: &str) -> DmName {
    DmName::new(text).unwrap()
}

fn view(lab: &Lab, name: &str) -> VolumeView {
    lab.engine().volumes(&Select { vg: Some(vg()), names: vec![lv(name)] }).unwrap().remove(0)
}

fn hydrate(lab: &Lab, regions: usize) {
    lab.kernel.hydrate(&name("vg--0-copy"), regions).unwrap();
}

fn refused<T: std::fmt::Debug>(outcome: Result<T>, kind: Kind, words: &str) {
    let error: Error = outcome.unwrap_err();
    assert_eq!(error.kind(), kind, "{error}");
    assert!(error.to_string().contains(words), "\"{words}\" is not in: {error}");
}

#[test]
fn a_restored_volume_can_be_used_at_once_and_is_filled_behind() {
    let lab = lab();
    assert_eq!((lab.read("vg--0-copy", 0), lab.read("vg--0-db", 0)), (1, 2));
    lab.write("vg--0-copy", 1 << 20, 5);
    assert_eq!([lab.read("vg--0-a", 1 << 20), lab.read("vg--0-db", 1 << 20)], [1, 1]);
    let filling = view(&lab, "copy");
    assert_eq!((filling.state, filling.filled_from.as_deref()), (VolumeState::Filling, Some("a")));
    assert_eq!(filling.progress_percent, Some(0.78), "one region of 128");
    assert_eq!(lab.snapshots()[0].in_use_by, ["vg-0/copy"]);
    lab.assert_at_rest("while it is filled");
    lab.assert_short_switches();
}

#[test]
fn a_full_volume_is_one_like_any_other_after_the_next_command() {
    let lab = lab();
    lab.write("vg--0-copy", 1 << 20, 5);
    hydrate(&lab, 1000);
    assert_ne!(lab.engine().check(&vg(), MODE).unwrap().plan, []);
    lab.engine().create_volume(&volume("next", 1), MODE).unwrap();
    lab.assert_at_rest("when it is full");
    let copy = view(&lab, "copy");
    assert_eq!((copy.state, copy.filled_from, copy.progress_percent), (VolumeState::Active, None, None));
    assert_eq!(lab.kernel.info(&name("vg--0-copy_fill")).unwrap(), None);
    let table = lab.kernel.table(&name("vg--0-copy"), dmsnap::dm::Slot::Live).unwrap();
    assert!(matches!(table.0[0].target, Target::Linear { .. }), "{table}");
    assert_eq!([0, 1 << 20].map(|at| lab.read("vg--0-copy", at)), [1, 5]);
    lab.engine().remove_snapshots(&vg(), &[lv("a")], MODE).unwrap();
    lab.engine().create_snapshots(&cut(&[("copy", "later")]), MODE).unwrap();
    assert_eq!([0, 1 << 20].map(|at| lab.read("vg--0-copy", at)), [1, 5]);
}

#[test]
fn whoever_waits_finds_it_full() {
    let lab = lab();
    hydrate(&lab, 1000);
    let heard = std::cell::Cell::new(0.0);
    let report =
        lab.engine().fill(&vg(), &lv("copy"), MODE, &|progress| heard.set(progress.percent())).unwrap();
    assert_eq!((heard.get(), report.objects[0].state), (100.0, VolumeState::Active));
    lab.engine().fill(&vg(), &lv("copy"), MODE, &|_| panic!("there is nothing to fill")).unwrap();
}

/// Somebody suspends it for a moment, and then it is taken down.
#[test]
fn whoever_waits_is_not_told_that_what_went_away_is_full() {
    let lab = lab();
    let engine = lab.engine();
    let copy = name("vg--0-copy");
    let outcome = std::thread::scope(|threads| {
        let waiting = threads.spawn(|| engine.fill(&vg(), &lv("copy"), MODE, &|_| {}));
        std::thread::sleep(Duration::from_millis(10));
        lab.kernel.suspend(&copy, Freeze::Io).unwrap();
        std::thread::sleep(Duration::from_millis(10));
        assert!(!waiting.is_finished(), "a suspended volume counts as full");
        lab.kernel.resume(&copy, UdevFlags::visible()).unwrap();
        lab.engine().deactivate(&vg(), &[lv("db")], MODE).unwrap();
        waiting.join().unwrap()
    });
    refused(outcome, Kind::InUse, "vg-0/copy is not active any more, and is not full");
    lab.engine().activate(&vg(), &[lv("db")], MODE).unwrap();
    hydrate(&lab, 1000);
    lab.engine().fill(&vg(), &lv("copy"), MODE, &|_| {}).unwrap();
}

#[test]
fn whoever_waits_for_a_snapshot_that_is_lost_hears_so() {
    let lab = lab();
    lab.kernel.set_status(&name("vg--0-a"), &dmsnap::dm::Status::Invalid);
    refused(lab.engine().fill(&vg(), &lv("copy"), MODE, &|_| {}), Kind::Refused, "will never be full");
    refused(
        lab.engine().restore_snapshot(&restoration("a", "more"), MODE),
        Kind::Refused,
        "has lost its content",
    );
    lab.engine().remove_volumes(&vg(), &[lv("copy")], false, MODE).unwrap();
}

#[test]
fn a_fill_goes_on_after_a_restart() {
    let lab = lab();
    lab.write("vg--0-copy", 1 << 20, 5);
    hydrate(&lab, 4);
    lab.engine().deactivate(&vg(), &[lv("db")], MODE).unwrap();
    let lab = lab.booted(&lab.disks);
    lab.engine().activate(&vg(), &[lv("db")], MODE).unwrap();
    assert_eq!(view(&lab, "copy").progress_percent, Some(3.90), "five regions of 128");
    assert_eq!([0, 1 << 20].map(|at| lab.read("vg--0-copy", at)), [1, 5]);
    hydrate(&lab, 1000);
    lab.engine().repair(&vg(), MODE).unwrap();
    assert_eq!([0, 1 << 20].map(|at| lab.read("vg--0-copy", at)), [1, 5]);
    lab.assert_at_rest("at the end");
}

#[test]
fn a_larger_volume_goes_on_behind_the_snapshots_end() {
    let lab = lab();
    let larger = Restoration { size: Some(Size::Absolute(Bytes::mib(12))), ..restoration("a", "large") };
    lab.engine().restore_snapshot(&larger, MODE).unwrap();
    assert_eq!(size(&lab, "large"), Bytes::mib(12));
    lab.write("vg--0-large", 10 << 20, 7);
    lab.kernel.hydrate(&name("vg--0-large"), 1000).unwrap();
    lab.engine().repair(&vg(), MODE).unwrap();
    assert_eq!([0, 10 << 20].map(|at| lab.read("vg--0-large", at)), [1, 7]);
    assert_eq!(view(&lab, "copy").state, VolumeState::Filling, "the other one goes on");
    let small = Restoration { size: Some(Size::Absolute(Bytes::mib(4))), ..restoration("a", "small") };
    refused(lab.engine().restore_snapshot(&small, MODE), Kind::Usage, "do not fit");
}

#[test]
fn what_would_harm_a_fill_is_refused() {
    let lab = lab();
    let engine = lab.engine();
    refused(
        engine.remove_snapshots(&vg(), &[lv("a")], MODE),
        Kind::InUse,
        "vg-0/copy is being filled from it",
    );
    refused(
        engine.remove_volumes(&vg(), &[lv("db")], true, MODE),
        Kind::InUse,
        "vg-0/copy is being filled from it",
    );
    let grown = dmsnap::engine::resize::Growth { name: lv("copy"), ..growth("12M") };
    refused(engine.extend_volume(&grown, MODE), Kind::InUse, "being filled from vg-0/a");
    refused(engine.rename_volume(&vg(), &lv("copy"), &lv("other"), MODE), Kind::InUse, "being filled");
    refused(engine.create_snapshots(&cut(&[("copy", "s")]), MODE), Kind::InUse, "being filled");
    refused(engine.restore_snapshot(&restoration("db", "more"), MODE), Kind::Usage, "is no snapshot");
    lab.devices.mount(&name("vg--0-copy"), "/mnt");
    refused(engine.deactivate(&vg(), &[lv("db")], MODE), Kind::InUse, "mounted on /mnt");
    lab.assert_at_rest("after all refusals");
}

#[test]
fn a_snapshot_that_is_read_from_can_be_renamed_and_so_can_its_origin() {
    let lab = lab();
    lab.engine().rename_volume(&vg(), &lv("a"), &lv("b"), MODE).unwrap();
    lab.engine().rename_volume(&vg(), &lv("db"), &lv("base"), MODE).unwrap();
    assert_eq!(view(&lab, "copy").filled_from.as_deref(), Some("b"));
    lab.assert_at_rest("after the renames");
    hydrate(&lab, 1000);
    lab.engine().repair(&vg(), MODE).unwrap();
    assert_eq!(lab.read("vg--0-copy", 0), 1);
}

/// What fills a volume has longer names than what people see.
#[test]
fn a_group_gets_no_name_with_which_a_fill_could_not_go_on() {
    let lab = lab();
    let long = "v".repeat(115).parse().unwrap();
    for _ in ["active", "inactive"] {
        refused(lab.engine().rename_group(&vg(), &long, MODE), Kind::Usage, "too long");
        lab.engine().deactivate(&vg(), &[], MODE).unwrap();
    }
    lab.engine().activate(&vg(), &[], MODE).unwrap();
    lab.assert_at_rest("behind the refusals");
    hydrate(&lab, 1000);
    lab.engine().repair(&vg(), MODE).unwrap();
    lab.engine().rename_group(&vg(), &long, MODE).unwrap();
    lab.assert_at_rest("with the long name");
}

/// LVM2's `lvchange --refresh` does it.
#[test]
fn a_volume_that_somebody_reloaded_while_it_was_filled_is_not_trusted() {
    let lab = lab();
    let plain = {
        let table = lab.kernel.table(&name("vg--0-copy_fill-dest"), dmsnap::dm::Slot::Live).unwrap();
        Table(table.0)
    };
    lab.kernel.load(&name("vg--0-copy"), &plain, false).unwrap();
    lab.kernel.resume(&name("vg--0-copy"), UdevFlags::visible()).unwrap();
    refused(lab.engine().repair(&vg(), MODE), Kind::Refused, "another table");
    lab.engine().remove_volumes(&vg(), &[lv("copy")], false, MODE).unwrap();
    lab.assert_at_rest("when it is gone");
}

#[test]
fn a_volume_whose_snapshot_is_gone_is_not_activated() {
    let lab = lab();
    lab.engine().deactivate(&vg(), &[lv("db")], MODE).unwrap();
    lab.lvm2_commits(&[Edit::DetachSnapshot { store: lv("a") }, Edit::RemoveLv { lv: lv("a") }]);
    refused(lab.engine().activate(&vg(), &[lv("copy")], MODE), Kind::Refused, "snapshot that is gone");
    lab.engine().activate(&vg(), &[], MODE).unwrap();
    lab.engine().remove_volumes(&vg(), &[lv("copy")], false, MODE).unwrap();
    lab.engine().repair(&vg(), MODE).unwrap();
    assert!(!has_volume(&lab, "copy"));
    lab.assert_at_rest("when it is gone");
}

#[test]
fn a_merge_that_lvm2_asked_for_waits_until_nothing_reads_the_snapshot() {
    let lab = lab();
    lab.lvm2_commits(&[Edit::SetMerging { store: lv("a"), merging: true }]);
    lab.engine().repair(&vg(), MODE).unwrap();
    assert_eq!((lab.read("vg--0-db", 0), lab.read("vg--0-copy", 0)), (2, 1));
    hydrate(&lab, 1000);
    // The end of the fill, and then the merge.
    lab.engine().repair(&vg(), MODE).unwrap();
    lab.engine().repair(&vg(), MODE).unwrap();
    assert_eq!((lab.read("vg--0-db", 0), lab.read("vg--0-copy", 0)), (1, 1));
}

/// While the volume is down LVM2 does not know that the snapshot is read; the merge then begins when it activates the volume at boot, before
/// dmsnap comes up. From there nothing leads back: a merge that is stopped leaves a volume that is neither the one nor the other.
#[test]
fn a_merge_that_lvm2_has_begun_goes_on_though_the_snapshot_is_read() {
    let lab = lab_with_volume();
    snap(&lab, "a");
    [0, 1 << 20].iter().for_each(|at| lab.write("vg--0-db", *at, 2));
    restore(&lab, "a", "copy");
    let layers = ["vg--0-db-real", "vg--0-a-cow", "vg--0-db", "vg--0-a"].map(name);
    let known = layers.clone().map(|layer| {
        let info = lab.kernel.info(&layer).unwrap().unwrap();
        (info.uuid.unwrap(), lab.kernel.table(&layer, dmsnap::dm::Slot::Live).unwrap())
    });
    lab.engine().deactivate(&vg(), &[lv("db")], MODE).unwrap();
    lab.lvm2_commits(&[Edit::SetMerging { store: lv("a"), merging: true }]);
    let numbers = [0, 1, 2, 3].map(|at| lab.kernel.create(&layers[at], &known[at].0).unwrap());
    let length = known[2].1.0[0].length;
    let whole = |target| Table(vec![Line { start: Sectors::ZERO, length, target }]);
    let Target::Snapshot { chunk, .. } = known[3].1.0[0].target else { panic!("{}", known[3].1) };
    let merge = Target::Merge { origin: numbers[0], cow: numbers[1], chunk };
    let tables = [known[0].1.clone(), known[1].1.clone(), whole(merge), whole(Target::Error)];
    for (layer, table) in layers.iter().zip(&tables) {
        lab.kernel.load(layer, table, false).unwrap();
        lab.kernel.resume(layer, UdevFlags::hidden()).unwrap();
    }
    lab.kernel.merge(&name("vg--0-db"), 1).unwrap();
    let shown = || [0, 1 << 20].map(|at| lab.read("vg--0-db", at));
    assert_eq!(shown(), [1, 1]);
    refused(lab.engine().activate(&vg(), &[], MODE), Kind::Refused, "vg-0/copy");
    lab.engine().create_volume(&volume("next", 1), MODE).unwrap();
    assert_eq!(shown(), [1, 1]);
    lab.engine().remove_volumes(&vg(), &[lv("copy")], false, MODE).unwrap();
    lab.kernel.merge(&name("vg--0-db"), usize::MAX).unwrap();
    lab.engine().finish_merges(&vg(), MODE).unwrap();
    assert_eq!((shown(), lab.snapshot_names()), ([1, 1], Vec::new()));
    lab.assert_at_rest("behind the merge");
}

#[test]
fn what_is_lost_is_not_restored_active_or_not() {
    let lab = lab_with_volume();
    let small = NewSnapshots { size: Some(Size::Absolute(Bytes::mib(1))), ..cut(&[("db", "a")]) };
    lab.engine().create_snapshots(&small, MODE).unwrap();
    (0..64).for_each(|place| lab.write("vg--0-db", place << 17, 9));
    for _ in ["active", "inactive"] {
        let outcome = lab.engine().restore_snapshot(&restoration("a", "copy"), MODE);
        refused(outcome, Kind::Refused, "has lost its content");
        lab.engine().deactivate(&vg(), &[lv("db")], MODE).unwrap();
    }
}

/// Its devices have the old names until the next command.
#[test]
fn a_fill_ends_though_a_rename_of_its_group_was_cut() {
    for last in 1.. {
        let lab = lab();
        let to = "vg-1".parse().unwrap();
        let outcome = lab.mortal_engine(last).rename_group(&vg(), &to, MODE);
        let device = ["vg--0-copy", "vg--1-copy"].map(name);
        let device = device.iter().find(|device| lab.kernel.info(device).unwrap().is_some()).unwrap();
        lab.kernel.hydrate(device, 1000).unwrap();
        lab.engine()
            .repair(&lab.group(), MODE)
            .unwrap_or_else(|error| panic!("dead before step {last}: {error}"));
        assert!(!lab.is_filling("copy"), "dead before step {last}");
        lab.assert_at_rest(&format!("dead before step {last}"));
        if outcome.is_ok() {
            break;
        }
    }
}

/// The copy lies on a disk of its own.
#[test]
fn a_volume_comes_up_though_what_is_filled_from_its_snapshot_cannot() {
    for what in ["its disk is gone", "the kernel has no clone"] {
        let lab = lab_with_volume();
        snap(&lab, "a");
        let apart = Restoration { on: vec!["/dev/sdb".into()], ..restoration("a", "copy") };
        lab.engine().restore_snapshot(&apart, MODE).unwrap();
        lab.engine().deactivate(&vg(), &[], MODE).unwrap();
        if what == "its disk is gone" {
            lab.disks.remove(std::path::Path::new("/dev/sdb")).unwrap();
        } else {
            lab.kernel.without_target("clone");
        }
        let error = lab.engine().activate(&vg(), &[], MODE).unwrap_err();
        assert!(error.to_string().contains("vg-0/copy"), "{what}: {error}");
        assert_eq!([lab.read("vg--0-db", 0), lab.read("vg--0-a", 0)], [1, 1], "{what}");
    }
}

#[test]
fn a_missing_device_on_which_a_map_lies_can_be_given_up() {
    let lab = lab();
    let apart = Restoration { on: vec!["/dev/sdb".into()], ..restoration("a", "apart") };
    lab.engine().restore_snapshot(&apart, MODE).unwrap();
    lab.engine().deactivate(&vg(), &[], MODE).unwrap();
    lab.disks.remove(std::path::Path::new("/dev/sdb")).unwrap();
    let error = lab.engine().drop_missing(&vg(), MODE).unwrap_err();
    let hint = error.way_out().unwrap().to_owned();
    assert!(hint.contains("`dmsnap volume remove vg-0/apart`") && !hint.contains("apart_fill"), "{hint}");
    lab.engine().remove_volumes(&vg(), &[lv("apart")], false, MODE).unwrap();
    lab.engine().drop_missing(&vg(), MODE).unwrap();
    lab.engine().activate(&vg(), &[], MODE).unwrap();
    assert_eq!(lab.read("vg--0-copy", 0), 1);
}

#[test]
fn without_the_kernels_clone_nothing_is_restored() {
    let lab = lab_with_volume();
    snap(&lab, "a");
    lab.kernel.without_target("clone");
    refused(lab.engine().restore_snapshot(&restoration("a", "copy"), MODE), Kind::Internal, "\"clone\"");
}

#[test]
fn a_clone_shows_one_moment_of_its_volume_and_its_snapshot_goes_with_the_fill() {
    let lab = lab_with_volume();
    lab.engine().clone_volume(&restoration("db", "copy"), MODE).unwrap();
    lab.write("vg--0-db", 0, 2);
    assert_eq!(
        (lab.read("vg--0-copy", 0), view(&lab, "copy").filled_from.as_deref()),
        (1, Some("copy_source"))
    );
    lab.assert_at_rest("while it is filled");
    lab.assert_short_switches();
    refused(
        lab.engine().remove_snapshots(&vg(), &[lv("copy_source")], MODE),
        Kind::InUse,
        "vg-0/copy is being filled from it",
    );
    hydrate(&lab, 1000);
    lab.engine().create_volume(&volume("next", 1), MODE).unwrap();
    lab.assert_at_rest("when it is full");
    assert_eq!((lab.read("vg--0-copy", 0), lab.read("vg--0-db", 0)), (1, 2));
    assert_eq!(lab.snapshot_names(), Vec::<String>::new());
}

#[test]
fn only_volumes_are_cloned() {
    let lab = lab_with_volume();
    snap(&lab, "a");
    refused(lab.engine().clone_volume(&restoration("a", "copy"), MODE), Kind::Usage, "is itself a snapshot");
    refused(lab.engine().clone_volume(&restoration("db", "db"), MODE), Kind::AlreadyExists, "db");
}
