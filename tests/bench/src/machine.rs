//! Where and with what the figures were taken.

use std::fs::read_to_string;
use std::process::Command;

/// The versions that the workspace is locked to.
const LOCK: &str = include_str!("../../../Cargo.lock");

pub(crate) struct Machine {
    pub(crate) cpu: String,
    pub(crate) cores: usize,
    pub(crate) rustc: String,
    pub(crate) commit: String,
}

impl Machine {
    pub(crate) fn look() -> Machine {
        let commit = output("git", &["rev-parse", "--short=12", "HEAD"]);
        let changed = output("git", &["status", "--porcelain", "--untracked-files=no"]);
        Machine {
            cpu: read_to_string("/proc/cpuinfo")
                .ok()
                .and_then(|text| model(&text))
                .unwrap_or_else(|| "unknown".into()),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            rustc: output("rustc", &["--version"]).unwrap_or_else(|| "unknown".into()),
            commit: match (commit, changed) {
                (Some(commit), None) => commit,
                (Some(commit), Some(_)) => format!("{commit}, with changes"),
                (None, _) => "unknown".into(),
            },
        }
    }
}

/// The load averages of the last 1, 5 and 15 minutes.
pub(crate) fn load() -> String {
    let text = read_to_string("/proc/loadavg").unwrap_or_default();
    text.split_whitespace()
        .take(3)
        .collect::<Vec<_>>()
        .join(" ")
}

/// The version of a dependency.
pub(crate) fn version(package: &str) -> &'static str {
    let name = format!("name = \"{package}\"");
    LOCK.lines()
        .skip_while(|line| *line != name)
        .nth(1)
        .and_then(|line| line.strip_prefix("version = \"")?.strip_suffix('"'))
        .unwrap_or("unknown")
}

fn model(cpuinfo: &str) -> Option<String> {
    let line = cpuinfo
        .lines()
        .find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

/// What a command prints; `None` where it fails or prints nothing.
fn output(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let text = text.trim();
    (output.status.success() && !text.is_empty()).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peers_have_versions() {
        assert!(version("opentelemetry_sdk").starts_with("0."));
        assert!(version("fastrace").starts_with("0."));
        assert_eq!(version("no-such-package"), "unknown");
    }

    #[test]
    fn the_model_is_read() {
        let text = "processor\t: 0\nmodel name\t: Some CPU @ 2 GHz\n";
        assert_eq!(model(text).as_deref(), Some("Some CPU @ 2 GHz"));
        assert_eq!(model(""), None);
    }
}
