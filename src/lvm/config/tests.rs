#![allow(clippy::indexing_slicing)]

use super::*;
use crate::error::{Context, Kind};
use proptest::prelude::*;

fn parse(text: &str) -> Tree {
    Tree::parse(text.as_bytes()).unwrap()
}

/// The tree's meaning, spelled plainly.
fn meaning(section: Section<'_>) -> String {
    let node = |node: Node<'_>| {
        let key = String::from_utf8_lossy(&node.key()).into_owned();
        match (node.section(), node.value()) {
            (Some(section), _) => format!("{key}{{{}}}", meaning(section)),
            (_, Some(value)) => {
                let scalars: Vec<_> = value.scalars().map(|scalar| format!("{scalar:?}")).collect();
                format!("{key}{}{}", if value.is_list() { "=list:" } else { "=" }, scalars.join(","))
            }
            _ => unreachable!(),
        }
    };
    section.nodes().map(node).collect::<Vec<_>>().join(" ").replace("Integer", "").replace("Text", "")
}

#[test]
fn the_whole_grammar_is_read_and_printed_as_it_was() {
    let cases = [
        ("", ""),
        ("  # only a comment", ""),
        ("a=1", "a=(1)"),
        ("a = 1\n\nb=2 # c\n", "a=(1) b=(2)"),
        ("a=1 b=2", "a=(1) b=(2)"),
        ("a=1b=2", "a=(1) b=(2)"),
        ("a=010 b=-3 c=+4 d=0 e=-010", "a=(8) b=(-3) c=(4) d=(0) e=(-8)"),
        ("a=9223372036854775807 b=-9223372036854775808", "a=(9223372036854775807) b=(-9223372036854775808)"),
        ("8 = 8", "8=(8)"),
        ("-x { +y = 1 }", "-x{+y=(1)}"),
        ("s { }", "s{}"),
        ("s{t{u=1}}", "s{t{u=(1)}}"),
        ("a # c\n = # d\n 1", "a=(1)"),
        ("l = []", "l=list:"),
        ("l = [ # c\n 1, 2,3 ,]", "l=list:(1),(2),(3)"),
        ("o/p=3", "o{p=(3)}"),
        ("o//p/ = 3", "o{p=(3)}"),
        ("/o/p/q { r = 1 }", "o{p{q{r=(1)}}}"),
        ("write_policy = auto", "write_policy=([97, 117, 116, 111])"),
        ("w = a]b,c", "w=([97, 93, 98, 44, 99])"),
        ("f = 1.5", "f=Float([49, 46, 53])"),
        ("f = .5", "f=Float([46, 53])"),
        ("a=1\0 } garbage", "a=(1)"),
    ];
    for (text, means) in cases {
        let tree = parse(text);
        assert_eq!(meaning(tree.root()), means, "{text}");
        let kept = text.split('\0').next().unwrap();
        assert_eq!(String::from_utf8(tree.print()).unwrap(), kept, "{text}");
    }
}

#[test]
fn strings_are_unquoted_as_lvm2_does() {
    let cases: [(&str, &[u8]); 8] = [
        (r#"a = "b c""#, b"b c"),
        (r#"a = "b\"c\\d""#, br#"b"c\d"#),
        (r#"a = "b\nc""#, br"b\nc"),
        ("a = \"b\nc\"", b"b\nc"),
        (r#"a = 'b"c\'"#, br#"b"c\"#),
        (r#"a = "b#c{}=""#, b"b#c{}="),
        (r#""a" = """#, b""),
        (r#"'a' = "\\""#, br"\"),
    ];
    for (text, means) in cases {
        assert_eq!(&*parse(text).root().find("a").unwrap().value().unwrap().text().unwrap(), means, "{text}");
    }
}

#[test]
fn commas_may_be_left_out_only_between_quoted_strings() {
    assert_eq!(parse(r#"a = ["b" "c" 'd']"#).root().find("a").unwrap().value().unwrap().scalars().count(), 3);
    assert!(Tree::parse(b"a = [1 2]").is_err());
    assert!(Tree::parse(b"a = [b c]").is_err());
}

#[test]
fn bytes_that_are_no_text_are_kept() {
    let text = b"a = \"\xff\xfe\" # \xc3\n";
    let tree = Tree::parse(text).unwrap();
    assert_eq!(tree.print(), text);
    assert_eq!(&*tree.root().find("a").unwrap().value().unwrap().text().unwrap(), b"\xff\xfe");
}

#[test]
fn damage_is_refused_with_its_place() {
    let cases = [
        ("a", 1, 2),
        ("a {", 1, 4),
        ("a {\n b = \n}", 3, 1),
        ("}", 1, 1),
        ("= 1", 1, 1),
        ("a = \"b", 1, 5),
        ("a = [1", 1, 7),
        ("a = [[1]]", 1, 6),
        ("a = {", 1, 5),
        ("a = -", 1, 5),
        ("a = 08", 1, 5),
        ("a = 9223372036854775808", 1, 5),
        ("\"\" = 1", 1, 2),
        ("/ = 1", 1, 1),
        ("a/[b = 1", 1, 3),
        ("a/\"b\" = 1", 1, 3),
        ("a = 1\nb c", 2, 3),
    ];
    for (text, line, column) in cases {
        let error = Tree::parse(text.as_bytes()).unwrap_err();
        assert_eq!(error.kind(), Kind::Refused, "{text}");
        assert_eq!(error.context(), [Context::Position { line, column }], "{text}: {error}");
    }
}

#[test]
fn nesting_is_bounded() {
    let nested = |depth: usize| format!("{}a=1{}", "s{".repeat(depth), "}".repeat(depth));
    assert!(Tree::parse(nested(DEPTH_MAX).as_bytes()).is_ok());
    assert!(Tree::parse(nested(DEPTH_MAX + 1).as_bytes()).is_err());
    assert!(Tree::parse(format!("{}b=1", "a/".repeat(DEPTH_MAX + 1)).as_bytes()).is_err());
    assert!(Tree::parse("s{".repeat(1 << 20).as_bytes()).is_err());
}

#[test]
fn the_first_of_several_equal_keys_counts() {
    let tree = parse("a=1 a=2 s{b=1} s{b=2}");
    assert_eq!(tree.root().find("a").unwrap().value().unwrap().integer(), Some(1));
    assert_eq!(tree.root().path("s/b").unwrap().value().unwrap().integer(), Some(1));
}

const SAMPLE: &str = "vg {\nid = \"x\"\t# why\nseqno = 3\n\nlvs {\n\na {\nn = 1\n}\n\nb {\nn = 2\n}\n}\n}\n# end\nversion = 1\n";

#[test]
fn a_change_touches_only_what_it_changes() {
    let mut tree = parse(SAMPLE);
    tree.root_mut().section("vg").unwrap().set("seqno", "4", Place::Last).unwrap();
    assert_eq!(String::from_utf8(tree.print()).unwrap(), SAMPLE.replace("seqno = 3", "seqno = 4"));
    tree.root_mut().section("vg").unwrap().set("seqno", "1000", Place::Last).unwrap();
    tree.root_mut().section("vg").unwrap().set("id", "\"long\"", Place::Last).unwrap();
    let now = SAMPLE.replace("seqno = 3", "seqno = 1000").replace("\"x\"", "\"long\"");
    assert_eq!(String::from_utf8(tree.print()).unwrap(), now);
}

#[test]
fn nodes_are_added_removed_and_renamed() {
    let mut tree = parse(SAMPLE);
    let mut vg = tree.root_mut().into_section("vg").unwrap();
    vg.set("flags", "[]", Place::After(&["id", "seqno"])).unwrap();
    let mut lvs = vg.into_section("lvs").unwrap();
    lvs.insert(Place::Index(1), "\nc {\nn = 3\n}\n").unwrap();
    assert!(lvs.remove("a"));
    assert!(!lvs.remove("a"));
    lvs.rename("b", "bee");
    lvs.section("bee").unwrap().set("n", "22", Place::Last).unwrap();
    tree.root_mut().rename("vg", "group");
    assert_eq!(
        String::from_utf8(tree.print()).unwrap(),
        "group {\nid = \"x\"\t# why\nseqno = 3\nflags = []\n\nlvs {\n\nc {\nn = 3\n}\n\nbee {\nn = 22\n}\n}\n}\n# end\nversion = 1\n"
    );
    assert_eq!(tree.root().path("group/lvs/bee/n").unwrap().value().unwrap().integer(), Some(22));
    assert_eq!(meaning(parse(&String::from_utf8(tree.print()).unwrap()).root()), meaning(tree.root()));
}

#[test]
fn a_copy_is_not_changed_with_its_origin() {
    let tree = parse(SAMPLE);
    let mut copy = tree.clone();
    copy.root_mut().section("vg").unwrap().section("lvs").unwrap().remove("a");
    assert_eq!(String::from_utf8(tree.print()).unwrap(), SAMPLE);
    assert!(copy.root().path("vg/lvs/a").is_none());
}

#[test]
fn a_key_with_slashes_gets_braces_when_more_comes_into_its_section() {
    let mut tree = parse("a = 1\no/p/q = 3 # x\nb = 2\n");
    tree.root_mut().section("o").unwrap().section("p").unwrap().set("q", "4", Place::Last).unwrap();
    assert_eq!(String::from_utf8(tree.print()).unwrap(), "a = 1\no/p/q = 4 # x\nb = 2\n");
    tree.root_mut().section("o").unwrap().set("r", "5", Place::Last).unwrap();
    let text = String::from_utf8(tree.print()).unwrap();
    assert_eq!(text, "a = 1\no {\np/q = 4 # x\nr = 5\n}\nb = 2\n");
    assert_eq!(meaning(parse(&text).root()), meaning(tree.root()));
}

#[test]
fn a_renamed_key_loses_its_quotes() {
    let mut tree = parse("\"a\" = 1\n'b' { c = 1 }");
    tree.root_mut().rename("a", "x");
    tree.root_mut().rename("b", "y");
    assert_eq!(String::from_utf8(tree.print()).unwrap(), "x = 1\ny { c = 1 }");
    assert_eq!(meaning(tree.root()), "x=(1) y{c=(1)}");
}

#[test]
fn new_neighbours_do_not_run_into_one_word() {
    let mut tree = parse("z=bare x=1\"y\"=2 w=bare");
    tree.root_mut().remove("x");
    tree.root_mut().set("v", "1", Place::Last).unwrap();
    assert_eq!(String::from_utf8(tree.print()).unwrap(), "z=bare\n\"y\"=2 w=bare\nv = 1\n");
    // A slash is as good a letter as any in a bare word.
    let mut tree = parse("a/b = x/ c/d = 1");
    tree.root_mut().section("a").unwrap().insert(Place::Last, "e = 2").unwrap();
    assert_eq!(meaning(parse(&String::from_utf8(tree.print()).unwrap()).root()), meaning(tree.root()));
}

#[test]
fn what_comes_behind_a_last_comment_is_not_part_of_it() {
    for text in ["a = 1 # why", "a { b = 1 } # why", "a { b { c = 1 # why\n} } # why\n# and why"] {
        let mut tree = parse(text);
        let mut root = tree.root_mut();
        root.insert(Place::Last, "new = 2").unwrap();
        let again = Tree::parse(&tree.print()).unwrap();
        assert_eq!(meaning(again.root()), meaning(tree.root()), "{text}");
        assert_eq!(again.root().nodes().len(), 2, "{text}");
    }
}

#[test]
fn a_section_cannot_be_set_to_a_value() {
    assert!(parse("a { }").root_mut().set("a", "1", Place::Last).is_err());
}

#[test]
fn values_are_spelled_so_that_they_are_read_back() {
    assert_eq!(quoted(r#"a"b\c"#), r#""a\"b\\c""#);
    assert_eq!(list(["a", "b"]), r#"["a", "b"]"#);
    assert_eq!(list([]), "[]");
}

/// Not a matter of speed but of its order: these take milliseconds, and minutes if something is quadratic.
#[test]
fn large_texts_of_one_sort_are_read_or_refused_soon() {
    let start = std::time::Instant::now();
    for part in [
        "a{}", "a{", "a{b=1}", "a=1 ", "a/", "a/b=1 ", "[", "'", "\"", "\\", "#", "a=[1,", "a=''", " ", "}",
        "a=1#\n", "\0",
    ] {
        let text = part.repeat((1 << 20) / part.len());
        let closed = [text.clone().into_bytes(), b"]\n}".repeat(3)].concat();
        for text in [text.as_bytes(), &[b"x = [", text.as_bytes()].concat(), &closed] {
            if let Ok(mut tree) = Tree::parse(text) {
                tree.root_mut().insert(Place::Last, "new = 1").unwrap();
                assert!(Tree::parse(&tree.print()).unwrap().root().find("new").is_some(), "{part}");
            }
        }
    }
    assert!(start.elapsed().as_secs() < 60, "{:?}", start.elapsed());
}

/// Random texts of the grammar.
fn any_text() -> impl Strategy<Value = String> {
    let space = prop_oneof![Just(""), Just(" "), Just("\n"), Just("\t# c = { \n"), Just("\r\n")];
    let key = prop_oneof!["[a-z]{1,3}", "[a-z]/[a-z]", Just("\"q k\"".to_owned()), Just("8".to_owned())];
    let scalar = prop_oneof![
        "[1-9][0-9]{0,5}",
        Just("-017".to_owned()),
        Just("3.25".to_owned()),
        "\"[a-z# {}=]{0,5}\"",
        Just(r#""a\"b\\""#.to_owned()),
        "'[a-z\"]{0,3}'",
        "[a-z]{1,4}",
    ];
    let value = prop_oneof![
        scalar.clone(),
        proptest::collection::vec(scalar, 0..4).prop_map(|all| format!("[{} ]", all.join(" , "))),
    ];
    let leaf = (space, key.clone(), value).prop_map(|(space, key, value)| format!("{space}{key} = {value} "));
    leaf.prop_recursive(4, 40, 5, move |inner| {
        let section = (key.clone(), proptest::collection::vec(inner.clone(), 0..5))
            .prop_map(|(key, inner)| format!("{key} {{{}}}\n", inner.concat()));
        prop_oneof![inner, section]
    })
}

proptest! {
    #[test]
    fn what_is_in_the_grammar_prints_as_it_was(parts in proptest::collection::vec(any_text(), 0..6)) {
        let text = parts.concat();
        prop_assert_eq!(String::from_utf8(parse(&text).print()).unwrap(), text);
    }

    #[test]
    fn a_changed_tree_means_the_same_after_printing(
        parts in proptest::collection::vec(any_text(), 1..6), pick in any::<prop::sample::Index>(), rename: bool,
    ) {
        let mut tree = parse(&parts.concat());
        let keys: Vec<_> = tree.root().nodes().map(|n| String::from_utf8_lossy(&n.key()).into_owned()).collect();
        let key = pick.get(&keys);
        let mut root = tree.root_mut();
        match root.section(key) {
            Some(mut section) => section.insert(Place::Index(1), "\nnew { x = 1 }\n").unwrap(),
            None => root.set(key, "[\"v\"]", Place::Last).unwrap(),
        }
        if rename {
            root.rename(key, "renamed");
        }
        let text = tree.print();
        prop_assert_eq!(meaning(Tree::parse(&text).unwrap().root()), meaning(tree.root()));
    }

    #[test]
    fn any_bytes_are_read_or_refused(text in proptest::collection::vec(prop_oneof![any::<u8>(), prop::sample::select(&b"ab={}[]\"'#\\\n/ ,18.-"[..])], 0..60)) {
        if let Ok(tree) = Tree::parse(&text) {
            let end = text.iter().position(|&byte| byte == 0).unwrap_or(text.len());
            prop_assert_eq!(tree.print(), &text[..end]);
            let _ = meaning(tree.root());
        }
    }
}
