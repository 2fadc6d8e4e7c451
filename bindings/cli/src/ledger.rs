//! Which traces of a directory were sent to a place before: a file there, with a line for each.
//!
//! What stands in it is never sent again, also when the server has it no more: somebody deleted it.

use std::collections::HashSet;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use mlflow_trace_core::spool::Fingerprint;

pub(crate) struct Ledger {
    file: File,
    sent: HashSet<String>,
}

impl Ledger {
    /// The one of a directory and an experiment of a server, made if it is missing. Only its owner may read it.
    pub(crate) fn open(
        directory: &Path,
        server: &str,
        workspace: Option<&str>,
        experiment_id: &str,
    ) -> io::Result<Self> {
        let path = path(directory, server, workspace, experiment_id);
        let mut options = OpenOptions::new();
        options.read(true).append(true).create(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(&path)?;
        #[cfg(unix)]
        file.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        let text = String::from_utf8_lossy(&bytes);
        if text.is_empty() {
            let workspace = workspace.map_or_else(String::new, |name| format!(" workspace {name}"));
            writeln!(
                file,
                "# sent to {server}{workspace} experiment {experiment_id}"
            )?;
        } else if !text.ends_with('\n') {
            // Cut off while it was written: that trace is looked up again.
            writeln!(file)?;
        }
        Ok(Ledger {
            sent: text.lines().map(str::to_owned).collect(),
            file,
        })
    }

    pub(crate) fn has(&self, trace_id: &str) -> bool {
        self.sent.contains(trace_id)
    }

    /// Notes a trace that the server has.
    pub(crate) fn note(&mut self, trace_id: &str) -> io::Result<()> {
        self.file.write_all(format!("{trace_id}\n").as_bytes())
    }
}

fn path(directory: &Path, server: &str, workspace: Option<&str>, experiment_id: &str) -> PathBuf {
    let place = Fingerprint::new(server, experiment_id, workspace, "");
    directory.join(format!(".sent-{place:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_a_line_is_no_trace() {
        let name = format!("mlflow-trace-ledger-{}", std::process::id());
        let directory = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&directory).unwrap();
        let open = |server| Ledger::open(&directory, server, None, "1").unwrap();
        open("http://a").note("tr-1").unwrap();
        let path = path(&directory, "http://a", None, "1");
        let mut cut = OpenOptions::new().append(true).open(&path).unwrap();
        cut.write_all(b"tr-2").unwrap();
        let mut ledger = open("http://a");
        assert!(ledger.has("tr-1") && ledger.has("tr-2"));
        ledger.note("tr-3").unwrap();
        assert!(open("http://a").has("tr-3"));
        assert!(!open("http://b").has("tr-1"));
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        }
        std::fs::remove_dir_all(&directory).unwrap();
    }
}
