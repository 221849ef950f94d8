//! What it costs to find out what changed, for stores of a thousand to a million exceptions: `make bench`.
//!
//! `read` is the store alone, from its header to the checked list; `changed` the ranges of it; `between` the comparison of two. Chunks of 4 KiB
//! are the most reads for each exception that there are, and exceptions in no order the most ranges.

use criterion::{BenchmarkId, Criterion, Throughput};
use dmsnap::block::DevNo;
use dmsnap::block::mem::MemDevice;
use dmsnap::cow::diff::{Ranges, is_all_before};
use dmsnap::cow::store::{Store, Table};
use dmsnap::units::{Bytes, Sectors};

const SIZES: [u64; 3] = [1_000, 100_000, 1_000_000];

/// Sectors in a chunk.
const CHUNK: u64 = 8;

/// Exceptions in an area.
const PER_AREA: u64 = CHUNK * 32;

/// Prime, and more than there are exceptions: its multiples are all chunks of the origin in no order.
const SPREAD: u64 = 1_000_003;

fn store(exceptions: u64) -> MemDevice {
    let device = MemDevice::new("/dev/cow", DevNo { major: 240, minor: 0 }, Bytes::gib(8));
    let header = [0x7041_6e53_u32, 1, 1, 8].map(u32::to_le_bytes);
    device.poke(Bytes::ZERO, header.as_flattened());
    let numbers: Vec<u64> = (0..exceptions).collect();
    for (area, numbers) in (0..).zip(numbers.chunks(usize::try_from(PER_AREA).unwrap_or(usize::MAX))) {
        let exception = |number: &u64| [number * 7919 % SPREAD, 2 + number + number / PER_AREA];
        let words: Vec<[u8; 8]> = numbers.iter().flat_map(exception).map(u64::to_le_bytes).collect();
        let chunk = 1 + (PER_AREA + 1) * area;
        device.poke(Sectors(chunk * CHUNK).bytes(), words.as_flattened());
    }
    device
}

fn read(device: &MemDevice) -> Table {
    let store = Store::open(device).expect("it has a header");
    store.table(None).expect("its exceptions are good")
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args().sample_size(10);
    let mut group = criterion.benchmark_group("store");
    for size in SIZES {
        let device = store(size);
        let (table, end) = (read(&device), Sectors(SPREAD * CHUNK));
        group.throughput(Throughput::Elements(size));
        group.bench_function(BenchmarkId::new("read", size), |bench| bench.iter(|| read(&device)));
        group.bench_function(BenchmarkId::new("changed", size), |b| b.iter(|| Ranges::of(&table, end)));
        group.bench_function(BenchmarkId::new("between", size), |b| b.iter(|| is_all_before(&table, &table)));
    }
    group.finish();
    criterion.final_summary();
}
