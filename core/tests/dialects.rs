//! The dialects: the vectors of `tests/vectors/dialects`, and that no JSON of any shape is too much.
#![allow(clippy::unwrap_used, clippy::panic)]

use mlflow_trace_core::{Dialect, ErrorKind};
use proptest::prelude::*;
use serde_json::{Value, json};

fn vectors(dialect: Dialect) -> Vec<Value> {
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/vectors/dialects");
    let text = std::fs::read_to_string(format!("{directory}/{}.json", dialect.name())).unwrap();
    serde_json::from_str(&text).unwrap()
}

fn parse(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// A text stands for itself, such as `[DONE]`.
fn text(event: &Value) -> String {
    event
        .as_str()
        .map_or_else(|| event.to_string(), str::to_owned)
}

fn fold(dialect: Dialect, events: &[Value]) -> Value {
    let texts: Vec<String> = events.iter().map(text).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    parse(&dialect.fold(&texts))
}

/// What comes out of a vector, or of anything in its place.
fn result(dialect: Dialect, vector: &Value) -> Value {
    if let Some(chunks) = vector["chunks"].as_array() {
        return fold(dialect, chunks);
    }
    match vector.get("request") {
        Some(request) => parse(&dialect.request(&request.to_string())),
        None => parse(&dialect.reply(&vector["reply"].to_string())),
    }
}

#[test]
fn vectors_of_every_dialect() {
    for dialect in Dialect::ALL {
        for vector in vectors(dialect) {
            let context = format!("{}: {}", dialect.name(), vector["name"]);
            assert_eq!(result(dialect, &vector), vector["expect"], "{context}");
        }
    }
}

#[test]
fn bodies_fold_as_their_events_do() {
    for dialect in Dialect::ALL {
        for vector in vectors(dialect) {
            let Some(chunks) = vector["chunks"].as_array() else {
                continue;
            };
            let lines = |before: &str, after: &str| -> String {
                let lines = chunks
                    .iter()
                    .map(|event| format!("{before}{}{after}", text(event)));
                lines.collect()
            };
            let listed = |event: &Value| event.as_array().cloned().unwrap_or(vec![event.clone()]);
            let events = chunks.iter().flat_map(listed).filter(Value::is_object);
            for body in [
                lines("", "\n"),
                lines("event: x\r\nid: 7\r\ndata: ", "\r\n\r\n"),
                lines("data:", "\n\n") + "data: {\"cut",
                format!("{:#}", Value::Array(events.collect())),
            ] {
                let context = format!("{}: {}: {body}", dialect.name(), vector["name"]);
                assert_eq!(
                    parse(&dialect.fold_body(&body)),
                    vector["expect"],
                    "{context}"
                );
            }
        }
    }
}

/// So that a reply without a stream can go the same way.
#[test]
fn a_whole_reply_folds_to_itself() {
    for dialect in Dialect::ALL {
        for vector in vectors(dialect) {
            let whole = &vector["expect"];
            if vector.get("chunks").is_some() && whole.is_object() {
                let context = format!("{}: {}", dialect.name(), vector["name"]);
                assert_eq!(
                    &fold(dialect, std::slice::from_ref(whole)),
                    whole,
                    "{context}"
                );
            }
        }
    }
}

#[test]
fn an_error_in_a_stream_is_told() {
    for dialect in Dialect::ALL {
        for vector in vectors(dialect) {
            let told = parse(&dialect.reply(&vector["expect"].to_string()));
            let is_error = !vector["expect"]["error"].is_null();
            assert_eq!(is_error, told.get("error").is_some(), "{}", vector["name"]);
        }
    }
}

#[test]
fn only_names_that_do_not_exist_are_errors() {
    for dialect in Dialect::ALL {
        assert_eq!(dialect.name().parse::<Dialect>().unwrap(), dialect);
    }
    let error = "openai".parse::<Dialect>().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    assert!(error.message().contains("openai.chat"));
}

#[test]
fn depth_hides_nothing_beside_it() {
    let deep = format!("{}1{}", "{\"a\": [".repeat(5000), "]}".repeat(5000));
    let request = format!(r#"{{"messages": {deep}, "model": "m", "tools": [{{"type": "x"}}]}}"#);
    let told = parse(&Dialect::OpenAiChat.request(&request));
    assert_eq!(told["model"], "m");
    assert_eq!(told["tools"][0]["function"]["name"], "x");
    let tool = format!(r#"{{"model": "m", "tools": [{{"name": "t", "input_schema": {deep}}}]}}"#);
    let told = parse(&Dialect::Anthropic.request(&tool));
    assert_eq!(told["tools"][0]["function"]["name"], "t");
    let chunk =
        format!(r#"{{"choices": [{{"delta": {{"content": "Hi", "x": {deep}}}}}], "y": {deep}}}"#);
    let folded = parse(&Dialect::OpenAiChat.fold(&[&chunk, &chunk]));
    assert_eq!(folded["choices"][0]["message"]["content"], "HiHi");
}

/// JSON of any shape.
fn anything() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,3}".prop_map(Value::from),
        Just(json!(format!("{}{}", "[".repeat(40), "]".repeat(40)))),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::hash_map("index|id|type|text|.{0,2}", inner, 0..4)
                .prop_map(|members| members.into_iter().collect()),
        ]
    })
}

/// The number of values in a value, with itself.
fn size(value: &Value) -> usize {
    1 + match value {
        Value::Array(items) => items.iter().map(size).sum(),
        Value::Object(members) => members.values().map(size).sum(),
        _ => 0,
    }
}

/// Puts `other` in the place of the value with this number.
fn replace(value: &mut Value, at: &mut usize, other: &Value) {
    if *at == 0 {
        *value = other.clone();
    }
    *at = at.wrapping_sub(1);
    match value {
        Value::Array(items) => items.iter_mut().for_each(|item| replace(item, at, other)),
        Value::Object(members) => {
            members
                .values_mut()
                .for_each(|item| replace(item, at, other));
        }
        _ => {}
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// A provider changes anything anywhere, and a stream ends anywhere: there is a result, which is JSON.
    #[test]
    fn any_shape_has_a_result(
        dialect in prop::sample::select(Dialect::ALL.to_vec()),
        vector in any::<prop::sample::Index>(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), anything()), 0..4),
        end in any::<prop::sample::Index>(),
    ) {
        let vectors = vectors(dialect);
        let mut vector = vectors[vector.index(vectors.len())].clone();
        for key in ["request", "reply", "chunks"] {
            let Some(given) = vector.get_mut(key) else { continue };
            for (at, other) in &changes {
                replace(given, &mut at.index(size(given)), other);
            }
            if let Value::Array(chunks) = given {
                let length = end.index(chunks.len() + 1);
                chunks.truncate(length);
            }
        }
        let folded = result(dialect, &vector);
        let told = parse(&dialect.reply(&folded.to_string()));
        prop_assert!(told.is_object());
        if let Some(usage) = told.get("usage") {
            for sum in ["input_tokens", "output_tokens", "total_tokens"] {
                prop_assert!(usage[sum].is_u64());
            }
        }
    }

    #[test]
    fn any_text_has_a_result(
        dialect in prop::sample::select(Dialect::ALL.to_vec()),
        text in ".{0,40}",
    ) {
        prop_assert_eq!(dialect.request(&text), "{}");
        prop_assert_eq!(dialect.reply(&text), "{}");
        prop_assert_eq!(dialect.fold(&[&text]), "null");
    }
}
