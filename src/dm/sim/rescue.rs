//! What the watchdog of a dead process does, for the simulated kernel, which has none of its own: whoever knows that the process is
//! dead asks for it.

use super::SimKernel;
use crate::dm::switch::{Before, Calls, Course, Done, Reached, Single, in_words};
use crate::dm::{SwitchReport, SwitchStep, Witness};
use crate::error::Result;

/// A switch that began, and what its watchdog would know of it.
#[derive(Debug, Clone)]
pub struct Begun {
    steps: Vec<SwitchStep>,
    before: Vec<Before>,
    /// The step that was to be fired last.
    step: usize,
    /// How many calls were made on its way back.
    back: usize,
}

/// Runs a switch, and notes how far it comes.
pub fn noted(kernel: &SimKernel, steps: &[SwitchStep], witness: &dyn Witness) -> Result<SwitchReport> {
    let course = Course::new(kernel, steps)?;
    let mut begun = Some(Begun { steps: steps.to_vec(), before: course.before().to_vec(), step: 0, back: 0 });
    // A process that died in another switch does not get to this one: that shows when a call is made.
    if kernel.state().switch.is_none() {
        kernel.state().switch = begun.take();
    }
    let report = in_words(course, &mut Noted { kernel, single: Single { kernel, steps, witness }, begun })?;
    kernel.state().switch = None;
    Ok(report)
}

impl SimKernel {
    /// How far a process that died in a switch may have said that it came: it says so before it acts. Nothing if it died elsewhere.
    pub fn reached(&self) -> Vec<Reached> {
        let state = self.state();
        let Some(Begun { step, back, .. }) = &state.switch else { return Vec::new() };
        let returns = Reached { step: *step, back: true };
        if *back > 0 {
            return vec![returns];
        }
        // It may have said nothing of the step that it did not take, or that it goes back without having taken that way.
        let last = step.checked_sub(1).map(|step| Reached { step, back: false });
        [Reached { step: *step, back: false }, returns].into_iter().chain(last).collect()
    }

    /// How many calls the switch's process made on its way back.
    pub fn taken_back(&self) -> usize {
        self.state().switch.as_ref().map_or(0, |switch| switch.back)
    }

    /// Ends the switch of a process that died in it when it had come so far.
    pub fn rescue(&self, reached: Reached) {
        let Some(Begun { steps, before, .. }) = self.state().switch.take() else { return };
        let mut single = Single { kernel: self, steps: &steps, witness: &() };
        Course::with(&steps, before).rescue(reached, &mut single);
    }
}

struct Noted<'a> {
    kernel: &'a SimKernel,
    single: Single<'a, SimKernel>,
    /// What is noted from the first call on.
    begun: Option<Begun>,
}

impl Noted<'_> {
    fn note(&self, what: impl FnOnce(&mut Begun)) {
        if let Some(begun) = &mut self.kernel.state().switch {
            what(begun);
        }
    }

    /// The calls of a dead process are refused, and were not made.
    fn back(&self, done: Done) -> Done {
        if done.is_ok() {
            self.note(|begun| begun.back += 1);
        }
        done
    }
}

impl Calls for Noted<'_> {
    fn fire(&mut self, step: usize) -> Done {
        if self.begun.is_none() {
            self.note(|begun| begun.step = step);
        }
        let done = self.single.fire(step);
        if done.is_ok()
            && let Some(begun) = self.begun.take()
        {
            self.kernel.state().switch = Some(begun);
        }
        done
    }

    fn clear(&mut self, device: usize, before: &Before) -> Done {
        let done = self.single.clear(device, before);
        self.back(done)
    }

    fn load_back(&mut self, device: usize, before: &Before) -> Done {
        let done = self.single.load_back(device, before);
        self.back(done)
    }

    fn resume(&mut self, device: usize, before: &Before) -> Done {
        let done = self.single.resume(device, before);
        self.back(done)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::block::mem::MemDevices;
    use crate::dm::{DmName, DmUuid, Freeze, Kernel, Table, Target, UdevFlags};
    use crate::error::{Error, Kind};
    use crate::units::Sectors;

    /// A process whose calls from this one on do not happen.
    struct Mortal(std::sync::atomic::AtomicI32);

    impl Witness for Mortal {
        fn before(&self) -> Result<()> {
            let left = self.0.fetch_sub(1, std::sync::atomic::Ordering::SeqCst);
            if left > 0 { Ok(()) } else { Err(Error::new(Kind::Internal, "dead")) }
        }
    }

    #[test]
    fn a_switch_whose_process_died_is_ended_from_wherever_it_may_have_said_it_was() {
        let name = DmName::new("a").unwrap();
        let steps =
            [SwitchStep::Suspend(name.clone(), Freeze::Io), SwitchStep::Resume(name, UdevFlags::hidden())];
        let said = |step, back| Reached { step, back };
        for (calls, all) in [
            (0, vec![said(0, false), said(0, true)]),
            (1, vec![said(1, false), said(1, true), said(0, false)]),
        ] {
            for reached in &all {
                let kernel = SimKernel::new(&MemDevices::new());
                let name = steps[0].device();
                kernel.create(name, &DmUuid::new("a").unwrap()).unwrap();
                kernel.load(name, &Table::single(Sectors(8), Target::Zero), false).unwrap();
                kernel.resume(name, UdevFlags::hidden()).unwrap();
                kernel.switch_before(&steps, &Mortal(calls.into())).unwrap_err();
                assert_eq!(kernel.unsettled().len(), usize::from(calls > 0));
                assert_eq!(kernel.reached(), all);
                kernel.rescue(*reached);
                assert!(kernel.unsettled().is_empty() && kernel.reached().is_empty());
                kernel.switch(&steps).unwrap();
                assert!(kernel.reached().is_empty(), "a switch that went well needs no rescue");
            }
        }
    }
}
