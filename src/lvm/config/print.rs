//! Back to text, and how values are spelled.

use super::tree::{Body, Item, Source, Span, Style, Tree};

impl Tree {
    /// The text. What was not changed is as it was read.
    pub fn print(&self) -> Vec<u8> {
        if !self.root.changed {
            let all = Span { start: 0, end: self.root.close.end };
            return all.of(&self.source).to_vec();
        }
        let mut out = Vec::with_capacity(self.source.len() + 1024);
        print_body(&self.root, &self.source, &mut out);
        out
    }
}

fn print_body(body: &Body, source: &Source, out: &mut Vec<u8>) {
    let open = body.open.of(source);
    let (open, brace, close): (_, &[u8], &[u8]) = match body.style {
        Style::Braced => (without_slashes(open), b" {\n", b"}\n"),
        Style::Plain | Style::Slash => (open, b"", body.close.of(source)),
    };
    out.extend_from_slice(open);
    out.extend_from_slice(brace);
    let mut comment = false;
    for item in &body.items {
        out.extend(comment.then_some(b'\n'));
        let start = out.len();
        print_item(item, source, out);
        // The one node of `a/b = 1` belongs to the slash before it.
        if body.style != Style::Slash {
            part(start, out);
        }
        comment = may_end_in_comment(out.get(start..).unwrap_or_default());
    }
    out.extend((comment && !close.is_empty()).then_some(b'\n'));
    out.extend_from_slice(close);
}

/// The last node of a text may end in a comment without a line end, which must not swallow what is put behind it. A `#`
/// in a string is taken for one too: a line end more does no harm.
fn may_end_in_comment(node: &[u8]) -> bool {
    node.rsplit(|&byte| byte == b'\n').next().is_some_and(|line| line.contains(&b'#'))
}

/// Neighbours that were none before must not run into one word.
fn part(at: usize, out: &mut Vec<u8>) {
    let before = at.checked_sub(1).and_then(|last| out.get(last));
    let parted =
        |byte: Option<&u8>| byte.is_none_or(|byte| byte.is_ascii_whitespace() || b"{}".contains(byte));
    if !parted(before) && !parted(out.get(at)) {
        out.insert(at, b'\n');
    }
}

fn without_slashes(open: &[u8]) -> &[u8] {
    let end = open.iter().rposition(|&byte| byte != b'/').map_or(0, |last| last + 1);
    open.get(..end).unwrap_or_default()
}

fn print_item(item: &Item, source: &Source, out: &mut Vec<u8>) {
    let source = item.own.as_ref().unwrap_or(source);
    match &item.body {
        Some(body) if body.changed => print_body(body, source, out),
        _ => out.extend_from_slice(item.all.of(source)),
    }
}

/// A string in double quotes, as LVM2 escapes it.
pub fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for character in text.chars() {
        if matches!(character, '"' | '\\') {
            out.push('\\');
        }
        // A NUL would end the text.
        if character != '\0' {
            out.push(character);
        }
    }
    out.push('"');
    out
}

/// A list of strings on one line, as LVM2 writes `status` and `tags`.
pub fn list<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    let words: Vec<_> = words.into_iter().map(quoted).collect();
    format!("[{}]", words.join(", "))
}
