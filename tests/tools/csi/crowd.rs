//! Many callers at once: each cuts and removes snapshots of volumes that all of them share.

use std::sync::Arc;
use std::time::{Duration, Instant};

use dmsnap::csi::proto::controller_client::ControllerClient;
use dmsnap::csi::proto::{CreateSnapshotRequest, DeleteSnapshotRequest};
use tonic::Status;
use tonic::transport::Channel;

type Controller = ControllerClient<Channel>;

/// So many snapshots by these callers, over these volumes. Says how long the cuts and the removals took.
pub async fn run(controllers: Vec<Controller>, ids: &[&str], count: usize) -> Result<String, Status> {
    let ids: Arc<Vec<String>> = Arc::new(ids.iter().map(|&id| id.to_owned()).collect());
    let (began, callers) = (Instant::now(), controllers.len());
    let work = |(caller, mut controller): (usize, Controller)| {
        let ids = Arc::clone(&ids);
        tokio::spawn(async move {
            let mut took = Vec::new();
            for number in (caller..count).step_by(callers) {
                took.push(one(&mut controller, &ids[number % ids.len()], number).await?);
            }
            Ok::<_, Status>(took)
        })
    };
    let tasks: Vec<_> = controllers.into_iter().enumerate().map(work).collect();
    let mut took = Vec::new();
    for task in tasks {
        took.extend(task.await.map_err(|error| Status::internal(error.to_string()))??);
    }
    let (cuts, removals): (Vec<_>, Vec<_>) = took.into_iter().unzip();
    let elapsed = began.elapsed().as_secs_f64();
    Ok(format!(
        "{count} snapshots in {elapsed:.1} s\ncut: {}\nremoved: {}",
        quantiles(cuts),
        quantiles(removals)
    ))
}

async fn one(controller: &mut Controller, id: &str, number: usize) -> Result<(Duration, Duration), Status> {
    let asked = CreateSnapshotRequest {
        source_volume_id: id.to_owned(),
        name: format!("snapshot-{number}"),
        ..CreateSnapshotRequest::default()
    };
    let began = Instant::now();
    let made = controller.create_snapshot(asked).await?.into_inner().snapshot.unwrap_or_default();
    let cut = began.elapsed();
    let doomed = DeleteSnapshotRequest { snapshot_id: made.snapshot_id, ..DeleteSnapshotRequest::default() };
    controller.delete_snapshot(doomed).await?;
    Ok((cut, began.elapsed() - cut))
}

fn quantiles(mut took: Vec<Duration>) -> String {
    took.sort();
    let at = |percent: usize| {
        took.get((took.len() * percent / 100).min(took.len() - 1)).copied().unwrap_or_default()
    };
    format!("p50 {:?}, p99 {:?}", at(50), at(99))
}
