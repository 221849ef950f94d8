//! What it costs to ask for a snapshot by gRPC instead of calling the engine: the same cut, on the simulated kernel and disks in memory,
//! through a unix socket and without.

#[allow(dead_code)]
mod world;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use criterion::Criterion;
use dmsnap::csi::local::Local;
use dmsnap::csi::proto::controller_client::ControllerClient;
use dmsnap::csi::proto::controller_server::ControllerServer;
use dmsnap::csi::proto::volume_capability::access_mode::Mode;
use dmsnap::csi::proto::volume_capability::{AccessMode, AccessType, BlockVolume};
use dmsnap::csi::proto::{
    CapacityRange, CreateSnapshotRequest, CreateVolumeRequest, DeleteSnapshotRequest, VolumeCapability,
};
use dmsnap::csi::{ControllerService, DRIVER, Driver, Names};
use tokio::net::UnixListener;
use tokio::runtime::Runtime;
use tokio_stream::wrappers::UnixListenerStream;
use tonic::transport::{Channel, Endpoint, Server};
use world::{MODE, engine, name, snapshot, vg};

/// A group that is in use.
const VOLUMES: u64 = 64;

fn main() {
    let directory = tempfile::tempdir().expect("there is a place for files");
    let mut criterion = Criterion::default().configure_from_args();
    let mut group = criterion.benchmark_group("csi");
    let alone = engine(directory.path(), VOLUMES);
    group.bench_function("engine", |bench| {
        bench.iter_custom(|count| (0..count).map(|_| by_the_engine(&alone)).sum::<Duration>());
    });
    let runtime = Runtime::new().expect("there are threads");
    let mut client = runtime.block_on(served(directory.path()));
    group.bench_function("grpc", |bench| {
        bench.iter_custom(|count| {
            runtime.block_on(async {
                let mut took = Duration::ZERO;
                for _ in 0..count {
                    took += by_grpc(&mut client).await;
                }
                took
            })
        });
    });
    group.finish();
    criterion.final_summary();
}

fn by_the_engine(engine: &dmsnap::engine::Engine) -> Duration {
    let began = Instant::now();
    snapshot(engine, 0);
    let took = began.elapsed();
    engine.remove_snapshots(&vg(), &[name('s', 0)], MODE).expect("it is not in use");
    took
}

async fn by_grpc(client: &mut ControllerClient<Channel>) -> Duration {
    let asked = CreateSnapshotRequest {
        source_volume_id: "pvc-0".to_owned(),
        name: "snapshot-0".to_owned(),
        ..CreateSnapshotRequest::default()
    };
    let began = Instant::now();
    client.create_snapshot(asked).await.expect("there is room");
    let took = began.elapsed();
    let doomed =
        DeleteSnapshotRequest { snapshot_id: "snapcontent-0".to_owned(), ..DeleteSnapshotRequest::default() };
    client.delete_snapshot(doomed).await.expect("it is not in use");
    took
}

/// A caller of a driver whose pool has as many volumes, all of them CSI's.
async fn served(directory: &Path) -> ControllerClient<Channel> {
    let names = Names { driver: DRIVER.to_owned(), node: "bench".to_owned(), vg: Some(vg()) };
    let driver = Driver::new(names, Arc::new(Local::new(engine(directory, 0))));
    let socket = directory.join("csi.sock");
    let incoming = UnixListenerStream::new(UnixListener::bind(&socket).expect("the place is free"));
    tokio::spawn(
        Server::builder()
            .add_service(ControllerServer::new(ControllerService(driver)))
            .serve_with_incoming(incoming),
    );
    let endpoint = Endpoint::from_shared(format!("unix://{}", socket.display())).expect("a path");
    let mut client = ControllerClient::new(endpoint.connect().await.expect("somebody listens"));
    for number in 0..VOLUMES {
        client.create_volume(volume(number)).await.expect("there is room");
    }
    client
}

fn volume(number: u64) -> CreateVolumeRequest {
    let capability = VolumeCapability {
        access_type: Some(AccessType::Block(BlockVolume {})),
        access_mode: Some(AccessMode { mode: Mode::SingleNodeWriter.into() }),
    };
    CreateVolumeRequest {
        name: format!("pvc-{number}"),
        capacity_range: Some(CapacityRange { required_bytes: 1 << 20, limit_bytes: 0 }),
        volume_capabilities: vec![capability],
        ..CreateVolumeRequest::default()
    }
}
