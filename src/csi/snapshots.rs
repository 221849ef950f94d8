//! What the controller does with snapshots.

use prost_types::Timestamp;
use tonic::Status;

use super::backend::{Cut, NewSnapshots, Snapshot};
use super::parameters::{self, SnapshotParameters};
use super::proto;
use super::proto::{ListSnapshotsRequest, ListSnapshotsResponse};
use super::volumes::{self, number};
use super::{Driver, names, page};

/// Cuts a snapshot, or finds the one that an earlier call cut.
pub async fn create(
    driver: &Driver,
    asked: &proto::CreateSnapshotRequest,
) -> Result<proto::Snapshot, Status> {
    let id = names::snapshot(names::check(&asked.name, "name")?);
    let source = names::check(&asked.source_volume_id, "source_volume_id")?;
    let SnapshotParameters { size, chunk } = parameters::of_snapshot(&asked.parameters)?;
    let _turn = driver.turns.take([format!("snapshot {id}")])?;
    if let Some(snapshot) = driver.backend.snapshot(id.as_str()).await? {
        return check_same(&snapshot, &asked.name, source).map(|()| shown(driver, &snapshot));
    }
    let cut = Cut { id, source: volumes::find(driver, source).await? };
    let new = NewSnapshots { name: asked.name.clone(), cuts: vec![cut], group: None, size, chunk };
    let made = driver.backend.create_snapshots(new).await?;
    made.first()
        .map(|snapshot| shown(driver, snapshot))
        .ok_or_else(|| Status::internal("no snapshot was made"))
}

fn check_same(snapshot: &Snapshot, name: &str, source: &str) -> Result<(), Status> {
    if snapshot.name == name && snapshot.source.as_str() == source && snapshot.group.is_none() {
        return Ok(());
    }
    let words = format!("there is a snapshot {:?}, of volume {}", snapshot.name, snapshot.source);
    Err(Status::already_exists(words))
}

/// Removes a snapshot; one that is not there is removed already.
pub async fn delete(driver: &Driver, id: &str) -> Result<(), Status> {
    names::check(id, "snapshot_id")?;
    let _turn = driver.turns.take([format!("snapshot {id}")])?;
    if let Some(group) = driver.backend.snapshot(id).await?.and_then(|snapshot| snapshot.group) {
        return Err(Status::invalid_argument(format!(
            "snapshot {id} belongs to the group {group}; delete that"
        )));
    }
    Ok(driver.backend.remove_snapshots(&[id]).await?)
}

/// The snapshot of this id.
pub async fn find(driver: &Driver, id: &str) -> Result<Snapshot, Status> {
    names::check(id, "snapshot_id")?;
    let found = driver.backend.snapshot(id).await?;
    found.ok_or_else(|| Status::not_found(format!("there is no snapshot {id}")))
}

/// A page of the snapshots that are asked for.
pub async fn list(driver: &Driver, asked: &ListSnapshotsRequest) -> Result<ListSnapshotsResponse, Status> {
    let is_asked = |wanted: &str, has: &str| wanted.is_empty() || wanted == has;
    let mut all = driver.backend.snapshots().await?;
    all.retain(|one| {
        is_asked(&asked.snapshot_id, one.id.as_str())
            && is_asked(&asked.source_volume_id, one.source.as_str())
    });
    let (snapshots, next_token) =
        page::page(all, |one| one.id.as_str(), asked.max_entries, &asked.starting_token)?;
    let entry = |one: &Snapshot| proto::list_snapshots_response::Entry { snapshot: Some(shown(driver, one)) };
    Ok(ListSnapshotsResponse { entries: snapshots.iter().map(entry).collect(), next_token })
}

/// A snapshot as the standard shows it: its size is what a volume made from it needs.
pub fn shown(driver: &Driver, snapshot: &Snapshot) -> proto::Snapshot {
    proto::Snapshot {
        size_bytes: number(snapshot.size),
        snapshot_id: snapshot.id.to_string(),
        source_volume_id: snapshot.source.to_string(),
        creation_time: Some(Timestamp::from(snapshot.cut)),
        ready_to_use: snapshot.valid,
        group_snapshot_id: snapshot.group.clone().unwrap_or_default(),
        accessible_topology: vec![driver.topology()],
    }
}
