//! Who the driver is and what it can do.

use std::sync::Arc;

use tonic::{Request, Response, Status};

use super::Driver;
use super::proto::identity_server::Identity;
use super::proto::plugin_capability::{Service, Type, VolumeExpansion, service, volume_expansion};
use super::proto::{
    GetPluginCapabilitiesRequest, GetPluginCapabilitiesResponse, GetPluginInfoRequest, GetPluginInfoResponse,
    PluginCapability, ProbeRequest, ProbeResponse,
};

/// The service.
pub struct IdentityService(pub Arc<Driver>);

#[tonic::async_trait]
impl Identity for IdentityService {
    async fn get_plugin_info(
        &self,
        _: Request<GetPluginInfoRequest>,
    ) -> Result<Response<GetPluginInfoResponse>, Status> {
        Ok(Response::new(GetPluginInfoResponse {
            name: self.0.names.driver.clone(),
            vendor_version: env!("CARGO_PKG_VERSION").to_owned(),
            manifest: [].into(),
        }))
    }

    async fn get_plugin_capabilities(
        &self,
        _: Request<GetPluginCapabilitiesRequest>,
    ) -> Result<Response<GetPluginCapabilitiesResponse>, Status> {
        let offered = [
            service::Type::ControllerService,
            service::Type::VolumeAccessibilityConstraints,
            service::Type::GroupControllerService,
        ];
        let services = offered.map(|offered| Type::Service(Service { r#type: offered.into() }));
        let online = VolumeExpansion { r#type: volume_expansion::Type::Online.into() };
        let all = services.into_iter().chain([Type::VolumeExpansion(online)]);
        let capabilities = all.map(|offered| PluginCapability { r#type: Some(offered) }).collect();
        Ok(Response::new(GetPluginCapabilitiesResponse { capabilities }))
    }

    /// Ready is who can read what there is.
    async fn probe(&self, _: Request<ProbeRequest>) -> Result<Response<ProbeResponse>, Status> {
        let driver = Arc::clone(&self.0);
        self.0
            .serve("Probe", "", async move {
                driver.backend.volumes().await?;
                Ok(ProbeResponse { ready: Some(true) })
            })
            .await
    }
}
