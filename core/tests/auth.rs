//! Credentials: where they come from, in which order, and what happens when the server refuses them (reliability F10).
#![allow(clippy::unwrap_used)]

mod support;

use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use mlflow_trace_core::{Error, ErrorKind, Secret, SpanStart, TracerBuilder};
use support::certs::Files;
use support::raw::answer;
use support::server::{Server, reply};
use support::{PATIENCE, config, tracer, until};

const BASIC: &str = "Basic bWU6cHc=";

/// Takes only this authorization, which may change.
struct Guarded {
    server: Server,
    wanted: Arc<Mutex<String>>,
}

impl Guarded {
    fn start(wanted: &str, refusal: u16) -> Self {
        let wanted = Arc::new(Mutex::new(wanted.to_owned()));
        let current = wanted.clone();
        let server = Server::start(move |seen| {
            let given = seen.header("authorization").unwrap_or_default();
            match given == *current.lock().unwrap() {
                true => answer(seen),
                // As a server that repeats what it was sent.
                false => reply(refusal, &format!("{{\"message\": \"not {given}\"}}")),
            }
        });
        Guarded { server, wanted }
    }

    fn want(&self, authorization: &str) {
        *self.wanted.lock().unwrap() = authorization.to_owned();
    }

    /// The authorization of every request.
    fn given(&self) -> Vec<String> {
        let seen = self.server.seen();
        let given = seen.iter().map(|seen| seen.header("authorization"));
        given
            .map(|text| text.unwrap_or_default().to_owned())
            .collect()
    }
}

/// What a server sees of these options.
fn sent(options: &[(&str, &str)]) -> Option<String> {
    let server = Server::start(answer);
    let options = [&[("tracking_uri", server.url.as_str())], options].concat();
    let client = tracer(&options).client();
    client.get_experiment("7").unwrap();
    server.seen()[0].header("authorization").map(str::to_owned)
}

#[test]
fn precedence_of_options() {
    let files = Files::new("precedence");
    let file = files.write("token", " from-file \n");
    let user = ("tracking_username", "me");
    let password = ("tracking_password", "pw");
    let token = ("tracking_token", "t");
    let token_file = ("tracking_token_file", file.as_str());
    for (options, expected) in [
        (&[][..], None),
        (&[user, password, token], Some(BASIC)),
        (&[user, token], Some("Bearer t")),
        (&[token, token_file], Some("Bearer t")),
        (&[token_file], Some("Bearer from-file")),
        (&[("http.headers", "authorization=Key%20k")], Some("Key k")),
        (
            &[("http.headers", "authorization=Key%20k"), token],
            Some("Bearer t"),
        ),
    ] {
        assert_eq!(sent(options).as_deref(), expected, "{options:?}");
    }
    let server = Server::start(answer);
    let with_userinfo = server.url.replace("//", "//me:pw@");
    let client = tracer(&[("tracking_uri", &with_userinfo), token]).client();
    client.get_experiment("7").unwrap();
    assert_eq!(server.seen()[0].header("authorization"), Some(BASIC));
}

#[test]
fn a_token_that_no_header_can_hold_is_refused_by_name() {
    let tracer = tracer(&[
        ("tracking_uri", "http://localhost:1"),
        ("tracking_token", "t\u{f6}ken"),
    ]);
    let error = tracer.client().get_experiment("7").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidConfig);
    assert!(
        error.message().contains("tracking_token") && !error.message().contains("\u{f6}"),
        "{error}"
    );
}

#[test]
fn a_token_file_is_read_again_when_its_token_is_refused() {
    for refusal in [401, 403] {
        let files = Files::new(&format!("file{refusal}"));
        let file = files.write("token", "old");
        let guarded = Guarded::start("Bearer old", refusal);
        let tracer = tracer(&[
            ("tracking_uri", &guarded.server.url),
            ("tracking_token_file", &file),
            ("batch.delay_ms", "0"),
        ]);
        tracer.start(SpanStart::new("one")).end().unwrap();
        assert_eq!(tracer.flush(PATIENCE), 0);
        files.write("token", "new");
        guarded.want("Bearer new");
        tracer.start(SpanStart::new("two")).end().unwrap();
        assert_eq!(tracer.flush(PATIENCE), 0);
        assert_eq!(tracer.next_diagnostic(), None);
        let given = guarded.given();
        let stale = given.iter().skip(3).filter(|given| *given == "Bearer old");
        assert_eq!(stale.count(), 1, "{given:?}");
    }
}

#[test]
fn refused_for_good_is_asked_once_and_waits() {
    let files = Files::new("good");
    let file = files.write("token", "old");
    let guarded = Guarded::start("Bearer new", 401);
    let tracer = tracer(&[
        ("tracking_uri", &guarded.server.url),
        ("tracking_token_file", &file),
        ("batch.delay_ms", "0"),
    ]);
    tracer.start(SpanStart::new("span")).end().unwrap();
    until("it is told", || tracer.has_diagnostics());
    std::thread::sleep(Duration::from_millis(1500));
    // The file says nothing new, so there is nothing to try; a backoff would have.
    assert_eq!(guarded.given(), ["Bearer old"]);
    let told = tracer.next_diagnostic().unwrap();
    assert!(
        told.message.contains("does not accept the credentials"),
        "{told}"
    );
    assert!(!told.message.contains("old"), "{told}");
    assert_eq!(tracer.stats().pending, 1);
    files.write("token", "new");
    assert_eq!(tracer.flush(PATIENCE), 0);
    assert_eq!(tracer.stats().delivered, 1);
}

#[test]
fn a_provider_is_asked_first_and_after_a_refusal() {
    let guarded = Guarded::start("Bearer token0", 401);
    let calls = Arc::new(AtomicUsize::new(0));
    let count = calls.clone();
    let options = config(&[
        ("tracking_uri", &guarded.server.url),
        ("tracking_username", "me"),
        ("tracking_password", "pw"),
        ("batch.delay_ms", "0"),
    ]);
    let tracer = TracerBuilder::new(options)
        .token_provider(move || {
            let number = count.fetch_add(1, Ordering::SeqCst);
            Ok(Secret::new(format!("token{number}")))
        })
        .build()
        .unwrap();
    tracer.start(SpanStart::new("one")).end().unwrap();
    assert_eq!(tracer.flush(PATIENCE), 0);
    assert_eq!(calls.load(Ordering::SeqCst), 1);
    guarded.want("Bearer token1");
    tracer.start(SpanStart::new("two")).end().unwrap();
    assert_eq!(tracer.flush(PATIENCE), 0);
    assert_eq!(calls.load(Ordering::SeqCst), 2);
    // Calls that wait for their reply use it as well.
    guarded.want("Bearer token2");
    assert!(tracer.client().get_experiment("7").is_ok());
}

#[test]
fn a_provider_that_fails_holds_traces_up_and_loses_none() {
    let server = Server::mlflow("3.17.2", |_| None);
    let calls = Arc::new(AtomicUsize::new(0));
    let count = calls.clone();
    let options = config(&[("tracking_uri", &server.url), ("batch.delay_ms", "0")]);
    let tracer = TracerBuilder::new(options)
        .token_provider(move || match count.fetch_add(1, Ordering::SeqCst) {
            0 => Err(Error::new(ErrorKind::Transport, "vault is sealed")),
            1 => panic!("hunter2"),
            2 => Ok(Secret::new("")),
            _ => Ok(Secret::new("t")),
        })
        .build()
        .unwrap();
    tracer.start(SpanStart::new("span")).end().unwrap();
    until("it is delivered", || {
        tracer.flush(Duration::from_millis(100)) == 0
    });
    assert_eq!(tracer.stats().delivered, 1);
    let told = tracer.next_diagnostic().unwrap();
    assert!(told.message.contains("vault is sealed"), "{told}");
    assert_eq!(server.seen()[0].header("authorization"), Some("Bearer t"));
}

#[test]
fn a_provider_that_hangs_does_not_hold_up_the_exit() {
    let options = config(&[
        ("tracking_uri", "http://127.0.0.1:1"),
        ("http.timeout_ms", "200"),
        ("batch.delay_ms", "0"),
    ]);
    let tracer = TracerBuilder::new(options)
        .token_provider(|| {
            std::thread::sleep(PATIENCE);
            Ok(Secret::new("t"))
        })
        .build()
        .unwrap();
    tracer.start(SpanStart::new("span")).end().unwrap();
    until("it is told", || tracer.has_diagnostics());
    let told = tracer.next_diagnostic().unwrap();
    assert!(told.message.contains("no token in time"), "{told}");
    assert_eq!(tracer.shutdown(Duration::from_millis(100)), 1);
}

/// Runs in a process of its own, whose home is that of the test.
#[test]
#[ignore = "started by the test below"]
fn child() {
    let server = std::env::var("TEST_SERVER").unwrap();
    let user = std::env::var("TEST_USER").unwrap_or_default();
    let tracer = tracer(&[
        ("tracking_uri", &server),
        ("tracking_username", &user),
        ("tracking_token", "t"),
        ("batch.delay_ms", "0"),
    ]);
    tracer.start(SpanStart::new("span")).end().unwrap();
    assert_eq!(tracer.flush(PATIENCE), 0);
}

#[test]
fn the_file_of_mlflow_fills_in_what_options_leave_open() {
    let both = "[mlflow]\nmlflow_tracking_username = me\nMLFLOW_TRACKING_PASSWORD: p%%w\n";
    let password = "[DEFAULT]\nmlflow_tracking_password = p%%w\n[mlflow]\n";
    for (text, user, expected, name) in [
        (both, "", "Basic bWU6cCV3", Some("me")),
        (both, "you", "Basic eW91OnAldw==", Some("you")),
        (password, "you", "Basic eW91OnAldw==", Some("you")),
        (password, "", "Bearer t", None),
        (
            "[other]\nmlflow_tracking_username = me\n",
            "",
            "Bearer t",
            None,
        ),
    ] {
        let files = Files::new("home");
        files.write(".mlflow/credentials", text);
        let server = Server::mlflow("3.17.2", |_| None);
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "child", "--ignored"])
            .env("HOME", files.path(""))
            .env("TEST_SERVER", &server.url)
            .env("TEST_USER", user)
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        assert_eq!(
            server.seen()[0].header("authorization"),
            Some(expected),
            "{text}"
        );
        if let Some(name) = name {
            assert_eq!(server.infos()[0]["trace_metadata"]["mlflow.user"], name);
        }
    }
}
