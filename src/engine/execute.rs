//! Runs a plan. What a failed plan leaves is put right by planning again, never by an undo of its own.

use std::collections::BTreeMap;
use std::time::Duration;

use super::plan::{Plan, Step, switch_text};
use super::tree::Below;
use crate::block::{DevNo, Devices};
use crate::dm::{DmName, DmUuid, Kernel, Table};
use crate::error::{Context, Error, Kind, Result};

/// What running a plan showed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Executed {
    /// How long each device of the switch was suspended.
    pub frozen: Vec<(DmName, Duration)>,
}

/// Runs every step in order; the first that fails ends it, named in the error's context.
pub fn execute(plan: &Plan, kernel: &dyn Kernel, devices: &dyn Devices) -> Result<Executed> {
    let known = plan.layers.iter().filter_map(|(uuid, (_, number))| Some((uuid.clone(), (*number)?)));
    let mut run = Run { plan, kernel, devices, numbers: known.collect() };
    run.steps(&plan.prepare)?;
    let mut executed = Executed::default();
    if !plan.switch.is_empty() {
        let steps: Vec<_> = plan.switch.iter().map(switch_text).collect();
        let report = kernel.switch(&plan.switch);
        executed.frozen = report.map_err(|error| error.at(Context::Step(steps.join(", "))))?.frozen;
    }
    run.steps(&plan.cleanup)?;
    Ok(executed)
}

struct Run<'a> {
    plan: &'a Plan,
    kernel: &'a dyn Kernel,
    devices: &'a dyn Devices,
    numbers: BTreeMap<DmUuid, DevNo>,
}

impl Run<'_> {
    fn steps(&mut self, steps: &[Step]) -> Result<()> {
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
