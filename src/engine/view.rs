//! What the engine shows of its objects: the rows of `list` and the answers of the commands that create.
//!
//! The field names are the keys of the JSON output; sizes are bytes.

use std::path::PathBuf;

use serde::Serialize;

use crate::units::Bytes;

/// A physical volume.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PvView {
    /// Its path.
    pub device: Option<PathBuf>,
    /// Its uuid.
    pub uuid: String,
    /// The volume group that it belongs to.
    pub vg: Option<String>,
    /// What it holds: its extents, or its size while it belongs to no group.
    pub size_bytes: Bytes,
    /// In free extents; all of it while it belongs to no group.
    pub free_bytes: Bytes,
    /// Extents on it.
    pub extent_count: u64,
    /// Free ones.
    pub free_extents: u64,
    /// `in_vg`, `unused`, `used` or `missing`.
    pub state: PvState,
}

/// How a physical volume stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PvState {
    /// It belongs to a volume group.
    InVg,
    /// It belongs to none.
    Unused,
    /// It belongs to one that cannot be read.
    Used,
    /// Its volume group names it and its device is not there, or was not while the group was changed.
    Missing,
}

/// A volume group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct VgView {
    /// Its name.
    pub name: String,
    /// Its uuid.
    pub uuid: String,
    /// The number of its newest metadata.
    pub seqno: u64,
    /// In extents.
    pub size_bytes: Bytes,
    /// In free extents.
    pub free_bytes: Bytes,
    /// Of one extent.
    pub extent_size_bytes: Bytes,
    /// How many physical volumes.
    pub pv_count: usize,
    /// How many volumes that are no snapshots.
    pub volume_count: usize,
    /// How many snapshots.
    pub snapshot_count: usize,
    /// Whether dmsnap may change it.
    pub state: VgState,
    /// Why it may not.
    pub reason: Option<String>,
}

/// Whether a volume group may be changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum VgState {
    /// It may.
    Ok,
    /// It may not.
    Refused,
}

/// A volume.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct VolumeView {
    /// Its volume group.
    pub vg: String,
    /// Its name.
    pub name: String,
    /// Its uuid.
    pub uuid: String,
    /// Its size.
    pub size_bytes: Bytes,
    /// How its extents are laid out: `linear`, `striped`, or the segment types that lvm2 gave it.
    pub layout: String,
    /// Whether it can be used.
    pub state: VolumeState,
    /// True if something has it open.
    pub open: bool,
    /// Its snapshots' names.
    pub snapshots: Vec<String>,
    /// The snapshot that it is being filled from.
    pub filled_from: Option<String>,
    /// How much of it is filled, while it is active.
    pub progress_percent: Option<f64>,
    /// Its tags, without the engine's own.
    pub tags: Vec<String>,
    /// The path to use it by, while it is active.
    pub device: Option<PathBuf>,
}

/// Whether a volume can be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum VolumeState {
    /// It can.
    Active,
    /// Its I/O waits: a process died, or an operation is under way.
    Suspended,
    /// The kernel does not have it.
    Inactive,
    /// It is being made, or its maker died.
    Pending,
    /// It is being removed, or its remover died.
    Deleting,
    /// A snapshot is being merged into it.
    Merging,
    /// It can be used, and is being filled from a snapshot behind.
    Filling,
    /// It shows the content of one of its snapshots, and is being filled with it behind.
    RollingBack,
}

/// A snapshot.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SnapshotView {
    /// Its volume group.
    pub vg: String,
    /// Its name.
    pub name: String,
    /// Its uuid: that of its COW volume, which bears its name.
    pub uuid: String,
    /// The volume that it is a snapshot of.
    pub origin: String,
    /// The origin's size at the cut.
    pub size_bytes: Bytes,
    /// Of the COW store.
    pub cow_size_bytes: Bytes,
    /// In use of it, metadata included; known while it is active.
    pub used_bytes: Option<Bytes>,
    /// Its header and exception areas; known while it is active.
    pub metadata_bytes: Option<Bytes>,
    /// In use, in per cent: 0 while nothing was copied, as lvm2 counts.
    pub used_percent: Option<f64>,
    /// Of one chunk.
    pub chunk_bytes: Bytes,
    /// How it stands.
    pub state: SnapshotState,
    /// True if it refuses writes.
    pub read_only: bool,
    /// When it was made, RFC 3339.
    pub created_at: Option<String>,
    /// True while it is merged into its origin.
    pub merging: bool,
    /// True once its content is lost.
    pub invalid: bool,
    /// Of a merge.
    pub progress_percent: Option<f64>,
    /// Until the store is full, at the present rate; measured by the monitor.
    pub eta_full_seconds: Option<u64>,
    /// Where it is mounted, and the volumes that are being filled from it.
    pub in_use_by: Vec<String>,
    /// Its tags, without the engine's own.
    pub tags: Vec<String>,
    /// The path to use it by, while it is active.
    pub device: Option<PathBuf>,
}

/// How a snapshot stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SnapshotState {
    /// It can be used.
    Active,
    /// The kernel does not have it.
    Inactive,
    /// It is being made, or its maker died.
    Pending,
    /// It is merged into its origin.
    Merging,
    /// Its store was full, or damaged: its content is lost.
    Invalid,
    /// A write to it found its store full; reading goes on.
    Overflow,
    /// The kernel reports a failed merge.
    Failed,
    /// It is being removed, or its remover died.
    Deleting,
}
