use proptest::prelude::*;

use super::*;

fn dev(minor: u32) -> DevNo {
    DevNo { major: 254, minor }
}

fn clone(no_hydration: bool, no_discard_passdown: bool) -> Target<DevNo> {
    Target::Clone {
        metadata: dev(1),
        destination: dev(2),
        source: dev(3),
        region: Sectors(4096),
        features: CloneFeatures { no_hydration, no_discard_passdown },
    }
}

#[test]
fn parameters_are_the_kernels_text() {
    let cases: [(Target<DevNo>, &str, &str); 9] = [
        (Target::Linear { device: dev(1), offset: Sectors(2048) }, "linear", "254:1 2048"),
        (
            Target::Striped {
                chunk: Sectors(128),
                stripes: vec![(dev(1), Sectors(0)), (dev(2), Sectors(8))],
            },
            "striped",
            "2 128 254:1 0 254:2 8",
        ),
        (Target::Origin { device: dev(3) }, "snapshot-origin", "254:3"),
        (Target::Snapshot { origin: dev(1), cow: dev(2), chunk: Sectors(8) }, "snapshot", "254:1 254:2 P 8"),
        (
            Target::Merge { origin: dev(1), cow: dev(2), chunk: Sectors(0) },
            "snapshot-merge",
            "254:1 254:2 P 0",
        ),
        (clone(false, false), "clone", "254:1 254:2 254:3 4096"),
        (clone(true, true), "clone", "254:1 254:2 254:3 4096 2 no_hydration no_discard_passdown"),
        (Target::Zero, "zero", ""),
        (Target::Error, "error", ""),
    ];
    for (target, kind, params) in cases {
        assert_eq!((target.kind(), target.to_string().as_str()), (kind, params));
        assert_eq!(Target::parse(kind, params), target);
    }
}

#[test]
fn what_dmsnap_would_not_print_is_kept_as_text() {
    let cases = [
        ("snapshot", "254:1 254:2 PO 8"),
        ("snapshot", "254:1 254:2 N 8"),
        ("snapshot", "254:1 254:2 P 8 1 discard_zeroes_cow"),
        ("snapshot", "254:1 254:2 P"),
        ("linear", "/dev/sda 0"),
        ("linear", "254:1 -1"),
        ("striped", "3 128 254:1 0"),
        ("striped", "18446744073709551615 128"),
        ("striped", "0 128"),
        ("clone", "254:4 254:5 254:6 8 1 no_hydration 2 hydration_threshold 4"),
        ("clone", "254:4 254:5 254:6 8 2 no_hydration"),
        ("thin", "254:4 7"),
        ("zero", "what"),
        ("", ""),
    ];
    for (kind, params) in cases {
        let target = Target::parse(kind, params);
        assert_eq!(target, Target::Other { kind: kind.into(), params: params.into() });
        assert_eq!((target.kind(), target.to_string()), (kind, params.to_owned()));
    }
}

#[test]
fn references_of_unknown_targets_are_found_in_their_text() {
    let target = Target::parse("cache", "254:4 254:5 254:6 8 1 writethrough 0");
    assert!(target.devices().is_empty());
    assert_eq!(target.references(), BTreeSet::from([dev(4), dev(5), dev(6)]));
}

#[test]
fn devices_are_renamed_or_the_first_failure_is_told() {
    let table = Table::single(Sectors(8), Target::Snapshot { origin: "real", cow: "cow", chunk: Sectors(8) });
    let upper = table.clone().map(str::to_uppercase);
    assert_eq!(upper.to_string(), "0 8 snapshot REAL COW P 8");
    let missing = table.try_map(|name| if name == "cow" { Err(name) } else { Ok(name) });
    assert_eq!(missing, Err("cow"));
}

#[test]
fn tables_print_a_line_each() {
    let line = |start, length, target| Line { start: Sectors(start), length: Sectors(length), target };
    let linear = Target::Linear { device: dev(0), offset: Sectors(5) };
    let table = Table(vec![line(0, 8, linear), line(8, 16, Target::Zero)]);
    assert_eq!(table.to_string(), "0 8 linear 254:0 5\n8 16 zero");
    assert_eq!((table.length(), table.devices()), (Sectors(24), vec![&dev(0)]));
    assert_eq!(Table::<DevNo>::default().length(), Sectors::ZERO);
}

#[test]
fn status_lines_are_understood() {
    let store = |used, total, metadata, merging| Status::Store {
        used: Sectors(used),
        total: Sectors(total),
        metadata: Sectors(metadata),
        merging,
    };
    let cases = [
        ("snapshot", "16/131072 16", store(16, 131_072, 16, false)),
        ("snapshot-merge", "2632/131072 16", store(2632, 131_072, 16, true)),
        ("snapshot", "Invalid", Status::Invalid),
        ("snapshot-merge", "Merge failed", Status::MergeFailed),
        ("snapshot", "Overflow", Status::Overflow),
        ("snapshot", "Unknown", Status::Other("Unknown".into())),
        ("snapshot", "16/x 16", Status::Other("16/x 16".into())),
        ("snapshot-origin", "", Status::Other(String::new())),
        ("linear", "Invalid", Status::Other("Invalid".into())),
    ];
    for (kind, text, status) in cases {
        assert_eq!(Status::parse(kind, text), status, "{kind} {text}");
        assert_eq!(status.to_string(), text);
    }
}

#[test]
fn a_clone_says_how_far_it_is() {
    let filling =
        |hydrated, hydrates| Status::Clone { hydrated: Regions(hydrated), total: Regions(8192), hydrates };
    let cases = [
        (
            "8 6/256 8 260/8192 0 1 no_hydration 4 hydration_threshold 1 hydration_batch_size 1 rw",
            filling(260, false),
        ),
        ("8 6/256 8 8125/8192 7 0 4 hydration_threshold 1 hydration_batch_size 1 rw", filling(8125, true)),
        (
            "8 6/256 8 1/8192 0 1 no_discard_passdown 4 hydration_threshold 4 hydration_batch_size 8 rw",
            filling(1, true),
        ),
        ("8 6/256 8 8125/8192 0 0 4 hydration_threshold 1 hydration_batch_size 1 ro", Status::CloneFailed),
        ("Fail", Status::CloneFailed),
        ("8 6/256 8 x/8192 0", Status::Other("8 6/256 8 x/8192 0".into())),
    ];
    for (text, status) in cases {
        assert_eq!(Status::parse("clone", text), status, "{text}");
    }
}

fn devices() -> impl Strategy<Value = DevNo> {
    (0..4096_u32, 0..1_048_576_u32).prop_map(|(major, minor)| DevNo { major, minor })
}

fn targets() -> impl Strategy<Value = Target<DevNo>> {
    let sectors = || any::<u64>().prop_map(Sectors);
    prop_oneof![
        (devices(), sectors()).prop_map(|(device, offset)| Target::Linear { device, offset }),
        (sectors(), prop::collection::vec((devices(), sectors()), 1..9))
            .prop_map(|(chunk, stripes)| Target::Striped { chunk, stripes }),
        devices().prop_map(|device| Target::Origin { device }),
        (devices(), devices(), sectors()).prop_map(|(origin, cow, chunk)| Target::Snapshot {
            origin,
            cow,
            chunk
        }),
        (devices(), devices(), sectors()).prop_map(|(origin, cow, chunk)| Target::Merge {
            origin,
            cow,
            chunk
        }),
        (devices(), devices(), devices(), sectors(), any::<[bool; 2]>()).prop_map(
            |(metadata, destination, source, region, [no_hydration, no_discard_passdown])| {
                let features = CloneFeatures { no_hydration, no_discard_passdown };
                Target::Clone { metadata, destination, source, region, features }
            }
        ),
        Just(Target::Zero),
        Just(Target::Error),
    ]
}

proptest! {
    #[test]
    fn a_printed_target_parses_to_itself(target in targets()) {
        prop_assert_eq!(Target::parse(target.kind(), &target.to_string()), target);
    }

    #[test]
    fn any_text_is_understood_or_kept(
        kind in "linear|striped|snapshot|snapshot-merge|snapshot-origin|zero|error|[a-z]{0,5}",
        params in "[0-9: PNO/a-z-]{0,40}",
    ) {
        let target = Target::parse(&kind, &params);
        prop_assert_eq!(target.kind(), kind.as_str());
        let status = Status::parse(&kind, &params);
        prop_assert_eq!(Status::parse(&kind, &status.to_string()), status);
    }
}

#[test]
fn a_table_continues_what_is_mapped_the_same_in_it() {
    let line = |start, length, minor, offset| Line {
        start: Sectors(start),
        length: Sectors(length),
        target: Target::Linear { device: dev(minor), offset: Sectors(offset) },
    };
    let short = Table(vec![line(0, 8, 1, 0), line(8, 8, 2, 0)]);
    let cases = [
        (vec![line(0, 8, 1, 0), line(8, 8, 2, 0)], true),
        (vec![line(0, 8, 1, 0), line(8, 16, 2, 0)], true),
        (vec![line(0, 8, 1, 0), line(8, 8, 2, 0), line(16, 8, 1, 64)], true),
        (vec![line(0, 8, 1, 0)], false),
        (vec![line(0, 8, 1, 0), line(8, 4, 2, 0)], false),
        (vec![line(0, 8, 1, 0), line(8, 16, 2, 8)], false),
        (vec![line(0, 16, 1, 0), line(16, 8, 2, 0)], false),
    ];
    for (lines, continues) in cases {
        let table = Table(lines);
        assert_eq!(table.continues(&short), continues, "{table}");
    }
}
