//! File systems on the volumes, and somebody who writes to each.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use dmsnap::lvm::{LvName, VgName};

use super::Outcome;

/// Between two writes to one file.
const REST: Duration = Duration::from_millis(10);

const BLOCK: usize = 4096;
/// So many blocks of a file are written, round and round: there is always something to flush, and never much.
const BLOCKS: u64 = 16;

pub fn mount_point(vg: &VgName, name: &LvName) -> PathBuf {
    Path::new("/run/crowd").join(format!("{vg}-{name}"))
}

/// Makes a file system on a volume, and mounts it.
pub fn mount(vg: &VgName, name: &LvName) -> Outcome<()> {
    let (device, point) = (Path::new("/dev").join(vg.as_str()).join(name.as_str()), mount_point(vg, name));
    std::fs::create_dir_all(&point)?;
    let lazy = "lazy_itable_init=0,lazy_journal_init=0";
    done(Command::new("mkfs.ext4").args(["-q", "-E", lazy]).arg(&device))?;
    done(Command::new("mount").arg(&device).arg(&point))
}

fn done(command: &mut Command) -> Outcome<()> {
    let status = command.status()?;
    if status.success() { Ok(()) } else { Err(format!("{command:?}: {status}").into()) }
}

/// A thread for each file system, until the end.
pub struct Writers {
    end: Arc<AtomicBool>,
    threads: Vec<JoinHandle<std::io::Result<Duration>>>,
}

impl Writers {
    pub fn begin(mount_points: &[PathBuf]) -> Outcome<Self> {
        let end = Arc::new(AtomicBool::new(false));
        let files = mount_points.iter().map(|point| File::create(point.join("file")));
        let begin = |file: File| {
            let end = Arc::clone(&end);
            std::thread::spawn(move || write(&file, &end))
        };
        let threads = files.collect::<Result<Vec<_>, _>>()?.into_iter().map(begin).collect();
        Ok(Self { end, threads })
    }

    /// The longest that a write took.
    pub fn end(self) -> Outcome<Duration> {
        self.end.store(true, Ordering::SeqCst);
        let join = |thread: JoinHandle<_>| {
            thread.join().unwrap_or_else(|_| Err(std::io::Error::other("a writer has panicked")))
        };
        let longest = self.threads.into_iter().map(join).collect::<Result<Vec<_>, _>>()?;
        Ok(longest.into_iter().max().unwrap_or_default())
    }
}

/// Nobody waits for what it writes to be on the disk: it waits where the volume is frozen.
fn write(file: &File, end: &AtomicBool) -> std::io::Result<Duration> {
    let mut longest = Duration::ZERO;
    for number in 0.. {
        if end.load(Ordering::SeqCst) {
            break;
        }
        let byte = u8::try_from(number % 251).unwrap_or(0);
        let began = Instant::now();
        file.write_all_at(&[byte; BLOCK], number % BLOCKS * BLOCK as u64)?;
        longest = longest.max(began.elapsed());
        std::thread::sleep(REST);
    }
    Ok(longest)
}
