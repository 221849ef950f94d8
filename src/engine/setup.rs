//! Labelling devices and making volume groups of them.
//!
//! Every device is judged before the first is written to. A device that is in use is never taken; one that carries another
//! signature only with `wipe`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use super::Engine;
use super::list::{pv_view, vg_view};
use super::operation::{Mode, Report};
use super::outline::Entry;
use super::view::{PvView, VgView};
use crate::block::{Access, Device, Listed, Unusable, probe};
use crate::error::{Context, Error, Kind, Result};
use crate::lvm::label::{self, LABEL_AREA, LEAST_PV, label_sectors};
use crate::lvm::lock;
use crate::lvm::{
    NewVg, OpenPv, OpenVg, PvOptions, Scan, Uuid, Vg, VgName, check_room, create_vg, draft_pv, extent_size,
    write_pv,
};
use crate::units::Bytes;

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
    /// How those that are no physical volumes yet become some.
    pub labelling: Labelling,
    /// In how many metadata areas its metadata is kept, 0 for all; none for what lvm2's configuration says.
    pub metadata_copies: Option<u64>,
}

/// How devices become physical volumes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Labelling {
    /// Overwrite other signatures.
    pub wipe: bool,
    /// The least size of a metadata area; none for lvm2's, which is full at about a thousand volumes.
    pub metadata_size: Option<Bytes>,
    /// How many metadata areas each gets; none for what lvm2's configuration says.
    pub metadata_copies: Option<u64>,
}

/// A physical volume that belongs to no group, or a draft of one.
#[derive(Debug, Clone)]
pub struct Taken {
    /// Nothing of a draft is written yet.
    pub(super) pv: OpenPv,
    listed: Listed,
    writes: Writes,
}

/// What makes a physical volume of a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Writes {
    /// It is one.
    Nothing,
    /// A label.
    Label,
    /// A label, once other signatures are gone.
    WipeAndLabel,
}

impl Taken {
    /// What is written to make a physical volume of it; nothing if it is one.
    pub(super) fn entry(&self) -> Option<Entry> {
        let label = |wipe| Some(Entry::Label { device: self.pv.name(), wipe });
        match self.writes {
            Writes::Nothing => None,
            Writes::Label => label(false),
            Writes::WipeAndLabel => label(true),
        }
    }
}

impl Engine {
    /// Labels devices. One that is an unused physical volume already stays as it is.
    pub fn create_pvs(
        &self,
        devices: &[PathBuf],
        labelling: Labelling,
        mode: Mode,
    ) -> Result<Report<PvView>> {
        self.pvs_created(devices, labelling, mode).map_err(|error| error.doing("create physical volumes"))
    }

    fn pvs_created(&self, devices: &[PathBuf], labelling: Labelling, mode: Mode) -> Result<Report<PvView>> {
        let began = Instant::now();
        let _lock = self.lock_set(mode)?;
        let taken = self.take(self.scan()?, devices, labelling)?;
        if mode.dry_run {
            return Ok(Report {
                planned: Some(taken.iter().filter_map(Taken::entry).collect()),
                ..Report::default()
            });
        }
        self.label(&taken)?;
        let objects = taken.iter().map(|taken| pv_view(&taken.pv, None)).collect();
        Ok(Report { objects, elapsed: began.elapsed(), ..Report::default() })
    }

    /// Makes a volume group; devices that are no physical volumes yet are labelled.
    pub fn create_group(&self, new: &NewGroup, mode: Mode) -> Result<Report<VgView>> {
        self.group_created(new, mode)
            .map_err(|error| error.doing(format!("create volume group {}", new.name)))
    }

    fn group_created(&self, new: &NewGroup, mode: Mode) -> Result<Report<VgView>> {
        let began = Instant::now();
        let extent_size = extent_size(new.extent_size.unwrap_or(DEFAULT_EXTENT))?;
        let _global = self.lock_set(mode)?;
        let _lock = self.world.locks.vg(&new.name, lock::Mode::Exclusive, mode.wait())?;
        let scan = self.scan()?;
        self.refuse_taken_group(&scan, &new.name)?;
        let taken = self.take(scan, &new.devices, new.labelling)?;
        let group = NewVg {
            name: new.name.clone(),
            id: self.new_uuid(),
            extent_size,
            system_id: self.world.owner.system_id.clone(),
            metadata_copies: new.metadata_copies.unwrap_or(self.world.lvm2.areas.of_vg),
        };
        let members = taken.iter().map(|taken| taken.pv.as_new(extent_size)).collect::<Result<Vec<_>>>()?;
        let description = format!("vg create {}", new.name);
        let drafts = taken.iter().map(|taken| taken.pv.clone()).collect();
        let draft =
            OpenVg { vg: Vg::new(&group, &members)?, pvs: drafts, refusal: None, findings: Vec::new() };
        check_room(&draft, &draft.vg, &self.stamp(&description))?;
        if mode.dry_run {
            let labels = taken.iter().filter_map(Taken::entry);
            let planned = Some(labels.chain([Entry::MakeVg(new.name.clone())]).collect());
            return Ok(Report { planned, ..Report::default() });
        }
        self.label(&taken)?;
        let pvs = taken.into_iter().map(|taken| taken.pv).collect();
        let open = create_vg(pvs, &group, &self.stamp(&description))?;
        let elapsed = began.elapsed();
        self.back_up(&open.vg, &description);
        Ok(Report { objects: vec![vg_view(&open)], elapsed, ..Report::default() })
    }

    /// A group's name is a directory's in /dev, where other things have names too.
    pub(super) fn refuse_taken_group(&self, scan: &Scan, name: &VgName) -> Result<()> {
        if scan.vgs.iter().any(|open| open.vg.name == *name) {
            return Err(Error::new(Kind::AlreadyExists, format!("there is a volume group {name}"))
                .hint("choose another name"));
        }
        let path = self.dev().join(name.as_str());
        match path.symlink_metadata() {
            Err(_) => Ok(()),
            Ok(_) => Err(Error::new(Kind::AlreadyExists, format!("{} is something else", path.display()))
                .hint("choose another name")),
        }
    }

    pub(super) fn new_uuid(&self) -> Uuid {
        Uuid::generate(&mut |buffer| (self.world.random)(buffer))
    }

    /// Judges every device; nothing is written.
    pub(super) fn take(
        &self,
        mut scan: Scan,
        devices: &[PathBuf],
        labelling: Labelling,
    ) -> Result<Vec<Taken>> {
        let mut seen = BTreeSet::new();
        let mut taken = Vec::new();
        for path in devices {
            let listed = self.world.devices.lookup(path)?;
            if !seen.insert(listed.number) {
                return Err(named_twice(path));
            }
            taken.push(self.judge(&mut scan, path, &listed, labelling)?);
        }
        Ok(taken)
    }

    fn judge(&self, scan: &mut Scan, path: &Path, listed: &Listed, labelling: Labelling) -> Result<Taken> {
        if let Some(open) = scan.vgs.iter().find(|open| open.pv_on(listed.number).is_some()) {
            return Err(belongs(path, &open.vg.name));
        }
        let orphan = scan.orphans.iter().position(|pv| pv.number() == Some(listed.number));
        let orphan = orphan.map(|at| scan.orphans.remove(at));
        let unlisted = self.world.devices.unusable(listed).filter(|unusable| unusable.unlisted);
        if unlisted.is_none() {
            self.refuse_unusable(path, listed)?;
        }
        if orphan.is_none() {
            refuse_unsuitable(path, listed)?;
        }
        // Exclusive: refused while it is mounted or something is built on it.
        let device = self.world.devices.open(path, Access::Exclusive)?;
        if orphan.is_none() {
            self.refuse_somebodys(device.as_ref(), path, listed)?;
        }
        match orphan {
            Some(pv) if labelling.wipe && (pv.check_free().is_err() || differs(&pv, labelling).is_some()) => {
                self.draft(device, listed, Writes::Label, labelling)
            }
            Some(mut pv) => {
                pv.check_free()?;
                if let Some(how) = differs(&pv, labelling) {
                    return Err(Error::new(
                        Kind::Refused,
                        format!("{} is a physical volume already, {how}", path.display()),
                    )
                    .hint("give --wipe to label it anew, under another uuid")
                    .at(Context::Device(path.to_owned())));
                }
                if let Some(present) = &mut pv.present {
                    present.device = device;
                }
                Ok(Taken { pv, listed: listed.clone(), writes: Writes::Nothing })
            }
            None => match probe::find(device.as_ref())? {
                None => self.draft(device, listed, Writes::Label, labelling),
                Some(_) if labelling.wipe => self.draft(device, listed, Writes::WipeAndLabel, labelling),
                Some(signature) => {
                    Err(Error::new(Kind::Refused, format!("{} carries {}", path.display(), signature.name))
                        .hint("give --wipe to overwrite it")
                        .at(Context::Device(path.to_owned())))
                }
            },
        }
    }

    /// What is not in the devices file may be put there, but not if it is a physical volume already: it is kept from this host.
    fn refuse_somebodys(&self, device: &dyn Device, path: &Path, listed: &Listed) -> Result<()> {
        let mut first = [0; LABEL_AREA];
        device.read_at(Bytes::ZERO, &mut first)?;
        if label_sectors(&first).is_empty() {
            return Ok(());
        }
        self.refuse_unusable(path, listed)?;
        let id = label::find(&first).label.map(|label| label.id);
        if id.is_none_or(|id| self.world.devices.admits(listed, Some(id.compact()))) {
            return Ok(());
        }
        let cause = format!("{} bears a physical volume that LVM2's devices file has not", path.display());
        Err(Error::new(Kind::Refused, cause)
            .hint("add that with LVM2's `lvmdevices --addpvid`, or wipe the device with `wipefs`")
            .at(Context::Device(path.to_owned())))
    }

    /// What lvm2's configuration keeps from being a physical volume is not made one.
    pub(super) fn refuse_unusable(&self, path: &Path, listed: &Listed) -> Result<()> {
        let Some(Unusable { what, hint, .. }) = self.world.devices.unusable(listed) else { return Ok(()) };
        let cause = format!("{} {what}", path.display());
        Err(Error::new(Kind::Refused, cause).hint(hint).at(Context::Device(path.to_owned())))
    }

    fn draft(
        &self,
        device: Arc<dyn Device>,
        listed: &Listed,
        writes: Writes,
        labelling: Labelling,
    ) -> Result<Taken> {
        let metadata_copies = labelling.metadata_copies.unwrap_or(self.world.lvm2.areas.of_pv);
        let data_alignment = self.world.lvm2.areas.alignment;
        let options = PvOptions { metadata_copies, metadata_size: labelling.metadata_size, data_alignment };
        Ok(Taken { pv: draft_pv(device, self.new_uuid(), &options)?, listed: listed.clone(), writes })
    }
}

impl Engine {
    /// Labels those that are no physical volumes yet. All of them are listed where devices are, before anything is written: a
    /// listed device without a label is labelled by the next attempt.
    pub(super) fn label(&self, taken: &[Taken]) -> Result<()> {
        for Taken { pv, listed, .. } in taken {
            self.world.devices.adopt(listed, pv.id.compact())?;
        }
        taken.iter().try_for_each(labelled)
    }
}

/// How the metadata areas of a physical volume are not what is asked for.
fn differs(pv: &OpenPv, labelling: Labelling) -> Option<String> {
    let has = pv.mdas.len() as u64;
    if labelling.metadata_copies.is_some_and(|copies| copies != has) {
        return Some(format!("with {has} metadata areas"));
    }
    let small = pv.mdas.iter().find(|mda| labelling.metadata_size.is_some_and(|least| mda.size < least))?;
    Some(format!("with a metadata area of {}", small.size))
}

fn labelled(Taken { pv, writes, .. }: &Taken) -> Result<()> {
    if let (Writes::WipeAndLabel, Some(device)) = (writes, pv.device()) {
        probe::erase(device.as_ref())?;
        device.flush()?;
    }
    if *writes == Writes::Nothing { Ok(()) } else { write_pv(pv) }
}

/// The error for a device that is in a list already.
pub(super) fn named_twice(path: &Path) -> Error {
    Error::new(Kind::Usage, format!("{} is named twice", path.display())).hint("name each device once")
}

/// The error for a device that a volume group has.
pub(super) fn belongs(path: &Path, vg: &VgName) -> Error {
    Error::new(Kind::InUse, format!("{} is a physical volume of volume group {vg}", path.display()))
        .hint(format!("take it out of the group first with `dmsnap vg reduce {vg} {}`", path.display()))
        .at(Context::Device(path.to_owned()))
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
    if listed.read_only {
        return refuse(Kind::Refused, "is read-only".to_owned(), "name a device that can be written to");
    }
    if listed.size < LEAST_PV {
        let what = format!("is too small: {} of at least {LEAST_PV}", listed.size);
        return refuse(Kind::Usage, what, "name a larger device");
    }
    Ok(())
}
