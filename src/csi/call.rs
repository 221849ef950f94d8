//! What every call goes through: a number, a span, a measure, an end that does not depend on the caller.
//!
//! A call that was begun is ended, also when its caller has gone: no object is left half made, and the caller's next attempt finds what
//! this one did. Of a request only the name or id that it is about is logged, so no secret can be.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tonic::{Code, Response, Status};
use tracing::Instrument;

use super::Driver;
use crate::error::{self, Error, Kind};
use crate::metrics::Metrics;

static NUMBER: AtomicU64 = AtomicU64::new(1);

impl Driver {
    /// Ends a call: `about` is the name or id of what it concerns.
    pub async fn serve<T: Send + 'static>(
        &self,
        method: &'static str,
        about: &str,
        work: impl Future<Output = Result<T, Status>> + Send + 'static,
    ) -> Result<Response<T>, Status> {
        serve(self.metrics.clone(), method, about, work).await
    }
}

async fn serve<T: Send + 'static>(
    metrics: Option<Arc<Metrics>>,
    method: &'static str,
    about: &str,
    work: impl Future<Output = Result<T, Status>> + Send + 'static,
) -> Result<Response<T>, Status> {
    let request = NUMBER.fetch_add(1, Ordering::Relaxed);
    let span = tracing::info_span!("call", request, method, about);
    let ended = async move {
        let began = Instant::now();
        let outcome = work.await;
        let (error, elapsed) = (outcome.as_ref().err(), began.elapsed());
        told(error, elapsed);
        if let Some(metrics) = metrics {
            metrics.called(method, error.map_or(Code::Ok, Status::code), elapsed);
        }
        outcome
    };
    let outcome = tokio::spawn(ended.instrument(span)).await;
    outcome
        .unwrap_or_else(|_| Err(Status::internal(format!("{method} broke off: this is a bug"))))
        .map(Response::new)
}

fn told(error: Option<&Status>, elapsed: Duration) {
    match error {
        None => tracing::info!(?elapsed, "ok"),
        Some(status) if status.code() == Code::Internal => {
            tracing::error!(?elapsed, code = ?status.code(), "{}", status.message());
        }
        Some(status) => tracing::info!(?elapsed, code = ?status.code(), "{}", status.message()),
    }
}

/// Blocking work, on a thread where it blocks nobody. The only way from here to the engine and to the kernel.
pub async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> error::Result<T> + Send + 'static,
) -> error::Result<T> {
    let span = tracing::Span::current();
    let outcome = tokio::task::spawn_blocking(move || span.in_scope(work)).await;
    outcome.unwrap_or_else(|_| {
        Err(Error::new(Kind::Internal, "a thread of the driver broke off: this is a bug"))
    })
}

#[cfg(test)]
mod tests {
    use tokio::sync::Notify;

    use super::*;

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_time().build().unwrap()
    }

    #[test]
    fn a_call_whose_caller_has_gone_is_ended() {
        runtime().block_on(async {
            let (go_on, done) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
            let (awaited, told) = (Arc::clone(&go_on), Arc::clone(&done));
            let call = serve(None, "CreateVolume", "pvc-1", async move {
                awaited.notified().await;
                told.notify_one();
                Ok(())
            });
            assert!(tokio::time::timeout(Duration::from_millis(10), call).await.is_err());
            go_on.notify_one();
            tokio::time::timeout(Duration::from_secs(10), done.notified()).await.unwrap();
        });
    }

    #[test]
    fn a_call_that_panics_is_an_internal_error_with_words() {
        let call = serve::<()>(None, "CreateVolume", "pvc-1", async { panic!("on purpose") });
        let status = runtime().block_on(call).unwrap_err();
        assert_eq!(
            (status.code(), status.message()),
            (Code::Internal, "CreateVolume broke off: this is a bug")
        );
    }
}
