//! Device-mapper: the only room that speaks to it.
//!
//! [`Kernel`] is what the engine may ask for. [`control`] answers with the real kernel, [`sim`] with a simulated one
//! that keeps the same rules. Names, uuids, targets and tables are typed; a table's device references are a
//! parameter, so that the engine can plan with devices that do not exist yet.

use std::path::Path;
use std::time::Duration;

use crate::block::DevNo;
use crate::error::{Error, Kind, Result};
use crate::units::{Chunks, Sectors};

mod apart;
pub mod control;
mod event;
mod fork;
mod guarded;
mod ioctl;
mod locked;
pub mod name;
pub mod nodes;
mod quiet;
mod shared;
pub mod sim;
pub(crate) mod switch;
pub mod target;
pub mod udev;
mod watchdog;

pub use event::{Events, Seen};
pub use name::{DmName, DmUuid};
pub use switch::Reached;
pub use target::{CloneFeatures, CloneMessage, Line, Regions, Status, Table, Target};
pub use udev::UdevFlags;

/// How long a switch may freeze a volume, if nothing else is set.
pub const FREEZE_BUDGET: Duration = Duration::from_secs(10);

/// How many chunks of a snapshot the kernel copies at once, if it was not told otherwise (`snapshot_cow_threshold`, Linux 5.5 and later).
pub const COPIES_AT_ONCE: Chunks = Chunks(2048);

/// What the kernel says of one device-mapper device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Info {
    /// Its name.
    pub name: DmName,
    /// Its uuid; none if it was made without one.
    pub uuid: Option<DmUuid>,
    /// Its number.
    pub number: DevNo,
    /// How many have it open: mounts, processes, devices above it.
    pub open_count: u32,
    /// True while I/O to it waits.
    pub suspended: bool,
    /// True if its live table refuses writes.
    pub read_only: bool,
    /// True if it has a live table.
    pub live: bool,
    /// True if a table waits in the inactive slot.
    pub inactive: bool,
}

/// Which of a device's two tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Slot {
    /// The table that I/O goes through.
    Live,
    /// The table that the next resume makes live.
    Inactive,
}

/// How a suspend treats what is in flight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Freeze {
    /// Freeze a mounted file system first, so that what is on the device is consistent: the cut of a snapshot.
    FileSystem,
    /// Only wait for I/O in flight: a change of tables that does not change content.
    Io,
    /// The same, and fail with [`crate::error::Kind::InUse`] if somebody has the device open, which is suspended then all the same: a
    /// change of content. Whoever opens it from then on finds the new one.
    Unopened,
}

/// One step while I/O waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SwitchStep {
    /// Stop I/O to a device.
    Suspend(DmName, Freeze),
    /// Go on only if a snapshot has used just so much of its store: else somebody wrote to its origin, or to it, since that was
    /// known. Fails with [`crate::error::Kind::InUse`]. Stands before all resumes.
    Expect(DmName, Sectors),
    /// Make the inactive table live, if there is one, and let I/O go on.
    Resume(DmName, UdevFlags),
}

impl SwitchStep {
    /// The device that it acts on.
    pub fn device(&self) -> &DmName {
        match self {
            Self::Suspend(name, _) | Self::Expect(name, _) | Self::Resume(name, _) => name,
        }
    }
}

/// How long each device of a switch was suspended.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SwitchReport {
    /// From the suspend ioctl's call to the resume ioctl's return, by device, in the order of the suspends.
    pub frozen: Vec<(DmName, Duration)>,
}

/// Looks on while a switch runs: for tests, which cut it and forbid things inside it.
pub trait Witness {
    /// Before each call to the kernel, those that undo included. Its error is the call's, which then does not happen.
    fn before(&self) -> Result<()> {
        Ok(())
    }

    /// Behind each call that went well. Its error is then the call's, which has happened all the same.
    fn done(&self) -> Result<()> {
        Ok(())
    }

    /// Nothing is suspended any more, if all went well.
    fn after(&self) {}
}

/// Nobody looks on.
impl Witness for () {}

/// What the engine may ask of device-mapper. Every call acts on one device, named; errors name it.
///
/// Promises that every implementation keeps: nothing waits for udev while a device is suspended; no call waits
/// without limit; a missing device is [`crate::error::Kind::NotFound`], one that is open or has a device above it
/// [`crate::error::Kind::InUse`].
pub trait Kernel: Send + Sync {
    /// Every device there is, ordered by name.
    fn list(&self) -> Result<Vec<Info>>;

    /// How many devices there are: one call, however many.
    fn count(&self) -> Result<usize>;

    /// The device with this uuid, whatever it is called, or none.
    fn find(&self, uuid: &DmUuid) -> Result<Option<Info>>;

    /// One device, or none.
    fn info(&self, name: &DmName) -> Result<Option<Info>>;

    /// Waits a few seconds until nobody has a device open any more: whoever looks at what is on a device (udev, monitors) has it open
    /// for a moment. Not for devices above it, which stay. Answers what there is then.
    fn when_closed(&self, info: Info) -> Result<Option<Info>> {
        Ok(Some(info))
    }

    /// Tells from now on when devices come, go, or say something.
    fn events(&self) -> Result<Box<dyn Events>>;

    /// The table in a slot; empty if the slot is.
    fn table(&self, name: &DmName, slot: Slot) -> Result<Table<DevNo>>;

    /// The live table's status, a value for each line; does not flush.
    fn status(&self, name: &DmName) -> Result<Vec<Status>>;

    /// How many chunks of a snapshot are copied at once at most: so many may be in use that nobody has written yet.
    fn copies_at_once(&self) -> Chunks {
        COPIES_AT_ONCE
    }

    /// Tells the clone that a device's table begins with what to do.
    fn message(&self, name: &DmName, message: CloneMessage) -> Result<()>;

    /// Makes a device without a table.
    fn create(&self, name: &DmName, uuid: &DmUuid) -> Result<DevNo>;

    /// Puts a table into the inactive slot, in place of what was there.
    fn load(&self, name: &DmName, table: &Table<DevNo>, read_only: bool) -> Result<()>;

    /// Empties the inactive slot.
    fn clear(&self, name: &DmName) -> Result<()>;

    /// Stops I/O. A suspended device stays so.
    fn suspend(&self, name: &DmName, freeze: Freeze) -> Result<()>;

    /// Makes the inactive table live, if there is one, and lets I/O go on.
    ///
    /// A resume that fails has already swapped the table in (Linux 6.1): load the right one and resume again.
    fn resume(&self, name: &DmName, udev: UdevFlags) -> Result<()>;

    /// Removes a device that nobody has open.
    fn remove(&self, name: &DmName, udev: UdevFlags) -> Result<()>;

    /// Renames a device.
    fn rename(&self, name: &DmName, new: &DmName, udev: UdevFlags) -> Result<()>;

    /// Runs suspends and resumes with nothing between them. If a step fails, everything that the earlier steps
    /// suspended is resumed before the error returns, in reverse order and with the table that it had before: inactive
    /// tables that did not get their turn are cleared.
    fn switch(&self, steps: &[SwitchStep]) -> Result<SwitchReport>;

    /// The same, with somebody looking on.
    fn switch_before(&self, steps: &[SwitchStep], witness: &dyn Witness) -> Result<SwitchReport> {
        switch::run_singly(self, steps, witness)
    }

    /// Makes ready to run several switches that share no device, each when it is its turn: what guards them is there once for all.
    fn switches<'k>(
        &'k self,
        all: &[&'k [SwitchStep]],
        witness: &'k dyn Witness,
    ) -> Result<Box<dyn Switches + 'k>> {
        Ok(Box::new(switch::Singly { kernel: self, all: all.to_vec(), witness }))
    }

    /// Whether tables of this target type can be loaded, as far as it can be known without loading one
    /// (a module may still have to be loaded by the kernel).
    fn supports(&self, target_type: &str) -> Result<bool>;

    /// Makes the device's node `/dev/mapper/NAME` (and `link`, such as `/dev/vg/lv`, if one is given) usable: waits, with
    /// a limit, for udevd to make them, or makes them where no udevd runs.
    fn publish(&self, name: &DmName, number: DevNo, link: Option<&Path>) -> Result<()>;

    /// Looks at the paths of about so many devices, for as long as one operation asks.
    fn paths(&self, devices: usize) -> Box<dyn Paths + '_>;

    /// Removes the node of a device that is gone, and `link` if it still points there.
    fn retract(&self, name: &DmName, link: Option<&Path>) -> Result<()>;
}

/// Switches that wait for their turns. See [`Kernel::switches`].
pub trait Switches {
    /// Runs the one of this number; see [`Kernel::switch`]. None is run twice.
    fn run(&mut self, number: usize) -> Result<SwitchReport>;
}

/// What the paths of devices lead to. See [`Kernel::paths`].
pub trait Paths {
    /// True if the node, and `link`, lead to the device.
    fn is_published(&self, name: &DmName, number: DevNo, link: Option<&Path>) -> bool;

    /// True if there is nothing that [`Kernel::retract`] would remove.
    fn is_retracted(&self, name: &DmName, link: Option<&Path>) -> bool;
}

/// The device that a call names is not there.
fn no_such_device(name: &DmName) -> Error {
    Error::new(Kind::NotFound, format!("there is no device {name}"))
}

/// A device that cannot be had or removed now.
fn in_use(name: &DmName, why: impl std::fmt::Display) -> Error {
    Error::new(Kind::InUse, format!("device {name} is in use: {why}"))
}

/// Somebody wrote meanwhile.
fn written(snapshot: &DmName) -> Error {
    in_use(snapshot, "it, or the volume that it is a snapshot of, was written to meanwhile")
}

/// The kernel knows no such target, and could not load the module.
fn no_such_target(name: &DmName, kind: &str) -> Error {
    let module = target::module(kind);
    Error::new(
        Kind::Internal,
        format!("device {name} needs the target {kind}, which this kernel does not have"),
    )
    .hint(format!("load its module: modprobe {module}"))
}
