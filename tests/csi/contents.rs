//! Volumes that hold something from the start.

use dmsnap::csi::proto::volume_content_source::{SnapshotSource, Type, VolumeSource};
use dmsnap::csi::proto::{CapacityRange, CreateVolumeRequest, VolumeContentSource};
use dmsnap::dm::DmName;
use tonic::Code;

use crate::driver::{Driver, code, volume};
use crate::lab::{Lab, MODE, other, vg};

pub fn of_snapshot(id: &str) -> Option<VolumeContentSource> {
    let source = SnapshotSource { snapshot_id: id.to_owned() };
    Some(VolumeContentSource { r#type: Some(Type::Snapshot(source)) })
}

pub fn of_volume(id: &str) -> Option<VolumeContentSource> {
    let source = VolumeSource { volume_id: id.to_owned() };
    Some(VolumeContentSource { r#type: Some(Type::Volume(source)) })
}

fn holding(name: &str, source: Option<VolumeContentSource>, mib: (i64, i64)) -> CreateVolumeRequest {
    let capacity_range = Some(CapacityRange { required_bytes: mib.0 << 20, limit_bytes: mib.1 << 20 });
    CreateVolumeRequest { volume_content_source: source, capacity_range, ..volume(name, 0) }
}

/// `pvc-1` of 8 MiB that holds 2, with a snapshot that holds 1.
fn lab_with_snapshot() -> (Lab, Driver) {
    let lab = Lab::new();
    let driver = Driver::new(&lab);
    driver.create(volume("pvc-1", 8)).unwrap();
    lab.write("vg--0-pvc--1", 0, 1);
    driver.snap("pvc-1", "snapshot-1").unwrap();
    lab.write("vg--0-pvc--1", 0, 2);
    (lab, driver)
}

fn fill(lab: &Lab, name: &str) {
    lab.kernel.hydrate(&DmName::new(name).unwrap(), 10_000).unwrap();
}

#[test]
fn a_volume_from_a_snapshot_holds_its_content_at_once() {
    let (lab, driver) = lab_with_snapshot();
    let asked = || holding("pvc-2", of_snapshot("snapcontent-1"), (8, 0));
    let made = driver.create(asked()).unwrap();
    assert_eq!((made.capacity_bytes, &made.content_source), (8 << 20, &of_snapshot("snapcontent-1")));
    assert_eq!((lab.read("vg--0-pvc--1", 0), lab.read("vg--0-pvc--2", 0)), (2, 1));
    assert!(driver.create(asked()).unwrap() == made);
    assert_eq!(driver.ids(), ["pvc-1", "pvc-2"]);

    // What is read from is in use; what was read from is not.
    assert_eq!(code(driver.delete_snapshot("snapcontent-1")), Code::FailedPrecondition);
    fill(&lab, "vg--0-pvc--2");
    driver.delete_snapshot("snapcontent-1").unwrap();
    assert_eq!(lab.read("vg--0-pvc--2", 0), 1);
    assert!(driver.create(asked()).unwrap() == made, "it is the same without its source");
    lab.assert_at_rest("the volume is full");
}

#[test]
fn a_volume_from_a_volume_holds_what_that_holds_now() {
    let (lab, driver) = lab_with_snapshot();
    let asked = || holding("pvc-2", of_volume("pvc-1"), (0, 0));
    let made = driver.create(asked()).unwrap();
    assert_eq!((made.capacity_bytes, &made.content_source), (8 << 20, &of_volume("pvc-1")));
    lab.write("vg--0-pvc--1", 0, 3);
    assert_eq!(lab.read("vg--0-pvc--2", 0), 2);
    assert!(driver.create(asked()).unwrap() == made);
    assert_eq!(driver.snapshot_ids(), ["snapcontent-1"], "its own snapshot is not shown");
    assert_eq!(code(driver.delete("pvc-1")), Code::FailedPrecondition);
    driver.delete_snapshot("snapcontent-1").unwrap();
    fill(&lab, "vg--0-pvc--2");
    driver.delete("pvc-1").unwrap();
    assert_eq!(driver.ids(), ["pvc-2"]);
    assert_eq!(lab.read("vg--0-pvc--2", 0), 2);
    lab.assert_at_rest("the volume is full");
}

#[test]
fn a_volume_is_as_large_as_its_source_or_larger() {
    let (_, driver) = lab_with_snapshot();
    let size = |name: &str, mib| {
        driver.create(holding(name, of_snapshot("snapcontent-1"), mib)).map(|made| made.capacity_bytes >> 20)
    };
    assert_eq!(size("pvc-2", (0, 0)), Ok(8));
    assert_eq!(size("pvc-3", (12, 16)), Ok(12));
    assert_eq!(size("pvc-4", (1, 0)), Ok(8), "whoever asks for at least one gets eight");
    assert_eq!(code(size("pvc-5", (1, 7))), Code::OutOfRange);
    assert_eq!(code(driver.create(holding("pvc-6", of_volume("pvc-1"), (0, 7)))), Code::OutOfRange);
}

#[test]
fn the_same_name_from_another_source_already_exists() {
    let (_, driver) = lab_with_snapshot();
    driver.create(holding("pvc-2", of_snapshot("snapcontent-1"), (8, 0))).unwrap();
    for source in [None, of_volume("pvc-1"), of_snapshot("snapcontent-2")] {
        assert_eq!(code(driver.create(holding("pvc-2", source, (8, 0)))), Code::AlreadyExists);
    }
    assert_eq!(
        code(driver.create(holding("pvc-1", of_snapshot("snapcontent-1"), (8, 0)))),
        Code::AlreadyExists
    );
}

#[test]
fn a_source_that_is_not_there_or_elsewhere_is_refused_before_anything_is_made() {
    let (lab, driver) = lab_with_snapshot();
    lab.engine().create_group(&other(), MODE).unwrap();
    let free = lab.free();
    let asked = |source| code(driver.create(holding("pvc-2", source, (8, 0))));
    for id in ["snapcontent-2", "pvc-1", "a b", ".."] {
        assert_eq!(asked(of_snapshot(id)), Code::NotFound, "{id}");
    }
    for id in ["pvc-2", "snapcontent-1", "a b"] {
        assert_eq!(asked(of_volume(id)), Code::NotFound, "{id}");
    }
    for source in [of_snapshot(""), of_volume(""), Some(VolumeContentSource { r#type: None })] {
        assert_eq!(asked(source), Code::InvalidArgument);
    }
    let mut elsewhere = holding("pvc-2", of_snapshot("snapcontent-1"), (8, 0));
    elsewhere.parameters.insert("vg".to_owned(), "other".to_owned());
    assert_eq!(code(driver.create(elsewhere)), Code::InvalidArgument);
    assert_eq!((driver.ids(), lab.free()), (vec!["pvc-1".to_owned()], free));
}

#[test]
fn a_volume_from_a_source_is_in_its_pool() {
    let (lab, driver) = lab_with_snapshot();
    lab.engine().create_group(&other(), MODE).unwrap();
    let mut afar = volume("pvc-afar", 4);
    afar.parameters.insert("vg".to_owned(), "other".to_owned());
    driver.create(afar).unwrap();
    driver.create(holding("pvc-2", of_volume("pvc-afar"), (0, 0))).unwrap();
    let in_usual = lab.engine().volumes(&dmsnap::engine::list::Select { vg: Some(vg()), names: Vec::new() });
    assert!(in_usual.unwrap().iter().all(|volume| volume.name != "pvc-2"));
    driver.create(holding("pvc-2", of_volume("pvc-afar"), (0, 0))).unwrap();
}

#[test]
fn a_volume_that_is_not_full_yet_can_be_deleted() {
    let (lab, driver) = lab_with_snapshot();
    let free = lab.free();
    driver.create(holding("pvc-2", of_snapshot("snapcontent-1"), (12, 0))).unwrap();
    driver.create(holding("pvc-3", of_volume("pvc-1"), (0, 0))).unwrap();
    driver.delete("pvc-2").unwrap();
    driver.delete("pvc-3").unwrap();
    driver.delete("pvc-3").unwrap();
    assert_eq!((driver.ids(), lab.free()), (vec!["pvc-1".to_owned()], free));
    driver.delete_snapshot("snapcontent-1").unwrap();
    lab.assert_at_rest("nothing is filled any more");
}
