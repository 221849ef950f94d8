//! Which file systems are mounted from a device, as this process sees them; swap in use counts as one.

use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::sys::stat::makedev;

use super::DevNo;
use crate::error::{Error, Result};

/// What stands for a mount point where a device is swapped to.
const SWAP: &str = "[SWAP]";

const MOUNTINFO: &str = "/proc/self/mountinfo";

/// A mount, as a line of `/proc/self/mountinfo` has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// The device of its file system.
    pub number: DevNo,
    /// What of the file system is seen: `/` unless a directory or file of it was bound elsewhere.
    pub root: PathBuf,
    /// Where it is seen.
    pub place: PathBuf,
    /// True if nothing can be written through it.
    pub read_only: bool,
    /// `ext4`, `xfs`
    pub file_system: String,
}

/// Every mount that this process sees, in the order in which they were made.
pub fn current() -> Result<Vec<Mount>> {
    Ok(table(&text_of(MOUNTINFO)?).collect())
}

fn text_of(path: &str) -> Result<String> {
    let bytes = std::fs::read(path).map_err(|error| Error::io(format!("{path} cannot be read"), error))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// The mounts in the text of `/proc/self/mountinfo`.
fn table(mountinfo: &str) -> impl Iterator<Item = Mount> + '_ {
    mountinfo.lines().filter_map(|line| {
        let (fields, behind) = line.split_once(" - ")?;
        let mut fields = fields.split(' ').skip(2);
        Some(Mount {
            number: fields.next()?.parse().ok()?,
            root: unescaped(fields.next()?).into(),
            place: unescaped(fields.next()?).into(),
            read_only: fields.next()?.split(',').any(|option| option == "ro"),
            file_system: behind.split(' ').next()?.to_owned(),
        })
    })
}

/// Where the device is mounted.
fn mounted(mounts: impl Iterator<Item = Mount>, number: DevNo) -> Vec<PathBuf> {
    mounts.filter(|mount| mount.number == number).map(|mount| mount.place).collect()
}

/// The devices that are swapped to, from the text of `/proc/swaps`.
fn swapped(swaps: &str) -> impl Iterator<Item = PathBuf> + '_ {
    swaps.lines().skip(1).filter_map(|line| line.split_whitespace().next()).map(|path| unescaped(path).into())
}

/// The kernel writes space, tab, newline and backslash as three octal digits.
fn unescaped(text: &str) -> String {
    let mut plain = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('\\') {
        plain.push_str(before);
        let code = after.get(..3).and_then(|digits| u8::from_str_radix(digits, 8).ok());
        match (code, after.get(3..)) {
            (Some(code), Some(tail)) => {
                plain.push(char::from(code));
                rest = tail;
            }
            _ => {
                plain.push('\\');
                rest = after;
            }
        }
    }
    plain + rest
}

/// Where the device is in use. `number_of` numbers the devices that `/proc/swaps` names.
pub fn read(number: DevNo, number_of: impl Fn(&Path) -> Option<DevNo>) -> Result<Vec<PathBuf>> {
    let mut places = mounted(table(&text_of(MOUNTINFO)?), number);
    // A kernel without swap has no such file.
    let swaps = std::fs::read_to_string("/proc/swaps").unwrap_or_default();
    if swapped(&swaps).any(|path| number_of(&path) == Some(number)) {
        places.push(SWAP.into());
    }
    Ok(places)
}

/// Writes back what the file system of the device holds dirty, through one of the places where it is mounted. All of them are
/// the same file system: one that can be reached is enough, none is none of our business.
pub fn sync(number: DevNo, places: &[PathBuf]) -> Result<()> {
    let Some((place, file)) = reached(number, places).next() else { return Ok(()) };
    nix::unistd::syncfs(&file)
        .map_err(|errno| Error::io(format!("the file system on {} cannot be synced", place.display()), errno))
}

/// The places, opened, that lead to the file system on the device.
pub fn reached(number: DevNo, places: &[PathBuf]) -> impl Iterator<Item = (&Path, File)> {
    let open = |place| Some((place, File::open(place).ok()?));
    let places = places.iter().map(PathBuf::as_path).filter(|place| place.as_os_str() != SWAP);
    places.filter_map(open).filter(move |(_, file)| is_on(file, number))
}

/// Another file system may be mounted over a place: what is opened there is then on another device.
fn is_on(file: &File, number: DevNo) -> bool {
    let device = makedev(number.major.into(), number.minor.into());
    file.metadata().is_ok_and(|data| data.dev() == device)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINES: &str = "\
36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue
40 35 254:3 / /srv/my\\040data rw shared:7 - ext4 /dev/mapper/vg-db rw
41 35 254:3 /sub /srv/bind ro,noatime - ext4 /dev/mapper/vg-db rw
garbage
";

    #[test]
    fn every_mount_of_a_device_is_found() {
        let number = DevNo { major: 254, minor: 3 };
        assert_eq!(mounted(table(LINES), number), [Path::new("/srv/my data"), Path::new("/srv/bind")]);
        assert_eq!(mounted(table(LINES), DevNo { major: 254, minor: 4 }), Vec::<PathBuf>::new());
    }

    #[test]
    fn a_mount_says_what_is_seen_of_which_file_system_and_how() {
        let mounts: Vec<_> = table(LINES).collect();
        let said = |mount: &Mount| (mount.root.clone(), mount.read_only, mount.file_system.clone());
        let said: Vec<_> = mounts.iter().map(said).collect();
        assert_eq!(
            said,
            [
                ("/mnt1".into(), false, "ext3".to_owned()),
                ("/".into(), false, "ext4".to_owned()),
                ("/sub".into(), true, "ext4".to_owned())
            ]
        );
    }

    #[test]
    fn octal_escapes_are_undone_and_others_left() {
        for (text, plain) in
            [("a\\040b", "a b"), ("a\\134", "a\\"), ("a\\9", "a\\9"), ("\\", "\\"), ("ab", "ab")]
        {
            assert_eq!(unescaped(text), plain);
        }
    }

    #[test]
    fn a_place_counts_only_if_it_is_on_the_device() {
        let root = File::open("/").unwrap();
        let device = root.metadata().unwrap().dev();
        let part = |number| u32::try_from(number).unwrap();
        let number =
            DevNo { major: part(nix::sys::stat::major(device)), minor: part(nix::sys::stat::minor(device)) };
        assert!(is_on(&root, number));
        assert!(!is_on(&root, DevNo { minor: number.minor + 1, ..number }));
    }

    #[test]
    fn swap_devices_are_read_behind_the_heading() {
        let text = "Filename\tType\tSize\n/dev/sda2 partition 1 0 -2\n";
        assert_eq!(swapped(text).collect::<Vec<_>>(), [Path::new("/dev/sda2")]);
    }
}
