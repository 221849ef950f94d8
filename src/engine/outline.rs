//! What an operation does, in order, as data: what it writes, and what it asks of the kernel. How it is printed is the command
//! line's.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Serialize, Serializer};

use super::blank::Blank;
use super::plan::{Step, switch_text};
use crate::dm::{DmName, DmUuid, SwitchStep};
use crate::lvm::{Edit, VgName};

/// When something is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// In the metadata.
    Metadata,
    /// While I/O goes on.
    Prepare,
    /// While I/O waits.
    Switch,
    /// When it goes on again.
    Cleanup,
    /// Never: it cannot be done.
    Stuck,
}

/// One thing that is done, or why it cannot be. As JSON its phase and its text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    /// Free extents are wiped.
    Blank(Blank),
    /// A device becomes a physical volume.
    Label {
        /// What to call it.
        device: String,
        /// Other signatures are erased first.
        wipe: bool,
    },
    /// It is none any more.
    Unlabel {
        /// What to call it.
        device: String,
    },
    /// The metadata changes.
    Edit(Edit),
    /// A volume group begins.
    MakeVg(VgName),
    /// A volume group ends.
    RemoveVg(VgName),
    /// A version of the metadata, and what becomes of it.
    Version(String),
    /// Older copies of the metadata become what the newest is.
    Renew,
    /// A step outside the switch.
    Step {
        /// Before it or after it.
        phase: Phase,
        /// The step.
        step: Step,
        /// What the devices that it names by uuid are called.
        layers: BTreeMap<DmUuid, DmName>,
    },
    /// A step of the switch.
    Switch(SwitchStep),
    /// A family of volumes for which no plan can be made, and why.
    Stuck(String),
}

impl Entry {
    /// When it is done.
    pub fn phase(&self) -> Phase {
        match self {
            Self::Edit(_)
            | Self::MakeVg(_)
            | Self::RemoveVg(_)
            | Self::Version(_)
            | Self::Renew
            | Self::Unlabel { .. } => Phase::Metadata,
            Self::Blank(_) | Self::Label { .. } => Phase::Prepare,
            Self::Step { phase, .. } => *phase,
            Self::Switch(_) => Phase::Switch,
            Self::Stuck(_) => Phase::Stuck,
        }
    }

    /// Edits, in order.
    pub(super) fn edits(edits: &[Edit]) -> impl Iterator<Item = Self> {
        edits.iter().cloned().map(Self::Edit)
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Blank(blank) => write!(f, "{blank}"),
            Self::Label { device, wipe: false } => write!(f, "label {device}"),
            Self::Label { device, wipe: true } => write!(f, "wipe and label {device}"),
            Self::Unlabel { device } => write!(f, "wipe the label of {device}"),
            Self::Edit(edit) => write!(f, "{edit}"),
            Self::MakeVg(vg) => write!(f, "make volume group {vg}"),
            Self::RemoveVg(vg) => write!(f, "remove volume group {vg}"),
            Self::Renew => f.write_str("renew older copies"),
            Self::Step { step, layers, .. } => f.write_str(&step.text(layers)),
            Self::Switch(step) => f.write_str(&switch_text(step)),
            Self::Version(words) | Self::Stuck(words) => f.write_str(words),
        }
    }
}

impl Serialize for Entry {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Said {
            phase: Phase,
            text: String,
        }
        Said { phase: self.phase(), text: self.to_string() }.serialize(serializer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dm::Freeze;

    #[test]
    fn a_program_reads_phases_and_texts_without_marks() {
        let name = DmName::new("vg-db").unwrap();
        let plan = [
            Entry::Label { device: "/dev/sdc".into(), wipe: true },
            Entry::Renew,
            Entry::Switch(SwitchStep::Suspend(name.clone(), Freeze::Io)),
            Entry::Step { phase: Phase::Cleanup, step: Step::Clear(name), layers: BTreeMap::new() },
            Entry::Stuck("vg-db is in the way".into()),
        ];
        let object = |phase: &str, text: &str| serde_json::json!({ "phase": phase, "text": text });
        let said = [
            object("prepare", "wipe and label /dev/sdc"),
            object("metadata", "renew older copies"),
            object("switch", "suspend vg-db"),
            object("cleanup", "clear the inactive table of vg-db"),
            object("stuck", "vg-db is in the way"),
        ];
        assert_eq!(serde_json::to_value(plan).unwrap(), serde_json::json!(said));
    }
}
