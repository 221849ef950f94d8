//! What operations gain that share their commits: snapshots of 64 volumes on the simulated kernel, one after the other and at once, in
//! one group and in eight, on disks in memory whose flushes take a millisecond. In a guest, on the real kernel: `benches/crowd.sh`.

#[allow(dead_code)]
mod world;

use std::thread;

use criterion::{BatchSize, Criterion, Throughput};
use dmsnap::engine::Engine;
use world::{snapshot_among, spread};

const VOLUMES: u64 = 64;

/// The engine, and how many groups there are.
type Act = fn(&Engine, u64);

fn one_at_a_time(engine: &Engine, groups: u64) {
    (0..VOLUMES).for_each(|number| snapshot_among(engine, groups, number));
}

/// In each group one after the other.
fn one_at_a_time_in_each(engine: &Engine, groups: u64) {
    thread::scope(|scope| {
        for group in 0..groups {
            let own = (0..VOLUMES).filter(move |number| number % groups == group);
            scope.spawn(move || own.for_each(|number| snapshot_among(engine, groups, number)));
        }
    });
}

fn at_once(engine: &Engine, groups: u64) {
    thread::scope(|scope| {
        for number in 0..VOLUMES {
            scope.spawn(move || snapshot_among(engine, groups, number));
        }
    });
}

fn main() {
    let locks = tempfile::tempdir().expect("there is a place for files");
    let mut criterion = Criterion::default().configure_from_args();
    let mut group = criterion.benchmark_group("crowd");
    group.sample_size(10).throughput(Throughput::Elements(VOLUMES));
    let ways = [
        ("one_at_a_time", 1, one_at_a_time as Act),
        ("at_once", 1, at_once),
        ("one_at_a_time_in_each_of_8_groups", 8, one_at_a_time_in_each),
        ("at_once_in_8_groups", 8, at_once),
    ];
    for (way, groups, act) in ways {
        group.bench_function(way, |bench| {
            bench.iter_batched_ref(
                || spread(locks.path(), VOLUMES, groups),
                |engine| act(engine, groups),
                BatchSize::PerIteration,
            );
        });
    }
    group.finish();
    criterion.final_summary();
}
