//! The tags by which metadata says that an operation is under way.
//!
//! Tags are the one private thing that lvm2 keeps. A volume or snapshot marked pending was never acknowledged, one marked
//! deleting is as good as gone: the next command takes it away. One marked changing stays, and the next command sees to its
//! devices; after a rename the mark has the old name, whose paths may still be there. A group has a mark for each device that it lets
//! go of. Volumes and snapshots are marked differently: what is a snapshot by now and was to be a volume, or the other way, was put to
//! use by lvm2. A snapshot marked rolling back that the kernel has begun to merge is merged to the end, for nothing leads back; one that
//! it has not begun with stays a snapshot.

use std::collections::BTreeSet;
use std::str::FromStr;

use crate::error::{Error, Kind, Result};
use crate::lvm::{Edit, Lv, LvName, Tag, Uuid, Vg, VgName};

const PENDING: &str = "dmsnap.pending";
const PENDING_SNAPSHOT: &str = "dmsnap.pending-snapshot";
const DELETING: &str = "dmsnap.deleting";
const CHANGING: &str = "dmsnap.changing";
const ROLLING_BACK: &str = "dmsnap.rolling-back";
/// The uuid of a snapshot that is rolled back to stands behind it.
const BEFORE: &str = "dmsnap.before=";
/// The old name stands behind it.
const RENAMING: &str = "dmsnap.renaming=";
/// The uuid of a physical volume stands behind it.
const LEAVING: &str = "dmsnap.leaving=";
/// A bond stands behind each of these.
const JOINED: &str = "dmsnap.joined=";
const AWAITS: &str = "dmsnap.awaits=";
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
    /// It is a snapshot that its origin is to be rolled back to by a merge, or the map of a rollback by filling, and nobody was told yet
    /// that the origin is rolled back.
    RollingBack,
}

impl Mark {
    /// The tag that says so.
    pub fn tag(self) -> Tag {
        let word = match self {
            Self::Pending => PENDING,
            Self::PendingSnapshot => PENDING_SNAPSHOT,
            Self::Deleting => DELETING,
            Self::Changing => CHANGING,
            Self::RollingBack => ROLLING_BACK,
        };
        tag(word)
    }

    /// What a volume's tags say; the first of deleting, pending, rolling back, changing that is there.
    pub fn of(lv: &Lv) -> Option<Self> {
        let has = |word| lv.tags.iter().any(|tag| tag.as_str() == word);
        if has(DELETING) {
            Some(Self::Deleting)
        } else if has(PENDING_SNAPSHOT) {
            Some(Self::PendingSnapshot)
        } else if has(PENDING) {
            Some(Self::Pending)
        } else if has(ROLLING_BACK) {
            Some(Self::RollingBack)
        } else if has(CHANGING) || former_names::<LvName>(&lv.tags).next().is_some() {
            Some(Self::Changing)
        } else {
            None
        }
    }
}

/// Another group, to which snapshots taken at one instant tie this one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Bond {
    /// The other group.
    pub group: Uuid,
    /// The instant.
    pub cut: Uuid,
}

impl Bond {
    /// Of a snapshot: the other group decides whether it was taken.
    pub fn joined(self) -> Tag {
        self.behind(JOINED)
    }

    /// Of a snapshot that decides: once it is not pending any more, the other group has to follow.
    pub fn awaits(self) -> Tag {
        self.behind(AWAITS)
    }

    /// The group that decides about a snapshot.
    pub fn joining(lv: &Lv) -> Option<Self> {
        lv.tags.iter().find_map(|tag| Self::of(tag, JOINED))
    }

    /// The groups that may not have followed.
    pub fn awaited(lv: &Lv) -> impl Iterator<Item = Self> {
        lv.tags.iter().filter_map(|tag| Self::of(tag, AWAITS))
    }

    fn behind(self, word: &str) -> Tag {
        tag(&format!("{word}{}.{}", self.group.compact(), self.cut.compact()))
    }

    fn of(tag: &Tag, word: &str) -> Option<Self> {
        let (group, cut) = tag.as_str().strip_prefix(word)?.split_once('.')?;
        Some(Self { group: group.parse().ok()?, cut: cut.parse().ok()? })
    }
}

/// Of a pending snapshot: it keeps what a volume showed before it was rolled back to this one, or with this map.
pub fn before(rolled_back: Uuid) -> Tag {
    tag(&format!("{BEFORE}{}", rolled_back.compact()))
}

/// True for a snapshot that keeps what a volume showed before it was rolled back to one that is gone, or with a map that is, or that goes. Whoever has merged that one has
/// taken its mark away with it: LVM2 knows no marks.
pub fn outlives_rollback(vg: &Vg, lv: &Lv) -> bool {
    let mut others = lv.tags.iter().filter_map(|tag| tag.as_str().strip_prefix(BEFORE)?.parse::<Uuid>().ok());
    let stays = |lv: &Lv| Mark::of(lv) != Some(Mark::Deleting);
    others.any(|other| !vg.lvs.iter().any(|lv| lv.id == other && stays(lv)))
}

/// The edits between which a volume's devices may not be what the metadata says.
pub fn changing(lv: &LvName) -> (Edit, Edit) {
    tagging(lv, Mark::Changing.tag())
}

/// The same for a volume that is renamed.
pub fn renaming(from: &LvName, to: &LvName) -> (Edit, Edit) {
    tagging(to, renaming_tag(from.as_str()))
}

fn tagging(lv: &LvName, tag: Tag) -> (Edit, Edit) {
    (Edit::AddLvTag { lv: lv.clone(), tag: tag.clone() }, Edit::RemoveLvTag { lv: lv.clone(), tag })
}

/// The same for a whole group.
pub fn group_renaming(from: &VgName) -> (Edit, Edit) {
    let tag = renaming_tag(from.as_str());
    (Edit::AddVgTag { tag: tag.clone() }, Edit::RemoveVgTag { tag })
}

/// The edits between which a physical volume that has left the group may still hold its metadata.
pub fn leaving(pv: &Uuid) -> (Edit, Edit) {
    let tag = tag(&format!("{LEAVING}{pv}"));
    (Edit::AddVgTag { tag: tag.clone() }, Edit::RemoveVgTag { tag })
}

/// The physical volumes of which a group says so.
pub fn left(vg: &Vg) -> BTreeSet<Uuid> {
    vg.tags.iter().filter_map(|tag| tag.as_str().strip_prefix(LEAVING)?.parse().ok()).collect()
}

/// True for an edit that says it no longer.
pub fn frees(edit: &Edit) -> bool {
    matches!(edit, Edit::RemoveVgTag { tag } if tag.as_str().starts_with(LEAVING))
}

/// A name has no character that a tag may not have, and is shorter.
fn renaming_tag(from: &str) -> Tag {
    tag(&format!("{RENAMING}{from}"))
}

fn tag(words: &str) -> Tag {
    words.parse().expect("these words are of a tag's characters")
}

/// The names that something had before renames that nobody has confirmed.
pub fn former_names<N: FromStr>(tags: &[Tag]) -> impl Iterator<Item = N> {
    tags.iter().filter_map(|tag| tag.as_str().strip_prefix(RENAMING)?.parse().ok())
}

/// The edits that take every mark off a volume, unless another group decides what becomes of it.
pub fn unmark(lv: &Lv) -> impl Iterator<Item = Edit> {
    let is_joined = Bond::joining(lv).is_some();
    lv.tags
        .iter()
        .filter(move |tag| is_mark(tag) && !is_joined)
        .map(|tag| Edit::RemoveLvTag { lv: lv.name.clone(), tag: tag.clone() })
}

/// The same for the group itself.
pub fn unmark_group(vg: &Vg) -> impl Iterator<Item = Edit> {
    vg.tags.iter().filter(|tag| is_mark(tag)).map(|tag| Edit::RemoveVgTag { tag: tag.clone() })
}

fn is_mark(tag: &Tag) -> bool {
    let word = tag.as_str();
    [PENDING, PENDING_SNAPSHOT, DELETING, CHANGING, ROLLING_BACK].contains(&word)
        || [RENAMING, LEAVING, BEFORE].iter().any(|prefix| word.starts_with(prefix))
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
    let is_awaiting = |lv: &Lv| Bond::awaited(lv).next().is_some();
    vg.tags.iter().any(is_mark) || vg.lvs.iter().any(|lv| Mark::of(lv).is_some() || is_awaiting(lv))
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
