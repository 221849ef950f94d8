//! A switch of prepared ioctls: between the first suspend and the last resume nothing is allocated, logged or opened, also when
//! a step fails and the ones before it are taken back.

use std::fs::File;
use std::time::{Duration, Instant};

use nix::errno::Errno;

use super::{Control, refused};
use crate::dm::ioctl::Prepared;
use crate::dm::{DmName, Kernel, Slot, SwitchReport, SwitchStep, UdevFlags};
use crate::error::Result;

/// Everything that a switch needs, made before its first step.
pub struct Switch {
    steps: Vec<Prepared>,
    ways_back: Vec<WayBack>,
    frozen: Vec<(DmName, Duration)>,
}

/// How one suspended device gets its I/O back if a later step fails.
struct WayBack {
    clear: Prepared,
    /// Its live table from before; none if it had none.
    reload: Option<Prepared>,
    resume: Prepared,
    /// Its inactive table was swapped in by the resume that failed (Linux 6.1). Until one has: that it has an inactive table.
    swapped: bool,
    /// Loading its old table reads a store.
    reads_store: bool,
    since: Option<Instant>,
}

impl WayBack {
    fn prepare(kernel: &Control, name: &DmName) -> Result<Self> {
        let table = kernel.table(name, Slot::Live)?;
        let info = kernel.info(name)?.ok_or_else(|| refused(Errno::ENXIO, "suspend", name))?;
        Ok(Self {
            clear: Prepared::clear(name),
            reload: (!table.is_empty()).then(|| Prepared::load(name, &table, info.read_only)),
            resume: Prepared::resume(name, UdevFlags::unchanged()),
            swapped: info.inactive,
            reads_store: table.reads_store(),
            since: None,
        })
    }

    fn clear(&mut self, control: &File) {
        let _ = self.clear.fire(control);
    }

    fn resume(&mut self, control: &File) {
        let _ = self.resume.fire(control);
    }

    fn reload(&mut self, control: &File) {
        if let Some(reload) = &mut self.reload {
            let _ = reload.fire(control);
        }
        self.resume(control);
    }
}

impl Switch {
    /// Makes all ioctls; nothing is suspended yet.
    pub fn prepare(kernel: &Control, steps: &[SwitchStep]) -> Result<Self> {
        let mut switch = Self { steps: Vec::new(), ways_back: Vec::new(), frozen: Vec::new() };
        for step in steps {
            switch.steps.push(match step {
                SwitchStep::Suspend(name, freeze) => {
                    switch.ways_back.push(WayBack::prepare(kernel, name)?);
                    switch.frozen.push((name.clone(), Duration::ZERO));
                    Prepared::suspend(name, *freeze)
                }
                SwitchStep::Resume(name, udev) => Prepared::resume(name, *udev),
            });
        }
        Ok(switch)
    }

    /// From here to the last resume: no allocation, no log, no file.
    pub fn run(mut self, control: &File, steps: &[SwitchStep]) -> Result<SwitchReport> {
        for (step, prepared) in steps.iter().zip(&mut self.steps) {
            let began = Instant::now();
            if let Err(errno) = prepared.fire(control) {
                self.back_out(control, step);
                let what = if matches!(step, SwitchStep::Suspend(..)) { "suspend" } else { "resume" };
                return Err(refused(errno, what, step.device()));
            }
            let devices = self.frozen.iter_mut().zip(&mut self.ways_back);
            for ((_, frozen), way_back) in devices.filter(|((name, _), _)| name == step.device()) {
                match (step, way_back.since) {
                    (SwitchStep::Suspend(..), _) => way_back.since = Some(began),
                    (SwitchStep::Resume(..), Some(since)) => {
                        *frozen = since.elapsed();
                        way_back.since = None;
                    }
                    (SwitchStep::Resume(..), None) => {}
                }
            }
        }
        Ok(SwitchReport { frozen: self.frozen })
    }

    /// Resumes what is suspended, with the table from before; see [`crate::dm::switch`] for the order. What fails here too is
    /// found suspended by the next run.
    fn back_out(&mut self, control: &File, failed: &SwitchStep) {
        for ((name, _), way_back) in self.frozen.iter().zip(&mut self.ways_back) {
            way_back.swapped &= matches!(failed, SwitchStep::Resume(failed, _) if failed == name);
        }
        let mut suspended = |which: fn(&WayBack) -> bool, put_back: fn(&mut WayBack, &File)| {
            let devices = self.ways_back.iter_mut().rev();
            let chosen = devices.filter(|way_back| way_back.since.is_some() && which(way_back));
            chosen.for_each(|way_back| put_back(way_back, control));
        };
        suspended(|device| !device.swapped, WayBack::clear);
        suspended(|device| device.swapped && !device.reads_store, WayBack::reload);
        suspended(|device| !device.swapped, WayBack::resume);
        suspended(|device| device.swapped && device.reads_store, WayBack::reload);
    }
}
