//! What programs choose from, and what MLflow makes of it.

use mlflow_trace_core::Value;

/// A value, the JSON text that MLflow stores for it as an attribute, and the JSON that events and links
/// hold of it.
pub(crate) struct Case {
    pub(crate) value: Value<'static>,
    pub(crate) text: &'static str,
    pub(crate) native: &'static str,
}

const fn case(value: Value<'static>, text: &'static str, native: &'static str) -> Case {
    Case {
        value,
        text,
        native,
    }
}

const fn same(value: Value<'static>, text: &'static str) -> Case {
    case(value, text, text)
}

/// The inputs whose preview is a message.
pub(crate) const MESSAGES: (&str, &str) =
    (r#"{"messages": [{"role": "user", "content": "hi"}]}"#, "hi");

pub(crate) const VALUES: &[Case] = &[
    same(Value::Null, "null"),
    same(Value::Bool(true), "true"),
    same(Value::Int(0), "0"),
    same(Value::Int(i64::MIN), "-9223372036854775808"),
    same(Value::Int(i64::MAX), "9223372036854775807"),
    same(Value::Double(0.5), "0.5"),
    same(Value::Double(3.0), "3.0"),
    case(Value::Double(1e16), "1e+16", "1e16"),
    case(Value::Double(1.5e-7), "1.5e-07", "1.5e-7"),
    same(Value::Double(-0.0), "-0.0"),
    same(Value::Double(f64::NAN), "\"NaN\""),
    same(Value::Double(f64::INFINITY), "\"Infinity\""),
    same(Value::Double(f64::NEG_INFINITY), "\"-Infinity\""),
    same(Value::Str(""), "\"\""),
    same(Value::Str("text"), "\"text\""),
    same(Value::Str("5"), "\"5\""),
    same(
        Value::Str("\"q\"\\\n\u{1}\0é日😀"),
        r#""\"q\"\\\n\u0001\u0000é日😀""#,
    ),
    // A string that holds an object or an array is taken for it, as by MLflow.
    case(Value::Str(r#"{"a":1}"#), r#"{"a": 1}"#, r#""{\"a\":1}""#),
    case(Value::Str("[1,2]"), "[1, 2]", r#""[1,2]""#),
    same(Value::Str("{bad"), "\"{bad\""),
    same(Value::Json("{}"), "{}"),
    same(Value::Json("[]"), "[]"),
    same(
        Value::Json(r#"{"b":[1,null,{"é":2.5}],"a":"x, y: z"}"#),
        r#"{"b": [1, null, {"é": 2.5}], "a": "x, y: z"}"#,
    ),
    same(Value::Json(MESSAGES.0), MESSAGES.0),
    same(Value::Json(" 5 "), "5"),
    same(Value::Json("true"), "true"),
    same(Value::Json("\"quoted\""), "\"quoted\""),
    same(Value::Json("no json"), "\"no json\""),
    same(
        Value::Json("18446744073709551616"),
        "\"18446744073709551616\"",
    ),
    same(
        Value::Array(&[Value::Int(1), Value::Str("a"), Value::Null]),
        "[1, \"a\", null]",
    ),
    same(Value::Array(&[]), "[]"),
];

/// Token usage: the text, and base keys then cache keys where given.
pub(crate) const USAGES: &[&str] = &[
    r#"{"input_tokens": 1, "output_tokens": 2, "total_tokens": 3}"#,
    r#"{"input_tokens": 10, "output_tokens": 20, "total_tokens": 30, "cache_read_input_tokens": 5}"#,
    r#"{"input_tokens": 7, "cache_creation_input_tokens": 4}"#,
    "{}",
];

/// Keys of attributes. The engine ignores the empty one and the trace's id.
pub(crate) const KEYS: &[&str] = &[
    "a",
    "b",
    "key with spaces é",
    // Of one length, with one end.
    "gen_ai.request.temperature",
    "gen_ai.replied.temperature",
    "",
    "mlflow.traceRequestId",
];

pub(crate) const IGNORED_KEYS: &[&str] = &["", "mlflow.traceRequestId"];

/// Names of spans and events.
pub(crate) const NAMES: &[&str] = &["n", "", "é\n", "exception"];

/// Span types, with the log levels that follow from them.
pub(crate) const TYPES: &[(&str, i64)] = &[
    ("LLM", 20),
    ("CHAIN", 10),
    ("AGENT", 20),
    ("TOOL", 20),
    ("CHAT_MODEL", 20),
    ("RETRIEVER", 20),
    ("EMBEDDING", 20),
    ("PARSER", 10),
    ("UNKNOWN", 10),
    ("of my own", 10),
    ("", 10),
];

pub(crate) const LEVELS: &[i64] = &[10, 30, 50];

/// Nanoseconds since the Unix epoch, with the request time of a trace that starts then.
pub(crate) const TIMES: &[(u64, &str)] = &[
    (1_700_000_000_000_000_000, "2023-11-14T22:13:20Z"),
    (1_700_000_000_000_000_005, "2023-11-14T22:13:20Z"),
    (1_700_000_001_500_000_000, "2023-11-14T22:13:21.500Z"),
    (0, "1970-01-01T00:00:00Z"),
    (999_999, "1970-01-01T00:00:00Z"),
    (1_000_000, "1970-01-01T00:00:00.001Z"),
];

/// Ids of experiments; the last one is refused.
pub(crate) const EXPERIMENTS: &[&str] = &["7", "9999999999999999999", "seven"];
