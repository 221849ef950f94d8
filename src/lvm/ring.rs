//! Where the next version of the text goes in a metadata area. Pure arithmetic.
//!
//! The area is a header of 512 bytes and a ring of the rest. A new text begins at the first sector behind the
//! present one and may wrap around the end. It may take less than half the ring, so that it never touches the
//! present one. LVM2 computes the same places.

use super::label::Location;
use crate::units::{Bytes, SECTOR_BYTES};

/// The bytes of the header.
const HEADER: u64 = SECTOR_BYTES;

/// A metadata area of this size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ring {
    size: u64,
}

/// A part of a text: where it is from the area's start, and which bytes of the text it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Piece {
    /// From the area's start.
    pub offset: Bytes,
    /// The first byte of the text.
    pub from: u64,
    /// How many.
    pub length: u64,
}

impl Ring {
    /// The ring of an area of `size`, header included.
    pub const fn new(size: Bytes) -> Self {
        Self { size: size.get() }
    }

    /// The largest text, with its NUL.
    pub const fn max_text(self) -> Bytes {
        Bytes((self.size.saturating_sub(HEADER) / 2).saturating_sub(SECTOR_BYTES))
    }

    /// Where a text of `size` goes, `present` being where the present one is; or why it fits nowhere.
    pub fn next(self, present: Location, size: Bytes) -> Result<Bytes, String> {
        if size > self.max_text() {
            let (size, room) = (size.get(), self.max_text().get());
            return Err(format!(
                "the metadata would have {size} bytes, and its area on disk has room for {room}"
            ));
        }
        let none = present.is_empty() || present.ignored();
        let start = if none { HEADER } else { self.behind(present) };
        if !none && self.overlap(present, start, size.get()) {
            return Err("the metadata's area on disk has no room beside the present version".to_owned());
        }
        Ok(Bytes(start))
    }

    /// The first sector behind a text, as LVM2 has it.
    fn behind(self, present: Location) -> u64 {
        let end = present.offset.get().saturating_add(present.size.get());
        let last = match end.checked_sub(self.size) {
            Some(wrapped) if wrapped > 0 => wrapped.saturating_add(HEADER),
            _ => end,
        }
        .saturating_sub(1);
        if self.size.saturating_sub(last) < SECTOR_BYTES {
            return HEADER;
        }
        let start = last.saturating_add(1).next_multiple_of(SECTOR_BYTES);
        if start > self.size.saturating_sub(SECTOR_BYTES) { HEADER } else { start }
    }

    /// The one or two pieces of a text. Nothing if it does not fit into the ring: a location from disk may say so.
    pub fn pieces(self, offset: Bytes, size: Bytes) -> Option<Vec<Piece>> {
        let (offset, size) = (offset.get(), size.get());
        if offset < HEADER || offset >= self.size || size > self.size - HEADER {
            return None;
        }
        let first = size.min(self.size - offset);
        let mut pieces = vec![Piece { offset: Bytes(offset), from: 0, length: first }];
        if size > first {
            pieces.push(Piece { offset: Bytes(HEADER), from: first, length: size - first });
        }
        Some(pieces)
    }

    /// True if sectors of a new text are among those of the present one: a text that was not written by these rules.
    fn overlap(self, present: Location, start: u64, size: u64) -> bool {
        let sectors = |offset: Bytes, size: Bytes| {
            let pieces = self.pieces(offset, size).unwrap_or_default();
            pieces.into_iter().map(|piece| {
                let begin = piece.offset.get() / SECTOR_BYTES;
                begin..(piece.offset.get() + piece.length).div_ceil(SECTOR_BYTES)
            })
        };
        let new: Vec<_> = sectors(Bytes(start), Bytes(size)).collect();
        sectors(present.offset, present.size)
            .any(|old| new.iter().any(|new| old.start < new.end && new.start < old.end))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(offset: u64, size: u64) -> Location {
        Location { offset: Bytes(offset), size: Bytes(size), ..Location::default() }
    }

    const RING: Ring = Ring { size: 32768 };

    #[test]
    fn a_text_begins_at_the_sector_behind_the_present_one() {
        let cases = [
            (at(0, 0), 512),
            (at(512, 1), 1024),
            (at(512, 512), 1024),
            (at(512, 513), 1536),
            // The last sector is not begun.
            (at(31744, 512), 32256),
            (at(31744, 513), 512),
            (at(31744, 1024), 512),
            // Wrapped.
            (at(32256, 600), 1024),
            (at(32256, 1024), 1024),
            (at(32256, 1025), 1536),
            // Misaligned by somebody else.
            (at(700, 100), 1024),
            (at(700, 1000), 2048),
        ];
        for (present, start) in cases {
            assert_eq!(RING.next(present, Bytes(5000)).unwrap(), Bytes(start), "{present:?}");
        }
    }

    #[test]
    fn an_ignored_area_begins_anew() {
        let present = Location { flags: 1, ..at(4096, 1000) };
        assert_eq!(RING.next(present, Bytes(100)).unwrap(), Bytes(512));
    }

    #[test]
    fn a_text_of_exactly_the_maximum_fits_and_one_byte_more_is_refused() {
        assert_eq!(RING.max_text(), Bytes((32768 - 512) / 2 - 512));
        assert!(RING.next(at(512, 100), RING.max_text()).is_ok());
        let error = RING.next(at(512, 100), RING.max_text() + Bytes(1)).unwrap_err();
        assert!(error.contains("would have 15617 bytes"), "{error}");
    }

    #[test]
    fn a_present_text_that_leaves_no_room_is_refused() {
        let error = RING.next(at(512, 32000), RING.max_text()).unwrap_err();
        assert!(error.contains("no room beside"), "{error}");
    }

    #[test]
    fn locations_outside_the_ring_have_no_pieces() {
        for (offset, size) in [(0, 10), (511, 10), (32768, 1), (512, 32257), (u64::MAX, u64::MAX)] {
            assert_eq!(RING.pieces(Bytes(offset), Bytes(size)), None, "{offset} {size}");
        }
    }

    /// The rule as LVM2's source has it.
    fn lvm2(size: u64, old: Option<(u64, u64)>) -> u64 {
        let Some((offset, length)) = old else { return 512 };
        let mut last = offset + length - 1;
        if offset + length > size {
            last = offset + length - size + 512 - 1;
        }
        if size - last < 512 {
            return 512;
        }
        let start = (last + 1).div_ceil(512) * 512;
        if start > size - 512 { 512 } else { start }
    }

    proptest! {
        #[test]
        fn a_chain_of_texts_follows_lvm2_and_never_touches_the_one_before(
            sectors in 64_u64..400, odd in 0_u64..512, lengths in proptest::collection::vec(1_u64..200_000, 1..60),
        ) {
            let size = sectors * 512 + odd;
            let ring = Ring::new(Bytes(size));
            let mut old: Option<(u64, u64)> = None;
            for length in lengths {
                let length = 1 + length % ring.max_text().get();
                let present = old.map_or(at(0, 0), |(offset, length)| at(offset, length));
                let start = ring.next(present, Bytes(length)).unwrap().get();
                prop_assert_eq!(start, lvm2(size, old));
                let pieces = ring.pieces(Bytes(start), Bytes(length)).unwrap();
                prop_assert_eq!(pieces.iter().map(|piece| piece.length).sum::<u64>(), length);
                if let Some((offset, length)) = old {
                    for a in ring.pieces(Bytes(offset), Bytes(length)).unwrap() {
                        for b in &pieces {
                            let apart = a.offset.get() + a.length <= b.offset.get()
                                || b.offset.get() + b.length <= a.offset.get();
                            prop_assert!(apart, "{a:?} {b:?}");
                        }
                    }
                }
                old = Some((start, length));
            }
        }

        #[test]
        fn any_location_has_a_next_or_is_refused(size: u64, offset: u64, length: u64, new: u64) {
            let ring = Ring::new(Bytes(size));
            let _ = (ring.next(at(offset, length), Bytes(new)), ring.pieces(Bytes(offset), Bytes(length)));
        }
    }
}
