//! Events: the kernel wakes whoever polls its control file when a device has something to say (`DM_DEV_ARM_POLL`, Linux 4.14).
//!
//! A snapshot that became invalid and a merge that failed are events. A device that comes or goes is none, nor is a store that fills: so
//! nobody waits longer than a second before the list of devices is compared.

use std::os::fd::AsFd;
use std::time::Duration;

use devicemapper::DM;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::DmName;
use crate::error::{Error, Result};

/// A device, and the number of its last event.
pub type Seen = Vec<(DmName, u32)>;

/// Tells when devices come, go, or say something.
pub trait Events: Send {
    /// Waits for that, at most so long; nothing if nothing happened. The first call answers at once.
    fn wait(&mut self, at_most: Duration) -> Result<Option<Seen>>;
}

/// The real ones. Each has a control file of its own: the kernel remembers what was told through a file.
pub(super) struct ControlEvents {
    dm: DM,
    last: Option<Seen>,
}

impl ControlEvents {
    pub(super) fn new(dm: DM) -> Self {
        Self { dm, last: None }
    }

    fn list(&self) -> Result<Seen> {
        let listed = self.dm.list_devices();
        let listed = listed.map_err(|error| Error::io("device-mapper did not list its devices", error))?;
        // Devices of others may be called what no volume is.
        let seen = listed
            .iter()
            .filter_map(|(name, _, number)| Some((DmName::new(name.to_string()).ok()?, number.unwrap_or(0))));
        Ok(seen.collect())
    }

    /// What there is now, if it differs from what was told last.
    fn news(&mut self) -> Result<Option<Seen>> {
        let seen = self.list()?;
        if self.last.as_ref() == Some(&seen) {
            return Ok(None);
        }
        self.last = Some(seen.clone());
        Ok(Some(seen))
    }
}

impl Events for ControlEvents {
    fn wait(&mut self, at_most: Duration) -> Result<Option<Seen>> {
        // What happens behind this call wakes the poll: nothing is missed between the list and it.
        self.dm.arm_poll().map_err(|error| Error::io("device-mapper tells of no events", error))?;
        if let Some(seen) = self.news()? {
            return Ok(Some(seen));
        }
        let timeout = PollTimeout::try_from(at_most).unwrap_or(PollTimeout::MAX);
        let mut files = [PollFd::new(self.dm.file().as_fd(), PollFlags::POLLIN)];
        match poll(&mut files, timeout) {
            Ok(_) | Err(Errno::EINTR) => self.news(),
            Err(errno) => Err(Error::io("device-mapper's control file cannot be waited for", errno)),
        }
    }
}
