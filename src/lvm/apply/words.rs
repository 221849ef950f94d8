//! The words and tags of a volume, and how they change.

use crate::error::Result;
use crate::lvm::config::{Place, SectionMut, list};
use crate::lvm::model::Words;
use crate::lvm::name::Tag;

/// The order of LVM2's words for logical volumes.
const STATUS: [&str; 9] =
    ["READ", "WRITE", "FIXED_MINOR", "VISIBLE", "PVMOVE", "LOCKED", "NOTSYNCED", "REBUILD", "WRITEMOSTLY"];

/// The same for words that need not be understood.
const FLAGS: [&str; 5] =
    ["WRITE_LOCKED", "ACTIVATION_SKIP", "ERROR_WHEN_FULL", "CACHE_VOL", "NOAUTOACTIVATE"];

/// A logical volume's `status` and `flags`.
#[derive(Clone, Default, PartialEq, Eq)]
pub(super) struct LvWords {
    pub status: Words,
    pub flags: Words,
}

impl LvWords {
    pub fn set_status(&mut self, word: &str, on: bool) {
        self.status = if on { self.status.with(word, &STATUS) } else { self.status.without(word) };
    }

    pub fn set_flag(&mut self, word: &str, on: bool) {
        self.flags = if on { self.flags.with(word, &FLAGS) } else { self.flags.without(word) };
    }

    /// In the style of a volume group with an owner (`locked`), old LVM2 sees nothing writable.
    pub fn set_writable(&mut self, writable: bool, locked: bool) {
        self.set_status("WRITE", writable && !locked);
        self.set_flag("WRITE_LOCKED", writable && locked);
    }
}

pub(super) fn with_tag(tags: &[Tag], tag: &Tag) -> Vec<Tag> {
    let more = (!tags.contains(tag)).then_some(tag);
    tags.iter().chain(more).cloned().collect()
}

pub(super) fn without_tag(tags: &[Tag], tag: &Tag) -> Vec<Tag> {
    tags.iter().filter(|one| *one != tag).cloned().collect()
}

/// No tags, no line.
pub(super) fn set_tags(section: &mut SectionMut<'_>, tags: &[Tag]) -> Result<()> {
    if tags.is_empty() {
        section.remove("tags");
        return Ok(());
    }
    let place = Place::After(&["id", "seqno", "format", "status", "flags"]);
    section.set("tags", &list(tags.iter().map(Tag::as_str)), place)
}
