//! `dmsnap monitor`: the daemon around [`Engine::monitor`]: signals, systemd, metrics.

use std::ffi::OsStr;
use std::io;
use std::net::SocketAddr;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr as UnixAddr, UnixDatagram};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;
use std::time::Duration;

use nix::sys::signal::{SigSet, Signal, kill};
use nix::unistd::Pid;

use crate::engine::monitor::{Board, Options};
use crate::engine::{Engine, World};
use crate::error::{Error, Kind, Result};
use crate::metrics::{Metrics, serve};

/// Where systemd listens.
const NOTIFY: &str = "NOTIFY_SOCKET";

/// How long an operation that is under way may take when the daemon is to stop. Whatever it is cut at, the next command ends it.
const GRACE: Duration = Duration::from_secs(10);

/// Monitors until a SIGTERM or a SIGINT.
pub fn run(world: World, foresight: &str, options: Options, address: Option<SocketAddr>) -> Result<()> {
    let board = Arc::new(Board::default());
    let metrics = Arc::new(Metrics::new(Arc::clone(&board)));
    let engine = Engine::new(world).foreseeing(foresight).observed_by(Arc::clone(&metrics) as _);
    // Before there is any thread that could take them.
    let signals = SigSet::from_iter([Signal::SIGTERM, Signal::SIGINT]);
    signals.thread_block().map_err(|errno| Error::io("signals cannot be held back", errno))?;
    if let Some(address) = address {
        let bound = serve::serve(address, metrics)?;
        tracing::info!("metrics are at http://{bound}/metrics");
    }
    let stop = Arc::new(AtomicBool::new(false));
    let (tell, over) = channel();
    let work = {
        let stop = Arc::clone(&stop);
        move || {
            let ready = || {
                tracing::info!("every store is watched");
                notify("READY=1");
            };
            let ended = engine.monitor(&options, &board, &stop, ready);
            // Nobody listens any more when the grace is over.
            let _ = tell.send(ended);
            // Whoever waits for a signal has nothing to wait for any more.
            let _ = kill(Pid::this(), Signal::SIGTERM);
        }
    };
    let spawned = std::thread::Builder::new().name("monitor".to_owned()).spawn(work);
    spawned.map_err(|error| Error::io("no thread can be made for the monitor", error))?;
    signals.wait().map_err(|errno| Error::io("signals cannot be waited for", errno))?;
    notify("STOPPING=1");
    stop.store(true, Ordering::SeqCst);
    over.recv_timeout(GRACE).unwrap_or_else(|_| {
        let cause = format!("an operation is still under way after {} s", GRACE.as_secs());
        Err(Error::new(Kind::Internal, cause).hint("the next command ends it, or takes it back"))
    })
}

/// Tells systemd, if that started the daemon.
fn notify(state: &str) {
    let Some(socket) = std::env::var_os(NOTIFY) else { return };
    if let Err(error) = told(&socket, state) {
        tracing::warn!("systemd cannot be told {state}: {error}");
    }
}

fn told(socket: &OsStr, state: &str) -> io::Result<()> {
    let address = match socket.as_bytes() {
        [b'@', name @ ..] => UnixAddr::from_abstract_name(name)?,
        _ => UnixAddr::from_pathname(socket)?,
    };
    UnixDatagram::unbound()?.send_to_addr(state.as_bytes(), &address).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn systemd_is_told_at_a_path_and_at_an_abstract_address() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("notify");
        let name = format!("dmsnap-test-{}", std::process::id());
        let abstract_one = UnixAddr::from_abstract_name(&name).unwrap();
        let sockets = [
            (UnixDatagram::bind(&path).unwrap(), path.into_os_string()),
            (UnixDatagram::bind_addr(&abstract_one).unwrap(), format!("@{name}").into()),
        ];
        for (socket, address) in sockets {
            told(&address, "READY=1").unwrap();
            let mut buffer = [0; 32];
            let length = socket.recv(&mut buffer).unwrap();
            assert_eq!(&buffer[..length], b"READY=1");
        }
    }
}
