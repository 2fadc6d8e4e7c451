//! What the spool needs of an operating system, so that tests can stand in for a disk that fails.

use std::fmt;
use std::io;
use std::sync::Arc;

use super::format::Clock;

/// A file system, seen from the spool's directory. Paths are relative to it and at most two names long.
pub trait Vfs: Send + Sync {
    /// Makes the directory if it is missing and checks that it may be used. Called again where it may have gone.
    fn prepare(&self) -> Result<(), Unfit>;
    /// Makes a directory that only its owner may use.
    fn make_dir(&self, path: &str) -> io::Result<()>;
    /// Removes an empty directory.
    fn remove_dir(&self, path: &str) -> io::Result<()>;
    /// What is in a directory, in any order; an empty path is the spool's directory itself.
    fn list(&self, path: &str) -> io::Result<Vec<Listed>>;
    /// Makes a file that must not exist, which only its owner may use, to append to and read from.
    fn create(&self, path: &str) -> io::Result<Arc<dyn VfsFile>>;
    /// Opens a file to append to, and makes it if it is missing.
    fn append_to(&self, path: &str) -> io::Result<Arc<dyn VfsFile>>;
    /// Opens a file to read from.
    fn open(&self, path: &str) -> io::Result<Arc<dyn VfsFile>>;
    /// Moves a file; one that is in the way is replaced.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    /// Removes a file.
    fn remove(&self, path: &str) -> io::Result<()>;
    /// Makes the entries of a directory outlast a power cut.
    fn sync_dir(&self, path: &str) -> io::Result<()>;
    /// Takes the lock that a file stands for, which is made if it is missing. `None` where somebody has it. It is
    /// given back when it is dropped and, whatever happens, when the process ends.
    fn lock(&self, path: &str) -> io::Result<Option<Box<dyn Lock>>>;
    /// Room on the file system.
    fn space(&self) -> io::Result<Space>;
    /// How long this process may make a file: beyond that a write can end the process.
    fn file_limit(&self) -> u64;
    /// Both clocks, now.
    fn clock(&self) -> Clock;
    /// What tells this process from others, for the name of its run.
    fn process_id(&self) -> u32;
}

/// An open file.
pub trait VfsFile: Send + Sync {
    /// Appends the slices, or a first part of them, whose length it says.
    fn append(&self, slices: &[io::IoSlice<'_>]) -> io::Result<usize>;
    /// Reads at an offset, as much as there is and `buf` holds; 0 at the end of the file.
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize>;
    /// Its length.
    fn len(&self) -> io::Result<u64>;
    /// Whether nothing is in it.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }
    /// Cuts it off.
    fn truncate(&self, len: u64) -> io::Result<()>;
    /// Makes its content outlast a power cut.
    fn sync(&self) -> io::Result<()>;
    /// Whether it still has a name.
    fn is_linked(&self) -> io::Result<bool>;
}

/// A lock that is held until it is dropped.
pub trait Lock: Send {
    /// Whether the file that it was taken by still has its name: otherwise somebody else may have the lock as well.
    fn is_linked(&self) -> io::Result<bool>;
}

/// An entry of a directory.
#[derive(Clone, Debug)]
pub struct Listed {
    /// Its name.
    pub name: String,
    /// Whether it is a directory of our own; links and other people's are neither that nor files.
    pub kind: ListedKind,
    /// Bytes of a file.
    pub len: u64,
    /// When it was last written, in milliseconds since the Unix epoch.
    pub modified_ms: u64,
}

/// What an entry of a directory is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListedKind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// Anything else, or owned by somebody else.
    Other,
}

/// Room on a file system, in bytes.
#[derive(Clone, Copy, Debug)]
pub struct Space {
    /// What this user may still write.
    pub free: u64,
    /// All of it.
    pub total: u64,
}

/// Why a directory cannot be used.
#[derive(Debug)]
pub enum Unfit {
    /// Somebody has to change something first.
    Refused(String),
    /// It may work later.
    Failed(io::Error),
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unfit::Refused(why) => f.write_str(why),
            Unfit::Failed(error) => error.fmt(f),
        }
    }
}

impl From<io::Error> for Unfit {
    fn from(error: io::Error) -> Self {
        Unfit::Failed(error)
    }
}

/// Appends everything, in one system call where the system takes it in one.
pub(super) fn append_all(file: &dyn VfsFile, slices: &mut [io::IoSlice<'_>]) -> io::Result<()> {
    /// As many as every system takes at once (`IOV_MAX`).
    const AT_ONCE: usize = 1024;
    let mut rest = slices;
    io::IoSlice::advance_slices(&mut rest, 0);
    while !rest.is_empty() {
        let written = match file.append(&rest[..rest.len().min(AT_ONCE)]) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => written,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        io::IoSlice::advance_slices(&mut rest, written);
    }
    Ok(())
}

/// Fills `buf`; `None` where the file ends before that.
pub(super) fn read_exact_at(
    file: &dyn VfsFile,
    buf: &mut [u8],
    offset: u64,
) -> io::Result<Option<()>> {
    let mut filled = 0;
    while filled < buf.len() {
        match file.read_at(&mut buf[filled..], offset + filled as u64) {
            Ok(0) => return Ok(None),
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(Some(()))
}
