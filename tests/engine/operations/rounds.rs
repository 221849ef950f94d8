//! Operations that wait for a group together and share a round. Whatever becomes of it, each of them has happened or has not.

use super::{Next, Operation};
use crate::lab::{MODE, Running, cut, growth, has, has_volume, lv, size, snap, vg, volume};
use crate::together::{Act, waiting_together};
use dmsnap::engine::resize::Growth;
use dmsnap::engine::{Engine, Mode};
use dmsnap::error::Result;
use dmsnap::units::Bytes;

/// One of them.
pub type Part = fn(&Engine, Mode) -> Result<()>;

pub const ALL: &[Operation] = &[
    Operation {
        command: "snapshot create",
        name: "a snapshot, a growth and a removal that share a round",
        prepare: |lab| {
            snap(lab, "a");
            lab.engine().create_volume(&volume("more", 4), MODE).unwrap();
            lab.engine().create_snapshots(&cut(&[("more", "m")]), MODE).unwrap();
            lab.engine().create_volume(&volume("old", 4), MODE).unwrap();
        },
        run: |engine, mode| together(engine, mode, UP_AND_DOWN),
        kept: &["a"],
        next: Next::Any,
        happened: |lab| has(lab, "s") && size(lab, "more") == Bytes::mib(8) && !has_volume(lab, "old"),
    },
    Operation {
        command: "snapshot remove",
        name: "a removal of a snapshot and a snapshot and a volume that share a round",
        prepare: |lab| {
            lab.engine().create_volume(&volume("wal", 4), MODE).unwrap();
            lab.engine().create_snapshots(&cut(&[("wal", "w")]), MODE).unwrap();
        },
        run: |engine, mode| together(engine, mode, DOWN_AND_UP),
        kept: &[],
        next: Next::Any,
        happened: |lab| !has(lab, "w") && has(lab, "s") && has_volume(lab, "new"),
    },
];

const UP_AND_DOWN: &[Part] = &[
    |engine, mode| engine.create_snapshots(&cut(&[("db", "s")]), mode).map(drop),
    |engine, mode| engine.extend_volume(&Growth { name: lv("more"), ..growth("8M") }, mode).map(drop),
    |engine, mode| engine.remove_volumes(&vg(), &[lv("old")], false, mode).map(drop),
];

const DOWN_AND_UP: &[Part] = &[
    |engine, mode| engine.remove_snapshots(&vg(), &[lv("w")], mode).map(drop),
    |engine, mode| engine.create_snapshots(&cut(&[("db", "s")]), mode).map(drop),
    |engine, mode| engine.create_volume(&volume("new", 4), mode).map(drop),
];

/// What an operation does by parts; nothing for one that is whole.
pub fn parts(operation: &Operation) -> &'static [Part] {
    let all = ALL.iter().zip([UP_AND_DOWN, DOWN_AND_UP]);
    let mut own = all.filter(|(round, _)| round.name == operation.name);
    own.next().map_or(&[], |(_, parts)| parts)
}

/// Lets them wait, in this order, and then begin. Notes which were told that they are done; an error if not all were.
fn together(engine: &Running, mode: Mode, parts: &[Part]) -> Result<()> {
    if mode.dry_run {
        return parts.iter().try_for_each(|part| part(engine, mode));
    }
    let waits = Mode { no_wait: false, ..mode };
    let act = |part: &Part| -> Act<'static> {
        let part = *part;
        Box::new(move |engine| part(engine, waits))
    };
    let outcomes = waiting_together(engine.locks.path(), engine, parts.iter().map(act).collect());
    let done = outcomes.iter().zip(0..).filter(|(outcome, _)| outcome.is_ok()).map(|(_, number)| number);
    *engine.done.lock().unwrap() = done.collect();
    outcomes.into_iter().collect()
}
