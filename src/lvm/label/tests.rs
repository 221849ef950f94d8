#![allow(clippy::indexing_slicing)]

use super::*;
use proptest::prelude::*;

fn range(offset: u64, size: u64) -> Range {
    Range { offset: Bytes(offset), size: Bytes(size) }
}

/// What `vgcreate` writes on a disk of 256 MiB.
fn fresh() -> PvLabel {
    PvLabel {
        sector: 1,
        id: "Td8hIS-RtEP-77pL-dLyW-p7gL-vnm2-43jk9l".parse().unwrap(),
        device_size: Bytes::mib(256),
        data: vec![range(1 << 20, 0)],
        metadata: vec![range(4096, 1_044_480)],
        bootloader: Vec::new(),
        extension: 2,
        flags: 1,
    }
}

fn area(labels: &[&PvLabel]) -> Vec<u8> {
    let mut bytes = vec![0; LABEL_AREA];
    for label in labels {
        let at = usize::try_from(label.offset().get()).unwrap();
        bytes[at..at + 512].copy_from_slice(&label.pack().unwrap());
    }
    bytes
}

#[test]
fn the_checksum_is_crc32_with_its_own_start_and_no_inversions() {
    let bitwise = |data: &[u8]| {
        data.iter().fold(0xf597_a6cf_u32, |sum, byte| {
            (0..8).fold(
                sum ^ u32::from(*byte),
                |sum, _| if sum & 1 == 1 { sum >> 1 ^ 0xedb8_8320 } else { sum >> 1 },
            )
        })
    };
    for data in [&b""[..], b"a", b"123456789", &[0; 100], &[0xff; 1000]] {
        assert_eq!(checksum(data), bitwise(data));
    }
}

#[test]
fn a_label_has_lvm2s_layout() {
    let sector = fresh().pack().unwrap();
    assert_eq!(&sector[..8], b"LABELONE");
    assert_eq!(sector[8..16], 1_u64.to_le_bytes());
    assert_eq!(sector[20..24], [0x20, 0, 0, 0]);
    assert_eq!(&sector[0x18..0x20], b"LVM2 001");
    assert_eq!(&sector[0x20..0x40], b"Td8hISRtEP77pLdLyWp7gLvnm243jk9l");
    assert_eq!(sector[0x40..0x48], 0x1000_0000_u64.to_le_bytes());
    assert_eq!(sector[0x48..0x50], 0x10_0000_u64.to_le_bytes());
    assert_eq!(sector[0x50..0x68], [0; 24]);
    assert_eq!(sector[0x68..0x70], 0x1000_u64.to_le_bytes());
    assert_eq!(sector[0x70..0x78], 0xff000_u64.to_le_bytes());
    assert_eq!(sector[0x88..0x90], [2, 0, 0, 0, 1, 0, 0, 0]);
    assert!(sector[0x90..].iter().all(|&byte| byte == 0));
}

#[test]
fn a_label_is_found_in_any_of_the_first_four_sectors() {
    for sector in 0..4 {
        let label = PvLabel { sector, ..fresh() };
        assert_eq!(find(&area(&[&label])), Found { label: Some(label), notes: Vec::new() });
    }
    assert_eq!(find(&vec![0; LABEL_AREA]), Found::default());
    assert_eq!(find(&[]), Found::default());
}

#[test]
fn the_first_good_label_counts_and_a_second_is_noted() {
    let (first, second) = (PvLabel { sector: 1, ..fresh() }, PvLabel { sector: 3, flags: 0, ..fresh() });
    let mut bytes = area(&[&first, &second]);
    let found = find(&bytes);
    assert_eq!(found.label.as_ref(), Some(&first));
    assert!(found.notes[0].contains("sector 3"), "{found:?}");
    assert_eq!(label_sectors(&bytes), [1, 3]);

    bytes[512 + 100] ^= 1;
    let found = find(&bytes);
    assert_eq!(found.label, Some(second));
    assert!(found.notes[0].contains("checksum"), "{found:?}");
}

#[test]
fn a_label_in_the_wrong_sector_is_none() {
    let mut bytes = area(&[&fresh()]);
    bytes.rotate_right(512);
    let found = find(&bytes);
    assert_eq!(found.label, None);
    assert!(found.notes[0].contains("sector 1"), "{found:?}");
}

#[test]
fn labels_with_all_kinds_of_areas_survive() {
    let label = PvLabel {
        metadata: vec![range(4096, 1_044_480), range(255 << 20, 1 << 20)],
        bootloader: vec![range(1 << 20, 1 << 20)],
        ..fresh()
    };
    assert_eq!(PvLabel::unpack(&label.pack().unwrap(), 1).unwrap(), Some(label));
    let old = PvLabel { extension: 0, flags: 0, metadata: Vec::new(), ..fresh() };
    assert_eq!(PvLabel::unpack(&old.pack().unwrap(), 1).unwrap(), Some(old.clone()));
    assert!(!old.used());
    assert!(old.with_used(true).used());
    assert!(!fresh().with_used(false).used());
}

#[test]
fn lists_that_do_not_end_in_the_sector_are_refused() {
    let label = PvLabel { data: vec![range(1, 1); 40], ..fresh() };
    assert_eq!(label.pack(), None);
    let mut sector = fresh().pack().unwrap();
    sector[0x48..].fill(1);
    let sum = checksum(&sector[20..]).to_le_bytes();
    sector[16..20].copy_from_slice(&sum);
    assert!(PvLabel::unpack(&sector, 1).unwrap_err().contains("does not fit"));
}

#[test]
fn a_header_far_outside_the_sector_is_refused() {
    for offset in [512_u32, 480, u32::MAX] {
        let mut sector = fresh().pack().unwrap();
        sector[20..24].copy_from_slice(&offset.to_le_bytes());
        let sum = checksum(&sector[20..]).to_le_bytes();
        sector[16..20].copy_from_slice(&sum);
        assert!(PvLabel::unpack(&sector, 1).is_err(), "{offset}");
    }
}

fn header() -> MdaHeader {
    MdaHeader {
        start: Bytes(4096),
        size: Bytes(1_044_480),
        committed: Location { offset: Bytes(512), size: Bytes(1000), checksum: 7, flags: 0 },
        precommitted: Location { offset: Bytes(2048), size: Bytes(1001), checksum: 8, flags: 1 },
    }
}

const AREA: Range = Range { offset: Bytes(4096), size: Bytes(1_044_480) };

#[test]
fn a_metadata_areas_header_has_lvm2s_layout() {
    let sector = header().pack();
    assert_eq!(
        sector[4..20],
        [0x20, 0x4c, 0x56, 0x4d, 0x32, 0x20, 0x78, 0x5b, 0x35, 0x41, 0x25, 0x72, 0x30, 0x4e, 0x2a, 0x3e]
    );
    assert_eq!(sector[20..24], [1, 0, 0, 0]);
    assert_eq!(sector[24..32], 4096_u64.to_le_bytes());
    assert_eq!(sector[40..48], 512_u64.to_le_bytes());
    assert_eq!(sector[64..72], 2048_u64.to_le_bytes());
    assert!(sector[88..].iter().all(|&byte| byte == 0));
    assert_eq!(MdaHeader::unpack(&sector, AREA).unwrap(), header());
    let empty = MdaHeader::empty(AREA);
    assert!(MdaHeader::unpack(&empty.pack(), AREA).unwrap().committed.is_empty());
}

#[test]
fn a_damaged_header_says_what_is_wrong() {
    let changed = |at: usize, with: &[u8], fix: bool| {
        let mut sector = header().pack();
        sector[at..at + with.len()].copy_from_slice(with);
        if fix {
            let sum = checksum(&sector[4..]).to_le_bytes();
            sector[..4].copy_from_slice(&sum);
        }
        MdaHeader::unpack(&sector, AREA).unwrap_err()
    };
    assert!(changed(100, &[1], false).contains("checksum"));
    assert!(changed(4, b"x", true).contains("not one"));
    assert!(changed(20, &[2], true).contains("version 2"));
    assert!(changed(24, &[1], true).contains("byte 4097"));
    assert!(changed(32, &[0; 8], true).contains("0 B"));
    assert!(MdaHeader::unpack(&[0; 100], AREA).is_err());
}

proptest! {
    #[test]
    fn any_sector_is_a_label_or_refused(
        mut sector in proptest::collection::vec(any::<u8>(), 512), fix in any::<bool>(),
    ) {
        sector[..8].copy_from_slice(b"LABELONE");
        sector[8..16].copy_from_slice(&1_u64.to_le_bytes());
        sector[24..32].copy_from_slice(b"LVM2 001");
        if fix {
            sector[20..24].copy_from_slice(&32_u32.to_le_bytes());
            sector[32..64].fill(b'a');
        }
        let sum = checksum(&sector[20..]).to_le_bytes();
        sector[16..20].copy_from_slice(&sum);
        if let Ok(Some(label)) = PvLabel::unpack(&sector, 1) {
            let _ = label.pack();
        }
    }

    #[test]
    fn any_header_is_unpacked_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        let _ = MdaHeader::unpack(&bytes, AREA);
        let _ = find(&bytes);
    }
}
