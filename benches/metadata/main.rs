//! What metadata costs, for volume groups of 10, 1 000 and 10 000 logical volumes: `make bench`.
//!
//! Each operation is measured alone and in the two that a command consists of: `open` (read from the disk, checksum, parse, import,
//! every check) and `commit` (edit, serialise, write, flip); and then whole commands. Criterion reports the time for each volume beside the whole:
//! nothing may cost more of it in a large group than in a small one.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use criterion::measurement::WallTime;
use criterion::{BatchSize, BenchmarkGroup, BenchmarkId, Criterion, Throughput};
use dmsnap::block::mem::MemDevices;
use dmsnap::block::{Access, DevNo, Devices};
use dmsnap::dm::Info;
use dmsnap::engine::converge::converge;
use dmsnap::engine::desired::{Activation, desired};
use dmsnap::engine::tree::{DeviceTree, FoundNode, FoundTree};
use dmsnap::lvm::config::Tree;
use dmsnap::lvm::{
    Edit, Host, LvName, NewLv, NewVg, OpenVg, PvOptions, Request, Stamp, Vg, allocate, check, commit,
    create_pv, create_vg, open_vg,
};
use dmsnap::units::{Bytes, Extents, Sectors};

mod commands;
mod disk;
mod group;

use disk::{FileDisk, OneDisk};

type Group<'a> = BenchmarkGroup<'a, WallTime>;

const SIZES: [u64; 3] = [10, 1_000, 10_000];

/// Room for the text of 10 000 volumes twice, and as much again.
const METADATA: Bytes = Bytes::mib(16);

const EXTENT: Sectors = Sectors(8);

const DISK: &str = "/dev/sda";

fn stamp() -> Stamp {
    Stamp {
        time: 1_795_261_267,
        host: "bench".into(),
        system: "Linux bench".into(),
        system_id: None,
        description: "a benchmark".into(),
    }
}

/// An empty volume group on a host's only disk.
fn make_empty(host: &dyn Devices, disk: &Path) -> OpenVg {
    let device = host.open(disk, Access::Write).expect("the disk is there");
    let options = PvOptions { metadata_size: Some(METADATA), ..PvOptions::default() };
    let id = |text: &str| format!("{text:0>32}").parse().expect("these are 32 alphanumerics");
    let pv = create_pv(device, id("pv"), &options).expect("the disk is large enough");
    let new =
        NewVg { name: vg_name(), id: id("vg"), extent_size: EXTENT, system_id: None, metadata_copies: 0 };
    create_vg(vec![pv], &new, &stamp()).expect("the group is possible")
}

/// One of so many volumes.
fn make(host: &dyn Devices, disk: &Path, count: u64) -> OpenVg {
    change(make_empty(host, disk), &group::volumes(count))
}

fn vg_name() -> dmsnap::lvm::VgName {
    "bench".parse().expect("a name")
}

fn disk_size(count: u64) -> Bytes {
    Extents(group::extents(count)).sectors(EXTENT).bytes() + METADATA + Bytes::mib(4)
}

/// A host with one disk that has room for so many volumes.
fn memory(count: u64) -> MemDevices {
    let host = MemDevices::new();
    host.add(DISK, disk_size(count));
    host
}

/// The same group in memory.
fn in_memory(count: u64) -> (MemDevices, OpenVg) {
    let host = memory(count);
    let open = make(&host, DISK.as_ref(), count);
    host.settle();
    (host, open)
}

fn open(host: &dyn Devices) -> OpenVg {
    open_vg(host, &Host::default(), &vg_name(), Access::Write).expect("the group is there")
}

/// Measures something for each size, the time of one volume beside the whole.
fn each(
    criterion: &mut Criterion,
    name: &str,
    mut measure: impl FnMut(&mut Group<'_>, BenchmarkId, u64, &MemDevices, &OpenVg),
) {
    let mut group = criterion.benchmark_group(name);
    for count in SIZES {
        let (host, open) = in_memory(count);
        group.throughput(Throughput::Elements(count));
        measure(&mut group, BenchmarkId::from_parameter(count), count, &host, &open);
    }
    group.finish();
}

fn reading(criterion: &mut Criterion) {
    each(criterion, "parse", |group, id, _, _, open| {
        let text: Arc<[u8]> = Arc::from(open.vg.text(&stamp()).expect("it was written"));
        group.bench_function(id, |bench| bench.iter(|| Tree::parse_shared(&text)));
    });
    each(criterion, "validate", |group, id, _, _, open| {
        let text: Arc<[u8]> = Arc::from(open.vg.text(&stamp()).expect("it was written"));
        let tree = Tree::parse_shared(&text).expect("it was written");
        let import = |tree| {
            let vg = Vg::from_tree(tree).expect("it was written");
            assert!(check::refusal(&vg, &Host::default()).is_none() && check::validate(None, &vg).is_ok());
            vg
        };
        group.bench_function(id, |bench| bench.iter_batched(|| tree.clone(), import, BatchSize::LargeInput));
    });
    each(criterion, "open", |group, id, _, host, _| {
        group.bench_function(id, |bench| bench.iter_with_large_drop(|| self::open(host)));
    });
}

fn added(count: u64) -> Vec<Edit> {
    vec![Edit::AddLv(group::volume(count))]
}

fn tagged() -> Vec<Edit> {
    vec![Edit::AddLvTag { lv: group::name(5), tag: group::tag("one") }]
}

fn editing(criterion: &mut Criterion) {
    let mut measure = |name: &str, edits: fn(u64) -> Vec<Edit>| {
        each(criterion, name, |group, id, count, _, open| {
            let edits = edits(count);
            group.bench_function(id, |bench| bench.iter_with_large_drop(|| open.vg.apply(&edits)));
        });
    };
    measure("edit_add", added);
    measure("edit_tag", |_| tagged());
    measure("batch_tag", |count| batch(count, |lv| Edit::AddLvTag { lv, tag: group::tag("one") }));
    measure("batch_detach", |count| {
        let detach = |edit: Edit| match edit {
            Edit::AddSnapshot { store, .. } => Some(Edit::DetachSnapshot { store }),
            _ => None,
        };
        group::volumes(count).into_iter().filter_map(detach).collect()
    });
    measure("batch_remove", |count| {
        let plain = batch(count, |lv| Edit::RemoveLv { lv });
        plain.into_iter().enumerate().filter(|(number, _)| number % 9 > 1).map(|(_, edit)| edit).collect()
    });
    each(criterion, "batch_add", |group, id, count, _, _| {
        let empty = make_empty(&memory(count), DISK.as_ref()).vg;
        let edits = group::volumes(count);
        group.bench_function(id, |bench| bench.iter_with_large_drop(|| empty.apply(&edits)));
    });
    each(criterion, "serialise", |group, id, _, _, open| {
        group.bench_function(id, |bench| bench.iter(|| open.vg.text(&stamp())));
    });
    each(criterion, "allocate", |group, id, count, _, open| {
        let request = Request { extents: Extents(count.min(5)), ..Request::default() };
        group.bench_function(id, |bench| bench.iter(|| allocate(&open.vg, &request)));
    });
}

fn batch(count: u64, edit: impl Fn(LvName) -> Edit) -> Vec<Edit> {
    let visible = group::volumes(count).into_iter().filter_map(|edit| match edit {
        Edit::AddLv(NewLv { name, .. }) => Some(name),
        _ => None,
    });
    visible.map(edit).collect()
}

/// Edit, serialise, write, flip.
fn change(mut open: OpenVg, edits: &[Edit]) -> OpenVg {
    let next = open.vg.apply(edits).expect("the edit is possible");
    commit(&mut open, next, &stamp()).expect("the metadata has room");
    open
}

fn committing(criterion: &mut Criterion) {
    each(criterion, "commit", |group, id, count, host, _| {
        let edits = added(count);
        // The log of a disk in memory is kept for power cuts: it is begun anew each time.
        let fresh = || {
            host.settle();
            undone(host, &edits)
        };
        group.bench_function(id, |bench| {
            bench.iter_batched(fresh, |open| change(open, &edits), BatchSize::PerIteration);
        });
    });
    let directory = tempfile::tempdir_in("/dev/shm").expect("/dev/shm is a tmpfs");
    let on_file = |count: u64| {
        let path = directory.path().join(count.to_string());
        let host = OneDisk(Arc::new(FileDisk::create(&path, disk_size(count)).expect("the tmpfs has room")));
        make(&host, &path, count);
        host
    };
    each(criterion, "open_file", |group, id, count, _, _| {
        let host = on_file(count);
        group.bench_function(id, |bench| bench.iter_with_large_drop(|| open(&host)));
    });
    each(criterion, "commit_file", |group, id, count, _, _| {
        let (host, edits) = (on_file(count), added(count));
        group.bench_function(id, |bench| {
            let fresh = || undone(&host, &edits);
            bench.iter_batched(fresh, |open| change(open, &edits), BatchSize::PerIteration);
        });
    });
}

/// The group as it was before `edits` added a volume.
fn undone(host: &dyn Devices, edits: &[Edit]) -> OpenVg {
    let open = self::open(host);
    let doomed = edits.iter().filter_map(|edit| match edit {
        Edit::AddLv(new) if open.vg.lv(&new.name).is_some() => Some(Edit::RemoveLv { lv: new.name.clone() }),
        _ => None,
    });
    let doomed: Vec<_> = doomed.collect();
    if doomed.is_empty() { open } else { change(open, &doomed) }
}

/// Every volume of the group, as devices.
fn wanted(vg: &Vg, roots: &BTreeSet<LvName>) -> DeviceTree {
    let disks = [Some(DevNo { major: 240, minor: 0 })];
    let waiting = BTreeSet::new();
    let activation = Activation {
        roots,
        disks: &disks,
        waiting: &waiting,
        forced: &waiting,
        beginning: &waiting,
        resting: &waiting,
        present: &BTreeMap::new(),
        dev: "/dev".as_ref(),
    };
    desired(vg, &activation).expect("the volumes are linear")
}

fn converging(criterion: &mut Criterion) {
    each(criterion, "desired", |group, id, _, _, open| {
        let roots = roots(&open.vg);
        group.bench_function(id, |bench| bench.iter_with_large_drop(|| wanted(&open.vg, &roots)));
    });
    let nothing = FoundTree::default();
    each(criterion, "converge_up", |group, id, _, _, open| {
        let wanted = wanted(&open.vg, &roots(&open.vg));
        group.bench_function(id, |bench| bench.iter_with_large_drop(|| converge(&nothing, &wanted)));
    });
    each(criterion, "converge_same", |group, id, _, _, open| {
        let wanted = wanted(&open.vg, &roots(&open.vg));
        let found = found(&wanted);
        group.bench_function(id, |bench| bench.iter_with_large_drop(|| converge(&found, &wanted)));
    });
    each(criterion, "converge_down", |group, id, _, _, open| {
        let found = found(&wanted(&open.vg, &roots(&open.vg)));
        let wanted = DeviceTree::default();
        group.bench_function(id, |bench| bench.iter_with_large_drop(|| converge(&found, &wanted)));
    });
}

/// All that can be active by itself.
fn roots(vg: &Vg) -> BTreeSet<LvName> {
    vg.built_here().map(|lv| vg.root_of(&lv.name)).collect()
}

/// The kernel that has what is wanted.
fn found(wanted: &DeviceTree) -> FoundTree {
    let nodes = wanted.0.iter().zip(0..).map(|((uuid, node), minor)| {
        let info = Info {
            name: node.name.clone(),
            uuid: Some(uuid.clone()),
            number: DevNo { major: 254, minor },
            open_count: 0,
            suspended: false,
            read_only: node.read_only,
            live: true,
            inactive: false,
        };
        (
            uuid.clone(),
            FoundNode {
                info,
                table: node.table.clone(),
                inactive: dmsnap::dm::Table(Vec::new()),
                link: node.link.clone(),
                published: true,
                rests: false,
            },
        )
    });
    FoundTree { nodes: nodes.collect(), ..FoundTree::default() }
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    reading(&mut criterion);
    editing(&mut criterion);
    committing(&mut criterion);
    converging(&mut criterion);
    commands::commands(&mut criterion);
    criterion.final_summary();
}
