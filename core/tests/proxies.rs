//! Proxies: which are used, what they see, and what they refuse (reliability F14). Variables are set for processes of
//! their own.
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::sync::{Arc, Mutex};

use support::certs::{Authority, Files};
use support::raw::{EXPERIMENT, Raw, TlsServer, answer};
use support::server::{self, Server};
use support::tracer;

/// The first line and the credentials of a request.
type Asked = (String, Option<String>);

/// A proxy that leads everything to one port, and notes what it is asked for.
struct Proxy {
    raw: Raw,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Proxy {
    fn start(port: u16, wanted: Option<&'static str>) -> Self {
        let asked = Arc::new(Mutex::new(Vec::new()));
        let log = asked.clone();
        let raw = Raw::start(move |mut stream, _| {
            let Some(seen) = server::read(&stream) else {
                return;
            };
            let given = seen.header("proxy-authorization").map(str::to_owned);
            let line = format!("{} {}", seen.method, seen.path);
            log.lock().unwrap().push((line, given.clone()));
            if wanted.is_some() && given.as_deref() != wanted {
                let refusal = server::reply(407, &format!("{given:?}"));
                let _ = stream.write_all(&server::bytes(&refusal));
            } else if seen.method == "CONNECT" {
                stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").unwrap();
                join(stream, port);
            } else {
                let _ = stream.write_all(&server::bytes(&server::reply(200, EXPERIMENT)));
            }
        });
        Proxy { raw, asked }
    }

    fn uri(&self, userinfo: &str) -> String {
        format!("http://{userinfo}127.0.0.1:{}", self.raw.port)
    }

    fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }
}

/// Passes bytes on in both directions until one side ends.
fn join(client: TcpStream, port: u16) {
    let server = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let (mut from, mut to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
    std::thread::spawn(move || copy(&mut from, &mut to));
    let (mut from, mut to) = (server, client);
    copy(&mut from, &mut to);
}

fn copy(from: &mut TcpStream, to: &mut TcpStream) {
    let mut buffer = [0; 4096];
    while let Ok(length @ 1..) = from.read(&mut buffer) {
        if to.write_all(&buffer[..length]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(std::net::Shutdown::Both);
}

fn ask(options: &[(&str, &str)]) -> Result<String, String> {
    let client = tracer(options).client();
    let experiment = client.get_experiment("7");
    experiment
        .map(|experiment| experiment.experiment_id)
        .map_err(|error| error.to_string())
}

/// Runs in a process of its own and tells what it got.
#[test]
#[ignore = "started by the tests below"]
fn child() {
    let uri = std::env::var("TEST_SERVER").unwrap();
    let ca = std::env::var("TEST_CA").unwrap_or_default();
    let outcome = ask(&[("tracking_uri", &uri), ("tls.certificate", &ca)]);
    println!("<<{outcome:?}>>");
}

fn ask_with(uri: &str, ca: &str, variables: &[(&str, &str)]) -> String {
    let own = [("TEST_SERVER", uri), ("TEST_CA", ca)];
    run("child", &[&own, variables].concat())
}

/// What a child tells that has no other variables about proxies than these.
fn run(child: &str, variables: &[(&str, &str)]) -> String {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", child, "--ignored", "--nocapture"]);
    for name in ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"] {
        command.env_remove(name).env_remove(name.to_lowercase());
    }
    let output = command.envs(variables.iter().copied()).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let told = text
        .split_once("<<")
        .and_then(|(_, rest)| rest.split_once(">>"));
    told.unwrap_or_else(|| panic!("{output:?}")).0.to_owned()
}

const SEVEN: &str = r#"Ok("7")"#;
/// me:p@ss
const BASIC: &str = "Basic bWU6cEBzcw==";

#[test]
fn variables_lead_to_proxies() {
    let server = Server::start(answer);
    let (uri, name) = (server.url.replace("127.0.0.1", "localhost"), "localhost");
    for (variable, no_proxy, used) in [
        ("HTTP_PROXY", "", true),
        ("http_proxy", "", true),
        ("ALL_PROXY", "", true),
        ("all_proxy", "", true),
        ("HTTPS_PROXY", "", false),
        ("HTTP_PROXY", name, false),
        ("HTTP_PROXY", "example.com, localhost", false),
        ("HTTP_PROXY", "*", false),
        ("HTTP_PROXY", "example.com,127.0.0.0/8", true),
    ] {
        let proxy = Proxy::start(0, Some(BASIC));
        let variables = [
            (variable, proxy.uri("me:p%40ss@")),
            ("NO_PROXY", no_proxy.to_owned()),
        ];
        let variables = variables
            .each_ref()
            .map(|(name, value)| (*name, value.as_str()));
        assert_eq!(ask_with(&uri, "", &variables), SEVEN, "{variables:?}");
        let line = format!("GET {uri}/api/2.0/mlflow/experiments/get?experiment_id=7");
        let asked = proxy.asked();
        match used {
            true => assert_eq!(asked, [(line, Some(BASIC.to_owned()))]),
            false => assert!(asked.is_empty(), "{variables:?}"),
        }
    }
}

#[test]
fn tls_goes_through_a_tunnel_that_sees_no_more_than_the_host() {
    let files = Files::new("tunnel");
    let authority = Authority::new("ours");
    let ca = files.write("ca.pem", &authority.pem);
    let issued = authority.issue("mlflow.example");
    let versions = [&rustls::version::TLS12, &rustls::version::TLS13];
    let server = TlsServer::start(issued.server(None, &versions));
    let proxy = Proxy::start(server.raw.port, None);
    // A name that only the proxy can resolve.
    for variable in ["HTTPS_PROXY", "https_proxy", "ALL_PROXY"] {
        let got = ask_with(
            "https://mlflow.example:8443",
            &ca,
            &[(variable, &proxy.uri(""))],
        );
        assert_eq!(got, SEVEN, "{variable}");
    }
    let lines: Vec<String> = proxy.asked().into_iter().map(|(line, _)| line).collect();
    assert_eq!(lines, vec!["CONNECT mlflow.example:8443"; 3]);
    assert_eq!(server.seen().len(), 3);
}

#[test]
fn a_refusal_of_the_proxy_is_told_without_its_password() {
    let proxy = Proxy::start(0, Some("Basic else"));
    for uri in ["http://mlflow.example", "https://mlflow.example"] {
        let wrong = proxy.uri("me:hunter2@");
        let got = ask_with(uri, "", &[("ALL_PROXY", &wrong)]);
        assert!(
            got.contains("the proxy does not accept the credentials"),
            "{got}"
        );
        let option = ask(&[("tracking_uri", uri), ("http.proxy", &wrong)]).unwrap_err();
        assert!(
            option.contains("the proxy does not accept the credentials"),
            "{option}"
        );
        for text in [got, option] {
            // me:hunter2
            assert!(
                !text.contains("hunter2") && !text.contains("bWU6aHVudGVyMg"),
                "{text}"
            );
        }
    }
}

#[test]
fn a_proxy_that_is_not_there_is_told_without_its_password() {
    let uri = "https://mlflow.example";
    let gone = "http://me:hunter2@127.0.0.1:1";
    let error = ask(&[("tracking_uri", uri), ("http.proxy", gone)]).unwrap_err();
    assert!(error.contains("through proxy 127.0.0.1"), "{error}");
    assert!(!error.contains("hunter2"), "{error}");
}

#[test]
fn the_option_wins_over_variables() {
    let server = Server::start(answer);
    let proxy = Proxy::start(0, None);
    let options = [
        ("tracking_uri", server.url.as_str()),
        ("http.proxy", &proxy.uri("")),
    ];
    assert_eq!(ask(&options).unwrap(), "7");
    assert_eq!(proxy.asked().len(), 1);
    let proxy = Proxy::start(0, None);
    let with = |option: &str| {
        run(
            "child_of_the_environment",
            &[
                ("MLFLOW_TRACKING_URI", server.url.as_str()),
                ("MLFLOW_TRACE_HTTP_PROXY", option),
                ("ALL_PROXY", &proxy.uri("")),
            ],
        )
    };
    assert_eq!(with("direct"), SEVEN);
    assert!(proxy.asked().is_empty());
    assert_eq!(with(""), SEVEN);
    assert_eq!(proxy.asked().len(), 1);
}

/// As [`child`], with the options of the environment.
#[test]
#[ignore = "started by the test above"]
fn child_of_the_environment() {
    let config = mlflow_trace_core::Config::from_env().unwrap();
    let client = mlflow_trace_core::Tracer::new(config).unwrap().client();
    let outcome = client
        .get_experiment("7")
        .map(|experiment| experiment.experiment_id);
    println!("<<{outcome:?}>>");
}
