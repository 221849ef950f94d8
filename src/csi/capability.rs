//! How a volume is to be used: what can be done is checked here, for every service.

use std::fmt;

use tonic::Status;

use super::proto::VolumeCapability;
use super::proto::volume_capability::AccessType;
use super::proto::volume_capability::access_mode::Mode;

/// A file system that volumes are made with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileSystem {
    /// The one that is made where none is named.
    Ext4,
    /// The other one.
    Xfs,
}

impl fmt::Display for FileSystem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ext4 => "ext4",
            Self::Xfs => "xfs",
        })
    }
}

/// The form in which a volume is used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Form {
    /// As a device.
    Block,
    /// As a mounted file system, with these options.
    Mount(FileSystem, Vec<String>),
}

/// How a volume is used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Use {
    /// In what form.
    pub form: Form,
    /// Nobody writes.
    pub read_only: bool,
    /// In one place only.
    pub alone: bool,
}

/// A file system by its name; the usual one for none.
pub fn file_system(name: &str) -> Result<FileSystem, Status> {
    match name {
        "" | "ext4" => Ok(FileSystem::Ext4),
        "xfs" => Ok(FileSystem::Xfs),
        _ => Err(Status::invalid_argument(format!(
            "the file system {name:?} is none that dmsnap makes; it can be ext4 or xfs"
        ))),
    }
}

/// What a capability asks for, if it can be had.
pub fn of(capability: Option<&VolumeCapability>) -> Result<Use, Status> {
    let capability =
        capability.ok_or_else(|| Status::invalid_argument("the volume capability is missing"))?;
    let mode = capability.access_mode.as_ref().map_or(Mode::Unknown, |access| access.mode());
    let (read_only, alone) = match mode {
        Mode::SingleNodeWriter | Mode::SingleNodeMultiWriter => (false, false),
        Mode::SingleNodeSingleWriter => (false, true),
        Mode::SingleNodeReaderOnly => (true, false),
        Mode::Unknown => return Err(Status::invalid_argument("the access mode is missing")),
        _ => {
            let words =
                format!("the access mode {} is not possible: a volume is on one host", mode.as_str_name());
            return Err(Status::invalid_argument(words));
        }
    };
    let form = match &capability.access_type {
        Some(AccessType::Block(_)) => Form::Block,
        Some(AccessType::Mount(mount)) if !mount.volume_mount_group.is_empty() => {
            return Err(Status::invalid_argument(
                "volume_mount_group is not possible; kubelet can change the group itself",
            ));
        }
        Some(AccessType::Mount(mount)) => {
            Form::Mount(file_system(&mount.fs_type)?, mount.mount_flags.clone())
        }
        None => return Err(Status::invalid_argument("the access type is missing: block or mount")),
    };
    Ok(Use { form, read_only, alone })
}

/// The same for several, of which there must be one.
pub fn all(capabilities: &[VolumeCapability]) -> Result<Vec<Use>, Status> {
    if capabilities.is_empty() {
        return Err(Status::invalid_argument("the volume capabilities are missing"));
    }
    capabilities.iter().map(|capability| of(Some(capability))).collect()
}

#[cfg(test)]
pub mod tests {
    use super::super::proto::volume_capability::{AccessMode, BlockVolume, MountVolume};
    use super::*;

    pub fn mount(fs_type: &str, mode: Mode) -> VolumeCapability {
        let mount = MountVolume { fs_type: fs_type.to_owned(), ..MountVolume::default() };
        VolumeCapability {
            access_type: Some(AccessType::Mount(mount)),
            access_mode: Some(AccessMode { mode: mode.into() }),
        }
    }

    #[test]
    fn a_volume_is_used_on_one_host() {
        for mode in [
            Mode::Unknown,
            Mode::MultiNodeReaderOnly,
            Mode::MultiNodeSingleWriter,
            Mode::MultiNodeMultiWriter,
        ] {
            assert!(of(Some(&mount("", mode))).is_err(), "{mode:?}");
        }
        assert!(of(Some(&mount("", Mode::SingleNodeSingleWriter))).unwrap().alone);
        assert!(of(Some(&mount("", Mode::SingleNodeReaderOnly))).unwrap().read_only);
    }

    #[test]
    fn it_is_a_device_ext4_or_xfs() {
        let form = |fs_type| of(Some(&mount(fs_type, Mode::SingleNodeWriter))).map(|asked| asked.form);
        assert_eq!(form("").unwrap(), Form::Mount(FileSystem::Ext4, Vec::new()));
        assert_eq!(form("xfs").unwrap(), Form::Mount(FileSystem::Xfs, Vec::new()));
        assert!(form("ntfs").is_err());
        let block = VolumeCapability {
            access_type: Some(AccessType::Block(BlockVolume {})),
            ..mount("", Mode::SingleNodeWriter)
        };
        assert_eq!(of(Some(&block)).unwrap().form, Form::Block);
        assert!(of(Some(&VolumeCapability { access_type: None, ..block })).is_err());
        assert!(all(&[]).is_err() && of(None).is_err());
    }
}
