//! Changes that leave the rest alone.
//!
//! A changed or new node gets a little text of its own; what it shares with the old text stays shared.

use std::sync::Arc;

use super::tree::{Body, Item, Quote, Section, Source, Span, Style, Tree};
use crate::error::{Error, Kind, Result};

/// Where a new node goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place<'k> {
    /// Behind all others.
    Last,
    /// Before the node with this index.
    Index(usize),
    /// Behind the last of the nodes with one of these keys; first if there is none.
    After(&'k [&'k str]),
}

/// A section, to change.
#[derive(Debug)]
pub struct SectionMut<'t> {
    source: &'t Source,
    body: &'t mut Body,
}

impl Tree {
    /// The nodes at the top, to change them.
    pub fn root_mut(&mut self) -> SectionMut<'_> {
        self.root.changed = true;
        SectionMut { source: &self.source, body: &mut self.root }
    }
}

impl<'t> SectionMut<'t> {
    /// It, to read.
    pub fn read(&self) -> Section<'_> {
        Section { source: self.source, body: self.body }
    }

    /// The index of the first node with this key.
    pub fn index(&self, key: &str) -> Option<usize> {
        self.body.items.iter().position(|item| item.has_key(self.source, key.as_bytes()))
    }

    /// The index of the section with this key, which is probably `place`.
    pub fn section_index(&self, key: &str, place: usize) -> Option<usize> {
        self.read().section_index(key, place)
    }

    /// The section with this key, to change it.
    pub fn into_section(self, key: &str) -> Option<SectionMut<'t>> {
        let index = self.index(key)?;
        self.into_section_at(index)
    }

    /// The section with this key, which is probably the node `place`, to change it.
    pub fn into_section_near(self, key: &str, place: usize) -> Option<SectionMut<'t>> {
        let index = self.section_index(key, place)?;
        self.into_section_at(index)
    }

    fn into_section_at(self, index: usize) -> Option<SectionMut<'t>> {
        let item = self.body.items.get_mut(index)?;
        let body = Arc::make_mut(item.body.as_mut()?);
        body.changed = true;
        Some(SectionMut { source: item.own.as_ref().unwrap_or(self.source), body })
    }

    /// The section with this key, to change it.
    pub fn section(&mut self, key: &str) -> Option<SectionMut<'_>> {
        SectionMut { source: self.source, body: self.body }.into_section(key)
    }

    /// Takes in the nodes of `text`, which brings its own line ends.
    pub fn insert(&mut self, place: Place<'_>, text: &str) -> Result<()> {
        let index = match place {
            Place::Last => self.body.items.len(),
            Place::Index(index) => index.min(self.body.items.len()),
            Place::After(keys) => self.after(keys),
        };
        self.splice(index, index, text)
    }

    fn after(&self, keys: &[&str]) -> usize {
        let among = |item: &Item| keys.iter().any(|key| item.has_key(self.source, key.as_bytes()));
        self.body.items.iter().rposition(among).map_or(0, |index| index + 1)
    }

    fn splice(&mut self, start: usize, end: usize, text: &str) -> Result<()> {
        let tree = Tree::parse(text.as_bytes())?;
        let source = &tree.source;
        let items = tree.root.items.into_iter().map(|item| Item { own: Some(source.clone()), ..item });
        self.body.items.splice(start..end, items);
        self.brace();
        Ok(())
    }

    fn brace(&mut self) {
        if self.body.style == Style::Slash {
            self.body.style = Style::Braced;
        }
    }

    /// Takes out the first node with this key, with what stands on its lines; false if there is none.
    pub fn remove(&mut self, key: &str) -> bool {
        let Some(index) = self.index(key) else {
            return false;
        };
        self.body.items.remove(index);
        self.brace();
        true
    }

    /// Takes out the nodes with these indices, which are in order, with what stands on their lines.
    pub fn remove_all(&mut self, indices: &[usize]) {
        let (mut index, mut doomed) = (0, indices.iter().copied().peekable());
        self.body.items.retain(|_| {
            let goes = doomed.next_if_eq(&index).is_some();
            index += 1;
            !goes
        });
        self.brace();
    }

    /// Takes out the sections in it but the first so many.
    pub fn truncate_sections(&mut self, count: usize) {
        let mut seen = 0;
        self.body.items.retain(|item| {
            seen += usize::from(item.body.is_some());
            item.body.is_none() || seen <= count
        });
        self.brace();
    }

    /// Puts the nodes of `text`, which brings its own line ends, in the place of the first node with this key; at
    /// `place` if there is none.
    pub fn replace(&mut self, key: &str, text: &str, place: Place<'_>) -> Result<()> {
        match self.index(key) {
            Some(index) => self.splice(index, index + 1, text),
            None => self.insert(place, text),
        }
    }

    /// Spells the value of the first node with this key anew; a new line goes to `place` if there is none.
    pub fn set(&mut self, key: &str, value: &str, place: Place<'_>) -> Result<()> {
        let Some(index) = self.index(key) else {
            return self.insert(place, &format!("{key} = {value}\n"));
        };
        let Some(item) = self.body.items.get_mut(index).filter(|item| item.body.is_none()) else {
            return Err(Error::new(Kind::Refused, format!("{key} is a section, not a value")));
        };
        item.respell(self.source, item.value, value.as_bytes());
        Ok(())
    }

    /// Gives the first node with this key another, which must need no quotes.
    pub fn rename(&mut self, key: &str, to: &str) {
        let Some(index) = self.index(key) else { return };
        let Some(item) = self.body.items.get_mut(index) else {
            return;
        };
        let quotes = u32::from(item.quote != Quote::None);
        let spelled = Span { start: item.key.start.saturating_sub(quotes), end: item.key.end + quotes };
        item.respell(self.source, spelled, to.as_bytes());
        item.quote = Quote::None;
    }

    /// One blank line less between the last node and the closing brace, where there are two or more.
    pub fn trim_blank_line(&mut self) {
        if self.body.close.of(self.source).starts_with(b"\n\n") {
            self.body.close.start += 1;
        }
    }

    /// One blank line more between the last node and the closing brace, where that has a line of its own.
    pub fn add_blank_line(&mut self) {
        let Span { start, end } = self.body.close;
        let longer = Span { start: start.saturating_sub(1), end };
        // The line end before it is printed a second time.
        if longer.start < start && longer.of(self.source).starts_with(b"\n") {
            self.body.close = longer;
        }
    }

    /// The blank space and comments before the first node with this key.
    pub fn lead(&self, key: &str) -> Option<&[u8]> {
        let item = self.body.items.get(self.index(key)?)?;
        let source = item.own.as_ref().unwrap_or(self.source);
        let quotes = u32::from(item.quote != Quote::None);
        Some(Span { start: item.all.start, end: item.key.start.saturating_sub(quotes) }.of(source))
    }
}

impl Item {
    /// Puts `with` in the place of a range of this node's text: of all of it, or for a section of what precedes its
    /// nodes. The node gets a text of its own; its nodes keep theirs.
    fn respell(&mut self, around: &Source, range: Span, with: &[u8]) {
        let source = self.own.clone().unwrap_or_else(|| around.clone());
        let text = self.body.as_ref().map_or(self.all, |body| body.open);
        let before = Span { start: text.start, end: range.start };
        let after = Span { start: range.end, end: text.end };
        let mut own = [before.of(&source), with, after.of(&source)].concat();

        let moved = Move { base: text.start as usize, range, length: with.len() };
        self.key = moved.apply(self.key);
        let whole = Span::new(0, own.len());
        match &mut self.body {
            None => {
                self.value = moved.apply(self.value);
                self.all = whole;
            }
            Some(body) => {
                let body = Arc::make_mut(body);
                for item in &mut body.items {
                    item.own.get_or_insert_with(|| source.clone());
                }
                own.extend_from_slice(body.close.of(&source));
                body.open = whole;
                body.close = Span::new(whole.end as usize, own.len());
                body.changed = true;
                self.all = Span::new(0, own.len());
            }
        }
        self.own = Some(Arc::from(own));
    }
}

/// What happens to other ranges of a text of which a part from `base` on is copied, with `range` replaced by something
/// of another length.
struct Move {
    base: usize,
    range: Span,
    length: usize,
}

impl Move {
    fn apply(&self, other: Span) -> Span {
        let range = self.range;
        let low = |at: u32| (at as usize).saturating_sub(self.base);
        let high =
            |at: u32| low(range.start) + self.length + (at as usize).saturating_sub(range.end as usize);
        if other.start >= range.end {
            Span::new(high(other.start), high(other.end))
        } else if other.end <= range.start {
            Span::new(low(other.start), low(other.end))
        } else {
            Span::new(low(other.start.min(range.start)), high(other.end.max(range.end)))
        }
    }
}
