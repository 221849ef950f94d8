//! `dmsnap inspect`

use std::path::Path;

use super::output::Output;
use crate::cow::store::Exception;
use crate::engine::Engine;
use crate::engine::inspect::{Inspected, StoreView};
use crate::error::{Error, Kind, Result};
use crate::lvm::inspect::{AreaView, Inspection, RangeView, TextView};

/// Shows a device's label and metadata, or a snapshot's store; `raw`: only the text in force, or the exceptions.
pub fn run(device: &Path, raw: bool, engine: &Engine, output: &Output) -> Result<()> {
    let inspected = engine.inspect(device)?;
    if output.is_object() && !raw {
        return output.object(&inspected);
    }
    let lines = match (&inspected, raw) {
        (Inspected::Pv(inspection), true) => vec![raw_text(device, inspection)?.trim_end().to_owned()],
        (Inspected::Pv(inspection), false) => lines(inspection),
        (Inspected::Store(store), true) => raw_exceptions(device, store)?,
        (Inspected::Store(store), false) => store_lines(store),
    };
    output.lines(&lines)
}

fn raw_text<'a>(device: &Path, inspection: &'a Inspection) -> Result<&'a str> {
    let texts = inspection.areas.iter().filter_map(|area| area.committed.as_ref()?.text.as_deref());
    texts.into_iter().next().ok_or_else(|| {
        Error::new(Kind::NotFound, format!("{} holds no metadata", device.display()))
            .hint("it may belong to no volume group, or to one whose metadata is on its other devices")
    })
}

/// A line for each exception: the chunk of the origin, the chunk of the store.
fn raw_exceptions(device: &Path, store: &StoreView) -> Result<Vec<String>> {
    let invalid =
        || Error::new(Kind::NotFound, format!("the snapshot store on {} is invalid", device.display()));
    let table = store.table.as_ref().ok_or_else(invalid)?;
    let line = |one: &Exception| format!("{} {}", one.old.get(), one.new.get());
    Ok(table.exceptions.iter().map(line).collect())
}

fn store_lines(store: &StoreView) -> Vec<String> {
    let state = if store.invalid { "invalid: it overflowed or failed" } else { "valid" };
    let mut lines = vec![
        "snapshot store".to_owned(),
        format!("  device      {}", store.size_bytes),
        format!("  chunks      of {}", store.chunk_bytes),
        format!("  state       {state}"),
    ];
    lines.extend(store.exceptions.map(|count| format!("  exceptions  {count}")));
    lines.extend(store.used_bytes.map(|used| format!("  used        {used}")));
    lines.extend(store.metadata_bytes.map(|bytes| format!("  metadata    {bytes}")));
    lines
}

fn lines(inspection: &Inspection) -> Vec<String> {
    let label = &inspection.label;
    let mut lines = vec![
        format!("label in sector {}", label.sector),
        format!("  uuid        {}", label.uuid),
        format!("  device      {} (now {})", label.device_bytes, inspection.size_bytes),
        format!("  used        {}", if label.used { "by a volume group" } else { "no" }),
        format!("  extension   {}", label.extension),
    ];
    lines.extend(label.data.iter().map(|range| format!("  extents     {}", range_text(range))));
    lines.extend(label.bootloader.iter().map(|range| format!("  bootloader  {}", range_text(range))));
    lines.extend(inspection.notes.iter().map(|note| format!("  note        {note}")));
    lines.extend(inspection.areas.iter().flat_map(area_lines));
    lines
}

fn range_text(range: &RangeView) -> String {
    match range.size_bytes.get() {
        0 => format!("from {} to the end", range.offset_bytes),
        _ => format!("from {}, {}", range.offset_bytes, range.size_bytes),
    }
}

fn area_lines(area: &AreaView) -> Vec<String> {
    let mut lines = vec![format!("metadata area from {}, {}", area.offset_bytes, area.size_bytes)];
    lines.extend(area.damage.iter().map(|damage| format!("  damaged     {damage}")));
    lines.extend(area.committed.iter().map(|text| format!("  committed   {}", text_line(text))));
    lines.extend(area.precommitted.iter().map(|text| format!("  precommit   {}", text_line(text))));
    let text = area.committed.as_ref().and_then(|text| text.text.as_deref()).unwrap_or_default();
    lines.extend(text.lines().map(|line| format!("  | {line}")));
    lines
}

fn text_line(text: &TextView) -> String {
    let state = if text.intact { "intact" } else { "DAMAGED" };
    let ignored = if text.ignored { ", area ignored" } else { "" };
    let (offset, size) = (text.offset_bytes.get(), text.size_bytes.get());
    format!("{size} bytes at {offset}, checksum {:#010x} {state}{ignored}", text.checksum)
}
