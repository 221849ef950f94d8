//! Making, growing, renaming and removing volumes.

use super::{Next, Operation};
use crate::lab::{Lab, MODE, cut, growth, has, has_volume, idle, lv, size, snap, striped, vg, volume};
use dmsnap::dm::DmName;
use dmsnap::engine::resize::Growth;
use dmsnap::engine::volume::NewVolume;
use dmsnap::lvm::Policy;
use dmsnap::units::Bytes;

pub const ALL: &[Operation] = &[
    Operation {
        command: "volume create",
        name: "a volume",
        prepare: |_| {},
        run: |engine, mode| engine.create_volume(&volume("new", 4), mode).map(drop),
        kept: &[],
        next: Next::Any,
        happened: |lab| has_volume(lab, "new"),
    },
    Operation {
        command: "volume create",
        name: "a striped volume with a tag and a policy",
        prepare: |lab| snap(lab, "a"),
        run: |engine, mode| {
            let tags = vec!["mine".parse()?];
            let new = NewVolume { stripes: 2, tags, policy: Some(Policy::Contiguous), ..volume("new", 4) };
            engine.create_volume(&new, mode).map(drop)
        },
        kept: &["a"],
        next: Next::Any,
        happened: |lab| has_volume(lab, "new"),
    },
    Operation {
        command: "volume create",
        name: "a volume in pieces",
        prepare: |lab| ['1', '2'].iter().for_each(|name| leave_a_hole(lab, *name)),
        run: |engine, mode| {
            engine
                .create_volume(&NewVolume { on: vec!["/dev/sda".into()], ..volume("new", 110) }, mode)
                .map(drop)
        },
        kept: &[],
        next: Next::Any,
        happened: |lab| has_volume(lab, "new"),
    },
    Operation {
        command: "volume extend",
        name: "growth under a snapshot",
        prepare: |lab| snap(lab, "a"),
        run: |engine, mode| engine.extend_volume(&growth("+4M"), mode).map(drop),
        kept: &["a"],
        next: Next::Any,
        happened: |lab| size(lab, "db") == Bytes::mib(12),
    },
    Operation {
        command: "volume extend",
        name: "growth without a snapshot",
        prepare: |_| {},
        run: |engine, mode| engine.extend_volume(&growth("+4M"), mode).map(drop),
        kept: &[],
        next: Next::Any,
        happened: |lab| size(lab, "db") == Bytes::mib(12),
    },
    Operation {
        command: "volume extend",
        name: "growth onto another device",
        prepare: |lab| snap(lab, "a"),
        run: |engine, mode| {
            let growth = Growth { on: vec!["/dev/sdb".into()], ..growth("12M") };
            engine.extend_volume(&growth, mode).map(drop)
        },
        kept: &["a"],
        next: Next::Any,
        happened: |lab| size(lab, "db") == Bytes::mib(12),
    },
    Operation {
        command: "volume extend",
        name: "growth of an inactive volume",
        prepare: |lab| idle(lab),
        run: |engine, mode| {
            engine.extend_volume(&Growth { name: lv("idle"), ..growth("8M") }, mode).map(drop)
        },
        kept: &[],
        next: Next::Any,
        happened: |lab| size(lab, "idle") == Bytes::mib(8),
    },
    Operation {
        command: "volume extend",
        name: "growth of a striped volume",
        prepare: |lab| striped(lab, "wide"),
        run: |engine, mode| {
            engine.extend_volume(&Growth { name: lv("wide"), ..growth("8M") }, mode).map(drop)
        },
        kept: &[],
        next: Next::Any,
        happened: |lab| size(lab, "wide") == Bytes::mib(8),
    },
    Operation {
        command: "volume extend",
        name: "growth with the file system",
        prepare: |lab| {
            snap(lab, "a");
            lab.devices.mount(&DmName::new("vg--0-db").unwrap(), "/mnt/db");
        },
        run: |engine, mode| {
            engine.extend_volume(&Growth { resize_fs: true, ..growth("12M") }, mode).map(drop)
        },
        kept: &["a"],
        next: Next::Any,
        happened: |lab| lab.devices.file_system(&DmName::new("vg--0-db").unwrap()) == Some(Bytes::mib(12)),
    },
    Operation {
        command: "volume rename",
        name: "renaming a volume with a snapshot",
        prepare: |lab| {
            lab.engine().create_volume(&volume("old", 4), MODE).unwrap();
            lab.engine().create_snapshots(&cut(&[("old", "o1")]), MODE).unwrap();
        },
        run: |engine, mode| engine.rename_volume(&vg(), &lv("old"), &lv("young"), mode).map(drop),
        kept: &[],
        next: Next::Any,
        happened: |lab| has_volume(lab, "young"),
    },
    Operation {
        command: "volume rename",
        name: "renaming a volume in use",
        prepare: |_| {},
        run: |engine, mode| engine.rename_volume(&vg(), &lv("db"), &lv("young"), mode).map(drop),
        kept: &[],
        next: Next::Any,
        happened: |lab| has_volume(lab, "young"),
    },
    Operation {
        command: "volume rename",
        name: "renaming a snapshot",
        prepare: |lab| {
            snap(lab, "a");
            snap(lab, "b");
        },
        run: |engine, mode| engine.rename_volume(&vg(), &lv("b"), &lv("young"), mode).map(drop),
        kept: &["a"],
        next: Next::Any,
        happened: |lab| has(lab, "young"),
    },
    Operation {
        command: "volume rename",
        name: "renaming an inactive volume",
        prepare: |lab| idle(lab),
        run: |engine, mode| engine.rename_volume(&vg(), &lv("idle"), &lv("young"), mode).map(drop),
        kept: &[],
        next: Next::Any,
        happened: |lab| has_volume(lab, "young"),
    },
    Operation {
        command: "volume remove",
        name: "removing a volume",
        prepare: |lab| drop(lab.engine().create_volume(&volume("old", 4), MODE).unwrap()),
        run: |engine, mode| engine.remove_volumes(&vg(), &[lv("old")], false, mode).map(drop),
        kept: &[],
        next: Next::Any,
        happened: |lab| !has_volume(lab, "old"),
    },
    Operation {
        command: "volume remove",
        name: "removing a volume with its snapshots",
        prepare: |lab| {
            lab.engine().create_volume(&volume("old", 4), MODE).unwrap();
            lab.engine().create_snapshots(&cut(&[("old", "o1"), ("old", "o2")]), MODE).unwrap();
        },
        run: |engine, mode| engine.remove_volumes(&vg(), &[lv("old")], true, mode).map(drop),
        kept: &[],
        next: Next::Any,
        happened: |lab| {
            assert_eq!(has_volume(lab, "old"), has(lab, "o1"), "half a removal");
            !has_volume(lab, "old")
        },
    },
    Operation {
        command: "volume remove",
        name: "removing two volumes",
        prepare: |lab| {
            snap(lab, "a");
            striped(lab, "wide");
            lab.engine().create_volume(&volume("old", 4), MODE).unwrap();
        },
        run: |engine, mode| engine.remove_volumes(&vg(), &[lv("old"), lv("wide")], false, mode).map(drop),
        kept: &["a"],
        next: Next::Any,
        happened: |lab| !has_volume(lab, "old") && !has_volume(lab, "wide"),
    },
    Operation {
        command: "volume remove",
        name: "removing an inactive volume with its snapshot",
        prepare: |lab| idle(lab),
        run: |engine, mode| engine.remove_volumes(&vg(), &[lv("idle")], true, mode).map(drop),
        kept: &[],
        next: Next::Any,
        happened: |lab| !has_volume(lab, "idle"),
    },
];

/// Free extents between two volumes of the first disk.
fn leave_a_hole(lab: &Lab, name: char) {
    let on = |name: String, mib| NewVolume { on: vec!["/dev/sda".into()], ..volume(&name, mib) };
    lab.engine().create_volume(&on(format!("hole{name}"), 2), MODE).unwrap();
    lab.engine().create_volume(&on(format!("kept{name}"), 1), MODE).unwrap();
    lab.engine().remove_volumes(&vg(), &[lv(&format!("hole{name}"))], false, MODE).unwrap();
}
