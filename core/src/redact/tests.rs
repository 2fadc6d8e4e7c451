use super::*;
use crate::mlflow::keys as names;
use crate::otlp::reader::{FieldValue, Fields, SpanData};
use crate::otlp::{span as field, wire};
use crate::value::{Value, any_value, encode_key_value, encode_native_key_value};

mod hostile;
mod properties;

const TRACE_ID: [u8; 16] = *b"0123456789abcdef";
const REQUEST_ID: &str = "tr-30313233343536373839616263646566";
const USAGE: &str = r#"{"input_tokens": 10, "output_tokens": 20, "total_tokens": 30}"#;

fn redactor(options: &[(&str, &str)]) -> Redactor {
    let mut config = Config::new();
    for (key, value) in options {
        config.set(key, value).unwrap();
    }
    Redactor::from_config(&config).unwrap()
}

/// A span as the engine writes it, with these attributes.
fn span(attributes: &[(&str, Value<'_>)]) -> Vec<u8> {
    let mut out = Vec::new();
    wire::bytes_field(&mut out, field::TRACE_ID, &TRACE_ID);
    wire::bytes_field(&mut out, field::SPAN_ID, b"12345678");
    wire::fixed64_field(&mut out, field::START, 5);
    let mut put = |key: &str, value| encode_key_value(&mut out, field::ATTRIBUTES, key, value);
    put(names::TRACE_REQUEST_ID, Value::Str(REQUEST_ID));
    put(names::SPAN_TYPE, Value::Str("LLM"));
    put(names::SPAN_LOG_LEVEL, Value::Int(20));
    put(names::CHAT_TOKEN_USAGE, Value::Json(USAGE));
    for (key, value) in attributes {
        put(key, *value);
    }
    wire::bytes_field(&mut out, field::NAME, b"name");
    wire::fixed64_field(&mut out, field::END, 9);
    // flags, which the reader does not know
    wire::varint(&mut out, u64::from(16 << 3 | wire::FIXED32));
    out.extend_from_slice(&257u32.to_le_bytes());
    out
}

/// Adds an event, a link and a status that hold `text`.
fn with_text_everywhere(mut out: Vec<u8>, text: &str) -> Vec<u8> {
    let json = format!("{{\"password\": \"{text}\", \"list\": [\"{text}\", 4.5]}}");
    wire::message_field(&mut out, field::EVENTS, |out| {
        wire::fixed64_field(out, 1, 7);
        wire::bytes_field(out, 2, b"exception");
        encode_native_key_value(out, 3, names::EXCEPTION_TYPE, Value::Str("ValueError"));
        encode_native_key_value(out, 3, names::EXCEPTION_MESSAGE, Value::Str(text));
        encode_native_key_value(out, 3, "native", Value::Json(&json));
    });
    wire::message_field(&mut out, field::LINKS, |out| {
        wire::bytes_field(out, 1, &TRACE_ID);
        wire::bytes_field(out, 2, b"87654321");
        encode_native_key_value(out, 4, "native", Value::Json(&json));
    });
    wire::message_field(&mut out, field::STATUS, |out| {
        wire::bytes_field(out, 2, text.as_bytes());
        wire::varint_field(out, 3, 2);
    });
    out
}

fn contains(message: &[u8], text: &str) -> bool {
    message
        .windows(text.len())
        .any(|window| window == text.as_bytes())
}

fn decode(message: &[u8]) -> SpanData {
    SpanData::decode(message).unwrap()
}

/// Redacts one attribute of a span; the attribute's value, and whether that failed.
fn redact_value(
    options: &[(&str, &str)],
    key: &str,
    value: Value<'_>,
) -> (serde_json::Value, bool) {
    let mut message = span(&[(key, value)]);
    let outcome = redactor(options).span(&mut message);
    (
        decode(&message).attribute(key).unwrap().clone(),
        outcome.failed,
    )
}

fn redact_inputs(options: &[(&str, &str)], text: &str) -> String {
    let (value, failed) = redact_value(options, names::SPAN_INPUTS, Value::Str(text));
    assert!(!failed, "{text}");
    value.as_str().unwrap().to_owned()
}

const PASSWORD: &[(&str, &str)] = &[("redact.keys", "password,*token*")];
const SECRET: &[(&str, &str)] = &[("redact.patterns", "(?i)se.?cret\nsk-[a-z0-9]+\n4111 ?1111")];

#[test]
fn threads_share_a_redactor() {
    fn shared<T: Send + Sync>() {}
    shared::<Redactor>();
}

#[test]
fn asking_for_nothing_costs_nothing() {
    assert!(Redactor::from_config(&Config::new()).is_none());
}

#[test]
fn what_no_rule_concerns_stays_as_it_was_to_the_byte() {
    let json = r#"{"n":1e400 , "i": 123456789012345678901234567890,"x":NaN, "d": -0.10,
        "a":"\u00e9\/", "a": [], "t": "{\"b\":1}"}"#;
    let mut message = span(&[
        (names::SPAN_INPUTS, Value::Str(json)),
        ("text", Value::Str("[INFO] {\"a")),
        ("number", Value::Double(1.5)),
    ]);
    message = with_text_everywhere(message, "harmless");
    let before = message.clone();
    let options = [
        ("redact.keys", "token"),
        ("redact.paths", "inputs.b, inputs..c, attributes.text.x"),
        ("redact.patterns", "secret"),
    ];
    assert_eq!(
        redactor(&options).span(&mut message),
        Outcome { failed: false }
    );
    assert!(message == before);
}

#[test]
fn keys_hold_for_attributes_and_for_members_at_any_depth() {
    for (text, redacted) in [
        (r#"{"password": "x"}"#, r#"{"password": "[redacted]"}"#),
        (
            r#"[{"a":{"PassWord" : {"x": [1, "}"]}, "n":1e400}}]"#,
            r#"[{"a":{"PassWord" : "[redacted]", "n":1e400}}]"#,
        ),
        // Readers differ on which of two members counts.
        (
            r#"{"password": 123456789012345678901234567890, "password": null}"#,
            r#"{"password": "[redacted]", "password": "[redacted]"}"#,
        ),
        (
            r#"{"p\u0061ssword": true}"#,
            r#"{"p\u0061ssword": "[redacted]"}"#,
        ),
        // JSON within JSON, as in the arguments of tool calls.
        (
            r#"{"arguments": "{\"my_token\": \"x\", \"n\": 1}"}"#,
            r#"{"arguments": "{\"my_token\": \"[redacted]\", \"n\": 1}"}"#,
        ),
        (
            r#""{\"password\": 1}""#,
            r#""{\"password\": \"[redacted]\"}""#,
        ),
        (r#"{"password": NaN}"#, r#"{"password": "[redacted]"}"#),
    ] {
        assert_eq!(redact_inputs(PASSWORD, text), redacted);
    }
    for value in [
        Value::Str("x"),
        Value::Int(1),
        Value::Json("[1]"),
        Value::Null,
    ] {
        let redacted = redact_value(PASSWORD, "Access_Token", value);
        assert_eq!(redacted, (REDACTED.into(), false));
    }
}

#[test]
fn keys_hold_for_members_in_native_form() {
    let mut message = with_text_everywhere(span(&[]), "hunter2");
    redactor(&[("redact.keys", "password, list, exception.message")]).span(&mut message);
    let data = decode(&message);
    let native = serde_json::json!({"password": REDACTED, "list": REDACTED});
    assert_eq!(data.events[0].attributes[1].1, REDACTED);
    assert_eq!(data.events[0].attributes[2].1, native);
    assert_eq!(data.links[0].attributes[0].1, native);
}

#[test]
fn patterns_hold_for_decoded_strings_and_for_the_text_as_it_is() {
    for (text, redacted) in [
        ("my secret and SE-CRET", "my [redacted] and [redacted]"),
        (
            r#"{"a": "s\u0065cret", "n": 1e400}"#,
            r#"{"a": "[redacted]", "n": 1e400}"#,
        ),
        (
            r#"{"a": "\nsk-12 \"x\""}"#,
            r#"{"a": "\n[redacted] \"x\""}"#,
        ),
        (
            r#"["{\"a\": \"sec\\u0072et\"}"]"#,
            r#"["{\"a\": \"[redacted]\"}"]"#,
        ),
        (r#"{"my secret": 1}"#, r#"{"my [redacted]": 1}"#),
        // A number goes as a whole, or digits would be left behind.
        (r#"[41111111, 41112222]"#, r#"["[redacted]", 41112222]"#),
        // Two strings of JSON, but one match in the text.
        (r#"["se","cret", 1]"#, r#"["se","cret", 1]"#),
        (r#"{"a": "se"cret"#, r#"{"a": "[redacted]"#),
        ("\"secret\"", "\"[redacted]\""),
    ] {
        assert_eq!(redact_inputs(SECRET, text), redacted);
    }
    // Escapes are no letters.
    let text = r#"{"a": "\new \u1234", "b": "x"}"#;
    assert_eq!(
        redact_inputs(&[("redact.patterns", "new\n\\d{4}")], text),
        text
    );
    let spanning = [("redact.patterns", r#""pin":\s*"[^"]*""#)];
    let text = redact_inputs(&spanning, r#"{"a": 1, "pin": "1234"}"#);
    assert_eq!(text, r#"{"a": 1, [redacted]}"#);
}

#[test]
fn patterns_hold_for_every_text_of_a_span() {
    let mut message = span(&[
        ("int", Value::Int(41_111_111)),
        ("double", Value::Double(41_111_111.5)),
        (
            "list",
            Value::Array(&[Value::Str("ok"), Value::Str("the secret")]),
        ),
        ("key of secret", Value::Bool(true)),
        (names::SPAN_TYPE, Value::Str("SECRET")),
    ]);
    wire::message_field(&mut message, field::ATTRIBUTES, |out| {
        wire::bytes_field(out, 1, b"bytes");
        wire::message_field(out, 2, |out| {
            wire::bytes_field(out, any_value::BYTES, b"\xffa secret");
        });
    });
    wire::bytes_field(&mut message, field::NAME, b"secret name");
    wire::bytes_field(&mut message, field::TRACE_STATE, b"vendor=secret");
    let mut message = with_text_everywhere(message, "a secret");
    assert!(!redactor(SECRET).span(&mut message).failed);
    let data = decode(&message);
    let value = |key: &str| data.attribute(key).unwrap().clone();
    assert_eq!(value("int"), REDACTED);
    assert_eq!(value("double"), REDACTED);
    assert_eq!(value("list"), serde_json::json!(["ok", "the [redacted]"]));
    assert_eq!(value("key of [redacted]"), true);
    assert_eq!(value("bytes"), REDACTED);
    assert_eq!(value(names::SPAN_TYPE), REDACTED);
    assert_eq!(data.name, "[redacted] name");
    assert_eq!(data.trace_state, "");
    assert_eq!(data.status_message, "a [redacted]");
    let native = serde_json::json!({"password": "a [redacted]", "list": ["a [redacted]", 4.5]});
    assert_eq!(data.events[0].attributes[2].1, native);
    assert_eq!(data.links[0].attributes[0].1, native);
    assert!(!contains(&message, "secret"));
    // What the wire holds besides stays.
    assert_eq!((data.start, data.end, data.status_code), (5, 9, 2));
    let flags = Fields::new(&message).find_map(|part| part.ok().filter(|part| part.number == 16));
    assert_eq!(flags.unwrap().value, FieldValue::Fixed32(257));
}

#[test]
fn paths_take_out_places() {
    let chat = r#"{"messages": [{"role": "user", "content": "x"}, {"content": ["y"]}], "n":1}"#;
    let redacted = r#"{"messages": [{"role": "user", "content": "[redacted]"}, {"content": "[redacted]"}], "n":1}"#;
    let each = [("redact.paths", "inputs.messages[*].content")];
    assert_eq!(redact_inputs(&each, chat), redacted);
    let any = [("redact.paths", "outputs, $.inputs..content")];
    assert_eq!(redact_inputs(&any, chat), redacted);
    let one = [("redact.paths", "inputs['messages'][1].content[0]")];
    assert!(redact_inputs(&one, chat).ends_with(r#"{"content": ["[redacted]"]}], "n":1}"#));
    // Through a string that holds JSON, which deep values become.
    let nested = r#"{"a": "{\"b\": [1, 2]}"}"#;
    let inside = [("redact.paths", "inputs.a.b[1]")];
    assert_eq!(
        redact_inputs(&inside, nested),
        r#"{"a": "{\"b\": [1, \"[redacted]\"]}"}"#
    );
    let user = [("redact.paths", "attributes.user.email, attributes.list[1]")];
    assert_eq!(
        redact_value(&user, "user.email", Value::Str("x")).0,
        REDACTED
    );
    let (value, _) = redact_value(&user, "user", Value::Json(r#"{"email": 1}"#));
    assert_eq!(value, r#"{"email": "[redacted]"}"#);
    let list = Value::Array(&[Value::Int(1), Value::Int(2)]);
    assert_eq!(
        redact_value(&user, "list", list).0,
        serde_json::json!([1, REDACTED])
    );
}

#[test]
fn bookkeeping_survives_every_rule() {
    let mut message = span(&[
        ("gen_ai.usage.input_tokens", Value::Int(10)),
        ("x", Value::Int(10)),
    ]);
    let options = [
        ("redact.keys", "*"),
        ("redact.paths", "attributes[*]"),
        ("redact.patterns", "10\ntr-[0-9a-f]+\ninput_tokens"),
    ];
    redactor(&options).span(&mut message);
    let data = decode(&message);
    let value = |key: &str| data.attribute(key).unwrap().clone();
    assert_eq!(value(names::TRACE_REQUEST_ID), REQUEST_ID);
    assert_eq!(value(names::SPAN_TYPE), "LLM");
    assert_eq!(value(names::SPAN_LOG_LEVEL), 20);
    assert_eq!(value(names::CHAT_TOKEN_USAGE), USAGE);
    assert_eq!(value("gen_ai.usage.[redacted]"), 10);
    assert_eq!(value("x"), REDACTED);
}

fn encoded(value: Value<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    crate::value::encode(&mut out, value);
    out
}

fn full_span() -> Vec<u8> {
    let mut message = span(&[
        (names::SPAN_INPUTS, Value::Json(r#"{"q": "hunter2"}"#)),
        (names::SPAN_OUTPUTS, Value::Str("hunter2")),
        ("custom", Value::Int(1)),
        ("mlflow.llm.model", Value::Str("gpt")),
        (
            "mlflow.llm.cost",
            Value::Json(r#"{"input_cost": 1e-05, "total_cost": null}"#),
        ),
        ("gen_ai.usage.output_tokens", Value::Int(3)),
        ("mlflow.experimentId", Value::Str("12")),
    ]);
    wire::bytes_field(&mut message, field::TRACE_STATE, b"v=hunter2");
    with_text_everywhere(message, "hunter2")
}

#[test]
fn without_content_a_skeleton_is_left() {
    let mut message = full_span();
    assert!(
        !redactor(&[("capture_content", "off")])
            .span(&mut message)
            .failed
    );
    assert!(!contains(&message, "hunter2"));
    let data = decode(&message);
    let kept = [
        (names::TRACE_REQUEST_ID, serde_json::json!(REQUEST_ID)),
        (names::SPAN_TYPE, "LLM".into()),
        (names::SPAN_LOG_LEVEL, 20.into()),
        (names::CHAT_TOKEN_USAGE, USAGE.into()),
        ("mlflow.llm.model", "gpt".into()),
        (
            "mlflow.llm.cost",
            r#"{"input_cost": 1e-05, "total_cost": null}"#.into(),
        ),
        ("gen_ai.usage.output_tokens", 3.into()),
        ("mlflow.experimentId", "12".into()),
    ];
    assert_eq!(
        data.attributes,
        kept.map(|(key, value)| (key.to_owned(), value))
    );
    assert_eq!((data.name.as_str(), data.start, data.end), ("name", 5, 9));
    assert_eq!((data.status_code, data.status_message.as_str()), (2, ""));
    let exception = &data.events[0];
    assert_eq!((exception.name.as_str(), exception.time), ("exception", 7));
    assert_eq!(
        exception.attributes,
        [(names::EXCEPTION_TYPE.into(), "ValueError".into())]
    );
    assert_eq!(data.links[0].span_id, b"87654321");
    assert!(data.links[0].attributes.is_empty());
}

#[test]
fn rules_hold_for_what_is_left_without_content() {
    let mut message = full_span();
    let options = [("capture_content", "off"), ("redact.patterns", "gpt|name")];
    redactor(&options).span(&mut message);
    let data = decode(&message);
    assert_eq!(data.attribute("mlflow.llm.model"), Some(&REDACTED.into()));
    assert_eq!(data.name, REDACTED);
}

#[test]
fn failing_closed_on_demand_keeps_the_frame() {
    let mut message = full_span();
    Redactor::fail_closed(&mut message);
    assert!(!contains(&message, "hunter2"));
    let data = decode(&message);
    let value = |key: &str| data.attribute(key).unwrap().clone();
    for key in [
        names::SPAN_INPUTS,
        names::SPAN_OUTPUTS,
        "custom",
        "mlflow.llm.model",
    ] {
        assert_eq!(value(key), FAILED);
    }
    assert_eq!(value(names::SPAN_TYPE), "LLM");
    assert_eq!(value(names::CHAT_TOKEN_USAGE), USAGE);
    assert_eq!(value(names::TRACE_REQUEST_ID), REQUEST_ID);
    assert_eq!((data.name.as_str(), data.start, data.end), ("name", 5, 9));
    assert_eq!(
        (data.status_code, data.status_message.as_str()),
        (2, FAILED)
    );
    let attributes = data.events[0]
        .attributes
        .iter()
        .chain(&data.links[0].attributes);
    assert!(
        attributes.clone().count() == 4 && attributes.clone().all(|(_, value)| value == FAILED)
    );
    let once = message.clone();
    Redactor::fail_closed(&mut message);
    assert!(message == once);
}

#[test]
fn updates_fall_under_the_same_rules() {
    let json = r#"{"tags": {"password": "x", "a": "secret", "the secret": "b", "mlflow.secret": "c"},
        "metadata": {"my_token": "x", "j": "{\"password\": 1}"}, "client_request_id": "secret-1",
        "request_preview": "{\"q\": \"x\"}", "response_preview": "y", "session_id": "s", "user": "u"}"#;
    let mut update = TraceUpdate::from_json(json).unwrap();
    let options = [
        PASSWORD[0],
        SECRET[0],
        ("redact.paths", "inputs.q, outputs"),
    ];
    let options = [&options[..], &[("capture_content", "on")]].concat();
    assert!(!redactor(&options).update(&mut update).failed);
    let expected = r#"{"tags": {"password": "[redacted]", "a": "[redacted]", "the [redacted]": "b", "mlflow.secret": "c"},
        "metadata": {"my_token": "[redacted]", "j": "{\"password\": \"[redacted]\"}"}, "client_request_id": "[redacted]-1",
        "request_preview": "{\"q\": \"[redacted]\"}", "response_preview": "[redacted]", "session_id": "s", "user": "u"}"#;
    assert_eq!(update, TraceUpdate::from_json(expected).unwrap());
    assert!(
        !redactor(&[("redact.keys", "*.user")])
            .update(&mut update)
            .failed
    );
    assert_eq!(update.user.as_deref(), Some(REDACTED));
}

#[test]
fn without_content_labels_stay_and_previews_go() {
    let json = r#"{"tags": {"a": "1"}, "metadata": {"b": "2", "mlflow.traceInputs": "x"},
        "request_preview": "x", "response_preview": "y", "session_id": "s", "client_request_id": "c"}"#;
    let mut update = TraceUpdate::from_json(json).unwrap();
    redactor(&[("capture_content", "off")]).update(&mut update);
    let expected = r#"{"tags": {"a": "1"}, "metadata": {"b": "2"}, "session_id": "s", "client_request_id": "c"}"#;
    assert_eq!(update, TraceUpdate::from_json(expected).unwrap());
}
