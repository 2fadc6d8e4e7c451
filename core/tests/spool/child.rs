//! Processes of their own: this test program, started again in a role.
#![allow(unsafe_code)]

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use mlflow_trace_core::spool::{Spool, SpoolOptions};

use crate::sim::Dice;
use crate::support::{ANYTHING, append, destination, entry, numbers, options, tickets};

/// A directory that goes when the test does.
pub(crate) struct Directory(pub(crate) PathBuf);

impl Directory {
    pub(crate) fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("mlflow-trace-spool-{}-{number}", std::process::id());
        Directory(std::env::temp_dir().join(name))
    }

    pub(crate) fn options(&self) -> SpoolOptions {
        SpoolOptions {
            directory: self.0.clone(),
            segment_bytes: 64 << 10,
            max_bytes: 1 << 30,
            ..options()
        }
    }

    pub(crate) fn open(&self) -> Spool {
        Spool::open(self.options()).unwrap()
    }

    /// Everything in it, without the directories.
    pub(crate) fn files(&self) -> Vec<PathBuf> {
        fn walk(path: &Path, files: &mut Vec<PathBuf>) {
            for entry in std::fs::read_dir(path).into_iter().flatten() {
                let path = entry.unwrap().path();
                match path.is_dir() {
                    true => walk(&path, files),
                    false => files.push(path),
                }
            }
        }
        let mut files = Vec::new();
        walk(&self.0, &mut files);
        files
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A process in a role, which is killed with the test.
pub(crate) struct Role {
    child: Child,
    lines: BufReader<std::process::ChildStdout>,
}

impl Role {
    pub(crate) fn start(role: &str, directory: &Directory, first: u64) -> Self {
        let program = Command::new(std::env::current_exe().unwrap());
        Self::start_by(program, role, directory, first)
    }

    /// On a disk of 8 MiB, of which the directory is the root; `None` where this user cannot have one.
    pub(crate) fn start_on_small_disk(role: &str, directory: &Directory) -> Option<Self> {
        const MOUNT: &str = "mount -t tmpfs -o size=8m,mode=700 tmpfs \"$0\" && exec \"$@\"";
        let unshared = || {
            let mut command = Command::new("unshare");
            command.args(["-rm", "sh", "-c", MOUNT]).arg(&directory.0);
            command
        };
        std::fs::create_dir(&directory.0).unwrap();
        let possible = unshared().arg("true").stderr(Stdio::null()).status();
        possible.is_ok_and(|status| status.success()).then(|| {
            let mut program = unshared();
            program.arg(std::env::current_exe().unwrap());
            Self::start_by(program, role, directory, 0)
        })
    }

    fn start_by(mut command: Command, role: &str, directory: &Directory, first: u64) -> Self {
        command
            .args(["--exact", "child::role", "--nocapture", "--test-threads=1"])
            .env("SPOOL_ROLE", role)
            .env("SPOOL_DIRECTORY", &directory.0)
            .env("SPOOL_FIRST", first.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .process_group(0);
        let mut child = command.spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap());
        Role { child, lines }
    }

    /// What it says next, or `None` when it is over.
    pub(crate) fn next(&mut self) -> Option<(char, u64)> {
        loop {
            let mut line = String::new();
            if self.lines.read_line(&mut line).unwrap() == 0 {
                return None;
            }
            if let Some((_, said)) = line.split_once('@') {
                let (word, number) = said.trim_end().split_at(1);
                // A line may be cut off where it was killed.
                let whole = line
                    .ends_with('\n')
                    .then(|| number.parse())
                    .and_then(Result::ok);
                return whole.map(|number| (word.chars().next().unwrap(), number));
            }
        }
    }

    pub(crate) fn until(&mut self, word: char) -> Vec<(char, u64)> {
        let mut said = Vec::new();
        while let Some(one) = self.next() {
            said.push(one);
            if one.0 == word {
                return said;
            }
        }
        panic!("it ended before it said {word}: {said:?}");
    }

    pub(crate) fn kill(&mut self) {
        let _ = self.child.kill();
        self.child.wait().unwrap();
    }

    /// Kills it, and hears what it had said until then.
    pub(crate) fn kill_and_hear(mut self) -> Vec<(char, u64)> {
        self.kill();
        std::iter::from_fn(|| self.next()).collect()
    }

    /// Tells it to go on.
    pub(crate) fn go_on(&mut self) {
        drop(self.child.stdin.take());
    }

    /// How it ended by itself.
    pub(crate) fn wait(mut self) -> Option<i32> {
        let patience = Instant::now() + Duration::from_secs(60);
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            if Instant::now() > patience {
                return None;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

impl Drop for Role {
    fn drop(&mut self) {
        self.kill();
    }
}

fn say(word: char, number: u64) {
    let mut out = std::io::stdout().lock();
    out.write_all(format!("@{word}{number}\n").as_bytes())
        .unwrap();
    out.flush().unwrap();
}

fn wait_to_go_on() {
    let _ = std::io::stdin().read(&mut [0]);
}

/// Appends, and says so, until it is killed.
fn appender(spool: &Spool, first: u64) {
    for number in first.. {
        append(spool, 0, number, 50 + number as usize % 700).unwrap();
        say('A', number);
        if number % 16 == 0 {
            spool.maintain(Instant::now());
        }
    }
}

/// Takes what it can, says so, and is done with it when it is told to go on.
fn heir(spool: &Spool) {
    let mut all = Vec::new();
    loop {
        let adopted = spool.adopt(ANYTHING, 5000, Instant::now());
        numbers(&adopted.records)
            .iter()
            .for_each(|one| say('G', *one));
        all.extend(tickets(&adopted.records));
        if !adopted.more {
            break;
        }
    }
    say('E', 0);
    wait_to_go_on();
    spool.ack(&all);
}

/// Everything at once, until it is killed.
fn worker(spool: &Spool, first: u64) {
    let mut dice = Dice::new(first);
    let mut own = Vec::new();
    for number in first.. {
        let ticket = append(spool, 0, number, dice.roll(3000)).unwrap();
        say('A', number);
        own.push((ticket, number));
        if dice.roll(4) == 0 {
            let (ticket, number) = own.swap_remove(dice.roll(own.len()));
            say('D', number);
            spool.ack(&[ticket]);
        }
        if dice.roll(3) == 0 {
            let adopted = spool.adopt(ANYTHING, 2000, Instant::now());
            for (ticket, number) in tickets(&adopted.records)
                .into_iter()
                .zip(numbers(&adopted.records))
            {
                if dice.roll(2) == 0 {
                    say('D', number);
                    spool.ack(&[ticket]);
                }
            }
        }
        spool.maintain(Instant::now());
    }
}

/// Forks, and ends while its child lives.
fn forker(spool: &Spool) {
    for number in 0..3 {
        append(spool, 0, number, 40).unwrap();
    }
    // SAFETY: the child writes a few bytes and waits, and does nothing else.
    match unsafe { libc::fork() } {
        0 => loop {
            let word = b"@F0\n";
            // SAFETY: `word` is readable.
            unsafe {
                libc::write(1, word.as_ptr().cast(), word.len());
                libc::pause();
            }
        },
        child => {
            // Neither knows the files of the other.
            append(spool, 0, 3, 40).unwrap();
            say('C', child as u64);
            wait_to_go_on();
            // SAFETY: ends the process at once.
            unsafe { libc::_exit(0) };
        }
    }
}

/// In a child, what was inherited does nothing.
fn inheritor(spool: Spool, options: SpoolOptions) {
    append(&spool, 0, 1, 40).unwrap();
    // SAFETY: the child calls only this library and `_exit`.
    let child = unsafe { libc::fork() };
    if child == 0 {
        let is_dead = append(&spool, 0, 2, 40).is_err() && spool.sync().is_empty();
        drop(spool);
        let own = Spool::open(options).unwrap();
        let is_alone = own
            .adopt(ANYTHING, 1 << 20, Instant::now())
            .records
            .is_empty();
        append(&own, 0, 3, 40).unwrap();
        // SAFETY: ends the child.
        unsafe { libc::_exit(i32::from(!(is_dead && is_alone))) };
    }
    let mut status = 0;
    // SAFETY: `child` is a child of this process and `status` is writable.
    unsafe { libc::waitpid(child, &mut status, 0) };
    say('S', status as u64);
    append(&spool, 0, 4, 40).unwrap();
    // SAFETY: ends the process at once.
    unsafe { libc::_exit(0) };
}

/// One file of each kind, under an umask.
fn umasked(options: SpoolOptions, umask: u64) {
    // SAFETY: no memory is involved.
    unsafe { libc::umask(umask as libc::mode_t) };
    let spool = Spool::open(options).unwrap();
    let all: Vec<_> = (0..9)
        .map(|number| append(&spool, 0, number, 1000).unwrap())
        .collect();
    spool.ack(&all[..2]);
    spool.maintain(Instant::now());
    spool
        .park(None, &destination(0), &entry(9, &[]), "why")
        .unwrap();
    say('R', 0);
    wait_to_go_on();
}

fn limited(options: SpoolOptions, bytes: u64) {
    let limit = libc::rlimit {
        rlim_cur: bytes,
        rlim_max: bytes,
    };
    // SAFETY: `limit` is readable.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_FSIZE, &limit) }, 0);
    let spool = Spool::open(options).unwrap();
    for number in 0..200 {
        append(&spool, 0, number, 300).unwrap();
    }
    assert!(append(&spool, 0, 200, bytes as usize).is_err());
}

/// Without standard streams, whose numbers the system gives to the next files.
fn streamless(options: SpoolOptions) {
    for fd in 0..3 {
        // SAFETY: nothing here uses them any more.
        unsafe { libc::close(fd) };
    }
    let spool = Spool::open(options).unwrap();
    append(&spool, 0, 1, 40).unwrap();
    let noise = b"printed by the host";
    // SAFETY: `noise` is readable.
    let written = unsafe { libc::write(1, noise.as_ptr().cast(), noise.len()) };
    // SAFETY: ends the process at once.
    unsafe { libc::_exit(i32::from(written >= 0)) };
}

/// Fills a small disk to the last byte, again and again.
fn filler(options: &SpoolOptions) {
    let ballast = options.directory.join("ballast");
    let mut dice = Dice::new(15);
    for round in 0..20 {
        std::fs::write(&ballast, vec![1; 100_000 + dice.roll(7_000_000)]).unwrap();
        let spool = Spool::open(options.clone()).unwrap();
        spool.maintain(Instant::now());
        let mut taken = Vec::new();
        let mut refused = 0;
        for number in round * 100_000.. {
            match append(&spool, 0, number, dice.roll(6000)) {
                Ok(_) => taken.push(number),
                Err(_) => refused += 1,
            }
            if refused == 10 {
                break;
            }
        }
        assert!(spool.stats().degraded || spool.stats().refused_full == 10);
        std::fs::remove_file(&ballast).unwrap();
        let now = Instant::now();
        spool.maintain(now);
        spool.maintain(now + Duration::from_secs(30));
        append(&spool, 0, round * 100_000 + 99_999, 40).unwrap();
        taken.push(round * 100_000 + 99_999);
        drop(spool);
        let heir = Spool::open(options.clone()).unwrap();
        let adopted = heir.adopt(ANYTHING, usize::MAX, Instant::now());
        assert_eq!(numbers(&adopted.records), taken);
        assert_eq!(heir.stats().corrupt, 0);
        heir.ack(&tickets(&adopted.records));
        say('A', taken.len() as u64);
    }
}

fn open_files() -> usize {
    std::fs::read_dir("/dev/fd").unwrap().count()
}

/// Opens and closes many spools.
fn leaker(options: &SpoolOptions) {
    let cycle = || {
        let spool = Spool::open(options.clone()).unwrap();
        let ticket = append(&spool, 0, 1, 40).unwrap();
        spool.maintain(Instant::now());
        spool.ack(&[ticket]);
    };
    cycle();
    let before = open_files();
    (0..200).for_each(|_| cycle());
    assert_eq!(open_files(), before);
}

#[test]
fn role() {
    let Ok(role) = std::env::var("SPOOL_ROLE") else {
        return;
    };
    let number = |name| std::env::var(name).unwrap().parse::<u64>().unwrap();
    let first = number("SPOOL_FIRST");
    let directory = PathBuf::from(std::env::var("SPOOL_DIRECTORY").unwrap());
    let options = SpoolOptions {
        directory,
        segment_bytes: 64 << 10,
        max_bytes: 1 << 30,
        ..options()
    };
    let spool = || Spool::open(options.clone()).unwrap();
    match role.as_str() {
        "appender" => appender(&spool(), first),
        "heir" => heir(&spool()),
        "worker" => worker(&spool(), first),
        "forker" => forker(&spool()),
        "inheritor" => inheritor(spool(), options),
        "umasked" => umasked(options, first),
        "limited" => limited(options, first),
        "streamless" => streamless(options),
        "filler" => filler(&options),
        "leaker" => leaker(&options),
        other => panic!("{other}"),
    }
}
