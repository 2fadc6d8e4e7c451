//! The service that the public test suite of W3C Trace Context talks to, on the engine itself.
//!
//! Every request brings a list of `{"url", "arguments"}`. The service continues the caller's trace with a span and
//! posts `arguments` to each `url`, every time from a child span of its own. The address is the first line printed;
//! at the end of its standard input the service stops.

use std::error::Error;
use std::fmt::Write as _;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use mlflow_trace_core::{Config, Parent, SpanStart, Tracer, extract_headers, inject};
use serde_json::Value;
use tiny_http::{Request, Response, Server};

type Failure = Box<dyn Error + Send + Sync>;

const TIMEOUT: Duration = Duration::from_secs(5);

fn main() -> Result<(), Failure> {
    let tracer = Tracer::new(Config::from_env()?)?;
    let server = Arc::new(Server::http("127.0.0.1:0")?);
    println!("http://{}", server.server_addr());
    io::stdout().flush()?;

    let until = server.clone();
    std::thread::spawn(move || {
        let ended = io::copy(&mut io::stdin(), &mut io::sink());
        until.unblock();
        ended
    });
    for mut request in server.incoming_requests() {
        let status = match answer(&tracer, &mut request) {
            Ok(()) => 200,
            Err(error) => {
                eprintln!("{error}");
                500
            }
        };
        request.respond(Response::empty(status))?;
    }
    match tracer.shutdown(TIMEOUT) {
        0 => Ok(()),
        spans => Err(format!("{spans} spans were not delivered").into()),
    }
}

fn answer(tracer: &Tracer, request: &mut Request) -> Result<(), Failure> {
    let headers = request.headers().iter();
    let headers = headers.map(|header| (header.field.as_str().as_bytes(), header.value.as_bytes()));
    let parent = extract_headers(headers).map_or(Parent::None, Parent::Remote);
    let server = tracer.start(SpanStart {
        parent,
        ..SpanStart::new("test")
    });
    let done = call_all(tracer, &Parent::Span(server), request);
    // Recording never hurts the host: what the span answers is for tests.
    let _ = server.end();
    done
}

fn call_all(tracer: &Tracer, parent: &Parent, request: &mut Request) -> Result<(), Failure> {
    let calls: Vec<Value> = serde_json::from_reader(request.as_reader())?;
    for call in &calls {
        let url = call["url"].as_str().ok_or("a call without a url")?;
        let span = tracer.start(SpanStart {
            parent: parent.clone(),
            ..SpanStart::new("call")
        });
        let headers = span.context().map_or_else(Vec::new, |span| inject(&span));
        let done = post(url, headers, call["arguments"].to_string());
        let _ = span.end();
        done?;
    }
    Ok(())
}

/// The suite speaks plain HTTP, and this is all that it needs of it.
fn post(url: &str, headers: Vec<(&str, String)>, body: String) -> Result<(), Failure> {
    let address = url.strip_prefix("http://");
    let (host, path) = address
        .and_then(|address| address.split_once('/'))
        .ok_or("a url that is not http://host:port/path")?;
    let mut request = format!("POST /{path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n");
    for (name, value) in headers {
        write!(request, "{name}: {value}\r\n")?;
    }
    let length = body.len();
    write!(
        request,
        "content-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
    )?;
    let mut stream = TcpStream::connect(host)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.write_all(request.as_bytes())?;
    let mut reply = String::new();
    stream.read_to_string(&mut reply)?;
    match reply.starts_with("HTTP/1.1 200 ") {
        true => Ok(()),
        false => Err(format!("{url} answered {reply}").into()),
    }
}
