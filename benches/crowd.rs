//! What operations gain that share their commits: snapshots of 64 volumes on the simulated kernel, one after the other and at once,
//! on disks in memory whose flushes take a millisecond. In a guest, on the real kernel: `benches/crowd.sh`.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, UNIX_EPOCH};

use criterion::{BatchSize, Criterion, Throughput};
use dmsnap::block::mem::MemDevices;
use dmsnap::dm::sim::SimKernel;
use dmsnap::engine::setup::{Labelling, NewGroup};
use dmsnap::engine::snapshot::NewSnapshots;
use dmsnap::engine::volume::NewVolume;
use dmsnap::engine::{Engine, Host, Mode, World};
use dmsnap::lvm::{Locks, LvName, Settings, VgName};
use dmsnap::units::{Bytes, ChunkSize, Size};

const VOLUMES: u64 = 64;

const FLUSH: Duration = Duration::from_millis(1);

/// It waits for its turn.
const MODE: Mode = Mode { dry_run: false, no_wait: false };

fn vg() -> VgName {
    "bench".parse().expect("a name")
}

fn name(letter: char, number: u64) -> LvName {
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
fn engine(locks: &Path) -> Engine {
    let disks = MemDevices::new();
    let disk = disks.add("/dev/sda", Bytes::mib(512));
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
    let group = NewGroup {
        name: vg(),
        devices: vec!["/dev/sda".into()],
        extent_size: Some(Bytes::mib(1)),
        labelling: Labelling::default(),
        metadata_copies: None,
    };
    engine.create_group(&group, MODE).expect("the disk is empty");
    (0..VOLUMES).for_each(|number| volume(&engine, number));
    disk.flush_in(FLUSH);
    engine
}

fn volume(engine: &Engine, number: u64) {
    let new = NewVolume {
        vg: vg(),
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

fn snapshot(engine: &Engine, number: u64) {
    let new = NewSnapshots {
        vg: vg(),
        cuts: vec![(name('v', number), name('s', number))],
        size: None,
        chunk: ChunkSize::DEFAULT,
        read_only: false,
        tags: Vec::new(),
        on: Vec::new(),
    };
    engine.create_snapshots(&new, MODE).expect("there is room");
}

fn one_at_a_time(engine: &Engine) {
    (0..VOLUMES).for_each(|number| snapshot(engine, number));
}

fn at_once(engine: &Engine) {
    thread::scope(|scope| {
        for number in 0..VOLUMES {
            scope.spawn(move || snapshot(engine, number));
        }
    });
}

fn main() {
    let locks = tempfile::tempdir().expect("there is a place for files");
    let mut criterion = Criterion::default().configure_from_args();
    let mut group = criterion.benchmark_group("crowd");
    group.sample_size(10).throughput(Throughput::Elements(VOLUMES));
    for (way, act) in [("one_at_a_time", one_at_a_time as fn(&Engine)), ("at_once", at_once)] {
        group.bench_function(way, |bench| {
            bench.iter_batched_ref(|| engine(locks.path()), |engine| act(engine), BatchSize::PerIteration);
        });
    }
    group.finish();
    criterion.final_summary();
}
