//! Changes of the devices file's text. What a line says beside the devices stays, comments too.
//!
//! LVM2 counts the versions of the text, and later ones (2.03.24) put its checksum in a comment: a text whose checksum is
//! wrong was written by somebody who did not know better, and LVM2 looks at all devices anew.

use super::entry::Entry;
use crate::error::{Error, Kind, Result};
use crate::lvm::label::checksum;

/// The format that is known; a file of a later one is left alone, as LVM2 does it.
const MAJOR: u32 = 1;
const MINOR: u32 = 1;

/// The text with this line for a device, instead of those that `is_same` knows. Nothing if it stands there already.
pub(super) fn with(text: &str, entry: &Entry, is_same: impl Fn(&Entry) -> bool) -> Result<Option<String>> {
    let line = entry.to_string();
    let others = |line: &&str| Entry::parse(line).is_none_or(|found| !is_same(&found));
    let (own, others): (Vec<&str>, Vec<&str>) = text.lines().partition(|line| !others(line));
    if own == [line.as_str()] {
        return Ok(None);
    }
    let lines = others.into_iter().map(ToOwned::to_owned).chain([line]);
    renewed(lines.collect()).map(Some)
}

/// The text in which the entries that `is_same` knows are of no physical volume any more. Nothing if none were.
pub(super) fn without_pv(text: &str, is_same: impl Fn(&Entry) -> bool) -> Result<Option<String>> {
    let change = |line: &str| match Entry::parse(line) {
        Some(entry) if is_same(&entry) => Entry { pvid: None, ..entry }.to_string(),
        _ => line.to_owned(),
    };
    let lines: Vec<String> = text.lines().map(change).collect();
    if lines.iter().eq(text.lines()) { Ok(None) } else { renewed(lines).map(Some) }
}

/// The lines as the next version.
fn renewed(lines: Vec<String>) -> Result<String> {
    let version = lines.iter().find_map(|line| line.strip_prefix("VERSION="));
    let count = version.map_or(Ok(0), counted)?;
    let version = format!("VERSION={MAJOR}.{MINOR}.{}", count.saturating_add(1));
    let (comments, rest): (Vec<_>, Vec<_>) = lines.into_iter().partition(|line| line.starts_with('#'));
    let mut rest: Vec<_> = rest.into_iter().filter(|line| !line.starts_with("VERSION=")).collect();
    // Before the devices, where LVM2 has it.
    let place = rest.iter().position(|line| line.starts_with("IDTYPE=")).unwrap_or(rest.len());
    rest.insert(place, version);
    let body: String = rest.iter().flat_map(|line| [line.as_str(), "\n"]).collect();
    let comments = comments.into_iter().map(|line| match line.strip_prefix("# HASH=") {
        Some(hash) if hash != "0" => format!("# HASH={}\n", checksum(body.as_bytes())),
        _ => line + "\n",
    });
    Ok(comments.collect::<String>() + &body)
}

/// How often the text was written, of the words `1.1.7`.
fn counted(version: &str) -> Result<u32> {
    let numbers: Vec<u32> = version.trim().split('.').map_while(|number| number.parse().ok()).collect();
    match numbers[..] {
        [major, _, count] if major <= MAJOR => Ok(count),
        _ => Err(Error::new(Kind::Refused, format!("its version {version} is not known"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# LVM uses devices listed in this file.\n# Created by LVM command lvmdevices pid 1 at x\n# HASH=7\n\
                        PRODUCT_UUID=u\nVERSION=1.1.7\n\
                        IDTYPE=sys_wwid IDNAME=naa.5 DEVNAME=/dev/sda PVID=aaa PART=1\n\
                        IDTYPE=devname IDNAME=/dev/sdb DEVNAME=/dev/sdb PVID=bbb\n";

    fn entry(line: &str) -> Entry {
        Entry::parse(line).unwrap()
    }

    #[test]
    fn a_device_is_put_at_the_end_and_the_version_counted() {
        let new = "IDTYPE=loop_file IDNAME=/x DEVNAME=/dev/loop0 PVID=ccc";
        let text = with(TEXT, &entry(new), |_| false).unwrap().unwrap();
        assert!(text.contains("\nPRODUCT_UUID=u\nVERSION=1.1.8\nIDTYPE=sys_wwid"), "{text}");
        assert!(text.ends_with(&format!("PVID=bbb\n{new}\n")), "{text}");
        let body: String = text.lines().skip(3).flat_map(|line| [line, "\n"]).collect();
        assert!(text.contains(&format!("\n# HASH={}\n", checksum(body.as_bytes()))), "{text}");
        assert_eq!(with(&text, &entry(new), |found| *found == entry(new)).unwrap(), None);
    }

    #[test]
    fn an_entry_of_the_same_device_is_replaced() {
        let new = entry("IDTYPE=devname IDNAME=/dev/sdb DEVNAME=/dev/sdb PVID=new");
        let text = with(TEXT, &new, |found| found.name == "/dev/sdb").unwrap().unwrap();
        assert!(!text.contains("bbb") && text.ends_with("PVID=new\n"), "{text}");
        assert_eq!(text.lines().count(), TEXT.lines().count());
    }

    #[test]
    fn a_device_that_is_no_physical_volume_any_more_stays_without_its_identity() {
        let text = without_pv(TEXT, |found| found.name == "naa.5").unwrap().unwrap();
        assert!(text.contains("IDNAME=naa.5 DEVNAME=/dev/sda PVID=. PART=1\n"), "{text}");
        assert!(text.contains("VERSION=1.1.8") && text.contains("PVID=bbb"), "{text}");
        assert_eq!(without_pv(&text, |found| found.name == "naa.5").unwrap(), None);
    }

    #[test]
    fn an_empty_file_begins_with_version_1() {
        let new = entry("IDTYPE=devname IDNAME=/dev/sdb DEVNAME=/dev/sdb PVID=.");
        assert_eq!(with("", &new, |_| false).unwrap().unwrap(), format!("VERSION=1.1.1\n{new}\n"));
    }

    #[test]
    fn a_file_of_an_unknown_version_is_left_alone() {
        let new = entry("IDTYPE=devname IDNAME=/dev/sdb DEVNAME=/dev/sdb PVID=.");
        for version in ["2.0.1", "x", "1.1", ""] {
            let text = TEXT.replace("1.1.7", version);
            assert_eq!(with(&text, &new, |_| false).unwrap_err().kind(), Kind::Refused, "{version}");
        }
    }
}
