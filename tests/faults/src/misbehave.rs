//! Replies that no server should give.

use std::io::{self, Write};
use std::time::Duration;

use flate2::{Compress, Compression, FlushCompress};
use socket2::SockRef;

use crate::http::{Reply, Wire};
use crate::script::Action;

const MIB: u64 = 1 << 20;

/// What became of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum After {
    Open,
    Closed,
}

/// Sends `reply` as `action` wants it; returns how many bytes went out.
pub(crate) fn send(
    wire: &mut Wire,
    action: Option<&Action>,
    reply: &Reply,
    wait: impl Fn(Duration) -> bool,
) -> (u64, io::Result<After>) {
    let mut sent = Counted { wire, bytes: 0 };
    let outcome = write(&mut sent, action, reply, wait);
    (sent.bytes, outcome)
}

struct Counted<'a> {
    wire: &'a mut Wire,
    bytes: u64,
}

impl Counted<'_> {
    fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.wire.write_all(bytes)?;
        self.wire.flush()?;
        self.bytes += bytes.len() as u64;
        Ok(())
    }
}

/// `wait` waits, and says whether there is still somebody to wait for.
fn write(
    out: &mut Counted<'_>,
    action: Option<&Action>,
    reply: &Reply,
    wait: impl Fn(Duration) -> bool,
) -> io::Result<After> {
    match action {
        Some(Action::Slow { interval_ms }) => {
            for byte in reply.bytes() {
                out.send(&[byte])?;
                if !wait(Duration::from_millis(*interval_ms)) {
                    return Ok(After::Closed);
                }
            }
        }
        Some(Action::Truncate) => {
            out.send(&reply.head(2000))?;
            out.send(&[b' '; 1000])?;
            return Ok(After::Closed);
        }
        Some(Action::WrongLength) => {
            out.send(&reply.head(10))?;
            out.send(&[b'{'; 5000])?;
            return Ok(After::Closed);
        }
        Some(Action::Garbage) => {
            out.send(&[
                0x15, 0xff, 0x00, b'\r', b'\n', 0x80, b'\r', b'\n', b'\r', b'\n',
            ])?;
            return Ok(After::Closed);
        }
        Some(Action::Endless { megabytes, .. }) => {
            // What our own system holds has not gone out.
            SockRef::from(out.wire.tcp()).set_send_buffer_size(64 << 10)?;
            out.send(&chunked(reply, ""))?;
            let mut chunk = b"100000\r\n".to_vec();
            chunk.resize(chunk.len() + MIB as usize, b' ');
            chunk.extend(b"\r\n");
            for _ in 0..*megabytes {
                out.send(&chunk)?;
            }
            out.send(b"0\r\n\r\n")?;
        }
        Some(Action::Bomb { megabytes, .. }) => {
            out.send(&chunked(reply, "content-encoding: gzip\r\n"))?;
            // A member of the format (RFC 1952) whose blocks are all the same.
            out.send(b"a\r\n\x1f\x8b\x08\0\0\0\0\0\0\xff\r\n")?;
            let block = zeros();
            let mut chunk = format!("{:x}\r\n", block.len()).into_bytes();
            chunk.extend(block);
            chunk.extend(b"\r\n");
            for _ in 0..*megabytes {
                out.send(&chunk)?;
            }
            out.send(b"0\r\n\r\n")?;
        }
        Some(Action::Reset { .. }) => {
            reset(out.wire);
            return Ok(After::Closed);
        }
        Some(Action::Close) => {
            out.send(&reply.bytes())?;
            return Ok(After::Closed);
        }
        Some(Action::Delay { ms }) => {
            if !wait(Duration::from_millis(*ms)) {
                return Ok(After::Closed);
            }
            out.send(&reply.bytes())?;
        }
        Some(Action::BlackHole) => {
            while wait(Duration::from_millis(20)) {}
            return Ok(After::Closed);
        }
        None | Some(Action::Status { .. } | Action::PartialSuccess { .. }) => {
            out.send(&reply.bytes())?;
        }
    }
    Ok(After::Open)
}

/// Has the connection reset instead of closed when it is dropped.
pub(crate) fn reset(wire: &Wire) {
    let _ = SockRef::from(wire.tcp()).set_linger(Some(Duration::ZERO));
}

fn chunked(reply: &Reply, more: &str) -> Vec<u8> {
    let Reply {
        status, headers, ..
    } = reply;
    format!("HTTP/1.1 {status} X\r\n{headers}{more}transfer-encoding: chunked\r\n\r\n").into_bytes()
}

/// A MiB of zeros as blocks of deflate that may be repeated.
fn zeros() -> Vec<u8> {
    let mut out = Vec::with_capacity(64 << 10);
    let mut deflate = Compress::new(Compression::best(), false);
    let zeros = vec![0; MIB as usize];
    // Into a vector with room to spare, compression cannot fail.
    let _ = deflate.compress_vec(&zeros, &mut out, FlushCompress::Full);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    #[test]
    fn the_bomb_unpacks() {
        let block = zeros();
        assert!(block.len() < 2 << 10, "{}", block.len());
        let bytes = [block.as_slice(), &block, &[3, 0]].concat();
        let mut plain = Vec::new();
        flate2::read::DeflateDecoder::new(bytes.as_slice())
            .read_to_end(&mut plain)
            .unwrap();
        assert_eq!(plain.len(), 2 << 20);
    }
}
