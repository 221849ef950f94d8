//! Several texts of a volume group under one seqno: somebody restored an old copy of a disk, or two hosts wrote.
//!
//! Which of them is right only a person can know. The group is opened here as one device has it; the next commit then goes into every
//! metadata area, under a seqno that none of them has.

use std::path::Path;

use super::assemble::{self, Gathered};
use super::{Finding, OpenPv, OpenVg, Scan, Scanner};
use crate::block::{Access, Devices, Listed};
use crate::error::{Context, Error, Kind, Result};
use crate::lvm::check::Host;
use crate::lvm::model::Vg;
use crate::lvm::name::VgName;

/// One of the texts.
#[derive(Debug)]
pub struct Version {
    /// What it says.
    pub vg: Vg,
    /// The devices that hold it.
    pub devices: Vec<String>,
}

/// A volume group as one of its devices has it.
#[derive(Debug)]
pub struct Disputed {
    /// The group.
    pub open: OpenVg,
    /// Every version under its seqno, the one that was chosen first.
    pub versions: Vec<Version>,
}

impl Scanner {
    /// Opens a volume group of which there are several versions under one seqno, as this device has it. [`Kind::Refused`] if there
    /// is only one, or the device holds none of them, or none that is whole.
    pub fn open_disputed(
        &self,
        devices: &dyn Devices,
        host: &Host,
        name: &VgName,
        from: &Listed,
        access: Access,
    ) -> Result<Disputed> {
        let gathered = assemble::gather(self.probes(devices, access)?);
        let mut disputed =
            chosen(gathered, host, name, from).map_err(|error| error.at(Context::Vg(name.to_string())))?;
        if access != Access::Read {
            disputed.open.reopen(devices, access)?;
        }
        Ok(disputed)
    }
}

fn chosen(gathered: Gathered, host: &Host, name: &VgName, from: &Listed) -> Result<Disputed> {
    let Gathered { mut pvs, versions, findings } = gathered;
    let pv = pvs.on(from.number).cloned().ok_or_else(|| no_pv(from, None))?;
    let is_named =
        |versions: &Vec<assemble::Version>| versions.iter().any(|version| version.vg.name == *name);
    let mut named = versions.into_values().map(assemble::highest).filter(is_named);
    let (first, second) = (named.next(), named.next());
    let rivals = first.ok_or_else(|| nothing(findings).absent(name))?;
    if second.is_some() {
        let text = format!("there are two volume groups named {name}");
        return Err(
            Error::new(Kind::Refused, text).hint("reject the devices of one by devices/filter in lvm.conf")
        );
    }
    if !rivals.iter().any(|rival| rival.vg.pv_by_id(&pv.id).is_some()) {
        return Err(no_pv(from, Some(name)));
    }
    if let [only] = rivals.as_slice() {
        return Err(undisputed(&only.vg));
    }
    let has =
        |rival: &assemble::Version| rival.holders.iter().any(|holder| holder.number == Some(from.number));
    let (held, others): (Vec<_>, Vec<_>) = rivals.into_iter().partition(has);
    let [right] = <[_; 1]>::try_from(held).map_err(|held: Vec<_>| unclear(&pv, held.len()))?;
    let doubt = assemble::misplaced(&right);
    let open = pvs.group(right.vg.clone(), doubt, host);
    let versions = std::iter::once(right).chain(others).map(Version::from).collect();
    Ok(Disputed { open, versions })
}

impl From<assemble::Version> for Version {
    fn from(version: assemble::Version) -> Self {
        Self { vg: version.vg, devices: version.holders.into_iter().map(|holder| holder.name).collect() }
    }
}

/// A scan that found no group.
fn nothing(findings: Vec<Finding>) -> Scan {
    Scan { vgs: Vec::new(), orphans: Vec::new(), findings }
}

fn no_pv(from: &Listed, of: Option<&VgName>) -> Error {
    let of = of.map_or_else(String::new, |vg| format!(" of volume group {vg}"));
    let cause = format!("{} is no physical volume{of}", from.path.display());
    Error::new(Kind::NotFound, cause).hint("`dmsnap pv list` shows which are")
}

fn undisputed(vg: &Vg) -> Error {
    let cause = format!(
        "volume group {} has one version under seqno {}: there is nothing to choose",
        vg.name, vg.seqno
    );
    Error::new(Kind::Refused, cause).hint(format!("`dmsnap repair {}` renews older copies", vg.name))
}

/// Why a device cannot say what is right: how many of the versions it holds.
fn unclear(pv: &OpenPv, held: usize) -> Error {
    let device = pv.name();
    let damage = pv.mdas.iter().find_map(|mda| mda.header.as_ref().err());
    let holds = pv.mdas.iter().any(|mda| {
        mda.header.as_ref().is_ok_and(|header| !header.committed.is_empty() && !header.committed.ignored())
    });
    let cause = match damage {
        _ if held > 1 => format!("{device} holds several of the versions, in its metadata areas"),
        _ if pv.mdas.is_empty() => format!("{device} has no metadata area"),
        _ if holds => format!("{device} holds an older version"),
        Some(why) => format!("the metadata on {device} is damaged: {why}"),
        None => format!("{device} has no metadata area in use"),
    };
    Error::new(Kind::Refused, cause)
        .hint("name a device that holds one of the versions")
        .at(Context::Device(pv.path().map(Path::to_owned).unwrap_or_default()))
}
