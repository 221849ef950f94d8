//! The same for several volume groups: one that fails does not keep the others from theirs.

use std::collections::BTreeSet;

use super::output::Output;
use crate::engine::Report;
use crate::error::{Error, Kind, Result};
use crate::lvm::VgName;

/// Acts on every volume group in turn, then prints what was done and fails with the first error. `passed_over`: where none was
/// named, those that may not be changed are not meant, and what is refused for them is a note.
pub fn each<T, N>(
    groups: impl IntoIterator<Item = (VgName, N)>,
    passed_over: &BTreeSet<VgName>,
    output: &Output,
    act: impl Fn(&VgName, &N) -> Result<Report<T>>,
    print: impl Fn(&Report<T>) -> Result<()>,
) -> Result<()> {
    let mut whole = Report::default();
    let mut errors = Vec::new();
    for (vg, names) in groups {
        match act(&vg, &names) {
            Ok(report) => whole.absorb(report),
            Err(error) if error.kind() == Kind::Refused && passed_over.contains(&vg) => {
                whole.notes.push(error.message());
            }
            Err(error) => errors.push(error),
        }
    }
    ended(errors, whole.is_empty(), output, || print(&whole))
}

/// Prints what was done or found, unless there is nothing, and fails with the first error.
pub fn ended(
    mut errors: Vec<Error>,
    is_empty: bool,
    output: &Output,
    print: impl FnOnce() -> Result<()>,
) -> Result<()> {
    let first = (!errors.is_empty()).then(|| errors.remove(0));
    errors.iter().for_each(|error| output.complain(error));
    match first {
        // A program gets one object: the error, which outweighs what went well.
        Some(error) if output.is_object() || is_empty => Err(error),
        Some(error) => print().and(Err(error)),
        None => print(),
    }
}
