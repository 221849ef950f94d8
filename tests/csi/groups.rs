//! Groups of snapshots.

use dmsnap::csi::proto::group_controller_server::GroupController;
use dmsnap::csi::proto::{
    CreateVolumeGroupSnapshotRequest, DeleteVolumeGroupSnapshotRequest, GetVolumeGroupSnapshotRequest,
    VolumeGroupSnapshot,
};
use tonic::{Code, Request};

use crate::driver::{Answer, Driver, code, volume};
use crate::lab::{Lab, MODE, other};

fn of(name: &str, sources: &[&str]) -> CreateVolumeGroupSnapshotRequest {
    CreateVolumeGroupSnapshotRequest {
        name: name.to_owned(),
        source_volume_ids: sources.iter().map(|&source| source.to_owned()).collect(),
        ..CreateVolumeGroupSnapshotRequest::default()
    }
}

fn get(driver: &Driver, id: &str, ids: &[String]) -> Answer<VolumeGroupSnapshot> {
    let request = GetVolumeGroupSnapshotRequest {
        group_snapshot_id: id.to_owned(),
        snapshot_ids: ids.to_vec(),
        ..GetVolumeGroupSnapshotRequest::default()
    };
    let answer = driver.wait(driver.groups.get_volume_group_snapshot(Request::new(request)))?;
    Ok(answer.group_snapshot.unwrap())
}

fn delete(driver: &Driver, id: &str, ids: &[String]) -> Answer<()> {
    let request = DeleteVolumeGroupSnapshotRequest {
        group_snapshot_id: id.to_owned(),
        snapshot_ids: ids.to_vec(),
        ..DeleteVolumeGroupSnapshotRequest::default()
    };
    driver.wait(driver.groups.delete_volume_group_snapshot(Request::new(request))).map(drop)
}

fn lab_with_volumes() -> (Lab, Driver) {
    let lab = Lab::new();
    let driver = Driver::new(&lab);
    driver.create(volume("pvc-1", 8)).unwrap();
    driver.create(volume("pvc-2", 4)).unwrap();
    (lab, driver)
}

#[test]
fn a_group_comes_and_goes_as_one() {
    let (lab, driver) = lab_with_volumes();
    let made = driver.group(of("g", &["pvc-2", "pvc-1"])).unwrap();
    assert!(made.ready_to_use);
    let ids: Vec<_> = made.snapshots.iter().map(|member| member.snapshot_id.clone()).collect();
    let sources: Vec<_> = made.snapshots.iter().map(|member| member.source_volume_id.as_str()).collect();
    assert_eq!((sources, ids.len()), (vec!["pvc-1", "pvc-2"], 2));
    assert!(made.snapshots.iter().all(|member| member.group_snapshot_id == made.group_snapshot_id));
    assert!(driver.group(of("g", &["pvc-1", "pvc-2"])).unwrap() == made);
    assert!(get(&driver, &made.group_snapshot_id, &ids).unwrap() == made);

    assert_eq!(code(driver.delete_snapshot(&ids[0])), Code::InvalidArgument);
    let id = &made.group_snapshot_id;
    assert_eq!(code(delete(&driver, id, &ids[..1])), Code::InvalidArgument);
    assert_eq!(code(get(&driver, id, &["none".to_owned()])), Code::InvalidArgument);
    delete(&driver, id, &ids).unwrap();
    delete(&driver, id, &ids).unwrap();
    assert_eq!(code(get(&driver, id, &ids)), Code::NotFound);
    assert_eq!(driver.snapshot_ids(), Vec::<String>::new());
    lab.assert_at_rest("the group is gone");
}

#[test]
fn a_group_of_other_volumes_already_exists() {
    let (_, driver) = lab_with_volumes();
    driver.group(of("g", &["pvc-1", "pvc-2"])).unwrap();
    assert_eq!(code(driver.group(of("g", &["pvc-1"]))), Code::AlreadyExists);
    assert_eq!(code(driver.group(of("", &["pvc-1"]))), Code::InvalidArgument);
    assert_eq!(code(driver.group(of("h", &[]))), Code::InvalidArgument);
}

#[test]
fn all_of_a_group_are_cut_or_none() {
    let (lab, driver) = lab_with_volumes();
    assert_eq!(code(driver.group(of("g", &["pvc-1", "pvc-3"]))), Code::NotFound);
    let large = CreateVolumeGroupSnapshotRequest {
        parameters: [("snapsize".to_owned(), "100%".to_owned())].into(),
        ..of("g", &["pvc-1", "pvc-2"])
    };
    let rest = i64::try_from(lab.free().get() >> 20).unwrap() - 10;
    driver.create(volume("ballast", rest)).unwrap();
    assert_eq!(code(driver.group(large)), Code::ResourceExhausted);
    assert_eq!(driver.snapshot_ids(), Vec::<String>::new());
}

#[test]
fn volumes_of_different_pools_are_cut_at_one_instant_too() {
    let (lab, driver) = lab_with_volumes();
    lab.engine().create_group(&other(), MODE).unwrap();
    let mut elsewhere = volume("pvc-3", 4);
    elsewhere.parameters.insert("vg".to_owned(), "other".to_owned());
    driver.create(elsewhere).unwrap();
    let made = driver.group(of("g", &["pvc-3", "pvc-1"])).unwrap();
    let ids: Vec<_> = made.snapshots.iter().map(|member| member.snapshot_id.clone()).collect();
    assert_eq!(driver.snapshot_ids().len(), 2);
    assert!(driver.group(of("g", &["pvc-1", "pvc-3"])).unwrap() == made);
    delete(&driver, &made.group_snapshot_id, &ids).unwrap();
    assert_eq!(driver.snapshot_ids(), Vec::<String>::new());
}
