//! Names and uuids of device-mapper devices, and how LVM makes them.
//!
//! A volume's device is called `vg-lv` or `vg-lv-layer`, each hyphen of a part doubled, so that a single one always
//! separates; its uuid is `LVM-`, the volume group's and the volume's ids without hyphens, and the layer. lvm2 knows its devices by
//! the uuid. The kernel allows 127 bytes of name and 128 of uuid.

use std::fmt;

use crate::error::{Error, Kind, Result};

const NAME_MAX: usize = 127;
const UUID_MAX: usize = 128;
const LVM_PREFIX: &str = "LVM-";

/// The name of a device-mapper device.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DmName(String);

impl DmName {
    /// A name that the kernel takes: ASCII, not empty, no slash, not too long.
    pub fn new(text: impl Into<String>) -> Result<Self> {
        let text = text.into();
        let bad = |why: String| Err(Error::new(Kind::Usage, format!("bad device name \"{text}\": {why}")));
        if text.is_empty() {
            return bad("it is empty".to_owned());
        }
        if text.len() > NAME_MAX {
            return bad(format!("it has {} bytes, device-mapper allows {NAME_MAX}", text.len()));
        }
        if !text.bytes().all(|byte| byte.is_ascii() && !byte.is_ascii_control() && byte != b'/') {
            return bad("only ASCII characters without slash are allowed".to_owned());
        }
        // Newer kernels refuse these; they would stand for other things in /dev/mapper.
        if matches!(text.as_str(), "." | ".." | "control") {
            return bad("it is reserved".to_owned());
        }
        Ok(Self(text))
    }

    /// The name of a volume's device, or of one of its layers. [`Kind::Usage`] if it gets too long.
    pub fn for_volume(vg: &str, lv: &str, layer: Option<&str>) -> Result<Self> {
        let mut text = format!("{}-{}", vg.replace('-', "--"), lv.replace('-', "--"));
        if let Some(layer) = layer {
            text.push('-');
            text.push_str(layer);
        }
        if text.len() > NAME_MAX {
            let cause = format!(
                "the name {vg}/{lv} is too long: its device {text} has {} bytes, device-mapper allows {NAME_MAX}",
                text.len()
            );
            return Err(Error::new(Kind::Usage, cause).hint("take a shorter name; a hyphen counts twice"));
        }
        Self::new(text)
    }

    /// The volume group, the volume and the layer that an LVM device's name is made of; nothing if it is not made of two or three.
    pub fn parts(&self) -> Option<(String, String, Option<String>)> {
        // A NUL stands for a doubled hyphen: no name has one.
        let marked = self.0.replace("--", "\0");
        let mut parts = marked.split('-').map(|part| part.replace('\0', "-"));
        let (vg, lv, layer) = (parts.next()?, parts.next()?, parts.next());
        let are_names = !vg.is_empty() && !lv.is_empty() && layer.as_deref() != Some("");
        (are_names && parts.next().is_none()).then_some((vg, lv, layer))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for DmName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// The uuid of a device-mapper device: any text, made by its creator to recognise the device.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DmUuid(String);

impl DmUuid {
    /// A uuid that the kernel takes.
    pub fn new(text: impl Into<String>) -> Result<Self> {
        let text = text.into();
        let legal = text.bytes().all(|byte| byte.is_ascii() && !byte.is_ascii_control());
        if text.is_empty() || text.len() > UUID_MAX || !legal {
            let cause = format!("bad device uuid \"{text}\": 1 to {UUID_MAX} ASCII characters are allowed");
            return Err(Error::new(Kind::Usage, cause));
        }
        Ok(Self(text))
    }

    /// The uuid of a volume's device, or of one of its layers; the ids are given without hyphens.
    pub fn for_volume(vg_id: &str, lv_id: &str, layer: Option<&str>) -> Result<Self> {
        let base = format!("{LVM_PREFIX}{vg_id}{lv_id}");
        Self::new(layer.map_or(base.clone(), |layer| format!("{base}-{layer}")))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for DmUuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn hyphens_in_parts_are_doubled() {
        let cases = [
            ("vg0", "db", None, "vg0-db"),
            ("my-vg", "a-b", None, "my--vg-a--b"),
            ("vg", "db", Some("real"), "vg-db-real"),
            ("vg-", "db", Some("cow"), "vg---db-cow"),
            ("v--g", "d", None, "v----g-d"),
        ];
        for (vg, lv, layer, text) in cases {
            let name = DmName::for_volume(vg, lv, layer).unwrap();
            assert_eq!(name.as_str(), text);
        }
    }

    #[test]
    fn a_name_that_gets_too_long_after_doubling_is_refused_in_words() {
        let lv = "k-".repeat(42);
        assert_eq!(DmName::for_volume("v", &lv[..83], None).unwrap().as_str().len(), 126);
        let error = DmName::for_volume("v", &lv, None).unwrap_err();
        assert_eq!(error.kind(), Kind::Usage);
        assert!(error.to_string().ends_with(
            "has 128 bytes, device-mapper allows 127; take a shorter name; a hyphen counts twice"
        ));
    }

    #[test]
    fn names_that_the_kernel_refuses_are_refused() {
        for text in ["", "a/b", "a\0b", "über", "control", ".", "..", &"x".repeat(128)] {
            assert_eq!(DmName::new(text).unwrap_err().kind(), Kind::Usage, "{text}");
        }
        DmName::new("x".repeat(127)).unwrap();
    }

    #[test]
    fn uuids_carry_ids_and_layer() {
        let (vg, lv) = ("A".repeat(32), "b".repeat(32));
        let uuid = |layer| DmUuid::for_volume(&vg, &lv, layer).unwrap();
        assert_eq!(uuid(Some("real")).as_str(), format!("LVM-{vg}{lv}-real"));
        assert_eq!(uuid(None).as_str(), format!("LVM-{vg}{lv}"));
    }

    #[test]
    fn uuids_that_the_kernel_refuses_are_refused() {
        for text in ["", "a\nb", "ü", &"x".repeat(129)] {
            assert_eq!(DmUuid::new(text).unwrap_err().kind(), Kind::Usage, "{text}");
        }
    }

    #[test]
    fn a_name_that_is_not_a_volumes_has_no_parts() {
        for text in ["db", "a-", "-a", "a-b-", "a-b-real-x", "a--b"] {
            assert_eq!(DmName::new(text).unwrap().parts(), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_device_name_is_made_of_the_parts_that_it_says(
            vg in "[a-b][ab+.]{0,4}(-[ab]){0,2}",
            lv in "[a-b][ab_-]{0,3}[ab]",
            layer in prop::option::of("real|cow"),
        ) {
            let name = DmName::for_volume(&vg, &lv, layer.as_deref()).unwrap();
            prop_assert_eq!(name.parts(), Some((vg, lv, layer)));
        }

        #[test]
        fn volumes_of_different_names_have_different_devices(
            one in ("[a-b][ab-]{0,4}", "[a-b][ab-]{0,4}"),
            other in ("[a-b][ab-]{0,4}", "[a-b][ab-]{0,4}"),
        ) {
            let name = |(vg, lv): &(String, String)| DmName::for_volume(vg, lv, None).unwrap();
            prop_assert_eq!(name(&one) == name(&other), one == other);
        }

        #[test]
        fn any_text_is_taken_or_refused(text in "\\PC{0,140}") {
            let _ = DmName::new(text.clone());
            let _ = DmUuid::new(text);
        }
    }
}
