#![no_main]

use libfuzzer_sys::Corpus;

libfuzzer_sys::fuzz_target!(|data: &[u8]| -> Corpus {
    if targets::vg::run(data) { Corpus::Keep } else { Corpus::Reject }
});
