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

    /// Why a device lets nothing through now, in words behind its name: whoever opens or reads it would wait.
    pub fn standstill(&self, number: DevNo) -> Option<String> {
        standstill(&fs::canonicalize(self.folder(number)).ok()?, DEPTH_MAX)
    }
}

/// The states, of SCSI and NVMe devices, in which the kernel neither does what it is asked nor refuses it.
const BLOCKED: [&str; 5] = ["blocked", "created-blocked", "quiesce", "resetting", "connecting"];

fn standstill(folder: &Path, depth: usize) -> Option<String> {
    if attribute(folder, "dm/suspended").as_deref() == Some("1") {
        return Some("is suspended".to_owned());
    }
    if let Some(state) = attribute(folder, "device/state").filter(|state| BLOCKED.contains(&state.as_str())) {
        return Some(format!("is in the state \"{state}\""));
    }
    let depth = depth.checked_sub(1)?;
    if folder.join("partition").exists() {
        return standstill(folder.parent()?, depth);
    }
    // Of those below a multipath device one is enough.
    if attribute(folder, "dm/uuid").is_some_and(|uuid| uuid.starts_with("mpath-")) {
        return None;
    }
    let below = fs::read_dir(folder.join("slaves")).ok()?.flatten();
    let mut below = below.filter_map(|entry| Some((fs::canonicalize(entry.path()).ok()?, entry.file_name())));
    below.find_map(|(below, name)| {
        Some(format!("lies on {}, which {}", name.display(), standstill(&below, depth)?))
    })
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
