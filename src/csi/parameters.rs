//! The parameters of storage and snapshot classes, as HwameiStor's users have them.
//!
//! What dmsnap does not do is refused in words, and so is a parameter that it does not know: a misspelt one would otherwise be obeyed by
//! nobody. What the sidecars add (`csi.storage.k8s.io/…`) is theirs.

use std::collections::HashMap;

use tonic::Status;

use crate::lvm::VgName;
use crate::units::{Bytes, ChunkSize, Size, Whole};

const SIDECARS: &str = "csi.storage.k8s.io/";
/// The volume groups that are HwameiStor's pools.
const CLASSES: [(&str, &str); 3] =
    [("HDD", "LocalStorage_PoolHDD"), ("SSD", "LocalStorage_PoolSSD"), ("NVMe", "LocalStorage_PoolNVMe")];

/// What is asked of a new volume beside its size.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VolumeParameters {
    /// The pool that is named.
    pub vg: Option<VgName>,
    /// Spread over the pool's disks.
    pub striped: bool,
}

impl VolumeParameters {
    /// The pool it goes to; `usual` is the one where none is named.
    pub fn pool(&self, usual: Option<&VgName>) -> Result<VgName, Status> {
        self.vg.as_ref().or(usual).cloned().ok_or_else(|| {
            Status::invalid_argument(
                "no parameter says where the volume goes; give poolClass or vg, or start dmsnap csi with --vg",
            )
        })
    }
}

/// What is asked of a new snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SnapshotParameters {
    /// Of the store; none for one that cannot overflow.
    pub size: Option<Size>,
    /// Of one chunk of it.
    pub chunk: ChunkSize,
}

/// The parameters of a volume.
pub fn of_volume(given: &HashMap<String, String>) -> Result<VolumeParameters, Status> {
    let (mut pools, mut striped) = (Vec::new(), false);
    for (key, value) in given {
        match key.as_str() {
            "poolClass" => pools.push(class(value)?),
            "vg" => pools.push(value.parse::<VgName>()?),
            "striped" => striped = flag(key, value)?,
            "poolType" => only(key, value, "REGULAR", "pools are of volume groups")?,
            "volumeKind" => only(key, value, "LVM", "volumes are logical volumes")?,
            "replicaNumber" => only(key, value, "1", "dmsnap does not replicate")?,
            "convertible" => only(key, value, "false", "dmsnap does not replicate")?,
            "thin" => only(key, value, "false", "volumes have all of their space")?,
            "provision-throughput-on-creation" | "provision-iops-on-creation" => {
                only(key, value, "", "dmsnap limits no I/O")?;
            }
            "fstype" => drop(super::capability::file_system(value)?),
            _ if key.starts_with(SIDECARS) => {}
            _ => return Err(unknown(key, "volume")),
        }
    }
    if pools.len() > 1 {
        return Err(Status::invalid_argument(
            "poolClass and vg both say where the volume goes; give one of them",
        ));
    }
    Ok(VolumeParameters { vg: pools.pop(), striped })
}

/// The parameters of a snapshot.
pub fn of_snapshot(given: &HashMap<String, String>) -> Result<SnapshotParameters, Status> {
    let mut parameters = SnapshotParameters { size: None, chunk: ChunkSize::DEFAULT };
    for (key, value) in given {
        match key.as_str() {
            "snapsize" => parameters.size = Some(store_size(value)?),
            "chunksize" => parameters.chunk = ChunkSize::new(bytes(key, value)?)?,
            _ if key.starts_with(SIDECARS) => {}
            _ => return Err(unknown(key, "snapshot")),
        }
    }
    Ok(parameters)
}

fn class(value: &str) -> Result<VgName, Status> {
    let known = CLASSES.iter().find(|(class, _)| *class == value);
    let (_, vg) = known.ok_or_else(|| {
        Status::invalid_argument(format!("poolClass is {value:?}; it can be HDD, SSD or NVMe"))
    })?;
    Ok(vg.parse()?)
}

fn flag(key: &str, value: &str) -> Result<bool, Status> {
    value
        .parse()
        .map_err(|_| Status::invalid_argument(format!("{key} is {value:?}; it can be true or false")))
}

fn only(key: &str, value: &str, possible: &str, because: &str) -> Result<(), Status> {
    if value == possible {
        return Ok(());
    }
    let instead = if possible.is_empty() {
        "leave it away".to_owned()
    } else {
        format!("only {possible:?} is possible")
    };
    Err(Status::invalid_argument(format!("{key} is {value:?}, and {because}: {instead}")))
}

fn unknown(key: &str, what: &str) -> Status {
    Status::invalid_argument(format!("dmsnap knows no parameter {key:?} of a {what}"))
}

/// `25%` is of the origin.
fn store_size(value: &str) -> Result<Size, Status> {
    let Some(number) = value.strip_suffix('%') else { return bytes("snapsize", value).map(Size::Absolute) };
    let percent = number.parse().ok().filter(|percent| *percent > 0);
    let percent = percent
        .ok_or_else(|| Status::invalid_argument(format!("snapsize is {value:?}: no whole percentage")))?;
    Ok(Size::Percent(percent, Whole::Origin))
}

fn bytes(key: &str, value: &str) -> Result<Bytes, Status> {
    quantity(value).ok_or_else(|| {
        Status::invalid_argument(format!(
            "{key} is {value:?}; write bytes, or a quantity such as 512Mi or 10Gi"
        ))
    })
}

/// A quantity as Kubernetes writes it: bytes, decimal with k, M, G, T, P, E, binary with an i behind.
fn quantity(text: &str) -> Option<Bytes> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let power = |letters: &str, letter: &str| letters.find(letter).and_then(|at| u32::try_from(at + 1).ok());
    let scale = match unit.strip_suffix('i') {
        _ if unit.is_empty() => 1,
        Some(letter) if letter.len() == 1 => 1024_u64.checked_pow(power("KMGTPE", letter)?)?,
        None if unit.len() == 1 => 1000_u64.checked_pow(power("kMGTPE", unit)?)?,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(scale).filter(|bytes| *bytes > 0).map(Bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(pairs: &[(&str, &str)]) -> HashMap<String, String> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    fn volume(pairs: &[(&str, &str)]) -> Result<VolumeParameters, Status> {
        of_volume(&map(pairs))
    }

    #[test]
    fn a_storage_class_of_hwameistor_is_understood() {
        let class = [
            ("convertible", "false"),
            ("csi.storage.k8s.io/fstype", "xfs"),
            ("csi.storage.k8s.io/pvc/name", "data"),
            ("poolClass", "HDD"),
            ("poolType", "REGULAR"),
            ("replicaNumber", "1"),
            ("striped", "true"),
            ("volumeKind", "LVM"),
        ];
        let vg = Some("LocalStorage_PoolHDD".parse().unwrap());
        assert_eq!(volume(&class).unwrap(), VolumeParameters { vg, striped: true });
    }

    #[test]
    fn what_dmsnap_does_not_do_or_know_is_refused_in_words() {
        let cases = [
            ("replicaNumber", "2", "replicate"),
            ("convertible", "true", "replicate"),
            ("thin", "true", "space"),
            ("poolClass", "TAPE", "HDD, SSD or NVMe"),
            ("volumeKind", "DISK", "LVM"),
            ("provision-iops-on-creation", "100", "limits"),
            ("striped", "yes", "true or false"),
            ("fstype", "ntfs", "ext4"),
            ("polClass", "HDD", "polClass"),
        ];
        for (key, value, words) in cases {
            let status = volume(&[("vg", "vg0"), (key, value)]).unwrap_err();
            assert_eq!(status.code(), tonic::Code::InvalidArgument, "{key}");
            assert!(status.message().contains(words), "{key}: {}", status.message());
        }
        assert!(volume(&[]).unwrap().pool(None).unwrap_err().message().contains("poolClass"));
        assert!(volume(&[("vg", "vg0"), ("poolClass", "SSD")]).unwrap_err().message().contains("both"));
    }

    #[test]
    fn a_store_is_as_large_as_bytes_quantities_or_percentages_say() {
        let size = |text: &str| of_snapshot(&map(&[("snapsize", text)])).ok().and_then(|of| of.size);
        assert_eq!(of_snapshot(&map(&[])).unwrap().size, None);
        assert_eq!(size("1073741824"), Some(Size::Absolute(Bytes::gib(1))));
        assert_eq!(size("512Mi"), Some(Size::Absolute(Bytes::mib(512))));
        assert_eq!(size("2G"), Some(Size::Absolute(Bytes(2_000_000_000))));
        assert_eq!(size("20%"), Some(Size::Percent(20, Whole::Origin)));
        for bad in ["", "0", "0%", "x%", "1.5Gi", "10Q", "Gi", "-1", "99999999999Ei"] {
            assert_eq!(size(bad), None, "{bad}");
        }
        assert!(of_snapshot(&map(&[("snapsze", "1Gi")])).is_err());
    }
}
