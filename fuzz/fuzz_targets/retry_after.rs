//! Any `Retry-After` header is a wait within the limits, or none.
#![no_main]

use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use mlflow_trace_core::fuzzing::retry_after;

fuzz_target!(|header: &str| {
    let [spooling, else_] = retry_after(header);
    // A tenth is added at random, so that clients do not come back together.
    assert!(spooling.is_none_or(|wait| wait <= Duration::from_secs(330)));
    assert!(else_.is_none_or(|wait| wait <= Duration::from_secs(66)));
    assert_eq!(spooling.is_some(), else_.is_some());
});
