//! The host's devices under lvm2's rules: which may be physical volumes, and none that does not answer holds up the rest.
//!
//! A device that does not answer (a dead disk, a suspended mapping) is given up after a time: what is on it is missing then.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::choice::Choice;
use super::devices_file::DevicesFile;
use crate::block::sysfs::SysDevices;
use crate::block::{Access, DevNo, Device, Devices, Identity, Listed, Unusable};
use crate::error::Result;
use crate::units::Bytes;

mod patience;

use patience::Patience;

/// Disks that sleep take some seconds to wake.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// Devices under rules.
pub struct ChosenDevices {
    devices: Arc<dyn Devices>,
    names: SysDevices,
    choice: Choice,
    patience: Patience,
    /// The devices file, if one is obeyed.
    file: Option<DevicesFile>,
    aliases: Mutex<BTreeMap<DevNo, Vec<PathBuf>>>,
}

impl ChosenDevices {
    /// These devices, under these rules; a device has `patience` to answer.
    pub fn new(devices: Arc<dyn Devices>, choice: Choice, patience: Duration) -> Self {
        let names = SysDevices::default();
        let patience = Patience::new(devices.clone(), names.clone(), patience);
        Self { devices, names, choice, patience, file: None, aliases: Mutex::default() }
    }

    /// The same; devices that become physical volumes are put into this file.
    #[must_use]
    pub fn listing_in(self, file: Option<DevicesFile>) -> Self {
        Self { file, ..self }
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

impl Devices for ChosenDevices {
    fn list(&self) -> Result<Vec<Listed>> {
        if self.choice.asks_for_names() {
            *self.aliases.lock().unwrap_or_else(PoisonError::into_inner) = self.names.aliases();
        }
        self.devices.list()
    }

    fn unusable(&self, listed: &Listed) -> Option<Unusable> {
        self.known(listed, |one| self.choice.against(one.listed, one.aliases, one.identity))
    }

    fn admits(&self, listed: &Listed, pvid: Option<&str>) -> bool {
        self.known(listed, |one| self.choice.admits(one.listed, one.aliases, one.identity, pvid))
    }

    fn adopt(&self, listed: &Listed, pvid: &str) -> Result<()> {
        self.relist(listed, |text, one| Choice::listing(text, one.listed, one.aliases, one.identity, pvid))
    }

    fn disown(&self, listed: &Listed) -> Result<()> {
        self.relist(listed, |text, one| {
            Choice::listing_without_pv(text, one.listed, one.aliases, one.identity)
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

    fn mounts(&self, number: DevNo) -> Result<Vec<PathBuf>> {
        self.devices.mounts(number)
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
