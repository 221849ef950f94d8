//! The volume group as values: physical volumes, logical volumes and their segments.
//!
//! A [`Vg`] is made from a syntax tree and keeps it; reading the fields never needs the tree, changing anything goes
//! through [`Vg::apply`]. Everything that the text says and this view does not stays in the tree.

use std::collections::BTreeMap;

use super::name::{LvName, Tag, Uuid, VgName};
use crate::units::{Extents, Sectors};

/// A volume group.
pub struct Vg {
    pub name: VgName,
    pub id: Uuid,
    /// Rises by one with each commit.
    pub seqno: u64,
    pub extent_size: Sectors,
    /// `status = [...]` and `flags = [...]` words as they stand
    pub status: Vec<String>,
    pub flags: Vec<String>,
    pub tags: Vec<Tag>,
    pub system_id: Option<String>,
    pub lock_type: Option<String>,
    pub max_lv: u64,
    pub max_pv: u64,
    pub metadata_copies: u64,
    pub pvs: Vec<Pv>,
    pub lvs: Vec<Lv>,
}

/// A physical volume as the metadata has it.
pub struct Pv {
    /// `pv0`: good only within this version of the text.
    pub key: String,
    pub id: Uuid,
    /// A hint only.
    pub device: Option<String>,
    pub dev_size: Sectors,
    pub pe_start: Sectors,
    pub pe_count: Extents,
    pub status: Vec<String>,
    pub flags: Vec<String>,
    pub tags: Vec<Tag>,
}

/// A logical volume.
pub struct Lv {
    pub name: LvName,
    pub id: Uuid,
    pub status: Vec<String>,
    pub flags: Vec<String>,
    pub tags: Vec<Tag>,
    /// Seconds since 1970.
    pub creation_time: Option<u64>,
    pub creation_host: Option<String>,
    pub segments: Vec<Segment>,
}

/// A run of a logical volume's extents.
pub struct Segment {
    pub start: Extents,
    pub length: Extents,
    pub kind: SegmentKind,
    pub tags: Vec<Tag>,
}

/// How a segment is mapped.
pub enum SegmentKind {
    /// `striped`; linear is striped with one area.
    Striped { stripe_size: Option<Sectors>, areas: Vec<Area> },
    /// `snapshot`, only in hidden volumes: origin + store
    Snapshot { chunk_size: Sectors, origin: LvName, store: LvName, merging: bool },
    /// Anything else: listed, not changed. `volumes` are the LVs that it names (metadata, pool, raids, ...).
    Other { type_name: String, volumes: Vec<LvName>, areas: Vec<Area> },
}

/// Where extents are.
pub enum Area {
    /// On the physical volume with this index in [`Vg::pvs`].
    Pv { pv: usize, start: Extents },
    Lv { name: LvName, start: Extents },
}

/// What a logical volume is to the others.
pub enum Role {
    /// An ordinary volume without snapshots
    Plain,
    /// It has snapshots
    Origin,
    /// the COW store of a snapshot: the LV that bears the snapshot's name.
    Cow,
    /// the hidden volume that ties origin and store together, or another internal one
    Hidden,
}
