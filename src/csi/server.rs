//! The socket: bound so that only root reaches it, served until the process is told to end.

use std::future::Future;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use nix::sys::socket::{AddressFamily, Backlog, SockFlag, SockType, UnixAddr, bind, listen, socket};
use nix::sys::stat::{Mode, fchmod};
use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};
use tokio_stream::wrappers::UnixListenerStream;
use tonic::transport::Server;

use super::proto::controller_server::ControllerServer;
use super::proto::group_controller_server::GroupControllerServer;
use super::proto::identity_server::IdentityServer;
use super::proto::node_server::NodeServer;
use super::{ControllerService, Driver, GroupService, IdentityService, NodeService};
use crate::error::{Error, Kind, Result};

/// How long calls that were begun may take to end when the process is told to.
const LAST_CALLS: Duration = Duration::from_secs(30);

/// Calls that block at once: what is beyond waits.
const THREADS: usize = 64;

/// Where the driver listens: `unix:///PATH`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint(PathBuf);

impl FromStr for Endpoint {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let path = text.strip_prefix("unix:").map(|path| path.strip_prefix("//").unwrap_or(path));
        match path {
            Some(path) if path.starts_with('/') => Ok(Self(path.into())),
            _ => Err(Error::new(Kind::Usage, format!("bad endpoint \"{text}\": no socket with a full path"))
                .hint("write unix:///PATH")),
        }
    }
}

/// Serves until SIGTERM or SIGINT, then ends the calls that were begun. `ready` is called when somebody can call.
pub fn run(endpoint: &Endpoint, driver: &Arc<Driver>, node: NodeService, ready: impl FnOnce()) -> Result<()> {
    let socket = Socket::bind(&endpoint.0)?;
    let runtime = runtime()?;
    let served = runtime.block_on(serve(&socket, driver, node, ready));
    runtime.shutdown_timeout(LAST_CALLS);
    drop(socket);
    served
}

fn runtime() -> Result<Runtime> {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().max_blocking_threads(THREADS).enable_all().build();
    runtime.map_err(|error| Error::io("the server's threads cannot be started", error))
}

async fn serve(socket: &Socket, driver: &Arc<Driver>, node: NodeService, ready: impl FnOnce()) -> Result<()> {
    let broken = |error| Error::io(format!("{} cannot be served", socket.path.display()), error);
    let (health, health_service) = tonic_health::server::health_reporter();
    health.set_serving::<IdentityServer<IdentityService>>().await;
    let incoming = tokio::net::UnixListener::from_std(socket.listener()?).map_err(broken)?;
    let told = told_to_end()?;
    tracing::info!("listening on {}", socket.path.display());
    ready();
    let served = Server::builder()
        .add_service(health_service)
        .add_service(IdentityServer::new(IdentityService(Arc::clone(driver))))
        .add_service(ControllerServer::new(ControllerService(Arc::clone(driver))))
        .add_service(GroupControllerServer::new(GroupService(Arc::clone(driver))))
        .add_service(NodeServer::new(node))
        .serve_with_incoming_shutdown(UnixListenerStream::new(incoming), told);
    served.await.map_err(|error| Error::io(format!("{} cannot be served", socket.path.display()), error))
}

/// Ends when the process is told to.
fn told_to_end() -> Result<impl Future<Output = ()>> {
    let of = |kind| signal(kind).map_err(|error| Error::io("signals cannot be waited for", error));
    let (mut term, mut interrupt) = (of(SignalKind::terminate())?, of(SignalKind::interrupt())?);
    Ok(async move {
        std::future::poll_fn(|context| {
            let told = [term.poll_recv(context), interrupt.poll_recv(context)];
            told.into_iter().find(std::task::Poll::is_ready).unwrap_or(std::task::Poll::Pending)
        })
        .await;
        tracing::info!("ending");
    })
}

/// A socket, removed when this is dropped.
#[derive(Debug)]
struct Socket {
    path: PathBuf,
    listener: UnixListener,
}

impl Socket {
    /// Binds it, in the place of one that nobody listens on any more.
    fn bind(path: &Path) -> Result<Self> {
        let broken = |error| Error::io(format!("there cannot be a socket {}", path.display()), error);
        remove_stale(path)?;
        if let Some(directory) = path.parent() {
            std::fs::create_dir_all(directory).map_err(broken)?;
        }
        let bound = bound(path);
        let listener = bound.map_err(|errno| broken(errno.into()))?;
        Ok(Self { path: path.to_owned(), listener })
    }

    fn listener(&self) -> Result<UnixListener> {
        self.listener.try_clone().map_err(|error| Error::io("a socket cannot be listened on", error))
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_file(&self.path) {
            tracing::warn!("{} cannot be removed: {error}", self.path.display());
        }
    }
}

/// Nobody but root may connect: who does can remove volumes. The mode of the socket is that of its file from the first moment on (Linux
/// 6.1), so that nobody can come between, and no umask is changed for other threads.
fn bound(path: &Path) -> nix::Result<UnixListener> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let socket = socket(AddressFamily::Unix, SockType::Stream, flags, None)?;
    fchmod(&socket, Mode::S_IRUSR | Mode::S_IWUSR)?;
    bind(socket.as_raw_fd(), &UnixAddr::new(path)?)?;
    listen(&socket, Backlog::MAXCONN)?;
    Ok(socket.into())
}

/// Removes a socket that a dead process left. An error if it is none, or somebody listens.
fn remove_stale(path: &Path) -> Result<()> {
    let broken = |error| Error::io(format!("{} cannot be looked at", path.display()), error);
    let kind = match std::fs::symlink_metadata(path) {
        Ok(data) => data.file_type(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(broken(error)),
    };
    if !kind.is_socket() {
        return Err(Error::new(Kind::Refused, format!("{} is there and is no socket", path.display()))
            .hint("remove it, or give another --endpoint"));
    }
    match UnixStream::connect(path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            std::fs::remove_file(path).map_err(broken)
        }
        Err(error) => Err(broken(error)),
        Ok(_) => Err(Error::new(Kind::InUse, format!("somebody listens on {}", path.display()))
            .hint("end that process, or give another --endpoint")),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn an_endpoint_is_a_socket_with_a_full_path() {
        for (text, path) in
            [("unix:///run/csi.sock", "/run/csi.sock"), ("unix:/run/csi.sock", "/run/csi.sock")]
        {
            assert_eq!(text.parse::<Endpoint>().unwrap(), Endpoint(path.into()));
        }
        for bad in ["", "/run/csi.sock", "tcp://127.0.0.1:1", "unix://csi.sock", "unix:"] {
            assert_eq!(bad.parse::<Endpoint>().unwrap_err().kind(), Kind::Usage, "{bad}");
        }
    }

    #[test]
    fn a_stale_socket_is_replaced_and_a_live_one_or_a_file_is_not() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("below/csi.sock");
        let socket = Socket::bind(&path).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(Socket::bind(&path).unwrap_err().kind(), Kind::InUse);
        drop(socket);
        assert!(!path.exists());

        drop(UnixListener::bind(&path).unwrap());
        drop(Socket::bind(&path).unwrap());
        std::fs::write(&path, "").unwrap();
        assert_eq!(Socket::bind(&path).unwrap_err().kind(), Kind::Refused);
    }
}
