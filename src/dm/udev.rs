//! What a resume, remove or rename tells udev's rules.
//!
//! The kernel passes 16 bits of flags and a 16-bit cookie number from the ioctl into the event; `dmsetup udevflags` in the host's
//! rules turns the flags into properties. Flags make the right links and keep udev off hidden layers. The cookie names a
//! semaphore that somebody waits for; dmsnap's is always 0, which nobody waits for: a wait would stand inside the
//! switch, and for ever where no rule ever answers.

use std::fmt;

/// Flags for the rules of udev. All but [`UdevFlags::unchanged`] say that they come from the device's owner
/// (`PRIMARY_SOURCE`); the rules take other events for spurious ones.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct UdevFlags(u16);

const DISABLE_SUBSYSTEM_RULES: u16 = 0x02;
const DISABLE_DISK_RULES: u16 = 0x04;
const DISABLE_OTHER_RULES: u16 = 0x08;
const LOW_PRIORITY: u16 = 0x10;
const PRIMARY_SOURCE: u16 = 0x40;

const NAMES: [(u16, &str); 6] = [
    (0x01, "DM_UDEV_DISABLE_DM_RULES_FLAG"),
    (DISABLE_SUBSYSTEM_RULES, "DM_UDEV_DISABLE_SUBSYSTEM_RULES_FLAG"),
    (DISABLE_DISK_RULES, "DM_UDEV_DISABLE_DISK_RULES_FLAG"),
    (DISABLE_OTHER_RULES, "DM_UDEV_DISABLE_OTHER_RULES_FLAG"),
    (LOW_PRIORITY, "DM_UDEV_LOW_PRIORITY_FLAG"),
    (PRIMARY_SOURCE, "DM_UDEV_PRIMARY_SOURCE_FLAG"),
];

impl UdevFlags {
    /// A volume that people see: every rule applies.
    pub const fn visible() -> Self {
        Self(PRIMARY_SOURCE)
    }

    /// A snapshot: seen, but its content is its origin's, so the origin wins `/dev/disk/by-uuid`.
    pub const fn snapshot() -> Self {
        Self(PRIMARY_SOURCE | LOW_PRIORITY)
    }

    /// A layer below a volume (`-real`, `-cow`): no links, no probing.
    pub const fn hidden() -> Self {
        Self(PRIMARY_SOURCE | DISABLE_SUBSYSTEM_RULES | DISABLE_DISK_RULES | DISABLE_OTHER_RULES)
    }

    /// Nothing new: the rules go on with what their database has of the device. For a resume that undoes.
    pub const fn unchanged() -> Self {
        Self(0)
    }

    /// The bits.
    pub const fn bits(self) -> u16 {
        self.0
    }

    /// The flags in the number that an event carries as `DM_COOKIE`.
    pub const fn of_event(number: u32) -> Self {
        Self((number >> 16) as u16)
    }

    /// The properties that rules know the flags by, those that are set.
    pub fn properties(self) -> Vec<&'static str> {
        let named = NAMES.iter().filter(|(bit, _)| self.0 & bit != 0);
        named.map(|(_, name)| *name).collect()
    }

    /// The event number that carries the flags into an ioctl, with cookie number 0.
    pub const fn event_number(self) -> u32 {
        (self.0 as u32) << 16
    }
}

impl fmt::Debug for UdevFlags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "UdevFlags({:#x})", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_flags_are_those_of_lvm2_with_cookie_zero() {
        assert_eq!(UdevFlags::visible().event_number(), 0x0040_0000);
        assert_eq!(UdevFlags::snapshot().event_number(), 0x0050_0000);
        assert_eq!(UdevFlags::hidden().event_number(), 0x004e_0000);
        assert_eq!(UdevFlags::unchanged().event_number(), 0);
    }

    #[test]
    fn the_rules_get_the_flags_that_were_sent() {
        for flags in
            [UdevFlags::visible(), UdevFlags::snapshot(), UdevFlags::hidden(), UdevFlags::unchanged()]
        {
            assert_eq!(UdevFlags::of_event(flags.event_number() | 0x1234), flags);
        }
        let named = UdevFlags::snapshot().properties();
        assert_eq!(named, ["DM_UDEV_LOW_PRIORITY_FLAG", "DM_UDEV_PRIMARY_SOURCE_FLAG"]);
    }
}
