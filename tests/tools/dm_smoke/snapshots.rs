//! Snapshots, merges, and switches that fail.

use std::time::{Duration, Instant};

use dmsnap::block::{Access, Devices};
use dmsnap::dm::{Freeze, Kernel, Slot, SwitchStep, Target};
use dmsnap::error::{Kind, Result};
use dmsnap::units::Sectors;

use super::lab::{CHUNK, HIDDEN, Lab, VISIBLE, equal, expect, name, refused};

pub fn snapshot(lab: &Lab) -> Result<()> {
    lab.with_snapshot()?;
    equal("its status", &lab.status("s")?, &"16/16384 16".to_owned())?;
    lab.put("org", 3, 7)?;
    lab.put("s", 4, 9)?;
    let content = [lab.at("org", 3)?, lab.at("s", 3)?, lab.at("org", 4)?, lab.at("s", 4)?];
    equal("origin and snapshot", &content, &[7, 0, 0, 9])?;
    equal("its status", &lab.status("s")?, &"32/16384 16".to_owned())?;
    lab.create("t")?;
    lab.linear("old", 2)?;
    lab.put("old", 0, 1)?;
    let (origin, cow) = (lab.number("real")?, lab.number("old")?);
    let target = Target::Snapshot { origin, cow, chunk: CHUNK };
    refused(
        "a store that was not zeroed",
        lab.load("t", target.clone()),
        Kind::Internal,
        "begin with zeroes",
    )?;
    lab.put("old", 0, 0)?;
    lab.load("t", target.clone())?;
    lab.load("t", target)?;
    println!("  loaded twice into the same slot");
    refused(
        "a chunk of 7",
        lab.load("t", Target::Snapshot { origin, cow, chunk: Sectors(7) }),
        Kind::Internal,
        "EINVAL",
    )
}

pub fn merge(lab: &Lab) -> Result<()> {
    lab.with_snapshot()?;
    lab.put("org", 3, 7)?;
    lab.put("s", 4, 9)?;
    lab.load("org", lab.merge()?)?;
    println!("  inactive: {}", lab.table("org", Slot::Inactive)?);
    lab.kernel.switch(&[
        SwitchStep::Suspend(name("org"), Freeze::FileSystem),
        SwitchStep::Suspend(name("s"), Freeze::Io),
        SwitchStep::Resume(name("org"), VISIBLE),
        SwitchStep::Resume(name("s"), HIDDEN),
    ])?;
    equal("the origin at once", &[lab.at("org", 3)?, lab.at("org", 4)?], &[0, 9])?;
    equal("the source", &lab.status("s")?, &"Invalid".to_owned())?;
    let until = Instant::now() + Duration::from_secs(10);
    while lab.status("org")? != "16/16384 16" {
        expect(Instant::now() < until, || "the merge does not end".to_owned())?;
        std::thread::sleep(Duration::from_millis(10));
    }
    equal("what is merged", &[lab.at("real", 3)?, lab.at("real", 4)?], &[0, 9])
}

/// The source is not suspended, so the merge cannot begin: all is as before.
pub fn failed_switch(lab: &Lab) -> Result<()> {
    lab.with_snapshot()?;
    lab.put("org", 3, 7)?;
    let before = (lab.table("org", Slot::Live)?, lab.status("s")?);
    lab.load("org", lab.merge()?)?;
    let steps =
        [SwitchStep::Suspend(name("org"), Freeze::FileSystem), SwitchStep::Resume(name("org"), VISIBLE)];
    refused("the switch", lab.kernel.switch(&steps), Kind::Internal, "EINVAL")?;
    equal("org", &lab.state("org")?, &(false, true, false, 0))?;
    equal("table and status", &(lab.table("org", Slot::Live)?, lab.status("s")?), &before)?;
    lab.put("org", 5, 7)?;
    equal("the snapshot", &[lab.at("s", 3)?, lab.at("s", 5)?], &[0, 0])?;
    // A source waits for its hand-over; what was suspended with it must not stay so.
    lab.load("org", lab.merge()?)?;
    let steps = [
        SwitchStep::Suspend(name("org"), Freeze::FileSystem),
        SwitchStep::Suspend(name("s"), Freeze::Io),
        SwitchStep::Resume(name("s"), VISIBLE),
    ];
    refused("the source first", lab.kernel.switch(&steps), Kind::Internal, "EINVAL")?;
    equal("org", &lab.state("org")?, &(false, true, false, 0))?;
    equal("s", &lab.state("s")?, &(false, true, false, 0))?;
    equal("the snapshot", &[lab.at("s", 3)?, lab.at("s", 5)?], &[0, 0])?;
    open_ones_do_not_change(lab)?;
    written_ones_do_not_change(lab)?;
    let missing =
        [SwitchStep::Suspend(name("org"), Freeze::Io), SwitchStep::Suspend(name("gone"), Freeze::Io)];
    refused("a device that is not there", lab.kernel.switch(&missing), Kind::NotFound, "gone")?;
    equal("org", &lab.state("org")?, &(false, true, false, 0))
}

/// Nobody who has a device open is to find other content in it: the merge does not begin.
fn open_ones_do_not_change(lab: &Lab) -> Result<()> {
    let steps = [
        SwitchStep::Suspend(name("org"), Freeze::Unopened),
        SwitchStep::Suspend(name("s"), Freeze::Unopened),
        SwitchStep::Resume(name("org"), VISIBLE),
    ];
    for text in ["org", "s"] {
        lab.load("org", lab.merge()?)?;
        let open = lab.devices.open(&lab.path(text)?, Access::Read)?;
        refused("a switch of what is open", lab.kernel.switch(&steps), Kind::InUse, text)?;
        equal("org", &lab.state("org")?, &(false, true, false, u32::from(text == "org")))?;
        equal("s", &lab.state("s")?, &(false, true, false, u32::from(text == "s")))?;
        drop(open);
    }
    equal("the snapshot", &[lab.at("s", 3)?, lab.at("s", 5)?], &[0, 0])
}

/// What was planned on what a store held is done only while it holds no more.
fn written_ones_do_not_change(lab: &Lab) -> Result<()> {
    let status = lab.status("s")?;
    let used: u64 = status.split('/').next().and_then(|word| word.parse().ok()).unwrap_or_default();
    let steps = |used| {
        [
            SwitchStep::Suspend(name("org"), Freeze::Io),
            SwitchStep::Expect(name("s"), Sectors(used)),
            SwitchStep::Resume(name("org"), VISIBLE),
        ]
    };
    lab.kernel.switch(&steps(used))?;
    lab.put("org", 9, 7)?;
    refused(
        "a switch of what was written to",
        lab.kernel.switch(&steps(used)),
        Kind::InUse,
        "written to meanwhile",
    )?;
    equal("org", &lab.state("org")?, &(false, true, false, 0))?;
    equal("the snapshot", &lab.at("s", 9)?, &0)
}

/// A single resume that fails has swapped its table in; loading the right one again is the way back.
pub fn failed_resume(lab: &Lab) -> Result<()> {
    lab.with_snapshot()?;
    lab.load("org", lab.merge()?)?;
    refused("the resume", lab.kernel.resume(&name("org"), VISIBLE), Kind::Internal, "EINVAL")?;
    equal("org", &lab.state("org")?, &(true, true, false, 0))?;
    let kind = lab.table("org", Slot::Live)?.0.first().map(|line| line.target.kind().to_owned());
    equal("its live table", &kind, &Some("snapshot-merge".to_owned()))?;
    lab.load("org", Target::Origin { device: lab.number("real")? })?;
    lab.kernel.resume(&name("org"), VISIBLE)?;
    lab.put("org", 1, 1)?;
    equal("the snapshot", &lab.at("s", 1)?, &0)
}
