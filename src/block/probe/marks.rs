//! The table of signatures: whose, where, which bytes, and what else must be so where the bytes alone are few.

use super::View;
use crate::error::Result;

/// What carries the signature of ext2, ext3 and ext4, which is one.
pub const EXT: &str = "an ext2, ext3 or ext4 file system";
/// What carries the signature of xfs.
pub const XFS: &str = "an xfs file system";

/// Where magic bytes are.
#[derive(Debug, Clone, Copy)]
pub enum Place {
    /// From the start of the device.
    Start(u64),
    /// Back from its end.
    End(u64),
    /// Where md 0.90 has its superblock.
    OldRaid,
    /// Where md 1.0 has its superblock.
    Raid,
}

/// One signature.
#[derive(Clone, Copy)]
pub struct Mark {
    pub name: &'static str,
    pub place: Place,
    pub magic: &'static [u8],
    pub also: fn(&View<'_>) -> Result<bool>,
}

const fn at(name: &'static str, offset: u64, magic: &'static [u8]) -> Mark {
    Mark { name, place: Place::Start(offset), magic, also: always }
}

const fn back(name: &'static str, distance: u64, magic: &'static [u8]) -> Mark {
    Mark { name, place: Place::End(distance), magic, also: always }
}

const fn raid(place: Place, magic: &'static [u8]) -> Mark {
    Mark { name: RAID, place, magic, also: always }
}

const fn only_if(mark: Mark, also: fn(&View<'_>) -> Result<bool>) -> Mark {
    Mark { also, ..mark }
}

fn always(_: &View<'_>) -> Result<bool> {
    Ok(true)
}

/// The magic of ext is two bytes: the block size and the revision must make sense as well.
fn is_ext(view: &View<'_>) -> Result<bool> {
    let Some(superblock) = view.bytes(0x400, 0x50)? else { return Ok(false) };
    let word = |at: usize| match superblock.get(at..at + 4) {
        Some(&[a, b, c, d]) => u32::from_le_bytes([a, b, c, d]),
        _ => u32::MAX,
    };
    Ok(word(0x18) <= 6 && word(0x4c) <= 1)
}

fn is_nilfs(view: &View<'_>) -> Result<bool> {
    view.holds(0x400, b"\x02\0\0\0")
}

/// A boot sector that carries a file system's name is one.
fn is_boot_sector(view: &View<'_>) -> Result<bool> {
    view.holds(510, b"\x55\xaa")
}

/// The end of a boot sector is that of a partition table only if it holds a partition and nothing impossible.
fn has_partitions(view: &View<'_>) -> Result<bool> {
    let mut any = false;
    for entry in 0..4 {
        let start = 0x1be + 16 * entry;
        if view.byte(start)? & 0x7f != 0 {
            return Ok(false);
        }
        any |= view.byte(start + 4)? != 0;
    }
    Ok(any)
}

const LVM: &str = "an LVM label";
const RAID: &str = "a member of a Linux RAID array";
const LUKS: &str = "a LUKS encrypted volume";
const BTRFS: &str = "a btrfs file system";
const SWAP: &str = "a swap area";
const SLEEP: &str = "the image of a suspended system";
const F2FS: &str = "an f2fs file system";
const FAT: &str = "a FAT file system";
const NTFS: &str = "an NTFS file system";
const OCFS2: &str = "an OCFS2 file system";
const REISERFS: &str = "a ReiserFS file system";
const STRATIS: &str = "a member of a Stratis pool";
const DRBD: &str = "a DRBD device";
const GPT: &str = "a GPT partition table";
const MD: &[u8] = b"\xfc\x4e\x2b\xa9";
const MD_BIG_ENDIAN: &[u8] = b"\xa9\x2b\x4e\xfc";

/// Owners of the whole device before file systems, partition tables last: a file system's boot sector may look like one.
pub const MARKS: &[Mark] = &[
    // Sectors 0 to 3.
    at(LVM, 0, b"LABELONE"),
    at(LVM, 512, b"LABELONE"),
    at(LVM, 1024, b"LABELONE"),
    at(LVM, 1536, b"LABELONE"),
    at("an LVM1 physical volume", 0, b"HM\x01\0"),
    at("an LVM1 physical volume", 0, b"HM\x02\0"),
    at(LUKS, 0, b"LUKS\xba\xbe"),
    // The second header of LUKS2 stands where the first ends, which depends on the size of its text.
    at(LUKS, 0x4000, b"SKUL\xba\xbe"),
    at(LUKS, 0x8000, b"SKUL\xba\xbe"),
    at(LUKS, 0x1_0000, b"SKUL\xba\xbe"),
    at(LUKS, 0x2_0000, b"SKUL\xba\xbe"),
    at(LUKS, 0x4_0000, b"SKUL\xba\xbe"),
    at(LUKS, 0x8_0000, b"SKUL\xba\xbe"),
    at(LUKS, 0x10_0000, b"SKUL\xba\xbe"),
    at(LUKS, 0x20_0000, b"SKUL\xba\xbe"),
    at(LUKS, 0x40_0000, b"SKUL\xba\xbe"),
    at("a BitLocker volume", 3, b"-FVE-FS-"),
    // md 0.90 and 1.0 at the end, 1.1 at the start, 1.2 at 4 KiB.
    raid(Place::OldRaid, MD),
    raid(Place::OldRaid, MD_BIG_ENDIAN),
    raid(Place::Raid, MD),
    at(RAID, 0, MD),
    at(RAID, 0x1000, MD),
    back("a member of an Intel RAID array", 1024, b"Intel Raid ISM Cfg Sig. "),
    back("a member of a DDF RAID array", 512, b"\xde\x11\xde\x11"),
    back(DRBD, 4096 - 60, b"\x83\x74\x02\x6b"),
    back(DRBD, 4096 - 60, b"\x83\x74\x02\x6d"),
    at("a bcache device", 0x1018, b"\xc6\x85\x73\xf6\x4e\x1a\x45\xca\x82\x65\xf5\x7f\x48\xba\x6d\x81"),
    at("a bcachefs file system", 0x1018, b"\xc6\x85\x73\xf6\x66\xce\x90\xa9\xd9\x6a\x60\xcf\x80\x3d\xf7\xef"),
    at("a dm-integrity volume", 0, b"integrt\0"),
    at("a dm-verity hash device", 0, b"verity\0\0"),
    at("a VDO volume", 0, b"dmvdo001"),
    at("a COW store of a snapshot", 0, b"SnAp\x01\0\0\0"),
    at("a dm-thin pool's metadata", 32, b"\xba\x52\x9c\x01\0\0\0\0"),
    at("a dm-cache's metadata", 32, b"\x03\xc4\x18\0\0\0\0\0"),
    at(STRATIS, 516, b"!Stra0tis\x86\xff\x02^Arh"),
    at(STRATIS, 9 * 512 + 4, b"!Stra0tis\x86\xff\x02^Arh"),
    at("a Ceph BlueStore device", 0, b"bluestore block device\n"),
    at("an Oracle ASM disk", 32, b"ORCLDISK"),
    at(XFS, 0, b"XFSB"),
    only_if(at(EXT, 0x438, b"\x53\xef"), is_ext),
    at(BTRFS, 0x1_0040, b"_BHRfS_M"),
    at(BTRFS, 0x400_0040, b"_BHRfS_M"),
    at(BTRFS, 0x40_0000_0040, b"_BHRfS_M"),
    // The last bytes of the first page, for each size that a page may have.
    at(SWAP, 0x1000 - 10, b"SWAPSPACE2"),
    at(SWAP, 0x1000 - 10, b"SWAP-SPACE"),
    at(SWAP, 0x2000 - 10, b"SWAPSPACE2"),
    at(SWAP, 0x4000 - 10, b"SWAPSPACE2"),
    at(SWAP, 0x1_0000 - 10, b"SWAPSPACE2"),
    at(SLEEP, 0x1000 - 10, b"S1SUSPEND"),
    at(SLEEP, 0x1000 - 10, b"S2SUSPEND"),
    at(SLEEP, 0x1000 - 10, b"ULSUSPEND"),
    at(SLEEP, 0x1000 - 10, b"LINHIB0001"),
    at(F2FS, 0x400, b"\x10\x20\xf5\xf2"),
    at(F2FS, 0x1400, b"\x10\x20\xf5\xf2"),
    at("an EROFS file system", 0x400, b"\xe2\xe1\xf5\xe0"),
    only_if(at("a NILFS2 file system", 0x406, b"\x34\x34"), is_nilfs),
    at("a GFS2 file system", 0x1_0000, b"\x01\x16\x19\x70"),
    at(OCFS2, 0x400, b"OCFSV2"),
    at(OCFS2, 0x800, b"OCFSV2"),
    at(OCFS2, 0x1000, b"OCFSV2"),
    at(OCFS2, 0x2000, b"OCFSV2"),
    at(REISERFS, 0x1_0034, b"ReIsEr"),
    at(REISERFS, 0x2034, b"ReIsEr"),
    at("a JFS file system", 0x8000, b"JFS1"),
    at("a squashfs file system", 0, b"hsqs"),
    at("an ISO 9660 file system", 0x8001, b"CD001"),
    at("a UDF file system", 0x8001, b"BEA01"),
    at("an APFS container", 32, b"NXSB"),
    at(NTFS, 3, b"NTFS    "),
    at("an exFAT file system", 3, b"EXFAT   "),
    at("a ReFS file system", 3, b"ReFS\0"),
    only_if(at(FAT, 0x52, b"FAT32   "), is_boot_sector),
    only_if(at(FAT, 0x36, b"FAT16   "), is_boot_sector),
    only_if(at(FAT, 0x36, b"FAT12   "), is_boot_sector),
    // At the second sector of 512 or of 4096 bytes; the copy in the last one.
    at(GPT, 512, b"EFI PART"),
    at(GPT, 4096, b"EFI PART"),
    back(GPT, 512, b"EFI PART"),
    back(GPT, 4096, b"EFI PART"),
    only_if(at("an MBR partition table", 510, b"\x55\xaa"), has_partitions),
];
