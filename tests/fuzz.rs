//! The corpus of the fuzz targets, replayed: what once broke a promise does not break it again.

#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::time::{Duration, Instant};

#[path = "../fuzz/src/lib.rs"]
mod targets;

/// No input of the corpus takes long, even in a development build on a busy machine.
const LIMIT: Duration = Duration::from_secs(5);

fn replay(target: &str, run: impl Fn(&[u8]) -> bool) {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let mut kept = 0;
    for entry in std::fs::read_dir(&directory).unwrap() {
        let path = entry.unwrap().path();
        let input = std::fs::read(&path).unwrap();
        let start = Instant::now();
        // A panic names no input by itself.
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| run(&input)));
        kept += u32::from(result.unwrap_or_else(|_| panic!("{} breaks a promise", path.display())));
        assert!(start.elapsed() < LIMIT, "{} takes {:?}", path.display(), start.elapsed());
    }
    assert!(kept > 0, "{} holds no input that is worth keeping", directory.display());
}

macro_rules! replayed {
    ($($target:ident)*) => {
        $(#[test]
        fn $target() {
            replay(stringify!($target), targets::$target::run);
        })*
    };
}

replayed!(label text vg device store edit);
