//! `dmsnap pv`

use super::args::Pv;
use super::output::{Column, Output, or_dash, path_or_dash, word};
use crate::engine::setup::Labelling;
use crate::engine::view::PvView;
use crate::engine::{Engine, Mode};
use crate::error::Result;

const COLUMNS: [Column<PvView>; 7] = [
    Column::text("DEVICE", |pv| path_or_dash(pv.device.as_ref())),
    Column::text("VG", |pv| or_dash(pv.vg.as_ref())),
    Column::number("SIZE", |pv| pv.size_bytes.to_string()),
    Column::number("FREE", |pv| pv.free_bytes.to_string()),
    Column::text("STATE", |pv| word(&pv.state)),
    Column::wide_number("EXTENTS", |pv| format!("{}/{}", pv.free_extents, pv.extent_count)),
    Column::wide_text("UUID", |pv| pv.uuid.clone()),
];

/// Runs one of them.
pub fn run(command: &Pv, engine: &Engine, mode: Mode, output: &Output) -> Result<()> {
    match command {
        Pv::Create { devices, label, metadata_copies } => {
            let labelling = Labelling { metadata_copies: *metadata_copies, ..label.labelling() };
            output.made("pvs", &engine.create_pvs(devices, labelling, mode)?, &COLUMNS)
        }
        Pv::Remove { devices, wipe } => output.done(&engine.remove_pvs(devices, *wipe, mode)?),
        Pv::List => output.list("pvs", &engine.pvs()?, &COLUMNS),
    }
}
