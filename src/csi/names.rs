//! The names of logical volumes, for names of CSI: those are up to 128 bytes of anything.
//!
//! A name that can be one is kept, so that people find it; a snapshot `snapshot-X` becomes `snapcontent-X`, for LVM2 keeps names that
//! start with "snapshot" to itself, and HwameiStor's users know it by that name. All others become a hash. The name itself stands in a tag,
//! each byte that a tag may not have as `&` and two hexadecimal digits.

use std::fmt::Write as _;

use sha2::{Digest, Sha256};
use tonic::Status;

use super::backend::Content;
use crate::lvm::{LvName, Tag};

/// The longest name and id that the standard knows, in bytes.
const MOST: usize = 128;
/// What a name may be long: device-mapper doubles hyphens, and the group's name and a layer's stand beside it.
const PLAIN: usize = 80;
const NAME: &str = "csi.name=";
const GROUP: &str = "csi.group=";
const FROM_SNAPSHOT: &str = "csi.from-snapshot=";
const FROM_VOLUME: &str = "csi.from-volume=";
const VOLUME: &str = "csi-vol-";
const SNAPSHOT: &str = "csi-snap-";
const SNAPCONTENT: &str = "snapcontent-";

/// An error unless it is given and no longer than names and ids are.
pub fn check<'t>(text: &'t str, what: &str) -> Result<&'t str, Status> {
    match text.len() {
        0 => Err(Status::invalid_argument(format!("{what} is missing"))),
        1..=MOST => Ok(text),
        length => Err(Status::invalid_argument(format!("{what} is {length} bytes long; the most is {MOST}"))),
    }
}

/// The logical volume of a volume.
pub fn volume(name: &str) -> LvName {
    let is_kept = ![SNAPCONTENT, VOLUME, SNAPSHOT].iter().any(|start| name.starts_with(start));
    plain(name).filter(|_| is_kept).unwrap_or_else(|| hashed(VOLUME, name))
}

/// The logical volume of a snapshot.
pub fn snapshot(name: &str) -> LvName {
    let kept = name.strip_prefix("snapshot-").and_then(|rest| plain(&format!("{SNAPCONTENT}{rest}")));
    kept.unwrap_or_else(|| hashed(SNAPSHOT, name))
}

/// The id of a group of snapshots.
pub fn group(name: &str) -> String {
    hashed("csi-group-", name).to_string()
}

fn plain(name: &str) -> Option<LvName> {
    let length = name.len() + name.matches('-').count();
    let lv: LvName = name.parse().ok().filter(|_| length <= PLAIN)?;
    lv.check_new().is_ok().then_some(lv)
}

fn hashed(start: &str, name: &str) -> LvName {
    let hash = Sha256::digest(name);
    let digits = hash.iter().take(16).fold(String::new(), |mut digits, byte| {
        let _ = write!(digits, "{byte:02x}");
        digits
    });
    format!("{start}{digits}").parse().expect("letters, digits and hyphens are a name")
}

/// The tag that says what CSI calls a volume or snapshot.
pub fn name_tag(name: &str) -> Tag {
    tag(NAME, name)
}

/// The tag that says to which group a snapshot belongs.
pub fn group_tag(id: &str) -> Tag {
    tag(GROUP, id)
}

/// The tag that says what a volume held at first.
pub fn content_tag(content: &Content) -> Tag {
    match content {
        Content::Snapshot(id) => tag(FROM_SNAPSHOT, id.as_str()),
        Content::Volume(id) => tag(FROM_VOLUME, id.as_str()),
    }
}

/// What a volume with these tags held at first.
pub fn content_in(tags: &[String]) -> Option<Content> {
    let id = |word| said(tags, word)?.parse().ok();
    id(FROM_SNAPSHOT).map(Content::Snapshot).or_else(|| id(FROM_VOLUME).map(Content::Volume))
}

/// What CSI calls what bears these tags; none if it is not CSI's.
pub fn name_in(tags: &[String]) -> Option<String> {
    said(tags, NAME)
}

/// The group of a snapshot with these tags.
pub fn group_in(tags: &[String]) -> Option<String> {
    said(tags, GROUP)
}

fn tag(word: &str, text: &str) -> Tag {
    let escaped = text.bytes().fold(word.to_owned(), |mut tag, byte| {
        if byte.is_ascii_alphanumeric() || b"._-".contains(&byte) {
            tag.push(char::from(byte));
        } else {
            let _ = write!(tag, "&{byte:02x}");
        }
        tag
    });
    escaped.parse().expect("letters, digits and . _ - & = are a tag")
}

fn said(tags: &[String], word: &str) -> Option<String> {
    let mut rest = tags.iter().find_map(|tag| tag.strip_prefix(word))?;
    let mut bytes = Vec::new();
    while let Some(&byte) = rest.as_bytes().first() {
        let escaped = (byte == b'&').then(|| rest.get(1..3)).flatten();
        bytes.push(escaped.map_or(Some(byte), |digits| u8::from_str_radix(digits, 16).ok())?);
        rest = rest.get(if escaped.is_some() { 3 } else { 1 }..)?;
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_that_people_know_are_kept() {
        assert_eq!(
            volume("pvc-0b2e7c1a-1111-2222-3333-444455556666").as_str(),
            "pvc-0b2e7c1a-1111-2222-3333-444455556666"
        );
        assert_eq!(snapshot("snapshot-0b2e7c1a").as_str(), "snapcontent-0b2e7c1a");
    }

    #[test]
    fn names_that_cannot_be_volumes_or_would_be_taken_for_others_are_hashed() {
        for name in [
            "a b",
            "snapshot-1",
            "pvmove0",
            "x_tdata",
            "-a",
            "..",
            "ü",
            "snapcontent-1",
            "csi-vol-1",
            &"n".repeat(128),
        ] {
            let lv = volume(name);
            assert!(lv.as_str().starts_with(VOLUME), "{name} became {lv}");
            lv.check_new().unwrap();
        }
        assert!(snapshot("backup").as_str().starts_with(SNAPSHOT));
        assert_ne!(volume(&"n".repeat(127)), volume(&"n".repeat(128)));
    }

    #[test]
    fn a_name_is_given_and_at_most_128_bytes_long() {
        assert!(check("", "name").is_err());
        assert!(check(&"n".repeat(128), "name").is_ok());
        assert!(check(&"n".repeat(129), "name").is_err());
    }

    proptest! {
        #[test]
        fn a_tag_gives_any_name_back(name in "\\PC{1,128}") {
            let tags = ["other".to_owned(), name_tag(&name).to_string()];
            prop_assert_eq!(name_in(&tags), Some(name));
        }

        #[test]
        fn a_tag_says_what_a_volume_held(id in "[a-zA-Z0-9+._][a-zA-Z0-9+._-]{1,80}", of_volume: bool) {
            prop_assume!(id != "..");
            let id = id.parse().unwrap();
            let content = if of_volume { Content::Volume(id) } else { Content::Snapshot(id) };
            let tags = [name_tag("pvc-1").to_string(), content_tag(&content).to_string()];
            prop_assert_eq!(content_in(&tags), Some(content));
        }

        #[test]
        fn different_names_are_different_volumes(a in "[a-z&-]{1,12}", b in "(snapshot-|snapcontent-|csi-vol-)?[a-z&-]{1,12}") {
            prop_assert_eq!(a == b, volume(&a) == volume(&b));
            prop_assert_eq!(a == b, snapshot(&a) == snapshot(&b));
            prop_assert_ne!(volume(&a), snapshot(&b));
        }
    }
}
