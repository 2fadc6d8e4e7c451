//! HTTP/1.1 as far as an exporter speaks it: requests with a length or in chunks, connections that stay open.
//!
//! By hand, because the sink also has to break every rule of it, and because it must not be what a
//! measurement waits for.

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;

use memchr::memmem;
use rustls::{ServerConnection, StreamOwned};

/// Longer heads and bodies are no exporter's.
const MAX_HEAD: usize = 64 << 10;
const MAX_BODY: usize = 256 << 20;

/// The transport of a connection.
pub(crate) enum Wire {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ServerConnection, TcpStream>>),
}

impl Wire {
    pub(crate) fn tcp(&self) -> &TcpStream {
        match self {
            Wire::Plain(stream) => stream,
            Wire::Tls(stream) => &stream.sock,
        }
    }
}

impl Read for Wire {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Wire::Plain(stream) => stream.read(into),
            Wire::Tls(stream) => stream.read(into),
        }
    }
}

impl Write for Wire {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Wire::Plain(stream) => stream.write(bytes),
            Wire::Tls(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Wire::Plain(stream) => stream.flush(),
            Wire::Tls(stream) => stream.flush(),
        }
    }
}

/// The head of a request.
#[derive(Clone, Debug, Default)]
pub(crate) struct Head {
    pub(crate) method: String,
    /// Path and query, also of a request to a proxy.
    pub(crate) target: String,
    /// Whether the request named the whole URL, as requests to a proxy do.
    pub(crate) proxied: bool,
    headers: Vec<(String, String)>,
}

impl Head {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let found = self
            .headers
            .iter()
            .find(|(key, _)| key.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    pub(crate) fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }

    /// The value of a query parameter, decoded.
    pub(crate) fn query(&self, name: &str) -> Option<String> {
        let (_, query) = self.target.split_once('?')?;
        let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        pairs
            .filter(|(key, _)| *key == name)
            .map(|(_, value)| decode(value))
            .next()
    }

    fn parse(text: &str) -> Option<Head> {
        let mut lines = text.split("\r\n");
        let mut words = lines.next()?.split(' ');
        let (method, target) = (words.next()?, words.next()?);
        let rest = target.strip_prefix("http://");
        let headers = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(key, value)| (key.to_owned(), value.trim().to_owned()));
        Some(Head {
            method: method.to_owned(),
            target: match rest {
                Some(rest) => rest.find('/').map_or("/", |at| &rest[at..]).to_owned(),
                None => target.to_owned(),
            },
            proxied: rest.is_some() || method == "CONNECT",
            headers: headers.collect(),
        })
    }
}

fn decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let hex = text
            .get(at + 1..at + 3)
            .and_then(|pair| u8::from_str_radix(pair, 16).ok());
        match (bytes[at], hex) {
            (b'%', Some(byte)) => {
                out.push(byte);
                at += 2;
            }
            (b'+', _) => out.push(b' '),
            (byte, _) => out.push(byte),
        }
        at += 1;
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// A connection of a client.
pub(crate) struct Connection {
    pub(crate) wire: Wire,
    buffer: Vec<u8>,
    /// What was read and not used yet.
    start: usize,
    end: usize,
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, what.to_owned())
}

impl Connection {
    pub(crate) fn new(wire: Wire) -> Self {
        Connection {
            wire,
            buffer: vec![0; MAX_HEAD],
            start: 0,
            end: 0,
        }
    }

    /// Reads more; false at the end of the stream.
    fn fill(&mut self) -> io::Result<bool> {
        if self.start > 0 {
            self.buffer.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        if self.end == self.buffer.len() {
            return Err(invalid("head too long"));
        }
        let read = self.wire.read(&mut self.buffer[self.end..])?;
        self.end += read;
        Ok(read > 0)
    }

    /// The next request; `None` when the client has closed the connection.
    pub(crate) fn head(&mut self) -> io::Result<Option<Head>> {
        loop {
            let unread = &self.buffer[self.start..self.end];
            if let Some(length) = memmem::find(unread, b"\r\n\r\n") {
                let head = std::str::from_utf8(&unread[..length])
                    .ok()
                    .and_then(Head::parse)
                    .ok_or_else(|| invalid("not HTTP"))?;
                self.start += length + 4;
                return Ok(Some(head));
            }
            if !self.fill()? {
                return match self.start == self.end {
                    true => Ok(None),
                    false => Err(ErrorKind::UnexpectedEof.into()),
                };
            }
        }
    }

    /// Reads the body into the front of `body`, which only ever grows; returns its length.
    pub(crate) fn body(&mut self, head: &Head, body: &mut Vec<u8>) -> io::Result<usize> {
        if head.header("expect").is_some() {
            self.wire.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
        }
        let chunked = head
            .header("transfer-encoding")
            .is_some_and(|coding| coding.eq_ignore_ascii_case("chunked"));
        if !chunked {
            let length = match head.header("content-length") {
                Some(text) => text.parse().map_err(|_| invalid("content-length"))?,
                None => 0,
            };
            self.take(body, 0, length)?;
            return Ok(length);
        }
        let mut total = 0;
        loop {
            let line = self.line()?;
            let size = line.split(';').next().unwrap_or_default().trim();
            let size = usize::from_str_radix(size, 16).map_err(|_| invalid("chunk"))?;
            if size == 0 {
                while !self.line()?.is_empty() {}
                return Ok(total);
            }
            self.take(body, total, size)?;
            total += size;
            self.line()?;
        }
    }

    fn line(&mut self) -> io::Result<String> {
        loop {
            let unread = &self.buffer[self.start..self.end];
            if let Some(length) = memmem::find(unread, b"\r\n") {
                let line = String::from_utf8_lossy(&unread[..length]).into_owned();
                self.start += length + 2;
                return Ok(line);
            }
            if !self.fill()? {
                return Err(ErrorKind::UnexpectedEof.into());
            }
        }
    }

    /// Reads `length` bytes to the place `at` of `body`.
    fn take(&mut self, body: &mut Vec<u8>, at: usize, length: usize) -> io::Result<()> {
        let end = at
            .checked_add(length)
            .filter(|end| *end <= MAX_BODY)
            .ok_or_else(|| invalid("body too long"))?;
        if body.len() < end {
            body.resize(end, 0);
        }
        let here = length.min(self.end - self.start);
        body[at..at + here].copy_from_slice(&self.buffer[self.start..self.start + here]);
        self.start += here;
        self.wire.read_exact(&mut body[at + here..end])
    }
}

/// A reply.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    /// Header lines, each with its line break.
    pub(crate) headers: String,
    pub(crate) body: Vec<u8>,
}

impl Reply {
    pub(crate) fn new(status: u16, content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        Reply {
            status,
            headers: format!("content-type: {content_type}\r\n"),
            body: body.into(),
        }
    }

    pub(crate) fn json(status: u16, body: &serde_json::Value) -> Self {
        Reply::new(status, "application/json", body.to_string())
    }

    /// Status line and headers, with this length, for replies that lie about it.
    pub(crate) fn head(&self, length: usize) -> Vec<u8> {
        let Reply {
            status, headers, ..
        } = self;
        format!("HTTP/1.1 {status} X\r\ncontent-length: {length}\r\n{headers}\r\n").into_bytes()
    }

    /// In one piece: a second one would wait for the first to be acknowledged.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut bytes = self.head(self.body.len());
        bytes.extend_from_slice(&self.body);
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads() {
        let head =
            Head::parse("GET http://h:1/a?x=a%20b+c&y=1 HTTP/1.1\r\nHost: h\r\nA:b").unwrap();
        assert_eq!((head.path(), head.proxied), ("/a", true));
        assert_eq!(head.query("x").as_deref(), Some("a b c"));
        assert_eq!(head.header("a"), Some("b"));
        assert!(Head::parse("GET").is_none());
    }
}
