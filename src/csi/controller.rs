//! The controller service: each call in its frame. What it does is in `volumes` and `snapshots`.

use std::future::Future;
use std::sync::Arc;

use tonic::{Request, Response, Status};

use super::proto::controller_server::Controller;
use super::proto::controller_service_capability::{Rpc, Type, rpc};
use super::proto::{
    ControllerExpandVolumeRequest, ControllerExpandVolumeResponse, ControllerGetCapabilitiesRequest,
    ControllerGetCapabilitiesResponse, ControllerGetVolumeRequest, ControllerGetVolumeResponse,
    ControllerServiceCapability, CreateSnapshotRequest, CreateSnapshotResponse, CreateVolumeRequest,
    CreateVolumeResponse, DeleteSnapshotRequest, DeleteSnapshotResponse, DeleteVolumeRequest,
    DeleteVolumeResponse, GetCapacityRequest, GetCapacityResponse, GetSnapshotRequest, GetSnapshotResponse,
    ListSnapshotsRequest, ListSnapshotsResponse, ListVolumesRequest, ListVolumesResponse,
    ValidateVolumeCapabilitiesRequest, ValidateVolumeCapabilitiesResponse,
};
use super::{Driver, snapshots, volumes};

const OFFERED: [rpc::Type; 10] = [
    rpc::Type::CreateDeleteVolume,
    rpc::Type::ListVolumes,
    rpc::Type::GetCapacity,
    rpc::Type::CreateDeleteSnapshot,
    rpc::Type::ListSnapshots,
    rpc::Type::CloneVolume,
    rpc::Type::ExpandVolume,
    rpc::Type::GetVolume,
    rpc::Type::GetSnapshot,
    rpc::Type::SingleNodeMultiWriter,
];

/// The service.
pub struct ControllerService(pub Arc<Driver>);

impl ControllerService {
    async fn serve<T, W>(
        &self,
        method: &'static str,
        about: &str,
        work: impl FnOnce(Arc<Driver>) -> W,
    ) -> Result<Response<T>, Status>
    where
        T: Send + 'static,
        W: Future<Output = Result<T, Status>> + Send + 'static,
    {
        self.0.serve(method, about, work(Arc::clone(&self.0))).await
    }
}

#[tonic::async_trait]
impl Controller for ControllerService {
    async fn create_volume(
        &self,
        request: Request<CreateVolumeRequest>,
    ) -> Result<Response<CreateVolumeResponse>, Status> {
        let asked = request.into_inner();
        self.serve("CreateVolume", &asked.name.clone(), |driver| async move {
            Ok(CreateVolumeResponse { volume: Some(volumes::create(&driver, asked).await?) })
        })
        .await
    }

    async fn delete_volume(
        &self,
        request: Request<DeleteVolumeRequest>,
    ) -> Result<Response<DeleteVolumeResponse>, Status> {
        let id = request.into_inner().volume_id;
        self.serve("DeleteVolume", &id.clone(), |driver| async move {
            volumes::delete(&driver, &id).await.map(|()| DeleteVolumeResponse {})
        })
        .await
    }

    async fn validate_volume_capabilities(
        &self,
        request: Request<ValidateVolumeCapabilitiesRequest>,
    ) -> Result<Response<ValidateVolumeCapabilitiesResponse>, Status> {
        let asked = request.into_inner();
        self.serve("ValidateVolumeCapabilities", &asked.volume_id.clone(), |driver| async move {
            volumes::validate(&driver, asked).await
        })
        .await
    }

    async fn list_volumes(
        &self,
        request: Request<ListVolumesRequest>,
    ) -> Result<Response<ListVolumesResponse>, Status> {
        let asked = request.into_inner();
        self.serve("ListVolumes", "", |driver| async move { volumes::list(&driver, &asked).await }).await
    }

    async fn get_capacity(
        &self,
        request: Request<GetCapacityRequest>,
    ) -> Result<Response<GetCapacityResponse>, Status> {
        let asked = request.into_inner();
        self.serve("GetCapacity", "", |driver| async move { volumes::capacity(&driver, &asked).await }).await
    }

    async fn controller_get_capabilities(
        &self,
        _: Request<ControllerGetCapabilitiesRequest>,
    ) -> Result<Response<ControllerGetCapabilitiesResponse>, Status> {
        let capability = |offered: rpc::Type| ControllerServiceCapability {
            r#type: Some(Type::Rpc(Rpc { r#type: offered.into() })),
        };
        Ok(Response::new(ControllerGetCapabilitiesResponse { capabilities: OFFERED.map(capability).into() }))
    }

    async fn create_snapshot(
        &self,
        request: Request<CreateSnapshotRequest>,
    ) -> Result<Response<CreateSnapshotResponse>, Status> {
        let asked = request.into_inner();
        self.serve("CreateSnapshot", &asked.name.clone(), |driver| async move {
            Ok(CreateSnapshotResponse { snapshot: Some(snapshots::create(&driver, &asked).await?) })
        })
        .await
    }

    async fn delete_snapshot(
        &self,
        request: Request<DeleteSnapshotRequest>,
    ) -> Result<Response<DeleteSnapshotResponse>, Status> {
        let id = request.into_inner().snapshot_id;
        self.serve("DeleteSnapshot", &id.clone(), |driver| async move {
            snapshots::delete(&driver, &id).await.map(|()| DeleteSnapshotResponse {})
        })
        .await
    }

    async fn list_snapshots(
        &self,
        request: Request<ListSnapshotsRequest>,
    ) -> Result<Response<ListSnapshotsResponse>, Status> {
        let asked = request.into_inner();
        self.serve("ListSnapshots", "", |driver| async move { snapshots::list(&driver, &asked).await }).await
    }

    async fn get_snapshot(
        &self,
        request: Request<GetSnapshotRequest>,
    ) -> Result<Response<GetSnapshotResponse>, Status> {
        let id = request.into_inner().snapshot_id;
        self.serve("GetSnapshot", &id.clone(), |driver| async move {
            let snapshot = snapshots::find(&driver, &id).await?;
            Ok(GetSnapshotResponse { snapshot: Some(snapshots::shown(&driver, &snapshot)) })
        })
        .await
    }

    async fn controller_expand_volume(
        &self,
        request: Request<ControllerExpandVolumeRequest>,
    ) -> Result<Response<ControllerExpandVolumeResponse>, Status> {
        let asked = request.into_inner();
        self.serve("ControllerExpandVolume", &asked.volume_id.clone(), |driver| async move {
            volumes::expand(&driver, &asked).await
        })
        .await
    }

    async fn controller_get_volume(
        &self,
        request: Request<ControllerGetVolumeRequest>,
    ) -> Result<Response<ControllerGetVolumeResponse>, Status> {
        let id = request.into_inner().volume_id;
        self.serve("ControllerGetVolume", &id.clone(), |driver| async move {
            let volume = volumes::find(&driver, &id).await?;
            Ok(ControllerGetVolumeResponse { volume: Some(volumes::shown(&driver, &volume)), status: None })
        })
        .await
    }
}
