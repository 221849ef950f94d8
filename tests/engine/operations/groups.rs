//! Labels and volume groups.

use super::{Next, Operation};
use crate::judged::forge;
use crate::lab::{MODE, cut, lv, other, snap, vg, volume};
use dmsnap::engine::Mode;
use dmsnap::engine::setup::{Labelling, NewGroup};
use dmsnap::engine::snapshot::NewSnapshots;
use dmsnap::engine::volume::NewVolume;
use dmsnap::units::Bytes;

pub const ALL: &[Operation] = &[
    Operation {
        command: "pv create",
        name: "a label",
        prepare: |_| {},
        run: |engine, mode| engine.create_pvs(&["/dev/sdc".into()], Labelling::default(), mode).map(drop),
        kept: &[],
        next: Next::Any,
        happened: |lab| lab.engine().pvs().unwrap().len() == 3,
    },
    Operation {
        command: "pv create",
        name: "a label with two metadata areas over a signature",
        prepare: |lab| lab.disks.device("/dev/sdc").unwrap().poke(Bytes(1080), &[0x53, 0xef]),
        run: |engine, mode| {
            let labelling = Labelling { wipe: true, metadata_copies: Some(2), ..Labelling::default() };
            engine.create_pvs(&["/dev/sdc".into()], labelling, mode).map(drop)
        },
        kept: &[],
        next: Next::Any,
        happened: |lab| lab.engine().pvs().unwrap().len() == 3,
    },
    Operation {
        command: "pv remove",
        name: "the end of a label",
        prepare: |lab| {
            lab.engine().create_pvs(&["/dev/sdc".into()], Labelling::default(), MODE).unwrap();
        },
        run: |engine, mode| engine.remove_pvs(&["/dev/sdc".into()], false, mode).map(drop),
        kept: &[],
        next: Next::Any,
        happened: |lab| lab.engine().pvs().unwrap().len() == 2,
    },
    Operation {
        command: "pv remove",
        name: "the end of a label of a group that let go of it while it was away",
        prepare: |lab| {
            let bare = Labelling { metadata_copies: Some(0), ..Labelling::default() };
            lab.engine().extend_group(&vg(), &["/dev/sdc".into()], bare, MODE).unwrap();
            let disk = lab.disks.remove("/dev/sdc".as_ref()).unwrap();
            lab.engine().drop_missing(&vg(), MODE).unwrap();
            lab.disks.plug(disk);
        },
        run: |engine, mode| engine.remove_pvs(&["/dev/sdc".into()], true, mode).map(drop),
        kept: &[],
        next: Next::Any,
        happened: |lab| lab.engine().pvs().unwrap().len() == 2,
    },
    Operation {
        command: "vg create",
        name: "another group",
        prepare: |_| {},
        run: |engine, mode| engine.create_group(&other(), mode).map(drop),
        kept: &[],
        next: Next::Any,
        happened: |lab| lab.engine().vgs(None).unwrap().len() == 2,
    },
    Operation {
        command: "vg create",
        name: "a group of what is labelled",
        prepare: |lab| {
            lab.engine().create_pvs(&["/dev/sdc".into()], Labelling::default(), MODE).unwrap();
        },
        run: |engine, mode| engine.create_group(&other(), mode).map(drop),
        kept: &[],
        next: Next::Any,
        happened: |lab| lab.engine().vgs(None).unwrap().len() == 2,
    },
    Operation {
        command: "vg remove",
        name: "the end of a group",
        prepare: |lab| drop(lab.engine().create_group(&other(), MODE).unwrap()),
        run: |engine, mode| engine.remove_group(&other().name, mode).map(drop),
        kept: &[],
        next: Next::Repair,
        happened: |lab| lab.engine().vgs(None).unwrap().len() == 1,
    },
    Operation {
        command: "vg rename",
        name: "renaming the group",
        prepare: |lab| snap(lab, "a"),
        run: |engine, mode| engine.rename_group(&vg(), &"new".parse()?, mode).map(drop),
        kept: &["a"],
        next: Next::Any,
        happened: |lab| lab.group().as_str() == "new",
    },
    Operation {
        command: "vg rename",
        name: "renaming a group that is not active",
        prepare: |lab| {
            lab.engine().create_group(&other(), MODE).unwrap();
            let idle = NewVolume { vg: other().name, ..volume("idle", 4) };
            lab.engine().create_volume(&idle, MODE).unwrap();
            lab.engine().deactivate(&other().name, &[], MODE).unwrap();
        },
        run: |engine, mode| engine.rename_group(&other().name, &"other2".parse()?, mode).map(drop),
        kept: &[],
        next: Next::Any,
        happened: |lab| lab.engine().vgs(None).unwrap().iter().any(|vg| vg.name == "other2"),
    },
    Operation {
        command: "vg rename",
        name: "renaming one of two groups of one name",
        prepare: |lab| {
            let twin = NewGroup { name: "vg-1".parse().unwrap(), ..other() };
            lab.engine().create_group(&twin, MODE).unwrap();
            forge(lab, "/dev/sdc", "vg-1 {", "vg-0 {");
        },
        run: |engine, mode| {
            let twin = engine.vgs(None)?.into_iter().find(|vg| vg.pv_count == 1);
            let id = twin.map(|vg| vg.uuid).unwrap_or_default();
            engine.rename_group(&id.parse()?, &"other".parse()?, mode).map(drop)
        },
        kept: &[],
        next: Next::Itself,
        happened: |lab| lab.engine().vgs(None).unwrap().iter().any(|vg| vg.name == "other"),
    },
    Operation {
        command: "vg extend",
        name: "a device that joins",
        prepare: |lab| snap(lab, "a"),
        run: |engine, mode| {
            engine.extend_group(&vg(), &["/dev/sdc".into()], Labelling::default(), mode).map(drop)
        },
        kept: &["a"],
        next: Next::Any,
        happened: |lab| lab.engine().vgs(Some(&vg())).unwrap()[0].pv_count == 3,
    },
    Operation {
        command: "vg extend",
        name: "a labelled device that joins",
        prepare: |lab| {
            lab.engine().create_pvs(&["/dev/sdc".into()], Labelling::default(), MODE).unwrap();
        },
        run: |engine, mode| {
            engine.extend_group(&vg(), &["/dev/sdc".into()], Labelling::default(), mode).map(drop)
        },
        kept: &[],
        next: Next::Any,
        happened: |lab| lab.engine().vgs(Some(&vg())).unwrap()[0].pv_count == 3,
    },
    Operation {
        command: "vg extend",
        name: "a device that is taken in again",
        prepare: |lab| {
            let on = NewVolume { on: vec!["/dev/sdb".into()], ..volume("away", 4) };
            lab.engine().create_volume(&on, MODE).unwrap();
            lab.engine()
                .create_snapshots(&NewSnapshots { on: vec!["/dev/sda".into()], ..cut(&[("db", "x")]) }, MODE)
                .unwrap();
            lab.engine().deactivate(&vg(), &[lv("away")], MODE).unwrap();
            let disk = lab.disks.remove("/dev/sdb".as_ref()).unwrap();
            lab.engine().remove_snapshots(&vg(), &[lv("x")], MODE).unwrap();
            lab.disks.plug(disk);
        },
        run: |engine, mode| engine.restore_missing(&vg(), &["/dev/sdb".into()], mode).map(drop),
        kept: &[],
        next: Next::Itself,
        happened: |lab| {
            lab.engine().create_volume(&volume("proof", 1), Mode { dry_run: true, ..MODE }).is_ok()
        },
    },
    Operation {
        command: "vg reduce",
        name: "a device that leaves",
        prepare: |lab| {
            snap(lab, "a");
            lab.engine().extend_group(&vg(), &["/dev/sdc".into()], Labelling::default(), MODE).unwrap();
        },
        run: |engine, mode| engine.reduce_group(&vg(), &["/dev/sdc".into()], mode).map(drop),
        kept: &["a"],
        next: Next::Any,
        happened: |lab| lab.engine().vgs(Some(&vg())).unwrap()[0].pv_count == 2,
    },
    Operation {
        command: "vg reduce",
        name: "a missing device that leaves",
        prepare: |lab| {
            snap(lab, "a");
            lab.engine().extend_group(&vg(), &["/dev/sdc".into()], Labelling::default(), MODE).unwrap();
            lab.disks.remove("/dev/sdc".as_ref());
        },
        run: |engine, mode| engine.drop_missing(&vg(), mode).map(drop),
        kept: &["a"],
        next: Next::Itself,
        happened: |lab| lab.engine().vgs(Some(&vg())).unwrap()[0].pv_count == 2,
    },
];
