use proptest::prelude::*;

use super::*;
use crate::block::mem::MemDevices;

const SIZE: Bytes = Bytes::mib(256);

fn disk(size: Bytes) -> std::sync::Arc<crate::block::mem::MemDevice> {
    MemDevices::new().add("/dev/a", size)
}

fn name(device: &dyn Device) -> Option<&'static str> {
    find(device).unwrap().map(|signature| signature.name)
}

/// What the marks with a condition need beside their magic.
fn complete(device: &dyn Device, mark: &Mark) {
    match mark.name {
        "a FAT file system" => device.write_at(Bytes(510), b"\x55\xaa").unwrap(),
        "a NILFS2 file system" => device.write_at(Bytes(0x400), b"\x02\0\0\0").unwrap(),
        "an MBR partition table" => device.write_at(Bytes(0x1be + 4), b"\x83").unwrap(),
        _ => {}
    }
}

#[test]
fn every_signature_is_found_by_its_name_and_erased() {
    for mark in MARKS {
        let disk = disk(SIZE);
        let Some(offset) = View::new(&*disk).position(mark.place) else { panic!("{}", mark.name) };
        // The third copy of btrfs is beyond this disk.
        if Bytes(offset) >= SIZE {
            continue;
        }
        disk.write_at(Bytes(offset), mark.magic).unwrap();
        complete(&*disk, mark);
        let found = find(&*disk).unwrap().unwrap_or_else(|| panic!("{} at {offset}", mark.name));
        assert_eq!((found.name, found.offset), (mark.name, Bytes(offset)));
        erase(&*disk).unwrap();
        assert_eq!(name(&*disk), None, "{}", mark.name);
    }
}

#[test]
fn a_zfs_member_is_found_in_any_of_its_labels() {
    for label in [0, 1, 1022, 1023] {
        let disk = disk(SIZE);
        let ring = label * ZFS_LABEL + ZFS_LABEL / 2;
        disk.write_at(Bytes(ring + (77 << 10)), b"\x0c\xb1\xba\0\0\0\0\0").unwrap();
        assert_eq!(name(&*disk), Some("a member of a ZFS pool"), "label {label}");
        erase(&*disk).unwrap();
        assert_eq!(name(&*disk), None);
    }
}

#[test]
fn an_empty_device_of_any_size_carries_nothing() {
    for size in [0, 1, 511, 512, 4095, 4096, 65_536, 69_632, 262_144, 1 << 20] {
        let disk = disk(Bytes(size));
        assert_eq!(find(&*disk).unwrap(), None, "{size} bytes");
        erase(&*disk).unwrap();
    }
}

#[test]
fn two_bytes_alone_are_no_ext() {
    let disk = disk(SIZE);
    disk.write_at(Bytes(0x438), b"\x53\xef").unwrap();
    disk.write_at(Bytes(0x418), b"\x40\0\0\0").unwrap();
    assert_eq!(name(&*disk), None);
}

#[test]
fn a_boot_sector_without_partitions_is_no_partition_table() {
    let disk = disk(SIZE);
    disk.write_at(Bytes(510), b"\x55\xaa").unwrap();
    assert_eq!(name(&*disk), None);
    disk.write_at(Bytes(0x1be), &[0xeb; 64]).unwrap();
    assert_eq!(name(&*disk), None, "code where the table would be");
}

#[test]
fn a_file_systems_boot_sector_is_named_before_the_partition_table_that_it_looks_like() {
    let disk = disk(SIZE);
    disk.write_at(Bytes(3), b"NTFS    ").unwrap();
    disk.write_at(Bytes(0x1be + 4), b"\x07").unwrap();
    disk.write_at(Bytes(510), b"\x55\xaa").unwrap();
    assert_eq!(name(&*disk), Some("an NTFS file system"));
}

#[test]
fn all_copies_and_all_owners_are_erased_at_once() {
    let disk = disk(SIZE);
    disk.write_at(Bytes(512), b"EFI PART").unwrap();
    disk.write_at(SIZE - Bytes(512), b"EFI PART").unwrap();
    disk.write_at(Bytes(0x1_0040), b"_BHRfS_M").unwrap();
    disk.write_at(Bytes(0x400_0040), b"_BHRfS_M").unwrap();
    disk.write_at(Bytes(0x1000), MARKS.iter().find(|mark| mark.name.contains("Linux RAID")).unwrap().magic)
        .unwrap();
    erase(&*disk).unwrap();
    assert_eq!(disk.image().held(), Bytes::ZERO);
}

#[test]
fn only_the_sectors_of_signatures_are_touched() {
    let disk = disk(SIZE);
    disk.write_at(Bytes::ZERO, &[7; 8192]).unwrap();
    disk.write_at(Bytes(4096 - 10), b"SWAPSPACE2").unwrap();
    erase(&*disk).unwrap();
    let left = disk.peek(Bytes::ZERO, 8192);
    assert!(left[..3584].iter().chain(&left[4096..]).all(|byte| *byte == 7));
    assert!(left[3584..4096].iter().all(|byte| *byte == 0));
}

#[test]
fn a_device_that_cannot_be_read_is_not_taken_for_empty() {
    let disk = disk(SIZE);
    disk.fail_from(crate::block::mem::Operation::Read, 1);
    assert_eq!(find(&*disk).unwrap_err().message(), "reading /dev/a failed");
}

#[test]
fn a_device_that_keeps_its_signature_is_an_error() {
    let disk = disk(SIZE);
    disk.write_at(Bytes::ZERO, b"XFSB").unwrap();
    disk.fail_from(crate::block::mem::Operation::Write, 1);
    assert!(erase(&*disk).is_err());
}

proptest! {
    #[test]
    fn any_content_is_judged_and_can_be_erased(
        size in 0_u64..200_000,
        pieces in prop::collection::vec((0_u64..200_000, prop::collection::vec(any::<u8>(), 1..64)), 0..8),
    ) {
        let disk = disk(Bytes(size));
        for (at, bytes) in pieces {
            let _ = disk.write_at(Bytes(at), &bytes);
        }
        find(&*disk).unwrap();
        erase(&*disk).unwrap();
        prop_assert_eq!(find(&*disk).unwrap(), None);
    }
}
