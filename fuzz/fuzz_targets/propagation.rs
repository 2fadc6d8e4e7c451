//! Any headers give a context that reads the same after it was written, or none.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mlflow_trace_core::propagation::{extract, extract_baggage, inject};

fuzz_target!(|data: (&str, Option<&str>, &str)| {
    let (traceparent, tracestate, baggage) = data;
    if let Ok(context) = extract(traceparent, tracestate) {
        let headers = inject(&context);
        let header = |name| headers.iter().find(|(key, _)| *key == name);
        let written = header("traceparent").expect("a traceparent").1.as_str();
        let state = header("tracestate").map(|(_, value)| value.as_str());
        let again = extract(written, state).expect("what was written is read");
        assert_eq!((again.trace_id, again.span_id), (context.trace_id, context.span_id));
        assert_eq!(again.trace_state, context.trace_state);
    }
    let _ = extract_baggage([("baggage", baggage)]);
});
