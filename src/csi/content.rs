//! What a new volume holds: a snapshot's content, or another volume's at this instant.

use tonic::Status;

use super::backend::Content;
use super::proto::VolumeContentSource;
use super::proto::volume_content_source::{SnapshotSource, Type, VolumeSource};
use super::{Driver, names, snapshots, volumes};
use crate::lvm::VgName;
use crate::units::Bytes;

/// Where the content is, and how large.
#[derive(Debug)]
pub struct Source {
    /// The pool, in which the new volume is too: it reads from there until it is filled.
    pub vg: VgName,
    /// No smaller volume holds it.
    pub size: Bytes,
}

/// What is asked for.
pub fn of(asked: Option<&VolumeContentSource>) -> Result<Option<Content>, Status> {
    let Some(source) = asked else { return Ok(None) };
    // What cannot be an id is nobody's.
    let unknown = |what: &str, id: &str| Status::not_found(format!("there is no {what} {id}"));
    match &source.r#type {
        Some(Type::Snapshot(SnapshotSource { snapshot_id: id })) => {
            let id = names::check(id, "snapshot_id")?;
            Ok(Some(Content::Snapshot(id.parse().map_err(|_| unknown("snapshot", id))?)))
        }
        Some(Type::Volume(VolumeSource { volume_id: id })) => {
            let id = names::check(id, "volume_id")?;
            Ok(Some(Content::Volume(id.parse().map_err(|_| unknown("volume", id))?)))
        }
        None => Err(Status::invalid_argument("the content source is neither a snapshot nor a volume")),
    }
}

/// Finds it.
pub async fn source(driver: &Driver, content: &Content) -> Result<Source, Status> {
    Ok(match content {
        Content::Snapshot(id) => {
            let snapshot = snapshots::find(driver, id.as_str()).await?;
            Source { vg: snapshot.vg, size: snapshot.size }
        }
        Content::Volume(id) => {
            let volume = volumes::find(driver, id.as_str()).await?;
            Source { vg: volume.vg, size: volume.size }
        }
    })
}

/// It as the standard shows it.
pub fn shown(content: &Content) -> VolumeContentSource {
    let source = match content {
        Content::Snapshot(id) => Type::Snapshot(SnapshotSource { snapshot_id: id.to_string() }),
        Content::Volume(id) => Type::Volume(VolumeSource { volume_id: id.to_string() }),
    };
    VolumeContentSource { r#type: Some(source) }
}
