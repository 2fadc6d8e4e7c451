//! The sink itself: what it answers, what it keeps, and every way in which it misbehaves.
#![allow(clippy::unwrap_used)]

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use mlflow_trace_faults::client;
use mlflow_trace_faults::script::Endpoint;
use mlflow_trace_faults::sink::{Options, Sink};
use serde_json::{Value, json};

const EXPERIMENT: &str = "x-mlflow-experiment-id: 0\r\n";

fn sink() -> Sink {
    Sink::start(&Options::default()).unwrap()
}

fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    let mut out = vec![number << 3 | 2, bytes.len() as u8];
    assert!(bytes.len() < 0x80);
    out.extend_from_slice(bytes);
    out
}

/// A request with a span for each id.
fn spans(ids: &[u8], name: &str) -> Vec<u8> {
    let each = |id: &u8| {
        let span = [
            field(1, &[1; 16]),
            field(2, &[*id; 8]),
            field(5, name.as_bytes()),
        ];
        field(2, &span.concat())
    };
    let spans: Vec<u8> = ids.iter().flat_map(each).collect();
    field(1, &field(2, &spans))
}

fn post(sink: &Sink, body: &[u8]) -> (u16, Vec<u8>) {
    client::request(&sink.url(), "POST", "/v1/traces", EXPERIMENT, body).unwrap()
}

/// Everything that comes back on a connection of its own, and how it ended.
fn raw(sink: &Sink, body: &[u8]) -> (Vec<u8>, std::io::Result<()>) {
    let mut stream = TcpStream::connect(sink.url().trim_start_matches("http://")).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_millis(500)))
        .unwrap();
    let head = format!(
        "POST /v1/traces HTTP/1.1\r\n{EXPERIMENT}content-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(&[head.as_bytes(), body].concat()).unwrap();
    let mut reply = Vec::new();
    let mut chunk = [0; 65536];
    loop {
        match stream.read(&mut chunk) {
            Ok(0) => return (reply, Ok(())),
            Ok(read) => reply.extend_from_slice(&chunk[..read]),
            Err(error) => return (reply, Err(error)),
        }
        if reply.len() > 8 << 20 {
            return (reply, Ok(()));
        }
    }
}

#[test]
fn an_mlflow_server_and_its_ledger() {
    let sink = sink();
    let get = |path: &str| client::request(&sink.url(), "GET", path, "", b"").unwrap();
    assert_eq!(get("/version"), (200, b"3.17.2".to_vec()));
    assert_eq!(
        get("/api/2.0/mlflow/experiments/get-by-name?experiment_name=a%20b").0,
        404
    );
    let create = "/api/2.0/mlflow/experiments/create";
    let made = client::request(&sink.url(), "POST", create, "", br#"{"name": "a b"}"#).unwrap();
    let made: Value = serde_json::from_slice(&made.1).unwrap();
    assert_eq!(made["experiment_id"], "1");
    let (status, found) = get("/api/2.0/mlflow/experiments/get-by-name?experiment_name=a%20b");
    assert_eq!(status, 200);
    assert!(
        String::from_utf8(found)
            .unwrap()
            .contains("mlflow-artifacts:/1")
    );

    let id = format!("tr-{}", "01".repeat(16));
    assert_eq!(get(&format!("/api/3.0/mlflow/traces/{id}")).0, 404);
    assert_eq!(post(&sink, &spans(&[1, 2], "a")).0, 200);
    assert_eq!(post(&sink, &spans(&[2], "a")).0, 200);
    let info = json!({"trace": {"trace_info": {"trace_id": id, "state": "OK"}}}).to_string();
    let path = "/api/3.0/mlflow/traces";
    let (_, reply) = client::request(&sink.url(), "POST", path, "", info.as_bytes()).unwrap();
    let reply: Value = serde_json::from_slice(&reply).unwrap();
    let tags = &reply["trace"]["trace_info"]["tags"];
    assert_eq!(tags["mlflow.trace.spansLocation"], "TRACKING_STORE");
    let (_, stored) = get(&format!("/api/3.0/mlflow/traces/{id}"));
    assert!(String::from_utf8(stored).unwrap().contains("infoFinalized"));

    let ledger = client::control(&sink.control_url(), "GET", "/__ledger", &Value::Null).unwrap();
    assert_eq!(ledger["summary"]["spans"], 2);
    assert_eq!(ledger["summary"]["duplicates"], 1);
    assert_eq!(ledger["traces"][&id]["spans"]["02".repeat(8)]["copies"], 2);
    assert_eq!(ledger["traces"][&id]["infos"], json!(["OK"]));
    let stats = client::control(&sink.control_url(), "GET", "/__stats", &Value::Null).unwrap();
    assert_eq!(stats["spans"], 3);
    client::control(&sink.control_url(), "POST", "/__reset", &Value::Null).unwrap();
    assert_eq!(sink.ledger().summary().spans, 0);
}

#[test]
fn what_a_server_refuses_is_not_stored() {
    let sink = sink();
    let body = spans(&[1], "a");
    let plain = client::request(&sink.url(), "POST", "/v1/traces", "", &body).unwrap();
    assert_eq!(plain.0, 422, "no experiment");
    assert_eq!(post(&sink, b"\xff\xff").0, 400);
    for rule in [
        json!({"do": {"status": {"code": 503, "retry_after": "20"}}}),
        json!({"do": {"status": {"code": 422}}, "span_name": "a"}),
        json!({"do": {"status": {"code": 413}}, "larger_than": 10}),
        json!({"do": {"status": {"code": 400}}, "span_id": "01".repeat(8)}),
    ] {
        let code = rule["do"]["status"]["code"].as_u64().unwrap();
        sink.script(&json!({"rules": [rule]})).unwrap();
        assert_eq!(u64::from(post(&sink, &body).0), code);
    }
    sink.script(&json!({"token": "good"})).unwrap();
    assert_eq!(post(&sink, &body).0, 401);
    assert_eq!(sink.ledger().summary().spans, 0);
    sink.script(&json!({"rules": [{"do": {"status": {"code": 422}}, "span_name": "b"}]}))
        .unwrap();
    assert_eq!(post(&sink, &body).0, 200);
    sink.script(&json!({"version": "3.1.4"})).unwrap();
    assert_eq!(post(&sink, &body).0, 404);
    sink.script(&json!({"version": "3.1.4", "collector": true}))
        .unwrap();
    assert_eq!(
        client::request(&sink.url(), "POST", "/v1/traces", "", &body)
            .unwrap()
            .0,
        200
    );
}

#[test]
fn broken_replies() {
    let sink = sink();
    let body = spans(&[1, 2], "a");
    let with = |action: Value| {
        sink.script(&json!({"rules": [{"on": "spans", "do": action}]}))
            .unwrap();
        raw(&sink, &body)
    };
    let (reply, end) = with(json!("truncate"));
    assert!(reply.starts_with(b"HTTP/1.1 200 ") && reply.len() < 2000 && end.is_ok());
    assert!(with(json!("wrong_length")).0.ends_with(b"{{{"));
    assert!(!with(json!("garbage")).0.starts_with(b"HTTP"));
    let (reply, _) = with(json!({"endless": {"code": 200, "megabytes": 10_000}}));
    assert!(reply.len() > 8 << 20);
    let (reply, _) = with(json!({"bomb": {"code": 200, "megabytes": 100}}));
    assert!(reply.len() < 200 << 10 && reply.ends_with(b"0\r\n\r\n"));
    let (reply, end) = with(json!("black_hole"));
    assert!(reply.is_empty() && end.unwrap_err().kind() == std::io::ErrorKind::WouldBlock);
    let (reply, _) = with(json!({"slow": {"interval_ms": 1000}}));
    assert_eq!(reply.len(), 1);
    let (reply, _) = with(json!({"partial_success": {"rejected": 1, "message": "no"}}));
    assert!(reply.ends_with(b"\x0a\x06\x08\x01\x12\x02no"), "{reply:?}");
    let reset = |action: Value| {
        let (reply, end) = with(json!({"reset": action}));
        assert!(reply.is_empty());
        assert_eq!(end.unwrap_err().kind(), std::io::ErrorKind::ConnectionReset);
    };
    let stored = || sink.ledger().entries.len();
    let before = stored();
    reset(json!({}));
    reset(json!({"before": true}));
    assert_eq!(stored(), before);
    reset(json!({"stored": true}));
    assert_eq!(stored(), before + 2);
}

#[test]
fn refused_and_back_on_the_same_port() {
    let sink = sink();
    let body = spans(&[1], "a");
    sink.script(&json!({"refuse_ms": 60_000})).unwrap();
    let address = sink.url().trim_start_matches("http://").to_owned();
    let start = Instant::now();
    while TcpStream::connect(&address).is_ok() {
        assert!(start.elapsed() < Duration::from_secs(10));
        std::thread::sleep(Duration::from_millis(5));
    }
    sink.script(&json!({})).unwrap();
    while TcpStream::connect(&address).is_err() {
        assert!(start.elapsed() < Duration::from_secs(20));
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(post(&sink, &body).0, 200);
}

#[test]
fn connections_can_be_refused_frozen_and_closed() {
    let sink = sink();
    let body = spans(&[1], "a");
    sink.script(&json!({"rules": [{"on": "accept", "do": {"reset": {}}, "times": 1}]}))
        .unwrap();
    assert!(raw(&sink, &body).1.is_err());
    assert_eq!(post(&sink, &body).0, 200);
    sink.script(&json!({"freeze_ms": 200})).unwrap();
    let start = Instant::now();
    assert_eq!(post(&sink, &body).0, 200);
    assert!(start.elapsed() >= Duration::from_millis(190));
    sink.script(&json!({"keep_alive_ms": 50})).unwrap();
    let (reply, end) = raw(&sink, &body);
    assert!(reply.starts_with(b"HTTP/1.1 200") && end.is_ok());
}

#[test]
fn spans_are_counted_without_a_ledger() {
    let options = Options {
        count_only: true,
        ..Options::default()
    };
    let sink = Sink::start(&options).unwrap();
    client::repeat(&sink.url(), EXPERIMENT, &[spans(&[1, 2, 3], "a")], 10).unwrap();
    assert_eq!(sink.stats()["spans"], 30);
    assert!(sink.ledger().entries.is_empty());
}

#[test]
fn the_ledger_shows_requests() {
    let sink = sink();
    sink.script(&json!({"rules": [{"on": "spans", "do": {"status": {"code": 500}}, "times": 1}]}))
        .unwrap();
    client::repeat(&sink.url(), EXPERIMENT, &[spans(&[1], "a")], 1).unwrap_err();
    client::repeat(&sink.url(), EXPERIMENT, &[spans(&[1], "a")], 2).unwrap();
    let ledger = sink.ledger();
    let requests: Vec<_> = ledger.requests_for(Endpoint::Spans).collect();
    let connections: Vec<u64> = requests.iter().map(|request| request.connection).collect();
    assert_eq!(connections, [1, 2, 2]);
    assert_eq!((requests[0].status, requests[0].stored), (500, 0));
    assert_eq!(requests[0].fault, Some("status"));
    assert_eq!((requests[1].status, requests[1].stored), (200, 1));
    assert!(requests[1].ended_ms.unwrap() >= requests[1].begun_ms);
}
