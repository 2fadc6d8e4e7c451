//! Databricks: which workspace, by which credentials, and uploads by grant. The server is a fake of what Databricks'
//! documentation and MLflow's client say of it.
#![allow(clippy::unwrap_used)]

mod support;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use mlflow_trace_core::{Error, ErrorKind, SpanStart, Tracer};
use serde_json::{Value, json};
use support::certs::Files;
use support::raw::{Raw, answer};
use support::server::{Reply, Seen, Server, reply};
use support::{PATIENCE, assert_conserved, config, dropped, tracer, until};

fn ask(options: &[(&str, &str)]) -> Result<String, Error> {
    let experiment = tracer(options).client().get_experiment("7")?;
    Ok(experiment.experiment_id)
}

fn authorization(server: &Server) -> Option<String> {
    let seen = server.seen();
    seen.last()?.header("authorization").map(str::to_owned)
}

#[test]
fn the_workspace_comes_from_one_place() {
    let files = Files::new("profiles");
    let (one, two) = (Server::start(answer), Server::start(answer));
    let file = files.write(
        "databrickscfg",
        &format!(
            "[DEFAULT]\nhost = {}/?o=1\ntoken = default\n[prod]\nhost: {}\nusername = me\npassword = pw\n[empty]\nhost = {}\n",
            one.url, two.url, one.url
        ),
    );
    let file = ("databricks.config_file", file.as_str());
    let uri = ("tracking_uri", "databricks");
    let prod = ("tracking_uri", "databricks://prod");
    let profile = ("databricks.profile", "prod");
    let host = ("databricks.host", two.url.as_str());
    let token = ("databricks.token", "dapi");
    for (options, server, expected) in [
        (&[uri, file][..], &one, "Bearer default"),
        (&[uri, file, profile], &two, "Basic bWU6cHc="),
        (&[prod, file], &two, "Basic bWU6cHc="),
        (&[uri, file, host, token], &two, "Bearer dapi"),
        // The token of the environment is for its host, not for that of the profile.
        (&[prod, file, token], &two, "Basic bWU6cHc="),
    ] {
        let before = server.seen().len();
        assert_eq!(ask(options).unwrap(), "7", "{options:?}");
        assert_eq!(server.seen().len(), before + 1, "{options:?}");
        assert_eq!(
            authorization(server).as_deref(),
            Some(expected),
            "{options:?}"
        );
    }
    for (options, problem) in [
        (
            &[("tracking_uri", "databricks://none"), file][..],
            "there is no profile 'none'",
        ),
        (
            &[("tracking_uri", "databricks://empty"), file],
            "neither a token",
        ),
        (
            &[uri, ("databricks.config_file", "/no/such")],
            "there is no profile 'DEFAULT'",
        ),
        (&[uri, host], "neither a token"),
    ] {
        let error = ask(options).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidConfig);
        assert!(error.message().contains(problem), "{error}");
    }
}

/// A workspace that gives tokens for a machine, each good for so long.
fn workspace(
    expires_in: u64,
    accepts: impl Fn(&str) -> bool + Send + Sync + 'static,
) -> (Server, Arc<AtomicUsize>) {
    let tokens = Arc::new(AtomicUsize::new(0));
    let count = tokens.clone();
    let server = Server::start(move |seen| {
        let given = seen.header("authorization").unwrap_or_default();
        if seen.path == "/oidc/v1/token" {
            assert_eq!(seen.method, "POST");
            assert_eq!(
                seen.header("content-type"),
                Some("application/x-www-form-urlencoded")
            );
            assert_eq!(seen.body, b"grant_type=client_credentials&scope=all-apis");
            return match given {
                // id:shh
                "Basic aWQ6c2ho" => {
                    let number = count.fetch_add(1, Ordering::SeqCst);
                    let token = json!({"access_token": format!("token{number}"), "token_type": "Bearer", "expires_in": expires_in});
                    reply(200, &token.to_string())
                }
                _ => reply(401, r#"{"error": "invalid_client"}"#),
            };
        }
        match given.strip_prefix("Bearer ").is_some_and(&accepts) {
            true => answer(seen),
            false => reply(403, ""),
        }
    });
    (server, tokens)
}

fn machine<'a>(server: &'a Server, secret: &'a str) -> [(&'a str, &'a str); 5] {
    [
        ("tracking_uri", "databricks"),
        ("databricks.host", &server.url),
        ("databricks.client_id", "id"),
        ("databricks.client_secret", secret),
        ("batch.delay_ms", "0"),
    ]
}

fn record(tracer: &Tracer) {
    tracer.start(SpanStart::new("span")).end().unwrap();
    assert_eq!(tracer.flush(PATIENCE), 0);
}

#[test]
fn a_machine_gets_a_token_and_keeps_it() {
    let (server, tokens) = workspace(3600, |token| token == "token0");
    let tracer = tracer(&machine(&server, "shh"));
    record(&tracer);
    record(&tracer);
    assert_eq!(tokens.load(Ordering::SeqCst), 1);
    assert_eq!(tracer.stats().delivered, 2);
}

#[test]
fn a_token_is_replaced_before_it_expires() {
    // It is over at once.
    let (server, tokens) = workspace(0, |_| true);
    let tracer = tracer(&machine(&server, "shh"));
    record(&tracer);
    assert!(tokens.load(Ordering::SeqCst) > 1);
}

#[test]
fn a_new_token_that_is_refused_is_not_replaced() {
    let (server, tokens) = workspace(3600, |_| false);
    let error = ask(&machine(&server, "shh")).unwrap_err();
    assert!(error.retryable(), "{error}");
    assert_eq!(tokens.load(Ordering::SeqCst), 1);
}

#[test]
fn a_wrong_secret_is_told_without_it() {
    let (server, _) = workspace(3600, |_| true);
    let error = ask(&machine(&server, "hunter2")).unwrap_err();
    assert!(
        error.message().contains("no token for the client id"),
        "{error}"
    );
    assert!(!error.message().contains("hunter2"), "{error}");
    assert!(error.retryable());
}

/// A workspace without span ingest, whose artifacts lie in a cloud; `grant` says where.
fn cloud(grant: impl Fn(&Seen) -> Value + Send + Sync + 'static) -> Server {
    Server::start(move |seen| -> Reply {
        match seen.path.as_str() {
            "/api/3.0/mlflow/traces" => {
                let tags = json!({"mlflow.artifactLocation": "dbfs:/databricks/mlflow-tracking/0/tr-1/artifacts"});
                reply(
                    200,
                    &json!({"trace": {"trace_info": {"tags": tags}}}).to_string(),
                )
            }
            path if path.ends_with("/credentials-for-data-upload") => {
                reply(200, &json!({"credential_info": grant(seen)}).to_string())
            }
            path if path.starts_with("/cloud/") => reply(201, ""),
            _ => reply(404, "<!doctype html>"),
        }
    })
}

fn connected(url: &str) -> Tracer {
    Tracer::new(config(&[
        ("tracking_uri", "databricks"),
        ("databricks.host", url),
        ("databricks.token", "hunter2"),
        ("batch.delay_ms", "0"),
    ]))
    .unwrap()
}

#[test]
fn spans_go_where_the_server_grants() {
    let own = Arc::new(Mutex::new(String::new()));
    let url = own.clone();
    let server = cloud(move |_| {
        json!({
            "signed_uri": format!("{}/cloud/traces.json?sig=s%2Fig", url.lock().unwrap()),
            "type": "AWS_PRESIGNED_URL",
            "headers": [{"name": "x-amz-acl", "value": "private"}],
        })
    });
    *own.lock().unwrap() = server.url.clone();
    let tracer = connected(&server.url);
    record(&tracer);
    assert_eq!(tracer.stats().delivered, 1);
    let seen = server.seen();
    let upload = seen
        .iter()
        .find(|seen| seen.path.starts_with("/cloud/"))
        .unwrap();
    assert_eq!(
        (upload.method.as_str(), upload.path.as_str()),
        ("PUT", "/cloud/traces.json?sig=s%2Fig")
    );
    assert_eq!(upload.header("x-amz-acl"), Some("private"));
    assert_eq!(upload.header("authorization"), None);
    let body: Value = serde_json::from_slice(&upload.body).unwrap();
    assert_eq!(body["spans"][0]["name"], "span");
    let asked = seen
        .iter()
        .find(|seen| seen.path.contains("credentials-for"))
        .unwrap();
    assert_eq!(asked.method, "GET");
    assert_eq!(asked.header("authorization"), Some("Bearer hunter2"));
}

#[test]
fn nothing_inside_the_network_is_reached_by_a_grant() {
    let sink = Raw::start(|_, _| {});
    let port = sink.port;
    // The tracking server may be inside; here it is, under the name that the upload's URL does not use.
    let (name, address) = ("localhost", "127.0.0.1");
    for (host, uri) in [
        (name, format!("http://127.0.0.1:{port}/x")),
        (name, format!("https://127.0.0.1:{port}/x")),
        (name, format!("https://127.1:{port}/x")),
        (name, format!("https://0x7f.0.0.1:{port}/x")),
        (name, format!("https://2130706433:{port}/x")),
        (name, format!("https://[::ffff:127.0.0.1]:{port}/x")),
        (name, format!("https://0.0.0.0:{port}/x")),
        (address, format!("http://127.0.0.1:{port}/x")),
        (address, format!("https://localhost:{port}/x")),
        (address, format!("https://LOCALHOST.:{port}/x")),
        (address, format!("https://me:pw@127.0.0.1:{port}/x")),
        (address, "https://169.254.169.254/latest/meta-data".into()),
        (address, format!("//127.0.0.1:{port}/x")),
        (address, "file:///etc/passwd".into()),
        (address, "s3://bucket/x".into()),
        (address, "dbfs:/x".into()),
        (address, String::new()),
    ] {
        let grant = json!({"signed_uri": uri, "type": "AWS_PRESIGNED_URL"});
        let server = cloud(move |_| grant.clone());
        let tracer = connected(&server.url.replace(address, host));
        tracer.start(SpanStart::new("span")).end().unwrap();
        tracer.flush(Duration::from_millis(300));
        assert_eq!(tracer.stats().delivered, 0, "{uri}");
        assert_conserved(&tracer);
    }
    assert_eq!(sink.connections(), 0);
    // The sink would have noticed: to the tracking server's own host, uploads go.
    let uri = format!("https://127.0.0.1:{port}/x");
    let grant = json!({"signed_uri": uri, "type": "AWS_PRESIGNED_URL"});
    let server = cloud(move |_| grant.clone());
    let tracer = connected(&server.url);
    tracer.start(SpanStart::new("span")).end().unwrap();
    until("it is noticed", || sink.connections() > 0);
}

#[test]
fn a_grant_that_is_none_is_refused() {
    let server = cloud(|_| Value::Null);
    let tracer = connected(&server.url);
    tracer.start(SpanStart::new("span")).end().unwrap();
    until("it is given up", || {
        tracer.flush(Duration::from_millis(100));
        dropped(&tracer, "rejected") == 1
    });
}
