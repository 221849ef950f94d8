//! Reads and writes through the tables, down to the disks, with copy-on-write on the way (Linux 6.1, `dm-snap.c`).
//!
//! What the kernel makes stable before it goes on (a copied chunk, then its exception, then the write that caused the copy) is flushed on
//! the disks here too. I/O that would wait for a suspended device is an error.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::State;
use super::clone::CloneState;
use super::snapshot::Place;
use super::store::Store;
use crate::block::mem::MemDevice;
use crate::block::{DevNo, Device};
use crate::dm::{DmName, Target};
use crate::error::{Error, Kind, Result};
use crate::units::{Bytes, Sectors};

/// What is written to a range.
#[derive(Debug, Clone, Copy)]
pub enum Content<'a> {
    Data(&'a [u8]),
    Zeroes(Bytes),
}

impl Content<'_> {
    pub fn length(&self) -> Bytes {
        match self {
            Self::Data(data) => Bytes(data.len() as u64),
            Self::Zeroes(length) => *length,
        }
    }

    fn part(&self, at: Bytes, length: Bytes) -> Self {
        match self {
            Self::Data(data) => Self::Data(&data[index(at)..index(at) + index(length)]),
            Self::Zeroes(_) => Self::Zeroes(length),
        }
    }
}

/// Lengths here are those of buffers, or of parts of them.
fn index(bytes: Bytes) -> usize {
    usize::try_from(bytes.get()).unwrap_or(usize::MAX)
}

/// A part of a range that one line of a table maps.
struct Piece {
    target: Target<DevNo>,
    /// Where it begins in the line.
    within: Bytes,
    /// Where it begins in the caller's range.
    at: Bytes,
    length: Bytes,
}

/// Where a position of a line leads.
enum Way {
    Down(DevNo, Bytes),
    Store,
    Origin(DevNo),
    /// To a region that is not filled.
    Unfilled(DevNo),
    Zero,
}

fn failed(why: impl Into<String>) -> Error {
    Error::new(Kind::Internal, why)
}

impl State {
    pub fn read(&self, device: DevNo, offset: Bytes, buffer: &mut [u8]) -> Result<()> {
        let Some(pieces) = self.pieces(device, offset, Bytes(buffer.len() as u64))? else {
            return self.disk(device)?.read_at(offset, buffer);
        };
        for (piece, way) in pieces {
            let part = &mut buffer[index(piece.at)..index(piece.at + piece.length)];
            match way {
                Way::Down(lower, at) => self.read(lower, at, part)?,
                Way::Unfilled(source) => self.read(source, piece.within, part)?,
                Way::Origin(origin) => self.read(origin, piece.within, part)?,
                Way::Store => self.read_snapshot(device, piece.within, part)?,
                Way::Zero => part.fill(0),
            }
        }
        Ok(())
    }

    pub fn write(&mut self, device: DevNo, offset: Bytes, content: Content<'_>) -> Result<()> {
        let Some(pieces) = self.pieces(device, offset, content.length())? else {
            let disk = self.disk(device)?;
            return match content {
                Content::Data(data) => disk.write_at(offset, data),
                Content::Zeroes(length) => disk.zero(offset, length),
            };
        };
        for (piece, way) in pieces {
            let part = content.part(piece.at, piece.length);
            match way {
                Way::Down(lower, at) => self.write(lower, at, part)?,
                Way::Unfilled(_) => self.write_clone(&self.name_of(device)?, piece.within, part)?,
                Way::Origin(origin) => self.write_origin(origin, piece.within, part)?,
                Way::Store => {
                    let merging = matches!(piece.target, Target::Merge { .. });
                    self.write_snapshot(device, merging, piece.within, part)?;
                }
                Way::Zero => {}
            }
        }
        Ok(())
    }

    /// Flushes every disk below a device, behind what clones write down then.
    pub fn flush(&mut self, device: DevNo) -> Result<()> {
        self.commit_clones(device)?;
        let mut disks = BTreeSet::new();
        self.disks_below(device, &mut disks)?;
        disks.into_iter().try_for_each(|disk| self.disk(disk)?.flush())
    }

    fn disks_below(&self, device: DevNo, disks: &mut BTreeSet<DevNo>) -> Result<()> {
        let Some((name, node)) = self.nodes.by_number(device) else {
            disks.insert(device);
            return Ok(());
        };
        // Without a table there is nothing to wait for: the kernel refuses at once.
        if node.suspended && node.live.is_some() {
            return Err(waits(name));
        }
        let lower = node.live.as_ref().map(|live| live.table.references()).unwrap_or_default();
        lower.into_iter().try_for_each(|lower| self.disks_below(lower, disks))
    }

    fn disk(&self, device: DevNo) -> Result<Arc<MemDevice>> {
        self.disks.by_number(device).ok_or_else(|| failed(format!("there is no disk {device}")))
    }

    /// A range of a mapped device, cut at the borders of lines and stripes, and where each piece leads. None for a disk.
    fn pieces(&self, device: DevNo, offset: Bytes, length: Bytes) -> Result<Option<Vec<(Piece, Way)>>> {
        let Some((name, node)) = self.nodes.by_number(device) else { return Ok(None) };
        // Without a table there is nothing to wait for: the kernel refuses at once.
        if node.suspended && node.live.is_some() {
            return Err(waits(name));
        }
        let lines = node.live.as_ref().map(|live| live.table.0.as_slice()).unwrap_or_default();
        let mut pieces = Vec::new();
        let mut at = Bytes::ZERO;
        while at < length {
            let position = offset + at;
            let line = lines.iter().find(|line| (line.start + line.length).bytes() > position);
            let line = line.ok_or_else(|| failed(format!("{name} ends before byte {}", position.get())))?;
            let within = position - line.start.bytes();
            let clone = node.live.as_ref().and_then(|live| live.clone.as_ref());
            let (way, run) = match (&line.target, clone) {
                (Target::Clone { .. }, Some(clone)) => region(clone, within),
                (target, _) => way(name, target, within)?,
            };
            let run = run.min(line.length.bytes() - within).min(length - at);
            pieces.push((Piece { target: line.target.clone(), within, at, length: run }, way));
            at += run;
        }
        Ok(Some(pieces))
    }

    fn read_snapshot(&self, device: DevNo, within: Bytes, buffer: &mut [u8]) -> Result<()> {
        if let Some(origin) = self.given_up(device) {
            return self.read(origin, within, buffer);
        }
        let (instance, store) = self.usable(device)?;
        for (chunk, inside, at, length) in chunks(store, within, Bytes(buffer.len() as u64)) {
            let part = &mut buffer[index(at)..index(at + length)];
            match store.exception(chunk) {
                Some(new) => self.read(instance.cow, store.position(new) + inside, part)?,
                None => self.read(instance.origin, within + at, part)?,
            }
        }
        Ok(())
    }

    /// The origin of a merge that is invalid: I/O goes there.
    fn given_up(&self, device: DevNo) -> Option<DevNo> {
        let (name, _) = self.nodes.by_number(device)?;
        let instance = self.nodes.instance(&(name.clone(), Place::Live))?;
        (instance.merging && !instance.valid).then_some(instance.origin)
    }

    fn write_snapshot(
        &mut self,
        device: DevNo,
        merging: bool,
        within: Bytes,
        content: Content<'_>,
    ) -> Result<()> {
        if let Some(origin) = self.given_up(device) {
            return self.write_origin(origin, within, content);
        }
        let (instance, store) = self.usable(device)?;
        let (origin, cow) = (instance.origin, instance.cow);
        let parts: Vec<_> = chunks(store, within, content.length()).collect();
        self.check_flow(origin)?;
        self.check_flow(cow)?;
        let place = (self.name_of(device)?, Place::Live);
        for (chunk, inside, at, length) in parts {
            let part = content.part(at, length);
            let known = self.usable(device)?.1.exception(chunk);
            if known.is_none() && merging {
                self.write_origin(origin, within + at, part)?;
                continue;
            }
            let store = self.usable(device)?.1;
            if known.is_none() && length == store.chunk.bytes() {
                // Nothing of the origin's content would be left: nothing is read.
                self.copy_chunk(&place, chunk, Some(part))?;
                continue;
            }
            if known.is_none() {
                self.copy_chunk(&place, chunk, None)?;
            }
            let store = self.usable(device)?.1;
            let new = store.exception(chunk).ok_or_else(|| failed("the store lost a chunk"))?;
            let position = store.position(new) + inside;
            self.write(cow, position, part)?;
        }
        Ok(())
    }

    /// Whether I/O to a device would go through: nothing below it is suspended, and neither is it.
    fn check_flow(&self, device: DevNo) -> Result<()> {
        self.disks_below(device, &mut BTreeSet::new())
    }

    /// A write to an origin: first what its active snapshots do not have yet is copied. A snapshot whose store cannot take
    /// it becomes invalid; the write goes on.
    fn write_origin(&mut self, origin: DevNo, within: Bytes, content: Content<'_>) -> Result<()> {
        self.check_flow(origin)?;
        let mut copies = Vec::new();
        for place in self.nodes.tracking(origin) {
            let chunks = self.uncopied(&place, within, content.length())?;
            if let Some(instance) = self.nodes.instance(&place).filter(|_| !chunks.is_empty()) {
                self.check_flow(instance.cow)?;
            }
            copies.push((place, chunks));
        }
        for (place, chunks) in copies {
            let _ = chunks.into_iter().try_for_each(|chunk| self.copy_chunk(&place, chunk, None));
        }
        self.write(origin, within, content)
    }

    /// The chunks of a range of the origin that a snapshot has no copy of yet.
    fn uncopied(&self, place: &(DmName, Place), within: Bytes, length: Bytes) -> Result<Vec<u64>> {
        let store = self.nodes.instance(place).and_then(|instance| instance.store.as_ref());
        let Some(store) = store else { return Ok(Vec::new()) };
        let size = self.nodes.existing(&place.0)?.size().bytes();
        let missing = |chunk: &u64| store.position(*chunk) < size && store.exception(*chunk).is_none();
        Ok(chunks(store, within, length).map(|(chunk, ..)| chunk).filter(missing).collect())
    }

    /// Gives a snapshot its own copy of a chunk, of the origin's content or of `content`, or makes it invalid.
    fn copy_chunk(
        &mut self,
        place: &(DmName, Place),
        chunk: u64,
        content: Option<Content<'_>>,
    ) -> Result<()> {
        let Some(instance) = self.nodes.instance_mut(place) else { return Ok(()) };
        let (origin, cow) = (instance.origin, instance.cow);
        let Some(mut store) = instance.store.take() else { return Ok(()) };
        let done = self.copy_into(&mut store, (origin, cow), chunk, content);
        if let Some(instance) = self.nodes.instance_mut(place) {
            instance.store = Some(store);
        }
        if done.is_err() {
            self.invalidate(place);
        }
        done
    }

    fn copy_into(
        &mut self,
        store: &mut Store,
        (origin, cow): (DevNo, DevNo),
        chunk: u64,
        content: Option<Content<'_>>,
    ) -> Result<()> {
        let total = self.nodes.size(&self.disks, cow).unwrap_or(Sectors::ZERO);
        let new = store.allocate(total).ok_or_else(|| failed("the COW store is full"))?;
        let copy = if content.is_none() { self.origin_chunk(store, origin, chunk)? } else { Vec::new() };
        self.write(cow, store.position(new), content.unwrap_or(Content::Data(&copy)))?;
        self.flush(cow)?;
        for (at, bytes) in store.commit(chunk, new) {
            self.write(cow, at, Content::Data(&bytes))?;
        }
        self.flush(cow)
    }

    /// What the origin holds of a chunk; the last one may be short.
    fn origin_chunk(&self, store: &Store, origin: DevNo, chunk: u64) -> Result<Vec<u8>> {
        let end = self.nodes.size(&self.disks, origin).unwrap_or(Sectors::ZERO).bytes();
        let position = store.position(chunk);
        let length = store.chunk.bytes().min(end - position);
        if length.is_zero() {
            return Err(failed(format!("device {origin} has nothing at byte {}", position.get())));
        }
        let mut data = vec![0; index(length)];
        self.read(origin, position, &mut data)?;
        Ok(data)
    }

    /// Carries on a merge by one chunk. Answers whether there was one.
    pub fn merge_chunk(&mut self, name: &DmName) -> Result<bool> {
        let place = (name.clone(), Place::Live);
        let instance = self.nodes.instance(&place).filter(|instance| instance.merging && instance.valid);
        let instance = instance.ok_or_else(|| failed(format!("{name} does not merge")))?;
        let (origin, cow) = (instance.origin, instance.cow);
        let store = instance.store.as_ref().ok_or_else(|| failed(format!("{name} awaits its exceptions")))?;
        let Some((old, new)) = store.exceptions().last().copied() else { return Ok(false) };
        let end = self.nodes.existing(name)?.size().bytes();
        let (from, to) = (store.position(new), store.position(old));
        let mut data = vec![0; index(store.chunk.bytes().min(end - to))];
        self.read(cow, from, &mut data)?;
        self.write_origin(origin, to, Content::Data(&data))?;
        self.flush(origin)?;
        let store = self.nodes.instance_mut(&place).and_then(|instance| instance.store.as_mut());
        if let Some((at, zeroes)) = store.and_then(Store::uncommit) {
            self.write(cow, at, Content::Data(&zeroes))?;
        }
        self.flush(cow)?;
        Ok(true)
    }

    fn name_of(&self, device: DevNo) -> Result<DmName> {
        let found = self.nodes.by_number(device);
        found.map(|(name, _)| name.clone()).ok_or_else(|| failed(format!("there is no device {device}")))
    }
}

fn waits(name: &DmName) -> Error {
    failed(format!("I/O would wait: {name} is suspended"))
}

/// The way from a position of a line, and for how many bytes it holds.
fn way(name: &DmName, target: &Target<DevNo>, within: Bytes) -> Result<(Way, Bytes)> {
    let all = Bytes(u64::MAX);
    match target {
        Target::Linear { device, offset } => Ok((Way::Down(*device, offset.bytes() + within), all)),
        Target::Striped { chunk, stripes } => Ok(stripe(*chunk, stripes, within)),
        Target::Origin { device } => Ok((Way::Origin(*device), all)),
        Target::Snapshot { .. } | Target::Merge { .. } => Ok((Way::Store, all)),
        Target::Zero => Ok((Way::Zero, all)),
        Target::Error => Err(failed(format!("I/O error on {name}: its target is error"))),
        Target::Clone { .. } => {
            Err(failed(format!("I/O error on {name}: its clone is not at its beginning")))
        }
        Target::Other { kind, .. } => Err(failed(format!("the simulated kernel does not know {kind}"))),
    }
}

/// Filled regions are the destination's.
fn region(clone: &CloneState, within: Bytes) -> (Way, Bytes) {
    let region = within.get() / clone.region.bytes().get();
    let (at, length) = clone.place(region);
    let way = match clone.is_filled(region) {
        true => Way::Down(clone.destination, within),
        false => Way::Unfilled(clone.source),
    };
    (way, at + length - within)
}

fn stripe(chunk: Sectors, stripes: &[(DevNo, Sectors)], within: Bytes) -> (Way, Bytes) {
    let chunk = chunk.bytes().get().max(1);
    let count = stripes.len().max(1) as u64;
    let (row, rest) = (within.get() / chunk, within.get() % chunk);
    let turn = usize::try_from(row % count).unwrap_or(0);
    let run = Bytes(chunk - rest);
    match stripes.get(turn) {
        Some((device, offset)) => {
            (Way::Down(*device, offset.bytes() + Bytes(row / count * chunk + rest)), run)
        }
        None => (Way::Zero, run),
    }
}

/// The parts of a range by chunks: the chunk, where in it, where in the range, and how much.
fn chunks(
    store: &Store,
    within: Bytes,
    length: Bytes,
) -> impl Iterator<Item = (u64, Bytes, Bytes, Bytes)> + use<> {
    let size = store.chunk.bytes().get().max(1);
    let mut at = Bytes::ZERO;
    std::iter::from_fn(move || {
        let position = (within + at).get();
        let inside = position % size;
        let part = (position / size, Bytes(inside), at, Bytes(size - inside).min(length - at));
        at += part.3;
        (!part.3.is_zero()).then_some(part)
    })
}
