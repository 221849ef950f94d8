//! Making the stores of snapshots larger, in use.
//!
//! The metadata says the new size first, then one resume puts the store's longer table in force: nothing is suspended but the
//! store, by the kernel itself and within that call, and the snapshot asks for its store's size whenever it takes a
//! chunk (Linux 6.1). A store that has room for every chunk of its origin is as large as it can be of use. One that is full is lost,
//! and stays so.

use std::path::PathBuf;

use super::Engine;
use super::gather::Shared;
use super::operation::{Change, Mode, Report};
use super::resize::last_layout;
use super::session::{Aim, Session};
use super::snapshot::merging;
use super::view::{SnapshotState, SnapshotView};
use super::volume::{allocate_noted, in_words};
use crate::cow::size::covering;
use crate::cow::store::Store;
use crate::error::{Error, Kind, Result};
use crate::lvm::span::Span;
use crate::lvm::{Edit, Lv, LvName, Request, Snapshot, Vg, VgName};
use crate::units::{Bytes, Extents, Resize, Sectors};

/// A store to be made larger.
#[derive(Debug, Clone)]
pub struct StoreGrowth {
    /// The volume group.
    pub vg: VgName,
    /// The snapshot.
    pub name: LvName,
    /// To what size, or by how much; rounded up to extents.
    pub size: Resize,
    /// The physical volumes to choose from, by device; empty for all.
    pub on: Vec<PathBuf>,
}

impl Engine {
    /// Makes a snapshot's store larger. One that has the size already, or room for everything, stays as it is.
    pub fn extend_snapshot(&self, growth: &StoreGrowth, mode: Mode) -> Result<Report<SnapshotView>> {
        let (wanted, name) = (growth.clone(), growth.name.clone());
        let report = self.share(Shared {
            vg: growth.vg.clone(),
            mode,
            aim: Aim::Change,
            what: format!("snapshot extend {}/{}", growth.vg, growth.name),
            change: Box::new(move |session| session.store_extension(&wanted)),
            views: Box::new(move |session| session.snapshot_views_of(std::slice::from_ref(&name))),
        });
        report.map_err(|error| error.doing(format!("extend snapshot {}/{}", growth.vg, growth.name)))
    }

    /// Makes stores at least so large, as far as there is space, the first ones first: in one commit, and one that cannot grow keeps no
    /// other from it.
    pub fn widen_stores(
        &self,
        vg: &VgName,
        wanted: &[(LvName, Bytes)],
        mode: Mode,
    ) -> Result<Report<SnapshotView>> {
        match self.widen_together(vg, wanted, mode) {
            // It is one of them that the kernel cannot have larger, or no plan can be made for.
            Err(error) if wanted.len() > 1 && !matches!(error.kind(), Kind::NoSpace | Kind::Locked) => {
                self.widen_apart(vg, wanted, mode)
            }
            report => report,
        }
    }

    /// Each in commits of its own; an error if none of them can grow.
    fn widen_apart(
        &self,
        vg: &VgName,
        wanted: &[(LvName, Bytes)],
        mode: Mode,
    ) -> Result<Report<SnapshotView>> {
        let (mut report, mut first) = (Report::default(), None);
        for one in wanted {
            match self.widen_together(vg, std::slice::from_ref(one), mode) {
                Ok(own) => report.absorb(own),
                Err(error) => {
                    report.notes.push(error.to_string());
                    first.get_or_insert(error);
                }
            }
        }
        match first {
            Some(error) if report.objects.is_empty() => Err(error),
            _ => Ok(report),
        }
    }

    fn widen_together(
        &self,
        vg: &VgName,
        wanted: &[(LvName, Bytes)],
        mode: Mode,
    ) -> Result<Report<SnapshotView>> {
        let names: Vec<_> = wanted.iter().map(|(name, _)| name.clone()).collect();
        let (stores, wanted) = (in_words(vg, &names), wanted.to_vec());
        let report = self.share(Shared {
            vg: vg.clone(),
            mode,
            aim: Aim::Change,
            what: format!("snapshot widen {stores}"),
            change: Box::new(move |session| session.widening(&wanted)),
            views: Box::new(move |session| session.snapshot_views_of(&names)),
        });
        report.map_err(|error| error.doing(format!("extend snapshot {stores}")))
    }
}

impl Session<'_> {
    /// An error if none of them can grow and one should.
    fn widening(&self, wanted: &[(LvName, Bytes)]) -> Result<Change> {
        let (mut change, mut vg) = (Change::default(), self.vg().clone());
        let mut first = None;
        for (name, size) in wanted {
            match self.widened(&mut vg, name, *size, &mut change) {
                Ok(()) => {}
                Err(error) => {
                    change.notes.push(error.to_string());
                    first.get_or_insert(error);
                }
            }
        }
        match first {
            Some(error) if change.intent.is_empty() => Err(error),
            _ => Ok(change),
        }
    }

    /// Makes one of them larger in `vg`, in which those before it are so.
    fn widened(&self, vg: &mut Vg, name: &LvName, size: Bytes, change: &mut Change) -> Result<()> {
        let snapshot = vg.find_snapshot(name)?;
        let store = vg.find_lv(name)?;
        let chunk = self.chunk_of(&snapshot, store)?;
        // Somebody may have made it larger since it was looked at.
        let wanted = size.sectors_ceil().extents_ceil(vg.extent_size);
        let more = wanted.checked_sub(store.extents()).unwrap_or(Extents::ZERO);
        let more = useful(vg, &snapshot, store, chunk, more, &mut change.notes);
        if more.is_zero() {
            return Ok(());
        }
        let request = Request { at_most: true, ..self.longer(vg, store, more) };
        let longer = lengthened(vg, store, &request, &mut change.notes)?;
        *vg = vg.apply(&change.enlarge(name, longer))?;
        Ok(())
    }

    fn store_extension(&self, growth: &StoreGrowth) -> Result<Change> {
        let vg = self.vg();
        let snapshot = vg.find_snapshot(&growth.name)?;
        let store = vg.find_lv(&growth.name)?;
        self.named(&snapshot.origin)?;
        let chunk = self.chunk_of(&snapshot, store)?;
        let mut change = Change::default();
        let origin = snapshot.length.sectors(vg.extent_size).bytes();
        let (stripes, _) = last_layout(store);
        let more = self.missing(store, growth.size, stripes, Some(origin), &mut change.notes)?;
        let more = useful(vg, &snapshot, store, chunk, more, &mut change.notes);
        if more.is_zero() {
            change.notes.push(format!("the store of {}/{} stays as it is", vg.name, store.name));
            return Ok(change);
        }
        let (Resize::To(size) | Resize::By(size)) = growth.size;
        let at_most = size.is_upper_limit();
        let request = Request { on: self.pvs_on(&growth.on)?, at_most, ..self.longer(vg, store, more) };
        let longer = lengthened(vg, store, &request, &mut change.notes)?;
        change.enlarge(&store.name, longer);
        Ok(change)
    }

    /// What continues a volume or a store by so many extents.
    pub(super) fn longer(&self, vg: &Vg, store: &Lv, extents: Extents) -> Request {
        let (stripes, stripe_size) = last_layout(store);
        Request {
            extents,
            stripes,
            stripe_size,
            policy: vg.policy(Some(store)),
            cling_tags: self.cling_tags(),
            grows: Some(store.name.clone()),
            ..Request::default()
        }
    }

    /// The chunk size in force of a store that can be made larger with use; an error if it cannot.
    fn chunk_of(&self, snapshot: &Snapshot, store: &Lv) -> Result<Sectors> {
        let vg = self.vg();
        if snapshot.merging {
            return Err(merging(vg, &store.name, &snapshot.origin));
        }
        let views = self.snapshot_views_of(std::slice::from_ref(&store.name))?;
        let (is_lost, chunk) = match views.first() {
            Some(view) if view.used_bytes.is_some() => (false, view.chunk_bytes),
            Some(view) if view.state == SnapshotState::Invalid => (true, view.chunk_bytes),
            _ => self.header_of(store)?.unwrap_or((false, snapshot.chunk_size.bytes())),
        };
        if is_lost { Err(is_invalid(vg, store)) } else { Ok(chunk.sectors_ceil()) }
    }

    /// Of a store that the kernel does not tell of: whether it is lost, and its chunk size. Nothing of one that was never in use.
    pub(super) fn header_of(&self, store: &Lv) -> Result<Option<(bool, Bytes)>> {
        let span = Span::new(&self.open, store.name.as_str(), &store.segments)?;
        match Store::open(&span) {
            Ok(store) => Ok(Some((!store.header.valid, store.header.chunk_size.bytes()))),
            Err(error) if error.kind() == Kind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// What of so many extents more can ever hold something.
fn useful(
    vg: &Vg,
    snapshot: &Snapshot,
    store: &Lv,
    chunk: Sectors,
    more: Extents,
    notes: &mut Vec<String>,
) -> Extents {
    let most = covering(snapshot.length.sectors(vg.extent_size), chunk).extents_ceil(vg.extent_size);
    let room = most.checked_sub(store.extents()).unwrap_or(Extents::ZERO);
    if more > room {
        let most = most.max(store.extents()).sectors(vg.extent_size).bytes();
        notes.push(format!("a store of {most} can hold everything, more is not taken"));
    }
    more.min(room)
}

/// The edit that makes a volume or a store longer.
pub(super) fn lengthened(vg: &Vg, store: &Lv, request: &Request, notes: &mut Vec<String>) -> Result<Edit> {
    let added = allocate_noted(vg, request, notes)?;
    let segments = store.segments.iter().cloned().chain(added).collect();
    Ok(Edit::SetLvSegments { lv: store.name.clone(), segments })
}

fn is_invalid(vg: &Vg, store: &Lv) -> Error {
    let name = format!("{}/{}", vg.name, store.name);
    Error::new(Kind::Refused, format!("{name} is invalid: its store was full, and what it held is lost"))
        .hint(format!("`dmsnap snapshot remove {name}` gives its space back"))
}
