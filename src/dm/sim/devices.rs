//! The simulated host's block devices: its disks, and its device-mapper devices with the content that they map to.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use super::call::Call;
use super::io::Content;
use super::{SimKernel, State};
use crate::block::mem::MemDevices;
use crate::block::{Access, DevNo, Device, Devices, Listed, Meter};
use crate::dm::{DmName, in_use, no_such_device};
use crate::error::{Error, Kind, Result};
use crate::units::Bytes;

/// Implements [`Devices`] over the simulated kernel. Copies are the same host.
#[derive(Debug, Clone)]
pub struct SimDevices {
    kernel: SimKernel,
    disks: MemDevices,
    mounts: Arc<Mutex<BTreeMap<DevNo, Vec<PathBuf>>>>,
    /// What file systems were grown to.
    grown: Arc<Mutex<BTreeMap<DevNo, Bytes>>>,
}

impl SimDevices {
    pub(super) fn new(kernel: SimKernel, disks: MemDevices) -> Self {
        Self { kernel, disks, mounts: Arc::default(), grown: Arc::default() }
    }

    /// The same host at this moment, and nothing of what happens to either happens to the other: its disks and their log, its kernel and
    /// its mounts are its own. What is to be called or to fail stays behind.
    #[must_use]
    pub fn fork(&self) -> Self {
        let (disks, kernel) = (self.disks.fork(), self.kernel.fork());
        kernel.state().disks = disks.clone();
        let mounts = Mutex::new(self.lock_mounts().clone());
        let grown = self.grown.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Self { kernel, disks, mounts: Arc::new(mounts), grown: Arc::new(Mutex::new(grown)) }
    }

    /// Its disks.
    pub fn disks(&self) -> &MemDevices {
        &self.disks
    }

    /// Its kernel.
    pub fn kernel(&self) -> &SimKernel {
        &self.kernel
    }

    /// Mounts a device-mapper device: it is open until [`SimDevices::unmount`].
    pub fn mount(&self, name: &DmName, on: impl Into<PathBuf>) {
        let Some(number) = self.number(name) else { return };
        self.lock_mounts().entry(number).or_default().push(on.into());
        self.kernel.hold(name);
    }

    /// Unmounts it everywhere.
    pub fn unmount(&self, name: &DmName) {
        let Some(number) = self.number(name) else { return };
        let mounts = self.lock_mounts().remove(&number).unwrap_or_default();
        mounts.iter().for_each(|_| self.kernel.release(name));
    }

    /// What the file system on a device-mapper device was last grown to.
    pub fn file_system(&self, name: &DmName) -> Option<Bytes> {
        self.grown.lock().unwrap_or_else(PoisonError::into_inner).get(&self.number(name)?).copied()
    }

    fn number(&self, name: &DmName) -> Option<DevNo> {
        self.kernel.state().nodes.get(name).map(|node| node.number)
    }

    fn lock_mounts(&self) -> std::sync::MutexGuard<'_, BTreeMap<DevNo, Vec<PathBuf>>> {
        self.mounts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The device-mapper device at `/dev/mapper/NAME` or a published link.
    /// A device without a live table has no size, and is not there for programs.
    fn mapped(state: &State, path: &Path) -> Option<DmName> {
        let by_node = state.nodes.names().find(|name| mapper(name) == path);
        let links = || state.published.iter().find(|(_, (_, link))| link.as_deref() == Some(path));
        let has_size = |name: &&DmName| state.nodes.get(name).is_some_and(|node| !node.size().is_zero());
        by_node.or_else(|| links().map(|(name, _)| name)).filter(has_size).cloned()
    }

    fn listed(&self, state: &State, name: &DmName) -> Option<Listed> {
        let node = state.nodes.get(name)?;
        Some(Listed {
            number: node.number,
            path: mapper(name),
            size: node.size().bytes(),
            read_only: node.live.as_ref().is_some_and(|live| live.read_only),
            dm_uuid: Some(node.uuid.as_str().to_owned()),
            component: false,
            partitioned: false,
        })
    }
}

fn mapper(name: &DmName) -> PathBuf {
    Path::new("/dev/mapper").join(name.as_str())
}

/// The devices whose live table names this one; the kernel shows no others.
fn holders(state: &State, number: DevNo) -> Vec<DevNo> {
    let holds = |node: &super::node::Node| {
        node.live.as_ref().is_some_and(|live| live.table.references().contains(&number))
    };
    state.nodes.iter().filter(|(_, node)| holds(node)).map(|(_, node)| node.number).collect()
}

impl Devices for SimDevices {
    fn list(&self) -> Result<Vec<Listed>> {
        let mut all = self.disks.list()?;
        let state = self.kernel.state();
        all.extend(state.nodes.names().filter_map(|name| self.listed(&state, name)));
        all.retain(|listed| !listed.size.is_zero());
        all.sort_by_key(|listed| listed.number);
        Ok(all)
    }

    fn lookup(&self, path: &Path) -> Result<Listed> {
        let state = self.kernel.state();
        if let Some(name) = Self::mapped(&state, path) {
            return self.listed(&state, &name).ok_or_else(|| no_such_device(&name));
        }
        self.disks.lookup(path)
    }

    fn open(&self, path: &Path, access: Access) -> Result<Arc<dyn Device>> {
        let state = self.kernel.state();
        let Some(name) = Self::mapped(&state, path) else {
            let listed = self.disks.lookup(path)?;
            if access == Access::Exclusive
                && let Some(holder) = holders(&state, listed.number).first()
            {
                let cause = format!("{} is in use: held by device {holder}", path.display());
                return Err(Error::new(Kind::InUse, cause));
            }
            return self.disks.open(path, access);
        };
        let node = state.nodes.existing(&name)?;
        let is_claimed = || self.lock_mounts().contains_key(&node.number);
        if access == Access::Exclusive && (is_claimed() || !holders(&state, node.number).is_empty()) {
            return Err(in_use(&name, "it is mounted or held by another device"));
        }
        if access != Access::Read && node.live.as_ref().is_some_and(|live| live.read_only) {
            return Err(Error::new(Kind::Refused, format!("{} is read-only", path.display())));
        }
        let (number, size) = (node.number, node.size().bytes());
        drop(state);
        self.kernel.hold(&name);
        let (kernel, path) = (self.kernel.clone(), path.to_owned());
        Ok(Arc::new(Mapped { kernel, name, path, number, size, access }))
    }

    fn meter(&self, number: DevNo) -> Result<Option<Box<dyn Meter>>> {
        self.disks.meter(number)
    }

    fn mounts(&self, number: DevNo) -> Result<Vec<PathBuf>> {
        let own = self.lock_mounts().get(&number).cloned();
        own.map_or_else(|| self.disks.mounts(number), Ok)
    }

    fn sync_mounted(&self, number: DevNo) -> Result<()> {
        if self.lock_mounts().contains_key(&number) {
            let mut state = self.kernel.state();
            let name =
                state.nodes.iter().find(|(_, node)| node.number == number).map(|(name, _)| name.clone());
            name.into_iter().for_each(|name| state.note(&Call::Sync(name)));
        }
        self.disks.sync_mounted(number)
    }

    fn check_growable(&self, number: DevNo) -> Result<()> {
        if self.mounts(number)?.is_empty() {
            return Err(Error::new(Kind::InUse, "no file system is mounted from it"));
        }
        Ok(())
    }

    fn grow_mounted(&self, number: DevNo, size: Bytes) -> Result<()> {
        self.check_growable(number)?;
        let device = self.list()?.into_iter().find(|listed| listed.number == number);
        if device.is_none_or(|device| device.size < size) {
            return Err(Error::new(Kind::Internal, "the device is smaller than its file system shall be"));
        }
        self.grown.lock().unwrap_or_else(PoisonError::into_inner).insert(number, size);
        Ok(())
    }
}

/// An open device-mapper device.
#[derive(Debug)]
struct Mapped {
    kernel: SimKernel,
    name: DmName,
    path: PathBuf,
    number: DevNo,
    size: Bytes,
    access: Access,
}

impl Drop for Mapped {
    fn drop(&mut self) {
        self.kernel.release(&self.name);
    }
}

impl Mapped {
    fn check_writable(&self) -> Result<()> {
        if self.access != Access::Read {
            return Ok(());
        }
        Err(Error::new(Kind::Internal, format!("{} was opened for reading", self.path.display())))
    }
}

impl Device for Mapped {
    fn path(&self) -> &Path {
        &self.path
    }

    fn number(&self) -> DevNo {
        self.number
    }

    fn size(&self) -> Bytes {
        self.size
    }

    fn block_size(&self) -> Bytes {
        Bytes(512)
    }

    fn read_at(&self, offset: Bytes, buffer: &mut [u8]) -> Result<()> {
        self.kernel.state().read(self.number, offset, buffer)
    }

    fn write_at(&self, offset: Bytes, data: &[u8]) -> Result<()> {
        self.check_writable()?;
        self.kernel.state().write(self.number, offset, Content::Data(data))
    }

    fn zero(&self, offset: Bytes, length: Bytes) -> Result<()> {
        self.check_writable()?;
        self.kernel.state().write(self.number, offset, Content::Zeroes(length))
    }

    fn discard(&self, offset: Bytes, length: Bytes) -> Result<()> {
        self.check_writable()?;
        self.kernel.state().discard_clone(&self.name, offset, length)
    }

    fn flush(&self) -> Result<()> {
        self.kernel.state().flush(self.number)
    }
}
