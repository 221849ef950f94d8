//! The size of the pieces in which a snapshot copies its origin.

use super::{Bytes, Sectors};
use crate::error::{Error, Kind, Result};

/// The size of a COW chunk: a power of two from 4 KiB to 512 KiB, as lvm2 allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ChunkSize(Sectors);

impl ChunkSize {
    /// What a snapshot gets that asks for nothing else.
    pub const DEFAULT: Self = Self(Bytes::kib(64).sectors_ceil());

    const LEAST: Bytes = Bytes::kib(4);
    const MOST: Bytes = Bytes::kib(512);

    /// A chunk size that a person asks for.
    pub fn new(size: Bytes) -> Result<Self> {
        if size.get().is_power_of_two() && (Self::LEAST..=Self::MOST).contains(&size) {
            return Ok(Self(size.sectors_ceil()));
        }
        Err(Error::new(Kind::Usage, format!("bad chunk size {size}")).hint(format!(
            "give a power of two from {} to {}",
            Self::LEAST,
            Self::MOST
        )))
    }

    /// In sectors.
    pub const fn sectors(self) -> Sectors {
        self.0
    }
}

impl From<ChunkSize> for Sectors {
    fn from(chunk: ChunkSize) -> Self {
        chunk.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunk_sizes_are_powers_of_two_in_lvm2s_range() {
        for kib in [4, 8, 64, 512] {
            assert!(ChunkSize::new(Bytes::kib(kib)).is_ok(), "{kib}");
        }
        for bytes in [0, 1, 512, 2048, 4097, 6144, 1 << 20] {
            assert_eq!(ChunkSize::new(Bytes(bytes)).unwrap_err().kind(), Kind::Usage, "{bytes}");
        }
    }
}
