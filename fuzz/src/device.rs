//! A whole device by the road that scanning takes. The first byte says what sort of device it is, the rest is its beginning.
//!
//! What may be changed is changed once: the commit must write only where the label says that metadata is, and be read back.

use std::path::Path;

use dmsnap::block::mem::{Event, MemDevice, MemDevices};
use dmsnap::block::{Access, Devices};
use dmsnap::error::Kind;
use dmsnap::lvm::free::used_runs;
use dmsnap::lvm::inspect::inspect;
use dmsnap::lvm::label::{self, LABEL_AREA, MDA_HEADER, MdaHeader, checksum};
use dmsnap::lvm::ring::Ring;
use dmsnap::lvm::scan::{OpenVg, Scan, scan};
use dmsnap::lvm::{Edit, Host, Stamp, Vg, commit, open_vg};
use dmsnap::units::{Bytes, Extents, SECTOR_BYTES};

use super::label::{mend_labels, mend_mda};
use super::vg::{extents, same, view};

const PATH: &str = "/dev/sda";

pub fn run(data: &[u8]) -> bool {
    let Some((&choice, bytes)) = data.split_first() else { return false };
    if bytes.len() > 1 << 17 {
        return false;
    }
    let mut content = bytes.to_vec();
    content.resize(content.len().max(LABEL_AREA), 0);
    if choice & 1 == 0 {
        mend(&mut content);
    }
    let host = MemDevices::new();
    let size = if choice & 2 == 0 { Bytes::gib(1) } else { Bytes::mib(2) };
    let block = if choice & 4 == 0 { Bytes(512) } else { Bytes::kib(4) };
    host.add_with_block_size(PATH, size, block).poke(Bytes::ZERO, &content);
    if choice & 8 != 0 {
        host.add("/dev/sdb", size).poke(Bytes::ZERO, &content);
    }
    host.settle();
    let found = scan(&host, &Host::default()).expect("a scan goes past what is damaged");
    looked_at(&host, &found);
    for open in found.vgs {
        if open.check_changeable().is_ok() {
            changed(&host, &open.vg);
        }
    }
    true
}

/// Gives label, headers and committed texts the checksums that they should have.
fn mend(content: &mut [u8]) {
    mend_labels(content);
    let Some(label) = label::find(&content[..LABEL_AREA]).label else { return };
    for area in label.metadata.iter().take(4) {
        let Some(header) = usize::try_from(area.offset.get()).ok().and_then(|at| content.get_mut(at..))
        else {
            continue;
        };
        if header.len() < MDA_HEADER {
            continue;
        }
        mend_mda(header);
        let Ok(found) = MdaHeader::unpack(header, *area) else { continue };
        if let Some(sum) = text_sum(header, &found) {
            header[56..60].copy_from_slice(&sum.to_le_bytes());
            mend_mda(header);
        }
    }
}

fn text_sum(area: &[u8], header: &MdaHeader) -> Option<u32> {
    let mut text = Vec::new();
    for piece in Ring::new(header.size).pieces(header.committed.offset, header.committed.size)? {
        let start = usize::try_from(piece.offset.get()).ok()?;
        let end = start.checked_add(usize::try_from(piece.length).ok()?)?;
        text.extend_from_slice(area.get(start..end)?);
    }
    Some(checksum(&text))
}

fn looked_at(host: &MemDevices, found: &Scan) {
    for open in &found.vgs {
        let ids = |open: &OpenVg| open.pvs.iter().map(|pv| pv.id).collect::<Vec<_>>();
        assert_eq!(ids(open), open.vg.pvs.iter().map(|pv| pv.id).collect::<Vec<_>>());
        view(&open.vg);
        if open.refusal.is_none() {
            extents(&open.vg);
        }
    }
    let device = host.open(Path::new(PATH), Access::Read).expect("it is there");
    match inspect(&*device) {
        Ok(inspection) => assert!(inspection.label.sector < 4),
        Err(error) => assert!(
            error.kind() == Kind::NotFound && found.vgs.is_empty() && found.orphans.is_empty(),
            "{error}"
        ),
    }
    assert!(host.log().is_empty(), "looking writes nothing");
}

fn changed(host: &MemDevices, before: &Vg) {
    let open = open_vg(host, &Host::default(), &before.name, Access::Write);
    let mut open = open.unwrap_or_else(|error| panic!("it may be changed, but: {error}"));
    same(before, &open.vg);
    let edit = Edit::AddVgTag { tag: "fuzz".parse().expect("a tag") };
    let Ok(next) = open.vg.apply(&[edit]) else { return };
    let labels: Vec<_> = open.pvs.iter().filter_map(|pv| pv.label().cloned()).collect();
    let result = commit(&mut open, next.clone(), &Stamp::default());
    written(host, before, &labels);
    let again = open_vg(host, &Host::default(), &before.name, Access::Read);
    let again = again.unwrap_or_else(|error| panic!("it is gone after a commit ({result:?}): {error}"));
    if result.is_err() {
        same(before, &again.vg);
        return;
    }
    assert_eq!(again.vg.seqno, before.seqno + 1);
    assert_eq!((&again.vg.lvs, &again.vg.pvs, &again.vg.tags), (&next.lvs, &next.pvs, &next.tags));
    assert!(again.check_changeable().is_ok() && !again.has_older_copies(), "not all copies are the new one");
}

/// Nothing was written outside the label's sector and the metadata areas, and nothing over a volume's extents.
fn written(host: &MemDevices, vg: &Vg, labels: &[label::PvLabel]) {
    let used: Vec<_> = vg
        .pvs
        .iter()
        .zip(used_runs(vg))
        .flat_map(|(pv, runs)| {
            let at = |extents: Extents| (pv.pe_start + extents.sectors(vg.extent_size)).bytes().get();
            runs.into_iter().map(move |run| at(run.start)..at(run.end())).collect::<Vec<_>>()
        })
        .collect();
    let device: std::sync::Arc<MemDevice> = host.device(PATH).expect("it is there");
    for record in host.log().records() {
        let Event::Write { offset, data } = &record.event else { continue };
        assert_eq!(record.device, dmsnap::block::Device::number(&*device));
        let (start, end) = (offset.get(), offset.get() + data.len() as u64);
        let within = |range: &label::Range| {
            start >= range.offset.get() && end <= range.offset.get().saturating_add(range.size.get())
        };
        let known = labels.iter().any(|label| {
            label.metadata.iter().any(within)
                || (start == label.offset().get() && end - start == SECTOR_BYTES)
        });
        assert!(known, "{} bytes at {start} are no metadata", data.len());
        assert!(
            used.iter().all(|run| end <= run.start || start >= run.end),
            "{} bytes at {start} over a volume",
            data.len()
        );
    }
}
