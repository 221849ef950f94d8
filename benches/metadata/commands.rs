//! Whole commands on the simulated kernel, of whose group nothing is active: what they cost besides opening and committing.

use std::path::Path;
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use criterion::{BatchSize, BenchmarkGroup, Criterion};
use dmsnap::block::mem::MemDevices;
use dmsnap::dm::sim::SimKernel;
use dmsnap::engine::list::Select;
use dmsnap::engine::{Engine, Mode, World};
use dmsnap::lvm::{Host, Locks, Settings};

use super::{each, group, vg_name};

const MODE: Mode = Mode { dry_run: false, no_wait: false };

fn engine(host: &MemDevices, locks: &Path) -> Engine {
    let kernel = SimKernel::new(host);
    Engine::new(World {
        devices: Arc::new(kernel.devices()),
        kernel: Arc::new(kernel),
        locks: Locks::new(locks),
        clock: || UNIX_EPOCH,
        random: |bytes| bytes.fill(7),
        host: dmsnap::engine::Host { name: "bench".into(), system: "Linux bench".into() },
        owner: Host::default(),
        lvm2: Settings { hints: false, ..Settings::of_nothing(Path::new("")) },
    })
}

/// An engine as each command has one: it remembers nothing.
fn measure(criterion: &mut Criterion, name: &str, command: impl Fn(&Engine)) {
    let locks = tempfile::tempdir().expect("there is room for lock files");
    each(criterion, name, |group: &mut BenchmarkGroup<'_, _>, id, _, host, _| {
        let fresh = || {
            host.settle();
            engine(host, locks.path())
        };
        group.bench_function(id, |bench| {
            bench.iter_batched(fresh, |engine| command(&engine), BatchSize::PerIteration);
        });
    });
}

pub fn commands(criterion: &mut Criterion) {
    measure(criterion, "command_list", |engine| {
        engine.volumes(&Select { vg: Some(vg_name()), names: Vec::new() }).expect("the group is there");
    });
    measure(criterion, "command_check", |engine| {
        engine.check(&vg_name(), MODE).expect("the group is there");
    });
    measure(criterion, "command_rename", |engine| {
        let (name, other) = (group::name(5), "other".parse().expect("a name"));
        engine.rename_volume(&vg_name(), &name, &other, MODE).expect("the name is free");
        engine.rename_volume(&vg_name(), &other, &name, MODE).expect("the name is free");
    });
}
