//! A server that answers as told, to inject what a real one does rarely.
#![allow(dead_code, clippy::unwrap_used)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// A request as it arrived; gzip bodies are unpacked.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Seen {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let found = self
            .headers
            .iter()
            .find(|(key, _)| key.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }
}

/// Status, extra header lines, body.
pub(crate) type Reply = (u16, String, String);

pub(crate) fn reply(status: u16, body: &str) -> Reply {
    (status, String::new(), body.to_owned())
}

pub(crate) struct Server {
    pub(crate) url: String,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Server {
    /// Serves `answer` on a free loopback port until the process ends.
    pub(crate) fn start(answer: impl Fn(&Seen) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let seen = Arc::new(Mutex::new(Vec::new()));
        let log = seen.clone();
        let answer = Arc::new(answer);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (log, answer) = (log.clone(), answer.clone());
                std::thread::spawn(
                    move || while serve(&stream, &log, answer.as_ref()).is_some() {},
                );
            }
        });
        Server { url, seen }
    }

    /// An MLflow server of this version with a database; `special` answers first if it wants to.
    pub(crate) fn mlflow(
        version: &'static str,
        special: impl Fn(&Seen) -> Option<Reply> + Send + Sync + 'static,
    ) -> Self {
        Server::start(move |seen| special(seen).unwrap_or_else(|| usual(version, seen)))
    }

    /// Requests so far, as `METHOD path`.
    pub(crate) fn log(&self) -> Vec<String> {
        let seen = self.seen.lock().unwrap();
        seen.iter()
            .map(|seen| format!("{} {}", seen.method, seen.path))
            .collect()
    }

    /// Everything that arrived.
    pub(crate) fn received(&self) -> String {
        let seen = self.seen();
        let bodies = seen.iter().map(|seen| String::from_utf8_lossy(&seen.body));
        bodies.collect::<Vec<_>>().join("\n")
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }
}

/// What an MLflow server of this version with a database answers.
pub(crate) fn usual(version: &str, seen: &Seen) -> Reply {
    match seen.path.as_str() {
        "/version" => reply(200, version),
        "/v1/traces" => reply(200, ""),
        "/api/3.0/mlflow/traces" => {
            let sent: serde_json::Value = serde_json::from_slice(&seen.body).unwrap();
            let id = &sent["trace"]["trace_info"]["trace_id"].as_str().unwrap();
            let location = format!("mlflow-artifacts:/0/traces/{id}/artifacts");
            let tags = serde_json::json!({"mlflow.artifactLocation": location});
            reply(
                200,
                &serde_json::json!({"trace": {"trace_info": {"tags": tags}}}).to_string(),
            )
        }
        "/api/2.0/mlflow/experiments/get?experiment_id=0" => {
            let experiment = serde_json::json!({"artifact_location": "mlflow-artifacts:/0"});
            reply(
                200,
                &serde_json::json!({ "experiment": experiment }).to_string(),
            )
        }
        path if path.starts_with("/api/2.0/mlflow-artifacts/") => reply(200, "{}"),
        _ => reply(404, "<!doctype html>"),
    }
}

fn serve(
    stream: &TcpStream,
    log: &Mutex<Vec<Seen>>,
    answer: &(impl Fn(&Seen) -> Reply + ?Sized),
) -> Option<()> {
    let seen = read(stream)?;
    log.lock().unwrap().push(seen.clone());
    let mut stream = stream;
    stream.write_all(&bytes(&answer(&seen))).ok()
}

/// A reply as it is sent: in one piece, since a second one would wait for the first to be acknowledged.
pub(crate) fn bytes((status, headers, body): &Reply) -> Vec<u8> {
    let length = body.len();
    format!("HTTP/1.1 {status} X\r\ncontent-length: {length}\r\n{headers}\r\n{body}").into_bytes()
}

/// The next request of a connection.
pub(crate) fn read(stream: impl Read) -> Option<Seen> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let mut words = line.split_whitespace();
    let (method, path) = (words.next()?.to_owned(), words.next()?.to_owned());
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((key, value)) = line.trim_end().split_once(": ") else {
            break;
        };
        headers.push((key.to_owned(), value.to_owned()));
    }
    let mut seen = Seen {
        method,
        path,
        headers,
        body: Vec::new(),
    };
    let length = seen
        .header("content-length")
        .map_or(0, |text| text.parse().unwrap());
    seen.body.resize(length, 0);
    reader.read_exact(&mut seen.body).ok()?;
    if seen.header("content-encoding") == Some("gzip") {
        let mut plain = Vec::new();
        flate2::read::GzDecoder::new(seen.body.as_slice())
            .read_to_end(&mut plain)
            .ok()?;
        seen.body = plain;
    }
    Some(seen)
}
