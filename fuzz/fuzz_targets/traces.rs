//! Any text is a trace that reads the same after it was written, or an error.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mlflow_trace_core::client::{Trace, TraceData};

fuzz_target!(|data: &[u8]| {
    if let Ok(read) = TraceData::from_text(data) {
        let again = TraceData::from_json(&read.to_json()).expect("what was written is read");
        assert_eq!(again.to_json(), read.to_json());
    }
    let Ok(value) = serde_json::from_slice(data) else {
        return;
    };
    if let Ok(read) = Trace::from_json(&value) {
        let again = Trace::from_json(&read.to_json()).expect("what was written is read");
        assert_eq!(again.to_json(), read.to_json());
    }
});
