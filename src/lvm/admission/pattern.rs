//! Filters: patterns of names that are accepted or rejected.

use std::iter::Peekable;
use std::path::PathBuf;
use std::str::Chars;

use regex::Regex;

use crate::error::{Error, Kind, Result};

/// Patterns in order; the first that matches a name decides about it.
#[derive(Debug)]
pub(super) struct Filter(Vec<(bool, Regex)>);

impl Filter {
    /// Patterns `a|regex|` and `r|regex|`; any character, or a pair of brackets, may stand for the bars.
    pub fn parse(setting: &str, patterns: &[String]) -> Result<Self> {
        let bad = |text: &str, why: &str| {
            Error::new(Kind::Usage, format!("bad pattern \"{text}\" in {setting} of lvm.conf: {why}"))
                .hint("a pattern is like a|^/dev/sda$| or r|.*|")
        };
        let parse = |text: &String| {
            let (accepts, regex) = split(text).ok_or_else(|| bad(text, "not of the form a|regex|"))?;
            let regex = translated(regex).ok_or_else(|| bad(text, "a bracket is missing"))?;
            let regex = Regex::new(&regex).map_err(|error| {
                // The lines before the last draw where it is.
                let said = error.to_string();
                bad(text, said.lines().last().unwrap_or_default().trim_start_matches("error: "))
            })?;
            Ok((accepts, regex))
        };
        patterns.iter().map(parse).collect::<Result<_>>().map(Self)
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// A device is accepted if one of its names is, or if no pattern matches any of them.
    pub fn accepts(&self, names: &[PathBuf]) -> bool {
        let verdict = |name: &PathBuf| {
            let name = name.to_string_lossy();
            self.0.iter().find(|(_, regex)| regex.is_match(&name)).map(|(accepts, _)| *accepts)
        };
        let verdicts: Vec<bool> = names.iter().filter_map(verdict).collect();
        verdicts.is_empty() || verdicts.contains(&true)
    }
}

/// What a pattern does, and its regex.
fn split(text: &str) -> Option<(bool, &str)> {
    let mut characters = text.chars();
    let accepts = match characters.next()? {
        'a' => true,
        'r' => false,
        _ => return None,
    };
    let end = match characters.next()? {
        '(' => ')',
        '[' => ']',
        '{' => '}',
        same => same,
    };
    Some((accepts, characters.as_str().strip_suffix(end)?))
}

/// The same in the regex crate's language. LVM2's has no repetition counts, no classes by name and no flags: what means
/// something there and not here is itself.
fn translated(regex: &str) -> Option<String> {
    let mut out = String::new();
    let mut rest = regex.chars().peekable();
    let mut before = None;
    while let Some(character) = rest.next() {
        match character {
            '[' => out.push_str(&class(&mut rest)?),
            '\\' => out.push_str(&literal(escaped(rest.next()?))),
            // To the crate this would begin a flag.
            '?' if before == Some('(') => return None,
            '*' | '+' | '?' | '|' | '(' | ')' | '^' | '$' | '.' => out.push(character),
            other => out.push_str(&literal(other)),
        }
        before = Some(character);
    }
    Some(out)
}

fn escaped(character: char) -> char {
    match character {
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        other => other,
    }
}

fn literal(character: char) -> String {
    regex::escape(character.encode_utf8(&mut [0; 4]))
}

/// A class, behind its opening bracket.
fn class(rest: &mut Peekable<Chars<'_>>) -> Option<String> {
    let mut out = "[".to_owned();
    if rest.next_if_eq(&'^').is_some() {
        out.push('^');
    }
    let mut is_first = true;
    loop {
        match rest.next()? {
            ']' => break,
            // Between two characters it makes a range, else it is itself.
            '-' if !is_first && rest.peek() != Some(&']') => out.push('-'),
            '\\' => out.push_str(&class_literal(escaped(rest.next()?))),
            other => out.push_str(&class_literal(other)),
        }
        is_first = false;
    }
    out.push(']');
    Some(out)
}

/// In a class more characters have a meaning to the crate.
fn class_literal(character: char) -> String {
    match character {
        '&' | '~' | '-' | '^' | '[' | ']' => format!("\\{character}"),
        other => literal(other),
    }
}
