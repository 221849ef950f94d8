//! The real kernel: the devicemapper crate for what it does well, our own ioctls for what must not wait.

use std::fs::File;
use std::path::Path;
use std::sync::OnceLock;
use std::thread::sleep;
use std::time::Duration;

use devicemapper::errors::Error as CoreError;
use devicemapper::{DM, DevId, DeviceInfo, DmError, DmFlags, DmOptions};
use nix::errno::Errno;

use super::event::ControlEvents;
use super::guarded::Guarded;
use super::ioctl::Prepared;
use super::nodes::Nodes;
use super::switch::Course;
use super::{
    COPIES_AT_ONCE, CloneMessage, DmName, DmUuid, Events, FREEZE_BUDGET, Freeze, Info, Kernel, Paths, Slot,
    Status, SwitchReport, SwitchStep, Switches, Table, Target, UdevFlags, Witness, no_such_target, written,
};
use crate::block::DevNo;
use crate::error::{Error, Kind, Result};
use crate::units::{Chunks, Sectors};

const CONTROL: &str = "mapper/control";

/// udev opens a device for a moment after each event: one that is busy is asked again, for this long in all.
const BUSY: [Duration; 4] = [
    Duration::from_millis(2),
    Duration::from_millis(6),
    Duration::from_millis(14),
    Duration::from_millis(28),
];

/// Before a device is called in use it is looked at again, so often and with such pauses: lvm2 tries to deactivate for five seconds
/// (`activation/retry_deactivation`).
const LOOKS: u32 = 50;
const LOOK_PAUSE: Duration = Duration::from_millis(100);

/// Device-mapper through `/dev/mapper/control`, opened when it is first needed.
pub struct Control {
    dm: OnceLock<DM>,
    nodes: Nodes,
    freeze_budget: Duration,
}

impl Control {
    /// The kernel, with nodes and links where `nodes` says.
    pub fn new(nodes: Nodes) -> Self {
        Self { dm: OnceLock::new(), nodes, freeze_budget: FREEZE_BUDGET }
    }

    /// The same, whose switches are broken off when they freeze a volume for longer.
    #[must_use]
    pub fn freezing_for(self, freeze_budget: Duration) -> Self {
        Self { freeze_budget, ..self }
    }

    fn dm(&self) -> Result<&DM> {
        if let Some(dm) = self.dm.get() {
            return Ok(dm);
        }
        let dm = self.opened()?;
        Ok(self.dm.get_or_init(|| dm))
    }

    fn opened(&self) -> Result<DM> {
        DM::new().map_err(|error| {
            // The crate opens the same path but does not say why it could not.
            let path = self.nodes.dev.join(CONTROL);
            match File::open(&path) {
                Err(error) => unopened(&path, error),
                Ok(_) => Error::io("device-mapper cannot be opened", error),
            }
        })
    }

    fn fire(&self, mut prepared: Prepared, what: &str, name: &DmName) -> Result<()> {
        prepared.fire(self.dm()?.file()).map_err(|errno| refused(errno, what, name))
    }

    /// The kernel's errors are the same for many causes: a target that it does not have, a store that it cannot read, a device
    /// below that somebody has claimed.
    fn not_loaded(&self, name: &DmName, table: &Table<DevNo>, error: &DmError) -> Error {
        for line in &table.0 {
            let kind = line.target.kind();
            if self.supports(kind).is_ok_and(|known| !known) {
                return no_such_target(name, kind);
            }
        }
        let what = "load the table of";
        if self.info(name).is_ok_and(|info| info.is_none()) {
            return refused(Errno::ENXIO, what, name);
        }
        let there = |device: &DevNo| self.nodes.sys.join("dev/block").join(device.to_string()).exists();
        let missing = table.references().into_iter().find(|device| !there(device));
        match (errno(error), missing) {
            (Some(errno), Some(missing)) => Error::io(
                format!("the kernel did not {what} {name}: there is no device {missing} below it"),
                errno,
            ),
            (Some(Errno::ENXIO), None) if table.reads_store() => Error::io(
                format!("the kernel did not {what} {name}: it cannot read the COW store"),
                Errno::ENXIO,
            )
            .hint("the kernel's log says why; a new store must begin with zeroes"),
            (Some(Errno::EBUSY), None) => {
                let cause = format!("the kernel did not {what} {name}: a device below it is in use");
                Error::new(Kind::InUse, cause).hint("unmount it, or close what holds it")
            }
            _ => refused_by_crate(error, what, name),
        }
    }

    fn has_target(&self, kind: &str) -> Result<bool> {
        let known = self.dm()?.list_versions().map_err(|error| failed(&error, "list the targets"))?;
        Ok(known.iter().any(|(known, ..)| known == kind))
    }
}

fn unopened(path: &Path, error: std::io::Error) -> Error {
    let hint = match error.kind() {
        std::io::ErrorKind::PermissionDenied => "run it as root",
        _ => "load device-mapper with `modprobe dm-mod`, and see that /dev is a devtmpfs",
    };
    Error::io(format!("device-mapper cannot be reached through {}", path.display()), error).hint(hint)
}

/// Where the kernel says how many chunks of a snapshot it copies at once.
const THRESHOLD: &str = "/sys/module/dm_snapshot/parameters/snapshot_cow_threshold";

fn errno(error: &DmError) -> Option<Errno> {
    match error {
        DmError::Core(CoreError::Ioctl(_, _, _, errno)) => Some(**errno),
        _ => None,
    }
}

/// An error that names no device.
fn failed(error: &DmError, what: &str) -> Error {
    let error_text = errno(error).map_or_else(|| error.to_string(), |errno| errno.to_string());
    Error::io(format!("device-mapper did not {what}"), error_text)
}

fn refused_by_crate(error: &DmError, what: &str, name: &DmName) -> Error {
    match errno(error) {
        Some(errno) => refused(errno, what, name),
        None => Error::io(format!("the kernel did not {what} {name}"), error.to_string()),
    }
}

fn refused(errno: Errno, what: &str, name: &DmName) -> Error {
    match errno {
        Errno::ENXIO => Error::new(Kind::NotFound, format!("there is no device {name} to {what}")),
        Errno::EBUSY => Error::new(Kind::InUse, format!("the kernel did not {what} {name}: it is in use"))
            .hint(format!(
                "unmount or close it; `dmsetup ls --tree` and `fuser -v /dev/mapper/{name}` show by whom"
            )),
        Errno::EPERM | Errno::EACCES => {
            Error::io(format!("the kernel did not {what} {name}"), errno).hint("run it as root")
        }
        _ => Error::io(format!("the kernel did not {what} {name}"), errno).hint("the kernel's log says why"),
    }
}

fn id(name: &DmName) -> Result<&devicemapper::DmName> {
    devicemapper::DmName::new(name.as_str()).map_err(|error| {
        Error::new(Kind::Internal, format!("bad device name {name}")).with_source(error.to_string())
    })
}

fn uuid(text: &DmUuid) -> Result<&devicemapper::DmUuid> {
    devicemapper::DmUuid::new(text.as_str()).map_err(|error| {
        Error::new(Kind::Internal, format!("bad device uuid {text}")).with_source(error.to_string())
    })
}

fn number(device: devicemapper::Device) -> DevNo {
    DevNo { major: device.major, minor: device.minor }
}

fn info(told: &DeviceInfo) -> Result<Info> {
    let nameless = || Error::new(Kind::Internal, "the kernel told of a device without a name");
    let flags = told.flags();
    Ok(Info {
        name: DmName::new(told.name().ok_or_else(nameless)?.to_string())?,
        uuid: told.uuid().map(|uuid| DmUuid::new(uuid.to_string())).transpose()?,
        number: number(told.device()),
        open_count: u32::try_from(told.open_count()).unwrap_or(0),
        suspended: flags.contains(DmFlags::DM_SUSPEND),
        read_only: flags.contains(DmFlags::DM_READONLY),
        live: flags.contains(DmFlags::DM_ACTIVE_PRESENT),
        inactive: flags.contains(DmFlags::DM_INACTIVE_PRESENT),
    })
}

impl Kernel for Control {
    fn list(&self) -> Result<Vec<Info>> {
        let dm = self.dm()?;
        let listed = dm.list_devices().map_err(|error| failed(&error, "list its devices"))?;
        let mut infos = Vec::with_capacity(listed.len());
        // Devices of others may be called what no volume is: they are none of ours.
        for (name, ..) in listed.into_iter().filter(|(name, ..)| DmName::new(name.to_string()).is_ok()) {
            match dm.device_info(&DevId::Name(&name)) {
                Ok(told) => infos.push(info(&told)?),
                // Removed since it was listed.
                Err(error) if errno(&error) == Some(Errno::ENXIO) => {}
                Err(error) => return Err(failed(&error, &format!("tell of {name:?}"))),
            }
        }
        infos.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(infos)
    }

    fn count(&self) -> Result<usize> {
        let listed = self.dm()?.list_devices().map_err(|error| failed(&error, "list its devices"))?;
        Ok(listed.len())
    }

    fn find(&self, wanted: &DmUuid) -> Result<Option<Info>> {
        match self.dm()?.device_info(&DevId::Uuid(uuid(wanted)?)) {
            Ok(told) => info(&told).map(Some),
            Err(error) if errno(&error) == Some(Errno::ENXIO) => Ok(None),
            Err(error) => Err(failed(&error, &format!("tell of {wanted}"))),
        }
    }

    fn info(&self, name: &DmName) -> Result<Option<Info>> {
        match self.dm()?.device_info(&DevId::Name(id(name)?)) {
            Ok(told) => info(&told).map(Some),
            Err(error) if errno(&error) == Some(Errno::ENXIO) => Ok(None),
            Err(error) => Err(refused_by_crate(&error, "tell of", name)),
        }
    }

    fn events(&self) -> Result<Box<dyn Events>> {
        Ok(Box::new(ControlEvents::new(self.opened()?)))
    }

    fn table(&self, name: &DmName, slot: Slot) -> Result<Table<DevNo>> {
        let slot = match slot {
            Slot::Live => DmFlags::empty(),
            Slot::Inactive => DmFlags::DM_QUERY_INACTIVE_TABLE,
        };
        let options = DmOptions::default().set_flags(DmFlags::DM_STATUS_TABLE | slot);
        let told = self.dm()?.table_status(&DevId::Name(id(name)?), options);
        let (_, lines) = told.map_err(|error| refused_by_crate(&error, "show the table of", name))?;
        let lines = lines.into_iter().map(|(start, length, kind, params)| super::Line {
            start: Sectors(start),
            length: Sectors(length),
            target: Target::parse(&kind, &params),
        });
        Ok(Table(lines.collect()))
    }

    fn status(&self, name: &DmName) -> Result<Vec<Status>> {
        let options = DmOptions::default().set_flags(DmFlags::DM_NOFLUSH);
        let told = self.dm()?.table_status(&DevId::Name(id(name)?), options);
        let (_, lines) = told.map_err(|error| refused_by_crate(&error, "show the status of", name))?;
        Ok(lines.iter().map(|(_, _, kind, text)| Status::parse(kind, text)).collect())
    }

    fn copies_at_once(&self) -> Chunks {
        let told = std::fs::read_to_string(THRESHOLD).ok().and_then(|text| text.trim().parse().ok());
        told.map_or(COPIES_AT_ONCE, Chunks)
    }

    fn message(&self, name: &DmName, message: CloneMessage) -> Result<()> {
        let told = self.dm()?.target_msg(&DevId::Name(id(name)?), Some(0), &message.to_string());
        told.map(drop).map_err(|error| refused_by_crate(&error, &format!("tell {message} to"), name))
    }

    fn create(&self, name: &DmName, wanted: &DmUuid) -> Result<DevNo> {
        let made = self.dm()?.device_create(id(name)?, Some(uuid(wanted)?), DmOptions::default());
        match made {
            Ok(told) => Ok(number(told.device())),
            Err(error) if errno(&error) == Some(Errno::EBUSY) => {
                Err(Error::new(Kind::AlreadyExists, format!("a device has the name {name} or its uuid")))
            }
            Err(error) => Err(refused_by_crate(&error, "make", name)),
        }
    }

    fn load(&self, name: &DmName, table: &Table<DevNo>, read_only: bool) -> Result<()> {
        let flags = if read_only { DmFlags::DM_READONLY } else { DmFlags::empty() };
        let lines: Vec<_> = table
            .0
            .iter()
            .map(|line| {
                let target = &line.target;
                (line.start.get(), line.length.get(), target.kind().to_owned(), target.to_string())
            })
            .collect();
        // The kernel makes the new table beside an inactive one that is there, and of two inactive snapshots of one store it
        // refuses the second (Linux 6.1): so the slot is emptied first.
        if table.reads_store() {
            self.clear(name)?;
        }
        let options = DmOptions::default().set_flags(flags);
        match self.dm()?.table_load(&DevId::Name(id(name)?), &lines, options) {
            Ok(_) => Ok(()),
            Err(error) => Err(self.not_loaded(name, table, &error)),
        }
    }

    fn clear(&self, name: &DmName) -> Result<()> {
        self.fire(Prepared::clear(name), "clear the inactive table of", name)
    }

    fn suspend(&self, name: &DmName, freeze: Freeze) -> Result<()> {
        self.fire(Prepared::suspend(name, freeze), "suspend", name)
    }

    fn resume(&self, name: &DmName, udev: UdevFlags) -> Result<()> {
        self.fire(Prepared::resume(name, udev), "resume", name)
    }

    fn when_closed(&self, mut info: Info) -> Result<Option<Info>> {
        for _ in 0..LOOKS {
            if info.open_count == 0 || self.nodes.has_holders(info.number) {
                break;
            }
            sleep(LOOK_PAUSE);
            match self.info(&info.name)? {
                Some(now) => info = now,
                None => return Ok(None),
            }
        }
        Ok(Some(info))
    }

    fn remove(&self, name: &DmName, udev: UdevFlags) -> Result<()> {
        for pause in BUSY {
            match Prepared::remove(name, udev).fire(self.dm()?.file()) {
                Ok(()) => return Ok(()),
                Err(Errno::EBUSY) => sleep(pause),
                Err(errno) => return Err(refused(errno, "remove", name)),
            }
        }
        self.fire(Prepared::remove(name, udev), "remove", name)
    }

    fn rename(&self, name: &DmName, new: &DmName, udev: UdevFlags) -> Result<()> {
        match Prepared::rename(name, new, udev).fire(self.dm()?.file()) {
            Err(Errno::EBUSY) => {
                let cause = format!("cannot rename {name}: there is a device {new} already");
                Err(Error::new(Kind::AlreadyExists, cause))
            }
            done => done.map_err(|errno| refused(errno, "rename", name)),
        }
    }

    fn switch(&self, steps: &[SwitchStep]) -> Result<SwitchReport> {
        self.switch_before(steps, &())
    }

    fn switch_before(&self, steps: &[SwitchStep], witness: &dyn Witness) -> Result<SwitchReport> {
        self.switches(&[steps], witness)?.run(0)
    }

    fn switches<'k>(
        &'k self,
        all: &[&'k [SwitchStep]],
        witness: &'k dyn Witness,
    ) -> Result<Box<dyn Switches + 'k>> {
        let courses = all.iter().map(|steps| Course::new(self, steps)).collect();
        let refused = |errno, step: &SwitchStep| match step {
            SwitchStep::Suspend(name, _) => refused(errno, "suspend", name),
            SwitchStep::Expect(name, _) if errno == Errno::EBUSY => written(name),
            SwitchStep::Expect(name, _) => refused(errno, "show the status of", name),
            SwitchStep::Resume(name, _) => refused(errno, "resume", name),
        };
        let guarded = Guarded::new(self.dm()?.file(), self.freeze_budget, witness, refused, courses)?;
        Ok(Box::new(guarded))
    }

    fn supports(&self, target_type: &str) -> Result<bool> {
        if self.has_target(target_type)? {
            return Ok(true);
        }
        match Prepared::target_version(&DmName::new(target_type)?).fire(self.dm()?.file()) {
            Ok(()) => Ok(true),
            // A kernel before 5.4 does not know the question: the load will tell.
            Err(Errno::ENOTTY) => Ok(true),
            Err(_) => Ok(false),
        }
    }

    fn publish(&self, name: &DmName, number: DevNo, link: Option<&Path>) -> Result<()> {
        self.nodes.publish(name, number, link)
    }

    fn paths(&self, devices: usize) -> Box<dyn Paths + '_> {
        Box::new(self.nodes.look(devices))
    }

    fn retract(&self, name: &DmName, link: Option<&Path>) -> Result<()> {
        self.nodes.retract(name, link)
    }
}
