//! One call of the CSI driver on this host's engine, without a socket. What it answers is printed; the exit status is the gRPC code.
//!
//! ```text
//! csi create NAME MIB                          csi snapshot ID NAME
//! csi expand ID MIB                            csi group NAME ID...
//! csi stage ID STAGING FORM [OPTION...]        csi unstage ID STAGING
//! csi publish ID STAGING TARGET FORM [ro]      csi unpublish ID TARGET
//! csi stats ID PATH                            csi grow ID PATH
//! csi crowd CALLERS SNAPSHOTS ID...            so many in all, cut and removed again
//! ```
//!
//! FORM is `block`, `ext4` or `xfs`; `alone` behind it asks for the volume in one place only. Volumes are in the group `vg`.

mod crowd;

use std::error::Error;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::SystemTime;

use dmsnap::block::sysfs::SysDevices;
use dmsnap::csi::local::Local;
use dmsnap::csi::proto::controller_server::Controller;
use dmsnap::csi::proto::group_controller_server::GroupController;
use dmsnap::csi::proto::node_server::Node;
use dmsnap::csi::proto::volume_capability::access_mode::Mode;
use dmsnap::csi::proto::volume_capability::{AccessMode, AccessType, BlockVolume, MountVolume};
use dmsnap::csi::proto::*;
use dmsnap::csi::{ControllerService, Driver, GroupService, Names, NodeService};
use dmsnap::dm::control::Control;
use dmsnap::dm::nodes::Nodes;
use dmsnap::engine::{Engine, Host, World};
use dmsnap::lvm::{Locks, Settings};
use tonic::{Request, Status};

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<_> = words.iter().map(String::as_str).collect();
    let runtime = tokio::runtime::Runtime::new()?;
    Ok(match runtime.block_on(call(&words)) {
        Ok(answer) => {
            println!("{answer}");
            ExitCode::SUCCESS
        }
        Err(status) => {
            println!("{}", status.message());
            ExitCode::from(u8::try_from(i32::from(status.code()))?)
        }
    })
}

fn engine() -> Engine {
    Engine::new(World {
        kernel: Arc::new(Control::new(Nodes::default())),
        devices: Arc::new(SysDevices::default()),
        locks: Locks::new("/run/lock/lvm"),
        clock: SystemTime::now,
        random: |buffer| random(buffer).expect("Linux has had it since 3.17"),
        host: Host { name: "guest".into(), system: "Linux guest".into() },
        owner: dmsnap::lvm::Host::default(),
        lvm2: Settings::of_nothing(Path::new("")),
    })
}

fn random(buffer: &mut [u8]) -> std::io::Result<()> {
    use std::io::Read;
    std::fs::File::open("/dev/urandom")?.read_exact(buffer)
}

async fn call(words: &[&str]) -> Result<String, Status> {
    let vg = "vg".parse().map_err(|_| bad_words())?;
    let names = Names { driver: dmsnap::csi::DRIVER.to_owned(), node: "guest".to_owned(), vg: Some(vg) };
    let local = Local::new(engine());
    let driver = Driver::new(names, Arc::new(local.clone()));
    let node = NodeService::new(Arc::clone(&driver), local);
    match words {
        ["create" | "expand" | "snapshot", ..] => of_controller(&ControllerService(driver), words).await,
        ["group", name, ids @ ..] => {
            let request = CreateVolumeGroupSnapshotRequest {
                name: (*name).to_owned(),
                source_volume_ids: ids.iter().map(|&id| id.to_owned()).collect(),
                ..CreateVolumeGroupSnapshotRequest::default()
            };
            let answer = GroupService(driver).create_volume_group_snapshot(Request::new(request)).await?;
            let members = answer.into_inner().group_snapshot.unwrap_or_default().snapshots;
            Ok(members.into_iter().map(|member| member.snapshot_id).collect::<Vec<_>>().join(" "))
        }
        ["crowd", callers, count, ids @ ..] if !ids.is_empty() => {
            let number = |word: &str| word.parse().map_err(|_| bad_words());
            let ids = ids.iter().map(|&id| id.to_owned()).collect();
            crowd::run(ControllerService(driver), ids, number(callers)?, number(count)?).await
        }
        _ => of_node(&node, words).await,
    }
}

async fn of_controller(controller: &ControllerService, words: &[&str]) -> Result<String, Status> {
    match *words {
        ["create", name, mib] => {
            let request = CreateVolumeRequest {
                name: name.to_owned(),
                capacity_range: Some(range(mib)?),
                volume_capabilities: vec![capability(&["ext4"])],
                ..CreateVolumeRequest::default()
            };
            let answer = controller.create_volume(Request::new(request)).await?;
            Ok(answer.into_inner().volume.unwrap_or_default().volume_id)
        }
        ["expand", id, mib] => {
            let request = ControllerExpandVolumeRequest {
                volume_id: id.to_owned(),
                capacity_range: Some(range(mib)?),
                ..ControllerExpandVolumeRequest::default()
            };
            let answer = controller.controller_expand_volume(Request::new(request)).await?;
            Ok(answer.into_inner().capacity_bytes.to_string())
        }
        ["snapshot", id, name] => {
            let request = CreateSnapshotRequest {
                source_volume_id: id.to_owned(),
                name: name.to_owned(),
                ..CreateSnapshotRequest::default()
            };
            let answer = controller.create_snapshot(Request::new(request)).await?;
            Ok(answer.into_inner().snapshot.unwrap_or_default().snapshot_id)
        }
        _ => Err(bad_words()),
    }
}

async fn of_node(node: &NodeService, words: &[&str]) -> Result<String, Status> {
    let done = String::new();
    match *words {
        ["stage", id, staging, ref form @ ..] => {
            let request = NodeStageVolumeRequest {
                volume_id: id.to_owned(),
                staging_target_path: staging.to_owned(),
                volume_capability: Some(capability(form)),
                ..NodeStageVolumeRequest::default()
            };
            node.node_stage_volume(Request::new(request)).await.map(|_| done)
        }
        ["unstage", id, staging] => {
            let request = NodeUnstageVolumeRequest {
                volume_id: id.to_owned(),
                staging_target_path: staging.to_owned(),
            };
            node.node_unstage_volume(Request::new(request)).await.map(|_| done)
        }
        ["publish", id, staging, target, ref form @ ..] => {
            let request = NodePublishVolumeRequest {
                volume_id: id.to_owned(),
                staging_target_path: staging.to_owned(),
                target_path: target.to_owned(),
                volume_capability: Some(capability(form)),
                readonly: form.contains(&"ro"),
                ..NodePublishVolumeRequest::default()
            };
            node.node_publish_volume(Request::new(request)).await.map(|_| done)
        }
        ["unpublish", id, target] => {
            let request =
                NodeUnpublishVolumeRequest { volume_id: id.to_owned(), target_path: target.to_owned() };
            node.node_unpublish_volume(Request::new(request)).await.map(|_| done)
        }
        ["stats", id, path] => {
            let request = NodeGetVolumeStatsRequest {
                volume_id: id.to_owned(),
                volume_path: path.to_owned(),
                ..NodeGetVolumeStatsRequest::default()
            };
            let usage = node.node_get_volume_stats(Request::new(request)).await?.into_inner().usage;
            let line = |one: &VolumeUsage| {
                format!("{} {} {} {}", one.unit().as_str_name(), one.total, one.used, one.available)
            };
            Ok(usage.iter().map(line).collect::<Vec<_>>().join("\n"))
        }
        ["grow", id, path] => {
            let request = NodeExpandVolumeRequest {
                volume_id: id.to_owned(),
                volume_path: path.to_owned(),
                ..NodeExpandVolumeRequest::default()
            };
            Ok(node.node_expand_volume(Request::new(request)).await?.into_inner().capacity_bytes.to_string())
        }
        _ => Err(bad_words()),
    }
}

fn bad_words() -> Status {
    Status::invalid_argument("see the beginning of tests/tools/csi/main.rs")
}

fn range(mib: &str) -> Result<CapacityRange, Status> {
    let mib: i64 = mib.parse().map_err(|_| bad_words())?;
    Ok(CapacityRange { required_bytes: mib << 20, limit_bytes: 0 })
}

/// A form, and mount options or `alone` behind it.
fn capability(form: &[&str]) -> VolumeCapability {
    let (kind, rest) = form.split_first().unwrap_or((&"ext4", &[]));
    let options = rest.iter().filter(|word| !["alone", "ro"].contains(*word));
    let mount = MountVolume {
        fs_type: (*kind).to_owned(),
        mount_flags: options.map(|&option| option.to_owned()).collect(),
        ..MountVolume::default()
    };
    let mode = if rest.contains(&"alone") { Mode::SingleNodeSingleWriter } else { Mode::SingleNodeWriter };
    VolumeCapability {
        access_type: Some(if *kind == "block" {
            AccessType::Block(BlockVolume {})
        } else {
            AccessType::Mount(mount)
        }),
        access_mode: Some(AccessMode { mode: mode.into() }),
    }
}
