//! What processes ask of the disk.

use std::io::{self, ErrorKind, IoSlice};
use std::sync::Arc;

use mlflow_trace_core::spool::Clock;
use mlflow_trace_core::spool::vfs::{Listed, ListedKind, Lock, Space, Unfit, Vfs, VfsFile};

use super::{Change, File, Node, Process, World, Write, parent};

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
