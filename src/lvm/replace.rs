//! Files that others read are replaced as a whole, and stay so after a power cut.

use std::fs::{File, OpenOptions};
use std::io::{Result, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Gives the file at `path` a new content, through a file of another name beside it.
pub(super) fn replace_file(path: &Path, beside: &Path, content: &[u8]) -> Result<()> {
    write_new(beside, content)?;
    std::fs::rename(beside, path)?;
    sync_directory(path)
}

/// Writes a file that only root may read, to stable storage.
pub(super) fn write_new(path: &Path, content: &[u8]) -> Result<()> {
    let mut file = OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(content)?;
    file.sync_all()
}

/// Makes the name of a file in its directory stable.
pub(super) fn sync_directory(path: &Path) -> Result<()> {
    File::open(path.parent().unwrap_or(Path::new("/")))?.sync_all()
}
