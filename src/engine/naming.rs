//! What the devices of a volume are called: lvm2's names, uuids and links.

use std::path::{Path, PathBuf};

use super::fill::is_map;
use super::mark::former_names;
use super::tree::Expected;
use crate::dm::{DmName, DmUuid};
use crate::error::Result;
use crate::lvm::{Lv, LvName, Uuid, Vg, VgName};

/// The devices that one volume may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layer {
    /// The one that people use.
    Top,
    /// The data of an origin, under its `snapshot-origin`.
    Real,
    /// The store of a snapshot, under its `snapshot`.
    Cow,
    /// Of a map: the data of the volume that is being filled, under its `clone`.
    Destination,
    /// Of a map: the snapshot that is read from, once more. LVM2 takes devices below a volume's own away with it if their uuids begin with the
    /// group's and nobody else has them open: this one's begins with the map's, and so keeps the snapshot. It is an LVM uuid all the
    /// same: LVM2 looks for physical volumes on other devices, and on what they hold.
    Source,
    /// Of a map, where an origin is rolled back: its `clone`, under the origin's own device.
    Clone,
}

impl Layer {
    /// Those of a volume that people use.
    pub const ALL: [Self; 3] = [Self::Top, Self::Real, Self::Cow];
    /// Those of a map.
    pub const OF_MAP: [Self; 4] = [Self::Top, Self::Destination, Self::Source, Self::Clone];

    /// Those that a volume may have.
    pub fn of(lv: &Lv) -> &'static [Self] {
        if is_map(lv) { &Self::OF_MAP } else { &Self::ALL }
    }

    fn suffix(self) -> Option<&'static str> {
        match self {
            Self::Top => None,
            Self::Real => Some("real"),
            Self::Cow => Some("cow"),
            Self::Destination => Some("dest"),
            Self::Source => Some("source"),
            Self::Clone => Some("clone"),
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
        name_in(&self.vg.name, lv, layer)
    }

    /// The uuid of a volume's device.
    pub fn uuid(&self, lv: &Uuid, layer: Layer) -> DmUuid {
        let (vg, lv) = (self.vg.id.compact(), lv.compact());
        let uuid = match layer {
            Layer::Source => DmUuid::for_volume(lv, vg, layer.suffix()),
            layer => DmUuid::for_volume(vg, lv, layer.suffix()),
        };
        uuid.expect("two ids of 32 characters and a suffix fit")
    }

    /// The path that people use a volume by.
    pub fn link(&self, lv: &LvName) -> PathBuf {
        self.link_in(&self.vg.name, lv)
    }

    fn link_in(&self, vg: &VgName, lv: &LvName) -> PathBuf {
        self.dev.join(vg.as_str()).join(lv.as_str())
    }

    /// What every uuid of the volume group's devices begins with.
    pub fn uuid_prefix(&self) -> String {
        format!("LVM-{}", self.vg.id.compact())
    }

    /// Every device that a volume may have. One whose name would be too long cannot exist.
    pub fn expected(&self, lv: &Lv) -> impl Iterator<Item = Expected> + '_ {
        let (name, id) = (lv.name.clone(), lv.id);
        let former = self.former(lv);
        let has_link = !is_map(lv);
        Layer::of(lv).iter().copied().filter_map(move |layer| {
            let named = |vg: &VgName, lv: &LvName| {
                let link = (layer == Layer::Top && has_link).then(|| self.link_in(vg, lv));
                Some((name_in(vg, lv, layer).ok()?, link))
            };
            let former = former.iter().filter_map(|(vg, lv)| named(vg, lv)).collect();
            let (name, link) = named(&self.vg.name, &name)?;
            Some(Expected { uuid: self.uuid(&id, layer), name, link, former })
        })
    }

    /// What group and volume may have been called until now, where a rename was not confirmed.
    fn former(&self, lv: &Lv) -> Vec<(VgName, LvName)> {
        let (vg, name) = (&self.vg.name, &lv.name);
        let vgs: Vec<_> = former_names(&self.vg.tags).chain([vg.clone()]).collect();
        let lvs: Vec<_> = former_names(&lv.tags).chain([name.clone()]).collect();
        let pairs = vgs.iter().flat_map(|vg| lvs.iter().map(move |lv| (vg.clone(), lv.clone())));
        pairs.filter(|pair| (&pair.0, &pair.1) != (vg, name)).collect()
    }
}

fn name_in(vg: &VgName, lv: &LvName, layer: Layer) -> Result<DmName> {
    DmName::for_volume(vg.as_str(), lv.as_str(), layer.suffix())
}
