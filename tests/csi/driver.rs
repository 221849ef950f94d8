//! A driver on a host in memory, and short words for its calls.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use dmsnap::csi::local::Local;
use dmsnap::csi::proto::controller_server::Controller;
use dmsnap::csi::proto::group_controller_server::GroupController;
use dmsnap::csi::proto::volume_capability::access_mode::Mode;
use dmsnap::csi::proto::volume_capability::{AccessMode, AccessType, MountVolume};
use dmsnap::csi::proto::{
    self, CapacityRange, CreateSnapshotRequest, CreateVolumeRequest, DeleteSnapshotRequest,
    DeleteVolumeRequest, ListSnapshotsRequest, ListVolumesRequest, VolumeCapability,
};
use dmsnap::csi::{self, ControllerService, GroupService, Names};
use tokio::runtime::{Builder, Runtime};
use tonic::{Code, Request, Response};

use crate::lab::{Lab, Running, differ, vg};

/// What a call answers: what it is asked for, or a code and words.
pub type Answer<T> = Result<T, (Code, String)>;

pub struct Driver {
    pub controller: ControllerService,
    pub groups: GroupService,
    runtime: Runtime,
}

impl Driver {
    pub fn new(lab: &Lab) -> Self {
        Self::on(lab.engine())
    }

    pub fn on(engine: Running) -> Self {
        let names = Names { driver: csi::DRIVER.to_owned(), node: "lab".to_owned(), vg: Some(vg()) };
        let driver = csi::Driver::new(names, Arc::new(Local::new(engine.into_engine())));
        let runtime = Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .on_thread_start(apart)
            .build()
            .unwrap();
        Self { controller: ControllerService(Arc::clone(&driver)), groups: GroupService(driver), runtime }
    }

    /// Waits for a call, which never fails without words, and never with details.
    pub fn wait<T>(&self, call: impl Future<Output = Result<Response<T>, tonic::Status>>) -> Answer<T> {
        let answer = self.runtime.block_on(call).map(Response::into_inner);
        answer.map_err(|status| {
            assert!(!status.message().is_empty() && status.details().is_empty(), "{status:?}");
            (status.code(), status.message().to_owned())
        })
    }

    /// Begins a call, whose caller goes away at once.
    pub fn cancel<T>(&self, call: impl Future<Output = Result<Response<T>, tonic::Status>>) {
        drop(self.runtime.block_on(async { tokio::time::timeout(Duration::ZERO, call).await }));
    }

    pub fn create(&self, request: CreateVolumeRequest) -> Answer<proto::Volume> {
        Ok(self.wait(self.controller.create_volume(Request::new(request)))?.volume.unwrap())
    }

    pub fn delete(&self, id: &str) -> Answer<()> {
        let request = DeleteVolumeRequest { volume_id: id.to_owned(), ..DeleteVolumeRequest::default() };
        self.wait(self.controller.delete_volume(Request::new(request))).map(drop)
    }

    /// The ids of a page, and the token of the next one.
    pub fn list(&self, max_entries: i32, token: &str) -> Answer<(Vec<String>, String)> {
        let request = ListVolumesRequest { max_entries, starting_token: token.to_owned() };
        let page = self.wait(self.controller.list_volumes(Request::new(request)))?;
        Ok((page.entries.into_iter().map(|entry| entry.volume.unwrap().volume_id).collect(), page.next_token))
    }

    pub fn ids(&self) -> Vec<String> {
        self.list(0, "").unwrap().0
    }

    pub fn snap(&self, source: &str, name: &str) -> Answer<proto::Snapshot> {
        self.snap_with(snapshot(source, name))
    }

    pub fn snap_with(&self, request: CreateSnapshotRequest) -> Answer<proto::Snapshot> {
        Ok(self.wait(self.controller.create_snapshot(Request::new(request)))?.snapshot.unwrap())
    }

    pub fn delete_snapshot(&self, id: &str) -> Answer<()> {
        let request =
            DeleteSnapshotRequest { snapshot_id: id.to_owned(), ..DeleteSnapshotRequest::default() };
        self.wait(self.controller.delete_snapshot(Request::new(request))).map(drop)
    }

    pub fn snapshots(&self, request: ListSnapshotsRequest) -> Answer<(Vec<proto::Snapshot>, String)> {
        let page = self.wait(self.controller.list_snapshots(Request::new(request)))?;
        Ok((page.entries.into_iter().map(|entry| entry.snapshot.unwrap()).collect(), page.next_token))
    }

    pub fn snapshot_ids(&self) -> Vec<String> {
        let all = self.snapshots(ListSnapshotsRequest::default()).unwrap().0;
        all.into_iter().map(|snapshot| snapshot.snapshot_id).collect()
    }

    pub fn group(
        &self,
        request: proto::CreateVolumeGroupSnapshotRequest,
    ) -> Answer<proto::VolumeGroupSnapshot> {
        let answer = self.wait(self.groups.create_volume_group_snapshot(Request::new(request)))?;
        Ok(answer.group_snapshot.unwrap())
    }
}

/// What is random on one thread is not so on another.
fn apart() {
    static THREADS: AtomicU64 = AtomicU64::new(0);
    differ(THREADS.fetch_add(1, Ordering::Relaxed));
}

pub fn capability(mode: Mode) -> VolumeCapability {
    VolumeCapability {
        access_type: Some(AccessType::Mount(MountVolume::default())),
        access_mode: Some(AccessMode { mode: mode.into() }),
    }
}

/// A request for a volume of so many MiB.
pub fn volume(name: &str, mib: i64) -> CreateVolumeRequest {
    CreateVolumeRequest {
        name: name.to_owned(),
        capacity_range: Some(CapacityRange { required_bytes: mib << 20, limit_bytes: 0 }),
        volume_capabilities: vec![capability(Mode::SingleNodeWriter)],
        ..CreateVolumeRequest::default()
    }
}

pub fn snapshot(source: &str, name: &str) -> CreateSnapshotRequest {
    CreateSnapshotRequest {
        source_volume_id: source.to_owned(),
        name: name.to_owned(),
        ..CreateSnapshotRequest::default()
    }
}

pub fn code<T>(answer: Answer<T>) -> Code {
    answer.err().map_or(Code::Ok, |(code, _)| code)
}
