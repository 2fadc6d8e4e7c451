//! The directory on a real disk: who may use it.

use std::collections::BTreeSet;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::time::{Duration, Instant};

use mlflow_trace_core::ErrorKind;
use mlflow_trace_core::spool::{Fingerprint, Spool, SpoolOptions, default_directory};

use crate::child::{Directory, Role};
use crate::support::{ANYTHING, append, destination, numbers, tickets};

fn mode(path: &Path) -> u32 {
    path.symlink_metadata().unwrap().permissions().mode() & 0o7777
}

fn set_mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

/// Opening fails, and the error names the option and says this.
fn refuses(path: &Path, why: &str) {
    let Err(error) = Spool::open(SpoolOptions::new(path)) else {
        panic!("{} is taken", path.display());
    };
    assert_eq!(error.kind(), ErrorKind::InvalidConfig);
    assert!(
        error.message().contains("spool.directory") && error.message().contains(why),
        "{error}"
    );
}

#[test]
fn only_the_owner_can_read_it_whatever_the_umask() {
    for umask in [0, 0o022, 0o277] {
        let directory = Directory::new();
        let mut role = Role::start("umasked", &directory, umask);
        role.until('R');
        let files = directory.files();
        let kinds: BTreeSet<String> = files
            .iter()
            .map(|path| {
                path.extension()
                    .map_or("lock".into(), |end| end.to_string_lossy().into_owned())
            })
            .collect();
        assert_eq!(
            kinds.into_iter().collect::<Vec<_>>(),
            ["ack", "lock", "seg"],
            "{files:?}"
        );
        for file in &files {
            assert_eq!(mode(file), 0o600, "{} under {umask:o}", file.display());
            assert_eq!(mode(file.parent().unwrap()), 0o700);
        }
        assert_eq!(mode(&directory.0), 0o700);
    }
}

#[test]
fn a_directory_that_others_can_change_is_refused() {
    let directory = Directory::new();
    std::fs::create_dir(&directory.0).unwrap();
    for unsafe_mode in [0o770, 0o702, 0o1777] {
        set_mode(&directory.0, unsafe_mode);
        refuses(&directory.0, "by others");
    }
    assert!(directory.files().is_empty());
    set_mode(&directory.0, 0o755);
    Spool::open(directory.options()).unwrap();
}

#[test]
fn a_link_is_refused() {
    let (directory, link) = (Directory::new(), Directory::new());
    std::fs::create_dir(&directory.0).unwrap();
    set_mode(&directory.0, 0o700);
    symlink(&directory.0, &link.0).unwrap();
    refuses(&link.0, "symbolic link");
    std::fs::remove_file(&link.0).unwrap();
    std::fs::write(&link.0, "").unwrap();
    refuses(&link.0, "no directory");
    std::fs::remove_file(&link.0).unwrap();
}

#[test]
fn another_owner_is_refused() {
    let directory = Directory::new();
    std::fs::create_dir(&directory.0).unwrap();
    let own = directory.0.metadata().unwrap().uid();
    // Only root can give a directory away, and everybody else has one that is root's.
    match own {
        0 => {
            std::os::unix::fs::chown(&directory.0, Some(65_534), None).unwrap();
            refuses(&directory.0, "somebody else");
        }
        _ => refuses(Path::new("/"), "somebody else"),
    }
}

#[test]
fn links_inside_lead_nowhere() {
    let (directory, target) = (Directory::new(), Directory::new());
    let spool = directory.open();
    append(&spool, 0, 1, 40).unwrap();
    let run = directory.files()[0].parent().unwrap().to_owned();
    std::fs::create_dir(&target.0).unwrap();
    std::fs::write(target.0.join("secret"), "untouched").unwrap();
    symlink(target.0.join("secret"), run.join("000002.seg")).unwrap();
    symlink(&target.0, directory.0.join("00000000-1-1-0000000000000001")).unwrap();
    // The next segment has that name.
    for number in 0..3 {
        let _ = append(&spool, 0, number, 40_000);
    }
    spool.maintain(Instant::now());
    let _ = spool.adopt(ANYTHING, 1 << 20, Instant::now());
    assert_eq!(
        std::fs::read_to_string(target.0.join("secret")).unwrap(),
        "untouched"
    );
    assert_eq!(std::fs::read_dir(&target.0).unwrap().count(), 1);
}

/// A path below a file, for instance: it may be changed while the process runs.
#[test]
fn a_place_that_does_not_work_yet_is_tried_again() {
    let directory = Directory::new();
    std::fs::write(&directory.0, "in the way").unwrap();
    let options = SpoolOptions {
        directory: directory.0.join("below"),
        ..directory.options()
    };
    let spool = Spool::open(options).unwrap();
    let now = Instant::now();
    spool.maintain(now);
    assert!(spool.stats().degraded && append(&spool, 0, 1, 40).is_err());
    std::fs::remove_file(&directory.0).unwrap();
    spool.maintain(now + Duration::from_secs(30));
    append(&spool, 0, 1, 40).unwrap();
}

#[test]
fn a_directory_that_is_removed_comes_back() {
    let directory = Directory::new();
    let spool = directory.open();
    let ticket = append(&spool, 0, 1, 40).unwrap();
    std::fs::remove_dir_all(&directory.0).unwrap();
    assert_eq!(spool.maintain(Instant::now()).keep, [ticket]);
    append(&spool, 0, 2, 40).unwrap();
    assert!(spool.sync().is_empty());
    assert!(
        directory
            .files()
            .iter()
            .any(|path| path.ends_with("000001.seg"))
    );
}

#[test]
fn letters_and_reading_back_on_a_real_disk() {
    let directory = Directory::new();
    let spool = directory.open();
    for number in 0..10 {
        append(&spool, 0, number, 30_000).unwrap();
    }
    let mut cursor = Default::default();
    let first = spool.read_back(&mut cursor, 100_000);
    let second = spool.read_back(&mut cursor, usize::MAX);
    assert_eq!(numbers(&first), [0, 1, 2, 3]);
    assert_eq!(numbers(&second), [4, 5, 6, 7, 8, 9]);
    append(&spool, 0, 10, 30).unwrap();
    assert_eq!(numbers(&spool.read_back(&mut cursor, 1)), [10]);
    assert!(spool.read_back(&mut cursor, 1).is_empty());
    spool.ack(&tickets(&first));
    spool.ack(&tickets(&second));
    assert_eq!(numbers(&spool.read_back(&mut Default::default(), 1)), [10]);
    let parked = spool.park(
        None,
        &destination(0),
        &crate::support::entry(1, &[b"payload"]),
        "why",
    );
    let letters = mlflow_trace_core::spool::DeadLetters::open(directory.options()).unwrap();
    assert_eq!(letters.names().unwrap(), [parked.unwrap()]);
}

#[test]
fn the_default_is_a_place_of_the_user() {
    let directory = default_directory();
    assert!(
        directory.is_none_or(|path| path.is_absolute() && path.ends_with("mlflow-trace/spool/v1"))
    );
    let hash = Fingerprint::new("http://localhost:5000", "7", None, "env");
    assert_eq!(
        format!("{hash:?}").len(),
        16,
        "only a part of it is shown: {hash:?}"
    );
}
