//! The same for several volume groups: one that fails does not keep the others from theirs.

use super::output::Output;
use crate::engine::Report;
use crate::error::{Kind, Result};
use crate::lvm::VgName;

/// Acts on every volume group in turn, then prints what was done and fails with the first error. `all`: none was named, and those
/// that this host must not touch are not meant.
pub fn each<T, N>(
    groups: impl IntoIterator<Item = (VgName, N)>,
    all: bool,
    output: &Output,
    act: impl Fn(&VgName, &N) -> Result<Report<T>>,
    print: impl Fn(&Report<T>) -> Result<()>,
) -> Result<()> {
    let mut whole = Report::default();
    let mut errors = Vec::new();
    for (vg, names) in groups {
        match act(&vg, &names) {
            Ok(report) => whole.absorb(report),
            Err(error) if all && error.kind() == Kind::Refused => whole.notes.push(error.message()),
            Err(error) => errors.push(error),
        }
    }
    let first = (!errors.is_empty()).then(|| errors.remove(0));
    errors.iter().for_each(|error| output.complain(error));
    match first {
        // A program gets one object: the error, which outweighs what went well.
        Some(error) if output.is_object() || whole.is_empty() => Err(error),
        Some(error) => print(&whole).and(Err(error)),
        None => print(&whole),
    }
}
