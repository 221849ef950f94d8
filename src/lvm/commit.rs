//! Writes new versions of a volume group's text.
//!
//! A commit has three steps, each over all metadata areas and each ended by a flush: the text goes into the free
//! part of the ring, the header names it as precommitted, the header names it as committed. The first header of the
//! third step is the commit point; a write torn anywhere leaves the old version or the new one. LVM2 does the same
//! without the flushes, and never reads what is precommitted.

use std::sync::Arc;

use super::edit::{Edit, NewVg};
use super::label::{Location, MdaHeader, PvLabel, checksum};
use super::model::{Stamp, Vg};
use super::ring::Ring;
use super::scan::{OpenPv, OpenVg, Present};
use crate::block::Device;
use crate::error::{Context, Error, Kind, Result};
use crate::units::{Bytes, SECTOR_BYTES};

mod areas;
mod format;

use areas::Slot;
pub use format::{PvOptions, create_pv, draft_pv, remove_pv, wipe_label, write_pv};

/// Makes a volume group on physical volumes that belong to none, and commits it as seqno 1.
pub fn create_vg(pvs: Vec<OpenPv>, new: &NewVg, stamp: &Stamp) -> Result<OpenVg> {
    pvs.iter().try_for_each(OpenPv::check_free)?;
    let members = pvs.iter().map(|pv| pv.as_new(new.extent_size)).collect::<Result<Vec<_>>>()?;
    let vg = Vg::new(new, &members)?;
    let mut open = OpenVg { vg: vg.clone(), pvs, refusal: None, findings: Vec::new() };
    commit(&mut open, vg, stamp)?;
    Ok(open)
}

/// Writes `next` as the volume group's next version: seqno rises by one. On success `open` is it; after an error
/// open the volume group anew, for it may be either version. Physical volumes that joined ([`OpenVg::join`]) are
/// marked used when they are members, those that left are emptied. [`Kind::NoSpace`], with nothing written, if the text is
/// too large for an area.
pub fn commit(open: &mut OpenVg, next: Vg, stamp: &Stamp) -> Result<()> {
    let name = open.vg.name.clone();
    write(open, next, stamp).map_err(|error| error.at(Context::Vg(name.to_string())))
}

/// An error if `next` could not be committed: [`Kind::NoSpace`] if it is too large. Writes nothing.
pub fn check_room(open: &OpenVg, next: &Vg, stamp: &Stamp) -> Result<()> {
    let (next, text) = numbered(open, next.clone(), stamp)?;
    let (members, _) = members(open, &next)?;
    plan(&members, &next, &text).map(drop).map_err(|error| error.at(Context::Vg(open.vg.name.to_string())))
}

/// The next version under its number, and its text. A device that is missing the change is marked so: when it comes back its
/// extents may be out of date.
fn numbered(open: &OpenVg, next: Vg, stamp: &Stamp) -> Result<(Vg, Vec<u8>)> {
    // LVM2 reads 32 bits of it: one more would be an older version to it.
    let seqno = open.vg.seqno.checked_add(1).filter(|seqno| *seqno <= u64::from(u32::MAX));
    let seqno = seqno.ok_or_else(|| Error::new(Kind::Refused, "the seqno is at its end"))?;
    let away = |pv: &&Arc<super::model::Pv>| {
        let is_away = |open: &OpenPv| open.id == pv.id && open.present.is_none();
        !pv.missing() && open.pvs.iter().any(is_away)
    };
    let away = next.pvs.iter().filter(away).map(|pv| Edit::SetPvMissing { pv: pv.id, missing: true });
    let away: Vec<_> = away.collect();
    let next = if away.is_empty() { next } else { next.apply(&away)? };
    let next = next.with_seqno(seqno)?;
    let mut text = next.text(stamp)?;
    text.push(0);
    Ok((next, text))
}

fn write(open: &mut OpenVg, next: Vg, stamp: &Stamp) -> Result<()> {
    open.check_changeable()?;
    let (next, text) = numbered(open, next, stamp)?;
    let (mut members, left) = members(open, &next)?;
    let writes = plan(&members, &next, &text)?;
    for (write, outcome) in writes.iter().zip(publish(&writes, &text)?) {
        write.note(&mut members, outcome);
    }
    // Not before: a device that was marked for a group which never came would be nobody's and not to be had. Without its mark it
    // is a member all the same; the next commit sets it, lvm2's too.
    if let Err(error) = mark(&mut members, true) {
        tracing::warn!("a new physical volume of {} is not marked as used: {error}", next.name);
    }
    *open = OpenVg { vg: next, pvs: members, refusal: None, findings: Vec::new() };
    release(left);
    Ok(())
}

/// The physical volumes in the order of the new version, and those that are not in it any more.
fn members(open: &OpenVg, next: &Vg) -> Result<(Vec<OpenPv>, Vec<OpenPv>)> {
    let find = |id| open.pvs.iter().find(|pv| pv.id == id).cloned();
    let missing = |pv: &super::model::Pv| {
        Error::new(Kind::Internal, format!("physical volume {} was not lent to this commit", pv.id))
    };
    let members = next.pvs.iter().map(|pv| find(pv.id).ok_or_else(|| missing(pv))).collect::<Result<_>>()?;
    let left = open.vg.pvs.iter().filter(|pv| next.pv_by_id(&pv.id).is_none()).filter_map(|pv| find(pv.id));
    Ok((members, left.collect()))
}

/// What a commit does to one metadata area.
struct Write {
    pv: usize,
    mda: usize,
    device: Arc<dyn Device>,
    /// As it is now.
    header: MdaHeader,
    /// Where the text goes; in an area that is ignored from now on it is written this last time.
    new: Location,
}

/// One write for each area that is in use or was; nothing is written yet.
fn plan(members: &[OpenPv], next: &Vg, text: &[u8]) -> Result<Vec<Write>> {
    let slots = areas::balanced(members, next.metadata_copies);
    if slots.is_empty() {
        let text = format!("no physical volume of volume group {} would have a metadata area", next.name);
        return Err(Error::new(Kind::Refused, text)
            .hint("add a device with one: `dmsnap pv create --metadata-copies 1 DEV` labels it so"));
    }
    let changes = slots.iter().filter(|slot| slot.was_used || slot.is_used);
    let mut writes =
        changes.filter_map(|slot| write_to(members, slot, text).transpose()).collect::<Result<Vec<_>>>()?;
    // What is ignored from now on goes first: then it is never the only one that has the new version.
    writes.sort_by_key(|write| !write.new.ignored());
    Ok(writes)
}

fn write_to(members: &[OpenPv], slot: &Slot, text: &[u8]) -> Result<Option<Write>> {
    let Slot { pv, mda, is_used, .. } = *slot;
    let open = members.get(pv);
    let device = open.and_then(OpenPv::device).cloned();
    let header = open.and_then(|open| open.mdas.get(mda)?.header.as_ref().ok());
    let Some((device, header)) = device.zip(header) else { return Ok(None) };
    let size = Bytes(text.len() as u64);
    let offset = Ring::new(header.size).next(header.committed, size).map_err(|why| {
        let text = format!("on {} {why}", device.path().display());
        Error::new(Kind::NoSpace, text)
            .hint(
                "remove volumes or tags, or move to devices that are labelled with larger metadata areas (`--metadata-size`)",
            )
            .at(Context::Device(device.path().to_owned()))
    })?;
    let new = Location { offset, size, checksum: checksum(text), flags: 0 }.with_ignored(!is_used);
    Ok(Some(Write { pv, mda, device, header: header.clone(), new }))
}

/// The three steps; which areas have the new version, and why others may not. An error before the third takes back what was announced.
fn publish(writes: &[Write], text: &[u8]) -> Result<Vec<Result<()>>> {
    let prepared = each(writes, |write| write.text(text)).and_then(|()| each(writes, Write::precommit));
    if let Err(error) = prepared {
        // What is precommitted is never read; it is only tidier without.
        let _ = each(writes, Write::revert);
        return Err(error);
    }
    // One area in use that has it is enough: the others are older, and whoever reads sees so.
    let commit = |write: &Write| write.commit().and_then(|()| write.device.flush());
    let outcomes: Vec<_> = writes.iter().map(commit).collect();
    let is_done =
        writes.iter().zip(&outcomes).any(|(write, outcome)| !write.new.ignored() && outcome.is_ok());
    if !is_done {
        let error = outcomes.into_iter().find_map(Result::err);
        return Err(error.unwrap_or_else(|| Error::new(Kind::Internal, "no metadata area is in use")));
    }
    Ok(outcomes)
}

/// Does it to every area, then makes it stable everywhere.
fn each(writes: &[Write], act: impl Fn(&Write) -> Result<()>) -> Result<()> {
    writes.iter().try_for_each(act)?;
    writes.iter().try_for_each(|write| write.device.flush())
}

impl Write {
    /// Writes the text, the rest of its last sector zeroed.
    fn text(&self, text: &[u8]) -> Result<()> {
        let ring = Ring::new(self.header.size);
        let outside = || Error::new(Kind::Internal, "the text's place is outside its metadata area");
        for piece in ring.pieces(self.new.offset, self.new.size).ok_or_else(outside)? {
            let part =
                usize::try_from(piece.from).ok().and_then(|from| text.get(from..)).ok_or_else(outside)?;
            let length = usize::try_from(piece.length).map_err(|_| outside())?;
            let mut part = part.get(..length).ok_or_else(outside)?.to_vec();
            let room = self.header.size - piece.offset;
            let whole = Bytes(piece.length).round_up(Bytes(SECTOR_BYTES)).min(room);
            part.resize(usize::try_from(whole.get()).map_err(|_| outside())?, 0);
            self.device.write_at(self.header.start + piece.offset, &part)?;
        }
        Ok(())
    }

    fn precommit(&self) -> Result<()> {
        self.write_header(&MdaHeader { precommitted: self.new, ..self.header.clone() })
    }

    fn commit(&self) -> Result<()> {
        self.write_header(&self.committed())
    }

    fn revert(&self) -> Result<()> {
        self.write_header(&MdaHeader { precommitted: Location::default(), ..self.header.clone() })
    }

    fn committed(&self) -> MdaHeader {
        MdaHeader { committed: self.new, precommitted: Location::default(), ..self.header.clone() }
    }

    fn write_header(&self, header: &MdaHeader) -> Result<()> {
        self.device.write_at(header.start, &header.pack())
    }

    /// Remembers what the area's header is now. Of one that may or may not have been written nothing is known: the area is left alone
    /// before it is read again, for the next text could be written over the one that it names.
    fn note(&self, members: &mut [OpenPv], outcome: Result<()>) {
        let header = outcome.map(|()| self.committed()).map_err(|error| {
            tracing::warn!("{error}");
            error.to_string()
        });
        if let Some(mda) = members.get_mut(self.pv).and_then(|pv| pv.mdas.get_mut(self.mda)) {
            mda.header = header;
        }
    }
}

/// Says on the labels whether a volume group uses the physical volumes; those that say so already are left alone.
fn mark(pvs: &mut [OpenPv], used: bool) -> Result<()> {
    for pv in pvs {
        let Some(Present { device, label, .. }) = &mut pv.present else { continue };
        if label.used() == used {
            continue;
        }
        let marked = label.with_used(used);
        write_label(&**device, &marked)?;
        *label = marked;
    }
    Ok(())
}

fn write_label(device: &dyn Device, label: &PvLabel) -> Result<()> {
    let bytes =
        label.pack().ok_or_else(|| Error::new(Kind::Internal, "the label does not fit into a sector"))?;
    device.write_at(label.offset(), &bytes)?;
    device.flush()
}

/// Empties physical volumes that left. They are in no version of the text any more: a failure only leaves an outdated
/// one behind.
fn release(left: Vec<OpenPv>) {
    for mut pv in left {
        if let Err(error) = empty_pv(&mut pv) {
            tracing::warn!("{} left its volume group but still has its metadata: {error}", pv.name());
        }
    }
}

/// Makes a physical volume one of no group: takes the text's places out of its headers, then the mark off its label.
pub fn empty_pv(pv: &mut OpenPv) -> Result<()> {
    forget(std::slice::from_mut(pv))?;
    mark(std::slice::from_mut(pv), false)
}

fn forget(pvs: &mut [OpenPv]) -> Result<()> {
    for pv in pvs {
        let Some(Present { device, .. }) = &pv.present else { continue };
        for mda in &mut pv.mdas {
            let Ok(header) = &mda.header else { continue };
            let empty = MdaHeader {
                committed: Location::default(),
                precommitted: Location::default(),
                ..header.clone()
            };
            device.write_at(empty.start, &empty.pack())?;
            mda.header = Ok(empty);
        }
        device.flush()?;
    }
    Ok(())
}

/// Removes a volume group without volumes; its physical volumes remain, unused. The marks go first: without them the group is whole all
/// the same, while a device with a mark and without a group would be nobody's and not to be had.
pub fn remove_vg(open: OpenVg) -> Result<Vec<OpenPv>> {
    open.check_removable()?;
    let OpenVg { vg, mut pvs, .. } = open;
    let at = |error: Error| error.at(Context::Vg(vg.name.to_string()));
    mark(&mut pvs, false).and_then(|()| forget(&mut pvs)).map_err(at)?;
    Ok(pvs)
}

#[cfg(test)]
pub(crate) mod tests;
