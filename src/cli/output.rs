//! How answers are printed: tables for people, one object of JSON or YAML for programs.
//!
//! Standard output has only the answer; notes go to standard error.

use std::io::{IsTerminal, Write};

use comfy_table::{Cell, CellAlignment, ContentArrangement, Table, presets};
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::args::Format;
use crate::engine::Report;
use crate::engine::outline::{Entry, Phase};
use crate::error::{Error, Result};

/// Prints.
pub struct Output {
    format: Format,
    quiet: bool,
    is_terminal: bool,
    has_color: bool,
}

const RED: &str = "\x1b[1;31m";
const PLAIN: &str = "\x1b[0m";

/// A column of a table.
pub struct Column<T> {
    /// Its heading.
    pub title: &'static str,
    /// Shown only on wide screens.
    pub wide: bool,
    /// Numbers stand to the right.
    pub right: bool,
    /// The cell of a row.
    pub cell: fn(&T) -> String,
}

impl<T> Column<T> {
    /// A column of words.
    pub const fn text(title: &'static str, cell: fn(&T) -> String) -> Self {
        Self { title, wide: false, right: false, cell }
    }

    /// A column of numbers.
    pub const fn number(title: &'static str, cell: fn(&T) -> String) -> Self {
        Self { title, wide: false, right: true, cell }
    }

    /// A column of words, only with `-o wide`.
    pub const fn wide_text(title: &'static str, cell: fn(&T) -> String) -> Self {
        Self { title, wide: true, right: false, cell }
    }

    /// A column of numbers, only with `-o wide`.
    pub const fn wide_number(title: &'static str, cell: fn(&T) -> String) -> Self {
        Self { title, wide: true, right: true, cell }
    }
}

impl Output {
    /// Prints in this format.
    pub fn new(format: Format, quiet: bool, no_color: bool) -> Self {
        let wanted = !no_color && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        Self {
            format,
            quiet,
            is_terminal: std::io::stdout().is_terminal(),
            has_color: wanted && std::io::stderr().is_terminal(),
        }
    }

    /// A list, under its plural.
    pub fn list<T: Serialize>(&self, plural: &str, rows: &[T], columns: &[Column<T>]) -> Result<()> {
        match self.format {
            Format::Table | Format::Wide => self.table(rows, columns),
            Format::Json | Format::Yaml => self.object(&json!({ plural: rows })),
        }
    }

    /// What a command made, with its times; or the plan of a dry run.
    pub fn made<T: Serialize>(&self, plural: &str, report: &Report<T>, columns: &[Column<T>]) -> Result<()> {
        self.notes(&report.notes);
        if matches!(self.format, Format::Json | Format::Yaml) {
            return self.object(&self.answer(Some((plural, &report.objects)), report));
        }
        match &report.planned {
            Some(plan) => self.plan(plan),
            None => self.table(&report.objects, columns).map(|()| self.times(report)),
        }
    }

    /// How far something is that somebody waits for; only a terminal shows it.
    pub fn progress(&self, what: &str, percent: f64) {
        if !self.quiet && std::io::stderr().is_terminal() {
            // Whoever does not see it loses nothing.
            let _ = write!(std::io::stderr(), "\r{what}: {percent:.1}% ");
        }
    }

    /// Nobody waits any more.
    pub fn progress_ends(&self) {
        if !self.quiet && std::io::stderr().is_terminal() {
            let _ = writeln!(std::io::stderr());
        }
    }

    /// How long I/O waited, for a person: the rest can be felt.
    fn times<T>(&self, report: &Report<T>) {
        if let Some(frozen) = report.frozen {
            let (frozen, elapsed) = (milliseconds(frozen), milliseconds(report.elapsed));
            self.notes(&[format!("I/O waited for {frozen} ms; {elapsed} ms in all")]);
        }
    }

    /// What a command did that made nothing.
    pub fn done<T: Serialize>(&self, report: &Report<T>) -> Result<()> {
        self.notes(&report.notes);
        match (&report.planned, self.format) {
            (_, Format::Json | Format::Yaml) => self.object(&self.answer::<T>(None, report)),
            (Some(plan), _) => self.plan(plan),
            (None, _) => Ok(()),
        }
    }

    fn answer<T: Serialize>(
        &self,
        objects: Option<(&str, &Vec<T>)>,
        report: &Report<impl Serialize>,
    ) -> Value {
        let mut answer = Map::new();
        if let Some((plural, objects)) = objects {
            answer.insert(plural.to_owned(), json!(objects));
        }
        if let Some(plan) = &report.planned {
            answer.insert("plan".to_owned(), json!(plan));
        }
        answer.insert("elapsed_ms".to_owned(), json!(milliseconds(report.elapsed)));
        if let Some(frozen) = report.frozen {
            answer.insert("frozen_ms".to_owned(), json!(milliseconds(frozen)));
        }
        answer.insert("notes".to_owned(), json!(report.notes));
        Value::Object(answer)
    }

    /// One object, as JSON or YAML.
    pub fn object(&self, value: &impl Serialize) -> Result<()> {
        let text = if self.format == Format::Yaml {
            serde_saphyr::to_string(value)
                .map_err(|error| Error::io("the answer cannot be written as YAML", error))?
        } else {
            serde_json::to_string_pretty(value)
                .map_err(|error| Error::io("the answer cannot be written as JSON", error))?
        };
        self.print(text.trim_end())
    }

    /// True if a program reads the answer.
    pub fn is_object(&self) -> bool {
        matches!(self.format, Format::Json | Format::Yaml)
    }

    /// Lines of text, written at once: ten thousand are not ten thousand system calls.
    pub fn lines(&self, lines: &[String]) -> Result<()> {
        if lines.is_empty() { Ok(()) } else { self.print(&lines.join("\n")) }
    }

    /// A plan, for a person.
    pub fn plan(&self, plan: &[Entry]) -> Result<()> {
        plan.iter().try_for_each(|entry| self.print(&planned(entry)))
    }

    /// What a person should know beside the answer. In an object it stands there.
    pub fn notes(&self, notes: &[String]) {
        if !self.quiet && !self.is_object() {
            notes.iter().for_each(|note| eprintln!("note: {note}"));
        }
    }

    /// Why there is no answer.
    pub fn error(&self, error: &Error) {
        if self.is_object() {
            let body = json!({
                "kind": error.kind().word(),
                "message": error.message(),
                "hint": error.way_out(),
                "causes": error.chain(),
            });
            // There is nobody left to tell if standard output is closed.
            let _ = self.object(&json!({ "error": body }));
        }
        self.complain(error);
    }

    /// An error in words, on standard error.
    pub fn complain(&self, error: &Error) {
        let (red, plain) = if self.has_color { (RED, PLAIN) } else { ("", "") };
        eprintln!("{red}dmsnap:{plain} {error}");
        error.chain().iter().for_each(|cause| eprintln!("  because: {cause}"));
        error.context().iter().for_each(|place| tracing::info!("at {place}"));
    }

    fn table<T>(&self, rows: &[T], columns: &[Column<T>]) -> Result<()> {
        let columns: Vec<_> = columns.iter().filter(|c| self.format == Format::Wide || !c.wide).collect();
        let mut table = Table::new();
        table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
        table.set_header(columns.iter().map(|column| cell(column.title, column.right)));
        for row in rows {
            table.add_row(columns.iter().map(|column| cell(&(column.cell)(row), column.right)));
        }
        for (column, _) in columns.iter().enumerate() {
            if let Some(column) = table.column_mut(column) {
                column.set_padding((0, 2));
            }
        }
        let text: Vec<_> = table.lines().map(|line| line.trim_end().to_owned()).collect();
        self.lines(&text)
    }

    fn print(&self, text: &str) -> Result<()> {
        let written = writeln!(std::io::stdout().lock(), "{text}");
        match written {
            // The reader has seen enough.
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe && !self.is_terminal => Ok(()),
            other => other.map_err(|error| Error::io("standard output cannot be written to", error)),
        }
    }
}

/// An entry of a plan as a line; what is done while I/O waits is marked.
fn planned(entry: &Entry) -> String {
    match entry.phase() {
        Phase::Metadata => format!("  metadata: {entry}"),
        Phase::Switch => format!("| {entry}"),
        Phase::Stuck => format!("  stuck: {entry}"),
        Phase::Prepare | Phase::Cleanup => format!("  {entry}"),
    }
}

fn cell(text: &str, right: bool) -> Cell {
    Cell::new(text).set_alignment(if right { CellAlignment::Right } else { CellAlignment::Left })
}

fn milliseconds(time: std::time::Duration) -> f64 {
    (time.as_secs_f64() * 1e6).round() / 1e3
}

/// A word as JSON has it, for a table's cell.
pub fn word(value: &impl Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(Value::String(word)) => word,
        _ => String::new(),
    }
}

/// A state, and how far what goes on in it is.
pub fn under_way(state: &impl Serialize, percent: Option<f64>) -> String {
    // Not before all of it is done it is all.
    percent.map_or_else(|| word(state), |percent| format!("{} {:.0}%", word(state), percent.floor()))
}

/// A time in one unit, rounded down: what a person wants to know of what is foretold.
pub fn about(seconds: u64) -> String {
    let units = [(86_400, "d"), (3_600, "h"), (60, "min")];
    let unit = units.iter().find(|(length, _)| seconds >= *length);
    unit.map_or_else(|| format!("{seconds} s"), |(length, unit)| format!("{} {unit}", seconds / length))
}

/// A value that may be unknown.
pub fn or_dash(value: Option<impl ToString>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| value.to_string())
}

/// A path that may be unknown.
pub fn path_or_dash(path: Option<&std::path::PathBuf>) -> String {
    or_dash(path.map(|path| path.display().to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dm::{DmName, Freeze, SwitchStep};

    #[test]
    fn a_state_says_how_far_it_is_and_times_have_one_unit() {
        let state = crate::engine::view::SnapshotState::Merging;
        assert_eq!([None, Some(99.99)].map(|percent| under_way(&state, percent)), ["merging", "merging 99%"]);
        let times = [0, 59, 60, 3_599, 3_600, 86_399, 200_000].map(about);
        assert_eq!(times, ["0 s", "59 s", "1 min", "59 min", "1 h", "23 h", "2 d"]);
    }

    #[test]
    fn what_happens_while_io_waits_is_marked() {
        let suspend = SwitchStep::Suspend(DmName::new("vg-db").unwrap(), Freeze::Io);
        let label = Entry::Label { device: "/dev/sdc".into(), wipe: false };
        let plan = [label, Entry::Renew, Entry::Switch(suspend), Entry::Stuck("no way".into())];
        let lines: Vec<_> = plan.iter().map(planned).collect();
        assert_eq!(
            lines,
            ["  label /dev/sdc", "  metadata: renew older copies", "| suspend vg-db", "  stuck: no way"]
        );
    }
}
