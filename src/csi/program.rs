//! Programs of others: those that make and mend file systems. The engine runs none.

use std::ffi::OsStr;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;

use crate::error::{Error, Kind, Result};

/// How a program ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// Its exit status; none if a signal ended it.
    pub status: Option<i32>,
    /// What it said, in its order on either output.
    pub said: String,
}

/// Runs a program to its end. One that takes longer than `limit` is killed.
pub async fn run(program: &str, arguments: &[&OsStr], limit: Duration) -> Result<Ended> {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).kill_on_drop(true);
    let Ok(output) = tokio::time::timeout(limit, command.output()).await else {
        let cause = format!("{program} did not end within {} s, and was killed", limit.as_secs());
        return Err(Error::new(Kind::Internal, cause));
    };
    let output = output.map_err(|error| {
        Error::io(format!("{program} cannot be run"), error).hint("install it: e2fsprogs, xfsprogs")
    })?;
    let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).trim().to_owned());
    Ok(Ended { status: output.status.code(), said: said.join("\n").trim().to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ran(script: &str, limit: Duration) -> Result<Ended> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(run("sh", &["-c".as_ref(), script.as_ref()], limit))
    }

    #[test]
    fn a_program_says_how_it_ended() {
        let ended = ran("echo out; echo err >&2; exit 3", Duration::from_secs(60)).unwrap();
        assert_eq!(ended, Ended { status: Some(3), said: "out\nerr".to_owned() });
    }

    #[test]
    fn a_program_that_takes_too_long_is_killed() {
        assert!(
            ran("exec sleep 60", Duration::from_millis(50)).unwrap_err().message().contains("was killed")
        );
    }

    #[test]
    fn a_program_that_is_not_there_is_named() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let error = runtime.block_on(run("mkfs.none", &[], Duration::from_secs(1))).unwrap_err();
        assert_eq!(error.message(), "mkfs.none cannot be run");
    }
}
