//! Changes of a volume group as values.
//!
//! [`super::Vg::apply`] takes a list: all of it happens or none. The result is checked as LVM2 checks before it
//! writes, so that what is committed is always readable by it. `seqno` is the commit's business.

use super::model::Segment;
use super::name::{LvName, Tag, Uuid, VgName};
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

/// When and where something was created.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Creation {
    /// Seconds since 1970.
    pub time: u64,
    /// The host's node name.
    pub host: String,
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
}
