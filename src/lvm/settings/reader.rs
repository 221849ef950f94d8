//! Values out of several configuration texts, of which the first that has a setting decides.

use std::path::{Path, PathBuf};

use crate::error::{Error, Kind, Result};
use crate::lvm::config::{Scalar, Section, Tree, Value};

/// Configuration texts in the order in which they decide, and what was wrong with their values.
pub(super) struct Reader {
    files: Vec<(PathBuf, Tree)>,
    notes: Vec<String>,
}

impl Reader {
    pub fn new(directory: &Path, files: &[(&str, Option<&[u8]>)]) -> Result<Self> {
        let present = files.iter().filter_map(|(name, text)| Some((directory.join(name), (*text)?)));
        let parsed = present.map(|(path, text)| match Tree::parse(text) {
            Ok(tree) => Ok((path, tree)),
            Err(error) => Err(damaged(&path, &error)),
        });
        Ok(Self { files: parsed.collect::<Result<_>>()?, notes: Vec::new() })
    }

    pub fn note(&mut self, text: String) {
        self.notes.push(text);
    }

    pub fn into_notes(self) -> Vec<String> {
        self.notes
    }

    pub fn is_set(&self, path: &str) -> bool {
        self.find(path).is_some()
    }

    pub fn flag(&mut self, path: &str, default: bool) -> bool {
        self.read(path, "0 or 1", |value| match value.integer() {
            Some(number) => Some(number != 0),
            None => match value.text()?.to_ascii_lowercase().as_slice() {
                b"y" | b"yes" | b"on" | b"true" => Some(true),
                b"n" | b"no" | b"off" | b"false" => Some(false),
                _ => None,
            },
        })
        .unwrap_or(default)
    }

    pub fn number(&mut self, path: &str, default: u64) -> u64 {
        self.read(path, "a number", |value| u64::try_from(value.integer()?).ok()).unwrap_or(default)
    }

    pub fn text(&mut self, path: &str) -> Option<String> {
        self.read(path, "a string", |value| String::from_utf8(value.text()?.into_owned()).ok())
    }

    /// A list of strings; one string is a list.
    pub fn texts(&mut self, path: &str) -> Vec<String> {
        self.read(path, "a list of strings", |value| value.scalars().map(text).collect()).unwrap_or_default()
    }

    /// The same where LVM2 refuses to work with anything else.
    pub fn texts_or_nothing(&self, path: &str) -> Result<Vec<String>> {
        let Some((file, value)) = self.find(path) else { return Ok(Vec::new()) };
        let texts: Option<Vec<String>> = value.scalars().map(text).collect();
        texts.filter(|texts| !texts.is_empty()).ok_or_else(|| {
            let cause = format!("{}: {path} is not a list of strings", file.display());
            Error::new(Kind::Usage, cause).hint("LVM2's `lvmconfig --validate` shows what is wrong with it")
        })
    }

    /// The strings of a list that has numbers too.
    pub fn texts_among_numbers(&mut self, path: &str) -> Vec<String> {
        self.read(path, "a list", |value| Some(value.scalars().filter_map(text).collect()))
            .unwrap_or_default()
    }

    fn read<T>(&mut self, path: &str, wanted: &str, read: impl Fn(Value<'_>) -> Option<T>) -> Option<T> {
        let (file, value) = self.find(path)?;
        let read = read(value);
        if read.is_none() {
            let note = format!("{}: {path} is not {wanted}: the default is taken", file.display());
            self.notes.push(note);
        }
        read
    }

    fn find(&self, path: &str) -> Option<(&Path, Value<'_>)> {
        self.files.iter().find_map(|(file, tree)| Some((file.as_path(), last(tree.root(), path)?)))
    }
}

fn text(scalar: Scalar<'_>) -> Option<String> {
    match scalar {
        Scalar::Text(text) => String::from_utf8(text.into_owned()).ok(),
        _ => None,
    }
}

/// The last value of this path: in configuration, other than in metadata, LVM2 joins sections of one name, and what comes later
/// counts.
fn last<'t>(section: Section<'t>, path: &str) -> Option<Value<'t>> {
    let (first, rest) = path.split_once('/').map_or((path, None), |(first, rest)| (first, Some(rest)));
    let found = section.nodes().filter(|node| node.has_key(first)).filter_map(|node| match rest {
        Some(rest) => last(node.section()?, rest),
        None => node.value(),
    });
    found.last()
}

fn damaged(path: &Path, error: &Error) -> Error {
    let damaged = Error::new(Kind::Usage, format!("{} is damaged: {}", path.display(), error.message()))
        .hint("LVM2's `lvmconfig --validate` shows what is wrong with it");
    error.context().iter().fold(damaged, |damaged, place| damaged.at(place.clone()))
}
