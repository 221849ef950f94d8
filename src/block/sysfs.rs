//! The host's block devices, found through sysfs and opened in `/dev`.
//!
//! Devices that hold nothing for long are passed over: ramdisks, zram, floppies, optical disks, loop devices without a file, anything of no
//! size. A device is opened only when somebody asks for it.

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::device::Disk;
use super::{Access, DevNo, Device, Devices, Listed, grow, mounts};
use crate::error::{Context, Error, Kind, Result};
use crate::units::{Bytes, Sectors};

/// What names of devices begin with that are never looked at.
const PASSED_OVER: [&str; 5] = ["ram", "zram", "fd", "sr", "nbd-"];

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

impl SysDevices {
    /// What sysfs says of the device with this folder; none if it is gone meanwhile or of no size.
    fn listed(&self, folder: &Path) -> Option<Listed> {
        let read = |file: &str| fs::read_to_string(folder.join(file)).ok();
        let number: DevNo = read("dev")?.parse().ok()?;
        let size = Sectors(read("size")?.trim().parse().ok()?).bytes();
        if size.is_zero() {
            return None;
        }
        let dm_name = read("dm/name").map(|name| name.trim_end().to_owned());
        let path = match &dm_name {
            Some(name) => self.dev.join("mapper").join(name),
            // A slash in a device's name stands as an exclamation mark in sysfs.
            None => self.dev.join(folder.file_name()?.to_str()?.replace('!', "/")),
        };
        Some(Listed {
            number,
            path: self.existing(path, folder),
            size,
            read_only: read("ro").is_some_and(|text| text.trim() == "1"),
            dm_uuid: read("dm/uuid").map(|uuid| uuid.trim_end().to_owned()),
            holders: self.holders(folder),
            partitioned: partitions(folder).next().is_some(),
        })
    }

    /// Where no node bears the device's own name, `/dev/dm-0` may still be there.
    fn existing(&self, path: PathBuf, folder: &Path) -> PathBuf {
        if path.exists() {
            return path;
        }
        let plain = folder.file_name().map(|name| self.dev.join(name)).filter(|plain| plain.exists());
        plain.unwrap_or(path)
    }

    fn holders(&self, folder: &Path) -> Vec<DevNo> {
        let Ok(entries) = fs::read_dir(folder.join("holders")) else { return Vec::new() };
        let number = |entry: fs::DirEntry| fs::read_to_string(entry.path().join("dev")).ok()?.parse().ok();
        let mut holders: Vec<_> = entries.flatten().filter_map(number).collect();
        holders.sort();
        holders
    }

    pub(super) fn folder(&self, number: DevNo) -> PathBuf {
        self.sys.join("dev/block").join(number.to_string())
    }
}

/// The folders of a disk's partitions: they bear the disk's name and a number.
fn partitions(folder: &Path) -> impl Iterator<Item = PathBuf> {
    let disk = folder.file_name().unwrap_or_default().to_owned();
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let own = entries
        .filter(move |entry| entry.file_name().as_encoded_bytes().starts_with(disk.as_encoded_bytes()));
    own.map(|entry| entry.path()).filter(|path| path.join("partition").exists())
}

impl Devices for SysDevices {
    fn list(&self) -> Result<Vec<Listed>> {
        let block = self.sys.join("block");
        let entries = fs::read_dir(&block).map_err(|error| {
            Error::io(format!("{} cannot be read", block.display()), error).hint("mount sysfs there")
        })?;
        let mut listed = Vec::new();
        for folder in entries.flatten().map(|entry| entry.path()) {
            let name = folder.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            if PASSED_OVER.iter().any(|prefix| name.starts_with(prefix)) {
                continue;
            }
            listed.extend(self.listed(&folder));
            listed.extend(partitions(&folder).filter_map(|folder| self.listed(&folder)));
        }
        listed.sort_by_key(|listed| listed.number);
        Ok(listed)
    }

    fn lookup(&self, path: &Path) -> Result<Listed> {
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
        let number = DevNo::of(metadata.rdev());
        // sysfs names the device by a link; the partition's folder lies in its disk's.
        let link = self.folder(number);
        let folder = fs::read_link(&link).ok().and_then(|to| Some(link.parent()?.join(to)));
        let listed = folder.and_then(|folder| self.listed(&folder));
        let listed = listed.ok_or_else(|| {
            Error::new(Kind::NotFound, format!("{} leads to no device ({number})", path.display())).at(at())
        })?;
        Ok(Listed { path: path.to_owned(), ..listed })
    }

    fn open(&self, path: &Path, access: Access) -> Result<Arc<dyn Device>> {
        let listed = self.lookup(path)?;
        match Disk::open(path, listed.number, access) {
            Ok(disk) => Ok(Arc::new(disk)),
            Err(error) if error.kind() == Kind::InUse => Err(self.in_use(&listed).unwrap_or(error)),
            Err(error) => Err(error),
        }
    }

    fn mounts(&self, number: DevNo) -> Result<Vec<PathBuf>> {
        mounts::read(number, |path| self.lookup(path).ok().map(|listed| listed.number))
    }

    fn sync_mounted(&self, number: DevNo) -> Result<()> {
        mounts::sync(number, &self.mounts(number)?)
    }

    fn check_growable(&self, number: DevNo) -> Result<()> {
        grow::check(&self.mounted_at(number)?)
    }

    fn grow_mounted(&self, number: DevNo, size: Bytes) -> Result<()> {
        grow::grow(&self.mounted_at(number)?, size)
    }
}

impl SysDevices {
    fn mounted_at(&self, number: DevNo) -> Result<PathBuf> {
        let place = self.mounts(number)?.into_iter().find(|place| place.is_dir());
        place.ok_or_else(|| {
            Error::new(Kind::InUse, "no file system is mounted from it".to_owned())
                .hint("mount it first, or leave --resize-fs away and grow the file system with its own tool")
        })
    }

    /// The error for a device that is in use, with the names of what uses it; none if that cannot be found out.
    fn in_use(&self, listed: &Listed) -> Option<Error> {
        let mounts = self.mounts(listed.number).ok()?;
        let mut users: Vec<_> =
            mounts.iter().map(|place| format!("mounted on {}", place.display())).collect();
        users.extend(listed.holders.iter().map(|holder| {
            let name = self.listed(&self.folder(*holder)).map(|listed| listed.path.display().to_string());
            format!("held by {}", name.unwrap_or_else(|| holder.to_string()))
        }));
        let path = listed.path.display();
        let cause = format!("{path} is in use: {}", users.join(", "));
        (!users.is_empty()).then(|| {
            Error::new(Kind::InUse, cause)
                .hint("unmount it or take it out of use first")
                .at(Context::Device(listed.path.clone()))
        })
    }
}

#[cfg(test)]
mod tests;
