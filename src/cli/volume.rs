//! `dmsnap volume`

use std::collections::{BTreeMap, BTreeSet};

use super::args::{Alloc, Place, Volume, VolumeCreate, VolumePath};
use super::each::each;
use super::output::{Column, Output, path_or_dash, word};
use crate::engine::list::Select;
use crate::engine::resize::Growth;
use crate::engine::view::VolumeView;
use crate::engine::volume::NewVolume;
use crate::engine::{Engine, Mode};
use crate::error::Result;
use crate::lvm::{LvName, VgName};

/// What is shown of a volume.
pub const COLUMNS: [Column<VolumeView>; 10] = [
    Column::text("VG", |volume| volume.vg.clone()),
    Column::text("NAME", |volume| volume.name.clone()),
    Column::number("SIZE", |volume| volume.size_bytes.to_string()),
    Column::text("LAYOUT", |volume| volume.layout.clone()),
    Column::text("STATE", |volume| word(&volume.state)),
    Column::text("OPEN", |volume| if volume.open { "yes" } else { "no" }.to_owned()),
    Column::number("SNAPSHOTS", |volume| volume.snapshots.len().to_string()),
    Column::wide_text("DEVICE", |volume| path_or_dash(volume.device.as_ref())),
    Column::wide_text("TAGS", |volume| volume.tags.join(",")),
    Column::wide_text("UUID", |volume| volume.uuid.clone()),
];

/// Runs one of them.
pub fn run(command: &Volume, engine: &Engine, mode: Mode, output: &Output) -> Result<()> {
    match command {
        Volume::Create(new) => {
            output.made("volumes", &engine.create_volume(&new_volume(new), mode)?, &COLUMNS)
        }
        Volume::List { place } => output.list("volumes", &engine.volumes(&select(place.as_ref()))?, &COLUMNS),
        Volume::Extend { volume, size, on, resize_fs } => {
            let growth = Growth {
                vg: volume.vg.clone(),
                name: volume.name.clone(),
                size: *size,
                on: on.clone(),
                resize_fs: *resize_fs,
            };
            output.made("volumes", &engine.extend_volume(&growth, mode)?, &COLUMNS)
        }
        Volume::Rename { volume, to } => {
            output.done(&engine.rename_volume(&volume.vg, &volume.name, to.within(&volume.vg)?, mode)?)
        }
        Volume::Remove { volumes, with_snapshots } => {
            let remove =
                |vg: &VgName, names: &Vec<_>| engine.remove_volumes(vg, names, *with_snapshots, mode);
            each(by_group(volumes), &BTreeSet::new(), output, remove, |report| output.done(report))
        }
    }
}

fn new_volume(new: &VolumeCreate) -> NewVolume {
    NewVolume {
        vg: new.volume.vg.clone(),
        name: new.volume.name.clone(),
        size: new.size,
        stripes: new.stripes,
        stripe_size: new.stripe_size,
        on: new.on.clone(),
        tags: new.tags.clone(),
        policy: new.alloc.and_then(Alloc::policy),
    }
}

/// What a place selects; none: everything.
pub fn select(place: Option<&Place>) -> Select {
    Select {
        vg: place.map(|place| place.vg.clone()),
        names: place.and_then(|place| place.name.clone()).into_iter().collect(),
    }
}

/// The volumes of each volume group.
pub fn by_group(paths: &[VolumePath]) -> BTreeMap<VgName, Vec<LvName>> {
    let mut groups = BTreeMap::<_, Vec<_>>::new();
    for path in paths {
        groups.entry(path.vg.clone()).or_default().push(path.name.clone());
    }
    groups
}
