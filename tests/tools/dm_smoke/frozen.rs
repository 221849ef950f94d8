//! Switches in which an allocation or a log is the end, in the process itself and in its watchdog: those that go well, those that are
//! refused at a call, and those that the watchdog takes over.

use std::time::Duration;

use dmsnap::dm::control::Control;
use dmsnap::dm::nodes::Nodes;
use dmsnap::dm::{Freeze, Kernel, Slot, SwitchReport, SwitchStep, Target, UdevFlags};
use dmsnap::error::{Kind, Result};

use super::lab::{HIDDEN, Lab, VISIBLE, equal, name, refused};
use super::strict::{At, Frozen};

const BUDGET: Duration = Duration::from_millis(300);
const TOO_LONG: Duration = Duration::from_millis(1500);

pub fn frozen(lab: &Lab) -> Result<()> {
    // What has run once is in memory: so first what is counted.
    in_peace(lab)?;
    lab.sweep();
    let cases = [
        (At::Refused(1), "refused", "linear"),
        (At::Refused(2), "refused", "linear"),
        // Nothing has changed before the first resume: back. Behind it the snapshot has begun: on.
        (At::Late(2, TOO_LONG), "freeze_budget", "linear"),
        (At::Late(3, TOO_LONG), "freeze_budget", "snapshot-origin"),
        (At::Late(4, TOO_LONG), "freeze_budget", "snapshot-origin"),
    ];
    for (at, words, kind) in cases {
        cut(lab, at, words, kind)?;
        lab.sweep();
    }
    handed_over_wrongly(lab)
}

fn run(steps: &[SwitchStep], frozen: &Frozen) -> Result<SwitchReport> {
    Control::new(Nodes::default()).freezing_for(BUDGET).switch_before(steps, frozen)
}

/// `org` over `real`, and a first snapshot `s` of it in wait.
pub fn prepare(lab: &Lab) -> Result<[SwitchStep; 4]> {
    lab.linear("real", 0)?;
    lab.linear("cow", 1)?;
    lab.create("org")?;
    lab.load("org", lab.place(0))?;
    lab.kernel.resume(&name("org"), VISIBLE)?;
    lab.create("s")?;
    lab.load("s", lab.snapshot()?)?;
    lab.load("org", Target::Origin { device: lab.number("real")? })?;
    Ok([
        SwitchStep::Suspend(name("org"), Freeze::FileSystem),
        SwitchStep::Resume(name("s"), UdevFlags::snapshot()),
        SwitchStep::Resume(name("org"), VISIBLE),
        SwitchStep::Resume(name("real"), HIDDEN),
    ])
}

fn kind_of(lab: &Lab, device: &str) -> Result<String> {
    let table = lab.table(device, Slot::Live)?;
    Ok(table.0.first().map(|line| line.target.kind().to_owned()).unwrap_or_default())
}

pub fn at_rest(lab: &Lab, kind: &str) -> Result<()> {
    equal("org", &lab.state("org")?, &(false, true, false, 0))?;
    equal("its table", &kind_of(lab, "org")?, &kind.to_owned())?;
    lab.put("org", 1, 1)
}

fn cut(lab: &Lab, at: At, words: &str, kind: &str) -> Result<()> {
    let steps = prepare(lab)?;
    let frozen = Frozen::new(at);
    let switched = run(&steps, &frozen);
    drop(frozen);
    refused("the switch", switched, Kind::Internal, words)?;
    at_rest(lab, kind)
}

fn in_peace(lab: &Lab) -> Result<()> {
    let steps = prepare(lab)?;
    let frozen = Frozen::new(At::Never);
    let switched = run(&steps, &frozen);
    let faults = frozen.faults();
    drop(frozen);
    println!("  frozen: {:?}", switched?.frozen);
    equal("page faults meanwhile", &faults, &0)?;
    at_rest(lab, "snapshot-origin")
}

/// The watchdog goes on with a switch whose next resume the kernel refuses: the source of the hand-over is not suspended. A resume that
/// fails has swapped its table in; the good one comes back.
fn handed_over_wrongly(lab: &Lab) -> Result<()> {
    lab.with_snapshot()?;
    lab.load("org", lab.merge()?)?;
    let steps = [
        SwitchStep::Suspend(name("org"), Freeze::FileSystem),
        SwitchStep::Resume(name("real"), HIDDEN),
        SwitchStep::Resume(name("org"), VISIBLE),
    ];
    let frozen = Frozen::new(At::Late(3, TOO_LONG));
    let switched = run(&steps, &frozen);
    drop(frozen);
    refused("the switch", switched, Kind::Internal, "freeze_budget")?;
    at_rest(lab, "snapshot-origin")?;
    lab.put("org", 5, 7)?;
    equal("origin and snapshot", &[lab.at("org", 5)?, lab.at("s", 5)?], &[7, 0])
}
