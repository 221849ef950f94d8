//! Physical volumes and volume groups.

use crate::lab::{Lab, MODE, cut, lab_with_pending_snapshot, lab_with_volume, lv, other, vg, volume};
use dmsnap::engine::Mode;
use dmsnap::engine::list::Select;
use dmsnap::engine::setup::{Labelling, NewGroup};
use dmsnap::engine::snapshot::NewSnapshots;
use dmsnap::engine::view::PvState;
use dmsnap::engine::volume::NewVolume;
use dmsnap::error::Kind;
use dmsnap::lvm::VgName;
use dmsnap::lvm::label::{MdaHeader, Range, checksum};
use dmsnap::units::Bytes;

#[test]
fn a_labelled_device_is_taken_as_it_is() {
    let lab = Lab::new();
    let label =
        lab.engine().create_pvs(&["/dev/sdc".into()], Labelling::default(), MODE).unwrap().objects.remove(0);
    assert_eq!(
        lab.engine().create_pvs(&["/dev/sdc".into()], Labelling::default(), MODE).unwrap().objects[0],
        label
    );
    lab.engine().create_group(&other(), MODE).unwrap();
    let pvs = lab.engine().pvs().unwrap();
    let pv = pvs.iter().find(|pv| pv.vg.as_deref() == Some("other")).unwrap();
    assert_eq!(pv.uuid, label.uuid);
}

#[test]
fn a_device_of_an_unreadable_group_is_overwritten_only_on_request() {
    let lab = Lab::new();
    lab.engine().create_group(&other(), MODE).unwrap();
    lab.disks.device("/dev/sdc").unwrap().poke(Bytes(4096 + 512), &[0; 4096]);
    let state = |lab: &Lab| lab.engine().pvs().unwrap().into_iter().find(|pv| pv.vg.is_none()).unwrap().state;
    assert_eq!(state(&lab), PvState::Used);
    let disks = lab.disks.images();
    let error = lab.engine().create_group(&other(), MODE).unwrap_err();
    assert_eq!(error.kind(), Kind::Refused);
    assert!(error.to_string().contains("--wipe"), "{error}");
    assert!(lab.disks.images() == disks, "a refused request wrote");
    lab.engine()
        .create_pvs(&["/dev/sdc".into()], Labelling { wipe: true, ..Labelling::default() }, MODE)
        .unwrap();
    assert_eq!(state(&lab), PvState::Unused);
}

#[test]
fn a_group_that_cannot_be_made_leaves_its_devices_blank() {
    let lab = Lab::new();
    let disks = lab.disks.images();
    let large = NewGroup { extent_size: Some(Bytes::gib(1)), ..other() };
    assert!(lab.engine().create_group(&large, MODE).is_err());
    assert!(lab.disks.images() == disks, "a refused request wrote");
}

#[test]
fn devices_join_and_leave_a_group() {
    let lab = lab_with_volume();
    let free = lab.free();
    lab.engine().extend_group(&vg(), &["/dev/sdc".into()], Labelling::default(), MODE).unwrap();
    assert_eq!(lab.free(), free + Bytes::mib(127));
    let error = lab.engine().reduce_group(&vg(), &["/dev/sda".into()], MODE).unwrap_err();
    assert_eq!(error.kind(), Kind::InUse, "{error}");
    lab.engine().reduce_group(&vg(), &["/dev/sdc".into()], MODE).unwrap();
    assert_eq!(lab.free(), free);
    let error = lab.engine().remove_pvs(&["/dev/sdb".into()], false, MODE).unwrap_err();
    assert_eq!(error.kind(), Kind::InUse, "{error}");
    lab.engine().remove_pvs(&["/dev/sdc".into()], false, MODE).unwrap();
    assert_eq!(lab.engine().pvs().unwrap().len(), 2);
}

#[test]
fn a_group_is_renamed_in_use() {
    let lab = lab_with_volume();
    lab.engine().create_snapshots(&cut(&[("db", "s")]), MODE).unwrap();
    let new: VgName = "new".parse().unwrap();
    lab.engine().rename_group(&vg(), &new, MODE).unwrap();
    lab.write("new-db", 0, 2);
    assert_eq!(lab.read("new-s", 0), 1);
    assert_eq!(lab.engine().check(&new, MODE).unwrap().plan, []);
    assert_eq!(lab.engine().rename_group(&new, &new, MODE).unwrap_err().kind(), Kind::AlreadyExists);
}

#[test]
fn a_group_with_volumes_is_not_removed() {
    let lab = lab_with_volume();
    for dry_run in [true, false] {
        let mode = Mode { dry_run, ..MODE };
        assert_eq!(lab.engine().remove_group(&vg(), mode).unwrap_err().kind(), Kind::InUse, "{mode:?}");
    }
    lab.engine().remove_volumes(&vg(), &[lv("db")], false, MODE).unwrap();
    lab.engine().remove_group(&vg(), MODE).unwrap();
    assert_eq!(lab.engine().vgs(None).unwrap(), []);
    assert_eq!(lab.engine().pvs().unwrap().len(), 2);
}

#[test]
fn a_dry_run_of_an_extension_says_what_is_recovered_labelled_and_committed() {
    let lab = lab_with_pending_snapshot();
    let mode = Mode { dry_run: true, ..MODE };
    let report = lab.engine().extend_group(&vg(), &["/dev/sdc".into()], Labelling::default(), mode).unwrap();
    let lines: Vec<_> = report.planned.unwrap().iter().map(ToString::to_string).collect();
    for words in ["remove volume s", "label /dev/sdc", "add physical volume"] {
        assert!(lines.iter().any(|line| line.contains(words)), "{words} is not in {lines:#?}");
    }
}

#[test]
fn what_lies_on_a_missing_device_can_be_given_up_and_the_device_too() {
    let lab = lab_with_volume();
    let on = |disk: &str, name: &str| NewVolume { on: vec![disk.into()], ..volume(name, 8) };
    lab.engine().create_volume(&on("/dev/sdb", "gone"), MODE).unwrap();
    lab.engine().deactivate(&vg(), &[], MODE).unwrap();
    lab.disks.remove("/dev/sdb".as_ref());
    let error = lab.engine().create_volume(&volume("new", 1), MODE).unwrap_err();
    assert_eq!(error.kind(), Kind::Refused, "{error}");
    let error = lab.engine().drop_missing(&vg(), MODE).unwrap_err();
    assert_eq!(error.kind(), Kind::InUse, "{error}");
    assert!(error.to_string().contains("`dmsnap volume remove vg-0/gone`"), "{error}");
    lab.engine().remove_volumes(&vg(), &[lv("gone")], false, MODE).unwrap();
    lab.engine().drop_missing(&vg(), MODE).unwrap();
    lab.engine().create_volume(&volume("new", 1), MODE).unwrap();
    assert_eq!(lab.engine().vgs(Some(&vg())).unwrap()[0].pv_count, 1);
}

#[test]
fn a_snapshot_whose_store_is_on_a_missing_device_can_be_removed_and_its_origin_goes_on() {
    let lab = lab_with_volume();
    let new = NewSnapshots { on: vec!["/dev/sdb".into()], ..cut(&[("db", "s")]) };
    lab.engine().create_snapshots(&new, MODE).unwrap();
    lab.disks.remove("/dev/sdb".as_ref());
    let error = lab.engine().drop_missing(&vg(), MODE).unwrap_err();
    assert!(error.to_string().contains("`dmsnap snapshot remove vg-0/s`"), "{error}");
    lab.engine().remove_snapshots(&vg(), &[lv("s")], MODE).unwrap();
    lab.engine().drop_missing(&vg(), MODE).unwrap();
    lab.write("vg--0-db", 0, 7);
    assert_eq!(lab.read("vg--0-db", 0), 7);
    lab.assert_at_rest("without the device");
}

#[test]
fn a_physical_volume_with_other_metadata_areas_is_labelled_anew_only_on_request() {
    let lab = Lab::new();
    let create = |labelling| lab.engine().create_pvs(&["/dev/sdc".into()], labelling, MODE);
    let first = create(Labelling::default()).unwrap().objects.remove(0);
    let asked = [
        (Labelling { metadata_copies: Some(2), ..Labelling::default() }, "with 1 metadata areas"),
        (Labelling { metadata_size: Some(Bytes::mib(4)), ..Labelling::default() }, "with a metadata area of"),
    ];
    for (labelling, why) in asked {
        let disks = lab.disks.images();
        let error = create(labelling).unwrap_err();
        assert_eq!(error.kind(), Kind::Refused);
        assert!(error.to_string().contains(why) && error.to_string().contains("--wipe"), "{error}");
        assert!(lab.disks.images() == disks, "a refused request wrote");
    }
    let same = Labelling { metadata_copies: Some(1), metadata_size: Some(Bytes::kib(64)), wipe: true };
    assert_eq!(create(same).unwrap().objects[0], first);
    for (labelling, _) in asked {
        let anew = create(Labelling { wipe: true, ..labelling }).unwrap().objects.remove(0);
        assert_ne!(anew.uuid, first.uuid);
        assert_eq!(create(labelling).unwrap().objects[0], anew);
    }
}

/// Damages a group's text on both disks so that only its reader can tell: the checksums are right.
fn damage_text(lab: &Lab) {
    for path in ["/dev/sda", "/dev/sdb"] {
        let disk = lab.disks.device(path).unwrap();
        let area = Range { offset: Bytes::kib(4), size: Bytes::mib(1) - Bytes::kib(4) };
        let bytes: [u8; 512] = disk.peek(area.offset, 512).try_into().unwrap();
        let mut header = MdaHeader::unpack(&bytes, area).unwrap();
        let place = area.offset + header.committed.offset;
        let text = disk.peek(place, usize::try_from(header.committed.size.get()).unwrap());
        let text = String::from_utf8(text).unwrap().replacen("seqno = ", "seqno : ", 1);
        disk.poke(place, text.as_bytes());
        header.committed.checksum = checksum(text.as_bytes());
        disk.poke(area.offset, &header.pack());
    }
}

#[test]
fn lists_and_changes_say_the_same_of_a_damaged_group() {
    let lab = Lab::new();
    damage_text(&lab);
    let engine = lab.engine();
    let select = Select { vg: Some(vg()), names: Vec::new() };
    let errors = [
        engine.create_volume(&volume("db", 8), MODE).unwrap_err(),
        engine.check(&vg(), MODE).unwrap_err(),
        engine.volumes(&select).unwrap_err(),
        engine.snapshots(&select).unwrap_err(),
        engine.vgs(Some(&vg())).unwrap_err(),
    ];
    for error in errors {
        assert_eq!(error.kind(), Kind::Refused, "{error}");
        assert!(error.to_string().contains("line 3"), "{error}");
    }
}
