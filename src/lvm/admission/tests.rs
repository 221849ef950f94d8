use std::path::Path;

use super::*;
use crate::block::DevNo;
use crate::error::Kind;
use crate::lvm::Settings;

fn listed(path: &str, major: u32) -> Listed {
    Listed {
        number: DevNo { major, minor: 0 },
        path: path.into(),
        size: Bytes::mib(64),
        read_only: false,
        dm_uuid: None,
        component: false,
        partitioned: false,
    }
}

fn rules(conf: &str) -> DeviceRules {
    Settings::parse(Path::new("/etc/lvm"), Some(conf.as_bytes()), None).unwrap().devices
}

fn accepts(patterns: &[&str], names: &[&str]) -> bool {
    let patterns: Vec<_> = patterns.iter().map(|text| (*text).to_owned()).collect();
    let names: Vec<_> = names.iter().map(PathBuf::from).collect();
    Filter::parse("devices/filter", &patterns).unwrap().accepts(&names)
}

#[test]
fn the_first_pattern_that_matches_decides() {
    assert!(accepts(&["a|^/dev/sda$|", "r|.*|"], &["/dev/sda"]));
    assert!(!accepts(&["a|^/dev/sda$|", "r|.*|"], &["/dev/sdb"]));
    assert!(!accepts(&["r|.*|", "a|sda|"], &["/dev/sda"]));
    assert!(accepts(&["r|loop|"], &["/dev/sda"]), "what nothing matches is accepted");
    assert!(accepts(&[], &["/dev/sda"]));
}

#[test]
fn any_name_that_is_accepted_is_enough() {
    let patterns = ["a|/dev/disk/by-id/wwn-1|", "r|.*|"];
    assert!(accepts(&patterns, &["/dev/sda", "/dev/disk/by-id/wwn-1"]));
    assert!(!accepts(&patterns, &["/dev/sda", "/dev/disk/by-id/wwn-2"]));
}

#[test]
fn patterns_mean_what_they_mean_to_lvm2() {
    let cases = [
        ("a/sd[a-c]/", "/dev/sdb", true),
        ("a/sd[^a-c]$/", "/dev/sdb", false),
        ("a(^/dev/mapper/a-b$)", "/dev/mapper/a-b", true),
        ("a{x+}", "/dev/xx", true),
        ("a|a{2}|", "/dev/aa", false),
        ("a|a{2}|", "/dev/a{2}", true),
        ("a|\\.d|", "/dev/x.d", true),
        ("a|\\d$|", "/dev/7", false),
        ("a|sda|sdb|", "/dev/sdb", true),
        ("a|[a&&b]z|", "/dev/&z", true),
        ("a|dm-[0-9-]+$|", "/dev/dm-1-2", true),
    ];
    for (pattern, name, matches) in cases {
        assert_eq!(accepts(&[pattern, "r|.*|"], &[name]), matches, "{pattern} {name}");
    }
}

#[test]
fn a_pattern_that_is_none_is_an_error() {
    for text in ["", "a", "x|a|", "a|b", "a|(|", "a|[b|", "a|(?i)b|"] {
        let error = Filter::parse("devices/filter", &[text.to_owned()]).unwrap_err();
        assert_eq!(error.kind(), Kind::Usage, "{text}");
        assert!(error.message().contains("devices/filter"), "{error}");
    }
}

#[test]
fn only_drivers_that_make_disks_are_known() {
    let text = "Character devices:\n  8 x\n\nBlock devices:\n  7 loop\n  8 sd\n  3 ide0\n 98 ubd\n 44 odd\n253 device-mapper\n";
    assert_eq!(majors(text, &[]), BTreeSet::from([3, 7, 8, 98, 253]));
    assert_eq!(majors(text, &["odd".to_owned()]), BTreeSet::from([3, 7, 8, 44, 98, 253]));
}

#[test]
fn the_devices_file_decides_instead_of_the_filters() {
    let rules = rules("devices { filter = [ \"r|.*|\" ] }");
    let file = "# x\nVERSION=1.1.7\nIDTYPE=sys_wwid IDNAME=naa.5_a DEVNAME=/dev/sdz PVID=x PART=1\n\
                IDTYPE=devname IDNAME=/dev/sdb DEVNAME=/dev/sdb PVID=.\nIDTYPE=loop_file IDNAME=. PVID=y\n";
    let admission = Admission::new(&rules, None, Some(file)).unwrap();
    let judge = |path: &str, identities: &[(Identity, &str)]| {
        let identity =
            |kind| identities.iter().find(|(is, _)| *is == kind).map(|(_, text)| (*text).to_owned());
        admission.against(&listed(path, 8), &[path.into()], &identity).is_none()
    };
    assert!(judge("/dev/sda1", &[(Identity::Wwid, "naa.5 a"), (Identity::Partition, "1")]));
    assert!(!judge("/dev/sda2", &[(Identity::Wwid, "naa.5 a"), (Identity::Partition, "2")]));
    assert!(judge("/dev/sdb", &[]));
    assert!(!judge("/dev/sdc", &[]));
    let without = Admission::new(&rules, None, None).unwrap();
    let unusable = without.against(&listed("/dev/sdb", 8), &["/dev/sdb".into()], &|_| None).unwrap();
    assert!(unusable.what.contains("devices/filter"), "{unusable:?}");
}

#[test]
fn logical_volumes_are_looked_at_only_if_asked_for_and_never_their_layers() {
    let lv = |suffix: &str| Listed {
        dm_uuid: Some(format!("LVM-{}{suffix}", "x".repeat(64))),
        ..listed("/dev/dm-0", 253)
    };
    let judge = |conf: &str, listed: &Listed| {
        Admission::new(&rules(conf), None, None)
            .unwrap()
            .against(listed, &["/dev/dm-0".into()], &|_| None)
            .is_none()
    };
    assert!(!judge("", &lv("")));
    assert!(judge("devices { scan_lvs = 1 }", &lv("")));
    assert!(!judge("devices { scan_lvs = 1 }", &lv("-real")));
}

#[test]
fn a_driver_that_is_unknown_and_a_device_that_is_too_small_are_named() {
    let admission =
        Admission::new(&rules("devices { pv_min_size = 102400 }"), Some("Block devices:\n 8 sd\n"), None)
            .unwrap();
    let says =
        |major| admission.against(&listed("/dev/x", major), &["/dev/x".into()], &|_| None).unwrap().what;
    assert!(says(77).contains("driver"));
    assert!(says(8).contains("pv_min_size"));
}

#[test]
fn a_name_in_the_devices_file_is_good_only_for_its_physical_volume() {
    let file = "IDTYPE=sys_wwid IDNAME=naa.5 DEVNAME=/dev/sda PVID=aaa\n\
                IDTYPE=devname IDNAME=/dev/sdb DEVNAME=/dev/sdb PVID=bbb\n\
                IDTYPE=devname IDNAME=/dev/sdc DEVNAME=/dev/sdc PVID=.\n";
    let admission = Admission::new(&rules(""), None, Some(file)).unwrap();
    let admits = |path: &str, wwid: Option<&str>, pvid: Option<&str>| {
        let identity = |kind| wwid.filter(|_| kind == Identity::Wwid).map(ToOwned::to_owned);
        admission.admits(&listed(path, 8), &[path.into()], &identity, pvid)
    };
    let cases = [
        ("/dev/sdx", Some("naa.5"), Some("other"), true),
        ("/dev/sdb", None, Some("bbb"), true),
        ("/dev/sdb", None, Some("other"), false),
        ("/dev/sdb", None, None, true),
        ("/dev/sdc", None, Some("any"), true),
        // It may have become another name.
        ("/dev/sdd", None, None, true),
        ("/dev/sdd", None, Some("bbb"), true),
        ("/dev/sdd", None, Some("aaa"), false),
        // What can be told by more than its name is not looked at for that.
        ("/dev/sdd", Some("naa.6"), Some("bbb"), false),
        ("/dev/sdd", Some("naa.6"), None, false),
    ];
    for (path, wwid, pvid, admitted) in cases {
        assert_eq!(admits(path, wwid, pvid), admitted, "{path} {wwid:?} {pvid:?}");
    }
}

#[test]
fn a_device_is_listed_by_the_best_of_its_identities() {
    let line = |listed: &Listed, identities: &[(Identity, &str)]| {
        let identity =
            |kind| identities.iter().find(|(is, _)| *is == kind).map(|(_, text)| (*text).to_owned());
        Admission::listing("", listed, std::slice::from_ref(&listed.path), &identity, "p").unwrap().unwrap()
    };
    let dm = |uuid: &str| Listed { dm_uuid: Some(uuid.to_owned()), ..listed("/dev/mapper/m", 253) };
    let sd = listed("/dev/sda1", 8);
    let (wwid, serial) = ((Identity::Wwid, "t10.ATA  x"), (Identity::Serial, "s"));
    let cases = [
        (
            line(&sd, &[wwid, serial, (Identity::Partition, "1")]),
            "IDTYPE=sys_wwid IDNAME=t10.ATA__x DEVNAME=/dev/sda1 PVID=p PART=1\n",
        ),
        (line(&sd, &[serial]), "IDTYPE=sys_serial IDNAME=s DEVNAME=/dev/sda1 PVID=p\n"),
        (line(&sd, &[]), "IDTYPE=devname IDNAME=/dev/sda1 DEVNAME=/dev/sda1 PVID=p\n"),
        (line(&dm("mpath-3600"), &[]), "IDTYPE=mpath_uuid IDNAME=mpath-3600 DEVNAME=/dev/mapper/m PVID=p\n"),
        (line(&dm("part1-mpath-3600"), &[]), "IDTYPE=mpath_uuid IDNAME=part1-mpath-3600 "),
        (line(&dm("CRYPT-LUKS2-x"), &[]), "IDTYPE=crypt_uuid IDNAME=CRYPT-LUKS2-x "),
        (line(&dm(""), &[]), "IDTYPE=devname IDNAME=/dev/mapper/m "),
        (line(&listed("/dev/loop0", 7), &[wwid, (Identity::LoopFile, "/f")]), "IDTYPE=loop_file IDNAME=/f "),
        (line(&listed("/dev/md0", 9), &[(Identity::MdUuid, "u")]), "IDTYPE=md_uuid IDNAME=u "),
    ];
    for (text, expected) in cases {
        assert!(text.contains(expected), "{text} {expected}");
    }
}

/// LVM2 knows devices by what it finds in these directories and below.
#[test]
fn only_devices_with_a_name_in_a_directory_to_be_scanned_are_looked_at() {
    let judge = |conf: &str, aliases: &[&str]| {
        let aliases: Vec<_> = aliases.iter().map(PathBuf::from).collect();
        let admission = Admission::new(&rules(conf), None, None).unwrap();
        assert!(admission.asks_for_names() || conf.contains("\"/dev\"") || conf.is_empty());
        admission.against(&listed(&aliases[0].to_string_lossy(), 8), &aliases, &|_| None).map(|why| why.what)
    };
    let disks = "devices { scan = [ \"/dev/disk/by-id/\", \"/dev/mapper\" ] }";
    assert_eq!(judge(disks, &["/dev/sda", "/dev/disk/by-id/a"]), None);
    assert_eq!(judge(disks, &["/dev/mapper/sub/x"]), None);
    assert!(judge(disks, &["/dev/sda", "/dev/mapperx"]).unwrap().contains("devices/scan"));
    for conf in ["", "devices { scan = \"/dev\" }", "devices { scan = [ \"/dev/mapper\", \"/dev\" ] }"] {
        assert_eq!(judge(conf, &["/dev/sda"]), None, "{conf}");
    }
}
