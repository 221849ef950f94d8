//! Restoring snapshots to new volumes, and what becomes of these.

use super::{Next, Operation};
use crate::lab::{Lab, MODE, growth, has_volume, idle, lv, restoration, restore, snap, vg, volume};
use dmsnap::dm::DmName;
use dmsnap::engine::restore::Restoration;
use dmsnap::units::{Bytes, Size};

pub const ALL: &[Operation] = &[
    Operation {
        command: "snapshot restore",
        name: "a snapshot to a new volume",
        prepare: |lab| snap(lab, "a"),
        run: |engine, mode| engine.restore_snapshot(&restoration("a", "copy"), mode).map(drop),
        kept: &["a"],
        next: Next::Any,
        happened: |lab| has_volume(lab, "copy"),
    },
    Operation {
        command: "snapshot restore",
        name: "a snapshot to a second and larger volume",
        prepare: |lab| {
            snap(lab, "a");
            restore(lab, "a", "first");
        },
        run: |engine, mode| {
            let larger = Restoration {
                size: Some(Size::Absolute(Bytes::mib(11))),
                tags: vec!["mine".parse()?],
                on: vec!["/dev/sdb".into()],
                ..restoration("a", "copy")
            };
            engine.restore_snapshot(&larger, mode).map(drop)
        },
        kept: &["a"],
        next: Next::Any,
        happened: |lab| has_volume(lab, "copy"),
    },
    Operation {
        command: "snapshot restore",
        name: "a snapshot of an inactive volume to a new one",
        prepare: idle,
        run: |engine, mode| engine.restore_snapshot(&restoration("i", "other"), mode).map(drop),
        kept: &[],
        next: Next::Any,
        happened: |lab| has_volume(lab, "other"),
    },
    Operation {
        command: "snapshot create",
        name: "a snapshot beside one that is read from",
        prepare: filling,
        run: |engine, mode| engine.create_snapshots(&crate::lab::cut(&[("db", "s")]), mode).map(drop),
        kept: &["a"],
        next: Next::Any,
        happened: |lab| crate::lab::has(lab, "s"),
    },
    Operation {
        command: "volume extend",
        name: "growing a volume whose snapshot is read from",
        prepare: filling,
        run: |engine, mode| engine.extend_volume(&growth("12M"), mode).map(drop),
        kept: &["a"],
        next: Next::Any,
        happened: |lab| crate::lab::size(lab, "db") == Bytes::mib(12),
    },
    Operation {
        command: "volume clone",
        name: "a volume to a new one",
        prepare: |lab| snap(lab, "a"),
        run: |engine, mode| engine.clone_volume(&restoration("db", "twin"), mode).map(drop),
        kept: &["a"],
        next: Next::Any,
        happened: |lab| has_volume(lab, "twin"),
    },
    Operation {
        command: "volume clone",
        name: "a volume without snapshots to a new one",
        prepare: |_| {},
        run: |engine, mode| engine.clone_volume(&restoration("db", "twin"), mode).map(drop),
        kept: &[],
        next: Next::Any,
        happened: |lab| has_volume(lab, "twin"),
    },
    Operation {
        command: "repair",
        name: "the end of a clone",
        prepare: |lab| {
            snap(lab, "a");
            lab.engine().clone_volume(&restoration("db", "twin"), MODE).unwrap();
            lab.kernel.hydrate(&DmName::new("vg--0-twin").unwrap(), 1000).unwrap();
        },
        run: |engine, mode| engine.repair(&vg(), mode).map(drop),
        kept: &["a"],
        next: Next::Any,
        happened: |lab| !crate::lab::has(lab, "twin_source"),
    },
    Operation {
        command: "volume remove",
        name: "removing a clone that is being filled",
        prepare: |lab| drop(lab.engine().clone_volume(&restoration("db", "twin"), MODE).unwrap()),
        run: |engine, mode| engine.remove_volumes(&vg(), &[lv("twin")], false, mode).map(drop),
        kept: &[],
        next: Next::Any,
        happened: |lab| !has_volume(lab, "twin"),
    },
    Operation {
        command: "repair",
        name: "the end of a fill",
        prepare: full,
        run: |engine, mode| engine.repair(&vg(), mode).map(drop),
        kept: &["a"],
        next: Next::Any,
        happened: |lab| !lab.is_filling("copy"),
    },
    Operation {
        command: "volume remove",
        name: "removing a volume that is being filled",
        prepare: filling,
        run: |engine, mode| engine.remove_volumes(&vg(), &[lv("copy")], false, mode).map(drop),
        kept: &["a"],
        next: Next::Any,
        happened: |lab| !has_volume(lab, "copy"),
    },
    Operation {
        command: "volume remove",
        name: "removing a volume with its snapshot and what is filled from that",
        prepare: |lab| {
            lab.engine().create_volume(&volume("back", 4), MODE).unwrap();
            lab.engine().create_snapshots(&crate::lab::cut(&[("back", "old")]), MODE).unwrap();
            restore(lab, "old", "older");
        },
        run: |engine, mode| engine.remove_volumes(&vg(), &[lv("older"), lv("back")], true, mode).map(drop),
        kept: &[],
        next: Next::Any,
        happened: |lab| !has_volume(lab, "back"),
    },
    Operation {
        command: "activate",
        name: "activating a volume that is being filled",
        prepare: |lab| {
            idle(lab);
            restore(lab, "i", "other");
        },
        run: |engine, mode| engine.activate(&vg(), &[lv("other")], mode).map(drop),
        kept: &[],
        next: Next::Repair,
        happened: |lab| lab.is_filling("other"),
    },
];

/// A volume that is being filled from a snapshot of `db`.
fn filling(lab: &Lab) {
    snap(lab, "a");
    restore(lab, "a", "copy");
    lab.kernel.hydrate(&DmName::new("vg--0-copy").unwrap(), 20).unwrap();
}

/// One that the kernel has filled.
fn full(lab: &Lab) {
    filling(lab);
    lab.kernel.hydrate(&DmName::new("vg--0-copy").unwrap(), 1000).unwrap();
}
