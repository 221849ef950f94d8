//! Rolling a volume back to a snapshot by merging the snapshot into it, as lvm2 does.
//!
//! One commit says that the snapshot is merged, and one switch hands its exceptions over: from then on the volume shows the snapshot's
//! content, while the kernel copies behind. Where the volume is not active the commit alone is the rollback. Who has the volume or the
//! snapshot open would see other content under its hands, so nobody may. What the merge overwrites the volume's other
//! snapshots copy first: their stores are made large enough in the same commit. When the kernel is done the snapshot is gone, which
//! the next command sees to, or whoever waits, or lvm2 ([`super::merge`]).

use super::Engine;
use super::mark::{Mark, before};
use super::naming::Layer;
use super::operation::{Change, Mode, Report};
use super::room::Overwritten;
use super::session::Session;
use super::snapshot::{NewSnapshots, merging};
use super::view::VolumeView;
use super::volume::acknowledge;
use crate::cow::diff::Ranges;
use crate::cow::store::{Store, Table};
use crate::dm::Status;
use crate::error::{Context, Error, Kind, Result};
use crate::lvm::span::Span;
use crate::lvm::{Edit, Lv, LvName, Role, Snapshot, Uuid, Vg, VgName};
use crate::units::ChunkSize;

/// Somebody who uses the volume for a moment is waited for; who always writes to it is not.
const ATTEMPTS: usize = 3;

/// A rollback, by merging or by filling ([`super::keeping`]).
#[derive(Debug, Clone)]
pub struct Rollback {
    /// The volume group.
    pub vg: VgName,
    /// The snapshot; a merge consumes it.
    pub snapshot: LvName,
    /// The state before is kept as a snapshot of this name.
    pub undo: Option<LvName>,
    /// Whoever has the volume or the snapshot open copes with other content. Never a file system.
    pub force: bool,
}

/// What a rollback is about.
pub(super) struct Sides<'s> {
    pub(super) snapshot: Snapshot,
    pub(super) store: &'s Lv,
    pub(super) origin: &'s Lv,
    /// The exceptions of the snapshot.
    pub(super) table: Table,
}

impl Engine {
    /// Rolls a volume back to a snapshot, which is gone when all of it is merged.
    pub fn merge_snapshot(&self, rollback: &Rollback, mode: Mode) -> Result<Report<VolumeView>> {
        self.rolled_back(rollback, mode, |session| session.merging_back(rollback))
    }

    /// Does it, in one way or the other.
    pub(super) fn rolled_back(
        &self,
        rollback: &Rollback,
        mode: Mode,
        change: impl Fn(&Session<'_>) -> Result<Change>,
    ) -> Result<Report<VolumeView>> {
        let Rollback { vg, snapshot, .. } = rollback;
        let what = format!("snapshot rollback {vg}/{snapshot}");
        let attempt = || self.run(vg, mode, &what, &change, |session| session.origin_view(snapshot));
        let mut report = attempt();
        for _ in 1..ATTEMPTS {
            // For a moment, or for longer: then the next look says who it is.
            if report.as_ref().is_err_and(was_used_meanwhile) {
                report = attempt();
            }
        }
        report.map_err(|error| error.doing(format!("roll back to {vg}/{snapshot}")))
    }
}

impl Session<'_> {
    fn origin_view(&self, snapshot: &LvName) -> Result<Vec<VolumeView>> {
        let origin = self.vg().find_snapshot(snapshot)?.origin;
        self.volume_views_of(&[origin])
    }

    /// The snapshot and its origin, its store and what that holds; an error if the origin cannot be rolled back to it now.
    pub(super) fn rollback_target(&self, rollback: &Rollback) -> Result<Sides<'_>> {
        let vg = self.vg();
        let (store, role) = self.named(&rollback.snapshot)?;
        if role != Role::Cow {
            return Err(Error::new(Kind::Usage, format!("{}/{} is no snapshot", vg.name, store.name))
                .hint(format!("`dmsnap snapshot list {}` shows those there are", vg.name)));
        }
        let snapshot = vg.find_snapshot(&store.name)?;
        let (origin, _) = self.named(&snapshot.origin)?;
        self.refuse_unfinished(store)?;
        self.refuse_filling(origin)?;
        check_can_take(vg, &snapshot, origin)?;
        self.refuse_lost(&snapshot, store)?;
        let table = self.exceptions(&snapshot)?.ok_or_else(|| overflowed(vg, &snapshot))?;
        for lv in [origin, store] {
            if rollback.force { self.refuse_claimed(lv) } else { self.refuse_in_use(lv) }?;
        }
        Ok(Sides { snapshot, store, origin, table })
    }

    fn merging_back(&self, rollback: &Rollback) -> Result<Change> {
        self.require_target("snapshot-merge")?;
        let Sides { snapshot, store, origin, table } = self.rollback_target(rollback)?;
        self.refuse_read(std::slice::from_ref(&store.name))?;
        let mut change = Change::default();
        let kept = self.undo(rollback, origin, ChunkSize::DEFAULT, &mut change)?;
        decided_by(rollback, store.id, &mut change);
        let written = Overwritten {
            origin: &origin.name,
            ranges: Ranges::of(&table, self.size_at_cut(&snapshot)),
            merged: Some(&store.name),
        };
        self.make_room(&kept, &written, &mut change)?;
        let (name, tag) = (store.name.clone(), Mark::RollingBack.tag());
        change.intent.push(Edit::SetMerging { store: name.clone(), merging: true });
        change.intent.push(Edit::AddLvTag { lv: name.clone(), tag });
        change.confirm.push(acknowledge(&name, Mark::RollingBack));
        change.touched.extend([name.clone(), origin.name.clone()]);
        change.forced.extend(rollback.force.then_some(name));
        Ok(change)
    }

    /// Adds the snapshot that keeps the state before; the group with it.
    pub(super) fn undo(
        &self,
        rollback: &Rollback,
        origin: &Lv,
        chunk: ChunkSize,
        change: &mut Change,
    ) -> Result<Vg> {
        let vg = self.vg();
        let Some(name) = &rollback.undo else { return Ok(vg.clone()) };
        let new = NewSnapshots {
            vg: vg.name.clone(),
            cuts: vec![(origin.name.clone(), name.clone())],
            // What overflows in the middle of a rollback cannot be undone.
            size: None,
            chunk,
            read_only: false,
            tags: Vec::new(),
            on: Vec::new(),
        };
        let edits = self.snapshot(vg, &new, &origin.name, name, change)?;
        let kept = vg.apply(&edits)?;
        change.intent.extend(edits);
        change.confirm.push(acknowledge(name, Mark::PendingSnapshot));
        change.touched.insert(name.clone());
        Ok(kept)
    }

    /// True if a snapshot's content is lost, by the kernel or by its store.
    pub(super) fn is_lost(&self, snapshot: &Snapshot) -> Result<bool> {
        if self.status_of(self.vg().find_lv(&snapshot.store)?)? == Some(Status::Invalid) {
            return Ok(true);
        }
        match self.exceptions(snapshot) {
            Err(error) if error.kind() == Kind::Refused => Ok(true),
            table => table.map(|table| table.is_none()),
        }
    }

    /// An error if the kernel says that the snapshot's content is lost.
    fn refuse_lost(&self, snapshot: &Snapshot, store: &Lv) -> Result<()> {
        let status = self.status_of(store)?;
        let why = match status {
            Some(Status::Invalid) => "its store was full, or failed, and its content is lost",
            Some(Status::Overflow) => "a write to it did not fit into its store, and is lost",
            _ => return Ok(()),
        };
        Err(lost(self.vg(), snapshot, why))
    }

    /// What the kernel says of a snapshot; nothing if it is not active.
    pub(super) fn status_of(&self, store: &Lv) -> Result<Option<Status>> {
        let info = self.kernel().find(&self.naming().uuid(&store.id, Layer::Top))?;
        let Some(info) = info.filter(|info| info.live && !info.suspended) else { return Ok(None) };
        Ok(self.kernel().status(&info.name)?.into_iter().next())
    }

    /// What the kernel says of a merge; nothing if it has not begun.
    pub(super) fn merge_status(&self, snapshot: &Snapshot) -> Result<Option<Status>> {
        let origin = self.vg().find_lv(&snapshot.origin)?;
        self.status_of(origin)
    }

    /// What a snapshot's store holds, active or not; none if it says itself that it is lost. One that no kernel has used yet holds
    /// nothing.
    pub(super) fn exceptions(&self, snapshot: &Snapshot) -> Result<Option<Table>> {
        let vg = self.vg();
        let lv = vg.find_lv(&snapshot.store)?;
        let span = Span::new(&self.open, lv.name.as_str(), &lv.segments)?;
        let store = match Store::open(&span) {
            Err(error) if error.kind() == Kind::NotFound => {
                return Ok(Some(Table { chunk_size: snapshot.chunk_size, exceptions: Vec::new() }));
            }
            store => store?,
        };
        store.header.valid.then(|| store.table(Some(self.size_at_cut(snapshot)))).transpose()
    }
}

/// Notes which volume, while it is there, says whether the rollback stands: with it goes the snapshot that keeps the state before.
pub(super) fn decided_by(rollback: &Rollback, decides: Uuid, change: &mut Change) {
    let Some(lv) = &rollback.undo else { return };
    let tag = before(decides);
    change.intent.push(Edit::AddLvTag { lv: lv.clone(), tag: tag.clone() });
    change.confirm.push(Edit::RemoveLvTag { lv: lv.clone(), tag });
}

/// An error if a snapshot cannot be merged into its origin, by what the metadata says.
fn check_can_take(vg: &Vg, snapshot: &Snapshot, origin: &Lv) -> Result<()> {
    if let Some(other) = vg.snapshots_of(&origin.name).find(|one| one.merging) {
        return Err(merging(vg, &other.store, &origin.name));
    }
    if !origin.writable() {
        let cause = format!("{}/{} is read-only", vg.name, origin.name);
        return Err(Error::new(Kind::Refused, cause)
            .hint(format!("make it writable with LVM2's `lvchange -prw {}/{}`", vg.name, origin.name)));
    }
    if snapshot.length > origin.extents() {
        let cause = format!("{}/{} is longer than {}", vg.name, snapshot.store, origin.name);
        return Err(Error::new(Kind::Refused, cause).hint("the metadata is damaged; restore a backup of it"));
    }
    Ok(())
}

/// True if somebody opened what was closed when it was looked at, or wrote to it.
fn was_used_meanwhile(error: &Error) -> bool {
    error.kind() == Kind::InUse && error.context().iter().any(|at| matches!(at, Context::Step(_)))
}

pub(super) fn overflowed(vg: &Vg, snapshot: &Snapshot) -> Error {
    lost(vg, snapshot, "its store was full, or failed, and its content is lost")
}

fn lost(vg: &Vg, snapshot: &Snapshot, why: &str) -> Error {
    let name = format!("{}/{}", vg.name, snapshot.store);
    Error::new(Kind::Refused, format!("{name} is worth nothing: {why}"))
        .hint(format!("`dmsnap snapshot remove {name}` removes it"))
}
