//! Snapshots: what they hold, and when they are refused.

use std::path::Path;
use std::sync::Arc;

use crate::lab::{Lab, MODE, cut, lab_with_volume, lv, vg, volume};
use dmsnap::block::{Access, DevNo, Devices};
use dmsnap::dm::sim::SimKernel;
use dmsnap::dm::{DmName, Kernel};
use dmsnap::engine::Mode;
use dmsnap::engine::list::Select;
use dmsnap::engine::outline::Phase;
use dmsnap::engine::snapshot::NewSnapshots;
use dmsnap::engine::view::{SnapshotState, VolumeState};
use dmsnap::engine::volume::NewVolume;
use dmsnap::error::{Kind, Result};
use dmsnap::lvm::{Segment, SegmentKind, open_vg};
use dmsnap::units::{Bytes, ChunkSize, Sectors, Size, Whole};

#[test]
fn a_snapshot_keeps_what_its_origin_held() {
    let lab = lab_with_volume();
    let made = lab.engine().create_snapshots(&cut(&[("db", "s")]), MODE).unwrap();
    assert_eq!(made.objects[0].state, SnapshotState::Active);
    assert!(made.frozen.is_some());
    lab.write("vg--0-db", 0, 2);
    assert_eq!((lab.read("vg--0-db", 0), lab.read("vg--0-s", 0)), (2, 1));
    lab.write("vg--0-s", 1 << 20, 3);
    assert_eq!((lab.read("vg--0-db", 1 << 20), lab.read("vg--0-s", 1 << 20)), (1, 3));
    lab.assert_at_rest("after a snapshot");
    lab.assert_short_switches();
}

#[test]
fn a_snapshot_without_a_size_cannot_overflow() {
    let lab = lab_with_volume();
    lab.engine().create_snapshots(&cut(&[("db", "s")]), MODE).unwrap();
    for chunk in 0..(8 << 20) / (64 << 10) {
        lab.write("vg--0-db", chunk * (64 << 10), 7);
    }
    let snapshot = &lab.snapshots()[0];
    assert_eq!(snapshot.state, SnapshotState::Active);
    assert_eq!(lab.read("vg--0-s", 1 << 20), 1);
}

#[test]
fn removal_gives_every_extent_back() {
    let lab = lab_with_volume();
    let free = lab.free();
    lab.engine().create_snapshots(&cut(&[("db", "s"), ("db", "t")]), MODE).unwrap();
    assert!(lab.free() < free);
    lab.engine().remove_snapshots(&vg(), &[lv("s")], MODE).unwrap();
    assert_eq!(lab.snapshot_names(), ["t"]);
    lab.assert_at_rest("after one of two is removed");
    lab.engine().remove_snapshots(&vg(), &[lv("t")], MODE).unwrap();
    assert_eq!(lab.free(), free);
    assert_eq!(lab.read("vg--0-db", 0), 1);
    lab.assert_at_rest("after the last is removed");
    lab.assert_short_switches();
}

#[test]
fn a_group_is_cut_at_one_instant() {
    let lab = lab_with_volume();
    lab.engine().create_volume(&volume("wal", 4), MODE).unwrap();
    lab.kernel.forget_calls();
    let made = lab.engine().create_snapshots(&cut(&[("db", "d1"), ("wal", "w1")]), MODE).unwrap();
    assert_eq!(made.objects.len(), 2);
    let calls: Vec<_> = lab.kernel.calls().iter().map(ToString::to_string).collect();
    let last_suspend = calls.iter().rposition(|call| call.starts_with("suspend")).unwrap();
    let resumed = calls[..last_suspend].iter().rposition(|call| call.starts_with("resume vg--0-db"));
    assert!(
        resumed.is_none_or(|at| at < calls.iter().position(|call| call.starts_with("suspend")).unwrap()),
        "{calls:#?}"
    );
    lab.assert_at_rest("after a group");
    lab.assert_short_switches();
}

#[test]
fn a_group_is_all_or_none() {
    let lab = lab_with_volume();
    let free = lab.free();
    let error = lab.engine().create_snapshots(&cut(&[("db", "s"), ("nothing", "t")]), MODE).unwrap_err();
    assert_eq!(error.kind(), Kind::NotFound);
    assert_eq!(lab.snapshot_names(), Vec::<String>::new());
    assert_eq!(lab.free(), free);
}

#[test]
fn a_dry_run_says_what_happens_while_io_waits() {
    let lab = lab_with_volume();
    let mode = Mode { dry_run: true, ..MODE };
    let report = lab.engine().create_snapshots(&cut(&[("db", "s")]), mode).unwrap();
    let plan = report.planned.unwrap();
    let waits: Vec<_> = plan.iter().filter(|entry| entry.phase() == Phase::Switch).collect();
    let waits: Vec<_> = waits.into_iter().map(ToString::to_string).collect();
    let switch = ["suspend vg--0-db (freeze its file system)", "resume vg--0-s", "resume vg--0-db"];
    assert_eq!(waits, switch);
}

#[test]
fn snapshots_of_an_inactive_volume_wait_for_it() {
    let lab = lab_with_volume();
    lab.engine().deactivate(&vg(), &[lv("db")], MODE).unwrap();
    let made = lab.engine().create_snapshots(&cut(&[("db", "s")]), MODE).unwrap();
    assert_eq!(made.objects[0].state, SnapshotState::Inactive);
    let volumes = lab.engine().activate(&vg(), &[], MODE).unwrap().objects;
    assert_eq!(volumes[0].state, VolumeState::Active);
    lab.write("vg--0-db", 0, 2);
    assert_eq!(lab.read("vg--0-s", 0), 1);
    lab.assert_at_rest("after activation");
}

#[test]
fn snapshots_outlive_a_reboot() {
    let lab = lab_with_volume();
    lab.engine().create_snapshots(&cut(&[("db", "s")]), MODE).unwrap();
    lab.write("vg--0-db", 0, 2);
    let kernel = SimKernel::new(&lab.disks);
    let lab = Lab { devices: kernel.devices(), kernel, ..lab };
    lab.engine().activate(&vg(), &[], MODE).unwrap();
    assert_eq!((lab.read("vg--0-db", 0), lab.read("vg--0-s", 0)), (2, 1));
    lab.assert_at_rest("after a reboot");
}

#[test]
fn what_is_in_use_is_not_removed() {
    let lab = lab_with_volume();
    lab.engine().create_snapshots(&cut(&[("db", "s")]), MODE).unwrap();
    let snapshot: DmName = DmName::new("vg--0-s").unwrap();
    lab.devices.mount(&snapshot, "/mnt/s");
    let disks = lab.disks.images();
    let error = lab.engine().remove_snapshots(&vg(), &[lv("s")], MODE).unwrap_err();
    assert_eq!(error.kind(), Kind::InUse);
    assert!(error.to_string().contains("/mnt/s"), "{error}");
    assert!(lab.disks.images() == disks, "a refused removal wrote");
    let error = lab.engine().deactivate(&vg(), &[], MODE).unwrap_err();
    assert_eq!(error.kind(), Kind::InUse);
}

#[test]
fn bad_requests_are_refused_before_anything_is_written() {
    let lab = lab_with_volume();
    lab.engine().create_snapshots(&cut(&[("db", "s")]), MODE).unwrap();
    let sized = |size| NewSnapshots { size: Some(size), ..cut(&[("db", "t")]) };
    let absolute = |bytes| sized(Size::Absolute(Bytes(bytes)));
    let cases: [(NewSnapshots, Kind, &str); 7] = [
        (cut(&[("nothing", "t")]), Kind::NotFound, "nothing"),
        (cut(&[("db", "s")]), Kind::AlreadyExists, "s"),
        (cut(&[("s", "t")]), Kind::Usage, "itself a snapshot"),
        (cut(&[("db", "snapshot7")]), Kind::Usage, "snapshot7"),
        (cut(&[("db", &"-".repeat(61).replace('-', "a-"))]), Kind::Usage, "long"),
        (absolute(0), Kind::Usage, "0"),
        (absolute(64 << 10), Kind::Usage, "three chunks"),
    ];
    let (disks, calls) = (lab.disks.images(), lab.kernel.calls().len());
    for (new, kind, words) in cases {
        let error = lab.engine().create_snapshots(&new, MODE).unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.to_string().contains(words), "{error} says nothing of {words:?}");
    }
    assert!(lab.disks.images() == disks, "a refused request wrote");
    assert_eq!(lab.kernel.calls().len(), calls);
}

#[test]
fn a_full_group_says_what_is_missing() {
    let lab = lab_with_volume();
    let all = NewVolume { size: Size::Percent(100, Whole::Free), ..volume("all", 1) };
    lab.engine().create_volume(&all, MODE).unwrap();
    assert_eq!(lab.free(), Bytes::ZERO);
    let disks = lab.disks.images();
    let error = lab.engine().create_snapshots(&cut(&[("db", "s")]), MODE).unwrap_err();
    assert_eq!(error.kind(), Kind::NoSpace);
    assert!(error.to_string().contains("vg extend"), "{error}");
    assert!(lab.disks.images() == disks, "a refused request wrote");
}

#[test]
fn a_kernel_without_snapshots_is_noticed_before_anything_is_written() {
    let lab = lab_with_volume();
    lab.kernel.without_target("snapshot");
    let disks = lab.disks.images();
    let error = lab.engine().create_snapshots(&cut(&[("db", "s")]), MODE).unwrap_err();
    assert_eq!(error.kind(), Kind::Internal);
    assert!(error.to_string().contains("modprobe"), "{error}");
    assert!(lab.disks.images() == disks, "a refused request wrote");
}

#[test]
fn a_percentage_below_three_chunks_is_refused() {
    let lab = lab_with_volume();
    let chunk = ChunkSize::new(Bytes::kib(512)).unwrap();
    let rest = Size::Absolute(lab.free() - Bytes::mib(50));
    lab.engine().create_volume(&NewVolume { size: rest, ..volume("rest", 1) }, MODE).unwrap();
    let (disks, calls) = (lab.disks.images(), lab.kernel.calls().len());
    let size = Some(Size::Percent(2, Whole::Free));
    let error = lab.engine().create_snapshots(&NewSnapshots { size, chunk, ..cut(&[("db", "s")]) }, MODE);
    assert_eq!(error.map(|_| ()).map_err(|error| error.kind()), Err(Kind::Usage));
    assert!(lab.disks.images() == disks, "a refused request wrote");
    assert_eq!(lab.kernel.calls().len(), calls);
}

/// As a volume's: the rest of the group may be on another disk.
#[test]
fn a_stores_percentage_of_the_group_is_an_upper_limit() {
    for size in ["100%FREE", "30%VG"] {
        let lab = Lab::new();
        for (name, disk) in [("db", "/dev/sda"), ("other", "/dev/sdb")] {
            let new = NewVolume { on: vec![disk.into()], ..volume(name, 100) };
            lab.engine().create_volume(&new, MODE).unwrap();
        }
        let size = Some(size.parse().unwrap());
        let new = NewSnapshots { size, on: vec!["/dev/sdb".into()], ..cut(&[("db", "s")]) };
        let made = lab.engine().create_snapshots(&new, MODE).unwrap();
        assert_eq!(lab.free(), Bytes::mib(27), "{:?}", new.size);
        assert!(made.notes.iter().any(|note| note.contains("there is room for")), "{:?}", made.notes);
    }
}

/// What a kernel says of how a device is.
type Told = dyn Fn(&SimKernel, &DmName) -> Result<Vec<dmsnap::dm::Status>> + Send + Sync;

/// A kernel that says something else of how devices are.
pub struct Telling(pub SimKernel, pub Box<Told>);

impl Kernel for Telling {
    fn status(&self, name: &DmName) -> Result<Vec<dmsnap::dm::Status>> {
        (self.1)(&self.0, name)
    }
    fn message(&self, name: &DmName, message: dmsnap::dm::CloneMessage) -> Result<()> {
        self.0.message(name, message)
    }
    fn list(&self) -> Result<Vec<dmsnap::dm::Info>> {
        self.0.list()
    }
    fn count(&self) -> Result<usize> {
        self.0.count()
    }
    fn events(&self) -> Result<Box<dyn dmsnap::dm::Events>> {
        self.0.events()
    }
    fn find(&self, uuid: &dmsnap::dm::DmUuid) -> Result<Option<dmsnap::dm::Info>> {
        self.0.find(uuid)
    }
    fn info(&self, name: &DmName) -> Result<Option<dmsnap::dm::Info>> {
        self.0.info(name)
    }
    fn table(&self, name: &DmName, slot: dmsnap::dm::Slot) -> Result<dmsnap::dm::Table<DevNo>> {
        self.0.table(name, slot)
    }
    fn create(&self, name: &DmName, uuid: &dmsnap::dm::DmUuid) -> Result<DevNo> {
        self.0.create(name, uuid)
    }
    fn load(&self, name: &DmName, table: &dmsnap::dm::Table<DevNo>, read_only: bool) -> Result<()> {
        self.0.load(name, table, read_only)
    }
    fn clear(&self, name: &DmName) -> Result<()> {
        self.0.clear(name)
    }
    fn suspend(&self, name: &DmName, freeze: dmsnap::dm::Freeze) -> Result<()> {
        self.0.suspend(name, freeze)
    }
    fn resume(&self, name: &DmName, udev: dmsnap::dm::UdevFlags) -> Result<()> {
        self.0.resume(name, udev)
    }
    fn remove(&self, name: &DmName, udev: dmsnap::dm::UdevFlags) -> Result<()> {
        self.0.remove(name, udev)
    }
    fn rename(&self, name: &DmName, new: &DmName, udev: dmsnap::dm::UdevFlags) -> Result<()> {
        self.0.rename(name, new, udev)
    }
    fn switch(&self, steps: &[dmsnap::dm::SwitchStep]) -> Result<dmsnap::dm::SwitchReport> {
        self.0.switch(steps)
    }
    fn supports(&self, target_type: &str) -> Result<bool> {
        self.0.supports(target_type)
    }
    fn publish(&self, name: &DmName, number: DevNo, link: Option<&Path>) -> Result<()> {
        self.0.publish(name, number, link)
    }
    fn paths(&self, devices: usize) -> Box<dyn dmsnap::dm::Paths + '_> {
        self.0.paths(devices)
    }
    fn retract(&self, name: &DmName, link: Option<&Path>) -> Result<()> {
        self.0.retract(name, link)
    }
}

/// It goes in the moment between being found and being asked how it is: lists take no lock.
#[test]
fn a_snapshot_that_goes_while_it_is_listed_is_no_error() {
    let lab = lab_with_volume();
    lab.engine().create_snapshots(&cut(&[("db", "s")]), MODE).unwrap();
    let fleeting = |kernel: &SimKernel, name: &DmName| {
        kernel.remove(name, dmsnap::dm::UdevFlags::hidden())?;
        kernel.status(name)
    };
    let fleeting = Telling(lab.kernel.clone(), Box::new(fleeting));
    let engine = lab.engine_on(Arc::new(fleeting), Arc::new(lab.devices.clone()));
    let listed = engine.snapshots(&Select::default()).unwrap();
    assert_eq!(listed[0].state, SnapshotState::Inactive);
}

#[test]
fn the_store_of_a_striped_volume_is_striped_like_it_and_lies_where_it_is_asked_for() {
    let lab = Lab::new();
    let size = Some(Bytes::kib(128));
    lab.engine()
        .create_volume(&NewVolume { stripes: 2, stripe_size: size, ..volume("db", 8) }, MODE)
        .unwrap();
    let layout = |name: &str| {
        let devices: Arc<dyn Devices> = Arc::new(lab.devices.clone());
        let open = open_vg(devices.as_ref(), &dmsnap::lvm::Host::default(), &vg(), Access::Read).unwrap();
        open.vg.lv(&lv(name)).unwrap().segments.clone()
    };
    lab.engine().create_snapshots(&cut(&[("db", "like")]), MODE).unwrap();
    let striped = |segment: &Segment| match &segment.kind {
        SegmentKind::Striped { stripe_size, areas } => (*stripe_size, areas.len()),
        _ => panic!("{segment:?}"),
    };
    assert_eq!(layout("like").iter().map(striped).collect::<Vec<_>>(), [(Some(Sectors(256)), 2)]);
    let elsewhere = NewSnapshots { on: vec!["/dev/sdb".into()], ..cut(&[("db", "one")]) };
    lab.engine().create_snapshots(&elsewhere, MODE).unwrap();
    assert_eq!(layout("one").iter().map(striped).collect::<Vec<_>>(), [(None, 1)]);
}
