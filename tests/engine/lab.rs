//! A host in memory, and what stands on it.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::ops::Deref;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use dmsnap::block::mem::MemDevices;
use dmsnap::block::{Access, Devices};
use dmsnap::dm::sim::{SimDevices, SimKernel};
use dmsnap::dm::{DmName, Kernel};
use dmsnap::engine::list::Select;
use dmsnap::engine::resize::Growth;
use dmsnap::engine::restore::Restoration;
use dmsnap::engine::setup::{Labelling, NewGroup};
use dmsnap::engine::snapshot::NewSnapshots;
use dmsnap::engine::view::{SnapshotState, SnapshotView, VolumeState};
use dmsnap::engine::volume::NewVolume;
use dmsnap::engine::{Engine, Host, Mode, World};
use dmsnap::error::{Error, Kind, Result};
use dmsnap::lvm::{Edit, Locks, LvName, Stamp, VgName, commit, open_vg};
use dmsnap::steps::Steps;
use dmsnap::units::{Bytes, ChunkSize, Size};

pub const MODE: Mode = Mode { dry_run: false, no_wait: true };

pub fn vg() -> VgName {
    "vg-0".parse().unwrap()
}

pub fn lv(name: &str) -> LvName {
    name.parse().unwrap()
}

thread_local!(static NEXT: Cell<u64> = const { Cell::new(0x9e37_79b9_7f4a_7c15) });

/// What is random on this thread is so in a way of its own: uuids that threads choose differ.
pub fn differ(thread: u64) {
    NEXT.set(NEXT.get() ^ (thread + 1) << 40);
}

pub fn random(buffer: &mut [u8]) {
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

/// An engine that runs on a lab.
pub struct Running {
    engine: Engine,
    /// Where its locks are: whoever waits for one of them shares a round.
    pub locks: Arc<tempfile::TempDir>,
    /// Which of several operations were told that they are done.
    pub done: Mutex<BTreeSet<usize>>,
}

impl Running {
    pub fn into_engine(self) -> Engine {
        self.engine
    }
}

impl Deref for Running {
    type Target = Engine;

    fn deref(&self) -> &Engine {
        &self.engine
    }
}

/// A host with three disks, of which two are the group `vg-0`. Copies are the same host.
#[derive(Clone)]
pub struct Lab {
    pub disks: MemDevices,
    pub kernel: SimKernel,
    pub devices: SimDevices,
    pub locks: Arc<tempfile::TempDir>,
}

impl Lab {
    pub fn new() -> Self {
        let disks = MemDevices::new();
        for disk in ["/dev/sda", "/dev/sdb", "/dev/sdc"] {
            disks.add(disk, Bytes::mib(128));
        }
        Self::on(disks)
    }

    /// The same on disks that held other groups before: whatever is not written is not zero, and looks like a store.
    pub fn used() -> Self {
        let disks = MemDevices::new();
        let mut header =
            [b"SnAp".as_slice(), &1_u32.to_le_bytes(), &1_u32.to_le_bytes(), &8_u32.to_le_bytes()].concat();
        header.resize(4096, 0);
        // Each exception says that a chunk stands in the one behind it.
        let area: Vec<u8> =
            (0..256_u64).flat_map(|n| [n.to_le_bytes(), (n + 2).to_le_bytes()].concat()).collect();
        for disk in ["/dev/sda", "/dev/sdb", "/dev/sdc"] {
            let device = disks.add(disk, Bytes::mib(128));
            for extent in 1..128 {
                let at = |kib| Bytes::mib(extent) + Bytes::kib(kib);
                device.poke(at(0), &header);
                [4, 8, 64].iter().for_each(|kib| device.poke(at(*kib), &area));
            }
        }
        Self::on(disks)
    }

    fn on(disks: MemDevices) -> Self {
        let kernel = SimKernel::new(&disks);
        let locks = Arc::new(tempfile::tempdir().unwrap());
        let lab = Self { devices: kernel.devices(), disks, kernel, locks };
        let group = NewGroup {
            name: vg(),
            devices: vec!["/dev/sda".into(), "/dev/sdb".into()],
            extent_size: Some(Bytes::mib(1)),
            labelling: Labelling::default(),
            metadata_copies: None,
        };
        lab.engine().create_group(&group, MODE).unwrap();
        lab
    }

    /// The same host at this moment; what happens to either does not happen to the other.
    pub fn fork(&self) -> Self {
        let devices = self.devices.fork();
        let (disks, kernel) = (devices.disks().clone(), devices.kernel().clone());
        Self { disks, kernel, devices, locks: Arc::clone(&self.locks) }
    }

    /// A host that has just booted with these disks.
    pub fn booted(&self, disks: &MemDevices) -> Self {
        let kernel = SimKernel::new(disks);
        Self { devices: kernel.devices(), disks: disks.clone(), kernel, locks: Arc::clone(&self.locks) }
    }

    pub fn engine_on(&self, kernel: Arc<dyn Kernel>, devices: Arc<dyn Devices>) -> Running {
        let engine = Engine::new(World {
            kernel,
            devices,
            locks: Locks::new(self.locks.path()),
            clock: || -> SystemTime { UNIX_EPOCH + Duration::from_secs(1_700_000_000) },
            random,
            host: Host { name: "lab".into(), system: "Linux lab".into() },
            owner: dmsnap::lvm::Host::default(),
            lvm2: self.settings(),
        });
        Running { engine, locks: Arc::clone(&self.locks), done: Mutex::default() }
    }

    /// lvm2's, with every file of this host's out of reach.
    pub fn settings(&self) -> dmsnap::lvm::Settings {
        dmsnap::lvm::Settings { hints: false, ..dmsnap::lvm::Settings::of_nothing(Path::new("")) }
    }

    pub fn engine(&self) -> Running {
        self.engine_on(Arc::new(self.kernel.clone()), Arc::new(self.devices.clone()))
    }

    /// An engine whose process dies before its `last`-th step: from then on nothing that it asks for happens.
    pub fn mortal_engine(&self, last: u64) -> Running {
        let dead = move |step| {
            if step < last { Ok(()) } else { Err(Error::new(Kind::Internal, "the process is dead")) }
        };
        self.engine_with(dead)
    }

    /// An engine that asks before each of its steps.
    pub fn engine_with(&self, hook: impl Fn(u64) -> Result<()> + Send + Sync + 'static) -> Running {
        self.engine_stepping(&Steps::new(hook))
    }

    pub fn engine_stepping(&self, steps: &Steps) -> Running {
        self.engine_on(
            steps.kernel(Arc::new(self.kernel.clone())),
            steps.devices(Arc::new(self.devices.clone())),
        )
    }

    /// An engine before whose first step somebody opens a device.
    pub fn engine_overtaken(&self, device: &str) -> Running {
        let (kernel, device) = (self.kernel.clone(), DmName::new(device).unwrap());
        let opened = std::sync::Once::new();
        self.engine_with(move |_| {
            opened.call_once(|| kernel.hold(&device));
            Ok(())
        })
    }

    pub fn write(&self, name: &str, at: u64, byte: u8) {
        let device = self.devices.open(&mapper(name), Access::Write).unwrap();
        device.write_at(Bytes(at), &[byte; 4096]).unwrap();
    }

    pub fn read(&self, name: &str, at: u64) -> u8 {
        let device = self.devices.open(&mapper(name), Access::Read).unwrap();
        let mut buffer = [0; 4096];
        device.read_at(Bytes(at), &mut buffer).unwrap();
        assert!(buffer.iter().all(|byte| *byte == buffer[0]), "{name} is torn at {at}");
        buffer[0]
    }

    /// Metadata that lvm2 writes, without touching the kernel.
    pub fn lvm2_commits(&self, edits: &[Edit]) {
        self.lvm2_tries(edits).unwrap();
    }

    pub fn lvm2_tries(&self, edits: &[Edit]) -> Result<()> {
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

    pub fn snapshots(&self) -> Vec<SnapshotView> {
        self.engine().snapshots(&Select::default()).unwrap()
    }

    pub fn snapshot_names(&self) -> Vec<String> {
        self.snapshots().into_iter().map(|snapshot| snapshot.name).collect()
    }

    pub fn is_filling(&self, name: &str) -> bool {
        let volumes = self.engine().volumes(&Select::default()).unwrap();
        volumes.iter().any(|volume| volume.name == name && volume.state == VolumeState::Filling)
    }

    pub fn free(&self) -> Bytes {
        self.engine().vgs(Some(&vg())).unwrap()[0].free_bytes
    }

    /// What the first group is called: an operation renames it.
    pub fn group(&self) -> VgName {
        let mut names = self.engine().vg_names().unwrap().0.into_iter();
        names.find(|name| !name.as_str().starts_with("other")).unwrap()
    }

    /// The name of a volume's device.
    pub fn top(&self, lv: &str) -> String {
        DmName::for_volume(self.group().as_str(), lv, None).unwrap().to_string()
    }

    /// Nothing is unfinished, and no plan broke a rule of the kernel.
    pub fn assert_at_rest(&self, when: &str) {
        assert_eq!(self.engine().check(&self.group(), MODE).unwrap().plan, [], "{when}");
        assert_eq!(self.kernel.unsettled(), [], "{when}");
        assert_eq!(self.kernel.violations(), Vec::<String>::new(), "{when}");
    }

    /// Nothing but suspends and resumes happened while I/O waited.
    pub fn assert_short_switches(&self) {
        assert_eq!(self.kernel.calls_while_suspended(), []);
    }
}

fn mapper(name: &str) -> std::path::PathBuf {
    Path::new("/dev/mapper").join(name)
}

pub fn volume(name: &str, mib: u64) -> NewVolume {
    NewVolume {
        vg: vg(),
        name: lv(name),
        size: Size::Absolute(Bytes::mib(mib)),
        stripes: 1,
        stripe_size: None,
        on: Vec::new(),
        tags: Vec::new(),
        policy: None,
    }
}

pub fn cut(pairs: &[(&str, &str)]) -> NewSnapshots {
    NewSnapshots {
        vg: vg(),
        cuts: pairs.iter().map(|(origin, name)| (lv(origin), lv(name))).collect(),
        size: None,
        chunk: ChunkSize::DEFAULT,
        read_only: false,
        tags: Vec::new(),
        on: Vec::new(),
    }
}

/// A group on the third disk.
pub fn other() -> NewGroup {
    NewGroup {
        name: "other".parse().unwrap(),
        devices: vec!["/dev/sdc".into()],
        extent_size: None,
        labelling: Labelling::default(),
        metadata_copies: None,
    }
}

/// `other/afar`, a volume in a group of its own.
pub fn afar(lab: &Lab) {
    lab.engine().create_group(&other(), MODE).unwrap();
    lab.engine().create_volume(&NewVolume { vg: other().name, ..volume("afar", 4) }, MODE).unwrap();
}

/// Snapshots of `vg-0/db` and `other/afar`.
pub fn cuts_across() -> [NewSnapshots; 2] {
    [cut(&[("db", "s")]), NewSnapshots { vg: other().name, ..cut(&[("afar", "t")]) }]
}

/// `vg-0/db` with some content.
pub fn lab_with_volume() -> Lab {
    let lab = Lab::new();
    lab.engine().create_volume(&volume("db", 8), MODE).unwrap();
    lab.write("vg--0-db", 0, 1);
    lab.write("vg--0-db", 1 << 20, 1);
    lab
}

pub fn growth(size: &str) -> Growth {
    Growth { vg: vg(), name: lv("db"), size: size.parse().unwrap(), on: Vec::new(), resize_fs: false }
}

pub fn has(lab: &Lab, name: &str) -> bool {
    lab.snapshot_names().contains(&name.to_owned())
}

pub fn has_volume(lab: &Lab, name: &str) -> bool {
    lab.engine().volumes(&Select::default()).unwrap().iter().any(|volume| volume.name == name)
}

pub fn snap(lab: &Lab, name: &str) {
    lab.engine().create_snapshots(&cut(&[("db", name)]), MODE).unwrap();
}

/// A snapshot's content to a new volume.
pub fn restoration(source: &str, to: &str) -> Restoration {
    let (source, to) = (lv(source), lv(to));
    Restoration { vg: vg(), source, to, size: None, tags: Vec::new(), on: Vec::new() }
}

pub fn restore(lab: &Lab, source: &str, to: &str) {
    lab.engine().restore_snapshot(&restoration(source, to), MODE).unwrap();
}

/// A lab in which the making of `db`'s snapshot `s` died as late as it could without being acknowledged.
pub fn lab_with_pending_snapshot() -> Lab {
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

/// `vg-0/db` on disks that were used before.
pub fn used_lab_with_volume() -> Lab {
    let lab = Lab::used();
    lab.engine().create_volume(&volume("db", 8), MODE).unwrap();
    lab
}

/// What an idle volume holds at its begin, and what its snapshot does.
pub const IDLE: [u8; 2] = [8, 7];

/// A volume with a snapshot, neither of them active.
pub fn idle(lab: &Lab) {
    lab.engine().create_volume(&volume("idle", 4), MODE).unwrap();
    lab.write("vg--0-idle", 0, IDLE[1]);
    lab.engine().create_snapshots(&cut(&[("idle", "i")]), MODE).unwrap();
    lab.write("vg--0-idle", 0, IDLE[0]);
    lab.engine().deactivate(&vg(), &[lv("idle")], MODE).unwrap();
}

/// A volume on two disks.
pub fn striped(lab: &Lab, name: &str) {
    lab.engine().create_volume(&NewVolume { stripes: 2, ..volume(name, 4) }, MODE).unwrap();
}

pub fn size(lab: &Lab, name: &str) -> Bytes {
    let volumes = lab.engine().volumes(&Select::default()).unwrap();
    volumes.into_iter().find(|volume| volume.name == name).unwrap().size_bytes
}
