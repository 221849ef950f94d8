//! The one way in which a switch runs, and runs back when a step fails; how a step is fired is the caller's.
//!
//! Everything that a switch needs is made before its first step: between the first suspend and the last resume there is no
//! allocation, no log and no file.

use std::time::{Duration, Instant};

use super::{DmName, Kernel, Slot, SwitchReport, SwitchStep, Table, UdevFlags, no_such_device};
use crate::block::DevNo;
use crate::error::Result;

/// A device that a switch suspends, as it was before.
pub struct Before {
    /// Its name.
    pub name: DmName,
    /// Its live table.
    pub table: Table<DevNo>,
    /// True if it refused writes.
    pub read_only: bool,
    /// True if it has an inactive table, which a resume swaps in even if it then fails (Linux 6.1).
    pub swaps: bool,
}

impl Before {
    /// Loads the table from before; a device that had none is left with what it has.
    pub fn load_back(&self, kernel: &dyn Kernel) -> Result<()> {
        if self.table.is_empty() { Ok(()) } else { kernel.load(&self.name, &self.table, self.read_only) }
    }
}

/// Fires the steps of one switch. `step` counts its steps, `device` the devices that it suspends, in order.
pub trait Calls {
    /// Fires a step.
    fn fire(&mut self, step: usize) -> Result<()>;
    /// Empties a device's inactive slot.
    fn clear(&mut self, device: usize) -> Result<()>;
    /// Loads the table that a device had before.
    fn load_back(&mut self, device: usize) -> Result<()>;
    /// Resumes a device, of which nothing changed.
    fn resume(&mut self, device: usize) -> Result<()>;
}

/// The devices that these steps suspend, as they are.
pub fn before(kernel: &dyn Kernel, steps: &[SwitchStep]) -> Result<Vec<Before>> {
    let suspends = steps.iter().filter(|step| matches!(step, SwitchStep::Suspend(..)));
    let before = suspends.map(|step| {
        let name = step.device().clone();
        let table = kernel.table(&name, Slot::Live)?;
        let info = kernel.info(&name)?.ok_or_else(|| no_such_device(&name))?;
        Ok(Before { name, table, read_only: info.read_only, swaps: info.inactive })
    });
    before.collect()
}

/// Runs the steps; see [`Kernel::switch`] for what happens if one fails.
pub fn run(steps: &[SwitchStep], before: &[Before], calls: &mut dyn Calls) -> Result<SwitchReport> {
    let mut frozen: Vec<_> = before.iter().map(|device| (device.name.clone(), Duration::ZERO)).collect();
    let mut since = vec![None; before.len()];
    for (number, step) in steps.iter().enumerate() {
        let began = Instant::now();
        let device = before.iter().position(|device| device.name == *step.device());
        if let Err(error) = calls.fire(number) {
            let swapped = |device: &usize| before.get(*device).is_some_and(|before| before.swaps);
            let failed = device.filter(|_| matches!(step, SwitchStep::Resume(..))).filter(swapped);
            run_back(before, &since, failed, calls);
            return Err(error);
        }
        let Some(device) = device else { continue };
        let (Some(since), Some((_, time))) = (since.get_mut(device), frozen.get_mut(device)) else {
            continue;
        };
        match step {
            SwitchStep::Suspend(..) => *since = Some(began),
            SwitchStep::Resume(..) => *time = since.take().map_or(Duration::ZERO, |since| since.elapsed()),
        }
    }
    Ok(SwitchReport { frozen })
}

/// Resumes what is suspended with its old table. The first error is the one that counts; what fails here as well is left to
/// the next run, which finds the device suspended.
fn run_back(before: &[Before], since: &[Option<Instant>], swapped: Option<usize>, calls: &mut dyn Calls) {
    let suspended = || (0..before.len()).filter(|device| since.get(*device).is_some_and(Option::is_some));
    let others = || suspended().filter(|device| Some(*device) != swapped);
    // All of them before the first resume: an inactive target may be waiting for another's exceptions.
    for device in others() {
        let _ = calls.clear(device);
    }
    // While the table that was swapped in is there it may keep a source from being resumed. So the old one is put back
    // first, unless loading it reads a store below.
    let old = swapped.and_then(|device| Some((device, &before.get(device)?.table)));
    let put_back = |calls: &mut dyn Calls, wanted: bool| {
        if let Some((device, _)) = old.filter(|(_, table)| table.reads_store() == wanted) {
            let _ = calls.load_back(device);
            let _ = calls.resume(device);
        }
    };
    put_back(calls, false);
    for device in others().collect::<Vec<_>>().into_iter().rev() {
        let _ = calls.resume(device);
    }
    put_back(calls, true);
}

/// Fires each step as a single call, for kernels that have nothing to prepare.
struct Single<'a> {
    kernel: &'a dyn Kernel,
    steps: &'a [SwitchStep],
    before: &'a [Before],
}

/// Runs the steps as single calls of `kernel`.
pub fn run_singly(kernel: &dyn Kernel, steps: &[SwitchStep]) -> Result<SwitchReport> {
    let before = before(kernel, steps)?;
    run(steps, &before, &mut Single { kernel, steps, before: &before })
}

impl Single<'_> {
    fn with(&self, device: usize, act: impl Fn(&dyn Kernel, &Before) -> Result<()>) -> Result<()> {
        self.before.get(device).map_or(Ok(()), |before| act(self.kernel, before))
    }
}

impl Calls for Single<'_> {
    fn fire(&mut self, step: usize) -> Result<()> {
        match self.steps.get(step) {
            Some(SwitchStep::Suspend(name, freeze)) => self.kernel.suspend(name, *freeze),
            Some(SwitchStep::Resume(name, udev)) => self.kernel.resume(name, *udev),
            None => Ok(()),
        }
    }

    fn clear(&mut self, device: usize) -> Result<()> {
        self.with(device, |kernel, before| kernel.clear(&before.name))
    }

    fn load_back(&mut self, device: usize) -> Result<()> {
        self.with(device, |kernel, before| before.load_back(kernel))
    }

    fn resume(&mut self, device: usize) -> Result<()> {
        self.with(device, |kernel, before| kernel.resume(&before.name, UdevFlags::unchanged()))
    }
}
