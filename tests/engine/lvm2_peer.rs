//! What lvm2 does meanwhile, to what a dead process left.

use crate::lab::{Lab, MODE, cut, has_volume, lab_with_pending_snapshot, lab_with_volume, lv, vg, volume};
use dmsnap::block::Access;
use dmsnap::dm::{DmName, Kernel};
use dmsnap::engine::mark::Mark;
use dmsnap::engine::view::SnapshotState;
use dmsnap::error::Kind;
use dmsnap::lvm::{Creation, Edit, open_vg};
use dmsnap::units::Bytes;
use dmsnap::units::ChunkSize;

/// lvm2 delays a merge until nobody has the origin or the snapshot open, and so must whoever converges the kernel: what is
/// mounted would change underneath its file system.
#[test]
fn a_merge_does_not_begin_under_a_mounted_origin() {
    let lab = lab_with_volume();
    lab.engine().create_snapshots(&cut(&[("db", "s"), ("db", "t")]), MODE).unwrap();
    lab.write("vg--0-db", 0, 2);
    lab.devices.mount(&DmName::new("vg--0-db").unwrap(), "/mnt/db");
    lab.lvm2_commits(&[Edit::SetMerging { store: lv("s"), merging: true }]);
    lab.engine().remove_snapshots(&vg(), &[lv("t")], MODE).unwrap();
    assert_eq!(lab.read("vg--0-db", 0), 2, "the mounted volume shows the snapshot's content");
}

/// A volume whose maker died, and that lvm2 has taken a snapshot of since, is somebody's: that snapshot is acknowledged.
#[test]
fn a_pending_volume_that_lvm2_took_a_snapshot_of_stays() {
    for last in 1.. {
        let lab = lab_with_volume();
        let outcome = lab.mortal_engine(last).create_volume(&volume("new", 4), MODE);
        if has_volume(&lab, "new") && outcome.is_err() {
            lab.lvm2_commits(&lvm2_snapshot(&lab, "new", "kept"));
            lab.engine()
                .create_volume(&volume("next", 1), MODE)
                .unwrap_or_else(|error| panic!("dead before step {last}: {error}"));
            assert_eq!(lab.snapshot_names(), ["kept"], "dead before step {last}");
        }
        if outcome.is_ok() {
            break;
        }
    }
}

/// What `lvcreate -s` leaves in the metadata.
pub fn lvm2_snapshot(lab: &Lab, origin: &str, name: &str) -> Vec<Edit> {
    let owner = dmsnap::lvm::Host::default();
    let open = open_vg(&lab.disks, &owner, &vg(), Access::Read).unwrap();
    let request = dmsnap::lvm::Request { extents: dmsnap::units::Extents(2), ..Default::default() };
    let id = |byte| dmsnap::lvm::Uuid::generate(&mut |buffer| buffer.fill(byte));
    let created = Some(Creation { time: 1_700_000_000, host: "lab".into() });
    let store = dmsnap::lvm::NewLv {
        name: lv(name),
        id: id(7),
        writable: true,
        visible: true,
        flags: Vec::new(),
        tags: Vec::new(),
        created: created.clone(),
        segments: dmsnap::lvm::allocate(&open.vg, &request).unwrap(),
    };
    let relation = Edit::AddSnapshot {
        store: lv(name),
        origin: lv(origin),
        chunk_size: ChunkSize::DEFAULT.sectors(),
        id: id(9),
        created,
    };
    vec![Edit::AddLv(store), relation]
}

/// A snapshot whose maker died, and that lvm2 merges since, is somebody's: half a merge is a lost origin.
#[test]
fn a_pending_snapshot_that_lvm2_merges_is_merged_to_the_end() {
    let lab = lab_with_pending_snapshot();
    lab.lvm2_commits(&[Edit::SetMerging { store: lv("s"), merging: true }]);
    lab.engine().create_volume(&volume("next", 1), MODE).unwrap();
    assert_eq!(lab.snapshot_names(), ["s"], "lvm2's merge was taken away");
}

/// The tags of a volume, or of the group, the engine's own among them.
fn tags(lab: &Lab, volume: Option<&str>) -> Vec<String> {
    let open = open_vg(&lab.disks, &dmsnap::lvm::Host::default(), &vg(), Access::Read).unwrap();
    let tags = volume.map_or(&open.vg.tags, |name| &open.vg.lv(&lv(name)).unwrap().tags);
    tags.iter().map(ToString::to_string).collect()
}

/// `db` has a pending snapshot `s` in the kernel, and one that only the metadata knows: no plan can be made for the three. The
/// volume `idle`, which grew without its device, can be helped.
fn lab_with_stuck_family() -> Lab {
    let lab = lab_with_pending_snapshot();
    lab.lvm2_commits(&lvm2_snapshot(&lab, "db", "untracked"));
    let request = dmsnap::lvm::Request { extents: dmsnap::units::Extents(2), ..Default::default() };
    let open = open_vg(&lab.disks, &dmsnap::lvm::Host::default(), &vg(), Access::Read).unwrap();
    let tag = Mark::Changing.tag();
    lab.lvm2_commits(&[
        Edit::AddLv(dmsnap::lvm::NewLv {
            name: lv("idle"),
            id: dmsnap::lvm::Uuid::generate(&mut |buffer| buffer.fill(5)),
            writable: true,
            visible: true,
            flags: Vec::new(),
            tags: vec![tag.clone()],
            created: None,
            segments: dmsnap::lvm::allocate(&open.vg, &request).unwrap(),
        }),
        Edit::AddLvTag { lv: lv("db"), tag: tag.clone() },
        Edit::AddVgTag { tag },
    ]);
    lab
}

/// What no plan is made for the kernel keeps: neither may its extents be free, nor what says that it is not over be gone.
#[test]
fn a_family_that_cannot_be_planned_keeps_its_extents_and_its_marks() {
    let lab = lab_with_stuck_family();
    let free = lab.free();
    lab.engine().create_volume(&volume("next", 1), MODE).unwrap();
    assert!(lab.kernel.info(&DmName::new("vg--0-s-cow").unwrap()).unwrap().is_some());
    assert_eq!(lab.free(), free - Bytes::mib(1), "extents are free that a live table maps");
    assert_eq!(lab.snapshots()[0].state, SnapshotState::Pending);
    assert_eq!(tags(&lab, Some("db")), ["dmsnap.changing"]);
    assert_eq!(tags(&lab, None), ["dmsnap.changing"]);
    assert_eq!(tags(&lab, Some("idle")), Vec::<String>::new());
}

/// Whoever runs it in a script must learn that not everything is repaired.
#[test]
fn a_repair_that_leaves_a_family_stuck_fails_when_it_has_done_the_rest() {
    let lab = lab_with_stuck_family();
    let error = lab.engine().repair(&vg(), MODE).unwrap_err();
    assert_eq!(error.kind(), Kind::Refused);
    assert!(error.to_string().contains("vg--0-untracked"), "{error}");
    assert_eq!(tags(&lab, Some("idle")), Vec::<String>::new());
    // What the error says is the way out.
    lab.engine().remove_snapshots(&vg(), &[lv("untracked")], MODE).unwrap();
    let report = lab.engine().repair(&vg(), MODE).unwrap();
    assert_eq!(report.planned, None, "the plan is for a dry run");
    assert_eq!(lab.snapshot_names(), Vec::<String>::new());
    lab.assert_at_rest("after what was in the way is gone");
}
