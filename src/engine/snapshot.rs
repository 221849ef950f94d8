//! Making and removing snapshots; several at one instant.

use super::Engine;
use super::blank::{Blank, Purpose};
use super::gather::Shared;
use super::mark::{Mark, refuse_own_tags};
use super::operation::{Change, Mode, Report};
use super::resize::last_layout;
use super::session::{Aim, Session};
use super::view::SnapshotView;
use super::volume::{acknowledge, allocate_noted, extents_of, in_words, refuse_taken};
use crate::cow::size::{covering, least};
use crate::dm::Status;
use crate::dm::target::module;
use crate::error::{Error, Kind, Result};
use crate::lvm::{Edit, Lv, LvName, Request, Segment, Snapshot, Tag, Vg, VgName};
use crate::units::{Bytes, ChunkSize, Extents, Size, Whole};

/// Snapshots to be made at one instant, all or none.
#[derive(Debug, Clone)]
pub struct NewSnapshots {
    /// The volume group of all of them.
    pub vg: VgName,
    /// Each origin and its snapshot's name.
    pub cuts: Vec<(LvName, LvName)>,
    /// Of each store; none for one that cannot overflow.
    pub size: Option<Size>,
    /// Of one chunk.
    pub chunk: ChunkSize,
    /// Refuse writes to the snapshots.
    pub read_only: bool,
    /// Their tags.
    pub tags: Vec<Tag>,
    /// The physical volumes to choose from, by device; empty for all.
    pub on: Vec<std::path::PathBuf>,
}

impl Engine {
    /// Makes snapshots. Of an active volume they are active when this returns.
    pub fn create_snapshots(&self, new: &NewSnapshots, mode: Mode) -> Result<Report<SnapshotView>> {
        let (origins, names): (Vec<_>, Vec<_>) = new.cuts.iter().cloned().unzip();
        let what = format!("snapshot create {}", in_words(&new.vg, &origins));
        let wanted = new.clone();
        let report = self.share(Shared {
            vg: new.vg.clone(),
            mode,
            aim: Aim::Change,
            what,
            change: Box::new(move |session| session.new_snapshots(&wanted)),
            views: Box::new(move |session| session.snapshot_views_of(&names)),
        });
        report.map_err(|error| error.doing(format!("snapshot {}", in_words(&new.vg, &origins))))
    }

    /// Removes snapshots.
    pub fn remove_snapshots(&self, vg: &VgName, names: &[LvName], mode: Mode) -> Result<Report<()>> {
        let what = format!("snapshot remove {}", in_words(vg, names));
        let doomed = names.to_vec();
        let report = self.share(Shared {
            vg: vg.clone(),
            mode,
            aim: Aim::Reduction,
            what,
            change: Box::new(move |session| session.snapshot_removal(&doomed)),
            views: Box::new(|_| Ok(Vec::new())),
        });
        report.map_err(|error| error.doing(format!("remove snapshot {}", in_words(vg, names))))
    }
}

impl Session<'_> {
    pub(super) fn new_snapshots(&self, new: &NewSnapshots) -> Result<Change> {
        refuse_own_tags(&new.tags)?;
        // What is wrong with a name is said before what is wrong with the space.
        for (origin, name) in &new.cuts {
            self.check_origin(origin)?;
            refuse_taken(self.vg(), name)?;
        }
        let mut change = Change::default();
        let mut vg = self.vg().clone();
        for (origin, name) in &new.cuts {
            let edits = self.snapshot(&vg, new, origin, name, &mut change)?;
            // The next one is allocated and named beside this one.
            vg = vg.apply(&edits)?;
            change.intent.extend(edits);
            change.confirm.push(acknowledge(name, Mark::PendingSnapshot));
            change.touched.extend([origin.clone(), name.clone()]);
        }
        self.require_target("snapshot")?;
        Ok(change)
    }

    pub(super) fn snapshot(
        &self,
        vg: &Vg,
        new: &NewSnapshots,
        origin: &LvName,
        name: &LvName,
        change: &mut Change,
    ) -> Result<Vec<Edit>> {
        let lv = vg.find_lv(origin)?;
        refuse_taken(vg, name)?;
        let extents = store_extents(vg, lv, new, &mut change.notes)?;
        let (on, cling_tags) = (self.pvs_on(&new.on)?, self.cling_tags());
        let at_most = new.size.is_some_and(Size::is_upper_limit);
        let request =
            Request { extents, on, policy: vg.policy(None), cling_tags, at_most, ..Request::default() };
        let segments = like_origin(vg, lv, &request, &mut change.notes)?;
        let taken: Extents = segments.iter().map(|segment| segment.length).sum();
        check_holds(taken.sectors(vg.extent_size).bytes(), new.chunk)?;
        let purpose = Purpose::Store(new.chunk);
        change.blanks.push(Blank { lv: name.clone(), segments: segments.clone(), purpose });
        let (writable, mark) = (!new.read_only, Mark::PendingSnapshot);
        let store = self.unacknowledged(name, segments, writable, &new.tags, mark);
        let relation = Edit::AddSnapshot {
            store: name.clone(),
            origin: origin.clone(),
            chunk_size: new.chunk.sectors(),
            id: self.uuid(),
            created: Some(self.creation()),
        };
        Ok(vec![Edit::AddLv(store), relation])
    }

    /// An error if no snapshot can be taken of a volume.
    pub(super) fn check_origin(&self, name: &LvName) -> Result<()> {
        let vg = self.vg();
        self.refuse_filling(self.named(name)?.0)?;
        if let Some(Snapshot { origin, .. }) = vg.snapshot_of_store(name) {
            return Err(Error::new(
                Kind::Usage,
                format!("{}/{name} is itself a snapshot, of {origin}", vg.name),
            )
            .hint("take a snapshot of the volume that it was taken of"));
        }
        let merged = vg.snapshots_of(name).find(|snapshot| snapshot.merging);
        merged.map_or(Ok(()), |snapshot| Err(merging(vg, &snapshot.store, name)))
    }

    fn snapshot_removal(&self, names: &[LvName]) -> Result<Change> {
        let mut origins = Vec::new();
        for name in names {
            origins.push(self.removable(name)?.origin.clone());
        }
        let mut change = self.removal_of(names.to_vec())?;
        change.touched.extend(origins);
        Ok(change)
    }

    /// A snapshot that is not being merged.
    pub(super) fn snapshot_named(&self, name: &LvName) -> Result<&Snapshot> {
        let vg = self.vg();
        vg.find_lv(name)?;
        match vg.snapshot_of_store(name) {
            Some(snapshot) if snapshot.merging => Err(merging(vg, name, &snapshot.origin)),
            Some(snapshot) => Ok(snapshot),
            None => Err(Error::new(Kind::Usage, format!("{}/{name} is no snapshot", vg.name))
                .hint(format!("`dmsnap snapshot list {}` shows those there are", vg.name))),
        }
    }

    /// The same, or one whose merge is invalid and never ends: the origin goes on with what it has.
    fn removable(&self, name: &LvName) -> Result<&Snapshot> {
        let merged = self.vg().snapshot_of_store(name).filter(|snapshot| snapshot.merging);
        match merged {
            Some(merged) if self.merge_status(merged)? == Some(Status::Invalid) => Ok(merged),
            _ => self.snapshot_named(name),
        }
    }

    /// An error for a snapshot that nobody was told of yet, or that is on its way out: it may be gone with the next command.
    pub(super) fn refuse_unfinished(&self, lv: &Lv) -> Result<()> {
        let vg = &self.vg().name;
        match Mark::of(lv) {
            None | Some(Mark::Changing) => Ok(()),
            Some(_) => Err(Error::new(Kind::NotFound, format!("{vg}/{} is unfinished", lv.name))
                .hint(format!("`dmsnap repair {vg}` finishes or undoes what a dead process began"))),
        }
    }

    /// Finds out before anything is written whether the kernel can do what the plan will ask.
    pub(super) fn require_target(&self, target: &str) -> Result<()> {
        if self.kernel().supports(target)? {
            return Ok(());
        }
        Err(Error::new(Kind::Internal, format!("the kernel has no device-mapper target \"{target}\""))
            .hint(format!("load its module with `modprobe {}`", module(target))))
    }
}

/// A store is as fast as its origin only if it lies on as many disks. Where there is no room for that, it lies in any way.
fn like_origin(vg: &Vg, origin: &Lv, request: &Request, notes: &mut Vec<String>) -> Result<Vec<Segment>> {
    let (stripes, stripe_size) = last_layout(origin);
    let alike = Request { stripes, stripe_size, ..request.clone() };
    allocate_noted(vg, &alike, notes).or_else(|error| match stripes {
        0 | 1 => Err(error),
        _ => allocate_noted(vg, request, notes),
    })
}

pub(super) fn merging(vg: &Vg, store: &LvName, origin: &LvName) -> Error {
    Error::new(Kind::InUse, format!("{}/{store} is being merged into {}/{origin}", vg.name, vg.name)).hint(
        format!(
            "wait until the merge is over: `dmsnap snapshot list {}/{store}` shows how far it is",
            vg.name
        ),
    )
}

/// How large the store is: as asked for, but never more than can be used; without a size as much as can be used.
fn store_extents(vg: &Vg, origin: &Lv, new: &NewSnapshots, notes: &mut Vec<String>) -> Result<Extents> {
    let origin_size = origin.extents().sectors(vg.extent_size);
    let most = covering(origin_size, new.chunk).extents_ceil(vg.extent_size);
    let Some(size) = new.size else { return Ok(most) };
    let wanted = match size {
        // As lvm2: a percentage of the origin's data, plus what its exceptions take.
        Size::Percent(percent, Whole::Origin) => {
            let data = Size::Percent(percent, Whole::Origin);
            let metadata = most - origin_size.extents_floor(vg.extent_size);
            extents_of(vg, data, Some(origin_size.bytes()), notes)? + metadata
        }
        size => extents_of(vg, size, None, notes)?,
    };
    let asked = match size {
        Size::Absolute(bytes) => bytes,
        Size::Percent(..) => wanted.sectors(vg.extent_size).bytes(),
    };
    check_holds(asked, new.chunk)?;
    if wanted > most {
        let most_bytes = most.sectors(vg.extent_size).bytes();
        notes.push(format!("a store of {most_bytes} can hold everything, more is not taken"));
    }
    Ok(wanted.min(most))
}

/// An error if a store of this size holds no copy.
fn check_holds(size: Bytes, chunk: ChunkSize) -> Result<()> {
    let least = least(chunk);
    if size >= least.bytes() {
        return Ok(());
    }
    Err(Error::new(Kind::Usage, format!("a store of {size} holds no copy"))
        .hint(format!("give at least {least}, three chunks")))
}
