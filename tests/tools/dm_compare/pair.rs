//! The two kernels side by side.

use std::path::Path;
use std::sync::{Arc, Mutex};

use dmsnap::block::mem::MemDevices;
use dmsnap::block::sysfs::SysDevices;
use dmsnap::block::{Access, Device, Devices};
use dmsnap::dm::control::Control;
use dmsnap::dm::nodes::Nodes;
use dmsnap::dm::sim::SimKernel;
use dmsnap::dm::{DmName, Slot, Target};
use dmsnap::error::Result;
use dmsnap::units::Bytes;

use super::plan::{Change, NAMES, PLACE, PLACES, Shape, base};
use super::side::{Side, name};

pub struct Pair {
    pub real: Side,
    sim: Side,
    pub counts: Counts,
}

/// What was seen, to know that the plans are not too tame.
#[derive(Default)]
pub struct Counts {
    pub made: u64,
    pub skipped: u64,
    pub refused: u64,
    pub merging: u64,
    pub invalid: u64,
    pub grown: u64,
    pub held: u64,
}

impl Counts {
    /// What never was, in words.
    pub fn nothing_of(&self) -> Option<&'static str> {
        let all = [
            (self.made, "is a change made"),
            (self.skipped, "would a change have to wait"),
            (self.refused, "is a change refused"),
            (self.merging, "is there a merge"),
            (self.invalid, "is a snapshot invalid"),
            (self.grown, "does a table grow"),
            (self.held, "is a device opened"),
        ];
        all.into_iter().find_map(|(count, what)| (count == 0).then_some(what))
    }
}

impl Pair {
    pub fn new(disk: &Path) -> Result<Self> {
        let devices = SysDevices::default();
        let open = devices.open(disk, Access::Write)?;
        let real = Side {
            kernel: Arc::new(Control::new(Nodes::default())),
            devices: Arc::new(devices),
            disk: open,
            sim: None,
            held: Mutex::default(),
        };
        real.sweep();
        real.disk.zero(Bytes::ZERO, Bytes(PLACE.bytes().get() * PLACES))?;
        let disks = MemDevices::new();
        let disk = disks.add("/dev/disk", real.disk.size());
        let sim = Self::sim(&disks, disk);
        Ok(Self { real, sim, counts: Counts::default() })
    }

    fn sim(disks: &MemDevices, disk: Arc<dyn Device>) -> Side {
        let kernel = SimKernel::new(disks);
        Side {
            devices: Arc::new(kernel.devices()),
            kernel: Arc::new(kernel.clone()),
            disk,
            sim: Some(kernel),
            held: Mutex::default(),
        }
    }

    /// Runs a plan on both. What tells them apart, if anything does.
    pub fn run(&mut self, plan: &[Change]) -> std::result::Result<(), String> {
        for change in plan {
            self.both(change)?;
        }
        self.compare_content()?;
        self.real.sweep();
        self.sim.sweep();
        self.compare("after everything was removed")?;
        // Building it again takes as long as a plan.
        if !plan.len().is_multiple_of(3) {
            return Ok(());
        }
        base().iter().try_for_each(|change| self.both(change))?;
        self.compare_content()
    }

    fn both(&mut self, change: &Change) -> std::result::Result<(), String> {
        if self.merge_would_wait(change) || self.damages_a_store(change) || self.opens_nothing(change) {
            self.counts.skipped += 1;
            return Ok(());
        }
        let simulated = self.sim.make(change);
        if simulated.as_ref().is_err_and(is_untried) {
            self.counts.skipped += 1;
            return Ok(());
        }
        self.counts.made += 1;
        self.counts.grown += u64::from(matches!(change, Change::Load(.., true)));
        self.counts.held += u64::from(matches!(change, Change::Hold(_)));
        let real = self.real.make(change);
        let outcome = |result: &Result<()>| match result {
            Ok(()) => "done".to_owned(),
            Err(_) if matches!(change, Change::Write(..)) => "failed".to_owned(),
            Err(error) => format!("{:?}", error.kind()),
        };
        if outcome(&real) != outcome(&simulated) {
            return Err(format!("{change}: real {real:?}, simulated {simulated:?}"));
        }
        self.counts.refused += u64::from(real.is_err());
        if self.sim.has_merge() {
            self.real.settle();
            self.sim.settle();
        }
        self.compare(&change.to_string())
    }

    /// A merge works behind the plan's back: it must not find a suspended device below.
    fn merge_would_wait(&self, change: &Change) -> bool {
        let kernel = &self.sim.kernel;
        let merges = |name: &DmName| {
            [Slot::Live, Slot::Inactive].iter().any(|slot| {
                let table = kernel.table(name, *slot).unwrap_or_default();
                table.0.iter().any(|line| matches!(line.target, Target::Merge { .. }))
            })
        };
        let infos = kernel.list().unwrap_or_default();
        let any = infos.iter().any(|info| merges(&info.name));
        let low = |at: usize| at < 3;
        match change {
            Change::Suspend(at) => low(*at) && any,
            Change::Resume(at) | Change::Load(at, Shape::Merge(..), ..) => {
                (merges(&name(*at)) || matches!(change, Change::Load(..)))
                    && (0..3).any(|at| infos.iter().any(|info| info.name == name(at) && info.suspended))
            }
            // Then anything may be below.
            Change::Rename(..) => any,
            _ => false,
        }
    }

    /// A device without a live table has nothing to read, and is not opened.
    fn opens_nothing(&self, change: &Change) -> bool {
        let Change::Hold(at) = change else { return false };
        let info = self.sim.kernel.info(&name(*at)).ok().flatten();
        !info.is_some_and(|info| info.live)
    }

    /// What a store full of foreign bytes means is not compared.
    fn damages_a_store(&self, change: &Change) -> bool {
        let Change::Write(at, ..) = change else { return false };
        let number = self.sim.number(*at);
        let infos = self.sim.kernel.list().unwrap_or_default();
        infos.iter().any(|info| {
            [Slot::Live, Slot::Inactive].iter().any(|slot| {
                let table = self.sim.kernel.table(&info.name, *slot).unwrap_or_default();
                table.0.iter().any(|line| match &line.target {
                    Target::Snapshot { cow, .. } | Target::Merge { cow, .. } => *cow == number,
                    _ => false,
                })
            })
        })
    }

    fn compare(&mut self, when: &str) -> std::result::Result<(), String> {
        let (real, sim) = (self.real.told(), self.sim.told());
        self.counts.merging += u64::from(sim.iter().any(|line| line.contains("merging: true")));
        self.counts.invalid += u64::from(sim.iter().any(|line| line.contains("Invalid")));
        let same = real == sim;
        same.then_some(()).ok_or_else(|| format!("{when}:\n real {real:#?}\n simulated {sim:#?}"))
    }

    fn compare_content(&mut self) -> std::result::Result<(), String> {
        for (index, text) in NAMES.iter().enumerate() {
            let simulated = self.sim.content(index);
            if simulated.as_ref().is_err_and(|why| why.contains("would wait")) {
                continue;
            }
            let real = self.real.content(index);
            let same = match (&real, &simulated) {
                (Ok(real), Ok(simulated)) => real == simulated,
                (Err(_), Err(_)) => true,
                // A device that has got its first table, but not live yet: the real kernel opens it, and it has no size.
                (Ok(real), Err(_)) => real.is_empty(),
                _ => false,
            };
            if !same {
                let short = |side: &std::result::Result<Vec<u8>, String>| {
                    side.as_ref()
                        .map(|bytes| bytes.chunks(4096).map(|chunk| chunk[0]).collect::<Vec<_>>())
                        .map_err(Clone::clone)
                };
                return Err(format!("{text} reads {:?}, simulated {:?}", short(&real), short(&simulated)));
            }
        }
        let (real, simulated) = (self.real.disk_content(), self.sim.disk_content());
        match (real, simulated) {
            (Ok(real), Ok(simulated)) if real == simulated => Ok(()),
            (Ok(real), Ok(simulated)) => {
                let at = real.iter().zip(&simulated).position(|(a, b)| a != b).unwrap_or(0);
                Err(format!("the disks differ at byte {at}: {} and {}", real[at], simulated[at]))
            }
            (real, simulated) => Err(format!("the disks: {:?} {:?}", real.err(), simulated.err())),
        }
    }
}

/// What the simulated kernel refuses because the real one would not come back.
fn is_untried(error: &dmsnap::error::Error) -> bool {
    let text = format!("{error} {:?}", error.chain());
    text.contains("would wait") || text.contains("would go round")
}
