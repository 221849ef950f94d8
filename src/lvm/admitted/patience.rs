//! Opening and reading devices with a limit: none that does not answer holds up the rest.
//!
//! What the kernel says lets nothing through (a suspended mapping, a blocked disk) is not touched before it does again. Anything else
//! is opened and read by a thread that may be left behind: one that waits in the kernel cannot be ended, nor can its process. A
//! device that was given up costs no second wait while nothing has changed.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use nix::sys::signal::SigSet;

use crate::block::sysfs::SysDevices;
use crate::block::{Access, DevNo, Device, Devices};
use crate::error::{Context, Error, Kind, Result};
use crate::units::Bytes;

/// A device that lets nothing through is looked at this often.
const PAUSE: Duration = Duration::from_millis(20);

/// For so long a device that was given up is waited for no more: about as long as a command.
const MEMORY: Duration = Duration::from_secs(60);

/// So much is read to see whether a device answers.
const FIRST: usize = 4096;

/// Devices that have so long to answer.
pub(super) struct Patience {
    devices: Arc<dyn Devices>,
    names: SysDevices,
    limit: Duration,
    workers: Arc<Workers>,
    given_up: Mutex<GivenUp>,
}

/// When devices that let nothing through were given up.
#[derive(Debug, Default)]
struct GivenUp(HashMap<DevNo, Instant>);

impl GivenUp {
    fn is_known(&self, device: DevNo, now: Instant) -> bool {
        self.0.get(&device).is_some_and(|when| now.saturating_duration_since(*when) < MEMORY)
    }

    /// One that was known is known no longer for that.
    fn note(&mut self, device: DevNo, now: Instant) {
        if !self.is_known(device, now) {
            self.0.insert(device, now);
        }
    }
}

impl Patience {
    pub fn new(devices: Arc<dyn Devices>, names: SysDevices, limit: Duration) -> Self {
        Self { devices, names, limit, workers: Arc::default(), given_up: Mutex::default() }
    }

    /// Opens a device for reading once it lets something through, and reads its beginning.
    pub fn open(&self, path: &Path) -> Result<Arc<dyn Device>> {
        let until = Instant::now() + self.limit;
        self.wait_until_awake(path, until)?;
        let (devices, from) = (self.devices.clone(), path.to_owned());
        let opened = self.workers.within(path, until, self.limit, move || {
            let device = devices.open(&from, Access::Read)?;
            let first = usize::try_from(device.size().get()).unwrap_or(FIRST).min(FIRST);
            device.read_at(Bytes::ZERO, &mut vec![0; first])?;
            Ok(device)
        });
        let (workers, limit) = (self.workers.clone(), self.limit);
        Ok(Arc::new(Patient { device: opened?, workers, limit }))
    }

    fn wait_until_awake(&self, path: &Path, until: Instant) -> Result<()> {
        let Ok(number) = self.names.number(path) else { return Ok(()) };
        while let Some(why) = self.names.standstill(number) {
            let now = Instant::now();
            if lock(&self.given_up).is_known(number, now) || now >= until {
                lock(&self.given_up).note(number, now);
                return Err(dead(path, &why, self.limit));
            }
            std::thread::sleep(PAUSE);
        }
        lock(&self.given_up).0.remove(&number);
        Ok(())
    }
}

/// A device that is read with a limit.
#[derive(Debug)]
struct Patient {
    device: Arc<dyn Device>,
    workers: Arc<Workers>,
    limit: Duration,
}

impl Device for Patient {
    fn path(&self) -> &Path {
        self.device.path()
    }

    fn number(&self) -> DevNo {
        self.device.number()
    }

    fn size(&self) -> Bytes {
        self.device.size()
    }

    fn block_size(&self) -> Bytes {
        self.device.block_size()
    }

    fn read_at(&self, offset: Bytes, buffer: &mut [u8]) -> Result<()> {
        let (device, mut bytes) = (self.device.clone(), vec![0; buffer.len()]);
        let until = Instant::now() + self.limit;
        let read = move || device.read_at(offset, &mut bytes).map(|()| bytes);
        let bytes = self.workers.within(self.device.path(), until, self.limit, read)?;
        buffer.copy_from_slice(&bytes);
        Ok(())
    }

    fn write_at(&self, offset: Bytes, data: &[u8]) -> Result<()> {
        self.device.write_at(offset, data)
    }

    fn zero(&self, offset: Bytes, length: Bytes) -> Result<()> {
        self.device.zero(offset, length)
    }

    fn flush(&self) -> Result<()> {
        self.device.flush()
    }
}

type Job = Box<dyn FnOnce() + Send>;

/// Threads that wait for something to do, and what others still wait for.
#[derive(Debug, Default)]
struct Workers {
    idle: Mutex<Vec<Sender<Job>>>,
    /// Set once the device at this path has answered after all.
    stuck: Mutex<HashMap<PathBuf, Arc<AtomicBool>>>,
}

impl Workers {
    /// What the work gives, if it is done in time.
    fn within<T: Send + 'static>(
        &self,
        path: &Path,
        until: Instant,
        limit: Duration,
        work: impl FnOnce() -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let silent = || dead(path, "does not answer", limit).hint(UNENDING);
        if lock(&self.stuck).get(path).is_some_and(|answered| !answered.load(Ordering::Acquire)) {
            return Err(silent());
        }
        let answered = Arc::new(AtomicBool::new(false));
        let (done, result) = (answered.clone(), channel());
        let job = move || {
            let outcome = work();
            done.store(true, Ordering::Release);
            // Nobody listens any more if it took too long.
            let _ = result.0.send(outcome);
        };
        let idle = lock(&self.idle).pop();
        let worker = idle.unwrap_or_else(worker);
        worker.send(Box::new(job)).map_err(|_| silent())?;
        match result.1.recv_timeout(until.saturating_duration_since(Instant::now())) {
            Ok(outcome) => {
                lock(&self.idle).push(worker);
                lock(&self.stuck).remove(path);
                outcome
            }
            Err(_) => {
                lock(&self.stuck).insert(path.to_owned(), answered);
                Err(silent())
            }
        }
    }
}

/// A thread that does one thing after the other, and ends when nobody asks any more.
fn worker() -> Sender<Job> {
    let (jobs, asked) = channel::<Job>();
    std::thread::spawn(move || {
        // A signal waits for whoever has a reason to be asked: a thread that switches lets none end the process meanwhile.
        let _ = SigSet::all().thread_block();
        asked.into_iter().for_each(|job| job());
    });
    jobs
}

const UNENDING: &str = "dmsnap goes on, but the kernel lets it end only when the device answers or fails";

fn dead(path: &Path, what: &str, limit: Duration) -> Error {
    let cause = format!("{} {what}, for {} s", path.display(), limit.as_secs());
    Error::new(Kind::Internal, cause).at(Context::Device(path.to_owned()))
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use nix::sys::signal::Signal;

    use super::*;
    use crate::block::Listed;
    use crate::block::mem::MemDevices;

    /// A host whose devices answer nothing while the lock is held; how often one was opened.
    struct Slow {
        host: MemDevices,
        dead: Arc<Mutex<u32>>,
    }

    #[derive(Debug)]
    struct SlowDevice(Arc<dyn Device>, Arc<Mutex<u32>>);

    impl Device for SlowDevice {
        fn path(&self) -> &Path {
            self.0.path()
        }
        fn number(&self) -> DevNo {
            self.0.number()
        }
        fn size(&self) -> Bytes {
            self.0.size()
        }
        fn block_size(&self) -> Bytes {
            self.0.block_size()
        }
        fn read_at(&self, offset: Bytes, buffer: &mut [u8]) -> Result<()> {
            *lock(&self.1) += 1;
            self.0.read_at(offset, buffer)
        }
        fn write_at(&self, offset: Bytes, data: &[u8]) -> Result<()> {
            self.0.write_at(offset, data)
        }
        fn zero(&self, offset: Bytes, length: Bytes) -> Result<()> {
            self.0.zero(offset, length)
        }
        fn flush(&self) -> Result<()> {
            self.0.flush()
        }
    }

    impl Devices for Slow {
        fn list(&self) -> Result<Vec<Listed>> {
            self.host.list()
        }
        fn lookup(&self, path: &Path) -> Result<Listed> {
            self.host.lookup(path)
        }
        fn open(&self, path: &Path, access: Access) -> Result<Arc<dyn Device>> {
            Ok(Arc::new(SlowDevice(self.host.open(path, access)?, self.dead.clone())))
        }
        fn mounts(&self, number: DevNo) -> Result<Vec<PathBuf>> {
            self.host.mounts(number)
        }
        fn sync_mounted(&self, number: DevNo) -> Result<()> {
            self.host.sync_mounted(number)
        }
        fn check_growable(&self, number: DevNo) -> Result<()> {
            self.host.check_growable(number)
        }
        fn grow_mounted(&self, number: DevNo, size: Bytes) -> Result<()> {
            self.host.grow_mounted(number, size)
        }
    }

    fn patience(limit: Duration) -> (Patience, Arc<Mutex<u32>>) {
        let (host, dead) = (MemDevices::new(), Arc::new(Mutex::new(0)));
        host.add("/dev/sda", Bytes::mib(4));
        let nowhere = SysDevices { sys: "/nonexistent".into(), dev: "/nonexistent".into() };
        (Patience::new(Arc::new(Slow { host, dead: dead.clone() }), nowhere, limit), dead)
    }

    #[test]
    fn no_signal_reaches_a_thread_that_waits_for_devices() {
        let (patience, _) = patience(Duration::from_secs(60));
        let limit = Duration::from_secs(60);
        let asked = || Ok(SigSet::thread_get_mask().unwrap());
        let until = Instant::now() + limit;
        let mask = patience.workers.within(Path::new("/dev/sda"), until, limit, asked).unwrap();
        for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP] {
            assert!(mask.contains(signal), "{signal}");
        }
    }

    #[test]
    fn a_device_that_answers_is_read() {
        let (patience, reads) = patience(Duration::from_secs(60));
        let device = patience.open(Path::new("/dev/sda")).unwrap();
        let mut bytes = [1; 512];
        device.read_at(Bytes(512), &mut bytes).unwrap();
        assert_eq!((bytes, *lock(&reads)), ([0; 512], 2));
    }

    #[test]
    fn a_device_that_does_not_answer_is_asked_once_until_it_does() {
        let (patience, reads) = patience(Duration::from_millis(50));
        let held = lock(&reads);
        for _ in 0..3 {
            let error = patience.open(Path::new("/dev/sda")).unwrap_err();
            assert!(error.to_string().contains("/dev/sda does not answer"), "{error}");
        }
        drop(held);
        let has_answered =
            || lock(&patience.workers.stuck).values().all(|answered| answered.load(Ordering::Acquire));
        while !has_answered() {
            std::thread::yield_now();
        }
        // The one thread that waited is through: there was no second one.
        assert_eq!(*lock(&reads), 1);
        while patience.open(Path::new("/dev/sda")).is_err() {
            std::thread::yield_now();
        }
    }

    #[test]
    fn a_device_that_was_given_up_is_waited_for_once_a_minute() {
        let (mut known, disk, began) = (GivenUp::default(), DevNo { major: 8, minor: 0 }, Instant::now());
        let after = |seconds| began + Duration::from_secs(seconds);
        assert!(!known.is_known(disk, began));
        known.note(disk, began);
        known.note(disk, after(59));
        assert!(known.is_known(disk, after(59)) && !known.is_known(disk, after(60)));
        known.note(disk, after(70));
        assert!(known.is_known(disk, after(129)) && !known.is_known(disk, after(130)));
    }

    #[test]
    fn a_device_that_dies_after_it_was_opened_is_given_up_too() {
        let (patience, reads) = patience(Duration::from_secs(60));
        let device = patience.open(Path::new("/dev/sda")).unwrap();
        let (workers, limit) = (patience.workers.clone(), Duration::from_millis(50));
        let device = Patient { device, workers, limit };
        let held = lock(&reads);
        let error = device.read_at(Bytes::ZERO, &mut [0; 512]).unwrap_err();
        assert!(error.to_string().contains("/dev/sda does not answer"), "{error}");
        drop(held);
    }
}
