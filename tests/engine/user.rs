//! Somebody who writes to volumes while operations run, and knows what every snapshot of them may show.

// Places and volumes are few.
#![allow(clippy::cast_possible_truncation)]

use std::sync::{Arc, Mutex, MutexGuard};

use crate::checker::kernel::World;
use crate::lab::Lab;
use dmsnap::block::{Access, Devices};
use dmsnap::dm::sim::SimDevices;
use dmsnap::dm::{DmName, DmUuid, Kernel};
use dmsnap::units::Bytes;

/// Places that are written to again and again, in chunks of their own.
const BUSY: u64 = 12;
/// Places that are written to at the beginning only.
const STILL: u64 = 4;
const APART: u64 = 192 << 10;
/// A place that holds a part of one write and a part of another.
const TORN: u64 = u64::MAX;

/// One who writes. Copies are the same one.
#[derive(Clone)]
pub struct User(Arc<Mutex<Inner>>);

struct Inner {
    devices: SimDevices,
    volumes: Vec<(String, DmUuid)>,
    /// Volume, place and value of what was written, in order.
    done: Vec<(usize, u64, u64)>,
    waiting: Option<(usize, u64, u64)>,
    /// After each write.
    flushes: bool,
    failures: Vec<String>,
}

impl User {
    /// Fills the volumes, of the group `vg-0` if no other is named, all places.
    pub fn new(lab: &Lab, volumes: &[&str]) -> Self {
        let device = |lv: &&str| {
            let (vg, lv) = lv.split_once('/').unwrap_or(("vg-0", lv));
            let name = DmName::for_volume(vg, lv, None).unwrap();
            (lv.to_owned(), lab.kernel.info(&name).unwrap().unwrap().uuid.unwrap())
        };
        let volumes: Vec<_> = volumes.iter().map(device).collect();
        let inner = Inner {
            devices: lab.devices.clone(),
            volumes,
            done: Vec::new(),
            waiting: None,
            flushes: true,
            failures: Vec::new(),
        };
        let user = Self(Arc::new(Mutex::new(inner)));
        user.fill();
        user
    }

    fn fill(&self) {
        let mut inner = self.inner();
        for volume in 0..inner.volumes.len() {
            (0..BUSY + STILL).for_each(|place| inner.write((volume, place, 1)));
        }
    }

    /// The same one on a host that is a copy.
    pub fn on(&self, lab: &Lab) -> Self {
        let known = self.inner();
        Self(Arc::new(Mutex::new(Inner {
            devices: lab.devices.clone(),
            volumes: known.volumes.clone(),
            done: known.done.clone(),
            waiting: known.waiting,
            flushes: known.flushes,
            failures: known.failures.clone(),
        })))
    }

    /// The same one after a restart: what waited is forgotten.
    pub fn restarted_on(&self, lab: &Lab) -> Self {
        let user = self.on(lab);
        user.inner().waiting = None;
        user
    }

    /// One who trusts that what is written gets to the disk some time.
    pub fn careless(self) -> Self {
        self.inner().flushes = false;
        self
    }

    /// Writes once, or tries again what waits.
    pub fn turn(&self) {
        let mut inner = self.inner();
        let next = inner.done.len() as u64;
        let volume = next as usize % inner.volumes.len().max(1);
        let waiting = inner.waiting.take();
        if !inner.volumes.is_empty() {
            inner.write(waiting.unwrap_or((volume, next * 5 % BUSY, next)));
        }
    }

    /// Writes to the places that nobody writes to: what is tracked is copied.
    pub fn disturb(&self) {
        let mut inner = self.inner();
        for volume in 0..inner.volumes.len() {
            let value = inner.done.len() as u64;
            inner.write((volume, BUSY, value));
        }
    }

    pub fn writes(&self) -> usize {
        self.inner().done.len()
    }

    pub fn failures(&self) -> Vec<String> {
        let inner = self.inner();
        let waiting = inner.waiting.iter().map(|write| format!("the write {write:?} waits"));
        inner.failures.iter().cloned().chain(waiting).collect()
    }

    /// The volumes that it writes to, and the uuids of their devices.
    pub fn volumes(&self) -> Vec<(String, String)> {
        let all = self.inner().volumes.clone();
        all.into_iter().map(|(name, uuid)| (name, uuid.as_str().to_owned())).collect()
    }

    /// What a volume holds after so many writes, by place.
    pub fn state(&self, uuid: &str, writes: usize) -> Vec<u64> {
        let inner = self.inner();
        let own = inner.volumes.iter().position(|(_, known)| known.as_str() == uuid);
        let mut state = vec![0; (BUSY + STILL) as usize];
        for (_, place, value) in inner.done[..writes].iter().filter(|(volume, ..)| Some(*volume) == own) {
            state[*place as usize] = *value;
        }
        state
    }

    /// The same where the volume got the content of `to` writes back after `at` of them.
    pub fn state_rolled_back(&self, uuid: &str, to: usize, at: usize) -> Vec<u64> {
        let mut state = self.state(uuid, to);
        let inner = self.inner();
        let own = inner.volumes.iter().position(|(_, known)| known.as_str() == uuid);
        for (_, place, value) in inner.done[at..].iter().filter(|(volume, ..)| Some(*volume) == own) {
            state[*place as usize] = *value;
        }
        state
    }

    /// What a device shows, by place.
    pub fn shown(world: &World, number: &str) -> Result<Vec<u64>, String> {
        let value = |place: u64| {
            let bytes = world.read(number, place * APART / 512)?;
            let mut words = bytes.chunks(8).map(|word| u64::from_le_bytes(word.try_into().unwrap()));
            let first = words.next().unwrap_or(TORN);
            Ok(if words.all(|word| word == first) { first } else { TORN })
        };
        (0..BUSY + STILL).map(value).collect()
    }

    /// The places at the end, which only [`User::disturb`] writes to.
    pub fn still(state: &[u64]) -> &[u64] {
        &state[BUSY as usize..]
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap()
    }
}

impl Inner {
    fn write(&mut self, write: (usize, u64, u64)) {
        let (volume, place, value) = write;
        let Some(info) = self.devices.kernel().find(&self.volumes[volume].1).unwrap() else {
            self.failures.push(format!("{} is gone", self.volumes[volume].0));
            return;
        };
        let path = std::path::Path::new("/dev/mapper").join(info.name.as_str());
        let bytes: Vec<u8> = (0..512).flat_map(|_| value.to_le_bytes()).collect();
        let written = self.devices.open(&path, Access::Write).and_then(|device| {
            device.write_at(Bytes(place * APART), &bytes)?;
            if self.flushes { device.flush() } else { Ok(()) }
        });
        match written {
            Ok(()) => self.done.push(write),
            Err(error) if error.to_string().contains("would wait") => self.waiting = Some(write),
            Err(error) => self.failures.push(format!("{write:?}: {error}")),
        }
    }
}
