//! Which free extents a volume gets. Pure: a volume group and a request in, segments out.
//!
//! Linear requests take one contiguous run where there is one, else as few pieces as possible; striped requests take
//! distinct physical volumes. A volume that grows continues where it ends if it can.

use std::cmp::Reverse;

use super::free::{FreeMap, Run};
use super::model::{Area, Segment, SegmentKind, Vg};
use super::name::{LvName, Uuid};
use super::policy::Policy;
use crate::error::{Error, Kind, Result};
use crate::units::{Bytes, Extents, Sectors};
use places::Places;

mod cling;
mod places;

pub use cling::ClingTag;

/// What is wanted.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Request {
    /// How many; rounded to a multiple of `stripes`: up, or down where fewer will do.
    pub extents: Extents,
    /// How many stripes; 0 and 1 are linear.
    pub stripes: u64,
    /// Sectors in one stripe; nothing for LVM2's 64 KiB.
    pub stripe_size: Option<Sectors>,
    /// The physical volumes to choose from; empty for all.
    pub on: Vec<Uuid>,
    /// How they are chosen.
    pub policy: Policy,
    /// The tags of physical volumes by which [`Policy::Cling`] goes on where there is no room, and a volume that grows under
    /// [`Policy::Normal`].
    pub cling_tags: Vec<ClingTag>,
    /// The volume that grows by them: the segments then start at its end, and continue its last ones if they can.
    pub grows: Option<LvName>,
    /// Fewer will do, if there are not so many: a percentage is an upper limit, as in LVM2.
    pub at_most: bool,
}

/// What LVM2 takes where nothing is said (allocation/stripe_size).
const DEFAULT_STRIPE: Bytes = Bytes::kib(64);

/// The smallest stripe: a page, as LVM2 asks for.
const LEAST_STRIPE: Bytes = Bytes::kib(4);

/// A free run and whose it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    pv: usize,
    run: Run,
}

impl Place {
    /// Largest first; of equals, the first on disk.
    fn rank(&self) -> (Reverse<Extents>, usize, Extents) {
        (Reverse(self.run.length), self.pv, self.run.start)
    }
}

/// Chooses extents. [`Kind::NoSpace`] if there are not enough, with the sizes and the way out.
pub fn allocate(vg: &Vg, request: &Request) -> Result<Vec<Segment>> {
    let stripes = request.stripes.max(1);
    check_known(vg, &request.on)?;
    let per_stripe = match request.at_most {
        true => Extents((request.extents.get() / stripes).max(1)),
        false => Extents(request.extents.get().div_ceil(stripes)),
    };
    // As LVM2: what has a site of its own stays there as long as there is room.
    if request.policy == Policy::Normal && request.grows.is_some() && !request.cling_tags.is_empty() {
        let extents = Extents(per_stripe.get().saturating_mul(stripes));
        let clinging = Request { policy: Policy::Cling, extents, at_most: false, ..request.clone() };
        if let Ok(segments) = allocate(vg, &clinging) {
            return Ok(segments);
        }
    }
    let begin = request.grows.as_ref().and_then(|name| vg.lv(name)).map_or(Extents::ZERO, |lv| lv.extents());
    let mut choice = Choice { vg, request, tail: tail(vg, request) };
    choice.tail.truncate(count(stripes)?);
    // More stripes than disks are a mistake, even where they may share one that has room.
    if count(stripes)? > (if request.on.is_empty() { vg.pvs.len() } else { request.on.len() }) {
        return Err(choice.no_space());
    }
    let stripe_size = (stripes > 1).then(|| stripe_size(vg, request)).transpose()?;
    let rows = match (request.policy, stripes) {
        (Policy::Cling, _) => choice.clinging(count(stripes)?, per_stripe)?,
        (_, 1) => choice.linear(per_stripe)?,
        _ => choice.striped(count(stripes)?, per_stripe)?,
    };
    Ok(segments(begin, stripe_size, rows))
}

/// An identity that the group does not have is a mistake, not a lack of room.
fn check_known(vg: &Vg, on: &[Uuid]) -> Result<()> {
    let Some(unknown) = on.iter().find(|id| vg.pv_by_id(id).is_none()) else { return Ok(()) };
    let text = format!("volume group {} has no physical volume {unknown}", vg.name);
    Err(Error::new(Kind::NotFound, text).hint("`dmsnap pv list` shows which it has"))
}

fn count(stripes: u64) -> Result<usize> {
    usize::try_from(stripes).map_err(|_| Error::new(Kind::Usage, format!("{stripes} stripes are too many")))
}

fn stripe_size(vg: &Vg, request: &Request) -> Result<Sectors> {
    let size = request.stripe_size.unwrap_or(DEFAULT_STRIPE.sectors_ceil()).bytes();
    let most = vg.extent_size.bytes();
    if size.get().is_power_of_two() && (LEAST_STRIPE..=most).contains(&size) {
        return Ok(size.sectors_ceil());
    }
    Err(Error::new(Kind::Usage, format!("bad stripe size {size}"))
        .hint(format!("give a power of two from {LEAST_STRIPE} to {most}, an extent")))
}

/// The free runs that may be used, largest first; of equals, the first on disk.
fn free_places(vg: &Vg, request: &Request) -> Vec<Place> {
    let free = FreeMap::of(vg);
    let allowed =
        |pv: &super::model::Pv| pv.allocatable() && (request.on.is_empty() || request.on.contains(&pv.id));
    let pvs = vg.pvs.iter().zip(&free.pvs).enumerate().filter(|(_, (pv, _))| allowed(pv));
    let places = pvs.flat_map(|(pv, (_, runs))| runs.iter().map(move |run| Place { pv, run: *run }));
    let mut places: Vec<_> = places.collect();
    places.sort_by_key(Place::rank);
    places
}

/// Where the volume that grows ends, for each of its last segment's areas.
fn tail(vg: &Vg, request: &Request) -> Vec<(usize, Extents)> {
    let lv = request.grows.as_ref().and_then(|name| vg.lv(name));
    let Some(last) = lv.and_then(|lv| lv.segments.last()) else { return Vec::new() };
    let SegmentKind::Striped { areas, .. } = &last.kind else { return Vec::new() };
    let end = |area: &Area| match area {
        Area::Pv { pv, start } => Some((*pv, *start + last.area_length())),
        Area::Lv { .. } => None,
    };
    areas.iter().filter_map(end).collect()
}

struct Choice<'a> {
    vg: &'a Vg,
    request: &'a Request,
    tail: Vec<(usize, Extents)>,
}

/// One row of areas of equal length.
struct Row {
    length: Extents,
    areas: Vec<(usize, Extents)>,
}

impl Choice<'_> {
    fn linear(&self, wanted: Extents) -> Result<Vec<Row>> {
        let mut places = free_places(self.vg, self.request);
        let mut missing = wanted;
        let mut rows = Vec::new();
        if let [(pv, end)] = *self.tail
            && let Some(at) = places.iter().position(|place| place.pv == pv && place.run.start == end)
        {
            rows.push(take(places.remove(at), &mut missing));
        }
        // The smallest run that holds all of it leaves the large ones whole.
        let holding = places.iter().enumerate().filter(|(_, place)| place.run.length >= missing);
        let smallest = holding.min_by_key(|(_, place)| (place.run.length, place.pv, place.run.start));
        if let Some((at, _)) = smallest
            && !missing.is_zero()
        {
            rows.push(take(places.remove(at), &mut missing));
        }
        let mut rest = places.iter();
        while !missing.is_zero() {
            match rest.next() {
                Some(place) => rows.push(take(*place, &mut missing)),
                None if self.will_do(&rows) => break,
                None => return Err(self.no_space()),
            }
        }
        self.check_contiguous(rows)
    }

    /// True if these rows will do where there are no more. LVM2 takes no smaller piece where one piece is asked for.
    fn will_do(&self, rows: &[Row]) -> bool {
        self.request.at_most && self.request.policy != Policy::Contiguous && !rows.is_empty()
    }

    /// One row or nothing, if that is asked for; it must continue the volume that grows.
    fn check_contiguous(&self, rows: Vec<Row>) -> Result<Vec<Row>> {
        let grows = self.request.grows.as_ref().is_some_and(|name| self.vg.lv(name).is_some());
        let is_one = match rows.as_slice() {
            [row] => !grows || row.areas == self.tail,
            rows => rows.is_empty(),
        };
        if self.request.policy == Policy::Contiguous && !is_one {
            return Err(self.no_space());
        }
        Ok(rows)
    }

    /// Each row takes as many of the physical volumes' largest runs as there are stripes, as long as the shortest of them.
    fn striped(&self, stripes: usize, per_stripe: Extents) -> Result<Vec<Row>> {
        let mut places: Places = free_places(self.vg, self.request).into_iter().collect();
        let mut missing = per_stripe;
        let mut rows: Vec<Row> = self.continued(&mut places, stripes, &mut missing).into_iter().collect();
        while !missing.is_zero() {
            // No two on one physical volume, unless that is allowed.
            let mut chosen = match self.request.policy {
                Policy::Anywhere => {
                    places.split_until(stripes);
                    places.largest(stripes)
                }
                _ => places.largest(1),
            };
            chosen.truncate(stripes);
            if chosen.len() < stripes && self.will_do(&rows) {
                break;
            }
            rows.push(self.row(&mut places, &chosen, stripes, &mut missing)?);
        }
        self.check_contiguous(rows)
    }

    /// The row of the beginnings of these runs, as long as the shortest of them; there must be one for each stripe.
    fn row(
        &self,
        places: &mut Places,
        chosen: &[Place],
        stripes: usize,
        missing: &mut Extents,
    ) -> Result<Row> {
        let shortest = chosen.iter().map(|place| place.run.length).min();
        let length = shortest.filter(|_| chosen.len() == stripes).ok_or_else(|| self.no_space())?;
        let length = length.min(*missing);
        *missing = *missing - length;
        chosen.iter().for_each(|place| places.shorten(*place, length));
        Ok(Row { length, areas: chosen.iter().map(|place| (place.pv, place.run.start)).collect() })
    }

    /// The row that continues every stripe of the volume that grows, if each of them has room behind it.
    fn continued(&self, places: &mut Places, stripes: usize, missing: &mut Extents) -> Option<Row> {
        let chosen: Vec<_> = self.tail.iter().map(|(pv, end)| places.at(*pv, *end)).collect::<Option<_>>()?;
        self.row(places, &chosen, stripes, missing).ok()
    }

    fn no_space(&self) -> Error {
        let vg = self.vg;
        let bytes = |extents: Extents| extents.sectors(vg.extent_size).bytes();
        let free: Extents = free_places(vg, self.request).iter().map(|place| place.run.length).sum();
        let (free, wanted) = (bytes(free), bytes(self.request.extents));
        let by_tags = !self.request.cling_tags.is_empty();
        let whose = if self.request.on.is_empty() { "" } else { " on those devices" };
        let cause = match self.request.stripes {
            stripes if stripes > 1 => {
                format!(
                    "volume group {} has {free} free{whose}, but not {wanted} over {stripes} physical volumes",
                    vg.name
                )
            }
            _ if free >= wanted => {
                let how = match (self.request.policy, &self.request.grows) {
                    (Policy::Cling, _) if by_tags => "on physical volumes of the same tags",
                    (Policy::Cling, Some(_)) => "where the volume is",
                    (Policy::Cling, None) => "on one physical volume",
                    (_, Some(_)) => "behind the volume's end",
                    _ => "in one piece",
                };
                format!("volume group {} has {free} free{whose}, but not {wanted} {how}", vg.name)
            }
            _ => format!("volume group {} has {free} free{whose}, {wanted} are needed", vg.name),
        };
        let hint = format!(
            "free space, add a device with `dmsnap vg extend {} DEV`, or give a smaller --size",
            vg.name
        );
        Error::new(Kind::NoSpace, cause).hint(hint)
    }
}

/// As much of a run as is missing.
fn take(place: Place, missing: &mut Extents) -> Row {
    let length = place.run.length.min(*missing);
    *missing = *missing - length;
    Row { length, areas: vec![(place.pv, place.run.start)] }
}

fn segments(begin: Extents, stripe_size: Option<Sectors>, rows: Vec<Row>) -> Vec<Segment> {
    let mut start = begin;
    let mut segments = Vec::new();
    for row in rows {
        let length = Extents(row.length.get().saturating_mul(row.areas.len() as u64));
        let areas = row.areas.into_iter().map(|(pv, start)| Area::Pv { pv, start }).collect();
        segments.push(Segment {
            start,
            length,
            kind: SegmentKind::Striped { stripe_size, areas },
            tags: Vec::new(),
        });
        start += length;
    }
    segments
}

#[cfg(test)]
mod tests;
