//! Snapshots through the controller.

use dmsnap::csi::proto::controller_server::Controller;
use dmsnap::csi::proto::{CreateSnapshotRequest, GetSnapshotRequest, ListSnapshotsRequest};
use tonic::{Code, Request};

use crate::driver::{Driver, code, snapshot, volume};
use crate::lab::Lab;

fn lab_with(volumes: &[&str]) -> (Lab, Driver) {
    let lab = Lab::new();
    let driver = Driver::new(&lab);
    for name in volumes {
        driver.create(volume(name, 8)).unwrap();
    }
    (lab, driver)
}

#[test]
fn a_snapshot_is_cut_once_and_says_size_and_time_of_the_cut() {
    let (lab, driver) = lab_with(&["pvc-1"]);
    let first = driver.snap("pvc-1", "snapshot-1").unwrap();
    assert_eq!(first.snapshot_id, "snapcontent-1");
    assert_eq!(
        (first.source_volume_id.as_str(), first.size_bytes, first.ready_to_use),
        ("pvc-1", 8 << 20, true)
    );
    assert_eq!(first.creation_time.unwrap().seconds, 1_700_000_000);
    assert!(driver.snap("pvc-1", "snapshot-1").unwrap() == first);
    assert_eq!(code(driver.delete("pvc-1")), Code::FailedPrecondition);
    driver.delete_snapshot("snapcontent-1").unwrap();
    driver.delete_snapshot("snapcontent-1").unwrap();
    driver.delete("pvc-1").unwrap();
    lab.assert_at_rest("all is gone");
}

#[test]
fn a_snapshot_of_the_name_of_another_volume_already_exists() {
    let (_, driver) = lab_with(&["pvc-1", "pvc-2"]);
    driver.snap("pvc-1", "backup").unwrap();
    assert_eq!(code(driver.snap("pvc-2", "backup")), Code::AlreadyExists);
    assert_eq!(code(driver.snap("pvc-3", "other")), Code::NotFound);
    assert_eq!(code(driver.snap("", "other")), Code::InvalidArgument);
    assert_eq!(code(driver.snap("pvc-1", "")), Code::InvalidArgument);
    // A volume may have the name.
    driver.create(volume("backup", 1)).unwrap();
}

#[test]
fn the_size_of_a_store_is_a_parameter_and_not_the_snapshots_size() {
    let (lab, driver) = lab_with(&["pvc-1"]);
    let with = |key: &str, value: &str| CreateSnapshotRequest {
        parameters: [(key.to_owned(), value.to_owned())].into(),
        ..snapshot("pvc-1", "snapshot-1")
    };
    assert_eq!(code(driver.snap_with(with("snapsize", "many"))), Code::InvalidArgument);
    assert_eq!(code(driver.snap_with(with("chunksize", "3000"))), Code::InvalidArgument);
    assert_eq!(code(driver.snap_with(with("snapsise", "2Mi"))), Code::InvalidArgument);
    assert_eq!(driver.snap_with(with("snapsize", "2Mi")).unwrap().size_bytes, 8 << 20);
    assert_eq!(lab.snapshots()[0].cow_size_bytes, dmsnap::units::Bytes::mib(2));
}

#[test]
fn lists_are_of_one_source_one_snapshot_or_in_pages() {
    let (_, driver) = lab_with(&["pvc-1", "pvc-2"]);
    for (source, name) in [("pvc-1", "snapshot-a"), ("pvc-2", "snapshot-b"), ("pvc-1", "snapshot-c")] {
        driver.snap(source, name).unwrap();
    }
    let ids = |request: ListSnapshotsRequest| {
        let (page, token) = driver.snapshots(request).unwrap();
        (page.into_iter().map(|one| one.snapshot_id).collect::<Vec<_>>().join(" "), token)
    };
    let all = ListSnapshotsRequest::default;
    assert_eq!(
        ids(ListSnapshotsRequest { source_volume_id: "pvc-1".to_owned(), ..all() }).0,
        "snapcontent-a snapcontent-c"
    );
    assert_eq!(
        ids(ListSnapshotsRequest { snapshot_id: "snapcontent-b".to_owned(), ..all() }).0,
        "snapcontent-b"
    );
    assert_eq!(ids(ListSnapshotsRequest { snapshot_id: "none".to_owned(), ..all() }).0, "");
    let (page, token) = ids(ListSnapshotsRequest { max_entries: 2, ..all() });
    assert_eq!(page, "snapcontent-a snapcontent-b");
    assert_eq!(
        ids(ListSnapshotsRequest { max_entries: 2, starting_token: token, ..all() }),
        ("snapcontent-c".to_owned(), String::new())
    );
    let bad = ListSnapshotsRequest { starting_token: "x".to_owned(), ..all() };
    assert_eq!(code(driver.snapshots(bad)), Code::Aborted);
}

#[test]
fn a_snapshot_is_found_by_its_id() {
    let (_, driver) = lab_with(&["pvc-1"]);
    let made = driver.snap("pvc-1", "snapshot-1").unwrap();
    let get = |id: &str| {
        let request = GetSnapshotRequest { snapshot_id: id.to_owned(), ..GetSnapshotRequest::default() };
        driver.wait(driver.controller.get_snapshot(Request::new(request)))
    };
    assert!(get("snapcontent-1").unwrap().snapshot == Some(made));
    assert_eq!((code(get("none")), code(get(""))), (Code::NotFound, Code::InvalidArgument));
}
