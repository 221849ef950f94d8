//! Names, tags and uuids: what LVM2 allows in them.
//!
//! A value that was parsed obeys the rules for *writing*: character set and length. Creating asks for more: some names belong to
//! volumes that LVM2 makes by itself ([`LvName::check_new`]). What is found in metadata may be anything, as LVM2 reads it: other bytes
//! are then spelled as device-mapper does (`\x20`), so that no name is ever a path. Rules that look at more than one name
//! (uniqueness, the length of a device-mapper name) are in [`super::check`].

use std::borrow::{Borrow, Cow};
use std::fmt::{self, Write as _};
use std::str::FromStr;
use std::sync::Arc;

use crate::error::{Error, Kind, Result};

/// The longest name of a volume group or logical volume, in bytes.
pub const NAME_MAX: usize = 127;

/// The longest tag that is created, in bytes. Longer ones are read.
pub const TAG_MAX: usize = 1024;

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $what:literal, $check:path) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The bare text.
            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// True if LVM2 would write it.
            pub fn is_valid(&self) -> bool {
                $check(self.as_str()).is_ok()
            }
        }

        impl FromStr for $name {
            type Err = Error;

            fn from_str(text: &str) -> Result<Self> {
                match $check(text) {
                    Ok(()) => Ok(Self(Arc::from(text))),
                    Err(why) => Err(Error::new(Kind::Usage, format!("bad {} {text:?}: {why}", $what))),
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&*self.0, f)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
    };
}

name! {
    /// The name of a volume group.
    VgName, "volume group name", check_name
}
name! {
    /// The name of a logical volume, without its volume group.
    LvName, "volume name", check_name
}
name! {
    /// A tag on a volume group, physical volume, logical volume or segment.
    Tag, "tag", check_tag
}

fn check_name(text: &str) -> std::result::Result<(), &'static str> {
    match text {
        "" => Err("it is empty"),
        "." | ".." => Err("it is a directory's name"),
        _ if text.starts_with('-') => Err("it starts with a hyphen"),
        _ if text.len() > NAME_MAX => Err("it is longer than 127 bytes"),
        _ if !text.bytes().all(is_name_byte) => Err("only letters, digits and . _ + - are allowed"),
        _ => Ok(()),
    }
}

fn check_tag(text: &str) -> std::result::Result<(), &'static str> {
    match text {
        "" => Err("it is empty"),
        _ if !text.bytes().all(is_tag_byte) => {
            Err("only letters, digits and . _ + - / = ! : & # are allowed")
        }
        _ => Ok(()),
    }
}

/// The text, with each byte that is not allowed as `\x` and its number; also the dots of what is a directory's name.
pub(super) fn spelled(text: &[u8], is_allowed: fn(u8) -> bool) -> Cow<'_, str> {
    let is_directory = matches!(text, b"." | b"..");
    match std::str::from_utf8(text) {
        Ok(plain) if !is_directory && text.iter().all(|&byte| is_allowed(byte)) => Cow::Borrowed(plain),
        _ => Cow::Owned(text.iter().fold(String::new(), |mut spelled, &byte| {
            if is_allowed(byte) && !is_directory {
                spelled.push(char::from(byte));
            } else {
                let _ = write!(spelled, "\\x{byte:02x}");
            }
            spelled
        })),
    }
}

pub(super) const fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'+' | b'-')
}

const fn is_tag_byte(byte: u8) -> bool {
    is_name_byte(byte) || matches!(byte, b'/' | b'=' | b'!' | b':' | b'&' | b'#')
}

const RESERVED_STARTS: [&str; 2] = ["pvmove", "snapshot"];

const RESERVED_PARTS: [&str; 17] = [
    "_cdata", "_cmeta", "_corig", "_cpool", "_cvol", "_wcorig", "_mimage", "_mlog", "_rimage", "_rmeta",
    "_tdata", "_tmeta", "_vdata", "_imeta", "_iorig", "_pmspare", "_vorigin",
];

impl LvName {
    /// What a text says, whether LVM2 would write it or not.
    pub(super) fn found(text: &[u8]) -> Self {
        Self(Arc::from(spelled(text, is_name_byte)))
    }

    /// Refuses a name that LVM2 keeps for volumes that it makes by itself, such as `snapshot3` or `x_tdata`.
    pub fn check_new(&self) -> Result<()> {
        let name = self.as_str();
        let rule = if let Some(start) = RESERVED_STARTS.into_iter().find(|start| name.starts_with(start)) {
            format!("names that start with \"{start}\" are reserved for LVM2's hidden volumes")
        } else if let Some(part) = RESERVED_PARTS.into_iter().find(|part| name.contains(part)) {
            format!("names that contain \"{part}\" are reserved for LVM2's hidden volumes")
        } else {
            return Ok(());
        };
        Err(Error::new(Kind::Usage, format!("bad volume name \"{name}\": {rule}"))
            .hint("choose another name"))
    }

    /// The hidden volume's name `snapshot<number>`.
    pub fn hidden_snapshot(number: u64) -> Self {
        Self(Arc::from(format!("snapshot{number}")))
    }

    /// The number in `snapshot<number>`.
    pub fn hidden_snapshot_number(&self) -> Option<u64> {
        self.as_str().strip_prefix("snapshot")?.parse().ok()
    }
}

impl Tag {
    /// What a text says, whether LVM2 would write it or not.
    pub(super) fn found(text: &[u8]) -> Self {
        Self(Arc::from(spelled(text, is_tag_byte)))
    }

    /// Refuses a tag that LVM2 reads but whose creation it documents as wrong: too long, or with a leading hyphen.
    pub fn check_new(&self) -> Result<()> {
        let why = match self.as_str() {
            text if text.starts_with('-') => "it starts with a hyphen",
            text if text.len() > TAG_MAX => "it is longer than 1024 bytes",
            _ => return Ok(()),
        };
        Err(Error::new(Kind::Usage, format!("bad tag \"{self}\": {why}")).hint("choose another tag"))
    }
}

/// The identity of a volume group, physical volume or logical volume: 32 characters of LVM2's alphabet. Printed in
/// groups of 6-4-4-4-4-4-6.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Uuid([u8; 32]);

const GROUPS: [usize; 7] = [6, 4, 4, 4, 4, 4, 6];

impl Uuid {
    /// A value that nothing has.
    pub(super) const NONE: Self = Self([b'0'; 32]);

    /// A new uuid of the 62 alphanumerics that LVM2 uses; `fill` gives the random bytes.
    pub fn generate(fill: &mut dyn FnMut(&mut [u8])) -> Self {
        const ALPHABET: &[u8; 62] = b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
        let mut bytes = [0; 32];
        fill(&mut bytes);
        Self(bytes.map(|byte| ALPHABET[usize::from(byte) % ALPHABET.len()]))
    }

    /// The 32 characters without hyphens, as in labels and device-mapper uuids.
    pub fn compact(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }

    /// The same as bytes.
    pub const fn bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// With or without hyphens, wherever they are: LVM2 reads it so.
    pub fn from_text(text: &[u8]) -> Option<Self> {
        let mut bytes = [0; 32];
        let mut places = bytes.iter_mut();
        for &byte in text.iter().filter(|&&byte| byte != b'-') {
            *places.next()? = byte;
        }
        match places.next() {
            None => Self::from_bytes(bytes),
            Some(_) => None,
        }
    }

    /// From the 32 bytes of a label; nothing where one is outside the alphabet.
    pub fn from_bytes(bytes: [u8; 32]) -> Option<Self> {
        bytes.iter().all(|&byte| is_uuid_byte(byte)).then_some(Self(bytes))
    }
}

const fn is_uuid_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'!' | b'#')
}

impl FromStr for Uuid {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Self::from_text(text.as_bytes()).ok_or_else(|| {
            Error::new(Kind::Usage, format!("bad uuid {text:?}: not 32 characters of 0-9 a-z A-Z ! #"))
        })
    }
}

impl fmt::Display for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.compact();
        let mut text = String::with_capacity(38);
        for length in GROUPS {
            let Some((group, after)) = rest.split_at_checked(length) else {
                break;
            };
            if !text.is_empty() {
                text.push('-');
            }
            text.push_str(group);
            rest = after;
        }
        f.pad(&text)
    }
}

impl fmt::Debug for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_obey_lvm2s_character_set_and_length() {
        for good in ["a", "vg0", "A.b_c+d-e", "0", "...", "_x", &"n".repeat(127)] {
            assert!(good.parse::<VgName>().is_ok(), "{good}");
            assert!(good.parse::<LvName>().is_ok(), "{good}");
        }
        for bad in ["", ".", "..", "-a", "a/b", "a b", "a:b", "é", "a\0", &"n".repeat(128)] {
            assert_eq!(bad.parse::<VgName>().unwrap_err().kind(), Kind::Usage, "{bad}");
            assert_eq!(bad.parse::<LvName>().unwrap_err().kind(), Kind::Usage, "{bad}");
        }
    }

    #[test]
    fn reserved_volume_names_are_read_but_not_created() {
        for reserved in [
            "snapshot3",
            "snapshot",
            "pvmove0",
            "x_cdata",
            "a_tmeta",
            "lvol0_pmspare",
            "s_vorigin",
            "r_rimage_0",
        ] {
            let name: LvName = reserved.parse().unwrap();
            let error = name.check_new().unwrap_err();
            assert_eq!(error.kind(), Kind::Usage, "{reserved}");
            assert!(error.to_string().contains("reserved"), "{error}");
        }
        for free in ["snap", "db-snapshot3", "mypvmove", "cdata"] {
            assert!(free.parse::<LvName>().unwrap().check_new().is_ok(), "{free}");
        }
    }

    #[test]
    fn hidden_snapshot_names_carry_a_number() {
        assert_eq!(LvName::hidden_snapshot(12).as_str(), "snapshot12");
        assert_eq!(LvName::hidden_snapshot(12).hidden_snapshot_number(), Some(12));
        assert_eq!("snapshotx".parse::<LvName>().unwrap().hidden_snapshot_number(), None);
    }

    #[test]
    fn tags_allow_more_characters_than_names() {
        assert!("a.b_c+d-e/f=g!h:i&j#k".parse::<Tag>().is_ok());
        for bad in ["", "a b", "a,b", "a\"b", "@x"] {
            assert!(bad.parse::<Tag>().is_err(), "{bad}");
        }
        for read_only in ["-a", &"t".repeat(1025)] {
            assert!(read_only.parse::<Tag>().unwrap().check_new().is_err(), "{read_only}");
        }
    }

    #[test]
    fn uuids_print_in_groups_and_are_read_with_or_without_hyphens() {
        let text = "ABCDEF-0123-4567-89ab-cdef-ghij-klm!o#";
        let uuid: Uuid = text.parse().unwrap();
        assert_eq!(uuid.to_string(), text);
        assert_eq!(uuid.compact(), "ABCDEF0123456789abcdefghijklm!o#");
        assert_eq!(uuid.compact().parse::<Uuid>().unwrap(), uuid);
        for bad in ["", "x", &text[1..], &format!("{text}x"), &text.replace('A', "_")] {
            assert!(bad.parse::<Uuid>().is_err(), "{bad}");
        }
    }

    #[test]
    fn generated_uuids_use_only_letters_and_digits() {
        let mut next = 0_u8;
        let uuid = Uuid::generate(&mut |bytes| {
            for byte in bytes {
                *byte = next;
                next = next.wrapping_add(7);
            }
        });
        assert!(uuid.compact().bytes().all(|byte| byte.is_ascii_alphanumeric()));
        assert_eq!(uuid.compact().len(), 32);
        assert!(uuid.compact().starts_with("07el"));
    }

    proptest! {
        #[test]
        fn any_text_is_a_name_or_refused(text in "\\PC{0,140}") {
            let _ = (text.parse::<VgName>(), text.parse::<Tag>(), text.parse::<Uuid>());
        }

        #[test]
        fn a_uuid_survives_printing(bytes in proptest::array::uniform32(any::<u8>())) {
            let uuid = Uuid::generate(&mut |place| place.copy_from_slice(&bytes));
            prop_assert_eq!(uuid.to_string().parse::<Uuid>().unwrap(), uuid);
        }
    }
}
