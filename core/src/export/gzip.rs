//! Compression of requests.

use std::io::Write;

/// Bodies shorter than this are not worth compressing.
const FROM: usize = 1024;

/// The body compressed; `None` where that is not worth it.
pub(super) fn compress(body: &[u8]) -> Option<Vec<u8>> {
    if body.len() < FROM {
        return None;
    }
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(body).ok()?;
    encoder.finish().ok()
}
