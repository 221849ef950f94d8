//! Volumes: making, growing, renaming and removing them.

use crate::lab::{Lab, MODE, cut, growth, has_volume, lab_with_volume, lv, vg, volume};
use dmsnap::dm::DmName;
use dmsnap::engine::Mode;
use dmsnap::engine::resize::Growth;
use dmsnap::engine::volume::NewVolume;
use dmsnap::error::Kind;
use dmsnap::lvm::Policy;
use dmsnap::units::Bytes;

#[test]
fn a_volume_grows_under_its_snapshots() {
    let lab = lab_with_volume();
    lab.engine().create_snapshots(&cut(&[("db", "s")]), MODE).unwrap();
    let grown = lab.engine().extend_volume(&growth("+4M"), MODE).unwrap().objects.remove(0);
    assert_eq!(grown.size_bytes, Bytes::mib(12));
    lab.write("vg--0-db", 11 << 20, 6);
    lab.write("vg--0-db", 0, 2);
    assert_eq!((lab.read("vg--0-db", 11 << 20), lab.read("vg--0-s", 0)), (6, 1));
    assert_eq!(lab.snapshots()[0].size_bytes, Bytes::mib(8));
    lab.assert_at_rest("after growth");
    lab.assert_short_switches();
}

/// A process that dies after the growth of the volume has not grown the file system: asking again does.
#[test]
fn a_file_system_grows_as_a_step_of_the_plan() {
    let lab = lab_with_volume();
    lab.devices.mount(&DmName::new("vg--0-db").unwrap(), "/mnt/db");
    for _ in ["the volume grows too", "the volume has the size"] {
        let growth = Growth { resize_fs: true, ..growth("12M") };
        let planned = |dry_run| {
            let report = lab.engine().extend_volume(&growth, Mode { dry_run, ..MODE }).unwrap();
            report.planned.unwrap_or_default()
        };
        let lines = planned(true);
        let step = "grow the file system on vg--0-db to 12 MiB";
        assert!(lines.iter().any(|entry| entry.to_string() == step), "{lines:#?}");
        planned(false);
        let device = DmName::new("vg--0-db").unwrap();
        assert_eq!(lab.devices.file_system(&device), Some(Bytes::mib(12)));
    }
}

#[test]
fn a_volume_is_never_made_smaller() {
    let lab = lab_with_volume();
    let disks = lab.disks.images();
    assert_eq!(lab.engine().extend_volume(&growth("4M"), MODE).unwrap_err().kind(), Kind::Usage);
    assert_eq!(lab.engine().extend_volume(&growth("+1G"), MODE).unwrap_err().kind(), Kind::NoSpace);
    let report = lab.engine().extend_volume(&growth("8M"), MODE).unwrap();
    assert!(report.notes.iter().any(|note| note.contains("already")), "{:?}", report.notes);
    assert!(lab.disks.images() == disks, "nothing was to be done");
}

#[test]
fn volumes_and_snapshots_are_renamed_in_use() {
    let lab = lab_with_volume();
    lab.engine().create_snapshots(&cut(&[("db", "s")]), MODE).unwrap();
    lab.engine().rename_volume(&vg(), &lv("db"), &lv("data"), MODE).unwrap();
    lab.engine().rename_volume(&vg(), &lv("s"), &lv("old"), MODE).unwrap();
    lab.write("vg--0-data", 0, 2);
    assert_eq!((lab.read("vg--0-data", 0), lab.read("vg--0-old", 0)), (2, 1));
    assert_eq!(lab.snapshots()[0].origin, "data");
    lab.assert_at_rest("after renaming");
    let error = lab.engine().rename_volume(&vg(), &lv("old"), &lv("data"), MODE).unwrap_err();
    assert_eq!(error.kind(), Kind::AlreadyExists);
}

/// Who was told that the removal failed goes on to use the volume: no later command may finish it.
#[test]
fn a_removal_that_was_refused_has_not_happened() {
    let lab = lab_with_volume();
    let engine = lab.engine_overtaken("vg--0-db");
    assert_eq!(engine.remove_volumes(&vg(), &[lv("db")], false, MODE).unwrap_err().kind(), Kind::InUse);
    lab.write("vg--0-db", 0, 8);
    lab.kernel.release(&DmName::new("vg--0-db").unwrap());
    lab.engine().create_volume(&volume("next", 1), MODE).unwrap();
    assert!(has_volume(&lab, "db"), "a volume went after its removal had failed");
    assert_eq!(lab.read("vg--0-db", 0), 8);
}

/// lvm2 takes no stripe that is larger than an extent; the kernel none that does not divide the volume.
#[test]
fn a_stripe_that_is_larger_than_an_extent_is_refused() {
    let lab = Lab::new();
    let disks = lab.disks.images();
    for mib in [2, 1024] {
        let new = NewVolume { stripes: 2, stripe_size: Some(Bytes::mib(mib)), ..volume("wide", 8) };
        let outcome = lab.engine().create_volume(&new, MODE).map(|_| ()).map_err(|error| error.kind());
        assert_eq!(outcome, Err(Kind::Usage), "{mib} MiB");
        assert!(lab.disks.images() == disks, "a refused request wrote");
    }
}

#[test]
fn a_volume_grows_as_its_own_policy_says_and_else_as_the_groups() {
    let lab = Lab::new();
    let contiguous = NewVolume { policy: Some(Policy::Contiguous), ..volume("db", 8) };
    lab.engine().create_volume(&contiguous, MODE).unwrap();
    lab.engine().extend_volume(&growth("+4M"), MODE).unwrap();
    lab.engine().create_volume(&volume("behind", 1), MODE).unwrap();
    let error = lab.engine().extend_volume(&growth("+4M"), MODE).unwrap_err();
    assert_eq!(error.kind(), Kind::NoSpace);
    assert!(error.to_string().contains("behind the volume's end"), "{error}");
}

/// As lvm2 has it: `100%FREE` on one disk is what that has, over two what both have.
#[test]
fn a_percentage_is_an_upper_limit() {
    let sized = |size: &str, new: NewVolume| NewVolume { size: size.parse().unwrap(), ..new };
    let on_b = NewVolume { on: vec!["/dev/sdb".into()], ..volume("db", 0) };
    let cases = [
        (sized("100%FREE", on_b.clone()), 127),
        (sized("80%VG", on_b), 127),
        (sized("150%FREE", volume("db", 0)), 247),
        (sized("100%VG", NewVolume { stripes: 2, ..volume("db", 0) }), 240),
        (sized("90%FREE", NewVolume { policy: Some(Policy::Cling), ..volume("db", 0) }), 127),
    ];
    for (new, mib) in cases {
        let lab = Lab::new();
        let other = NewVolume { on: vec!["/dev/sda".into()], ..volume("other", 7) };
        lab.engine().create_volume(&other, MODE).unwrap();
        let report = lab.engine().create_volume(&new, MODE).unwrap();
        assert_eq!(report.objects[0].size_bytes, Bytes::mib(mib), "{new:?}");
        assert!(report.notes.iter().any(|note| note.contains("there is room for")), "{:?}", report.notes);
    }
    let lab = lab_with_volume();
    let grown = lab.engine().extend_volume(&growth("+150%FREE"), MODE).unwrap().objects.remove(0);
    assert_eq!(grown.size_bytes, Bytes::mib(254));
    assert_eq!(lab.engine().extend_volume(&growth("+100%FREE"), MODE).unwrap_err().kind(), Kind::NoSpace);
}

#[test]
fn a_striped_volume_that_was_made_so_large_for_a_size_has_it() {
    let lab = Lab::new();
    lab.engine().create_volume(&NewVolume { stripes: 2, ..volume("db", 4) }, MODE).unwrap();
    for note in ["", "already"] {
        let report = lab.engine().extend_volume(&growth("7M"), MODE).unwrap();
        assert_eq!(report.objects[0].size_bytes, Bytes::mib(8));
        assert!(report.notes.iter().any(|one| one.contains(note)) || note.is_empty(), "{:?}", report.notes);
    }
    assert_eq!(lab.engine().extend_volume(&growth("6M"), MODE).unwrap_err().kind(), Kind::Usage);
}

/// Twice the same disk is not two.
#[test]
fn a_device_that_is_named_twice_is_a_mistake() {
    let lab = Lab::new();
    let on = vec!["/dev/sdb".into(), "/dev/sdb".into()];
    let new = NewVolume { stripes: 2, on, policy: Some(Policy::Anywhere), ..volume("db", 8) };
    let error = lab.engine().create_volume(&new, MODE).unwrap_err();
    assert!(error.kind() == Kind::Usage && error.to_string().contains("named twice"), "{error}");
    let twice = ["/dev/sdb".into(), "/dev/sdb".into()];
    assert_eq!(lab.engine().reduce_group(&vg(), &twice, MODE).unwrap_err().kind(), Kind::Usage);
}
