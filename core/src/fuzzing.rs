//! What the targets in `fuzz/` reach of the inside; compiled for them alone.

use std::time::Duration;

use reqwest::StatusCode;

use crate::export::http::Reply;
use crate::export::{rejected, retry};
use crate::secret::Secrets;

/// How long a `Retry-After` header asks to wait, with a spool and without.
pub fn retry_after(header: &str) -> [Option<Duration>; 2] {
    [true, false].map(|spools| retry::retry_after(header, retry::patience(spools)))
}

/// Reads a reply as a server's and as a collector's: the bytes kept of it, all texts that hosts may see, and the spans
/// that a collector rejected.
pub fn reply(
    status: u16,
    encoding: Option<&str>,
    body: &[u8],
    secret: &str,
) -> Option<(usize, String, Option<u64>)> {
    let secrets = Secrets::default();
    secrets.add(secret);
    let reply = Reply::of_bytes(StatusCode::from_u16(status).ok()?, encoding, body);
    let texts = reply
        .understood(&secrets)
        .map(|failure| failure.message().to_owned());
    Some((reply.body.len(), texts.concat(), rejected(&reply)))
}
