//! A host's block devices in memory, with the mounts and holders that a test wants them to have.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{Image, Log, MemDevice, Record};
use crate::block::{Access, DevNo, Device, Devices, Listed, Meter};
use crate::error::{Context, Error, Kind, Result};
use crate::units::Bytes;

/// The driver number that devices in memory get (in the kernel's list: for experiments).
const MAJOR: u32 = 240;

/// What a test may say of a device beside its content.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Attributes {
    /// Refuses writes.
    pub read_only: bool,
    /// Carries partitions.
    pub partitioned: bool,
    /// Is a leg of an array, or a path of a multipath device.
    pub component: bool,
    /// The device-mapper uuid.
    pub dm_uuid: Option<String>,
    /// The devices built on it.
    pub holders: Vec<DevNo>,
    /// Where it is mounted.
    pub mounts: Vec<PathBuf>,
    /// Other paths that lead to it.
    pub links: Vec<PathBuf>,
}

#[derive(Debug)]
struct Entry {
    device: Arc<MemDevice>,
    attributes: Attributes,
    claimed: bool,
    syncs: u32,
}

/// A host's block devices in memory, with one log. Copies are the same host.
#[derive(Debug, Clone, Default)]
pub struct MemDevices {
    entries: Arc<Mutex<BTreeMap<DevNo, Entry>>>,
    log: Log,
}

impl MemDevices {
    /// A host without devices.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a zeroed device with blocks of 512 bytes.
    pub fn add(&self, path: impl Into<PathBuf>, size: Bytes) -> Arc<MemDevice> {
        self.add_with_block_size(path, size, Bytes(512))
    }

    /// Adds a zeroed device.
    pub fn add_with_block_size(&self, path: impl Into<PathBuf>, size: Bytes, block: Bytes) -> Arc<MemDevice> {
        let minor = self.entries().keys().next_back().map_or(0, |last| last.minor + 1);
        let number = DevNo { major: MAJOR, minor };
        let device = Arc::new(MemDevice::with_log(path.into(), number, size, block, self.log.clone()));
        self.insert(Arc::clone(&device), Attributes::default());
        device
    }

    /// Takes a device away, as if it were unplugged; open handles stay usable.
    pub fn remove(&self, path: &Path) -> Option<Arc<MemDevice>> {
        let number = self.find(path)?;
        self.entries().remove(&number).map(|entry| entry.device)
    }

    /// Brings back a device that was taken away.
    pub fn plug(&self, device: Arc<MemDevice>) {
        self.insert(device, Attributes::default());
    }

    /// The device at `path`.
    pub fn device(&self, path: impl AsRef<Path>) -> Option<Arc<MemDevice>> {
        self.by_number(self.find(path.as_ref())?)
    }

    /// The device with this number.
    pub fn by_number(&self, number: DevNo) -> Option<Arc<MemDevice>> {
        self.entries().get(&number).map(|entry| Arc::clone(&entry.device))
    }

    /// Changes what is said of the device at `path`; nothing if there is none.
    pub fn set(&self, path: impl AsRef<Path>, change: impl FnOnce(&mut Attributes)) {
        let Some(number) = self.find(path.as_ref()) else {
            return;
        };
        if let Some(entry) = self.entries().get_mut(&number) {
            change(&mut entry.attributes);
        }
    }

    /// The writes and flushes of all devices.
    pub fn log(&self) -> &Log {
        &self.log
    }

    /// Takes the present contents as stable and begins the log anew: what comes next is under test.
    pub fn settle(&self) {
        let entries = self.entries();
        for entry in entries.values() {
            entry.device.settle();
        }
        self.log.clear();
    }

    /// The contents of all devices, to compare with.
    pub fn images(&self) -> BTreeMap<DevNo, Image> {
        self.entries().iter().map(|(number, entry)| (*number, entry.device.image())).collect()
    }

    /// The same host at this moment, with a log that begins now: what happens to either does not happen to the other.
    #[must_use]
    pub fn fork(&self) -> Self {
        let host = Self::new();
        for entry in self.entries().values() {
            let device = entry.device.reborn(entry.device.image(), host.log.clone());
            host.insert(Arc::new(device), entry.attributes.clone());
        }
        host
    }

    /// How often the file systems on the device were synced.
    pub fn syncs(&self, number: DevNo) -> u32 {
        self.entries().get(&number).map_or(0, |entry| entry.syncs)
    }

    /// The same host after a restart: the contents at the log's beginning with `records` done to them; nothing
    /// is mounted, held or claimed.
    pub(super) fn reborn(&self, records: &[Record]) -> Self {
        let host = Self::new();
        for entry in self.entries().values() {
            let mut image = entry.device.base();
            let own = records.iter().filter(|record| record.device == entry.device.number());
            own.for_each(|record| record.event.apply(&mut image));
            let attributes =
                Attributes { holders: Vec::new(), mounts: Vec::new(), ..entry.attributes.clone() };
            host.insert(Arc::new(entry.device.reborn(image, host.log.clone())), attributes);
        }
        host
    }

    fn insert(&self, device: Arc<MemDevice>, attributes: Attributes) {
        let entry = Entry { device, attributes, claimed: false, syncs: 0 };
        self.entries().insert(entry.device.number(), entry);
    }

    fn find(&self, path: &Path) -> Option<DevNo> {
        let entries = self.entries();
        let mut all = entries.iter();
        all.find(|(_, entry)| entry.is_at(path)).map(|(number, _)| *number)
    }

    fn entries(&self) -> MutexGuard<'_, BTreeMap<DevNo, Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn missing(path: &Path) -> Error {
        Error::new(Kind::NotFound, format!("there is no device {}", path.display()))
            .at(Context::Device(path.to_owned()))
    }
}

impl Entry {
    fn is_at(&self, path: &Path) -> bool {
        self.device.path() == path || self.attributes.links.iter().any(|link| link == path)
    }

    fn listed(&self) -> Listed {
        let attributes = self.attributes.clone();
        Listed {
            number: self.device.number(),
            path: self.device.path().to_owned(),
            size: self.device.size(),
            read_only: attributes.read_only,
            dm_uuid: attributes.dm_uuid,
            component: attributes.component,
            partitioned: attributes.partitioned,
        }
    }

    fn claim(&mut self) -> Result<()> {
        let path = self.device.path().display();
        let by = match (self.attributes.mounts.first(), self.attributes.holders.first()) {
            (Some(mount), _) => format!("mounted on {}", mount.display()),
            (None, Some(holder)) => format!("held by device {holder}"),
            (None, None) if self.claimed => "claimed by another process".to_owned(),
            (None, None) => {
                self.claimed = true;
                return Ok(());
            }
        };
        Err(Error::new(Kind::InUse, format!("{path} is in use: {by}"))
            .at(Context::Device(self.device.path().to_owned())))
    }
}

impl Devices for MemDevices {
    fn list(&self) -> Result<Vec<Listed>> {
        Ok(self.entries().values().map(Entry::listed).collect())
    }

    fn lookup(&self, path: &Path) -> Result<Listed> {
        let number = self.find(path).ok_or_else(|| Self::missing(path))?;
        self.entries().get(&number).map(Entry::listed).ok_or_else(|| Self::missing(path))
    }

    fn open(&self, path: &Path, access: Access) -> Result<Arc<dyn Device>> {
        let number = self.find(path).ok_or_else(|| Self::missing(path))?;
        let mut entries = self.entries();
        let entry = entries.get_mut(&number).ok_or_else(|| Self::missing(path))?;
        if access != Access::Read && entry.attributes.read_only {
            return Err(Error::new(Kind::Refused, format!("{} is read-only", path.display())));
        }
        if access == Access::Exclusive {
            entry.claim()?;
        }
        let device = Arc::clone(&entry.device);
        Ok(Arc::new(Handle { host: self.clone(), path: path.to_owned(), device, access }))
    }

    fn meter(&self, number: DevNo) -> Result<Option<Box<dyn Meter>>> {
        Ok(self.by_number(number).map(|device| Box::new(device) as Box<dyn Meter>))
    }

    fn mounts(&self, number: DevNo) -> Result<Vec<PathBuf>> {
        Ok(self.entries().get(&number).map(|entry| entry.attributes.mounts.clone()).unwrap_or_default())
    }

    fn sync_mounted(&self, number: DevNo) -> Result<()> {
        if let Some(entry) = self.entries().get_mut(&number)
            && !entry.attributes.mounts.is_empty()
        {
            entry.syncs += 1;
        }
        Ok(())
    }

    fn check_growable(&self, number: DevNo) -> Result<()> {
        if self.mounts(number)?.is_empty() {
            return Err(Error::new(Kind::InUse, "no file system is mounted from it"));
        }
        Ok(())
    }

    fn grow_mounted(&self, number: DevNo, _size: Bytes) -> Result<()> {
        self.check_growable(number)
    }
}

/// One opening of a device: what it may do, and the claim that its end gives back.
#[derive(Debug)]
struct Handle {
    host: MemDevices,
    path: PathBuf,
    device: Arc<MemDevice>,
    access: Access,
}

impl Handle {
    fn check_writable(&self) -> Result<()> {
        if self.access != Access::Read {
            return Ok(());
        }
        Err(Error::new(Kind::Internal, format!("{} was opened for reading", self.path.display())))
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        if self.access == Access::Exclusive
            && let Some(entry) = self.host.entries().get_mut(&self.device.number())
        {
            entry.claimed = false;
        }
    }
}

impl Device for Handle {
    fn path(&self) -> &Path {
        &self.path
    }

    fn number(&self) -> DevNo {
        self.device.number()
    }

    fn size(&self) -> Bytes {
        self.device.size()
    }

    fn block_size(&self) -> Bytes {
        self.device.block_size()
    }

    fn read_at(&self, offset: Bytes, buffer: &mut [u8]) -> Result<()> {
        self.device.read_at(offset, buffer)
    }

    fn write_at(&self, offset: Bytes, data: &[u8]) -> Result<()> {
        self.check_writable()?;
        self.device.write_at(offset, data)
    }

    fn zero(&self, offset: Bytes, length: Bytes) -> Result<()> {
        self.check_writable()?;
        self.device.zero(offset, length)
    }

    fn flush(&self) -> Result<()> {
        self.device.flush()
    }
}
