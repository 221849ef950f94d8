//! What operations gain that share their commits: snapshots of 64 volumes on the simulated kernel, one after the other and at once,
//! on disks in memory whose flushes take a millisecond. In a guest, on the real kernel: `benches/crowd.sh`.

#[allow(dead_code)]
mod world;

use std::thread;

use criterion::{BatchSize, Criterion, Throughput};
use dmsnap::engine::Engine;
use world::{engine, snapshot};

const VOLUMES: u64 = 64;

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
            bench.iter_batched_ref(
                || engine(locks.path(), VOLUMES),
                |engine| act(engine),
                BatchSize::PerIteration,
            );
        });
    }
    group.finish();
    criterion.final_summary();
}
