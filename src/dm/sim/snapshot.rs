//! The rules of snapshot and snapshot-merge targets (Linux 6.1, `dm-snap.c`).
//!
//! A store may be shared by two targets only: one that is active, the source, and one that is not yet, the destination, which takes over
//! the exceptions when it is first resumed. Until then the source may not be resumed, and must be suspended when
//! the destination is. If the source is destroyed first, the destination has nothing to take over and is invalid.

use super::State;
use super::node::{Node, Nodes};
use super::store::Store;
use crate::block::DevNo;
use crate::dm::{DmName, Status, Target};
use crate::units::Sectors;

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
enum Place {
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

    pub fn status(&self) -> Status {
        if !self.valid {
            return Status::Invalid;
        }
        if self.merge_failed {
            return Status::MergeFailed;
        }
        if self.overflowed {
            return Status::Overflow;
        }
        match self.store {
            Some(store) => store.status(self.merging),
            None => Status::Other("Unknown".to_owned()),
        }
    }

    pub fn set_status(&mut self, status: &Status) {
        match status {
            Status::Invalid => self.valid = false,
            Status::Overflow => self.overflowed = true,
            Status::MergeFailed => self.merge_failed = true,
            Status::Store { used, metadata, .. } => {
                if let Some(store) = &mut self.store {
                    (store.used, store.metadata) = (*used, *metadata);
                }
            }
            Status::Other(_) => {}
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
    pub fn awaits_handover(&self, new: &Instance) -> Result<bool, &'static str> {
        let sharing = self.sharing(new);
        if sharing.count >= 2 || sharing.destination.is_some() {
            return Err("snapshot cow pairing for exception table handover failed");
        }
        if sharing.source.is_some() && new.merging && sharing.merge {
            return Err("a snapshot is already merging");
        }
        Ok(sharing.source.is_some())
    }

    fn instance_mut(&mut self, (name, place): &(DmName, Place)) -> Option<&mut Instance> {
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
    pub fn begin_snapshot(&mut self, name: &DmName) -> Result<(), String> {
        let node = self.nodes.get(name);
        let Some(instance) = node.and_then(|node| at(node, Place::Live)).cloned() else { return Ok(()) };
        let own = (name.clone(), Place::Live);
        let sharing = self.nodes.sharing(&instance);
        if let (Some(source), Some(destination)) = (sharing.source, sharing.destination) {
            if source == own {
                return Err("EINVAL: unable to resume snapshot source until handover completes".to_owned());
            }
            if self.nodes.get(&source.0).is_some_and(|node| !node.suspended) {
                let why = "EINVAL: unable to perform snapshot handover until source is suspended";
                return Err(why.to_owned());
            }
            self.hand_over(&source, &destination);
        } else if !instance.active {
            self.check_cut(name, instance.origin);
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
        let open = self
            .nodes
            .iter()
            .find(|(other, node)| *other != name && node.live.is_some() && !node.suspended && writes(node));
        if let Some((other, _)) = open {
            self.violations.push(format!("snapshot {name} begins while its origin {other} is not suspended"));
        }
    }

    /// Throws a table away. A source that goes before its exceptions were taken over leaves the destination invalid.
    pub fn destroy(&mut self, loaded: Option<super::node::Loaded>) {
        let Some(instance) = loaded.and_then(|loaded| loaded.instance) else { return };
        if !instance.active || instance.store.is_none() {
            return;
        }
        let sharing = self.nodes.sharing(&instance);
        if let Some(destination) = sharing.destination
            && let Some(left) = self.nodes.instance_mut(&destination)
        {
            left.valid = false;
        }
    }
}
