//! `dmsnap volume`

use std::collections::{BTreeMap, BTreeSet};

use super::args::{Alloc, Copy, Place, Volume, VolumeCreate, VolumePath};
use super::each::each;
use super::output::{Column, Output, or_dash, path_or_dash, under_way};
use crate::engine::list::Select;
use crate::engine::resize::Growth;
use crate::engine::restore::Restoration;
use crate::engine::view::VolumeView;
use crate::engine::volume::NewVolume;
use crate::engine::{Engine, Mode, Report};
use crate::error::{Error, Kind, Result};
use crate::lvm::{LvName, VgName};

/// What is shown of a volume.
pub const COLUMNS: [Column<VolumeView>; 11] = [
    Column::text("VG", |volume| volume.vg.clone()),
    Column::text("NAME", |volume| volume.name.clone()),
    Column::number("SIZE", |volume| volume.size_bytes.to_string()),
    Column::text("LAYOUT", |volume| volume.layout.clone()),
    Column::text("STATE", |volume| under_way(&volume.state, volume.progress_percent)),
    Column::text("OPEN", |volume| if volume.open { "yes" } else { "no" }.to_owned()),
    Column::number("SNAPSHOTS", |volume| volume.snapshots.len().to_string()),
    Column::wide_text("FILLED FROM", |volume| or_dash(volume.filled_from.as_ref())),
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
        Volume::Clone { volume, copy } => {
            copied(copy, engine, mode, output, &engine.clone_volume(&restoration(volume, copy)?, mode)?)
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

/// What is made from something in the same group.
pub fn restoration(source: &VolumePath, copy: &Copy) -> Result<Restoration> {
    if source.vg != copy.to.vg {
        return Err(Error::new(
            Kind::Usage,
            format!("{} and {} are different volume groups", source.vg, copy.to.vg),
        )
        .hint("name a new volume in the volume group of what it is made from"));
    }
    Ok(Restoration {
        vg: source.vg.clone(),
        source: source.name.clone(),
        to: copy.to.name.clone(),
        size: copy.size,
        tags: copy.tags.clone(),
        on: copy.on.clone(),
    })
}

/// Shows what was made, when it is full if somebody waits for that.
pub fn copied(
    copy: &Copy,
    engine: &Engine,
    mode: Mode,
    output: &Output,
    made: &Report<VolumeView>,
) -> Result<()> {
    if !copy.wait || mode.dry_run {
        return output.made("volumes", made, &COLUMNS);
    }
    filled(&copy.to, engine, mode, output, made)
}

/// Waits until a volume is full, then shows it.
pub fn filled(
    volume: &VolumePath,
    engine: &Engine,
    mode: Mode,
    output: &Output,
    made: &Report<VolumeView>,
) -> Result<()> {
    let name = format!("{}/{}", volume.vg, volume.name);
    let filled = engine.fill(&volume.vg, &volume.name, mode, &|progress| {
        output.progress(&format!("filling {name}"), progress.percent());
    });
    output.progress_ends();
    let filled = filled?;
    let (elapsed, frozen) = (made.elapsed + filled.elapsed, made.frozen);
    let notes = made.notes.clone();
    output.made("volumes", &Report { elapsed, frozen, notes, ..filled }, &COLUMNS)
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
