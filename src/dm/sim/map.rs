//! Where a range of a device-mapper device lies on the disks.

use super::State;
use crate::block::DevNo;
use crate::block::mem::MemDevices;
use crate::dm::{Line, Table, Target};
use crate::error::{Error, Kind, Result};
use crate::units::{Bytes, Sectors};

/// A part of a range that lies on one disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    pub device: DevNo,
    /// Where on the disk.
    pub offset: Bytes,
    /// Where in the caller's range.
    pub at: usize,
    pub length: usize,
}

/// Where one position leads, and for how many bytes that holds.
enum Step {
    Down(DevNo, Bytes, Bytes),
    Zeroes(Bytes),
}

impl State {
    /// The parts of a range, in order. Ranges of `zero` targets have none.
    pub fn extents(
        &self,
        disks: &MemDevices,
        device: DevNo,
        offset: Bytes,
        length: usize,
    ) -> Result<Vec<Extent>> {
        let mut extents = Vec::new();
        let mut at = 0;
        while at < length {
            let here = offset + Bytes(at as u64);
            let left = Bytes((length - at) as u64);
            let (place, run) = self.follow(disks, device, here, left)?;
            let run = usize::try_from(run.get()).unwrap_or(length).min(length - at);
            if let Some((device, offset)) = place {
                extents.push(Extent { device, offset, at, length: run });
            }
            at += run;
        }
        Ok(extents)
    }

    /// Follows one position down to a disk.
    fn follow(
        &self,
        disks: &MemDevices,
        mut device: DevNo,
        mut offset: Bytes,
        mut run: Bytes,
    ) -> Result<(Option<(DevNo, Bytes)>, Bytes)> {
        while let Some((name, node)) = self.nodes.by_number(device) {
            if node.suspended {
                return Err(Error::new(Kind::Internal, format!("I/O would wait: {name} is suspended")));
            }
            let table = node.live.as_ref().map(|live| &live.table);
            let step = table.and_then(|table| step(table, offset)).transpose()?;
            match step {
                Some(Step::Down(lower, at, length)) => (device, offset, run) = (lower, at, run.min(length)),
                Some(Step::Zeroes(length)) => return Ok((None, run.min(length))),
                None => {
                    return Err(Error::new(
                        Kind::Internal,
                        format!("{name} ends before byte {}", offset.get()),
                    ));
                }
            }
        }
        let end = disks.by_number(device).map(|disk| crate::block::Device::size(&*disk));
        match end.and_then(|end| end.checked_sub(offset)).filter(|left| !left.is_zero()) {
            Some(left) => Ok((Some((device, offset)), run.min(left))),
            None => {
                Err(Error::new(Kind::Internal, format!("device {device} ends before byte {}", offset.get())))
            }
        }
    }
}

fn step(table: &Table<DevNo>, offset: Bytes) -> Option<Result<Step>> {
    let line = table.0.iter().find(|line| (line.start + line.length).bytes() > offset)?;
    let within = offset - line.start.bytes();
    Some(through(line, within))
}

fn through(line: &Line<DevNo>, within: Bytes) -> Result<Step> {
    let left = line.length.bytes() - within;
    match &line.target {
        Target::Linear { device, offset } => Ok(Step::Down(*device, offset.bytes() + within, left)),
        Target::Striped { chunk, stripes } => Ok(stripe(*chunk, stripes, within)),
        // Writes to an origin are not copied to its snapshots' stores.
        Target::Origin { device } => Ok(Step::Down(*device, within, left)),
        Target::Zero => Ok(Step::Zeroes(left)),
        other => {
            let cause =
                format!("the simulated kernel does not carry the content of a {} target", other.kind());
            Err(Error::new(Kind::Internal, cause))
        }
    }
}

fn stripe(chunk: Sectors, stripes: &[(DevNo, Sectors)], within: Bytes) -> Step {
    let chunk = chunk.bytes().get().max(1);
    let count = stripes.len().max(1) as u64;
    let (row, rest) = (within.get() / chunk, within.get() % chunk);
    let turn = usize::try_from(row % count).unwrap_or(0);
    match stripes.get(turn) {
        Some((device, offset)) => {
            Step::Down(*device, offset.bytes() + Bytes(row / count * chunk + rest), Bytes(chunk - rest))
        }
        None => Step::Zeroes(Bytes(chunk - rest)),
    }
}
