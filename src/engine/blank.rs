//! Extents that a new volume gets, made clean while they are still free.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use crate::block::{Device, probe};
use crate::error::Result;
use crate::lvm::scan::OpenVg;
use crate::lvm::span::Span;
use crate::lvm::{Lv, LvName, Segment};
use crate::units::{Bytes, ChunkSize};

/// What is cleared at the start of a new volume beside the signatures that are known: boot sectors and superblocks of most
/// file systems lie within it. lvm2 clears 4 KiB.
const VOLUME_START: Bytes = Bytes::kib(64);

/// Where the kernel finds nothing but zeroes, it begins a new map (Linux 6.1).
const MAP_SUPERBLOCK: Bytes = Bytes::kib(4);

/// What is wiped before the metadata names a volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blank {
    /// The volume.
    pub lv: LvName,
    /// Its extents.
    pub segments: Vec<Segment>,
    /// What it is for.
    pub purpose: Purpose,
}

/// What a new volume is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// A COW store of chunks of this size: whoever activates it must find it empty.
    Store(ChunkSize),
    /// A map of what is filled: the kernel must find none.
    Map,
    /// A volume: no file system of a former owner may show.
    Volume,
}

impl fmt::Display for Blank {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.purpose {
            Purpose::Store(_) => write!(f, "zero the COW header of {}", self.lv),
            Purpose::Map => write!(f, "zero the superblock of {}", self.lv),
            Purpose::Volume => write!(f, "wipe old signatures from {}", self.lv),
        }
    }
}

/// Wipes what each of several operations wants wiped, then makes it stable, each device once. One answer for each operation. The
/// extents must be free and the group locked.
pub(super) fn blank<'b>(open: &OpenVg, wanted: impl Iterator<Item = &'b [Blank]>) -> Vec<Result<()>> {
    let wiped: Vec<Result<Vec<Span>>> =
        wanted.map(|blanks| blanks.iter().map(|blank| wiped(open, blank)).collect()).collect();
    let mut flushes = BTreeMap::new();
    let mut flush = |device: &Arc<dyn Device>| -> Result<()> {
        flushes.entry(device.number()).or_insert_with(|| device.flush()).clone()
    };
    let mut stable = |spans: Vec<Span>| spans.iter().flat_map(Span::devices).try_for_each(&mut flush);
    wiped.into_iter().map(|spans| spans.and_then(&mut stable)).collect()
}

fn wiped(open: &OpenVg, blank: &Blank) -> Result<Span> {
    let span = Span::new(open, blank.lv.as_str(), &blank.segments)?;
    match blank.purpose {
        Purpose::Store(chunk) => span.zero(Bytes::ZERO, store_start(chunk))?,
        Purpose::Map => span.zero(Bytes::ZERO, MAP_SUPERBLOCK)?,
        Purpose::Volume => {
            span.zero(Bytes::ZERO, VOLUME_START.min(span.size()))?;
            probe::erase(&span)?;
        }
    }
    Ok(span)
}

/// What is cleared of a store: what the kernel writes when it first meets one, the header in the first chunk and an empty list of exceptions
/// in the second. It flushes neither before there is an exception (Linux 6.1). If power fails when only the header is on the disk,
/// what lies behind it must be an empty list all the same. lvm2 clears 4 KiB.
fn store_start(chunk: ChunkSize) -> Bytes {
    let chunk = chunk.sectors().bytes();
    chunk + chunk
}

/// True if no kernel has used this store yet: each writes its header when it first meets one.
pub(super) fn is_unused_store(open: &OpenVg, store: &Lv) -> Result<bool> {
    let span = Span::new(open, store.name.as_str(), &store.segments)?;
    let mut header = [0; 4096];
    span.read_at(Bytes::ZERO, &mut header)?;
    Ok(header.starts_with(&[0; 4]))
}
