//! The `dmsnap` program.

fn main() -> std::process::ExitCode {
    dmsnap::cli::run(std::env::args_os())
}
