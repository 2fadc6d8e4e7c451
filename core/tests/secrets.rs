//! A secret never shows, wherever it was given and whatever went wrong (reliability 3.5).
#![allow(clippy::unwrap_used)]

mod support;

use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use mlflow_trace_core::{Config, Error, ErrorKind, Secret, SpanStart, Tracer, TracerBuilder};
use support::certs::Files;
use support::raw::Raw;
use support::server::{Seen, Server, reply};
use support::{config, until};

const CANARY: &str = "canary/zq7w\"e";
/// As it stands in a URL.
const IN_URL: &str = "canary%2Fzq7w%22e";
/// Ways of giving a secret.
const CASES: usize = 12;

/// Every form of the canary that a server or a message may hold.
fn forms() -> Vec<String> {
    let base64 = |text: &str| {
        use base64::Engine;
        base64::engine::general_purpose::STANDARD.encode(text)
    };
    vec![
        CANARY.to_owned(),
        IN_URL.to_owned(),
        CANARY.replace('"', "\\\""),
        base64(&format!("me:{CANARY}")),
        "zq7w".to_owned(),
    ]
}

fn assert_clean(what: &str, text: &str) {
    for form in forms() {
        assert!(!text.contains(&form), "{what}: {text}");
    }
}

/// Fails unless the server was given the canary: a test in which nobody knows it shows nothing.
fn assert_arrived(what: &str, server: &Server) {
    let holds = |seen: &Seen| {
        let mut texts = vec![
            seen.path.clone(),
            String::from_utf8_lossy(&seen.body).into(),
        ];
        texts.extend(seen.headers.iter().map(|(_, value)| value.clone()));
        let given = |text: &String| forms().iter().any(|form| text.contains(form));
        texts.iter().any(given)
    };
    assert!(server.seen().iter().any(holds), "{what}: not sent");
}

/// Everything that a host may see of a tracer that tries to send a trace.
fn shown(what: &str, config: Config, provider: Option<&'static str>) -> String {
    let mut all = format!("{config:?}\n{config:#?}\n");
    let mut builder = TracerBuilder::new(config);
    if let Some(text) = provider {
        builder = builder.token_provider(move || match text {
            "" => Err(Error::new(
                ErrorKind::Transport,
                format!("cannot unwrap {CANARY}"),
            )),
            text => Ok(Secret::new(text)),
        });
    }
    let tracer: Tracer = builder.build().unwrap();
    let client = tracer.client();
    all += &format!("{client:?}\n");
    if let Err(error) = client.get_experiment("7") {
        all += &format!("{error} {error:?}\n");
    }
    if let Err(error) = client.set_experiment("name") {
        all += &format!("{error} {error:?}\n");
    }
    tracer.start(SpanStart::new("span")).end().unwrap();
    until("something is told", || {
        tracer.has_diagnostics() || tracer.flush(Duration::from_millis(5)) == 0
    });
    tracer.shutdown(Duration::ZERO);
    let (stats, health) = (tracer.stats(), tracer.health());
    all += &format!("{stats:?}\n{}\n", stats.to_json());
    all += &format!("{health:?}\n{}\n", health.to_json());
    while let Some(line) = tracer.next_diagnostic() {
        all += &format!("{line} {line:?}\n");
    }
    assert!(all.contains("created"), "{what}");
    all
}

/// What a server repeats of a request: everything, in every form.
fn echo(seen: &Seen) -> String {
    let headers: Vec<String> = seen
        .headers
        .iter()
        .map(|(_, value)| value.clone())
        .collect();
    let words: Vec<&str> = headers.iter().flat_map(|value| value.split(' ')).collect();
    let message = format!(
        "{} {} {CANARY} {IN_URL} {words:?}",
        headers.join(" "),
        seen.path
    );
    let detail = serde_json::json!([{"input": headers, "given": CANARY}]);
    serde_json::json!({"error_code": CANARY, "message": message, "detail": detail}).to_string()
}

#[test]
fn a_server_that_repeats_secrets_is_not_repeated() {
    let files = Files::new("secrets");
    let token = files.write("token", CANARY);
    let password = [("tracking_username", "me"), ("tracking_password", CANARY)];
    for status in [200, 302, 400, 401, 403, 404, 407, 409, 422, 429, 500, 503] {
        for bare in [false, true] {
            let answer = move |seen: &Seen| match bare {
                true => reply(status, &echo(seen)),
                // Without the text that comes first, what is shown is the rest.
                false => {
                    let mut body: serde_json::Value = serde_json::from_str(&echo(seen)).unwrap();
                    body.as_object_mut().unwrap().remove("message");
                    reply(status, &body.to_string())
                }
            };
            for case in 0..CASES {
                let server = Server::start(answer);
                let proxy = server.url.replace("//", &format!("//me:{IN_URL}@"));
                let with_userinfo = proxy.clone();
                let headers = format!("x-api-key={IN_URL}");
                let query = format!("{}/v1/traces?plain=1&key={IN_URL}", server.url);
                let cases: [&[(&str, &str)]; CASES] = [
                    &password[..],
                    &[("tracking_token", CANARY)],
                    &[("tracking_token_file", token.as_str())],
                    &[("http.headers", headers.as_str())],
                    &[("http.proxy", proxy.as_str())],
                    &[("tracking_uri", with_userinfo.as_str())],
                    &[
                        ("tracking_uri", "databricks"),
                        ("databricks.host", &server.url),
                        ("databricks.token", CANARY),
                    ],
                    &[
                        ("tracking_uri", "databricks"),
                        ("databricks.host", &server.url),
                        ("databricks.client_id", "me"),
                        ("databricks.client_secret", CANARY),
                    ],
                    &[("otlp.endpoint", with_userinfo.as_str())],
                    &[("otlp.traces_endpoint", query.as_str())],
                    &[
                        ("otlp.endpoint", &server.url),
                        ("otlp.headers", headers.as_str()),
                    ],
                    &[
                        ("otlp.endpoint", "http://collector.invalid"),
                        ("http.proxy", proxy.as_str()),
                    ],
                ];
                let options = cases[case];
                let uri = match options[0].0.starts_with("otlp.") {
                    true => "",
                    false => server.url.as_str(),
                };
                let options = [&[("tracking_uri", uri), ("batch.delay_ms", "0")], options].concat();
                let what = format!("{status} {:?}", &options[2..]);
                assert_clean(&what, &shown(&what, config(&options), None));
                assert_arrived(&what, &server);
            }
        }
    }
}

#[test]
fn nothing_shows_where_there_is_no_reply() {
    let garbage = Raw::start(|mut stream, _| {
        let _ = stream.write_all(format!("{CANARY}\r\n\r\n").as_bytes());
    });
    let cut = Raw::start(|_, _| {});
    for target in [
        format!("http://me:{IN_URL}@127.0.0.1:{}", garbage.port),
        format!("https://me:{IN_URL}@127.0.0.1:{}", garbage.port),
        format!("http://me:{IN_URL}@127.0.0.1:{}", cut.port),
        format!("https://me:{IN_URL}@127.0.0.1:1"),
        format!("http://me:{IN_URL}@no.such.host.invalid"),
    ] {
        let options = [("tracking_uri", target.as_str()), ("batch.delay_ms", "0")];
        assert_clean(&target, &shown(&target, config(&options), None));
        let direct = [
            ("tracking_uri", "http://mlflow.invalid"),
            ("http.proxy", target.as_str()),
        ];
        assert_clean(&target, &shown(&target, config(&direct), None));
    }
}

#[test]
fn what_a_provider_says_shows_no_token() {
    let server = Server::start(|seen| reply(401, &echo(seen)));
    let options = [
        ("tracking_uri", server.url.as_str()),
        ("batch.delay_ms", "0"),
    ];
    assert_clean("token", &shown("token", config(&options), Some(CANARY)));
    assert_arrived("token", &server);
    // Its own errors are the host's words, which are passed on.
    let failed = shown("error", config(&options), Some(""));
    assert!(failed.contains("the token provider failed"), "{failed}");
}

#[test]
fn refused_values_are_not_repeated() {
    let control = format!("{CANARY}\n");
    let (bad_uri, bad_proxy) = (
        format!("ftp://me:{IN_URL}@h"),
        format!("ftp://me:{IN_URL}@p"),
    );
    let list = format!("host={IN_URL}");
    for (key, value) in [
        ("tracking_uri", bad_uri.as_str()),
        ("tracking_uri", "http://me:canary%2Fzq7w%22e@h:port"),
        ("tracking_password", &control),
        ("tracking_token", &control),
        ("http.proxy", &bad_proxy),
        ("http.headers", &list),
        ("http.headers", CANARY),
        ("databricks.token", &control),
        ("databricks.client_secret", &control),
    ] {
        let error = Config::new().set(key, value).unwrap_err();
        assert_clean(key, &format!("{error} {error:?}"));
    }
}

/// Runs in a process of its own, and prints what it can.
#[test]
#[ignore = "started by the test below"]
fn child() {
    let config = Config::from_env().unwrap();
    println!("{}", shown("environment", config, None));
}

#[test]
fn nothing_of_the_environment_shows() {
    let home = Files::new("secrets-home");
    let basic =
        format!("[mlflow]\nmlflow_tracking_username = me\nmlflow_tracking_password = {CANARY}\n");
    std::fs::create_dir_all(home.path(".mlflow")).unwrap();
    home.write(".mlflow/credentials", &basic);
    let home = home.path("");
    for name in [
        "MLFLOW_TRACKING_PASSWORD",
        "MLFLOW_TRACKING_TOKEN",
        "HTTP_PROXY",
        "MLFLOW_TRACKING_URI",
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
        "OTEL_EXPORTER_OTLP_HEADERS",
        "HOME",
        "DATABRICKS_CONFIG_FILE",
    ] {
        let server = Server::start(|seen| reply(401, &echo(seen)));
        let proxy = server.url.replace("//", &format!("//me:{IN_URL}@"));
        let files = Files::new("secrets-profiles");
        let profile = format!("[DEFAULT]\nhost = {}\ntoken = {CANARY}\n", server.url);
        let profiles = files.write("profiles", &profile);
        let collector = format!("{}/?key={IN_URL}", server.url);
        let header = format!("x-api-key={IN_URL}");
        let tracking = ("MLFLOW_TRACKING_URI", server.url.as_str());
        let variables = match name {
            "MLFLOW_TRACKING_PASSWORD" => {
                vec![tracking, ("MLFLOW_TRACKING_USERNAME", "me"), (name, CANARY)]
            }
            "MLFLOW_TRACKING_TOKEN" => vec![tracking, (name, CANARY)],
            "MLFLOW_TRACKING_URI" => vec![(name, proxy.as_str())],
            "HTTP_PROXY" => vec![tracking, (name, proxy.as_str())],
            "HOME" => vec![tracking, (name, home.as_str())],
            "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT" => vec![(name, collector.as_str())],
            "OTEL_EXPORTER_OTLP_HEADERS" => vec![
                ("OTEL_EXPORTER_OTLP_ENDPOINT", server.url.as_str()),
                (name, header.as_str()),
            ],
            name => vec![
                ("MLFLOW_TRACKING_URI", "databricks"),
                (name, profiles.as_str()),
            ],
        };
        let mut command = Command::new(std::env::current_exe().unwrap());
        command
            .args(["--exact", "child", "--ignored", "--nocapture"])
            .env_remove("NO_PROXY")
            .env_remove("no_proxy")
            .envs(variables);
        let output = command.output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let printed = text(&output.stdout) + &text(&output.stderr);
        assert!(
            output.status.success() && printed.contains("1 passed"),
            "{printed}"
        );
        assert_clean(name, &printed);
        assert_arrived(name, &server);
    }
}

#[test]
fn files_of_traces_hold_no_credentials() {
    let files = Files::new("secrets-files");
    let directory = files.path("traces");
    let uri = format!("http://me:{IN_URL}@127.0.0.1:1");
    let header = format!("x-api-key={IN_URL}");
    let config = config(&[
        ("exporter", "file"),
        ("file.directory", directory.as_str()),
        ("tracking_uri", &uri),
        ("tracking_token", CANARY),
        ("http.headers", &header),
        ("http.proxy", &uri),
    ]);
    assert_eq!(config.get("tracking_token").unwrap(), CANARY);
    let tracer = Tracer::new(config).unwrap();
    tracer.start(SpanStart::new("kept")).end().unwrap();
    assert_eq!(tracer.flush(support::PATIENCE), 0);
    let written = files_below(Path::new(&directory));
    assert!(!written.is_empty());
    for text in written {
        assert!(text.contains("kept"));
        assert_clean("file", &text);
    }
}

/// Every file below a directory, as text.
fn files_below(directory: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => found.extend(files_below(&path)),
            false => {
                let content = std::fs::read(&path).unwrap();
                let content = String::from_utf8_lossy(&content);
                found.push(format!("{} {content}", path.display()));
            }
        }
    }
    found
}

#[test]
fn a_spool_holds_no_credentials() {
    // What is refused is kept aside with the reason, what waits as it was.
    for status in [400, 401, 503] {
        let server = Server::start(move |seen| reply(status, &echo(seen)));
        let uri = server.url.replace("//", &format!("//me:{IN_URL}@"));
        let query = format!("{}/v1/traces?key={IN_URL}", server.url);
        let header = format!("x-api-key={IN_URL}");
        let cases: [&[(&str, &str)]; 4] = [
            &[("tracking_uri", &uri), ("http.headers", &header)],
            &[("tracking_uri", &server.url), ("tracking_token", CANARY)],
            &[
                ("tracking_uri", "databricks"),
                ("databricks.host", &server.url),
                ("databricks.token", CANARY),
            ],
            &[("otlp.traces_endpoint", &query), ("otlp.headers", &header)],
        ];
        for options in cases {
            let files = Files::new("secrets-spool");
            let directory = files.path("spool");
            let spool = [
                ("spool", "write-through"),
                ("spool.dir", directory.as_str()),
                ("batch.delay_ms", "0"),
            ];
            let tracer = Tracer::new(config(&[options, &spool].concat())).unwrap();
            tracer.start(SpanStart::new("kept")).end().unwrap();
            until("something is told", || {
                tracer.has_diagnostics() || tracer.flush(Duration::from_millis(5)) == 0
            });
            tracer.shutdown(Duration::ZERO);
            let what = format!("{status} {options:?}");
            assert_arrived(&what, &server);
            let found = files_below(Path::new(&directory));
            assert!(found.iter().any(|text| text.contains("kept")), "{what}");
            found.iter().for_each(|text| assert_clean(&what, text));
        }
    }
}
