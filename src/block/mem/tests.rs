use std::collections::HashSet;

use proptest::prelude::*;

use super::*;
use crate::block::{Access, Devices};

fn one_disk() -> (MemDevices, Arc<MemDevice>) {
    let host = MemDevices::new();
    let disk = host.add("/dev/a", Bytes::mib(1));
    (host, disk)
}

/// The first bytes of the sectors that the test looks at, for each image that a cut may leave.
fn firsts(host: &MemDevices, done: usize, sectors: &[u64]) -> HashSet<Vec<u8>> {
    let images = host.images_after_cut(done);
    let first = |remains: &Remains| {
        let disk = remains.devices.device("/dev/a").unwrap();
        sectors.iter().map(|sector| disk.peek(Bytes(sector * 512), 1)[0]).collect()
    };
    images.iter().map(first).collect()
}

#[test]
fn what_was_written_is_read_back_at_any_offset() {
    let (_, disk) = one_disk();
    disk.write_at(Bytes(4090), b"across a page").unwrap();
    let mut buffer = [0; 15];
    disk.read_at(Bytes(4089), &mut buffer).unwrap();
    assert_eq!(&buffer, b"\0across a page\0");
}

#[test]
fn a_large_device_holds_only_what_was_written() {
    let host = MemDevices::new();
    let disk = host.add("/dev/big", Bytes::gib(1 << 20));
    disk.write_at(Bytes::gib(1 << 19), &[7; 10]).unwrap();
    disk.zero(Bytes::ZERO, Bytes::gib(1 << 18)).unwrap();
    assert_eq!(disk.image().held(), Bytes(4096));
    disk.zero(Bytes::ZERO, Bytes::gib(1 << 20)).unwrap();
    assert_eq!(disk.image(), Image::default());
}

#[test]
fn access_beyond_the_end_is_refused() {
    let (host, disk) = one_disk();
    assert!(disk.write_at(Bytes(Bytes::mib(1).get() - 1), &[1, 2]).is_err());
    assert!(disk.read_at(Bytes(u64::MAX), &mut [0]).is_err());
    assert!(disk.zero(Bytes::mib(1), Bytes(1)).is_err());
    assert!(host.log().is_empty());
}

#[test]
fn the_log_keeps_order_and_flushes() {
    let (host, disk) = one_disk();
    disk.write_at(Bytes(512), &[1; 3]).unwrap();
    disk.flush().unwrap();
    disk.zero(Bytes::ZERO, Bytes(4096)).unwrap();
    let events: Vec<String> =
        host.log().records().iter().map(|record| format!("{:?}", record.event)).collect();
    assert_eq!(events, ["write 512+3", "flush", "zero 0+4096"]);
}

#[test]
fn the_nth_call_fails_once_and_changes_nothing() {
    let (host, disk) = one_disk();
    disk.fail_nth(Operation::Write, 2);
    disk.write_at(Bytes::ZERO, &[1]).unwrap();
    let error = disk.write_at(Bytes::ZERO, &[2]).unwrap_err();
    assert_eq!(error.message(), "writing /dev/a failed");
    assert_eq!((disk.peek(Bytes::ZERO, 1), host.log().len()), (vec![1], 1));
    disk.zero(Bytes::ZERO, Bytes(1)).unwrap();
    disk.read_at(Bytes::ZERO, &mut [0]).unwrap();
}

#[test]
fn a_broken_disk_stays_broken_until_healed() {
    let (_, disk) = one_disk();
    disk.fail_from(Operation::Flush, 2);
    disk.flush().unwrap();
    assert!(disk.flush().is_err() && disk.flush().is_err());
    disk.heal();
    disk.flush().unwrap();
}

#[test]
fn a_cut_keeps_what_was_flushed() {
    let (host, disk) = one_disk();
    disk.write_at(Bytes::ZERO, &[1; 512]).unwrap();
    disk.flush().unwrap();
    assert_eq!(firsts(&host, 2, &[0]), HashSet::from([vec![1]]));
    assert_eq!(firsts(&host, 1, &[0]), HashSet::from([vec![0], vec![1]]));
    assert_eq!(firsts(&host, 0, &[0]), HashSet::from([vec![0]]));
}

#[test]
fn a_flush_of_one_disk_does_not_keep_anothers_writes() {
    let (host, disk) = one_disk();
    let other = host.add("/dev/b", Bytes::mib(1));
    disk.write_at(Bytes::ZERO, &[1; 512]).unwrap();
    other.flush().unwrap();
    assert_eq!(firsts(&host, 2, &[0]), HashSet::from([vec![0], vec![1]]));
}

#[test]
fn unflushed_writes_are_lost_in_any_combination() {
    let (host, disk) = one_disk();
    for sector in 0..3 {
        disk.write_at(Bytes(sector * 512), &[1; 512]).unwrap();
    }
    assert_eq!(firsts(&host, 3, &[0, 1, 2]).len(), 8);
}

#[test]
fn unflushed_writes_to_one_place_may_land_in_either_order() {
    let (host, disk) = one_disk();
    disk.write_at(Bytes::ZERO, &[1; 512]).unwrap();
    disk.write_at(Bytes::ZERO, &[2; 512]).unwrap();
    let both_orders =
        host.images_after_cut(2).iter().filter(|remains| remains.words.matches("write").count() == 3).count();
    assert_eq!(both_orders, 2);
    assert_eq!(firsts(&host, 2, &[0]), HashSet::from([vec![0], vec![1], vec![2]]));
}

#[test]
fn a_write_is_torn_between_sectors_and_never_inside_one() {
    let (host, disk) = one_disk();
    disk.write_at(Bytes(100), &[1; 1024]).unwrap();
    let mut seen = HashSet::new();
    for remains in host.images_after_cut(1) {
        let bytes = remains.devices.device("/dev/a").unwrap().peek(Bytes::ZERO, 1536);
        let (first, second, third) = (&bytes[100..512], &bytes[512..1024], &bytes[1024..1124]);
        for part in [first, second, third] {
            assert!(part.iter().all(|byte| *byte == part[0]), "{}", remains.words);
        }
        seen.insert([first[0], second[0], third[0]]);
    }
    let expected = [[0, 0, 0], [1, 1, 1], [1, 0, 0], [0, 1, 1], [1, 1, 0], [0, 0, 1]];
    assert_eq!(seen, HashSet::from(expected));
}

#[test]
fn many_unflushed_writes_give_a_bounded_number_of_images() {
    let (host, disk) = one_disk();
    for sector in 0..200 {
        disk.write_at(Bytes(sector * 512), &[1; 512]).unwrap();
    }
    let count = host.images_after_cut(200).len();
    assert!((400..1000).contains(&count), "{count} images");
}

#[test]
fn settling_makes_the_present_content_the_beginning() {
    let (host, disk) = one_disk();
    disk.write_at(Bytes::ZERO, &[1]).unwrap();
    host.settle();
    assert!(host.log().is_empty());
    assert_eq!(firsts(&host, 0, &[0]), HashSet::from([vec![1]]));
}

#[test]
fn after_a_cut_nothing_is_mounted_and_the_log_begins_anew() {
    let (host, disk) = one_disk();
    host.set("/dev/a", |attributes| attributes.mounts = vec!["/mnt".into()]);
    disk.write_at(Bytes::ZERO, &[1]).unwrap();
    let remains = host.images_after_cut(1).remove(0);
    assert!(remains.devices.log().is_empty());
    assert_eq!(remains.devices.mounts(disk.number()).unwrap(), Vec::<PathBuf>::new());
    remains.devices.device("/dev/a").unwrap().write_at(Bytes::ZERO, &[2]).unwrap();
    assert_eq!(disk.peek(Bytes::ZERO, 1), [1]);
}

#[test]
fn exclusive_access_is_alone_and_given_back() {
    let (host, _) = one_disk();
    let path = Path::new("/dev/a");
    let first = host.open(path, Access::Exclusive).unwrap();
    assert_eq!(host.open(path, Access::Exclusive).unwrap_err().kind(), Kind::InUse);
    host.open(path, Access::Write).unwrap();
    drop(first);
    host.open(path, Access::Exclusive).unwrap();
}

#[test]
fn a_mounted_or_held_device_is_in_use() {
    let (host, _) = one_disk();
    host.set("/dev/a", |attributes| {
        attributes.holders = vec![DevNo { major: 254, minor: 3 }];
    });
    let error = host.open(Path::new("/dev/a"), Access::Exclusive).unwrap_err();
    assert_eq!(error.to_string(), "/dev/a is in use: held by device 254:3");
    host.set("/dev/a", |attributes| attributes.mounts = vec!["/srv".into()]);
    let error = host.open(Path::new("/dev/a"), Access::Exclusive).unwrap_err();
    assert_eq!(error.to_string(), "/dev/a is in use: mounted on /srv");
}

#[test]
fn a_handle_for_reading_does_not_write() {
    let (host, disk) = one_disk();
    let handle = host.open(Path::new("/dev/a"), Access::Read).unwrap();
    assert!(handle.write_at(Bytes::ZERO, &[1]).is_err());
    assert!(handle.zero(Bytes::ZERO, Bytes(1)).is_err());
    assert_eq!(disk.peek(Bytes::ZERO, 1), [0]);
}

#[test]
fn a_device_is_found_by_its_links_and_missing_ones_are_named() {
    let (host, disk) = one_disk();
    host.set("/dev/a", |attributes| {
        attributes.links = vec!["/dev/disk/by-id/x".into()];
    });
    assert_eq!(host.lookup(Path::new("/dev/disk/by-id/x")).unwrap().number, disk.number());
    let error = host.lookup(Path::new("/dev/b")).unwrap_err();
    assert_eq!((error.kind(), error.to_string()), (Kind::NotFound, "there is no device /dev/b".to_owned()));
}

#[test]
fn only_mounted_devices_are_synced() {
    let (host, disk) = one_disk();
    host.sync_mounted(disk.number()).unwrap();
    assert_eq!(host.syncs(disk.number()), 0);
    host.set("/dev/a", |attributes| attributes.mounts = vec!["/srv".into()]);
    host.sync_mounted(disk.number()).unwrap();
    assert_eq!(host.syncs(disk.number()), 1);
}

proptest! {
    #[test]
    fn an_image_reads_like_plain_bytes(
        writes in prop::collection::vec((0_u64..20_000, prop::collection::vec(any::<u8>(), 0..6000), any::<bool>()), 0..12)
    ) {
        let mut image = Image::default();
        let mut plain = vec![0_u8; 32_768];
        for (offset, data, zero) in writes {
            let at = usize::try_from(offset).unwrap();
            if zero {
                image.zero(Bytes(offset), Bytes(data.len() as u64));
                plain[at..at + data.len()].fill(0);
            } else {
                image.write(Bytes(offset), &data);
                plain[at..at + data.len()].copy_from_slice(&data);
            }
        }
        let mut read = vec![1; plain.len()];
        image.read(Bytes::ZERO, &mut read);
        prop_assert_eq!(read, plain);
    }

    #[test]
    fn the_last_cut_after_a_flush_leaves_exactly_the_content(
        writes in prop::collection::vec((0_u64..10_000, prop::collection::vec(any::<u8>(), 1..600)), 0..8)
    ) {
        let (host, disk) = one_disk();
        for (offset, data) in &writes {
            disk.write_at(Bytes(*offset), data).unwrap();
        }
        disk.flush().unwrap();
        for remains in host.images_after_cut(host.log().len()) {
            prop_assert_eq!(remains.devices.images(), host.images());
        }
    }
}

#[test]
fn a_fork_has_its_own_content_and_log() {
    let (host, disk) = one_disk();
    disk.write_at(Bytes(0), &[1]).unwrap();
    let fork = host.fork();
    let copy = fork.device("/dev/a").unwrap();
    assert!(fork.log().is_empty());
    copy.write_at(Bytes(0), &[2]).unwrap();
    disk.write_at(Bytes(1), &[3]).unwrap();
    assert_eq!((disk.peek(Bytes(0), 2), copy.peek(Bytes(0), 2)), (vec![1, 3], vec![2, 0]));
    assert_eq!((host.log().len(), fork.log().len()), (2, 1));
}

#[test]
fn a_sample_of_images_has_the_extremes_and_is_the_same_for_the_same_seed() {
    let (host, disk) = one_disk();
    (0..9).for_each(|sector| disk.write_at(Bytes(sector * 512), &[1; 512]).unwrap());
    let words = |count, seed| -> Vec<String> {
        host.some_images_after_cut(9, count, seed).into_iter().map(|one| one.words).collect()
    };
    assert!(words(2, 1).iter().any(|words| words.ends_with("on disk: []")));
    assert!(words(2, 1).iter().any(|words| words.matches("write").count() == 10));
    assert_eq!(words(8, 1), words(8, 1));
    assert_ne!(words(8, 1), words(8, 2));
    assert_eq!(words(usize::MAX, 1).len(), host.images_after_cut(9).len());
}
