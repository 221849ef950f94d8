//! The node service: volumes of this host, staged once and published to those who use them.

use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use nix::sys::statvfs::statvfs;
use tonic::{Request, Response, Status};

use super::backend::Volume;
use super::call::blocking;
use super::capability::{self, FileSystem, Form, Use};
use super::local::Local;
use super::mount::{self, Device, Place};
use super::proto::node_server::Node;
use super::proto::node_service_capability::{Rpc, Type, rpc};
use super::proto::volume_usage::Unit;
use super::proto::{
    NodeExpandVolumeRequest, NodeExpandVolumeResponse, NodeGetCapabilitiesRequest,
    NodeGetCapabilitiesResponse, NodeGetInfoRequest, NodeGetInfoResponse, NodeGetVolumeStatsRequest,
    NodeGetVolumeStatsResponse, NodePublishVolumeRequest, NodePublishVolumeResponse, NodeServiceCapability,
    NodeStageVolumeRequest, NodeStageVolumeResponse, NodeUnpublishVolumeRequest, NodeUnpublishVolumeResponse,
    NodeUnstageVolumeRequest, NodeUnstageVolumeResponse, VolumeUsage,
};
use super::turns::Turn;
use super::volumes::{self, number};
use super::{Driver, format, names};
use crate::error::{Error, Result as EngineResult};
use crate::units::Bytes;

const OFFERED: [rpc::Type; 4] = [
    rpc::Type::StageUnstageVolume,
    rpc::Type::GetVolumeStats,
    rpc::Type::ExpandVolume,
    rpc::Type::SingleNodeMultiWriter,
];

/// The service: the volumes that are used on this host are this host's.
#[derive(Clone)]
pub struct NodeService {
    driver: Arc<Driver>,
    local: Local,
}

impl NodeService {
    /// The node of this driver, with the engine of this host.
    pub fn new(driver: Arc<Driver>, local: Local) -> Self {
        Self { driver, local }
    }

    async fn serve<T, W>(
        &self,
        method: &'static str,
        about: &str,
        work: impl FnOnce(Self) -> W,
    ) -> Result<Response<T>, Status>
    where
        T: Send + 'static,
        W: Future<Output = Result<T, Status>> + Send + 'static,
    {
        self.driver.serve(method, about, work(self.clone())).await
    }

    fn take(&self, id: &str) -> Result<Turn, Status> {
        self.driver.turns.take([format!("volume {id} on this node")])
    }

    /// A volume and its device, which can be used from now on.
    async fn active(&self, id: &str) -> Result<(Volume, Device), Status> {
        let volume = volumes::find(&self.driver, id).await?;
        let path = self.local.device(&volume).await?;
        Ok((volume, blocking(move || Device::at(path)).await?))
    }

    /// The device of a volume that has one.
    async fn known(&self, id: &str) -> Result<Option<Device>, Status> {
        let Some(volume) = self.driver.backend.volume(id).await? else { return Ok(None) };
        let Some(path) = self.local.known_device(&volume).await? else { return Ok(None) };
        Ok(Some(blocking(move || Device::at(path)).await?))
    }

    async fn stage(&self, asked: &NodeStageVolumeRequest) -> Result<(), Status> {
        let id = names::check(&asked.volume_id, "volume_id")?;
        let place = path(&asked.staging_target_path, "staging_target_path")?;
        let wanted = capability::of(asked.volume_capability.as_ref())?;
        let _turn = self.take(id)?;
        let (volume, device) = self.active(id).await?;
        let Form::Mount(kind, options) = wanted.form else { return Ok(()) };
        match at_place(&device, &place).await? {
            Place::FileSystem(found) if found.file_system == kind.to_string() => {
                return Ok(fitted(&volume, device, place, found.read_only).await?);
            }
            Place::FileSystem(found) => {
                let words = format!("volume {id} is staged there as {}, not {kind}", found.file_system);
                return Err(Status::already_exists(words));
            }
            Place::Free => refuse_elsewhere(id, &device, [&place, &place]).await?,
            other => return Err(occupied(&place, &other)),
        }
        Ok(mounted(&volume, device, place, (kind, options), wanted.read_only).await?)
    }

    async fn unstage(&self, asked: &NodeUnstageVolumeRequest) -> Result<(), Status> {
        let id = names::check(&asked.volume_id, "volume_id")?;
        let place = path(&asked.staging_target_path, "staging_target_path")?;
        let _turn = self.take(id)?;
        self.taken_away(id, place).await
    }

    async fn publish(&self, asked: &NodePublishVolumeRequest) -> Result<(), Status> {
        let id = names::check(&asked.volume_id, "volume_id")?;
        let place = path(&asked.target_path, "target_path")?;
        let staging = path(&asked.staging_target_path, "staging_target_path")?;
        let wanted = capability::of(asked.volume_capability.as_ref())?;
        let read_only = asked.readonly || wanted.read_only;
        let _turn = self.take(id)?;
        let (_, device) = self.active(id).await?;
        refuse_second(id, &wanted, &device, &staging, &place).await?;
        match (wanted.form, at_place(&device, &place).await?) {
            (Form::Block, Place::Device) => Ok(()),
            (Form::Block, Place::Free) if read_only => {
                Err(Status::invalid_argument("a device cannot be published read-only"))
            }
            (Form::Block, Place::Free) => Ok(blocking(move || mount::bind_device(&device, &place)).await?),
            (Form::Mount(..), Place::FileSystem(found)) if found.read_only == read_only => Ok(()),
            (Form::Mount(..), Place::FileSystem(_)) => {
                Err(Status::already_exists(format!("volume {id} is published there in another way")))
            }
            (Form::Mount(..), Place::Free) => match at_place(&device, &staging).await? {
                Place::FileSystem(_) => Ok(blocking(move || mount::bind(&staging, &place, read_only)).await?),
                _ => Err(Status::failed_precondition(format!(
                    "volume {id} is not staged at {}",
                    staging.display()
                ))),
            },
            (_, other) => Err(occupied(&place, &other)),
        }
    }

    async fn unpublish(&self, asked: &NodeUnpublishVolumeRequest) -> Result<(), Status> {
        let id = names::check(&asked.volume_id, "volume_id")?;
        let place = path(&asked.target_path, "target_path")?;
        let _turn = self.take(id)?;
        self.taken_away(id, place.clone()).await?;
        Ok(blocking(move || mount::remove_place(&place)).await?)
    }

    /// Nothing of the volume is at the place any more. What is not the volume's stays.
    async fn taken_away(&self, id: &str, place: PathBuf) -> Result<(), Status> {
        let none = Device { path: PathBuf::new(), number: crate::block::DevNo { major: 0, minor: 0 } };
        let device = self.known(id).await?.unwrap_or(none);
        match at_place(&device, &place).await? {
            Place::Free => Ok(()),
            Place::FileSystem(_) | Place::Device => Ok(blocking(move || mount::detach(&place)).await?),
            other => Err(occupied(&place, &other)),
        }
    }

    async fn stats(&self, asked: &NodeGetVolumeStatsRequest) -> Result<Vec<VolumeUsage>, Status> {
        let id = names::check(&asked.volume_id, "volume_id")?;
        let place = known_path(&asked.volume_path, id)?;
        let volume = volumes::find(&self.driver, id).await?;
        let device = self.known(id).await?.ok_or_else(|| not_there(id, &place))?;
        match at_place(&device, &place).await? {
            Place::FileSystem(_) => Ok(blocking(move || usage(&place)).await?),
            Place::Device => Ok(vec![VolumeUsage {
                total: number(volume.size),
                unit: Unit::Bytes.into(),
                ..VolumeUsage::default()
            }]),
            _ => Err(not_there(id, &place)),
        }
    }

    async fn expand(&self, asked: &NodeExpandVolumeRequest) -> Result<i64, Status> {
        let id = names::check(&asked.volume_id, "volume_id")?;
        let place = known_path(&asked.volume_path, id)?;
        volumes::Range::of(asked.capacity_range.as_ref())?;
        let _turn = self.take(id)?;
        let volume = volumes::find(&self.driver, id).await?;
        let device = self.known(id).await?.ok_or_else(|| not_there(id, &place))?;
        match at_place(&device, &place).await? {
            Place::FileSystem(_) => blocking(move || format::grow(&device, &place, volume.size)).await?,
            Place::Device => {}
            _ => return Err(not_there(id, &place)),
        }
        Ok(number(volume.size))
    }
}

/// Mounts a volume's file system. One that came with the content of another volume becomes the volume's own.
async fn mounted(
    volume: &Volume,
    device: Device,
    place: PathBuf,
    (kind, mut options): (FileSystem, Vec<String>),
    read_only: bool,
) -> EngineResult<()> {
    format::prepare(&device, kind, read_only).await?;
    match &volume.content {
        Some(_) if !read_only => format::renew(&device, kind, &volume.uuid, &place).await?,
        Some(_) if kind == FileSystem::Xfs => options.push(format::NO_UUID.to_owned()),
        _ => {}
    }
    let (attached, at) = (device.clone(), place.clone());
    blocking(move || mount::attach(&attached, &at, kind, &options, read_only)).await?;
    fitted(volume, device, place, read_only).await
}

/// Grows a mounted file system that came from a smaller volume.
async fn fitted(volume: &Volume, device: Device, place: PathBuf, read_only: bool) -> EngineResult<()> {
    if volume.content.is_none() || read_only {
        return Ok(());
    }
    let size = volume.size;
    blocking(move || format::grow(&device, &place, size)).await
}

/// A path that is given whole.
fn path(text: &str, what: &str) -> Result<PathBuf, Status> {
    match text {
        "" => Err(Status::invalid_argument(format!("{what} is missing"))),
        text if !text.starts_with('/') => {
            Err(Status::invalid_argument(format!("{what} {text:?} is no full path")))
        }
        text => Ok(text.into()),
    }
}

/// A path that a volume may be at.
fn known_path(text: &str, id: &str) -> Result<PathBuf, Status> {
    match path(text, "volume_path") {
        Err(_) if !text.is_empty() => Err(not_there(id, Path::new(text))),
        given => given,
    }
}

async fn at_place(device: &Device, place: &Path) -> Result<Place, Status> {
    let (device, place) = (device.clone(), place.to_owned());
    Ok(blocking(move || device.at_place(&place)).await?)
}

/// An error if the volume can be reached from anywhere but these two.
async fn refuse_elsewhere(id: &str, device: &Device, known: [&Path; 2]) -> Result<(), Status> {
    let (device, known) = (device.clone(), known.map(Path::to_owned));
    let places = blocking(move || device.elsewhere(&[&known[0], &known[1]])).await?;
    if places.is_empty() {
        return Ok(());
    }
    let places: Vec<_> = places.iter().map(|place| place.display().to_string()).collect();
    Err(Status::failed_precondition(format!("volume {id} is mounted on {}", places.join(", "))))
}

/// A volume that is for one place is in no second.
async fn refuse_second(
    id: &str,
    wanted: &Use,
    device: &Device,
    staging: &Path,
    place: &Path,
) -> Result<(), Status> {
    if wanted.alone { refuse_elsewhere(id, device, [staging, place]).await } else { Ok(()) }
}

fn occupied(place: &Path, found: &Place) -> Status {
    let what = match found {
        Place::Other(what) => what.as_str(),
        Place::Device => "the volume as a device",
        Place::FileSystem(_) => "the volume as a file system",
        Place::Free => "nothing",
    };
    Status::failed_precondition(format!("{} is taken: {what} is mounted there", place.display()))
}

fn not_there(id: &str, place: &Path) -> Status {
    Status::not_found(format!("volume {id} is not at {}", place.display()))
}

/// Bytes and inodes of a mounted file system.
fn usage(place: &Path) -> EngineResult<Vec<VolumeUsage>> {
    let of = statvfs(place).map_err(|errno| {
        Error::io(format!("the file system at {} cannot be asked", place.display()), errno)
    })?;
    let bytes = |blocks: u64| number(Bytes(blocks.saturating_mul(of.fragment_size())));
    let inodes = |inodes: u64| i64::try_from(inodes).unwrap_or(i64::MAX);
    Ok(vec![
        VolumeUsage {
            available: bytes(of.blocks_available()),
            total: bytes(of.blocks()),
            used: bytes(of.blocks().saturating_sub(of.blocks_free())),
            unit: Unit::Bytes.into(),
        },
        VolumeUsage {
            available: inodes(of.files_available()),
            total: inodes(of.files()),
            used: inodes(of.files().saturating_sub(of.files_free())),
            unit: Unit::Inodes.into(),
        },
    ])
}

#[tonic::async_trait]
impl Node for NodeService {
    async fn node_stage_volume(
        &self,
        request: Request<NodeStageVolumeRequest>,
    ) -> Result<Response<NodeStageVolumeResponse>, Status> {
        let asked = request.into_inner();
        self.serve("NodeStageVolume", &asked.volume_id.clone(), |node| async move {
            node.stage(&asked).await.map(|()| NodeStageVolumeResponse {})
        })
        .await
    }

    async fn node_unstage_volume(
        &self,
        request: Request<NodeUnstageVolumeRequest>,
    ) -> Result<Response<NodeUnstageVolumeResponse>, Status> {
        let asked = request.into_inner();
        self.serve("NodeUnstageVolume", &asked.volume_id.clone(), |node| async move {
            node.unstage(&asked).await.map(|()| NodeUnstageVolumeResponse {})
        })
        .await
    }

    async fn node_publish_volume(
        &self,
        request: Request<NodePublishVolumeRequest>,
    ) -> Result<Response<NodePublishVolumeResponse>, Status> {
        let asked = request.into_inner();
        self.serve("NodePublishVolume", &asked.volume_id.clone(), |node| async move {
            node.publish(&asked).await.map(|()| NodePublishVolumeResponse {})
        })
        .await
    }

    async fn node_unpublish_volume(
        &self,
        request: Request<NodeUnpublishVolumeRequest>,
    ) -> Result<Response<NodeUnpublishVolumeResponse>, Status> {
        let asked = request.into_inner();
        self.serve("NodeUnpublishVolume", &asked.volume_id.clone(), |node| async move {
            node.unpublish(&asked).await.map(|()| NodeUnpublishVolumeResponse {})
        })
        .await
    }

    async fn node_get_volume_stats(
        &self,
        request: Request<NodeGetVolumeStatsRequest>,
    ) -> Result<Response<NodeGetVolumeStatsResponse>, Status> {
        let asked = request.into_inner();
        self.serve("NodeGetVolumeStats", &asked.volume_id.clone(), |node| async move {
            Ok(NodeGetVolumeStatsResponse { usage: node.stats(&asked).await? })
        })
        .await
    }

    async fn node_expand_volume(
        &self,
        request: Request<NodeExpandVolumeRequest>,
    ) -> Result<Response<NodeExpandVolumeResponse>, Status> {
        let asked = request.into_inner();
        self.serve("NodeExpandVolume", &asked.volume_id.clone(), |node| async move {
            Ok(NodeExpandVolumeResponse { capacity_bytes: node.expand(&asked).await? })
        })
        .await
    }

    async fn node_get_capabilities(
        &self,
        _: Request<NodeGetCapabilitiesRequest>,
    ) -> Result<Response<NodeGetCapabilitiesResponse>, Status> {
        let capability = |offered: rpc::Type| NodeServiceCapability {
            r#type: Some(Type::Rpc(Rpc { r#type: offered.into() })),
        };
        Ok(Response::new(NodeGetCapabilitiesResponse { capabilities: OFFERED.map(capability).into() }))
    }

    async fn node_get_info(
        &self,
        _: Request<NodeGetInfoRequest>,
    ) -> Result<Response<NodeGetInfoResponse>, Status> {
        Ok(Response::new(NodeGetInfoResponse {
            node_id: self.driver.names.node.clone(),
            max_volumes_per_node: 0,
            accessible_topology: Some(self.driver.topology()),
        }))
    }
}
