//! Runs a plan. What a failed plan leaves is put right by planning again, never by an undo of its own.

use std::collections::BTreeMap;
use std::time::Duration;

use super::plan::{Plan, Step, switch_text};
use super::tree::Below;
use crate::block::{Access, DevNo, Devices};
use crate::dm::{CloneMessage, DmName, DmUuid, Kernel, SwitchReport, SwitchStep, Switches, Table};
use crate::error::{Context, Error, Kind, Result};

/// What running a plan showed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Executed {
    /// How long each device of the switch was suspended.
    pub frozen: Vec<(DmName, Duration)>,
}

impl Executed {
    /// The longest time that a device's I/O waited.
    pub fn longest_freeze(&self) -> Option<Duration> {
        self.frozen.iter().map(|(_, time)| *time).max()
    }
}

/// Runs every step in order; the first that fails ends it, named in the error's context.
pub fn execute(plan: &Plan, kernel: &dyn Kernel, devices: &dyn Devices) -> Result<Executed> {
    execute_apart(&[plan], kernel, devices).into_iter().next().unwrap_or_else(|| Ok(Executed::default()))
}

/// Runs plans that share no device: where one of them fails the others go on.
pub fn execute_apart(plans: &[&Plan], kernel: &dyn Kernel, devices: &dyn Devices) -> Vec<Result<Executed>> {
    switch_apart(plans, kernel, devices).clean_up()
}

/// The same up to the cleanups. What waits for udev is in these: they begin when nothing of any plan is suspended any more, and a switch
/// that failed may have left something so.
pub fn switch_apart<'a>(
    plans: &[&'a Plan],
    kernel: &'a dyn Kernel,
    devices: &'a dyn Devices,
) -> Switched<'a> {
    let mut runs: Vec<_> = plans.iter().map(|plan| Run::new(plan, kernel, devices)).collect();
    let prepared: Vec<_> = runs.iter_mut().map(Run::prepare).collect();
    let outcomes = switched(&mut runs, prepared, kernel);
    Switched { runs, outcomes }
}

/// Plans whose switches are over.
pub struct Switched<'a> {
    runs: Vec<Run<'a>>,
    outcomes: Vec<Result<Executed>>,
}

impl Switched<'_> {
    /// What became of each so far.
    pub fn outcomes(&self) -> &[Result<Executed>] {
        &self.outcomes
    }

    /// Cleans up behind those that went well; what became of each.
    pub fn clean_up(self) -> Vec<Result<Executed>> {
        let clean_up = |(mut run, executed): (Run<'_>, Result<Executed>)| {
            let executed = executed?;
            run.steps(&run.plan.cleanup).map(|()| executed)
        };
        self.runs.into_iter().zip(self.outcomes).map(clean_up).collect()
    }
}

/// Runs the switches of those that are prepared, one after the other, under one guard.
fn switched(runs: &mut [Run<'_>], prepared: Vec<Result<()>>, kernel: &dyn Kernel) -> Vec<Result<Executed>> {
    let plans = runs.iter().map(|run| run.plan).zip(&prepared);
    let all: Vec<&[SwitchStep]> =
        plans.map(|(plan, done)| if done.is_ok() { plan.switch.as_slice() } else { &[] }).collect();
    let mut switches: Result<Box<dyn Switches + '_>> = match all.iter().all(|steps| steps.is_empty()) {
        true => Ok(Box::new(Nothing)),
        false => kernel.switches(&all, &()),
    };
    let switch = |(number, (prepared, run)): (usize, (Result<()>, &mut Run<'_>))| {
        prepared.and_then(|()| run.switch(number, &mut switches))
    };
    prepared.into_iter().zip(runs).enumerate().map(switch).collect()
}

/// Where no plan has a switch.
struct Nothing;

impl Switches for Nothing {
    fn run(&mut self, _: usize) -> Result<SwitchReport> {
        Ok(SwitchReport::default())
    }
}

/// True for what helps only the switch that follows at once: a file system is soon dirty again, and other plans switch before this one.
fn is_fleeting(step: &Step) -> bool {
    matches!(step, Step::Sync { .. })
}

struct Run<'a> {
    plan: &'a Plan,
    kernel: &'a dyn Kernel,
    devices: &'a dyn Devices,
    numbers: BTreeMap<DmUuid, DevNo>,
}

impl<'a> Run<'a> {
    fn new(plan: &'a Plan, kernel: &'a dyn Kernel, devices: &'a dyn Devices) -> Self {
        let known = plan.layers.iter().filter_map(|(uuid, (_, number))| Some((uuid.clone(), (*number)?)));
        Self { plan, kernel, devices, numbers: known.collect() }
    }

    /// What stays as it is until the switch.
    fn prepare(&mut self) -> Result<()> {
        self.steps(self.plan.prepare.iter().filter(|step| !is_fleeting(step)))
    }

    fn switch(&mut self, number: usize, switches: &mut Result<Box<dyn Switches + '_>>) -> Result<Executed> {
        self.steps(self.plan.prepare.iter().filter(|step| is_fleeting(step)))?;
        if self.plan.switch.is_empty() {
            return Ok(Executed::default());
        }
        let report = switches.as_mut().map_err(|error| error.clone()).and_then(|all| all.run(number));
        let steps = || self.plan.switch.iter().map(switch_text).collect::<Vec<_>>().join(", ");
        let frozen = report.map_err(|error| error.at(Context::Step(steps())))?.frozen;
        Ok(Executed { frozen })
    }

    fn steps(&mut self, steps: impl IntoIterator<Item = &'a Step>) -> Result<()> {
        for step in steps {
            tracing::debug!(step = %self.plan.text(step), "device-mapper");
            self.step(step).map_err(|error| error.at(Context::Step(self.plan.text(step))))?;
        }
        Ok(())
    }

    fn step(&mut self, step: &Step) -> Result<()> {
        match step {
            Step::Clear(name) => self.kernel.clear(name),
            Step::Rename { from, to, udev } => self.kernel.rename(from, to, *udev),
            Step::Create { name, uuid } => {
                let number = self.kernel.create(name, uuid)?;
                self.numbers.insert(uuid.clone(), number);
                Ok(())
            }
            Step::Load { name, table, read_only } => {
                self.kernel.load(name, &self.resolved(table)?, *read_only)
            }
            Step::Resume { name, udev } => self.kernel.resume(name, *udev),
            Step::Sync { number, .. } => self.devices.sync_mounted(*number),
            Step::GrowFileSystem { number, size, .. } => self.devices.grow_mounted(*number, *size),
            Step::Spare { path, ranges, .. } => {
                let clone = self.devices.open(path, Access::Write)?;
                ranges.iter().try_for_each(|range| clone.discard(range.start.bytes(), range.length().bytes()))
            }
            Step::Fill(name) => self.kernel.message(name, CloneMessage::EnableHydration),
            Step::Remove { name, udev } => self.kernel.remove(name, *udev),
            Step::Publish { name, uuid, link } => {
                self.kernel.publish(name, self.number(uuid)?, link.as_deref())
            }
            Step::Retract { name, link } => self.kernel.retract(name, link.as_deref()),
        }
    }

    fn resolved(&self, table: &Table<Below>) -> Result<Table<DevNo>> {
        table.clone().try_map(|below| match below {
            Below::Disk(number) => Ok(number),
            Below::Layer(uuid) => self.number(&uuid),
        })
    }

    fn number(&self, uuid: &DmUuid) -> Result<DevNo> {
        let number = self.numbers.get(uuid).copied();
        number.ok_or_else(|| Error::new(Kind::Internal, format!("the plan names {uuid} before it is made")))
    }
}
