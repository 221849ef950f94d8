use super::*;

/// A sysfs with a partitioned disk, a device-mapper device, an empty loop device and a ramdisk.
fn host() -> (tempfile::TempDir, SysDevices) {
    let root = tempfile::tempdir().unwrap();
    let device = |folder: &str, files: &[(&str, &str)]| {
        let folder = root.path().join("sys/block").join(folder);
        fs::create_dir_all(folder.join("holders")).unwrap();
        for (file, text) in files {
            fs::create_dir_all(folder.join(file).parent().unwrap()).unwrap();
            fs::write(folder.join(file), text).unwrap();
        }
    };
    device("sda", &[("dev", "8:0\n"), ("size", "2048\n"), ("ro", "0\n")]);
    device("sda/sda1", &[("dev", "8:1\n"), ("size", "1024\n"), ("partition", "1\n"), ("ro", "0\n")]);
    device("sda/sda1", &[("holders/dm-0/dev", "254:0\n")]);
    device("dm-0", &[("dev", "254:0\n"), ("size", "64\n"), ("dm/name", "vg-a\n"), ("dm/uuid", "LVM-x\n")]);
    device("cciss!c0d0", &[("dev", "104:0\n"), ("size", "8\n"), ("ro", "1\n")]);
    device("loop0", &[("dev", "7:0\n"), ("size", "0\n")]);
    device("ram0", &[("dev", "1:0\n"), ("size", "8192\n")]);
    let devices = SysDevices { sys: root.path().join("sys"), dev: "/dev".into() };
    (root, devices)
}

#[test]
fn disks_partitions_and_mapped_devices_are_listed_by_number() {
    let (_root, devices) = host();
    let listed = devices.list().unwrap();
    let numbers: Vec<_> = listed.iter().map(|listed| listed.number.to_string()).collect();
    assert_eq!(numbers, ["8:0", "8:1", "104:0", "254:0"]);
    assert!(listed[0].partitioned && !listed[1].partitioned);
    assert_eq!(listed[1].holders, [DevNo { major: 254, minor: 0 }]);
    assert_eq!(listed[1].size, Bytes(1024 * 512));
    assert_eq!(listed[3].path, Path::new("/dev/mapper/vg-a"));
    assert_eq!(listed[3].dm_uuid.as_deref(), Some("LVM-x"));
}

#[test]
fn a_slash_in_a_name_is_written_as_an_exclamation_mark() {
    let (_root, devices) = host();
    let listed = devices.list().unwrap();
    assert_eq!(listed[2].path, Path::new("/dev/cciss/c0d0"));
    assert!(listed[2].read_only);
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
