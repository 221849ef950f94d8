//! Switches on the real kernel, under their watchdog.
//!
//! All that a switch needs is prepared, touched and locked in memory before its first suspend, in this process and in the watchdog. A process
//! that cannot have a watchdog does not begin: nothing is suspended then. One that may not lock memory goes on.

use std::fs::File;
use std::time::Duration;

use nix::errno::Errno;

use super::apart::Undisturbed;
use super::ioctl::Prepared;
use super::locked::Locked;
use super::quiet::Quiet;
use super::switch::{Before, Calls, Course, Done, Reached, Refusal};
use super::watchdog::{Charge, Watchdog};
use super::{SwitchReport, SwitchStep, Switches, UdevFlags, Witness};
use crate::error::{Error, Kind, Result};

/// Words for the error of a step.
type Refused = fn(Errno, &SwitchStep) -> Error;

/// How a switch ended that did not go well: at which step, and why.
type Ended = std::result::Result<(), (usize, Refusal)>;

/// Several switches, under one watchdog for as long as it has none to end.
pub struct Guarded<'k> {
    control: &'k File,
    budget: Duration,
    witness: &'k dyn Witness,
    refused: Refused,
    all: All<'k>,
    // It goes before memory is unlocked.
    watchdog: Option<Watchdog>,
    _locked: Option<Locked>,
}

impl<'k> Guarded<'k> {
    /// Makes them ready; one that cannot be is refused when it is its turn. `refused` says what a step's error means.
    pub fn new(
        control: &'k File,
        budget: Duration,
        witness: &'k dyn Witness,
        refused: Refused,
        courses: Vec<Result<Course<'k>>>,
    ) -> Result<Self> {
        let ready = |course| Switch { requests: Requests::prepare(control, &course), course };
        let mut all = All(courses.into_iter().map(|course| course.map(ready)).collect());
        let watchdog = Some(watchdog(budget, control, &mut all)?);
        let locked = Locked::begin().inspect_err(|errno| {
            tracing::warn!("memory cannot be locked while volumes stand still: {errno}");
        });
        Ok(Self { control, budget, witness, refused, all, watchdog, _locked: locked.ok() })
    }

    /// Waits until there is a watchdog: the one before may have had a switch to end, or have been killed.
    fn see_to_watchdog(&mut self) -> Result<&mut Watchdog> {
        let known = self.watchdog.take().filter(Watchdog::is_there);
        let mut watchdog = match known {
            Some(watchdog) => watchdog,
            None => watchdog(self.budget, self.control, &mut self.all)?,
        };
        watchdog.expect().map_err(unguarded)?;
        Ok(self.watchdog.insert(watchdog))
    }

    /// Why a switch did not go well, in words.
    fn why(&self, steps: &[SwitchStep], step: usize, refusal: Refusal) -> Error {
        match (refusal, steps.get(step)) {
            (Refusal::Error(error), _) => error,
            (Refusal::Taken, _) => too_long(steps, self.budget),
            (Refusal::Errno(errno), Some(step)) => (self.refused)(errno, step),
            (Refusal::Errno(errno), None) => Error::io("the kernel did not switch", errno),
        }
    }
}

impl Switches for Guarded<'_> {
    fn run(&mut self, number: usize) -> Result<SwitchReport> {
        self.all.get(number)?;
        self.see_to_watchdog()?;
        let Self { all, watchdog, witness, .. } = self;
        let (Some(watchdog), switch) = (watchdog, all.get(number)?) else {
            return Err(unguarded(Errno::ECHILD.into()));
        };
        let undisturbed = Undisturbed::begin();
        let quiet = Quiet::begin().map_err(|errno| unguarded(errno.into()))?;
        let (ended, is_taken) = switch.run(number, watchdog, *witness);
        drop((quiet, undisturbed));
        let (steps, report) = (switch.course.steps(), switch.course.report());
        if is_taken {
            // It has served.
            self.watchdog = None;
        }
        ended.map(|()| report).map_err(|(step, refusal)| self.why(steps, step, refusal))
    }
}

/// It inherits quiet from this thread.
fn watchdog(budget: Duration, control: &File, all: &mut All<'_>) -> Result<Watchdog> {
    let _quiet = Quiet::begin().map_err(|errno| unguarded(errno.into()))?;
    Watchdog::start(budget, control, all).map_err(unguarded)
}

fn unguarded(error: std::io::Error) -> Error {
    Error::io("no watchdog can be started, without which no volume is suspended", error)
        .hint("see whether the host has memory and processes left")
}

fn too_long(steps: &[SwitchStep], budget: Duration) -> Error {
    let suspended = steps.iter().filter(|step| matches!(step, SwitchStep::Suspend(..)));
    let names: Vec<_> = suspended.map(|step| step.device().to_string()).collect();
    let cause = format!(
        "the freeze of {} lasted longer than {} s, and was broken off",
        names.join(", "),
        budget.as_secs_f64()
    );
    Error::new(Kind::Internal, cause).hint(
        "see what holds up I/O, or allow more seconds: freeze_budget in /etc/dmsnap/config.toml, or DMSNAP_FREEZE_BUDGET",
    )
}

/// What both processes have to end switches with; an error for one that could not be made ready.
struct All<'k>(Vec<Result<Switch<'k>>>);

impl<'k> All<'k> {
    fn get(&mut self, number: usize) -> Result<&mut Switch<'k>> {
        let unknown = || Error::new(Kind::Internal, format!("there is no switch {number}"));
        self.0.get_mut(number).ok_or_else(unknown)?.as_mut().map_err(|error| error.clone())
    }
}

impl Charge for All<'_> {
    fn rehearse(&mut self) {
        for switch in self.0.iter_mut().flatten() {
            switch.rehearsed(|course, requests| course.rehearse(requests));
        }
    }

    fn rescue(&mut self, number: usize, reached: Reached) {
        if let Some(Ok(switch)) = self.0.get_mut(number) {
            switch.rescue(reached);
        }
    }
}

/// One of them.
struct Switch<'k> {
    course: Course<'k>,
    requests: Requests<'k>,
}

impl<'k> Switch<'k> {
    fn rehearsed(&mut self, play: impl FnOnce(&mut Course<'k>, &mut Requests<'k>)) {
        self.requests.rehearsing = true;
        play(&mut self.course, &mut self.requests);
        self.requests.rehearsing = false;
    }

    /// Runs it; and whether the watchdog had to end it.
    fn run(&mut self, number: usize, watchdog: &mut Watchdog, witness: &dyn Witness) -> (Ended, bool) {
        self.rehearsed(|course, requests| {
            course.rehearse(&mut Watched { requests, watchdog, witness: &() });
        });
        watchdog.begin(number);
        let Self { course, requests } = self;
        let ended = course.run(&mut Watched { requests, watchdog, witness });
        let is_taken = !watchdog.dismiss();
        if is_taken {
            // One step may have been fired behind its back.
            self.rescue(watchdog.reached());
        }
        witness.after();
        watchdog.done();
        let ended = if is_taken { Err(ended.err().unwrap_or((0, Refusal::Taken))) } else { ended };
        (ended, is_taken)
    }

    fn rescue(&mut self, reached: Reached) {
        self.course.rescue(reached, &mut self.requests);
    }
}

/// The ioctls of one switch, made before its first step.
struct Requests<'a> {
    control: &'a File,
    steps: Vec<Prepared>,
    clear: Vec<Prepared>,
    load_back: Vec<Prepared>,
    resume: Vec<Prepared>,
    rehearsing: bool,
}

impl<'a> Requests<'a> {
    fn prepare(control: &'a File, course: &Course<'_>) -> Self {
        let steps = course.steps().iter().map(|step| match step {
            SwitchStep::Suspend(name, freeze) => Prepared::suspend(name, *freeze),
            SwitchStep::Expect(name, used) => Prepared::expect(name, *used),
            SwitchStep::Resume(name, udev) => Prepared::resume(name, *udev),
        });
        let each = |request: fn(&Before) -> Prepared| course.before().iter().map(request).collect();
        Self {
            control,
            steps: steps.collect(),
            clear: each(|device| Prepared::clear(&device.name)),
            load_back: each(|device| Prepared::load(&device.name, &device.table, device.read_only)),
            resume: each(|device| Prepared::resume(&device.name, UdevFlags::unchanged())),
            rehearsing: false,
        }
    }
}

fn fire(request: Option<&mut Prepared>, control: &File, rehearsing: bool) -> Done {
    let Some(request) = request else { return Ok(()) };
    let done = if rehearsing { request.rehearse(control) } else { request.fire(control) };
    done.map_err(Refusal::Errno)
}

impl Calls for Requests<'_> {
    fn fire(&mut self, step: usize) -> Done {
        fire(self.steps.get_mut(step), self.control, self.rehearsing)
    }

    fn clear(&mut self, device: usize, _: &Before) -> Done {
        fire(self.clear.get_mut(device), self.control, self.rehearsing)
    }

    fn load_back(&mut self, device: usize, before: &Before) -> Done {
        if before.table.is_empty() {
            return Ok(());
        }
        fire(self.load_back.get_mut(device), self.control, self.rehearsing)
    }

    fn resume(&mut self, device: usize, _: &Before) -> Done {
        fire(self.resume.get_mut(device), self.control, self.rehearsing)
    }
}

/// The same, told to the watchdog and to whoever looks on.
struct Watched<'a, 'b> {
    requests: &'a mut Requests<'b>,
    watchdog: &'a Watchdog,
    witness: &'a dyn Witness,
}

impl Watched<'_, '_> {
    fn goes_back(&self) -> Done {
        self.watchdog.goes_back();
        if self.watchdog.has_taken() {
            return Err(Refusal::Taken);
        }
        Ok(self.witness.before()?)
    }

    fn told(&self, done: Done) -> Done {
        done.and_then(|()| Ok(self.witness.done()?))
    }
}

impl Calls for Watched<'_, '_> {
    fn fire(&mut self, step: usize) -> Done {
        self.witness.before()?;
        loop {
            if !self.watchdog.may_fire(step) {
                return Err(Refusal::Taken);
            }
            let done = self.requests.fire(step);
            match done {
                _ if self.watchdog.has_taken() => return Err(Refusal::Taken),
                // A debugger, or a stop that is over.
                Err(Refusal::Errno(Errno::EINTR)) => {}
                done => return self.told(done),
            }
        }
    }

    fn clear(&mut self, device: usize, before: &Before) -> Done {
        self.goes_back()?;
        let done = self.requests.clear(device, before);
        self.told(done)
    }

    fn load_back(&mut self, device: usize, before: &Before) -> Done {
        self.goes_back()?;
        let done = self.requests.load_back(device, before);
        self.told(done)
    }

    fn resume(&mut self, device: usize, before: &Before) -> Done {
        self.goes_back()?;
        let done = self.requests.resume(device, before);
        self.told(done)
    }
}
