//! The rules of snapshot and snapshot-merge targets (Linux 6.1, `dm-snap.c`).
//!
//! A store may be shared by two targets only: one that is active, the source, and one that is not yet, the destination, which takes over
//! the exceptions when it is first resumed. Until then the source may not be resumed, and must be suspended when
//! the destination is. If the source is destroyed first, the destination has nothing to take over and is invalid.

use super::State;
use super::io::Content;
use super::node::{Node, Nodes};
use super::store::{Header, MAGIC, Store};
use crate::block::DevNo;
use crate::dm::{DmName, Status, Target};
use crate::error::{Error, Kind, Result};
use crate::units::{Bytes, Sectors};

/// The state of one snapshot or merge target. Each has an identity of its own: two tables of one device may have one each.
#[derive(Debug, Clone)]
pub struct Instance {
    pub merging: bool,
    pub origin: DevNo,
    pub cow: DevNo,
    /// It has been resumed once, and tracks its origin's writes since.
    pub active: bool,
    pub valid: bool,
    pub overflowed: bool,
    pub merge_failed: bool,
    /// None while it waits for another's exceptions.
    pub store: Option<Store>,
}

/// The place of an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    Live,
    Inactive,
    Retiring,
}

/// The targets that share a store.
#[derive(Debug, Default)]
struct Sharing {
    source: Option<(DmName, Place)>,
    destination: Option<(DmName, Place)>,
    count: usize,
    merge: bool,
}

impl Instance {
    /// A new one for a target, and the chunk size that its table gives.
    pub fn of(target: &Target<DevNo>) -> Option<(Self, Sectors)> {
        let (origin, cow, chunk) = match target {
            Target::Snapshot { origin, cow, chunk } | Target::Merge { origin, cow, chunk } => {
                (origin, cow, chunk)
            }
            _ => return None,
        };
        let instance = Self {
            merging: matches!(target, Target::Merge { .. }),
            origin: *origin,
            cow: *cow,
            active: false,
            valid: true,
            overflowed: false,
            merge_failed: false,
            store: None,
        };
        Some((instance, *chunk))
    }

    /// What it says, with a store of `total` sectors.
    pub fn status(&self, total: Sectors) -> Status {
        if !self.valid {
            return Status::Invalid;
        }
        if self.merge_failed {
            return Status::MergeFailed;
        }
        if self.overflowed {
            return Status::Overflow;
        }
        match &self.store {
            Some(store) => store.status(total, self.merging),
            // What awaits its exceptions has a chunk size of 0, and so says 0 of everything.
            None => {
                let (used, metadata) = (Sectors::ZERO, Sectors::ZERO);
                Status::Store { used, total, metadata, merging: self.merging }
            }
        }
    }

    /// Makes it say so; usage cannot be set, it is what the store holds.
    pub fn set_status(&mut self, status: &Status) {
        match status {
            Status::Invalid => self.valid = false,
            Status::Overflow => self.overflowed = true,
            Status::MergeFailed => self.merge_failed = true,
            Status::Store { .. } | Status::Clone { .. } | Status::CloneFailed | Status::Other(_) => {}
        }
    }
}

fn at(node: &Node, place: Place) -> Option<&Instance> {
    let loaded = match place {
        Place::Live => &node.live,
        Place::Inactive => &node.inactive,
        Place::Retiring => &node.retiring,
    };
    loaded.as_ref()?.instance.as_ref()
}

impl Nodes {
    /// Who shares the store with `instance`; it counts itself if it is among the tables.
    fn sharing(&self, instance: &Instance) -> Sharing {
        let mut sharing = Sharing::default();
        for (name, node) in self.iter() {
            for place in [Place::Live, Place::Inactive, Place::Retiring] {
                let Some(other) = at(node, place).filter(|other| other.origin == instance.origin) else {
                    continue;
                };
                sharing.merge |= other.merging;
                if other.cow != instance.cow {
                    continue;
                }
                sharing.count += 1;
                let side = if other.active { &mut sharing.source } else { &mut sharing.destination };
                *side = Some((name.clone(), place));
            }
        }
        sharing
    }

    /// Whether a new target will take over another's exceptions, or why there cannot be one.
    pub fn awaits_handover(&self, new: &Instance) -> std::result::Result<bool, &'static str> {
        let sharing = self.sharing(new);
        if sharing.count >= 2 || sharing.destination.is_some() {
            return Err("snapshot cow pairing for exception table handover failed");
        }
        if sharing.source.is_some() && new.merging && sharing.merge {
            return Err("a snapshot is already merging");
        }
        Ok(sharing.source.is_some())
    }

    /// Whether an active target has the exceptions that `new` would take over.
    pub fn has_source(&self, new: &Instance) -> bool {
        self.sharing(new).source.is_some()
    }

    /// The live snapshots that must see what was on `origin` before a write.
    pub fn tracking(&self, origin: DevNo) -> Vec<(DmName, Place)> {
        let tracks = |node: &Node| {
            at(node, Place::Live).is_some_and(|instance| {
                instance.origin == origin && instance.active && instance.valid && !instance.merging
            })
        };
        self.iter().filter(|(_, node)| tracks(node)).map(|(name, _)| (name.clone(), Place::Live)).collect()
    }

    pub fn instance(&self, (name, place): &(DmName, Place)) -> Option<&Instance> {
        at(self.get(name)?, *place)
    }

    pub fn instance_mut(&mut self, (name, place): &(DmName, Place)) -> Option<&mut Instance> {
        let node = self.get_mut(name)?;
        let loaded = match place {
            Place::Live => &mut node.live,
            Place::Inactive => &mut node.inactive,
            Place::Retiring => &mut node.retiring,
        };
        loaded.as_mut()?.instance.as_mut()
    }
}

impl State {
    /// What a resume does to the live snapshot target of a device, if it has one.
    pub fn begin_snapshot(&mut self, name: &DmName) -> std::result::Result<(), String> {
        let own = (name.clone(), Place::Live);
        let Some(instance) = self.nodes.instance(&own) else { return Ok(()) };
        let (origin, was_active) = (instance.origin, instance.active);
        let sharing = self.nodes.sharing(instance);
        if let (Some(source), Some(destination)) = (sharing.source, sharing.destination) {
            if source == own {
                return Err("EINVAL: unable to resume snapshot source until handover completes".to_owned());
            }
            if self.nodes.get(&source.0).is_some_and(|node| !node.suspended) {
                let why = "EINVAL: unable to perform snapshot handover until source is suspended";
                return Err(why.to_owned());
            }
            self.hand_over(&source, &destination);
        } else if !was_active {
            self.check_cut(name, origin);
        }
        if let Some(instance) = self.nodes.instance_mut(&own) {
            instance.active = true;
        }
        Ok(())
    }

    fn hand_over(&mut self, source: &(DmName, Place), destination: &(DmName, Place)) {
        let Some(from) = self.nodes.instance_mut(source) else { return };
        let (store, valid, overflowed) = (from.store.take(), from.valid, from.overflowed);
        // The source gets no I/O any more.
        from.valid = false;
        if let Some(to) = self.nodes.instance_mut(destination) {
            (to.store, to.valid, to.overflowed) = (store, valid && to.valid, overflowed);
        }
    }

    /// A snapshot that begins while its origin takes writes shows no single moment. The real kernel allows it.
    fn check_cut(&mut self, name: &DmName, origin: DevNo) {
        let writes = |node: &Node| {
            let is_origin = |target: &Target<DevNo>| match target {
                Target::Origin { device } => *device == origin,
                Target::Merge { origin: merged, .. } => *merged == origin,
                _ => false,
            };
            node.tables().any(|loaded| loaded.table.0.iter().any(|line| is_origin(&line.target)))
        };
        let mut others = self.nodes.iter().filter(|(other, node)| *other != name && node.live.is_some());
        let open = others.find(|(_, node)| writes(node) && self.nodes.may_be_written(node));
        if let Some((other, _)) = open {
            self.violations.push(format!("snapshot {name} begins while its origin {other} is not suspended"));
        }
    }

    /// Throws a table away. A source that goes before its exceptions were taken over leaves the destination invalid.
    pub fn destroy(&mut self, loaded: Option<super::node::Loaded>) {
        let Some(instance) = loaded.and_then(|loaded| loaded.instance) else { return };
        if !instance.active {
            return;
        }
        let sharing = self.nodes.sharing(&instance);
        if let Some(destination) = sharing.destination
            && let Some(left) = self.nodes.instance_mut(&destination)
        {
            left.valid = false;
        }
    }

    /// Reads the store on a COW device, or makes a new one where there is none. The header's chunk size wins over
    /// the table's. Answers the store and whether it is valid.
    pub fn open_store(&mut self, cow: DevNo, chunk: Sectors) -> std::result::Result<(Store, bool), String> {
        let io = |error: Error| format!("failed to read snapshot metadata: {error}");
        let mut bytes = [0; Header::LENGTH];
        self.read(cow, Bytes::ZERO, &mut bytes).map_err(io)?;
        let header = Header::unpack(&bytes);
        if header.magic == 0 {
            let (store, writes) = Store::make(chunk);
            for (at, bytes) in writes {
                self.write(cow, at, Content::Data(&bytes)).map_err(io)?;
            }
            return Ok((store, true));
        }
        if header.magic != MAGIC || header.version != 1 || !header.chunk.get().is_power_of_two() {
            return Err("ENXIO: the store begins neither with zeroes nor with a header".to_owned());
        }
        let mut store = Store::empty(header.chunk);
        let mut area = vec![0; store.chunk_length()];
        loop {
            self.read(cow, store.area_position(), &mut area).map_err(io)?;
            if !store.take_area(&area) {
                return Ok((store, header.valid));
            }
        }
    }

    /// The live snapshot of a device, if its content can be had.
    pub fn usable(&self, device: DevNo) -> Result<(&Instance, &Store)> {
        let node = self.nodes.by_number(device);
        let usable = node.and_then(|(_, node)| at(node, Place::Live)).filter(|instance| instance.valid);
        let both = usable.and_then(|instance| Some((instance, instance.store.as_ref()?)));
        both.ok_or_else(|| {
            Error::new(Kind::Internal, format!("I/O error on device {device}: the snapshot is invalid"))
        })
    }

    /// Gives a snapshot up for good: its store's header says so after a restart too.
    pub fn invalidate(&mut self, place: &(DmName, Place)) {
        let Some(instance) = self.nodes.instance_mut(place) else { return };
        instance.valid = false;
        let (cow, chunk) = (instance.cow, instance.store.as_ref().map(|store| store.chunk));
        if let Some(chunk) = chunk {
            let header = Header { magic: MAGIC, valid: false, version: 1, chunk }.pack();
            // A store that cannot be written is as lost as one that says so.
            let _ = self.write(cow, Bytes::ZERO, Content::Data(&header));
        }
    }
}
