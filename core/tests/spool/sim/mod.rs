//! A disk that forgets: what was not synced may be lost, kept or half kept by a power cut, in any order. It can be full,
//! and fail.
//!
//! Directories remember their entries like files their bytes: an entry that was made or removed outlasts a power cut for
//! sure only once its directory was synced.

mod calls;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, ErrorKind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mlflow_trace_core::spool::Clock;

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
