//! The names and identities of devices, beside the one that each is opened by.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use super::DevNo;
use super::sysfs::{SysDevices, attribute};

/// Deeper than the links under `/dev/disk`.
const DEPTH_MAX: usize = 8;

/// What a device is known by, beside its names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Identity {
    /// The name that it has in the whole world.
    Wwid,
    /// What its maker counted.
    Serial,
    /// Of an md array.
    MdUuid,
    /// The file of a loop device.
    LoopFile,
    /// Which partition of its disk it is.
    Partition,
}

impl Identity {
    /// Files of sysfs, the first that says something counts.
    fn files(self) -> &'static [&'static str] {
        match self {
            Self::Wwid => &["device/wwid", "wwid"],
            Self::Serial => &["device/serial"],
            Self::MdUuid => &["md/uuid"],
            Self::LoopFile => &["loop/backing_file"],
            Self::Partition => &["partition"],
        }
    }

    /// Some things that sysfs says are no identity: all of qemu's disks have one, and a deleted file is nobody's any more.
    fn is_one(self, text: &str) -> bool {
        match self {
            Self::Wwid => !text.contains("QEMU HARDDISK"),
            Self::LoopFile => !text.contains("(deleted)"),
            _ => true,
        }
    }
}

impl SysDevices {
    /// All names of block devices under `/dev`, links too.
    pub fn aliases(&self) -> BTreeMap<DevNo, Vec<PathBuf>> {
        let mut found = BTreeMap::new();
        gather(&self.dev, DEPTH_MAX, &mut found);
        found
    }

    /// A device's identity; a partition has its disk's.
    pub fn identity(&self, number: DevNo, kind: Identity) -> Option<String> {
        let folder = fs::canonicalize(self.folder(number)).ok()?;
        let disk = folder.join("partition").exists().then(|| folder.parent().map(Path::to_owned)).flatten();
        let folders = [Some(folder), disk.filter(|_| kind != Identity::Partition)];
        let mut ids = folders
            .iter()
            .flatten()
            .flat_map(|folder| kind.files().iter().filter_map(|file| attribute(folder, file)));
        ids.find(|text| !text.is_empty() && kind.is_one(text))
    }

    /// True while a device-mapper device lets nothing through: whoever reads it waits.
    pub fn is_suspended(&self, number: DevNo) -> bool {
        attribute(&self.folder(number), "dm/suspended").is_some_and(|text| text == "1")
    }
}

fn gather(directory: &Path, depth: usize, found: &mut BTreeMap<DevNo, Vec<PathBuf>>) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let (path, Ok(kind)) = (entry.path(), entry.file_type()) else { continue };
        if kind.is_dir() {
            // No link is followed to a directory: /dev/fd leads out of here.
            if let Some(depth) = depth.checked_sub(1) {
                gather(&path, depth, found);
            }
        } else if (kind.is_block_device() || kind.is_symlink())
            && let Ok(metadata) = fs::metadata(&path)
            && metadata.file_type().is_block_device()
        {
            found.entry(DevNo::of(metadata.rdev())).or_default().push(path);
        }
    }
}
