//! What there is: the rows of the `list` commands.
//!
//! Lists take no lock and wait for nobody. The metadata read is old or new, never between; what the kernel says may be a moment
//! younger.

use std::collections::{BTreeSet, HashSet};
use std::path::Path;
use std::sync::PoisonError;

use super::fill::{Fill, fills, is_filling};
use super::filling::Progress;
use super::mark::{Mark, user_tags};
use super::monitor::foresight::foretell;
use super::naming::{Layer, Naming};
use super::session::Session;
use super::tree::Present;
use super::view::{PvState, PvView, SnapshotState, SnapshotView, VgState, VgView, VolumeState, VolumeView};
use super::{Engine, World};
use crate::block::DevNo;
use crate::dm::{DmName, Info, Slot, Status};
use crate::error::{Error, Kind, Result};
use crate::lvm::free::FreeMap;
use crate::lvm::scan::{Finding, OpenPv, OpenVg, Scan};
use crate::lvm::{Lv, LvName, Role, Snapshot, Uuid, Vg, VgName};
use crate::units::{Bytes, Extents, Sectors};

/// Which objects are listed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Select {
    /// Of this volume group; none for all.
    pub vg: Option<VgName>,
    /// With these names; empty for all. Each must exist.
    pub names: Vec<LvName>,
}

/// A group as it was read from its disks. It keeps none of them open.
#[derive(Debug, Clone)]
pub struct GroupRead {
    vg: Vg,
    disks: Vec<DevNo>,
    refusal: Option<String>,
}

impl GroupRead {
    /// Its name.
    pub fn name(&self) -> &VgName {
        &self.vg.name
    }

    /// Why it may not be changed, if it may not.
    pub fn refusal(&self) -> Option<&str> {
        self.refusal.as_deref()
    }

    pub(super) fn id(&self) -> Uuid {
        self.vg.id
    }

    pub(super) fn disks(&self) -> &[DevNo] {
        &self.disks
    }
}

/// What a group has, as the kernel says.
pub(super) struct GroupSeen {
    pub(super) size: Bytes,
    pub(super) free: Bytes,
    pub(super) snapshots: Vec<SnapshotView>,
    /// The volumes that are being filled.
    pub(super) filling: Vec<VolumeView>,
    /// Devices that dmsnap builds and somebody has suspended.
    pub(super) suspended: Vec<DmName>,
}

impl Select {
    /// Those of these things whose names are selected.
    fn among<'l, T>(&self, all: &'l [T], name: impl Fn(&'l T) -> &'l LvName) -> Vec<&'l T> {
        let names: HashSet<_> = self.names.iter().collect();
        all.iter().filter(|one| names.is_empty() || names.contains(name(one))).collect()
    }
}

impl Engine {
    /// Every physical volume.
    pub fn pvs(&self) -> Result<Vec<PvView>> {
        let scan = self.scan()?;
        let members = scan.vgs.iter().flat_map(members);
        let mut views: Vec<_> = members.chain(scan.orphans.iter().map(|pv| pv_view(pv, None))).collect();
        views.sort_by(|a, b| a.device.cmp(&b.device));
        Ok(views)
    }

    /// Every volume group, or one.
    pub fn vgs(&self, name: Option<&VgName>) -> Result<Vec<VgView>> {
        let scan = self.selected(&Select { vg: name.cloned(), names: Vec::new() })?;
        Ok(scan.iter().map(vg_view).collect())
    }

    /// The volumes that are no snapshots.
    pub fn volumes(&self, select: &Select) -> Result<Vec<VolumeView>> {
        let mut views = Vec::new();
        for open in &self.selected(select)? {
            views.extend(volumes_of(&self.world, &open.vg, select)?);
        }
        refuse_unknown(select, views.iter().map(|view| view.name.as_str()), "volume")?;
        Ok(views)
    }

    /// The snapshots.
    pub fn snapshots(&self, select: &Select) -> Result<Vec<SnapshotView>> {
        let mut views = Vec::new();
        for open in &self.selected(select)? {
            views.extend(snapshots_of(&self.world, &open.vg, select)?);
        }
        refuse_unknown(select, views.iter().map(|view| view.name.as_str()), "snapshot")?;
        if let Some(directory) = &self.foresight {
            foretell(directory, self.seconds(), &mut views);
        }
        Ok(views)
    }

    /// Every group, as its disks have it.
    pub fn read_groups(&self) -> Result<Vec<GroupRead>> {
        let read = |open: OpenVg| {
            let disks = open.pvs.iter().filter_map(OpenPv::number).collect();
            let refusal = open.refusal.map(|refusal| refusal.reason);
            GroupRead { vg: open.vg, disks, refusal }
        };
        Ok(self.scan()?.vgs.into_iter().map(read).collect())
    }

    /// What the kernel says of a group now.
    pub(super) fn group_seen(&self, GroupRead { vg, .. }: &GroupRead) -> Result<GroupSeen> {
        Ok(GroupSeen {
            size: vg.size(),
            free: vg.free(),
            snapshots: snapshots_of(&self.world, vg, &Select::default())?,
            filling: filling_of(&self.world, vg)?,
            suspended: self.suspended_of(vg)?,
        })
    }

    /// What is on the host's devices, findings logged.
    pub(super) fn scan(&self) -> Result<Scan> {
        let scan = self.scanner.scan(self.world.devices.as_ref(), &self.world.owner)?;
        // What went and comes again is told again.
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        told.retain(|text| scan.findings.iter().any(|finding| finding.text == *text));
        drop(told);
        self.tell(&scan.findings);
        Ok(scan)
    }

    /// Logs what a person should know, each thing once.
    pub(super) fn tell(&self, findings: &[Finding]) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        for finding in findings {
            if told.insert(finding.text.clone()) {
                tracing::warn!("{}", finding.text);
            }
        }
    }

    fn selected(&self, select: &Select) -> Result<Vec<OpenVg>> {
        let mut scan = self.scan()?;
        if let Some(name) = &select.vg {
            scan.vgs.retain(|open| open.vg.name == *name);
            if scan.vgs.is_empty() {
                return Err(scan.absent(name));
            }
        }
        Ok(scan.vgs)
    }

    /// The names of all volume groups, and of those among them that may not be changed.
    pub fn vg_names(&self) -> Result<(Vec<VgName>, BTreeSet<VgName>)> {
        let vgs = self.scan()?.vgs;
        let refused = vgs.iter().filter(|open| open.refusal.is_some()).map(|open| open.vg.name.clone());
        Ok((vgs.iter().map(|open| open.vg.name.clone()).collect(), refused.collect()))
    }
}

fn refuse_unknown<'a>(select: &Select, found: impl Iterator<Item = &'a str>, what: &str) -> Result<()> {
    let found: HashSet<_> = found.collect();
    let missing = select.names.iter().find(|name| !found.contains(&name.as_str()));
    let (Some(name), Some(vg)) = (missing, &select.vg) else { return Ok(()) };
    Err(Error::new(Kind::NotFound, format!("volume group {vg} has no {what} {name}"))
        .hint(format!("`dmsnap {what} list {vg}` shows what there is")))
}

impl Session<'_> {
    /// The volumes of these names; none named: all of the group.
    pub(super) fn volume_views_of(&self, names: &[LvName]) -> Result<Vec<VolumeView>> {
        volumes_of(&self.engine.world, self.vg(), &Select { vg: None, names: names.to_vec() })
    }

    /// The snapshots of these names.
    pub(super) fn snapshot_views_of(&self, names: &[LvName]) -> Result<Vec<SnapshotView>> {
        snapshots_of(&self.engine.world, self.vg(), &Select { vg: None, names: names.to_vec() })
    }
}

/// The physical volumes of a group, whose free extents are looked for once.
fn members(open: &OpenVg) -> impl Iterator<Item = PvView> {
    let free = FreeMap::of(&open.vg);
    open.pvs.iter().map(move |pv| pv_view(pv, Some((&open.vg, &free))))
}

pub(super) fn pv_view(pv: &OpenPv, group: Option<(&Vg, &FreeMap)>) -> PvView {
    let vg = group.map(|(vg, _)| vg);
    let place = vg.and_then(|vg| vg.pvs.iter().position(|known| known.id == pv.id));
    let entry = vg.zip(place).and_then(|(vg, place)| Some((vg, vg.pvs.get(place)?)));
    let bytes = |vg: &Vg, extents: Extents| extents.sectors(vg.extent_size).bytes();
    let free = group.zip(place).map_or(Extents::ZERO, |((_, free), place)| free.on(place));
    let whole = pv.label().map_or(Bytes::ZERO, |label| label.device_size);
    PvView {
        device: pv.path().map(Path::to_owned),
        uuid: pv.id.to_string(),
        vg: vg.map(|vg| vg.name.to_string()),
        size_bytes: match entry {
            Some((vg, entry)) => bytes(vg, entry.pe_count),
            None => whole,
        },
        free_bytes: entry.map_or(whole, |(vg, _)| bytes(vg, free)),
        extent_count: entry.map_or(0, |(_, entry)| entry.pe_count.get()),
        free_extents: free.get(),
        state: match (vg, &pv.present) {
            (_, None) => PvState::Missing,
            (Some(_), _) if entry.is_some_and(|(_, entry)| entry.missing()) => PvState::Missing,
            (Some(_), _) => PvState::InVg,
            (None, _) if pv.check_free().is_err() => PvState::Used,
            (None, _) => PvState::Unused,
        },
    }
}

pub(super) fn vg_view(open: &OpenVg) -> VgView {
    let vg = &open.vg;
    let is_volume =
        |lv: &&std::sync::Arc<Lv>| vg.visible(&lv.name) && vg.snapshot_of_store(&lv.name).is_none();
    VgView {
        name: vg.name.to_string(),
        uuid: vg.id.to_string(),
        seqno: vg.seqno,
        size_bytes: vg.size(),
        free_bytes: vg.free(),
        extent_size_bytes: vg.extent_size.bytes(),
        pv_count: vg.pvs.len(),
        volume_count: vg.lvs.iter().filter(is_volume).count(),
        snapshot_count: vg.snapshots().len(),
        state: if open.refusal.is_some() { VgState::Refused } else { VgState::Ok },
        reason: open.refusal.as_ref().map(|refusal| refusal.reason.clone()),
    }
}

fn volumes_of(world: &World, vg: &Vg, select: &Select) -> Result<Vec<VolumeView>> {
    let naming = Naming::new(vg, &world.lvm2.dev);
    let mut listed = select.among(&vg.lvs, |lv| &lv.name);
    listed.retain(|lv| vg.visible(&lv.name) && vg.snapshot_of_store(&lv.name).is_none());
    listed.retain(|lv| vg.role(&lv.name) != Some(Role::Hidden));
    let present = Present::of(world.kernel.as_ref(), listed.len())?;
    listed.into_iter().map(|lv| volume_view(world, &present, &naming, vg, lv)).collect()
}

/// The volumes of a group that are being filled.
fn filling_of(world: &World, vg: &Vg) -> Result<Vec<VolumeView>> {
    let names: Vec<_> = fills(vg).map(|fill| fill.volume.name.clone()).collect();
    // No name would be all of them.
    if names.is_empty() { Ok(Vec::new()) } else { volumes_of(world, vg, &Select { vg: None, names }) }
}

fn volume_view(
    world: &World,
    present: &Present<'_>,
    naming: &Naming<'_>,
    vg: &Vg,
    lv: &Lv,
) -> Result<VolumeView> {
    let info = present.find(&naming.uuid(&lv.id, Layer::Top))?;
    let merging = vg.snapshots_of(&lv.name).any(|snapshot| snapshot.merging);
    let fill = Fill::of(vg, lv);
    let clone = match &fill {
        Some(fill) if fill.is_rollback() => {
            let (id, layer) = fill.clone_device();
            world.kernel.find(&naming.uuid(id, layer))?
        }
        Some(_) => info.clone(),
        None => None,
    };
    let progress = clone.map(|clone| Progress::read(world.kernel.as_ref(), &clone)).transpose()?.flatten();
    let is_rolled_back = fill.as_ref().is_some_and(Fill::is_rollback);
    Ok(VolumeView {
        vg: vg.name.to_string(),
        name: lv.name.to_string(),
        uuid: lv.id.to_string(),
        size_bytes: lv.extents().sectors(vg.extent_size).bytes(),
        layout: lv.layout(),
        state: match volume_state(lv, info.as_ref(), merging) {
            VolumeState::Filling if is_rolled_back => VolumeState::RollingBack,
            state => state,
        },
        open: info.as_ref().is_some_and(|info| info.open_count > 0),
        snapshots: vg.snapshots_of(&lv.name).map(|snapshot| snapshot.store.to_string()).collect(),
        filled_from: fill.map(|fill| fill.source.store.to_string()),
        progress_percent: progress.map(Progress::percent),
        tags: user_tags(lv),
        device: info.map(|_| naming.link(&lv.name)),
    })
}

fn volume_state(lv: &Lv, info: Option<&Info>, merging: bool) -> VolumeState {
    match (Mark::of(lv), info) {
        (Some(Mark::Pending | Mark::PendingSnapshot), _) => VolumeState::Pending,
        (Some(Mark::Deleting), _) => VolumeState::Deleting,
        (_, None) => VolumeState::Inactive,
        (_, Some(info)) if info.suspended => VolumeState::Suspended,
        (_, Some(_)) if merging => VolumeState::Merging,
        (_, Some(_)) if is_filling(lv) => VolumeState::Filling,
        (_, Some(_)) => VolumeState::Active,
    }
}

fn snapshots_of(world: &World, vg: &Vg, select: &Select) -> Result<Vec<SnapshotView>> {
    let listed = select.among(vg.snapshots(), |snapshot| &snapshot.store);
    let present = Present::of(world.kernel.as_ref(), listed.len())?;
    let fills: Vec<_> = fills(vg).collect();
    listed
        .into_iter()
        .filter_map(|snapshot| Some((snapshot, vg.lv(&snapshot.store)?)))
        .map(|(snapshot, store)| snapshot_view(world, &present, &fills, vg, snapshot, store))
        .collect()
}

/// What the kernel says of a snapshot.
struct Seen {
    info: Info,
    status: Option<Status>,
    /// The store's header outweighs the metadata.
    chunk: Option<Sectors>,
}

fn seen(
    world: &World,
    present: &Present<'_>,
    vg: &Vg,
    snapshot: &Snapshot,
    store: &Lv,
) -> Result<Option<Seen>> {
    let naming = Naming::new(vg, &world.lvm2.dev);
    let Some(info) = present.find(&naming.uuid(&store.id, Layer::Top))? else { return Ok(None) };
    // While it is merged the origin's device speaks for the store.
    let speaks = match vg.lv(&snapshot.origin) {
        Some(origin) if snapshot.merging => present.find(&naming.uuid(&origin.id, Layer::Top))?,
        _ => Some(info.clone()),
    };
    // A suspended device's status would wait for its store.
    let speaks = speaks.filter(|info| info.live && !info.suspended);
    let Some(speaks) = speaks else { return Ok(Some(Seen { info, status: None, chunk: None })) };
    let told = world.kernel.status(&speaks.name);
    let told = told.and_then(|status| Ok((status, world.kernel.table(&speaks.name, Slot::Live)?)));
    match told {
        Ok((status, table)) => {
            let chunk = table.0.first().and_then(|line| line.target.chunk_of_store());
            Ok(Some(Seen { info, status: status.into_iter().next(), chunk }))
        }
        // It went since it was found.
        Err(error) if error.kind() == Kind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn snapshot_view(
    world: &World,
    present: &Present<'_>,
    fills: &[Fill<'_>],
    vg: &Vg,
    snapshot: &Snapshot,
    store: &Lv,
) -> Result<SnapshotView> {
    let seen = seen(world, present, vg, snapshot, store)?;
    let status = seen.as_ref().and_then(|seen| seen.status.as_ref());
    let usage = match status {
        Some(Status::Store { used, total, metadata, .. }) => {
            Some((used.bytes(), total.bytes(), metadata.bytes()))
        }
        _ => None,
    };
    let chunk = seen.as_ref().and_then(|seen| seen.chunk);
    let readers = fills.iter().filter(|fill| fill.source.store == store.name);
    let readers = readers.map(|fill| format!("{}/{}", vg.name, fill.volume.name));
    let in_use_by = match &seen {
        Some(seen) if seen.info.open_count > 0 => world.devices.mounts(seen.info.number)?,
        _ => Vec::new(),
    };
    Ok(SnapshotView {
        vg: vg.name.to_string(),
        name: store.name.to_string(),
        uuid: store.id.to_string(),
        origin: snapshot.origin.to_string(),
        size_bytes: snapshot.length.sectors(vg.extent_size).bytes(),
        cow_size_bytes: store.extents().sectors(vg.extent_size).bytes(),
        used_bytes: usage.map(|(used, ..)| used),
        metadata_bytes: usage.map(|(.., metadata)| metadata),
        used_percent: usage.map(|(used, total, metadata)| used_percent(used, total, metadata)),
        chunk_bytes: chunk.unwrap_or(snapshot.chunk_size).bytes(),
        state: snapshot_state(store, snapshot.merging, seen.as_ref()),
        read_only: !store.writable(),
        created_at: store.created.as_ref().and_then(|created| rfc3339(created.time)),
        merging: snapshot.merging,
        invalid: status == Some(&Status::Invalid),
        progress_percent: usage
            .filter(|_| snapshot.merging)
            .map(|(used, total, metadata)| merged_percent(used, total, metadata)),
        eta_full_seconds: None,
        in_use_by: in_use_by.iter().map(|place| place.display().to_string()).chain(readers).collect(),
        tags: user_tags(store),
        device: seen.map(|_| Naming::new(vg, &world.lvm2.dev).link(&store.name)),
    })
}

/// As lvm2 counts, which says nothing and all of nothing else: nothing while only the store's own metadata is there, else all of it.
fn used_percent(used: Bytes, total: Bytes, metadata: Bytes) -> f64 {
    if used == metadata || total.is_zero() {
        return 0.0;
    }
    let hundredths = u128::from(used.get()) * 10_000 / u128::from(total.get());
    let most = if used < total { 9_999 } else { 10_000 };
    f64::from(u32::try_from(hundredths).unwrap_or(most).clamp(1, most)) / 100.0
}

/// As lvm2 counts: what of the store is not in use any more.
fn merged_percent(used: Bytes, total: Bytes, metadata: Bytes) -> f64 {
    100.0 - used_percent(used, total, metadata)
}

fn snapshot_state(store: &Lv, merging: bool, seen: Option<&Seen>) -> SnapshotState {
    match (Mark::of(store), seen.and_then(|seen| seen.status.as_ref())) {
        (Some(Mark::Pending | Mark::PendingSnapshot), _) => SnapshotState::Pending,
        (Some(Mark::Deleting), _) => SnapshotState::Deleting,
        (_, Some(Status::Invalid)) => SnapshotState::Invalid,
        (_, Some(Status::Overflow)) => SnapshotState::Overflow,
        (_, Some(Status::MergeFailed)) => SnapshotState::Failed,
        _ if merging => SnapshotState::Merging,
        _ if seen.is_some() => SnapshotState::Active,
        _ => SnapshotState::Inactive,
    }
}

pub(super) fn rfc3339(seconds: u64) -> Option<String> {
    let time = jiff::Timestamp::from_second(i64::try_from(seconds).ok()?).ok()?;
    Some(time.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A merge that is called over is waited for no more.
    #[test]
    fn what_is_nearly_nothing_or_nearly_all_is_neither() {
        let (total, metadata) = (Bytes::gib(1024), Bytes::kib(128));
        let cases = [
            (metadata, 0.0),
            (metadata + Bytes::kib(64), 0.01),
            (Bytes::gib(512), 50.0),
            (Bytes(total.get() - 1), 99.99),
            (total, 100.0),
        ];
        for (used, percent) in cases {
            assert!((used_percent(used, total, metadata) - percent).abs() < 1e-9, "{used}");
            assert!((merged_percent(used, total, metadata) - (100.0 - percent)).abs() < 1e-9, "{used}");
        }
    }
}
