//! Taking and removing snapshots.

use super::{Next, Operation};
use crate::lab::{Lab, MODE, afar, cut, cuts_across, has, idle, lv, snap, striped, vg, volume};
use dmsnap::engine::setup::Labelling;
use dmsnap::engine::snapshot::NewSnapshots;
use dmsnap::engine::store::StoreGrowth;
use dmsnap::lvm::Edit;
use dmsnap::units::{Bytes, ChunkSize, Size};

pub const ALL: &[Operation] = &[
    Operation {
        command: "snapshot create",
        name: "the first snapshot",
        prepare: |_| {},
        run: |engine, mode| engine.create_snapshots(&cut(&[("db", "s")]), mode).map(drop),
        kept: &[],
        next: Next::Any,
        happened: |lab| has(lab, "s"),
    },
    Operation {
        command: "snapshot create",
        name: "a further snapshot",
        prepare: |lab| snap(lab, "a"),
        run: |engine, mode| engine.create_snapshots(&cut(&[("db", "s")]), mode).map(drop),
        kept: &["a"],
        next: Next::Any,
        happened: |lab| has(lab, "s"),
    },
    Operation {
        command: "snapshot create",
        name: "a group of snapshots",
        prepare: |lab| drop(lab.engine().create_volume(&volume("wal", 4), MODE).unwrap()),
        run: |engine, mode| engine.create_snapshots(&cut(&[("db", "s"), ("wal", "t")]), mode).map(drop),
        kept: &[],
        next: Next::Any,
        happened: |lab| {
            assert_eq!(has(lab, "s"), has(lab, "t"), "half a group");
            has(lab, "s")
        },
    },
    Operation {
        command: "snapshot create",
        name: "a group of which one has snapshots",
        prepare: |lab| {
            snap(lab, "a");
            lab.engine().create_volume(&volume("wal", 4), MODE).unwrap();
        },
        run: |engine, mode| engine.create_snapshots(&cut(&[("db", "s"), ("wal", "t")]), mode).map(drop),
        kept: &["a"],
        next: Next::Any,
        happened: |lab| has(lab, "s"),
    },
    Operation {
        command: "snapshot create",
        name: "two snapshots of one volume",
        prepare: |_| {},
        run: |engine, mode| engine.create_snapshots(&cut(&[("db", "s"), ("db", "t")]), mode).map(drop),
        kept: &[],
        next: Next::Any,
        happened: |lab| has(lab, "s"),
    },
    Operation {
        command: "snapshot create",
        name: "a small snapshot with a tag on a device that was named",
        prepare: |lab| snap(lab, "a"),
        run: |engine, mode| {
            let small = NewSnapshots {
                size: Some(Size::Absolute(Bytes::mib(3))),
                chunk: ChunkSize::new(Bytes::kib(4))?,
                read_only: true,
                tags: vec!["mine".parse()?],
                on: vec!["/dev/sdb".into()],
                ..cut(&[("db", "s")])
            };
            engine.create_snapshots(&small, mode).map(drop)
        },
        kept: &["a"],
        next: Next::Any,
        happened: |lab| has(lab, "s"),
    },
    Operation {
        command: "snapshot create",
        name: "the first snapshot of a striped volume",
        prepare: |lab| striped(lab, "wide"),
        run: |engine, mode| engine.create_snapshots(&cut(&[("wide", "s")]), mode).map(drop),
        kept: &[],
        next: Next::Any,
        happened: |lab| has(lab, "s"),
    },
    Operation {
        command: "snapshot create",
        name: "a snapshot on a device without metadata",
        prepare: |lab| {
            let bare = Labelling { metadata_copies: Some(0), ..Labelling::default() };
            lab.engine().create_pvs(&["/dev/sdc".into()], bare, MODE).unwrap();
            lab.engine().extend_group(&vg(), &["/dev/sdc".into()], bare, MODE).unwrap();
        },
        run: |engine, mode| {
            let there = NewSnapshots { on: vec!["/dev/sdc".into()], ..cut(&[("db", "s")]) };
            engine.create_snapshots(&there, mode).map(drop)
        },
        kept: &[],
        next: Next::Any,
        happened: |lab| has(lab, "s"),
    },
    Operation {
        command: "snapshot create",
        name: "a snapshot of an inactive volume",
        prepare: |lab| idle(lab),
        run: |engine, mode| engine.create_snapshots(&cut(&[("idle", "j")]), mode).map(drop),
        kept: &[],
        next: Next::Any,
        happened: |lab| has(lab, "j"),
    },
    Operation {
        command: "snapshot create",
        name: "a snapshot beside a merge",
        prepare: |lab| {
            snap(lab, "a");
            merging(lab);
        },
        run: |engine, mode| engine.create_snapshots(&cut(&[("db", "s")]), mode).map(drop),
        kept: &["a"],
        next: Next::Any,
        happened: |lab| has(lab, "s"),
    },
    Operation {
        command: "snapshot create",
        name: "snapshots in two groups",
        prepare: afar,
        run: |engine, mode| engine.create_snapshots_across(&cuts_across(), mode).map(drop),
        kept: &[],
        next: Next::Any,
        happened: |lab| {
            assert_eq!(has(lab, "s"), has(lab, "t"), "half of what was cut at one instant");
            has(lab, "s")
        },
    },
    Operation {
        command: "snapshot create",
        name: "snapshots in two groups of which one has snapshots",
        prepare: |lab| {
            snap(lab, "a");
            afar(lab);
        },
        run: |engine, mode| engine.create_snapshots_across(&cuts_across(), mode).map(drop),
        kept: &["a"],
        next: Next::Any,
        happened: |lab| has(lab, "s"),
    },
    Operation {
        command: "snapshot extend",
        name: "a store that grows",
        prepare: |lab| {
            snap(lab, "a");
            small(lab, "s");
        },
        run: |engine, mode| engine.extend_snapshot(&growth("s", "+2M"), mode).map(drop),
        kept: &["a", "s"],
        next: Next::Any,
        happened: |lab| store(lab, "s") == Bytes::mib(5),
    },
    Operation {
        command: "snapshot extend",
        name: "a store that grows onto another device",
        prepare: |lab| small(lab, "s"),
        run: |engine, mode| {
            let growth = StoreGrowth { on: vec!["/dev/sdb".into()], ..growth("s", "5M") };
            engine.extend_snapshot(&growth, mode).map(drop)
        },
        kept: &["s"],
        next: Next::Any,
        happened: |lab| store(lab, "s") == Bytes::mib(5),
    },
    Operation {
        command: "snapshot extend",
        name: "a store that grows while nobody uses it",
        prepare: |lab| {
            idle(lab);
            let small = NewSnapshots { size: Some(Size::Absolute(Bytes::mib(1))), ..cut(&[("idle", "j")]) };
            lab.engine().create_snapshots(&small, MODE).unwrap();
        },
        run: |engine, mode| engine.extend_snapshot(&growth("j", "+1M"), mode).map(drop),
        kept: &[],
        next: Next::Any,
        happened: |lab| store(lab, "j") == Bytes::mib(2),
    },
    Operation {
        command: "monitor",
        name: "stores that the monitor makes larger at once",
        prepare: |lab| {
            ["s", "t"].iter().for_each(|name| small(lab, name));
            lab.engine().create_volume(&volume("wal", 4), MODE).unwrap();
            let small = NewSnapshots { size: Some(Size::Absolute(Bytes::mib(3))), ..cut(&[("wal", "w")]) };
            lab.engine().create_snapshots(&small, MODE).unwrap();
        },
        run: |engine, mode| {
            let wanted = [("s", 5), ("t", 4), ("w", 4)].map(|(name, mib)| (lv(name), Bytes::mib(mib)));
            engine.widen_stores(&vg(), &wanted, mode).map(drop)
        },
        kept: &["s", "t"],
        next: Next::Any,
        // One that has grown when another one is refused stays so.
        happened: |lab| store(lab, "s") == Bytes::mib(5),
    },
    Operation {
        command: "snapshot remove",
        name: "removing one of two",
        prepare: |lab| {
            snap(lab, "a");
            snap(lab, "b");
        },
        run: |engine, mode| engine.remove_snapshots(&vg(), &[lv("b")], mode).map(drop),
        kept: &["a"],
        next: Next::Any,
        happened: |lab| !has(lab, "b"),
    },
    Operation {
        command: "snapshot remove",
        name: "removing the last",
        prepare: |lab| snap(lab, "a"),
        run: |engine, mode| engine.remove_snapshots(&vg(), &[lv("a")], mode).map(drop),
        kept: &[],
        next: Next::Any,
        happened: |lab| !has(lab, "a"),
    },
    Operation {
        command: "snapshot remove",
        name: "removing two of three",
        prepare: |lab| ["a", "b", "c"].iter().for_each(|name| snap(lab, name)),
        run: |engine, mode| engine.remove_snapshots(&vg(), &[lv("b"), lv("c")], mode).map(drop),
        kept: &["a"],
        next: Next::Any,
        happened: |lab| !has(lab, "b") && !has(lab, "c"),
    },
    Operation {
        command: "snapshot remove",
        name: "removing snapshots of two volumes",
        prepare: |lab| {
            lab.engine().create_volume(&volume("wal", 4), MODE).unwrap();
            lab.engine().create_snapshots(&cut(&[("db", "a"), ("wal", "w")]), MODE).unwrap();
        },
        run: |engine, mode| engine.remove_snapshots(&vg(), &[lv("a"), lv("w")], mode).map(drop),
        kept: &[],
        next: Next::Any,
        happened: |lab| !has(lab, "a"),
    },
    Operation {
        command: "snapshot remove",
        name: "removing a snapshot of an inactive volume",
        prepare: |lab| idle(lab),
        run: |engine, mode| engine.remove_snapshots(&vg(), &[lv("i")], mode).map(drop),
        kept: &[],
        next: Next::Any,
        happened: |lab| !has(lab, "i"),
    },
];

/// A snapshot of `db` whose store has room for what is written to it, and not for everything.
fn small(lab: &Lab, name: &str) {
    let small = NewSnapshots { size: Some(Size::Absolute(Bytes::mib(3))), ..cut(&[("db", name)]) };
    lab.engine().create_snapshots(&small, MODE).unwrap();
}

fn growth(name: &str, size: &str) -> StoreGrowth {
    StoreGrowth { vg: vg(), name: lv(name), size: size.parse().unwrap(), on: Vec::new() }
}

fn store(lab: &Lab, name: &str) -> Bytes {
    let snapshots = lab.snapshots();
    snapshots.iter().find(|snapshot| snapshot.name == name).unwrap().cow_size_bytes
}

/// Another volume, into which lvm2 has begun to merge a snapshot that differs from it.
fn merging(lab: &Lab) {
    lab.engine().create_volume(&volume("back", 4), MODE).unwrap();
    lab.engine().create_snapshots(&cut(&[("back", "old")]), MODE).unwrap();
    lab.write("vg--0-back", 0, 1);
    lab.lvm2_commits(&[Edit::SetMerging { store: lv("old"), merging: true }]);
    lab.engine().repair(&vg(), MODE).unwrap();
}
