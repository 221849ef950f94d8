//! A plan: the steps from the devices found to the devices wanted, as data.
//!
//! A plan prints (`--dry-run`, `check`), is asserted on in tests, and can be cut at any step. Nothing that can be done outside
//! the switch stands inside it.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use super::outline::{Entry, Phase};
use super::tree::{Below, layers_below};
use crate::block::DevNo;
use crate::cow::diff::Ranges;
use crate::dm::{DmName, DmUuid, Freeze, SwitchStep, Table, UdevFlags};
use crate::units::Bytes;

/// One step outside the switch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Empty a stray inactive table.
    Clear(DmName),
    /// Give a device the name that the metadata has for it.
    Rename {
        /// What it is called.
        from: DmName,
        /// What it shall be called.
        to: DmName,
        /// For the host's udev rules.
        udev: UdevFlags,
    },
    /// Make a device without a table.
    Create {
        /// Its name.
        name: DmName,
        /// Its uuid.
        uuid: DmUuid,
    },
    /// Put a table into a device's inactive slot.
    Load {
        /// The device.
        name: DmName,
        /// The table.
        table: Table<Below>,
        /// True if the device refuses writes.
        read_only: bool,
    },
    /// Let I/O go on, with the inactive table if there is one.
    Resume {
        /// The device.
        name: DmName,
        /// For the host's udev rules.
        udev: UdevFlags,
    },
    /// Write back what the file system mounted from a device holds dirty, so that the freeze has little left to do.
    Sync {
        /// Its number.
        number: DevNo,
        /// Its name.
        name: DmName,
    },
    /// Make a mounted file system as large as its device.
    GrowFileSystem {
        /// The device's number.
        number: DevNo,
        /// Its name.
        name: DmName,
        /// What it holds.
        size: Bytes,
    },
    /// Tell a clone that nothing goes through yet what of its content is in its place already, by discards that it passes to nobody.
    Spare {
        /// Its name.
        name: DmName,
        /// Its node, which has to be there.
        path: PathBuf,
        /// In whole regions.
        ranges: Ranges,
    },
    /// Let a clone fill by itself.
    Fill(DmName),
    /// Remove a device.
    Remove {
        /// Its name.
        name: DmName,
        /// For the host's udev rules.
        udev: UdevFlags,
    },
    /// See to a device's node and link.
    Publish {
        /// Its name.
        name: DmName,
        /// Its uuid: a device of this plan has no number before it runs.
        uuid: DmUuid,
        /// Its link.
        link: Option<PathBuf>,
    },
    /// See that the node and link of a removed device are gone.
    Retract {
        /// Its name.
        name: DmName,
        /// Its link.
        link: Option<PathBuf>,
    },
}

/// The steps in order. Empty: the kernel already has what the metadata wants.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// What is done while I/O goes on.
    pub prepare: Vec<Step>,
    /// Between the first suspend and the last resume I/O waits.
    pub switch: Vec<SwitchStep>,
    /// What is done after it.
    pub cleanup: Vec<Step>,
    /// What the devices named in the tables are called, and their numbers where they exist already.
    pub layers: BTreeMap<DmUuid, (DmName, Option<DevNo>)>,
}

impl Plan {
    /// True if there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.prepare.is_empty() && self.switch.is_empty() && self.cleanup.is_empty()
    }

    /// Plans that share no device as one: everything is suspended before the first device is resumed.
    pub fn joined<'p>(plans: impl IntoIterator<Item = &'p Self>) -> Self {
        let mut whole = Self::default();
        let mut resumes = Vec::new();
        for plan in plans {
            whole.prepare.extend(plan.prepare.iter().cloned());
            let is_resume = |step: &&SwitchStep| matches!(step, SwitchStep::Resume(..));
            let (resume, before): (Vec<&SwitchStep>, Vec<_>) = plan.switch.iter().partition(is_resume);
            whole.switch.extend(before.into_iter().cloned());
            resumes.extend(resume.into_iter().cloned());
            whole.cleanup.extend(plan.cleanup.iter().cloned());
            whole.layers.extend(plan.layers.iter().map(|(uuid, layer)| (uuid.clone(), layer.clone())));
        }
        whole.switch.extend(resumes);
        whole
    }

    /// The devices that go.
    pub fn removed(&self) -> impl Iterator<Item = &DmName> {
        self.prepare.iter().chain(&self.cleanup).filter_map(|step| match step {
            Step::Remove { name, .. } => Some(name),
            _ => None,
        })
    }

    /// What is done, in order.
    pub fn entries(&self) -> Vec<Entry> {
        let quiet =
            |phase| move |step: &Step| Entry::Step { phase, step: step.clone(), layers: self.named(step) };
        let prepare = self.prepare.iter().map(quiet(Phase::Prepare));
        let switch = self.switch.iter().cloned().map(Entry::Switch);
        prepare.chain(switch).chain(self.cleanup.iter().map(quiet(Phase::Cleanup))).collect()
    }

    /// One step, in words.
    pub fn text(&self, step: &Step) -> String {
        step.text(&self.named(step))
    }

    /// What the devices are called that a step's table names.
    fn named(&self, step: &Step) -> BTreeMap<DmUuid, DmName> {
        let Step::Load { table, .. } = step else { return BTreeMap::new() };
        let name = |uuid: &DmUuid| Some((uuid.clone(), self.layers.get(uuid)?.0.clone()));
        layers_below(table).filter_map(name).collect()
    }
}

impl Step {
    /// In words; `layers` has what the devices that it names by uuid are called.
    pub fn text(&self, layers: &BTreeMap<DmUuid, DmName>) -> String {
        match self {
            Self::Clear(name) => format!("clear the inactive table of {name}"),
            Self::Rename { from, to, .. } => format!("rename {from} to {to}"),
            Self::Create { name, .. } => format!("create {name}"),
            Self::Load { name, table, read_only } => {
                let read_only = if *read_only { " read-only" } else { "" };
                format!("load{read_only} {name}: {}", table_text(table, layers))
            }
            Self::Resume { name, .. } => format!("resume {name}"),
            Self::Sync { name, .. } => format!("sync the file system on {name}"),
            Self::GrowFileSystem { name, size, .. } => format!("grow the file system on {name} to {size}"),
            Self::Spare { name, ranges, .. } => {
                format!("tell {name} that it has {} already", ranges.total().bytes())
            }
            Self::Fill(name) => format!("let {name} fill"),
            Self::Remove { name, .. } => format!("remove {name}"),
            Self::Publish { name, link, .. } => match link {
                Some(link) => format!("publish {name} as {}", link.display()),
                None => format!("publish {name}"),
            },
            Self::Retract { name, .. } => format!("retract {name}"),
        }
    }
}

fn table_text(table: &Table<Below>, layers: &BTreeMap<DmUuid, DmName>) -> String {
    let named = table.clone().map(|below| match below {
        Below::Disk(number) => number.to_string(),
        Below::Layer(uuid) => layers.get(&uuid).map_or_else(|| uuid.to_string(), ToString::to_string),
    });
    let lines: Vec<_> = named.0.iter().map(ToString::to_string).collect();
    lines.join("; ")
}

/// One step of the switch, in words.
pub fn switch_text(step: &SwitchStep) -> String {
    match step {
        SwitchStep::Suspend(name, Freeze::FileSystem) => format!("suspend {name} (freeze its file system)"),
        SwitchStep::Suspend(name, Freeze::Io) => format!("suspend {name}"),
        SwitchStep::Suspend(name, Freeze::Unopened) => format!("suspend {name} (unless it is open)"),
        SwitchStep::Expect(name, used) => {
            format!("see that {name} has used no more than {} of its store", used.bytes())
        }
        SwitchStep::Resume(name, _) => format!("resume {name}"),
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.entries().iter().try_for_each(|entry| writeln!(f, "{entry}"))
    }
}
