//! The rules of the clone target (Linux 6.1, `dm-clone-target.c`).
//!
//! It reads a region from the source until the region is filled, by a copy, by a write that covers it or by a copy that a smaller write
//! waits for; from then on from the destination. Which are filled is known in memory, and on the metadata device as of the last flush,
//! before which the destination is flushed. The real one also writes it down each second; a power cut may so find less here than there,
//! never more than is true. What stands on the metadata device is this kernel's own: a header that names one of two maps.

use super::State;
use super::io::Content;
use super::node::{Node, Nodes};
use crate::block::DevNo;
use crate::block::mem::MemDevices;
use crate::dm::{CloneMessage, DmName, Line, Regions, Status, Target};
use crate::error::{Error, Kind, Result};
use crate::units::{Bytes, Sectors};

const MAGIC: &[u8; 8] = b"simclone";
/// Where the maps begin.
const MAPS: Bytes = Bytes(4096);
/// What a region may measure.
const REGIONS: std::ops::RangeInclusive<u64> = 8..=1 << 21;

/// The state of one clone target.
#[derive(Debug, Clone)]
pub struct CloneState {
    pub metadata: DevNo,
    pub destination: DevNo,
    pub source: DevNo,
    pub region: Sectors,
    length: Sectors,
    filled: Vec<bool>,
    hydrates: bool,
    /// Which of the two maps is the last that was written down; the map in memory may say more.
    generation: u64,
    is_dirty: bool,
}

impl CloneState {
    /// A new one for the line that a table begins with, of which nothing is filled.
    fn of(line: &Line<DevNo>) -> Option<Self> {
        let Target::Clone { metadata, destination, source, region, features } = &line.target else {
            return None;
        };
        let count = line.length.get().div_ceil(region.get().max(1));
        Some(Self {
            metadata: *metadata,
            destination: *destination,
            source: *source,
            region: *region,
            length: line.length,
            filled: vec![false; usize::try_from(count).ok()?],
            hydrates: !features.no_hydration,
            generation: 0,
            is_dirty: false,
        })
    }

    /// True if it fills by itself.
    pub fn fills(&self) -> bool {
        self.hydrates && self.filled.iter().any(|filled| !filled)
    }

    pub fn status(&self) -> Status {
        let count = |regions: usize| Regions(regions as u64);
        let hydrated = self.filled.iter().filter(|filled| **filled).count();
        Status::Clone { hydrated: count(hydrated), total: count(self.filled.len()), hydrates: self.hydrates }
    }

    /// Which regions are filled, in order.
    pub fn filled(&self) -> &[bool] {
        &self.filled
    }

    pub fn is_filled(&self, region: u64) -> bool {
        usize::try_from(region).ok().and_then(|at| self.filled.get(at)).is_some_and(|filled| *filled)
    }

    fn note(&mut self, region: u64) {
        if let Some(filled) = usize::try_from(region).ok().and_then(|at| self.filled.get_mut(at)) {
            *filled = true;
            self.is_dirty = true;
        }
    }

    /// Where a region lies; the last one may be short.
    pub fn place(&self, region: u64) -> (Bytes, Bytes) {
        let size = self.region.bytes();
        let at = Bytes(size.get() * region);
        (at, size.min(self.length.bytes() - at))
    }

    fn first_unfilled(&self) -> Option<u64> {
        self.filled.iter().position(|filled| !filled).map(|at| at as u64)
    }

    fn map(&self) -> Vec<u8> {
        let mut map: Vec<u8> = self.filled.iter().map(|filled| u8::from(*filled)).collect();
        map.resize(map.len().next_multiple_of(512), 0);
        map
    }

    fn map_position(&self, generation: u64) -> Bytes {
        MAPS + Bytes(generation % 2 * self.map().len() as u64)
    }

    fn header(&self, generation: u64) -> Vec<u8> {
        let words = [generation, self.region.get(), self.length.get()];
        let words = words.iter().flat_map(|word| word.to_le_bytes());
        let mut header: Vec<u8> = MAGIC.iter().copied().chain(words).collect();
        header.resize(512, 0);
        header
    }
}

/// An error if the kernel would not take the parameters of a clone's line.
pub fn check(nodes: &Nodes, disks: &MemDevices, line: &Line<DevNo>) -> std::result::Result<(), String> {
    let Target::Clone { destination, source, region, .. } = &line.target else { return Ok(()) };
    if !region.get().is_power_of_two() || !REGIONS.contains(&region.get()) {
        return Err("invalid region size".to_owned());
    }
    // Other targets take a device without a table for one that may get it later; this one measures it at once.
    for (device, what) in [(destination, "destination"), (source, "source")] {
        match nodes.size(disks, *device) {
            Some(size) if !size.is_zero() && size < line.length => {
                return Err(format!("device size larger than {what} device"));
            }
            Some(size) if !size.is_zero() => {}
            _ => return Err(format!("ENXIO: error opening {what} device")),
        }
    }
    Ok(())
}

impl State {
    /// The state of the clone that a table begins with, if it does. Reads its metadata, or makes it where there is none.
    pub fn open_clone(
        &mut self,
        line: Option<&Line<DevNo>>,
    ) -> std::result::Result<Option<CloneState>, String> {
        let Some(mut clone) = line.and_then(CloneState::of) else { return Ok(None) };
        let runs = |node: &Node| {
            !node.suspended && node.live.as_ref().is_some_and(|live| live.notes_on(clone.metadata))
        };
        if self.nodes.iter().any(|(_, node)| runs(node)) {
            // The real kernel takes it: the new table then knows the regions of now, and copies over what is filled later. One that
            // stands still has written down all that it knows.
            self.violations.push(format!("two clones note their regions on device {}", clone.metadata));
        }
        let io = |error: Error| format!("failed to load metadata: {error}");
        let mut header = vec![0; 4096];
        self.read(clone.metadata, Bytes::ZERO, &mut header).map_err(io)?;
        if header.iter().all(|byte| *byte == 0) {
            self.write_map(&mut clone).map_err(io)?;
            return Ok(Some(clone));
        }
        if !header.starts_with(MAGIC) {
            return Err("ENOTBLK: failed to load metadata: superblock check failed".to_owned());
        }
        clone.generation = u64::from_le_bytes(header[8..16].try_into().unwrap_or_default());
        if header[..512] != clone.header(clone.generation)[..] {
            return Err("region and/or target size don't match the ones in metadata".to_owned());
        }
        let mut map = clone.map();
        self.read(clone.metadata, clone.map_position(clone.generation), &mut map).map_err(io)?;
        clone.filled.iter_mut().zip(map).for_each(|(filled, byte)| *filled = byte != 0);
        Ok(Some(clone))
    }

    fn write_map(&mut self, clone: &mut CloneState) -> Result<()> {
        let next = clone.generation + 1;
        self.write(clone.metadata, clone.map_position(next), Content::Data(&clone.map()))?;
        self.flush(clone.metadata)?;
        self.write(clone.metadata, Bytes::ZERO, Content::Data(&clone.header(next)))?;
        self.flush(clone.metadata)?;
        (clone.generation, clone.is_dirty) = (next, false);
        Ok(())
    }

    /// Writes down what the clones at and below a device know.
    pub fn commit_clones(&mut self, device: DevNo) -> Result<()> {
        let Some((name, node)) = self.nodes.by_number(device) else { return Ok(()) };
        let Some(live) = &node.live else { return Ok(()) };
        let (name, lower, clone) = (name.clone(), live.table.references(), live.clone.clone());
        for device in lower {
            self.commit_clones(device)?;
        }
        let Some(mut clone) = clone.filter(|clone| clone.is_dirty) else { return Ok(()) };
        self.flush(clone.destination)?;
        self.write_map(&mut clone)?;
        self.set_clone(&name, clone);
        Ok(())
    }

    fn set_clone(&mut self, name: &DmName, clone: CloneState) {
        if let Some(live) = self.nodes.get_mut(name).and_then(|node| node.live.as_mut()) {
            live.clone = Some(clone);
        }
    }

    fn live_clone(&self, name: &DmName) -> Result<&CloneState> {
        let clone = self.nodes.existing(name)?.live.as_ref().and_then(|live| live.clone.as_ref());
        clone.ok_or_else(|| Error::new(Kind::Internal, format!("{name} is no clone")))
    }

    pub fn tell_clone(&mut self, name: &DmName, message: CloneMessage) -> Result<()> {
        let mut clone = self.live_clone(name)?.clone();
        match message {
            CloneMessage::EnableHydration => clone.hydrates = true,
            CloneMessage::DisableHydration => clone.hydrates = false,
            // How fast it fills is the caller's choice here.
            CloneMessage::HydrationThreshold(_) | CloneMessage::HydrationBatchSize(_) => {}
        }
        self.set_clone(name, clone);
        Ok(())
    }

    /// Fills one region. Answers whether there was one that was not.
    pub fn hydrate_region(&mut self, name: &DmName) -> Result<bool> {
        let clone = self.live_clone(name)?;
        let Some(region) = clone.first_unfilled().filter(|_| clone.hydrates) else { return Ok(false) };
        self.fill_region(name, region)?;
        Ok(true)
    }

    fn fill_region(&mut self, name: &DmName, region: u64) -> Result<()> {
        let mut clone = self.live_clone(name)?.clone();
        let (at, length) = clone.place(region);
        let mut data = vec![0; usize::try_from(length.get()).unwrap_or(usize::MAX)];
        self.read(clone.source, at, &mut data)?;
        self.write(clone.destination, at, Content::Data(&data))?;
        clone.note(region);
        self.set_clone(name, clone);
        Ok(())
    }

    /// A discard on a clone that passes none down: the regions that it covers whole count as filled.
    pub fn discard_clone(&mut self, name: &DmName, offset: Bytes, length: Bytes) -> Result<()> {
        self.check_passes_no_discards(name)?;
        let mut clone = self.live_clone(name)?.clone();
        let region = clone.region.bytes().get();
        for covered in offset.get().div_ceil(region)..(offset + length).get() / region {
            clone.note(covered);
        }
        self.set_clone(name, clone);
        Ok(())
    }

    fn check_passes_no_discards(&self, name: &DmName) -> Result<()> {
        let live = self.nodes.existing(name)?.live.as_ref();
        let passes_none = |line: &Line<DevNo>| matches!(&line.target, Target::Clone { features, .. } if features.no_discard_passdown);
        if live.is_some_and(|live| live.table.0.iter().all(passes_none)) {
            return Ok(());
        }
        Err(Error::new(Kind::Internal, format!("{name} takes no discards here: they would go on to a disk")))
    }

    /// A write to a clone, within one region.
    pub fn write_clone(&mut self, name: &DmName, within: Bytes, content: Content<'_>) -> Result<()> {
        let mut clone = self.live_clone(name)?.clone();
        let region = within.get() / clone.region.bytes().get();
        if clone.is_filled(region) {
            return self.write(clone.destination, within, content);
        }
        if content.length() < clone.place(region).1 {
            self.fill_region(name, region)?;
            return self.write(clone.destination, within, content);
        }
        self.write(clone.destination, within, content)?;
        clone.note(region);
        self.set_clone(name, clone);
        Ok(())
    }
}
