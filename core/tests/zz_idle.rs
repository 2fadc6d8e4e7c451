#![allow(clippy::unwrap_used)]
mod support;
use mlflow_trace_core::SpanStart;
use std::time::Duration;
use support::server::Server;
use support::{PATIENCE, tracer};
fn sleeps() -> Vec<u64> {
    let mut v = vec![];
    for task in std::fs::read_dir("/proc/self/task").unwrap() {
        let p = task.unwrap().path();
        if std::fs::read_to_string(p.join("comm")).unwrap().trim() == "mlflow-trace" {
            let s = std::fs::read_to_string(p.join("status")).unwrap();
            v.push(s.lines().find_map(|l| l.strip_prefix("voluntary_ctxt_switches:")).unwrap().trim().parse().unwrap());
        }
    }
    v
}
#[test]
fn idle() {
    let server = Server::mlflow("3.17.2", |_| None);
    let a = tracer(&[("tracking_uri", &server.url)]);
    let b = tracer(&[("exporter", "none")]);
    for t in [&a, &b] {
        t.start(SpanStart::new("r")).end().unwrap();
        t.flush(PATIENCE);
    }
    for s in 0..12 {
        println!("{s} {:?}", sleeps());
        std::thread::sleep(Duration::from_secs(1));
    }
}
