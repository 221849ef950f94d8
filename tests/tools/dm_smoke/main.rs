//! The device-mapper room on a real kernel: `dm_smoke DISK SCENARIO...`, run as root in a guest.
//!
//! A scenario builds devices on the disk, checks what the kernel makes of them, and leaves none behind. It ends at the
//! first thing that is not as it should be.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use dmsnap::dm::Kernel;
use dmsnap::error::Result;

use lab::{Lab, expect};

mod frozen;
mod lab;
mod orphaned;
mod paths;
mod round;
mod snapshots;
mod strict;
mod tables;
mod transfers;

#[global_allocator]
static ALLOCATOR: strict::Strict = strict::Strict;

type Scenario = fn(&Lab) -> Result<()>;

fn main() -> ExitCode {
    let mut words = std::env::args().skip(1);
    let Some(disk) = words.next().map(PathBuf::from) else {
        eprintln!("usage: dm_smoke DISK SCENARIO...");
        return ExitCode::from(2);
    };
    let all = scenarios();
    for word in words {
        let Some(scenario) = all.get(word.as_str()) else {
            eprintln!("there is no scenario {word}; there are {:?}", all.keys());
            return ExitCode::from(2);
        };
        let began = Instant::now();
        if let Err(error) = Lab::new(&disk).and_then(|lab| run(&lab, *scenario)) {
            eprintln!("{word}: {error} {:?}", error.chain());
            return ExitCode::FAILURE;
        }
        println!("{word}: as promised, in {:?}", began.elapsed());
    }
    ExitCode::SUCCESS
}

fn scenarios() -> BTreeMap<&'static str, Scenario> {
    let table: [(&str, Scenario); 16] = [
        ("names", tables::names),
        ("tables", tables::tables),
        ("snapshot", snapshots::snapshot),
        ("merge", snapshots::merge),
        ("failed-switch", snapshots::failed_switch),
        ("failed-resume", snapshots::failed_resume),
        ("busy", tables::busy),
        ("nodes", paths::nodes),
        ("links", paths::links),
        ("many", tables::many),
        ("no-control", paths::no_control),
        ("frozen", frozen::frozen),
        ("round", round::round),
        ("doomed", orphaned::doomed),
        ("orphaned", orphaned::orphaned),
        ("transfers", transfers::transfers),
    ];
    table.into_iter().collect()
}

fn run(lab: &Lab, scenario: Scenario) -> Result<()> {
    let done = scenario(lab);
    lab.sweep();
    done?;
    expect(lab.kernel.list()?.is_empty(), || "devices are left".to_owned())
}
