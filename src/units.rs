//! Quantities: bytes, 512-byte sectors, extents and chunks are different types, so that one cannot be taken
//! for another. Sizes are read as lvm2 reads them and printed in binary units.
//!
//! Additions and products of values that come from a disk go through the `checked_` methods; the operators
//! saturate. Only a division by a step, an extent or a chunk of no size panics: those are judged where they are read.

use std::fmt;
use std::iter::Sum;
use std::ops::{Add, AddAssign, Sub};
use std::str::FromStr;

use serde::Serialize;

use crate::error::{Error, Kind, Result};

mod chunk;

pub use chunk::ChunkSize;

/// Bytes in a device-mapper sector, whatever the logical block size of the disk.
pub const SECTOR_BYTES: u64 = 512;

macro_rules! quantity {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize)]
        #[serde(transparent)]
        pub struct $name(pub u64);

        impl $name {
            /// None of it.
            pub const ZERO: Self = Self(0);

            /// The bare count.
            pub const fn get(self) -> u64 {
                self.0
            }

            /// True for nothing.
            pub const fn is_zero(self) -> bool {
                self.0 == 0
            }

            /// The sum, or nothing where it does not fit.
            pub const fn checked_add(self, other: Self) -> Option<Self> {
                match self.0.checked_add(other.0) {
                    Some(sum) => Some(Self(sum)),
                    None => None,
                }
            }

            /// The difference, or nothing where `other` is larger.
            pub const fn checked_sub(self, other: Self) -> Option<Self> {
                match self.0.checked_sub(other.0) {
                    Some(rest) => Some(Self(rest)),
                    None => None,
                }
            }

            /// This many times as much, or nothing where it does not fit.
            pub const fn checked_mul(self, times: u64) -> Option<Self> {
                match self.0.checked_mul(times) {
                    Some(product) => Some(Self(product)),
                    None => None,
                }
            }
        }

        impl Add for $name {
            type Output = Self;
            fn add(self, other: Self) -> Self {
                Self(self.0.saturating_add(other.0))
            }
        }

        impl AddAssign for $name {
            fn add_assign(&mut self, other: Self) {
                *self = *self + other;
            }
        }

        impl Sub for $name {
            type Output = Self;
            fn sub(self, other: Self) -> Self {
                Self(self.0.saturating_sub(other.0))
            }
        }

        impl Sum for $name {
            fn sum<I: Iterator<Item = Self>>(items: I) -> Self {
                items.fold(Self::ZERO, Add::add)
            }
        }
    };
}

quantity! {
    /// A number of bytes.
    Bytes
}
quantity! {
    /// A number of 512-byte sectors, or a sector's number.
    Sectors
}
quantity! {
    /// A number of extents (the volume group says how large one is), or an extent's number.
    Extents
}
quantity! {
    /// A number of COW chunks (the store's header says how large one is), or a chunk's number.
    Chunks
}

impl Bytes {
    /// `n` KiB.
    pub const fn kib(n: u64) -> Self {
        Self(n << 10)
    }

    /// `n` MiB.
    pub const fn mib(n: u64) -> Self {
        Self(n << 20)
    }

    /// `n` GiB.
    pub const fn gib(n: u64) -> Self {
        Self(n << 30)
    }

    /// The smallest number of sectors that holds this much.
    pub const fn sectors_ceil(self) -> Sectors {
        Sectors(self.0.div_ceil(SECTOR_BYTES))
    }

    /// The whole sectors in this much.
    pub const fn sectors_floor(self) -> Sectors {
        Sectors(self.0 / SECTOR_BYTES)
    }

    /// The least multiple of `step` that is not smaller.
    pub const fn round_up(self, step: Self) -> Self {
        match self.0.checked_next_multiple_of(step.0) {
            Some(bytes) => Self(bytes),
            None => Self(u64::MAX),
        }
    }

    /// The greatest multiple of `step` that is not larger.
    pub const fn round_down(self, step: Self) -> Self {
        Self(self.0 - self.0 % step.0)
    }
}

impl Sectors {
    /// The same in bytes; saturates beyond 16 EiB.
    pub const fn bytes(self) -> Bytes {
        Bytes(self.0.saturating_mul(SECTOR_BYTES))
    }

    /// The smallest number of extents of `extent` sectors that holds this much.
    pub const fn extents_ceil(self, extent: Self) -> Extents {
        Extents(self.0.div_ceil(extent.0))
    }

    /// The whole extents of `extent` sectors in this much.
    pub const fn extents_floor(self, extent: Self) -> Extents {
        Extents(self.0 / extent.0)
    }
}

impl Extents {
    /// The same in sectors, for extents of `extent` sectors; saturates.
    pub const fn sectors(self, extent: Sectors) -> Sectors {
        Sectors(self.0.saturating_mul(extent.0))
    }
}

impl Chunks {
    /// The same in sectors, for chunks of `chunk` sectors; saturates.
    pub const fn sectors(self, chunk: Sectors) -> Sectors {
        Sectors(self.0.saturating_mul(chunk.0))
    }
}

/// Binary units, at most two decimals, exact values without: `1 GiB`, `1.50 MiB`, `512 B`.
impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [(&str, u32); 6] =
            [("EiB", 60), ("PiB", 50), ("TiB", 40), ("GiB", 30), ("MiB", 20), ("KiB", 10)];
        let Some((unit, shift)) = UNITS.into_iter().find(|(_, shift)| self.0 >> shift != 0) else {
            return f.pad(&format!("{} B", self.0));
        };
        let whole = self.0 >> shift;
        let rest = self.0 - (whole << shift);
        let text = if rest == 0 {
            format!("{whole} {unit}")
        } else {
            let hundredths = (u128::from(self.0) * 100) >> shift;
            format!("{}.{:02} {unit}", hundredths / 100, hundredths % 100)
        };
        f.pad(&text)
    }
}

impl fmt::Display for Sectors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.bytes().fmt(f)
    }
}

impl fmt::Display for Extents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} extent{}", self.0, if self.0 == 1 { "" } else { "s" })
    }
}

/// An absolute size: `10G`, `512MiB`, `64k`, `1.5g`, `2048s`, `4096b`; a bare number is mebibytes, as in lvm2.
impl FromStr for Bytes {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let bad = |why: &str| {
            Error::new(Kind::Usage, format!("bad size \"{text}\": {why}"))
                .hint("write a number and a unit, as in 512M, 10G or 8192s")
        };
        let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
        let (number, unit) = text.split_at(digits);
        let scale = unit_bytes(unit).ok_or_else(|| bad("unknown unit"))?;
        scaled(number, scale).map(Self).map_err(bad)
    }
}

/// Binary with and without a B behind, as LVM2 has it.
fn unit_bytes(unit: &str) -> Option<u64> {
    let lower = unit.to_ascii_lowercase();
    let letter = lower.strip_suffix("ib").or_else(|| lower.strip_suffix('b')).unwrap_or(&lower);
    Some(match letter {
        "" if lower == "b" => 1,
        "s" if lower == "s" => SECTOR_BYTES,
        "k" => 1 << 10,
        "" if lower.is_empty() => 1 << 20,
        "m" => 1 << 20,
        "g" => 1 << 30,
        "t" => 1 << 40,
        "p" => 1 << 50,
        "e" => 1 << 60,
        _ => return None,
    })
}

/// `number` times `scale`, rounded up to a whole byte.
fn scaled(number: &str, scale: u64) -> std::result::Result<u64, &'static str> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() {
        return Err("no number");
    }
    if fraction.contains('.') || fraction.len() > 18 {
        return Err("not a number");
    }
    let too_large = "too large";
    let parse =
        |digits: &str| if digits.is_empty() { Ok(0) } else { digits.parse::<u64>().map_err(|_| too_large) };
    let denominator = 10_u128.pow(u32::try_from(fraction.len()).map_err(|_| too_large)?);
    let part = (u128::from(parse(fraction)?) * u128::from(scale)).div_ceil(denominator);
    let total = u128::from(parse(whole)?) * u128::from(scale) + part;
    u64::try_from(total).map_err(|_| too_large)
}

/// What a percentage is taken of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whole {
    /// The size of the snapshot's origin.
    Origin,
    /// The free space of the volume group.
    Free,
    /// The size of the volume group.
    Vg,
}

/// A size as a person gives it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Size {
    /// So many bytes.
    Absolute(Bytes),
    /// A part of something, in whole per cent.
    Percent(u32, Whole),
}

impl Size {
    /// True for a part of what there is room for: less is taken where so much cannot be had.
    pub fn is_upper_limit(self) -> bool {
        matches!(self, Self::Percent(_, Whole::Free | Whole::Vg))
    }
}

impl FromStr for Size {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let Some((number, of)) = text.split_once('%') else {
            return text.parse().map(Self::Absolute);
        };
        let whole = match of.to_ascii_uppercase().as_str() {
            "ORIGIN" => Whole::Origin,
            "FREE" => Whole::Free,
            "VG" => Whole::Vg,
            _ => {
                return Err(Error::new(Kind::Usage, format!("bad size \"{text}\": a percentage of what?"))
                    .hint("write %ORIGIN, %FREE or %VG"));
            }
        };
        let percent = number
            .parse()
            .map_err(|_| Error::new(Kind::Usage, format!("bad size \"{text}\": not a whole percentage")))?;
        Ok(Self::Percent(percent, whole))
    }
}

/// A size that may say "more": `10G`, `+1G`, `+20%ORIGIN`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resize {
    /// To this size.
    To(Size),
    /// By this much.
    By(Size),
}

impl FromStr for Resize {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text.strip_prefix('+') {
            Some(more) => more.parse().map(Self::By),
            None => text.parse().map(Self::To),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn sizes_are_read_as_lvm2_reads_them() {
        let cases = [
            ("10G", 10 << 30),
            ("10g", 10 << 30),
            ("512MiB", 512 << 20),
            ("10MB", 10 << 20),
            ("8kb", 8 << 10),
            ("64k", 64 << 10),
            ("4096b", 4096),
            ("8s", 4096),
            ("1.5G", 3 << 29),
            (".5k", 512),
            ("7", 7 << 20),
            ("0", 0),
            ("1T", 1 << 40),
            ("2P", 2 << 50),
            ("15e", 15 << 60),
        ];
        for (text, bytes) in cases {
            assert_eq!(text.parse::<Bytes>().unwrap(), Bytes(bytes), "{text}");
        }
        // LVM2 takes these, and passes over what it does not understand in them.
        for odd in ["1e1", "0x10M", "8MBx", "8bb", "8sb", "8ib"] {
            assert!(odd.parse::<Bytes>().is_err(), "{odd}");
        }
    }

    #[test]
    fn bad_sizes_are_usage_errors() {
        for text in
            ["", "G", "ten", "1x", "-1G", "1..5G", "16E", "99999999999999999999", "1 G", "1bib", "+1G"]
        {
            assert_eq!(text.parse::<Bytes>().unwrap_err().kind(), Kind::Usage, "{text}");
        }
    }

    #[test]
    fn percentages_name_their_whole() {
        assert_eq!("20%ORIGIN".parse::<Size>().unwrap(), Size::Percent(20, Whole::Origin));
        assert_eq!("50%free".parse::<Size>().unwrap(), Size::Percent(50, Whole::Free));
        assert_eq!("100%VG".parse::<Size>().unwrap(), Size::Percent(100, Whole::Vg));
        assert!("50%".parse::<Size>().is_err());
        assert!("x%VG".parse::<Size>().is_err());
    }

    #[test]
    fn plus_says_more() {
        assert_eq!("+1G".parse::<Resize>().unwrap(), Resize::By(Size::Absolute(Bytes::gib(1))));
        assert_eq!("1G".parse::<Resize>().unwrap(), Resize::To(Size::Absolute(Bytes::gib(1))));
    }

    #[test]
    fn bytes_print_in_binary_units() {
        let cases = [
            (0, "0 B"),
            (511, "511 B"),
            (1 << 10, "1 KiB"),
            (3 << 19, "1.50 MiB"),
            (1 << 30, "1 GiB"),
            ((1 << 30) - 1, "1023.99 MiB"),
        ];
        for (bytes, text) in cases {
            assert_eq!(Bytes(bytes).to_string(), text);
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "\\PC{0,20}") {
            let _ = text.parse::<Resize>();
        }

        #[test]
        fn a_number_of_sectors_survives(n in 0..(u64::MAX / SECTOR_BYTES)) {
            prop_assert_eq!(format!("{n}s").parse::<Bytes>().unwrap(), Sectors(n).bytes());
        }
    }
}
