//! A host on the simulated kernel, with disks in memory, whose flushes take a millisecond, and a volume group on each of them.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, UNIX_EPOCH};

use dmsnap::block::mem::MemDevices;
use dmsnap::dm::sim::SimKernel;
use dmsnap::engine::setup::{Labelling, NewGroup};
use dmsnap::engine::snapshot::NewSnapshots;
use dmsnap::engine::volume::NewVolume;
use dmsnap::engine::{Engine, Host, Mode, World};
use dmsnap::lvm::{Locks, LvName, Settings, VgName};
use dmsnap::units::{Bytes, ChunkSize, Size};

const FLUSH: Duration = Duration::from_millis(1);

/// It waits for its turn.
pub const MODE: Mode = Mode { dry_run: false, no_wait: false };

pub fn vg() -> VgName {
    group(0)
}

fn group(number: u64) -> VgName {
    let name = if number == 0 { "bench".to_owned() } else { format!("bench{number}") };
    name.parse().expect("a name")
}

pub fn name(letter: char, number: u64) -> LvName {
    format!("{letter}{number}").parse().expect("a name")
}

/// No uuid comes twice.
fn random(buffer: &mut [u8]) {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    for piece in buffer.chunks_mut(8) {
        let number = NEXT.fetch_add(1, Ordering::Relaxed).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes();
        piece.copy_from_slice(&number[..piece.len()]);
    }
}

/// An engine on a host with one group, and so many volumes in it.
pub fn engine(locks: &Path, volumes: u64) -> Engine {
    spread(locks, volumes, 1)
}

/// An engine on a host with so many groups, to which so many volumes are dealt out in turn.
pub fn spread(locks: &Path, volumes: u64, groups: u64) -> Engine {
    let disks = MemDevices::new();
    let path = |group: u64| PathBuf::from(format!("/dev/disk{group}"));
    let all: Vec<_> = (0..groups).map(|group| disks.add(path(group), Bytes::mib(512))).collect();
    let kernel = SimKernel::new(&disks);
    let engine = Engine::new(World {
        devices: Arc::new(kernel.devices()),
        kernel: Arc::new(kernel),
        locks: Locks::new(locks),
        clock: || UNIX_EPOCH + Duration::from_secs(1_700_000_000),
        random,
        host: Host { name: "bench".into(), system: "Linux bench".into() },
        owner: dmsnap::lvm::Host::default(),
        lvm2: Settings { hints: false, ..Settings::of_nothing(Path::new("")) },
    });
    (0..groups).for_each(|number| create(&engine, group(number), path(number)));
    (0..volumes).for_each(|number| volume(&engine, group(number % groups), number));
    all.iter().for_each(|disk| disk.flush_in(FLUSH));
    engine
}

fn create(engine: &Engine, name: VgName, device: PathBuf) {
    let group = NewGroup {
        name,
        devices: vec![device],
        extent_size: Some(Bytes::mib(1)),
        labelling: Labelling::default(),
        metadata_copies: None,
    };
    engine.create_group(&group, MODE).expect("the disk is empty");
}

fn volume(engine: &Engine, vg: VgName, number: u64) {
    let new = NewVolume {
        vg,
        name: name('v', number),
        size: Size::Absolute(Bytes::mib(1)),
        stripes: 1,
        stripe_size: None,
        on: Vec::new(),
        tags: Vec::new(),
        policy: None,
    };
    engine.create_volume(&new, MODE).expect("there is room");
}

pub fn snapshot(engine: &Engine, number: u64) {
    snapshot_among(engine, 1, number);
}

/// The same where there are so many groups.
pub fn snapshot_among(engine: &Engine, groups: u64, number: u64) {
    let new = NewSnapshots {
        vg: group(number % groups),
        cuts: vec![(name('v', number), name('s', number))],
        size: None,
        chunk: ChunkSize::DEFAULT,
        read_only: false,
        tags: Vec::new(),
        on: Vec::new(),
    };
    engine.create_snapshots(&new, MODE).expect("there is room");
}
