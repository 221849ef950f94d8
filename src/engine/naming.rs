//! What the devices of a volume are called: lvm2's names, uuids and links.

use std::path::{Path, PathBuf};

use super::tree::Expected;
use crate::dm::{DmName, DmUuid};
use crate::error::Result;
use crate::lvm::{Lv, LvName, Uuid, Vg};

/// The devices that one volume may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layer {
    /// The one that people use.
    Top,
    /// The data of an origin, under its `snapshot-origin`.
    Real,
    /// The store of a snapshot, under its `snapshot`.
    Cow,
}

impl Layer {
    /// Every one of them.
    pub const ALL: [Self; 3] = [Self::Top, Self::Real, Self::Cow];

    fn suffix(self) -> Option<&'static str> {
        match self {
            Self::Top => None,
            Self::Real => Some("real"),
            Self::Cow => Some("cow"),
        }
    }
}

/// Names devices of one volume group.
#[derive(Debug, Clone, Copy)]
pub struct Naming<'a> {
    vg: &'a Vg,
    dev: &'a Path,
}

impl<'a> Naming<'a> {
    /// For the devices of `vg`, with links under `dev`, which is `/dev`.
    pub fn new(vg: &'a Vg, dev: &'a Path) -> Self {
        Self { vg, dev }
    }

    /// The name of a volume's device.
    pub fn name(&self, lv: &LvName, layer: Layer) -> Result<DmName> {
        DmName::for_volume(self.vg.name.as_str(), lv.as_str(), layer.suffix())
    }

    /// The uuid of a volume's device.
    pub fn uuid(&self, lv: &Uuid, layer: Layer) -> DmUuid {
        let uuid = DmUuid::for_volume(self.vg.id.compact(), lv.compact(), layer.suffix());
        uuid.expect("two ids of 32 characters and a suffix fit")
    }

    /// The path that people use a volume by.
    pub fn link(&self, lv: &LvName) -> PathBuf {
        self.dev.join(self.vg.name.as_str()).join(lv.as_str())
    }

    /// What every uuid of the volume group's devices begins with.
    pub fn uuid_prefix(&self) -> String {
        format!("LVM-{}", self.vg.id.compact())
    }

    /// Every device that a volume may have. One whose name would be too long cannot exist.
    pub fn expected(&self, lv: &Lv) -> impl Iterator<Item = Expected> + '_ {
        let (name, id) = (lv.name.clone(), lv.id);
        Layer::ALL.into_iter().filter_map(move |layer| {
            let link = (layer == Layer::Top).then(|| self.link(&name));
            Some(Expected { uuid: self.uuid(&id, layer), name: self.name(&name, layer).ok()?, link })
        })
    }
}
