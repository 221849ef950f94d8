//! The grammar:
//!
//! ```text
//! file   := node*                        end of the text, or NUL
//! node   := key '{' node* '}'  |  key '=' value
//! value  := scalar  |  '[' (scalar ','?)* ']'
//! ```
//!
//! A comma may be left out only before a quoted string. A `/` in a key without quotes nests: `a/b = 1` is
//! `a { b = 1 }`.

use std::sync::Arc;

use super::lexer::{Fault, Lexed, Lexer};
use super::tree::{Body, Item, Quote, Source, Span, Style, Tree};
use super::{DEPTH_MAX, NODES_MAX, TEXT_MAX};
use crate::error::{Context, Error, Kind, Result};

impl Tree {
    /// Takes a text apart. A NUL ends it. [`Kind::Refused`], with the place, if it is not in the grammar or too large.
    pub fn parse(text: &[u8]) -> Result<Self> {
        Self::parse_shared(&Arc::from(text))
    }

    /// The same without a copy of the text.
    pub fn parse_shared(source: &Source) -> Result<Self> {
        if source.len() > TEXT_MAX {
            let cause = format!("the text is larger than {} MiB", TEXT_MAX >> 20);
            return Err(Error::new(Kind::Refused, cause));
        }
        let mut parser = Parser { lexer: Lexer::new(before_nul(source)), nodes: 0 };
        match parser.file() {
            Ok(root) => Ok(Self { root, source: source.clone() }),
            Err(fault) => Err(explain(before_nul(source), fault)),
        }
    }
}

/// A NUL is mostly the last byte or nowhere; `contains` looks at many bytes at a time.
fn before_nul(text: &[u8]) -> &[u8] {
    match text.split_last() {
        Some((0, before)) if !before.contains(&0) => before,
        _ if !text.contains(&0) => text,
        _ => text.split(|&byte| byte == 0).next().unwrap_or_default(),
    }
}

fn explain(source: &[u8], fault: Fault) -> Error {
    let (line, column) = position(source, fault.at);
    let found = match source.get(fault.at) {
        None => "the end".to_owned(),
        Some(byte) => format!("\"{}\"", byte.escape_ascii()),
    };
    let cause = format!("line {line}, column {column}: expected {}, found {found}", fault.why);
    Error::new(Kind::Refused, cause).at(Context::Position { line, column })
}

/// Line and column of an offset, from 1.
pub(super) fn position(source: &[u8], at: usize) -> (usize, usize) {
    let before = source.get(..at).unwrap_or(source);
    let line = before.iter().filter(|&&byte| byte == b'\n').count() + 1;
    let column = before.iter().rev().take_while(|&&byte| byte != b'\n').count() + 1;
    (line, column)
}

/// What a volume's section or a segment's has room for at once.
const USUAL_NODES: usize = 8;

struct Parser<'t> {
    lexer: Lexer<'t>,
    nodes: usize,
}

impl Parser<'_> {
    fn file(&mut self) -> Lexed<Body> {
        let mut items = Vec::new();
        let close = loop {
            let lead = self.lexer.at();
            self.lexer.trivia();
            if self.lexer.peek().is_none() {
                break Span::new(lead, self.lexer.at());
            }
            items.push(self.node(lead, DEPTH_MAX)?);
        };
        Ok(Body { open: Span::new(0, 0), items, close, style: Style::Plain, changed: false })
    }

    /// One node; its leading blank space has been taken.
    fn node(&mut self, lead: usize, depth: usize) -> Lexed<Item> {
        let (quote, start, end) = self.lexer.key()?;
        self.nodes += 1;
        if self.nodes > NODES_MAX {
            return Err(Fault { at: start, why: "fewer nodes" });
        }
        let key = self.lexer.since(start);
        if quote == Quote::None && key.contains(&b'/') {
            let mut steps = steps(key, start)?;
            let last = steps.pop().ok_or(Fault { at: start, why: "a name between slashes" })?;
            return self.nested(lead, &steps, last, depth);
        }
        self.rest(lead, quote, Span::new(start, end), depth)
    }

    /// `a/b/c = 1`: a section for each step but the last.
    fn nested(&mut self, lead: usize, steps: &[Span], last: Span, depth: usize) -> Lexed<Item> {
        let Some((&first, steps)) = steps.split_first() else {
            return self.rest(lead, Quote::None, last, depth);
        };
        let Some(depth) = depth.checked_sub(1) else {
            return self.lexer.fault("less nesting");
        };
        let inner = steps.first().copied().unwrap_or(last).start as usize;
        let item = self.nested(inner, steps, last, depth)?;
        let end = self.lexer.at();
        let body = Body {
            open: Span::new(lead, inner),
            items: vec![item],
            close: Span::new(end, end),
            style: Style::Slash,
            changed: false,
        };
        Ok(Item::section(Quote::None, Span::new(lead, end), first, body))
    }

    /// What follows the key.
    fn rest(&mut self, lead: usize, quote: Quote, key: Span, depth: usize) -> Lexed<Item> {
        self.lexer.trivia();
        if self.lexer.take(b'{') {
            let Some(depth) = depth.checked_sub(1) else {
                return self.lexer.fault("less nesting");
            };
            let body = self.section(lead, depth)?;
            return Ok(Item::section(quote, Span::new(lead, self.lexer.at()), key, body));
        }
        if !self.lexer.take(b'=') {
            return self.lexer.fault("\"=\" or \"{\"");
        }
        self.lexer.trivia();
        let start = self.lexer.at();
        self.value()?;
        let value = Span::new(start, self.lexer.at());
        self.lexer.rest_of_line();
        Ok(Item::value(quote, Span::new(lead, self.lexer.at()), key, value))
    }

    /// After the opening brace.
    fn section(&mut self, lead: usize, depth: usize) -> Lexed<Body> {
        self.lexer.rest_of_line();
        let open = Span::new(lead, self.lexer.at());
        let mut items = Vec::new();
        loop {
            let lead = self.lexer.at();
            self.lexer.trivia();
            if self.lexer.take(b'}') {
                self.lexer.rest_of_line();
                let close = Span::new(lead, self.lexer.at());
                return Ok(Body { open, items, close, style: Style::Plain, changed: false });
            }
            if self.lexer.peek().is_none() {
                return self.lexer.fault("a name or \"}\"");
            }
            if items.is_empty() {
                items.reserve(USUAL_NODES);
            }
            items.push(self.node(lead, depth)?);
        }
    }

    fn value(&mut self) -> Lexed<()> {
        if !self.lexer.take(b'[') {
            return self.lexer.scalar().map(drop);
        }
        let mut comma = true;
        loop {
            self.lexer.trivia();
            if self.lexer.take(b']') {
                return Ok(());
            }
            if !comma && !matches!(self.lexer.peek(), Some(b'"' | b'\'')) {
                return self.lexer.fault("\",\" or \"]\"");
            }
            self.lexer.scalar()?;
            self.lexer.trivia();
            comma = self.lexer.take(b',');
        }
    }
}

/// The parts of a key with slashes. LVM2 skips empty ones. Each could be a key of its own: it may get braces around it.
fn steps(key: &[u8], start: usize) -> Lexed<Vec<Span>> {
    let mut at = start;
    let mut steps = Vec::new();
    for part in key.split(|&byte| byte == b'/') {
        match part.first() {
            None => {}
            Some(b'[' | b']' | b',' | b'"' | b'\'') => {
                return Err(Fault { at, why: "a name behind a slash" });
            }
            Some(_) => steps.push(Span::new(at, at + part.len())),
        }
        at += part.len() + 1;
    }
    Ok(steps)
}
