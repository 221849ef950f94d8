//! The engine on a simulated kernel and disks in memory: what operations leave, and what they leave when they are cut.

#![allow(clippy::unwrap_used)]

use std::cell::Cell;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use dmsnap::block::mem::MemDevices;
use dmsnap::block::{Access, DevNo, Devices};
use dmsnap::cow::size::ChunkSize;
use dmsnap::dm::sim::{SimDevices, SimKernel};
use dmsnap::dm::{DmName, Kernel};
use dmsnap::engine::list::Select;
use dmsnap::engine::mark::Mark;
use dmsnap::engine::outline::Phase;
use dmsnap::engine::resize::Growth;
use dmsnap::engine::setup::NewGroup;
use dmsnap::engine::snapshot::NewSnapshots;
use dmsnap::engine::view::{PvState, SnapshotState, SnapshotView, VolumeState};
use dmsnap::engine::volume::NewVolume;
use dmsnap::engine::{Engine, Host, Mode, World};
use dmsnap::error::{Error, Kind, Result};
use dmsnap::lvm::{Creation, Edit, Locks, LvName, Stamp, VgName, commit, open_vg};
use dmsnap::steps::Steps;
use dmsnap::units::{Bytes, Size, Whole};

const MODE: Mode = Mode { dry_run: false, no_wait: true };

fn vg() -> VgName {
    "vg-0".parse().unwrap()
}

fn lv(name: &str) -> LvName {
    name.parse().unwrap()
}

fn random(buffer: &mut [u8]) {
    thread_local!(static NEXT: Cell<u64> = const { Cell::new(0x9e37_79b9_7f4a_7c15) });
    for byte in buffer {
        // xorshift: tests repeat.
        let mut x = NEXT.get();
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        NEXT.set(x);
        *byte = x.to_le_bytes()[3];
    }
}

/// A host with three disks, of which two are the group `vg-0`.
struct Lab {
    disks: MemDevices,
    kernel: SimKernel,
    devices: SimDevices,
    locks: tempfile::TempDir,
}

impl Lab {
    fn new() -> Self {
        let disks = MemDevices::new();
        for disk in ["/dev/sda", "/dev/sdb", "/dev/sdc"] {
            disks.add(disk, Bytes::mib(128));
        }
        let kernel = SimKernel::new(&disks);
        let lab = Self { devices: kernel.devices(), disks, kernel, locks: tempfile::tempdir().unwrap() };
        let group = NewGroup {
            name: vg(),
            devices: vec!["/dev/sda".into(), "/dev/sdb".into()],
            extent_size: Some(Bytes::mib(1)),
            wipe: false,
        };
        lab.engine().create_group(&group, MODE).unwrap();
        lab
    }

    fn engine_on(&self, kernel: Arc<dyn Kernel>, devices: Arc<dyn Devices>) -> Engine {
        Engine::new(World {
            kernel,
            devices,
            locks: Locks::new(self.locks.path()),
            clock: || -> SystemTime { UNIX_EPOCH + Duration::from_secs(1_700_000_000) },
            random,
            host: Host { name: "lab".into(), system: "Linux lab".into() },
            owner: dmsnap::lvm::Host::default(),
            lvm2: self.settings(),
            dev: "/dev".into(),
        })
    }

    /// lvm2's, with every file of this host's out of reach.
    fn settings(&self) -> dmsnap::lvm::Settings {
        dmsnap::lvm::Settings { hints: false, ..dmsnap::lvm::Settings::of_nothing(Path::new("")) }
    }

    fn engine(&self) -> Engine {
        self.engine_on(Arc::new(self.kernel.clone()), Arc::new(self.devices.clone()))
    }

    /// An engine whose process dies before its `last`-th step: from then on nothing that it asks for happens.
    fn mortal_engine(&self, last: u64) -> Engine {
        let dead = move |step| {
            if step < last { Ok(()) } else { Err(Error::new(Kind::Internal, "the process is dead")) }
        };
        let steps = Steps::new(dead);
        self.engine_on(
            steps.kernel(Arc::new(self.kernel.clone())),
            steps.devices(Arc::new(self.devices.clone())),
        )
    }

    fn write(&self, name: &str, at: u64, byte: u8) {
        let device = self.devices.open(&mapper(name), Access::Write).unwrap();
        device.write_at(Bytes(at), &[byte; 4096]).unwrap();
    }

    fn read(&self, name: &str, at: u64) -> u8 {
        let device = self.devices.open(&mapper(name), Access::Read).unwrap();
        let mut buffer = [0; 4096];
        device.read_at(Bytes(at), &mut buffer).unwrap();
        assert!(buffer.iter().all(|byte| *byte == buffer[0]), "{name} is torn at {at}");
        buffer[0]
    }

    /// Metadata that lvm2 writes, without touching the kernel.
    fn lvm2_commits(&self, edits: &[Edit]) {
        self.lvm2_tries(edits).unwrap();
    }

    fn lvm2_tries(&self, edits: &[Edit]) -> Result<()> {
        let owner = dmsnap::lvm::Host::default();
        let mut open = open_vg(&self.disks, &owner, &vg(), Access::Write).unwrap();
        let next = open.vg.apply(edits).unwrap();
        let stamp = Stamp {
            time: 1_700_000_000,
            host: "lab".into(),
            system: "Linux lab".into(),
            system_id: None,
            description: "lvm2".into(),
        };
        commit(&mut open, next, &stamp)
    }

    fn snapshots(&self) -> Vec<SnapshotView> {
        self.engine().snapshots(&Select::default()).unwrap()
    }

    fn snapshot_names(&self) -> Vec<String> {
        self.snapshots().into_iter().map(|snapshot| snapshot.name).collect()
    }

    fn free(&self) -> Bytes {
        self.engine().vgs(Some(&vg())).unwrap()[0].free_bytes
    }

    /// What the first group is called: an operation renames it.
    fn group(&self) -> VgName {
        let mut names = self.engine().vg_names().unwrap().into_iter();
        names.find(|name| *name != other().name).unwrap()
    }

    /// The name of a volume's device.
    fn top(&self, lv: &str) -> String {
        DmName::for_volume(self.group().as_str(), lv, None).unwrap().to_string()
    }

    /// Nothing is unfinished, and no plan broke a rule of the kernel.
    fn assert_at_rest(&self, when: &str) {
        assert_eq!(self.engine().check(&self.group(), MODE).unwrap().plan, [], "{when}");
        assert_eq!(self.kernel.unsettled(), [], "{when}");
        assert_eq!(self.kernel.violations(), Vec::<String>::new(), "{when}");
    }

    /// Nothing but suspends and resumes happened while I/O waited.
    fn assert_short_switches(&self) {
        assert_eq!(self.kernel.calls_while_suspended(), []);
    }
}

fn mapper(name: &str) -> std::path::PathBuf {
    Path::new("/dev/mapper").join(name)
}

fn volume(name: &str, mib: u64) -> NewVolume {
    NewVolume {
        vg: vg(),
        name: lv(name),
        size: Size::Absolute(Bytes::mib(mib)),
        stripes: 1,
        stripe_size: None,
        on: Vec::new(),
        tags: Vec::new(),
    }
}

fn cut(pairs: &[(&str, &str)]) -> NewSnapshots {
    NewSnapshots {
        vg: vg(),
        cuts: pairs.iter().map(|(origin, name)| (lv(origin), lv(name))).collect(),
        size: None,
        chunk: ChunkSize::DEFAULT,
        read_only: false,
        tags: Vec::new(),
    }
}

/// A group on the third disk.
fn other() -> NewGroup {
    NewGroup {
        name: "other".parse().unwrap(),
        devices: vec!["/dev/sdc".into()],
        extent_size: None,
        wipe: false,
    }
}

/// `vg-0/db` with some content.
fn lab_with_volume() -> Lab {
    let lab = Lab::new();
    lab.engine().create_volume(&volume("db", 8), MODE).unwrap();
    lab.write("vg--0-db", 0, 1);
    lab.write("vg--0-db", 1 << 20, 1);
    lab
}

#[test]
fn a_labelled_device_is_taken_as_it_is() {
    let lab = Lab::new();
    let label = lab.engine().create_pvs(&["/dev/sdc".into()], false, MODE).unwrap().objects.remove(0);
    assert_eq!(lab.engine().create_pvs(&["/dev/sdc".into()], false, MODE).unwrap().objects[0], label);
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
    lab.engine().create_pvs(&["/dev/sdc".into()], true, MODE).unwrap();
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

/// Each operation can be done once, and most of them not again.
#[test]
fn a_dry_run_ends_as_the_command_would_and_changes_nothing() {
    for operation in OPERATIONS {
        let lab = lab_with_volume();
        (operation.prepare)(&lab);
        for time in ["first", "second"] {
            let (disks, calls) = (lab.disks.images(), lab.kernel.calls().len());
            let said = (operation.run)(&lab.engine(), Mode { dry_run: true, ..MODE });
            let when = format!("{}, the {time} time", operation.name);
            assert!(lab.disks.images() == disks, "{when}: a dry run wrote");
            assert_eq!(lab.kernel.calls().len(), calls, "{when}");
            let done = (operation.run)(&lab.engine(), MODE);
            let kind = |outcome: Result<()>| outcome.map_err(|error| error.kind());
            assert_eq!(kind(said), kind(done), "{when}");
        }
    }
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

#[test]
fn devices_join_and_leave_a_group() {
    let lab = lab_with_volume();
    let free = lab.free();
    lab.engine().extend_group(&vg(), &["/dev/sdc".into()], false, MODE).unwrap();
    assert_eq!(lab.free(), free + Bytes::mib(127));
    let error = lab.engine().reduce_group(&vg(), &["/dev/sda".into()], MODE).unwrap_err();
    assert_eq!(error.kind(), Kind::InUse, "{error}");
    lab.engine().reduce_group(&vg(), &["/dev/sdc".into()], MODE).unwrap();
    assert_eq!(lab.free(), free);
    let error = lab.engine().remove_pvs(&["/dev/sdb".into()], MODE).unwrap_err();
    assert_eq!(error.kind(), Kind::InUse, "{error}");
    lab.engine().remove_pvs(&["/dev/sdc".into()], MODE).unwrap();
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

fn growth(size: &str) -> Growth {
    Growth { vg: vg(), name: lv("db"), size: size.parse().unwrap(), on: Vec::new(), resize_fs: false }
}

/// An operation that can be cut, what there is before it, and what is there when it has happened.
struct Operation {
    name: &'static str,
    prepare: fn(&Lab),
    run: fn(&Engine, Mode) -> Result<()>,
    /// Snapshots that the origin keeps whatever happens; their content is checked.
    kept: &'static [&'static str],
    /// Whether the metadata says while it runs that it is not over.
    marks: bool,
    /// What makes the difference between before and after.
    happened: fn(&Lab) -> bool,
}

fn has(lab: &Lab, name: &str) -> bool {
    lab.snapshot_names().contains(&name.to_owned())
}

fn has_volume(lab: &Lab, name: &str) -> bool {
    lab.engine().volumes(&Select::default()).unwrap().iter().any(|volume| volume.name == name)
}

fn snap(lab: &Lab, name: &str) {
    lab.engine().create_snapshots(&cut(&[("db", name)]), MODE).unwrap();
}

const OPERATIONS: &[Operation] = &[
    Operation {
        name: "the first snapshot",
        prepare: |_| {},
        run: |engine, mode| engine.create_snapshots(&cut(&[("db", "s")]), mode).map(drop),
        kept: &[],
        marks: true,
        happened: |lab| has(lab, "s"),
    },
    Operation {
        name: "a further snapshot",
        prepare: |lab| snap(lab, "a"),
        run: |engine, mode| engine.create_snapshots(&cut(&[("db", "s")]), mode).map(drop),
        kept: &["a"],
        marks: true,
        happened: |lab| has(lab, "s"),
    },
    Operation {
        name: "a group of snapshots",
        prepare: |lab| drop(lab.engine().create_volume(&volume("wal", 4), MODE).unwrap()),
        run: |engine, mode| engine.create_snapshots(&cut(&[("db", "s"), ("wal", "t")]), mode).map(drop),
        kept: &[],
        marks: true,
        happened: |lab| {
            assert_eq!(has(lab, "s"), has(lab, "t"), "half a group");
            has(lab, "s")
        },
    },
    Operation {
        name: "removing one of two",
        prepare: |lab| {
            snap(lab, "a");
            snap(lab, "b");
        },
        run: |engine, mode| engine.remove_snapshots(&vg(), &[lv("b")], mode).map(drop),
        kept: &["a"],
        marks: true,
        happened: |lab| !has(lab, "b"),
    },
    Operation {
        name: "removing the last",
        prepare: |lab| snap(lab, "a"),
        run: |engine, mode| engine.remove_snapshots(&vg(), &[lv("a")], mode).map(drop),
        kept: &[],
        marks: true,
        happened: |lab| !has(lab, "a"),
    },
    Operation {
        name: "a volume",
        prepare: |_| {},
        run: |engine, mode| engine.create_volume(&volume("new", 4), mode).map(drop),
        kept: &[],
        marks: true,
        happened: |lab| has_volume(lab, "new"),
    },
    Operation {
        name: "removing a volume with its snapshots",
        prepare: |lab| {
            lab.engine().create_volume(&volume("old", 4), MODE).unwrap();
            lab.engine().create_snapshots(&cut(&[("old", "o1"), ("old", "o2")]), MODE).unwrap();
        },
        run: |engine, mode| engine.remove_volumes(&vg(), &[lv("old")], true, mode).map(drop),
        kept: &[],
        marks: true,
        happened: |lab| {
            assert_eq!(has_volume(lab, "old"), has(lab, "o1"), "half a removal");
            !has_volume(lab, "old")
        },
    },
    Operation {
        name: "growth under a snapshot",
        prepare: |lab| snap(lab, "a"),
        run: |engine, mode| engine.extend_volume(&growth("+4M"), mode).map(drop),
        kept: &["a"],
        marks: true,
        happened: |lab| {
            lab.engine()
                .volumes(&Select::default())
                .unwrap()
                .iter()
                .any(|volume| volume.size_bytes == Bytes::mib(12))
        },
    },
    Operation {
        name: "growth with the file system",
        prepare: |lab| {
            snap(lab, "a");
            lab.devices.mount(&DmName::new("vg--0-db").unwrap(), "/mnt/db");
        },
        run: |engine, mode| {
            engine.extend_volume(&Growth { resize_fs: true, ..growth("12M") }, mode).map(drop)
        },
        kept: &["a"],
        marks: true,
        happened: |lab| lab.devices.file_system(&DmName::new("vg--0-db").unwrap()) == Some(Bytes::mib(12)),
    },
    Operation {
        name: "renaming a volume with a snapshot",
        prepare: |lab| {
            lab.engine().create_volume(&volume("old", 4), MODE).unwrap();
            lab.engine().create_snapshots(&cut(&[("old", "o1")]), MODE).unwrap();
        },
        run: |engine, mode| engine.rename_volume(&vg(), &lv("old"), &lv("young"), mode).map(drop),
        kept: &[],
        marks: true,
        happened: |lab| has_volume(lab, "young"),
    },
    Operation {
        name: "renaming the group",
        prepare: |lab| snap(lab, "a"),
        run: |engine, mode| engine.rename_group(&vg(), &"new".parse()?, mode).map(drop),
        kept: &["a"],
        marks: true,
        happened: |lab| lab.group().as_str() == "new",
    },
    Operation {
        name: "a device that joins",
        prepare: |lab| snap(lab, "a"),
        run: |engine, mode| engine.extend_group(&vg(), &["/dev/sdc".into()], false, mode).map(drop),
        kept: &["a"],
        marks: true,
        happened: |lab| lab.engine().vgs(Some(&vg())).unwrap()[0].pv_count == 3,
    },
    Operation {
        name: "a device that leaves",
        prepare: |lab| {
            snap(lab, "a");
            lab.engine().extend_group(&vg(), &["/dev/sdc".into()], false, MODE).unwrap();
        },
        run: |engine, mode| engine.reduce_group(&vg(), &["/dev/sdc".into()], mode).map(drop),
        kept: &["a"],
        marks: true,
        happened: |lab| lab.engine().vgs(Some(&vg())).unwrap()[0].pv_count == 2,
    },
    Operation {
        name: "a label",
        prepare: |_| {},
        run: |engine, mode| engine.create_pvs(&["/dev/sdc".into()], false, mode).map(drop),
        kept: &[],
        marks: true,
        happened: |lab| lab.engine().pvs().unwrap().len() == 3,
    },
    Operation {
        name: "another group",
        prepare: |_| {},
        run: |engine, mode| engine.create_group(&other(), mode).map(drop),
        kept: &[],
        marks: true,
        happened: |lab| lab.engine().vgs(None).unwrap().len() == 2,
    },
    Operation {
        name: "the end of a group",
        prepare: |lab| drop(lab.engine().create_group(&other(), MODE).unwrap()),
        run: |engine, mode| engine.remove_group(&other().name, mode).map(drop),
        kept: &[],
        marks: true,
        happened: |lab| lab.engine().vgs(None).unwrap().len() == 1,
    },
    Operation {
        name: "deactivation",
        prepare: |lab| {
            snap(lab, "a");
            lab.engine().create_volume(&volume("idle", 4), MODE).unwrap();
            lab.engine().create_snapshots(&cut(&[("idle", "i")]), MODE).unwrap();
        },
        run: |engine, mode| engine.deactivate(&vg(), &[lv("idle")], mode).map(drop),
        kept: &["a"],
        marks: false,
        happened: |lab| lab.kernel.info(&DmName::new("vg--0-idle").unwrap()).unwrap().is_none(),
    },
    Operation {
        name: "activation",
        prepare: |lab| {
            snap(lab, "a");
            lab.engine().create_volume(&volume("idle", 4), MODE).unwrap();
            lab.engine().create_snapshots(&cut(&[("idle", "i")]), MODE).unwrap();
            lab.engine().deactivate(&vg(), &[lv("idle")], MODE).unwrap();
        },
        run: |engine, mode| engine.activate(&vg(), &[lv("idle")], mode).map(drop),
        kept: &["a"],
        marks: false,
        happened: |lab| lab.kernel.info(&DmName::new("vg--0-idle").unwrap()).unwrap().is_some(),
    },
];

/// A lab in which the making of `db`'s snapshot `s` died as late as it could without being acknowledged.
fn lab_with_pending_snapshot() -> Lab {
    let mut latest = None;
    for last in 1.. {
        let lab = lab_with_volume();
        let outcome = lab.mortal_engine(last).create_snapshots(&cut(&[("db", "s")]), MODE);
        if lab.snapshots().iter().any(|snapshot| snapshot.state == SnapshotState::Pending) {
            latest = Some(lab);
        }
        if outcome.is_ok() {
            break;
        }
    }
    latest.unwrap()
}

#[test]
fn an_unacknowledged_snapshot_that_somebody_mounted_stays_until_it_is_unmounted() {
    let lab = lab_with_pending_snapshot();
    let snapshot = DmName::new("vg--0-s").unwrap();
    assert_eq!(lab.snapshots()[0].state, SnapshotState::Pending);
    lab.devices.mount(&snapshot, "/mnt/s");
    lab.engine().create_volume(&volume("next", 1), MODE).unwrap();
    assert_eq!(lab.snapshots()[0].state, SnapshotState::Pending);
    lab.devices.unmount(&snapshot);
    lab.engine().create_volume(&volume("more", 1), MODE).unwrap();
    assert_eq!(lab.snapshot_names(), Vec::<String>::new());
    lab.assert_at_rest("after it is unmounted");
}

/// The process dies before each of its steps in turn; the next command leaves everything in order.
#[test]
fn whenever_a_process_dies_the_next_command_finishes_or_undoes() {
    let mut cuts = 0;
    for operation in OPERATIONS {
        for last in 1.. {
            let lab = lab_with_volume();
            (operation.prepare)(&lab);
            for name in operation.kept {
                lab.write("vg--0-db", 2 << 20, 5);
                assert_eq!(lab.read(&format!("vg--0-{name}"), 2 << 20), 0);
            }
            let when = format!("{}, dead before step {last}", operation.name);
            let outcome = (operation.run)(&lab.mortal_engine(last), MODE);
            cuts += 1;
            let next = NewVolume { vg: lab.group(), ..volume("next", 1) };
            lab.engine().create_volume(&next, MODE).unwrap_or_else(|error| panic!("{when}: {error}"));
            if operation.marks {
                lab.assert_at_rest(&when);
            } else {
                // Nothing in the metadata says so: the next command on these volumes, or a repair, sees to it.
                let suspended =
                    lab.kernel.list().unwrap().into_iter().find(|info| info.live && info.suspended);
                assert_eq!(suspended, None, "{when}");
                lab.engine().repair(&lab.group(), MODE).unwrap_or_else(|error| panic!("{when}: {error}"));
                lab.assert_at_rest(&when);
            }
            let happened = (operation.happened)(&lab);
            assert!(happened || outcome.is_err(), "{when}: acknowledged and lost");
            assert!(lab.snapshots().iter().all(|s| s.state != SnapshotState::Pending), "{when}");
            assert_eq!(lab.read(&lab.top("db"), 0), 1, "{when}");
            lab.write(&lab.top("db"), 0, 9);
            for name in operation.kept {
                assert_eq!(lab.read(&lab.top(name), 2 << 20), 0, "{when}");
                assert_eq!(lab.read(&lab.top(name), 0), 1, "{when}");
            }
            if outcome.is_ok() {
                break;
            }
        }
    }
    println!("{cuts} cuts");
}

/// The kernel refuses each step in turn, and the process lives: the operation itself leaves everything in order.
#[test]
fn whatever_the_kernel_refuses_the_operation_leaves_no_trace() {
    for operation in OPERATIONS {
        for nth in 1.. {
            let lab = lab_with_volume();
            (operation.prepare)(&lab);
            lab.kernel.fail_nth(nth);
            let outcome = (operation.run)(&lab.engine(), MODE);
            lab.kernel.heal();
            let when = format!("{}, refusal {nth}", operation.name);
            lab.assert_at_rest(&when);
            assert!((operation.happened)(&lab) || outcome.is_err(), "{when}: acknowledged and lost");
            assert_eq!(lab.read(&lab.top("db"), 0), 1, "{when}");
            if outcome.is_ok() {
                break;
            }
        }
    }
}

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

/// The snapshot is opened after it was found to be free. It cannot go, but the other commands can.
#[test]
fn a_snapshot_that_is_opened_while_it_is_removed_does_not_block_the_group() {
    let lab = lab_with_volume();
    lab.engine().create_snapshots(&cut(&[("db", "s")]), MODE).unwrap();
    let (kernel, snapshot) = (lab.kernel.clone(), DmName::new("vg--0-s").unwrap());
    let opened = std::sync::Once::new();
    let steps = Steps::new(move |_| {
        opened.call_once(|| kernel.hold(&snapshot));
        Ok(())
    });
    let engine = lab
        .engine_on(steps.kernel(Arc::new(lab.kernel.clone())), steps.devices(Arc::new(lab.devices.clone())));
    assert_eq!(engine.remove_snapshots(&vg(), &[lv("s")], MODE).unwrap_err().kind(), Kind::InUse);
    lab.engine().create_volume(&volume("next", 1), MODE).unwrap();
    lab.kernel.release(&DmName::new("vg--0-s").unwrap());
    lab.engine().create_volume(&volume("more", 1), MODE).unwrap();
    lab.assert_at_rest("after it is closed");
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
fn lvm2_snapshot(lab: &Lab, origin: &str, name: &str) -> Vec<Edit> {
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
    lab.lvm2_commits(&[Edit::DetachSnapshot { store: lv("untracked") }]);
    let report = lab.engine().repair(&vg(), MODE).unwrap();
    assert_eq!(report.planned, None, "the plan is for a dry run");
    assert_eq!(lab.snapshot_names(), Vec::<String>::new());
    lab.assert_at_rest("after what was in the way is gone");
}

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

#[test]
fn a_dry_run_of_an_extension_says_what_is_recovered_labelled_and_committed() {
    let lab = lab_with_pending_snapshot();
    let mode = Mode { dry_run: true, ..MODE };
    let report = lab.engine().extend_group(&vg(), &["/dev/sdc".into()], false, mode).unwrap();
    let lines: Vec<_> = report.planned.unwrap().iter().map(ToString::to_string).collect();
    for words in ["remove volume s", "label /dev/sdc", "add physical volume"] {
        assert!(lines.iter().any(|line| line.contains(words)), "{words} is not in {lines:#?}");
    }
}

/// A device that was labelled for nothing would be one that no other program takes.
#[test]
fn a_device_that_the_metadata_has_no_room_for_is_not_labelled() {
    let lab = lab_with_full_metadata();
    let disks = lab.disks.images();
    for dry_run in [true, false] {
        let mode = Mode { dry_run, ..MODE };
        let error = lab.engine().extend_group(&vg(), &["/dev/sdc".into()], false, mode).unwrap_err();
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

/// lvm2 warns of an older copy at each command; the next one of ours puts it right, as lvm2's `vgck --updatemetadata` does.
#[test]
fn a_copy_of_the_metadata_that_a_dead_process_left_behind_is_renewed() {
    let operation = |engine: &Engine| engine.create_snapshots(&cut(&[("db", "s")]), MODE);
    for last in 1.. {
        let lab = lab_with_volume();
        let outcome = operation(&lab.mortal_engine(last));
        let older = copies(&lab).len() > 1;
        let found = lab.engine().check(&vg(), MODE).unwrap();
        assert!(!older || !found.plan.is_empty(), "dead before step {last}: check sees nothing");
        lab.engine().repair(&vg(), MODE).unwrap();
        assert_eq!(copies(&lab).len(), 1, "dead before step {last}: an older copy stays");
        if outcome.is_ok() {
            break;
        }
    }
}

/// The checksums of the group's text in its metadata areas.
fn copies(lab: &Lab) -> std::collections::BTreeSet<u32> {
    let owner = dmsnap::lvm::Host::default();
    let open = open_vg(&lab.disks, &owner, &vg(), Access::Read).unwrap();
    let headers = open.pvs.iter().flat_map(|pv| &pv.mdas).map(|mda| mda.header.as_ref().unwrap());
    headers.map(|header| header.committed.checksum).collect()
}

/// Who was told that the removal failed goes on to use the volume: no later command may finish it.
#[test]
fn a_removal_that_was_refused_has_not_happened() {
    let lab = lab_with_volume();
    let (kernel, device) = (lab.kernel.clone(), DmName::new("vg--0-db").unwrap());
    let opened = std::sync::Once::new();
    let steps = Steps::new(move |_| {
        opened.call_once(|| kernel.hold(&device));
        Ok(())
    });
    let engine = lab
        .engine_on(steps.kernel(Arc::new(lab.kernel.clone())), steps.devices(Arc::new(lab.devices.clone())));
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

/// A kernel whose snapshots go in the moment between being found and being asked how they are: lists take no lock.
struct Fleeting(SimKernel);

impl Kernel for Fleeting {
    fn status(&self, name: &DmName) -> Result<Vec<dmsnap::dm::Status>> {
        self.0.remove(name, dmsnap::dm::UdevFlags::hidden())?;
        self.0.status(name)
    }
    fn list(&self) -> Result<Vec<dmsnap::dm::Info>> {
        self.0.list()
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
    fn retract(&self, name: &DmName, link: Option<&Path>) -> Result<()> {
        self.0.retract(name, link)
    }
}

#[test]
fn a_snapshot_that_goes_while_it_is_listed_is_no_error() {
    let lab = lab_with_volume();
    lab.engine().create_snapshots(&cut(&[("db", "s")]), MODE).unwrap();
    let engine = lab.engine_on(Arc::new(Fleeting(lab.kernel.clone())), Arc::new(lab.devices.clone()));
    let listed = engine.snapshots(&Select::default()).unwrap();
    assert_eq!(listed[0].state, SnapshotState::Inactive);
}

/// A dry run answers as the command would, which first takes away what a dead process left.
#[test]
fn a_dry_run_sees_the_group_as_it_will_be_after_recovery() {
    let lab = lab_with_pending_snapshot();
    let disks = lab.disks.images();
    let mode = Mode { dry_run: true, ..MODE };
    lab.engine().create_snapshots(&cut(&[("db", "s")]), mode).unwrap();
    assert!(lab.disks.images() == disks, "a dry run wrote");
    lab.engine().create_snapshots(&cut(&[("db", "s")]), MODE).unwrap();
}

/// lvm2 would make a stray table live at its next resume, so no error path leaves one, nor a suspended device.
#[test]
fn a_refused_step_leaves_no_table_waiting() {
    for operation in OPERATIONS {
        for nth in 1.. {
            let lab = lab_with_volume();
            (operation.prepare)(&lab);
            lab.kernel.fail_nth(nth);
            let outcome = (operation.run)(&lab.engine(), MODE);
            lab.kernel.heal();
            assert_eq!(lab.kernel.unsettled(), [], "{}, refusal {nth}", operation.name);
            if outcome.is_ok() {
                break;
            }
        }
    }
}

/// Live tables that map extents which the metadata calls free: whatever is allocated next is written to by two.
fn mapped_and_free(lab: &Lab) -> Vec<String> {
    let open = open_vg(&lab.disks, &dmsnap::lvm::Host::default(), &lab.group(), Access::Read).unwrap();
    let free = dmsnap::lvm::free::FreeMap::of(&open.vg);
    let extent = open.vg.extent_size.get();
    let mut found = Vec::new();
    for info in lab.kernel.list().unwrap().into_iter().filter(|info| info.live) {
        for line in lab.kernel.table(&info.name, dmsnap::dm::Slot::Live).unwrap().0 {
            let dmsnap::dm::Target::Linear { device, offset } = line.target else { continue };
            let Some(pv) = open.pvs.iter().position(|pv| pv.number == Some(device)) else { continue };
            let begin = offset.get() - open.vg.pvs[pv].pe_start.get();
            let end = begin + line.length.get();
            let is_free = |run: &&dmsnap::lvm::free::Run| {
                run.start.get() * extent < end && begin < run.end().get() * extent
            };
            found.extend(free.pvs[pv].iter().find(is_free).map(|_| info.name.to_string()));
        }
    }
    found
}

/// After each cut of an operation somebody opens one of the devices that are there; then come other commands.
#[test]
fn no_extent_is_free_while_a_device_that_somebody_holds_open_maps_it() {
    let mut wrong = Vec::new();
    let removing_two = Operation {
        name: "removing both of two",
        prepare: |lab| {
            snap(lab, "a");
            snap(lab, "b");
        },
        run: |engine, mode| engine.remove_snapshots(&vg(), &[lv("a"), lv("b")], mode).map(drop),
        kept: &[],
        marks: true,
        happened: |lab| !has(lab, "b") && !has(lab, "a"),
    };
    let chosen = |o: &&Operation| {
        ["a group of snapshots", "removing one of two", "removing a volume with its snapshots"]
            .contains(&o.name)
    };
    for operation in OPERATIONS.iter().filter(chosen).chain([&removing_two]) {
        for last in 1.. {
            let cut = || {
                let lab = lab_with_volume();
                (operation.prepare)(&lab);
                let outcome = (operation.run)(&lab.mortal_engine(last), MODE);
                (lab, outcome.is_ok())
            };
            let (lab, over) = cut();
            for held in lab.kernel.list().unwrap().into_iter().map(|info| info.name) {
                let (lab, _) = cut();
                lab.kernel.hold(&held);
                let _ = lab.engine().create_volume(&volume("next", 1), MODE);
                let free = mapped_and_free(&lab);
                if !free.is_empty() {
                    wrong.push(format!("{}, dead before step {last}, {held} open: {free:?}", operation.name));
                }
            }
            if over {
                break;
            }
        }
    }
    assert!(wrong.is_empty(), "{} times:\n{}", wrong.len(), wrong.join("\n"));
}

/// One snapshot of a family cannot be planned for; another's store must not be given back before its device is gone.
#[test]
fn a_store_is_not_free_while_its_family_is_stuck() {
    let mut proved = 0;
    for last in 1.. {
        let lab = lab_with_volume();
        snap(&lab, "a");
        let outcome = lab.mortal_engine(last).create_snapshots(&cut(&[("db", "s")]), MODE);
        if outcome.is_ok() {
            break;
        }
        // Somebody takes the first snapshot's device away: its origin is written to without it.
        if lab.kernel.remove(&DmName::new("vg--0-a").unwrap(), dmsnap::dm::UdevFlags::hidden()).is_err() {
            continue;
        }
        let _ = lab.engine().create_volume(&volume("next", 1), MODE);
        assert_eq!(mapped_and_free(&lab), Vec::<String>::new(), "dead before step {last}");
        proved += 1;
    }
    assert!(proved > 0);
}

/// The same with an origin: its snapshot is opened while both are removed.
#[test]
fn an_origin_is_not_free_while_its_snapshot_could_not_be_removed() {
    let lab = lab_with_volume();
    snap(&lab, "a");
    lab.write("vg--0-db", 0, 2);
    let (kernel, device) = (lab.kernel.clone(), DmName::new("vg--0-a").unwrap());
    let opened = std::sync::Once::new();
    let steps = Steps::new(move |_| {
        opened.call_once(|| kernel.hold(&device));
        Ok(())
    });
    let engine = lab
        .engine_on(steps.kernel(Arc::new(lab.kernel.clone())), steps.devices(Arc::new(lab.devices.clone())));
    assert_eq!(engine.remove_volumes(&vg(), &[lv("db")], true, MODE).unwrap_err().kind(), Kind::InUse);
    assert_eq!(mapped_and_free(&lab), Vec::<String>::new());
    assert_eq!(lab.read("vg--0-a", 1 << 20), 1);
    lab.engine().create_volume(&volume("next", 8), MODE).unwrap();
    lab.write("vg--0-next", 1 << 20, 7);
    assert_eq!(lab.read("vg--0-a", 1 << 20), 1, "a mounted snapshot changed");
}

/// The removal of two snapshots fails at the second: who was told so goes on to use it.
#[test]
fn a_removal_of_several_that_was_refused_has_not_happened_to_what_is_open() {
    let lab = lab_with_volume();
    snap(&lab, "a");
    snap(&lab, "b");
    let (kernel, device) = (lab.kernel.clone(), DmName::new("vg--0-a").unwrap());
    let opened = std::sync::Once::new();
    let steps = Steps::new(move |_| {
        opened.call_once(|| kernel.hold(&device));
        Ok(())
    });
    let engine = lab
        .engine_on(steps.kernel(Arc::new(lab.kernel.clone())), steps.devices(Arc::new(lab.devices.clone())));
    assert_eq!(engine.remove_snapshots(&vg(), &[lv("a"), lv("b")], MODE).unwrap_err().kind(), Kind::InUse);
    assert_eq!(mapped_and_free(&lab), Vec::<String>::new());
    lab.kernel.release(&DmName::new("vg--0-a").unwrap());
    lab.engine().create_volume(&volume("next", 1), MODE).unwrap();
    assert!(has(&lab, "a"), "a snapshot went after its removal had failed");
}

/// A snapshot whose device somebody took away has lost what was written since, whether its origin is suspended by now or not.
#[test]
fn a_snapshot_that_lost_writes_does_not_join_an_origin_because_that_is_suspended() {
    let lab = lab_with_volume();
    snap(&lab, "a");
    lab.kernel.remove(&DmName::new("vg--0-a").unwrap(), dmsnap::dm::UdevFlags::hidden()).unwrap();
    lab.write("vg--0-db", 0, 2);
    lab.kernel.suspend(&DmName::new("vg--0-db").unwrap(), dmsnap::dm::Freeze::FileSystem).unwrap();
    assert_eq!(lab.engine().repair(&vg(), MODE).unwrap_err().kind(), Kind::Refused);
    assert_eq!(lab.kernel.unsettled(), [], "an origin that nothing can be done for stays suspended");
    let is_there = lab.kernel.info(&DmName::new("vg--0-a").unwrap()).unwrap().is_some();
    assert!(!is_there || lab.read("vg--0-a", 0) == 1, "a snapshot with wrong content is called valid");
}

/// lvm2 commits its snapshot while the origin is suspended. Had it died then, nothing was written since.
#[test]
fn a_snapshot_that_lvm2_did_not_get_to_begins_with_its_suspended_origin() {
    let lab = lab_with_volume();
    lab.kernel.suspend(&DmName::new("vg--0-db").unwrap(), dmsnap::dm::Freeze::FileSystem).unwrap();
    lab.lvm2_commits(&lvm2_snapshot(&lab, "db", "s"));
    lab.engine().repair(&vg(), MODE).unwrap();
    lab.write("vg--0-db", 0, 2);
    assert_eq!((lab.read("vg--0-db", 0), lab.read("vg--0-s", 0)), (2, 1));
}

#[test]
fn a_dry_run_of_the_end_of_a_group_refuses_one_with_volumes() {
    let lab = lab_with_volume();
    let mode = Mode { dry_run: true, ..MODE };
    let outcome = lab.engine().remove_group(&vg(), mode).map(|_| ()).map_err(|error| error.kind());
    assert_eq!(outcome, Err(Kind::InUse));
}

#[test]
fn a_device_is_not_labelled_for_a_group_whose_metadata_is_full() {
    let lab = lab_with_full_metadata();
    let disks = lab.disks.images();
    let dry = lab.engine().extend_group(&vg(), &["/dev/sdc".into()], false, Mode { dry_run: true, ..MODE });
    let error = lab.engine().extend_group(&vg(), &["/dev/sdc".into()], false, MODE).unwrap_err();
    assert_eq!(error.kind(), Kind::NoSpace, "{error}");
    assert!(lab.disks.images() == disks, "a refused request wrote");
    assert_eq!(
        dry.map(|_| ()).map_err(|error| error.kind()),
        Err(Kind::NoSpace),
        "a dry run saw no hindrance"
    );
}

#[test]
fn all_that_is_free_of_a_full_group_is_no_space() {
    let lab = lab_with_volume();
    let all = |name| NewVolume { size: Size::Percent(100, Whole::Free), ..volume(name, 1) };
    lab.engine().create_volume(&all("all"), MODE).unwrap();
    let error = lab.engine().create_volume(&all("more"), MODE).unwrap_err();
    assert_eq!(error.kind(), Kind::NoSpace, "{error}");
}

/// Boot: what squats on the name of one volume's device must not keep the others of the group down.
#[test]
fn a_volume_that_cannot_be_activated_does_not_keep_the_others_down() {
    let lab = lab_with_volume();
    lab.engine().create_volume(&volume("idle", 4), MODE).unwrap();
    lab.engine().deactivate(&vg(), &[], MODE).unwrap();
    let squatted = DmName::new("vg--0-idle").unwrap();
    lab.kernel.create(&squatted, &dmsnap::dm::DmUuid::new("somebody-else").unwrap()).unwrap();
    let error = lab.engine().activate(&vg(), &[], MODE).map(drop).unwrap_err();
    assert!(error.to_string().contains("vg--0-idle"), "{error}");
    let device = lab.kernel.info(&DmName::new("vg--0-db").unwrap()).unwrap();
    assert!(device.is_some_and(|info| info.live), "vg-0/db stays inactive because of vg-0/idle");
}

/// As with a volume: names that others bear are noticed before anything is written, or at least do not block the group.
#[test]
fn a_group_is_not_renamed_where_a_device_bears_one_of_the_new_names() {
    let lab = lab_with_volume();
    lab.engine().create_volume(&volume("idle", 4), MODE).unwrap();
    let squatted = DmName::new("new-idle").unwrap();
    lab.kernel.create(&squatted, &dmsnap::dm::DmUuid::new("somebody-else").unwrap()).unwrap();
    let disks = lab.disks.images();
    lab.engine().rename_group(&vg(), &"new".parse().unwrap(), MODE).unwrap_err();
    assert!(lab.disks.images() == disks, "a refused request wrote");
    let next =
        lab.engine().create_volume(&NewVolume { vg: lab.group(), ..volume("next", 1) }, MODE).map(drop);
    assert!(next.is_ok(), "nothing can be done in group {} any more: {next:?}", lab.group());
}

/// `lvconvert -s` makes a store of a volume that is there: that snapshot is acknowledged, and lvm2's.
#[test]
fn a_pending_volume_that_lvm2_made_a_store_of_stays() {
    for last in 1.. {
        let lab = lab_with_volume();
        let outcome = lab.mortal_engine(last).create_volume(&volume("new", 4), MODE);
        if has_volume(&lab, "new") && outcome.is_err() {
            // lvm2 takes the volume down, zeroes it and brings both up again.
            let _ = lab.kernel.remove(&DmName::new("vg--0-new").unwrap(), dmsnap::dm::UdevFlags::hidden());
            lab.kernel.remove(&DmName::new("vg--0-db").unwrap(), dmsnap::dm::UdevFlags::hidden()).unwrap();
            lab.lvm2_commits(&[Edit::AddSnapshot {
                store: lv("new"),
                origin: lv("db"),
                chunk_size: ChunkSize::DEFAULT.sectors(),
                id: dmsnap::lvm::Uuid::generate(&mut |buffer| buffer.fill(9)),
                created: Some(Creation { time: 1_700_000_000, host: "lab".into() }),
            }]);
            lab.engine().create_volume(&volume("next", 1), MODE).unwrap();
            assert_eq!(lab.snapshot_names(), ["new"], "dead before step {last}");
        }
        if outcome.is_ok() {
            break;
        }
    }
}

/// Who repairs is told if it is not repaired.
#[test]
fn a_repair_that_leaves_something_stuck_is_an_error() {
    let lab = lab_with_volume();
    snap(&lab, "a");
    lab.kernel.remove(&DmName::new("vg--0-a").unwrap(), dmsnap::dm::UdevFlags::hidden()).unwrap();
    let repaired = lab.engine().repair(&vg(), MODE);
    assert!(!lab.engine().check(&vg(), MODE).unwrap().plan.is_empty());
    assert!(repaired.is_err(), "the repair says that all is well");
}

/// Something has a hidden layer open that recovery would take away: the rest of the group can be worked on all the same.
#[test]
fn a_hidden_layer_that_is_open_does_not_block_the_group() {
    let lab = lab_with_pending_snapshot();
    lab.kernel.hold(&DmName::new("vg--0-s-cow").unwrap());
    lab.engine().create_volume(&volume("next", 1), MODE).map(drop).unwrap();
}

/// A device below is suspended by somebody: the origin above it cannot be suspended before it goes on.
#[test]
fn what_is_below_goes_on_before_an_origin_is_suspended() {
    let lab = lab_with_pending_snapshot();
    lab.kernel.suspend(&DmName::new("vg--0-db-real").unwrap(), dmsnap::dm::Freeze::Io).unwrap();
    lab.engine().repair(&vg(), MODE).unwrap();
    assert_eq!(lab.kernel.violations(), Vec::<String>::new());
}

/// Activation changes no metadata: a host that may change none can activate, whatever a dead process left.
#[test]
fn a_host_that_changes_no_metadata_activates_beside_what_a_dead_process_left() {
    let lab = lab_with_volume();
    lab.engine().create_volume(&volume("idle", 4), MODE).unwrap();
    lab.engine().deactivate(&vg(), &[lv("idle")], MODE).unwrap();
    for last in 1.. {
        let outcome = lab.mortal_engine(last).create_snapshots(&cut(&[("db", "s")]), MODE);
        if outcome.is_ok() || !lab.snapshots().is_empty() {
            break;
        }
    }
    assert_eq!(lab.snapshots()[0].state, SnapshotState::Pending);
    let engine = Engine::new(World {
        kernel: Arc::new(lab.kernel.clone()),
        devices: Arc::new(lab.devices.clone()),
        locks: Locks::new(lab.locks.path()),
        clock: || -> SystemTime { UNIX_EPOCH + Duration::from_secs(1_700_000_000) },
        random,
        host: Host { name: "lab".into(), system: "Linux lab".into() },
        owner: dmsnap::lvm::Host::default(),
        lvm2: dmsnap::lvm::Settings { metadata_read_only: true, ..lab.settings() },
        dev: "/dev".into(),
    });
    engine.activate(&vg(), &[lv("idle")], MODE).unwrap();
}

/// Readers share the lock: one that does not wait is not told that another process works on the group.
#[test]
fn readers_that_do_not_wait_do_not_hinder_each_other() {
    let directory = tempfile::tempdir().unwrap();
    let locks = Locks::new(directory.path());
    let refused = std::sync::atomic::AtomicU32::new(0);
    let barrier = std::sync::Barrier::new(8);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                barrier.wait();
                for _ in 0..2000 {
                    if let Err(error) =
                        locks.vg(&vg(), dmsnap::lvm::lock::Mode::Shared, dmsnap::lvm::Wait::No)
                    {
                        assert_eq!(error.kind(), Kind::Locked);
                        refused.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                    }
                }
            });
        }
    });
    assert_eq!(refused.into_inner(), 0, "of 16000 readers, with no writer anywhere");
}

/// Who is told that an operation failed finds things as they were: a script that tries again must not find it done.
#[test]
fn a_new_name_or_size_that_was_refused_has_not_come() {
    let mut wrong = Vec::new();
    let chosen = ["growth under a snapshot", "renaming a volume with a snapshot", "renaming the group"];
    for operation in OPERATIONS.iter().filter(|operation| chosen.contains(&operation.name)) {
        for nth in 1.. {
            let lab = lab_with_volume();
            (operation.prepare)(&lab);
            lab.kernel.forget_calls();
            lab.kernel.fail_nth(nth);
            let outcome = (operation.run)(&lab.engine(), MODE);
            lab.kernel.heal();
            if outcome.is_err() && (operation.happened)(&lab) {
                let calls = lab.kernel.calls();
                let refused = usize::try_from(nth - 1).ok().and_then(|at| calls.get(at));
                wrong.push(format!("{}: refused to {}", operation.name, refused.unwrap()));
            }
            if outcome.is_ok() {
                break;
            }
        }
    }
    assert!(wrong.is_empty(), "{} times:\n{}", wrong.len(), wrong.join("\n"));
}

/// Whatever is refused, once: a file system that has grown, or may have, never finds its device shorter.
#[test]
fn a_volume_that_was_larger_is_not_made_smaller_again() {
    let mut sizes = Vec::new();
    for nth in 1.. {
        let lab = lab_with_volume();
        lab.devices.mount(&DmName::new("vg--0-db").unwrap(), "/mnt/db");
        let steps = Steps::new(move |step| match step == nth {
            true => Err(Error::new(Kind::Internal, "injected error")),
            false => Ok(()),
        });
        let engine = lab.engine_on(
            steps.kernel(Arc::new(lab.kernel.clone())),
            steps.devices(Arc::new(lab.devices.clone())),
        );
        let outcome = engine.extend_volume(&Growth { resize_fs: true, ..growth("12M") }, MODE);
        lab.engine().create_volume(&volume("next", 1), MODE).unwrap();
        lab.assert_at_rest(&format!("step {nth} refused"));
        let volumes = lab.engine().volumes(&Select::default()).unwrap();
        sizes.push(volumes.into_iter().find(|volume| volume.name == "db").unwrap().size_bytes);
        if outcome.is_ok() {
            break;
        }
    }
    // At first it has not happened; then the device was longer, and stays so.
    assert!(sizes.is_sorted(), "{sizes:?}");
    assert_eq!((sizes[0], *sizes.last().unwrap()), (Bytes::mib(8), Bytes::mib(12)));
}

/// The kernel refuses for ever to help one volume: the rest of the group can be worked on all the same.
#[test]
fn a_stack_that_the_kernel_refuses_to_change_does_not_block_the_group() {
    let lab = lab_with_pending_snapshot();
    lab.kernel.before_each(|call| match call.to_string().starts_with("remove vg--0-s") {
        true => Err(Error::new(Kind::Internal, "injected error")),
        false => Ok(()),
    });
    let free = lab.free();
    lab.engine().create_volume(&volume("next", 1), MODE).unwrap();
    assert_eq!(lab.free(), free - Bytes::mib(1), "extents are free that a live table maps");
    assert_eq!(mapped_and_free(&lab), Vec::<String>::new());
    assert_eq!(lab.engine().repair(&vg(), MODE).unwrap_err().kind(), Kind::Internal);
    lab.kernel.heal();
    lab.engine().repair(&vg(), MODE).unwrap();
    lab.assert_at_rest("after the kernel let go of it");
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
        let group =
            NewGroup { name: "huge".parse().unwrap(), devices, extent_size: Some(extent_size), wipe: false };
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
        wipe: false,
    };
    lab.engine().create_group(&group, MODE).unwrap();
    let joined = lab.engine().extend_group(&name, &["/dev/huge2".into()], false, MODE);
    assert!(joined.is_err(), "{} extents", Bytes::gib(18 * 1024).get() >> 12);
}

/// Boot with a dead disk: the volumes that do not lie on it come up.
#[test]
fn all_means_those_that_do_not_lie_on_a_missing_device() {
    let lab = lab_with_volume();
    let far = NewVolume { on: vec!["/dev/sdb".into()], ..volume("far", 4) };
    lab.engine().create_volume(&far, MODE).unwrap();
    lab.engine().deactivate(&vg(), &[], MODE).unwrap();
    lab.disks.remove(Path::new("/dev/sdb")).unwrap();
    let _ = lab.engine().activate(&vg(), &[], MODE);
    let device = lab.kernel.info(&DmName::new("vg--0-db").unwrap()).unwrap();
    assert!(device.is_some_and(|info| info.live), "vg-0/db stays inactive because of vg-0/far");
}

/// Nobody owns a device whose group was never made, or that never joined: whoever asks again gets it, with nothing to overwrite.
#[test]
fn what_a_dead_process_took_for_a_group_can_be_taken_again() {
    let mut refused = Vec::new();
    for last in 1.. {
        let lab = Lab::new();
        let outcome = lab.mortal_engine(last).create_group(&other(), MODE);
        if outcome.is_ok() {
            break;
        }
        let again = lab.engine().create_group(&other(), MODE);
        let made = again
            .as_ref()
            .is_err_and(|error| error.kind() == Kind::AlreadyExists || error.kind() == Kind::InUse);
        if let (Err(error), false) = (again, made) {
            refused.push(format!("vg create, dead before step {last}: {error}"));
        }
    }
    for last in 1.. {
        let lab = Lab::new();
        let devices = ["/dev/sdc".into()];
        let outcome = lab.mortal_engine(last).extend_group(&vg(), &devices, false, MODE);
        if outcome.is_ok() {
            break;
        }
        let again = lab.engine().extend_group(&vg(), &devices, false, MODE);
        let made = again.as_ref().is_err_and(|error| error.kind() == Kind::InUse);
        if let (Err(error), false) = (again, made) {
            refused.push(format!("vg extend, dead before step {last}: {error}"));
        }
    }
    assert!(refused.is_empty(), "{} times:\n{}", refused.len(), refused.join("\n"));
}
