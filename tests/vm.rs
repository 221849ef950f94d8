//! The guest tests: each script in `tests/vm/tests` is one test and runs in a User-mode Linux guest of its own,
//! on a real device-mapper, with lvm2 as a peer. `tests/vm/boot` boots the guest; here its end becomes a verdict.
//!
//! A guest that hangs, dies, or ends without a result is a failed test. The scripts in `tests/vm/self` do just
//! that, and this program expects it of them.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use libtest_mimic::{Arguments, Failed, Trial};

/// What the harness must make of a guest that misbehaves: test name, script, exit status of `boot`, words of the verdict.
const SELF_TESTS: [(&str, &str, i32, &str); 5] = [
    ("a_guest_that_hangs_is_killed_at_its_time_limit", "hangs", 124, "killed after its time limit of 8 s"),
    ("a_guest_that_halts_without_a_result_fails", "dies", 125, "ended without a result"),
    ("a_guest_whose_kernel_panics_fails", "panics", 125, "ended without a result"),
    ("a_failing_assertion_in_a_guest_fails", "asserts", 1, "FAILED: one and one: wanted '2', got '3'"),
    ("a_failing_command_in_a_guest_fails", "fails", 1, "FAILED at fails.sh:3"),
];

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert_with(guests);
    let required = std::env::var_os("DMSNAP_REQUIRE_VM").is_some_and(|value| value == "1");
    let absent = absent();
    if let (Some(what), false, false) = (&absent, required, arguments.list) {
        eprintln!("guest tests are SKIPPED: {what}");
    }

    let mut trials = Vec::new();
    for (name, script, status, words) in SELF_TESTS {
        let script = directory().join("self").join(script).with_extension("sh");
        trials.push(Trial::test(name, move || misbehaves(&script, status, words)));
    }
    for script in scripts()? {
        let name = script.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        trials.push(Trial::test(name, move || passes(&script)));
    }
    let trials = trials.into_iter().map(|trial| match &absent {
        Some(what) if required => failing(trial.name(), what),
        other => trial.with_ignored_flag(other.is_some()),
    });
    libtest_mimic::run(&arguments, trials.collect()).exit()
}

/// Guests side by side when the command line does not say: each has one processor, and waits for a good part of its time.
fn guests() -> usize {
    let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    processors + processors.div_ceil(2)
}

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vm")
}

/// The scripts that are tests, those that may take longest first: side by side with a long one the short ones run.
fn scripts() -> Result<Vec<PathBuf>, Box<dyn Error>> {
    let entries = directory().join("tests").read_dir()?.map(|entry| entry.map(|entry| entry.path()));
    let mut scripts = entries.collect::<Result<Vec<_>, _>>()?;
    scripts.retain(|path| path.extension().is_some_and(|extension| extension == "sh"));
    scripts.sort_by_cached_key(|path| (std::cmp::Reverse(limit(path)), path.clone()));
    Ok(scripts)
}

/// How many seconds a script says that it may take.
fn limit(script: &Path) -> u32 {
    let text = std::fs::read_to_string(script).unwrap_or_default();
    let said = text.lines().find_map(|line| line.strip_prefix("# timeout: "));
    said.and_then(|seconds| seconds.trim().parse().ok()).unwrap_or(0)
}

/// Why no guest can be booted here, in words; none if it can.
fn absent() -> Option<String> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    if !std::env::split_paths(&path).any(|directory| directory.join("linux.uml").exists()) {
        return Some("there is no linux.uml on this machine; `make deps` installs it".to_owned());
    }
    let modules = Path::new("/usr/lib/uml/modules");
    (!modules.exists()).then(|| format!("there is no {}; `make deps` installs it", modules.display()))
}

fn failing(name: &str, what: &str) -> Trial {
    let what = what.to_owned();
    Trial::test(name, move || Err(Failed::from(what)))
}

/// Where cargo puts the test programs: beside the binary under test.
fn tools() -> PathBuf {
    Path::new(env!("CARGO_BIN_EXE_dmsnap")).with_file_name("examples")
}

fn boot(script: &Path) -> Result<Output, Failed> {
    Command::new(directory().join("boot"))
        .arg(script)
        .env("DMSNAP", env!("CARGO_BIN_EXE_dmsnap"))
        .env("TOOLS", tools())
        .output()
        .map_err(|error| Failed::from(format!("cannot run tests/vm/boot: {error}")))
}

/// All that a guest and `boot` said: the guest's console first, the verdict last.
fn console(output: &Output) -> String {
    [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text)).concat()
}

fn passes(script: &Path) -> Result<(), Failed> {
    let output = boot(script)?;
    if output.status.success() {
        return Ok(());
    }
    Err(Failed::from(format!("{}\n{}: {}", console(&output), script.display(), output.status)))
}

fn misbehaves(script: &Path, status: i32, words: &str) -> Result<(), Failed> {
    let output = boot(script)?;
    let console = console(&output);
    let expected = output.status.code() == Some(status)
        && console.contains("the guest is at work")
        && console.contains(words)
        && !console.contains("this must not be reached");
    if expected {
        return Ok(());
    }
    Err(Failed::from(format!("{console}\nended with {}, not {status} and \"{words}\"", output.status)))
}
