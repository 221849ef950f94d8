//! Bringing volumes up and down, and putting them right.

use super::{Next, Operation};
use crate::disputes::{split, tagged};
use crate::lab::{Lab, MODE, cut, has, idle, lv, snap, striped, vg, volume};
use dmsnap::dm::{DmName, Freeze, Kernel};
use dmsnap::engine::Mode;
use dmsnap::engine::view::SnapshotState;

pub const ALL: &[Operation] = &[
    Operation {
        command: "deactivate",
        name: "deactivation",
        prepare: |lab| {
            snap(lab, "a");
            idle(lab);
            lab.engine().activate(&vg(), &[lv("idle")], MODE).unwrap();
        },
        run: |engine, mode| engine.deactivate(&vg(), &[lv("idle")], mode).map(drop),
        kept: &["a"],
        next: Next::Repair,
        happened: |lab| lab.kernel.info(&DmName::new("vg--0-idle").unwrap()).unwrap().is_none(),
    },
    Operation {
        command: "activate",
        name: "activation",
        prepare: |lab| {
            snap(lab, "a");
            idle(lab);
        },
        run: |engine, mode| engine.activate(&vg(), &[lv("idle")], mode).map(drop),
        kept: &["a"],
        next: Next::Repair,
        happened: |lab| lab.kernel.info(&DmName::new("vg--0-idle").unwrap()).unwrap().is_some(),
    },
    Operation {
        command: "activate",
        name: "activation of a whole group",
        prepare: |lab| {
            snap(lab, "a");
            idle(lab);
            striped(lab, "wide");
            lab.engine().deactivate(&vg(), &[lv("wide")], MODE).unwrap();
        },
        run: |engine, mode| engine.activate(&vg(), &[], mode).map(drop),
        kept: &["a"],
        next: Next::Repair,
        happened: |lab| lab.kernel.info(&DmName::new("vg--0-idle").unwrap()).unwrap().is_some(),
    },
    Operation {
        command: "activate",
        name: "activation that nobody asked for",
        prepare: |lab| {
            snap(lab, "a");
            idle(lab);
        },
        run: |engine, mode| engine.activate_by_itself(&vg(), mode).map(drop),
        kept: &["a"],
        next: Next::Repair,
        happened: |lab| lab.kernel.info(&DmName::new("vg--0-idle").unwrap()).unwrap().is_some(),
    },
    Operation {
        command: "repair",
        name: "a repair of what a dead process left",
        prepare: |lab| {
            snap(lab, "a");
            leave_pending(lab);
        },
        run: |engine, mode| engine.repair(&vg(), mode).map(drop),
        kept: &["a"],
        next: Next::Any,
        happened: |lab| !has(lab, "s"),
    },
    Operation {
        command: "repair",
        name: "a repair of what somebody suspended",
        prepare: |lab| {
            snap(lab, "a");
            lab.kernel.suspend(&DmName::new("vg--0-a").unwrap(), Freeze::Io).unwrap();
            lab.kernel.suspend(&DmName::new("vg--0-a-cow").unwrap(), Freeze::Io).unwrap();
        },
        run: |engine, mode| engine.repair(&vg(), mode).map(drop),
        kept: &["a"],
        next: Next::Repair,
        happened: |lab| lab.kernel.unsettled().is_empty(),
    },
    Operation {
        command: "repair",
        name: "the version of one device for the whole group",
        prepare: |lab| {
            snap(lab, "a");
            split(lab, tagged("one"), tagged("two"));
        },
        run: |engine, mode| engine.settle(&vg(), "/dev/sda".as_ref(), mode).map(drop),
        kept: &["a"],
        next: Next::Itself,
        happened: |lab| {
            lab.engine().create_volume(&volume("proof", 1), Mode { dry_run: true, ..MODE }).is_ok()
        },
    },
];

/// A process dies as late in the making of `s` as it can without having made it.
fn leave_pending(lab: &Lab) {
    let is_pending = |lab: &Lab| lab.snapshots().iter().any(|one| one.state == SnapshotState::Pending);
    let dies =
        |lab: &Lab, last| lab.mortal_engine(last).create_snapshots(&cut(&[("db", "s")]), MODE).is_err();
    let dead = (1..).map_while(|last| {
        let tried = lab.fork();
        dies(&tried, last).then(|| is_pending(&tried).then_some(last))
    });
    let last = dead.flatten().last().unwrap();
    dies(lab, last);
}
