//! The changes that a kernel can be asked for, as data.

use std::fmt;
use std::path::PathBuf;

use crate::block::DevNo;
use crate::dm::{CloneMessage, DmName, DmUuid, Freeze, Table, UdevFlags};

/// A change that was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Call {
    Create(DmName, DmUuid),
    Load(DmName, Table<DevNo>, bool),
    Clear(DmName),
    Message(DmName, CloneMessage),
    /// The file system mounted from it is written back.
    Sync(DmName),
    Suspend(DmName, Freeze),
    Resume(DmName, UdevFlags),
    Remove(DmName, UdevFlags),
    Rename(DmName, DmName, UdevFlags),
    Publish(DmName, Option<PathBuf>),
    Retract(DmName, Option<PathBuf>),
}

/// A line that a test can compare: `suspend vg-db`, `load vg-db: 0 8 zero`.
impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Create(name, _) => write!(f, "create {name}"),
            Self::Load(name, table, read_only) => {
                let lines = table.to_string().replace('\n', "; ");
                write!(f, "load {name}: {lines}{}", if *read_only { " (read-only)" } else { "" })
            }
            Self::Clear(name) => write!(f, "clear {name}"),
            Self::Message(name, message) => write!(f, "tell {name} to {message}"),
            Self::Sync(name) => write!(f, "sync the file system on {name}"),
            Self::Suspend(name, Freeze::FileSystem) => write!(f, "suspend {name} and its file system"),
            Self::Suspend(name, Freeze::Io) => write!(f, "suspend {name}"),
            Self::Suspend(name, Freeze::Unopened) => write!(f, "suspend {name} if it is closed"),
            Self::Resume(name, _) => write!(f, "resume {name}"),
            Self::Remove(name, _) => write!(f, "remove {name}"),
            Self::Rename(name, new, _) => write!(f, "rename {name} to {new}"),
            Self::Publish(name, None) => write!(f, "publish {name}"),
            Self::Publish(name, Some(link)) => write!(f, "publish {name} as {}", link.display()),
            Self::Retract(name, None) => write!(f, "retract {name}"),
            Self::Retract(name, Some(link)) => write!(f, "retract {name} and {}", link.display()),
        }
    }
}
