//! Device trees: what the metadata wants and what the kernel has, in one vocabulary.
//!
//! Devices are known by their uuid, as lvm2 knows them; a name is only what a device happens to be called. The tables of
//! both trees name the devices below them as [`Below`], so that they can be compared before anything exists.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::PathBuf;

use crate::block::DevNo;
use crate::cow::diff::Ranges;
use crate::dm::{DmName, DmUuid, Info, Kernel, Line, Paths, Slot, Status, Table, Target, UdevFlags};
use crate::error::{Error, Result};
use crate::units::Sectors;

/// The device below a target.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Below {
    /// A physical volume's device.
    Disk(DevNo),
    /// Another device of the tree.
    Layer(DmUuid),
}

/// A device that the metadata wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// What it is called.
    pub name: DmName,
    /// Its table.
    pub table: Table<Below>,
    /// True if it refuses writes.
    pub read_only: bool,
    /// What the host's udev rules are told.
    pub udev: UdevFlags,
    /// The link `/dev/VG/LV`, for a device that people use.
    pub link: Option<PathBuf>,
    /// True for a snapshot that begins when this tree is reached: only such a one may join an origin in use.
    pub begins: bool,
    /// True if nobody may have it open when it gets this table: it shows other content from then on.
    pub closed: bool,
    /// When it gets this table in place of another, this snapshot must not have used more of its store than that.
    pub expects: Option<(DmName, Sectors)>,
    /// Of a clone that waits to be told: what it is told.
    pub told: Option<Told>,
}

/// What a clone is told, before anything goes through it, of what it need not copy; then that it may fill.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// Its node.
    pub path: PathBuf,
    /// What it shows is there already, in whole regions.
    pub present: Ranges,
}

/// The devices that the metadata wants, by uuid.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeviceTree(pub BTreeMap<DmUuid, Node>);

/// A device that the kernel has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundNode {
    /// What the kernel says of it.
    pub info: Info,
    /// Its live table; empty if it has none.
    pub table: Table<Below>,
    /// The table that waits in its inactive slot; empty if none does.
    pub inactive: Table<Below>,
    /// Its link, where the uuid says whose device it is.
    pub link: Option<PathBuf>,
    /// True if its node and its link lead to it; a device without a live table needs none.
    pub published: bool,
    /// True for a clone that fills nothing until it is told to.
    pub rests: bool,
}

/// The devices that the kernel has, by uuid.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FoundTree {
    /// The devices.
    pub nodes: BTreeMap<DmUuid, FoundNode>,
    /// Names that the tree wants and that devices of another uuid bear.
    pub squatted: BTreeSet<DmName>,
    /// Names of devices that are expected and not there, but for their nodes or links: a process died before it removed them.
    pub stale: BTreeMap<DmName, Option<PathBuf>>,
}

/// A device that may exist, and what it is called when it does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expected {
    /// Its uuid.
    pub uuid: DmUuid,
    /// Its name.
    pub name: DmName,
    /// Its link, for a device that people use.
    pub link: Option<PathBuf>,
    /// Names and links that it may have had until now: whoever gave it another may have died.
    pub former: Vec<(DmName, Option<PathBuf>)>,
}

impl Expected {
    /// The name that it has, with its link, and those that it had.
    fn names(&self) -> impl Iterator<Item = (&DmName, &Option<PathBuf>)> {
        std::iter::once((&self.name, &self.link)).chain(self.former.iter().map(|(name, link)| (name, link)))
    }
}

impl FoundTree {
    /// Reads those devices that are expected.
    pub fn read(kernel: &dyn Kernel, expected: &[Expected]) -> Result<Self> {
        let present = Present::of(kernel, expected.len())?;
        let paths = kernel.paths(expected.len());
        let mut infos = Vec::new();
        let (mut squatted, mut stale) = (BTreeSet::new(), BTreeMap::new());
        for device in expected {
            let info = present.find(&device.uuid)?;
            let has = |name: &DmName| info.as_ref().is_some_and(|info| info.name == *name);
            for (name, link) in device.names().filter(|(name, _)| !has(name)) {
                if present.has_name(name)? {
                    squatted.extend((*name == device.name).then(|| name.clone()));
                } else if !paths.is_retracted(name, link.as_deref()) {
                    stale.insert(name.clone(), link.clone());
                }
            }
            let former = device.former.iter().find(|(name, _)| has(name));
            let link = former.map_or(&device.link, |(_, link)| link).clone();
            infos.extend(info.map(|info| (info, link)));
        }
        let nodes = with_tables(kernel, paths.as_ref(), infos)?;
        Ok(Self { nodes, squatted, stale })
    }

    /// Those of the devices that are expected.
    pub fn only(&self, expected: &[Expected]) -> Self {
        let nodes = expected.iter().filter_map(|device| self.nodes.get_key_value(&device.uuid));
        let nodes = nodes.map(|(uuid, node)| (uuid.clone(), node.clone())).collect();
        let names = || expected.iter().flat_map(|device| device.names().map(|(name, _)| name));
        let stale = names().filter_map(|name| self.stale.get_key_value(name));
        Self {
            nodes,
            squatted: names().filter(|name| self.squatted.contains(*name)).cloned().collect(),
            stale: stale.map(|(name, link)| (name.clone(), link.clone())).collect(),
        }
    }

    /// Those of the devices that have a live table.
    pub fn live(&self) -> Self {
        let live = self.nodes.iter().filter(|(_, node)| node.info.live);
        let nodes = live.map(|(uuid, node)| (uuid.clone(), node.clone())).collect();
        Self { nodes, squatted: self.squatted.clone(), stale: BTreeMap::new() }
    }

    /// The tree that wants everything as it is, and nothing suspended.
    pub fn as_wanted(&self) -> DeviceTree {
        let wanted = |(uuid, found): (&DmUuid, &FoundNode)| {
            let node = Node {
                name: found.info.name.clone(),
                table: found.table.clone(),
                read_only: found.info.read_only,
                udev: UdevFlags::unchanged(),
                link: found.link.clone(),
                begins: false,
                closed: false,
                expects: None,
                told: None,
            };
            (uuid.clone(), node)
        };
        DeviceTree(self.nodes.iter().map(wanted).collect())
    }

    /// The devices of this tree that somebody has open besides its other devices: mounts, processes, foreign layers.
    pub fn used(&self) -> BTreeSet<&DmUuid> {
        let above = self.layers_above();
        let is_used = |uuid: &DmUuid, node: &FoundNode| {
            let layers = above.get(uuid).map_or(0, BTreeSet::len);
            usize::try_from(node.info.open_count).is_ok_and(|opened| opened > layers)
        };
        self.nodes.iter().filter(|(uuid, node)| is_used(uuid, node)).map(|(uuid, _)| uuid).collect()
    }

    /// For each device the devices that name it in their tables.
    fn layers_above(&self) -> BTreeMap<&DmUuid, BTreeSet<&DmUuid>> {
        let mut above = BTreeMap::<_, BTreeSet<_>>::new();
        for (uuid, node) in &self.nodes {
            // Once, however many tables of a device name it (Linux 6.1).
            for below in layers_below(&node.table).chain(layers_below(&node.inactive)) {
                above.entry(below).or_default().insert(uuid);
            }
        }
        above
    }
}

/// The devices that there are, for questions about many of them: asked one by one, or listed at once if that is fewer calls.
pub enum Present<'k> {
    /// More devices than questions.
    Asked(&'k dyn Kernel),
    /// More questions than devices.
    Listed {
        /// By uuid, where they have one.
        by_uuid: HashMap<DmUuid, Info>,
        /// All their names.
        names: HashSet<DmName>,
    },
}

impl<'k> Present<'k> {
    /// For so many questions.
    pub fn of(kernel: &'k dyn Kernel, questions: usize) -> Result<Self> {
        // A list is as many calls as devices, and one more to know that.
        if questions <= 1 || kernel.count()? >= questions {
            return Ok(Self::Asked(kernel));
        }
        let listed = kernel.list()?;
        let names = listed.iter().map(|info| info.name.clone()).collect();
        let by_uuid = listed.into_iter().filter_map(|info| Some((info.uuid.clone()?, info))).collect();
        Ok(Self::Listed { by_uuid, names })
    }

    /// The device with this uuid, or none.
    pub fn find(&self, uuid: &DmUuid) -> Result<Option<Info>> {
        match self {
            Self::Asked(kernel) => kernel.find(uuid),
            Self::Listed { by_uuid, .. } => Ok(by_uuid.get(uuid).cloned()),
        }
    }

    fn has_name(&self, name: &DmName) -> Result<bool> {
        match self {
            Self::Asked(kernel) => kernel.info(name).map(|info| info.is_some()),
            Self::Listed { names, .. } => Ok(names.contains(name)),
        }
    }
}

/// The devices of the tree that a table names.
pub fn layers_below(table: &Table<Below>) -> impl Iterator<Item = &DmUuid> {
    crate::work::step();
    table.0.iter().flat_map(|line| line.target.devices()).filter_map(|below| match below {
        Below::Layer(uuid) => Some(uuid),
        Below::Disk(_) => None,
    })
}

/// What a device does, which decides when it is resumed: data before the snapshots of it, those before the origin that
/// feeds them, and a merging snapshot's `error` behind (lvm2's activation priorities); what reads snapshots last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rank {
    /// It holds data.
    Data,
    /// A snapshot.
    Snapshot,
    /// An origin, merging or not.
    Origin,
    /// A snapshot that is being merged away.
    Merging,
    /// A volume that is being filled, or what it reads its snapshot through.
    Filling,
}

/// The rank of a device with this table.
pub fn rank(table: &Table<Below>) -> Rank {
    match table.0.first().map(|line| &line.target) {
        Some(Target::Snapshot { .. }) => Rank::Snapshot,
        Some(Target::Origin { .. } | Target::Merge { .. }) => Rank::Origin,
        Some(Target::Error) => Rank::Merging,
        Some(Target::Clone { .. } | Target::Linear { device: Below::Layer(_), .. }) => Rank::Filling,
        _ => Rank::Data,
    }
}

fn with_tables(
    kernel: &dyn Kernel,
    paths: &dyn Paths,
    infos: Vec<(Info, Option<PathBuf>)>,
) -> Result<BTreeMap<DmUuid, FoundNode>> {
    let layers: BTreeMap<DevNo, DmUuid> =
        infos.iter().filter_map(|(info, _)| Some((info.number, info.uuid.clone()?))).collect();
    let mut nodes = BTreeMap::new();
    for (info, link) in infos {
        let Some(uuid) = info.uuid.clone() else { continue };
        let read = |there, slot| {
            let table = if there { kernel.table(&info.name, slot)? } else { Table(Vec::new()) };
            let below = |number| layers.get(&number).map_or(Below::Disk(number), |l| Below::Layer(l.clone()));
            Ok::<_, Error>(table.map(below).joined())
        };
        let table = read(info.live, Slot::Live)?;
        let inactive = read(info.inactive, Slot::Inactive)?;
        let published = !info.live || paths.is_published(&info.name, info.number, link.as_deref());
        let rests = rests(kernel, &info, &table)?;
        nodes.insert(uuid, FoundNode { info, table, inactive, link, published, rests });
    }
    Ok(nodes)
}

fn rests(kernel: &dyn Kernel, info: &Info, table: &Table<Below>) -> Result<bool> {
    let waits =
        |line: &Line<Below>| matches!(&line.target, Target::Clone { features, .. } if features.no_hydration);
    // A suspended device's status would wait.
    if info.suspended || !table.0.first().is_some_and(waits) {
        return Ok(false);
    }
    let status = kernel.status(&info.name)?;
    Ok(matches!(status.first(), Some(Status::Clone { hydrates: false, .. })))
}
