//! A group whose metadata areas are full.

use crate::lab::{Lab, MODE, cut, lab_with_volume, lv, vg, volume};
use dmsnap::block::Access;
use dmsnap::engine::Mode;
use dmsnap::engine::setup::{Labelling, NewGroup};
use dmsnap::engine::volume::NewVolume;
use dmsnap::error::Kind;
use dmsnap::lvm::{Edit, VgName, open_vg};
use dmsnap::units::{Bytes, Size, Whole};

/// A group whose text fills its areas on disk so far that not even the tag of a mark fits.
fn lab_with_full_metadata() -> Lab {
    let lab = lab_with_volume();
    let tag = |number: usize, length: usize| format!("{number:_<length$}").parse().unwrap();
    // The ring of an area of 1 MiB takes a text of 521 472 bytes.
    let open = open_vg(&lab.disks, &dmsnap::lvm::Host::default(), &vg(), Access::Read).unwrap();
    let request = dmsnap::lvm::Request { extents: dmsnap::units::Extents(1), ..Default::default() };
    lab.lvm2_commits(&[Edit::AddLv(dmsnap::lvm::NewLv {
        name: lv("filler"),
        id: dmsnap::lvm::Uuid::generate(&mut |buffer| buffer.fill(3)),
        writable: true,
        visible: true,
        flags: Vec::new(),
        tags: (0..515).map(|number| tag(number, 1000)).collect(),
        created: None,
        segments: dmsnap::lvm::allocate(&open.vg, &request).unwrap(),
    })]);
    for (number, length) in [1000, 600, 300, 100, 50, 20, 10, 5].into_iter().enumerate() {
        for more in 0.. {
            let edit = Edit::AddLvTag { lv: lv("db"), tag: tag(number * 100 + more, length.max(4)) };
            if lab.lvm2_tries(&[edit]).is_err() {
                break;
            }
        }
    }
    lab
}

#[test]
fn a_full_metadata_area_changes_nothing_on_disk() {
    let lab = lab_with_full_metadata();
    for disk in ["/dev/sda", "/dev/sdb"] {
        // Free extents are not empty in general.
        lab.disks.device(disk).unwrap().poke(Bytes::mib(40), &vec![0xaa; 80 << 20]);
    }
    lab.disks.device("/dev/sda").unwrap().poke(Bytes::mib(9), &vec![0xaa; 31 << 20]);
    let (disks, calls) = (lab.disks.images(), lab.kernel.calls().len());
    let error = lab.engine().create_snapshots(&cut(&[("db", "s")]), MODE).unwrap_err();
    assert_eq!(error.kind(), Kind::NoSpace, "{error}");
    assert_eq!(lab.kernel.calls().len(), calls);
    assert!(lab.disks.images() == disks, "a refused request wrote");
}

#[test]
fn a_dry_run_says_that_the_metadata_area_is_full() {
    let lab = lab_with_full_metadata();
    let mode = Mode { dry_run: true, ..MODE };
    let error = lab.engine().create_snapshots(&cut(&[("db", "s")]), mode).map(|_| ()).unwrap_err();
    assert_eq!(error.kind(), Kind::NoSpace, "{error}");
}

/// A device that was labelled for nothing would be one that no other program takes.
#[test]
fn a_device_that_the_metadata_has_no_room_for_is_not_labelled() {
    let lab = lab_with_full_metadata();
    let disks = lab.disks.images();
    for dry_run in [true, false] {
        let mode = Mode { dry_run, ..MODE };
        let error =
            lab.engine().extend_group(&vg(), &["/dev/sdc".into()], Labelling::default(), mode).unwrap_err();
        assert_eq!(error.kind(), Kind::NoSpace, "{error}");
        assert!(lab.disks.images() == disks, "a refused request wrote");
    }
}

/// "Remove volumes" is the way out of a full metadata area: removal must not need room for its own mark.
#[test]
fn a_volume_can_be_removed_from_a_group_whose_metadata_is_full() {
    let lab = lab_with_full_metadata();
    lab.engine().remove_volumes(&vg(), &[lv("db")], false, MODE).unwrap();
}

#[test]
fn all_that_is_free_of_a_full_group_is_no_space() {
    let lab = lab_with_volume();
    let all = |name| NewVolume { size: Size::Percent(100, Whole::Free), ..volume(name, 1) };
    lab.engine().create_volume(&all("all"), MODE).unwrap();
    let error = lab.engine().create_volume(&all("more"), MODE).unwrap_err();
    assert_eq!(error.kind(), Kind::NoSpace, "{error}");
}

/// LVM2 counts extents in 32 bits, those of a group and those of a device, and sectors of an extent too: what is larger it reads
/// as something else. It refuses to make such a group.
#[test]
fn a_group_that_lvm2_could_not_count_is_not_made() {
    let tib = |n: u64| Bytes::gib(n * 1024);
    let cases = [
        ("one device", vec![tib(20)], Bytes::kib(4)),
        ("two devices", vec![tib(9), tib(9)], Bytes::kib(4)),
        ("one extent", vec![tib(20)], tib(4)),
    ];
    let mut made = Vec::new();
    for (what, sizes, extent_size) in cases {
        let lab = Lab::new();
        let devices: Vec<_> =
            (1..).zip(&sizes).map(|(number, _)| format!("/dev/huge{number}").into()).collect();
        for (path, size) in std::iter::zip::<&Vec<std::path::PathBuf>, _>(&devices, &sizes) {
            lab.disks.add(path, *size);
        }
        let group = NewGroup {
            name: "huge".parse().unwrap(),
            devices,
            extent_size: Some(extent_size),
            labelling: Labelling::default(),
            metadata_copies: None,
        };
        if lab.engine().create_group(&group, MODE).is_ok() {
            let open = open_vg(&lab.disks, &dmsnap::lvm::Host::default(), &group.name, Access::Read).unwrap();
            made.push(format!(
                "{what}: {} extents of {} sectors",
                open.vg.extents().get(),
                open.vg.extent_size.get()
            ));
        }
    }
    assert_eq!(made, Vec::<String>::new());
}

/// The same by a device that joins.
#[test]
fn a_device_does_not_join_a_group_that_would_have_more_extents_than_lvm2_counts() {
    let lab = Lab::new();
    for path in ["/dev/huge1", "/dev/huge2"] {
        lab.disks.add(path, Bytes::gib(9 * 1024));
    }
    let name: VgName = "huge".parse().unwrap();
    let group = NewGroup {
        name: name.clone(),
        devices: vec!["/dev/huge1".into()],
        extent_size: Some(Bytes::kib(4)),
        labelling: Labelling::default(),
        metadata_copies: None,
    };
    lab.engine().create_group(&group, MODE).unwrap();
    let joined = lab.engine().extend_group(&name, &["/dev/huge2".into()], Labelling::default(), MODE);
    assert!(joined.is_err(), "{} extents", Bytes::gib(18 * 1024).get() >> 12);
}
