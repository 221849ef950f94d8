//! Calls of a CSI driver. What it answers is printed; the exit status is the gRPC code.
//!
//! ```text
//! csi create NAME MIB [snapshot ID | volume ID]
//! csi expand ID MIB                            csi delete ID
//! csi snapshot ID NAME                         csi forget ID
//! csi group NAME ID...                         csi disband GROUP ID...
//! csi list volumes | snapshots
//! csi stage ID STAGING FORM [OPTION...]        csi unstage ID STAGING
//! csi publish ID STAGING TARGET FORM [ro]      csi unpublish ID TARGET
//! csi stats ID PATH                            csi grow ID PATH
//! csi crowd CALLERS SNAPSHOTS ID...            so many in all, cut and removed again
//! ```
//!
//! FORM is `block`, `ext4` or `xfs`; `alone` behind it asks for the volume in one place only, `reader` for reading only. The driver's
//! socket is `$CSI_ENDPOINT`.

mod crowd;

use std::error::Error;
use std::process::ExitCode;

use dmsnap::csi::proto::controller_client::ControllerClient;
use dmsnap::csi::proto::group_controller_client::GroupControllerClient;
use dmsnap::csi::proto::node_client::NodeClient;
use dmsnap::csi::proto::volume_capability::access_mode::Mode;
use dmsnap::csi::proto::volume_capability::{AccessMode, AccessType, BlockVolume, MountVolume};
use dmsnap::csi::proto::volume_content_source::{SnapshotSource, Type, VolumeSource};
use dmsnap::csi::proto::*;
use tonic::Status;
use tonic::transport::{Channel, Endpoint};

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<_> = words.iter().map(String::as_str).collect();
    let socket = std::env::var("CSI_ENDPOINT")?;
    let runtime = tokio::runtime::Runtime::new()?;
    Ok(match runtime.block_on(call(&socket, &words)) {
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

async fn connected(socket: &str) -> Result<Channel, Status> {
    let unreachable = |error| Status::unavailable(format!("{socket}: {error}"));
    Endpoint::from_shared(socket.to_owned()).map_err(unreachable)?.connect().await.map_err(unreachable)
}

async fn call(socket: &str, words: &[&str]) -> Result<String, Status> {
    match words {
        ["group" | "disband", ..] => {
            of_groups(GroupControllerClient::new(connected(socket).await?), words).await
        }
        ["crowd", callers, count, ids @ ..] if !ids.is_empty() => {
            let number = |word: &str| word.parse().map_err(|_| bad_words());
            let mut controllers = Vec::new();
            for _ in 0..number(callers)? {
                controllers.push(ControllerClient::new(connected(socket).await?));
            }
            crowd::run(controllers, ids, number(count)?).await
        }
        ["stage" | "unstage" | "publish" | "unpublish" | "stats" | "grow", ..] => {
            of_node(NodeClient::new(connected(socket).await?), words).await
        }
        _ => of_controller(ControllerClient::new(connected(socket).await?), words).await,
    }
}

async fn of_groups(mut groups: GroupControllerClient<Channel>, words: &[&str]) -> Result<String, Status> {
    let owned = |ids: &[&str]| ids.iter().map(|&id| id.to_owned()).collect();
    match *words {
        ["group", name, ref ids @ ..] => {
            let request = CreateVolumeGroupSnapshotRequest {
                name: name.to_owned(),
                source_volume_ids: owned(ids),
                ..CreateVolumeGroupSnapshotRequest::default()
            };
            let answer = groups.create_volume_group_snapshot(request).await?;
            let made = answer.into_inner().group_snapshot.unwrap_or_default();
            let members = made.snapshots.into_iter().map(|member| member.snapshot_id);
            Ok([made.group_snapshot_id].into_iter().chain(members).collect::<Vec<_>>().join(" "))
        }
        ["disband", group, ref ids @ ..] => {
            let request = DeleteVolumeGroupSnapshotRequest {
                group_snapshot_id: group.to_owned(),
                snapshot_ids: owned(ids),
                ..DeleteVolumeGroupSnapshotRequest::default()
            };
            groups.delete_volume_group_snapshot(request).await.map(|_| String::new())
        }
        _ => Err(bad_words()),
    }
}

async fn of_controller(mut controller: ControllerClient<Channel>, words: &[&str]) -> Result<String, Status> {
    match *words {
        ["create", name, mib, ref source @ ..] => {
            let request = CreateVolumeRequest {
                name: name.to_owned(),
                capacity_range: Some(range(mib)?),
                volume_capabilities: vec![capability(&["ext4"])],
                volume_content_source: content(source)?,
                ..CreateVolumeRequest::default()
            };
            let answer = controller.create_volume(request).await?;
            Ok(answer.into_inner().volume.unwrap_or_default().volume_id)
        }
        ["expand", id, mib] => {
            let request = ControllerExpandVolumeRequest {
                volume_id: id.to_owned(),
                capacity_range: Some(range(mib)?),
                ..ControllerExpandVolumeRequest::default()
            };
            let answer = controller.controller_expand_volume(request).await?;
            Ok(answer.into_inner().capacity_bytes.to_string())
        }
        ["delete", id] => {
            let request = DeleteVolumeRequest { volume_id: id.to_owned(), ..DeleteVolumeRequest::default() };
            controller.delete_volume(request).await.map(|_| String::new())
        }
        ["snapshot", id, name] => {
            let request = CreateSnapshotRequest {
                source_volume_id: id.to_owned(),
                name: name.to_owned(),
                ..CreateSnapshotRequest::default()
            };
            let answer = controller.create_snapshot(request).await?;
            Ok(answer.into_inner().snapshot.unwrap_or_default().snapshot_id)
        }
        ["forget", id] => {
            let request =
                DeleteSnapshotRequest { snapshot_id: id.to_owned(), ..DeleteSnapshotRequest::default() };
            controller.delete_snapshot(request).await.map(|_| String::new())
        }
        ["list", "volumes"] => {
            let all = controller.list_volumes(ListVolumesRequest::default()).await?.into_inner().entries;
            let ids = all.into_iter().filter_map(|entry| Some(entry.volume?.volume_id));
            Ok(ids.collect::<Vec<_>>().join(" "))
        }
        ["list", "snapshots"] => {
            let all = controller.list_snapshots(ListSnapshotsRequest::default()).await?.into_inner().entries;
            let ids = all.into_iter().filter_map(|entry| Some(entry.snapshot?.snapshot_id));
            Ok(ids.collect::<Vec<_>>().join(" "))
        }
        _ => Err(bad_words()),
    }
}

async fn of_node(mut node: NodeClient<Channel>, words: &[&str]) -> Result<String, Status> {
    let done = String::new();
    match *words {
        ["stage", id, staging, ref form @ ..] => {
            let request = NodeStageVolumeRequest {
                volume_id: id.to_owned(),
                staging_target_path: staging.to_owned(),
                volume_capability: Some(capability(form)),
                ..NodeStageVolumeRequest::default()
            };
            node.node_stage_volume(request).await.map(|_| done)
        }
        ["unstage", id, staging] => {
            let request = NodeUnstageVolumeRequest {
                volume_id: id.to_owned(),
                staging_target_path: staging.to_owned(),
            };
            node.node_unstage_volume(request).await.map(|_| done)
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
            node.node_publish_volume(request).await.map(|_| done)
        }
        ["unpublish", id, target] => {
            let request =
                NodeUnpublishVolumeRequest { volume_id: id.to_owned(), target_path: target.to_owned() };
            node.node_unpublish_volume(request).await.map(|_| done)
        }
        ["stats", id, path] => {
            let request = NodeGetVolumeStatsRequest {
                volume_id: id.to_owned(),
                volume_path: path.to_owned(),
                ..NodeGetVolumeStatsRequest::default()
            };
            let usage = node.node_get_volume_stats(request).await?.into_inner().usage;
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
            Ok(node.node_expand_volume(request).await?.into_inner().capacity_bytes.to_string())
        }
        _ => Err(bad_words()),
    }
}

fn bad_words() -> Status {
    Status::invalid_argument("see the beginning of tests/tools/csi/main.rs")
}

fn content(source: &[&str]) -> Result<Option<VolumeContentSource>, Status> {
    let source = match *source {
        [] => return Ok(None),
        ["snapshot", id] => Type::Snapshot(SnapshotSource { snapshot_id: id.to_owned() }),
        ["volume", id] => Type::Volume(VolumeSource { volume_id: id.to_owned() }),
        _ => return Err(bad_words()),
    };
    Ok(Some(VolumeContentSource { r#type: Some(source) }))
}

fn range(mib: &str) -> Result<CapacityRange, Status> {
    let mib: i64 = mib.parse().map_err(|_| bad_words())?;
    Ok(CapacityRange { required_bytes: mib << 20, limit_bytes: 0 })
}

/// A form, and mount options, `alone` or `reader` behind it.
fn capability(form: &[&str]) -> VolumeCapability {
    let (kind, rest) = form.split_first().unwrap_or((&"ext4", &[]));
    let options = rest.iter().filter(|word| !["alone", "reader", "ro"].contains(*word));
    let mount = MountVolume {
        fs_type: (*kind).to_owned(),
        mount_flags: options.map(|&option| option.to_owned()).collect(),
        ..MountVolume::default()
    };
    let mode = match rest {
        rest if rest.contains(&"alone") => Mode::SingleNodeSingleWriter,
        rest if rest.contains(&"reader") => Mode::SingleNodeReaderOnly,
        _ => Mode::SingleNodeWriter,
    };
    VolumeCapability {
        access_type: Some(if *kind == "block" {
            AccessType::Block(BlockVolume {})
        } else {
            AccessType::Mount(mount)
        }),
        access_mode: Some(AccessMode { mode: mode.into() }),
    }
}
