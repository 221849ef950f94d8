//! The name by which volume groups know their host.

use std::path::{Path, PathBuf};

use hmac::{Hmac, Mac};
use sha2::Sha256;

use super::reader::Reader;
use crate::lvm::check::Host;

/// Where systemd keeps the machine's identity.
const MACHINE_ID: &str = "/etc/machine-id";

/// LVM2's own identity, for what is derived from the machine's.
const APPLICATION: u128 = 0xf644_0683_2c21_40e8_ac54_22d1_089a_ae03;

/// LVM2 keeps no longer ones.
const LENGTH_MAX: usize = 128;

/// Where this host's system id comes from, and others that it may act as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SystemId {
    /// Where from.
    pub source: SystemIdSource,
    /// Volume groups with these are this host's too (`local/extra_system_ids`).
    pub extra: Vec<String>,
}

/// Where a system id comes from (`global/system_id_source`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SystemIdSource {
    /// There is none.
    None,
    /// It is spelled out (`local/system_id`).
    Local(String),
    /// The machine's identity.
    MachineId,
    /// An identity derived from the machine's.
    AppMachineId,
    /// The node name.
    Uname,
    /// The first line of a file (`global/system_id_file`).
    File(PathBuf),
}

impl SystemId {
    pub(super) fn read(reader: &mut Reader) -> Self {
        let word = reader.text("global/system_id_source").unwrap_or_else(|| "none".to_owned());
        let source = match word.to_ascii_lowercase().as_str() {
            "none" => SystemIdSource::None,
            "lvmlocal" => reader.text("local/system_id").map_or(SystemIdSource::None, SystemIdSource::Local),
            "machineid" | "machine-id" => SystemIdSource::MachineId,
            "appmachineid" | "appmachine-id" => SystemIdSource::AppMachineId,
            "uname" => SystemIdSource::Uname,
            "file" => match reader.text("global/system_id_file").filter(|path| !path.is_empty()) {
                Some(path) => SystemIdSource::File(path.into()),
                None => SystemIdSource::None,
            },
            other => {
                reader.note(format!(
                    "global/system_id_source \"{other}\" is unknown: this host has no system id"
                ));
                SystemIdSource::None
            }
        };
        Self { source, extra: reader.texts("local/extra_system_ids") }
    }

    /// This host, whose node name is `node`, and what a person should know of it. `read` reads a small file.
    pub fn host(&self, node: &str, read: impl Fn(&Path) -> Option<String>) -> (Host, Option<String>) {
        let extra_system_ids = self.extra.iter().filter_map(|text| valid(text)).collect();
        let found = match &self.source {
            SystemIdSource::None => return (Host { system_id: None, extra_system_ids }, None),
            SystemIdSource::Local(text) => valid(text),
            SystemIdSource::MachineId => read(Path::new(MACHINE_ID)).and_then(|text| first_line(&text)),
            SystemIdSource::File(path) => read(path).and_then(|text| first_line(&text)),
            SystemIdSource::Uname => valid(node),
            SystemIdSource::AppMachineId => {
                read(Path::new(MACHINE_ID)).and_then(|text| of_application(text.trim()))
            }
        };
        let note = match (&found, &self.source) {
            (Some(_), _) => None,
            (None, source) => Some(format!("there is no valid system id in {source:?}: this host has none")),
        };
        (Host { system_id: found, extra_system_ids }, note)
    }
}

/// What systemd derives from a machine's identity for LVM2, so that the identity itself stays on the machine: a keyed checksum
/// in the form of a random uuid.
fn of_application(machine: &str) -> Option<String> {
    let machine = u128::from_str_radix(machine, 16).ok().filter(|_| machine.len() == 32)?;
    let mut keyed = Hmac::<Sha256>::new_from_slice(&machine.to_be_bytes()).ok()?;
    keyed.update(&APPLICATION.to_be_bytes());
    let mut id: [u8; 16] = *keyed.finalize().into_bytes().first_chunk()?;
    id[6] = id[6] & 0x0f | 0x40;
    id[8] = id[8] & 0x3f | 0x80;
    Some(format!("{:032x}", u128::from_be_bytes(id)))
}

/// The first line that says something.
fn first_line(text: &str) -> Option<String> {
    let lines = text.lines().map(str::trim_start);
    lines.filter(|line| !line.is_empty() && !line.starts_with('#')).find_map(valid)
}

/// What LVM2 makes of a text: characters that a name may not have are left out.
fn valid(text: &str) -> Option<String> {
    let start = text.trim_start_matches(|character: char| !character.is_ascii_alphanumeric());
    let allowed = |character: &char| character.is_ascii_alphanumeric() || "._-+".contains(*character);
    let id: String = start.chars().filter(allowed).take(LENGTH_MAX).collect();
    // So begin the node names of hosts that nobody named: no two would be different.
    (!id.is_empty() && !id.starts_with("localhost")).then_some(id)
}
