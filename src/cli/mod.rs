//! The command line: what may be said ([`args`]), one file per group of commands, and how answers are printed ([`output`]).

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser;
use clap::error::ErrorKind;

use crate::engine::monitor::Options;
use crate::engine::monitor::foresight::DIRECTORY;
use crate::engine::{Engine, Mode};
use crate::error::{Error, Kind, Result};
use args::{Cli, Command, Format};
use output::Output;

mod activation;
pub mod args;
mod boot;
mod check;
mod csi;
mod each;
mod inspect;
mod monitor;
mod output;
mod program;
mod pv;
mod settings;
mod snapshot;
mod systemd;
mod vg;
mod volume;
mod world;

/// Runs one command line and says how the process shall end.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments: Vec<_> = arguments.into_iter().collect();
    let cli = match Cli::try_parse_from(&arguments) {
        Ok(cli) => cli,
        Err(error) => return misspoken(&error, &arguments),
    };
    log_to_stderr(&cli);
    let output = Output::new(cli.output, cli.quiet, cli.no_color);
    match dispatch(&cli, &output) {
        Ok(code) => code,
        Err(error) => {
            output.error(&error);
            ExitCode::from(error.kind().exit_status())
        }
    }
}

fn dispatch(cli: &Cli, output: &Output) -> Result<ExitCode> {
    let mode = Mode { dry_run: cli.dry_run, no_wait: cli.no_wait };
    let settings = || {
        let settings = settings::read(cli.config.as_deref())?;
        settings::read_lvm2(&settings).map(|lvm2| (settings, lvm2))
    };
    let engine_of =
        |(settings, lvm2)| world::real(&settings, lvm2).map(|world| Engine::new(world).foreseeing(DIRECTORY));
    let engine = || engine_of(settings()?);
    match &cli.command {
        Command::Pv(command) => pv::run(command, &engine()?, mode, output),
        Command::Vg(command) => vg::run(command, &engine()?, mode, output),
        Command::Volume(command) => volume::run(command, &engine()?, mode, output),
        Command::Snapshot(command) => snapshot::run(command, &engine()?, mode, output),
        Command::Activate { auto: true, on, .. } => {
            let settings = settings()?;
            match boot::left_to_lvm2(&settings.1) {
                Some(note) => boot::nothing(note, output),
                None => boot::activate(on.as_deref(), &engine_of(settings)?, mode, output),
            }
        }
        Command::Activate { places, .. } => activation::activate(places, &engine()?, mode, output),
        Command::Deactivate { places } => activation::deactivate(places, &engine()?, mode, output),
        Command::Check { vgs } => return check::check(vgs, &engine()?, mode, output),
        Command::Repair { vgs, from: Some(device) } => check::settle(vgs, device, &engine()?, mode, output),
        Command::Repair { vgs, from: None } => check::repair(vgs, &engine()?, mode, output),
        Command::Csi(command) => csi::run(command, engine()?, mode),
        Command::Inspect { device, raw } => inspect::run(device, *raw, &engine()?, output),
        Command::Monitor { metrics, on } => {
            if cli.dry_run {
                return Err(Error::new(Kind::Usage, "what a daemon will do cannot be said beforehand"));
            }
            let (settings, lvm2) = settings()?;
            let options = Options { groups: on.clone(), fastest: settings.monitor.fastest()? };
            monitor::run(world::real(&settings, lvm2)?, DIRECTORY, options, *metrics)
        }
        Command::Udev { name, number } => boot::properties(name, *number, output),
        Command::Completions { shell } => program::completions(*shell, output),
        Command::Man { directory } => program::man(directory),
        Command::Version => program::version(output),
    }?;
    Ok(ExitCode::SUCCESS)
}

/// clap's own words, or our JSON if that was asked for.
fn misspoken(error: &clap::Error, arguments: &[OsString]) -> ExitCode {
    let words: Vec<_> = arguments.iter().filter_map(|word| word.to_str()).collect();
    let format = wanted_format(&words);
    if error.use_stderr() && matches!(format, Format::Json | Format::Yaml) {
        let text = error.render().to_string();
        // What is missing stands on lines of its own below the first.
        let said: Vec<_> = text.lines().map(str::trim).take_while(|line| !line.is_empty()).collect();
        // Where a subcommand is missing, clap prints the help of the command and says nothing of an error.
        let cause = match error.kind() {
            ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => "a subcommand is missing".to_owned(),
            _ => said.join(" ").trim_start_matches("error: ").to_owned(),
        };
        Output::new(format, false, true)
            .error(&Error::new(Kind::Usage, cause).hint("`dmsnap help` shows what may be said"));
        return ExitCode::from(Kind::Usage.exit_status());
    }
    let status = if error.use_stderr() { Kind::Usage.exit_status() } else { 0 };
    // A closed pipe is the reader's choice.
    let _ = error.print();
    ExitCode::from(status)
}

/// The format in words that clap did not accept.
fn wanted_format(words: &[&str]) -> Format {
    let next = words.iter().skip(1).chain([&""]);
    let asked = words.iter().zip(next).find_map(|(word, next)| match word.strip_prefix("--") {
        Some("output") => Some(*next),
        Some(long) => long.strip_prefix("output="),
        None => match word.strip_prefix('-').and_then(behind_o) {
            Some("") => Some(*next),
            joined => joined,
        },
    });
    let set = std::env::var("DMSNAP_OUTPUT").ok();
    match asked.or(set.as_deref()) {
        Some("json") => Format::Json,
        Some("yaml") => Format::Yaml,
        _ => Format::Table,
    }
}

/// What stands behind the letter o among options of one letter; those before it take no value.
fn behind_o(letters: &str) -> Option<&str> {
    let rest = letters.trim_start_matches(['q', 'v']).strip_prefix('o')?;
    Some(rest.trim_start_matches('='))
}

fn log_to_stderr(cli: &Cli) {
    let level = match (cli.quiet, cli.verbose) {
        (true, _) => "error",
        (false, 0) => "warn",
        (false, 1) => "info",
        (false, 2) => "debug",
        (false, _) => "trace",
    };
    let filter = tracing_subscriber::EnvFilter::builder()
        .with_default_directive(tracing_subscriber::filter::LevelFilter::OFF.into())
        .parse_lossy(std::env::var("DMSNAP_LOG").unwrap_or_else(|_| format!("dmsnap={level}")));
    let subscriber = tracing_subscriber::fmt().with_writer(std::io::stderr).with_env_filter(filter);
    // A second subscriber in one process is a test's.
    let _ = subscriber.without_time().with_target(false).with_ansi(false).try_init();
}
