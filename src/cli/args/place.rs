//! How volumes and volume groups are named: `VG`, `VG/NAME`, or the paths of their devices, as lvm2 takes them.

use std::str::FromStr;

use crate::error::{Error, Kind, Result};
use crate::lvm::{LvName, VgName};

/// `VG/NAME`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VolumePath {
    /// The volume group.
    pub vg: VgName,
    /// The volume.
    pub name: LvName,
}

impl FromStr for VolumePath {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let text = without_dev(text);
        let Some((vg, name)) = text.split_once('/') else {
            return Err(Error::new(Kind::Usage, format!("\"{text}\" names no volume")).hint("write VG/NAME"));
        };
        Ok(Self { vg: vg.parse()?, name: name.parse()? })
    }
}

/// A volume group's name, or the path that its volumes have theirs under, as lvm2 takes it.
pub(super) fn group_name(text: &str) -> Result<VgName> {
    without_dev(text).parse()
}

fn without_dev(text: &str) -> &str {
    text.strip_prefix("/dev/").unwrap_or(text)
}

/// `NAME`, or `VG/NAME` as lvm2 takes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewName {
    vg: Option<VgName>,
    name: LvName,
}

impl NewName {
    /// The name. An error if it is in another volume group than the volume.
    pub fn within(&self, vg: &VgName) -> Result<&LvName> {
        match &self.vg {
            Some(other) if other != vg => Err(Error::new(
                Kind::Usage,
                format!("a volume of volume group {vg} cannot get a name in {other}"),
            )
            .hint("give the new name alone")),
            _ => Ok(&self.name),
        }
    }
}

impl FromStr for NewName {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        if !text.contains('/') {
            return Ok(Self { vg: None, name: text.parse()? });
        }
        let VolumePath { vg, name } = text.parse()?;
        Ok(Self { vg: Some(vg), name })
    }
}

/// `VG` or `VG/NAME`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The volume group.
    pub vg: VgName,
    /// The volume.
    pub name: Option<LvName>,
}

impl FromStr for Place {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let text = without_dev(text);
        let (vg, name) = match text.split_once('/') {
            Some((vg, name)) => (vg, Some(name.parse()?)),
            None => (text, None),
        };
        Ok(Self { vg: vg.parse()?, name })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn new_names_may_be_given_as_lvm2_takes_them() {
        let vg: VgName = "vg0".parse().unwrap();
        for text in ["new", "vg0/new", "/dev/vg0/new"] {
            let name: NewName = text.parse().unwrap();
            assert_eq!(name.within(&vg).unwrap().as_str(), "new", "{text}");
        }
        let elsewhere: NewName = "vg1/new".parse().unwrap();
        assert_eq!(elsewhere.within(&vg).unwrap_err().kind(), Kind::Usage);
        assert!("a/b/c".parse::<NewName>().is_err());
        assert_eq!(group_name("/dev/vg0").unwrap(), group_name("vg0").unwrap());
    }
}
