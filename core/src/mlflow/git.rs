//! The git state of the working directory, read from its files: MLflow records commit, branch and
//! the first remote's URL, and no process is started for it.

use std::fs;
use std::path::{Path, PathBuf};

use crate::pipeline::fork::ForkCell;

/// What MLflow records; fields are empty where they are not known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Git {
    pub(crate) commit: String,
    pub(crate) branch: String,
    pub(crate) repo_url: String,
}

/// The state at the time of the first trace. Reads files, so it is asked off the path of recording.
pub(crate) fn of_working_directory() -> &'static Git {
    static GIT: ForkCell<Git> = ForkCell::new();
    GIT.get_or_init(|| {
        std::env::current_dir()
            .ok()
            .and_then(|directory| of(&directory))
            .unwrap_or_default()
    })
}

fn of(directory: &Path) -> Option<Git> {
    let git = directory.ancestors().find_map(git_directory)?;
    // A linked worktree has its own HEAD; branches and configuration are the repository's.
    let common = match fs::read_to_string(git.join("commondir")) {
        Ok(path) => git.join(path.trim()),
        Err(_) => git.clone(),
    };
    let head = fs::read_to_string(git.join("HEAD")).ok()?;
    let head = head.trim();
    let (commit, branch) = match head.strip_prefix("ref: ") {
        Some(name) => (
            resolve(&common, name).unwrap_or_default(),
            name.strip_prefix("refs/heads/").unwrap_or_default(),
        ),
        None => (head.to_owned(), ""),
    };
    Some(Git {
        commit,
        branch: branch.to_owned(),
        repo_url: remote_url(&common).unwrap_or_default(),
    })
}

fn git_directory(directory: &Path) -> Option<PathBuf> {
    let git = directory.join(".git");
    if git.is_dir() {
        return Some(git);
    }
    let link = fs::read_to_string(&git).ok()?;
    Some(directory.join(link.strip_prefix("gitdir:")?.trim()))
}

fn resolve(git: &Path, name: &str) -> Option<String> {
    if let Ok(commit) = fs::read_to_string(git.join(name)) {
        return Some(commit.trim().to_owned());
    }
    let packed = fs::read_to_string(git.join("packed-refs")).ok()?;
    packed.lines().find_map(|line| {
        let (commit, reference) = line.split_once(' ')?;
        (reference == name).then(|| commit.to_owned())
    })
}

fn remote_url(git: &Path) -> Option<String> {
    let config = fs::read_to_string(git.join("config")).ok()?;
    let mut in_remote = false;
    config.lines().map(str::trim).find_map(|line| {
        if line.starts_with('[') {
            in_remote = line.starts_with("[remote ");
        }
        let (key, value) = line.split_once('=').filter(|_| in_remote)?;
        (key.trim() == "url").then(|| without_credentials(value.trim()))
    })
}

/// The URL without userinfo, which may hold a token.
fn without_credentials(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else {
        return url.to_owned();
    };
    let (host, path) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
    match host.rsplit_once('@') {
        Some((_, host)) => format!("{scheme}://{host}{path}"),
        None => url.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repository_a_worktree_and_nothing() {
        let root = std::env::temp_dir().join(format!("mlflow-trace-git-{}", std::process::id()));
        let inner = root.join("repo/src/deep");
        fs::create_dir_all(&inner).unwrap();
        let git = root.join("repo/.git");
        fs::create_dir_all(git.join("refs/heads")).unwrap();
        fs::write(git.join("HEAD"), "ref: refs/heads/main\n").unwrap();
        fs::write(
            git.join("packed-refs"),
            "# pack-refs\n00aa refs/heads/other\n12cd refs/heads/main\n",
        )
        .unwrap();
        fs::write(
            git.join("config"),
            "[core]\n\turl = no\n[remote \"origin\"]\n\turl = https://me:token@host/a.git\n",
        )
        .unwrap();
        let expected = Git {
            commit: "12cd".into(),
            branch: "main".into(),
            repo_url: "https://host/a.git".into(),
        };
        assert_eq!(of(&inner), Some(expected.clone()));
        fs::write(git.join("refs/heads/main"), "34ef\n").unwrap();
        assert_eq!(of(&inner).unwrap().commit, "34ef");

        let worktree = root.join("tree");
        let state = git.join("worktrees/tree");
        fs::create_dir_all(&worktree).unwrap();
        fs::create_dir_all(&state).unwrap();
        fs::write(
            worktree.join(".git"),
            format!("gitdir: {}\n", state.display()),
        )
        .unwrap();
        fs::write(state.join("commondir"), "../..\n").unwrap();
        fs::write(state.join("HEAD"), "56ab\n").unwrap();
        let detached = of(&worktree).unwrap();
        assert_eq!(
            (detached.commit.as_str(), detached.branch.as_str()),
            ("56ab", "")
        );
        assert_eq!(detached.repo_url, expected.repo_url);
        fs::remove_dir_all(&root).unwrap();
    }

    #[test]
    fn credentials_are_removed() {
        for (url, shown) in [
            ("git@host:org/repo.git", "git@host:org/repo.git"),
            ("ssh://git@host/repo", "ssh://host/repo"),
            ("https://host/a@b", "https://host/a@b"),
        ] {
            assert_eq!(without_credentials(url), shown);
        }
    }
}
