//! A disk that forgets: what was not synced may be lost, kept or half kept by a power cut, in any order. It can be full,
//! and fail.
//!
//! Directories remember their entries like files their bytes: an entry that was made or removed outlasts a power cut for
//! sure only once its directory was synced.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, ErrorKind, IoSlice};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mlflow_trace_core::spool::Clock;
use mlflow_trace_core::spool::vfs::{Listed, ListedKind, Lock, Space, Unfit, Vfs, VfsFile};

/// Small enough that power cuts hit records in the middle.
const SECTOR: usize = 64;

/// Numbers for decisions of the disk.
#[derive(Clone)]
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Dice(seed)
    }

    /// A number below `end` (SplitMix64).
    pub(crate) fn roll(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % end.max(1) as u64) as usize
    }
}

enum Write {
    Bytes(usize, Vec<u8>),
    Length(usize),
}

impl Write {
    fn apply(&self, data: &mut Vec<u8>) {
        match self {
            Write::Length(len) => data.truncate(*len),
            Write::Bytes(at, bytes) => {
                data.resize(data.len().max(at + bytes.len()), 0);
                data[*at..at + bytes.len()].copy_from_slice(bytes);
            }
        }
    }
}

#[derive(Default)]
struct Inode {
    data: Vec<u8>,
    durable: Vec<u8>,
    unsynced: Vec<Write>,
    links: usize,
    modified_ms: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Node {
    File(usize),
    Directory,
}

/// A change of the entry of a path.
#[derive(Clone)]
struct Change {
    path: String,
    node: Option<Node>,
}

pub(crate) struct World {
    inodes: Vec<Inode>,
    entries: BTreeMap<String, Node>,
    durable: BTreeMap<String, Node>,
    /// Changes that belong together, as those of a rename.
    unsynced: Vec<Vec<Change>>,
    locks: BTreeMap<usize, u32>,
    alive: BTreeSet<u32>,
    dice: Dice,
    pub(crate) clock: Clock,
    /// Bytes that can still be written.
    pub(crate) space: Option<u64>,
    /// The operation in so many that fails, if it can.
    pub(crate) fail_in: Option<usize>,
    /// The process that is killed, and after how many more system calls.
    die_in: Option<(u32, usize)>,
    /// Files cannot be read at these offsets.
    pub(crate) unreadable: BTreeMap<String, (u64, u64)>,
    pub(crate) file_limit: u64,
    pub(crate) total_space: u64,
    next_process: u32,
}

/// The disk, and the machine that it is in.
#[derive(Clone)]
pub(crate) struct Sim(Arc<Mutex<World>>);

/// The disk as one process sees it.
pub(crate) struct Process {
    sim: Sim,
    pub(crate) id: u32,
}

struct File {
    sim: Sim,
    process: u32,
    inode: usize,
    path: String,
}

fn parent(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(parent, _)| parent)
}

impl World {
    fn check(&mut self, process: u32) -> io::Result<()> {
        match &mut self.die_in {
            Some((dying, 0)) if *dying == process => self.kill(process),
            Some((dying, left)) if *dying == process => *left -= 1,
            _ => {}
        }
        match self.alive.contains(&process) {
            true => Ok(()),
            false => Err(ErrorKind::BrokenPipe.into()),
        }
    }

    /// The process does nothing any more; the kernel gives its locks back.
    fn kill(&mut self, process: u32) {
        self.alive.remove(&process);
        self.locks.retain(|_, holder| *holder != process);
        self.die_in = None;
    }

    /// Whether this operation is the one that fails.
    fn fails(&mut self) -> io::Result<()> {
        match &mut self.fail_in {
            Some(0) => {
                self.fail_in = None;
                Err(io::Error::from_raw_os_error(5))
            }
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn change(&mut self, changes: Vec<Change>) {
        for Change { path, node } in &changes {
            let old = match node {
                Some(node) => self.entries.insert(path.clone(), *node),
                None => self.entries.remove(path),
            };
            if let Some(Node::File(inode)) = old {
                self.inodes[inode].links -= 1;
                if let Some(space) = &mut self.space {
                    *space += self.inodes[inode].data.len() as u64;
                }
            }
            if let Some(Node::File(inode)) = node {
                self.inodes[*inode].links += 1;
            }
        }
        self.unsynced.push(changes);
    }

    fn file(&self, path: &str) -> io::Result<usize> {
        match self.entries.get(path) {
            Some(Node::File(inode)) => Ok(*inode),
            _ => Err(ErrorKind::NotFound.into()),
        }
    }

    fn make(&mut self, path: &str, node: Node) -> io::Result<()> {
        if self.entries.contains_key(path) {
            return Err(ErrorKind::AlreadyExists.into());
        }
        let parent = parent(path);
        if !parent.is_empty() && self.entries.get(parent) != Some(&Node::Directory) {
            return Err(ErrorKind::NotFound.into());
        }
        if self.space == Some(0) {
            return Err(ErrorKind::StorageFull.into());
        }
        self.change(vec![Change {
            path: path.to_owned(),
            node: Some(node),
        }]);
        Ok(())
    }

    fn create(&mut self, path: &str) -> io::Result<usize> {
        let inode = self.inodes.len();
        self.inodes.push(Inode {
            modified_ms: self.clock.wall_ms,
            ..Inode::default()
        });
        self.make(path, Node::File(inode))?;
        Ok(inode)
    }

    fn apply(durable: &mut BTreeMap<String, Node>, changes: &[Change]) {
        for Change { path, node } in changes {
            match node {
                Some(node) => durable.insert(path.clone(), *node),
                None => durable.remove(path),
            };
        }
    }
}

impl Sim {
    pub(crate) fn new(seed: u64) -> Self {
        Sim(Arc::new(Mutex::new(World {
            inodes: Vec::new(),
            entries: BTreeMap::new(),
            durable: BTreeMap::new(),
            unsynced: Vec::new(),
            locks: BTreeMap::new(),
            alive: BTreeSet::new(),
            dice: Dice::new(seed),
            clock: Clock {
                wall_ms: 1_800_000_000_000,
                since_boot_ms: 1_000_000,
                boot: [1; 16],
            },
            space: None,
            fail_in: None,
            die_in: None,
            unreadable: BTreeMap::new(),
            file_limit: u64::MAX,
            total_space: 1 << 50,
            next_process: 1,
        })))
    }

    pub(crate) fn world(&self) -> MutexGuard<'_, World> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn process(&self) -> Arc<Process> {
        let mut world = self.world();
        let id = world.next_process;
        world.next_process += 1;
        world.alive.insert(id);
        Arc::new(Process {
            sim: self.clone(),
            id,
        })
    }

    pub(crate) fn kill(&self, process: u32) {
        self.world().kill(process);
    }

    pub(crate) fn die_in(&self, process: u32, calls: usize) {
        self.world().die_in = Some((process, calls));
    }

    pub(crate) fn is_alive(&self, process: u32) -> bool {
        self.world().alive.contains(&process)
    }

    /// All processes end, and what was not synced is kept or lost as the disk pleases.
    pub(crate) fn cut_power(&self) {
        let mut world = self.world();
        world.alive.clear();
        world.locks.clear();
        world.clock.boot[0] = world.clock.boot[0].wrapping_add(1);
        world.clock.since_boot_ms = 10_000;
        let mut dice = world.dice.clone();
        let mut durable = std::mem::take(&mut world.durable);
        for changes in std::mem::take(&mut world.unsynced) {
            if dice.roll(2) == 0 {
                World::apply(&mut durable, &changes);
            }
        }
        // What lies in a directory that was lost is lost.
        let lost = |path: &String| {
            let parent = parent(path);
            !parent.is_empty() && durable.get(parent) != Some(&Node::Directory)
        };
        let kept = durable.clone().into_iter().filter(|(path, _)| !lost(path));
        let kept: BTreeMap<String, Node> = kept.collect();
        for inode in &mut world.inodes {
            let mut data = std::mem::take(&mut inode.durable);
            for write in std::mem::take(&mut inode.unsynced) {
                match (dice.roll(4), &write) {
                    (0, _) => {}
                    (1, Write::Bytes(at, bytes)) => {
                        // The length may be known and the content not, sector by sector.
                        let end = at + bytes.len();
                        data.resize(data.len().max(end - dice.roll(bytes.len())), 0);
                        for (number, sector) in bytes.chunks(SECTOR).enumerate() {
                            let start = at + number * SECTOR;
                            let len = sector.len().min(data.len().saturating_sub(start));
                            if dice.roll(2) == 0 && len > 0 {
                                data[start..start + len].copy_from_slice(&sector[..len]);
                            }
                        }
                    }
                    _ => write.apply(&mut data),
                }
            }
            inode.durable.clone_from(&data);
            inode.data = data;
            inode.links = 0;
        }
        for node in kept.values() {
            if let Node::File(inode) = node {
                world.inodes[*inode].links += 1;
            }
        }
        world.entries.clone_from(&kept);
        world.durable = kept;
        world.dice = dice;
    }

    /// Removes everything, as `rm -rf` does.
    pub(crate) fn wipe(&self) {
        let mut world = self.world();
        let changes = world.entries.keys().map(|path| Change {
            path: path.clone(),
            node: None,
        });
        let changes = changes.collect();
        world.change(changes);
    }

    /// The paths of all files, and their lengths.
    pub(crate) fn files(&self) -> BTreeMap<String, u64> {
        let world = self.world();
        let files = world.entries.iter().filter_map(|(path, node)| match node {
            Node::File(inode) => Some((path.clone(), world.inodes[*inode].data.len() as u64)),
            Node::Directory => None,
        });
        files.collect()
    }

    pub(crate) fn content(&self, path: &str) -> Vec<u8> {
        let world = self.world();
        let inode = world.file(path).unwrap();
        world.inodes[inode].data.clone()
    }

    /// Writes past the spool.
    pub(crate) fn overwrite(&self, path: &str, content: &[u8]) {
        let mut world = self.world();
        let inode = world.file(path).or_else(|_| world.create(path)).unwrap();
        world.inodes[inode].data = content.to_vec();
    }
}

impl Vfs for Process {
    fn prepare(&self) -> Result<(), Unfit> {
        let mut world = self.sim.world();
        world.check(self.id)?;
        Ok(world.fails()?)
    }

    fn make_dir(&self, path: &str) -> io::Result<()> {
        let mut world = self.sim.world();
        world.check(self.id)?;
        world.fails()?;
        world.make(path, Node::Directory)
    }

    fn remove_dir(&self, path: &str) -> io::Result<()> {
        let mut world = self.sim.world();
        world.check(self.id)?;
        world.fails()?;
        let inside = format!("{path}/");
        if world.entries.keys().any(|one| one.starts_with(&inside)) {
            return Err(ErrorKind::DirectoryNotEmpty.into());
        }
        world.change(vec![Change {
            path: path.to_owned(),
            node: None,
        }]);
        Ok(())
    }

    fn list(&self, path: &str) -> io::Result<Vec<Listed>> {
        let mut world = self.sim.world();
        world.check(self.id)?;
        if !path.is_empty() && !world.entries.contains_key(path) {
            return Err(ErrorKind::NotFound.into());
        }
        let inside = world.entries.iter().filter(|(one, _)| parent(one) == path);
        let listed = inside
            .filter(|(one, _)| !one.is_empty())
            .map(|(one, node)| {
                let name = one.rsplit('/').next().unwrap_or(one).to_owned();
                match node {
                    Node::Directory => Listed {
                        name,
                        kind: ListedKind::Directory,
                        len: 0,
                        modified_ms: 0,
                    },
                    Node::File(inode) => Listed {
                        name,
                        kind: ListedKind::File,
                        len: world.inodes[*inode].data.len() as u64,
                        modified_ms: world.inodes[*inode].modified_ms,
                    },
                }
            });
        Ok(listed.collect())
    }

    fn create(&self, path: &str) -> io::Result<Arc<dyn VfsFile>> {
        let mut world = self.sim.world();
        world.check(self.id)?;
        world.fails()?;
        let inode = world.create(path)?;
        drop(world);
        Ok(self.handle(inode, path))
    }

    fn append_to(&self, path: &str) -> io::Result<Arc<dyn VfsFile>> {
        let mut world = self.sim.world();
        world.check(self.id)?;
        world.fails()?;
        let inode = world.file(path).or_else(|_| world.create(path))?;
        drop(world);
        Ok(self.handle(inode, path))
    }

    fn open(&self, path: &str) -> io::Result<Arc<dyn VfsFile>> {
        let mut world = self.sim.world();
        world.check(self.id)?;
        let inode = world.file(path)?;
        drop(world);
        Ok(self.handle(inode, path))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut world = self.sim.world();
        world.check(self.id)?;
        world.fails()?;
        let inode = world.file(from)?;
        let change = |path: &str, node| Change {
            path: path.to_owned(),
            node,
        };
        let changes = vec![change(to, Some(Node::File(inode))), change(from, None)];
        world.change(changes);
        Ok(())
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        let mut world = self.sim.world();
        world.check(self.id)?;
        world.fails()?;
        world.file(path)?;
        world.change(vec![Change {
            path: path.to_owned(),
            node: None,
        }]);
        Ok(())
    }

    fn sync_dir(&self, path: &str) -> io::Result<()> {
        let mut world = self.sim.world();
        world.check(self.id)?;
        world.fails()?;
        let unsynced = std::mem::take(&mut world.unsynced);
        let (now, later) = unsynced
            .into_iter()
            .partition(|changes| changes.iter().any(|change| parent(&change.path) == path));
        world.unsynced = later;
        for changes in now as Vec<Vec<Change>> {
            World::apply(&mut world.durable, &changes);
        }
        Ok(())
    }

    fn lock(&self, path: &str) -> io::Result<Option<Box<dyn Lock>>> {
        let mut world = self.sim.world();
        world.check(self.id)?;
        let inode = world.file(path).or_else(|_| world.create(path))?;
        if world.locks.contains_key(&inode) {
            return Ok(None);
        }
        world.locks.insert(inode, self.id);
        drop(world);
        Ok(Some(Box::new(Held(File {
            sim: self.sim.clone(),
            process: self.id,
            inode,
            path: path.to_owned(),
        }))))
    }

    fn space(&self) -> io::Result<Space> {
        let world = self.sim.world();
        Ok(Space {
            free: world.space.unwrap_or(world.total_space),
            total: world.total_space,
        })
    }

    fn file_limit(&self) -> u64 {
        self.sim.world().file_limit
    }

    fn clock(&self) -> Clock {
        self.sim.world().clock
    }

    fn process_id(&self) -> u32 {
        self.id
    }
}

impl Process {
    fn handle(&self, inode: usize, path: &str) -> Arc<dyn VfsFile> {
        Arc::new(File {
            sim: self.sim.clone(),
            process: self.id,
            inode,
            path: path.to_owned(),
        })
    }
}

impl VfsFile for File {
    fn append(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut world = self.sim.world();
        let was_alive = world.alive.contains(&self.process);
        let killed = world.check(self.process);
        if !was_alive {
            return killed.map(|()| 0);
        }
        let mut bytes: Vec<u8> = slices
            .iter()
            .flat_map(|slice| slice.iter().copied())
            .collect();
        // A kill ends a write wherever it is.
        let failed = killed.and_then(|()| world.fails());
        if failed.is_err() || world.dice.roll(8) == 0 {
            // A short write, before an error or for no reason at all.
            // Never all of it: that is a success, which a system would not deny.
            let len = world.dice.roll(bytes.len());
            bytes.truncate(len);
        }
        if let Some(space) = &mut world.space {
            bytes.truncate(*space as usize);
            *space -= bytes.len() as u64;
            if bytes.is_empty() {
                return Err(ErrorKind::StorageFull.into());
            }
        }
        let modified_ms = world.clock.wall_ms;
        let inode = &mut world.inodes[self.inode];
        let write = Write::Bytes(inode.data.len(), bytes);
        write.apply(&mut inode.data);
        let Write::Bytes(_, written) = &write else {
            unreachable!()
        };
        let written = written.len();
        inode.unsynced.push(write);
        inode.modified_ms = modified_ms;
        failed?;
        match written {
            0 => Err(ErrorKind::Interrupted.into()),
            written => Ok(written),
        }
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut world = self.sim.world();
        world.check(self.process)?;
        if let Some((from, to)) = world.unreadable.get(&self.path)
            && offset < *to
            && offset + buf.len() as u64 > *from
        {
            return Err(io::Error::from_raw_os_error(5));
        }
        // Short reads are as normal as short writes.
        let most = match world.dice.roll(8) {
            0 => 1 + world.dice.roll(buf.len()),
            _ => buf.len(),
        };
        let data = &world.inodes[self.inode].data;
        let rest = data.get(offset as usize..).unwrap_or_default();
        let len = rest.len().min(most).min(buf.len());
        buf[..len].copy_from_slice(&rest[..len]);
        Ok(len)
    }

    fn len(&self) -> io::Result<u64> {
        let mut world = self.sim.world();
        world.check(self.process)?;
        Ok(world.inodes[self.inode].data.len() as u64)
    }

    fn truncate(&self, len: u64) -> io::Result<()> {
        let mut world = self.sim.world();
        world.check(self.process)?;
        world.fails()?;
        let inode = &mut world.inodes[self.inode];
        let freed = (inode.data.len() as u64).saturating_sub(len);
        let write = Write::Length(len as usize);
        write.apply(&mut inode.data);
        inode.unsynced.push(write);
        if let Some(space) = &mut world.space {
            *space += freed;
        }
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        let mut world = self.sim.world();
        world.check(self.process)?;
        let failed = world.fails();
        let mut dice = world.dice.clone();
        let inode = &mut world.inodes[self.inode];
        for write in std::mem::take(&mut inode.unsynced) {
            // After a failed sync the system takes everything for written, whether it was or not.
            if failed.is_ok() || dice.roll(2) == 0 {
                write.apply(&mut inode.durable);
            }
        }
        world.dice = dice;
        failed
    }

    fn is_linked(&self) -> io::Result<bool> {
        let mut world = self.sim.world();
        world.check(self.process)?;
        Ok(world.inodes[self.inode].links > 0)
    }
}

/// A lock of a process.
struct Held(File);

impl Lock for Held {
    fn is_linked(&self) -> io::Result<bool> {
        self.0.is_linked()
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut world = self.0.sim.world();
        if world.locks.get(&self.0.inode) == Some(&self.0.process) {
            world.locks.remove(&self.0.inode);
        }
    }
}
