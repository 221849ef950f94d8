//! The devices file: which devices LVM2 uses, by identities that outlive a reboot.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::block::{Identity, Listed};

/// The driver numbers of md arrays and loop devices.
const MD: u32 = 9;
const LOOP: u32 = 7;

/// One device of the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub kind: IdKind,
    pub name: String,
    /// Where it was last seen.
    pub device: Option<String>,
    /// The physical volume that was on it.
    pub pvid: Option<String>,
    pub partition: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum IdKind {
    /// A name only: the one kind that is another device's after a reboot.
    Devname,
    Sysfs(Identity),
    /// A device-mapper uuid that begins so.
    Dm(&'static str),
}

/// The entries of a text; lines that are none are passed over, as LVM2 does it.
pub(super) fn parse(text: &str) -> Vec<Entry> {
    text.lines().filter_map(Entry::parse).collect()
}

fn entry(line: &str) -> Option<Entry> {
    if line.starts_with('#') {
        return None;
    }
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
    let text = |key: &str| field(key).map(ToOwned::to_owned);
    Some(Entry { kind, name: text("IDNAME")?, device: text("DEVNAME"), pvid: text("PVID"), partition })
}

impl IdKind {
    /// LVM2's word for it.
    fn word(self) -> &'static str {
        match self {
            Self::Devname => "devname",
            Self::Sysfs(Identity::Wwid) => "sys_wwid",
            Self::Sysfs(Identity::Serial) => "sys_serial",
            Self::Sysfs(Identity::MdUuid) => "md_uuid",
            Self::Sysfs(Identity::LoopFile) => "loop_file",
            Self::Sysfs(Identity::Partition) => ".",
            Self::Dm("mpath-") => "mpath_uuid",
            Self::Dm("CRYPT-") => "crypt_uuid",
            Self::Dm(_) => "lvmlv_uuid",
        }
    }
}

/// The line of the file.
impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = |text: &'_ Option<String>| text.clone().unwrap_or_else(|| ".".to_owned());
        let Self { kind, name, device, pvid, partition } = self;
        write!(f, "IDTYPE={} IDNAME={name} DEVNAME={} PVID={}", kind.word(), word(device), word(pvid))?;
        partition.as_ref().map_or(Ok(()), |partition| write!(f, " PART={partition}"))
    }
}

/// How LVM2 would know this device again: by the best of its identities, or by its name if it has none.
fn best(listed: &Listed, identity: &dyn Fn(Identity) -> Option<String>) -> (IdKind, String) {
    let sysfs = |kind| Some((IdKind::Sysfs(kind), spelled(&identity(kind)?)));
    let by_uuid = listed.dm_uuid.as_ref().and_then(|uuid| {
        let is = |prefix: &&str| dm_uuid_begins(uuid, prefix);
        DM_PREFIXES.iter().find(|prefix| is(prefix)).map(|prefix| (IdKind::Dm(prefix), uuid.clone()))
    });
    let known = match listed.number.major {
        LOOP => sysfs(Identity::LoopFile),
        MD => sysfs(Identity::MdUuid),
        _ => by_uuid.or_else(|| sysfs(Identity::Wwid)).or_else(|| sysfs(Identity::Serial)),
    };
    known.unwrap_or_else(|| (IdKind::Devname, listed.path.display().to_string()))
}

/// The kinds of device-mapper devices that LVM2 knows by their uuids.
const DM_PREFIXES: [&str; 3] = ["mpath-", "CRYPT-", "LVM-"];

/// A partition of a multipath device is `part1-mpath-...`.
fn dm_uuid_begins(uuid: &str, prefix: &str) -> bool {
    let whole = uuid.strip_prefix("part").and_then(|rest| rest.split_once('-')).map(|(_, rest)| rest);
    uuid.starts_with(prefix) || whole.is_some_and(|whole| whole.starts_with(prefix))
}

/// Blank space would end the name in the file.
fn spelled(id: &str) -> String {
    id.replace(|character: char| character.is_whitespace() || character.is_control(), "_")
}

/// True if the device is known by more than its name.
pub(super) fn has_identity(listed: &Listed, identity: &dyn Fn(Identity) -> Option<String>) -> bool {
    best(listed, identity).0 != IdKind::Devname
}

impl Entry {
    /// The entry of a line; nothing if it is none.
    pub fn parse(line: &str) -> Option<Self> {
        entry(line)
    }

    /// A device as LVM2 would put it into the file, with this physical volume on it.
    pub fn of(listed: &Listed, identity: &dyn Fn(Identity) -> Option<String>, pvid: &str) -> Self {
        let (kind, name) = best(listed, identity);
        let device = Some(listed.path.display().to_string());
        Self { kind, name, device, pvid: Some(pvid.to_owned()), partition: identity(Identity::Partition) }
    }

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
            IdKind::Dm(prefix) => listed
                .dm_uuid
                .as_deref()
                .is_some_and(|uuid| dm_uuid_begins(uuid, prefix) && plain(uuid) == plain(&self.name)),
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
