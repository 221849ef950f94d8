//! A reader of LVM2's text that knows sections, words and lists, and nothing of what they mean.

/// What stands behind a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    Word(String),
    List(Vec<String>),
    Section(Section),
}

/// Keys and what stands behind them, in order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Section(pub Vec<(String, Value)>);

impl Section {
    fn value(&self, key: &str) -> Option<&Value> {
        self.0.iter().find(|(known, _)| known == key).map(|(_, value)| value)
    }

    pub fn word(&self, key: &str) -> Result<&str, String> {
        match self.value(key) {
            Some(Value::Word(word)) => Ok(word),
            _ => Err(format!("there is no word {key}")),
        }
    }

    pub fn number(&self, key: &str) -> Result<u64, String> {
        let word = self.word(key)?;
        word.parse().map_err(|_| format!("{key} is no number: {word}"))
    }

    /// Empty if it is not there.
    pub fn list(&self, key: &str) -> &[String] {
        match self.value(key) {
            Some(Value::List(list)) => list,
            _ => &[],
        }
    }

    pub fn sections(&self) -> impl Iterator<Item = (&str, &Section)> {
        self.0.iter().filter_map(|(key, value)| match value {
            Value::Section(section) => Some((key.as_str(), section)),
            _ => None,
        })
    }

    /// Those of the section of this name; none if it is not there.
    pub fn sections_in(&self, key: &str) -> Vec<(&str, &Section)> {
        let found = self.sections().find(|(name, _)| *name == key);
        found.map(|(_, section)| section.sections().collect()).unwrap_or_default()
    }
}

/// Reads the whole text, up to a NUL or its end.
pub fn parse(bytes: &[u8]) -> Result<Section, String> {
    let bytes = bytes.split(|byte| *byte == 0).next().unwrap_or_default();
    let text = std::str::from_utf8(bytes).map_err(|error| error.to_string())?;
    let words = words(text)?;
    let mut at = words.iter().peekable();
    let root = section(&mut at)?;
    at.next().map_or(Ok(root), |word| Err(format!("{word:?} stands behind the end")))
}

type Words<'a> = std::iter::Peekable<std::slice::Iter<'a, (bool, String)>>;

/// The words of a text; those in quotes are marked, for a brace in quotes is none.
fn words(text: &str) -> Result<Vec<(bool, String)>, String> {
    let mut words = Vec::new();
    let mut left = text;
    while let Some(first) = left.chars().next() {
        if first.is_whitespace() {
            left = left.trim_start();
        } else if first == '#' {
            left = left.split_once('\n').map_or("", |(_, rest)| rest);
        } else if "{}[]=,".contains(first) {
            words.push((false, first.to_string()));
            left = &left[1..];
        } else if first == '"' {
            let (word, rest) = quoted(&left[1..])?;
            words.push((true, word));
            left = rest;
        } else {
            let end = left.find(|c: char| c.is_whitespace() || "{}[]=,#".contains(c)).unwrap_or(left.len());
            words.push((true, left[..end].to_owned()));
            left = &left[end..];
        }
    }
    Ok(words)
}

fn quoted(text: &str) -> Result<(String, &str), String> {
    let mut word = String::new();
    let mut letters = text.char_indices();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '"' => return Ok((word, &text[at + 1..])),
            '\\' => word.extend(letters.next().map(|(_, letter)| letter)),
            letter => word.push(letter),
        }
    }
    Err("a quoted word has no end".to_owned())
}

fn is_mark(word: Option<&&(bool, String)>, mark: &str) -> bool {
    word.is_some_and(|(quoted, text)| !quoted && text == mark)
}

fn section(words: &mut Words<'_>) -> Result<Section, String> {
    let mut section = Section::default();
    while words.peek().is_some() && !is_mark(words.peek(), "}") {
        let key = words.next().map(|(_, text)| text.clone()).unwrap_or_default();
        let mark = words.next().map(|(_, text)| text.as_str());
        let value = match mark {
            Some("{") => {
                let inner = self::section(words)?;
                words.next().ok_or_else(|| format!("section {key} has no end"))?;
                Value::Section(inner)
            }
            Some("=") => value(words)?,
            other => return Err(format!("behind {key} stands {other:?}")),
        };
        section.0.push((key, value));
    }
    Ok(section)
}

fn value(words: &mut Words<'_>) -> Result<Value, String> {
    if !is_mark(words.peek(), "[") {
        return words.next().map(|(_, text)| Value::Word(text.clone())).ok_or_else(|| "no value".to_owned());
    }
    words.next();
    let mut list = Vec::new();
    while !is_mark(words.peek(), "]") {
        let (is_word, text) = words.next().ok_or("a list has no end")?;
        list.extend(is_word.then(|| text.clone()));
    }
    words.next();
    Ok(Value::List(list))
}

#[test]
fn sections_words_and_lists_are_read() {
    let text = "vg {\nid = \"a\\\"b\" # no\nn=3\nl = [\"x\", 1]\nin {\ne = []\n}\n}\nversion = 1\n\0garbage";
    let root = parse(text.as_bytes()).unwrap();
    let (name, vg) = root.sections().next().unwrap();
    assert_eq!((name, vg.word("id"), vg.number("n")), ("vg", Ok("a\"b"), Ok(3)));
    assert_eq!(vg.list("l"), ["x", "1"]);
    assert_eq!(root.number("version"), Ok(1));
    assert!(parse(b"vg {").is_err() && parse(b"vg {}}").is_err() && parse(b"a = \"").is_err());
}
