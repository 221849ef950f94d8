//! Labelling devices and making volume groups of them.
//!
//! Every device is judged before the first is written to. A device that is in use is never taken; one that carries another
//! signature only with `wipe`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use super::list::{pv_view, vg_view};
use super::operation::{Mode, Report};
use super::view::{PvView, VgView};
use super::{Engine, World};
use crate::block::{Access, Device, Listed, probe};
use crate::error::{Context, Error, Kind, Result};
use crate::lvm::commit::{PvOptions, create_pv, create_vg};
use crate::lvm::lock;
use crate::lvm::scan::{OpenPv, Scan, scan};
use crate::lvm::{NewVg, Uuid, VgName};
use crate::units::{Bytes, Sectors};

/// A smaller device is no physical volume to lvm2 (devices/pv_min_size).
const LEAST_PV: Bytes = Bytes::mib(2);

/// Extents are a power of two from here.
const LEAST_EXTENT: Bytes = Bytes::kib(4);

/// What lvm2 makes by default.
const DEFAULT_EXTENT: Bytes = Bytes::mib(4);

/// A volume group to be made.
#[derive(Debug, Clone)]
pub struct NewGroup {
    /// Its name.
    pub name: VgName,
    /// Its devices.
    pub devices: Vec<PathBuf>,
    /// Of one extent; none for lvm2's 4 MiB.
    pub extent_size: Option<Bytes>,
    /// Overwrite other signatures.
    pub wipe: bool,
}

/// A device that may become a physical volume, or is one that belongs to no group.
pub(super) enum Taken {
    Label { device: Arc<dyn Device>, signatures: bool },
    Pv(Box<OpenPv>),
}

impl Engine {
    /// Labels devices. One that is an unused physical volume already stays as it is.
    pub fn create_pvs(&self, devices: &[PathBuf], wipe: bool, mode: Mode) -> Result<Report<PvView>> {
        let began = Instant::now();
        let _lock = self.world.locks.global(lock::Mode::Exclusive, mode.wait())?;
        let taken = self.take(devices, wipe).map_err(|error| error.doing("create physical volumes"))?;
        let planned = mode.dry_run.then(|| planned(&taken));
        let pvs = if mode.dry_run { Vec::new() } else { self.label(taken)? };
        let views = pvs.iter().map(|pv| pv_view(pv, None)).collect();
        Ok(Report { objects: views, elapsed: began.elapsed(), frozen: None, planned, notes: Vec::new() })
    }

    /// Makes a volume group; devices that are no physical volumes yet are labelled.
    pub fn create_group(&self, new: &NewGroup, mode: Mode) -> Result<Report<VgView>> {
        self.group(new, mode).map_err(|error| error.doing(format!("create volume group {}", new.name)))
    }

    fn group(&self, new: &NewGroup, mode: Mode) -> Result<Report<VgView>> {
        let began = Instant::now();
        let extent_size = extent_size(new.extent_size.unwrap_or(DEFAULT_EXTENT))?;
        let _global = self.world.locks.global(lock::Mode::Exclusive, mode.wait())?;
        let _lock = self.world.locks.vg(&new.name, lock::Mode::Exclusive, mode.wait())?;
        let scan = self.scan()?;
        if scan.vgs.iter().any(|open| open.vg.name == new.name) {
            return Err(Error::new(Kind::AlreadyExists, format!("there is a volume group {}", new.name))
                .hint("choose another name"));
        }
        let taken = self.take_from(scan, &new.devices, new.wipe)?;
        let group = NewVg {
            name: new.name.clone(),
            id: self.new_uuid(),
            extent_size,
            system_id: self.world.owner.system_id.clone(),
        };
        let mut report = Report {
            objects: Vec::new(),
            elapsed: began.elapsed(),
            frozen: None,
            planned: None,
            notes: Vec::new(),
        };
        if mode.dry_run {
            let mut lines = planned(&taken);
            lines.push(format!("  metadata: new volume group {}", new.name));
            report.planned = Some(lines);
            return Ok(report);
        }
        let stamp = self.stamp(&format!("vg create {}", new.name));
        let open = create_vg(self.label(taken)?, &group, &stamp)?;
        report.objects.push(vg_view(&open));
        report.elapsed = began.elapsed();
        Ok(report)
    }

    fn new_uuid(&self) -> Uuid {
        Uuid::generate(&mut |buffer| (self.world.random)(buffer))
    }

    /// Judges every device; nothing is written.
    pub(super) fn take(&self, devices: &[PathBuf], wipe: bool) -> Result<Vec<Taken>> {
        let scan = scan(self.world.devices.as_ref(), &self.world.owner)?;
        self.take_from(scan, devices, wipe)
    }

    /// Judges every device; nothing is written.
    fn take_from(&self, mut scan: Scan, devices: &[PathBuf], wipe: bool) -> Result<Vec<Taken>> {
        let mut seen = BTreeSet::new();
        let mut taken = Vec::new();
        for path in devices {
            let listed = self.world.devices.lookup(path)?;
            if !seen.insert(listed.number) {
                return Err(Error::new(Kind::Usage, format!("{} is named twice", path.display())));
            }
            taken.push(judge(&self.world, &mut scan, path, &listed, wipe)?);
        }
        Ok(taken)
    }

    /// Labels those that are no physical volumes yet.
    pub(super) fn label(&self, taken: Vec<Taken>) -> Result<Vec<OpenPv>> {
        let label = |taken: Taken| match taken {
            Taken::Pv(pv) => Ok(*pv),
            Taken::Label { device, signatures } => {
                if signatures {
                    probe::erase(device.as_ref())?;
                }
                create_pv(device, self.new_uuid(), &PvOptions::default())
            }
        };
        taken.into_iter().map(label).collect()
    }
}

fn judge(world: &World, scan: &mut Scan, path: &Path, listed: &Listed, wipe: bool) -> Result<Taken> {
    if let Some(open) =
        scan.vgs.iter().find(|open| open.pvs.iter().any(|pv| pv.number == Some(listed.number)))
    {
        let cause = format!("{} is a physical volume of volume group {}", path.display(), open.vg.name);
        return Err(Error::new(Kind::InUse, cause).at(Context::Device(path.to_owned())));
    }
    if let Some(at) = scan.orphans.iter().position(|pv| pv.number == Some(listed.number)) {
        let mut pv = scan.orphans.remove(at);
        pv.device = Some(world.devices.open(path, Access::Exclusive)?);
        return Ok(Taken::Pv(Box::new(pv)));
    }
    refuse_unsuitable(path, listed)?;
    // Exclusive: refused while it is mounted or something is built on it.
    let device = world.devices.open(path, Access::Exclusive)?;
    let signature = probe::find(device.as_ref())?;
    match signature {
        Some(signature) if !wipe => {
            Err(Error::new(Kind::Refused, format!("{} carries {}", path.display(), signature.name))
                .hint("give --wipe to overwrite it")
                .at(Context::Device(path.to_owned())))
        }
        signature => Ok(Taken::Label { device, signatures: signature.is_some() }),
    }
}

fn refuse_unsuitable(path: &Path, listed: &Listed) -> Result<()> {
    let refuse = |kind, what: String, hint: &str| {
        Err(Error::new(kind, format!("{} {what}", path.display()))
            .hint(hint)
            .at(Context::Device(path.to_owned())))
    };
    if listed.partitioned {
        return refuse(
            Kind::InUse,
            "has partitions".to_owned(),
            "name one of them, or remove the partition table",
        );
    }
    if listed.dm_uuid.as_deref().is_some_and(|uuid| uuid.starts_with("LVM-")) {
        return refuse(Kind::Refused, "is itself a logical volume".to_owned(), "name a disk or a partition");
    }
    if listed.read_only {
        return refuse(Kind::Refused, "is read-only".to_owned(), "name a device that can be written to");
    }
    if listed.size < LEAST_PV {
        let what = format!("is too small: {} of at least {LEAST_PV}", listed.size);
        return refuse(Kind::NoSpace, what, "name a larger device");
    }
    Ok(())
}

pub(super) fn planned(taken: &[Taken]) -> Vec<String> {
    let line = |taken: &Taken| match taken {
        Taken::Label { device, signatures } => {
            let wipe = if *signatures { "wipe and label" } else { "label" };
            Some(format!("  {wipe} {}", device.path().display()))
        }
        Taken::Pv(_) => None,
    };
    taken.iter().filter_map(line).collect()
}

fn extent_size(size: Bytes) -> Result<Sectors> {
    if size.get().is_power_of_two() && size >= LEAST_EXTENT {
        return Ok(size.sectors_ceil());
    }
    Err(Error::new(Kind::Usage, format!("bad extent size {size}"))
        .hint(format!("give a power of two of at least {LEAST_EXTENT}")))
}
