//! Which free extents a volume gets. Pure: a volume group and a request in, segments out.
//!
//! Linear requests take one contiguous run where there is one, else as few pieces as possible; striped requests take
//! distinct physical volumes. A volume that grows continues where it ends if it can.

use super::model::{Segment, Vg};
use super::name::{LvName, Uuid};
use crate::error::Result;
use crate::units::{Extents, Sectors};

/// How free extents are chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Policy {
    /// One piece or nothing (each stripe one piece).
    Contiguous,
    /// As few pieces as possible.
    #[default]
    Normal,
    /// As few pieces as possible; stripes may share a physical volume.
    Anywhere,
}

/// What is wanted.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Request {
    /// How many; rounded up to a multiple of `stripes`.
    pub extents: Extents,
    /// How many stripes; 0 and 1 are linear.
    pub stripes: u64,
    /// Sectors in one stripe; nothing for LVM2's 64 KiB.
    pub stripe_size: Option<Sectors>,
    /// The physical volumes to choose from; empty for all.
    pub on: Vec<Uuid>,
    /// How they are chosen.
    pub policy: Policy,
    /// The volume that grows by them: the segments then start at its end, and continue its last ones if they can.
    pub grows: Option<LvName>,
}

/// Chooses extents. [`crate::error::Kind::NoSpace`] if there are not enough, with the sizes and the way out.
pub fn allocate(vg: &Vg, request: &Request) -> Result<Vec<Segment>> {
    let _ = (vg, request);
    todo!()
}
