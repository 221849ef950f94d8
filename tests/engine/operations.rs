//! Every operation, as the tests of cuts run it.

use crate::lab::{Lab, MODE, cut, growth, has, has_volume, lv, other, snap, vg, volume};
use dmsnap::dm::{DmName, Kernel};
use dmsnap::engine::list::Select;
use dmsnap::engine::resize::Growth;
use dmsnap::engine::setup::Labelling;
use dmsnap::engine::{Engine, Mode};
use dmsnap::error::Result;
use dmsnap::units::Bytes;

/// An operation that can be cut, what there is before it, and what is there when it has happened.
pub struct Operation {
    pub name: &'static str,
    pub prepare: fn(&Lab),
    pub run: fn(&Engine, Mode) -> Result<()>,
    /// Snapshots that the origin keeps whatever happens; their content is checked.
    pub kept: &'static [&'static str],
    /// Whether the metadata says while it runs that it is not over.
    pub marks: bool,
    /// What makes the difference between before and after.
    pub happened: fn(&Lab) -> bool,
}

pub const OPERATIONS: &[Operation] = &[
    Operation {
        name: "the first snapshot",
        prepare: |_| {},
        run: |engine, mode| engine.create_snapshots(&cut(&[("db", "s")]), mode).map(drop),
        kept: &[],
        marks: true,
        happened: |lab| has(lab, "s"),
    },
    Operation {
        name: "a further snapshot",
        prepare: |lab| snap(lab, "a"),
        run: |engine, mode| engine.create_snapshots(&cut(&[("db", "s")]), mode).map(drop),
        kept: &["a"],
        marks: true,
        happened: |lab| has(lab, "s"),
    },
    Operation {
        name: "a group of snapshots",
        prepare: |lab| drop(lab.engine().create_volume(&volume("wal", 4), MODE).unwrap()),
        run: |engine, mode| engine.create_snapshots(&cut(&[("db", "s"), ("wal", "t")]), mode).map(drop),
        kept: &[],
        marks: true,
        happened: |lab| {
            assert_eq!(has(lab, "s"), has(lab, "t"), "half a group");
            has(lab, "s")
        },
    },
    Operation {
        name: "removing one of two",
        prepare: |lab| {
            snap(lab, "a");
            snap(lab, "b");
        },
        run: |engine, mode| engine.remove_snapshots(&vg(), &[lv("b")], mode).map(drop),
        kept: &["a"],
        marks: true,
        happened: |lab| !has(lab, "b"),
    },
    Operation {
        name: "removing the last",
        prepare: |lab| snap(lab, "a"),
        run: |engine, mode| engine.remove_snapshots(&vg(), &[lv("a")], mode).map(drop),
        kept: &[],
        marks: true,
        happened: |lab| !has(lab, "a"),
    },
    Operation {
        name: "a volume",
        prepare: |_| {},
        run: |engine, mode| engine.create_volume(&volume("new", 4), mode).map(drop),
        kept: &[],
        marks: true,
        happened: |lab| has_volume(lab, "new"),
    },
    Operation {
        name: "removing a volume with its snapshots",
        prepare: |lab| {
            lab.engine().create_volume(&volume("old", 4), MODE).unwrap();
            lab.engine().create_snapshots(&cut(&[("old", "o1"), ("old", "o2")]), MODE).unwrap();
        },
        run: |engine, mode| engine.remove_volumes(&vg(), &[lv("old")], true, mode).map(drop),
        kept: &[],
        marks: true,
        happened: |lab| {
            assert_eq!(has_volume(lab, "old"), has(lab, "o1"), "half a removal");
            !has_volume(lab, "old")
        },
    },
    Operation {
        name: "growth under a snapshot",
        prepare: |lab| snap(lab, "a"),
        run: |engine, mode| engine.extend_volume(&growth("+4M"), mode).map(drop),
        kept: &["a"],
        marks: true,
        happened: |lab| {
            lab.engine()
                .volumes(&Select::default())
                .unwrap()
                .iter()
                .any(|volume| volume.size_bytes == Bytes::mib(12))
        },
    },
    Operation {
        name: "growth with the file system",
        prepare: |lab| {
            snap(lab, "a");
            lab.devices.mount(&DmName::new("vg--0-db").unwrap(), "/mnt/db");
        },
        run: |engine, mode| {
            engine.extend_volume(&Growth { resize_fs: true, ..growth("12M") }, mode).map(drop)
        },
        kept: &["a"],
        marks: true,
        happened: |lab| lab.devices.file_system(&DmName::new("vg--0-db").unwrap()) == Some(Bytes::mib(12)),
    },
    Operation {
        name: "renaming a volume with a snapshot",
        prepare: |lab| {
            lab.engine().create_volume(&volume("old", 4), MODE).unwrap();
            lab.engine().create_snapshots(&cut(&[("old", "o1")]), MODE).unwrap();
        },
        run: |engine, mode| engine.rename_volume(&vg(), &lv("old"), &lv("young"), mode).map(drop),
        kept: &[],
        marks: true,
        happened: |lab| has_volume(lab, "young"),
    },
    Operation {
        name: "renaming the group",
        prepare: |lab| snap(lab, "a"),
        run: |engine, mode| engine.rename_group(&vg(), &"new".parse()?, mode).map(drop),
        kept: &["a"],
        marks: true,
        happened: |lab| lab.group().as_str() == "new",
    },
    Operation {
        name: "a device that joins",
        prepare: |lab| snap(lab, "a"),
        run: |engine, mode| {
            engine.extend_group(&vg(), &["/dev/sdc".into()], Labelling::default(), mode).map(drop)
        },
        kept: &["a"],
        marks: true,
        happened: |lab| lab.engine().vgs(Some(&vg())).unwrap()[0].pv_count == 3,
    },
    Operation {
        name: "a device that leaves",
        prepare: |lab| {
            snap(lab, "a");
            lab.engine().extend_group(&vg(), &["/dev/sdc".into()], Labelling::default(), MODE).unwrap();
        },
        run: |engine, mode| engine.reduce_group(&vg(), &["/dev/sdc".into()], mode).map(drop),
        kept: &["a"],
        marks: true,
        happened: |lab| lab.engine().vgs(Some(&vg())).unwrap()[0].pv_count == 2,
    },
    Operation {
        name: "a label",
        prepare: |_| {},
        run: |engine, mode| engine.create_pvs(&["/dev/sdc".into()], Labelling::default(), mode).map(drop),
        kept: &[],
        marks: true,
        happened: |lab| lab.engine().pvs().unwrap().len() == 3,
    },
    Operation {
        name: "another group",
        prepare: |_| {},
        run: |engine, mode| engine.create_group(&other(), mode).map(drop),
        kept: &[],
        marks: true,
        happened: |lab| lab.engine().vgs(None).unwrap().len() == 2,
    },
    Operation {
        name: "the end of a group",
        prepare: |lab| drop(lab.engine().create_group(&other(), MODE).unwrap()),
        run: |engine, mode| engine.remove_group(&other().name, mode).map(drop),
        kept: &[],
        marks: true,
        happened: |lab| lab.engine().vgs(None).unwrap().len() == 1,
    },
    Operation {
        name: "deactivation",
        prepare: |lab| {
            snap(lab, "a");
            lab.engine().create_volume(&volume("idle", 4), MODE).unwrap();
            lab.engine().create_snapshots(&cut(&[("idle", "i")]), MODE).unwrap();
        },
        run: |engine, mode| engine.deactivate(&vg(), &[lv("idle")], mode).map(drop),
        kept: &["a"],
        marks: false,
        happened: |lab| lab.kernel.info(&DmName::new("vg--0-idle").unwrap()).unwrap().is_none(),
    },
    Operation {
        name: "activation",
        prepare: |lab| {
            snap(lab, "a");
            lab.engine().create_volume(&volume("idle", 4), MODE).unwrap();
            lab.engine().create_snapshots(&cut(&[("idle", "i")]), MODE).unwrap();
            lab.engine().deactivate(&vg(), &[lv("idle")], MODE).unwrap();
        },
        run: |engine, mode| engine.activate(&vg(), &[lv("idle")], mode).map(drop),
        kept: &["a"],
        marks: false,
        happened: |lab| lab.kernel.info(&DmName::new("vg--0-idle").unwrap()).unwrap().is_some(),
    },
];
