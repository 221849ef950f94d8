//! Which file systems are mounted from a device, as this process sees them; swap in use counts as one.

use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::sys::stat::makedev;

use super::DevNo;
use crate::error::{Error, Result};

/// What stands for a mount point where a device is swapped to.
const SWAP: &str = "[SWAP]";

/// Where the device is mounted, from the text of `/proc/self/mountinfo`.
pub fn mounted(mountinfo: &str, number: DevNo) -> Vec<PathBuf> {
    let places = mountinfo.lines().filter_map(|line| {
        let mut fields = line.split(' ');
        let device: DevNo = fields.nth(2)?.parse().ok()?;
        let place = fields.nth(1)?;
        (device == number).then(|| PathBuf::from(unescaped(place)))
    });
    places.collect()
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
    let read = |path: &str| {
        std::fs::read(path)
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .map_err(|error| Error::io(format!("{path} cannot be read"), error))
    };
    let mut places = mounted(&read("/proc/self/mountinfo")?, number);
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

    const MOUNTINFO: &str = "\
36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue
40 35 254:3 / /srv/my\\040data rw shared:7 - ext4 /dev/mapper/vg-db rw
41 35 254:3 /sub /srv/bind rw - ext4 /dev/mapper/vg-db rw
garbage
";

    #[test]
    fn every_mount_of_a_device_is_found() {
        let number = DevNo { major: 254, minor: 3 };
        assert_eq!(mounted(MOUNTINFO, number), [Path::new("/srv/my data"), Path::new("/srv/bind")]);
        assert_eq!(mounted(MOUNTINFO, DevNo { major: 254, minor: 4 }), Vec::<PathBuf>::new());
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
