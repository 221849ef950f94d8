//! Devices that hold different versions of the metadata under one seqno.

use crate::lab::{Lab, MODE, growth, has_volume, lab_with_volume, lv, snap, vg, volume};
use dmsnap::block::Access;
use dmsnap::dm::{DmName, Kernel, UdevFlags};
use dmsnap::engine::Mode;
use dmsnap::engine::setup::Labelling;
use dmsnap::engine::view::PvState;
use dmsnap::error::{Error, Kind};
use dmsnap::lvm::{Edit, NewLv, Request, Uuid, allocate, open_vg};
use dmsnap::units::{Bytes, Extents};

/// Label and metadata area.
const METADATA: usize = 1 << 20;

fn content(lab: &Lab, disk: &str) -> Vec<u8> {
    lab.disks.device(disk).unwrap().peek(Bytes::ZERO, METADATA)
}

/// What the first change writes stays on /dev/sda, what the second writes on /dev/sdb.
pub fn split(lab: &Lab, first: impl FnOnce(&Lab), second: impl FnOnce(&Lab)) {
    let before = ["/dev/sda", "/dev/sdb", "/dev/sdc"].map(|disk| (disk, content(lab, disk)));
    first(lab);
    let kept = content(lab, "/dev/sda");
    for (disk, old) in &before {
        lab.disks.device(disk).unwrap().poke(Bytes::ZERO, old);
    }
    second(lab);
    lab.disks.device("/dev/sda").unwrap().poke(Bytes::ZERO, &kept);
}

pub fn tagged(tag: &str) -> impl FnOnce(&Lab) {
    let tag = tag.parse().unwrap();
    move |lab| lab.lvm2_commits(&[Edit::AddVgTag { tag }])
}

/// A group that one device says is tagged `one`, the other `two`.
fn lab_of_two_minds() -> Lab {
    let lab = lab_with_volume();
    split(&lab, tagged("one"), tagged("two"));
    lab
}

fn group_tags(lab: &Lab) -> Vec<String> {
    let open = open_vg(&lab.disks, &dmsnap::lvm::Host::default(), &vg(), Access::Read).unwrap();
    open.vg.tags.iter().map(ToString::to_string).collect()
}

fn seqno(lab: &Lab) -> u64 {
    lab.engine().vgs(Some(&vg())).unwrap()[0].seqno
}

fn settle(lab: &Lab, disk: &str) -> Result<(), Error> {
    lab.engine().settle(&vg(), disk.as_ref(), MODE).map(drop)
}

/// Nothing was written, and the kernel was asked for nothing.
fn refused(lab: &Lab, disk: &str) -> Error {
    let (disks, calls) = (lab.disks.images(), lab.kernel.calls().len());
    let error = settle(lab, disk).unwrap_err();
    assert!(lab.disks.images() == disks, "a refused request wrote");
    assert_eq!(lab.kernel.calls().len(), calls);
    error
}

#[test]
fn the_version_of_one_device_becomes_that_of_the_group() {
    for (disk, tag) in [("/dev/sda", "one"), ("/dev/sdb", "two")] {
        let lab = lab_of_two_minds();
        let before = seqno(&lab);
        let error = lab.engine().create_volume(&volume("x", 1), MODE).map(drop).unwrap_err();
        assert!(error.to_string().contains("two different versions"), "{error}");
        assert!(error.to_string().contains(&format!("`dmsnap repair vg-0 --from {disk}`")), "{error}");
        settle(&lab, disk).unwrap();
        assert_eq!((group_tags(&lab), seqno(&lab)), (vec![tag.to_owned()], before + 1));
        lab.engine().create_volume(&volume("x", 1), MODE).unwrap();
        lab.assert_at_rest(disk);
    }
}

/// A volume without a device.
fn made(name: &'static str) -> impl FnOnce(&Lab) {
    move |lab| {
        let open = open_vg(&lab.disks, &dmsnap::lvm::Host::default(), &vg(), Access::Read).unwrap();
        let request = Request { extents: Extents(2), ..Request::default() };
        let segments = allocate(&open.vg, &request).unwrap();
        lab.lvm2_commits(&[Edit::AddLv(NewLv {
            name: lv(name),
            id: Uuid::generate(&mut |buffer| buffer.fill(7)),
            writable: true,
            visible: true,
            flags: Vec::new(),
            tags: Vec::new(),
            created: None,
            segments,
        })]);
    }
}

#[test]
fn a_dry_run_shows_who_wrote_each_version_and_what_only_one_has() {
    let lab = lab_with_volume();
    split(&lab, tagged("one"), made("late"));
    let disks = lab.disks.images();
    let report = lab.engine().settle(&vg(), "/dev/sda".as_ref(), Mode { dry_run: true, ..MODE }).unwrap();
    assert_eq!(report.notes, ["only in the version of /dev/sdb: volume late"]);
    let plan: Vec<_> = report.planned.unwrap().iter().map(ToString::to_string).collect();
    let [kept, given_up] = plan.as_slice() else { panic!("{plan:?}") };
    assert!(kept.contains("what /dev/sda says: seqno") && kept.contains("on lab, \"lvm2\""), "{kept}");
    assert!(kept.contains("written 2023-11-14T22:13:20Z"), "{kept}");
    assert!(
        given_up.contains("what /dev/sdb says") && given_up.contains("only there: volume late"),
        "{given_up}"
    );
    assert!(lab.disks.images() == disks, "a dry run wrote");
}

#[test]
fn a_volume_that_the_right_version_does_not_know_must_not_be_active() {
    let lab = lab_with_volume();
    split(&lab, tagged("one"), |lab| {
        made("late")(lab);
        lab.engine().activate(&vg(), &[lv("late")], MODE).unwrap();
    });
    let error = refused(&lab, "/dev/sda");
    assert!(error.kind() == Kind::InUse && error.to_string().contains("vg--0-late"), "{error}");
    lab.kernel.remove(&DmName::new("vg--0-late").unwrap(), UdevFlags::unchanged()).unwrap();
    settle(&lab, "/dev/sda").unwrap();
    assert!(!has_volume(&lab, "late"));
}

/// What is active stays as it is if the version says so.
#[test]
fn a_volume_is_active_only_as_the_right_version_has_it() {
    for (disk, is_right) in [("/dev/sda", false), ("/dev/sdb", true)] {
        let lab = lab_with_volume();
        let twice = |lab: &Lab| {
            tagged("one")(lab);
            tagged("two")(lab);
        };
        split(&lab, twice, |lab| drop(lab.engine().extend_volume(&growth("16M"), MODE).unwrap()));
        if is_right {
            settle(&lab, disk).unwrap();
            lab.assert_at_rest(disk);
        } else {
            let error = refused(&lab, disk);
            assert!(error.kind() == Kind::InUse && error.to_string().contains("vg--0-db"), "{error}");
        }
    }
}

/// It tracks nothing while its origin is plain: what the origin was written to since is lost to it.
#[test]
fn a_snapshot_that_the_kernel_does_not_track_does_not_come_back() {
    let lab = lab_with_volume();
    snap(&lab, "s");
    let twice = |lab: &Lab| {
        tagged("one")(lab);
        tagged("two")(lab);
    };
    split(&lab, twice, |lab| drop(lab.engine().remove_snapshots(&vg(), &[lv("s")], MODE).unwrap()));
    assert_eq!(refused(&lab, "/dev/sda").kind(), Kind::InUse);
    settle(&lab, "/dev/sdb").unwrap();
    lab.assert_at_rest("settled");
}

#[test]
fn a_device_that_cannot_say_what_is_right_is_refused_in_words() {
    let says = |lab: &Lab, disk: &str, words: &str| {
        let error = refused(lab, disk);
        assert!(error.to_string().contains(words), "{error}");
    };
    let lab = lab_of_two_minds();
    says(&lab, "/dev/sdc", "/dev/sdc is no physical volume");
    lab.engine().create_pvs(&["/dev/sdc".into()], Labelling::default(), MODE).unwrap();
    says(&lab, "/dev/sdc", "/dev/sdc is no physical volume of volume group vg-0");
    says(&lab_with_volume(), "/dev/sda", "one version under seqno");

    let joined = |metadata_copies| {
        let lab = lab_with_volume();
        let labelling = Labelling { metadata_copies: Some(metadata_copies), ..Labelling::default() };
        lab.engine().create_pvs(&["/dev/sdc".into()], labelling, MODE).unwrap();
        lab.engine().extend_group(&vg(), &["/dev/sdc".into()], Labelling::default(), MODE).unwrap();
        let old = content(&lab, "/dev/sdc");
        split(&lab, tagged("one"), tagged("two"));
        (lab, old)
    };
    says(&joined(0).0, "/dev/sdc", "/dev/sdc has no metadata area");
    let (lab, old) = joined(1);
    lab.disks.device("/dev/sdc").unwrap().poke(Bytes::ZERO, &old);
    says(&lab, "/dev/sdc", "/dev/sdc holds an older version");
    lab.disks.device("/dev/sdc").unwrap().poke(Bytes::kib(4) + Bytes(100), &[1]);
    says(&lab, "/dev/sdc", "the metadata on /dev/sdc is damaged");
}

/// A device that only the version given up knows is nobody's then, and says so.
#[test]
fn a_device_that_the_right_version_does_not_know_is_left_outdated() {
    let lab = lab_with_volume();
    split(&lab, tagged("one"), |lab| {
        lab.engine().extend_group(&vg(), &["/dev/sdc".into()], Labelling::default(), MODE).unwrap();
    });
    settle(&lab, "/dev/sda").unwrap();
    let pvs = lab.engine().pvs().unwrap();
    let third = pvs.iter().find(|pv| pv.device.as_deref() == Some("/dev/sdc".as_ref())).unwrap();
    assert_eq!((third.vg.clone(), third.state), (None, PvState::Used));
    lab.engine().create_volume(&volume("x", 1), MODE).unwrap();
}

/// Old and refused as before, or new: never the other version.
#[test]
fn whenever_the_process_dies_it_can_be_said_again() {
    for last in 1.. {
        let lab = lab_of_two_minds();
        let outcome = lab.mortal_engine(last).settle(&vg(), "/dev/sdb".as_ref(), MODE).map(drop);
        if lab.engine().repair(&vg(), MODE).is_err() {
            assert!(outcome.is_err(), "dead before step {last}: acknowledged and lost");
            settle(&lab, "/dev/sdb").unwrap_or_else(|error| panic!("dead before step {last}: {error}"));
        }
        assert_eq!(group_tags(&lab), ["two"], "dead before step {last}");
        lab.assert_at_rest(&format!("dead before step {last}"));
        if outcome.is_ok() {
            break;
        }
    }
}
