//! The devices of the simulated kernel, their tables, and who has them open.

use std::collections::{BTreeMap, BTreeSet, btree_map};
use std::thread::ThreadId;

use super::clone::CloneState;
use super::snapshot::Instance;
use crate::block::mem::MemDevices;
use crate::block::{DevNo, Device};
use crate::dm::{DmName, DmUuid, Info, Slot, Status, Table, Target, no_such_device};
use crate::error::{Error, Kind, Result};
use crate::units::Sectors;

/// The driver number that a kernel often gives to device-mapper.
pub const MAJOR: u32 = 254;

/// A table in a slot, with the state of its snapshot or clone target if it has one.
#[derive(Debug, Clone)]
pub struct Loaded {
    pub table: Table<DevNo>,
    pub read_only: bool,
    pub instance: Option<Instance>,
    /// The state of the clone that the table begins with.
    pub clone: Option<CloneState>,
}

/// How a table opens a device below.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mode {
    Read,
    Write,
    Both,
}

impl Loaded {
    /// The modes in which it opens a device. A snapshot only reads its origin, a merge only writes it,
    /// a clone only reads its source.
    fn modes(&self, device: DevNo) -> BTreeSet<Mode> {
        let usual = if self.read_only { Mode::Read } else { Mode::Both };
        let modes = self.table.0.iter().flat_map(|line| {
            line.target.references().into_iter().map(|below| match &line.target {
                Target::Snapshot { origin, .. } if *origin == below => (below, Mode::Read),
                Target::Merge { origin, .. } if *origin == below => (below, Mode::Write),
                Target::Clone { source, .. } if *source == below => (below, Mode::Read),
                Target::Clone { .. } => (below, Mode::Both),
                _ => (below, usual),
            })
        });
        modes.filter(|(below, _)| *below == device).map(|(_, mode)| mode).collect()
    }

    /// True if it is of a clone that notes its regions on this device.
    pub fn notes_on(&self, metadata: DevNo) -> bool {
        self.clone.as_ref().is_some_and(|clone| clone.metadata == metadata)
    }

    /// The table as the kernel prints it: the chunk size is the store's, and 0 while exceptions are awaited.
    pub fn printed(&self) -> Table<DevNo> {
        let mut table = self.table.clone();
        let chunk_now =
            self.instance.as_ref().map(|instance| instance.store.as_ref().map_or(Sectors::ZERO, |s| s.chunk));
        for line in &mut table.0 {
            if let (Some(now), Target::Snapshot { chunk, .. } | Target::Merge { chunk, .. }) =
                (chunk_now, &mut line.target)
            {
                *chunk = now;
            }
        }
        table
    }
}

/// A device.
#[derive(Debug, Clone)]
pub struct Node {
    pub number: DevNo,
    pub uuid: DmUuid,
    pub live: Option<Loaded>,
    pub inactive: Option<Loaded>,
    /// The table that a resume is replacing; it is destroyed when the resume is over.
    pub retiring: Option<Loaded>,
    pub suspended: bool,
    /// Who suspended it.
    pub suspended_by: Option<ThreadId>,
    /// There is a block device: it appears with the first table that is loaded (Linux 5.15 and later).
    pub visible: bool,
    /// Mounts and processes; devices above are counted from their tables.
    pub openers: u32,
}

impl Node {
    pub fn slot(&self, slot: Slot) -> Option<&Loaded> {
        match slot {
            Slot::Live => self.live.as_ref(),
            Slot::Inactive => self.inactive.as_ref(),
        }
    }

    pub fn tables(&self) -> impl Iterator<Item = &Loaded> {
        [&self.live, &self.inactive, &self.retiring].into_iter().flatten()
    }

    pub fn set_status(&mut self, status: &Status) {
        if let Some(instance) = self.live.as_mut().and_then(|live| live.instance.as_mut()) {
            instance.set_status(status);
        }
    }

    pub fn size(&self) -> Sectors {
        self.live.as_ref().map_or(Sectors::ZERO, |live| live.table.length())
    }
}

/// All devices, by name.
#[derive(Debug, Clone, Default)]
pub struct Nodes(BTreeMap<DmName, Node>);

impl Nodes {
    pub fn iter(&self) -> btree_map::Iter<'_, DmName, Node> {
        self.0.iter()
    }

    pub fn names(&self) -> impl Iterator<Item = &DmName> {
        self.0.keys()
    }

    /// The status of each line of the live table.
    pub fn status(&self, disks: &MemDevices, node: &Node) -> Vec<Status> {
        let Some(live) = &node.live else { return Vec::new() };
        let one = |target: &Target<DevNo>| match (target, &live.instance) {
            (Target::Snapshot { .. } | Target::Merge { .. }, Some(instance)) => {
                instance.status(self.size(disks, instance.cow).unwrap_or_default())
            }
            (Target::Clone { .. }, _) => live.clone.as_ref().map_or(Status::CloneFailed, CloneState::status),
            _ => Status::Other(String::new()),
        };
        live.table.0.iter().map(|line| one(&line.target)).collect()
    }

    pub fn get(&self, name: &DmName) -> Option<&Node> {
        self.0.get(name)
    }

    pub fn get_mut(&mut self, name: &DmName) -> Option<&mut Node> {
        self.0.get_mut(name)
    }

    pub fn existing(&self, name: &DmName) -> Result<&Node> {
        self.0.get(name).ok_or_else(|| no_such_device(name))
    }

    pub fn existing_mut(&mut self, name: &DmName) -> Result<&mut Node> {
        self.0.get_mut(name).ok_or_else(|| no_such_device(name))
    }

    pub fn remove(&mut self, name: &DmName) -> Option<Node> {
        self.0.remove(name)
    }

    pub fn by_number(&self, number: DevNo) -> Option<(&DmName, &Node)> {
        self.0.iter().find(|(_, node)| node.number == number)
    }

    pub fn create(&mut self, name: &DmName, uuid: &DmUuid) -> Result<DevNo> {
        if self.0.contains_key(name) {
            return Err(Error::new(Kind::AlreadyExists, format!("there is a device {name} already")));
        }
        if let Some((other, _)) = self.0.iter().find(|(_, node)| node.uuid == *uuid) {
            let cause = format!("the uuid of {name} belongs to the device {other} already");
            return Err(Error::new(Kind::AlreadyExists, cause));
        }
        let number = DevNo { major: MAJOR, minor: self.free_minor() };
        let node = Node {
            number,
            uuid: uuid.clone(),
            live: None,
            inactive: None,
            retiring: None,
            suspended: false,
            suspended_by: None,
            visible: false,
            openers: 0,
        };
        self.0.insert(name.clone(), node);
        Ok(number)
    }

    /// The kernel takes the lowest free number again.
    fn free_minor(&self) -> u32 {
        let taken: Vec<u32> = self.0.values().map(|node| node.number.minor).collect();
        (0..).find(|minor| !taken.contains(minor)).unwrap_or(u32::MAX)
    }

    pub fn rename(&mut self, name: &DmName, new: &DmName) -> Result<()> {
        if self.0.contains_key(new) {
            let cause = format!("cannot rename {name}: there is a device {new} already");
            return Err(Error::new(Kind::AlreadyExists, cause));
        }
        let node = self.0.remove(name).ok_or_else(|| no_such_device(name))?;
        self.0.insert(new.clone(), node);
        Ok(())
    }

    pub fn info(&self, name: &DmName, node: &Node) -> Info {
        Info {
            name: name.clone(),
            uuid: Some(node.uuid.clone()),
            number: node.number,
            open_count: self.open_count(node),
            suspended: node.suspended,
            read_only: node.live.as_ref().is_some_and(|live| live.read_only),
            live: node.live.is_some(),
            inactive: node.inactive.is_some(),
        }
    }

    /// A device opens each device below it once for each mode, however many tables and lines name it (Linux 6.1,
    /// `dm_get_table_device`).
    pub fn open_count(&self, node: &Node) -> u32 {
        let opens = |upper: &Node| {
            let modes: BTreeSet<_> = upper.tables().flat_map(|loaded| loaded.modes(node.number)).collect();
            modes.len()
        };
        let above = self.0.values().map(opens).sum::<usize>();
        node.openers.saturating_add(u32::try_from(above).unwrap_or(u32::MAX))
    }

    /// A device's size, or none if there is no such device. A device without a live table has size 0.
    pub fn size(&self, disks: &MemDevices, device: DevNo) -> Option<Sectors> {
        match self.by_number(device) {
            Some((_, node)) => node.visible.then(|| node.size()),
            None => disks.by_number(device).map(|disk| disk.size().sectors_floor()),
        }
    }

    /// Whether I/O to `upper` gets to `lower`, through any table.
    pub fn is_above(&self, upper: DevNo, lower: DevNo) -> bool {
        let Some((_, node)) = self.by_number(upper) else { return false };
        let mut references = node.tables().flat_map(|loaded| loaded.table.references());
        upper == lower || references.any(|below| self.is_above(below, lower))
    }

    /// Whether a write may come to a device now: of a program, of a clone that fills, or through a device above that is not suspended.
    pub fn may_be_written(&self, node: &Node) -> bool {
        if node.suspended {
            return false;
        }
        let uses =
            |upper: &&Node| upper.tables().any(|loaded| loaded.table.references().contains(&node.number));
        let above: Vec<&Node> = self.0.values().filter(uses).collect();
        let fills = |upper: &Node| {
            let clone = upper.live.as_ref().and_then(|live| live.clone.as_ref());
            clone.is_some_and(CloneState::fills) && !upper.suspended
        };
        above.is_empty()
            || node.openers > 0
            || above.iter().any(|upper| fills(upper) || self.may_be_written(upper))
    }

    /// The first suspended device among those below `node`, however deep.
    pub fn suspended_below(&self, node: &Node) -> Option<&DmName> {
        let references = node.live.as_ref().map(|live| live.table.references()).unwrap_or_default();
        let mut below = references.into_iter().filter_map(|number| self.by_number(number));
        below.find_map(|(name, lower)| if lower.suspended { Some(name) } else { self.suspended_below(lower) })
    }
}
