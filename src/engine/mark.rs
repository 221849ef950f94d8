//! The tags by which metadata says that an operation is under way.
//!
//! Tags are the one private thing that lvm2 keeps. A volume that bears one was never acknowledged, or is as good as gone: the
//! next command takes it away.

use crate::lvm::{Lv, Tag};

const PENDING: &str = "dmsnap.pending";
const DELETING: &str = "dmsnap.deleting";
const OURS: &str = "dmsnap.";

/// What an operation says of a volume while it runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    /// It is being made.
    Pending,
    /// It is being removed.
    Deleting,
}

impl Mark {
    /// The tag that says so.
    pub fn tag(self) -> Tag {
        let word = match self {
            Self::Pending => PENDING,
            Self::Deleting => DELETING,
        };
        word.parse::<Tag>().expect("these words are of a tag's characters")
    }

    /// What a volume's tags say. Deleting outweighs pending.
    pub fn of(lv: &Lv) -> Option<Self> {
        let has = |word| lv.tags.iter().any(|tag| tag.as_str() == word);
        if has(DELETING) {
            Some(Self::Deleting)
        } else if has(PENDING) {
            Some(Self::Pending)
        } else {
            None
        }
    }
}

/// A volume's tags without the engine's own.
pub fn user_tags(lv: &Lv) -> Vec<String> {
    lv.tags.iter().map(ToString::to_string).filter(|tag| !tag.starts_with(OURS)).collect()
}
