//! Clinging: a volume stays on the physical volumes that it is on, or on those that bear one of the same tags: one site of several.
//!
//! Which tags count is LVM2's `allocation/cling_tag_list`. As there, with such a list a new volume begins on the first physical
//! volumes that can hold it in one piece (of equal tags only one for several stripes), and goes on in the metadata's order.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::str::FromStr;

use super::{Choice, Row};
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
    pub(super) fn clinging(&mut self, stripes: usize, per_stripe: Extents) -> Result<Vec<Row>> {
        let mut missing = per_stripe;
        let mut rows: Vec<Row> = self.continued(stripes, &mut missing).into_iter().collect();
        let by_tags = !self.request.cling_tags.is_empty();
        let mut homes = self.homes();
        if homes.len() != stripes && by_tags {
            let first = self.first(stripes, missing);
            homes = first.iter().filter_map(|at| Some(vec![self.places.get(*at)?.pv])).collect();
            rows.push(self.row(&first, stripes, &mut missing)?);
        } else if homes.len() != stripes {
            homes = self.roomiest(stripes);
        }
        while !missing.is_zero() {
            let mut chosen = self.on(&homes);
            if chosen.len() < stripes && by_tags {
                chosen = self.on(&self.related(&homes));
            }
            if chosen.len() < stripes && self.will_do(&rows) {
                break;
            }
            rows.push(self.row(&chosen, stripes, &mut missing)?);
        }
        Ok(rows)
    }

    /// For each of these sets of physical volumes the largest run on the first of them that has one.
    fn on(&self, homes: &[Vec<usize>]) -> Vec<usize> {
        let mut chosen: Vec<(usize, usize)> = Vec::new();
        for home in homes {
            let is_alone = home.iter().all(|pv| home.first() == Some(pv));
            let is_free = |at: usize, pv: usize| {
                chosen.iter().all(|taken| taken.0 != at && (taken.1 != pv || is_alone))
            };
            let places = self.places.iter().map(|place| place.pv).enumerate();
            let free = places.filter(|(at, pv)| home.contains(pv) && is_free(*at, *pv));
            chosen.extend(free.min_by_key(|(at, pv)| (*pv, *at)));
        }
        chosen.into_iter().map(|(at, _)| at).collect()
    }

    /// These physical volumes, and those that bear a tag of one of them.
    fn related(&self, homes: &[Vec<usize>]) -> Vec<Vec<usize>> {
        let with_others = |home: &Vec<usize>| {
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
    fn first(&self, stripes: usize, per_stripe: Extents) -> Vec<usize> {
        // Of each physical volume the smallest run that is large enough, or the largest.
        let mut best = BTreeMap::<usize, (usize, Extents)>::new();
        for (at, place) in self.places.iter().enumerate() {
            let length = place.run.length;
            if length >= per_stripe || !best.contains_key(&place.pv) {
                best.insert(place.pv, (at, length.min(per_stripe)));
            }
        }
        let mut order: Vec<_> = best.into_iter().collect();
        order.sort_by_key(|(pv, (_, length))| (Reverse(*length), *pv));
        let mut chosen: Vec<(usize, usize)> = Vec::new();
        for (pv, (at, _)) in order {
            if chosen.len() < stripes && !chosen.iter().any(|(other, _)| self.is_tied(*other, pv)) {
                chosen.push((pv, at));
            }
        }
        chosen.into_iter().map(|(_, at)| at).collect()
    }

    /// The physical volumes that each stripe of the volume that grows is on.
    fn homes(&self) -> Vec<Vec<usize>> {
        let lv = self.request.grows.as_ref().and_then(|name| self.vg.lv(name));
        let mut homes: Vec<Vec<usize>> = vec![Vec::new(); self.tail.len()];
        let segments = lv.iter().flat_map(|lv| &lv.segments);
        for segment in segments {
            let SegmentKind::Striped { areas, .. } = &segment.kind else { continue };
            // Parts of another number of stripes say nothing about these.
            for (home, area) in homes.iter_mut().zip(areas).filter(|_| areas.len() == self.tail.len()) {
                if let Area::Pv { pv, .. } = area {
                    home.push(*pv);
                }
            }
        }
        homes
    }

    /// So many physical volumes, those with the most room.
    fn roomiest(&self, stripes: usize) -> Vec<Vec<usize>> {
        let mut room = BTreeMap::<usize, Extents>::new();
        for place in &self.places {
            *room.entry(place.pv).or_insert(Extents::ZERO) += place.run.length;
        }
        let mut pvs: Vec<_> = room.into_iter().collect();
        pvs.sort_by_key(|(pv, room)| (Reverse(*room), *pv));
        pvs.into_iter().take(stripes).map(|(pv, _)| vec![pv]).collect()
    }
}
