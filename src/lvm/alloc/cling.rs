//! Clinging: a volume stays on the physical volumes that it is on, or on those that bear one of the same tags: one site of several.
//!
//! Which tags count is LVM2's `allocation/cling_tag_list`. As there, with such a list a new volume begins on the first physical
//! volumes that can hold it in one piece (of equal tags only one for several stripes), and goes on in the metadata's order.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::str::FromStr;

use super::places::Places;
use super::{Choice, Place, Row, free_places};
use crate::error::{Error, Kind, Result};
use crate::lvm::model::{Area, Pv, SegmentKind};
use crate::lvm::name::Tag;
use crate::units::Extents;

/// An entry of `allocation/cling_tag_list`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClingTag {
    /// `@*`: any tag that both bear.
    Any,
    /// `@tag`
    Named(Tag),
}

impl FromStr for ClingTag {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text.strip_prefix('@') {
            Some("*") => Ok(Self::Any),
            Some(tag) => Ok(Self::Named(tag.parse()?)),
            None => Err(Error::new(Kind::Usage, format!("\"{text}\" does not begin with @"))),
        }
    }
}

impl ClingTag {
    fn ties(&self, one: &Pv, other: &Pv) -> bool {
        match self {
            Self::Any => one.tags.iter().any(|tag| other.tags.contains(tag)),
            Self::Named(tag) => one.tags.contains(tag) && other.tags.contains(tag),
        }
    }
}

impl Choice<'_> {
    /// Every stripe stays on the physical volumes that it is on, and one that is on none on one alone; by tags also on others.
    pub(super) fn clinging(&self, stripes: usize, per_stripe: Extents) -> Result<Vec<Row>> {
        let mut places: Places = free_places(self.vg, self.request).into_iter().collect();
        let mut missing = per_stripe;
        let mut rows: Vec<Row> = self.continued(&mut places, stripes, &mut missing).into_iter().collect();
        let by_tags = !self.request.cling_tags.is_empty();
        let mut homes = self.homes();
        if homes.len() != stripes && by_tags {
            let first = self.first(&places, stripes, missing);
            homes = first.iter().map(|place| BTreeSet::from([place.pv])).collect();
            rows.push(self.row(&mut places, &first, stripes, &mut missing)?);
        } else if homes.len() != stripes {
            homes = places.roomiest(stripes).into_iter().map(|pv| BTreeSet::from([pv])).collect();
        }
        let related = if by_tags { self.related(&homes) } else { Vec::new() };
        while !missing.is_zero() {
            let mut chosen = on(&places, &homes);
            if chosen.len() < stripes && by_tags {
                chosen = on(&places, &related);
            }
            if chosen.len() < stripes && self.will_do(&rows) {
                break;
            }
            rows.push(self.row(&mut places, &chosen, stripes, &mut missing)?);
        }
        Ok(rows)
    }

    /// These physical volumes, and those that bear a tag of one of them.
    fn related(&self, homes: &[BTreeSet<usize>]) -> Vec<BTreeSet<usize>> {
        let with_others = |home: &BTreeSet<usize>| {
            let is_in = |pv: &usize| home.contains(pv) || home.iter().any(|own| self.is_tied(*own, *pv));
            (0..self.vg.pvs.len()).filter(is_in).collect()
        };
        homes.iter().map(with_others).collect()
    }

    fn is_tied(&self, one: usize, other: usize) -> bool {
        let (Some(one), Some(other)) = (self.vg.pvs.get(one), self.vg.pvs.get(other)) else { return false };
        self.request.cling_tags.iter().any(|tag| tag.ties(one, other))
    }

    /// Where a volume begins that is nowhere yet: on physical volumes that hold its stripes in one piece, or the most of them; no two
    /// of one tag.
    fn first(&self, places: &Places, stripes: usize, per_stripe: Extents) -> Vec<Place> {
        let is_enough = |place: &Place| place.run.length >= per_stripe;
        // Of each physical volume the smallest run that is large enough, or the largest.
        let best = |pv| places.on(pv).take_while(is_enough).last().or_else(|| places.on(pv).next());
        let mut order: Vec<_> = (0..self.vg.pvs.len()).filter_map(best).collect();
        order.sort_by_key(|place| (Reverse(place.run.length.min(per_stripe)), place.pv));
        let mut chosen: Vec<Place> = Vec::new();
        for place in order {
            if chosen.len() < stripes && !chosen.iter().any(|other| self.is_tied(other.pv, place.pv)) {
                chosen.push(place);
            }
        }
        chosen
    }

    /// The physical volumes that each stripe of the volume that grows is on.
    fn homes(&self) -> Vec<BTreeSet<usize>> {
        let lv = self.request.grows.as_ref().and_then(|name| self.vg.lv(name));
        let mut homes = vec![BTreeSet::new(); self.tail.len()];
        let segments = lv.iter().flat_map(|lv| &lv.segments);
        for segment in segments {
            let SegmentKind::Striped { areas, .. } = &segment.kind else { continue };
            // Parts of another number of stripes say nothing about these.
            for (home, area) in homes.iter_mut().zip(areas).filter(|_| areas.len() == self.tail.len()) {
                if let Area::Pv { pv, .. } = area {
                    home.insert(*pv);
                }
            }
        }
        homes
    }
}

/// For each of these sets of physical volumes the largest run on the first of them that has one; no two on one physical volume,
/// unless there is no other to be on.
fn on(places: &Places, homes: &[BTreeSet<usize>]) -> Vec<Place> {
    let mut chosen: Vec<Place> = Vec::new();
    for home in homes {
        let is_free = |place: &Place| match home.len() {
            1 => !chosen.contains(place),
            _ => chosen.iter().all(|taken| taken.pv != place.pv),
        };
        let place = home.iter().find_map(|pv| places.on(*pv).find(is_free));
        chosen.extend(place);
    }
    chosen
}
