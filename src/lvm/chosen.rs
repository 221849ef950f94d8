//! The host's devices under lvm2's rules: which may be physical volumes, and none that does not answer holds up the rest.
//!
//! A device that does not answer (a dead disk, a suspended mapping) is given up after a time: what is on it is missing then. The
//! thread that waits for it cannot be ended and goes on waiting.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::choice::Choice;
use super::devices_file::DevicesFile;
use crate::block::sysfs::SysDevices;
use crate::block::{Access, DevNo, Device, Devices, Identity, Listed, Unusable};
use crate::error::{Context, Error, Kind, Result};
use crate::units::Bytes;

/// Disks that sleep take some seconds to wake.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// A suspended device is looked at this often.
const PAUSE: Duration = Duration::from_millis(20);

/// So much is read to see whether a device answers.
const FIRST: usize = 4096;

/// Devices under rules.
pub struct ChosenDevices {
    devices: Arc<dyn Devices>,
    names: SysDevices,
    choice: Choice,
    patience: Duration,
    /// The devices file, if one is obeyed.
    file: Option<DevicesFile>,
    aliases: Mutex<BTreeMap<DevNo, Vec<PathBuf>>>,
    /// Threads that wait for something to open.
    idle: Mutex<Vec<Opener>>,
}

impl ChosenDevices {
    /// These devices, under these rules; a device has `patience` to answer.
    pub fn new(devices: Arc<dyn Devices>, choice: Choice, patience: Duration) -> Self {
        let names = SysDevices::default();
        let (aliases, idle) = (Mutex::default(), Mutex::default());
        Self { devices, names, choice, patience, file: None, aliases, idle }
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

    /// Waits until a suspended device lets reads through.
    fn wait_until_awake(&self, path: &Path, until: Instant) -> Result<()> {
        let Ok(number) = self.names.number(path) else { return Ok(()) };
        while self.names.is_suspended(number) {
            if Instant::now() >= until {
                return Err(dead(path, "is suspended", self.patience));
            }
            std::thread::sleep(PAUSE);
        }
        Ok(())
    }

    /// Opens for reading, and reads, in a thread that may be left behind.
    fn open_within(&self, path: &Path, until: Instant) -> Result<Arc<dyn Device>> {
        let idle = self.lock_idle().pop();
        let opener = idle.unwrap_or_else(|| Opener::new(self.devices.clone()));
        let gone = || dead(path, "could not be read", self.patience);
        opener.paths.send(path.to_owned()).map_err(|_| gone())?;
        match opener.opened.recv_timeout(until.saturating_duration_since(Instant::now())) {
            Ok(opened) => {
                self.lock_idle().push(opener);
                opened
            }
            Err(RecvTimeoutError::Timeout) => Err(dead(path, "does not answer", self.patience)),
            Err(RecvTimeoutError::Disconnected) => Err(gone()),
        }
    }

    fn lock_idle(&self) -> MutexGuard<'_, Vec<Opener>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A thread that opens one device after the other, and ends when nobody asks any more.
struct Opener {
    paths: Sender<PathBuf>,
    opened: Receiver<Result<Arc<dyn Device>>>,
}

impl Opener {
    fn new(devices: Arc<dyn Devices>) -> Self {
        let ((paths, asked), (answer, opened)) = (channel::<PathBuf>(), channel());
        std::thread::spawn(move || {
            for path in asked {
                // Nobody listens any more if it took too long.
                if answer.send(devices.open(&path, Access::Read).and_then(answering)).is_err() {
                    break;
                }
            }
        });
        Self { paths, opened }
    }
}

/// A device and what it is known by.
struct Known<'a> {
    listed: &'a Listed,
    aliases: &'a [PathBuf],
    identity: &'a dyn Fn(Identity) -> Option<String>,
}

fn answering(device: Arc<dyn Device>) -> Result<Arc<dyn Device>> {
    let size = usize::try_from(device.size().get()).unwrap_or(FIRST).min(FIRST);
    device.read_at(Bytes::ZERO, &mut vec![0; size])?;
    Ok(device)
}

fn dead(path: &Path, what: &str, patience: Duration) -> Error {
    let cause = format!("{} {what}, for {} s", path.display(), patience.as_secs());
    Error::new(Kind::Internal, cause).at(Context::Device(path.to_owned()))
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
        let until = Instant::now() + self.patience;
        self.wait_until_awake(path, until)?;
        self.open_within(path, until)
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
