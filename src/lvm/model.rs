//! The volume group as values: physical volumes, logical volumes and their segments.
//!
//! A [`Vg`] is made from a syntax tree and keeps it; reading the fields never needs the tree, changing anything goes
//! through [`Vg::apply`]. Everything that the text says and this view does not stays in the tree. Volumes are behind
//! `Arc`: a changed copy of a volume group shares all that did not change.

use std::fmt;
use std::sync::Arc;

use super::config::Tree;
use super::index::Index;
use super::name::{LvName, Tag, Uuid, VgName};
use super::policy::Policy;
use crate::error::{Error, Kind, Result};
use crate::units::{Bytes, Extents, Sectors};

/// A volume group.
#[derive(Debug, Clone)]
pub struct Vg {
    /// Its name.
    pub name: VgName,
    /// Its identity.
    pub id: Uuid,
    /// Rises by one with each commit.
    pub seqno: u64,
    /// Sectors in one extent.
    pub extent_size: Sectors,
    /// The words of `status = [...]`.
    pub status: Words,
    /// The words of `flags = [...]`.
    pub flags: Words,
    /// Its tags.
    pub tags: Vec<Tag>,
    /// The one host that may use it.
    pub system_id: Option<String>,
    /// `sanlock`, `dlm` or `idm` for a shared volume group; `none` or nothing for a local one.
    pub lock_type: Option<String>,
    /// True if it says how its lock is found, which only a shared one may.
    pub has_lock_args: bool,
    /// The most logical volumes; 0 for no limit.
    pub max_lv: u64,
    /// The most physical volumes; 0 for no limit.
    pub max_pv: u64,
    /// How many metadata areas are in use by policy; 0 for no policy.
    pub metadata_copies: u64,
    /// How extents are chosen for volumes that say nothing else.
    pub allocation: Option<Policy>,
    /// Its physical volumes, in the text's order.
    pub pvs: Vec<Arc<Pv>>,
    /// Its logical volumes, in the text's order.
    pub lvs: Vec<Arc<Lv>>,
    /// Names of removed volumes that the history keeps: not free for new ones.
    pub historical: Vec<LvName>,
    pub(super) tree: Tree,
    pub(super) index: Index,
}

/// A physical volume as the metadata has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pv {
    /// `pv0`: good only within this version of the text.
    pub key: String,
    /// Its identity.
    pub id: Uuid,
    /// The path it was last seen at. A hint only.
    pub device: Option<String>,
    /// The size of the device.
    pub dev_size: Sectors,
    /// Where its first extent begins.
    pub pe_start: Sectors,
    /// How many extents it has.
    pub pe_count: Extents,
    /// The words of `status = [...]`.
    pub status: Words,
    /// The words of `flags = [...]`.
    pub flags: Words,
    /// Its tags.
    pub tags: Vec<Tag>,
}

/// When and where a volume was created.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Creation {
    /// Seconds since 1970.
    pub time: u64,
    /// The host's node name.
    pub host: Arc<str>,
}

/// A logical volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lv {
    /// Its name.
    pub name: LvName,
    /// Its identity.
    pub id: Uuid,
    /// The words of `status = [...]`.
    pub status: Words,
    /// The words of `flags = [...]`.
    pub flags: Words,
    /// Its tags.
    pub tags: Vec<Tag>,
    /// When and where it was created.
    pub created: Option<Creation>,
    /// True if it says how its lock is found, which only a volume of a shared group may.
    pub has_lock_args: bool,
    /// How its extents are chosen, if not as the group says.
    pub allocation: Option<Policy>,
    /// Its extents, gapless from 0.
    pub segments: Vec<Segment>,
}

/// A run of a logical volume's extents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    /// Its first extent within the volume.
    pub start: Extents,
    /// How many extents it has.
    pub length: Extents,
    /// How they are mapped.
    pub kind: SegmentKind,
    /// Its tags.
    pub tags: Vec<Tag>,
}

/// How a segment is mapped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SegmentKind {
    /// `striped`; linear is striped with one area. Each area has `length / areas.len()` extents.
    Striped {
        /// Sectors in one stripe; nothing for linear.
        stripe_size: Option<Sectors>,
        /// Where the stripes are.
        areas: Vec<Area>,
    },
    /// `snapshot`, only in hidden volumes: ties an origin and a COW store together.
    Snapshot {
        /// Sectors in one chunk. The store's own header overrides it.
        chunk_size: Sectors,
        /// The volume that the snapshot is of.
        origin: LvName,
        /// The volume that holds the exceptions and bears the snapshot's name.
        store: LvName,
        /// True if the store is being merged into the origin.
        merging: bool,
    },
    /// Anything else: listed, not changed.
    Other {
        /// The type as it stands, with its `+FLAG`s.
        type_name: String,
        /// The volumes that it names (metadata, pool, images, ...), as far as they are known to be volumes.
        volumes: Vec<LvName>,
        /// The areas that it names, where the type has areas.
        areas: Vec<Area>,
    },
}

/// Where extents are.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Area {
    /// On the physical volume with this index in [`Vg::pvs`].
    Pv {
        /// The index.
        pv: usize,
        /// The first extent.
        start: Extents,
    },
    /// In another logical volume.
    Lv {
        /// Its name.
        name: LvName,
        /// The first extent.
        start: Extents,
    },
}

/// What a logical volume is to the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// An ordinary volume without snapshots.
    Plain,
    /// It has snapshots.
    Origin,
    /// The COW store of a snapshot: the volume that bears the snapshot's name.
    Cow,
    /// The hidden volume that ties origin and store together, or another internal one.
    Hidden,
}

/// A snapshot: three volumes that belong together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// The hidden volume that says so.
    pub hidden: LvName,
    /// The COW store, which bears the snapshot's name.
    pub store: LvName,
    /// What it is a snapshot of.
    pub origin: LvName,
    /// Sectors in one chunk, as the metadata has it.
    pub chunk_size: Sectors,
    /// The origin's extents at the cut.
    pub length: Extents,
    /// True if it is being merged into the origin.
    pub merging: bool,
}

/// The words of a `status` or `flags` list.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Words(pub(super) Arc<[Box<str>]>);

impl Words {
    /// True if `word` is among them.
    pub fn has(&self, word: &str) -> bool {
        self.0.iter().any(|one| **one == *word)
    }

    /// The words in the text's order.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|word| &**word)
    }
}

impl Words {
    /// With one word more, at its place in `order`; words that `order` does not know stay in front.
    pub(super) fn with(&self, word: &str, order: &[&str]) -> Self {
        if self.has(word) {
            return self.clone();
        }
        let rank = |word: &str| order.iter().position(|one| *one == word);
        let place = self.iter().position(|one| rank(one) > rank(word)).unwrap_or(self.0.len());
        let (before, after) = self.0.split_at(place);
        before.iter().map(|word| &**word).chain([word]).chain(after.iter().map(|word| &**word)).collect()
    }

    /// With one word less.
    pub(super) fn without(&self, word: &str) -> Self {
        self.iter().filter(|one| *one != word).collect()
    }
}

impl<'a> FromIterator<&'a str> for Words {
    fn from_iter<I: IntoIterator<Item = &'a str>>(words: I) -> Self {
        Self(words.into_iter().map(Box::from).collect())
    }
}

impl fmt::Debug for Words {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// What goes into the header fields of a version of the text: who wrote it, when, and why.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Stamp {
    /// Seconds since 1970.
    pub time: u64,
    /// The host's node name.
    pub host: String,
    /// The system in words, as `uname -a` has it without the processor: goes into a comment.
    pub system: String,
    /// The host's system id, if it has one.
    pub system_id: Option<String>,
    /// What the change is, in words.
    pub description: String,
}

impl Vg {
    /// The volume of this name.
    pub fn lv(&self, name: &LvName) -> Option<&Arc<Lv>> {
        self.lvs.get(*self.index.lvs.get(name)?)
    }

    /// The volume of this name, or an error that says it is not there.
    pub fn find_lv(&self, name: &LvName) -> Result<&Arc<Lv>> {
        self.lv(name).ok_or_else(|| self.no_volume(name))
    }

    pub(super) fn no_volume(&self, name: &LvName) -> Error {
        Error::new(Kind::NotFound, format!("volume group {} has no volume {name}", self.name))
            .hint(format!("`dmsnap volume list {}` shows what there is", self.name))
    }

    /// The physical volume with this identity.
    pub fn pv_by_id(&self, id: &Uuid) -> Option<&Arc<Pv>> {
        self.pvs.iter().find(|pv| pv.id == *id)
    }

    /// What the volume is to the others; nothing if there is no such volume.
    pub fn role(&self, name: &LvName) -> Option<Role> {
        let lv = self.lv(name)?;
        Some(if self.index.by_store.contains_key(name) {
            Role::Cow
        } else if !lv.status.has("VISIBLE") || lv.is_snapshot_tie() {
            Role::Hidden
        } else if self.index.by_origin.contains_key(name) {
            Role::Origin
        } else {
            Role::Plain
        })
    }

    /// True if a user sees the volume: LVM2's rule, by which a COW store is seen if its origin is.
    pub fn visible(&self, name: &LvName) -> bool {
        match self.snapshot_of_store(name) {
            // LVM2 shows the store of a virtual origin, which is hidden itself.
            Some(snapshot) => {
                !snapshot.merging
                    && (snapshot.origin.as_str().ends_with("_vorigin")
                        || self.visible_alone(&snapshot.origin))
            }
            None => self.visible_alone(name),
        }
    }

    fn visible_alone(&self, name: &LvName) -> bool {
        self.lv(name).is_some_and(|lv| lv.status.has("VISIBLE") && !lv.is_snapshot_tie())
    }

    /// Every snapshot, in the text's order.
    pub fn snapshots(&self) -> &[Snapshot] {
        &self.index.snapshots
    }

    /// The snapshots of a volume, oldest first by the hidden volume's place in the text.
    pub fn snapshots_of<'a>(&'a self, origin: &LvName) -> impl Iterator<Item = &'a Snapshot> + use<'a> {
        let places = self.index.by_origin.get(origin).map_or(&[][..], Vec::as_slice);
        places.iter().filter_map(|&place| self.index.snapshots.get(place))
    }

    /// The snapshot whose COW store has this name.
    pub fn snapshot_of_store(&self, store: &LvName) -> Option<&Snapshot> {
        self.index.snapshots.get(*self.index.by_store.get(store)?)
    }

    /// What device-mapper's name of the volume's own extents ends in: LVM2 puts the mapping that users see in front
    /// of them.
    pub fn device_suffix(&self, name: &LvName) -> &'static str {
        if self.index.by_origin.contains_key(name) {
            "-real"
        } else if self.index.by_store.contains_key(name) {
            "-cow"
        } else {
            ""
        }
    }

    /// All extents.
    pub fn extents(&self) -> Extents {
        self.pvs.iter().map(|pv| pv.pe_count).sum()
    }

    /// The size of all extents.
    pub fn size(&self) -> Bytes {
        self.extents().sectors(self.extent_size).bytes()
    }

    /// How extents are chosen for this volume, or for a new one: as it says, else as the group says.
    pub fn policy(&self, lv: Option<&Lv>) -> Policy {
        lv.and_then(|lv| lv.allocation).or(self.allocation).unwrap_or_default()
    }

    /// True if LVM2 would write: the volume group is writable, in whichever of the two styles.
    pub fn writable(&self) -> bool {
        self.status.has("WRITE") || self.flags.has("WRITE_LOCKED")
    }

    /// True if writable things are marked by the flag WRITE_LOCKED instead of the status WRITE: volume groups with a
    /// system id, which old LVM2 must not write.
    pub fn write_locked(&self) -> bool {
        self.flags.has("WRITE_LOCKED")
    }
}

impl Pv {
    /// True if new extents may be taken from it.
    pub fn allocatable(&self) -> bool {
        self.status.has("ALLOCATABLE") && !self.missing()
    }

    /// True if the metadata says that its device was away when it was last written.
    pub fn missing(&self) -> bool {
        self.flags.has("MISSING") || self.status.has("MISSING")
    }
}

impl Lv {
    /// A placeholder until the volume is read.
    pub(super) fn unread(name: LvName) -> Self {
        let (id, words) = (Uuid::NONE, Words::default());
        Self {
            name,
            id,
            status: words.clone(),
            flags: words,
            tags: Vec::new(),
            created: None,
            has_lock_args: false,
            allocation: None,
            segments: Vec::new(),
        }
    }

    /// How many extents it has.
    pub fn extents(&self) -> Extents {
        self.segments.iter().map(|segment| segment.length).sum()
    }

    /// True if it may be written to.
    pub fn writable(&self) -> bool {
        self.status.has("WRITE") || self.flags.has("WRITE_LOCKED")
    }
}

impl Lv {
    /// True for the hidden volume that ties an origin and a store together.
    pub fn is_snapshot_tie(&self) -> bool {
        self.segments.iter().any(|segment| matches!(segment.kind, SegmentKind::Snapshot { .. }))
    }
}

impl Segment {
    /// The extents of each area.
    pub fn area_length(&self) -> Extents {
        match &self.kind {
            SegmentKind::Striped { areas, .. } if !areas.is_empty() => {
                Extents(self.length.get() / (areas.len() as u64))
            }
            _ => self.length,
        }
    }
}
