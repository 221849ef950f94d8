//! A switch made of single calls, for kernels that are not asked by prepared ioctls: the simulated one, and one
//! whose steps are counted.

use std::collections::BTreeMap;
use std::time::Instant;

use super::{DmName, Freeze, Kernel, Slot, SwitchReport, SwitchStep, Table, UdevFlags, no_such_device};
use crate::block::DevNo;
use crate::error::Result;

/// A device that a step suspended and no later step has resumed.
struct Frozen {
    name: DmName,
    since: Instant,
    /// Where its time stands in the report.
    place: usize,
}

/// What a device was before the switch.
struct Past {
    table: Table<DevNo>,
    read_only: bool,
    /// It has an inactive table, which a resume swaps in even if it then fails.
    swaps: bool,
}

/// The devices that the switch suspends, as they were.
type Before = BTreeMap<DmName, Past>;

/// Runs the steps one by one; see [`Kernel::switch`] for what happens if one fails.
pub fn run(kernel: &dyn Kernel, steps: &[SwitchStep]) -> Result<SwitchReport> {
    let before = past(kernel, steps)?;
    let mut report = SwitchReport::default();
    let mut frozen = Vec::new();
    for step in steps {
        let done = match step {
            SwitchStep::Suspend(name, freeze) => suspend(kernel, name, *freeze, &mut frozen, &mut report),
            SwitchStep::Resume(name, udev) => {
                let done = kernel.resume(name, *udev);
                if done.is_ok() {
                    thaw(name, &mut frozen, &mut report);
                }
                done
            }
        };
        if let Err(error) = done {
            undo(kernel, &frozen, &before, step);
            return Err(error);
        }
    }
    Ok(report)
}

fn past(kernel: &dyn Kernel, steps: &[SwitchStep]) -> Result<Before> {
    let mut before = Before::new();
    for step in steps {
        if let SwitchStep::Suspend(name, _) = step {
            let info = kernel.info(name)?.ok_or_else(|| no_such_device(name))?;
            let table = kernel.table(name, Slot::Live)?;
            before.insert(name.clone(), Past { table, read_only: info.read_only, swaps: info.inactive });
        }
    }
    Ok(before)
}

fn suspend(
    kernel: &dyn Kernel,
    name: &DmName,
    freeze: Freeze,
    frozen: &mut Vec<Frozen>,
    report: &mut SwitchReport,
) -> Result<()> {
    let since = Instant::now();
    kernel.suspend(name, freeze)?;
    frozen.push(Frozen { name: name.clone(), since, place: report.frozen.len() });
    report.frozen.push((name.clone(), since.elapsed()));
    Ok(())
}

fn thaw(name: &DmName, frozen: &mut Vec<Frozen>, report: &mut SwitchReport) {
    frozen.retain(|device| {
        let thawed = device.name == *name;
        if let Some((_, time)) = report.frozen.get_mut(device.place)
            && thawed
        {
            *time = device.since.elapsed();
        }
        !thawed
    });
}

/// Resumes what is suspended with its old table. The first error is the one that counts; what fails here
/// as well is left to the next run, which finds the device suspended.
fn undo(kernel: &dyn Kernel, frozen: &[Frozen], before: &Before, failed: &SwitchStep) {
    let failed = match failed {
        SwitchStep::Resume(name, _) => Some(name),
        SwitchStep::Suspend(..) => None,
    };
    let old =
        |device: &Frozen| before.get(&device.name).filter(|past| past.swaps && failed == Some(&device.name));
    let resume = |name: &DmName| drop(kernel.resume(name, UdevFlags::unchanged()));
    let put_back = |name: &DmName, past: &Past| {
        if !past.table.is_empty() {
            let _ = kernel.load(name, &past.table, past.read_only);
        }
        resume(name);
    };
    // All of them before the first resume: an inactive target may be waiting for another's exceptions.
    for device in frozen.iter().filter(|device| old(device).is_none()) {
        let _ = kernel.clear(&device.name);
    }
    // Linux 6.1: a resume that failed has swapped its table in, and while that is there it may keep a source from being
    // resumed. So the old one is put back before anything else is resumed, unless loading it reads a store below.
    let swapped = || frozen.iter().filter_map(|device| Some((&device.name, old(device)?)));
    swapped().filter(|(_, past)| !past.table.reads_store()).for_each(|(name, past)| put_back(name, past));
    frozen.iter().rev().filter(|device| old(device).is_none()).for_each(|device| resume(&device.name));
    swapped().filter(|(_, past)| past.table.reads_store()).for_each(|(name, past)| put_back(name, past));
}
