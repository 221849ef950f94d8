//! The host's devices under lvm2's rules: which may be physical volumes, and none that does not answer holds up the rest.
//!
//! A device that does not answer (a dead disk, a suspended mapping) is given up after a time: what is on it is missing then.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard};
use std::time::Duration;

use super::admission::Admission;
use super::devices_file::{DevicesFile, Version};
use crate::block::sysfs::SysDevices;
use crate::block::{Access, DevNo, Device, Devices, Identity, Listed, Meter, Unusable};
use crate::error::Result;
use crate::units::Bytes;

mod patience;

use patience::Patience;

/// Disks that sleep take some seconds to wake.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// Devices under rules.
pub struct AdmittedDevices {
    devices: Arc<dyn Devices>,
    names: SysDevices,
    admission: RwLock<Admission>,
    patience: Patience,
    /// The devices file, if one is obeyed.
    file: Option<DevicesFile>,
    /// Which version of that the admission is made by.
    read: Mutex<Option<Version>>,
    aliases: Mutex<BTreeMap<DevNo, Vec<PathBuf>>>,
}

impl AdmittedDevices {
    /// These devices, of which sysfs has the names, under these rules; a device has `patience` to answer. Where there is a devices
    /// file, what is in it counts, whenever that changes, and devices that become physical volumes are put into it.
    pub fn new(
        devices: Arc<dyn Devices>,
        names: SysDevices,
        admission: Admission,
        file: Option<DevicesFile>,
        patience: Duration,
    ) -> Result<Self> {
        let patience = Patience::new(devices.clone(), names.clone(), patience);
        let (admission, read, aliases) = (RwLock::new(admission), Mutex::default(), Mutex::default());
        let admitted = Self { devices, names, admission, patience, file, read, aliases };
        admitted.reread().map(|()| admitted)
    }

    /// Brings up to date what devices are judged by.
    fn refresh(&self) -> Result<()> {
        self.reread()?;
        if self.admission().asks_for_names() {
            *self.aliases.lock().unwrap_or_else(PoisonError::into_inner) = self.names.aliases();
        }
        Ok(())
    }

    /// Reads the devices file again if it is another one by now.
    fn reread(&self) -> Result<()> {
        let Some(file) = &self.file else { return Ok(()) };
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        let version = file.version()?;
        if version != *read {
            self.admission.write().unwrap_or_else(PoisonError::into_inner).list(file.read()?.as_deref());
            *read = version;
        }
        Ok(())
    }

    fn admission(&self) -> RwLockReadGuard<'_, Admission> {
        self.admission.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the devices file's text for a device, which is known by its own name there whatever name it was asked for by.
    fn relist(
        &self,
        listed: &Listed,
        change: impl Fn(&str, &Known<'_>) -> Result<Option<String>>,
    ) -> Result<()> {
        let Some(file) = &self.file else { return Ok(()) };
        let all = self.list()?;
        let own = all.iter().find(|one| one.number == listed.number).unwrap_or(listed);
        self.known(own, |known| file.change(|text| change(text, known)))
    }

    fn known<T>(&self, listed: &Listed, ask: impl FnOnce(&Known<'_>) -> T) -> T {
        let identity = |kind| self.names.identity(listed.number, kind);
        ask(&Known { listed, aliases: &self.aliases_of(listed), identity: &identity })
    }

    fn aliases_of(&self, listed: &Listed) -> Vec<PathBuf> {
        let aliases = self.aliases.lock().unwrap_or_else(PoisonError::into_inner);
        let mut own = aliases.get(&listed.number).cloned().unwrap_or_default();
        if !own.contains(&listed.path) {
            own.push(listed.path.clone());
        }
        own
    }
}

/// A device and what it is known by.
struct Known<'a> {
    listed: &'a Listed,
    aliases: &'a [PathBuf],
    identity: &'a dyn Fn(Identity) -> Option<String>,
}

impl Devices for AdmittedDevices {
    fn list(&self) -> Result<Vec<Listed>> {
        self.refresh()?;
        self.devices.list()
    }

    fn list_disks(&self) -> Result<Vec<Listed>> {
        self.refresh()?;
        if self.admission().scans_lvs() { self.devices.list() } else { self.devices.list_disks() }
    }

    fn unusable(&self, listed: &Listed) -> Option<Unusable> {
        self.known(listed, |one| self.admission().against(one.listed, one.aliases, one.identity))
    }

    fn admits(&self, listed: &Listed, pvid: Option<&str>) -> bool {
        self.known(listed, |one| self.admission().admits(one.listed, one.aliases, one.identity, pvid))
    }

    fn adopt(&self, listed: &Listed, pvid: &str) -> Result<()> {
        self.relist(listed, |text, one| Admission::listing(text, one.listed, one.aliases, one.identity, pvid))
    }

    fn disown(&self, listed: &Listed) -> Result<()> {
        self.relist(listed, |text, one| {
            Admission::listing_without_pv(text, one.listed, one.aliases, one.identity)
        })
    }

    fn lookup(&self, path: &Path) -> Result<Listed> {
        self.devices.lookup(path)
    }

    fn open(&self, path: &Path, access: Access) -> Result<Arc<dyn Device>> {
        if access != Access::Read {
            return self.devices.open(path, access);
        }
        self.patience.open(path)
    }

    fn meter(&self, number: DevNo) -> Result<Option<Box<dyn Meter>>> {
        self.devices.meter(number)
    }

    fn mounts(&self, number: DevNo) -> Result<Vec<PathBuf>> {
        self.devices.mounts(number)
    }

    fn users(&self, number: DevNo) -> Result<Vec<String>> {
        self.devices.users(number)
    }

    fn sync_mounted(&self, number: DevNo) -> Result<()> {
        self.devices.sync_mounted(number)
    }

    fn check_growable(&self, number: DevNo) -> Result<()> {
        self.devices.check_growable(number)
    }

    fn grow_mounted(&self, number: DevNo, size: Bytes) -> Result<()> {
        self.devices.grow_mounted(number, size)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::block::mem::MemDevices;
    use crate::lvm::settings::Settings;

    #[test]
    fn a_devices_file_that_changes_is_obeyed_as_it_is() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("system.devices");
        let (host, nowhere) = (MemDevices::new(), directory.path().to_owned());
        host.add("/dev/sda", Bytes::mib(4));
        let names = SysDevices { sys: nowhere.clone(), dev: nowhere };
        let admission = Admission::new(&Settings::default().devices, None, None).unwrap();
        let file = Some(DevicesFile::new(&path, directory.path()));
        let admitted = AdmittedDevices::new(Arc::new(host), names, admission, file, PATIENCE).unwrap();
        let is_usable = || {
            let listed = admitted.list().unwrap().remove(0);
            admitted.unusable(&listed).is_none()
        };
        let entry =
            |name: &str| format!("VERSION=1.1.1\nIDTYPE=devname IDNAME={name} DEVNAME={name} PVID=.\n");
        assert!(is_usable());
        for (name, usable) in [("/dev/sdbb", false), ("/dev/sda", true), ("/dev/sdc", false)] {
            let new = directory.path().join("new");
            std::fs::write(&new, entry(name)).unwrap();
            std::fs::rename(&new, &path).unwrap();
            assert_eq!(is_usable(), usable, "{name}");
        }
        std::fs::remove_file(&path).unwrap();
        assert!(is_usable());
    }
}
