//! A disk that is a file, on whatever file system: the library takes any [`Device`].

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use dmsnap::block::{Access, DevNo, Device, Devices, Listed};
use dmsnap::error::{Error, Kind, Result};
use dmsnap::units::Bytes;

/// A sparse file as a disk.
#[derive(Debug)]
pub struct FileDisk {
    file: File,
    path: PathBuf,
    size: Bytes,
}

const NUMBER: DevNo = DevNo { major: 240, minor: 0 };

impl FileDisk {
    /// Makes the file.
    pub fn create(path: &Path, size: Bytes) -> std::io::Result<Self> {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(path)?;
        file.set_len(size.get())?;
        Ok(Self { file, path: path.to_owned(), size })
    }
}

impl Device for FileDisk {
    fn path(&self) -> &Path {
        &self.path
    }

    fn number(&self) -> DevNo {
        NUMBER
    }

    fn size(&self) -> Bytes {
        self.size
    }

    fn block_size(&self) -> Bytes {
        Bytes(512)
    }

    fn read_at(&self, offset: Bytes, buffer: &mut [u8]) -> Result<()> {
        self.file.read_exact_at(buffer, offset.get()).map_err(|error| Error::io("cannot read", error))
    }

    fn write_at(&self, offset: Bytes, data: &[u8]) -> Result<()> {
        self.file.write_all_at(data, offset.get()).map_err(|error| Error::io("cannot write", error))
    }

    fn zero(&self, offset: Bytes, length: Bytes) -> Result<()> {
        let length = usize::try_from(length.get()).map_err(|error| Error::io("cannot zero", error))?;
        self.write_at(offset, &vec![0; length])
    }

    fn flush(&self) -> Result<()> {
        self.file.sync_data().map_err(|error| Error::io("cannot flush", error))
    }
}

/// A host with one disk and nothing mounted.
pub struct OneDisk(pub Arc<dyn Device>);

impl Devices for OneDisk {
    fn list(&self) -> Result<Vec<Listed>> {
        self.lookup(self.0.path()).map(|listed| vec![listed])
    }

    fn lookup(&self, path: &Path) -> Result<Listed> {
        Ok(Listed {
            number: self.0.number(),
            path: path.to_owned(),
            size: self.0.size(),
            read_only: false,
            dm_uuid: None,
            component: false,
            partitioned: false,
        })
    }

    fn open(&self, _: &Path, _: Access) -> Result<Arc<dyn Device>> {
        Ok(self.0.clone())
    }

    fn mounts(&self, _: DevNo) -> Result<Vec<PathBuf>> {
        Ok(Vec::new())
    }

    fn sync_mounted(&self, _: DevNo) -> Result<()> {
        Ok(())
    }

    fn check_growable(&self, _: DevNo) -> Result<()> {
        Err(Error::new(Kind::Usage, "nothing is mounted"))
    }

    fn grow_mounted(&self, _: DevNo, _: Bytes) -> Result<()> {
        self.check_growable(NUMBER)
    }
}
