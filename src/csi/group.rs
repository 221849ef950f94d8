//! The group controller service: snapshots of several volumes at one instant, all or none.
//!
//! A group has no object of its own: its snapshots bear a tag with its id. They come and go together.

use std::collections::BTreeSet;
use std::sync::Arc;

use prost_types::Timestamp;
use tonic::{Request, Response, Status};

use super::backend::{Cut, NewSnapshots, Snapshot};
use super::parameters::{self, SnapshotParameters};
use super::proto::group_controller_server::GroupController;
use super::proto::group_controller_service_capability::{Rpc, Type, rpc};
use super::proto::{
    CreateVolumeGroupSnapshotRequest, CreateVolumeGroupSnapshotResponse, DeleteVolumeGroupSnapshotRequest,
    DeleteVolumeGroupSnapshotResponse, GetVolumeGroupSnapshotRequest, GetVolumeGroupSnapshotResponse,
    GroupControllerGetCapabilitiesRequest, GroupControllerGetCapabilitiesResponse,
    GroupControllerServiceCapability, VolumeGroupSnapshot,
};
use super::{Driver, names, snapshots, volumes};

/// The service.
pub struct GroupService(pub Arc<Driver>);

#[tonic::async_trait]
impl GroupController for GroupService {
    async fn group_controller_get_capabilities(
        &self,
        _: Request<GroupControllerGetCapabilitiesRequest>,
    ) -> Result<Response<GroupControllerGetCapabilitiesResponse>, Status> {
        let rpc = Rpc { r#type: rpc::Type::CreateDeleteGetVolumeGroupSnapshot.into() };
        let capability = GroupControllerServiceCapability { r#type: Some(Type::Rpc(rpc)) };
        Ok(Response::new(GroupControllerGetCapabilitiesResponse { capabilities: vec![capability] }))
    }

    async fn create_volume_group_snapshot(
        &self,
        request: Request<CreateVolumeGroupSnapshotRequest>,
    ) -> Result<Response<CreateVolumeGroupSnapshotResponse>, Status> {
        let (asked, driver) = (request.into_inner(), Arc::clone(&self.0));
        self.0
            .serve("CreateVolumeGroupSnapshot", &asked.name.clone(), async move {
                let group_snapshot = Some(create(&driver, &asked).await?);
                Ok(CreateVolumeGroupSnapshotResponse { group_snapshot })
            })
            .await
    }

    async fn delete_volume_group_snapshot(
        &self,
        request: Request<DeleteVolumeGroupSnapshotRequest>,
    ) -> Result<Response<DeleteVolumeGroupSnapshotResponse>, Status> {
        let (asked, driver) = (request.into_inner(), Arc::clone(&self.0));
        self.0
            .serve("DeleteVolumeGroupSnapshot", &asked.group_snapshot_id.clone(), async move {
                delete(&driver, &asked.group_snapshot_id, &asked.snapshot_ids).await?;
                Ok(DeleteVolumeGroupSnapshotResponse {})
            })
            .await
    }

    async fn get_volume_group_snapshot(
        &self,
        request: Request<GetVolumeGroupSnapshotRequest>,
    ) -> Result<Response<GetVolumeGroupSnapshotResponse>, Status> {
        let (asked, driver) = (request.into_inner(), Arc::clone(&self.0));
        self.0
            .serve("GetVolumeGroupSnapshot", &asked.group_snapshot_id.clone(), async move {
                let group_snapshot = Some(get(&driver, &asked.group_snapshot_id, &asked.snapshot_ids).await?);
                Ok(GetVolumeGroupSnapshotResponse { group_snapshot })
            })
            .await
    }
}

async fn create(
    driver: &Driver,
    asked: &CreateVolumeGroupSnapshotRequest,
) -> Result<VolumeGroupSnapshot, Status> {
    let group = names::group(names::check(&asked.name, "name")?);
    let sources: BTreeSet<_> = asked.source_volume_ids.iter().map(String::as_str).collect();
    if sources.is_empty() {
        return Err(Status::invalid_argument("source_volume_ids is empty"));
    }
    let SnapshotParameters { size, chunk } = parameters::of_snapshot(&asked.parameters)?;
    let _turn = driver.turns.take([format!("group {group}")])?;
    let members = members(driver, &group).await?;
    if !members.is_empty() {
        check_same(&members, &asked.name, &sources)?;
        return Ok(shown(driver, group, members));
    }
    let mut cuts = Vec::new();
    for source in sources {
        let id = names::snapshot(&format!("{}/{source}", asked.name));
        cuts.push(Cut { id, source: volumes::find(driver, source).await? });
    }
    let new = NewSnapshots { name: asked.name.clone(), cuts, group: Some(group.clone()), size, chunk };
    let made = driver.backend.create_snapshots(new).await?;
    Ok(shown(driver, group, made))
}

fn check_same(members: &[Snapshot], name: &str, sources: &BTreeSet<&str>) -> Result<(), Status> {
    let known: BTreeSet<_> = members.iter().map(|member| member.source.as_str()).collect();
    if known == *sources && members.iter().all(|member| member.name == name) {
        return Ok(());
    }
    let known: Vec<_> = known.into_iter().collect();
    Err(Status::already_exists(format!("there is a group {name:?}, of the volumes {}", known.join(", "))))
}

/// Removes a group; one that is not there is removed already.
async fn delete(driver: &Driver, group: &str, ids: &[String]) -> Result<(), Status> {
    names::check(group, "group_snapshot_id")?;
    let _turn = driver.turns.take([format!("group {group}")])?;
    let members = members(driver, group).await?;
    if members.is_empty() {
        return Ok(());
    }
    // Those that are not there were removed by an earlier call.
    if members.iter().any(|member| !ids.is_empty() && !ids.contains(&member.id.to_string())) {
        return Err(other_members(group, &members));
    }
    let ids: Vec<_> = members.iter().map(|member| member.id.as_str()).collect();
    Ok(driver.backend.remove_snapshots(&ids).await?)
}

async fn get(driver: &Driver, group: &str, ids: &[String]) -> Result<VolumeGroupSnapshot, Status> {
    names::check(group, "group_snapshot_id")?;
    let members = members(driver, group).await?;
    if members.is_empty() {
        return Err(Status::not_found(format!("there is no group {group}")));
    }
    let known: BTreeSet<_> = members.iter().map(|member| member.id.as_str()).collect();
    if !ids.is_empty() && ids.iter().map(String::as_str).collect::<BTreeSet<_>>() != known {
        return Err(other_members(group, &members));
    }
    Ok(shown(driver, group.to_owned(), members))
}

async fn members(driver: &Driver, group: &str) -> Result<Vec<Snapshot>, Status> {
    let mut members = driver.backend.snapshots().await?;
    members.retain(|snapshot| snapshot.group.as_deref() == Some(group));
    Ok(members)
}

fn other_members(group: &str, members: &[Snapshot]) -> Status {
    let known: Vec<_> = members.iter().map(|member| member.id.as_str()).collect();
    Status::invalid_argument(format!("the snapshots of {group} are {}, not those given", known.join(", ")))
}

fn shown(driver: &Driver, group_snapshot_id: String, mut members: Vec<Snapshot>) -> VolumeGroupSnapshot {
    members.sort_by(|a, b| a.source.cmp(&b.source));
    VolumeGroupSnapshot {
        group_snapshot_id,
        snapshots: members.iter().map(|member| snapshots::shown(driver, member)).collect(),
        creation_time: members.iter().map(|member| member.cut).min().map(Timestamp::from),
        ready_to_use: members.iter().all(|member| member.valid),
    }
}
