//! Changes of a volume group as values.
//!
//! [`super::Vg::apply`] takes a list: all of it happens or none. The result is checked as LVM2 checks before it
//! writes, so that what is committed is always readable by it. `seqno` is the commit's business.

use std::fmt;

use super::model::{Creation, Segment};
use super::name::{LvName, Tag, Uuid, VgName};
use super::policy::Policy;
use crate::units::{Extents, Sectors};

/// One change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Edit {
    /// A new volume.
    AddLv(NewLv),
    /// The volume goes and its extents are free. Refused while a snapshot relation names it.
    RemoveLv {
        /// Which.
        lv: LvName,
    },
    /// The volume gets another name, wherever it is named.
    RenameLv {
        /// Its name now.
        lv: LvName,
        /// Its new name.
        to: LvName,
    },
    /// The volume's extents become these.
    SetLvSegments {
        /// Which.
        lv: LvName,
        /// Gapless from 0.
        segments: Vec<Segment>,
    },
    /// The volume may or may not be written to.
    SetLvWritable {
        /// Which.
        lv: LvName,
        /// Whether it may.
        writable: bool,
    },
    /// A word such as `ACTIVATION_SKIP` in the volume's `flags`.
    SetLvFlag {
        /// Which.
        lv: LvName,
        /// The word.
        flag: LvFlag,
        /// Present or absent.
        on: bool,
    },
    /// LVM2 refuses to change the volume, or not; what else of it is to change has to be unlocked first.
    SetLvLocked {
        /// Which.
        lv: LvName,
        /// Whether it refuses.
        locked: bool,
    },
    /// How the volume's extents are chosen from now on; nothing: as the group says.
    SetLvPolicy {
        /// Which.
        lv: LvName,
        /// How.
        policy: Option<Policy>,
    },
    /// A tag more; nothing happens if it is there.
    AddLvTag {
        /// Which.
        lv: LvName,
        /// The tag.
        tag: Tag,
    },
    /// A tag less; nothing happens if it is not there.
    RemoveLvTag {
        /// Which.
        lv: LvName,
        /// The tag.
        tag: Tag,
    },
    /// A volume becomes the COW store of a snapshot. The hidden volume's name is chosen by LVM2's rule.
    AddSnapshot {
        /// The volume that becomes the store: a plain one, it loses VISIBLE.
        store: LvName,
        /// What it is a snapshot of.
        origin: LvName,
        /// Sectors in one chunk.
        chunk_size: Sectors,
        /// The hidden volume's identity.
        id: Uuid,
        /// The hidden volume's creation.
        created: Option<Creation>,
    },
    /// The hidden volume goes; the store becomes a plain visible volume.
    DetachSnapshot {
        /// The store.
        store: LvName,
    },
    /// The snapshot is to be merged into its origin, or no longer.
    SetMerging {
        /// The store.
        store: LvName,
        /// Whether it is.
        merging: bool,
    },
    /// A physical volume more, last in order.
    AddPv(NewPv),
    /// A physical volume less. Refused while extents are used on it.
    RemovePv {
        /// Which.
        pv: Uuid,
    },
    /// A physical volume's device is away, or is taken for whole again.
    SetPvMissing {
        /// Which.
        pv: Uuid,
        /// Whether it is away.
        missing: bool,
    },
    /// The volume group gets another name.
    RenameVg {
        /// Its new name.
        to: VgName,
    },
    /// A tag of the volume group more.
    AddVgTag {
        /// The tag.
        tag: Tag,
    },
    /// A tag of the volume group less.
    RemoveVgTag {
        /// The tag.
        tag: Tag,
    },
}

/// In words, for a dry run: `add volume db, 25 extents`.
impl fmt::Display for Edit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AddLv(new) => {
                let extents: Extents = new.segments.iter().map(|segment| segment.length).sum();
                write!(f, "add volume {}, {extents}", new.name)?;
                let tags: Vec<_> = new.tags.iter().map(Tag::as_str).collect();
                if tags.is_empty() { Ok(()) } else { write!(f, ", tagged {}", tags.join(" ")) }
            }
            Self::RemoveLv { lv } => write!(f, "remove volume {lv}"),
            Self::RenameLv { lv, to } => write!(f, "rename volume {lv} to {to}"),
            Self::SetLvSegments { lv, segments } => {
                let extents: Extents = segments.iter().map(|segment| segment.length).sum();
                write!(f, "make volume {lv} {extents} long")
            }
            Self::SetLvWritable { lv, writable: true } => write!(f, "make volume {lv} writable"),
            Self::SetLvWritable { lv, writable: false } => write!(f, "make volume {lv} read-only"),
            Self::SetLvFlag { lv, flag, on: true } => write!(f, "set {} of volume {lv}", flag.word()),
            Self::SetLvFlag { lv, flag, on: false } => write!(f, "clear {} of volume {lv}", flag.word()),
            Self::SetLvLocked { lv, locked: true } => write!(f, "lock volume {lv}"),
            Self::SetLvLocked { lv, locked: false } => write!(f, "unlock volume {lv}"),
            Self::SetLvPolicy { lv, policy } => {
                let word = policy.map_or("inherit", Policy::word);
                write!(f, "let the extents of volume {lv} be chosen as {word}")
            }
            Self::AddLvTag { lv, tag } => write!(f, "tag volume {lv} {tag}"),
            Self::RemoveLvTag { lv, tag } => write!(f, "untag volume {lv} {tag}"),
            Self::AddSnapshot { store, origin, chunk_size, .. } => {
                write!(f, "make {store} a snapshot of {origin}, chunks of {chunk_size}")
            }
            Self::DetachSnapshot { store } => write!(f, "make snapshot {store} a plain volume"),
            Self::SetMerging { store, merging: true } => write!(f, "begin to merge snapshot {store}"),
            Self::SetMerging { store, merging: false } => write!(f, "end the merge of snapshot {store}"),
            Self::AddPv(new) => write!(f, "add physical volume {}", new.id),
            Self::RemovePv { pv } => write!(f, "remove physical volume {pv}"),
            Self::SetPvMissing { pv, missing: true } => {
                write!(f, "note that physical volume {pv} is missing")
            }
            Self::SetPvMissing { pv, missing: false } => write!(f, "take physical volume {pv} in again"),
            Self::RenameVg { to } => write!(f, "rename the volume group to {to}"),
            Self::AddVgTag { tag } => write!(f, "tag the volume group {tag}"),
            Self::RemoveVgTag { tag } => write!(f, "untag the volume group {tag}"),
        }
    }
}

/// A flag of a logical volume that dmsnap sets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LvFlag {
    /// LVM2 activates it only when told to ignore this.
    ActivationSkip,
    /// LVM2 does not activate it by itself.
    NoAutoActivate,
}

impl LvFlag {
    /// The word in the text.
    pub const fn word(self) -> &'static str {
        match self {
            Self::ActivationSkip => "ACTIVATION_SKIP",
            Self::NoAutoActivate => "NOAUTOACTIVATE",
        }
    }
}

/// A volume to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewLv {
    /// Its name. Checked against the reserved ones.
    pub name: LvName,
    /// Its identity.
    pub id: Uuid,
    /// Whether it may be written to.
    pub writable: bool,
    /// Whether users see it.
    pub visible: bool,
    /// Its flags.
    pub flags: Vec<LvFlag>,
    /// Its tags.
    pub tags: Vec<Tag>,
    /// Its creation.
    pub created: Option<Creation>,
    /// Its extents, gapless from 0.
    pub segments: Vec<Segment>,
}

/// A physical volume to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewPv {
    /// Its identity.
    pub id: Uuid,
    /// The path, as a hint.
    pub device: Option<String>,
    /// The size of the device.
    pub dev_size: Sectors,
    /// Where its first extent begins.
    pub pe_start: Sectors,
    /// How many extents it has.
    pub pe_count: Extents,
}

/// A volume group to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewVg {
    /// Its name.
    pub name: VgName,
    /// Its identity.
    pub id: Uuid,
    /// Sectors in one extent: a power of two.
    pub extent_size: Sectors,
    /// The host that owns it, if it is to be owned.
    pub system_id: Option<String>,
    /// In how many metadata areas its text is kept; 0 for all that there are.
    pub metadata_copies: u64,
}
