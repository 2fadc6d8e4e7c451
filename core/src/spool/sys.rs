//! The real file system, by system calls relative to the spool's directory. The only place of the spool that makes any.

use std::fs::DirBuilder;
use std::io::{self, IoSlice};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{self, AtFlags, FileType, FlockOperation, Mode, OFlags};
use rustix::io::Errno;

use super::descriptors::Descriptor;
use super::format::Clock;
use super::vfs::{Listed, ListedKind, Lock, Space, Unfit, Vfs, VfsFile};
use crate::error::{Error, ErrorKind, Result};
use crate::lock::Mutex;

const ALWAYS: OFlags = OFlags::NOFOLLOW.union(OFlags::CLOEXEC);

/// A directory of the file system.
pub struct Disk {
    path: PathBuf,
    force_network: bool,
    /// Everything is looked up from here, so that nobody who can change the path to it changes where we write.
    root: Mutex<Option<Arc<Descriptor>>>,
    boot: [u8; 16],
}

impl Disk {
    /// Does not touch the directory yet. Fails where it cannot be named.
    pub fn new(path: &Path, force_network: bool) -> Result<Self> {
        // Hosts change their working directory.
        let path = std::path::absolute(path).map_err(|error| {
            let message = format!("option 'spool.directory': {error}");
            Error::new(ErrorKind::InvalidConfig, message)
        })?;
        Ok(Disk {
            path,
            force_network,
            root: Mutex::default(),
            boot: boot_id().unwrap_or_default(),
        })
    }

    fn root(&self) -> io::Result<Arc<Descriptor>> {
        self.root.lock().clone().ok_or_else(|| Errno::NOENT.into())
    }

    fn open_at(&self, path: &str, flags: OFlags) -> io::Result<Descriptor> {
        let root = self.root()?;
        let owner_only = Mode::RUSR | Mode::WUSR;
        let fd = again(|| Ok(fs::openat(root.get()?, path, flags | ALWAYS, owner_only)?))?;
        if flags.contains(OFlags::CREATE) && mode(&fd)? != owner_only {
            // The umask took something that whoever adopts the file needs.
            fs::fchmod(&fd, owner_only)?;
        }
        Descriptor::new(fd)
    }

    fn open_dir(&self, path: &str) -> io::Result<Descriptor> {
        let path = if path.is_empty() { "." } else { path };
        self.open_at(path, OFlags::RDONLY | OFlags::DIRECTORY)
    }

    fn refused(&self, why: &str) -> Unfit {
        Unfit::Refused(format!("{} {why}", self.path.display()))
    }

    /// Whether nobody else can read or change what is written there.
    fn check(&self, directory: BorrowedFd<'_>) -> std::result::Result<(), Unfit> {
        let stat = fs::fstat(directory).map_err(io::Error::from)?;
        if stat.st_uid != rustix::process::geteuid().as_raw() {
            return Err(self.refused("belongs to somebody else"));
        }
        let others = Mode::WGRP | Mode::WOTH;
        if Mode::from_raw_mode(stat.st_mode).intersects(others) {
            return Err(self.refused("can be written to by others: remove that permission"));
        }
        let statfs = fs::fstatfs(directory).map_err(io::Error::from)?;
        if !self.force_network && is_network(&statfs) {
            return Err(self.refused(
                "is on a network file system, whose locks do not tell whether a process lives",
            ));
        }
        Ok(())
    }
}

/// A system call, made again when a signal interrupted it.
fn again<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            done => return done,
        }
    }
}

fn mode(fd: impl AsFd) -> io::Result<Mode> {
    Ok(Mode::from_raw_mode(fs::fstat(fd)?.st_mode))
}

impl Vfs for Disk {
    fn prepare(&self) -> std::result::Result<(), Unfit> {
        let is_new = std::fs::symlink_metadata(&self.path)
            .is_err_and(|error| error.kind() == io::ErrorKind::NotFound);
        let made = DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.path);
        if let Err(error) = made
            && error.kind() != io::ErrorKind::AlreadyExists
        {
            return Err(error.into());
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | ALWAYS;
        let fd = match fs::open(&self.path, flags, Mode::empty()) {
            Err(Errno::LOOP | Errno::NOTDIR) => {
                return Err(self.refused("is a symbolic link, or no directory"));
            }
            opened => opened.map_err(io::Error::from)?,
        };
        if is_new && mode(&fd)? != Mode::RWXU {
            fs::fchmod(&fd, Mode::RWXU).map_err(io::Error::from)?;
        }
        self.check(fd.as_fd())?;
        *self.root.lock() = Some(Arc::new(Descriptor::new(fd)?));
        Ok(())
    }

    fn make_dir(&self, path: &str) -> io::Result<()> {
        let root = self.root()?;
        fs::mkdirat(root.get()?, path, Mode::RWXU)?;
        let made = self.open_dir(path)?;
        if mode(made.get()?)? != Mode::RWXU {
            fs::fchmod(made.get()?, Mode::RWXU)?;
        }
        Ok(())
    }

    fn remove_dir(&self, path: &str) -> io::Result<()> {
        Ok(fs::unlinkat(self.root()?.get()?, path, AtFlags::REMOVEDIR)?)
    }

    fn list(&self, path: &str) -> io::Result<Vec<Listed>> {
        let directory = self.open_dir(path)?;
        let directory = directory.get()?;
        let own = rustix::process::geteuid().as_raw();
        let mut listed = Vec::new();
        for entry in fs::Dir::read_from(directory)? {
            let entry = entry?;
            let Ok(name) = entry.file_name().to_str() else {
                continue;
            };
            let stat = match fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW) {
                // Others remove files as well.
                Err(Errno::NOENT) => continue,
                stat => stat?,
            };
            if matches!(name, "." | "..") {
                continue;
            }
            listed.push(Listed {
                name: name.to_owned(),
                kind: match FileType::from_raw_mode(stat.st_mode) {
                    FileType::RegularFile if stat.st_uid == own => ListedKind::File,
                    FileType::Directory if stat.st_uid == own => ListedKind::Directory,
                    _ => ListedKind::Other,
                },
                len: u64::try_from(stat.st_size).unwrap_or_default(),
                modified_ms: u64::try_from(stat.st_mtime)
                    .unwrap_or_default()
                    .saturating_mul(1000),
            });
        }
        Ok(listed)
    }

    fn create(&self, path: &str) -> io::Result<Arc<dyn VfsFile>> {
        let flags = OFlags::RDWR | OFlags::APPEND | OFlags::CREATE | OFlags::EXCL;
        Ok(Arc::new(DiskFile(self.open_at(path, flags)?)))
    }

    fn append_to(&self, path: &str) -> io::Result<Arc<dyn VfsFile>> {
        let flags = OFlags::WRONLY | OFlags::APPEND | OFlags::CREATE;
        Ok(Arc::new(DiskFile(self.open_at(path, flags)?)))
    }

    fn open(&self, path: &str) -> io::Result<Arc<dyn VfsFile>> {
        Ok(Arc::new(DiskFile(self.open_at(path, OFlags::RDONLY)?)))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let root = self.root()?;
        Ok(fs::renameat(root.get()?, from, root.get()?, to)?)
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        Ok(fs::unlinkat(self.root()?.get()?, path, AtFlags::empty())?)
    }

    fn sync_dir(&self, path: &str) -> io::Result<()> {
        let directory = self.open_dir(path)?;
        again(|| Ok(fs::fsync(directory.get()?)?))
    }

    fn lock(&self, path: &str) -> io::Result<Option<Box<dyn Lock>>> {
        let file = DiskFile(self.open_at(path, OFlags::RDWR | OFlags::CREATE)?);
        let operation = FlockOperation::NonBlockingLockExclusive;
        let locked = again(|| match fs::flock(file.0.get()?, operation) {
            Err(Errno::WOULDBLOCK) => Ok(false),
            locked => Ok(locked.map(|()| true)?),
        })?;
        Ok(locked.then(|| Box::new(file) as Box<dyn Lock>))
    }

    fn space(&self) -> io::Result<Space> {
        let stat = fs::fstatvfs(self.root()?.get()?)?;
        Ok(Space {
            free: stat.f_bavail.saturating_mul(stat.f_frsize),
            total: stat.f_blocks.saturating_mul(stat.f_frsize),
        })
    }

    fn file_limit(&self) -> u64 {
        let limit = rustix::process::getrlimit(rustix::process::Resource::Fsize);
        limit.current.unwrap_or(u64::MAX)
    }

    fn clock(&self) -> Clock {
        // Time asleep does not count, which makes records younger than they are, and never older.
        let since_boot = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
        let seconds = u64::try_from(since_boot.tv_sec).unwrap_or_default();
        Clock {
            wall_ms: crate::clock::unix_nanos() / 1_000_000,
            since_boot_ms: seconds.saturating_mul(1000),
            boot: self.boot,
        }
    }

    fn process_id(&self) -> u32 {
        std::process::id()
    }
}

struct DiskFile(Descriptor);

impl VfsFile for DiskFile {
    fn append(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        Ok(rustix::io::writev(self.0.get()?, slices)?)
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        Ok(rustix::io::pread(self.0.get()?, buf, offset)?)
    }

    fn len(&self) -> io::Result<u64> {
        let stat = fs::fstat(self.0.get()?)?;
        Ok(u64::try_from(stat.st_size).unwrap_or_default())
    }

    fn truncate(&self, len: u64) -> io::Result<()> {
        again(|| Ok(fs::ftruncate(self.0.get()?, len)?))
    }

    #[cfg(not(target_vendor = "apple"))]
    fn sync(&self) -> io::Result<()> {
        again(|| Ok(fs::fdatasync(self.0.get()?)?))
    }

    /// Here `fsync` leaves the data in the disk's own memory.
    #[cfg(target_vendor = "apple")]
    fn sync(&self) -> io::Result<()> {
        again(|| Ok(fs::fcntl_fullfsync(self.0.get()?)?))
    }

    fn is_linked(&self) -> io::Result<bool> {
        Ok(fs::fstat(self.0.get()?)?.st_nlink > 0)
    }
}

impl Lock for DiskFile {
    fn is_linked(&self) -> io::Result<bool> {
        VfsFile::is_linked(self)
    }
}

/// Tells starts of the system apart, where it says.
fn boot_id() -> Option<[u8; 16]> {
    let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let digits: String = text.chars().filter(char::is_ascii_hexdigit).collect();
    Some(u128::from_str_radix(&digits, 16).ok()?.to_be_bytes())
}

/// By the magic numbers of Linux (`statfs(2)`, `linux/magic.h`). FUSE is none of them: most of what is mounted by it is
/// local.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn is_network(statfs: &fs::StatFs) -> bool {
    const NETWORK: [u32; 13] = [
        0x6969,      // NFS
        0x517b,      // SMB
        0xff53_4d42, // CIFS
        0xfe53_4d42, // SMB2
        0x5346_414f, // AFS
        0x6b41_4653, // kAFS
        0x7375_7245, // Coda
        0x564c,      // NCP
        0x0102_1997, // 9P
        0x00c3_6400, // Ceph
        0x0bd0_0bd0, // Lustre
        0x4750_4653, // GPFS
        0x7461_636f, // OCFS2
    ];
    NETWORK.contains(&(statfs.f_type as u32))
}

#[cfg(target_vendor = "apple")]
fn is_network(statfs: &fs::StatFs) -> bool {
    statfs.f_flags & libc::MNT_LOCAL as u32 == 0
}

#[cfg(not(any(target_os = "linux", target_os = "android", target_vendor = "apple")))]
fn is_network(_: &fs::StatFs) -> bool {
    false
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn network_file_systems_are_known() {
        let mut statfs = fs::statfs("/proc").unwrap();
        assert!(!is_network(&statfs));
        for magic in [0x6969u32, 0xff53_4d42] {
            statfs.f_type = magic as _;
            assert!(is_network(&statfs));
        }
    }
}
