//! `dmsnap monitor`: the daemon around [`Engine::monitor`]: signals, systemd, metrics.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;
use std::time::Duration;

use nix::sys::signal::{SigSet, Signal, kill};
use nix::unistd::Pid;

use super::systemd::notify;
use crate::engine::monitor::{Board, Options};
use crate::engine::{Engine, World};
use crate::error::{Error, Kind, Result};
use crate::metrics::{Metrics, serve};

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
        serve::serve(address, metrics)?;
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
