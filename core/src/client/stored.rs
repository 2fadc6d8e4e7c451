//! What files hold, one trace at a time: for who goes through all of it.

use std::collections::HashMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use super::files::{Contents, Place, for_each_line, paths, unreadable};
use super::{Client, Trace};
use crate::error::{Error, ErrorKind, Result};

/// The traces in the files of a directory. Knows where each stands, so that no more than one has to be in memory.
#[derive(Debug, Default)]
pub struct StoredTraces {
    files: Vec<PathBuf>,
    ids: Vec<String>,
    /// By trace id: the file's index, and where in it.
    lines: HashMap<String, Vec<(usize, Place)>>,
    unreadable: Vec<String>,
}

impl Client {
    /// What the files hold now. Fails with `Unsupported` where a server is configured, and `Damaged` where the disk
    /// cannot be read.
    pub fn stored_traces(&self) -> Result<StoredTraces> {
        let directory = self.directory().ok_or_else(|| {
            let text = "a tracking server is configured, which is searched";
            Error::new(ErrorKind::Unsupported, text)
        })?;
        StoredTraces::read(directory)
    }
}

impl StoredTraces {
    fn read(directory: &Path) -> Result<Self> {
        let mut stored = StoredTraces {
            files: paths(directory)?,
            ..StoredTraces::default()
        };
        let StoredTraces {
            files,
            ids,
            lines,
            unreadable,
        } = &mut stored;
        for (index, path) in files.iter().enumerate() {
            for_each_line(path, |place, line| {
                let mut contents = Contents::default();
                if contents.add(line).is_none() {
                    unreadable.push(format!("{}:{}", path.display(), place.number));
                    return;
                }
                for id in contents.traces.into_keys() {
                    let known = lines.entry(id).or_insert_with_key(|id| {
                        ids.push(id.clone());
                        Vec::new()
                    });
                    known.push((index, place));
                }
            })?;
        }
        Ok(stored)
    }

    /// The ids of all, in the order of the files.
    pub fn trace_ids(&self) -> &[String] {
        &self.ids
    }

    /// Lines that cannot be read, as `file:number`: they were written by half, or are being written.
    pub fn unreadable(&self) -> &[String] {
        &self.unreadable
    }

    /// One of them. Fails with `NotFound` for any other, and `Damaged` where its information is not there or the files
    /// changed meanwhile.
    pub fn trace(&self, trace_id: &str) -> Result<Trace> {
        let lines = self.lines.get(trace_id).ok_or_else(|| {
            let text = format!("there is no trace {trace_id} in the files");
            Error::new(ErrorKind::NotFound, text)
        })?;
        let mut contents = Contents::default();
        for (index, place) in lines {
            let path = &self.files[*index];
            let line = read(path, *place).map_err(|error| unreadable(path, &error))?;
            contents.add(&line).ok_or_else(|| {
                let text = format!("{}:{} has changed", path.display(), place.number);
                Error::new(ErrorKind::Damaged, text)
            })?;
        }
        let found = contents.traces.remove(trace_id);
        found.and_then(|stored| stored.whole()).ok_or_else(|| {
            let text = format!("trace {trace_id} has not ended, or its process died before it did");
            Error::new(ErrorKind::Damaged, text)
        })
    }
}

fn read(path: &Path, place: Place) -> std::io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    file.seek(SeekFrom::Start(place.offset))?;
    let mut line = vec![0; place.length];
    file.read_exact(&mut line)?;
    Ok(line)
}
