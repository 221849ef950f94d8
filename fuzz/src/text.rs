//! The text grammar: what is read prints as it was, and changes change what they name and nothing else.

use dmsnap::error::Kind;
use dmsnap::lvm::config::{Place, SectionMut, Tree};

use super::outline::{Line, outline};

/// Keys for nodes of our own. A text that has one of them is not changed: the first node of a name is the one that counts.
const NEW: &str = "fuzz_key";
const OTHER: &str = "fuzz_other";
const FIRST: &str = "fuzz_first";

pub fn run(data: &[u8]) -> bool {
    if data.len() > 1 << 16 {
        return false;
    }
    match Tree::parse(data) {
        Ok(tree) => read(data, &tree),
        Err(error) => assert!(error.kind() == Kind::Refused && !error.message().is_empty()),
    }
    true
}

fn read(data: &[u8], tree: &Tree) {
    let text = data.split(|byte| *byte == 0).next().unwrap_or_default();
    assert_eq!(tree.print(), text);
    let lines = outline(tree.root());
    let mut touched = tree.clone();
    touched.root_mut();
    assert_eq!(reread(&touched), lines, "touched and not changed");
    for path in paths(&lines) {
        change(tree, &path);
    }
}

/// What a tree prints, read again.
fn reread(tree: &Tree) -> Vec<Line> {
    let text = tree.print();
    let again = Tree::parse(&text).unwrap_or_else(|error| panic!("{error}: {}", text.escape_ascii()));
    let lines = outline(again.root());
    assert_eq!(lines, outline(tree.root()), "{}", text.escape_ascii());
    lines
}

/// Some sections, by the keys that lead to them: those that are found by them.
fn paths(lines: &[Line]) -> Vec<Vec<String>> {
    let mut found = vec![Vec::new()];
    let mut path: Vec<String> = Vec::new();
    for (depth, key, value) in lines {
        path.truncate(*depth);
        let Ok(key) = String::from_utf8(key.clone()) else { continue };
        if path.len() == *depth && value.is_none() {
            path.push(key);
            found.push(path.clone());
        }
    }
    found.truncate(8);
    found
}

fn at<'t>(tree: &'t mut Tree, path: &[String]) -> Option<SectionMut<'t>> {
    let mut section = tree.root_mut();
    for key in path {
        section = section.into_section(key)?;
    }
    Some(section)
}

fn change(tree: &Tree, path: &[String]) {
    let before = outline(tree.root());
    let mut next = tree.clone();
    // The first node of a name may be no section.
    let Some(mut section) = at(&mut next, path) else { return };
    if [NEW, OTHER, FIRST].iter().any(|key| section.index(key).is_some()) {
        return;
    }
    let count = section.read().nodes().len();
    section.insert(Place::Last, &format!("{NEW} = 1\n")).expect("a good line");
    assert_eq!(section.index(NEW), Some(count));
    let longer = reread(&next);
    assert_eq!(longer.len(), before.len() + 1);
    let mut section = at(&mut next, path).expect("it was there");
    section.set(NEW, "[\"a\", 2]", Place::Last).expect("a value");
    section.rename(NEW, OTHER);
    assert_eq!(
        section.read().find(OTHER).and_then(|node| node.value()).map(|value| value.scalars().count()),
        Some(2)
    );
    assert_eq!(reread(&next).len(), longer.len());
    assert!(at(&mut next, path).expect("it was there").remove(OTHER));
    assert_eq!(reread(&next), before);
    first(tree, path);
}

/// The first node spelled anew, another line before it, and then none of it.
fn first(tree: &Tree, path: &[String]) {
    let before = outline(tree.root());
    let mut next = tree.clone();
    let Some(mut section) = at(&mut next, path) else { return };
    let Some(node) = section.read().nodes().next() else { return };
    let Ok(key) = String::from_utf8(node.key().into_owned()) else { return };
    if section.index(&key) != Some(0) {
        return;
    }
    let is_value = node.value().is_some();
    if is_value {
        section.set(&key, "'x y'", Place::Last).expect("a value");
    }
    section.rename(&key, FIRST);
    section.insert(Place::Index(0), &format!("{NEW} = 1\n")).expect("a good line");
    assert_eq!((section.index(NEW), section.index(FIRST)), (Some(0), Some(1)));
    assert_eq!(reread(&next).len(), before.len() + 1);
    let mut section = at(&mut next, path).expect("it was there");
    assert!(section.remove(FIRST));
    assert!(section.remove(NEW));
    let left = reread(&next).len();
    assert!(if is_value { left + 1 == before.len() } else { left < before.len() });
}
