use std::path::PathBuf;

use super::*;
use crate::block::DevNo;
use crate::block::mem::MemDevices;
use crate::dm::sim::SimKernel;
use crate::dm::{DmName, Info, Kernel, Line};
use crate::engine::outline::{Entry, Phase};
use crate::engine::tree::{Expected, Present};
use crate::units::Sectors;
use crate::work::assert_linear;

const DISK: DevNo = DevNo { major: 8, minor: 16 };

fn uuid(text: &str) -> DmUuid {
    DmUuid::new(format!("LVM-{text}")).unwrap()
}

fn name(text: &str) -> DmName {
    DmName::new(text).unwrap()
}

fn layer(text: &str) -> Below {
    Below::Layer(uuid(text))
}

fn node(text: &str, target: Target<Below>) -> Node {
    let table = Table(vec![Line { start: Sectors(0), length: Sectors(8192), target }]);
    Node {
        name: name(text),
        table,
        read_only: false,
        udev: UdevFlags::visible(),
        link: Some(PathBuf::from("/dev/vg").join(text)),
        begins: false,
        closed: false,
        expects: None,
        told: None,
    }
}

fn linear(offset: u64) -> Target<Below> {
    Target::Linear { device: Below::Disk(DISK), offset: Sectors(offset) }
}

fn tree(nodes: Vec<Node>) -> DeviceTree {
    DeviceTree(nodes.into_iter().map(|node| (uuid(node.name.as_str()), node)).collect())
}

/// The origin `o` alone.
fn plain() -> DeviceTree {
    tree(vec![node("o", linear(0))])
}

/// The origin `o` with these snapshots, each with a `-cow`.
fn with_snapshots(names: &[&str]) -> DeviceTree {
    let mut nodes = vec![node("o-real", linear(0)), node("o", Target::Origin { device: layer("o-real") })];
    for (number, text) in (1..).zip(names) {
        let cow = format!("{text}-cow");
        nodes.push(node(&cow, linear(number * 10_000)));
        let target = Target::Snapshot { origin: layer("o-real"), cow: layer(&cow), chunk: Sectors(128) };
        nodes.push(node(text, target));
    }
    tree(nodes)
}

/// The tree in which this snapshot begins.
fn beginning(mut tree: DeviceTree, snapshot: &str) -> DeviceTree {
    tree.0.get_mut(&uuid(snapshot)).unwrap().begins = true;
    tree
}

/// What a kernel has that has reached a tree.
fn reached(tree: &DeviceTree) -> FoundTree {
    let found = |(minor, (uuid, node)): (u32, (&DmUuid, &Node))| {
        let info = Info {
            name: node.name.clone(),
            uuid: Some(uuid.clone()),
            number: DevNo { major: 254, minor },
            open_count: 0,
            suspended: false,
            read_only: node.read_only,
            live: true,
            inactive: false,
        };
        let (table, link) = (node.table.clone(), node.link.clone());
        (
            uuid.clone(),
            FoundNode { info, table, inactive: Table(Vec::new()), link, published: true, rests: false },
        )
    };
    FoundTree { nodes: (0..).zip(&tree.0).map(found).collect(), ..FoundTree::default() }
}

fn lines(found: &FoundTree, wanted: &DeviceTree) -> Vec<String> {
    let mark = |entry: &Entry| if entry.phase() == Phase::Switch { "| " } else { "" };
    converge(found, wanted).unwrap().entries().iter().map(|e| format!("{}{e}", mark(e))).collect()
}

fn position(lines: &[String], text: &str) -> usize {
    lines.iter().position(|line| line == text).unwrap_or_else(|| panic!("{text:?} is not in {lines:#?}"))
}

#[test]
fn what_is_there_already_needs_no_plan() {
    for wanted in [plain(), with_snapshots(&["s"]), with_snapshots(&["s", "t"]), DeviceTree::default()] {
        assert!(converge(&reached(&wanted), &wanted).unwrap().is_empty());
    }
}

#[test]
fn the_first_snapshot_swaps_the_origin_under_one_suspend() {
    let plan = converge(&reached(&plain()), &beginning(with_snapshots(&["s"]), "s")).unwrap();
    let switch: Vec<_> = plan.switch.iter().map(super::super::plan::switch_text).collect();
    assert_eq!(switch, ["suspend o (freeze its file system)", "resume s", "resume o"]);
    let prepare: Vec<_> = plan.prepare.iter().map(|step| plan.text(step)).collect();
    assert_eq!(
        prepare,
        [
            "create o-real",
            "load o-real: 0 8192 linear 8:16 0",
            "resume o-real",
            "create s-cow",
            "load s-cow: 0 8192 linear 8:16 10000",
            "resume s-cow",
            "create s",
            "load s: 0 8192 snapshot o-real s-cow P 128",
            "load o: 0 8192 snapshot-origin o-real",
            "sync the file system on o",
        ]
    );
    assert!(plan.cleanup.iter().all(|step| matches!(step, Step::Publish { .. })), "{plan}");
}

#[test]
fn a_further_snapshot_leaves_the_origins_table_alone() {
    let found = reached(&with_snapshots(&["s"]));
    let lines = lines(&found, &beginning(with_snapshots(&["s", "t"]), "t"));
    assert!(!lines.iter().any(|line| line.contains("load o:") || line.contains("load s:")), "{lines:#?}");
    let suspend = position(&lines, "| suspend o (freeze its file system)");
    assert_eq!(lines[suspend + 1], "| resume t");
    assert_eq!(lines[suspend + 2], "| resume o");
}

/// The same tree with this device's table.
fn with_table(mut tree: DeviceTree, device: &str, lines: Vec<Line<Below>>) -> DeviceTree {
    tree.0.get_mut(&uuid(device)).unwrap().table = Table(lines);
    tree
}

fn line(start: u64, length: u64, target: Target<Below>) -> Line<Below> {
    Line { start: Sectors(start), length: Sectors(length), target }
}

#[test]
fn a_store_grows_with_one_resume_outside_any_switch() {
    let small = with_snapshots(&["s", "t"]);
    let longer = vec![line(0, 9000, linear(10_000))];
    let more = vec![line(0, 8192, linear(10_000)), line(8192, 100, linear(50_000))];
    for table in [longer, more] {
        let plan = converge(&reached(&small), &with_table(small.clone(), "s-cow", table)).unwrap();
        let prepare: Vec<_> = plan.prepare.iter().map(|step| plan.text(step)).collect();
        assert!(prepare[0].starts_with("load s-cow: 0 "), "{prepare:?}");
        assert_eq!(prepare[1..], ["resume s-cow"]);
        assert!(plan.switch.is_empty() && plan.cleanup.is_empty(), "{plan}");
    }
}

#[test]
fn a_store_that_moves_or_shrinks_and_what_is_no_store_change_in_a_switch() {
    let tree = with_snapshots(&["s"]);
    let moved = vec![line(0, 9000, linear(20_000))];
    let shorter = vec![line(0, 100, linear(10_000))];
    let grown = vec![line(0, 9000, linear(0))];
    for (device, table) in [("s-cow", moved), ("s-cow", shorter), ("o-real", grown)] {
        let plan = converge(&reached(&tree), &with_table(tree.clone(), device, table)).unwrap();
        let switch: Vec<_> = plan.switch.iter().map(super::super::plan::switch_text).collect();
        assert_eq!(switch, [format!("suspend {device}"), format!("resume {device}")]);
    }
}

#[test]
fn removing_one_of_two_snapshots_suspends_nothing() {
    let plan = converge(&reached(&with_snapshots(&["s", "t"])), &with_snapshots(&["s"])).unwrap();
    assert!(plan.switch.is_empty(), "{plan}");
    let lines = lines(&reached(&with_snapshots(&["s", "t"])), &with_snapshots(&["s"]));
    assert!(position(&lines, "remove t") < position(&lines, "remove t-cow"));
}

#[test]
fn removing_the_last_snapshot_lets_go_of_it_before_the_origin_is_made_plain() {
    let lines = lines(&reached(&with_snapshots(&["s"])), &plain());
    assert_eq!(lines[0], "remove s");
    assert_eq!(lines[1..4], ["load o: 0 8192 linear 8:16 0", "| suspend o", "| resume o"]);
    assert!(position(&lines, "| resume o") < position(&lines, "remove s-cow"));
    assert!(position(&lines, "| resume o") < position(&lines, "remove o-real"));
}

#[test]
fn activation_resumes_the_origin_last() {
    let lines = lines(&FoundTree::default(), &with_snapshots(&["s"]));
    assert!(!lines.iter().any(|line| line.starts_with('|')), "{lines:#?}");
    assert!(
        position(&lines, "resume s-cow") < position(&lines, "load s: 0 8192 snapshot o-real s-cow P 128")
    );
    assert!(position(&lines, "resume s") < position(&lines, "resume o"));
}

#[test]
fn deactivation_goes_from_the_top_down() {
    let lines = lines(&reached(&with_snapshots(&["s"])), &DeviceTree::default());
    let removals: Vec<_> = lines.iter().filter(|line| line.starts_with("remove")).collect();
    assert_eq!(removals, ["remove o", "remove s", "remove s-cow", "remove o-real"]);
}

#[test]
fn stray_inactive_tables_are_cleared_before_anything_else() {
    let mut found = reached(&plain());
    found.nodes.get_mut(&uuid("o")).unwrap().info.inactive = true;
    let lines = lines(&found, &beginning(with_snapshots(&["s"]), "s"));
    assert_eq!(lines[0], "clear the inactive table of o");
}

#[test]
fn a_snapshot_whose_origin_runs_with_a_table_that_feeds_nothing_is_not_trusted() {
    let wanted = with_snapshots(&["s"]);
    let replaced: [(&str, Target<Below>); 3] = [
        ("o", linear(0)),
        ("o", Target::Linear { device: layer("o-real"), offset: Sectors(0) }),
        ("s", linear(8)),
    ];
    for (text, target) in replaced {
        let mut found = reached(&wanted);
        found.nodes.get_mut(&uuid(text)).unwrap().table.0[0].target = target;
        let error = converge(&found, &wanted).unwrap_err();
        assert_eq!(error.kind(), Kind::Refused);
        assert!(error.to_string().starts_with("o is in use without its snapshot s: "), "{error}");
        // Without the snapshot the volume can be put right, and with a dead one nothing is lost.
        let lines = lines(&found, &plain());
        assert!(lines.contains(&"remove s".to_owned()), "{lines:?}");
    }
}

#[test]
fn a_chunk_size_that_the_kernel_took_from_a_stores_header_is_right() {
    let wanted = with_snapshots(&["s"]);
    let mut found = reached(&wanted);
    match &mut found.nodes.get_mut(&uuid("s")).unwrap().table.0[0].target {
        Target::Snapshot { chunk, .. } => *chunk = Sectors(8),
        other => panic!("{other:?}"),
    }
    assert_eq!(lines(&found, &wanted), Vec::<String>::new());
}

#[test]
fn a_device_left_suspended_with_the_right_table_is_resumed_first() {
    let mut found = reached(&with_snapshots(&["s"]));
    for node in found.nodes.values_mut() {
        node.info.suspended = true;
    }
    let plan = converge(&found, &with_snapshots(&["s"])).unwrap();
    let prepare: Vec<_> = plan.prepare.iter().map(|step| plan.text(step)).collect();
    assert_eq!(prepare, ["resume o-real", "resume s-cow", "resume s", "resume o"]);
    assert!(plan.switch.is_empty() && plan.cleanup.is_empty());
}

#[test]
fn a_suspended_device_with_a_wrong_table_is_not_suspended_again() {
    let mut found = reached(&with_snapshots(&["s"]));
    found.nodes.get_mut(&uuid("o")).unwrap().info.suspended = true;
    let lines = lines(&found, &plain());
    assert_eq!(lines[1..3], ["load o: 0 8192 linear 8:16 0", "| resume o"]);
}

#[test]
fn a_device_made_but_never_loaded_is_brought_up() {
    let mut found = reached(&with_snapshots(&["s"]));
    for text in ["s", "s-cow"] {
        let node = found.nodes.get_mut(&uuid(text)).unwrap();
        node.info.live = false;
        node.table = Table(Vec::new());
    }
    let lines = lines(&found, &beginning(with_snapshots(&["s"]), "s"));
    assert!(!lines.iter().any(|line| line.starts_with("create")), "{lines:#?}");
    assert!(position(&lines, "resume s-cow") < position(&lines, "| suspend o (freeze its file system)"));
}

#[test]
fn a_snapshot_that_missed_writes_is_never_joined_again() {
    let error = converge(&reached(&plain()), &with_snapshots(&["s"])).unwrap_err();
    assert_eq!(error.kind(), Kind::Refused);
    assert!(error.to_string().contains('s') && error.to_string().contains("remove that snapshot"), "{error}");
}

#[test]
fn a_snapshot_begins_when_its_suspended_origin_is_resumed() {
    let mut found = reached(&plain());
    found.nodes.get_mut(&uuid("o")).unwrap().info.suspended = true;
    assert_eq!(converge(&found, &with_snapshots(&["s"])).unwrap_err().kind(), Kind::Refused);
    let lines = lines(&found, &beginning(with_snapshots(&["s"]), "s"));
    let first = position(&lines, "| resume s");
    assert_eq!(lines[first + 1], "| resume o");
}

#[test]
fn several_origins_are_all_suspended_before_the_first_is_resumed() {
    let both = |suffix: &str, tree: DeviceTree| {
        let renamed = |node: Node| {
            let table = node.table.map(|below| match below {
                Below::Layer(id) => Below::Layer(DmUuid::new(format!("{}{suffix}", id.as_str())).unwrap()),
                disk => disk,
            });
            Node { name: name(&format!("{}{suffix}", node.name)), table, ..node }
        };
        tree.0.into_values().map(renamed).collect::<Vec<_>>()
    };
    let found = reached(&tree([both("1", plain()), both("2", plain())].concat()));
    let cut = || beginning(with_snapshots(&["s"]), "s");
    let wanted = tree([both("1", cut()), both("2", cut())].concat());
    let plan = converge(&found, &wanted).unwrap();
    let last_suspend = plan.switch.iter().rposition(|step| matches!(step, SwitchStep::Suspend(..)));
    let first_resume = plan.switch.iter().position(|step| matches!(step, SwitchStep::Resume(..)));
    assert_eq!((last_suspend, first_resume), (Some(1), Some(2)));
}

#[test]
fn a_merging_snapshot_is_handed_over_before_it_becomes_an_error() {
    let found = reached(&with_snapshots(&["s"]));
    let mut wanted = with_snapshots(&["s"]);
    let merge = Target::Merge { origin: layer("o-real"), cow: layer("s-cow"), chunk: Sectors(128) };
    wanted.0.get_mut(&uuid("o")).unwrap().table.0[0].target = merge;
    wanted.0.get_mut(&uuid("s")).unwrap().table.0[0].target = Target::Error;
    let switch: Vec<_> =
        converge(&found, &wanted).unwrap().switch.iter().map(super::super::plan::switch_text).collect();
    assert_eq!(switch, ["suspend o", "suspend s", "resume o", "resume s"]);
}

#[test]
fn a_device_of_another_name_is_renamed() {
    let mut found = reached(&plain());
    found.nodes.get_mut(&uuid("o")).unwrap().info.name = name("old");
    let lines = lines(&found, &plain());
    assert_eq!(lines, ["rename old to o", "retract old", "publish o as /dev/vg/o"]);
}

#[test]
fn a_name_that_another_device_bears_is_refused() {
    let mut found = reached(&plain());
    found.squatted.insert(name("s-cow"));
    let error = converge(&found, &beginning(with_snapshots(&["s"]), "s")).unwrap_err();
    assert_eq!(error.kind(), Kind::Refused);
    assert!(error.to_string().contains("s-cow"), "{error}");
}

#[test]
fn many_volumes_and_snapshots_cost_a_pass_and_not_a_pass_each() {
    // So many origins with one snapshot each.
    let stacks = |count: u64, begins: bool| {
        let mut all = DeviceTree::default();
        for number in 0..count {
            let (real, cow) = (format!("o{number}-real"), format!("s{number}-cow"));
            let target = Target::Snapshot { origin: layer(&real), cow: layer(&cow), chunk: Sectors(128) };
            let snapshot = Node { begins, ..node(&format!("s{number}"), target) };
            let origin = node(&format!("o{number}"), Target::Origin { device: layer(&real) });
            all.0.extend(
                tree(vec![node(&real, linear(number)), node(&cow, linear(number)), origin, snapshot]).0,
            );
        }
        all
    };
    let origins = |count| {
        let mut found = reached(&stacks(count, false));
        found.nodes.retain(|_, node| node.info.name.as_str().starts_with('o'));
        found
    };
    let nothing = (FoundTree::default(), DeviceTree::default());
    assert_linear("up", |count| {
        let wanted = stacks(count, false);
        crate::work::of(|| converge(&nothing.0, &wanted).unwrap())
    });
    assert_linear("down", |count| {
        let found = reached(&stacks(count, false));
        crate::work::of(|| converge(&found, &nothing.1).unwrap())
    });
    assert_linear("cuts", |count| {
        let (found, wanted) = (origins(count), stacks(count, true));
        crate::work::of(|| converge(&found, &wanted).unwrap())
    });
    assert_linear("who uses what", |count| {
        let found = reached(&stacks(count, false));
        crate::work::of(|| found.used().len())
    });
}

#[test]
fn many_devices_are_looked_for_in_one_list_and_few_one_by_one() {
    let kernel = SimKernel::new(&MemDevices::new());
    let made = |text: &str| kernel.create(&name(text), &uuid(text)).unwrap();
    made("a");
    made("b");
    for (questions, is_listed) in [(0, false), (1, false), (2, false), (3, true)] {
        let present = Present::of(&kernel, questions).unwrap();
        assert_eq!(matches!(present, Present::Listed { .. }), is_listed, "{questions} questions");
        assert_eq!(present.find(&uuid("a")).unwrap(), kernel.find(&uuid("a")).unwrap());
        assert_eq!(present.find(&uuid("c")).unwrap(), None);
    }
    let expected =
        |text: &str| Expected { uuid: uuid(text), name: name(text), link: None, former: Vec::new() };
    // A device of another uuid has the name.
    kernel.create(&name("c"), &uuid("other")).unwrap();
    let many: Vec<_> = ["a", "c", "d", "e"].map(expected).into();
    for expected in [&many[..], &many[..2]] {
        let found = FoundTree::read(&kernel, expected).unwrap();
        assert_eq!(found.nodes.keys().collect::<Vec<_>>(), [&uuid("a")]);
        assert_eq!(found.squatted, [name("c")].into());
    }
}

#[test]
fn what_is_suspended_below_a_running_origin_goes_on_before_that_is_suspended() {
    let mut found = reached(&with_snapshots(&["s"]));
    found.nodes.get_mut(&uuid("o-real")).unwrap().info.suspended = true;
    let mut longer = with_snapshots(&["s"]);
    for text in ["o", "o-real"] {
        longer.0.get_mut(&uuid(text)).unwrap().table.0[0].length = Sectors(16384);
    }
    for wanted in [plain(), longer] {
        let lines = lines(&found, &wanted);
        assert!(position(&lines, "resume o-real") < position(&lines, "| suspend o"), "{lines:#?}");
    }
}
