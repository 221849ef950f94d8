//! Restoring snapshots to new volumes, and cloning volumes, usable at once and filled behind.
//!
//! The new volume reads from the snapshot what it has not been given yet (the kernel's clone target, see [`super::fill`]); the kernel
//! fills it by itself, and it is active exactly when the snapshot is. When it is full, the next command that changes the group makes it
//! a volume like any other, as part of what it finds unfinished ([`super::recover`]). Until then the snapshot can not be removed, nor
//! the new volume be changed in what would touch its extents ([`super::filling`]).

use std::path::PathBuf;

use super::Engine;
use super::blank::{Blank, Purpose};
use super::fill::{self, helper_name, map_size, region};
use super::gather::Shared;
use super::mark::{Mark, refuse_own_tags};
use super::naming::Layer;
use super::operation::{Change, Mode, Report};
use super::session::{Aim, Session};
use super::snapshot::NewSnapshots;
use super::view::VolumeView;
use super::volume::{acknowledge, allocate_noted, extents_of, refuse_taken};
use crate::dm::Status;
use crate::error::{Error, Kind, Result};
use crate::lvm::{Edit, LvName, NewLv, Request, Role, Segment, Snapshot, Tag, Vg, VgName};
use crate::units::{ChunkSize, Extents, Size};

/// A volume to be made from a snapshot, or from another volume.
#[derive(Debug, Clone)]
pub struct Restoration {
    /// The volume group of both.
    pub vg: VgName,
    /// The snapshot, or the volume to be cloned.
    pub source: LvName,
    /// The new volume.
    pub to: LvName,
    /// How large, at least as the snapshot; none: just as large.
    pub size: Option<Size>,
    /// Its tags.
    pub tags: Vec<Tag>,
    /// The physical volumes to choose from, by device; empty for all.
    pub on: Vec<PathBuf>,
}

impl Engine {
    /// Makes a volume with the content of a snapshot. It can be used when this returns, and is filled behind.
    pub fn restore_snapshot(&self, wanted: &Restoration, mode: Mode) -> Result<Report<VolumeView>> {
        self.filled("snapshot", "restore", wanted, mode, |session, wanted| session.restoration(wanted))
    }

    /// Makes a volume with the content that another one, here the source, has at this instant. The same holds.
    pub fn clone_volume(&self, wanted: &Restoration, mode: Mode) -> Result<Report<VolumeView>> {
        self.filled("volume", "clone", wanted, mode, |session, wanted| session.cloning(wanted))
    }

    fn filled(
        &self,
        noun: &str,
        verb: &str,
        wanted: &Restoration,
        mode: Mode,
        change: fn(&Session<'_>, &Restoration) -> Result<Change>,
    ) -> Result<Report<VolumeView>> {
        let Restoration { vg, source, to, .. } = wanted;
        let doing = format!("{verb} {vg}/{source} to {vg}/{to}");
        let (restoration, name) = (wanted.clone(), to.clone());
        let report = self.share(Shared {
            vg: vg.clone(),
            mode,
            aim: Aim::Change,
            what: format!("{noun} {doing}"),
            change: Box::new(move |session| change(session, &restoration)),
            views: Box::new(move |session| session.volume_views_of(std::slice::from_ref(&name))),
        });
        report.map_err(|error| error.doing(doing))
    }
}

impl Session<'_> {
    fn restoration(&self, wanted: &Restoration) -> Result<Change> {
        let source = self.source(&wanted.source)?;
        let mut change = Change::default();
        self.filled_from(self.vg(), wanted, source, &mut change)?;
        let store = self.vg().find_lv(&source.store)?;
        if self.kernel().find(&self.naming().uuid(&store.id, Layer::Top))?.is_none() {
            let (vg, store) = (&self.vg().name, &store.name);
            change.notes.push(format!("{vg}/{store} is not active, and neither is what is restored from it"));
        }
        Ok(change)
    }

    /// A snapshot of the volume for this purpose alone, and a volume that is filled from it.
    fn cloning(&self, wanted: &Restoration) -> Result<Change> {
        let vg = self.vg();
        self.check_origin(&wanted.source)?;
        refuse_taken(vg, &wanted.to)?;
        let mut change = Change::default();
        let store = helper_name(vg, &wanted.to, "source")?;
        let snapshot = NewSnapshots {
            vg: vg.name.clone(),
            cuts: Vec::new(),
            size: None,
            chunk: ChunkSize::DEFAULT,
            read_only: true,
            tags: vec![fill::passing()],
            on: wanted.on.clone(),
        };
        let edits = self.snapshot(vg, &snapshot, &wanted.source, &store, &mut change)?;
        let vg = vg.apply(&edits)?;
        change.intent.extend(edits);
        change.touched.extend([wanted.source.clone(), store.clone()]);
        change.confirm.push(acknowledge(&store, Mark::PendingSnapshot));
        self.require_target("snapshot")?;
        self.filled_from(&vg, wanted, &vg.find_snapshot(&store)?, &mut change)?;
        Ok(change)
    }

    /// Adds to a change what makes a volume that is filled from a snapshot.
    fn filled_from(
        &self,
        vg: &Vg,
        wanted: &Restoration,
        source: &Snapshot,
        change: &mut Change,
    ) -> Result<()> {
        let store = vg.find_lv(&source.store)?;
        refuse_taken(vg, &wanted.to)?;
        refuse_own_tags(&wanted.tags)?;
        self.require_target("clone")?;
        let extents = restored_extents(vg, source, wanted.size, &mut change.notes)?;
        let segments = self.extents_for(vg, &wanted.on, extents, &mut change.notes)?;
        let volume = self.unacknowledged(&wanted.to, segments, true, &wanted.tags, Mark::Pending);
        if extents > source.length {
            // What is beyond the snapshot's end shows what lay there before.
            let (lv, segments) = (volume.name.clone(), volume.segments.clone());
            change.blanks.push(Blank { lv, segments, purpose: Purpose::Volume });
        }
        let region = region(source.length.sectors(vg.extent_size));
        let beside = vg.apply(&[Edit::AddLv(volume.clone())])?;
        let map = self.map_for(&beside, &wanted.to, source, &wanted.on, Mark::Pending, change)?;
        change.touched.extend([wanted.to.clone(), store.name.clone()]);
        change.confirm.push(acknowledge(&wanted.to, Mark::Pending));
        change.intent.extend(fill::begin(volume, map, store.id, region));
        Ok(())
    }

    /// A map for a volume that is filled from a snapshot; the change clears, touches and acknowledges it.
    pub(super) fn map_for(
        &self,
        vg: &Vg,
        volume: &LvName,
        source: &Snapshot,
        on: &[PathBuf],
        mark: Mark,
        change: &mut Change,
    ) -> Result<NewLv> {
        let length = source.length.sectors(vg.extent_size);
        let extents = map_size(length, region(length)).sectors_ceil().extents_ceil(vg.extent_size);
        let segments = self.extents_for(vg, on, extents, &mut change.notes)?;
        let name = helper_name(vg, volume, "fill")?;
        Layer::OF_MAP.into_iter().try_for_each(|layer| self.naming().name(&name, layer).map(drop))?;
        change.blanks.push(Blank { lv: name.clone(), segments: segments.clone(), purpose: Purpose::Map });
        change.touched.insert(name.clone());
        change.confirm.push(acknowledge(&name, mark));
        Ok(self.unacknowledged(&name, segments, true, &[], mark))
    }

    fn extents_for(
        &self,
        vg: &Vg,
        on: &[PathBuf],
        extents: Extents,
        notes: &mut Vec<String>,
    ) -> Result<Vec<Segment>> {
        let (on, cling_tags) = (self.pvs_on(on)?, self.cling_tags());
        let request = Request { extents, on, policy: vg.policy(None), cling_tags, ..Request::default() };
        allocate_noted(vg, &request, notes)
    }

    /// A snapshot that can be read from.
    fn source(&self, name: &LvName) -> Result<&Snapshot> {
        let vg = self.vg();
        let (lv, role) = self.named(name)?;
        let Some(snapshot) = vg.snapshot_of_store(name).filter(|_| role == Role::Cow) else {
            return Err(Error::new(Kind::Usage, format!("{}/{name} is no snapshot", vg.name))
                .hint(format!("`dmsnap volume clone {}/{name}` copies a volume", vg.name)));
        };
        if snapshot.merging {
            let cause = format!("{}/{name} is being merged into {}/{}", vg.name, vg.name, snapshot.origin);
            return Err(
                Error::new(Kind::InUse, cause).hint("wait until the merge is over: the volume then holds it")
            );
        }
        self.refuse_unfinished(lv)?;
        let is_lost = match self.status_of(lv)? {
            Some(status) => matches!(status, Status::Invalid | Status::Overflow | Status::MergeFailed),
            None => self.header_of(lv)?.is_some_and(|(is_lost, _)| is_lost),
        };
        if is_lost {
            let cause =
                format!("{}/{name} has lost its content: its store was full or could not be read", vg.name);
            return Err(Error::new(Kind::Refused, cause).hint("restore another snapshot"));
        }
        Ok(snapshot)
    }
}

/// As large as asked for, but at least as the snapshot.
fn restored_extents(
    vg: &Vg,
    source: &Snapshot,
    size: Option<Size>,
    notes: &mut Vec<String>,
) -> Result<Extents> {
    let least = source.length;
    let Some(size) = size else { return Ok(least) };
    let asked = extents_of(vg, size, Some(least.sectors(vg.extent_size).bytes()), notes)?;
    if asked >= least {
        return Ok(asked);
    }
    let bytes = |extents: Extents| extents.sectors(vg.extent_size).bytes();
    let (asked, least) = (bytes(asked), bytes(least));
    let cause = format!("{}/{} holds {least}, which do not fit into {asked}", vg.name, source.store);
    Err(Error::new(Kind::Usage, cause).hint(format!("give a --size of at least {least}, or none")))
}
