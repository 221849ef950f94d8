//! Rolling back to snapshots, and the end of the merges that do it.

use super::{Next, Operation};
use crate::lab::{Lab, MODE, cut, growth, has, has_volume, idle, lv, snap, vg, volume};
use dmsnap::dm::{DmName, Kernel};
use dmsnap::engine::list::Select;
use dmsnap::engine::rollback::Rollback;
use dmsnap::engine::snapshot::NewSnapshots;
use dmsnap::units::{Bytes, Size};

pub const ALL: &[Operation] = &[
    Operation {
        command: "snapshot rollback",
        name: "a rollback to the last snapshot",
        prepare: |lab| changed(lab, "s"),
        run: |engine, mode| engine.merge_snapshot(&back("s"), mode).map(drop),
        kept: &[],
        next: Next::Any,
        happened: |lab| is_merging(lab, "s"),
    },
    Operation {
        command: "snapshot rollback",
        name: "a rollback beside another snapshot, which keeps the state before",
        prepare: |lab| {
            snap(lab, "a");
            changed(lab, "s");
        },
        run: |engine, mode| {
            let rollback = Rollback { undo: Some(lv("u")), ..back("s") };
            engine.merge_snapshot(&rollback, mode).map(drop)
        },
        kept: &["a"],
        next: Next::Any,
        happened: |lab| {
            assert_eq!(is_merging(lab, "s"), has(lab, "u"), "half a rollback");
            is_merging(lab, "s")
        },
    },
    Operation {
        command: "snapshot rollback",
        name: "a rollback beside a snapshot whose store is too small for it",
        prepare: crowded,
        run: |engine, mode| engine.merge_snapshot(&back("s"), mode).map(drop),
        kept: &["small"],
        next: Next::Any,
        happened: |lab| is_merging(lab, "s"),
    },
    Operation {
        command: "snapshot rollback",
        name: "a rollback under a program that copes",
        prepare: |lab| {
            snap(lab, "a");
            changed(lab, "s");
            lab.kernel.hold(&DmName::new("vg--0-db").unwrap());
        },
        run: |engine, mode| engine.merge_snapshot(&Rollback { force: true, ..back("s") }, mode).map(drop),
        kept: &["a"],
        next: Next::Any,
        happened: |lab| is_merging(lab, "s"),
    },
    Operation {
        command: "snapshot rollback",
        name: "a rollback of an inactive volume",
        prepare: idle,
        run: |engine, mode| {
            let rollback = Rollback { undo: Some(lv("u")), ..back("i") };
            engine.merge_snapshot(&rollback, mode).map(drop)
        },
        kept: &[],
        next: Next::Any,
        happened: |lab| is_merging(lab, "i"),
    },
    Operation {
        command: "repair",
        name: "the end of a merge",
        prepare: |lab| {
            changed(lab, "s");
            merged(lab);
        },
        run: |engine, mode| engine.repair(&vg(), mode).map(drop),
        kept: &[],
        next: Next::Any,
        happened: |lab| !has(lab, "s"),
    },
    Operation {
        command: "repair",
        name: "the end of a merge beside another snapshot",
        prepare: |lab| {
            crowded(lab);
            merged(lab);
        },
        run: |engine, mode| engine.repair(&vg(), mode).map(drop),
        kept: &["small"],
        next: Next::Any,
        happened: |lab| !has(lab, "s"),
    },
];

pub const KEEPING: &[Operation] = &[
    Operation {
        command: "snapshot rollback",
        name: "a rollback to a snapshot that stays",
        prepare: |lab| changed(lab, "s"),
        run: |engine, mode| engine.roll_back(&back("s"), mode).map(drop),
        kept: &["s"],
        next: Next::Any,
        happened: |lab| is_rolled_back(lab, "db", "s"),
    },
    Operation {
        command: "snapshot rollback",
        name: "a rollback to the older of two snapshots that stay, which keeps the state before",
        prepare: |lab| {
            changed(lab, "s");
            snap(lab, "a");
        },
        run: |engine, mode| {
            let rollback = Rollback { undo: Some(lv("u")), ..back("s") };
            engine.roll_back(&rollback, mode).map(drop)
        },
        kept: &["a", "s"],
        next: Next::Any,
        happened: |lab| {
            assert_eq!(is_rolled_back(lab, "db", "s"), has(lab, "u"), "half a rollback");
            has(lab, "u")
        },
    },
    Operation {
        command: "snapshot rollback",
        name: "a rollback to a snapshot that stays beside one whose store is too small for it",
        prepare: crowded,
        run: |engine, mode| engine.roll_back(&back("s"), mode).map(drop),
        kept: &["small", "s"],
        next: Next::Any,
        happened: |lab| is_rolled_back(lab, "db", "s"),
    },
    Operation {
        command: "snapshot rollback",
        name: "a rollback to a snapshot that stays, of a volume that has grown, under a program that copes",
        prepare: |lab| {
            changed(lab, "s");
            lab.engine().extend_volume(&growth("12M"), MODE).unwrap();
            lab.kernel.hold(&DmName::new("vg--0-db").unwrap());
        },
        run: |engine, mode| engine.roll_back(&Rollback { force: true, ..back("s") }, mode).map(drop),
        kept: &["s"],
        next: Next::Any,
        happened: |lab| is_rolled_back(lab, "db", "s"),
    },
    Operation {
        command: "snapshot rollback",
        name: "a rollback of an inactive volume to a snapshot that stays",
        prepare: idle,
        run: |engine, mode| {
            let rollback = Rollback { undo: Some(lv("u")), ..back("i") };
            engine.roll_back(&rollback, mode).map(drop)
        },
        kept: &[],
        next: Next::Any,
        happened: |lab| is_rolled_back(lab, "idle", "i"),
    },
    Operation {
        command: "activate",
        name: "a rollback to a snapshot that stays, done while the volume was down and begun by its activation",
        prepare: |lab| {
            idle(lab);
            lab.engine().roll_back(&back("i"), MODE).unwrap();
        },
        run: |engine, mode| engine.activate(&vg(), &[lv("idle")], mode).map(drop),
        kept: &[],
        next: Next::Repair,
        happened: |lab| lab.kernel.info(&DmName::new("vg--0-idle").unwrap()).unwrap().is_some(),
    },
    Operation {
        command: "repair",
        name: "the end of filling back",
        prepare: |lab| {
            changed(lab, "s");
            lab.engine().roll_back(&back("s"), MODE).unwrap();
            lab.kernel.hydrate(&DmName::new("vg--0-db_fill-clone").unwrap(), usize::MAX).unwrap();
        },
        run: |engine, mode| engine.repair(&vg(), mode).map(drop),
        kept: &["s"],
        next: Next::Any,
        happened: |lab| !is_rolled_back(lab, "db", "s"),
    },
    Operation {
        command: "snapshot remove",
        name: "removing another snapshot of a volume that is being rolled back",
        prepare: |lab| {
            changed(lab, "s");
            snap(lab, "other");
            lab.engine().roll_back(&back("s"), MODE).unwrap();
        },
        run: |engine, mode| engine.remove_snapshots(&vg(), &[lv("other")], mode).map(drop),
        kept: &["s"],
        next: Next::Any,
        happened: |lab| !has(lab, "other"),
    },
    Operation {
        command: "volume remove",
        name: "removing a volume that is being rolled back",
        prepare: |lab| {
            lab.engine().create_volume(&volume("back", 4), MODE).unwrap();
            lab.engine().create_snapshots(&cut(&[("back", "old")]), MODE).unwrap();
            lab.write("vg--0-back", 0, 7);
            lab.engine().roll_back(&back("old"), MODE).unwrap();
        },
        run: |engine, mode| engine.remove_volumes(&vg(), &[lv("back")], true, mode).map(drop),
        kept: &[],
        next: Next::Any,
        happened: |lab| !has_volume(lab, "back"),
    },
];

fn is_rolled_back(lab: &Lab, volume: &str, snapshot: &str) -> bool {
    let volumes = lab.engine().volumes(&Select::default()).unwrap();
    let mut found = volumes.iter().filter(|one| one.name == volume);
    found.any(|volume| volume.filled_from.as_deref() == Some(snapshot))
}

/// A rollback of whatever this is a snapshot of.
pub fn back(snapshot: &str) -> Rollback {
    Rollback { vg: vg(), snapshot: lv(snapshot), undo: None, force: false }
}

fn is_merging(lab: &Lab, name: &str) -> bool {
    lab.snapshots().iter().any(|snapshot| snapshot.name == name && snapshot.merging)
}

/// A snapshot that differs from `db`, where no user writes.
fn changed(lab: &Lab, name: &str) {
    snap(lab, name);
    lab.write("vg--0-db", 64 << 10, 7);
}

/// Much was written to `db` since `s`, and then a small snapshot was taken.
fn crowded(lab: &Lab) {
    changed(lab, "s");
    for place in 0..30 {
        lab.write("vg--0-db", place * (192 << 10) + (64 << 10), 7);
    }
    let small = NewSnapshots { size: Some(Size::Absolute(Bytes::mib(1))), ..cut(&[("db", "small")]) };
    lab.engine().create_snapshots(&small, MODE).unwrap();
}

/// The kernel has merged all of `s`.
fn merged(lab: &Lab) {
    lab.engine().merge_snapshot(&back("s"), MODE).unwrap();
    lab.kernel.merge(&DmName::new("vg--0-db").unwrap(), usize::MAX).unwrap();
}
