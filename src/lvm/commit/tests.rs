#![allow(clippy::indexing_slicing)]

use super::*;
use crate::block::mem::{Event, MemDevices, Operation, Remains};
use crate::block::{Access, Devices};
use crate::lvm::alloc::{Request, allocate};
use crate::lvm::check::Host;
use crate::lvm::edit::{Edit, NewLv};
use crate::lvm::label::LABEL_AREA;
use crate::lvm::name::Uuid;
use crate::lvm::scan::{OpenMda, Scan, open_vg, scan};
use crate::units::{Extents, Sectors};

pub(crate) fn uuid(text: &str) -> Uuid {
    format!("{text:0>32}").parse().unwrap()
}

pub(crate) fn stamp() -> Stamp {
    Stamp {
        time: 1_795_261_267,
        host: "here".into(),
        system: "Linux here 6.1".into(),
        system_id: None,
        description: "a test".into(),
    }
}

pub(crate) fn new_vg() -> NewVg {
    NewVg {
        name: "vg".parse().unwrap(),
        id: uuid("vg"),
        extent_size: Sectors(2048),
        system_id: None,
        metadata_copies: 0,
    }
}

/// So many labelled disks of 64 MiB, pv0 to pvN.
fn labelled(disks: usize, options: &PvOptions) -> (MemDevices, Vec<OpenPv>) {
    let host = MemDevices::new();
    let pvs = (0..disks).map(|number| {
        let path = format!("/dev/sd{number}");
        host.add(&path, Bytes::mib(64));
        let device = host.open(path.as_ref(), Access::Write).unwrap();
        create_pv(device, uuid(&format!("pv{number}")), options).unwrap()
    });
    let pvs = pvs.collect();
    (host, pvs)
}

/// A volume group `vg` on them.
pub(crate) fn world(disks: usize, options: &PvOptions) -> MemDevices {
    let (host, pvs) = labelled(disks, options);
    create_vg(pvs, &new_vg(), &stamp()).unwrap();
    host
}

pub(crate) fn open(host: &MemDevices) -> OpenVg {
    open_vg(host, &Host::default(), &"vg".parse().unwrap(), Access::Write).unwrap()
}

fn find(host: &MemDevices) -> Scan {
    scan(host, &Host::default()).unwrap()
}

pub(crate) fn new_lv(vg: &Vg, name: &str, extents: u64) -> Edit {
    let request = Request { extents: Extents(extents), ..Request::default() };
    Edit::AddLv(NewLv {
        name: name.parse().unwrap(),
        id: uuid(name),
        writable: true,
        visible: true,
        flags: Vec::new(),
        tags: Vec::new(),
        created: None,
        segments: allocate(vg, &request).unwrap(),
    })
}

/// The next version has one more volume of one extent.
fn grow(host: &MemDevices, name: &str) -> Result<()> {
    let mut vg = open(host);
    let next = vg.vg.apply(&[new_lv(&vg.vg, name, 1)])?;
    commit(&mut vg, next, &stamp())
}

fn small() -> PvOptions {
    PvOptions { metadata_size: Some(Bytes::kib(32)), data_alignment: Bytes::kib(4), ..PvOptions::default() }
}

#[test]
fn a_new_volume_group_is_found_again() {
    let host = world(2, &PvOptions::default());
    let found = find(&host);
    assert_eq!((found.vgs.len(), found.orphans.len(), found.findings), (1, 0, Vec::new()));
    let open = &found.vgs[0];
    assert_eq!(open.refusal, None);
    assert_eq!(open.vg.seqno, 1);
    assert_eq!(open.vg.extents(), Extents(126));
    assert!(open.pvs.iter().all(|pv| pv.label().unwrap().used()));
}

#[test]
fn new_physical_volumes_are_laid_out_as_lvm2_does() {
    let kib = Bytes::kib;
    let cases = [
        (PvOptions::default(), vec![(4096, 1_044_480)], kib(1024)),
        (
            PvOptions { metadata_copies: 2, ..PvOptions::default() },
            vec![(4096, 1_044_480), (63 << 20, 1 << 20)],
            kib(1024),
        ),
        (PvOptions { metadata_copies: 0, ..PvOptions::default() }, vec![], kib(1024)),
        (
            PvOptions { metadata_size: Some(Bytes::mib(1)), ..PvOptions::default() },
            vec![(4096, 2_093_056)],
            kib(2048),
        ),
        (small(), vec![(4096, 32768)], kib(36)),
    ];
    for (options, areas, data) in cases {
        let (_, pvs) = labelled(1, &options);
        let label = pvs[0].label().unwrap();
        let found: Vec<_> = label.metadata.iter().map(|area| (area.offset.get(), area.size.get())).collect();
        assert_eq!(found, areas, "{options:?}");
        assert_eq!((label.data[0].offset, label.data[0].size), (data, Bytes::ZERO), "{options:?}");
        assert!(!label.used());
    }
}

#[test]
fn devices_that_are_too_small_and_odd_options_are_usage_errors() {
    let host = MemDevices::new();
    host.add("/dev/small", Bytes::mib(1));
    host.add("/dev/disk", Bytes::mib(4));
    let create = |path: &str, options: PvOptions| {
        create_pv(host.open(path.as_ref(), Access::Write).unwrap(), uuid("x"), &options).unwrap_err().kind()
    };
    assert_eq!(create("/dev/small", PvOptions::default()), Kind::Usage);
    assert_eq!(create("/dev/disk", PvOptions { metadata_copies: 3, ..PvOptions::default() }), Kind::Usage);
    assert_eq!(
        create("/dev/disk", PvOptions { metadata_size: Some(Bytes(u64::MAX)), ..small() }),
        Kind::Usage
    );
    for align in [0, 512, 5000] {
        assert_eq!(create("/dev/disk", PvOptions { data_alignment: Bytes(align), ..small() }), Kind::Usage);
    }
    assert!(host.log().is_empty());
}

#[test]
fn labelling_clears_stale_labels_in_all_four_sectors() {
    let host = MemDevices::new();
    let disk = host.add("/dev/sda", Bytes::mib(64));
    let (_, old) = labelled(1, &PvOptions::default());
    for sector in [0, 3] {
        let label = PvLabel { sector, ..old[0].label().unwrap().clone() };
        disk.poke(label.offset(), &label.pack().unwrap());
    }
    let device = host.open("/dev/sda".as_ref(), Access::Write).unwrap();
    let pv = create_pv(device, uuid("new"), &PvOptions::default()).unwrap();
    let found = crate::lvm::label::find(&disk.peek(Bytes::ZERO, LABEL_AREA));
    assert_eq!((found.label, found.notes), (pv.label().cloned(), Vec::new()));
    remove_pv(&pv).unwrap();
    assert!(crate::lvm::label::label_sectors(&disk.peek(Bytes::ZERO, LABEL_AREA)).is_empty());
}

#[test]
fn a_physical_volume_in_use_is_neither_taken_nor_removed() {
    let host = world(1, &PvOptions::default());
    let open = open(&host);
    assert_eq!(remove_pv(&open.pvs[0]).unwrap_err().kind(), Kind::Refused);
    assert_eq!(create_vg(open.pvs.clone(), &new_vg(), &stamp()).unwrap_err().kind(), Kind::Refused);
}

/// To lvm2, which reads 32 bits of it, the version after the last would be the oldest.
#[test]
fn the_seqno_ends_where_lvm2_ceases_to_count() {
    let host = world(1, &PvOptions::default());
    let disks = || host.images();
    for (seqno, can_be_raised) in [(u64::from(u32::MAX) - 1, true), (u64::from(u32::MAX), false)] {
        let mut vg = open(&host);
        vg.vg = vg.vg.with_seqno(seqno).unwrap();
        let (next, before) = (vg.vg.clone(), disks());
        match commit(&mut vg, next, &stamp()) {
            Ok(()) => assert!(can_be_raised, "{seqno}"),
            Err(error) => {
                assert!(!can_be_raised && error.kind() == Kind::Refused && disks() == before, "{error}");
            }
        }
    }
    assert_eq!(open(&host).vg.seqno, u64::from(u32::MAX));
}

#[test]
fn a_commit_is_read_back_with_its_seqno_one_higher() {
    let host = world(2, &PvOptions::default());
    let mut vg = open(&host);
    let next = vg.vg.apply(&[new_lv(&vg.vg, "db", 5)]).unwrap();
    commit(&mut vg, next, &stamp()).unwrap();
    assert_eq!(vg.vg.seqno, 2);
    let again = open(&host);
    assert_eq!(again.vg.seqno, 2);
    assert_eq!(again.vg.lvs, vg.vg.lvs);
    assert_eq!(again.pvs[0].mdas, vg.pvs[0].mdas);
}

#[test]
fn each_step_of_a_commit_is_flushed_before_the_next() {
    let host = world(2, &PvOptions::default());
    host.settle();
    grow(&host, "a").unwrap();
    let words: Vec<String> =
        host.log().records().iter().map(|one| format!("{} {:?}", one.device.minor, one.event)).collect();
    let size = |text: &str| text.split('+').nth(1).unwrap().parse::<u64>().unwrap();
    let expected = [
        "0 write 5632+",
        "1 write 5632+",
        "0 flush",
        "1 flush",
        "0 write 4096+512",
        "1 write 4096+512",
        "0 flush",
        "1 flush",
        "0 write 4096+512",
        "0 flush",
        "1 write 4096+512",
        "1 flush",
    ];
    assert_eq!(words.len(), expected.len(), "{words:?}");
    for (word, expected) in words.iter().zip(expected) {
        assert!(word.starts_with(expected), "{words:?}");
    }
    // Whole sectors, the rest of the last one zeroed.
    assert_eq!(size(&words[0]) % 512, 0);
}

#[test]
fn precommitted_places_are_cleared_and_what_a_dead_writer_left_is_ignored() {
    let host = world(1, &PvOptions::default());
    host.settle();
    grow(&host, "a").unwrap();
    let precommitted = host.images_after_cut(4).pop().unwrap().devices;
    let left = open(&precommitted);
    let header = left.pvs[0].mdas[0].header.clone().unwrap();
    assert!(!header.precommitted.is_empty());
    assert_eq!(left.vg.seqno, 1);
    grow(&precommitted, "b").unwrap();
    let header = open(&precommitted).pvs[0].mdas[0].header.clone().unwrap();
    assert!(header.precommitted.is_empty());
}

#[test]
fn a_long_chain_of_commits_on_a_small_area_follows_the_ring() {
    let host = world(1, &small());
    let mut place = open(&host).pvs[0].mdas[0].header.clone().unwrap().committed;
    let mut wraps = 0;
    for number in 0..60 {
        let mut vg = open(&host);
        let tag = format!("{number}-{}", "t".repeat((number * 37) % 900)).parse().unwrap();
        let next = vg.vg.apply(&[Edit::AddVgTag { tag }]).unwrap();
        let next = match vg.vg.tags.first().cloned() {
            Some(tag) if number % 5 == 0 => next.apply(&[Edit::RemoveVgTag { tag }]).unwrap(),
            _ => next,
        };
        match commit(&mut vg, next, &stamp()) {
            Ok(()) => {}
            Err(error) => {
                assert_eq!(error.kind(), Kind::NoSpace);
                let tags: Vec<_> =
                    vg.vg.tags.iter().map(|tag| Edit::RemoveVgTag { tag: tag.clone() }).collect();
                let next = vg.vg.apply(&tags).unwrap();
                commit(&mut vg, next, &stamp()).unwrap();
            }
        }
        let now = open(&host).pvs[0].mdas[0].header.clone().unwrap().committed;
        assert_eq!(now.offset, Ring::new(Bytes::kib(32)).next(place, now.size).unwrap());
        wraps += u32::from(now.offset < place.offset);
        place = now;
    }
    assert!(wraps >= 5, "{wraps}");
}

#[test]
fn a_text_of_exactly_the_maximum_fits_and_one_byte_more_changes_nothing() {
    let host = world(1, &small());
    let mut vg = open(&host);
    let room = usize::try_from(Ring::new(Bytes::kib(32)).max_text().get()).unwrap();
    // Several tags, each at most as long as a tag may be.
    let tagged = |vg: &Vg, length: usize, most: usize| {
        let parts = (0..length.div_ceil(most)).map(|number| (number, most.min(length - number * most)));
        let tags =
            parts.map(|(number, length)| format!("{number:03}{}", "t".repeat(length)).parse().unwrap());
        vg.apply(&tags.map(|tag| Edit::AddVgTag { tag }).collect::<Vec<_>>()).unwrap()
    };
    let length = |vg: &Vg| vg.clone().with_seqno(2).unwrap().text(&stamp()).unwrap().len() + 1;
    // A tag more is several bytes more: not every length can be had with every size of tags.
    let fitting = |most| {
        let (mut low, mut high) = (1, room);
        while low < high {
            let middle = usize::midpoint(low, high);
            if length(&tagged(&vg.vg, middle, most)) < room { low = middle + 1 } else { high = middle }
        }
        (length(&tagged(&vg.vg, low, most)) == room).then_some((low, most))
    };
    let (wanted, most) = (900..1000).find_map(fitting).unwrap();
    host.settle();
    let too_large = tagged(&vg.vg, wanted + 1, most);
    let error = commit(&mut vg, too_large, &stamp()).unwrap_err();
    assert_eq!(error.kind(), Kind::NoSpace);
    assert!(host.log().is_empty());
    let next = tagged(&vg.vg, wanted, most);
    commit(&mut vg, next, &stamp()).unwrap();
    assert_eq!(open(&host).vg.seqno, 2);
}

#[test]
fn an_error_before_the_commit_point_leaves_the_old_version() {
    for (operation, nth) in
        [(Operation::Write, 1), (Operation::Write, 2), (Operation::Flush, 1), (Operation::Flush, 2)]
    {
        let host = world(3, &PvOptions::default());
        host.device("/dev/sd1").unwrap().fail_nth(operation, nth);
        assert_eq!(grow(&host, "a").unwrap_err().kind(), Kind::Internal, "{operation:?} {nth}");
        let after = open(&host);
        assert_eq!((after.vg.seqno, after.vg.lvs.len(), after.refusal), (1, 0, None));
        assert!(after.pvs.iter().all(|pv| pv.mdas[0].header.as_ref().unwrap().precommitted.is_empty()));
        grow(&host, "b").unwrap();
        assert_eq!(open(&host).vg.seqno, 2);
    }
}

#[test]
fn one_area_that_has_the_new_version_is_enough() {
    let host = world(2, &PvOptions::default());
    host.device("/dev/sd0").unwrap().fail_nth(Operation::Write, 3);
    grow(&host, "a").unwrap();
    assert_eq!(open(&host).vg.seqno, 2);
    grow(&host, "b").unwrap();
    assert_eq!(open(&host).vg.lvs.len(), 2);
}

#[test]
fn a_group_that_may_not_be_changed_is_not_written() {
    let host = world(2, &PvOptions::default());
    let mut vg = open(&host);
    host.remove("/dev/sd1".as_ref());
    let mut partial = open(&host);
    host.settle();
    let next = partial.vg.clone();
    assert_eq!(commit(&mut partial, next, &stamp()).unwrap_err().kind(), Kind::Refused);
    assert!(host.log().is_empty());
    let stranger = Vg::new(&new_vg(), &[]).unwrap();
    assert!(commit(&mut vg, stranger, &stamp()).is_err());
}

#[test]
fn physical_volumes_join_and_leave_with_their_labels() {
    let host = world(1, &PvOptions::default());
    host.add("/dev/new", Bytes::mib(64));
    let pv =
        create_pv(host.open("/dev/new".as_ref(), Access::Write).unwrap(), uuid("new"), &PvOptions::default())
            .unwrap();
    let mut vg = open(&host);
    let edit = Edit::AddPv(pv.as_new(vg.vg.extent_size).unwrap());
    let next = vg.vg.apply(&[edit]).unwrap();
    assert_eq!(commit(&mut vg, next.clone(), &stamp()).unwrap_err().kind(), Kind::Internal);
    vg.join(pv);
    commit(&mut vg, next, &stamp()).unwrap();
    let mut vg = open(&host);
    assert_eq!((vg.pvs.len(), vg.refusal.clone(), vg.vg.seqno), (2, None, 2));
    assert!(vg.pvs[1].label().unwrap().used());
    let next = vg.vg.apply(&[Edit::RemovePv { pv: uuid("pv0") }]).unwrap();
    commit(&mut vg, next, &stamp()).unwrap();
    assert_eq!(vg.pvs.len(), 1);
    let found = find(&host);
    assert_eq!((found.vgs[0].pvs.len(), found.orphans.len(), found.findings), (1, 1, Vec::new()));
    assert!(found.orphans[0].check_free().is_ok());
}

#[test]
fn a_removed_volume_group_leaves_free_physical_volumes() {
    let host = world(2, &PvOptions { metadata_copies: 2, ..PvOptions::default() });
    grow(&host, "a").unwrap();
    assert_eq!(remove_vg(open(&host)).unwrap_err().kind(), Kind::InUse);
    let mut vg = open(&host);
    let next = vg.vg.apply(&[Edit::RemoveLv { lv: "a".parse().unwrap() }]).unwrap();
    commit(&mut vg, next, &stamp()).unwrap();
    let pvs = remove_vg(vg).unwrap();
    assert!(pvs.iter().all(|pv| pv.check_free().is_ok()));
    let found = find(&host);
    assert_eq!((found.vgs.len(), found.orphans.len(), found.findings), (0, 2, Vec::new()));
}

#[test]
fn disks_with_blocks_of_4_kib_work_as_others() {
    let host = MemDevices::new();
    let disk = host.add_with_block_size("/dev/sd0", Bytes::mib(64), Bytes::kib(4));
    let pv =
        create_pv(host.open("/dev/sd0".as_ref(), Access::Write).unwrap(), uuid("pv0"), &PvOptions::default())
            .unwrap();
    create_vg(vec![pv], &new_vg(), &stamp()).unwrap();
    grow(&host, "a").unwrap();
    assert_eq!(open(&host).vg.seqno, 2);
    assert_eq!(disk.peek(Bytes(512), 8), b"LABELONE");
}

/// Everything that the disks may hold after a power cut at any moment of what the log has.
fn cuts(host: &MemDevices) -> impl Iterator<Item = Remains> {
    (0..=host.log().len()).flat_map(|done| host.images_after_cut(done))
}

#[test]
fn a_power_cut_at_any_write_of_a_commit_leaves_the_old_version_or_the_new() {
    let host = world(3, &PvOptions { metadata_copies: 2, ..small() });
    (0..4).for_each(|number| grow(&host, &format!("old{number}")).unwrap());
    host.settle();
    grow(&host, "new").unwrap();
    assert!(
        host.log()
            .records()
            .iter()
            .any(|one| matches!(&one.event, Event::Write { data, .. } if data.len() > 512))
    );
    let (mut old, mut new) = (0_u32, 0_u32);
    for Remains { words, devices } in cuts(&host) {
        let found = find(&devices);
        assert_eq!((found.vgs.len(), found.orphans.len(), found.findings), (1, 0, Vec::new()), "{words}");
        let open = &found.vgs[0];
        assert_eq!(open.refusal, None, "{words}");
        match (open.vg.seqno, open.vg.lvs.len()) {
            (5, 4) => old += 1,
            (6, 5) => new += 1,
            other => panic!("{other:?}: {words}"),
        }
        let seqno = open.vg.seqno;
        grow(&devices, "next").unwrap_or_else(|error| panic!("{error}: {words}"));
        assert_eq!(self::open(&devices).vg.seqno, seqno + 1, "{words}");
    }
    assert!(old > 100 && new > 10, "{old} {new}");
}

#[test]
fn a_commit_that_returned_survives_any_power_cut() {
    let host = world(3, &PvOptions::default());
    host.settle();
    grow(&host, "new").unwrap();
    for Remains { words, devices } in host.images_after_cut(host.log().len()) {
        assert_eq!(open(&devices).vg.seqno, 2, "{words}");
    }
}

#[test]
fn a_power_cut_while_a_group_is_made_leaves_none_or_a_whole_one() {
    let (host, pvs) = labelled(3, &PvOptions::default());
    host.settle();
    create_vg(pvs, &new_vg(), &stamp()).unwrap();
    for Remains { words, devices } in cuts(&host) {
        let found = find(&devices);
        match found.vgs.as_slice() {
            [] => assert_eq!(found.orphans.len(), 3, "{words}"),
            [open] => assert_eq!(
                (open.vg.seqno, open.refusal.clone(), found.orphans.len()),
                (1, None, 0),
                "{words}"
            ),
            _ => panic!("{words}"),
        }
    }
}

#[test]
fn a_power_cut_while_a_group_is_removed_leaves_a_whole_one_or_none() {
    let host = world(3, &PvOptions::default());
    let vg = open(&host);
    host.settle();
    remove_vg(vg).unwrap();
    for Remains { words, devices } in cuts(&host) {
        let found = find(&devices);
        match found.vgs.as_slice() {
            [] => assert_eq!(found.orphans.len(), 3, "{words}"),
            [open] => assert_eq!(open.refusal, None, "{words}"),
            _ => panic!("{words}"),
        }
    }
}

#[test]
fn a_power_cut_while_physical_volumes_join_and_leave_leaves_one_of_the_two_groups() {
    let host = world(2, &PvOptions::default());
    host.add("/dev/new", Bytes::mib(64));
    let pv =
        create_pv(host.open("/dev/new".as_ref(), Access::Write).unwrap(), uuid("new"), &PvOptions::default())
            .unwrap();
    let mut vg = open(&host);
    let add = Edit::AddPv(pv.as_new(vg.vg.extent_size).unwrap());
    let next = vg.vg.apply(&[add, Edit::RemovePv { pv: uuid("pv0") }]).unwrap();
    vg.join(pv);
    host.settle();
    commit(&mut vg, next, &stamp()).unwrap();
    for Remains { words, devices } in cuts(&host) {
        let found = find(&devices);
        assert_eq!((found.vgs.len(), found.orphans.len()), (1, 1), "{words}");
        let open = &found.vgs[0];
        assert_eq!(open.refusal, None, "{words}");
        let second = match open.vg.seqno {
            1 => uuid("pv0"),
            2 => uuid("new"),
            other => panic!("{other}: {words}"),
        };
        assert!(open.vg.pv_by_id(&second).is_some() && open.vg.pvs.len() == 2, "{words}");
        grow(&devices, "next").unwrap_or_else(|error| panic!("{error}: {words}"));
    }
}

#[test]
fn a_power_cut_while_a_device_is_labelled_leaves_a_label_or_none() {
    let host = MemDevices::new();
    host.add("/dev/sd0", Bytes::mib(64));
    host.settle();
    create_pv(host.open("/dev/sd0".as_ref(), Access::Write).unwrap(), uuid("pv0"), &PvOptions::default())
        .unwrap();
    for Remains { words, devices } in cuts(&host) {
        let found = find(&devices);
        assert_eq!(found.findings, [], "{words}");
        assert!(
            found.orphans.iter().all(|pv| pv.check_free().is_ok() && pv.mdas[0].header.is_ok()),
            "{words}"
        );
    }
}

#[test]
fn an_area_whose_header_may_not_have_been_written_is_left_alone_until_it_is_read_again() {
    for lost in [false, true] {
        let host = world(2, &small());
        (0..2).for_each(|number| grow(&host, &format!("old{number}")).unwrap());
        let mut vg = open(&host);
        host.settle();
        let second = host.device("/dev/sd1").unwrap();
        // Its text, its header as precommitted, and as committed; or that is written and then not flushed.
        if lost {
            second.fail_nth(Operation::Write, 3);
        } else {
            second.fail_nth(Operation::Flush, 3);
        }
        for name in ["first", "second", "third"] {
            let next = vg.vg.apply(&[new_lv(&vg.vg, name, 2)]).unwrap();
            commit(&mut vg, next, &stamp()).unwrap();
        }
        for Remains { words, devices } in cuts(&host) {
            let found = find(&devices);
            assert_eq!(found.findings, Vec::new(), "{lost} {words}");
            assert_eq!((found.vgs.len(), &found.vgs[0].refusal), (1, &None), "{lost} {words}");
        }
        assert!(open(&host).has_older_copies(), "{lost}");
        grow(&host, "next").unwrap();
        assert!(!open(&host).has_older_copies(), "{lost}");
    }
}

/// A group on disks with so many areas each, which asks for so many copies.
fn asking(areas: &[u64], copies: u64) -> MemDevices {
    let host = MemDevices::new();
    let pvs = (0..).zip(areas).map(|(number, areas)| joining(&host, number, *areas)).collect();
    create_vg(pvs, &NewVg { metadata_copies: copies, ..new_vg() }, &stamp()).unwrap();
    host
}

/// Disk number `number`, labelled with so many areas.
fn joining(host: &MemDevices, number: usize, areas: u64) -> OpenPv {
    let path = format!("/dev/sd{number}");
    host.add(&path, Bytes::mib(64));
    let options = PvOptions { metadata_copies: areas, ..PvOptions::default() };
    let device = host.open(path.as_ref(), Access::Write).unwrap();
    create_pv(device, uuid(&format!("pv{number}")), &options).unwrap()
}

/// Which areas of each physical volume are in use, by a letter each: used, ignored.
fn areas_in_use(host: &MemDevices) -> String {
    let letter = |mda: &OpenMda| if mda.header.as_ref().unwrap().committed.ignored() { 'i' } else { 'u' };
    let words =
        open(host).pvs.iter().map(|pv| pv.mdas.iter().map(letter).collect::<String>()).collect::<Vec<_>>();
    words.join(" ")
}

fn change(host: &MemDevices, join: Option<OpenPv>, edits: &[Edit]) -> Result<()> {
    let mut vg = open(host);
    let next = vg.vg.apply(edits)?;
    vg.pvs.extend(join);
    commit(&mut vg, next, &stamp())
}

#[test]
fn a_group_uses_as_many_areas_as_it_asks_for_on_as_many_disks_as_there_are() {
    let cases = [(0, "u uu u"), (1, "u ii i"), (2, "u ui i"), (3, "u ui u"), (4, "u uu u"), (9, "u uu u")];
    for (copies, words) in cases {
        let host = asking(&[1, 2, 1], copies);
        assert_eq!(areas_in_use(&host), words, "{copies}");
        assert_eq!(open(&host).vg.metadata_copies, copies);
        grow(&host, "a").unwrap();
        assert_eq!(areas_in_use(&host), words, "{copies}");
    }
}

#[test]
fn devices_that_join_and_leave_keep_the_number_of_areas() {
    let host = asking(&[1, 1], 2);
    let new = joining(&host, 2, 2);
    let edit = Edit::AddPv(new.as_new(Sectors(2048)).unwrap());
    change(&host, Some(new), &[edit]).unwrap();
    assert_eq!(areas_in_use(&host), "u u ii");
    change(&host, None, &[Edit::RemovePv { pv: uuid("pv0") }]).unwrap();
    assert_eq!(areas_in_use(&host), "u ui");
    change(&host, None, &[Edit::RemovePv { pv: uuid("pv1") }]).unwrap();
    assert_eq!(areas_in_use(&host), "uu");
}

#[test]
fn the_last_area_in_use_does_not_leave_before_another_takes_its_place() {
    let host = asking(&[1, 1], 1);
    assert_eq!(areas_in_use(&host), "u i");
    grow(&host, "a").unwrap();
    let mut vg = open(&host);
    let pv = vg.vg.pvs[0].id;
    let next = vg.vg.apply(&[Edit::RemoveLv { lv: "a".parse().unwrap() }, Edit::RemovePv { pv }]).unwrap();
    host.settle();
    commit(&mut vg, next, &stamp()).unwrap();
    assert_eq!((areas_in_use(&host).as_str(), open(&host).vg.seqno), ("u", 3));
    for Remains { words, devices } in cuts(&host) {
        let found = find(&devices);
        assert_eq!(found.vgs.len(), 1, "{words}: {found:?}");
        assert_eq!(found.vgs[0].refusal, None, "{words}");
        grow(&devices, "next").unwrap_or_else(|error| panic!("{error}: {words}"));
    }
}

#[test]
fn a_group_keeps_a_device_with_a_metadata_area() {
    let host = asking(&[1, 0], 0);
    let error = change(&host, None, &[Edit::RemovePv { pv: uuid("pv0") }]).unwrap_err();
    assert_eq!(error.kind(), Kind::Refused);
    assert!(error.to_string().contains("metadata area"), "{error}");
    let host = MemDevices::new();
    let error = create_vg(vec![joining(&host, 0, 0)], &new_vg(), &stamp()).unwrap_err();
    assert_eq!(error.kind(), Kind::Refused);
}

#[test]
fn an_area_that_is_used_again_begins_at_the_start_of_its_ring() {
    let host = asking(&[1, 1], 1);
    (0..3).for_each(|number| grow(&host, &format!("v{number}")).unwrap());
    // As LVM2's vgchange --vgmetadatacopies does it.
    let mut vg = open(&host);
    let text = String::from_utf8(vg.vg.text(&stamp()).unwrap()).unwrap();
    let next = Vg::from_text(text.replace("metadata_copies = 1", "metadata_copies = 2").as_bytes()).unwrap();
    host.settle();
    commit(&mut vg, next, &stamp()).unwrap();
    assert_eq!(areas_in_use(&host), "u u");
    let place = |pv: usize| open(&host).pvs[pv].mdas[0].header.clone().unwrap().committed;
    assert_eq!(place(1).offset, Bytes(512));
    assert!(place(0).offset > Bytes(512));
    assert_eq!((place(0).checksum, place(0).flags), (place(1).checksum, place(1).flags));
    for Remains { words, devices } in cuts(&host) {
        grow(&devices, "next").unwrap_or_else(|error| panic!("{error}: {words}"));
        assert_eq!(areas_in_use(&devices).len(), 3, "{words}");
    }
}
