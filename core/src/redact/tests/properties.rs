//! What holds for any span: the canary is gone, and redacting again changes nothing.

use proptest::prelude::*;
use serde_json::{Map, Value as Json};

use super::*;

/// Neither a tag of protobuf nor a part of any number.
const CANARY: &str = "~~~~canary~~~~~~~~~~~~";
const PATTERN: &[(&str, &str)] = &[("redact.patterns", "~~~~canary~+")];
const KEYS: &[(&str, &str)] = &[("redact.keys", "*canary*")];

/// A place for the canary or not.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        Just(CANARY.to_owned()),
        Just(format!("\n\"{CANARY}\\")),
        "[a-z\"\\\\\u{e9}]{0,6}",
    ]
}

/// JSON with canaries in strings, keys and JSON inside strings.
fn json() -> impl Strategy<Value = Json> {
    let leaf = prop_oneof![
        text().prop_map(Json::from),
        any::<i64>().prop_map(Json::from),
        Just(Json::Null),
    ];
    leaf.prop_recursive(5, 40, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Json::from),
            prop::collection::vec((text(), inner.clone()), 0..4)
                .prop_map(|members| Json::Object(members.into_iter().collect())),
            inner.prop_map(|value| Json::String(value.to_string())),
        ]
    })
}

/// JSON with canaries under keys that name them, and nowhere else.
fn keyed() -> impl Strategy<Value = Json> {
    let leaf = prop_oneof![
        "[a-z]{0,3}".prop_map(Json::from),
        any::<i64>().prop_map(Json::from)
    ];
    leaf.prop_recursive(5, 40, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Json::from),
            (inner.clone(), text()).prop_map(|(value, secret)| {
                serde_json::json!({"a": value, "my_CANARY": [secret, CANARY], "b": 1})
            }),
            inner.prop_map(|value| Json::String(value.to_string())),
        ]
    })
}

/// The text of JSON, in which every other character may be escaped.
fn escaped(value: &Json, mask: u64) -> String {
    let text = value.to_string();
    let mut out = String::new();
    let (mut in_string, mut after_backslash) = (false, false);
    for (index, c) in text.chars().enumerate() {
        let plain = in_string && !after_backslash && c != '"' && c != '\\' && c.is_ascii();
        if plain && mask >> (index % 64) & 1 == 1 {
            out.push_str(&format!("\\u{:04x}", c as u32));
            continue;
        }
        in_string ^= c == '"' && !after_backslash;
        after_backslash = in_string && c == '\\' && !after_backslash;
        out.push(c);
    }
    assert_eq!(serde_json::from_str::<Json>(&out).unwrap(), *value);
    out
}

/// Whether a text or key anywhere in the value holds the canary, once all that is JSON is read.
fn leaks(value: &Json, canary: &str) -> bool {
    match value {
        Json::String(text) => {
            text.contains(canary)
                || serde_json::from_str(text).is_ok_and(|inner: Json| leaks(&inner, canary))
        }
        Json::Array(items) => items.iter().any(|item| leaks(item, canary)),
        Json::Object(members) => members
            .iter()
            .any(|(key, item)| key.contains(canary) || leaks(item, canary)),
        _ => false,
    }
}

fn all_texts(data: &SpanData) -> Json {
    let object = |attributes: &[(String, Json)]| attributes.iter().cloned().collect::<Map<_, _>>();
    let events = data.events.iter();
    serde_json::json!({
        "name": data.name,
        "status": data.status_message,
        "trace_state": data.trace_state,
        "attributes": object(&data.attributes),
        "events": events.map(|event| serde_json::json!([event.name, object(&event.attributes)])).collect::<Json>(),
        "links": data.links.iter().map(|link| object(&link.attributes)).collect::<Vec<_>>(),
    })
}

/// A span that holds the value as JSON text and in native form.
fn span_of(value: &Json, mask: u64, key: &str) -> Vec<u8> {
    let text = escaped(value, mask);
    let mut message = span(&[
        (key, Value::Str(&text)),
        (names::SPAN_OUTPUTS, Value::Str(&text)),
    ]);
    wire::message_field(&mut message, field::EVENTS, |out| {
        wire::bytes_field(out, 2, b"event");
        encode_native_key_value(out, 3, "native", Value::Json(&text));
    });
    message
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn no_text_matches_a_pattern_afterwards(value in json(), mask: u64, key in text(), name in text()) {
        let mut message = span_of(&value, mask, &format!("k{key}"));
        wire::bytes_field(&mut message, field::NAME, name.as_bytes());
        let message = &mut with_text_everywhere(message, CANARY);
        let redactor = redactor(PATTERN);
        redactor.span(message);
        prop_assert!(!leaks(&all_texts(&decode(message)), CANARY));
        let once = message.clone();
        redactor.span(message);
        prop_assert!(*message == once);
    }

    #[test]
    fn no_value_of_a_key_survives(value in keyed(), mask: u64) {
        let mut message = span_of(&value, mask, names::SPAN_INPUTS);
        prop_assert!(!redactor(KEYS).span(&mut message).failed);
        prop_assert!(!leaks(&all_texts(&decode(&message)), CANARY));
    }

    #[test]
    fn members_beside_a_redacted_one_keep_their_text(numbers in prop::collection::vec("-?[1-9][0-9]{0,40}(\\.[0-9]{1,30})?([eE][+-]?[0-9]{1,4})?", 1..5)) {
        let list = numbers.join(" ,\n");
        let text = |value: &str| format!("{{\"n\":[{list}], \"canary\":{value}, \"m\" : {}}}", numbers[0]);
        prop_assert_eq!(redact_inputs(KEYS, &text(&list.replace('\n', "").replace(" ,", ""))), text("\"[redacted]\""));
    }

    #[test]
    fn bytes_never_leak(before in prop::collection::vec(any::<u8>(), 0..40), after in prop::collection::vec(any::<u8>(), 0..40)) {
        let noise = [&before, CANARY.as_bytes(), &after].concat();
        let mut message = noise.clone();
        redactor(PATTERN).span(&mut message);
        prop_assert!(!contains(&message, CANARY));
        prop_assert!(!contains(&skeleton::bare(&noise), CANARY));
    }

    #[test]
    fn damaged_spans_never_leak(value in json(), at: prop::sample::Index, byte: u8, cut: prop::sample::Index) {
        let whole = with_text_everywhere(span_of(&value, 0, "k"), CANARY);
        let mut damaged = whole.clone();
        let at = at.index(damaged.len());
        damaged[at] = byte;
        let mut short = whole[..cut.index(whole.len())].to_vec();
        for (options, message) in [(PATTERN, &mut damaged), (PATTERN, &mut short)] {
            redactor(options).span(message);
            prop_assert!(!SpanData::decode(message).is_ok_and(|data| leaks(&all_texts(&data), CANARY)));
        }
    }

    #[test]
    fn failing_closed_leaves_nothing_but_names(value in json(), cut: prop::sample::Index, mask: u64) {
        let whole = with_text_everywhere(span_of(&value, mask, "k"), CANARY);
        let mut message = whole.clone();
        Redactor::fail_closed(&mut message);
        prop_assert!(!contains(&message, CANARY));
        let mut short = whole[..cut.index(whole.len())].to_vec();
        Redactor::fail_closed(&mut short);
        prop_assert!(!contains(&short, CANARY));
        prop_assert!(SpanData::decode(&short).is_ok());
    }
}
