//! What users name stays one header, and one path.
#![allow(clippy::unwrap_used)]

mod support;

use std::io::{BufRead, BufReader, Write};
use std::sync::{Arc, Mutex};

use mlflow_trace_core::{Config, ErrorKind, Tracer};
use proptest::prelude::*;
use support::raw::{EXPERIMENT, Raw};

/// Notes the lines of every head as they come.
fn sink() -> (Raw, Arc<Mutex<Vec<Vec<String>>>>) {
    let heads = Arc::new(Mutex::new(Vec::new()));
    let log = heads.clone();
    let raw = Raw::start(move |stream, _| {
        let mut reader = BufReader::new(&stream);
        loop {
            let mut head = Vec::new();
            loop {
                let mut line = Vec::new();
                match reader.read_until(b'\n', &mut line) {
                    Ok(1..) if line != b"\r\n" => {
                        let line = line.strip_suffix(b"\r\n").unwrap();
                        head.push(String::from_utf8(line.to_vec()).unwrap());
                    }
                    Ok(1..) => break,
                    _ => return,
                }
            }
            log.lock().unwrap().push(head);
            let length = EXPERIMENT.len();
            let reply = format!("HTTP/1.1 200 X\r\ncontent-length: {length}\r\n\r\n{EXPERIMENT}");
            if (&stream).write_all(reply.as_bytes()).is_err() {
                return;
            }
        }
    });
    (raw, heads)
}

/// Text with what may end a header or begin another one.
fn hostile() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("\r\n".to_owned()),
        Just("\n".to_owned()),
        Just("\r\nx-evil: 1".to_owned()),
        Just("\0".to_owned()),
        Just("\u{7f}".to_owned()),
        Just("\u{e9}\u{2028}".to_owned()),
        Just(": ".to_owned()),
        Just("\t".to_owned()),
        "[ -~]{1,6}".prop_map(|text| text),
    ];
    prop_oneof![
        2 => "[!-~]{1,20}",
        1 => proptest::collection::vec(piece, 1..4).prop_map(|pieces| pieces.concat()),
    ]
}

fn encode(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(5000))]

    #[test]
    fn exactly_as_many_headers_arrive_as_were_named(
        workspace in hostile(),
        token in hostile(),
        (name, value) in ("[a-z]{1,8}", hostile()),
        raw in hostile(),
    ) {
        thread_local! {
            static SINK: (Raw, Arc<Mutex<Vec<Vec<String>>>>) = sink();
        }
        SINK.with(|(server, heads)| {
            let mut config = Config::new();
            config.set("tracking_uri", &server.url()).unwrap();
            config.set("http.proxy", "direct").unwrap();
            // GET, host, accept and user-agent.
            let mut expected = 4;
            let mut set = |key: &str, value: &str| match config.set(key, value) {
                Ok(()) => true,
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::InvalidConfig);
                    false
                }
            };
            expected += usize::from(set("workspace", &workspace));
            expected += usize::from(set("tracking_token", &token));
            let list = format!("x-test-{name}={}", encode(&value));
            expected += usize::from(set("http.headers", &list));
            // As somebody would write it who does not know that values are encoded.
            let _ = Config::new().set("http.headers", &format!("x-raw={raw}"));
            let client = Tracer::new(config).unwrap().client();
            heads.lock().unwrap().clear();
            let outcome = client.get_experiment("7");
            let heads = heads.lock().unwrap();
            match outcome {
                Ok(_) => {
                    assert_eq!(heads.len(), 1);
                    assert_eq!(heads[0].len(), expected, "{heads:?}");
                    assert!(!heads[0].iter().any(|line| line.starts_with("x-evil")), "{heads:?}");
                }
                // A token that no header can hold is found out when it is used.
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::InvalidConfig, "{error}");
                    assert!(heads.is_empty());
                }
            }
        });
    }
}

#[test]
fn ids_lead_to_one_request_whatever_they_hold() {
    let (server, heads) = sink();
    let tracer = support::tracer(&[("tracking_uri", &server.url())]);
    let client = tracer.client();
    for id in [
        "7",
        "7&x=1",
        "7#x",
        "../7",
        "7 HTTP/1.1\r\nx-evil: 1",
        "\u{e9}",
        "7?x",
    ] {
        heads.lock().unwrap().clear();
        client.get_experiment(id).unwrap();
        let heads = heads.lock().unwrap();
        let line = &heads[0][0];
        let start = "GET /api/2.0/mlflow/experiments/get?experiment_id=";
        let rest = line
            .strip_prefix(start)
            .unwrap()
            .strip_suffix(" HTTP/1.1")
            .unwrap();
        assert!(!rest.contains(['&', '#', '?', ' ', '/']), "{line}");
        assert_eq!(heads[0].len(), 4, "{heads:?}");
    }
}
