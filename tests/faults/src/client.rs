//! Requests to the control endpoint, and any other request that a test wants to make by hand.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::Value;

/// Status and body of the answer to one request on a connection of its own.
pub fn request(
    url: &str,
    method: &str,
    path: &str,
    headers: &str,
    body: &[u8],
) -> io::Result<(u16, Vec<u8>)> {
    let address = url.strip_prefix("http://").unwrap_or(url);
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(60)))?;
    let head = format!(
        "{method} {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\ncontent-length: {}\r\n{headers}\r\n",
        body.len()
    );
    stream.write_all(&[head.as_bytes(), body].concat())?;
    let mut reply = Vec::new();
    stream.read_to_end(&mut reply)?;
    parse(&reply).ok_or_else(|| io::Error::other("no HTTP reply"))
}

fn parse(reply: &[u8]) -> Option<(u16, Vec<u8>)> {
    let end = memchr::memmem::find(reply, b"\r\n\r\n")?;
    let head = std::str::from_utf8(&reply[..end]).ok()?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    Some((status, reply[end + 4..].to_vec()))
}

/// What a control endpoint answers; an error with its message where it refuses.
pub fn control(url: &str, method: &str, path: &str, body: &Value) -> io::Result<Value> {
    let sent = match body {
        Value::Null => String::new(),
        body => body.to_string(),
    };
    let (status, reply) = request(url, method, path, "", sent.as_bytes())?;
    match status {
        200 => Ok(serde_json::from_slice(&reply)?),
        _ => Err(io::Error::other(
            String::from_utf8_lossy(&reply).into_owned(),
        )),
    }
}

/// Sends so many OTLP requests on one connection, one after the other, each after the answer to the one before;
/// `headers` are header lines, and the bodies take their turns. Measures the sink rather than an exporter.
pub fn repeat(url: &str, headers: &str, bodies: &[Vec<u8>], times: usize) -> io::Result<()> {
    let address = url.strip_prefix("http://").unwrap_or(url);
    let mut stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    let whole = |body: &Vec<u8>| {
        let head = format!(
            "POST /v1/traces HTTP/1.1\r\nhost: {address}\r\ncontent-length: {}\r\n{headers}\r\n",
            body.len()
        );
        [head.as_bytes(), body].concat()
    };
    let requests: Vec<_> = bodies.iter().map(whole).collect();
    let mut reply = [0; 4096];
    for request in requests.iter().cycle().take(times) {
        stream.write_all(request)?;
        let read = stream.read(&mut reply)?;
        if !reply[..read].starts_with(b"HTTP/1.1 200 ") {
            return Err(io::Error::other("the sink refuses the request"));
        }
    }
    Ok(())
}
