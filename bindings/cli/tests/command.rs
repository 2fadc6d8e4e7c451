//! The command as it is run: what it prints, where, and with which exit code; against files, and a server that keeps
//! what it is sent.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};

use mlflow_trace_core::client::{Trace, TraceData};
use serde_json::{Value, json};
use support::{Directory, Keeper, PROGRAM, record, run, run_in};

#[test]
fn files_are_listed_shown_and_searched() {
    let directory = Directory::new();
    let ids = record(&directory, &["first", "second"]);
    let path = directory.text();
    let listed = run(&["list", "-d", &path]);
    assert_eq!(listed.code, 0, "{listed:?}");
    assert_eq!(listed.out.lines().count(), 2);
    assert!(listed.out.contains(&ids[0]) && listed.out.contains("second"));
    let shown = run(&["show", &ids[0], "-d", &path, "--full"]);
    assert!(
        shown.out.contains("first") && shown.out.contains("└─ below"),
        "{shown:?}"
    );
    let found = run(&["search", "name = 'second'", "-d", &path, "--json"]);
    let found: Value = serde_json::from_str(&found.out).unwrap();
    assert_eq!(found["trace_id"], ids[1]);
}

#[test]
fn exit_codes_tell_what_went_wrong() {
    let directory = Directory::new();
    record(&directory, &["only"]);
    let path = directory.text();
    for (arguments, code, says) in [
        (&["show", "tr-unknown", "-d", &path][..], 3, "tr-unknown"),
        (&["search", "nonsense ~ 1", "-d", &path], 2, "~ 1"),
        (&["unheard-of"], 2, "unheard-of"),
        (&["send", "-d", &path], 2, "--directory"),
        (&["list", "--set", "unheard.of=1"], 2, "unheard.of"),
        (&["list", "--set", "no-value"], 2, "OPTION=VALUE"),
        (&["list", "-u", "http://127.0.0.1:1"], 1, "127.0.0.1:1"),
        (
            &["list", "-d", &path, "-u", "http://127.0.0.1:1"],
            2,
            "--tracking-uri",
        ),
        (&["send", &path], 2, "MLFLOW_TRACKING_URI"),
        (
            &["send", "/does/not/exist", "-u", "http://127.0.0.1:1"],
            2,
            "/does/not/exist",
        ),
        (
            &["view", "-d", &path, "-o", "/does/not/exist.html"],
            2,
            "/does/not/exist.html",
        ),
        (&["tail", "-d", &path, "--interval=-1"], 2, "--interval"),
    ] {
        let done = run(arguments);
        assert_eq!(done.code, code, "{arguments:?}: {done:?}");
        assert!(done.error.contains(says), "{arguments:?}: {done:?}");
        assert_eq!(done.out, "", "{arguments:?}");
    }
    assert_eq!(run(&["--help"]).code, 0);
    assert_eq!(run(&["--version"]).code, 0);
}

#[test]
fn terminals_get_no_instructions() {
    let directory = Directory::new();
    let ids = record(&directory, &["red\u{1b}[31m\u{7}\u{9b}2J"]);
    let path = directory.text();
    let keeper = Keeper::start();
    keeper.refuse("bad \u{1b}]0;title\u{7}");
    for arguments in [
        &["list", "-d", &path, "--color", "always"][..],
        &["show", &ids[0], "-d", &path, "--full"],
        &["send", &path, "-u", &keeper.url()],
        &["list", "-u", &keeper.url()],
    ] {
        let done = run(arguments);
        let all = done.out + &done.error;
        let unpainted = all.replace("\u{1b}[", "[");
        let is_steering = |letter: char| letter.is_control() && letter != '\n';
        assert!(!unpainted.contains(is_steering), "{arguments:?}: {all:?}");
        assert!(!all.contains("\u{1b}[31m\\u{7}"), "{all:?}");
    }
}

#[test]
fn a_closed_pipe_is_no_failure() {
    let directory = Directory::new();
    let names: Vec<String> = (0..2000).map(|number| format!("trace {number}")).collect();
    record(
        &directory,
        &names.iter().map(String::as_str).collect::<Vec<_>>(),
    );
    let mut child = Command::new(PROGRAM)
        .args(["list", "-n", "0", "-d", &directory.text()])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut first = [0; 10];
    child.stdout.take().unwrap().read_exact(&mut first).unwrap();
    let done = child.wait_with_output().unwrap();
    assert_eq!(done.status.code(), Some(0));
    assert_eq!(String::from_utf8_lossy(&done.stderr), "");
}

#[test]
fn what_was_sent_is_not_sent_again() {
    let directory = Directory::new();
    let ids = record(&directory, &["one", "two", "three"]);
    let keeper = Keeper::start();
    let send = || {
        let done = run(&["send", &directory.text(), "-u", &keeper.url(), "--json"]);
        (done.code, serde_json::from_str::<Value>(&done.out).unwrap())
    };
    let (code, summary) = send();
    let counts = |summary: &Value| (summary["sent"].clone(), summary["already_there"].clone());
    assert_eq!(
        (code, counts(&summary)),
        (0, (json!(3), json!(0))),
        "{summary}"
    );
    let mut stored = keeper.ids();
    let mut expected = ids.clone();
    stored.sort();
    expected.sort();
    assert_eq!(stored, expected);

    // Deleted there: it stays so.
    keeper.forget(&ids[0]);
    let before = keeper.requests();
    let (code, summary) = send();
    assert_eq!((code, counts(&summary)), (0, (json!(0), json!(3))));
    assert_eq!(keeper.ids().len(), 2);
    assert_eq!(
        keeper.requests(),
        before,
        "all of it is known without the server"
    );

    // What only the server knows of is looked up, and left as it is.
    let ledger = directory.ledger();
    assert_eq!(
        ledger.metadata().unwrap().permissions().mode() & 0o777,
        0o600
    );
    std::fs::remove_file(&ledger).unwrap();
    let posts = keeper.posts();
    let (code, summary) = send();
    assert_eq!((code, counts(&summary)), (0, (json!(1), json!(2))));
    assert_eq!(keeper.posts(), posts + 1);
}

#[test]
fn a_trace_that_arrived_in_part_is_completed() {
    let directory = Directory::new();
    let ids = record(&directory, &["whole"]);
    let keeper = Keeper::start();
    let args = ["send", &directory.text(), "-u", &keeper.url()];
    assert_eq!(run(&args).code, 0);
    for lose in [
        (|trace| trace.data = TraceData::default()) as fn(&mut Trace),
        |trace| trace.info.trace_metadata.clear(),
    ] {
        keeper.change(&ids[0], lose);
        std::fs::remove_file(directory.ledger()).unwrap();
        let done = run(&args);
        assert!(done.out.starts_with("1 sent, 0 already there"), "{done:?}");
    }
}

#[test]
fn what_could_not_be_sent_is_told_and_sent_later() {
    let directory = Directory::new();
    record(&directory, &["good"]);
    let path = directory.0.join("half.jsonl");
    std::fs::write(&path, "{\"resourceSpans\": [{").unwrap();
    let keeper = Keeper::start();
    keeper.refuse("no room");
    let args = ["send", &directory.text(), "-u", &keeper.url()];
    let done = run(&args);
    assert_eq!(done.code, 1);
    assert!(
        done.out
            .starts_with("0 sent, 0 already there, 1 failed, 1 unreadable"),
        "{done:?}"
    );
    assert!(done.out.contains("no room") && done.out.contains("half.jsonl:1"));
    assert_eq!(done.error, "", "no bar where no terminal is");
    keeper.accept();
    std::fs::remove_file(&path).unwrap();
    let done = run(&args);
    assert_eq!((done.code, done.out.trim()), (0, "1 sent, 0 already there"));
}

#[test]
fn a_server_that_takes_nothing_is_left_alone() {
    let directory = Directory::new();
    let names = ["same"; 40];
    record(&directory, &names);
    let keeper = Keeper::start();
    keeper.refuse_credentials();
    let done = run(&["send", &directory.text(), "-u", &keeper.url(), "--json"]);
    assert_eq!(done.code, 1);
    let summary: Value = serde_json::from_str(&done.out).unwrap();
    let failed = summary["failed"].as_array().unwrap().len();
    let left = summary["left"].as_u64().unwrap() as usize;
    assert_eq!(failed + left, names.len(), "{summary}");
    assert!(left > names.len() / 2, "{summary}");
}

#[test]
fn what_cannot_be_noted_is_not_sent() {
    let directory = Directory::new();
    record(&directory, &["one"]);
    let keeper = Keeper::start();
    let args = ["send", &directory.text(), "-u", &keeper.url()];
    assert_eq!(run(&args).code, 0);
    let ledger = directory.ledger();
    std::fs::remove_file(&ledger).unwrap();
    std::fs::create_dir(&ledger).unwrap();
    let before = keeper.requests();
    let done = run(&args);
    assert_eq!(done.code, 1);
    assert!(done.error.contains("cannot note"), "{done:?}");
    assert_eq!(keeper.requests(), before);
}

#[test]
fn a_living_process_is_told_from_a_dead_one() {
    let directory = Directory::new();
    let tracer = support::spooling(&directory, "http://127.0.0.1:1");
    support::trace(&tracer, "waits");
    let option = format!("spool.dir={}", directory.text());
    let status = || {
        let done = run(&["spool", "status", "--json", "--set", &option]);
        let status: Value = serde_json::from_str(&done.out).unwrap();
        let runs = status["runs"].as_array().unwrap().clone();
        assert_eq!(runs.len(), 1, "{status}");
        (runs[0]["live"].clone(), runs[0]["pending"].clone())
    };
    assert_eq!(status(), (json!(true), json!(1)));
    tracer.shutdown(std::time::Duration::ZERO);
    drop(tracer);
    assert_eq!(status(), (json!(false), json!(1)));
    let done = run(&["spool", "status", "--set", &option]);
    assert!(
        done.out.contains("orphaned") && done.out.contains("1 pending"),
        "{done:?}"
    );
}

#[test]
fn experiments_are_found_or_made() {
    let directory = Directory::new();
    record(&directory, &["one"]);
    let keeper = Keeper::start();
    let done = run(&[
        "send",
        &directory.text(),
        "-u",
        &keeper.url(),
        "-e",
        "made now",
    ]);
    assert_eq!(done.code, 0, "{done:?}");
    assert_eq!(keeper.experiments_of_traces(), ["7"]);
    let done = run(&[
        "send",
        &directory.text(),
        "-u",
        &keeper.url(),
        "-e",
        "a",
        "-e",
        "b",
    ]);
    assert_eq!(done.code, 2);
}

#[test]
fn dead_letters_are_counted_and_replayed() {
    let directory = Directory::new();
    let keeper = Keeper::start();
    keeper.refuse("too strange");
    support::record_spooled(&directory, &keeper.url(), "refused");
    let spool = format!("spool.dir={}", directory.text());
    let status = || {
        let done = run(&["spool", "status", "--json", "--set", &spool]);
        assert_eq!(done.code, 0, "{done:?}");
        serde_json::from_str::<Value>(&done.out).unwrap()
    };
    let dead = status()["dead"].clone();
    assert_eq!(dead.as_array().unwrap().len(), 1, "{dead}");
    let printed = run(&["spool", "status", "--set", &spool]);
    assert!(
        printed.out.contains("1 dead") && printed.out.contains("too strange"),
        "{printed:?}"
    );

    let replay = ["spool", "replay", "--timeout", "20", "--set", &spool];
    let none = run(&replay);
    assert_eq!(none.code, 2, "without a server: {none:?}");
    let url = keeper.url();
    let replay = [&replay[..], &["-u", &url]].concat();
    let unknown = run(&[&replay[..], &["nothing"]].concat());
    assert_eq!(unknown.code, 2);
    assert!(unknown.error.contains("no dead letter nothing"));
    keeper.accept();
    let done = run(&replay);
    assert_eq!(done.code, 0, "{done:?}");
    assert!(
        done.out
            .starts_with("1 dead letters tried again; 2 spans delivered"),
        "{done:?}"
    );
    assert_eq!(status()["dead"], json!([]));
    assert_eq!(status()["runs"], json!([]));
    assert_eq!(keeper.ids(), [dead[0]["trace_id"].as_str().unwrap()]);
}

#[test]
fn a_spool_that_nobody_made_stays_unmade() {
    let directory = Directory::new();
    let missing = directory.0.join("spool");
    let option = format!("spool.dir={}", missing.display());
    let done = run(&["spool", "status", "--set", &option]);
    assert_eq!(done.code, 0);
    assert!(done.out.contains("nothing waits"));
    assert!(!missing.exists());
}

fn diagnose(arguments: &[&str]) -> (i32, Value) {
    let done = run(&[&["doctor", "--json"], arguments].concat());
    (done.code, serde_json::from_str(&done.out).unwrap())
}

fn severity<'a>(report: &'a Value, subject: &str) -> &'a str {
    let findings = report["findings"].as_array().unwrap();
    let found = findings.iter().find(|found| found["subject"] == subject);
    found.map_or("", |found| found["severity"].as_str().unwrap())
}

#[test]
fn the_doctor_finds_nothing_where_all_is_well() {
    let keeper = Keeper::start();
    let url = keeper.url().replace("http://", "http://me:hunter2@");
    let (code, report) = diagnose(&["-u", &url]);
    assert_eq!(code, 0, "{report}");
    for subject in [
        "exporter",
        "server",
        "version",
        "clock",
        "credentials",
        "experiment",
    ] {
        assert_eq!(severity(&report, subject), "ok", "{subject}: {report}");
    }
    assert!(!report.to_string().contains("hunter2"), "{report}");
    assert_eq!(report["configuration"]["tracking_uri"], keeper.url());
    let shown = run(&["doctor", "-u", &url]);
    assert!(
        shown.out.contains("MLflow 3.17.2") && !shown.out.contains("hunter2"),
        "{shown:?}"
    );
}

#[test]
fn the_doctor_names_each_problem() {
    let nobody = diagnose(&["-u", "http://127.0.0.1:1"]);
    assert_eq!((nobody.0, severity(&nobody.1, "server")), (1, "problem"));
    let keeper = Keeper::start();
    let url = keeper.url();
    let with = |option: &str| diagnose(&["-u", &url, "--set", option]);
    let (code, report) = with("experiment_id=404");
    assert_eq!((code, severity(&report, "experiment")), (1, "problem"));
    let (code, report) = with("experiment_name=new");
    assert_eq!((code, severity(&report, "experiment")), (0, "warning"));
    keeper.set_date("Sat, 01 Jan 2000 00:00:00 GMT");
    let (code, report) = with("experiment_id=0");
    assert_eq!(
        (code, severity(&report, "clock")),
        (0, "warning"),
        "{report}"
    );
    keeper.refuse_credentials();
    let (code, report) = with("experiment_id=0");
    assert_eq!((code, severity(&report, "credentials")), (1, "problem"));
    assert_eq!(severity(&report, "version"), "ok");
}

#[test]
fn the_doctor_looks_at_directories() {
    let directory = Directory::new();
    let files = directory.0.join("not/yet");
    let done = run_in(&directory, &["doctor", "--set", "file.directory=not/yet"]);
    assert_eq!(done.code, 0, "{done:?}");
    assert!(!files.exists());
    let (code, report) = diagnose(&["-d", "/proc/none"]);
    assert_eq!(
        (code, severity(&report, "files")),
        (1, "problem"),
        "{report}"
    );
    std::fs::create_dir(directory.0.join("open")).unwrap();
    let open = directory.0.join("open");
    std::fs::set_permissions(&open, PermissionsExt::from_mode(0o777)).unwrap();
    let option = format!("spool.dir={}", open.display());
    let (code, report) = diagnose(&["--set", "spool=spill", "--set", &option]);
    assert_eq!(
        (code, severity(&report, "spool")),
        (1, "problem"),
        "{report}"
    );
}

#[test]
fn a_page_holds_what_it_was_made_of() {
    let directory = Directory::new();
    record(&directory, &["</script><b>"]);
    let done = run(&["view", &directory.text(), "-o", "-"]);
    assert_eq!(done.code, 0);
    assert!(done.out.contains("\\u003c/script>\\u003cb>") || done.out.contains("\\u003c/script"));
    assert!(!done.out.contains("</script><b>"));
    assert!(done.out.trim_end().ends_with("</html>"));
}
