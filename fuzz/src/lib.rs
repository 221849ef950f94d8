//! What is fuzzed: each module has a `run`, which takes any bytes, panics where a promise is broken, and answers false for input that
//! is not worth keeping. `fuzz_targets/` calls them from libFuzzer, `tests/fuzz.rs` with the corpus.

pub mod device;
pub mod edit;
pub mod label;
mod outline;
pub mod store;
pub mod text;
pub mod vg;
