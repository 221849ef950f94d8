use super::*;
use crate::lvm::read::tests::{SAMPLES, sample};

fn owner(id: &str) -> Host {
    Host { system_id: Some(id.into()), ..Host::default() }
}

/// The reason, after `old` became `new` in a sample.
fn reason(name: &str, old: &str, new: &str) -> Option<String> {
    let (_, text) = SAMPLES.iter().find(|(known, _)| *known == name).unwrap();
    let text = String::from_utf8(text.to_vec()).unwrap();
    assert!(text.contains(old), "{old}");
    let vg = Vg::from_text(text.replacen(old, new, 1).as_bytes()).unwrap();
    refusal(&vg, &Host::default()).map(|refusal| refusal.reason)
}

#[test]
fn volume_groups_of_all_known_types_may_be_changed() {
    for name in ["empty", "plain", "snapshot", "snapshots", "merging", "thin", "cache", "raid"] {
        assert_eq!(refusal(&sample(name), &Host::default()), None, "{name}");
    }
}

#[test]
fn a_group_with_a_system_id_is_for_its_owner_only() {
    let vg = sample("system-id");
    assert_eq!(refusal(&vg, &owner("guest")), None);
    let more = Host { extra_system_ids: vec!["guest".into()], ..owner("me") };
    assert_eq!(refusal(&vg, &more), None);
    for stranger in [Host::default(), owner("me")] {
        let error = Error::from(refusal(&vg, &stranger).unwrap());
        assert_eq!(error.kind(), Kind::Refused);
        assert_eq!(error.to_string(), "volume group own belongs to another host, with system id guest");
    }
    assert_eq!(reason("empty", "extent_size", "system_id = \"\"\nextent_size"), None);
}

#[test]
fn groups_that_lvm2_would_not_change_are_refused_in_words() {
    let exported = refusal(&sample("exported"), &Host::default()).unwrap();
    assert_eq!(exported.reason, "volume group gone is exported");
    assert!(exported.hint.unwrap().contains("vgimport"));
    let vg_status = "[\"RESIZEABLE\", \"READ\", \"WRITE\"]";
    let locks = |kind: &str| reason("empty", "extent_size", &format!("lock_type = \"{kind}\"\nextent_size"));
    let cases = [
        (locks("sanlock"), "shared between hosts with sanlock locks"),
        (locks("dlm"), "shared between hosts with dlm locks"),
        (locks("idm"), "shared between hosts with idm locks"),
        (reason("empty", vg_status, "[\"RESIZEABLE\", \"READ\", \"WRITE\", \"CLUSTERED\"]"), "is clustered"),
        (reason("empty", vg_status, "[\"RESIZEABLE\", \"READ\"]"), "is read-only"),
        (reason("empty", vg_status, "[\"READ\", \"WRITE\", \"NEW\"]"), "it has the status NEW"),
        (reason("empty", "[\"ALLOCATABLE\"]", "[\"ODD\"]"), "pv0 has the status ODD"),
        (
            reason("plain", "[\"READ\", \"WRITE\", \"VISIBLE\"]", "[\"READ\", \"ODD\"]"),
            "linear has the status ODD",
        ),
        (reason("raid", "type = \"raid1\"", "type = \"raid99\""), "r1 has segments of type raid99"),
        (reason("raid", "type = \"raid1\"", "type = \"raid1+NEW\""), "segments of type raid1+NEW"),
        (reason("plain", "type = \"striped\"", "type = \"striped+NEW\""), "segments of type striped+NEW"),
        (reason("empty", "flags = []\ndev_size", "flags = [\"MISSING\"]\ndev_size"), "/dev/ubda was missing"),
        (reason("plain", "\"pv0\", 16", "\"pv0\", 15"), "in two volumes"),
        (reason("snapshots", "cow_store = \"db-2\"", "cow_store = \"db-1\""), "two snapshots in one store"),
        (reason("snapshots", "origin = \"db\"", "origin = \"db-1\""), "that is its own origin"),
        (reason("snapshots", "extent_count = 16", "extent_count = 0"), "has a volume without extents, db"),
        (reason("snapshots", "\"pv0\", 0", "\"db\", 0"), "has a volume that lies on itself, db"),
        (reason("snapshots", "type = \"striped\"", "type = \"free\""), "segments of type free"),
        (
            reason("merging", "cow_store = \"db-2\"", "merging_store = \"db-2\""),
            "two snapshots to be merged into db",
        ),
    ];
    for (reason, words) in cases {
        assert!(reason.as_ref().is_some_and(|reason| reason.contains(words)), "{words}: {reason:?}");
    }
    assert_eq!(locks("none"), None);
    assert_eq!(reason("raid", "type = \"raid1\"", "type = \"raid1+RESHAPE\""), None);
    assert_eq!(reason("empty", "flags = []", "flags = [\"NEW\"]"), None);
}

/// What `pvmove` of `linear` leaves while it runs: the volume on a hidden one, which is a mirror of the old place and the new.
#[test]
fn a_group_in_the_middle_of_a_pvmove_says_what_moves_and_how_it_ends() {
    let (_, text) = SAMPLES.iter().find(|(name, _)| *name == "plain").unwrap();
    let text = String::from_utf8(text.to_vec()).unwrap();
    let moved = "\"pvmove0\", 0";
    let hidden = "pvmove0 {\nid = \"abcdef-0000-0000-0000-0000-0000-abcdef\"\n\
        status = [\"READ\", \"WRITE\", \"PVMOVE\", \"LOCKED\"]\nflags = []\nsegment_count = 1\n\
        segment1 {\nstart_extent = 0\nextent_count = 8\ntype = \"mirror\"\nmirror_count = 2\nextents_moved = 0\n\
        mirrors = [\n\"pv0\", 16,\n\"pv1\", 40\n]\n}\n}\n";
    let text = text.replacen("\"pv0\", 16", moved, 1).replacen(
        "logical_volumes {\n",
        &format!("logical_volumes {{\n{hidden}"),
        1,
    );
    let refusal = refusal(&Vg::from_text(text.as_bytes()).unwrap(), &Host::default()).unwrap();
    assert!(
        refusal.reason.contains("pvmove0 moves extents from /dev/ubda to /dev/ubdb"),
        "{}",
        refusal.reason
    );
    assert!(refusal.hint.unwrap().contains("`pvmove --abort`"));
    assert!(refusal.allows_activation && refusal.exempt.is_none());
}

#[test]
fn limits_of_a_volume_group_are_kept() {
    let (_, text) = SAMPLES.iter().find(|(name, _)| *name == "snapshots").unwrap();
    let text = String::from_utf8(text.to_vec()).unwrap();
    let with =
        |old: &str, new: &str| validate(None, &Vg::from_text(text.replacen(old, new, 1).as_bytes()).unwrap());
    // Two origins and three snapshots are seen.
    assert!(with("max_lv = 0", "max_lv = 5").is_ok());
    assert_eq!(with("max_lv = 0", "max_lv = 4").unwrap_err().kind(), Kind::NoSpace);
    assert!(with("max_pv = 0", "max_pv = 2").is_ok());
    assert_eq!(with("max_pv = 0", "max_pv = 1").unwrap_err().kind(), Kind::NoSpace);
}

/// lvm2 lists such a group and activates its volumes; it writes nothing ("has invalid form").
#[test]
fn a_group_with_a_tag_or_a_name_that_lvm2_would_not_write_is_listed_and_refused() {
    let listed = |old: &str, new: &str| {
        let (_, text) = SAMPLES.iter().find(|(name, _)| *name == "plain").unwrap();
        let text = String::from_utf8(text.to_vec()).unwrap();
        assert!(text.contains(old), "{old}");
        Vg::from_text(text.replacen(old, new, 1).as_bytes())
            .map(|vg| refusal(&vg, &Host::default()).is_some())
    };
    assert!(matches!(listed("tags = [\"vgtag\"]", "tags = [\"vg tag\"]"), Ok(true)), "a tag of the group");
    assert!(matches!(listed("\"pvtag\"", "\"pv,tag\""), Ok(true)), "a tag of a device");
    assert!(matches!(listed("\nlinear {", "\n\"lin ear\" {"), Ok(true)), "a volume's name");
}

/// lvm2 writes nothing: "has lock_args without lock_type".
#[test]
fn a_group_with_lock_arguments_and_no_lock_type_is_refused() {
    assert!(reason("empty", "extent_size", "lock_args = \"x\"\nextent_size").is_some());
}

/// lvm2 takes the group for corrupt: "sets METADATA_FORMAT flag for linear segment".
#[test]
fn a_segment_with_the_flag_of_another_type_is_refused() {
    assert!(reason("plain", "type = \"striped\"", "type = \"striped+METADATA_FORMAT\"").is_some());
}

/// What is there already is no creation: volumes can be removed from a group that has more than it may.
#[test]
fn a_group_over_its_limit_of_volumes_can_still_be_reduced() {
    let (_, text) = SAMPLES.iter().find(|(name, _)| *name == "snapshots").unwrap();
    let text = String::from_utf8(text.to_vec()).unwrap().replacen("max_lv = 0", "max_lv = 1", 1);
    let vg = Vg::from_text(text.as_bytes()).unwrap();
    let tag = "t".parse().unwrap();
    assert!(vg.apply(&[crate::lvm::edit::Edit::AddVgTag { tag }]).is_ok());
}

/// What it has too many of stays so many; what it has not enough of may not come.
#[test]
fn a_group_over_its_limit_of_volumes_gets_no_more() {
    let (_, text) = SAMPLES.iter().find(|(name, _)| *name == "snapshots").unwrap();
    let text = String::from_utf8(text.to_vec()).unwrap().replacen("max_lv = 0", "max_lv = 1", 1);
    let vg = Vg::from_text(text.as_bytes()).unwrap();
    let store = "logs-1".parse().unwrap();
    let fewer = vg.apply(&[crate::lvm::edit::Edit::DetachSnapshot { store }]).unwrap();
    assert!(validate(Some(&vg), &fewer).is_ok());
    let more = "logs-1".parse().unwrap();
    let more = fewer.apply(&[crate::lvm::edit::Edit::RemoveLv { lv: more }]).unwrap();
    assert_eq!(validate(Some(&more), &vg).unwrap_err().kind(), Kind::NoSpace);
}

/// Names that are none are spelled as device-mapper does, wherever they stand: none is ever a path.
#[test]
fn a_volume_with_an_odd_name_is_found_where_others_name_it() {
    let (_, text) = SAMPLES.iter().find(|(name, _)| *name == "snapshots").unwrap();
    let text = String::from_utf8(text.to_vec()).unwrap();
    for (odd, spelled) in [("..", r"\x2e\x2e"), ("a b", r"a\x20b")] {
        let odd =
            text.replacen("\ndb {", &format!("\n\"{odd}\" {{"), 1).replace("\"db\"", &format!("\"{odd}\""));
        let vg = Vg::from_text(odd.as_bytes()).unwrap();
        let name = vg.lvs[0].name.clone();
        assert_eq!((name.as_str(), name.is_valid(), vg.snapshots_of(&name).count()), (spelled, false, 2));
        let error = vg.apply(&[crate::lvm::edit::Edit::RemoveLv { lv: name.clone() }]).unwrap_err();
        assert!(error.to_string().contains(spelled), "{error}");
        assert!(vg.built_here().all(|lv| lv.name.as_str().starts_with("logs")), "{name} is built");
    }
}

#[test]
fn a_volume_with_lock_arguments_is_refused_where_the_group_has_no_lock_type() {
    let reason = reason("plain", "segment_count", "lock_args = \"1.0.0:128\"\nsegment_count").unwrap();
    assert!(reason.contains("lock_args"), "{reason}");
}
