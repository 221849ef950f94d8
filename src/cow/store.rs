//! A persistent exception store as the kernel leaves it on a COW device: unpack the header, walk the exceptions.
//!
//! Chunk 0 is the header. Then areas, each one chunk of exceptions (old chunk, new chunk; 16 bytes) and as many data chunks as it has
//! room for exceptions. The first exception with new chunk 0 ends the store, not only its area: an area that is exactly full is
//! followed by an empty one (drivers/md/dm-snap-persistent.c, Linux 6.1). The header's chunk size is in force, whatever the metadata
//! says. Every field is hostile until checked; memory follows the exceptions that there are, never a number that is read.
//!
//! The kernel bypasses the page cache: read a live store through a device that does so too, and what is being
//! written meanwhile may be missing.

#![deny(clippy::indexing_slicing)]

use crate::block::Device;
use crate::error::{Context, Error, Kind, Result};
use crate::units::{Bytes, Chunks, Sectors};

const MAGIC: u32 = 0x7041_6e53;
const VERSION: u32 = 1;
/// The header's four words.
const HEADER: usize = 16;
/// An exception on disk.
const EXCEPTION: usize = 16;
/// The largest power of two of sectors that the kernel takes: its limit is INT_MAX bytes.
const CHUNK_MAX: Sectors = Sectors(1 << 21);
/// Areas are as large as chunks; this much is read of one at a time.
const READ: usize = 1 << 20;

/// What a store's header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// False once the store overflowed or failed: the snapshot is lost.
    pub valid: bool,
    /// Sectors in one chunk.
    pub chunk_size: Sectors,
}

/// A chunk of the origin, and the chunk of the store that holds the snapshot's content of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Exception {
    /// In the origin.
    pub old: Chunks,
    /// In the store.
    pub new: Chunks,
}

/// All exceptions of a store, in the order in which they were written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// Sectors in one chunk.
    pub chunk_size: Sectors,
    /// No chunk twice, neither of the origin nor of the store.
    pub exceptions: Vec<Exception>,
}

impl Header {
    /// Nothing if the bytes do not begin a store; why it cannot be read if they begin a bad one.
    pub fn unpack(bytes: &[u8; HEADER]) -> std::result::Result<Option<Self>, String> {
        let mut words = bytes.as_chunks().0.iter().map(|word| u32::from_le_bytes(*word));
        let mut word = || words.next().unwrap_or_default();
        let (magic, valid, version, chunk) = (word(), word(), word(), word());
        if magic != MAGIC {
            return Ok(None);
        }
        if version != VERSION {
            return Err(format!("its version {version} is not known"));
        }
        let chunk_size = Sectors(chunk.into());
        if !chunk_size.get().is_power_of_two() || chunk_size > CHUNK_MAX {
            return Err(format!("it says that a chunk has {chunk} sectors"));
        }
        Ok(Some(Self { valid: valid != 0, chunk_size }))
    }

    /// How many exceptions an area holds, and data chunks follow it.
    fn per_area(self) -> u64 {
        self.chunk_size.bytes().get() / EXCEPTION as u64
    }

    /// The chunk that is this area.
    fn area(self, number: u64) -> Chunks {
        Chunks((self.per_area() + 1).saturating_mul(number).saturating_add(1))
    }

    /// True if a chunk of the store may hold data: it is neither the header nor an area.
    fn holds_data(self, chunk: Chunks) -> bool {
        !chunk.is_zero() && chunk.get() % (self.per_area() + 1) != 1
    }
}

/// A COW device with a store that can be read.
#[derive(Debug)]
pub struct Store<'d> {
    device: &'d dyn Device,
    /// What its header says.
    pub header: Header,
}

impl<'d> Store<'d> {
    /// Reads the header. [`Kind::NotFound`] if the device holds no store, [`Kind::Refused`] if it holds a bad one.
    pub fn open(device: &'d dyn Device) -> Result<Self> {
        let at = |error: Error| error.at(Context::Device(device.path().to_owned()));
        let path = device.path().display();
        let none = || at(Error::new(Kind::NotFound, format!("{path} holds no snapshot store")));
        if device.size() < Bytes(HEADER as u64) {
            return Err(none());
        }
        let mut bytes = [0; HEADER];
        device.read_at(Bytes::ZERO, &mut bytes)?;
        let bad =
            |why| at(Error::new(Kind::Refused, format!("the snapshot store on {path} is damaged: {why}")));
        let header = Header::unpack(&bytes).map_err(bad)?.ok_or_else(none)?;
        let block = device.block_size();
        if header.chunk_size.bytes() < block {
            return Err(bad(format!(
                "its chunks of {} are smaller than a block of {block}",
                header.chunk_size
            )));
        }
        Ok(Self { device, header })
    }

    /// All exceptions, checked against the device and, if its size is given, the origin. One read for an area. [`Kind::Refused`] if
    /// the store is damaged or invalid.
    pub fn table(&self, origin: Option<Sectors>) -> Result<Table> {
        if !self.header.valid {
            return Err(self.error("is invalid: it overflowed or failed"));
        }
        let mut walk = Walk { limits: self.limits(origin), exceptions: Vec::new() };
        let mut number = 0;
        while self.area(number, &mut walk)? {
            number += 1;
        }
        let Walk { exceptions, .. } = walk;
        for (what, side) in [("the origin", Side::Old), ("the store", Side::New)] {
            if let Some(twice) = repeated(&exceptions, side) {
                return Err(self.damage(&format!("chunk {} of {what} stands in it twice", twice.get())));
            }
        }
        Ok(Table { chunk_size: self.header.chunk_size, exceptions })
    }

    fn limits(&self, origin: Option<Sectors>) -> Limits {
        let chunk = self.header.chunk_size;
        Limits {
            header: self.header,
            old: origin.map(|origin| Chunks(origin.get().div_ceil(chunk.get()))),
            new: Chunks(self.device.size().sectors_floor().get() / chunk.get()),
        }
    }

    /// Reads one area. True if there may be more in the next one.
    fn area(&self, number: u64, walk: &mut Walk) -> Result<bool> {
        let chunk = self.header.area(number);
        if chunk >= walk.limits.new {
            return Err(self.damage(&format!("area {number} lies beyond the end of the device")));
        }
        let start = chunk.sectors(self.header.chunk_size).bytes();
        let length = self.header.chunk_size.bytes();
        let mut bytes = vec![0; usize::try_from(length.get()).unwrap_or(READ).min(READ)];
        let mut done = Bytes::ZERO;
        while done < length {
            self.device.read_at(start + done, &mut bytes)?;
            if !walk.take(&bytes).map_err(|why| self.damage(&why))? {
                return Ok(false);
            }
            done += Bytes(bytes.len() as u64);
        }
        Ok(true)
    }

    fn damage(&self, why: &str) -> Error {
        self.error(&format!("is damaged: {why}"))
    }

    fn error(&self, what: &str) -> Error {
        let path = self.device.path();
        Error::new(Kind::Refused, format!("the snapshot store on {} {what}", path.display()))
            .at(Context::Device(path.to_owned()))
    }
}

impl Table {
    /// The chunks in use: header, areas, data, as device-mapper's status counts them.
    pub fn used(&self) -> Chunks {
        let header = self.header();
        let last = self.exceptions.iter().map(|exception| exception.new).max();
        let next = last.map_or(Chunks(2), |last| last + Chunks(1));
        if header.holds_data(next) { next } else { next + Chunks(1) }
    }

    /// The chunks among them that are header and areas.
    pub fn metadata(&self) -> Chunks {
        Chunks(self.exceptions.len() as u64 / self.header().per_area() + 2)
    }

    fn header(&self) -> Header {
        Header { valid: true, chunk_size: self.chunk_size }
    }
}

/// What exceptions may name.
struct Limits {
    header: Header,
    /// Chunks of the origin, if that is known.
    old: Option<Chunks>,
    /// Chunks of the store.
    new: Chunks,
}

impl Limits {
    fn check(&self, Exception { old, new }: Exception) -> std::result::Result<(), String> {
        if new >= self.new {
            return Err(format!("chunk {} lies beyond the end of the device", new.get()));
        }
        if !self.header.holds_data(new) {
            return Err(format!("chunk {} holds exceptions, not data", new.get()));
        }
        if self.old.is_some_and(|end| old >= end) {
            return Err(format!("chunk {} lies beyond the end of the origin", old.get()));
        }
        Ok(())
    }
}

struct Walk {
    limits: Limits,
    exceptions: Vec<Exception>,
}

impl Walk {
    /// Takes over the exceptions in a part of an area. True if there may be more.
    fn take(&mut self, bytes: &[u8]) -> std::result::Result<bool, String> {
        for entry in bytes.as_chunks::<EXCEPTION>().0 {
            let mut words = entry.as_chunks().0.iter().map(|word| Chunks(u64::from_le_bytes(*word)));
            let mut word = || words.next().unwrap_or_default();
            let exception = Exception { old: word(), new: word() };
            if exception.new.is_zero() {
                return Ok(false);
            }
            self.limits.check(exception)?;
            self.exceptions.push(exception);
        }
        Ok(true)
    }
}

#[derive(Clone, Copy)]
enum Side {
    Old,
    New,
}

/// A chunk that more than one exception names. The kernel gives out chunks of the store in order: then there is nothing to sort.
fn repeated(exceptions: &[Exception], side: Side) -> Option<Chunks> {
    let chunk = |exception: &Exception| match side {
        Side::Old => exception.old,
        Side::New => exception.new,
    };
    if exceptions.iter().map(chunk).is_sorted_by(|one, next| one < next) {
        return None;
    }
    let mut chunks: Vec<Chunks> = exceptions.iter().map(chunk).collect();
    chunks.sort_unstable();
    chunks.array_windows().find(|[one, next]| one == next).map(|[one, _]| *one)
}

#[cfg(test)]
mod tests;
