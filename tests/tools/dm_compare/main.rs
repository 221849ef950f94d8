//! The simulated kernel against the real one: `dm_compare DISK PLANS [SEED]`, run as root in a guest.
//!
//! A plan is a random list of changes to a few devices: tables loaded, cleared, swapped in, devices suspended, removed, written to. Each runs on
//! both kernels; after each change answers, devices, tables and statuses must be the same, and at the end the content of every
//! device and of the disks, byte for byte, also after everything was taken down and built again. What would wait for a suspended
//! device according to the simulated kernel is not tried on the real one. A plan that tells them apart is shortened and printed.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use pair::{Counts, Pair};
use plan::{Change, Random};

mod pair;
mod plan;
mod side;

/// In so many plans there is some of everything.
const ENOUGH: u64 = 40;

fn tried(disk: &Path, plan: &[Change], all: &mut Counts) -> std::result::Result<(), String> {
    let mut pair = Pair::new(disk).map_err(|error| format!("{error} {:?}", error.chain()))?;
    let done = pair.run(plan);
    let seen = &pair.counts;
    all.made += seen.made;
    all.skipped += seen.skipped;
    all.refused += seen.refused;
    all.merging += seen.merging;
    all.invalid += seen.invalid;
    all.grown += seen.grown;
    all.held += seen.held;
    pair.real.sweep();
    done
}

/// Leaves out what does not matter.
fn shortened(disk: &Path, mut plan: Vec<Change>) -> Vec<Change> {
    let mut at = 0;
    while at < plan.len() {
        let mut shorter = plan.clone();
        shorter.remove(at);
        if tried(disk, &shorter, &mut Counts::default()).is_err() { plan = shorter } else { at += 1 }
    }
    plan
}

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().collect();
    let (Some(disk), Some(plans)) =
        (words.get(1).map(PathBuf::from), words.get(2).and_then(|word| word.parse::<u64>().ok()))
    else {
        eprintln!("usage: dm_compare DISK PLANS [SEED]");
        return ExitCode::from(2);
    };
    let first: u64 = words.get(3).and_then(|word| word.parse().ok()).unwrap_or(1);
    let began = Instant::now();
    let mut counts = Counts::default();
    for seed in first..first + plans {
        let plan = Random(seed).plan();
        if std::env::var_os("DM_COMPARE_TRACE").is_some() {
            println!("plan {seed} after {:?}: {plan:?}", began.elapsed());
        }
        if tried(&disk, &plan, &mut counts).is_err() {
            let plan = shortened(&disk, plan);
            let why = tried(&disk, &plan, &mut Counts::default())
                .err()
                .unwrap_or_else(|| "not every time".to_owned());
            eprintln!("plan {seed} tells the kernels apart:");
            plan.iter().for_each(|change| eprintln!("  {change}"));
            eprintln!("{why}");
            return ExitCode::FAILURE;
        }
    }
    if plans >= ENOUGH
        && let Some(what) = counts.nothing_of()
    {
        eprintln!("{plans} plans, and in none of them {what}: what is compared is not what is meant to be");
        return ExitCode::FAILURE;
    }
    let Counts { made, skipped, refused, merging, invalid, grown, held } = counts;
    println!(
        "{plans} plans in {:?}: {made} changes on both kernels, {refused} refused by both, {skipped} not tried;",
        began.elapsed()
    );
    println!("after {merging} of them there was a merge, after {invalid} an invalid snapshot;");
    println!("{grown} loads of grown tables, {held} devices opened; no difference");
    ExitCode::SUCCESS
}
