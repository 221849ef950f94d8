//! Which devices may be physical volumes, as LVM2's configuration has it. No I/O.
//!
//! In LVM2's order: the driver must be a known one, the filters must not reject the device, or, where a devices file is obeyed,
//! it must be in that; then the filters do not count. Looking at more than LVM2 does is dangerous: the legs of an array show what the
//! array holds. Looking at less makes groups look incomplete, and they are refused.

use std::collections::BTreeSet;
use std::path::PathBuf;

use super::label::LEAST_PV;
use super::settings::DeviceRules;
use crate::block::{Identity, Listed, Unusable};
use crate::error::Result;
use crate::units::Bytes;

mod entry;
mod listing;
mod pattern;

use entry::{Entry, IdKind};
use pattern::Filter;

/// The drivers that LVM2 knows to make disks.
const DRIVERS: [&str; 37] = [
    "ide",
    "sd",
    "md",
    "mdp",
    "loop",
    "dasd",
    "dac960",
    "nbd",
    "ida",
    "cciss",
    "ubd",
    "ataraid",
    "drbd",
    "emcpower",
    "power2",
    "i2o_block",
    "iseries/vd",
    "gnbd",
    "ramdisk",
    "aoe",
    "device-mapper",
    "xvd",
    "vdisk",
    "ps3disk",
    "virtblk",
    "mmc",
    "blkext",
    "fio",
    "mtip32xx",
    "vtms",
    "skd",
    "scm",
    "bcache",
    "nvme",
    "zvol",
    "VxDMP",
    "rbd",
];

/// The rules, made ready.
#[derive(Debug)]
pub struct Admission {
    filters: [(&'static str, Filter); 2],
    /// Major numbers; none: any.
    majors: Option<BTreeSet<u32>>,
    /// What the devices file lists; none: it is not obeyed.
    entries: Option<Vec<Entry>>,
    /// Directories that a device must have a name in; none: any.
    scan: Vec<PathBuf>,
    scan_lvs: bool,
    smallest: Bytes,
}

impl Admission {
    /// `drivers` is the text of `/proc/devices`, `devices_file` that of the devices file if there is one.
    pub fn new(rules: &DeviceRules, drivers: Option<&str>, devices_file: Option<&str>) -> Result<Self> {
        let global = Filter::parse("devices/global_filter", &rules.global_filter)?;
        let filter = Filter::parse("devices/filter", &rules.filter)?;
        Ok(Self {
            filters: [("global_filter", global), ("filter", filter)],
            majors: drivers.map(|text| majors(text, &rules.types)),
            entries: devices_file.map(entry::parse),
            scan: rules.scan.clone(),
            scan_lvs: rules.scan_lvs,
            smallest: rules.smallest,
        })
    }

    /// Lists devices as the text of a devices file does; without one none counts.
    pub fn list(&mut self, devices_file: Option<&str>) {
        self.entries = devices_file.map(entry::parse);
    }

    /// Why this device may not be a physical volume, known by these names and identities; nothing if it may.
    pub fn against(
        &self,
        listed: &Listed,
        aliases: &[PathBuf],
        identity: &dyn Fn(Identity) -> Option<String>,
    ) -> Option<Unusable> {
        if let Some(unusable) = listed.layer(self.scan_lvs) {
            return Some(unusable);
        }
        if self.majors.as_ref().is_some_and(|majors| !majors.contains(&listed.number.major)) {
            return refused("has a driver that LVM2 does not know", "add it to devices/types in lvm.conf");
        }
        if listed.size < self.smallest && self.smallest > LEAST_PV {
            return refused("is smaller than devices/pv_min_size", "name a larger device");
        }
        let is_scanned = |alias: &PathBuf| self.scan.iter().any(|directory| alias.starts_with(directory));
        if !self.scan.is_empty() && !aliases.iter().any(is_scanned) {
            return refused(
                "has no name in a directory of devices/scan in lvm.conf",
                "add its directory there",
            );
        }
        match &self.entries {
            Some(entries) if !entries.iter().any(|entry| entry.is(listed, aliases, identity)) => {
                Some(not_in_file())
            }
            Some(_) => None,
            None => self.filtered(aliases),
        }
    }

    /// False for a device with a physical volume that the devices file has somewhere else: names of devices change, and an entry
    /// that has nothing better than a name is good only for its physical volume. Without `pvid` it is asked whether it may be
    /// worth a look.
    pub fn admits(
        &self,
        listed: &Listed,
        aliases: &[PathBuf],
        identity: &dyn Fn(Identity) -> Option<String>,
        pvid: Option<&str>,
    ) -> bool {
        let entries = self.entries.as_deref().unwrap_or_default();
        let is_by_name = |entry: &&Entry| entry.kind == IdKind::Devname && entry.pvid.is_some();
        let fits = |entry: &Entry| pvid.is_none() || entry.pvid.as_deref() == pvid;
        let mut own = entries.iter().filter(|entry| entry.is(listed, aliases, identity));
        let is_right = own.any(|entry| !is_by_name(&entry) || fits(entry));
        let is_elsewhere =
            || entries.iter().filter(is_by_name).any(fits) && !entry::has_identity(listed, identity);
        match self.against(listed, aliases, identity) {
            Some(Unusable { unlisted: true, .. }) => is_elsewhere(),
            Some(_) => false,
            None => entries.is_empty() || is_right || is_elsewhere(),
        }
    }

    /// The devices file's text with this device in it, and this physical volume on it. Nothing if it says so already.
    pub fn listing(
        text: &str,
        listed: &Listed,
        aliases: &[PathBuf],
        identity: &dyn Fn(Identity) -> Option<String>,
        pvid: &str,
    ) -> Result<Option<String>> {
        let own = Entry::of(listed, identity, pvid);
        listing::with(text, &own, |entry| entry.is(listed, aliases, identity))
    }

    /// The devices file's text in which this device bears no physical volume. Nothing if it says so already.
    pub fn listing_without_pv(
        text: &str,
        listed: &Listed,
        aliases: &[PathBuf],
        identity: &dyn Fn(Identity) -> Option<String>,
    ) -> Result<Option<String>> {
        listing::without_pv(text, |entry| entry.is(listed, aliases, identity))
    }

    fn filtered(&self, aliases: &[PathBuf]) -> Option<Unusable> {
        let (name, _) = self.filters.iter().find(|(_, filter)| !filter.accepts(aliases))?;
        refused(&format!("is rejected by devices/{name} in lvm.conf"), "name another device, or change that")
    }

    /// True if physical volumes may be on logical volumes.
    pub fn scans_lvs(&self) -> bool {
        self.scan_lvs
    }

    /// False if no name of a device makes a difference: names need not be looked for then.
    pub fn asks_for_names(&self) -> bool {
        self.entries.is_some()
            || !self.scan.is_empty()
            || self.filters.iter().any(|(_, filter)| !filter.is_empty())
    }
}

fn refused(what: &str, hint: &'static str) -> Option<Unusable> {
    Some(Unusable { what: what.to_owned(), hint, unlisted: false })
}

fn not_in_file() -> Unusable {
    let hint = "add it with LVM2's `lvmdevices --adddev`, or wipe it with `wipefs` and name it again";
    Unusable { what: "is not in LVM2's devices file".to_owned(), hint, unlisted: true }
}

/// The numbers of the drivers that make disks, from the text of `/proc/devices`.
fn majors(drivers: &str, more: &[String]) -> BTreeSet<u32> {
    let block = drivers.lines().skip_while(|line| !line.starts_with("Block devices")).skip(1);
    let pairs = block.filter_map(|line| line.trim().split_once(' '));
    // The drivers of old disks put a number behind: ide0.
    let is_known = |name: &str| {
        let plain = name.trim_end_matches(|character: char| character.is_ascii_digit());
        let is = |known: &str| known == name || known == plain;
        DRIVERS.iter().any(|known| is(known)) || more.iter().any(|known| is(known))
    };
    pairs.filter(|(_, name)| is_known(name)).filter_map(|(major, _)| major.parse().ok()).collect()
}

#[cfg(test)]
mod tests;
