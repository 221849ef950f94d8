//! A switch on the real kernel, under its watchdog.
//!
//! All that it needs is prepared, touched and locked in memory before the first suspend, in this process and in the watchdog. A process
//! that cannot have a watchdog does not begin: nothing is suspended then. One that may not lock memory goes on.

use std::fs::File;
use std::time::Duration;

use nix::errno::Errno;

use super::fork::{Locked, Quiet};
use super::ioctl::Prepared;
use super::switch::{Before, Calls, Course, Done, Reached, Refusal};
use super::watchdog::{Charge, Watchdog};
use super::{SwitchReport, SwitchStep, UdevFlags, Witness};
use crate::error::{Error, Result};

/// Runs the switch; the error of a step is told by `refused`, and nothing is suspended then.
pub fn switch(
    control: &File,
    course: Course<'_>,
    budget: Duration,
    witness: &dyn Witness,
    refused: impl FnOnce(Errno, &SwitchStep) -> Error,
) -> Result<SwitchReport> {
    let steps = course.steps();
    let requests = Requests::prepare(control, &course);
    let mut switch = Switch { course, requests };
    let _quiet = Quiet::begin().map_err(|errno| unguarded(errno.into()))?;
    let mut watchdog = Watchdog::start(budget, control, &mut switch).map_err(unguarded)?;
    switch.rehearsed(|course, requests| {
        course.rehearse(&mut Guarded { requests, watchdog: &watchdog, witness: &() });
    });
    let locked = Locked::begin();
    if let Err(errno) = &locked {
        tracing::warn!("memory cannot be locked while volumes stand still: {errno}");
    }
    watchdog.begin().map_err(unguarded)?;

    let Switch { course, requests } = &mut switch;
    let ended = course.run(&mut Guarded { requests, watchdog: &watchdog, witness });
    let ended = if watchdog.dismiss() { ended } else { Err(taken_back(&mut switch, &watchdog, ended)) };
    witness.after();
    watchdog.done();
    drop((watchdog, locked));
    match ended {
        Ok(()) => Ok(switch.course.report()),
        Err((_, Refusal::Error(error))) => Err(error),
        Err((_, Refusal::Taken)) => Err(too_long(steps, budget)),
        Err((step, Refusal::Errno(errno))) => Err(match steps.get(step) {
            Some(step) => refused(errno, step),
            None => Error::io("the kernel did not switch", errno),
        }),
    }
}

/// The watchdog has ended the switch; one step may have been fired behind its back.
fn taken_back(
    switch: &mut Switch<'_>,
    watchdog: &Watchdog,
    ended: std::result::Result<(), (usize, Refusal)>,
) -> (usize, Refusal) {
    if let Some(reached) = watchdog.reached() {
        switch.rescue(reached);
    }
    ended.err().unwrap_or((0, Refusal::Taken))
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
    Error::new(crate::error::Kind::Internal, cause).hint(
        "see what holds up I/O, or allow more seconds: freeze_budget in /etc/dmsnap/config.toml, or DMSNAP_FREEZE_BUDGET",
    )
}

/// What both processes have to end a switch with.
struct Switch<'a> {
    course: Course<'a>,
    requests: Requests<'a>,
}

impl<'a> Switch<'a> {
    fn rehearsed(&mut self, play: impl FnOnce(&mut Course<'a>, &mut Requests<'a>)) {
        self.requests.rehearsing = true;
        play(&mut self.course, &mut self.requests);
        self.requests.rehearsing = false;
    }
}

impl Charge for Switch<'_> {
    fn rehearse(&mut self) {
        self.rehearsed(|course, requests| course.rehearse(requests));
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
struct Guarded<'a, 'b> {
    requests: &'a mut Requests<'b>,
    watchdog: &'a Watchdog,
    witness: &'a dyn Witness,
}

impl Guarded<'_, '_> {
    fn goes_back(&self) -> Done {
        self.watchdog.goes_back();
        if self.watchdog.has_taken() {
            return Err(Refusal::Taken);
        }
        Ok(self.witness.before()?)
    }
}

impl Calls for Guarded<'_, '_> {
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
                done => return done,
            }
        }
    }

    fn clear(&mut self, device: usize, before: &Before) -> Done {
        self.goes_back()?;
        self.requests.clear(device, before)
    }

    fn load_back(&mut self, device: usize, before: &Before) -> Done {
        self.goes_back()?;
        self.requests.load_back(device, before)
    }

    fn resume(&mut self, device: usize, before: &Before) -> Done {
        self.goes_back()?;
        self.requests.resume(device, before)
    }
}
