//! Stores of snapshots that become larger.

use crate::lab::{Lab, MODE, cut, lab_with_volume, lv, vg};
use dmsnap::engine::snapshot::NewSnapshots;
use dmsnap::engine::store::StoreGrowth;
use dmsnap::engine::view::{SnapshotState, SnapshotView};
use dmsnap::error::{Kind, Result};
use dmsnap::lvm::Edit;
use dmsnap::units::{Bytes, Size};

/// `db` of 8 MiB, with the snapshot `s` whose store has 1 MiB.
fn lab_with_small_store() -> Lab {
    let lab = lab_with_volume();
    let small = NewSnapshots { size: Some(Size::Absolute(Bytes::mib(1))), ..cut(&[("db", "s")]) };
    lab.engine().create_snapshots(&small, MODE).unwrap();
    lab
}

fn growth(size: &str) -> StoreGrowth {
    StoreGrowth { vg: vg(), name: lv("s"), size: size.parse().unwrap(), on: Vec::new() }
}

fn extend(lab: &Lab, size: &str) -> Result<SnapshotView> {
    lab.engine().extend_snapshot(&growth(size), MODE).map(|report| report.objects[0].clone())
}

/// Writes to so many chunks of the origin.
fn fill(lab: &Lab, chunks: std::ops::Range<u64>) {
    chunks.for_each(|chunk| lab.write("vg--0-db", chunk * (64 << 10), 9));
}

#[test]
fn a_store_grows_in_use_and_nothing_is_suspended_for_it() {
    let lab = lab_with_small_store();
    fill(&lab, 0..13);
    lab.kernel.forget_calls();
    assert_eq!(extend(&lab, "+1M").unwrap().cow_size_bytes, Bytes::mib(2));
    let calls: Vec<_> = lab.kernel.calls().iter().map(ToString::to_string).collect();
    assert!(!calls.iter().any(|call| call.starts_with("suspend")), "{calls:#?}");
    fill(&lab, 13..29);
    let snapshot = &lab.snapshots()[0];
    assert_eq!(snapshot.state, SnapshotState::Active);
    assert_eq!((lab.read("vg--0-s", 0), lab.read("vg--0-s", 1 << 20)), (1, 1));
    lab.assert_at_rest("after the store has grown");
    fill(&lab, 29..64);
    assert_eq!(lab.snapshots()[0].state, SnapshotState::Invalid, "the store was never small");
}

#[test]
fn a_store_is_never_larger_than_can_be_of_use_and_never_smaller_than_it_was() {
    let lab = lab_with_small_store();
    let report = lab.engine().extend_snapshot(&growth("+50M"), MODE).unwrap();
    // 128 chunks, one of exceptions, one header.
    assert_eq!(report.objects[0].cow_size_bytes, Bytes::mib(9));
    assert!(report.notes.iter().any(|note| note.contains("can hold everything")), "{:?}", report.notes);
    fill(&lab, 0..128);
    assert_eq!(lab.snapshots()[0].state, SnapshotState::Active);
    let disks = lab.disks.images();
    assert_eq!(extend(&lab, "+1M").unwrap().cow_size_bytes, Bytes::mib(9));
    assert_eq!(extend(&lab, "9M").unwrap().cow_size_bytes, Bytes::mib(9));
    assert_eq!(extend(&lab, "8M").unwrap_err().kind(), Kind::Usage);
    assert!(lab.disks.images() == disks, "nothing was to be done");
}

#[test]
fn a_percentage_is_of_the_origin() {
    let lab = lab_with_small_store();
    assert_eq!(extend(&lab, "50%ORIGIN").unwrap().cow_size_bytes, Bytes::mib(4));
    assert_eq!(extend(&lab, "+25%ORIGIN").unwrap().cow_size_bytes, Bytes::mib(6));
}

#[test]
fn what_is_lost_is_not_extended_active_or_not() {
    let lab = lab_with_small_store();
    fill(&lab, 0..64);
    for _ in ["active", "inactive"] {
        let disks = lab.disks.images();
        let error = extend(&lab, "+1M").unwrap_err();
        assert_eq!(error.kind(), Kind::Refused, "{error}");
        assert!(error.to_string().contains("snapshot remove vg-0/s"), "{error}");
        assert!(lab.disks.images() == disks, "a refused request wrote");
        lab.engine().deactivate(&vg(), &[], MODE).unwrap();
    }
}

#[test]
fn what_is_no_snapshot_or_is_merged_has_no_store_to_extend() {
    let lab = lab_with_small_store();
    let db = StoreGrowth { name: lv("db"), ..growth("+1M") };
    assert_eq!(lab.engine().extend_snapshot(&db, MODE).unwrap_err().kind(), Kind::NotFound);
    lab.lvm2_commits(&[Edit::SetMerging { store: lv("s"), merging: true }]);
    assert_eq!(extend(&lab, "+1M").unwrap_err().kind(), Kind::InUse);
}

/// The kernel takes the chunk size from the header, whatever the metadata says.
#[test]
fn an_inactive_store_is_judged_by_its_header() {
    let lab = lab_with_small_store();
    lab.engine().deactivate(&vg(), &[], MODE).unwrap();
    assert_eq!(extend(&lab, "50M").unwrap().cow_size_bytes, Bytes::mib(9));
    lab.engine().activate(&vg(), &[], MODE).unwrap();
    fill(&lab, 0..128);
    assert_eq!(lab.snapshots()[0].state, SnapshotState::Active);
    lab.assert_at_rest("after activation");
}
