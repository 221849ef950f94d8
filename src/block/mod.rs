//! Block devices: finding them, reading and writing them, and knowing who else uses them.
//!
//! Everything above speaks to the traits here: [`Device`] is one open block device, [`Devices`] is the host's set
//! of them. The real ones read and write with O_DIRECT (the kernel's COW code and lvm2 bypass the page cache, so a
//! cached read may be stale) and find devices through sysfs; [`mem`] holds the ones for tests. This room knows
//! nothing of LVM or device-mapper.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use crate::error::{Error, Kind, Result};
use crate::units::Bytes;

mod alias;
mod buffer;
pub mod device;
pub mod grow;
mod ioctl;
pub mod mem;
mod meter;
pub mod mounts;
pub mod probe;
pub mod sysfs;
pub mod users;

pub use alias::Identity;
pub use meter::Meter;

/// A block device's number, printed as `major:minor`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DevNo {
    /// The driver.
    pub major: u32,
    /// The device within the driver.
    pub minor: u32,
}

impl fmt::Display for DevNo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.major, self.minor)
    }
}

impl DevNo {
    /// From a number as stat(2) has it.
    pub(crate) fn of(number: u64) -> Self {
        let part = |value: u64| u32::try_from(value).unwrap_or(u32::MAX);
        Self { major: part(nix::sys::stat::major(number)), minor: part(nix::sys::stat::minor(number)) }
    }
}

impl FromStr for DevNo {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let parsed = text
            .trim()
            .split_once(':')
            .and_then(|(major, minor)| Some(Self { major: major.parse().ok()?, minor: minor.parse().ok()? }));
        parsed.ok_or_else(|| Error::new(Kind::Internal, format!("\"{text}\" is not a device number")))
    }
}

/// One open block device. Offsets and lengths need no alignment: an implementation that needs it reads, changes
/// and writes whole logical blocks. `&self`: callers order their writes by locks of their own.
pub trait Device: Send + Sync + fmt::Debug {
    /// The path that it was opened by, for messages.
    fn path(&self) -> &Path;

    /// Its number.
    fn number(&self) -> DevNo;

    /// Its size when it was opened.
    fn size(&self) -> Bytes;

    /// The logical block size, 512 bytes or more.
    fn block_size(&self) -> Bytes;

    /// Fills `buffer` from `offset`. Reading past the end is an error.
    fn read_at(&self, offset: Bytes, buffer: &mut [u8]) -> Result<()>;

    /// Writes `data` at `offset`. Not durable before [`Device::flush`] returns.
    fn write_at(&self, offset: Bytes, data: &[u8]) -> Result<()>;

    /// Writes zeroes over a range.
    fn zero(&self, offset: Bytes, length: Bytes) -> Result<()>;

    /// Says that nobody needs what a range holds. Refused where the device cannot be told so.
    fn discard(&self, _offset: Bytes, _length: Bytes) -> Result<()> {
        Err(Error::new(Kind::Internal, format!("{} takes no discards", self.path().display())))
    }

    /// Returns when everything written before is on stable storage.
    fn flush(&self) -> Result<()>;
}

/// What is known of a block device without opening it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Its number.
    pub number: DevNo,
    /// The path to open it by, `/dev/sda`; for a device-mapper device `/dev/mapper/NAME`.
    pub path: PathBuf,
    /// Its size.
    pub size: Bytes,
    /// True if it refuses writes.
    pub read_only: bool,
    /// The device-mapper uuid (may be empty), for a device-mapper device.
    pub dm_uuid: Option<String>,
    /// True if it is a leg of an md array, a path of a multipath device, or a partition of one: its content is seen through that.
    pub component: bool,
    /// True if it carries partitions: it is then no physical volume itself.
    pub partitioned: bool,
}

/// Why a device may not be a physical volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unusable {
    /// In words, behind the device's name: `is itself a logical volume`.
    pub what: String,
    /// The way out.
    pub hint: &'static str,
    /// True if it only has to be listed: see [`Devices::adopt`].
    pub unlisted: bool,
}

/// The uuid of a logical volume's device: this, the group's identity and the volume's, and a suffix if it is a layer.
const LV_PREFIX: &str = "LVM-";
const LV_UUID: usize = LV_PREFIX.len() + 64;

impl Listed {
    /// Nothing unless it is a logical volume's device; `lvs` allows those that are no layers of others.
    pub fn layer(&self, lvs: bool) -> Option<Unusable> {
        let uuid = self.dm_uuid.as_deref().filter(|uuid| uuid.starts_with(LV_PREFIX))?;
        let is_allowed = lvs && uuid.len() == LV_UUID;
        let what = "is itself a logical volume".to_owned();
        (!is_allowed).then_some(Unusable { what, hint: "name a disk or a partition", unlisted: false })
    }
}

/// How a device is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// For reading.
    Read,
    /// For reading and writing.
    Write,
    /// For writing, alone: fails with [`Kind::InUse`] if it is mounted or a holder claims it (O_EXCL).
    Exclusive,
}

/// The host's block devices and the file systems on them.
pub trait Devices: Send + Sync {
    /// Every block device that may hold data (no empty loop devices, no optical disks, no compressed memory), ordered by number.
    fn list(&self) -> Result<Vec<Listed>>;

    /// The same without those that are told by little to be logical volumes: there may be thousands. Others may be among them.
    fn list_disks(&self) -> Result<Vec<Listed>> {
        self.list()
    }

    /// Why a device may not be a physical volume on this host, whatever it holds; nothing if it may.
    fn unusable(&self, listed: &Listed) -> Option<Unusable> {
        listed.layer(false)
    }

    /// False if a device shall not be looked at for physical volumes; or, once it is known which one is on it, not as that.
    fn admits(&self, listed: &Listed, _pvid: Option<&str>) -> bool {
        self.unusable(listed).is_none()
    }

    /// Lists a device as the place of a physical volume, where devices are listed.
    fn adopt(&self, _listed: &Listed, _pvid: &str) -> Result<()> {
        Ok(())
    }

    /// Notes, where devices are listed, that there is no physical volume on this one.
    fn disown(&self, _listed: &Listed) -> Result<()> {
        Ok(())
    }

    /// What is known of the device at `path`. [`Kind::NotFound`] if there is nothing, [`Kind::Usage`] if it is no
    /// block device.
    fn lookup(&self, path: &Path) -> Result<Listed>;

    /// Opens the device at `path`.
    fn open(&self, path: &Path, access: Access) -> Result<Arc<dyn Device>>;

    /// The counter of what is written to a device; none if nobody counts.
    fn meter(&self, _number: DevNo) -> Result<Option<Box<dyn Meter>>> {
        Ok(None)
    }

    /// Where the device's file system is mounted, as this process sees it; `[SWAP]` for swap in use.
    fn mounts(&self, number: DevNo) -> Result<Vec<PathBuf>>;

    /// Who else has the device open, in words: devices that are built on it, and processes where that can be seen.
    fn users(&self, _number: DevNo) -> Result<Vec<String>> {
        Ok(Vec::new())
    }

    /// Writes back what the file systems mounted from the device hold dirty. Nothing mounted: nothing done.
    fn sync_mounted(&self, number: DevNo) -> Result<()>;

    /// An error unless a file system is mounted from the device that can be grown while it is.
    fn check_growable(&self, number: DevNo) -> Result<()>;

    /// Grows the file system mounted from the device to `size`, which the device has.
    fn grow_mounted(&self, number: DevNo, size: Bytes) -> Result<()>;
}
