//! What the services ask for: volumes and snapshots that CSI knows, wherever they are kept.
//!
//! Each method is whole: it has happened or it has not, also when the process dies. Answers are awaited, for a backend may be another host.

use std::time::SystemTime;

use crate::error::Result;
use crate::lvm::{LvName, VgName};
use crate::units::{Bytes, ChunkSize, Size};

/// A volume that CSI knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Volume {
    /// Its id.
    pub id: LvName,
    /// What CSI calls it.
    pub name: String,
    /// The pool it is in.
    pub vg: VgName,
    /// Its size.
    pub size: Bytes,
    /// True if it is spread over several disks.
    pub striped: bool,
    /// What it held at first.
    pub content: Option<Content>,
    /// What no other volume ever has.
    pub uuid: String,
}

/// What a volume holds from its first moment on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// A snapshot's, by its id.
    Snapshot(LvName),
    /// What another volume holds at this instant, by its id.
    Volume(LvName),
}

/// A volume to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewVolume {
    /// Its id.
    pub id: LvName,
    /// What CSI calls it.
    pub name: String,
    /// The pool it goes to.
    pub vg: VgName,
    /// Its size, in whole extents.
    pub size: Bytes,
    /// Over how many disks it is spread; 1 for none.
    pub stripes: u64,
    /// What it holds; it is as large as that, or larger, and in the same pool.
    pub content: Option<Content>,
}

/// A pool: a volume group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pool {
    /// What is not taken of it.
    pub free: Bytes,
    /// Sizes are multiples of this.
    pub extent: Bytes,
    /// How many disks it has.
    pub disks: u64,
}

/// A snapshot that CSI knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// Its id.
    pub id: LvName,
    /// What CSI calls it, or the group that it was cut with.
    pub name: String,
    /// The pool it is in.
    pub vg: VgName,
    /// The volume that it was taken of.
    pub source: LvName,
    /// The size of that at the cut.
    pub size: Bytes,
    /// When it was cut.
    pub cut: SystemTime,
    /// False once its content is lost.
    pub valid: bool,
    /// The group that it was cut with.
    pub group: Option<String>,
}

/// A snapshot to be cut.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cut {
    /// Its id.
    pub id: LvName,
    /// Of which volume.
    pub source: Volume,
}

/// Snapshots to be cut at one instant, all or none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewSnapshots {
    /// What CSI calls it, or the group of them.
    pub name: String,
    /// Which.
    pub cuts: Vec<Cut>,
    /// The group's id, if they are one.
    pub group: Option<String>,
    /// Of each store; none for one that cannot overflow.
    pub size: Option<Size>,
    /// Of one chunk of it.
    pub chunk: ChunkSize,
}

/// Where volumes and snapshots are kept.
#[tonic::async_trait]
pub trait Backend: Send + Sync {
    /// The pool of this name.
    async fn pool(&self, vg: &VgName) -> Result<Pool>;

    /// Every volume, ordered by id.
    async fn volumes(&self) -> Result<Vec<Volume>>;

    /// Makes a volume. One with content can be used at once, and is filled behind.
    async fn create_volume(&self, new: NewVolume) -> Result<Volume>;

    /// Makes a volume as large as this; it is not smaller.
    async fn extend_volume(&self, volume: &Volume, size: Bytes) -> Result<Volume>;

    /// Removes a volume, and what a dead process left of one. What is not there is removed already.
    async fn remove_volume(&self, id: &str) -> Result<()>;

    /// Every snapshot, ordered by id.
    async fn snapshots(&self) -> Result<Vec<Snapshot>>;

    /// Cuts snapshots.
    async fn create_snapshots(&self, new: NewSnapshots) -> Result<Vec<Snapshot>>;

    /// Removes snapshots, in the same way.
    async fn remove_snapshots(&self, ids: &[&str]) -> Result<()>;

    /// The volume of this id, if there is one.
    async fn volume(&self, id: &str) -> Result<Option<Volume>>;

    /// The snapshot of this id, if there is one.
    async fn snapshot(&self, id: &str) -> Result<Option<Snapshot>>;
}
