//! Which processes have a block device open, as far as `/proc` tells this one.
//!
//! Only for words: a process may open or close a device at any time, and those of other users or containers may be hidden.

use std::fs;
use std::path::Path;

/// So many are named; the others are counted.
const NAMED: usize = 5;

/// `mysqld (process 123)` for each process that has open a node for which `is_it` holds; `proc` is `/proc`. A link is only followed where
/// it leads into `/dev`: what lies on a dead network file system is not touched.
pub fn processes(proc: &Path, is_it: impl Fn(&Path) -> bool) -> Vec<String> {
    let entries = fs::read_dir(proc).into_iter().flatten().flatten();
    let mut numbers: Vec<u32> =
        entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    numbers.sort_unstable();
    let users = numbers.into_iter().filter(|number| {
        let links = fs::read_dir(proc.join(number.to_string()).join("fd")).into_iter().flatten().flatten();
        links
            .filter_map(|link| fs::read_link(link.path()).ok())
            .any(|to| to.starts_with("/dev") && is_it(&to))
    });
    let mut users: Vec<_> = users.map(|number| named(proc, number)).collect();
    if users.len() > NAMED {
        let more = users.len() - NAMED;
        users.truncate(NAMED);
        users.push(format!("{more} more processes"));
    }
    users
}

fn named(proc: &Path, number: u32) -> String {
    let name = fs::read_to_string(proc.join(number.to_string()).join("comm")).unwrap_or_default();
    match name.trim() {
        "" => format!("process {number}"),
        name => format!("{name} (process {number})"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn processes_are_named_by_what_they_have_open() {
        let proc = tempfile::tempdir().unwrap();
        for (number, open) in [(7, "/dev/dm-1"), (40, "/dev/dm-2"), (5, "/dev/dm-1"), (6, "/srv/dm-1")] {
            let folder = proc.path().join(number.to_string());
            fs::create_dir_all(folder.join("fd")).unwrap();
            symlink(open, folder.join("fd/3")).unwrap();
        }
        fs::write(proc.path().join("7/comm"), "mysqld\n").unwrap();
        fs::create_dir(proc.path().join("sys")).unwrap();
        let users = processes(proc.path(), |path| path.ends_with("dm-1"));
        assert_eq!(users, ["process 5", "mysqld (process 7)"]);
    }

    #[test]
    fn many_processes_are_counted() {
        let proc = tempfile::tempdir().unwrap();
        for number in 1..=8 {
            let folder = proc.path().join(format!("{number}/fd"));
            fs::create_dir_all(&folder).unwrap();
            symlink("/dev/dm-1", folder.join("0")).unwrap();
        }
        let users = processes(proc.path(), |_| true);
        assert_eq!((users.len(), users.last().map(String::as_str)), (6, Some("3 more processes")));
    }
}
