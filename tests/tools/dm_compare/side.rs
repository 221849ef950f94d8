//! One kernel, asked and looked at in the same way whichever it is.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use dmsnap::block::{Access, DevNo, Device, Devices};
use dmsnap::dm::sim::SimKernel;
use dmsnap::dm::{DmName, DmUuid, Freeze, Kernel, Slot, Status, Table, Target, UdevFlags};
use dmsnap::error::Result;
use dmsnap::units::{Bytes, Sectors};

use super::plan::{Change, LENGTH, NAMES, PLACE, PLACES, SMALL, Shape};

const QUIET: UdevFlags = UdevFlags::hidden();

/// One of the two kernels and what it is looked at through.
pub struct Side {
    pub kernel: Arc<dyn Kernel>,
    pub devices: Arc<dyn Devices>,
    pub disk: Arc<dyn Device>,
    /// The simulated kernel merges when told.
    pub sim: Option<SimKernel>,
    /// What somebody has open.
    pub held: Mutex<BTreeMap<usize, Arc<dyn Device>>>,
}

pub fn name(index: usize) -> DmName {
    DmName::new(NAMES[index]).expect("the names here are good")
}

impl Side {
    pub fn number(&self, index: usize) -> DevNo {
        let found = self.kernel.info(&name(index)).ok().flatten();
        // A number for experiments, which no driver has.
        found.map_or(DevNo { major: 60, minor: 9 }, |info| info.number)
    }

    fn held(&self) -> MutexGuard<'_, BTreeMap<usize, Arc<dyn Device>>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn table(&self, shape: &Shape, grown: bool) -> Table<DevNo> {
        let (disk, all) = (self.disk.number(), self.disk.size().sectors_floor());
        let at = |place: u64| Sectors(PLACE.get() * place);
        let lengths = if let Shape::Small(_) = shape { SMALL } else { [LENGTH, PLACE] };
        let length = lengths[usize::from(grown)];
        let target = match shape {
            Shape::Linear(place) | Shape::Small(place) => Target::Linear { device: disk, offset: at(*place) },
            Shape::Far => Target::Linear { device: disk, offset: all },
            Shape::Striped => {
                Target::Striped { chunk: Sectors(8), stripes: vec![(disk, at(3)), (disk, at(0))] }
            }
            Shape::Origin(device) => Target::Origin { device: self.number(*device) },
            Shape::Snapshot(origin, cow, chunk) => Target::Snapshot {
                origin: self.number(*origin),
                cow: self.number(*cow),
                chunk: Sectors(*chunk),
            },
            Shape::Merge(origin, cow, chunk) => {
                Target::Merge { origin: self.number(*origin), cow: self.number(*cow), chunk: Sectors(*chunk) }
            }
            Shape::Zero => Target::Zero,
            Shape::Error => Target::Error,
        };
        Table::single(length, target)
    }

    fn path(&self, index: usize) -> PathBuf {
        match &self.sim {
            Some(_) => Path::new("/dev/mapper").join(NAMES[index]),
            None => PathBuf::from(format!("/dev/dm-{}", self.number(index).minor)),
        }
    }

    pub fn make(&self, change: &Change) -> Result<()> {
        let kernel = &self.kernel;
        match change {
            Change::Create(at, uuid) => {
                kernel.create(&name(*at), &DmUuid::new(format!("DMSNAPTEST-{}", NAMES[*uuid]))?).map(drop)
            }
            Change::Load(at, shape, read_only, grown) => {
                kernel.load(&name(*at), &self.table(shape, *grown), *read_only)
            }
            Change::Clear(at) => kernel.clear(&name(*at)),
            Change::Suspend(at) => kernel.suspend(&name(*at), Freeze::FileSystem),
            Change::Resume(at) => kernel.resume(&name(*at), QUIET),
            Change::Remove(at) => kernel.remove(&name(*at), QUIET),
            Change::Rename(at, to) => kernel.rename(&name(*at), &name(*to), QUIET),
            Change::Hold(at) => {
                let device = self.devices.open(&self.path(*at), Access::Read)?;
                self.held().insert(*at, device);
                Ok(())
            }
            Change::Release(at) => {
                self.held().remove(at);
                Ok(())
            }
            Change::Write(at, chunk, byte) => {
                let device = self.devices.open(&self.path(*at), Access::Write)?;
                device.write_at(Bytes(chunk * 4096), &[*byte; 4096])
            }
        }
    }

    pub fn has_merge(&self) -> bool {
        let infos = self.kernel.list().unwrap_or_default();
        let tables = infos.iter().map(|info| self.kernel.table(&info.name, Slot::Live).unwrap_or_default());
        tables.into_iter().any(|table| table.0.iter().any(|line| matches!(line.target, Target::Merge { .. })))
    }

    /// The merges that run have come to their end.
    pub fn settle(&self) {
        for info in self.kernel.list().unwrap_or_default() {
            if info.suspended {
                continue;
            }
            if let Some(sim) = &self.sim {
                let _ = sim.merge(&info.name, usize::MAX);
                continue;
            }
            let until = Instant::now() + Duration::from_secs(3);
            while self.merges(&info.name) && Instant::now() < until {
                std::thread::sleep(Duration::from_millis(1));
            }
        }
    }

    fn merges(&self, name: &DmName) -> bool {
        let status = self.kernel.status(name).unwrap_or_default();
        status.iter().any(|status| {
            matches!(status, Status::Store { used, metadata, merging: true, .. } if used != metadata)
        })
    }

    /// Everything that the kernel tells, with names in place of numbers.
    pub fn told(&self) -> Vec<String> {
        let infos = self.kernel.list().unwrap_or_default();
        let mut names: BTreeMap<DevNo, String> =
            infos.iter().map(|info| (info.number, info.name.to_string())).collect();
        names.insert(self.disk.number(), "disk".to_owned());
        let named = |number| names.get(&number).cloned().unwrap_or_else(|| "missing".to_owned());
        let table = |info: &dmsnap::dm::Info, slot| {
            let table = self.kernel.table(&info.name, slot).unwrap_or_default();
            table.map(named).to_string()
        };
        let line = |info: &dmsnap::dm::Info| {
            let status = self.kernel.status(&info.name).unwrap_or_default();
            // What striped says of itself is nothing that anybody here needs.
            let status: Vec<_> = status.iter().filter(|status| !matches!(status, Status::Other(_))).collect();
            let flags = [info.suspended, info.read_only, info.live, info.inactive].map(u8::from);
            let (live, inactive) = (table(info, Slot::Live), table(info, Slot::Inactive));
            format!(
                "{} {:?} open {} flags {flags:?} [{live}] [{inactive}] {status:?}",
                info.name, info.uuid, info.open_count
            )
        };
        infos.iter().map(line).collect()
    }

    pub fn content(&self, index: usize) -> std::result::Result<Vec<u8>, String> {
        let device = self.devices.open(&self.path(index), Access::Read).map_err(|error| error.to_string())?;
        let mut bytes = vec![0; usize::try_from(device.size().get()).unwrap_or(0)];
        device.read_at(Bytes::ZERO, &mut bytes).map_err(|error| error.to_string())?;
        Ok(bytes)
    }

    pub fn disk_content(&self) -> Result<Vec<u8>> {
        let mut bytes = vec![0; usize::try_from(PLACE.bytes().get() * PLACES).unwrap_or(0)];
        self.disk.read_at(Bytes::ZERO, &mut bytes)?;
        Ok(bytes)
    }

    /// Removes everything, from the top.
    pub fn sweep(&self) {
        self.held().clear();
        for _ in 0..NAMES.len() {
            for info in self.kernel.list().unwrap_or_default() {
                let _ = self.kernel.clear(&info.name);
            }
            for info in self.kernel.list().unwrap_or_default() {
                if info.open_count == 0 {
                    let _ = self.kernel.remove(&info.name, QUIET);
                }
            }
        }
    }
}
