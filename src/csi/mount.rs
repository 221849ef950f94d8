//! Mounting volumes: what is where is asked of the kernel each time, so nothing is forgotten when the process is started anew.

use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use nix::mount::{MntFlags, MsFlags, mount, umount2};

use super::capability::FileSystem;
use crate::block::DevNo;
use crate::block::mounts::{self, Mount};
use crate::error::{Error, Kind, Result};

/// What /dev is.
const DEV: [&str; 2] = ["devtmpfs", "tmpfs"];

/// A volume's device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// Its path.
    pub path: PathBuf,
    /// Its number.
    pub number: DevNo,
}

/// What is at a place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// Nothing is mounted there.
    Free,
    /// The volume's file system.
    FileSystem(Mount),
    /// The volume's device.
    Device,
    /// Something else, in words.
    Other(String),
}

impl Device {
    /// The device at a path.
    pub fn at(path: PathBuf) -> Result<Self> {
        let data = fs::metadata(&path)
            .map_err(|error| Error::io(format!("{} cannot be looked at", path.display()), error))?;
        Ok(Self { number: DevNo::of(data.rdev()), path })
    }

    /// What is mounted at a place, from this volume's point of view.
    pub fn at_place(&self, place: &Path) -> Result<Place> {
        let Some(found) = topmost(place)? else { return Ok(Place::Free) };
        let is_device = || fs::metadata(place).is_ok_and(|data| is_device(&data, self.number));
        Ok(if found.number == self.number {
            Place::FileSystem(found)
        } else if is_device() {
            Place::Device
        } else {
            Place::Other(format!("a file system of {}, {}", found.number, found.file_system))
        })
    }

    /// Where else its file system or it itself can be reached through a mount.
    pub fn elsewhere(&self, known: &[&Path]) -> Result<Vec<PathBuf>> {
        let known: Vec<_> = known.iter().map(|place| real(place)).collect::<Result<_>>()?;
        let is_here = |mount: &Mount| {
            // A device that is bound is a file of the file system below /dev. Others are not asked: one may not answer.
            let is_of_dev = || DEV.contains(&mount.file_system.as_str()) && mount.root != Path::new("/");
            mount.number == self.number || (is_of_dev() && leads_to(&mount.place, self.number))
        };
        let mut places: Vec<_> =
            mounts::current()?.into_iter().filter(is_here).map(|mount| mount.place).collect();
        places.retain(|place| !known.contains(place));
        Ok(places)
    }
}

fn leads_to(place: &Path, number: DevNo) -> bool {
    fs::metadata(place).is_ok_and(|data| is_device(&data, number))
}

fn is_device(data: &fs::Metadata, number: DevNo) -> bool {
    data.file_type().is_block_device() && DevNo::of(data.rdev()) == number
}

/// The path without symbolic links, as the kernel lists mounts; itself if it is not there.
fn real(path: &Path) -> Result<PathBuf> {
    match fs::canonicalize(path) {
        Ok(real) => Ok(real),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(path.to_owned()),
        Err(error) => Err(Error::io(format!("{} cannot be looked at", path.display()), error)),
    }
}

/// The mount that is seen at a place.
fn topmost(place: &Path) -> Result<Option<Mount>> {
    let place = real(place)?;
    Ok(mounts::current()?.into_iter().rfind(|mount| mount.place == place))
}

/// Mounts a file system.
pub fn attach(
    device: &Device,
    place: &Path,
    kind: FileSystem,
    options: &[String],
    read_only: bool,
) -> Result<()> {
    make_directory(place)?;
    let (mut flags, data) = flags(options);
    flags.set(MsFlags::MS_RDONLY, flags.contains(MsFlags::MS_RDONLY) || read_only);
    let data = Some(data.as_str()).filter(|data| !data.is_empty());
    mount(Some(&device.path), place, Some(kind.to_string().as_str()), flags, data).map_err(|errno| {
        let cause = format!("{} cannot be mounted on {} as {kind}", device.path.display(), place.display());
        Error::io(cause, errno)
    })
}

/// Shows a mounted file system in one more place.
pub fn bind(from: &Path, place: &Path, read_only: bool) -> Result<()> {
    make_directory(place)?;
    bound(from, place)?;
    if !read_only {
        return Ok(());
    }
    let flags = MsFlags::MS_BIND | MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY;
    mount(None::<&str>, place, None::<&str>, flags, None::<&str>).map_err(|errno| {
        let undone = umount2(place, MntFlags::MNT_DETACH);
        tracing::debug!("the mount is taken away again: {undone:?}");
        Error::io(format!("{} cannot be made read-only", place.display()), errno)
    })
}

/// Shows a device in one more place.
pub fn bind_device(device: &Device, place: &Path) -> Result<()> {
    let broken = |error| Error::io(format!("{} cannot be made", place.display()), error);
    if let Some(parent) = place.parent() {
        fs::create_dir_all(parent).map_err(broken)?;
    }
    OpenOptions::new().create(true).append(true).open(place).map_err(broken)?;
    // A link would be resolved to the device, whose name may change.
    bound(&real(&device.path)?, place)
}

fn bound(from: &Path, place: &Path) -> Result<()> {
    mount(Some(from), place, None::<&str>, MsFlags::MS_BIND, None::<&str>).map_err(|errno| {
        Error::io(format!("{} cannot be shown at {}", from.display(), place.display()), errno)
    })
}

fn make_directory(place: &Path) -> Result<()> {
    fs::create_dir_all(place).map_err(|error| Error::io(format!("{} cannot be made", place.display()), error))
}

/// Takes away what is mounted at a place.
pub fn detach(place: &Path) -> Result<()> {
    umount2(place, MntFlags::UMOUNT_NOFOLLOW).map_err(|errno| {
        let kind = if errno == nix::errno::Errno::EBUSY { Kind::InUse } else { Kind::Internal };
        Error::new(kind, format!("{} cannot be unmounted", place.display())).with_source(errno)
    })
}

/// Takes away the directory or file that was made for a mount. What is not empty is somebody's.
pub fn remove_place(place: &Path) -> Result<()> {
    let removed = match fs::symlink_metadata(place) {
        Ok(data) if data.is_dir() => fs::remove_dir(place),
        Ok(data) if data.is_file() && data.len() == 0 => fs::remove_file(place),
        Ok(_) => Err(io::Error::other("it is neither a directory nor an empty file")),
        Err(error) => Err(error),
    };
    match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(Error::io(format!("{} cannot be removed", place.display()), error))
        }
        _ => Ok(()),
    }
}

const FLAGS: [(&str, MsFlags); 10] = [
    ("ro", MsFlags::MS_RDONLY),
    ("noatime", MsFlags::MS_NOATIME),
    ("nodiratime", MsFlags::MS_NODIRATIME),
    ("relatime", MsFlags::MS_RELATIME),
    ("strictatime", MsFlags::MS_STRICTATIME),
    ("nodev", MsFlags::MS_NODEV),
    ("nosuid", MsFlags::MS_NOSUID),
    ("noexec", MsFlags::MS_NOEXEC),
    ("sync", MsFlags::MS_SYNCHRONOUS),
    ("dirsync", MsFlags::MS_DIRSYNC),
];

/// What the kernel wants to know as flags, and what the file system reads by itself.
fn flags(options: &[String]) -> (MsFlags, String) {
    let mut flags = MsFlags::empty();
    let mut rest = Vec::new();
    for option in options.iter().flat_map(|option| option.split(',')) {
        match FLAGS.iter().find(|(name, _)| *name == option) {
            Some((_, flag)) => flags |= *flag,
            None if ["", "rw", "defaults"].contains(&option) => {}
            None => rest.push(option),
        }
    }
    (flags, rest.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_flags_or_the_file_systems_own() {
        let options = ["defaults", "noatime,discard", "ro", "logbsize=256k"].map(str::to_owned);
        let (flags, data) = flags(&options);
        assert_eq!(flags, MsFlags::MS_NOATIME | MsFlags::MS_RDONLY);
        assert_eq!(data, "discard,logbsize=256k");
    }

    #[test]
    fn a_place_is_removed_only_if_nothing_is_in_it() {
        let directory = tempfile::tempdir().unwrap();
        let place = directory.path().join("target");
        remove_place(&place).unwrap();
        fs::create_dir(&place).unwrap();
        fs::write(place.join("data"), "x").unwrap();
        assert!(remove_place(&place).is_err());
        fs::remove_file(place.join("data")).unwrap();
        remove_place(&place).unwrap();
        fs::write(&place, "x").unwrap();
        assert!(remove_place(&place).is_err());
        fs::write(&place, "").unwrap();
        remove_place(&place).unwrap();
        assert!(!place.exists());
    }

    #[test]
    fn nothing_is_mounted_where_nothing_is() {
        let device = Device { path: "/dev/none".into(), number: DevNo { major: 0, minor: 0 } };
        assert_eq!(device.at_place(Path::new("/nowhere")).unwrap(), Place::Free);
        assert!(matches!(device.at_place(Path::new("/proc")).unwrap(), Place::Other(_)));
    }
}
