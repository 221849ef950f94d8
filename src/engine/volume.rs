//! Making and removing volumes.

use std::collections::BTreeSet;

use super::Engine;
use super::blank::{Blank, Purpose};
use super::fill;
use super::gather::Shared;
use super::mark::{Mark, refuse_own_tags, renaming};
use super::naming::Layer;
use super::operation::{Change, Mode, Report};
use super::recover::release;
use super::session::{Aim, Session};
use super::setup::named_twice;
use super::view::VolumeView;
use crate::error::{Error, Kind, Result};
use crate::lvm::check::check_free_name;
use crate::lvm::{
    ClingTag, Creation, Edit, Lv, LvName, NewLv, Policy, Request, Role, Segment, Tag, Uuid, Vg, VgName,
    allocate,
};
use crate::units::{Bytes, Extents, Size, Whole};

/// A volume to be made.
#[derive(Debug, Clone)]
pub struct NewVolume {
    /// Its volume group.
    pub vg: VgName,
    /// Its name.
    pub name: LvName,
    /// How large; rounded up to extents.
    pub size: Size,
    /// Over how many physical volumes; 1 is linear.
    pub stripes: u64,
    /// How much lies on one of them before the next one's turn.
    pub stripe_size: Option<Bytes>,
    /// The physical volumes to choose from, by device; empty for all.
    pub on: Vec<std::path::PathBuf>,
    /// Its tags.
    pub tags: Vec<Tag>,
    /// How its extents are chosen, now and when it grows; none: as the group says.
    pub policy: Option<Policy>,
}

impl Engine {
    /// Makes a volume: linear or striped, wiped of old signatures, active.
    pub fn create_volume(&self, new: &NewVolume, mode: Mode) -> Result<Report<VolumeView>> {
        let what = format!("volume create {}/{}", new.vg, new.name);
        let (wanted, name) = (new.clone(), new.name.clone());
        let report = self.share(Shared {
            vg: new.vg.clone(),
            mode,
            aim: Aim::Change,
            what,
            change: Box::new(move |session| session.volume(&wanted)),
            views: Box::new(move |session| session.volume_views_of(std::slice::from_ref(&name))),
        });
        report.map_err(|error| error.doing(format!("create volume {}/{}", new.vg, new.name)))
    }

    /// Removes volumes, with their snapshots if `with_snapshots`.
    pub fn remove_volumes(
        &self,
        vg: &VgName,
        names: &[LvName],
        with_snapshots: bool,
        mode: Mode,
    ) -> Result<Report<()>> {
        let what = format!("volume remove {}", in_words(vg, names));
        let doomed = names.to_vec();
        let report = self.share(Shared {
            vg: vg.clone(),
            mode,
            aim: Aim::Reduction,
            what,
            change: Box::new(move |session| session.volume_removal(&doomed, with_snapshots)),
            views: Box::new(|_| Ok(Vec::new())),
        });
        report.map_err(|error| error.doing(format!("remove volume {}", in_words(vg, names))))
    }
}

/// `vg0/a, vg0/b`
pub(super) fn in_words(vg: &VgName, names: &[LvName]) -> String {
    names.iter().map(|name| format!("{vg}/{name}")).collect::<Vec<_>>().join(", ")
}

impl Engine {
    /// Gives a volume or a snapshot another name, in use or not.
    pub fn rename_volume(&self, vg: &VgName, name: &LvName, to: &LvName, mode: Mode) -> Result<Report<()>> {
        let what = format!("volume rename {vg}/{name} {to}");
        let report = self.run(vg, mode, &what, |session| session.renaming(name, to), |_| Ok(Vec::new()));
        report.map_err(|error| error.doing(format!("rename {vg}/{name} to {to}")))
    }
}

impl Session<'_> {
    fn renaming(&self, name: &LvName, to: &LvName) -> Result<Change> {
        let vg = self.vg();
        self.refuse_filling(self.named(name)?.0)?;
        refuse_taken(vg, to)?;
        for layer in Layer::ALL {
            self.refuse_borne_name(&self.naming().name(to, layer)?)?;
        }
        let (begin, end) = renaming(name, to);
        Ok(Change {
            intent: vec![Edit::RenameLv { lv: name.clone(), to: to.clone() }, begin],
            touched: [name.clone(), to.clone()].into(),
            confirm: vec![end],
            ..Change::default()
        })
    }

    fn volume(&self, new: &NewVolume) -> Result<Change> {
        let vg = self.vg();
        refuse_taken(vg, &new.name)?;
        refuse_own_tags(&new.tags)?;
        let mut change = Change::default();
        let extents = extents_of(vg, new.size, None, &mut change.notes)?;
        let request = Request {
            extents,
            stripes: new.stripes,
            stripe_size: new.stripe_size.map(Bytes::sectors_ceil),
            on: self.pvs_on(&new.on)?,
            policy: new.policy.unwrap_or(vg.policy(None)),
            cling_tags: self.cling_tags(),
            grows: None,
            at_most: new.size.is_upper_limit(),
        };
        let segments = allocate_noted(vg, &request, &mut change.notes)?;
        change.blanks.push(Blank {
            lv: new.name.clone(),
            segments: segments.clone(),
            purpose: Purpose::Volume,
        });
        let made = self.unacknowledged(&new.name, segments, true, &new.tags, Mark::Pending);
        change.intent.push(Edit::AddLv(made));
        if new.policy.is_some() {
            change.intent.push(Edit::SetLvPolicy { lv: new.name.clone(), policy: new.policy });
        }
        change.confirm.push(acknowledge(&new.name, Mark::Pending));
        change.touched.insert(new.name.clone());
        change.activate.insert(new.name.clone());
        Ok(change)
    }

    /// A visible volume that is not acknowledged yet.
    pub(super) fn unacknowledged(
        &self,
        name: &LvName,
        segments: Vec<Segment>,
        writable: bool,
        tags: &[Tag],
        mark: Mark,
    ) -> NewLv {
        NewLv {
            name: name.clone(),
            id: self.uuid(),
            writable,
            visible: true,
            flags: Vec::new(),
            tags: tags.iter().cloned().chain([mark.tag()]).collect(),
            created: Some(self.creation()),
            segments,
        }
    }

    pub(super) fn uuid(&self) -> Uuid {
        self.engine.new_uuid()
    }

    pub(super) fn creation(&self) -> Creation {
        Creation { time: self.engine.seconds(), host: self.engine.world.host.name.as_str().into() }
    }

    /// The physical volumes on these devices.
    pub(super) fn pvs_on(&self, paths: &[std::path::PathBuf]) -> Result<Vec<Uuid>> {
        let mut seen = BTreeSet::new();
        let mut find = |path: &std::path::PathBuf| {
            let number = self.engine.world.devices.lookup(path)?.number;
            if !seen.insert(number) {
                return Err(named_twice(path));
            }
            self.open.pv_on(number).map(|pv| pv.id).ok_or_else(|| {
                let vg = &self.open.vg.name;
                Error::new(Kind::NotFound, format!("{} is no physical volume of {vg}", path.display()))
                    .hint("`dmsnap pv list` shows which are")
            })
        };
        paths.iter().map(&mut find).collect()
    }

    /// The tags by which volumes cling to a site.
    pub(super) fn cling_tags(&self) -> Vec<ClingTag> {
        self.engine.world.lvm2.cling_tags.clone()
    }

    fn volume_removal(&self, names: &[LvName], with_snapshots: bool) -> Result<Change> {
        let vg = self.vg();
        let mut doomed: Vec<LvName> = Vec::new();
        for name in names {
            match self.named(name)? {
                (_, Role::Cow) => return Err(is_snapshot(vg, name)),
                (lv, Role::Origin) if !with_snapshots => return Err(has_snapshots(vg, lv)),
                _ => doomed.extend(vg.snapshots_of(name).map(|snapshot| snapshot.store.clone())),
            }
            doomed.push(name.clone());
        }
        self.removal_of(doomed)
    }

    /// The change that removes volumes, none of which may be in use.
    pub(super) fn removal_of(&self, mut doomed: Vec<LvName>) -> Result<Change> {
        let filling = doomed.iter().filter_map(|name| fill::Fill::of(self.vg(), self.vg().lv(name)?));
        doomed.extend(filling.flat_map(|fill| fill.helpers(self.vg())).collect::<Vec<_>>());
        let given_up = self.hopeless(&doomed)?;
        doomed.extend(given_up.iter().map(|rollback| rollback.map.name.clone()));
        doomed.sort();
        doomed.dedup();
        self.refuse_read(&doomed)?;
        let ends = given_up.iter().flat_map(|rollback| rollback.end());
        let intent = ends.chain(release(self.vg(), &doomed)).collect();
        let mut change = Change { intent, ..Change::default() };
        let origins = doomed.iter().filter_map(|name| self.vg().snapshot_of_store(name));
        change.touched.extend(origins.map(|snapshot| snapshot.origin.clone()));
        for name in doomed {
            let lv = self.vg().find_lv(&name)?;
            // A map is used by nobody but the volume that it belongs to.
            if !fill::is_map(lv) {
                self.refuse_in_use(lv)?;
            }
            change.touched.insert(name.clone());
            change.deactivate.insert(name.clone());
            change.confirm.extend(fill::removal(lv));
        }
        Ok(change)
    }
}

/// The edit by which a new volume is acknowledged.
pub(super) fn acknowledge(name: &LvName, mark: Mark) -> Edit {
    Edit::RemoveLvTag { lv: name.clone(), tag: mark.tag() }
}

pub(super) fn refuse_taken(vg: &Vg, name: &LvName) -> Result<()> {
    name.check_new().and_then(|()| check_free_name(vg, name))
}

/// A size in extents of `vg`, with a note if it was rounded.
pub(super) fn extents_of(
    vg: &Vg,
    size: Size,
    origin: Option<Bytes>,
    notes: &mut Vec<String>,
) -> Result<Extents> {
    let bytes = match size {
        Size::Absolute(bytes) => bytes,
        Size::Percent(percent, whole) => percent_of(vg, percent, whole, origin)?,
    };
    if bytes.is_zero() && matches!(size, Size::Percent(1.., Whole::Free)) {
        return Err(Error::new(Kind::NoSpace, format!("volume group {} has no free space", vg.name))
            .hint(format!("free some, or add a device with `dmsnap vg extend {} DEV`", vg.name)));
    }
    if bytes.is_zero() {
        return Err(Error::new(Kind::Usage, "the size is 0").hint("give a size of at least one extent"));
    }
    let extents = bytes.sectors_ceil().extents_ceil(vg.extent_size);
    let rounded = extents.sectors(vg.extent_size).bytes();
    if rounded != bytes && matches!(size, Size::Absolute(_)) {
        notes.push(format!("rounded {bytes} up to {rounded}, {extents} of {}", vg.extent_size));
    }
    Ok(extents)
}

/// Chooses extents, with a note if there are fewer than asked for.
pub(super) fn allocate_noted(vg: &Vg, request: &Request, notes: &mut Vec<String>) -> Result<Vec<Segment>> {
    let segments = allocate(vg, request)?;
    let taken = segments.iter().map(|segment| segment.length).sum::<Extents>();
    if taken < request.extents {
        let bytes = |extents: Extents| extents.sectors(vg.extent_size).bytes();
        notes.push(format!("of {} there is room for {}", bytes(request.extents), bytes(taken)));
    }
    Ok(segments)
}

/// Percentages are rounded down to extents, so that 100% of what is free fits.
fn percent_of(vg: &Vg, percent: u32, whole: Whole, origin: Option<Bytes>) -> Result<Bytes> {
    let whole = match whole {
        Whole::Free => vg.free(),
        Whole::Vg => vg.size(),
        Whole::Origin => origin.ok_or_else(|| {
            Error::new(Kind::Usage, "%ORIGIN is only for snapshots").hint("write %FREE or %VG")
        })?,
    };
    let part = u128::from(whole.get()) * u128::from(percent) / 100;
    let part = u64::try_from(part).map_err(|_| {
        Error::new(Kind::Usage, format!("{percent}% is too large")).hint("give a smaller --size")
    })?;
    let extent = vg.extent_size.bytes();
    Ok(Bytes(part).round_down(extent).max(if part == 0 { Bytes::ZERO } else { extent }))
}

fn has_snapshots(vg: &Vg, lv: &Lv) -> Error {
    let names: Vec<_> = vg.snapshots_of(&lv.name).map(|snapshot| snapshot.store.to_string()).collect();
    Error::new(Kind::InUse, format!("{}/{} has snapshots: {}", vg.name, lv.name, names.join(", ")))
        .hint("remove them first, or give --with-snapshots")
}

fn is_snapshot(vg: &Vg, name: &LvName) -> Error {
    Error::new(Kind::Usage, format!("{}/{name} is a snapshot", vg.name))
        .hint(format!("`dmsnap snapshot remove {}/{name}` removes it", vg.name))
}
