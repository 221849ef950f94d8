//! The tree: what a text says, and where it says it.
//!
//! A node remembers the range of the text that is its own: the blank space and comments before it, itself, and the
//! rest of its last line. A changed node gets a little text of its own; sections above it are then printed piece by
//! piece, everything else in one. Sections are shared between copies of a tree until one changes.

use std::borrow::Cow;
use std::sync::Arc;

use super::lexer::{self, Lexer};
use super::parse::position;
use crate::error::{Context, Error, Kind};

/// A text that nodes share.
pub type Source = Arc<[u8]>;

/// A range of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    pub start: u32,
    pub end: u32,
}

impl Span {
    /// Texts are far smaller than 4 GiB: the parser refuses larger ones.
    pub fn new(start: usize, end: usize) -> Self {
        let narrow = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
        Self { start: narrow(start), end: narrow(end) }
    }

    pub fn of(self, source: &[u8]) -> &[u8] {
        source.get(self.start as usize..self.end as usize).unwrap_or_default()
    }
}

/// How a string is quoted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Quote {
    None,
    Single,
    Double,
}

impl Quote {
    pub fn byte(self) -> u8 {
        match self {
            Self::None => b' ',
            Self::Single => b'\'',
            Self::Double => b'"',
        }
    }

    /// What the text between the quotes means: double quotes know `\"` and `\\`, any other backslash is itself.
    fn unescape(self, text: &[u8]) -> Cow<'_, [u8]> {
        if self != Self::Double || !text.contains(&b'\\') {
            return Cow::Borrowed(text);
        }
        let mut out = Vec::with_capacity(text.len());
        let mut bytes = text.iter().copied().peekable();
        while let Some(byte) = bytes.next() {
            match (byte, bytes.peek()) {
                (b'\\', Some(&next @ (b'"' | b'\\'))) => {
                    bytes.next();
                    out.push(next);
                }
                _ => out.push(byte),
            }
        }
        Cow::Owned(out)
    }
}

/// A node. Its ranges are in `own`, or else in the text of the section around it.
#[derive(Debug, Clone)]
pub(super) struct Item {
    pub own: Option<Source>,
    pub all: Span,
    pub key: Span,
    pub quote: Quote,
    pub value: Span,
    pub body: Option<Arc<Body>>,
}

/// A section's inside: from its blank space before the key to the opening brace, its nodes, and from there to the
/// rest of the closing brace's line.
#[derive(Debug, Clone)]
pub(super) struct Body {
    pub open: Span,
    pub items: Vec<Item>,
    pub close: Span,
    pub style: Style,
    /// Something in it was: it is then printed piece by piece.
    pub changed: bool,
}

/// How a section is spelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    /// `a { b = 1 }`, or the whole text.
    Plain,
    /// `a/b = 1`.
    Slash,
    /// It was `a/b = 1` and has more than that in it now.
    Braced,
}

impl Item {
    pub fn value(quote: Quote, all: Span, key: Span, value: Span) -> Self {
        Self { own: None, all, key, quote, value, body: None }
    }

    pub fn section(quote: Quote, all: Span, key: Span, body: Body) -> Self {
        Self { own: None, all, key, quote, value: Span::new(0, 0), body: Some(Arc::new(body)) }
    }

    pub fn has_key(&self, source: &Source, key: &[u8]) -> bool {
        crate::work::step();
        let spelled = self.key.of(self.own.as_ref().unwrap_or(source));
        spelled == key || (self.quote == Quote::Double && *self.quote.unescape(spelled) == *key)
    }
}

/// A text, taken apart without losing a byte.
#[derive(Debug, Clone)]
pub struct Tree {
    pub(super) source: Source,
    pub(super) root: Body,
}

impl Default for Tree {
    /// The empty text.
    fn default() -> Self {
        let nothing = Span::new(0, 0);
        let root =
            Body { open: nothing, items: Vec::new(), close: nothing, style: Style::Plain, changed: false };
        Self { source: Arc::from([]), root }
    }
}

impl Tree {
    /// The nodes at the top.
    pub fn root(&self) -> Section<'_> {
        Section { source: &self.source, body: &self.root }
    }
}

/// A section, to read.
#[derive(Debug, Clone, Copy)]
pub struct Section<'t> {
    pub(super) source: &'t Source,
    pub(super) body: &'t Body,
}

impl<'t> Section<'t> {
    /// Its nodes in order.
    pub fn nodes(self) -> impl ExactSizeIterator<Item = Node<'t>> + use<'t> {
        self.body
            .items
            .iter()
            .map(move |item| Node { source: item.own.as_ref().unwrap_or(self.source), item })
    }

    /// The first node with this key: LVM2 takes the first where there are several.
    pub fn find(self, key: &str) -> Option<Node<'t>> {
        self.nodes().find(|node| node.has_key(key))
    }

    /// The index of the section with this key, which is probably `place`: whoever keeps the nodes in an order of his own knows, and
    /// need not search among thousands. Where it is elsewhere it is searched for.
    pub fn section_index(self, key: &str, place: usize) -> Option<usize> {
        let items = &self.body.items;
        let is_it = |item: &Item| item.body.is_some() && item.has_key(self.source, key.as_bytes());
        match items.get(place) {
            Some(item) if is_it(item) => Some(place),
            _ => items.iter().position(is_it),
        }
    }

    /// The section node with this key, which is probably the node `place`.
    pub fn section_near(self, key: &str, place: usize) -> Option<Node<'t>> {
        let index = self.section_index(key, place)?;
        let item = self.body.items.get(index)?;
        Some(Node { source: item.own.as_ref().unwrap_or(self.source), item })
    }

    /// The section inside sections with these keys.
    pub fn path_of(self, keys: &[&str]) -> Option<Section<'t>> {
        keys.iter().try_fold(self, |section, key| section.find(key)?.section())
    }

    /// The node at the end of a path with slashes.
    pub fn path(self, path: &str) -> Option<Node<'t>> {
        match path.split_once('/') {
            None => self.find(path),
            Some((first, rest)) => self.find(first)?.section()?.path(rest),
        }
    }
}

/// A node, to read.
#[derive(Debug, Clone, Copy)]
pub struct Node<'t> {
    source: &'t Source,
    item: &'t Item,
}

impl<'t> Node<'t> {
    /// Its key, without quotes.
    pub fn key(self) -> Cow<'t, [u8]> {
        self.item.quote.unescape(self.item.key.of(self.source))
    }

    /// True if its key is this one.
    pub fn has_key(self, key: &str) -> bool {
        self.item.has_key(self.source, key.as_bytes())
    }

    /// Its nodes, if it is a section.
    pub fn section(self) -> Option<Section<'t>> {
        let body = self.item.body.as_deref()?;
        Some(Section { source: self.source, body })
    }

    /// Its value, if it has one.
    pub fn value(self) -> Option<Value<'t>> {
        match self.item.body {
            None => Some(Value { text: self.item.value.of(self.source) }),
            Some(_) => None,
        }
    }

    /// An error about it, with its place.
    pub fn error(self, why: impl std::fmt::Display) -> Error {
        let (line, column) = position(self.source, self.item.key.start as usize);
        let key = self.key();
        let cause = format!("line {line}: {}: {why}", String::from_utf8_lossy(&key));
        Error::new(Kind::Refused, cause).at(Context::Position { line, column })
    }
}

/// Most numbers: a few decimal digits that are not octal.
fn plain_integer(text: &[u8]) -> Option<i64> {
    let plain = text.len() <= 18
        && text.iter().all(u8::is_ascii_digit)
        && (text.len() == 1 || !text.starts_with(b"0"));
    (plain && !text.is_empty())
        .then(|| text.iter().fold(0, |value, byte| value * 10 + i64::from(byte.wrapping_sub(b'0'))))
}

/// A value, to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Value<'t> {
    text: &'t [u8],
}

/// One of the scalars in a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scalar<'t> {
    /// A number without a point.
    Integer(i64),
    /// A number with a point, as it is spelled.
    Float(&'t [u8]),
    /// A string or bare word, without quotes.
    Text(Cow<'t, [u8]>),
}

impl<'t> Value<'t> {
    /// How it is spelled.
    pub const fn spelled(self) -> &'t [u8] {
        self.text
    }

    /// True if it is in brackets.
    pub fn is_list(self) -> bool {
        self.text.first() == Some(&b'[')
    }

    /// Its scalars; a value without brackets is one.
    pub fn scalars(self) -> impl Iterator<Item = Scalar<'t>> + use<'t> {
        let mut lexer = Lexer::new(self.text);
        if self.is_list() {
            lexer.take(b'[');
        }
        std::iter::from_fn(move || {
            lexer.trivia();
            // The parser has been here: what does not lex is the closing bracket or the end.
            let (kind, start, end) = lexer.scalar().ok()?;
            let spelled = self.text.get(start..end).unwrap_or_default();
            lexer.trivia();
            lexer.take(b',');
            Some(match kind {
                lexer::Kind::Integer(value) => Scalar::Integer(value),
                lexer::Kind::Float => Scalar::Float(spelled),
                lexer::Kind::Text(quote) => Scalar::Text(quote.unescape(spelled)),
            })
        })
    }

    /// The one number.
    pub fn integer(self) -> Option<i64> {
        if let Some(value) = plain_integer(self.text) {
            return Some(value);
        }
        match self.one()? {
            Scalar::Integer(value) => Some(value),
            _ => None,
        }
    }

    /// The one string.
    pub fn text(self) -> Option<Cow<'t, [u8]>> {
        if let [b'"', inner @ .., b'"'] = self.text
            && !inner.contains(&b'\\')
        {
            return Some(Cow::Borrowed(inner));
        }
        match self.one()? {
            Scalar::Text(text) => Some(text),
            _ => None,
        }
    }

    fn one(self) -> Option<Scalar<'t>> {
        if self.is_list() {
            return None;
        }
        self.scalars().next()
    }
}
