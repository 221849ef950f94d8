//! The engine of this host as a backend.
//!
//! Only what bears a tag of CSI's is a volume of CSI's: a host has others, and nobody who speaks CSI shall remove them. What is being made
//! or removed, or was when its process died, is not there: the next operation on its group takes it away.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use super::backend::{Backend, Content, Cut, NewSnapshots, NewVolume, Pool, Snapshot, Volume};
use super::call::blocking;
use super::names;
use crate::engine::list::Select;
use crate::engine::resize::Growth;
use crate::engine::restore::Restoration;
use crate::engine::view::{SnapshotState, SnapshotView, VolumeState, VolumeView};
use crate::engine::{self, Engine, Mode};
use crate::error::{Error, Kind, Result};
use crate::lvm::{LvName, VgName};
use crate::units::{Bytes, Resize, Size};

const MODE: Mode = Mode { dry_run: false, no_wait: false };

/// The engine of this host.
#[derive(Clone)]
pub struct Local(Arc<Engine>);

impl Local {
    /// This engine.
    pub fn new(engine: Engine) -> Self {
        Self(Arc::new(engine))
    }

    async fn ask<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Engine) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let engine = Arc::clone(&self.0);
        blocking(move || work(&engine)).await
    }

    /// Those volumes among these that are CSI's.
    async fn volumes_among(&self, select: Select) -> Result<Vec<Volume>> {
        let views = self.ask(move |engine| engine.volumes(&select)).await?;
        let is_there =
            |view: &VolumeView| !matches!(view.state, VolumeState::Pending | VolumeState::Deleting);
        let volumes =
            views.iter().filter(|view| is_there(view)).filter_map(|view| volume_of(view).transpose());
        let mut volumes: Vec<_> = volumes.collect::<Result<_>>()?;
        volumes.sort_by(|a, b| a.id.cmp(&b.id));
        Ok(volumes)
    }

    /// Those snapshots among these that are CSI's.
    async fn snapshots_among(&self, select: Select) -> Result<Vec<Snapshot>> {
        let views = self.ask(move |engine| engine.snapshots(&select)).await?;
        let is_there =
            |view: &SnapshotView| !matches!(view.state, SnapshotState::Pending | SnapshotState::Deleting);
        let snapshots =
            views.iter().filter(|view| is_there(view)).filter_map(|view| snapshot_of(view).transpose());
        let mut snapshots: Vec<_> = snapshots.collect::<Result<_>>()?;
        snapshots.sort_by(|a, b| a.id.cmp(&b.id));
        Ok(snapshots)
    }

    /// Sees to it that a volume can be used on this host, and says where.
    pub async fn device(&self, volume: &Volume) -> Result<PathBuf> {
        let Volume { vg, id, .. } = volume.clone();
        self.ask(move |engine| engine.activate(&vg, &[id], MODE)).await?;
        // What the activation tells of is the volume that this one is being filled from, if it is.
        let active = self.known_device(volume).await?;
        active.ok_or_else(|| Error::new(Kind::Internal, "the volume has no device after its activation"))
    }

    /// Where a volume can be used already; none if it is not active.
    pub async fn known_device(&self, volume: &Volume) -> Result<Option<PathBuf>> {
        let select = Select { vg: Some(volume.vg.clone()), names: vec![volume.id.clone()] };
        let views = self.ask(move |engine| engine.volumes(&select)).await?;
        Ok(views.into_iter().find_map(|view| view.device))
    }
}

#[tonic::async_trait]
impl Backend for Local {
    async fn pool(&self, vg: &VgName) -> Result<Pool> {
        let vg = vg.clone();
        let groups = self.ask(move |engine| engine.vgs(Some(&vg))).await?;
        only(&groups, |group| {
            let (free, extent) = (group.free_bytes, group.extent_size_bytes);
            Ok(Some(Pool { free, extent, disks: group.pv_count as u64 }))
        })
    }

    async fn volumes(&self) -> Result<Vec<Volume>> {
        self.volumes_among(Select::default()).await
    }

    async fn volume(&self, id: &str) -> Result<Option<Volume>> {
        let Some(select) = named(id) else { return Ok(None) };
        Ok(self.volumes_among(select).await?.pop())
    }

    async fn snapshots(&self) -> Result<Vec<Snapshot>> {
        self.snapshots_among(Select::default()).await
    }

    async fn snapshot(&self, id: &str) -> Result<Option<Snapshot>> {
        let Some(select) = named(id) else { return Ok(None) };
        Ok(self.snapshots_among(select).await?.pop())
    }

    async fn create_volume(&self, new: NewVolume) -> Result<Volume> {
        self.ask(move |engine| {
            let made = match &new.content {
                None => engine.create_volume(&empty(&new), MODE),
                Some(Content::Snapshot(source)) => engine.restore_snapshot(&filled(&new, source), MODE),
                Some(Content::Volume(source)) => engine.clone_volume(&filled(&new, source), MODE),
            };
            only(&made?.objects, volume_of)
        })
        .await
    }

    async fn extend_volume(&self, volume: &Volume, size: Bytes) -> Result<Volume> {
        let (vg, name) = (volume.vg.clone(), volume.id.clone());
        let size = Resize::To(Size::Absolute(size));
        let growth = Growth { vg, name, size, on: Vec::new(), resize_fs: false };
        self.ask(move |engine| only(&engine.extend_volume(&growth, MODE)?.objects, volume_of)).await
    }

    async fn remove_volume(&self, id: &str) -> Result<()> {
        let id = id.to_owned();
        self.ask(move |engine| {
            let views = engine.volumes(&Select::default())?;
            let doomed =
                views.into_iter().filter(|view| view.name == id && names::name_in(&view.tags).is_some());
            each_group(doomed.map(|view| (view.vg, view.name)), |vg, names| {
                engine.remove_volumes(vg, names, false, MODE).map(drop)
            })
        })
        .await
    }

    async fn create_snapshots(&self, new: NewSnapshots) -> Result<Vec<Snapshot>> {
        let parts = parts_of(new);
        self.ask(move |engine| {
            let made = match parts.as_slice() {
                [one] => engine.create_snapshots(one, MODE),
                parts => engine.create_snapshots_across(parts, MODE),
            }?;
            let made = made.objects;
            made.iter().filter_map(|view| snapshot_of(view).transpose()).collect()
        })
        .await
    }

    async fn remove_snapshots(&self, ids: &[&str]) -> Result<()> {
        let ids: Vec<_> = ids.iter().map(|&id| id.to_owned()).collect();
        self.ask(move |engine| {
            let views = engine.snapshots(&Select::default())?;
            let doomed = views
                .into_iter()
                .filter(|view| ids.contains(&view.name) && names::name_in(&view.tags).is_some());
            each_group(doomed.map(|view| (view.vg, view.name)), |vg, names| {
                engine.remove_snapshots(vg, names, MODE).map(drop)
            })
        })
        .await
    }
}

/// What bears this id, in whatever group; none for what cannot be one.
fn named(id: &str) -> Option<Select> {
    id.parse().ok().map(|name| Select { vg: None, names: vec![name] })
}

/// Removes what is of each group together. What has gone meanwhile, or was half gone and is taken away first, is removed.
fn each_group(
    doomed: impl Iterator<Item = (String, String)>,
    remove: impl Fn(&VgName, &[LvName]) -> Result<()>,
) -> Result<()> {
    let mut groups = BTreeMap::<VgName, Vec<LvName>>::new();
    for (vg, name) in doomed {
        groups.entry(vg.parse()?).or_default().push(name.parse()?);
    }
    groups.iter().try_for_each(|(vg, names)| match remove(vg, names) {
        Err(error) if error.kind() == Kind::NotFound => Ok(()),
        removed => removed,
    })
}

/// A volume with nothing in it.
fn empty(new: &NewVolume) -> engine::volume::NewVolume {
    engine::volume::NewVolume {
        vg: new.vg.clone(),
        name: new.id.clone(),
        size: Size::Absolute(new.size),
        stripes: new.stripes,
        stripe_size: None,
        on: Vec::new(),
        tags: vec![names::name_tag(&new.name)],
        policy: None,
    }
}

/// A volume with the content of another one, or of a snapshot.
fn filled(new: &NewVolume, source: &LvName) -> Restoration {
    let content = new.content.as_ref().map(names::content_tag);
    let tags = [names::name_tag(&new.name)].into_iter().chain(content).collect();
    Restoration {
        vg: new.vg.clone(),
        source: source.clone(),
        to: new.id.clone(),
        size: Some(Size::Absolute(new.size)),
        tags,
        on: Vec::new(),
    }
}

/// What is to be cut in each pool.
fn parts_of(new: NewSnapshots) -> Vec<engine::snapshot::NewSnapshots> {
    let group = new.group.as_deref().map(names::group_tag);
    let tags: Vec<_> = [names::name_tag(&new.name)].into_iter().chain(group).collect();
    let mut pools = BTreeMap::<_, Vec<_>>::new();
    for Cut { id, source } in new.cuts {
        pools.entry(source.vg).or_default().push((source.id, id));
    }
    let (size, chunk) = (new.size, new.chunk);
    let part = |(vg, cuts)| {
        let (tags, on) = (tags.clone(), Vec::new());
        engine::snapshot::NewSnapshots { vg, cuts, size, chunk, read_only: false, tags, on }
    };
    pools.into_iter().map(part).collect()
}

/// What an operation on one thing says of it.
fn only<V, T>(views: &[V], one: impl Fn(&V) -> Result<Option<T>>) -> Result<T> {
    let found = views.iter().find_map(|view| one(view).transpose());
    found.unwrap_or_else(|| Err(Error::new(Kind::Internal, "the engine says nothing of what it made")))
}

/// None if it is not CSI's.
fn volume_of(view: &VolumeView) -> Result<Option<Volume>> {
    let Some(name) = names::name_in(&view.tags) else { return Ok(None) };
    let (id, vg, striped) = (view.name.parse()?, view.vg.parse()?, view.layout == "striped");
    let (size, content, uuid) = (view.size_bytes, names::content_in(&view.tags), view.uuid.clone());
    Ok(Some(Volume { id, name, vg, size, striped, content, uuid }))
}

/// None if it is not CSI's.
fn snapshot_of(view: &SnapshotView) -> Result<Option<Snapshot>> {
    let Some(name) = names::name_in(&view.tags) else { return Ok(None) };
    let cut = view.created_at.as_ref().and_then(|at| at.parse::<jiff::Timestamp>().ok());
    Ok(Some(Snapshot {
        id: view.name.parse()?,
        name,
        vg: view.vg.parse()?,
        source: view.origin.parse()?,
        size: view.size_bytes,
        cut: cut.map_or(SystemTime::UNIX_EPOCH, SystemTime::from),
        valid: matches!(view.state, SnapshotState::Active | SnapshotState::Inactive | SnapshotState::Merging),
        group: names::group_in(&view.tags),
    }))
}
