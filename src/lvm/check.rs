//! What makes a volume group ours to change, or not, in words.
//!
//! [`refusal`] judges a volume group as it was found; [`validate`] judges one that is to be written, as LVM2 does
//! before each write, and more: names must fit into device-mapper's.

use super::model::Vg;
use super::name::VgName;
use crate::error::{Context, Error, Kind, Result};

/// What a host is to volume groups that have an owner.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Host {
    /// Its system id, if it has one.
    pub system_id: Option<String>,
    /// Others' system ids that it may use as its own.
    pub extra_system_ids: Vec<String>,
}

/// Why a volume group may not be changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The volume group.
    pub vg: VgName,
    /// What was found, as a sentence: `volume group vg0 is exported`.
    pub reason: String,
    /// The way out, if there is one.
    pub hint: Option<String>,
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        let error = Self::new(Kind::Refused, refusal.reason).at(Context::Vg(refusal.vg.to_string()));
        match refusal.hint {
            Some(hint) => error.hint(hint),
            None => error,
        }
    }
}

/// Why this volume group, as its text has it, may not be changed by this host; nothing if it may.
pub fn refusal(vg: &Vg, host: &Host) -> Option<Refusal> {
    let _ = (vg, host);
    todo!()
}

/// Checks a volume group before it is written.
pub fn validate(vg: &Vg) -> Result<()> {
    let _ = vg;
    todo!()
}
