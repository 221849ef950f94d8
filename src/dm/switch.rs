//! A switch made of single calls, for kernels that are not asked by prepared ioctls: the simulated one, and one
//! whose steps are counted.

use std::collections::BTreeMap;
use std::time::Instant;

use super::{DmName, Freeze, Kernel, Slot, SwitchReport, SwitchStep, Table, UdevFlags};
use crate::block::DevNo;
use crate::error::Result;

/// A device that a step suspended and no later step has resumed.
struct Frozen {
    name: DmName,
    since: Instant,
    /// Where its time stands in the report.
    place: usize,
}

/// The live tables from before the switch, for the devices that it suspends.
type Before = BTreeMap<DmName, (Table<DevNo>, bool)>;

/// Runs the steps one by one; see [`Kernel::switch`] for what happens if one fails.
pub fn run(kernel: &dyn Kernel, steps: &[SwitchStep]) -> Result<SwitchReport> {
    let before = tables(kernel, steps)?;
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

fn tables(kernel: &dyn Kernel, steps: &[SwitchStep]) -> Result<Before> {
    let mut before = Before::new();
    for step in steps {
        if let SwitchStep::Suspend(name, _) = step {
            let read_only = kernel.info(name)?.is_some_and(|info| info.read_only);
            before.insert(name.clone(), (kernel.table(name, Slot::Live)?, read_only));
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
    let is_failed = |name: &DmName| matches!(failed, SwitchStep::Resume(failed, _) if failed == name);
    let resume = |name: &DmName| drop(kernel.resume(name, UdevFlags::unchanged()));
    // All of them before the first resume: an inactive target may be waiting for another's exceptions.
    for device in frozen.iter().filter(|device| !is_failed(&device.name)) {
        let _ = kernel.clear(&device.name);
    }
    let swapped = frozen.iter().find(|device| is_failed(&device.name)).map(|device| &device.name);
    let put_back = |name: &DmName, (table, read_only): &(Table<DevNo>, bool)| {
        let _ = kernel.load(name, table, *read_only);
        resume(name);
    };
    let old = swapped.and_then(|name| Some((name, before.get(name)?))).filter(|(_, old)| !old.0.is_empty());
    // Linux 6.1: a resume that failed has swapped its table in, and while that is there it may keep a source from being
    // resumed. So the old one is put back first, unless loading it reads a store below.
    let reads_store = old.is_some_and(|(_, old)| old.0.reads_store());
    if let Some((name, old)) = old.filter(|_| !reads_store) {
        put_back(name, old);
    }
    frozen.iter().rev().filter(|device| !is_failed(&device.name)).for_each(|device| resume(&device.name));
    if let Some((name, old)) = old.filter(|_| reads_store) {
        put_back(name, old);
    }
}
