//! Any reply, packed or not, is read within its limit and told without secrets.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mlflow_trace_core::fuzzing::reply;

const SECRET: &str = "hunter2/ä\"x";
/// More than is ever kept of a reply.
const MOST: usize = 8 << 20;

fuzz_target!(|data: (u16, u8, &[u8])| {
    let (status, how, body) = data;
    let status = 100 + status % 500;
    let encoding = [None, Some("gzip"), Some("identity"), Some("br")][usize::from(how % 4)];
    let mut body = body.to_vec();
    if how & 4 == 4 {
        // A server that repeats what it was given.
        body = [&b"{\"message\": \""[..], SECRET.as_bytes(), &body, b"\"}"].concat();
    }
    let Some((kept, texts, rejected)) = reply(status, encoding, &body, SECRET) else {
        return;
    };
    assert!(kept <= MOST);
    assert!(!texts.contains(SECRET), "{texts}");
    assert_eq!(rejected.is_some(), (200..300).contains(&status));
});
