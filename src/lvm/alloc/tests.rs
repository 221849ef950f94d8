use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::lvm::edit::{Edit, NewLv, NewPv, NewVg};

const EXTENT: Sectors = Sectors(8192);

fn id(number: u64) -> Uuid {
    let mut left = number;
    Uuid::generate(&mut |buffer| {
        for byte in buffer {
            *byte = u8::try_from(left % 62).unwrap();
            left /= 62;
        }
    })
}

fn group(pvs: &[u64]) -> Vg {
    let new = NewVg {
        name: "vg".parse().unwrap(),
        id: id(1),
        extent_size: EXTENT,
        system_id: None,
        metadata_copies: 0,
    };
    let pv = |(number, extents): (u64, &u64)| NewPv {
        id: id(number),
        device: None,
        dev_size: Sectors(2048 + extents * EXTENT.get()),
        pe_start: Sectors(2048),
        pe_count: Extents(*extents),
    };
    let pvs: Vec<_> = (100..).zip(pvs).map(pv).collect();
    Vg::new(&new, &pvs).unwrap()
}

fn with(vg: &Vg, number: u64, segments: Vec<Segment>) -> Vg {
    let new = NewLv {
        name: format!("v{number}").parse().unwrap(),
        id: id(1000 + number),
        writable: true,
        visible: true,
        flags: Vec::new(),
        tags: Vec::new(),
        created: None,
        segments,
    };
    vg.apply(&[Edit::AddLv(new)]).unwrap()
}

fn linear(extents: u64) -> Request {
    Request { extents: Extents(extents), ..Request::default() }
}

fn striped(extents: u64, stripes: u64) -> Request {
    Request { stripes, ..linear(extents) }
}

/// (physical volume, first extent, extents) of each area, in order.
fn areas(segments: &[Segment]) -> Vec<(usize, u64, u64)> {
    let areas = segments.iter().flat_map(|segment| match &segment.kind {
        SegmentKind::Striped { areas, .. } => {
            areas.iter().map(|area| (area, segment.area_length())).collect()
        }
        _ => Vec::new(),
    });
    areas
        .map(|(area, length)| match area {
            Area::Pv { pv, start } => (*pv, start.get(), length.get()),
            Area::Lv { .. } => panic!("an area in a volume"),
        })
        .collect()
}

#[test]
fn a_linear_volume_takes_the_smallest_run_that_holds_it() {
    let vg = with(&group(&[20, 8]), 1, allocate(&group(&[20, 8]), &linear(9)).unwrap());
    assert_eq!(areas(&allocate(&vg, &linear(7)).unwrap()), [(1, 0, 7)]);
    assert_eq!(areas(&allocate(&vg, &linear(9)).unwrap()), [(0, 9, 9)]);
}

#[test]
fn a_volume_larger_than_any_run_takes_few_pieces() {
    assert_eq!(areas(&allocate(&group(&[5, 10, 3]), &linear(14)).unwrap()), [(1, 0, 10), (0, 0, 4)]);
    let contiguous = Request { policy: Policy::Contiguous, ..linear(14) };
    assert_eq!(allocate(&group(&[5, 10, 3]), &contiguous).unwrap_err().kind(), Kind::NoSpace);
}

#[test]
fn stripes_lie_on_different_physical_volumes() {
    let segments = allocate(&group(&[10, 10, 10]), &striped(7, 2)).unwrap();
    assert_eq!(areas(&segments), [(0, 0, 4), (1, 0, 4)]);
    assert_eq!(segments[0].length, Extents(8));
    assert_eq!(allocate(&group(&[30]), &striped(4, 2)).unwrap_err().kind(), Kind::NoSpace);
}

#[test]
fn where_fewer_will_do_as_many_are_taken_as_there_is_room_for() {
    let fewer = |request: Request, policy, on: &[u64]| {
        let on = on.iter().map(|number| id(*number)).collect();
        let request = Request { policy, on, at_most: true, ..request };
        allocate(&group(&[5, 10, 3]), &request).map(|segments| areas(&segments))
    };
    assert_eq!(fewer(linear(99), Policy::Normal, &[]).unwrap(), [(1, 0, 10), (0, 0, 5), (2, 0, 3)]);
    assert_eq!(fewer(linear(18), Policy::Normal, &[102]).unwrap(), [(2, 0, 3)]);
    assert_eq!(fewer(linear(18), Policy::Contiguous, &[]).unwrap_err().kind(), Kind::NoSpace);
    assert_eq!(fewer(linear(18), Policy::Cling, &[]).unwrap(), [(1, 0, 10)]);
    let anywhere = fewer(striped(18, 2), Policy::Anywhere, &[]).unwrap();
    assert!(anywhere.iter().map(|area| area.2).sum::<u64>() >= 10, "{anywhere:?}");
    for policy in [Policy::Normal, Policy::Cling] {
        assert_eq!(
            fewer(striped(18, 3), policy, &[]).unwrap(),
            [(1, 0, 3), (0, 0, 3), (2, 0, 3)],
            "{policy:?}"
        );
    }
    // Rounded to whole rows: down, for the number is a limit.
    assert_eq!(fewer(striped(5, 2), Policy::Normal, &[]).unwrap(), [(1, 0, 2), (0, 0, 2)]);
    let full = Request { at_most: true, ..linear(3) };
    let vg = with(&group(&[5]), 1, allocate(&group(&[5]), &linear(5)).unwrap());
    assert_eq!(allocate(&vg, &full).unwrap_err().kind(), Kind::NoSpace);
}

#[test]
fn a_growing_volume_continues_where_it_ends() {
    let vg = group(&[20, 20]);
    let vg = with(&vg, 1, allocate(&vg, &linear(4)).unwrap());
    let grown = Request { grows: Some("v1".parse().unwrap()), ..linear(3) };
    let segments = allocate(&vg, &grown).unwrap();
    assert_eq!((areas(&segments), segments[0].start), (vec![(0, 4, 3)], Extents(4)));
}

#[test]
fn a_contiguous_volume_grows_only_where_it_ends() {
    let vg = group(&[20]);
    let vg = with(&vg, 1, allocate(&vg, &linear(4)).unwrap());
    let grown = Request { grows: Some("v1".parse().unwrap()), policy: Policy::Contiguous, ..linear(3) };
    assert_eq!(areas(&allocate(&vg, &grown).unwrap()), [(0, 4, 3)]);
    let vg = with(&vg, 2, allocate(&vg, &linear(1)).unwrap());
    assert_eq!(allocate(&vg, &grown).unwrap_err().kind(), Kind::NoSpace);

    let vg = group(&[20, 20]);
    let vg = with(&vg, 1, allocate(&vg, &striped(4, 2)).unwrap());
    let grown = Request { stripes: 2, ..grown };
    assert_eq!(areas(&allocate(&vg, &grown).unwrap()), [(0, 2, 2), (1, 2, 2)]);
    let vg = with(&vg, 2, allocate(&vg, &linear(1)).unwrap());
    assert_eq!(allocate(&vg, &grown).unwrap_err().kind(), Kind::NoSpace);
}

#[test]
fn a_physical_volume_that_the_group_does_not_have_is_not_found() {
    let request = Request { on: vec![id(7)], ..linear(1) };
    assert_eq!(allocate(&group(&[5]), &request).unwrap_err().kind(), Kind::NotFound);
}

#[test]
fn a_stripe_larger_than_an_extent_is_refused() {
    let request = |size: Sectors| Request { stripe_size: Some(size), ..striped(2, 2) };
    allocate(&group(&[5, 5]), &request(EXTENT)).unwrap();
    let larger = request(Sectors(EXTENT.get() * 2));
    assert_eq!(allocate(&group(&[5, 5]), &larger).unwrap_err().kind(), Kind::Usage);
}

#[test]
fn only_the_named_physical_volumes_are_used() {
    let vg = group(&[5, 50]);
    let on = Request { on: vec![vg.pvs[0].id], ..linear(5) };
    assert_eq!(areas(&allocate(&vg, &on).unwrap()), [(0, 0, 5)]);
    let error = allocate(&vg, &Request { extents: Extents(6), ..on }).unwrap_err();
    assert_eq!(error.kind(), Kind::NoSpace);
    assert!(error.to_string().contains("on those devices"), "{error}");
}

#[test]
fn odd_stripe_sizes_are_refused() {
    for sectors in [0, 7, 24] {
        let request = Request { stripe_size: Some(Sectors(sectors)), ..striped(4, 2) };
        assert_eq!(allocate(&group(&[9, 9]), &request).unwrap_err().kind(), Kind::Usage);
    }
}

#[test]
fn a_clinging_volume_stays_on_its_physical_volumes() {
    let vg = group(&[10, 30, 12]);
    let cling = |extents| Request { policy: Policy::Cling, ..linear(extents) };
    assert_eq!(areas(&allocate(&vg, &cling(13)).unwrap()), [(1, 0, 13)]);
    assert_eq!(allocate(&vg, &cling(31)).unwrap_err().kind(), Kind::NoSpace);
    let on = Request { on: vec![vg.pvs[0].id], ..cling(4) };
    let vg = with(&vg, 1, allocate(&vg, &on).unwrap());
    let vg = with(&vg, 2, allocate(&vg, &Request { on: vec![vg.pvs[0].id], ..linear(2) }).unwrap());
    let grows = |extents| Request { grows: Some("v1".parse().unwrap()), ..cling(extents) };
    assert_eq!(areas(&allocate(&vg, &grows(4)).unwrap()), [(0, 6, 4)]);
    let error = allocate(&vg, &grows(5)).unwrap_err();
    assert!(error.to_string().contains("where the volume is"), "{error}");
}

#[test]
fn clinging_stripes_each_stay_where_they_are() {
    let vg = group(&[20, 10, 20]);
    let cling = |extents| Request { policy: Policy::Cling, ..striped(extents, 2) };
    let vg = with(&vg, 1, allocate(&vg, &cling(8)).unwrap());
    assert_eq!(areas(&vg.lvs[0].segments), [(0, 0, 4), (2, 0, 4)]);
    let vg = with(&vg, 2, allocate(&vg, &Request { on: vec![vg.pvs[0].id], ..linear(3) }).unwrap());
    let grows = Request { grows: Some("v1".parse().unwrap()), ..cling(6) };
    assert_eq!(areas(&allocate(&vg, &grows).unwrap()), [(0, 7, 3), (2, 4, 3)]);
}

#[test]
fn stripes_may_lie_side_by_side_only_if_anywhere_is_right() {
    let vg = group(&[9, 1]);
    let vg = with(&vg, 1, allocate(&vg, &Request { on: vec![vg.pvs[1].id], ..linear(1) }).unwrap());
    assert_eq!(allocate(&vg, &striped(8, 2)).unwrap_err().kind(), Kind::NoSpace);
    let anywhere = Request { policy: Policy::Anywhere, ..striped(8, 2) };
    assert_eq!(areas(&allocate(&vg, &anywhere).unwrap()), [(0, 0, 4), (0, 5, 4)]);
    // As LVM2 has it, not more than there are physical volumes to choose from.
    let one = Request { on: vec![vg.pvs[0].id], ..anywhere };
    assert_eq!(allocate(&vg, &one).unwrap_err().kind(), Kind::NoSpace);
}

#[test]
fn policies_have_lvm2s_words() {
    for policy in POLICIES {
        assert_eq!(Policy::of_word(policy.word()), Some(policy));
    }
    assert_eq!(Policy::of_word("cling_by_tags"), Some(Policy::Cling));
    assert_eq!(Policy::of_word("inherit"), None);
}

const POLICIES: [Policy; 4] = [Policy::Contiguous, Policy::Cling, Policy::Normal, Policy::Anywhere];

/// The group with a physical volume of each tag; none for an empty one.
fn tagged(vg: &Vg, tags: &[&str]) -> Vg {
    let mut vg = vg.clone();
    for (pv, tag) in vg.pvs.iter_mut().zip(tags) {
        std::sync::Arc::make_mut(pv).tags = tag.parse().into_iter().collect();
    }
    vg
}

fn by_tags(list: &[&str], extents: u64) -> Request {
    let cling_tags = list.iter().map(|tag| tag.parse().unwrap()).collect();
    Request { policy: Policy::Cling, cling_tags, ..linear(extents) }
}

#[test]
fn what_clings_by_tags_goes_on_where_its_tags_are() {
    let tags = ["left", "right", "right", "left"];
    let vg = tagged(&group(&[4, 30, 8, 9]), &tags);
    let on = Request { on: vec![vg.pvs[0].id], ..linear(3) };
    let vg = tagged(&with(&vg, 1, allocate(&vg, &on).unwrap()), &tags);
    let grows =
        |list: &[&str], extents| Request { grows: Some("v1".parse().unwrap()), ..by_tags(list, extents) };
    for list in [&["@*"][..], &["@left"], &["@right", "@left"]] {
        assert_eq!(areas(&allocate(&vg, &grows(list, 5)).unwrap()), [(0, 3, 1), (3, 0, 4)], "{list:?}");
        let error = allocate(&vg, &grows(list, 11)).unwrap_err();
        assert!(error.to_string().contains("on physical volumes of the same tags"), "{error}");
    }
    for list in [&[][..], &["@right"], &["@other"]] {
        assert_eq!(areas(&allocate(&vg, &grows(list, 1)).unwrap()), [(0, 3, 1)], "{list:?}");
        assert_eq!(allocate(&vg, &grows(list, 2)).unwrap_err().kind(), Kind::NoSpace, "{list:?}");
    }
    // The same where nothing else is asked for, but then as much as there is elsewhere.
    let normal = |extents| Request { policy: Policy::Normal, ..grows(&["@*"], extents) };
    assert_eq!(areas(&allocate(&vg, &normal(5)).unwrap()), [(0, 3, 1), (3, 0, 4)]);
    assert!(allocate(&vg, &normal(11)).is_ok());
}

#[test]
fn what_clings_by_tags_begins_where_it_fits_and_stays_with_those_tags() {
    let vg = tagged(&group(&[4, 10, 30, 10]), &["a", "b", "a", "b"]);
    assert_eq!(areas(&allocate(&vg, &by_tags(&["@*"], 9)).unwrap()), [(1, 0, 9)]);
    assert_eq!(areas(&allocate(&vg, &by_tags(&["@*"], 33)).unwrap()), [(2, 0, 30), (0, 0, 3)]);
    assert_eq!(allocate(&vg, &by_tags(&["@*"], 35)).unwrap_err().kind(), Kind::NoSpace);
}

#[test]
fn stripes_that_cling_by_tags_are_on_different_ones() {
    let vg = tagged(&group(&[9, 9, 9]), &["a", "a", "b"]);
    let stripes = |list: &[&str]| Request { stripes: 2, ..by_tags(list, 8) };
    assert_eq!(areas(&allocate(&vg, &stripes(&["@*"])).unwrap()), [(0, 0, 4), (2, 0, 4)]);
    assert_eq!(areas(&allocate(&vg, &stripes(&["@b"])).unwrap()), [(0, 0, 4), (1, 0, 4)]);
    let vg = tagged(&vg, &["a", "a", "a"]);
    assert_eq!(allocate(&vg, &stripes(&["@*"])).unwrap_err().kind(), Kind::NoSpace);
}

#[test]
fn an_entry_of_the_list_begins_with_an_at_sign() {
    assert_eq!("@*".parse::<ClingTag>().unwrap(), ClingTag::Any);
    assert_eq!("@site1".parse::<ClingTag>().unwrap(), ClingTag::Named("site1".parse().unwrap()));
    for bad in ["", "@", "*", "site1", "@a b"] {
        assert_eq!(bad.parse::<ClingTag>().unwrap_err().kind(), Kind::Usage, "{bad}");
    }
}

/// What a policy promises of the extents that a volume gets beside those that it has.
fn assert_kept(policy: Policy, is_by_tags: bool, tags: &[&str], had: &[Segment], added: &[Segment]) {
    let pvs = |segment: &Segment| {
        areas(std::slice::from_ref(segment)).iter().map(|area| area.0).collect::<Vec<_>>()
    };
    let is_apart =
        |segment: &Segment| pvs(segment).iter().collect::<BTreeSet<_>>().len() == pvs(segment).len();
    if policy != Policy::Anywhere && had.iter().all(is_apart) {
        assert!(added.iter().all(is_apart), "{added:?}");
    }
    match policy {
        Policy::Contiguous => {
            assert_eq!(added.len(), 1);
            if let Some(last) = had.last() {
                let ends: Vec<_> = areas(std::slice::from_ref(last))
                    .iter()
                    .map(|(pv, start, length)| (*pv, start + length))
                    .collect();
                let begins: Vec<_> = areas(added).iter().map(|(pv, start, _)| (*pv, *start)).collect();
                assert_eq!(ends, begins);
            }
        }
        Policy::Cling => {
            let home = if had.is_empty() { &added[..1] } else { had };
            for (stripe, _) in pvs(&added[0]).iter().enumerate() {
                let mut allowed: BTreeSet<_> = home.iter().map(|segment| pvs(segment)[stripe]).collect();
                if is_by_tags {
                    let has = |pv: &usize| {
                        allowed.iter().any(|own| !tags[*pv].is_empty() && tags[*own] == tags[*pv])
                    };
                    let related: Vec<_> = (0..tags.len()).filter(has).collect();
                    allowed.extend(related);
                }
                assert!(
                    added.iter().all(|segment| allowed.contains(&pvs(segment)[stripe])),
                    "{had:?} {added:?}"
                );
            }
        }
        Policy::Normal | Policy::Anywhere => {}
    }
}

proptest! {
    /// Against a plain set of extents: what is given is free, as much as was asked for, and nothing is lost.
    #[test]
    fn allocation_never_overlaps_never_leaks_keeps_its_policy_and_is_all_or_nothing(
        pvs in prop::collection::vec(1_u64..40, 1..5),
        steps in prop::collection::vec((0_u8..4, 1_u64..30, 1_u64..4, 0_u8..4), 1..30),
        is_by_tags: bool,
        tags in prop::collection::vec(prop::sample::select(&["", "a", "b"][..]), 5),
    ) {
        let tags = &tags[..pvs.len()];
        let mut vg = tagged(&group(&pvs), tags);
        let mut used: BTreeSet<(usize, u64)> = BTreeSet::new();
        let mut made = 0;
        for (step, extents, stripes, policy) in steps {
            let some = (!vg.lvs.is_empty()).then(|| vg.lvs[usize::try_from(extents).unwrap() % vg.lvs.len()].clone());
            let grows = match (step, some) {
                (0, Some(lv)) => {
                    for (pv, start, length) in areas(&lv.segments) {
                        (start..start + length).for_each(|extent| assert!(used.remove(&(pv, extent))));
                    }
                    vg = tagged(&vg.apply(&[Edit::RemoveLv { lv: lv.name.clone() }]).unwrap(), tags);
                    continue;
                }
                (1, lv) => lv,
                _ => None,
            };
            let policy = POLICIES[usize::from(policy)];
            let had = grows.as_ref().map_or_else(Vec::new, |lv| lv.segments.clone());
            let stripes = had.last().map_or(stripes, |last| areas(std::slice::from_ref(last)).len() as u64);
            let free = pvs.iter().sum::<u64>() - used.len() as u64;
            let wanted = extents.div_ceil(stripes) * stripes;
            let name = grows.as_ref().map(|lv| lv.name.clone());
            let cling_tags = if is_by_tags { vec![ClingTag::Any] } else { Vec::new() };
            let request = Request { policy, cling_tags, grows: name.clone(), ..striped(extents, stripes) };
            let normal = Request { policy: Policy::Normal, ..request.clone() };
            match allocate(&vg, &request) {
                Ok(added) => {
                    prop_assert_eq!(added.iter().map(|s| s.length.get()).sum::<u64>(), wanted);
                    for (pv, start, length) in areas(&added) {
                        prop_assert!(start + length <= pvs[pv]);
                        for extent in start..start + length {
                            prop_assert!(used.insert((pv, extent)), "extent {extent} of {pv} is given twice");
                        }
                    }
                    assert_kept(policy, is_by_tags, tags, &had, &added);
                    // Nothing is possible by tags that is not without.
                    prop_assert!(stripes > 1 || allocate(&vg, &normal).is_ok());
                    let next = match name {
                        Some(lv) => {
                            let segments = had.into_iter().chain(added).collect();
                            vg.apply(&[Edit::SetLvSegments { lv, segments }]).unwrap()
                        }
                        None => {
                            made += 1;
                            with(&vg, made, added)
                        }
                    };
                    vg = tagged(&next, tags);
                }
                Err(error) => {
                    prop_assert_eq!(error.kind(), Kind::NoSpace);
                    let is_easy = match policy {
                        Policy::Anywhere => stripes <= pvs.len() as u64,
                        Policy::Normal => stripes == 1,
                        Policy::Contiguous | Policy::Cling => false,
                    };
                    prop_assert!(!is_easy || free < wanted, "{} free, {} wanted", free, wanted);
                }
            }
            let free = pvs.iter().sum::<u64>() - used.len() as u64;
            prop_assert_eq!(vg.free_extents().get(), free);
        }
    }
}

/// Every second extent of two disks is taken.
#[test]
fn stripes_over_many_pieces_cost_a_pass_and_not_one_for_each_row() {
    crate::work::assert_linear("stripes over many pieces", |rows| {
        let piece = |pv: usize, number: u64| Segment {
            start: Extents(number),
            length: Extents(1),
            kind: SegmentKind::Striped {
                stripe_size: None,
                areas: vec![Area::Pv { pv, start: Extents(2 * number) }],
            },
            tags: Vec::new(),
        };
        let vg = group(&[2 * rows, 2 * rows]);
        let vg = with(&vg, 1, (0..rows).map(|number| piece(0, number)).collect());
        let vg = with(&vg, 2, (0..rows).map(|number| piece(1, number)).collect());
        crate::work::of(|| allocate(&vg, &striped(2 * rows, 2)).unwrap())
    });
}
