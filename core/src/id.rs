//! Trace and span identifiers (W3C Trace Context: 16 and 8 bytes, never all zero).

use std::fmt;

use rand::RngCore;
use rand::rngs::SmallRng;

use crate::local;

/// A 128-bit trace id, big-endian as on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TraceId([u8; 16]);

/// A 64-bit span id, big-endian as on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SpanId([u8; 8]);

/// A seed for a thread's generator, from the operating system.
pub(crate) fn seed() -> [u8; 32] {
    let mut seed = [0u8; 32];
    if getrandom::fill(&mut seed).is_err() {
        // No entropy source: the clock, the process and this stack address still tell generators apart.
        let now = crate::clock::unix_nanos().to_le_bytes();
        let address = (&raw const seed as usize).to_le_bytes();
        seed[..8].copy_from_slice(&now);
        seed[8..12].copy_from_slice(&std::process::id().to_le_bytes());
        seed[16..24].copy_from_slice(&address);
    }
    seed
}

/// A uniformly random 64-bit number from this thread's generator.
pub(crate) fn random_u64() -> u64 {
    local::with(|local| local.rng.next_u64())
}

fn decode_hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let bytes = text.as_bytes();
    if bytes.len() != 2 * N {
        return None;
    }
    let mut out = [0u8; N];
    for (byte, pair) in out.iter_mut().zip(bytes.chunks_exact(2)) {
        *byte = nibble(pair[0])? << 4 | nibble(pair[1])?;
    }
    Some(out)
}

/// Lower-case digits only: the W3C format allows no others.
fn nibble(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

fn encode_hex(text: &mut [u8], bytes: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for (pair, byte) in text.chunks_exact_mut(2).zip(bytes) {
        pair[0] = DIGITS[usize::from(byte >> 4)];
        pair[1] = DIGITS[usize::from(byte & 15)];
    }
}

fn write_hex(f: &mut fmt::Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    let mut text = [0u8; 32];
    encode_hex(&mut text, bytes);
    match std::str::from_utf8(&text[..bytes.len() * 2]) {
        Ok(text) => f.write_str(text),
        Err(_) => Err(fmt::Error),
    }
}

macro_rules! identifier {
    ($name:ident, $bytes:literal) => {
        impl $name {
            /// Wraps raw big-endian bytes; see [`Self::is_valid`].
            pub const fn from_bytes(bytes: [u8; $bytes]) -> Self {
                $name(bytes)
            }

            /// The raw big-endian bytes.
            pub const fn bytes(&self) -> &[u8; $bytes] {
                &self.0
            }

            /// Parses lower-case hex digits; `None` for anything else and for the all-zero id.
            pub fn from_hex(text: &str) -> Option<Self> {
                decode_hex(text).map($name).filter(Self::is_valid)
            }

            /// False for the all-zero id, which means "none".
            pub fn is_valid(&self) -> bool {
                self.0 != [0; $bytes]
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write_hex(f, &self.0)
            }
        }
    };
}

identifier!(TraceId, 16);
identifier!(SpanId, 8);

impl TraceId {
    /// A new random id.
    pub fn generate() -> Self {
        local::with(|local| Self::random(&mut local.rng))
    }

    /// The trace whose root the calling thread ended last, or whose last open span where the trace began in
    /// another process. `None` before the first, and for a trace that is not recorded.
    pub fn last_of_thread() -> Option<Self> {
        local::with(|local| local.last_trace)
    }

    #[inline]
    pub(crate) fn random(rng: &mut SmallRng) -> Self {
        let mut bytes = [0u8; 16];
        bytes[..8].copy_from_slice(&rng.next_u64().to_ne_bytes());
        // The low half is forced odd, so the id can never be all zero.
        bytes[8..].copy_from_slice(&(rng.next_u64() | 1).to_be_bytes());
        TraceId(bytes)
    }

    /// The lower half as a number, which samplers compare; of random ids it tells traces apart.
    #[inline]
    pub(crate) fn low(&self) -> u64 {
        let [.., a, b, c, d, e, f, g, h] = self.0;
        u64::from_be_bytes([a, b, c, d, e, f, g, h])
    }

    /// MLflow's form: `tr-` and 32 hex digits (trace id V3).
    pub fn to_mlflow(&self) -> String {
        format!("tr-{self}")
    }

    /// Parses MLflow's form, with or without `tr-`.
    pub fn from_mlflow(text: &str) -> Option<Self> {
        Self::from_hex(text.strip_prefix("tr-").unwrap_or(text))
    }
}

impl SpanId {
    /// A new random id.
    pub fn generate() -> Self {
        local::with(|local| Self::random(&mut local.rng))
    }

    #[inline]
    pub(crate) fn random(rng: &mut SmallRng) -> Self {
        loop {
            let id = rng.next_u64();
            if id != 0 {
                return SpanId(id.to_ne_bytes());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hex_round_trip() {
        let id = TraceId::generate();
        assert_eq!(TraceId::from_hex(&id.to_string()), Some(id));
        assert_eq!(TraceId::from_mlflow(&id.to_mlflow()), Some(id));
        let span = SpanId::generate();
        assert_eq!(SpanId::from_hex(&span.to_string()), Some(span));
    }

    #[test]
    fn malformed_ids_are_refused() {
        assert_eq!(SpanId::from_hex("0000000000000000"), None);
        assert_eq!(SpanId::from_hex("00F067AA0BA902B7"), None);
        assert_eq!(SpanId::from_hex("00f067aa0ba902b"), None);
        assert_eq!(
            TraceId::from_mlflow("tr-../../../../etc/passwd0000000000"),
            None
        );
    }

    #[test]
    fn threads_do_not_repeat_each_other() {
        let mut ids: Vec<TraceId> = std::thread::scope(|scope| {
            let handles: Vec<_> = (0..4)
                .map(|_| scope.spawn(|| (0..1000).map(|_| TraceId::generate()).collect::<Vec<_>>()))
                .collect();
            handles
                .into_iter()
                .flat_map(|h| h.join().unwrap())
                .collect()
        });
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), 4000);
    }
}
