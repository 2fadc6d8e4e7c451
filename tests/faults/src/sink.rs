//! The server: accepts connections and answers requests, each connection on a thread of its own.

use std::collections::HashMap;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, Instant};

use rustls::{ServerConnection, StreamOwned};
use serde_json::{Value, json};
use socket2::{Domain, Protocol, Socket, Type};

use crate::answer::{Scratch, answer};
use crate::control;
use crate::http::{Connection, Head, Reply, Wire};
use crate::ledger::{Ledger, Request};
use crate::misbehave::{self, After};
use crate::mlflow::Server;
use crate::script::{Action, Endpoint, Play, Script, Tls};
use crate::tls::Authority;

/// How a sink is started.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The version of MLflow that it claims; 3.17.2 when empty.
    pub version: String,
    /// Counts spans and bytes, and keeps no ledger.
    pub count_only: bool,
    /// The TLS that it begins with; plain HTTP without.
    pub tls: Option<Tls>,
}

pub(crate) struct Shared {
    pub(crate) count_only: bool,
    secure: bool,
    started: Instant,
    play: RwLock<Arc<Play>>,
    pub(crate) ledger: Mutex<Ledger>,
    pub(crate) server: Mutex<Server>,
    authority: Option<Authority>,
    /// Open connections, to cut them.
    open: Mutex<HashMap<u64, TcpStream>>,
    connections: AtomicU64,
    requests: AtomicU64,
    pub(crate) spans: AtomicU64,
    pub(crate) bytes: AtomicU64,
    pub(crate) infos: AtomicU64,
    handshakes_failed: AtomicU64,
    frozen_until: Mutex<Option<Instant>>,
    refuse_until: Mutex<Option<Instant>>,
    stopping: AtomicBool,
    address: SocketAddr,
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A running sink; dropping it closes it.
pub struct Sink {
    shared: Arc<Shared>,
    control: SocketAddr,
}

impl Sink {
    /// Starts one on free ports of the loopback address.
    pub fn start(options: &Options) -> io::Result<Sink> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let control = TcpListener::bind("127.0.0.1:0")?;
        let version = match options.version.as_str() {
            "" => "3.17.2",
            version => version,
        };
        let script = Script {
            tls: options.tls,
            ..Script::default()
        };
        let shared = Arc::new(Shared {
            count_only: options.count_only,
            secure: options.tls.is_some(),
            started: Instant::now(),
            play: RwLock::new(Arc::new(Play::new(script))),
            ledger: Mutex::default(),
            server: Mutex::new(Server::new(version)),
            authority: options.tls.map(|_| Authority::new()).transpose()?,
            open: Mutex::default(),
            connections: AtomicU64::new(0),
            requests: AtomicU64::new(0),
            spans: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            infos: AtomicU64::new(0),
            handshakes_failed: AtomicU64::new(0),
            frozen_until: Mutex::default(),
            refuse_until: Mutex::default(),
            stopping: AtomicBool::new(false),
            address: listener.local_addr()?,
        });
        let sink = Sink {
            control: control.local_addr()?,
            shared: shared.clone(),
        };
        let of_control = shared.clone();
        std::thread::spawn(move || control::serve(&of_control, &control));
        std::thread::spawn(move || accept(&shared, listener));
        Ok(sink)
    }

    /// Where exporters send to.
    pub fn url(&self) -> String {
        let scheme = if self.shared.secure { "https" } else { "http" };
        format!("{scheme}://{}", self.shared.address)
    }

    /// Where the ledger, the figures and the script are.
    pub fn control_url(&self) -> String {
        format!("http://{}", self.control)
    }

    /// Puts a script in the place of the one before.
    pub fn script(&self, script: &Value) -> io::Result<()> {
        self.shared.set_script(script)
    }

    /// The ledger, which nothing is added to while it is held.
    pub fn ledger(&self) -> MutexGuard<'_, Ledger> {
        lock(&self.shared.ledger)
    }

    /// The figures, as the control endpoint gives them.
    pub fn stats(&self) -> Value {
        self.shared.stats()
    }

    /// Milliseconds since it started, the time of the ledger.
    pub fn now_ms(&self) -> f64 {
        self.shared.now_ms()
    }

    /// Writes `ca.pem`, and `client.pem` with certificate and key; only with TLS.
    pub fn write_certificates(&self, directory: &Path) -> io::Result<()> {
        match &self.shared.authority {
            Some(authority) => authority.write(directory),
            None => Err(io::Error::other("started without TLS")),
        }
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.shared.stopping.store(true, Ordering::Relaxed);
        self.shared.cut();
        for address in [self.shared.address, self.control] {
            let _ = TcpStream::connect(address);
        }
    }
}

impl Shared {
    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }

    pub(crate) fn play(&self) -> Arc<Play> {
        self.play
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn now_ms(&self) -> f64 {
        self.started.elapsed().as_secs_f64() * 1000.0
    }

    pub(crate) fn ledger_json(&self) -> Value {
        lock(&self.ledger).to_json()
    }

    pub(crate) fn root_pem(&self) -> Option<&str> {
        self.authority
            .as_ref()
            .map(|authority| authority.root.as_str())
    }

    pub(crate) fn stats(&self) -> Value {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        json!({
            "spans": get(&self.spans),
            "bytes": get(&self.bytes),
            "infos": get(&self.infos),
            "requests": get(&self.requests),
            "connections": get(&self.connections),
            "open_connections": lock(&self.open).len(),
            "handshakes_failed": get(&self.handshakes_failed),
        })
    }

    pub(crate) fn reset(&self) {
        *lock(&self.ledger) = Ledger::default();
        for counter in [
            &self.spans,
            &self.bytes,
            &self.infos,
            &self.requests,
            &self.connections,
            &self.handshakes_failed,
        ] {
            counter.store(0, Ordering::Relaxed);
        }
    }

    pub(crate) fn set_script(&self, script: &Value) -> io::Result<()> {
        let mut script: Script = serde_json::from_value(script.clone())?;
        if script.tls.is_some() != self.secure {
            // Which of the two it speaks is settled at the start; only the certificate can change.
            script.tls = self.secure.then_some(Tls::Valid);
        }
        if let Some(version) = &script.version {
            lock(&self.server).set_version(version);
        }
        let until = |ms: Option<u64>| ms.map(|ms| Instant::now() + Duration::from_millis(ms));
        *lock(&self.frozen_until) = until(script.freeze_ms);
        let refusing = until(script.refuse_ms);
        *lock(&self.refuse_until) = refusing;
        *self.play.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(Play::new(script));
        if refusing.is_some() {
            // Wakes the thread that accepts, which then closes the listener.
            let _ = TcpStream::connect(self.address);
        }
        Ok(())
    }

    fn cut(&self) {
        for stream in lock(&self.open).values() {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    /// Waits as long as the sink is frozen.
    fn thaw(&self) {
        loop {
            let until = *lock(&self.frozen_until);
            match until.map(|until| until.saturating_duration_since(Instant::now())) {
                None | Some(Duration::ZERO) => return,
                Some(left) => std::thread::sleep(left.min(Duration::from_millis(10))),
            }
        }
    }
}

fn accept(shared: &Arc<Shared>, mut listener: TcpListener) {
    while !shared.is_stopping() {
        let refusing = *lock(&shared.refuse_until);
        if let Some(until) = refusing.filter(|until| *until > Instant::now()) {
            match refuse(shared, listener, until) {
                Ok(again) => listener = again,
                Err(error) => return eprintln!("the sink cannot listen again: {error}"),
            }
        }
        let Ok((stream, _)) = listener.accept() else {
            continue;
        };
        if lock(&shared.refuse_until).is_some_and(|until| until > Instant::now()) {
            continue;
        }
        let shared = shared.clone();
        std::thread::spawn(move || {
            let number = shared.connections.fetch_add(1, Ordering::Relaxed) + 1;
            if let Ok(copy) = stream.try_clone() {
                lock(&shared.open).insert(number, copy);
            }
            // The end of a connection, whatever the reason, is no event of its own.
            let _ = connection(&shared, stream, number);
            lock(&shared.open).remove(&number);
        });
    }
}

/// Refuses connections: nobody listens, but the port stays ours.
fn refuse(shared: &Shared, listener: TcpListener, until: Instant) -> io::Result<TcpListener> {
    drop(listener);
    shared.cut();
    let socket = bind_again(shared.address)?;
    while Instant::now() < until && !shared.is_stopping() {
        if *lock(&shared.refuse_until) != Some(until) {
            break;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    socket.listen(1024)?;
    Ok(socket.into())
}

/// A client that connects while nobody listens may be given this very port for its own end, for a moment.
fn bind_again(address: SocketAddr) -> io::Result<Socket> {
    let patience = Instant::now() + Duration::from_secs(5);
    loop {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP))?;
        socket.set_reuse_address(true)?;
        match socket.bind(&address.into()) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && Instant::now() < patience => {
                std::thread::sleep(Duration::from_millis(5));
            }
            bound => return bound.map(|()| socket),
        }
    }
}

fn connection(shared: &Shared, stream: TcpStream, number: u64) -> io::Result<()> {
    stream.set_nodelay(true)?;
    shared.thaw();
    let play = shared.play();
    let action = play.on_accept();
    let script_tls = play.script.tls;
    drop(play);
    let mut wire = Wire::Plain(stream);
    if let Some(action) = action {
        let reply = Reply::default();
        if !matches!(action, Action::Delay { .. }) {
            misbehave::send(&mut wire, Some(&action), &reply, |time| {
                waited(shared, number, time)
            })
            .1?;
            return Ok(());
        }
    }
    if let (Some(tls), Wire::Plain(stream)) = (script_tls, &mut wire) {
        let Some(config) = shared.authority.as_ref().and_then(|own| own.config(tls)) else {
            shared.handshakes_failed.fetch_add(1, Ordering::Relaxed);
            return spoil(stream, tls);
        };
        let session = ServerConnection::new(config).map_err(io::Error::other)?;
        let mut secured = StreamOwned::new(session, stream.try_clone()?);
        while secured.conn.is_handshaking() {
            if let Err(error) = secured.conn.complete_io(&mut secured.sock) {
                shared.handshakes_failed.fetch_add(1, Ordering::Relaxed);
                return Err(error);
            }
        }
        wire = Wire::Tls(Box::new(secured));
    }
    serve(shared, Connection::new(wire), number)
}

/// Answers a handshake badly.
fn spoil(stream: &mut TcpStream, tls: Tls) -> io::Result<()> {
    let mut hello = [0; 4096];
    let _ = stream.read(&mut hello)?;
    match tls {
        // A fatal alert, protocol_version (RFC 8446 section 6).
        Tls::OldProtocol => stream.write_all(&[21, 3, 1, 0, 2, 2, 70]),
        _ => Ok(()),
    }
}

/// Waits, and says whether the client and the script are still there.
fn waited(shared: &Shared, number: u64, time: Duration) -> bool {
    let play = shared.play();
    let end = Instant::now() + time;
    loop {
        let left = end.saturating_duration_since(Instant::now());
        let gone = {
            let open = lock(&shared.open);
            open.get(&number).is_none_or(is_gone)
        };
        if gone || shared.is_stopping() || !Arc::ptr_eq(&play, &shared.play()) {
            return false;
        }
        if left.is_zero() {
            return true;
        }
        std::thread::sleep(left.min(Duration::from_millis(10)));
    }
}

/// Whether the client has closed a connection, on which it sends nothing at the moment.
fn is_gone(stream: &TcpStream) -> bool {
    let _ = stream.set_nonblocking(true);
    let peeked = stream.peek(&mut [0]);
    let _ = stream.set_nonblocking(false);
    match peeked {
        Ok(read) => read == 0,
        Err(error) => error.kind() != ErrorKind::WouldBlock,
    }
}

fn serve(shared: &Shared, mut connection: Connection, number: u64) -> io::Result<()> {
    let mut scratch = Scratch::default();
    loop {
        let keep = shared.play().script.keep_alive_ms;
        let idle = keep.map(Duration::from_millis);
        connection.wire.tcp().set_read_timeout(idle)?;
        let Some(head) = connection.head()? else {
            return Ok(());
        };
        connection.wire.tcp().set_read_timeout(None)?;
        shared.thaw();
        let last = head
            .header("connection")
            .is_some_and(|word| word.eq_ignore_ascii_case("close"));
        let after = exchange(shared, &mut connection, number, &head, &mut scratch)?;
        if last || after == After::Closed {
            return Ok(());
        }
    }
}

fn exchange(
    shared: &Shared,
    connection: &mut Connection,
    number: u64,
    head: &Head,
    scratch: &mut Scratch,
) -> io::Result<After> {
    let endpoint = Endpoint::of(&head.method, head.path());
    shared.requests.fetch_add(1, Ordering::Relaxed);
    let play = shared.play();
    let mut request = Request {
        endpoint,
        proxied: head.proxied,
        connection: number,
        begun_ms: shared.now_ms(),
        ended_ms: None,
        status: 0,
        bytes: 0,
        spans: 0,
        stored: 0,
        fault: None,
        sent: 0,
    };
    if play.before_body(endpoint).is_some() {
        request.fault = Some("reset");
        request.ended_ms = Some(shared.now_ms());
        lock(&shared.ledger).begin(request);
        misbehave::reset(&connection.wire);
        return Ok(After::Closed);
    }
    request.bytes = connection.body(head, &mut scratch.body)?;
    shared.thaw();
    let number_of_request = match shared.count_only {
        true => 0,
        false => lock(&shared.ledger).begin(request.clone()),
    };
    let (action, reply) = answer(
        shared,
        &play,
        head,
        endpoint,
        number_of_request,
        &mut request,
        scratch,
    );
    request.fault = action.as_ref().map(Action::name);
    request.status = reply.status;
    // Such a reply may take as long as the client has patience; the ledger shows that it is under way.
    if !shared.count_only {
        lock(&shared.ledger).requests[number_of_request as usize] = request.clone();
    }
    let wait = |time| waited(shared, number, time);
    let (sent, outcome) = misbehave::send(&mut connection.wire, action.as_ref(), &reply, wait);
    if !shared.count_only {
        let mut ledger = lock(&shared.ledger);
        ledger.release(&scratch.traces);
        if let Some(entry) = ledger.requests.get_mut(number_of_request as usize) {
            entry.sent = sent;
            entry.ended_ms = Some(shared.now_ms());
        }
    }
    outcome
}
