//! The one way in which a switch runs, runs back when a step fails, and is ended for a process that could not; how a step is fired
//! is the caller's.
//!
//! Everything that a switch needs is made before its first step: between the first suspend and the last resume there is no
//! allocation, no log and no file.

use std::time::{Duration, Instant};

use nix::errno::Errno;

use super::{
    DmName, Kernel, Slot, Status, SwitchReport, SwitchStep, Switches, Table, Target, UdevFlags, Witness,
    no_such_device, written,
};
use crate::block::DevNo;
use crate::error::{Error, Result};
use crate::units::Sectors;

/// A device that a switch suspends, as it was before.
#[derive(Debug, Clone)]
pub struct Before {
    /// Its name.
    pub name: DmName,
    /// Its live table.
    pub table: Table<DevNo>,
    /// True if it refused writes.
    pub read_only: bool,
    /// True if it has an inactive table, which a resume swaps in even if it then fails (Linux 6.1).
    pub swaps: bool,
    /// True if that one is a merge: once it has begun nothing leads back.
    pub merges: bool,
}

/// Why a step was not taken.
pub enum Refusal {
    /// The kernel's answer. Words for it are found when nothing is suspended any more.
    Errno(Errno),
    /// The same, or a witness's answer, in words.
    Error(Error),
    /// The watchdog has taken the switch over.
    Taken,
}

/// What became of a call.
pub type Done = std::result::Result<(), Refusal>;

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

/// Fires the steps of one switch. `step` counts its steps, `device` the devices that it suspends, in order.
pub trait Calls {
    /// Fires a step.
    fn fire(&mut self, step: usize) -> Done;
    /// Empties a device's inactive slot.
    fn clear(&mut self, device: usize, before: &Before) -> Done;
    /// Loads the table that a device had before; one that had none is left with what it has.
    fn load_back(&mut self, device: usize, before: &Before) -> Done;
    /// Resumes a device, of which nothing changed.
    fn resume(&mut self, device: usize, before: &Before) -> Done;
}

/// How far a switch came that its process could not end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reached {
    /// The step that was to be fired, and perhaps was.
    pub step: usize,
    /// True if that step failed and the switch was on its way back.
    pub back: bool,
}

/// The course of one switch.
pub struct Course<'a> {
    steps: &'a [SwitchStep],
    /// The devices that it suspends, in order.
    before: Vec<Before>,
    /// Which of them each step acts on; none of them for a device that only begins.
    devices: Vec<Option<usize>>,
    /// Since when each of them is suspended.
    since: Vec<Option<Instant>>,
    /// True for those that it has resumed.
    resumed: Vec<bool>,
    frozen: Vec<Duration>,
}

impl<'a> Course<'a> {
    /// The switch of these steps, with its devices as they are.
    pub fn new<K: Kernel + ?Sized>(kernel: &K, steps: &'a [SwitchStep]) -> Result<Self> {
        let suspends = steps.iter().filter(|step| matches!(step, SwitchStep::Suspend(..)));
        let before = suspends.map(|step| {
            let name = step.device().clone();
            let table = kernel.table(&name, Slot::Live)?;
            let info = kernel.info(&name)?.ok_or_else(|| no_such_device(&name))?;
            let next = if info.inactive { kernel.table(&name, Slot::Inactive)? } else { Table(Vec::new()) };
            let merges = next.0.iter().any(|line| matches!(line.target, Target::Merge { .. }));
            Ok(Before { name, table, read_only: info.read_only, swaps: info.inactive, merges })
        });
        Ok(Self::with(steps, before.collect::<Result<_>>()?))
    }

    /// The switch of these steps, with its devices as they were.
    pub fn with(steps: &'a [SwitchStep], before: Vec<Before>) -> Self {
        let device = |step: &SwitchStep| before.iter().position(|device| device.name == *step.device());
        Self {
            steps,
            devices: steps.iter().map(device).collect(),
            since: vec![None; before.len()],
            resumed: vec![false; before.len()],
            frozen: vec![Duration::ZERO; before.len()],
            before,
        }
    }

    /// Its steps.
    pub fn steps(&self) -> &'a [SwitchStep] {
        self.steps
    }

    /// The devices that it suspends.
    pub fn before(&self) -> &[Before] {
        &self.before
    }

    /// Runs it; see [`Kernel::switch`] for what happens if a step fails. Answers the step that failed, and why.
    pub fn run(&mut self, calls: &mut dyn Calls) -> std::result::Result<(), (usize, Refusal)> {
        self.run_from(0, calls)
    }

    fn run_from(&mut self, first: usize, calls: &mut dyn Calls) -> std::result::Result<(), (usize, Refusal)> {
        for number in first..self.steps.len() {
            let began = Instant::now();
            let fired = calls.fire(number);
            let fired = if self.has_begun_to_merge(number, &fired, calls) { Ok(()) } else { fired };
            match fired {
                Ok(()) => self.note(number, began),
                // Whoever has taken it over ends it.
                Err(Refusal::Taken) => return Err((number, Refusal::Taken)),
                Err(refusal) => {
                    let failed = self.resumed_by(number);
                    // A suspend may suspend even where it fails; to resume what is not suspended and has no table in wait does nothing.
                    if failed.is_none() {
                        self.note(number, began);
                    }
                    self.run_back(failed, calls);
                    return Err((number, refusal));
                }
            }
        }
        Ok(())
    }

    /// Notes a step that is done.
    fn note(&mut self, step: usize, began: Instant) {
        let Some(device) = self.devices.get(step).copied().flatten() else { return };
        let Some(since) = self.since.get_mut(device) else { return };
        match self.steps.get(step) {
            Some(SwitchStep::Suspend(..)) => {
                *since = Some(began);
                return;
            }
            Some(SwitchStep::Resume(..)) => {}
            Some(SwitchStep::Expect(..)) | None => return,
        }
        if let Some(frozen) = self.frozen.get_mut(device) {
            *frozen = since.take().map_or(Duration::ZERO, |since| since.elapsed());
        }
        if let Some(resumed) = self.resumed.get_mut(device) {
            *resumed = true;
        }
    }

    /// True if a merge has begun whose resume is said to have failed: to resume it once more does nothing then, and fails again if it has
    /// not begun.
    fn has_begun_to_merge(&self, step: usize, fired: &Done, calls: &mut dyn Calls) -> bool {
        let merges = self.resumed_by(step).and_then(|device| self.before.get(device));
        let has_failed = matches!(fired, Err(refusal) if !matches!(refusal, Refusal::Taken));
        has_failed && merges.is_some_and(|before| before.merges) && calls.fire(step).is_ok()
    }

    /// The device that a step resumes, if the switch suspends it.
    fn resumed_by(&self, step: usize) -> Option<usize> {
        let is_resume = matches!(self.steps.get(step), Some(SwitchStep::Resume(..)));
        self.devices.get(step).copied().flatten().filter(|_| is_resume)
    }

    /// Resumes what is suspended with its old table. The first error is the one that counts; what fails here as well is left to
    /// the next run, which finds the device suspended. `failed` is the device whose resume failed.
    fn run_back(&self, failed: Option<usize>, calls: &mut dyn Calls) {
        let swapped = failed.filter(|device| self.before.get(*device).is_some_and(|before| before.swaps));
        let others = self.before.iter().enumerate().filter(|(device, _)| Some(*device) != swapped);
        // All of them before the first resume: an inactive target may be waiting for another's exceptions. Whoever resumes a device
        // that was never suspended would make its table live as well.
        for (device, before) in others.clone().filter(|(device, _)| self.resumed.get(*device) == Some(&false))
        {
            let _ = calls.clear(device, before);
        }
        // While the table that was swapped in is there it may keep a source from being resumed. So the old one is put back
        // first, unless loading it reads a store below.
        self.put_back(swapped, false, calls);
        for (device, before) in others.rev().filter(|(device, _)| self.is_suspended(*device)) {
            let _ = calls.resume(device, before);
        }
        self.put_back(swapped, true, calls);
    }

    fn put_back(&self, swapped: Option<usize>, reads_store: bool, calls: &mut dyn Calls) {
        let before = swapped.and_then(|device| Some((device, self.before.get(device)?)));
        if let Some((device, before)) = before.filter(|(_, before)| before.table.reads_store() == reads_store)
        {
            // A clone may run again by now, and one loaded beside it would know only what was filled then: whichever of the two tables is
            // live goes on.
            let _ = match before.table.reads_map() {
                true => calls.clear(device, before),
                false => calls.load_back(device, before),
            };
            let _ = calls.resume(device, before);
        }
    }

    fn is_suspended(&self, device: usize) -> bool {
        self.since.get(device).is_some_and(Option::is_some)
    }

    /// Ends the switch of a process that could not, so that nothing stays suspended; may be done again.
    ///
    /// Before the first resume nothing has changed: it goes back. From the first resume on a snapshot may have begun, which an
    /// origin with its old table would not serve: it goes on. One that was on its way back stays on it.
    pub fn rescue(&mut self, reached: Reached, calls: &mut dyn Calls) {
        let now = Instant::now();
        self.forget();
        for step in 0..reached.step {
            self.note(step, now);
        }
        let first_resume = self.steps.iter().position(|step| matches!(step, SwitchStep::Resume(..)));
        if !reached.back && first_resume.is_some_and(|first| reached.step >= first) {
            let _ = self.run_from(reached.step, calls);
            return;
        }
        // A suspend may have been fired.
        let failed = self.resumed_by(reached.step);
        if failed.is_none() {
            self.note(reached.step, now);
        }
        self.run_back(failed, calls);
    }

    /// Goes every way that there is, with calls that do nothing: what is touched on it is in memory afterwards.
    pub fn rehearse(&mut self, calls: &mut dyn Calls) {
        let _ = self.run(calls);
        self.rescue(Reached { step: 0, back: false }, calls);
        self.rescue(Reached { step: self.steps.len().saturating_sub(1), back: false }, calls);
        let last = self.before.len().checked_sub(1);
        self.run_back(last, calls);
        self.forget();
    }

    fn forget(&mut self) {
        self.since.fill(None);
        self.resumed.fill(false);
        self.frozen.fill(Duration::ZERO);
    }

    /// How long each device was suspended.
    pub fn report(&self) -> SwitchReport {
        let names = self.before.iter().map(|device| device.name.clone());
        SwitchReport { frozen: names.zip(self.frozen.iter().copied()).collect() }
    }
}

/// Fires each step as a single call, for kernels that have nothing to prepare.
pub struct Single<'a, K: ?Sized> {
    /// Asked one call at a time.
    pub kernel: &'a K,
    /// The switch's.
    pub steps: &'a [SwitchStep],
    /// Who looks on.
    pub witness: &'a dyn Witness,
}

fn expect<K: Kernel + ?Sized>(kernel: &K, snapshot: &DmName, wanted: Sectors) -> Result<()> {
    match kernel.status(snapshot)?.first() {
        Some(Status::Store { used, merging: false, .. }) if *used == wanted => Ok(()),
        _ => Err(written(snapshot)),
    }
}

/// Runs the steps as single calls of `kernel`.
pub fn run_singly<K: Kernel + ?Sized>(
    kernel: &K,
    steps: &[SwitchStep],
    witness: &dyn Witness,
) -> Result<SwitchReport> {
    in_words(Course::new(kernel, steps)?, &mut Single { kernel, steps, witness })
}

/// Runs a switch whose calls have words for what they refuse.
pub fn in_words(mut course: Course<'_>, calls: &mut dyn Calls) -> Result<SwitchReport> {
    match course.run(calls) {
        Ok(()) => Ok(course.report()),
        Err((_, Refusal::Error(error))) => Err(error),
        Err((_, Refusal::Errno(errno))) => Err(Error::io("the kernel did not switch", errno)),
        Err((_, Refusal::Taken)) => Err(Error::io("the kernel did not switch", Errno::EINTR)),
    }
}

/// Switches of a kernel that has nothing to make ready for them.
pub struct Singly<'a, K: ?Sized> {
    /// Runs each by itself.
    pub kernel: &'a K,
    /// Their steps.
    pub all: Vec<&'a [SwitchStep]>,
    /// Who looks on.
    pub witness: &'a dyn Witness,
}

impl<K: Kernel + ?Sized> Switches for Singly<'_, K> {
    fn run(&mut self, number: usize) -> Result<SwitchReport> {
        self.kernel.switch_before(self.all.get(number).copied().unwrap_or_default(), self.witness)
    }
}

impl<K: Kernel + ?Sized> Single<'_, K> {
    fn seen(&self, call: impl FnOnce(&K, &[SwitchStep]) -> Result<()>) -> Done {
        self.witness.before()?;
        call(self.kernel, self.steps)?;
        Ok(self.witness.done()?)
    }
}

impl<K: Kernel + ?Sized> Calls for Single<'_, K> {
    fn fire(&mut self, step: usize) -> Done {
        self.seen(|kernel, steps| match steps.get(step) {
            Some(SwitchStep::Suspend(name, freeze)) => kernel.suspend(name, *freeze),
            Some(SwitchStep::Expect(name, used)) => expect(kernel, name, *used),
            Some(SwitchStep::Resume(name, udev)) => kernel.resume(name, *udev),
            None => Ok(()),
        })
    }

    fn clear(&mut self, _: usize, before: &Before) -> Done {
        self.seen(|kernel, _| kernel.clear(&before.name))
    }

    fn load_back(&mut self, _: usize, before: &Before) -> Done {
        if before.table.is_empty() {
            return Ok(());
        }
        self.seen(|kernel, _| kernel.load(&before.name, &before.table, before.read_only))
    }

    fn resume(&mut self, _: usize, before: &Before) -> Done {
        self.seen(|kernel, _| kernel.resume(&before.name, UdevFlags::unchanged()))
    }
}

#[cfg(test)]
mod tests;
