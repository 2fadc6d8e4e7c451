//! Servers that misbehave on the wire, and servers that speak TLS.
#![allow(dead_code, clippy::unwrap_used)]

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, RwLock};

use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::server::{self, Reply, Seen};

/// A listener on a free loopback port.
pub(crate) struct Raw {
    pub(crate) port: u16,
    connections: Arc<AtomicUsize>,
}

impl Raw {
    /// Handles every connection on a thread of its own, with its number from 0.
    pub(crate) fn start(handle: impl Fn(TcpStream, usize) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let connections = Arc::new(AtomicUsize::new(0));
        let count = connections.clone();
        let handle = Arc::new(handle);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let number = count.fetch_add(1, Ordering::SeqCst);
                let handle = handle.clone();
                std::thread::spawn(move || handle(stream, number));
            }
        });
        Raw { port, connections }
    }

    /// Answers requests as an MLflow server would, but for those that `special` answers itself, and may do so in any
    /// way; the connection ends after that.
    pub(crate) fn mlflow(
        special: impl Fn(&Seen, &mut TcpStream) -> bool + Send + Sync + 'static,
    ) -> Self {
        Raw::start(move |mut stream, _| {
            while let Some(seen) = server::read(&stream) {
                if special(&seen, &mut stream) {
                    return;
                }
                let reply = server::bytes(&server::usual("3.17.2", &seen));
                if stream.write_all(&reply).is_err() {
                    return;
                }
            }
        })
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// How many connections were made.
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

/// An MLflow server over TLS, whose configuration may change.
pub(crate) struct TlsServer {
    pub(crate) raw: Raw,
    config: Arc<RwLock<Arc<ServerConfig>>>,
    seen: Arc<Mutex<Vec<Seen>>>,
    open: Arc<Mutex<Vec<TcpStream>>>,
}

impl TlsServer {
    pub(crate) fn start(config: ServerConfig) -> Self {
        let config = Arc::new(RwLock::new(Arc::new(config)));
        let seen = Arc::new(Mutex::new(Vec::new()));
        let open = Arc::new(Mutex::new(Vec::new()));
        let (current, log, connections) = (config.clone(), seen.clone(), open.clone());
        let raw = Raw::start(move |stream, _| {
            connections
                .lock()
                .unwrap()
                .push(stream.try_clone().unwrap());
            let config = current.read().unwrap().clone();
            let Ok(connection) = ServerConnection::new(config) else {
                return;
            };
            let mut stream = StreamOwned::new(connection, stream);
            while let Some(seen) = server::read(ByRef(&mut stream)) {
                log.lock().unwrap().push(seen.clone());
                let reply = answer(&seen);
                if stream.write_all(&server::bytes(&reply)).is_err() {
                    return;
                }
            }
            // Closing with something unread would cut off what was said last.
            let _ = stream.sock.shutdown(Shutdown::Write);
            let _ = std::io::copy(&mut stream.sock, &mut std::io::sink());
        });
        TlsServer {
            raw,
            config,
            seen,
            open,
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("https://localhost:{}", self.raw.port)
    }

    /// For all connections: those that there are end.
    pub(crate) fn change(&self, config: ServerConfig) {
        *self.config.write().unwrap() = Arc::new(config);
        for stream in self.open.lock().unwrap().drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }
}

/// What an MLflow server with one experiment answers.
pub(crate) fn answer(seen: &Seen) -> Reply {
    match seen.path.starts_with("/api/2.0/mlflow/experiments/get") {
        true => server::reply(200, EXPERIMENT),
        false => server::usual("3.17.2", seen),
    }
}

pub(crate) const EXPERIMENT: &str = r#"{"experiment": {"experiment_id": "7", "name": "n", "artifact_location": "mlflow-artifacts:/7"}}"#;

struct ByRef<'a, T>(&'a mut T);

impl<T: Read> Read for ByRef<'_, T> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.0.read(buffer)
    }
}
