//! What a text says, apart from how it is spaced.

use dmsnap::lvm::config::{Scalar, Section};

/// A node: how deep it is, its key, its value as it is spelled if it is no section.
pub type Line = (usize, Vec<u8>, Option<Vec<u8>>);

/// All nodes of a section and of the sections in it, in order.
pub fn outline(section: Section<'_>) -> Vec<Line> {
    let mut lines = Vec::new();
    add(section, 0, &mut lines);
    lines
}

fn add(section: Section<'_>, depth: usize, lines: &mut Vec<Line>) {
    for node in section.nodes() {
        let value = node.value();
        lines.push((depth, node.key().into_owned(), value.map(|value| value.spelled().to_vec())));
        if let Some(value) = value {
            let scalars = value.scalars().count();
            assert!(value.is_list() || scalars == 1, "a value that is {scalars} values");
            if let Some(number) = value.integer() {
                assert_eq!(value.scalars().next(), Some(Scalar::Integer(number)));
            }
            if let Some(text) = value.text() {
                assert_eq!(value.scalars().next(), Some(Scalar::Text(text)));
            }
        }
        if let Some(section) = node.section() {
            assert!(value.is_none());
            add(section, depth + 1, lines);
        }
    }
}
