//! Names, uuids, tables, and devices in use.

use std::time::{Duration, Instant};

use dmsnap::block::{Access, Devices};
use dmsnap::dm::{DmUuid, Freeze, Kernel, Slot, Table, Target};
use dmsnap::error::{Kind, Result};
use dmsnap::units::Sectors;

use super::lab::{HIDDEN, Lab, SIZE, equal, expect, name, refused};

pub fn names(lab: &Lab) -> Result<()> {
    let number = lab.create("a-b")?;
    equal("a new device", &lab.state("a-b")?, &(false, false, false, 0))?;
    let other = DmUuid::new("DMSNAPTEST-other")?;
    refused("its name again", lab.kernel.create(&name("a-b"), &other), Kind::AlreadyExists, "a-b")?;
    refused(
        "its uuid again",
        lab.create("c").and_then(|_| lab.kernel.create(&name("d"), &DmUuid::new("DMSNAPTEST-c")?)),
        Kind::AlreadyExists,
        "d",
    )?;
    let found = lab.kernel.find(&DmUuid::new("DMSNAPTEST-a-b")?)?.map(|info| (info.name, info.number));
    equal("found by its uuid", &found, &Some((name("a-b"), number)))?;
    equal("found by no uuid", &lab.kernel.find(&other)?, &None)?;
    refused(
        "a name that is taken",
        lab.kernel.rename(&name("a-b"), &name("c"), HIDDEN),
        Kind::AlreadyExists,
        "c",
    )?;
    let long = "x".repeat(127);
    lab.kernel.rename(&name("a-b"), &name(&long), HIDDEN)?;
    equal("renamed", &lab.number(&long)?, &number)?;
    equal("the old name", &lab.kernel.info(&name("a-b"))?, &None)?;
    let listed: Vec<_> = lab.kernel.list()?.into_iter().map(|info| info.name).collect();
    equal("listed by name", &listed, &vec![name("c"), name(&long)])?;
    refused("a device that is not there", lab.kernel.remove(&name("a-b"), HIDDEN), Kind::NotFound, "a-b")?;
    refused("to suspend it", lab.kernel.suspend(&name("a-b"), Freeze::Io), Kind::NotFound, "a-b")
}

pub fn tables(lab: &Lab) -> Result<()> {
    lab.create("v")?;
    lab.kernel.resume(&name("v"), HIDDEN)?;
    equal("resumed without a table", &lab.state("v")?, &(false, false, false, 0))?;
    let striped =
        Target::Striped { chunk: Sectors(128), stripes: vec![(lab.number, Sectors(0)), (lab.number, SIZE)] };
    for target in [lab.place(0), striped, Target::Zero, Target::Error] {
        lab.load("v", target.clone())?;
        let wanted = Table::single(SIZE, target);
        equal("inactive", &lab.table("v", Slot::Inactive)?, &wanted)?;
        lab.kernel.resume(&name("v"), HIDDEN)?;
        equal("live", &lab.table("v", Slot::Live)?, &wanted)?;
        equal("no longer inactive", &lab.table("v", Slot::Inactive)?, &Table::default())?;
    }
    lab.load("v", Target::Zero)?;
    lab.kernel.clear(&name("v"))?;
    equal("cleared", &lab.state("v")?, &(false, true, false, 0))?;
    lab.kernel.load(&name("v"), &Table::single(SIZE, Target::Zero), true)?;
    lab.kernel.resume(&name("v"), HIDDEN)?;
    expect(lab.kernel.info(&name("v"))?.is_some_and(|info| info.read_only), || "not read-only".to_owned())?;
    refused("a write to it", lab.put("v", 0, 1), Kind::Internal, "")?;
    let nonsense = Target::Other { kind: "nonsense".into(), params: String::new() };
    refused("an unknown target", lab.load("v", nonsense), Kind::Internal, "modprobe dm-nonsense")?;
    expect(!lab.kernel.supports("nonsense")?, || "nonsense is supported".to_owned())?;
    for kind in ["linear", "snapshot", "snapshot-origin", "snapshot-merge"] {
        expect(lab.kernel.supports(kind)?, || format!("{kind} is not supported"))?;
    }
    let far = Target::Linear { device: lab.number, offset: Sectors(1 << 40) };
    lab.load("v", far)?;
    refused("a table beyond the end", lab.kernel.resume(&name("v"), HIDDEN), Kind::Internal, "EINVAL")?;
    equal("then it stays suspended", &lab.state("v")?, &(true, true, false, 0))?;
    equal("with its old table", &lab.table("v", Slot::Live)?, &Table::single(SIZE, Target::Zero))?;
    lab.kernel.resume(&name("v"), HIDDEN)
}

pub fn busy(lab: &Lab) -> Result<()> {
    lab.with_snapshot()?;
    for text in ["real", "cow"] {
        let began = Instant::now();
        refused(text, lab.kernel.remove(&name(text), HIDDEN), Kind::InUse, text)?;
        expect(began.elapsed() < Duration::from_secs(3), || format!("{text}: {:?}", began.elapsed()))?;
    }
    let open = lab.devices.open(&lab.path("org")?, Access::Read)?;
    refused("an open device", lab.kernel.remove(&name("org"), HIDDEN), Kind::InUse, "org")?;
    drop(open);
    refused("a disk with devices on it", lab.devices.open(&lab.disk, Access::Exclusive), Kind::InUse, "")?;
    for text in ["s", "org", "cow", "real"] {
        lab.kernel.remove(&name(text), HIDDEN)?;
    }
    Ok(())
}

pub fn many(lab: &Lab) -> Result<()> {
    for index in 0..300 {
        let text = format!("many-{index:03}");
        lab.create(&text)?;
        lab.load(&text, Target::Zero)?;
        lab.kernel.resume(&name(&text), HIDDEN)?;
    }
    let began = Instant::now();
    equal("listed", &lab.kernel.list()?.len(), &300)?;
    println!("  300 listed in {:?}", began.elapsed());
    let line =
        |index: u64| dmsnap::dm::Line { start: Sectors(index * 8), length: Sectors(8), target: lab.place(0) };
    lab.create("long")?;
    let table = Table((0..1000).map(line).collect());
    lab.kernel.load(&name("long"), &table, false)?;
    equal("a table of 1000 lines", &lab.table("long", Slot::Inactive)?, &table)?;
    for info in lab.kernel.list()? {
        lab.kernel.remove(&info.name, HIDDEN)?;
    }
    Ok(())
}
