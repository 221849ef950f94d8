use std::os::unix::fs::MetadataExt;

use super::look::found;
use super::*;
use crate::work;

/// A `/dev`, `/sys` and `/run/udev` in a temporary directory. `/dev/dm-N` are plain files there.
struct Tree {
    nodes: Nodes,
    root: tempfile::TempDir,
}

impl Tree {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let at = |name: &str| root.path().join(name);
        fs::create_dir_all(at("dev/mapper")).unwrap();
        fs::create_dir_all(at("udev/data")).unwrap();
        fs::write(at("group"), "root:x:0:\ndisk:x:6:\n").unwrap();
        let nodes = Nodes {
            dev: at("dev"),
            sys: at("sys"),
            udev: at("udev"),
            groups: at("group"),
            patience: Duration::from_millis(80),
        };
        Self { nodes, root }
    }

    fn with_udev() -> Self {
        let tree = Self::new();
        fs::write(tree.nodes.udev.join("control"), "").unwrap();
        tree
    }

    /// What the kernel shows of a device.
    fn device(&self, minor: u32, name: &str) {
        fs::write(self.nodes.dev.join(format!("dm-{minor}")), "").unwrap();
        for place in [format!("block/dm-{minor}/dm"), format!("dev/block/254:{minor}/dm")] {
            fs::create_dir_all(self.nodes.sys.join(&place)).unwrap();
            fs::write(self.nodes.sys.join(place).join("name"), format!("{name}\n")).unwrap();
        }
    }

    fn gone(&self, minor: u32) {
        fs::remove_file(self.nodes.dev.join(format!("dm-{minor}"))).unwrap();
        fs::remove_dir_all(self.nodes.sys.join(format!("block/dm-{minor}"))).unwrap();
        fs::remove_dir_all(self.nodes.sys.join(format!("dev/block/254:{minor}"))).unwrap();
    }

    fn dev(&self, path: &str) -> PathBuf {
        self.nodes.dev.join(path)
    }

    fn target(&self, path: &str) -> Option<String> {
        fs::read_link(self.dev(path)).ok().map(|target| target.to_string_lossy().into_owned())
    }
}

fn name(text: &str) -> DmName {
    DmName::new(text).unwrap()
}

fn number(minor: u32) -> DevNo {
    DevNo { major: 254, minor }
}

#[test]
fn with_udevd_but_without_its_rules_the_links_are_the_ones_udevd_would_make() {
    let tree = Tree::with_udev();
    tree.device(3, "vg-db");
    tree.nodes.publish(&name("vg-db"), number(3), Some(&tree.dev("vg/db"))).unwrap();
    assert_eq!(tree.target("mapper/vg-db").as_deref(), Some("../dm-3"));
    assert_eq!(tree.target("vg/db").as_deref(), Some("../dm-3"));
}

#[test]
fn links_that_udevd_makes_meanwhile_are_waited_for() {
    let mut tree = Tree::with_udev();
    tree.nodes.patience = Duration::from_secs(60);
    tree.device(3, "vg-db");
    fs::write(tree.nodes.udev.join("queue"), "").unwrap();
    let dev = tree.nodes.dev.clone();
    let udevd = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(20));
        symlink("../dm-3", dev.join("mapper/vg-db")).unwrap();
    });
    tree.nodes.publish(&name("vg-db"), number(3), None).unwrap();
    udevd.join().unwrap();
    assert_eq!(tree.target("mapper/vg-db").as_deref(), Some("../dm-3"));
}

#[test]
fn an_udevd_that_is_through_is_not_waited_for() {
    let mut tree = Tree::with_udev();
    tree.nodes.patience = Duration::from_secs(60);
    tree.device(3, "vg-db");
    fs::write(tree.nodes.udev.join("data/b254:3"), "S:mapper/vg-db\nE:DM_NAME=vg-db\n").unwrap();
    let started = Instant::now();
    tree.nodes.publish(&name("vg-db"), number(3), None).unwrap();
    assert!(started.elapsed() < GRACE);
}

#[test]
fn an_udevd_that_never_ends_is_waited_for_only_so_long() {
    let tree = Tree::with_udev();
    tree.device(3, "vg-db");
    fs::write(tree.nodes.udev.join("queue"), "").unwrap();
    let started = Instant::now();
    tree.nodes.publish(&name("vg-db"), number(3), None).unwrap();
    assert!(started.elapsed() >= tree.nodes.patience);
    assert_eq!(tree.target("mapper/vg-db").as_deref(), Some("../dm-3"));
}

#[test]
fn wrong_links_are_corrected() {
    let tree = Tree::with_udev();
    tree.device(3, "vg-db");
    tree.device(4, "vg-other");
    fs::create_dir(tree.dev("vg")).unwrap();
    symlink("../dm-4", tree.dev("mapper/vg-db")).unwrap();
    symlink("/nowhere", tree.dev("vg/db")).unwrap();
    tree.nodes.publish(&name("vg-db"), number(3), Some(&tree.dev("vg/db"))).unwrap();
    assert_eq!(tree.target("mapper/vg-db").as_deref(), Some("../dm-3"));
    assert_eq!(tree.target("vg/db").as_deref(), Some("../dm-3"));
    assert_eq!(fs::read_dir(tree.dev("mapper")).unwrap().count(), 1);
}

#[test]
fn a_link_through_the_mapper_node_is_right_as_it_is() {
    let tree = Tree::with_udev();
    tree.device(3, "vg-db");
    symlink("../dm-3", tree.dev("mapper/vg-db")).unwrap();
    fs::create_dir(tree.dev("vg")).unwrap();
    let through = tree.dev("mapper/vg-db");
    symlink(&through, tree.dev("vg/db")).unwrap();
    tree.nodes.publish(&name("vg-db"), number(3), Some(&tree.dev("vg/db"))).unwrap();
    assert_eq!(fs::read_link(tree.dev("vg/db")).unwrap(), through);
}

#[test]
fn somebodys_file_is_not_replaced() {
    let tree = Tree::with_udev();
    tree.device(3, "vg-db");
    fs::write(tree.dev("mapper/vg-db"), "a forgotten dd").unwrap();
    let error = tree.nodes.publish(&name("vg-db"), number(3), None).unwrap_err();
    assert_eq!(error.kind(), Kind::AlreadyExists);
    tree.nodes.retract(&name("vg-db"), None).unwrap();
    assert!(tree.dev("mapper/vg-db").exists());
}

#[test]
fn what_a_gone_device_left_is_removed_with_its_directory() {
    let tree = Tree::with_udev();
    tree.device(3, "vg-db");
    tree.nodes.publish(&name("vg-db"), number(3), Some(&tree.dev("vg/db"))).unwrap();
    tree.gone(3);
    for _ in 0..2 {
        tree.nodes.retract(&name("vg-db"), Some(&tree.dev("vg/db"))).unwrap();
    }
    assert_eq!((tree.target("mapper/vg-db"), tree.target("vg/db")), (None, None));
    assert!(!tree.dev("vg").exists() && tree.root.path().exists());
}

#[test]
fn what_leads_to_a_device_of_this_name_stays() {
    let tree = Tree::with_udev();
    tree.device(3, "vg-db");
    tree.nodes.publish(&name("vg-db"), number(3), Some(&tree.dev("vg/db"))).unwrap();
    tree.nodes.retract(&name("vg-db"), Some(&tree.dev("vg/db"))).unwrap();
    assert_eq!(tree.target("vg/db").as_deref(), Some("../dm-3"));
}

#[test]
fn after_a_rename_the_old_names_go_and_others_stay() {
    let tree = Tree::with_udev();
    tree.device(3, "vg-db");
    tree.device(4, "vg-log");
    tree.nodes.publish(&name("vg-db"), number(3), Some(&tree.dev("vg/db"))).unwrap();
    tree.nodes.publish(&name("vg-log"), number(4), Some(&tree.dev("vg/log"))).unwrap();
    tree.device(3, "vg-new");
    tree.nodes.retract(&name("vg-db"), Some(&tree.dev("vg/db"))).unwrap();
    assert_eq!((tree.target("mapper/vg-db"), tree.target("vg/db")), (None, None));
    assert_eq!(tree.target("vg/log").as_deref(), Some("../dm-4"));
}

#[test]
fn without_udevd_there_is_a_node_for_root_and_disk_and_a_link_to_it() {
    let tree = Tree::new();
    let link = tree.dev("vg/db");
    match tree.nodes.publish(&name("vg-db"), number(3), Some(&link)) {
        Ok(()) => {}
        Err(error) if error.chain().iter().any(|text| text.contains("EPERM")) => {
            eprintln!("skipped: making device nodes needs root");
            return;
        }
        Err(error) => panic!("{error}"),
    }
    let node = tree.dev("mapper/vg-db");
    let data = fs::metadata(&node).unwrap();
    assert_eq!((found(&node), data.mode() & 0o777, data.gid()), (Found::Node(number(3)), 0o660, 6));
    assert_eq!(fs::read_link(&link).unwrap(), node);
    // A number that changed is corrected.
    tree.nodes.publish(&name("vg-db"), number(5), Some(&link)).unwrap();
    assert_eq!(found(&node), Found::Node(number(5)));
    tree.nodes.retract(&name("vg-db"), Some(&link)).unwrap();
    assert!(!node.exists() && !tree.dev("vg").exists());
}

#[test]
fn looked_at_alone_or_among_many_paths_lead_to_the_same() {
    let tree = Tree::with_udev();
    for (minor, other) in [(3, "vg-db"), (4, "vg-other"), (5, "vg-node")] {
        tree.device(minor, other);
    }
    tree.nodes.publish(&name("vg-db"), number(3), Some(&tree.dev("vg/db"))).unwrap();
    symlink("../dm-4", tree.dev("mapper/vg-wrong")).unwrap();
    symlink("../dm-9", tree.dev("mapper/vg-gone")).unwrap();
    symlink("../dm-5", tree.dev("mapper/vg-node")).unwrap();
    symlink(tree.dev("mapper/vg-node"), tree.dev("vg/node")).unwrap();
    symlink(tree.dev("mapper/vg-none"), tree.dev("vg/none")).unwrap();
    symlink(tree.dev("dm-3"), tree.dev("vg/far")).unwrap();
    fs::write(tree.dev("mapper/vg-file"), "").unwrap();
    let cases = [
        ("vg-db", "vg/db", 3, true, true),
        ("vg-db", "vg/far", 3, true, true),
        ("vg-db", "vg/none", 3, false, true),
        ("vg-db", "vg/db", 4, false, true),
        ("vg-db", "other/db", 3, false, true),
        ("vg-wrong", "vg/wrong", 3, false, false),
        ("vg-gone", "vg/gone", 9, false, false),
        ("vg-node", "vg/node", 5, true, true),
        ("vg-none", "vg/none", 6, false, false),
        ("vg-absent", "vg/absent", 6, false, true),
        ("vg-file", "vg/file", 6, false, true),
    ];
    for questions in [1, 1000] {
        let look = tree.nodes.look(questions);
        for (device, link, minor, published, retracted) in cases {
            let (device, link) = (name(device), tree.dev(link));
            let seen = (
                look.is_published(&device, number(minor), Some(&link)),
                look.is_retracted(&device, Some(&link)),
            );
            assert_eq!(seen, (published, retracted), "{questions}: {device} {link:?}");
        }
    }
}

#[test]
fn many_devices_that_are_not_there_cost_a_look_into_each_directory_and_others_one_for_each_path() {
    let tree = Tree::with_udev();
    let names: Vec<_> = (0..100).map(|minor| (minor, name(&format!("vg-{minor}")))).collect();
    let links: Vec<_> = names.iter().map(|(_, name)| tree.dev("vg").join(name.as_str())).collect();
    let absent = work::of(|| {
        let look = tree.nodes.look(names.len());
        assert!(names.iter().zip(&links).all(|((_, name), link)| look.is_retracted(name, Some(link))));
    });
    assert_eq!(absent, 2);
    for ((minor, name), link) in names.iter().zip(&links) {
        tree.device(*minor, name.as_str());
        tree.nodes.publish(name, number(*minor), Some(link)).unwrap();
    }
    let published = work::of(|| {
        let look = tree.nodes.look(names.len());
        let mut devices = names.iter().zip(&links);
        assert!(devices.all(|((minor, name), link)| look.is_published(name, number(*minor), Some(link))));
    });
    assert_eq!(published, 3 + 2 * 100);
}
