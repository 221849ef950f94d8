use super::*;

/// A sysfs with a partitioned disk, mapped devices, an array, an empty loop device and compressed memory.
fn host() -> (tempfile::TempDir, SysDevices) {
    let root = tempfile::tempdir().unwrap();
    let sys = root.path().join("sys");
    let device = |place: &str, number: &str, size: &str, more: &[(&str, &str)]| {
        let folder = sys.join("devices").join(place);
        let name = place.rsplit('/').next().unwrap();
        let (major, minor) = number.split_once(':').unwrap();
        let kind = if place.contains('/') { "partition" } else { "disk" };
        let node = name.replace('!', "/");
        let uevent = format!("MAJOR={major}\nMINOR={minor}\nDEVNAME={node}\nDEVTYPE={kind}\n");
        let plain = [("uevent", uevent.as_str()), ("size", size), ("ro", "0\n")];
        for (file, text) in plain.iter().chain(more) {
            fs::create_dir_all(folder.join(file).parent().unwrap()).unwrap();
            fs::write(folder.join(file), text).unwrap();
        }
        fs::create_dir_all(sys.join("class/block")).unwrap();
        std::os::unix::fs::symlink(
            Path::new("../../devices").join(place),
            sys.join("class/block").join(name),
        )
        .unwrap();
    };
    device("sda", "8:0", "2048\n", &[]);
    device("sda/sda1", "8:1", "1024\n", &[]);
    device("sdb", "8:16", "1024\n", &[]);
    device("sdc", "8:32", "1024\n", &[]);
    device("sdc/sdc1", "8:33", "512\n", &[]);
    device("md0", "9:0", "1024\n", &[("slaves/sdb", "")]);
    device("cciss!c0d0", "104:0", "8\n", &[("ro", "1\n")]);
    device("dm-0", "254:0", "64\n", &[("dm/name", "vg-a\n"), ("dm/uuid", "LVM-x\n"), ("slaves/sda1", "")]);
    device("dm-1", "254:1", "64\n", &[("dm/name", "mp\n"), ("dm/uuid", "mpath-1\n"), ("slaves/sdc", "")]);
    device("loop0", "7:0", "0\n", &[]);
    device("zram0", "251:0", "8192\n", &[]);
    let devices = SysDevices { sys, dev: "/dev".into() };
    (root, devices)
}

#[test]
fn disks_partitions_and_mapped_devices_are_listed_by_number() {
    let (_root, devices) = host();
    let listed = devices.list().unwrap();
    let numbers: Vec<_> = listed.iter().map(|listed| listed.number.to_string()).collect();
    assert_eq!(numbers, ["8:0", "8:1", "8:16", "8:32", "8:33", "9:0", "104:0", "254:0", "254:1"]);
    assert_eq!(listed[1].size, Bytes(1024 * 512));
    assert_eq!(listed[7].path, Path::new("/dev/mapper/vg-a"));
    assert_eq!(listed[7].dm_uuid.as_deref(), Some("LVM-x"));
}

#[test]
fn of_a_logical_volume_only_the_uuid_is_read_where_disks_are_looked_for() {
    let (_root, devices) = host();
    let numbers = |listed: Vec<Listed>| listed.iter().map(|one| one.number.to_string()).collect::<Vec<_>>();
    assert_eq!(
        numbers(devices.list_disks().unwrap()),
        ["8:0", "8:1", "8:16", "8:32", "8:33", "9:0", "104:0", "254:1"]
    );
    let before = crate::work::of(|| devices.list_disks().unwrap());
    for number in 10..20 {
        let folder = devices.sys.join(format!("class/block/dm-{number}"));
        fs::create_dir_all(folder.join("dm")).unwrap();
        let uevent = format!("MAJOR=254\nMINOR={number}\nDEVNAME=dm-{number}\n");
        let files = [
            ("size", "64\n"),
            ("uevent", &uevent),
            ("ro", "0\n"),
            ("dm/name", "a\n"),
            ("dm/uuid", "LVM-y\n"),
        ];
        for (file, text) in files {
            fs::write(folder.join(file), text).unwrap();
        }
    }
    assert_eq!(crate::work::of(|| devices.list_disks().unwrap()), before + 10);
    assert_eq!(devices.list().unwrap().len(), 19);
}

#[test]
fn a_disk_with_partitions_and_what_arrays_and_multipath_devices_are_made_of_are_told() {
    let (_root, devices) = host();
    let listed = devices.list().unwrap();
    let those = |is: fn(&Listed) -> bool| -> Vec<_> {
        listed.iter().filter(|one| is(one)).map(|one| one.number.to_string()).collect()
    };
    assert_eq!(those(|one| one.partitioned), ["8:0", "8:32"]);
    assert_eq!(those(|one| one.component), ["8:16", "8:32", "8:33"]);
}

#[test]
fn a_slash_in_a_name_is_written_as_an_exclamation_mark() {
    let (_root, devices) = host();
    let listed = devices.list().unwrap();
    assert_eq!(listed[6].path, Path::new("/dev/cciss/c0d0"));
    assert!(listed[6].read_only && !listed[0].read_only);
}

#[test]
fn a_file_is_no_device_and_nothing_is_not_found() {
    let (root, devices) = host();
    let file = root.path().join("file");
    fs::write(&file, "x").unwrap();
    assert_eq!(devices.lookup(&file).unwrap_err().kind(), Kind::Usage);
    assert_eq!(devices.lookup(&root.path().join("none")).unwrap_err().kind(), Kind::NotFound);
    assert_eq!(devices.lookup(Path::new("/dev/null")).unwrap_err().kind(), Kind::Usage);
}

#[test]
fn a_device_stands_still_with_its_disk_or_what_is_below_it() {
    let root = tempfile::tempdir().unwrap();
    let sys = root.path().join("sys");
    let devices = SysDevices { sys: sys.clone(), dev: "/dev".into() };
    let place = |place: &str, number: &str| {
        let folder = sys.join("devices").join(place);
        for needed in [&folder.join("dm"), &folder.join("slaves"), &sys.join("dev/block")] {
            fs::create_dir_all(needed).unwrap();
        }
        std::os::unix::fs::symlink(&folder, sys.join("dev/block").join(number)).unwrap();
        folder
    };
    let on = |above: &Path, below: &Path| {
        std::os::unix::fs::symlink(below, above.join("slaves").join(below.file_name().unwrap())).unwrap();
    };
    let put = |folder: &Path, file: &str, text: &str| {
        fs::create_dir_all(folder.join(file).parent().unwrap()).unwrap();
        fs::write(folder.join(file), text).unwrap();
    };
    let (disk, part) = (place("sda", "8:0"), place("sda/sda1", "8:1"));
    let (asleep, above) = (place("dm-0", "254:0"), place("dm-1", "254:1"));
    let (linear, multipath) = (place("dm-2", "254:2"), place("dm-3", "254:3"));
    put(&part, "partition", "1\n");
    put(&multipath, "dm/uuid", "mpath-1\n");
    for (above, below) in [(&above, &asleep), (&linear, &part), (&multipath, &disk)] {
        on(above, below);
    }
    let all = || {
        ["8:0", "8:1", "254:0", "254:1", "254:2", "254:3"]
            .map(|text| devices.standstill(text.parse().unwrap()))
    };
    put(&asleep, "dm/suspended", "0\n");
    for state in ["running\n", "offline\n", "live\n", "Connected\n"] {
        put(&disk, "device/state", state);
        assert_eq!(all(), [const { None }; 6], "{state}");
    }
    put(&disk, "device/state", "blocked\n");
    put(&asleep, "dm/suspended", "1\n");
    let blocked = r#"is in the state "blocked""#;
    assert_eq!(
        all(),
        [
            Some(blocked.to_owned()),
            Some(blocked.to_owned()),
            Some("is suspended".to_owned()),
            Some("lies on dm-0, which is suspended".to_owned()),
            Some(format!("lies on sda1, which {blocked}")),
            None,
        ]
    );
}
