//! A volume group of any size, the same for the benchmarks here and for the guest that has lvm2 beside dmsnap.

use dmsnap::lvm::{Area, Creation, Edit, LvName, NewLv, Segment, SegmentKind, Tag, Uuid};
use dmsnap::units::{Extents, Sectors};

/// Every volume has one extent, and the one behind it is free.
const STRIDE: u64 = 2;

/// So many logical volumes are one origin, one store, the hidden volume that ties them, and plain volumes.
const FAMILY: u64 = 10;

/// How many extents a physical volume needs for so many logical volumes.
pub const fn extents(count: u64) -> u64 {
    (count + 1) * STRIDE
}

/// The edits that make an empty volume group one of so many logical volumes, hidden ones included.
pub fn volumes(count: u64) -> Vec<Edit> {
    let ties = count / FAMILY;
    let visible = (0..count - ties).map(|number| Edit::AddLv(volume(number)));
    visible.chain((0..ties).map(snapshot)).collect()
}

/// The name of a volume.
pub fn name(number: u64) -> LvName {
    format!("volume{number:05}").parse().expect("these are the characters of names")
}

/// A volume to be.
pub fn volume(number: u64) -> NewLv {
    let start = Extents(number * STRIDE);
    let kind = SegmentKind::Striped { stripe_size: None, areas: vec![Area::Pv { pv: 0, start }] };
    NewLv {
        name: name(number),
        id: id("volume", number),
        writable: true,
        visible: true,
        flags: Vec::new(),
        tags: vec![tag("bench")],
        created: Some(creation()),
        segments: vec![Segment { start: Extents::ZERO, length: Extents(1), kind, tags: Vec::new() }],
    }
}

/// In each family the second volume holds the snapshot of the first.
fn snapshot(family: u64) -> Edit {
    let first = family * (FAMILY - 1);
    Edit::AddSnapshot {
        store: name(first + 1),
        origin: name(first),
        chunk_size: Sectors(8),
        id: id("tie", family),
        created: Some(creation()),
    }
}

/// A tag.
pub fn tag(text: &str) -> Tag {
    text.parse().expect("these are the characters of tags")
}

fn id(kind: &str, number: u64) -> Uuid {
    format!("{kind}{number:0width$}", width = 32 - kind.len()).parse().expect("these are 32 alphanumerics")
}

fn creation() -> Creation {
    Creation { time: 1_795_261_266, host: "bench".into() }
}
