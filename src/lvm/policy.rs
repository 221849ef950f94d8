//! How extents are to be chosen, as volumes and volume groups say it; [`super::alloc`] obeys.

/// How free extents are chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Policy {
    /// One piece or nothing (each stripe one piece), behind what is there already.
    Contiguous,
    /// Each stripe on one physical volume, the one where it is already.
    Cling,
    /// As few pieces as possible.
    #[default]
    Normal,
    /// As few pieces as possible; stripes may share a physical volume.
    Anywhere,
}

impl Policy {
    /// LVM2's word, or nothing for `inherit` and what is none. `cling_by_tags` is a part of `cling` there.
    pub fn of_word(word: &str) -> Option<Self> {
        match word {
            "contiguous" => Some(Self::Contiguous),
            "cling" | "cling_by_tags" => Some(Self::Cling),
            "normal" => Some(Self::Normal),
            "anywhere" => Some(Self::Anywhere),
            _ => None,
        }
    }

    /// LVM2's word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Contiguous => "contiguous",
            Self::Cling => "cling",
            Self::Normal => "normal",
            Self::Anywhere => "anywhere",
        }
    }
}
