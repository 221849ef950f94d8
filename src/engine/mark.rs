//! The tags by which metadata says that an operation is under way.
//!
//! Tags are the one private thing that lvm2 keeps. A volume or snapshot marked pending was never acknowledged, one marked
//! deleting is as good as gone: the next command takes it away. One marked changing stays, and the next command sees to its
//! devices. Volumes and snapshots are marked differently: what is a snapshot by now and was to be a volume, or the other way,
//! was put to use by lvm2.

use crate::error::{Error, Kind, Result};
use crate::lvm::{Edit, Lv, LvName, Tag, Vg};

const PENDING: &str = "dmsnap.pending";
const PENDING_SNAPSHOT: &str = "dmsnap.pending-snapshot";
const DELETING: &str = "dmsnap.deleting";
const CHANGING: &str = "dmsnap.changing";
const OURS: &str = "dmsnap.";

/// What an operation says of a volume while it runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    /// It is being made, and is no snapshot.
    Pending,
    /// It is being made, and is one.
    PendingSnapshot,
    /// It is being removed.
    Deleting,
    /// Its size or its name is new, and its devices may not have followed.
    Changing,
}

impl Mark {
    /// The tag that says so.
    pub fn tag(self) -> Tag {
        let word = match self {
            Self::Pending => PENDING,
            Self::PendingSnapshot => PENDING_SNAPSHOT,
            Self::Deleting => DELETING,
            Self::Changing => CHANGING,
        };
        word.parse::<Tag>().expect("these words are of a tag's characters")
    }

    /// What a volume's tags say; the first of deleting, pending, changing that is there.
    pub fn of(lv: &Lv) -> Option<Self> {
        let has = |word| lv.tags.iter().any(|tag| tag.as_str() == word);
        if has(DELETING) {
            Some(Self::Deleting)
        } else if has(PENDING_SNAPSHOT) {
            Some(Self::PendingSnapshot)
        } else if has(PENDING) {
            Some(Self::Pending)
        } else if has(CHANGING) {
            Some(Self::Changing)
        } else {
            None
        }
    }
}

/// The edits between which a volume's devices may not be what the metadata says.
pub fn changing(lv: &LvName) -> (Edit, Edit) {
    let tag = Mark::Changing.tag();
    (Edit::AddLvTag { lv: lv.clone(), tag: tag.clone() }, Edit::RemoveLvTag { lv: lv.clone(), tag })
}

/// The same for a whole group.
pub fn group_changing() -> (Edit, Edit) {
    let tag = Mark::Changing.tag();
    (Edit::AddVgTag { tag: tag.clone() }, Edit::RemoveVgTag { tag })
}

/// The edits without those that say that a volume is being removed.
pub fn without_deleting(edits: &[Edit]) -> Vec<Edit> {
    let deleting = Mark::Deleting.tag();
    edits
        .iter()
        .filter(|edit| !matches!(edit, Edit::AddLvTag { tag, .. } if *tag == deleting))
        .cloned()
        .collect()
}

/// True if a group, or a volume of it, bears a mark.
pub fn is_unfinished(vg: &Vg) -> bool {
    vg.tags.contains(&Mark::Changing.tag()) || vg.lvs.iter().any(|lv| Mark::of(lv).is_some())
}

/// Refuses tags that would be taken for the engine's own.
pub fn refuse_own_tags(tags: &[Tag]) -> Result<()> {
    let own = tags.iter().find(|tag| tag.as_str().starts_with(OURS));
    own.map_or(Ok(()), |tag| {
        Err(Error::new(Kind::Usage, format!("the tag {tag} is one that dmsnap gives"))
            .hint("choose another tag"))
    })
}

/// A volume's tags without the engine's own.
pub fn user_tags(lv: &Lv) -> Vec<String> {
    lv.tags.iter().map(ToString::to_string).filter(|tag| !tag.starts_with(OURS)).collect()
}
