//! `dmsnap vg`

use super::args::Vg;
use super::output::{Column, Output, or_dash, word};
use crate::engine::setup::NewGroup;
use crate::engine::view::VgView;
use crate::engine::{Engine, Mode};
use crate::error::Result;

const COLUMNS: [Column<VgView>; 11] = [
    Column::text("VG", |vg| vg.name.clone()),
    Column::number("SIZE", |vg| vg.size_bytes.to_string()),
    Column::number("FREE", |vg| vg.free_bytes.to_string()),
    Column::number("PVS", |vg| vg.pv_count.to_string()),
    Column::number("VOLUMES", |vg| vg.volume_count.to_string()),
    Column::number("SNAPSHOTS", |vg| vg.snapshot_count.to_string()),
    Column::text("STATE", |vg| word(&vg.state)),
    Column::wide_number("EXTENT", |vg| vg.extent_size_bytes.to_string()),
    Column::wide_number("SEQNO", |vg| vg.seqno.to_string()),
    Column::wide_text("UUID", |vg| vg.uuid.clone()),
    Column::wide_text("REASON", |vg| or_dash(vg.reason.as_ref())),
];

/// Runs one of them.
pub fn run(command: &Vg, engine: &Engine, mode: Mode, output: &Output) -> Result<()> {
    match command {
        Vg::Create { name, devices, extent_size, label, metadata_copies } => {
            let new = NewGroup {
                name: name.clone(),
                devices: devices.clone(),
                extent_size: *extent_size,
                labelling: label.labelling(),
                metadata_copies: *metadata_copies,
            };
            output.made("vgs", &engine.create_group(&new, mode)?, &COLUMNS)
        }
        Vg::Extend { vg, devices, restore_missing: true, .. } => {
            output.made("vgs", &engine.restore_missing(vg, devices, mode)?, &COLUMNS)
        }
        Vg::Extend { vg, devices, label, .. } => {
            output.made("vgs", &engine.extend_group(vg, devices, label.labelling(), mode)?, &COLUMNS)
        }
        Vg::Reduce { vg, missing: true, .. } => output.made("vgs", &engine.drop_missing(vg, mode)?, &COLUMNS),
        Vg::Reduce { vg, devices, .. } => {
            output.made("vgs", &engine.reduce_group(vg, devices, mode)?, &COLUMNS)
        }
        Vg::Rename { vg, to } => output.made("vgs", &engine.rename_group(vg, to, mode)?, &COLUMNS),
        Vg::Remove { vg } => output.done(&engine.remove_group(vg, mode)?),
        Vg::List { vg } => output.list("vgs", &engine.vgs(vg.as_ref())?, &COLUMNS),
    }
}
