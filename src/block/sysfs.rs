//! The host's block devices, found through sysfs and opened in `/dev`.
//!
//! Devices that hold nothing for long are passed over: zram, floppies, optical disks, loop devices without a file, anything of no
//! size. A device is opened only when somebody asks for it. A host may have thousands of devices and every command looks at
//! them: as few files are read of each as can be.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::device::Disk;
use super::meter::Stat;
use super::{Access, DevNo, Device, Devices, LV_PREFIX, Listed, Meter, grow, mounts, users};
use crate::error::{Context, Error, Kind, Result};
use crate::units::{Bytes, Sectors};

/// What names of devices begin with that are never looked at.
const PASSED_OVER: [&str; 3] = ["zram", "fd", "sr"];

/// No file of sysfs is longer than a page.
const PAGE: usize = 4096;

/// The driver number of md arrays, and how the uuid of a multipath device begins.
const MD: u32 = 9;
const MULTIPATH: &str = "mpath-";

/// The devices under a sysfs and a `/dev`.
#[derive(Debug, Clone)]
pub struct SysDevices {
    /// `/sys`
    pub sys: PathBuf,
    /// `/dev`
    pub dev: PathBuf,
}

impl Default for SysDevices {
    fn default() -> Self {
        Self { sys: "/sys".into(), dev: "/dev".into() }
    }
}

/// A file of sysfs: opened, read at once, closed. Nothing if it is not there.
pub(super) fn attribute(folder: &Path, file: &str) -> Option<String> {
    crate::work::step();
    let mut page = [0; PAGE];
    let length = File::open(folder.join(file)).ok()?.read(&mut page).ok()?;
    let text = String::from_utf8_lossy(page.get(..length)?);
    Some(text.trim_end_matches('\n').to_owned())
}

/// The names of the entries of a directory; none if it is not there.
fn names_in(folder: &Path) -> impl Iterator<Item = String> + use<> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().into_string().ok())
}

/// A device, and what its neighbours say of it once all are known.
struct Found {
    /// What the kernel calls it.
    name: String,
    /// The disk that it is a partition of.
    disk: Option<String>,
    listed: Listed,
}

impl SysDevices {
    fn folder_named(&self, name: &str) -> PathBuf {
        self.sys.join("class/block").join(name)
    }

    /// What sysfs says of the device of this name; none if it is gone meanwhile or of no size.
    fn found(&self, name: String) -> Option<Found> {
        let folder = self.folder_named(&name);
        let size = Sectors(attribute(&folder, "size")?.trim().parse().ok()?).bytes();
        if size.is_zero() {
            return None;
        }
        let uevent = attribute(&folder, "uevent")?;
        let word = |key| uevent.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
        let number = DevNo { major: word("MAJOR")?.parse().ok()?, minor: word("MINOR")?.parse().ok()? };
        let dm = |file| if name.starts_with("dm-") { attribute(&folder, file) } else { None };
        let path = match dm("dm/name") {
            Some(mapped) => self.existing(self.dev.join("mapper").join(mapped), &name),
            None => self.dev.join(word("DEVNAME")?),
        };
        let is_partition = word("DEVTYPE") == Some("partition");
        let disk = is_partition.then(|| disk_of(&folder)).flatten();
        let dm_uuid = dm("dm/uuid");
        let read_only = attribute(&folder, "ro").is_some_and(|text| text == "1");
        let listed = Listed { number, path, size, read_only, dm_uuid, component: false, partitioned: false };
        Some(Found { name, disk, listed })
    }

    /// Those of the devices whose names are wanted, by number.
    fn listed(&self, is_wanted: impl Fn(&str) -> bool) -> Result<Vec<Listed>> {
        let class = self.sys.join("class/block");
        if !class.is_dir() {
            let text = format!("{} is not there", class.display());
            return Err(Error::new(Kind::Internal, text).hint("mount sysfs there"));
        }
        let names =
            names_in(&class).filter(|name| !PASSED_OVER.iter().any(|prefix| name.starts_with(prefix)));
        let found: Vec<_> =
            names.filter(|name| is_wanted(name)).filter_map(|name| self.found(name)).collect();
        let components = self.components(&found);
        // A partition of a path shows what the same partition of the multipath device holds.
        let is_component = |one: &Found| {
            components.contains(&one.name) || one.disk.as_ref().is_some_and(|disk| components.contains(disk))
        };
        let partitioned: HashSet<_> = found.iter().filter_map(|one| one.disk.clone()).collect();
        let known = |one: Found| Listed {
            component: is_component(&one),
            partitioned: partitioned.contains(&one.name),
            ..one.listed
        };
        let mut listed: Vec<_> = found.into_iter().map(known).collect();
        listed.sort_by_key(|listed| listed.number);
        Ok(listed)
    }

    /// Where no node bears the name of a mapping, `/dev/dm-0` may still be there.
    fn existing(&self, path: PathBuf, name: &str) -> PathBuf {
        let plain = self.dev.join(name);
        if !path.exists() && plain.exists() { plain } else { path }
    }

    /// The names of the devices that arrays and multipath devices are made of.
    fn components(&self, found: &[Found]) -> HashSet<String> {
        let is_multipath =
            |one: &Found| one.listed.dm_uuid.as_deref().is_some_and(|uuid| uuid.starts_with(MULTIPATH));
        let made = found.iter().filter(|one| one.listed.number.major == MD || is_multipath(one));
        made.flat_map(|one| names_in(&self.folder_named(&one.name).join("slaves"))).collect()
    }

    /// The devices that are built on this one.
    fn holders(&self, number: DevNo) -> impl Iterator<Item = PathBuf> {
        let names = names_in(&self.folder(number).join("holders"));
        names.map(|name| self.found(name.clone()).map_or(self.dev.join(name), |found| found.listed.path))
    }

    pub(super) fn folder(&self, number: DevNo) -> PathBuf {
        self.sys.join("dev/block").join(number.to_string())
    }

    /// The number of the block device at `path`.
    pub fn number(&self, path: &Path) -> Result<DevNo> {
        let at = || Context::Device(path.to_owned());
        let metadata = fs::metadata(path).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => {
                Error::new(Kind::NotFound, format!("there is no device {}", path.display())).at(at())
            }
            _ => Error::io(format!("{} cannot be looked at", path.display()), error).at(at()),
        })?;
        if !metadata.file_type().is_block_device() {
            return Err(Error::new(Kind::Usage, format!("{} is no block device", path.display()))
                .hint("name a disk or a partition; a file can be made one with `losetup`")
                .at(at()));
        }
        Ok(DevNo::of(metadata.rdev()))
    }
}

/// A partition's folder lies in its disk's.
fn disk_of(folder: &Path) -> Option<String> {
    let target = fs::read_link(folder).ok()?;
    target.parent()?.file_name()?.to_str().map(str::to_owned)
}

impl Devices for SysDevices {
    fn list(&self) -> Result<Vec<Listed>> {
        self.listed(|_| true)
    }

    fn list_disks(&self) -> Result<Vec<Listed>> {
        let uuid = |name: &str| attribute(&self.folder_named(name), "dm/uuid");
        let is_lv = |name: &str| uuid(name).is_some_and(|uuid| uuid.starts_with(LV_PREFIX));
        self.listed(|name| !(name.starts_with("dm-") && is_lv(name)))
    }

    fn lookup(&self, path: &Path) -> Result<Listed> {
        let number = self.number(path)?;
        let listed = self.list()?.into_iter().find(|listed| listed.number == number);
        let listed = listed.ok_or_else(|| {
            let cause =
                format!("{} ({number}) has no size, or is of a kind that keeps nothing", path.display());
            Error::new(Kind::NotFound, cause)
                .hint("name a disk or a partition")
                .at(Context::Device(path.to_owned()))
        })?;
        Ok(Listed { path: path.to_owned(), ..listed })
    }

    fn open(&self, path: &Path, access: Access) -> Result<Arc<dyn Device>> {
        let number = self.number(path)?;
        match Disk::open(path, number, access) {
            Ok(disk) => Ok(Arc::new(disk)),
            Err(error) if error.kind() == Kind::InUse => Err(self.in_use(path, number).unwrap_or(error)),
            Err(error) => Err(error),
        }
    }

    fn meter(&self, number: DevNo) -> Result<Option<Box<dyn Meter>>> {
        Ok(Stat::open(&self.folder(number)).map(|stat| Box::new(stat) as Box<dyn Meter>))
    }

    fn mounts(&self, number: DevNo) -> Result<Vec<PathBuf>> {
        mounts::read(number, |path| self.number(path).ok())
    }

    fn users(&self, number: DevNo) -> Result<Vec<String>> {
        let devices = self.holders(number).map(|holder| holder.display().to_string());
        let is_it = |path: &Path| self.number(path).is_ok_and(|other| other == number);
        Ok(devices.chain(users::processes(Path::new("/proc"), is_it)).collect())
    }

    fn sync_mounted(&self, number: DevNo) -> Result<()> {
        mounts::sync(number, &self.mounts(number)?)
    }

    fn check_growable(&self, number: DevNo) -> Result<()> {
        grow::Growable::find(number, &self.mounts(number)?).map(drop)
    }

    fn grow_mounted(&self, number: DevNo, size: Bytes) -> Result<()> {
        grow::Growable::find(number, &self.mounts(number)?)?.grow(size)
    }
}

impl SysDevices {
    /// The error for a device that is in use, with the names of what uses it; none if that cannot be found out.
    fn in_use(&self, path: &Path, number: DevNo) -> Option<Error> {
        let mounts = self.mounts(number).ok()?;
        let mut users: Vec<_> =
            mounts.iter().map(|place| format!("mounted on {}", place.display())).collect();
        users.extend(self.holders(number).map(|holder| format!("held by {}", holder.display())));
        let cause = format!("{} is in use: {}", path.display(), users.join(", "));
        (!users.is_empty()).then(|| {
            Error::new(Kind::InUse, cause)
                .hint("unmount it or take it out of use first")
                .at(Context::Device(path.to_owned()))
        })
    }
}

#[cfg(test)]
mod tests;
