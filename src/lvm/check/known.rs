//! The words and segment types of LVM2 2.03. What is not among them makes a volume group listed but not changed,
//! where LVM2 itself would refuse it.

pub(super) const VG_STATUS: [&str; 7] =
    ["EXPORTED", "RESIZEABLE", "PVMOVE", "READ", "WRITE", "CLUSTERED", "SHARED"];

pub(super) const PV_STATUS: [&str; 3] = ["ALLOCATABLE", "EXPORTED", "MISSING"];

pub(super) const LV_STATUS: [&str; 9] =
    ["READ", "WRITE", "FIXED_MINOR", "VISIBLE", "PVMOVE", "LOCKED", "NOTSYNCED", "REBUILD", "WRITEMOSTLY"];

const SEGMENT_TYPES: [&str; 35] = [
    "striped",
    "linear",
    "snapshot",
    "mirror",
    "error",
    "zero",
    "thin",
    "thin-pool",
    "cache",
    "cache-pool",
    "writecache",
    "integrity",
    "vdo",
    "vdo-pool",
    "raid0",
    "raid0_meta",
    "raid1",
    "raid10",
    "raid10_near",
    "raid4",
    "raid5",
    "raid5_n",
    "raid5_la",
    "raid5_ls",
    "raid5_ra",
    "raid5_rs",
    "raid6",
    "raid6_nc",
    "raid6_nr",
    "raid6_zr",
    "raid6_ls_6",
    "raid6_rs_6",
    "raid6_la_6",
    "raid6_ra_6",
    "raid6_n_6",
];

/// Of RAID only.
const RAID_FLAGS: [&str; 5] = [
    "RESHAPE",
    "RESHAPE_DATA_OFFSET",
    "RESHAPE_DELTA_DISKS_PLUS",
    "RESHAPE_DELTA_DISKS_MINUS",
    "REMOVE_AFTER_RESHAPE",
];

/// Fields beside the volume group at the top of the text: LVM2 takes the first of a name.
pub(super) const TOP_FIELDS: [&str; 6] =
    ["contents", "version", "description", "creation_host", "creation_host_system_id", "creation_time"];

/// A type with its flags: `cache+CACHE_USES_CACHEVOL`. LVM2 takes a volume with a flag of another type for corrupt.
pub(in crate::lvm) fn is_segment_type(text: &str) -> bool {
    let mut parts = text.split('+');
    parts
        .next()
        .is_some_and(|name| SEGMENT_TYPES.contains(&name) && parts.all(|flag| flags_of(name).contains(&flag)))
}

fn flags_of(name: &str) -> &'static [&'static str] {
    match name {
        "cache" | "cache-pool" => &["METADATA_FORMAT", "CACHE_USES_CACHEVOL"],
        "thin-pool" => &["CROP_METADATA"],
        _ if name.starts_with("raid") => &RAID_FLAGS,
        _ => &[],
    }
}
