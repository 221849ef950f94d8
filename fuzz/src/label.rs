//! Labels, headers of physical volumes and of metadata areas. The first byte says which, and where.

use dmsnap::lvm::label::{self, LABEL_AREA, MDA_HEADER, MdaHeader, PvLabel, Range, checksum};
use dmsnap::lvm::ring::Ring;
use dmsnap::units::Bytes;

const SECTOR: usize = 512;

pub fn run(data: &[u8]) -> bool {
    let Some((&choice, bytes)) = data.split_first() else { return false };
    if bytes.len() > LABEL_AREA {
        return false;
    }
    if choice & 0x80 == 0 {
        let mut area = vec![0; usize::from(choice & 3) * SECTOR];
        area.extend_from_slice(bytes);
        area.resize(area.len().max(LABEL_AREA), 0);
        labels(&area);
        mend_labels(&mut area);
        labels(&area);
    } else {
        let mut header = bytes.to_vec();
        header.resize(MDA_HEADER, 0);
        mda(&header);
        mend_mda(&mut header);
        mda(&header);
    }
    true
}

/// Gives what looks like a label the place and the checksum that it should have: no fuzzer guesses those.
pub fn mend_labels(area: &mut [u8]) {
    for (number, sector) in (0_u64..).zip(area.chunks_exact_mut(SECTOR).take(LABEL_AREA / SECTOR)) {
        if sector.starts_with(b"LABELONE") {
            sector[8..16].copy_from_slice(&number.to_le_bytes());
            let sum = checksum(&sector[20..]);
            sector[16..20].copy_from_slice(&sum.to_le_bytes());
        }
    }
}

/// The same for the header of a metadata area.
pub fn mend_mda(header: &mut [u8]) {
    let sum = checksum(&header[4..MDA_HEADER]);
    header[..4].copy_from_slice(&sum.to_le_bytes());
}

fn labels(area: &[u8]) {
    let found = label::find(area);
    assert!(found.notes.len() <= 4);
    let marked = label::label_sectors(area);
    let Some(label) = found.label else { return };
    assert!(label.sector < 4 && marked.contains(&label.sector));
    assert!(label.data.iter().chain(&label.metadata).all(|range| !range.offset.is_zero()));
    let packed = label.pack().expect("what fitted into a sector fits again");
    assert_eq!(PvLabel::unpack(&packed, label.sector), Ok(Some(label.clone())));
    for used in [true, false] {
        let marked = label.with_used(used);
        assert_eq!(marked.used(), used);
        if let Some(packed) = marked.pack() {
            assert_eq!(PvLabel::unpack(&packed, label.sector), Ok(Some(marked)));
        }
    }
}

fn mda(bytes: &[u8]) {
    let start = bytes[24..32].try_into().map(u64::from_le_bytes).expect("eight bytes");
    let area = Range { offset: Bytes(start), size: Bytes(u64::MAX) };
    let Ok(header) = MdaHeader::unpack(bytes, area) else { return };
    assert_eq!(MdaHeader::unpack(&header.pack(), area).as_ref(), Ok(&header));
    let ring = Ring::new(header.size);
    for location in [header.committed, header.precommitted] {
        if let Some(pieces) = ring.pieces(location.offset, location.size) {
            let mut from = 0;
            for piece in pieces {
                assert_eq!(piece.from, from);
                assert!(piece.offset.get() >= 512 && piece.offset.get() + piece.length <= header.size.get());
                from += piece.length;
            }
            assert_eq!(from, location.size.get());
        }
        for size in [Bytes(1), location.size, ring.max_text(), ring.max_text() + Bytes(1)] {
            next(ring, location, size);
        }
    }
}

/// A new text lies in the ring, at a sector, apart from the present one.
fn next(ring: Ring, present: label::Location, size: Bytes) {
    let Ok(start) = ring.next(present, size) else { return };
    assert!(size <= ring.max_text() && start.get().is_multiple_of(512));
    let new = ring.pieces(start, size).expect("a place in the ring");
    if present.is_empty() || present.ignored() {
        return;
    }
    let old = ring.pieces(present.offset, present.size).unwrap_or_default();
    for (new, old) in new.iter().flat_map(|new| old.iter().map(move |old| (new, old))) {
        let apart = new.offset.get() + new.length <= old.offset.get()
            || old.offset.get() + old.length <= new.offset.get();
        assert!(apart || new.length == 0 || old.length == 0, "{new:?} over {old:?}");
    }
}
