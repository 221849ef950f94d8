//! Making volumes larger, in use and under snapshots.
//!
//! The metadata says the new size first; the kernel follows with a switch that only waits for I/O in flight. If the process dies
//! between, the next command ends the growth. Snapshots keep their size: what is written beyond their end concerns them not
//! (Linux 6.1).

use std::collections::BTreeSet;

use super::Engine;
use super::gather::Shared;
use super::naming::Layer;
use super::operation::{Change, Mode, Report};
use super::plan::Step;
use super::session::{Aim, Session};
use super::snapshot::merging;
use super::store::lengthened;
use super::view::VolumeView;
use super::volume::extents_of;
use crate::dm::Info;
use crate::error::{Error, Kind, Result};
use crate::lvm::{Lv, LvName, Request, Role, Segment, SegmentKind, Vg, VgName};
use crate::units::{Bytes, Extents, Resize, Sectors};

/// A volume to be made larger.
#[derive(Debug, Clone)]
pub struct Growth {
    /// Its volume group.
    pub vg: VgName,
    /// Its name.
    pub name: LvName,
    /// To what size, or by how much; rounded up to extents.
    pub size: Resize,
    /// The physical volumes to choose from, by device; empty for all.
    pub on: Vec<std::path::PathBuf>,
    /// Grow the file system that is mounted from it too.
    pub resize_fs: bool,
}

impl Engine {
    /// Makes a volume larger. One that has the size already stays as it is.
    pub fn extend_volume(&self, growth: &Growth, mode: Mode) -> Result<Report<VolumeView>> {
        let what = format!("volume extend {}/{}", growth.vg, growth.name);
        let wanted = growth.clone();
        let extension = move |session: &Session<'_>| session.extension(&wanted);
        let name = growth.name.clone();
        let grown = move |session: &Session<'_>| session.volume_views_of(std::slice::from_ref(&name));
        let report = if growth.resize_fs {
            // A file system takes as long to grow as it takes.
            self.run(&growth.vg, mode, &what, extension, grown)
        } else {
            self.share(Shared {
                vg: growth.vg.clone(),
                mode,
                aim: Aim::Change,
                what,
                change: Box::new(extension),
                views: Box::new(grown),
            })
        };
        report.map_err(|error| error.doing(format!("extend volume {}/{}", growth.vg, growth.name)))
    }
}

impl Session<'_> {
    fn extension(&self, growth: &Growth) -> Result<Change> {
        let vg = self.vg();
        let (lv, role) = self.named(&growth.name)?;
        if role == Role::Cow {
            return Err(Error::new(Kind::Usage, format!("{}/{} is a snapshot", vg.name, lv.name))
                .hint(format!("`dmsnap snapshot extend {}/{}` makes its store larger", vg.name, lv.name)));
        }
        if let Some(merged) = vg.snapshots_of(&lv.name).find(|snapshot| snapshot.merging) {
            return Err(merging(vg, &merged.store, &lv.name));
        }
        self.refuse_filling(lv)?;
        if growth.resize_fs {
            self.engine.world.devices.check_growable(self.active_device(lv)?.number)?;
        }
        let mut change = Change::default();
        if growth.resize_fs {
            change.grow_fs.insert(lv.name.clone());
            change.touched.insert(lv.name.clone());
        }
        let (stripes, _) = last_layout(lv);
        let more = self.missing(lv, growth.size, stripes, None, &mut change.notes)?;
        if more.is_zero() {
            change.notes.push(format!("{}/{} has that size already", vg.name, lv.name));
            return Ok(change);
        }
        let on = self.pvs_on(&growth.on)?;
        let (Resize::To(size) | Resize::By(size)) = growth.size;
        let request = Request { on, at_most: size.is_upper_limit(), ..self.longer(vg, lv, more) };
        let longer = lengthened(vg, lv, &request, &mut change.notes)?;
        change.enlarge(&lv.name, longer);
        Ok(change)
    }

    fn active_device(&self, lv: &Lv) -> Result<Info> {
        let info = self.kernel().find(&self.naming().uuid(&lv.id, Layer::Top))?;
        info.ok_or_else(|| {
            let vg = &self.vg().name;
            Error::new(
                Kind::InUse,
                format!("{vg}/{} is not active: its file system cannot be grown", lv.name),
            )
            .hint(format!("`dmsnap activate {vg}/{}` and mount it first", lv.name))
        })
    }

    /// The steps by which mounted file systems follow their volumes.
    pub(super) fn file_systems(&self, intended: &Vg, names: &BTreeSet<LvName>) -> Result<Vec<Step>> {
        let step = |name: &LvName| {
            let lv = intended.find_lv(name)?;
            let Info { number, name, .. } = self.active_device(lv)?;
            let size = lv.extents().sectors(intended.extent_size).bytes();
            Ok(Step::GrowFileSystem { number, name, size })
        };
        names.iter().map(step).collect()
    }

    /// The extents that a volume lacks of the size asked for. One that is larger by less than a row of its stripes was made so
    /// large for that size. `origin` is what a percentage of a snapshot's origin is taken of.
    pub(super) fn missing(
        &self,
        lv: &Lv,
        size: Resize,
        stripes: u64,
        origin: Option<Bytes>,
        notes: &mut Vec<String>,
    ) -> Result<Extents> {
        let vg = self.vg();
        let present = lv.extents();
        let wanted = match size {
            Resize::By(more) => return extents_of(vg, more, origin, notes),
            Resize::To(size) => extents_of(vg, size, origin, notes)?,
        };
        if wanted < present && present - wanted < Extents(stripes) {
            return Ok(Extents::ZERO);
        }
        wanted.checked_sub(present).ok_or_else(|| {
            let bytes = |extents: Extents| extents.sectors(vg.extent_size).bytes();
            let (has, asked) = (bytes(present), bytes(wanted));
            Error::new(
                Kind::Usage,
                format!("{}/{} has {has} and is not made smaller, to {asked}", vg.name, lv.name),
            )
            .hint("give a larger --size, or +SIZE for so much more")
        })
    }
}

/// How the end of a volume is laid out: what is added continues it.
pub(super) fn last_layout(lv: &Lv) -> (u64, Option<Sectors>) {
    match lv.segments.last().map(|segment: &Segment| &segment.kind) {
        Some(SegmentKind::Striped { stripe_size, areas }) => (areas.len() as u64, *stripe_size),
        _ => (1, None),
    }
}
