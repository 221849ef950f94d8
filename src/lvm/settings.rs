//! lvm2's own configuration, `lvm.conf` and `lvmlocal.conf`, as far as it says what dmsnap may touch and how.
//!
//! Both tools work on the same disks: whoever told LVM2 to keep away from a device, to change nothing, or where its locks are,
//! means dmsnap too. The texts are parsed as LVM2 does it: of several settings of one name the last counts, and `lvmlocal.conf`
//! before `lvm.conf`. A text that is damaged is an error, and so is a filter that is none; another value of a wrong type is
//! noted and the default taken, as LVM2 does. Nothing here reads a file.

use std::path::{Path, PathBuf};

use super::alloc::ClingTag;
use super::commit::PvOptions;
use super::label::LEAST_PV;
use crate::error::Result;
use crate::units::Bytes;

mod reader;
mod system_id;

use reader::Reader;
pub use system_id::{SystemId, SystemIdSource};

/// Where the files are unless `LVM_SYSTEM_DIR` says otherwise.
pub const DIRECTORY: &str = "/etc/lvm";

/// What the files say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Where the lock files are (`global/locking_dir`).
    pub locking_dir: PathBuf,
    /// False: a lock that is held is an error at once (`global/wait_for_locks`).
    pub wait_for_locks: bool,
    /// A writer that waits for a lock goes before readers (`global/prioritise_write_locks`).
    pub writers_first: bool,
    /// Where devices have their names (`devices/dir`).
    pub dev: PathBuf,
    /// No metadata may be changed on this host (`global/metadata_read_only`).
    pub metadata_read_only: bool,
    /// The set of volume groups is locked between hosts, by a daemon (`global/use_lvmlockd`).
    pub use_lvmlockd: bool,
    /// LVM2 remembers which devices are physical volumes (`devices/hints`).
    pub hints: bool,
    /// Who this host is to volume groups that have an owner.
    pub system_id: SystemId,
    /// Which devices may be physical volumes.
    pub devices: DeviceRules,
    /// Copies of the metadata in files.
    pub archives: Archives,
    /// How many copies of the metadata there are on the disks.
    pub areas: Areas,
    /// The tags of physical volumes by which volumes cling to a site (`allocation/cling_tag_list`).
    pub cling_tags: Vec<ClingTag>,
    /// LVM2's rules of udev activate groups when their devices appear (`global/event_activation`).
    pub event_activation: bool,
    /// What is activated without being named: `VG`, `VG/LV` or `@TAG`; none: everything
    /// (`activation/auto_activation_volume_list`).
    pub auto_activation: Option<Vec<String>>,
    /// What a person should know: values that cannot be used, and settings that dmsnap does not obey.
    pub notes: Vec<String>,
}

/// Which devices may be physical volumes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceRules {
    /// Patterns `a|regex|` and `r|regex|` (`devices/filter`).
    pub filter: Vec<String>,
    /// The same, applied first (`devices/global_filter`).
    pub global_filter: Vec<String>,
    /// Drivers beside those that LVM2 knows (`devices/types`).
    pub types: Vec<String>,
    /// The list of devices to use, if it is to be used (`devices/use_devicesfile`, `devices/devicesfile`).
    pub devices_file: Option<PathBuf>,
    /// Directories that a device must have a name in; none: any (`devices/scan`).
    pub scan: Vec<PathBuf>,
    /// Physical volumes may be on logical volumes (`devices/scan_lvs`).
    pub scan_lvs: bool,
    /// The least size (`devices/pv_min_size`).
    pub smallest: Bytes,
}

/// Copies of the metadata in files, for `vgcfgrestore`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Archives {
    /// Where the newest version of each group is kept; none: nowhere.
    pub backup: Option<PathBuf>,
    /// Where the version before each change is kept; none: nowhere.
    pub archive: Option<PathBuf>,
    /// So many archived versions are kept, however old they are.
    pub retain_min: usize,
    /// Archived versions younger than this are kept, however many they are.
    pub retain_days: u64,
}

/// How many copies of the metadata new physical volumes and volume groups have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Areas {
    /// Metadata areas of a new physical volume (`metadata/pvmetadatacopies`).
    pub of_pv: u64,
    /// What the first extent of a new physical volume is aligned to (`devices/data_alignment`, `devices/default_data_alignment`).
    pub alignment: Bytes,
    /// Areas that a new volume group uses; 0 for all (`metadata/vgmetadatacopies`).
    pub of_vg: u64,
}

impl Settings {
    /// Takes both texts apart; none where there is no file. `directory` is where they are from: other files are named
    /// relative to it.
    pub fn parse(directory: &Path, conf: Option<&[u8]>, local: Option<&[u8]>) -> Result<Self> {
        let files = [("lvmlocal.conf", local), ("lvm.conf", conf)];
        let mut reader = Reader::new(directory, &files)?;
        let dev = PathBuf::from(reader.text("devices/dir").unwrap_or_else(|| "/dev".into()));
        let settings = Self {
            locking_dir: reader.text("global/locking_dir").unwrap_or_else(|| "/run/lock/lvm".into()).into(),
            wait_for_locks: reader.flag("global/wait_for_locks", true),
            writers_first: reader.flag("global/prioritise_write_locks", true),
            metadata_read_only: reader.flag("global/metadata_read_only", false),
            use_lvmlockd: reader.flag("global/use_lvmlockd", false),
            hints: reader.text("devices/hints").as_deref() != Some("none"),
            system_id: SystemId::read(&mut reader),
            devices: DeviceRules::read(&mut reader, directory, &dev)?,
            dev,
            archives: Archives::read(&mut reader, directory),
            areas: Areas::read(&mut reader),
            cling_tags: cling_tags(&mut reader),
            event_activation: reader.flag("global/event_activation", true),
            auto_activation: auto_activation(&mut reader),
            notes: Vec::new(),
        };
        for path in ["activation/volume_list", "activation/read_only_volume_list"] {
            if reader.is_set(path) {
                reader.note(format!("{path} is not obeyed: dmsnap activates what it is told to"));
            }
        }
        note_unobeyed(&mut reader);
        Ok(Self { notes: reader.into_notes(), ..settings })
    }

    /// What holds where there are no files.
    pub fn of_nothing(directory: &Path) -> Self {
        Self::parse(directory, None, None).expect("there is nothing in it that could be wrong")
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self::of_nothing(Path::new(DIRECTORY))
    }
}

/// What would be dangerous, or has no meaning here, is said and not done.
fn note_unobeyed(reader: &mut Reader) {
    let parts = "what a part of an array or a path of a multipath device holds is seen through that only";
    for (path, default, why) in [
        ("devices/md_component_detection", true, parts),
        ("devices/multipath_component_detection", true, parts),
        (
            "devices/allow_changes_with_duplicate_pvs",
            false,
            "a group with a device that is there twice is not changed",
        ),
    ] {
        if reader.flag(path, default) != default {
            reader.note(format!("{path} is not obeyed: {why}"));
        }
    }
}

/// A list that is set and empty means nothing.
fn auto_activation(reader: &mut Reader) -> Option<Vec<String>> {
    let path = "activation/auto_activation_volume_list";
    reader.is_set(path).then(|| reader.texts(path))
}

impl Areas {
    fn read(reader: &mut Reader) -> Self {
        let usual = Bytes::mib(reader.number("devices/default_data_alignment", 1).clamp(1, 1 << 20));
        let set = reader.number("devices/data_alignment", 0).min(1 << 30);
        let wanted = if set == 0 { usual } else { Bytes::kib(set) };
        let alignment = if PvOptions::can_align(wanted) { wanted } else { Bytes::mib(1) };
        if alignment != wanted {
            reader.note(format!("extents cannot be aligned to {wanted}: {alignment} is taken"));
        }
        Self {
            of_pv: reader.number("metadata/pvmetadatacopies", 1),
            of_vg: reader.number("metadata/vgmetadatacopies", 0),
            alignment,
        }
    }
}

impl DeviceRules {
    fn read(reader: &mut Reader, directory: &Path, dev: &Path) -> Result<Self> {
        let name = reader.text("devices/devicesfile").unwrap_or_else(|| "system.devices".to_owned());
        // A name with a slash would lead out of the directory; LVM2 refuses it too.
        let is_name = !name.is_empty() && !name.contains('/');
        if !is_name {
            reader.note(format!("devices/devicesfile \"{name}\" is no name of a file"));
        }
        let use_file = reader.flag("devices/use_devicesfile", false) && is_name;
        let smallest = Bytes::kib(reader.number("devices/pv_min_size", LEAST_PV.get() >> 10).min(1 << 40));
        if smallest < LEAST_PV {
            reader.note(format!("devices/pv_min_size is too small, {LEAST_PV} is taken"));
        }
        Ok(Self {
            filter: reader.texts_or_nothing("devices/filter")?,
            global_filter: reader.texts_or_nothing("devices/global_filter")?,
            // Names and numbers of partitions take turns.
            types: reader.texts_among_numbers("devices/types"),
            devices_file: use_file.then(|| directory.join("devices").join(name)),
            scan: directories(reader, dev),
            scan_lvs: reader.flag("devices/scan_lvs", false),
            smallest: smallest.max(LEAST_PV),
        })
    }
}

/// What is none is passed over, as LVM2 does.
fn cling_tags(reader: &mut Reader) -> Vec<ClingTag> {
    let (mut tags, mut notes) = (Vec::new(), Vec::new());
    for text in reader.texts("allocation/cling_tag_list") {
        match text.parse() {
            Ok(tag) => tags.push(tag),
            Err(error) => notes.push(format!("allocation/cling_tag_list: {error}")),
        }
    }
    notes.into_iter().for_each(|note| reader.note(note));
    tags
}

/// Every device has a name where devices have their names.
fn directories(reader: &mut Reader, dev: &Path) -> Vec<PathBuf> {
    let mut scan: Vec<_> = reader.texts("devices/scan").into_iter().map(PathBuf::from).collect();
    if scan.iter().any(|scanned| scanned == dev) {
        scan.clear();
    }
    scan
}

impl Archives {
    fn read(reader: &mut Reader, directory: &Path) -> Self {
        let mut place = |switch: &str, path: &str, name: &str| {
            let set = reader.text(path).map(PathBuf::from);
            // Without a directory of its own LVM2 writes no copies.
            let usual = (!directory.as_os_str().is_empty()).then(|| directory.join(name));
            let place = set.or(usual).filter(|place| !place.as_os_str().is_empty());
            place.filter(|_| reader.flag(switch, true))
        };
        let backup = place("backup/backup", "backup/backup_dir", "backup");
        let archive = place("backup/archive", "backup/archive_dir", "archive");
        let retain_min = reader.number("backup/retain_min", 10);
        Self {
            backup,
            archive,
            retain_min: usize::try_from(retain_min).unwrap_or(usize::MAX),
            retain_days: reader.number("backup/retain_days", 30),
        }
    }
}

#[cfg(test)]
mod tests;
