//! The devices file: which devices LVM2 uses, by identities that outlive a reboot.

use std::path::{Path, PathBuf};

use crate::block::{Identity, Listed};

/// The driver numbers of md arrays and loop devices.
const MD: u32 = 9;
const LOOP: u32 = 7;

/// One device of the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    kind: IdKind,
    name: String,
    partition: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum IdKind {
    Devname,
    Sysfs(Identity),
    /// A device-mapper uuid that begins so.
    Dm(&'static str),
}

/// The entries of a text; lines that are none are passed over, as LVM2 does it.
pub(super) fn parse(text: &str) -> Vec<Entry> {
    text.lines().filter(|line| !line.starts_with('#')).filter_map(entry).collect()
}

fn entry(line: &str) -> Option<Entry> {
    let field = |key: &str| {
        let values = line.split_whitespace().filter_map(|word| word.split_once('='));
        values.filter(|(found, _)| *found == key).map(|(_, value)| value).find(|value| *value != ".")
    };
    let kind = match field("IDTYPE")? {
        "devname" => IdKind::Devname,
        "sys_wwid" => IdKind::Sysfs(Identity::Wwid),
        "sys_serial" => IdKind::Sysfs(Identity::Serial),
        "md_uuid" => IdKind::Sysfs(Identity::MdUuid),
        "loop_file" => IdKind::Sysfs(Identity::LoopFile),
        "mpath_uuid" => IdKind::Dm("mpath-"),
        "crypt_uuid" => IdKind::Dm("CRYPT-"),
        "lvmlv_uuid" => IdKind::Dm("LVM-"),
        _ => return None,
    };
    let partition = field("PART").filter(|part| *part != "0").map(ToOwned::to_owned);
    Some(Entry { kind, name: field("IDNAME")?.to_owned(), partition })
}

impl Entry {
    pub fn is(
        &self,
        listed: &Listed,
        aliases: &[PathBuf],
        identity: &dyn Fn(Identity) -> Option<String>,
    ) -> bool {
        if identity(Identity::Partition) != self.partition {
            return false;
        }
        match self.kind {
            IdKind::Devname => aliases.iter().any(|alias| alias == Path::new(&self.name)),
            IdKind::Dm(prefix) => listed.dm_uuid.as_deref().is_some_and(|uuid| {
                // A partition of a multipath device is `part1-mpath-...`.
                let begins = uuid.starts_with(prefix)
                    || uuid
                        .strip_prefix("part")
                        .and_then(|rest| rest.split_once('-'))
                        .is_some_and(|(_, rest)| rest.starts_with(prefix));
                begins && plain(uuid) == plain(&self.name)
            }),
            IdKind::Sysfs(kind) => {
                fits(kind, listed) && identity(kind).is_some_and(|id| plain(&id) == plain(&self.name))
            }
        }
    }
}

/// A stacked device shows the identities of what is below it: only its own kind counts.
fn fits(kind: Identity, listed: &Listed) -> bool {
    match kind {
        Identity::MdUuid => listed.number.major == MD,
        Identity::LoopFile => listed.number.major == LOOP,
        _ => listed.dm_uuid.is_none() && listed.number.major != MD && listed.number.major != LOOP,
    }
}

/// Blank space is written as underscores, by some versions one for a whole run and none at the end.
fn plain(text: &str) -> String {
    let blank = |character: char| character.is_whitespace() || character.is_control() || character == '_';
    text.split(blank).filter(|part| !part.is_empty()).collect::<Vec<_>>().join("_")
}
