//! Every command that changes something, in every form in which its steps differ, as the tests of cuts run it.

use crate::lab::{Lab, Running};
use dmsnap::engine::Mode;
use dmsnap::error::Result;

mod activation;
mod groups;
mod restores;
pub mod rollbacks;
pub mod rounds;
mod snapshots;
mod volumes;

/// An operation that can be cut, what there is before it, and what is there when it has happened.
pub struct Operation {
    /// The command, as on the command line.
    pub command: &'static str,
    pub name: &'static str,
    pub prepare: fn(&Lab),
    pub run: fn(&Running, Mode) -> Result<()>,
    /// Snapshots of `db` that it keeps whatever happens; their content is checked.
    pub kept: &'static [&'static str],
    pub next: Next,
    /// What makes the difference between before and after.
    pub happened: fn(&Lab) -> bool,
}

/// What puts right that an operation was cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Any command that changes the group.
    Any,
    /// A repair, or the operation itself: nothing in the metadata says that it was begun.
    Repair,
    /// The operation itself: while devices are missing there is little else that the group allows. If it has happened, a repair.
    Itself,
}

/// All of them.
pub fn operations() -> impl Iterator<Item = &'static Operation> {
    let all = [snapshots::ALL, rollbacks::ALL, rollbacks::KEEPING, volumes::ALL, groups::ALL];
    all.into_iter().chain([activation::ALL, restores::ALL, rounds::ALL]).flatten()
}

/// Those that are to be cut: all, or those with these words in their names that `DMSNAP_CUT` has.
pub fn cut_ones() -> impl Iterator<Item = &'static Operation> {
    let words = std::env::var("DMSNAP_CUT").unwrap_or_default();
    operations().filter(move |operation| operation.name.contains(&words))
}
