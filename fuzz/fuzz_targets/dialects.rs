//! Whatever a provider sends has a result, which is JSON that the next step reads.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mlflow_trace_core::Dialect;
use serde_json::Value;

fn parse(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

fuzz_target!(|input: (u8, &str)| {
    let (number, body) = input;
    let dialect = Dialect::ALL[usize::from(number) % Dialect::ALL.len()];
    assert!(parse(&dialect.request(body)).is_object());
    assert!(parse(&dialect.reply(body)).is_object());
    let lines: Vec<&str> = body.lines().collect();
    for folded in [dialect.fold(&lines), dialect.fold_body(body)] {
        // It may be deeper than what this parser reads.
        let is_deep = folded.matches(['[', '{']).count() > 100;
        assert!(is_deep || parse(&folded).is_object() || folded == "null");
        assert!(parse(&dialect.reply(&folded)).is_object());
    }
});
