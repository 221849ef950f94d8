//! Volumes through the controller.

use dmsnap::csi::proto::controller_server::Controller;
use dmsnap::csi::proto::volume_capability::access_mode::Mode;
use dmsnap::csi::proto::volume_content_source::{SnapshotSource, Type};
use dmsnap::csi::proto::{
    CapacityRange, ControllerExpandVolumeRequest, CreateVolumeRequest, GetCapacityRequest, Topology,
    TopologyRequirement, ValidateVolumeCapabilitiesRequest, VolumeContentSource,
};
use dmsnap::units::Bytes;
use tonic::{Code, Request};

use crate::driver::{Driver, capability, code, volume};
use crate::lab::{Lab, MODE, has_volume, lab_with_volume};

fn lab_and_driver() -> (Lab, Driver) {
    let lab = Lab::new();
    let driver = Driver::new(&lab);
    (lab, driver)
}

#[test]
fn a_volume_is_made_once_however_often_it_is_asked_for() {
    let (lab, driver) = lab_and_driver();
    let first = driver.create(volume("pvc-1", 8)).unwrap();
    assert_eq!((first.volume_id.as_str(), first.capacity_bytes), ("pvc-1", 8 << 20));
    assert_eq!(first.accessible_topology[0].segments["topology.lvm.hwameistor.io/node"], "lab");
    let free = lab.free();
    assert!(driver.create(volume("pvc-1", 8)).unwrap() == first);
    assert_eq!(lab.free(), free);
    driver.delete("pvc-1").unwrap();
    driver.delete("pvc-1").unwrap();
    assert_eq!(driver.ids(), Vec::<String>::new());
    lab.assert_at_rest("the volume is gone");
}

#[test]
fn another_volume_of_the_name_already_exists() {
    let (lab, driver) = lab_and_driver();
    lab.engine().create_group(&crate::lab::other(), MODE).unwrap();
    driver.create(volume("pvc-1", 8)).unwrap();
    assert_eq!(code(driver.create(volume("pvc-1", 16))), Code::AlreadyExists);
    let elsewhere = [("vg".to_owned(), "other".to_owned())];
    assert_eq!(
        code(driver.create(CreateVolumeRequest { parameters: elsewhere.into(), ..volume("pvc-1", 8) })),
        Code::AlreadyExists
    );
    let limited = CapacityRange { required_bytes: 0, limit_bytes: 4 << 20 };
    assert_eq!(
        code(driver.create(CreateVolumeRequest { capacity_range: Some(limited), ..volume("pvc-1", 8) })),
        Code::AlreadyExists
    );
    assert_eq!(driver.ids(), ["pvc-1"]);
}

#[test]
fn a_name_is_up_to_128_bytes_of_anything() {
    let (_, driver) = lab_and_driver();
    let odd = ["a b/c", "snapshot-1", "ü\n\u{1f600}", "csi.name=x", &"n".repeat(128), &"-".repeat(128)];
    for name in odd {
        let made = driver.create(volume(name, 1)).unwrap();
        assert!(driver.create(volume(name, 1)).unwrap() == made, "{name:?}");
    }
    assert_eq!(driver.ids().len(), odd.len());
    for name in ["", &"n".repeat(129)] {
        assert_eq!(code(driver.create(volume(name, 1))), Code::InvalidArgument);
    }
}

#[test]
fn volumes_that_are_not_csis_are_neither_shown_nor_touched() {
    let lab = lab_with_volume();
    let driver = Driver::new(&lab);
    assert_eq!(driver.ids(), Vec::<String>::new());
    driver.delete("db").unwrap();
    assert!(has_volume(&lab, "db"));
    assert_eq!(code(driver.create(volume("db", 8))), Code::AlreadyExists);
    assert_eq!(code(driver.snap("db", "snapshot-1")), Code::NotFound);
}

#[test]
fn what_cannot_be_is_refused_before_anything_is_made() {
    let (lab, driver) = lab_and_driver();
    let free = lab.free();
    let asked = |change: &dyn Fn(&mut CreateVolumeRequest)| {
        let mut request = volume("pvc-1", 8);
        change(&mut request);
        code(driver.create(request))
    };
    let parameter = |key: &str, value: &str| {
        asked(&|request| {
            request.parameters.insert(key.to_owned(), value.to_owned());
        })
    };
    assert_eq!(asked(&|request| request.volume_capabilities.clear()), Code::InvalidArgument);
    let many = vec![capability(Mode::MultiNodeMultiWriter)];
    assert_eq!(asked(&|request| request.volume_capabilities.clone_from(&many)), Code::InvalidArgument);
    assert_eq!(parameter("replicaNumber", "2"), Code::InvalidArgument);
    assert_eq!(parameter("vg", "nowhere"), Code::NotFound);
    assert_eq!(parameter("poolClass", "SSD"), Code::NotFound);
    let large = CapacityRange { required_bytes: 1 << 40, limit_bytes: 0 };
    assert_eq!(asked(&|request| request.capacity_range = Some(large)), Code::ResourceExhausted);
    let narrow = CapacityRange { required_bytes: 1, limit_bytes: 2 };
    assert_eq!(asked(&|request| request.capacity_range = Some(narrow)), Code::OutOfRange);
    let source = SnapshotSource { snapshot_id: "snapcontent-1".to_owned() };
    let content = VolumeContentSource { r#type: Some(Type::Snapshot(source)) };
    assert_eq!(asked(&|request| request.volume_content_source = Some(content.clone())), Code::NotFound);
    let far =
        Topology { segments: [("topology.lvm.hwameistor.io/node".to_owned(), "other".to_owned())].into() };
    let far = TopologyRequirement { requisite: vec![far], preferred: Vec::new() };
    assert_eq!(
        asked(&|request| request.accessibility_requirements = Some(far.clone())),
        Code::ResourceExhausted
    );
    assert_eq!((driver.ids(), lab.free()), (Vec::new(), free));
}

#[test]
fn a_striped_volume_lies_on_all_disks_of_its_pool() {
    let (lab, driver) = lab_and_driver();
    let striped = CreateVolumeRequest {
        parameters: [("striped".to_owned(), "true".to_owned())].into(),
        ..volume("pvc-1", 3)
    };
    assert_eq!(driver.create(striped.clone()).unwrap().capacity_bytes, 4 << 20);
    assert_eq!(lab.engine().volumes(&dmsnap::engine::list::Select::default()).unwrap()[0].layout, "striped");
    driver.create(striped).unwrap();
}

#[test]
fn lists_come_in_pages() {
    let (_, driver) = lab_and_driver();
    for name in ["c", "a", "b"] {
        driver.create(volume(name, 1)).unwrap();
    }
    let (first, token) = driver.list(2, "").unwrap();
    assert_eq!(first, ["a", "b"]);
    assert_eq!(driver.list(2, &token).unwrap(), (vec!["c".to_owned()], String::new()));
    assert_eq!(code(driver.list(2, "invalid-token")), Code::Aborted);
}

#[test]
fn a_volume_grows_and_never_shrinks() {
    let (_, driver) = lab_and_driver();
    driver.create(volume("pvc-1", 8)).unwrap();
    let expand = |id: &str, range: Option<(i64, i64)>| {
        let range =
            range.map(|(least, most)| CapacityRange { required_bytes: least << 20, limit_bytes: most << 20 });
        let request = ControllerExpandVolumeRequest {
            volume_id: id.to_owned(),
            capacity_range: range,
            ..ControllerExpandVolumeRequest::default()
        };
        driver.wait(driver.controller.controller_expand_volume(Request::new(request)))
    };
    let grown = expand("pvc-1", Some((16, 0))).unwrap();
    assert_eq!((grown.capacity_bytes, grown.node_expansion_required), (16 << 20, true));
    assert_eq!(expand("pvc-1", Some((8, 0))).unwrap().capacity_bytes, 16 << 20);
    assert_eq!(code(expand("pvc-1", Some((8, 12)))), Code::OutOfRange);
    assert_eq!(code(expand("pvc-1", Some((1 << 30, 0)))), Code::ResourceExhausted);
    assert_eq!(code(expand("pvc-1", None)), Code::InvalidArgument);
    assert_eq!(code(expand("none", Some((8, 0)))), Code::NotFound);
    assert_eq!(code(expand("", Some((8, 0)))), Code::InvalidArgument);
}

#[test]
fn capacity_is_what_is_free_for_such_a_volume() {
    let (lab, driver) = lab_and_driver();
    let free = |request: GetCapacityRequest| {
        driver
            .wait(driver.controller.get_capacity(Request::new(request)))
            .map(|answer| answer.available_capacity)
    };
    let all = i64::try_from(lab.free().get()).unwrap();
    assert_eq!(free(GetCapacityRequest::default()), Ok(all));
    let shared = GetCapacityRequest {
        volume_capabilities: vec![capability(Mode::MultiNodeMultiWriter)],
        ..GetCapacityRequest::default()
    };
    assert_eq!(free(shared), Ok(0));
    driver.create(volume("pvc-1", 8)).unwrap();
    assert_eq!(free(GetCapacityRequest::default()), Ok(all - (8 << 20)));
    assert_eq!(lab.free(), Bytes(u64::try_from(all - (8 << 20)).unwrap()));
}

#[test]
fn a_use_is_confirmed_or_denied_in_words() {
    let (_, driver) = lab_and_driver();
    driver.create(volume("pvc-1", 8)).unwrap();
    let validate = |id: &str, modes: &[Mode]| {
        let request = ValidateVolumeCapabilitiesRequest {
            volume_id: id.to_owned(),
            volume_capabilities: modes.iter().copied().map(capability).collect(),
            ..ValidateVolumeCapabilitiesRequest::default()
        };
        let answer = driver.wait(driver.controller.validate_volume_capabilities(Request::new(request)));
        answer.map(|answer| (answer.confirmed.is_some(), answer.message.is_empty()))
    };
    assert_eq!(validate("pvc-1", &[Mode::SingleNodeWriter]), Ok((true, true)));
    assert_eq!(validate("pvc-1", &[Mode::SingleNodeWriter, Mode::MultiNodeMultiWriter]), Ok((false, false)));
    assert_eq!(code(validate("none", &[Mode::SingleNodeWriter])), Code::NotFound);
    assert_eq!(code(validate("pvc-1", &[])), Code::InvalidArgument);
}
