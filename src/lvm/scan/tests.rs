#![allow(clippy::indexing_slicing)]

use super::*;
use crate::block::mem::{MemDevice, MemDevices, Operation};
use crate::lvm::commit::tests::{new_lv, open, stamp, uuid, world};
use crate::lvm::commit::{PvOptions, commit, create_pv};
use crate::lvm::edit::Edit;
use crate::lvm::label::{self, Location, MDA_HEADER, PvLabel, Range, checksum};
use crate::units::Extents;

fn find(host: &MemDevices) -> Scan {
    scan(host, &Host::default()).unwrap()
}

fn disk(host: &MemDevices, number: usize) -> Arc<MemDevice> {
    host.device(format!("/dev/sd{number}")).unwrap()
}

/// Commits a volume, so that there is more than one version.
fn add(host: &MemDevices, name: &str) {
    let mut vg = open(host);
    let next = vg.vg.apply(&[new_lv(&vg.vg, name, 2)]).unwrap();
    commit(&mut vg, next, &stamp()).unwrap();
}

fn header(device: &MemDevice) -> MdaHeader {
    let area = Range { offset: Bytes::kib(4), size: Bytes::mib(1) - Bytes::kib(4) };
    MdaHeader::unpack(&device.peek(Bytes::kib(4), MDA_HEADER), area).unwrap()
}

fn set_header(device: &MemDevice, change: impl FnOnce(&mut MdaHeader)) {
    let mut header = header(device);
    change(&mut header);
    device.poke(Bytes::kib(4), &header.pack());
}

/// Changes the committed text in its place, and its checksum.
fn change_text(device: &MemDevice, old: &str, new: &str) {
    let place = header(device).committed;
    let at = Bytes::kib(4) + place.offset;
    let text = String::from_utf8(device.peek(at, usize::try_from(place.size.get()).unwrap())).unwrap();
    assert!(text.contains(old), "{text}");
    let text = text.replacen(old, new, 1);
    device.poke(at, text.as_bytes());
    let size = Bytes(text.len() as u64);
    set_header(device, |header| {
        header.committed = Location { checksum: checksum(text.as_bytes()), size, ..place }
    });
}

fn reason(host: &MemDevices) -> String {
    let found = find(host);
    assert_eq!(found.vgs.len(), 1, "{found:?}");
    found.vgs[0].refusal.as_ref().unwrap().reason.clone()
}

#[test]
fn devices_that_cannot_be_physical_volumes_are_not_opened() {
    let host = world(1, &PvOptions::default());
    let image = disk(&host, 0).peek(Bytes::ZERO, 2 << 20);
    let copy = |path: &str, size: u64| {
        let device = host.add(path, Bytes::mib(size));
        device.poke(Bytes::ZERO, &image[..usize::try_from(size << 20).unwrap().min(image.len())]);
        device.fail_from(Operation::Read, 1);
        device
    };
    copy("/dev/mapper/vg-lv", 64);
    host.set("/dev/mapper/vg-lv", |one| one.dm_uuid = Some("LVM-abc".into()));
    copy("/dev/partitioned", 64);
    host.set("/dev/partitioned", |one| one.partitioned = true);
    copy("/dev/leg", 64);
    host.set("/dev/leg", |one| one.component = true);
    copy("/dev/small", 1);
    let found = find(&host);
    assert_eq!((found.vgs.len(), found.findings), (1, Vec::new()));
    assert_eq!(found.vgs[0].refusal, None);
}

#[test]
fn a_device_that_cannot_be_read_is_found_and_the_rest_works() {
    let host = world(1, &PvOptions::default());
    host.add("/dev/dead", Bytes::mib(64)).fail_from(Operation::Read, 1);
    let found = find(&host);
    assert_eq!(found.vgs.len(), 1);
    assert!(found.findings[0].text.contains("/dev/dead cannot be read"), "{:?}", found.findings);
}

#[test]
fn a_physical_volume_without_volume_group_is_an_orphan() {
    let host = world(1, &PvOptions::default());
    host.add("/dev/new", Bytes::mib(64));
    let device = host.open("/dev/new".as_ref(), Access::Write).unwrap();
    create_pv(device, uuid("new"), &PvOptions::default()).unwrap();
    let found = find(&host);
    assert_eq!((found.orphans.len(), found.findings), (1, Vec::new()));
    assert_eq!(found.orphans[0].id, uuid("new"));
    assert!(found.orphans[0].check_free().is_ok());
}

#[test]
fn a_volume_group_that_is_not_there_is_not_found() {
    let error =
        open_vg(&MemDevices::new(), &Host::default(), &"no".parse().unwrap(), Access::Read).unwrap_err();
    assert_eq!(error.kind(), Kind::NotFound);
    assert!(error.to_string().contains("there is no volume group no"), "{error}");
}

#[test]
fn the_highest_seqno_wins_and_the_next_commit_heals() {
    let host = world(2, &PvOptions::default());
    let old = disk(&host, 1).peek(Bytes::ZERO, 1 << 20);
    add(&host, "a");
    disk(&host, 1).poke(Bytes::ZERO, &old);
    assert_eq!(open(&host).vg.seqno, 2);
    assert_eq!(open(&host).refusal, None);
    add(&host, "b");
    assert_eq!(header(&disk(&host, 0)).committed.checksum, header(&disk(&host, 1)).committed.checksum);
    assert_eq!(open(&host).vg.lvs.len(), 2);
}

#[test]
fn two_texts_under_one_seqno_are_listed_and_refused_for_change() {
    let host = world(2, &PvOptions::default());
    add(&host, "a");
    change_text(&disk(&host, 1), "seqno = 2", "seqno = 2 ");
    assert!(reason(&host).contains("two different versions under seqno 2"));
    let mut vg = open(&host);
    let next = vg.vg.clone();
    assert_eq!(commit(&mut vg, next, &stamp()).unwrap_err().kind(), Kind::Refused);
}

#[test]
fn a_damaged_area_is_neither_read_nor_written_while_another_is_good() {
    let host = world(2, &PvOptions::default());
    add(&host, "a");
    disk(&host, 0).poke(Bytes::kib(4) + Bytes(200), &[1]);
    let found = find(&host);
    assert!(
        found.findings[0].text.contains("is damaged: its header: its checksum is wrong"),
        "{:?}",
        found.findings
    );
    assert_eq!(found.vgs[0].refusal, None);
    let before = disk(&host, 0).image();
    add(&host, "b");
    assert!(disk(&host, 0).image() == before);
    assert_eq!(open(&host).vg.seqno, 3);
}

#[test]
fn a_text_with_a_wrong_checksum_is_not_read() {
    let host = world(2, &PvOptions::default());
    let place = header(&disk(&host, 0)).committed;
    disk(&host, 0).poke(Bytes::kib(4) + place.offset + Bytes(20), b"X");
    let found = find(&host);
    assert!(found.findings[0].text.contains("its text has a wrong checksum"), "{:?}", found.findings);
    assert_eq!((found.vgs.len(), found.vgs[0].refusal.clone()), (1, None));
    disk(&host, 1).poke(Bytes::kib(4) + place.offset + Bytes(20), b"X");
    let found = find(&host);
    assert_eq!((found.vgs.len(), found.orphans.len()), (0, 2));
    assert!(found.orphans.iter().all(|pv| pv.check_free().is_err()));
}

#[test]
fn a_damaged_text_is_named_when_its_volume_group_is_asked_for() {
    let host = world(1, &PvOptions::default());
    change_text(&disk(&host, 0), "seqno = 1", "seqno = x");
    let error = open_vg(&host, &Host::default(), &"vg".parse().unwrap(), Access::Read).unwrap_err();
    assert_eq!(error.kind(), Kind::Refused);
    assert!(error.to_string().contains("line 3: seqno: not a number"), "{error}");
}

#[test]
fn a_missing_nul_and_a_misaligned_place_are_read() {
    let host = world(1, &PvOptions::default());
    let device = disk(&host, 0);
    let place = header(&device).committed;
    let size = usize::try_from(place.size.get()).unwrap() - 1;
    let text = device.peek(Bytes::kib(4) + place.offset, size);
    device.poke(Bytes::kib(4) + Bytes(7001), &text);
    let moved =
        Location { offset: Bytes(7001), size: Bytes(size as u64), checksum: checksum(&text), flags: 0 };
    set_header(&device, |header| header.committed = moved);
    assert_eq!(open(&host).vg.seqno, 1);
    add(&host, "a");
    assert_eq!(header(&device).committed.offset.get() % 512, 0);
}

#[test]
fn places_outside_the_area_are_damage() {
    for (offset, size) in [(0, 100), (512, u64::MAX), (u64::MAX, 1), (1 << 30, 100), (512, 2 << 20)] {
        let host = world(1, &PvOptions::default());
        set_header(&disk(&host, 0), |header| {
            header.committed = Location { offset: Bytes(offset), size: Bytes(size), checksum: 0, flags: 0 };
        });
        assert!(find(&host).findings[0].text.contains("its text is outside"), "{offset} {size}");
    }
}

#[test]
fn an_area_that_claims_more_than_the_label_gives_it_is_damaged() {
    let host = world(1, &PvOptions::default());
    set_header(&disk(&host, 0), |header| header.size = Bytes::mib(8));
    assert!(find(&host).findings[0].text.contains("the label"));
}

#[test]
fn an_ignored_area_is_not_read_and_keeps_its_flag() {
    let host = world(2, &PvOptions::default());
    set_header(&disk(&host, 1), |header| header.committed.flags = 1);
    let before = disk(&host, 1).image();
    add(&host, "a");
    assert!(disk(&host, 1).image() == before);
    assert_eq!(open(&host).vg.seqno, 2);
    set_header(&disk(&host, 0), |header| header.committed.flags = 1);
    assert_eq!(find(&host).vgs.len(), 0);
}

#[test]
fn physical_volumes_with_no_and_with_two_areas_belong_to_one_volume_group() {
    let host = MemDevices::new();
    let pvs = [0, 1, 2].map(|copies| {
        let path = format!("/dev/sd{copies}");
        host.add(&path, Bytes::mib(64));
        let options = PvOptions { metadata_copies: copies, ..PvOptions::default() };
        create_pv(host.open(path.as_ref(), Access::Write).unwrap(), uuid(&format!("pv{copies}")), &options)
            .unwrap()
    });
    let new = crate::lvm::edit::NewVg {
        name: "vg".parse().unwrap(),
        id: uuid("vg"),
        extent_size: Sectors(2048),
        system_id: None,
        metadata_copies: 0,
    };
    let made = crate::lvm::commit::create_vg(pvs.to_vec(), &new, &stamp()).unwrap();
    // The second area is behind the extents.
    assert_eq!(made.vg.pvs.iter().map(|pv| pv.pe_count.get()).collect::<Vec<_>>(), [63, 63, 62]);
    let open = open(&host);
    assert_eq!(open.refusal, None);
    assert_eq!(open.pvs.iter().map(|pv| pv.mdas.len()).collect::<Vec<_>>(), [0, 1, 2]);
    disk(&host, 1).poke(Bytes::kib(4), &[0; 512]);
    disk(&host, 2).poke(Bytes::kib(4), &[0; 512]);
    assert_eq!(find(&host).vgs[0].refusal, None);
    host.remove("/dev/sd2".as_ref());
    assert_eq!(find(&host).vgs.len(), 0);
}

#[test]
fn a_missing_physical_volume_makes_the_group_listed_and_refused() {
    let host = world(3, &PvOptions::default());
    add(&host, "a");
    host.remove("/dev/sd1".as_ref());
    let text = reason(&host);
    assert!(text.contains("lacks a physical volume") && text.contains("/dev/sd1"), "{text}");
    let vg = open(&host);
    assert!(vg.pvs[1].present.is_none());
    assert_eq!(vg.byte_range(&Area::Pv { pv: 1, start: Extents(0) }).unwrap_err().kind(), Kind::Refused);
    let (device, at) = vg.byte_range(&Area::Pv { pv: 2, start: Extents(3) }).unwrap();
    assert_eq!((device.path(), at), ("/dev/sd2".as_ref(), Bytes::mib(4)));
}

#[test]
fn a_cloned_physical_volume_is_refused() {
    let host = world(2, &PvOptions::default());
    let clone = host.add("/dev/clone", Bytes::mib(64));
    clone.poke(Bytes::ZERO, &disk(&host, 1).peek(Bytes::ZERO, 2 << 20));
    let text = reason(&host);
    assert!(text.contains("there twice: /dev/sd1, /dev/clone"), "{text}");
    let found = find(&host);
    assert!(found.findings[0].text.contains("more than once"));
    assert_eq!(found.vgs[0].pvs[1].name(), "/dev/sd1");
}

#[test]
fn a_device_that_shrank_is_refused() {
    let host = world(1, &PvOptions::default());
    let image = disk(&host, 0).peek(Bytes::ZERO, 2 << 20);
    host.remove("/dev/sd0".as_ref());
    host.add("/dev/sd0", Bytes::mib(32)).poke(Bytes::ZERO, &image);
    assert!(reason(&host).contains("extents beyond the end of /dev/sd0"));
}

#[test]
fn two_groups_of_one_name_are_listed_and_refused() {
    let host = world(1, &PvOptions::default());
    let image = disk(&host, 0).peek(Bytes::ZERO, 2 << 20);
    let other = host.add("/dev/other", Bytes::mib(64));
    other.poke(Bytes::ZERO, &image);
    let ids = [("pv0", "pv9"), ("0vg", "9vg")];
    for (old, new) in ids {
        let id = |text: &str| uuid(text).to_string();
        if old == "pv0" {
            change_text(&other, &id(old), &id(new));
        } else {
            change_text(&other, &id("vg"), &id("9vg"));
        }
    }
    let label = crate::lvm::label::find(&other.peek(Bytes::ZERO, 2048)).label.unwrap();
    other.poke(Bytes(512), &PvLabel { id: uuid("pv9"), ..label }.pack().unwrap());
    let found = find(&host);
    assert_eq!(found.vgs.len(), 2, "{found:?}");
    assert!(
        found.vgs.iter().all(|open| open
            .refusal
            .as_ref()
            .unwrap()
            .reason
            .contains("two volume groups named vg"))
    );
    let error = open_vg(&host, &Host::default(), &"vg".parse().unwrap(), Access::Read).unwrap_err();
    assert_eq!(error.kind(), Kind::Refused);
    let id = found.vgs[1].vg.id;
    assert!(error.to_string().contains("dmsnap vg rename"), "{error}");
    let one = Scanner::default().open_vg_by_id(&host, &Host::default(), id, Access::Write).unwrap();
    assert_eq!((one.vg.id, one.refusal), (id, None));
}

#[test]
fn a_read_that_fails_once_is_no_damage() {
    let host = world(1, &PvOptions::default());
    // The first read of the text fails.
    disk(&host, 0).fail_nth(Operation::Read, 3);
    let found = find(&host);
    assert_eq!((found.vgs.len(), found.findings), (1, Vec::new()));
}

#[test]
fn an_outdated_physical_volume_is_found_and_kept_from_use() {
    let host = world(2, &PvOptions::default());
    let old = disk(&host, 1).peek(Bytes::ZERO, 1 << 20);
    let mut vg = open(&host);
    let next = vg.vg.apply(&[Edit::RemovePv { pv: uuid("pv1") }]).unwrap();
    commit(&mut vg, next, &stamp()).unwrap();
    disk(&host, 1).poke(Bytes::ZERO, &old);
    let found = find(&host);
    assert_eq!((found.vgs.len(), found.orphans.len()), (1, 1));
    assert_eq!(found.vgs[0].vg.pvs.len(), 1);
    assert_eq!(found.vgs[0].refusal, None);
    assert!(found.findings[0].text.contains("outdated: its metadata is of volume group vg"), "{found:?}");
    assert_eq!(found.orphans[0].check_free().unwrap_err().kind(), Kind::Refused);
}

/// Commits while disk number `number` is away, and brings it back as it was.
fn change_without(host: &MemDevices, number: usize, edits: &[Edit]) {
    let path = format!("/dev/sd{number}");
    let image = disk(host, number).peek(Bytes::ZERO, 2 << 20);
    host.remove(path.as_ref());
    let mut vg = open(host);
    vg.exempt(Exempt::Reduction);
    let next = vg.vg.apply(edits).unwrap();
    commit(&mut vg, next, &stamp()).unwrap();
    assert!(vg.vg.pvs[number].missing() && vg.vg.pvs[number].flags.has("MISSING"));
    host.add(&path, Bytes::mib(64)).poke(Bytes::ZERO, &image);
}

#[test]
fn a_device_that_missed_a_change_and_holds_nothing_is_taken_in_by_itself() {
    let host = world(2, &PvOptions::default());
    add(&host, "a");
    change_without(&host, 1, &[new_lv(&open(&host).vg, "b", 1)]);
    let vg = open(&host);
    assert_eq!((vg.refusal.clone(), vg.vg.seqno, vg.vg.pvs[1].missing()), (None, 3, false));
    add(&host, "c");
    let text = String::from_utf8(open(&host).vg.text(&stamp()).unwrap()).unwrap();
    assert!(!text.contains("MISSING"), "{text}");
    assert_eq!(header(&disk(&host, 0)).committed.checksum, header(&disk(&host, 1)).committed.checksum);
}

#[test]
fn a_device_that_missed_a_change_and_holds_extents_stays_missing() {
    let host = world(2, &PvOptions::default());
    let mut vg = open(&host);
    let next = vg.vg.apply(&[new_lv(&vg.vg, "a", 63)]).unwrap();
    let next = next.apply(&[new_lv(&next, "b", 5)]).unwrap();
    commit(&mut vg, next, &stamp()).unwrap();
    change_without(&host, 1, &[Edit::RemoveLv { lv: "a".parse().unwrap() }]);
    let text = reason(&host);
    assert!(text.contains("was changed while physical volume"), "{text}");
    let mut vg = open(&host);
    assert_eq!(vg.refusal.as_ref().unwrap().exempt, Some(Exempt::Reduction));
    vg.exempt(Exempt::Renaming);
    assert!(vg.check_changeable().is_err());
    vg.exempt(Exempt::Reduction);
    let edit = Edit::SetPvMissing { pv: uuid("pv1"), missing: false };
    let next = vg.vg.apply(&[edit]).unwrap();
    commit(&mut vg, next, &stamp()).unwrap();
    assert_eq!(open(&host).refusal, None);
}

#[test]
fn a_missing_device_without_metadata_areas_is_taken_in_by_itself() {
    let host = world(1, &PvOptions::default());
    host.add("/dev/sd1", Bytes::mib(64));
    let options = PvOptions { metadata_copies: 0, ..PvOptions::default() };
    let pv =
        create_pv(host.open("/dev/sd1".as_ref(), Access::Write).unwrap(), uuid("pv1"), &options).unwrap();
    let mut vg = open(&host);
    let next = vg.vg.apply(&[Edit::AddPv(pv.as_new(vg.vg.extent_size).unwrap())]).unwrap();
    vg.join(pv);
    let next = next.apply(&[new_lv(&next, "big", 100)]).unwrap();
    commit(&mut vg, next, &stamp()).unwrap();
    change_without(&host, 1, &[new_lv(&open(&host).vg, "b", 1)]);
    assert_eq!(open(&host).refusal, None);
}

#[test]
fn other_reasons_leave_no_way_out_by_reduction() {
    let host = world(3, &PvOptions::default());
    host.remove("/dev/sd1".as_ref());
    assert_eq!(open(&host).refusal.unwrap().exempt, Some(Exempt::Reduction));
    let clone = host.add("/dev/clone", Bytes::mib(64));
    clone.poke(Bytes::ZERO, &disk(&host, 2).peek(Bytes::ZERO, 2 << 20));
    assert_eq!(open(&host).refusal.unwrap().exempt, None);
}

/// Changes the first label of a disk.
fn set_label(device: &MemDevice, change: impl FnOnce(&mut PvLabel)) {
    let mut label = label::find(&device.peek(Bytes::ZERO, label::LABEL_AREA)).label.unwrap();
    change(&mut label);
    device.poke(label.offset(), &label.pack().unwrap());
}

#[test]
fn a_metadata_area_over_the_label_or_another_one_is_damaged() {
    let cases = [
        (Range { offset: Bytes::kib(4), size: Bytes::kib(64) }, "over another one"),
        (Range { offset: Bytes::kib(1), size: Bytes::kib(3) }, "over the label"),
        (Range { offset: Bytes(u64::MAX), size: Bytes(u64::MAX) }, "beyond the end"),
    ];
    for (area, why) in cases {
        let host = world(1, &PvOptions::default());
        set_label(&disk(&host, 0), |label| label.metadata.push(area));
        let found = find(&host);
        let mdas = &found.vgs[0].pvs[0].mdas;
        assert!(mdas[0].header.is_ok());
        assert!(mdas[1].header.as_ref().unwrap_err().contains(why), "{mdas:?}");
    }
}

#[test]
fn a_group_whose_metadata_could_be_written_over_its_volumes_is_refused() {
    let host = world(1, &PvOptions::default());
    set_label(&disk(&host, 0), |label| label.metadata[0].size = Bytes::mib(2));
    assert!(reason(&host).contains("among the extents"), "{}", reason(&host));
}

#[test]
fn a_group_that_is_opened_knows_what_is_wrong_with_its_devices() {
    let host = world(2, &PvOptions::default());
    disk(&host, 1).poke(Bytes::kib(4), b"?");
    host.add("/dev/dead", Bytes::mib(64)).fail_from(Operation::Read, 1);
    let findings = open(&host).findings;
    assert_eq!(findings.len(), 1, "{findings:?}");
    assert!(findings[0].text.contains("/dev/sd1: the metadata area at byte 4096 is damaged"), "{findings:?}");
}
