//! From the metadata to the devices that it wants: a pure function.
//!
//! The layout is lvm2's. A volume without snapshots is one device. One with snapshots is `-real` with its data, under a
//! `snapshot-origin`; each snapshot is a `snapshot` over that `-real` and its own `-cow`. While a snapshot is merged, the origin is
//! a `snapshot-merge` and the snapshot an `error`; while it is rolled back by filling it leads to a clone. Snapshots are active exactly when their origin is, and so is what is being filled
//! from them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::fill::{self, Fill, fills, is_filling, is_map};
use super::mark::Mark;
use super::naming::{Layer, Naming};
use super::tree::{Below, DeviceTree, Node, Told};
use crate::block::DevNo;
use crate::cow::diff::Ranges;
use crate::dm::{CloneFeatures, Line, Table, Target, UdevFlags};
use crate::error::{Context, Error, Kind, Result};
use crate::lvm::{Area, Lv, LvName, Segment, SegmentKind, Snapshot, Vg};
use crate::units::Sectors;

/// What the tree depends on besides the metadata.
#[derive(Debug, Clone)]
pub struct Activation<'a> {
    /// The volumes to be active, with their snapshots; no snapshot is named here.
    pub roots: &'a BTreeSet<LvName>,
    /// The number of each physical volume's device, in the metadata's order.
    pub disks: &'a [Option<DevNo>],
    /// Snapshots that are to be merged, and wait because they or their origins are open, or something is filled from them, and were not
    /// being merged yet: what is mounted must not change under its file system. As lvm2, which begins such a merge when the origin is next
    /// activated.
    pub waiting: &'a BTreeSet<LvName>,
    /// Snapshots whose merge may begin all the same.
    pub forced: &'a BTreeSet<LvName>,
    /// Snapshots, beside those that are marked so, that begin when the tree is reached: lvm2 commits while the origin is
    /// suspended, and had it died then, the store is unused and nothing was written since.
    pub beginning: &'a BTreeSet<LvName>,
    /// Volumes that are not filled now: what they are filled from is active without them.
    pub resting: &'a BTreeSet<LvName>,
    /// What origins that are rolled back, and whose clones are yet to be built, have already; by the names of the maps.
    pub present: &'a BTreeMap<LvName, Present>,
    /// Where links go: `/dev`.
    pub dev: &'a Path,
}

/// What an origin that is rolled back has of its snapshot.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Present {
    /// What nobody wrote to since the cut, in whole regions.
    pub ranges: Ranges,
    /// How much of its store the snapshot had used when that was so.
    pub used: Sectors,
}

/// The devices that `vg` wants while the roots are active. Volumes that are being removed want none.
pub fn desired(vg: &Vg, activation: &Activation<'_>) -> Result<DeviceTree> {
    let naming = Naming::new(vg, activation.dev);
    // Asked for stack by stack, of which most are not active.
    let fills = if activation.roots.is_empty() { Vec::new() } else { fills(vg).collect() };
    let mut stacks = Stacks { vg, naming, activation, fills, tree: DeviceTree::default() };
    for name in activation.roots {
        let Some(lv) = vg.lv(name) else { continue };
        if Mark::of(lv) != Some(Mark::Deleting) {
            stacks.volume(lv)?;
        }
    }
    Ok(stacks.tree)
}

struct Stacks<'a> {
    vg: &'a Vg,
    naming: Naming<'a>,
    activation: &'a Activation<'a>,
    fills: Vec<Fill<'a>>,
    tree: DeviceTree,
}

impl Stacks<'_> {
    fn volume(&mut self, lv: &Lv) -> Result<()> {
        let rollback = self.fills.iter().find(|fill| fill.is_rollback() && fill.volume.id == lv.id).copied();
        if is_filling(lv) && rollback.is_none() {
            return Err(sourceless(self.vg, lv));
        }
        let snapshots: Vec<_> = self.vg.snapshots_of(&lv.name).collect();
        let data = self.data(lv)?;
        if snapshots.is_empty() {
            return self.add(lv, Layer::Top, data, !lv.writable());
        }
        // What is rolled back is read-only to LVM2 alone.
        self.add(lv, Layer::Real, data, !lv.writable() && rollback.is_none())?;
        let real = self.below(lv, Layer::Real);
        for snapshot in &snapshots {
            self.snapshot(snapshot, &real)?;
        }
        match rollback {
            Some(rollback) => self.rollback(&rollback, real)?,
            None => self.origin(lv, &snapshots, real)?,
        }
        let read = self.fills.iter().filter(|fill| fill.source.origin == lv.name && !fill.is_rollback());
        let stays = |fill: &&Fill<'_>| {
            Mark::of(fill.volume) != Some(Mark::Deleting)
                && !self.activation.resting.contains(&fill.volume.name)
        };
        read.filter(stays).copied().collect::<Vec<_>>().iter().try_for_each(|fill| self.fill(fill))
    }

    fn origin(&mut self, lv: &Lv, snapshots: &[&Snapshot], real: Below) -> Result<()> {
        let merging = snapshots.iter().find(|snapshot| self.is_merged(snapshot));
        let target = match merging {
            Some(merging) => {
                let cow = self.below(self.vg.find_lv(&merging.store)?, Layer::Cow);
                Target::Merge { origin: real, cow, chunk: merging.chunk_size }
            }
            None => Target::Origin { device: real },
        };
        self.add(lv, Layer::Top, whole(self.sectors(lv.extents()), target), !lv.writable())
    }

    /// An origin that is rolled back: the clone is a device of its own below it, which can be told before anybody writes to it what of
    /// the snapshot the origin has already. What is filled comes to the data as a write that all its snapshots see.
    fn rollback(&mut self, fill: &Fill<'_>, real: Below) -> Result<()> {
        let Fill { volume, map, source, .. } = *fill;
        let (length, end) = (self.sectors(fill.length()), self.sectors(volume.extents()));
        self.add(map, Layer::Destination, whole(end, Target::Origin { device: real }), false)?;
        self.map_and_source(fill)?;
        let features = CloneFeatures { no_hydration: true, no_discard_passdown: true };
        self.add(map, Layer::Clone, whole(length, self.clone_target(fill, features)), false)?;
        let clone = Target::Linear { device: self.below(map, Layer::Clone), offset: Sectors::ZERO };
        self.add(volume, Layer::Top, self.with_rest(fill, clone), false)?;
        let store = self.naming.name(&source.store, Layer::Top)?;
        let path =
            self.activation.dev.join("mapper").join(self.naming.name(&map.name, Layer::Clone)?.as_str());
        let present = self.activation.present.get(&map.name);
        let told = Told { path, present: present.map(|present| present.ranges.clone()).unwrap_or_default() };
        let begins = Mark::of(map) == Some(Mark::RollingBack);
        let uuid = |lv: &Lv, layer| self.naming.uuid(&lv.id, layer);
        let (top, clone) = (uuid(volume, Layer::Top), uuid(map, Layer::Clone));
        if let Some(node) = self.tree.0.get_mut(&top) {
            node.begins = begins;
            node.closed = begins && !self.activation.forced.contains(&source.store);
            node.expects = present.map(|present| (store, present.used));
        }
        if let Some(node) = self.tree.0.get_mut(&clone) {
            node.told = Some(told);
        }
        Ok(())
    }

    /// A volume that is being filled: its extents and the map's under a clone, which reads the snapshot through a device of its own.
    fn fill(&mut self, fill: &Fill<'_>) -> Result<()> {
        if self.is_merged(fill.source) {
            return Err(overtaken(self.vg, fill.volume, fill.source));
        }
        let data = self.data(fill.volume)?;
        self.add(fill.map, Layer::Destination, data, false)?;
        self.map_and_source(fill)?;
        let clone = self.clone_target(fill, CloneFeatures::default());
        self.add(fill.volume, Layer::Top, self.with_rest(fill, clone), !fill.volume.writable())
    }

    fn map_and_source(&mut self, fill: &Fill<'_>) -> Result<()> {
        let store = self.vg.find_lv(&fill.source.store)?;
        let data = self.data(fill.map)?;
        self.add(fill.map, Layer::Top, data, false)?;
        let read = Target::Linear { device: self.below(store, Layer::Top), offset: Sectors::ZERO };
        self.add(fill.map, Layer::Source, whole(self.sectors(fill.length()), read), true)
    }

    fn clone_target(&self, fill: &Fill<'_>, features: CloneFeatures) -> Target<Below> {
        Target::Clone {
            metadata: self.below(fill.map, Layer::Top),
            destination: self.below(fill.map, Layer::Destination),
            source: self.below(fill.map, Layer::Source),
            region: fill.region,
            features,
        }
    }

    /// This for what comes from the snapshot, and the volume's own end.
    fn with_rest(&self, fill: &Fill<'_>, target: Target<Below>) -> Table<Below> {
        let (length, end) = (self.sectors(fill.length()), self.sectors(fill.volume.extents()));
        let mut table = whole(length, target);
        if end > length {
            let device = self.below(fill.map, Layer::Destination);
            let target = Target::Linear { device, offset: length };
            table.0.push(Line { start: length, length: end - length, target });
        }
        table
    }

    fn is_merged(&self, snapshot: &Snapshot) -> bool {
        snapshot.merging && !self.activation.waiting.contains(&snapshot.store)
    }

    /// True for both sides of a merge, unless it is forced.
    fn is_closed(&self, lv: &Lv) -> bool {
        let mut related = self.vg.snapshots_of(&lv.name).chain(self.vg.snapshot_of_store(&lv.name));
        related.any(|one| self.is_merged(one) && !self.activation.forced.contains(&one.store))
    }

    fn snapshot(&mut self, snapshot: &Snapshot, real: &Below) -> Result<()> {
        let vg = self.vg;
        let store = vg.find_lv(&snapshot.store)?;
        let data = self.data(store)?;
        // The kernel writes to the store of a read-only snapshot too.
        self.add(store, Layer::Cow, data, false)?;
        let target = if self.is_merged(snapshot) {
            Target::Error
        } else {
            let cow = self.below(store, Layer::Cow);
            Target::Snapshot { origin: real.clone(), cow, chunk: snapshot.chunk_size }
        };
        let length = snapshot.length.sectors(self.vg.extent_size);
        self.add(store, Layer::Top, whole(length, target), !store.writable())
    }

    fn below(&self, lv: &Lv, layer: Layer) -> Below {
        Below::Layer(self.naming.uuid(&lv.id, layer))
    }

    fn add(&mut self, lv: &Lv, layer: Layer, table: Table<Below>, read_only: bool) -> Result<()> {
        let is_snapshot = self.vg.snapshot_of_store(&lv.name).is_some();
        let node = Node {
            name: self.naming.name(&lv.name, layer)?,
            table,
            read_only,
            udev: match layer {
                Layer::Top if is_snapshot => UdevFlags::snapshot(),
                Layer::Top if !is_map(lv) => UdevFlags::visible(),
                _ => UdevFlags::hidden(),
            },
            link: (layer == Layer::Top && !is_map(lv)).then(|| self.naming.link(&lv.name)),
            begins: is_snapshot
                && (Mark::of(lv) == Some(Mark::PendingSnapshot)
                    || self.activation.beginning.contains(&lv.name)),
            closed: layer == Layer::Top && self.is_closed(lv),
            expects: None,
            told: None,
        };
        self.tree.0.insert(self.naming.uuid(&lv.id, layer), node);
        Ok(())
    }

    /// The table of a volume's own extents.
    fn data(&self, lv: &Lv) -> Result<Table<Below>> {
        if let Some(oddity) = self.vg.oddity(lv) {
            return Err(not_ours(self.vg, lv, oddity));
        }
        let lines = lv.segments.iter().map(|segment| {
            let target = self.mapped(lv, segment)?;
            let (start, length) = (self.sectors(segment.start), self.sectors(segment.length));
            Ok(Line { start, length, target })
        });
        lines.collect::<Result<_>>().map(|lines| Table(lines).joined())
    }

    fn sectors(&self, extents: crate::units::Extents) -> Sectors {
        extents.sectors(self.vg.extent_size)
    }

    fn mapped(&self, lv: &Lv, segment: &Segment) -> Result<Target<Below>> {
        let SegmentKind::Striped { stripe_size, areas } = &segment.kind else {
            return Err(not_ours(self.vg, lv, "its segments are no stripes"));
        };
        let mut stripes = areas.iter().map(|area| self.placed(lv, area)).collect::<Result<Vec<_>>>()?;
        match (stripe_size, stripes.len()) {
            (_, 1) => {
                let (device, offset) = stripes.remove(0);
                Ok(Target::Linear { device, offset })
            }
            (Some(chunk), _) => Ok(Target::Striped { chunk: *chunk, stripes }),
            (None, _) => Err(not_ours(self.vg, lv, "striped without a stripe size")),
        }
    }

    fn placed(&self, lv: &Lv, area: &Area) -> Result<(Below, Sectors)> {
        let Area::Pv { pv, start } = area else {
            return Err(not_ours(self.vg, lv, "a stack of volumes"));
        };
        let number = self.activation.disks.get(*pv).copied().flatten();
        match (self.vg.pvs.get(*pv), number) {
            (Some(pv), Some(number)) => Ok((Below::Disk(number), pv.pe_start + self.sectors(*start))),
            _ => Err(Error::new(
                Kind::Refused,
                format!("a device that {}/{} lies on is missing", self.vg.name, lv.name),
            )
            .hint("bring the device back")),
        }
    }
}

fn sourceless(vg: &Vg, lv: &Lv) -> Error {
    let cause = format!("{}/{} was being filled from a snapshot that is gone", vg.name, lv.name);
    let hint = format!("what it had not been given is lost: `dmsnap volume remove {}/{}`", vg.name, lv.name);
    Error::new(Kind::Refused, cause).hint(hint).at(Context::Lv(lv.name.to_string()))
}

/// Nothing leads back from a merge that has begun.
fn overtaken(vg: &Vg, lv: &Lv, source: &Snapshot) -> Error {
    let cause = format!(
        "{group}/{} is filled from {group}/{}, which LVM2 is merging into {group}/{}: it will never be full",
        lv.name,
        source.store,
        source.origin,
        group = vg.name
    );
    let hint = format!("`dmsnap volume remove {}/{}`, and wait for the merge", vg.name, lv.name);
    Error::new(Kind::Refused, cause).hint(hint).at(Context::Lv(lv.name.to_string()))
}

fn whole(length: Sectors, target: Target<Below>) -> Table<Below> {
    Table(vec![Line { start: Sectors::ZERO, length, target }])
}

fn not_ours(vg: &Vg, lv: &Lv, what: &str) -> Error {
    Error::new(
        Kind::Refused,
        format!("{}/{} is of a kind that dmsnap does not build: {what}", vg.name, lv.name),
    )
    .hint("use lvm2 for it")
    .at(Context::Lv(lv.name.to_string()))
}

/// The volumes that a change to any of `names` may touch: their roots, those roots' snapshots, and what is being
/// filled from these.
pub fn families<'a>(vg: &'a Vg, names: impl IntoIterator<Item = &'a LvName>) -> BTreeMap<LvName, &'a Lv> {
    let roots: BTreeSet<_> = names.into_iter().map(|name| fill::root_of(vg, name)).collect();
    let mut members = BTreeMap::new();
    for root in &roots {
        let stores = vg.snapshots_of(root).filter_map(|snapshot| vg.lv(&snapshot.store));
        members.extend(vg.lv(root).into_iter().chain(stores).map(|lv| (lv.name.clone(), lv.as_ref())));
    }
    let read = fills(vg).filter(|fill| roots.contains(&fill.source.origin));
    let read: Vec<_> = read.flat_map(|fill| [fill.volume, fill.map]).collect();
    members.extend(read.into_iter().map(|lv| (lv.name.clone(), lv)));
    members
}

#[cfg(test)]
mod tests {
    use super::*;

    const GROUP: &str = include_str!("../../tests/data/metadata/snapshots.vg");

    /// The devices of one family of the sample, after `old` became `new` in its text.
    fn family(root: &str, old: &str, new: &str) -> Result<usize> {
        assert!(GROUP.contains(old), "{old}");
        let vg = Vg::from_text(GROUP.replacen(old, new, 1).as_bytes())?;
        let roots = BTreeSet::from([root.parse()?]);
        let disks = [Some(DevNo { major: 8, minor: 0 }), Some(DevNo { major: 8, minor: 16 })];
        let (nothing, present, dev) = (BTreeSet::new(), BTreeMap::new(), Path::new("/dev"));
        let activation = Activation {
            roots: &roots,
            disks: &disks,
            waiting: &nothing,
            forced: &nothing,
            beginning: &nothing,
            resting: &nothing,
            present: &present,
            dev,
        };
        desired(&vg, &activation).map(|tree| tree.0.len())
    }

    #[test]
    fn a_chunk_size_that_cannot_be_keeps_its_own_family_down_only() {
        let odd = |root| family(root, "chunk_size = 8\n", "chunk_size = 9\n");
        assert!(odd("db").unwrap_err().to_string().contains("no power of two"));
        assert_eq!(odd("logs").unwrap(), family("logs", "vg0", "vg0").unwrap());
    }

    /// What is written to the lower one would be lost to the upper.
    #[test]
    fn a_snapshot_of_a_snapshot_keeps_its_family_down() {
        let tower = |root| family(root, "origin = \"logs\"", "origin = \"db-1\"");
        assert!(tower("db").unwrap_err().to_string().contains("a snapshot that has snapshots"));
        assert!(tower("db-1").is_err());
        assert_eq!(tower("logs").unwrap(), 1);
    }
}
