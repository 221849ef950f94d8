//! Where tokens end. The grammar decides what it wants next; here each kind is taken or refused.
//!
//! What counts as a token depends on the place, as in LVM2: `8` is a number as a value and a name as a key, and `]`
//! or `,` belong to a bare word that they do not begin.

use super::tree::Quote;

/// Why a text is not in the grammar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fault {
    /// Byte offset.
    pub at: usize,
    /// What should have been there, or what is wrong with what is.
    pub why: &'static str,
}

pub(super) type Lexed<T> = Result<T, Fault>;

/// What a scalar is, and where: without its quotes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Integer(i64),
    Float,
    Text(Quote),
}

#[derive(Debug, Clone)]
pub(super) struct Lexer<'t> {
    text: &'t [u8],
    at: usize,
}

/// What C's isspace takes.
const fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r')
}

const fn ends_bare_word(byte: u8) -> bool {
    is_space(byte) || matches!(byte, b'#' | b'=' | b'{' | b'}')
}

impl<'t> Lexer<'t> {
    pub fn new(text: &'t [u8]) -> Self {
        Self { text, at: 0 }
    }

    pub fn at(&self) -> usize {
        self.at
    }

    pub fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    /// What was taken since `start`.
    pub fn since(&self, start: usize) -> &'t [u8] {
        self.text.get(start..self.at).unwrap_or_default()
    }

    pub fn fault<T>(&self, why: &'static str) -> Lexed<T> {
        Err(Fault { at: self.at, why })
    }

    fn skip_while(&mut self, wanted: impl Fn(u8) -> bool) {
        let rest = self.text.get(self.at..).unwrap_or_default();
        self.at += rest.iter().position(|&byte| !wanted(byte)).unwrap_or(rest.len());
    }

    /// Takes one byte if it is this one.
    pub fn take(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        if found {
            self.at += 1;
        }
        found
    }

    /// Takes blank space and comments.
    pub fn trivia(&mut self) {
        loop {
            self.skip_while(is_space);
            if self.peek() != Some(b'#') {
                return;
            }
            self.skip_while(|byte| byte != b'\n');
        }
    }

    /// Takes the rest of the line if there is nothing but blanks and a comment on it: it belongs to what stands
    /// before it.
    pub fn rest_of_line(&mut self) {
        let start = self.at;
        self.skip_while(|byte| matches!(byte, b' ' | b'\t' | b'\r'));
        if self.peek() == Some(b'#') {
            self.skip_while(|byte| byte != b'\n');
        }
        if !self.take(b'\n') && self.peek().is_some() {
            self.at = start;
        }
    }

    /// Takes a quoted string; the range is without the quotes.
    fn string(&mut self, quote: Quote) -> Lexed<(usize, usize)> {
        let start = self.at;
        self.at += 1;
        let inner = self.at;
        loop {
            self.skip_while(|byte| byte != quote.byte() && byte != b'\\');
            match self.peek() {
                None => {
                    return Err(Fault { at: start, why: "a string that ends" });
                }
                Some(b'\\') if quote == Quote::Double => self.at += 2,
                Some(b'\\') => self.at += 1,
                Some(_) => break,
            }
        }
        let end = self.at;
        self.at += 1;
        Ok((inner, end))
    }

    /// Takes a key; the range is without quotes.
    pub fn key(&mut self) -> Lexed<(Quote, usize, usize)> {
        let (quote, start, end) = match self.peek() {
            Some(b'"') => self.string(Quote::Double).map(|(start, end)| (Quote::Double, start, end))?,
            Some(b'\'') => self.string(Quote::Single).map(|(start, end)| (Quote::Single, start, end))?,
            None | Some(b'{' | b'}' | b'[' | b']' | b',' | b'=') => return self.fault("a name"),
            Some(_) => {
                let start = self.at;
                self.skip_while(|byte| !ends_bare_word(byte));
                (Quote::None, start, self.at)
            }
        };
        if start == end {
            return Err(Fault { at: start, why: "a name that is not empty" });
        }
        Ok((quote, start, end))
    }

    /// Takes one scalar: its kind, and its range without quotes.
    pub fn scalar(&mut self) -> Lexed<(Kind, usize, usize)> {
        match self.peek() {
            Some(b'"') => self.text_scalar(Quote::Double),
            Some(b'\'') => self.text_scalar(Quote::Single),
            Some(b'0'..=b'9' | b'+' | b'-' | b'.') => self.number(),
            None | Some(b'{' | b'}' | b'[' | b']' | b',' | b'=') => self.fault("a value"),
            Some(_) => {
                let start = self.at;
                self.skip_while(|byte| !ends_bare_word(byte));
                Ok((Kind::Text(Quote::None), start, self.at))
            }
        }
    }

    fn text_scalar(&mut self, quote: Quote) -> Lexed<(Kind, usize, usize)> {
        self.string(quote).map(|(start, end)| (Kind::Text(quote), start, end))
    }

    /// Sign, digits, at most one point. What follows without a space is the next token, as in LVM2.
    fn number(&mut self) -> Lexed<(Kind, usize, usize)> {
        let start = self.at;
        let mut float = self.take(b'.');
        if !float {
            self.at += 1;
        }
        self.skip_while(|byte| byte.is_ascii_digit());
        if !float && self.take(b'.') {
            float = true;
            self.skip_while(|byte| byte.is_ascii_digit());
        }
        let text = self.since(start);
        if !text.iter().any(u8::is_ascii_digit) {
            return Err(Fault { at: start, why: "digits" });
        }
        let kind = if float { Kind::Float } else { Kind::Integer(integer(text, start)?) };
        Ok((kind, start, self.at))
    }
}

/// A leading zero says octal.
fn integer(text: &[u8], at: usize) -> Lexed<i64> {
    let (negative, digits) = match text.split_first() {
        Some((b'-', rest)) => (true, rest),
        Some((b'+', rest)) => (false, rest),
        _ => (false, text),
    };
    let base = if digits.len() > 1 && digits.first() == Some(&b'0') { 8 } else { 10 };
    let mut value = 0_i64;
    for digit in digits.iter().map(|byte| i64::from(byte.wrapping_sub(b'0'))) {
        if digit >= base {
            return Err(Fault { at, why: "octal digits after a leading 0" });
        }
        // Down from zero: the least integer has no positive counterpart.
        value = value
            .checked_mul(base)
            .and_then(|value| value.checked_sub(digit))
            .ok_or(Fault { at, why: "a number of at most 64 bits" })?;
    }
    if negative {
        Ok(value)
    } else {
        value.checked_neg().ok_or(Fault { at, why: "a number of at most 64 bits" })
    }
}
