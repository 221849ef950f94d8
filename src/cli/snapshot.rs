//! `dmsnap snapshot`

use std::collections::BTreeSet;

use super::args::{Snapshot, SnapshotCreate, SnapshotRollback, VolumePath};
use super::each::each;
use super::output::{Column, Output, about, or_dash, path_or_dash, under_way};
use super::volume::{self, by_group, restoration, select};
use crate::engine::diff::{Comparison, Difference, RangeView};
use crate::engine::list::Select;
use crate::engine::rollback::Rollback;
use crate::engine::snapshot::NewSnapshots;
use crate::engine::store::StoreGrowth;
use crate::engine::view::SnapshotView;
use crate::engine::{Engine, Mode};
use crate::error::{Error, Kind, Result};
use crate::lvm::VgName;

const COLUMNS: [Column<SnapshotView>; 15] = [
    Column::text("VG", |snapshot| snapshot.vg.clone()),
    Column::text("NAME", |snapshot| snapshot.name.clone()),
    Column::text("ORIGIN", |snapshot| snapshot.origin.clone()),
    Column::number("SIZE", |snapshot| snapshot.size_bytes.to_string()),
    Column::number("STORE", |snapshot| snapshot.cow_size_bytes.to_string()),
    Column::number("USED", |snapshot| or_dash(snapshot.used_percent.map(|percent| format!("{percent:.2}%")))),
    Column::number("FULL IN", |snapshot| or_dash(snapshot.eta_full_seconds.map(about))),
    Column::text("STATE", |snapshot| under_way(&snapshot.state, snapshot.progress_percent)),
    Column::text("CREATED", |snapshot| or_dash(snapshot.created_at.as_ref())),
    Column::wide_number("CHUNK", |snapshot| snapshot.chunk_bytes.to_string()),
    Column::wide_text("ACCESS", |snapshot| if snapshot.read_only { "ro" } else { "rw" }.to_owned()),
    Column::wide_text("IN USE BY", |snapshot| {
        or_dash(Some(snapshot.in_use_by.join(",")).filter(|t| !t.is_empty()))
    }),
    Column::wide_text("DEVICE", |snapshot| path_or_dash(snapshot.device.as_ref())),
    Column::wide_text("TAGS", |snapshot| snapshot.tags.join(",")),
    Column::wide_text("UUID", |snapshot| snapshot.uuid.clone()),
];

/// Runs one of them.
pub fn run(command: &Snapshot, engine: &Engine, mode: Mode, output: &Output) -> Result<()> {
    match command {
        Snapshot::Create(new) => {
            let report = match new_snapshots(new)?.as_slice() {
                [new] => engine.create_snapshots(new, mode),
                several => engine.create_snapshots_across(several, mode),
            };
            output.made("snapshots", &report?, &COLUMNS)
        }
        Snapshot::List { place } => {
            output.list("snapshots", &engine.snapshots(&select(place.as_ref()))?, &COLUMNS)
        }
        Snapshot::Extend { snapshot, size, on } => {
            let VolumePath { vg, name } = snapshot.clone();
            let growth = StoreGrowth { vg, name, size: *size, on: on.clone() };
            output.made("snapshots", &engine.extend_snapshot(&growth, mode)?, &COLUMNS)
        }
        Snapshot::Diff { snapshot, since, content } => {
            let wanted = Comparison { content: *content, ..comparison(snapshot, since.as_ref())? };
            diff(&engine.differences(&wanted, mode)?, output)
        }
        Snapshot::Rollback(rollback) => roll_back(rollback, engine, mode, output),
        Snapshot::Restore { snapshot, copy } => volume::copied(
            copy,
            engine,
            mode,
            output,
            &engine.restore_snapshot(&restoration(snapshot, copy)?, mode)?,
        ),
        Snapshot::Remove { snapshots } => {
            let remove = |vg: &VgName, names: &Vec<_>| engine.remove_snapshots(vg, names, mode);
            each(by_group(snapshots), &BTreeSet::new(), output, remove, |report| output.done(report))
        }
    }
}

fn roll_back(asked: &SnapshotRollback, engine: &Engine, mode: Mode, output: &Output) -> Result<()> {
    let VolumePath { vg, name } = asked.snapshot.clone();
    let rollback =
        Rollback { vg: vg.clone(), snapshot: name.clone(), undo: asked.undo.clone(), force: asked.force };
    if !asked.merge {
        let report = engine.roll_back(&rollback, mode)?;
        let origin = report.objects.first().map(|origin| origin.name.parse()).transpose()?;
        return match origin.filter(|_| asked.wait && !mode.dry_run) {
            Some(origin) => volume::filled(&VolumePath { vg, name: origin }, engine, mode, output, &report),
            None => output.made("volumes", &report, &volume::COLUMNS),
        };
    }
    let mut report = engine.merge_snapshot(&rollback, mode)?;
    if asked.wait && !mode.dry_run {
        engine.await_merge(&vg, &name, mode)?;
        let names = report.objects.iter().map(|origin| origin.name.parse()).collect::<Result<_>>()?;
        report.objects = engine.volumes(&Select { vg: Some(vg), names })?;
    }
    output.made("volumes", &report, &volume::COLUMNS)
}

fn comparison(snapshot: &VolumePath, since: Option<&VolumePath>) -> Result<Comparison> {
    if let Some(older) = since.filter(|older| older.vg != snapshot.vg) {
        let cause = format!("{} and {} are different volume groups", older.vg, snapshot.vg);
        return Err(Error::new(Kind::Usage, cause).hint("compare snapshots of one volume"));
    }
    let since = since.map(|older| older.name.clone());
    Ok(Comparison { vg: snapshot.vg.clone(), snapshot: snapshot.name.clone(), since, content: false })
}

/// A line for each range: there may be a million.
fn diff(difference: &Difference, output: &Output) -> Result<()> {
    if output.is_object() {
        return output.object(difference);
    }
    output.notes(&difference.notes);
    let size = difference.size_bytes.get().to_string();
    let width = size.len().max("OFFSET".len());
    let line = |range: &RangeView| {
        let (offset, length) = (range.offset_bytes.get(), range.length_bytes.get());
        format!("{offset:>width$}  {length:>width$}")
    };
    let heading = format!("{:>width$}  {:>width$}", "OFFSET", "LENGTH");
    let lines: Vec<_> = std::iter::once(heading).chain(difference.ranges.iter().map(line)).collect();
    output.lines(&lines)
}

/// Those of each volume group.
fn new_snapshots(new: &SnapshotCreate) -> Result<Vec<NewSnapshots>> {
    let (origins, names) = (new.origins.len(), new.names.len());
    if origins != names {
        return Err(Error::new(Kind::Usage, format!("{origins} volumes and {names} names"))
            .hint("give one --name for each volume, in their order"));
    }
    if new.origins.is_empty() {
        return Err(Error::new(Kind::Usage, "no volume is named"));
    }
    let pairs = || new.origins.iter().zip(&new.names);
    let groups: BTreeSet<_> = new.origins.iter().map(|origin| &origin.vg).collect();
    if groups.len() > 1 && !new.on.is_empty() {
        return Err(Error::new(Kind::Usage, "devices are named for stores of several volume groups")
            .hint("leave out --on, or take snapshots in one volume group at a time"));
    }
    let chunk = new.chunk()?;
    let of_group = |vg: &VgName| NewSnapshots {
        vg: vg.clone(),
        cuts: pairs()
            .filter(|(origin, _)| origin.vg == *vg)
            .map(|(o, n)| (o.name.clone(), n.clone()))
            .collect(),
        size: new.size,
        chunk,
        read_only: new.read_only,
        tags: new.tags.clone(),
        on: new.on.clone(),
    };
    Ok(groups.into_iter().map(of_group).collect())
}
