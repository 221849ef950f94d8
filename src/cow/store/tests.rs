use super::*;
use crate::block::DevNo;
use crate::block::mem::MemDevice;
use proptest::prelude::*;
use std::time::Instant;

fn device(size: Bytes) -> MemDevice {
    MemDevice::new("/dev/cow", DevNo { major: 240, minor: 0 }, size)
}

fn header(words: [u32; 4]) -> [u8; HEADER] {
    let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    bytes.try_into().unwrap()
}

/// Writes a store with these exceptions as the kernel lays them out.
fn write(device: &MemDevice, chunk: u64, exceptions: &[(u64, u64)]) {
    device.poke(Bytes::ZERO, &header([MAGIC, 1, 1, u32::try_from(chunk).unwrap()]));
    let per_area = usize::try_from(chunk * 32).unwrap();
    for (area, part) in (0..).zip(exceptions.chunks(per_area)) {
        let entries: Vec<u8> =
            part.iter().flat_map(|(old, new)| [old.to_le_bytes(), new.to_le_bytes()].concat()).collect();
        device.poke(Bytes((1 + (chunk * 32 + 1) * area) * chunk * 512), &entries);
    }
}

/// The chunk that the n-th exception of a store gets that nothing interrupts.
fn nth(number: u64, chunk: u64) -> u64 {
    2 + number + number / (chunk * 32)
}

fn table(device: &MemDevice) -> Result<Table> {
    Store::open(device)?.table(None)
}

fn refusal(chunk: u64, exceptions: &[(u64, u64)], origin: Option<Sectors>) -> String {
    let device = device(Bytes::mib(4));
    write(&device, chunk, exceptions);
    let error = Store::open(&device).unwrap().table(origin).unwrap_err();
    assert_eq!(error.kind(), Kind::Refused);
    error.message()
}

#[test]
fn a_device_without_a_store_has_none() {
    for size in [Bytes::ZERO, Bytes(512), Bytes::mib(1)] {
        assert_eq!(Store::open(&device(size)).unwrap_err().kind(), Kind::NotFound, "{size}");
    }
}

#[test]
fn a_header_that_the_kernel_would_refuse_is_refused() {
    let cases = [
        ([MAGIC, 1, 2, 8], "version 2"),
        ([MAGIC, 1, 0, 8], "version 0"),
        ([MAGIC, 1, 1, 0], "a chunk has 0 sectors"),
        ([MAGIC, 1, 1, 24], "a chunk has 24 sectors"),
        ([MAGIC, 1, 1, 1 << 22], "a chunk has 4194304 sectors"),
    ];
    for (words, why) in cases {
        let error = Header::unpack(&header(words)).unwrap_err();
        assert!(error.contains(why), "{error}");
    }
    assert_eq!(Header::unpack(&header([MAGIC + 1, 1, 1, 8])), Ok(None));
    let largest = Header { valid: true, chunk_size: CHUNK_MAX };
    assert_eq!(Header::unpack(&header([MAGIC, 1, 1, 1 << 21])), Ok(Some(largest)));
}

#[test]
fn an_empty_store_uses_its_header_and_first_area() {
    let device = device(Bytes::mib(1));
    write(&device, 8, &[]);
    let table = table(&device).unwrap();
    // The kernel says "16/2048 16" of it.
    assert_eq!((table.exceptions.len(), table.used(), table.metadata()), (0, Chunks(2), Chunks(2)));
}

#[test]
fn an_area_that_is_exactly_full_is_followed_by_an_empty_one() {
    let device = device(Bytes::mib(1));
    let exceptions: Vec<_> = (0..32).map(|number| (number * 3, nth(number, 1))).collect();
    write(&device, 1, &exceptions);
    let table = table(&device).unwrap();
    assert_eq!(table.exceptions.len(), 32);
    assert_eq!((table.used(), table.metadata()), (Chunks(35), Chunks(3)));
}

#[test]
fn nothing_behind_the_end_is_read() {
    let device = device(Bytes::mib(1));
    write(&device, 8, &[(7, 2), (0, 0), (8, 4)]);
    assert_eq!(table(&device).unwrap().exceptions, [Exception { old: Chunks(7), new: Chunks(2) }]);
}

#[test]
fn an_invalid_store_gives_no_exceptions() {
    let device = device(Bytes::mib(1));
    device.poke(Bytes::ZERO, &header([MAGIC, 0, 1, 8]));
    let store = Store::open(&device).unwrap();
    assert!(!store.header.valid);
    let error = store.table(None).unwrap_err();
    assert!(error.kind() == Kind::Refused && error.message().contains("overflowed"), "{error}");
}

#[test]
fn damage_is_named() {
    // Chunks of 4 KiB: 1024 in 4 MiB; 258 is the second area.
    assert!(refusal(8, &[(0, 1024)], None).contains("chunk 1024 lies beyond the end of the device"));
    assert!(refusal(8, &[(0, u64::MAX)], None).contains("beyond the end of the device"));
    assert!(refusal(8, &[(0, 1)], None).contains("chunk 1 holds exceptions"));
    assert!(refusal(8, &[(0, 258)], None).contains("chunk 258 holds exceptions"));
    assert!(refusal(8, &[(0, 2), (1, 2)], None).contains("chunk 2 of the store stands in it twice"));
    assert!(refusal(8, &[(5, 2), (6, 3), (5, 4)], None).contains("chunk 5 of the origin stands in it twice"));
    // 17 sectors are three chunks.
    assert!(
        refusal(8, &[(2, 2), (3, 3)], Some(Sectors(17)))
            .contains("chunk 3 lies beyond the end of the origin")
    );
}

#[test]
fn an_area_beyond_the_end_is_damage() {
    // One area of 32 exceptions, and no room for the next.
    let device = device(Bytes(34 * 512));
    let exceptions: Vec<_> = (0..32).map(|number| (number, nth(number, 1))).collect();
    write(&device, 1, &exceptions);
    assert!(table(&device).unwrap_err().message().contains("area 1 lies beyond the end"));
    let device = self::device(Bytes(512));
    write(&device, 1, &[]);
    assert!(table(&device).unwrap_err().message().contains("area 0 lies beyond the end"));
}

#[test]
fn a_large_area_is_read_in_pieces() {
    // An area of 8 MiB holds 524 288 exceptions.
    let device = device(Bytes::gib(2048));
    let exceptions: Vec<_> = (0..100_000).map(|number| (number, nth(number, 1 << 14))).collect();
    write(&device, 1 << 14, &exceptions);
    assert_eq!(table(&device).unwrap().exceptions.len(), 100_000);
}

#[test]
fn blocks_are_not_larger_than_chunks() {
    let host = crate::block::mem::MemDevices::new();
    let device = host.add_with_block_size("/dev/cow", Bytes::mib(1), Bytes::kib(4));
    write(&device, 4, &[]);
    assert!(Store::open(&*device).unwrap_err().message().contains("smaller than a block"));
}

/// Within a second where it counts, a release build; here it is only not to be quadratic.
#[test]
fn a_million_exceptions_are_read_soon() {
    let device = device(Bytes::gib(8));
    let exceptions: Vec<_> = (0..1_000_000).map(|number| (number * 7 % 1_000_003, nth(number, 8))).collect();
    write(&device, 8, &exceptions);
    let start = Instant::now();
    let table = table(&device).unwrap();
    let took = start.elapsed();
    eprintln!("a million exceptions in {took:?}");
    assert_eq!(table.exceptions.len(), 1_000_000);
    assert!(took.as_secs() < 10, "{took:?}");
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(
        olds in proptest::collection::hash_set(0_u64..1_000_000, 0..200),
        shift in 0_u32..4,
    ) {
        let chunk = 1 << shift;
        let exceptions: Vec<_> =
            (0..).zip(olds).map(|(number, old)| (old, nth(number, chunk))).collect();
        let device = device(Bytes::mib(16));
        write(&device, chunk, &exceptions);
        let table = table(&device).unwrap();
        let read: Vec<_> = table.exceptions.iter().map(|one| (one.old.get(), one.new.get())).collect();
        prop_assert_eq!(read, exceptions);
    }
}
