use super::*;
use crate::error::{Context, Kind};
use crate::lvm::check::Host;

fn parse(conf: &str, local: &str) -> Settings {
    let texts = [conf, local].map(|text| Some(text.as_bytes()));
    Settings::parse(Path::new("/etc/lvm"), texts[0], texts[1]).unwrap()
}

#[test]
fn without_files_lvm2s_defaults_hold() {
    let settings = Settings::default();
    assert_eq!(settings.locking_dir, Path::new("/run/lock/lvm"));
    assert!(settings.wait_for_locks && settings.hints && settings.notes.is_empty());
    assert!(!settings.metadata_read_only && !settings.use_lvmlockd);
    assert_eq!(settings.system_id.source, SystemIdSource::None);
    assert_eq!(settings.devices.devices_file, None);
    assert_eq!(settings.archives.backup.as_deref(), Some(Path::new("/etc/lvm/backup")));
    assert_eq!((settings.archives.retain_min, settings.archives.retain_days), (10, 30));
    assert_eq!((settings.areas.of_pv, settings.areas.of_vg), (1, 0));
}

#[test]
fn values_are_read_however_they_are_spelled() {
    let text = "global/locking_dir = '/x'\nglobal { wait_for_locks = 0 # no\n metadata_read_only = \"yes\" }\n\
                devices { filter = \"r|.*|\" types = [ \"ubd\", 16, \"zz\", 1 ] hints = none use_devicesfile = 1 }\n\
                backup { archive = 0 backup_dir = \"/b\" retain_min = 3 }\n\
                metadata { pvmetadatacopies = 2 vgmetadatacopies = 4 }\n";
    let settings = parse(text, "");
    assert_eq!(settings.locking_dir, Path::new("/x"));
    assert!(!settings.wait_for_locks && settings.metadata_read_only && !settings.hints);
    assert_eq!(settings.devices.filter, ["r|.*|"]);
    assert_eq!(settings.devices.types, ["ubd", "zz"]);
    assert_eq!(settings.devices.devices_file.as_deref(), Some(Path::new("/etc/lvm/devices/system.devices")));
    assert_eq!(settings.archives.archive, None);
    assert_eq!(settings.archives.backup.as_deref(), Some(Path::new("/b")));
    assert_eq!(settings.archives.retain_min, 3);
    assert_eq!((settings.areas.of_pv, settings.areas.of_vg), (2, 4));
}

#[test]
fn lvmlocal_decides_and_of_one_file_the_last() {
    let conf =
        "global { wait_for_locks = 0 }\nglobal { locking_dir = \"/a\" }\nglobal { locking_dir = \"/b\" }\n";
    let settings = parse(conf, "global { wait_for_locks = 1 }\n");
    assert!(settings.wait_for_locks);
    assert_eq!(settings.locking_dir, Path::new("/b"));
}

#[test]
fn a_damaged_file_is_named_with_line_and_column() {
    let error = Settings::parse(Path::new("/etc/lvm"), Some(b"global {\n  locking_dir \"x\"\n}\n"), None)
        .unwrap_err();
    assert_eq!(error.kind(), Kind::Usage);
    assert!(error.message().contains("/etc/lvm/lvm.conf is damaged: line 2, column 15"), "{error}");
    assert!(error.context().contains(&Context::Position { line: 2, column: 15 }));
}

/// Without its filter LVM2 would look at devices that it was told to keep away from: it does nothing at all then.
#[test]
fn a_filter_that_is_none_is_an_error() {
    for name in ["filter", "global_filter"] {
        for value in ["3", "[]", "[3]", "[\"a|x|\", 3]"] {
            let text = format!("devices {{ {name} = {value} }}");
            let settings = Settings::parse(Path::new("/etc/lvm"), Some(text.as_bytes()), None);
            let error = settings.expect_err(&text);
            assert_eq!(error.kind(), Kind::Usage);
            assert!(error.message().contains(&format!("lvm.conf: devices/{name} is not")), "{error}");
        }
    }
}

#[test]
fn a_value_of_a_wrong_type_is_noted_and_the_default_taken() {
    let settings =
        parse("global { wait_for_locks = \"maybe\" }\nactivation { volume_list = [ \"vg\" ] }\n", "");
    assert!(settings.wait_for_locks);
    assert_eq!(settings.notes.len(), 2, "{:?}", settings.notes);
    assert!(settings.notes[0].contains("wait_for_locks"), "{:?}", settings.notes);
    assert!(settings.notes[1].contains("volume_list"), "{:?}", settings.notes);
}

#[test]
fn what_concerns_new_physical_volumes_locks_and_names_is_obeyed() {
    let settings = Settings::default();
    assert!(settings.writers_first);
    assert_eq!((settings.dev.as_path(), settings.areas.alignment), (Path::new("/dev"), Bytes::mib(1)));
    let settings =
        parse("global/prioritise_write_locks = 0\ndevices { dir = \"/d\" data_alignment = 64 }", "");
    assert!(!settings.writers_first && settings.notes.is_empty());
    assert_eq!((settings.dev.as_path(), settings.areas.alignment), (Path::new("/d"), Bytes::kib(64)));
    let settings = parse("devices { default_data_alignment = 4 data_alignment = 0 }", "");
    assert_eq!(settings.areas.alignment, Bytes::mib(4));
    let settings = parse("devices/data_alignment = 100", "");
    assert_eq!((settings.areas.alignment, settings.notes.len()), (Bytes::mib(1), 1));
}

#[test]
fn what_is_not_obeyed_is_said() {
    let keys =
        ["md_component_detection", "multipath_component_detection", "allow_changes_with_duplicate_pvs"];
    for (key, (default, other)) in keys.into_iter().zip([(1, 0), (1, 0), (0, 1)]) {
        assert_eq!(parse(&format!("devices/{key} = {default}"), "").notes, Vec::<String>::new());
        let notes = parse(&format!("devices/{key} = {other}"), "").notes;
        assert!(notes.len() == 1 && notes[0].contains(key) && notes[0].contains("not obeyed"), "{notes:?}");
    }
}

#[test]
fn a_devices_file_with_a_slash_is_not_obeyed() {
    let settings = parse("devices { use_devicesfile = 1 devicesfile = \"../x\" }\n", "");
    assert_eq!(settings.devices.devices_file, None);
    assert_eq!(settings.notes.len(), 1);
}

#[test]
fn without_a_directory_there_are_no_copies() {
    let settings = Settings::of_nothing(Path::new(""));
    assert_eq!((settings.archives.backup, settings.archives.archive), (None, None));
}

#[test]
fn each_source_of_a_system_id_gives_what_lvm2_makes_of_it() {
    let read = |path: &Path| match path.to_str() {
        Some("/etc/machine-id") => Some("0123abcd\n".to_owned()),
        Some("/id") => Some("# mine\n\n  -rack 7/b\n".to_owned()),
        _ => None,
    };
    let cases = [
        ("", "", "node", None),
        ("none", "", "node", None),
        ("uname", "", "node.example", Some("node.example")),
        ("uname", "", "localhost.localdomain", None),
        ("uname", "", "!\u{e4}b c", Some("bc")),
        ("machineid", "", "node", Some("0123abcd")),
        ("lvmlocal", "local { system_id = \"me\" }", "node", Some("me")),
        ("lvmlocal", "", "node", None),
        ("file\" system_id_file = \"/id", "", "node", Some("rack7b")),
        ("file\" system_id_file = \"/none", "", "node", None),
        ("appmachineid", "", "node", None),
    ];
    for (source, local, node, id) in cases {
        let conf = if source.is_empty() {
            String::new()
        } else {
            format!("global {{ system_id_source = \"{source}\" }}")
        };
        let (host, _) = parse(&conf, local).system_id.host(node, read);
        assert_eq!(host.system_id.as_deref(), id, "{source} {local} {node}");
    }
}

#[test]
fn extra_system_ids_are_this_hosts_too() {
    let settings = parse("", "local { extra_system_ids = [ \"a\", \"localhost\" ] }");
    let (host, note) = settings.system_id.host("node", |_| None);
    assert_eq!(host, Host { system_id: None, extra_system_ids: vec!["a".to_owned()] });
    assert_eq!(note, None);
}

#[test]
fn a_system_id_derived_from_the_machines_is_systemds() {
    let id = |machine: &str| {
        let conf = "global { system_id_source = \"appmachineid\" }";
        parse(conf, "").system_id.host("node", |_| Some(machine.to_owned())).0.system_id
    };
    // As `systemd-id128 machine-id --app-specific=f64406832c2140e8ac5422d1089aae03` has it.
    assert_eq!(id("0123456789abcdef0123456789abcdef\n").as_deref(), Some("e04dc1622fd546c992a77a2d2421761f"));
    assert_eq!(id("0123456789abcdef\n"), None);
    assert_eq!(id("uninitialized\n"), None);
}

#[test]
fn what_is_activated_by_itself_is_a_list_and_without_one_everything() {
    assert_eq!(parse("", "").auto_activation, None);
    assert!(parse("", "").event_activation);
    let list = |text: &str| parse(&format!("activation {{ auto_activation_volume_list = {text} }}"), "");
    assert_eq!(list("[]").auto_activation, Some(vec![]));
    assert_eq!(
        list("[ \"vg\", \"@site\" ]").auto_activation,
        Some(vec!["vg".to_owned(), "@site".to_owned()])
    );
    assert!(!parse("global { event_activation = 0 }", "").event_activation);
}
