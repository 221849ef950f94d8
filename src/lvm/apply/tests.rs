use super::*;
use crate::lvm::alloc::{Request, allocate};
use crate::lvm::edit::{LvFlag, NewLv};
use crate::lvm::model::Creation;
use crate::lvm::model::{Area, Role, Segment, SegmentKind, Stamp};
use crate::lvm::name::Uuid;
use crate::lvm::read::tests::{SAMPLES, sample};
use crate::units::{Extents, Sectors};
use crate::work::assert_linear;
use proptest::prelude::*;

fn lv(name: &str) -> LvName {
    name.parse().unwrap()
}

fn uuid(text: &str) -> Uuid {
    format!("{text:0>32}").parse().unwrap()
}

fn new_lv(vg: &Vg, name: &str, extents: u64) -> NewLv {
    NewLv {
        name: lv(name),
        id: uuid(&name.replace(['-', '_', '.'], "").chars().take(32).collect::<String>()),
        writable: true,
        visible: true,
        flags: Vec::new(),
        tags: Vec::new(),
        created: Some(Creation { time: 1_795_261_266, host: "guest".into() }),
        segments: allocate(vg, &Request { extents: Extents(extents), ..Request::default() }).unwrap(),
    }
}

fn snapshot(store: &str, origin: &str) -> Edit {
    Edit::AddSnapshot {
        store: lv(store),
        origin: lv(origin),
        chunk_size: Sectors(8),
        id: uuid(&format!("tie{}", store.replace('-', "").chars().take(20).collect::<String>())),
        created: Some(Creation { time: 1_795_261_266, host: "guest".into() }),
    }
}

/// The text, and the view that it gives, which must be the view that there is.
fn text(vg: &Vg) -> String {
    let text = vg.text(&Stamp::default()).unwrap();
    let again = Vg::from_text(&text).unwrap();
    assert_eq!(again.lvs, vg.lvs);
    assert_eq!(again.pvs, vg.pvs);
    assert_eq!(again.snapshots(), vg.snapshots());
    assert_eq!((&again.name, again.seqno, &again.tags), (&vg.name, vg.seqno, &vg.tags));
    assert!(again.lvs.iter().all(|one| vg.lv(&one.name) == Some(one)));
    String::from_utf8(text).unwrap()
}

fn section(vg: &Vg, name: &str) -> String {
    let text = text(vg);
    let start = text.find(&format!("\n{name} {{\n")).unwrap();
    let rest = &text[start + 1..];
    let end = rest.find("\n}\n}\n").unwrap();
    rest[..end + 5].to_owned()
}

#[test]
fn a_snapshot_is_spelled_as_lvm2_spells_it() {
    // Against lvm2's own text of the same thing.
    let lvm2 = sample("snapshot");
    let origin = lvm2.lv(&lv("db")).unwrap();
    let bare =
        lvm2.apply(&[Edit::DetachSnapshot { store: lv("db-1") }, Edit::RemoveLv { lv: lv("db-1") }]).unwrap();
    assert_eq!(bare.lv(&lv("db")), Some(origin));
    let (store, tie) = (lvm2.lv(&lv("db-1")).unwrap(), lvm2.lv(&lv("snapshot0")).unwrap());
    let created = store.created.clone();
    let new = NewLv {
        id: store.id,
        segments: store.segments.clone(),
        created: created.clone(),
        ..new_lv(&bare, "db-1", 4)
    };
    let edit = Edit::AddSnapshot {
        store: lv("db-1"),
        origin: lv("db"),
        chunk_size: Sectors(8),
        id: tie.id,
        created,
    };
    let again = bare.apply(&[Edit::AddLv(new), edit]).unwrap();
    assert_eq!(text(&again), text(&lvm2));
}

#[test]
fn the_first_and_the_last_volume_bring_and_take_their_section() {
    let empty = sample("empty");
    let one = empty.apply(&[Edit::AddLv(new_lv(&empty, "db", 4))]).unwrap();
    assert!(text(&one).contains("pe_count = 255\n}\n}\n\nlogical_volumes {\n\ndb {\nid = "));
    assert!(text(&one).contains("]\n}\n}\n}\n\n}\n# Generated"));
    let again = one.apply(&[Edit::RemoveLv { lv: lv("db") }]).unwrap();
    assert_eq!(text(&again), text(&empty));
}

#[test]
fn visible_volumes_stand_before_hidden_ones() {
    let vg = sample("snapshots");
    let next = vg.apply(&[Edit::AddLv(new_lv(&vg, "new", 2))]).unwrap();
    let names: Vec<_> = next.lvs.iter().map(|one| one.name.as_str()).collect();
    assert_eq!(names, ["db", "logs", "db-1", "db-2", "logs-1", "new", "snapshot0", "snapshot1", "snapshot2"]);
    text(&next);
}

#[test]
fn an_edit_leaves_the_text_of_all_else_alone() {
    let vg = sample("thin");
    let before = text(&vg);
    let tagged = vg.apply(&[Edit::AddLvTag { lv: lv("v1"), tag: "t".parse().unwrap() }]).unwrap();
    let after = text(&tagged);
    let lines: Vec<_> = after.lines().filter(|line| *line == "tags = [\"t\"]").collect();
    assert_eq!(lines.len(), 1);
    assert_eq!(after.replacen("tags = [\"t\"]\n", "", 1), before);
    let untagged = tagged.apply(&[Edit::RemoveLvTag { lv: lv("v1"), tag: "t".parse().unwrap() }]).unwrap();
    assert_eq!(text(&untagged), before);
}

#[test]
fn unknown_keys_survive_edits_beside_them() {
    let text_of =
        |name| String::from_utf8(SAMPLES.iter().find(|one| one.0 == name).unwrap().1.to_vec()).unwrap();
    let odd = text_of("plain").replacen(
        "segment_count = 2",
        "# odd\nodd = [ 1,2 ] # why\nmore { x = 'y' }\nsegment_count = 3",
        1,
    );
    // LVM2 takes every section in a volume for a segment: an odd one is damage, an odd value is not.
    assert!(Vg::from_text(odd.as_bytes()).is_err());
    let odd = odd.replacen("more { x = 'y' }\nsegment_count = 3", "segment_count = 2", 1);
    let vg = Vg::from_text(odd.as_bytes()).unwrap();
    let next = vg
        .apply(&[
            Edit::SetLvWritable { lv: lv("linear"), writable: false },
            Edit::SetLvSegments {
                lv: lv("linear"),
                segments: vg.lv(&lv("linear")).unwrap().segments[..1].to_vec(),
            },
        ])
        .unwrap();
    assert!(
        section(&next, "linear").contains("# odd\nodd = [ 1,2 ] # why\nsegment_count = 1\n\nsegment1 {\n")
    );
}

#[test]
fn a_store_becomes_a_plain_volume_when_it_is_detached() {
    let vg = sample("snapshots");
    let next = vg.apply(&[Edit::DetachSnapshot { store: lv("db-1") }]).unwrap();
    assert_eq!(next.role(&lv("db-1")), Some(Role::Plain));
    assert_eq!(next.role(&lv("db")), Some(Role::Origin));
    assert!(section(&next, "db-1").contains("status = [\"READ\", \"WRITE\", \"VISIBLE\"]"));
    assert!(!text(&next).contains("snapshot0"));
}

#[test]
fn hidden_names_go_on_behind_the_highest() {
    let vg = sample("snapshots");
    let next = vg.apply(&[Edit::DetachSnapshot { store: lv("db-1") }, snapshot("db-1", "logs")]).unwrap();
    assert_eq!(next.snapshot_of_store(&lv("db-1")).unwrap().hidden, lv("snapshot3"));
    let of_logs: Vec<_> = next.snapshots_of(&lv("logs")).map(|one| one.store.as_str()).collect();
    assert_eq!(of_logs, ["logs-1", "db-1"]);
    text(&next);
}

#[test]
fn a_merge_is_one_word_and_visible_as_in_lvm2() {
    let vg = sample("snapshots");
    let next = vg.apply(&[Edit::SetMerging { store: lv("db-1"), merging: true }]).unwrap();
    assert_eq!(
        section(&next, "snapshot0"),
        section(&sample("merging"), "snapshot0").replace(
            &sample("merging").lv(&lv("snapshot0")).unwrap().id.to_string(),
            &vg.lv(&lv("snapshot0")).unwrap().id.to_string(),
        )
    );
    let back = next.apply(&[Edit::SetMerging { store: lv("db-1"), merging: false }]).unwrap();
    assert_eq!(text(&back), text(&vg));
    let second = next.apply(&[Edit::SetMerging { store: lv("db-2"), merging: true }]).unwrap_err();
    assert_eq!(second.kind(), Kind::InUse);
    assert_eq!(
        next.apply(&[Edit::AddLv(new_lv(&next, "x", 4)), snapshot("x", "db")]).unwrap_err().kind(),
        Kind::InUse
    );
}

#[test]
fn a_volume_group_with_an_owner_gets_volumes_in_its_style() {
    let vg = sample("system-id");
    let next = vg.apply(&[Edit::AddLv(new_lv(&vg, "s2", 4)), snapshot("s2", "data")]).unwrap();
    assert!(section(&next, "s2").contains("status = [\"READ\"]\nflags = [\"WRITE_LOCKED\"]\n"));
    let tie = section(&next, "snapshot1");
    assert!(tie.contains("status = [\"READ\", \"VISIBLE\"]\nflags = [\"WRITE_LOCKED\"]\n"), "{tie}");
    let fixed = next.apply(&[Edit::SetLvWritable { lv: lv("data"), writable: false }]).unwrap();
    assert!(section(&fixed, "data").contains("status = [\"READ\", \"VISIBLE\"]\nflags = []\n"));
}

#[test]
fn flags_are_set_and_taken_away() {
    let vg = sample("snapshot");
    let on = |flag, on| Edit::SetLvFlag { lv: lv("db"), flag, on };
    let next = vg.apply(&[on(LvFlag::NoAutoActivate, true), on(LvFlag::ActivationSkip, true)]).unwrap();
    assert!(section(&next, "db").contains("flags = [\"ACTIVATION_SKIP\", \"NOAUTOACTIVATE\"]\n"));
    let back = next.apply(&[on(LvFlag::NoAutoActivate, false), on(LvFlag::ActivationSkip, false)]).unwrap();
    assert_eq!(text(&back), text(&vg));
}

#[test]
fn a_renamed_volume_is_renamed_wherever_it_is_named() {
    let vg = sample("snapshots");
    let rename = |from: &str, to: &str| Edit::RenameLv { lv: lv(from), to: lv(to) };
    let next = vg.apply(&[rename("db", "base"), rename("db-1", "monday")]).unwrap();
    assert!(section(&next, "snapshot0").contains("origin = \"base\"\ncow_store = \"monday\"\n"));
    assert!(section(&next, "snapshot1").contains("origin = \"base\"\n"));
    assert_eq!(text(&next.apply(&[rename("base", "db"), rename("monday", "db-1")]).unwrap()), text(&vg));
    assert_eq!(vg.apply(&[rename("db", "logs")]).unwrap_err().kind(), Kind::AlreadyExists);
    assert_eq!(vg.apply(&[rename("db", "snapshot9")]).unwrap_err().kind(), Kind::Usage);
    assert_eq!(vg.apply(&[rename("snapshot0", "x")]).unwrap_err().kind(), Kind::Refused);
    let thin = sample("thin");
    assert_eq!(thin.apply(&[rename("thin_tdata", "x")]).unwrap_err().kind(), Kind::Refused);
    assert_eq!(thin.apply(&[rename("thin", "x")]).unwrap_err().kind(), Kind::Refused);
    assert_eq!(thin.apply(&[rename("v1", "v1s")]).unwrap_err().kind(), Kind::AlreadyExists);
}

#[test]
fn a_renamed_volume_group_keeps_everything_else() {
    let vg = sample("snapshots");
    let next = vg.apply(&[Edit::RenameVg { to: "other".parse().unwrap() }]).unwrap();
    assert_eq!(text(&next), text(&vg).replacen("vg0 {", "other {", 1));
    let again = next
        .apply(&[Edit::RenameVg { to: "vg0".parse().unwrap() }, Edit::AddVgTag { tag: "t".parse().unwrap() }])
        .unwrap();
    assert_eq!(text(&again).replacen("tags = [\"t\"]\n", "", 1), text(&vg));
}

#[test]
fn physical_volumes_join_and_leave() {
    let vg = sample("snapshots");
    let new = NewPv {
        id: uuid("new"),
        device: Some("/dev/odd \"disk\"".into()),
        dev_size: Sectors(2_097_152),
        pe_start: Sectors(2048),
        pe_count: Extents(255),
    };
    let next = vg.apply(&[Edit::AddPv(new.clone())]).unwrap();
    assert_eq!(next.pvs[2].key, "pv2");
    assert_eq!(next.pvs[2].device.as_deref(), Some("/dev/odd \"disk\""));
    assert_eq!(next.free_extents(), vg.free_extents() + Extents(255));
    assert_eq!(next.apply(&[Edit::AddPv(new)]).unwrap_err().kind(), Kind::AlreadyExists);
    assert_eq!(text(&next.apply(&[Edit::RemovePv { pv: uuid("new") }]).unwrap()), text(&vg));
    assert_eq!(next.apply(&[Edit::RemovePv { pv: vg.pvs[0].id }]).unwrap_err().kind(), Kind::InUse);
    // An index in an area follows its physical volume.
    let empty = sample("empty");
    let request = Request { extents: Extents(4), on: vec![empty.pvs[5].id], ..Request::default() };
    let new = NewLv { segments: allocate(&empty, &request).unwrap(), ..new_lv(&empty, "x", 1) };
    let next = empty.apply(&[Edit::AddLv(new), Edit::RemovePv { pv: empty.pvs[0].id }]).unwrap();
    let SegmentKind::Striped { areas, .. } = &next.lvs[0].segments[0].kind else { panic!() };
    assert_eq!(areas, &[Area::Pv { pv: 4, start: Extents(0) }]);
    assert_eq!(next.pvs[4].key, "pv5");
    text(&next);
}

#[test]
fn impossible_edits_are_refused_and_change_nothing() {
    let vg = sample("snapshots");
    let cases = [
        (Edit::AddLv(new_lv(&vg, "db", 1)), Kind::AlreadyExists, "already has a volume db"),
        (Edit::AddLv(new_lv(&vg, "snapshot7", 1)), Kind::Usage, "reserved"),
        (Edit::AddLv(NewLv { segments: Vec::new(), ..new_lv(&vg, "x", 1) }), Kind::Usage, "would be empty"),
        (Edit::RemoveLv { lv: lv("none") }, Kind::NotFound, "no volume none"),
        (Edit::RemoveLv { lv: lv("db") }, Kind::InUse, "has snapshots: db-1, db-2"),
        (Edit::RemoveLv { lv: lv("db-1") }, Kind::InUse, "store of a snapshot of db"),
        (Edit::RemoveLv { lv: lv("snapshot0") }, Kind::InUse, "ties a snapshot"),
        (snapshot("db-1", "logs"), Kind::Usage, "it holds one"),
        (snapshot("logs", "db"), Kind::Usage, "it has snapshots itself"),
        (snapshot("db", "db"), Kind::Usage, "it is the origin"),
        (snapshot("none", "db"), Kind::NotFound, "no volume none"),
        (Edit::DetachSnapshot { store: lv("db") }, Kind::NotFound, "not a snapshot"),
        (Edit::RemovePv { pv: uuid("no") }, Kind::NotFound, "no physical volume"),
    ];
    for (edit, kind, words) in cases {
        let error = vg.apply(&[Edit::AddVgTag { tag: "t".parse().unwrap() }, edit.clone()]).unwrap_err();
        assert_eq!(error.kind(), kind, "{edit:?}: {error}");
        assert!(error.to_string().contains(words), "{edit:?}: {error}");
    }
    assert!(vg.tags.is_empty());
    let free = vg.apply(&[Edit::AddLv(new_lv(&vg, "x", 1))]).unwrap();
    let bad_origin = |origin| free.apply(&[snapshot("x", origin)]).unwrap_err();
    assert!(bad_origin("db-1").to_string().contains("snapshot itself"));
    assert!(bad_origin("snapshot0").to_string().contains("hidden"));
    for chunk in [0, 4, 7, 9, 2048] {
        let edit = Edit::AddSnapshot {
            store: lv("x"),
            origin: lv("db"),
            chunk_size: Sectors(chunk),
            id: uuid("t"),
            created: None,
        };
        assert_eq!(free.apply(&[edit]).unwrap_err().kind(), Kind::Usage, "{chunk}");
    }
    let raid = sample("raid");
    assert_eq!(raid.apply(&[Edit::RemoveLv { lv: lv("r5_rimage_0") }]).unwrap_err().kind(), Kind::InUse);
}

#[test]
fn overlapping_extents_and_equal_uuids_never_get_into_a_volume_group() {
    let vg = sample("snapshots");
    let kind = SegmentKind::Striped { stripe_size: None, areas: vec![Area::Pv { pv: 0, start: Extents(0) }] };
    let segment = Segment { start: Extents(0), length: Extents(1), kind, tags: Vec::new() };
    let new = NewLv { segments: vec![segment], ..new_lv(&vg, "x", 1) };
    let error = vg.apply(&[Edit::AddLv(new)]).unwrap_err();
    assert!(error.to_string().contains("extent 0 of pv0 in two volumes"), "{error}");
    let new = NewLv { id: vg.lvs[0].id, ..new_lv(&vg, "x", 1) };
    assert!(vg.apply(&[Edit::AddLv(new)]).unwrap_err().to_string().contains("two volumes with the uuid"));
}

/// A sample with something replaced.
fn changed(name: &str, old: &str, new: &str) -> Vg {
    let (_, text) = SAMPLES.iter().find(|one| one.0 == name).unwrap();
    let text = String::from_utf8(text.to_vec()).unwrap();
    assert!(text.contains(old), "{old}");
    Vg::from_text(text.replacen(old, new, 1).as_bytes()).unwrap()
}

#[test]
fn what_ties_a_snapshot_is_made_and_changed_as_a_snapshot_only() {
    let vg = sample("snapshots");
    let tie = vg.lv(&lv("snapshot0")).unwrap().segments.clone();
    for edit in [
        Edit::SetLvSegments { lv: lv("snapshot0"), segments: vg.lv(&lv("logs")).unwrap().segments.clone() },
        Edit::SetLvSegments { lv: lv("logs"), segments: tie.clone() },
        Edit::AddLv(NewLv { segments: tie, ..new_lv(&vg, "x", 1) }),
    ] {
        let error = vg.apply(&[edit]).unwrap_err();
        assert!(error.kind() == Kind::Refused && error.to_string().contains("ties a snapshot"), "{error}");
    }
}

#[test]
fn volumes_that_are_being_moved_are_left_alone() {
    let vg = changed("plain", "\"VISIBLE\"]", "\"VISIBLE\", \"LOCKED\"]");
    let add = Edit::AddLv(new_lv(&vg, "s", 1));
    for edit in [
        Edit::RemoveLv { lv: lv("linear") },
        Edit::RenameLv { lv: lv("linear"), to: lv("x") },
        Edit::SetLvSegments { lv: lv("linear"), segments: Vec::new() },
        snapshot("s", "linear"),
    ] {
        let error = vg.apply(&[add.clone(), edit]).unwrap_err();
        assert!(error.kind() == Kind::InUse && error.to_string().contains("pvmove"), "{error}");
    }
}

#[test]
fn a_group_that_may_not_be_resized_keeps_its_physical_volumes() {
    let vg = changed("empty", "\"RESIZEABLE\", ", "");
    let error = vg.apply(&[Edit::RemovePv { pv: vg.pvs[0].id }]).unwrap_err();
    assert!(error.kind() == Kind::Refused && error.to_string().contains("resizeable y"), "{error}");
}

#[test]
fn a_group_is_not_named_like_a_field_of_the_text() {
    let vg = sample("snapshot");
    for name in ["contents", "version", "description", "creation_host", "creation_time"] {
        let error = vg.apply(&[Edit::RenameVg { to: name.parse().unwrap() }]).unwrap_err();
        assert_eq!(error.kind(), Kind::Usage, "{name}");
    }
    let named = changed("snapshot", "vg0 {", "description {");
    let refusal = crate::lvm::check::refusal(&named, &Default::default()).unwrap();
    assert!(refusal.reason.contains("name of a field"), "{refusal:?}");
}

#[test]
fn names_that_are_too_long_for_device_mapper_are_refused() {
    let vg = sample("snapshots");
    let name = |length: usize| "n".repeat(length);
    // "vg0-" and the name; a snapshot's store gets "-cow", its origin "-real".
    assert!(vg.apply(&[Edit::AddLv(new_lv(&vg, &name(121), 1))]).is_ok());
    let error = vg.apply(&[Edit::AddLv(new_lv(&vg, &name(122), 1))]).unwrap_err();
    assert!(error.kind() == Kind::Usage && error.to_string().contains("too long"), "{error}");
    let add = |store: &str| vg.apply(&[Edit::AddLv(new_lv(&vg, store, 1)), snapshot(store, "db")]);
    assert!(add(&name(119)).is_ok());
    assert_eq!(add(&name(120)).unwrap_err().kind(), Kind::Usage);
    assert_eq!(add(&format!("n{}", "-".repeat(60))).unwrap_err().kind(), Kind::Usage);
    let rename = |to: &str| vg.apply(&[Edit::RenameLv { lv: lv("db"), to: lv(to) }]);
    assert!(rename(&name(118)).is_ok());
    assert_eq!(rename(&name(119)).unwrap_err().kind(), Kind::Usage);
    let long = Edit::RenameVg { to: name(120).parse().unwrap() };
    assert_eq!(vg.apply(&[long]).unwrap_err().kind(), Kind::Usage);
}

#[test]
fn extents_that_stay_keep_their_text() {
    let vg = sample("merging");
    let old = vg.lv(&lv("db")).unwrap().segments.clone();
    let more =
        allocate(&vg, &Request { extents: Extents(3), grows: Some(lv("db")), ..Request::default() }).unwrap();
    let segments: Vec<_> = old.iter().cloned().chain(more).collect();
    let next = vg.apply(&[Edit::SetLvSegments { lv: lv("db"), segments }]).unwrap();
    assert_eq!(next.lv(&lv("db")).unwrap().extents(), Extents(23));
    assert!(section(&next, "db").starts_with(section(&vg, "db").split("segment_count").next().unwrap()));
    assert!(text(&next).contains("\n]\n}\nsegment3 {\nstart_extent = 20\n"));
    let back = next.apply(&[Edit::SetLvSegments { lv: lv("db"), segments: old }]).unwrap();
    assert_eq!(text(&back), text(&vg));
}

#[test]
fn segments_of_other_types_are_not_written() {
    let vg = sample("raid");
    let segments = vg.lv(&lv("r1")).unwrap().segments.clone();
    let same = vg.apply(&[Edit::SetLvSegments { lv: lv("r1"), segments: segments.clone() }]).unwrap();
    assert_eq!(text(&same), text(&vg));
    let two = vec![segments[0].clone(), Segment { start: Extents(8), ..segments[0].clone() }];
    assert_eq!(
        vg.apply(&[Edit::SetLvSegments { lv: lv("r1"), segments: two }]).unwrap_err().kind(),
        Kind::Refused
    );
}

#[test]
fn a_new_volume_group_has_lvm2s_form() {
    let pv = NewPv {
        id: uuid("p"),
        device: Some("/dev/ubda".into()),
        dev_size: Sectors(2_097_152),
        pe_start: Sectors(2048),
        pe_count: Extents(255),
    };
    let new = NewVg {
        name: "vg-a".parse().unwrap(),
        id: uuid("v"),
        extent_size: Sectors(8192),
        system_id: None,
        metadata_copies: 0,
    };
    let mine = text(&Vg::new(&new, std::slice::from_ref(&pv)).unwrap());
    let lvm2 = text(&sample("empty"));
    let start = lvm2.find("\n\npv1 {").unwrap() + 1;
    let end = lvm2.find("\n}\n\n\n}\n").unwrap() + 1;
    let lvm2 = [&lvm2[..start], &lvm2[end..]].concat();
    let blank = |text: &str| {
        text.lines()
            .filter(|line| !line.starts_with("id = ") && !line.starts_with("seqno"))
            .collect::<Vec<_>>()
            .join("\n")
    };
    assert_eq!(blank(&mine), blank(&lvm2));
    let owned = Vg::new(&NewVg { system_id: Some("me".into()), ..new.clone() }, &[pv]).unwrap();
    assert!(
        text(&owned).contains(
            "status = [\"RESIZEABLE\", \"READ\"]\nflags = [\"WRITE_LOCKED\"]\nsystem_id = \"me\"\n"
        )
    );
    for size in [0, 1, 3, 8191] {
        assert!(Vg::new(&NewVg { extent_size: Sectors(size), ..new.clone() }, &[]).is_err(), "{size}");
    }
}

fn any_edit() -> impl Strategy<Value = Edit> {
    let name =
        || prop::sample::select(vec!["db", "logs", "db-1", "db-2", "logs-1", "n1", "n2", "n3"]).prop_map(lv);
    let tag = || prop::sample::select(vec!["a", "b"]).prop_map(|tag| tag.parse().unwrap());
    prop_oneof![
        (name(), 1_u64..5, any::<bool>()).prop_map(|(name, extents, visible)| {
            let vg = sample("snapshots");
            Edit::AddLv(NewLv { visible, ..new_lv(&vg, name.as_str(), extents) })
        }),
        name().prop_map(|lv| Edit::RemoveLv { lv }),
        (name(), name()).prop_map(|(lv, to)| Edit::RenameLv { lv, to }),
        (name(), any::<bool>()).prop_map(|(lv, writable)| Edit::SetLvWritable { lv, writable }),
        (name(), any::<bool>()).prop_map(|(lv, on)| Edit::SetLvFlag { lv, flag: LvFlag::NoAutoActivate, on }),
        (name(), tag()).prop_map(|(lv, tag)| Edit::AddLvTag { lv, tag }),
        (name(), tag()).prop_map(|(lv, tag)| Edit::RemoveLvTag { lv, tag }),
        (name(), name()).prop_map(|(store, origin)| snapshot(store.as_str(), origin.as_str())),
        name().prop_map(|store| Edit::DetachSnapshot { store }),
        (name(), any::<bool>()).prop_map(|(store, merging)| Edit::SetMerging { store, merging }),
        tag().prop_map(|tag| Edit::AddVgTag { tag }),
        tag().prop_map(|tag| Edit::RemoveVgTag { tag }),
        Just(Edit::RenameVg { to: "vg1".parse().unwrap() }),
    ]
}

/// An empty group, and the edits that put so many plain volumes into it: v0, v1 and on.
fn large(count: u64) -> (Vg, Vec<Edit>) {
    let pv = NewPv {
        id: uuid("pv"),
        device: None,
        dev_size: Sectors(1 << 40),
        pe_start: Sectors(2048),
        pe_count: Extents(1 << 20),
    };
    let new = NewVg {
        name: "big".parse().unwrap(),
        id: uuid("vg"),
        extent_size: Sectors(8192),
        system_id: None,
        metadata_copies: 0,
    };
    let vg = Vg::new(&new, &[pv]).unwrap();
    let add = |number: u64| {
        let areas = vec![Area::Pv { pv: 0, start: Extents(number) }];
        let kind = SegmentKind::Striped { stripe_size: None, areas };
        let segment = Segment { start: Extents(0), length: Extents(1), kind, tags: Vec::new() };
        Edit::AddLv(NewLv { segments: vec![segment], ..new_lv(&sample("empty"), &format!("v{number}"), 1) })
    };
    (vg, (0..count).map(add).collect())
}

fn names(count: u64) -> impl Iterator<Item = LvName> {
    (0..count).map(|number| lv(&format!("v{number}")))
}

#[test]
fn many_edits_cost_a_pass_and_not_a_pass_each() {
    let steps = |before: &[Edit], edits: &[Edit], count| {
        let (vg, volumes) = large(count);
        let vg = vg.apply(&volumes).unwrap().apply(before).unwrap();
        crate::work::of(|| vg.apply(edits).unwrap())
    };
    let pairs = |count| -> Vec<_> {
        (0..count / 2)
            .map(|pair| snapshot(&format!("v{}", 2 * pair + 1), &format!("v{}", 2 * pair)))
            .collect()
    };
    let detach = |count| -> Vec<_> {
        (0..count / 2).map(|pair| Edit::DetachSnapshot { store: lv(&format!("v{}", 2 * pair + 1)) }).collect()
    };
    let tag = |count| -> Vec<_> {
        names(count).map(|lv| Edit::AddLvTag { lv, tag: "t".parse().unwrap() }).collect()
    };
    let remove = |count| -> Vec<_> { names(count).map(|lv| Edit::RemoveLv { lv }).collect() };
    assert_linear("adding volumes", |count| {
        let (vg, volumes) = large(count);
        crate::work::of(|| vg.apply(&volumes).unwrap())
    });
    assert_linear("tags", |count| steps(&[], &tag(count), count));
    assert_linear("tags beside snapshots", |count| steps(&pairs(count), &tag(count), count));
    assert_linear("adding snapshots", |count| steps(&[], &pairs(count), count));
    assert_linear("detaching snapshots", |count| steps(&pairs(count), &detach(count), count));
    assert_linear("removing volumes", |count| steps(&[], &remove(count), count));
    assert_linear("adding before hidden volumes", |count| {
        let (vg, mut volumes) = large(2 * count);
        // The later ones come when there are snapshots.
        let more = volumes.split_off(usize::try_from(count).unwrap());
        let vg = vg.apply(&volumes).unwrap().apply(&pairs(count)).unwrap();
        crate::work::of(|| vg.apply(&more).unwrap())
    });
}

#[test]
fn one_list_does_not_do_the_same_thing_twice() {
    let vg = sample("snapshots");
    let twice = |edit: Edit| vg.apply(&[edit.clone(), edit]).unwrap_err();
    let error = twice(Edit::AddLv(new_lv(&vg, "x", 1)));
    assert!(error.kind() == Kind::AlreadyExists && error.to_string().contains("a volume x"), "{error}");
    let error = twice(Edit::DetachSnapshot { store: lv("db-1") });
    assert!(error.kind() == Kind::NotFound && error.to_string().contains("not a snapshot"), "{error}");
    let free = vg.apply(&[Edit::AddLv(new_lv(&vg, "x", 1))]).unwrap();
    let remove = Edit::RemoveLv { lv: lv("x") };
    let error = free.apply(&[remove.clone(), remove]).unwrap_err();
    assert!(error.kind() == Kind::NotFound && error.to_string().contains("no volume x"), "{error}");
}

proptest! {
    #[test]
    fn a_list_of_edits_does_what_they_do_one_by_one(edits in proptest::collection::vec(any_edit(), 1..40)) {
        let first = sample("snapshots");
        let (mut vg, mut done) = (first.clone(), Vec::new());
        for edit in edits {
            let edit = match edit {
                Edit::AddLv(new) => Edit::AddLv(NewLv { segments: new_lv(&vg, "x", 2).segments, ..new }),
                other => other,
            };
            if let Ok(next) = vg.apply(std::slice::from_ref(&edit)) {
                vg = next;
                done.push(edit);
            }
        }
        prop_assert_eq!(text(&first.apply(&done).unwrap()), text(&vg));
    }

    #[test]
    fn whatever_is_edited_text_and_view_agree(edits in proptest::collection::vec(any_edit(), 1..30)) {
        let mut vg = sample("snapshots");
        for edit in edits {
            // New volumes want extents that are free now.
            let edit = match edit {
                Edit::AddLv(new) => Edit::AddLv(NewLv { segments: new_lv(&vg, "x", 2).segments, ..new }),
                other => other,
            };
            if let Ok(next) = vg.apply(std::slice::from_ref(&edit)) {
                vg = next;
            }
            text(&vg);
        }
    }
}
