//! The exception store of a snapshot, against a reader that knows no limits but the device's. The first two bytes are the device's size
//! in sectors, the rest is its content.

use std::collections::HashSet;

use dmsnap::block::DevNo;
use dmsnap::block::mem::MemDevice;
use dmsnap::cow::diff::Ranges;
use dmsnap::cow::store::{Exception, Store};
use dmsnap::error::Kind;
use dmsnap::units::{Bytes, Chunks, Sectors};

pub fn run(data: &[u8]) -> bool {
    let Some((size, bytes)) = data.split_first_chunk() else { return false };
    if bytes.len() > 1 << 16 {
        return false;
    }
    let sectors = u64::from(u16::from_le_bytes(*size));
    let device = MemDevice::new("/dev/cow", DevNo { major: 240, minor: 0 }, Bytes(sectors * 512));
    device.poke(Bytes::ZERO, bytes);
    let mut content = bytes.to_vec();
    content.resize(usize::from(u16::from_le_bytes(*size)) * 512, 0);
    read(&device, &content, None);
    read(&device, &content, Some(Sectors(sectors)));
    true
}

fn read(device: &MemDevice, content: &[u8], origin: Option<Sectors>) {
    let table = Store::open(device).and_then(|store| store.table(origin));
    let table = match table {
        Ok(table) => table,
        Err(error) => {
            assert!(matches!(error.kind(), Kind::NotFound | Kind::Refused), "{error}");
            assert!(naive(content, origin).is_none(), "a good store is refused: {error}");
            return;
        }
    };
    let (chunk, wanted) = naive(content, origin).expect("a bad store is taken");
    assert_eq!((table.chunk_size, &table.exceptions), (Sectors(chunk), &wanted));
    let end = Sectors(content.len() as u64 / 512);
    let (used, metadata) = (table.used(), table.metadata());
    assert!(metadata <= used && metadata.get() + wanted.len() as u64 <= used.get());
    let changed = Ranges::of(&table, origin.unwrap_or(Sectors(u64::MAX)));
    let chunks = Chunks(wanted.len() as u64).sectors(table.chunk_size);
    assert!(changed.total() <= chunks && (changed.total().is_zero() || !wanted.is_empty()));
    // What comes next may be beyond the end; what is used is not.
    assert!((used.get() - 2).saturating_mul(chunk) <= end.get());
}

fn word<const N: usize>(content: &[u8], at: u64) -> Option<[u8; N]> {
    content.get(usize::try_from(at).ok()?..)?.first_chunk().copied()
}

/// The chunk size and the exceptions, one by one; nothing if anything is wrong.
fn naive(content: &[u8], origin: Option<Sectors>) -> Option<(u64, Vec<Exception>)> {
    let number = |at| word(content, at).map(u32::from_le_bytes);
    let chunk = u64::from(number(12)?);
    let good = number(0)? == 0x7041_6e53 && number(4)? != 0 && number(8)? == 1;
    if !good || chunk.count_ones() != 1 || chunk > 1 << 21 {
        return None;
    }
    let bytes = chunk * 512;
    let (row, chunks) = (bytes / 16 + 1, content.len() as u64 / bytes);
    let (mut olds, mut news, mut found) = (HashSet::new(), HashSet::new(), Vec::new());
    for place in 0.. {
        let (area, entry) = (1 + place / (row - 1) * row, place % (row - 1));
        if area >= chunks {
            return None;
        }
        let at = area * bytes + entry * 16;
        let (old, new) =
            (word(content, at).map(u64::from_le_bytes)?, word(content, at + 8).map(u64::from_le_bytes)?);
        if new == 0 {
            break;
        }
        let inside = origin.is_none_or(|origin| old < origin.get().div_ceil(chunk)) && new < chunks;
        if !inside || new % row == 1 || !olds.insert(old) || !news.insert(new) {
            return None;
        }
        found.push(Exception { old: Chunks(old), new: Chunks(new) });
    }
    Some((chunk, found))
}
