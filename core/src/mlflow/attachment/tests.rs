//! Decisions are those of MLflow 3.17.2; `tests/parity/test_attachments.py` compares with it.

use std::collections::HashSet;

use serde_json::{Value, json};

use super::*;
use crate::mlflow::keys;
use crate::otlp::reader::{SpanData, spans as spans_of};
use crate::otlp::{SCOPE_SPANS_SPANS, span as field, wire};
use crate::value::{Value as Attribute, encode_key_value};

fn trace_id() -> TraceId {
    TraceId::from_mlflow("tr-60bb8248686d49c825a234fd46dc12fc").unwrap()
}

/// What a value's text becomes, and the attachments that were found, with `<n>` for the n-th reference.
fn extracted(text: &str, limit: usize) -> (Edit, Vec<(String, Vec<u8>)>) {
    let mut found = Vec::new();
    let mut edit = shapes::extract(text, &trace_id(), limit, &mut found);
    for (index, attachment) in found.iter().enumerate() {
        let text = edit.text.take().unwrap();
        edit.text = Some(text.replace(&attachment.uri(&trace_id()), &format!("<{index}>")));
    }
    let found = found
        .into_iter()
        .map(|attachment| (attachment.content_type, attachment.bytes.to_vec()))
        .collect();
    (edit, found)
}

#[test]
fn ids_are_uuids_of_version_4() {
    let ids: HashSet<String> = (0..1000).map(|_| uuid4()).collect();
    assert_eq!(ids.len(), 1000);
    for id in ids {
        let parts: Vec<&str> = id.split('-').collect();
        let lengths: Vec<usize> = parts.iter().map(|part| part.len()).collect();
        assert_eq!(lengths, [8, 4, 4, 4, 12]);
        assert!(parts[2].starts_with('4'), "{id}");
        assert!(parts[3].starts_with(['8', '9', 'a', 'b']), "{id}");
    }
}

#[test]
fn the_reference_names_type_trace_and_size() {
    let attachment = Attachment::new("image/svg+xml; charset=é~_.-*", b"abc");
    assert_eq!(
        attachment.uri(&trace_id()),
        format!(
            "mlflow-attachment://{}?content_type=image%2Fsvg%2Bxml%3B+charset%3D%C3%A9~_.-%2A\
             &trace_id=tr-60bb8248686d49c825a234fd46dc12fc&size=3",
            attachment.id()
        )
    );
}

#[test]
fn every_known_shape() {
    let text = |value: Value| value.to_string();
    for (before, after, content_type) in [
        (
            "data:text/plain;charset=x;base64,YWJj".to_owned(),
            "<0>".to_owned(),
            "text/plain;charset=x",
        ),
        (
            text(json!([1, "data:image/png;base64,YWJj"])),
            text(json!([1, "<0>"])),
            "image/png",
        ),
        (
            text(json!({"type": "input_audio", "input_audio": {"data": "YWJj", "format": "mp3"}})),
            text(json!({"type": "input_audio", "input_audio": {"data": "<0>", "format": "mp3"}})),
            "audio/mpeg",
        ),
        (
            text(json!({"type": "input_audio", "input_audio": {"data": "YWJj"}})),
            text(json!({"type": "input_audio", "input_audio": {"data": "<0>"}})),
            "audio/wav",
        ),
        (
            text(
                json!({"type": "image", "source": {"type": "base64", "media_type": "image/gif", "data": "YWJj"}}),
            ),
            text(
                json!({"type": "image", "source": {"type": "base64", "media_type": "image/gif", "data": "<0>"}}),
            ),
            "image/gif",
        ),
        (
            text(json!({"data": [{"b64_json": "YWJj", "url": null}]})),
            text(json!({"data": [{"b64_json": "<0>", "url": null}]})),
            "image/png",
        ),
        (
            text(json!({"audio": {"id": 1, "data": "YWJj"}})),
            text(json!({"audio": {"id": 1, "data": "<0>"}})),
            "audio/wav",
        ),
        (
            text(json!({"image": {"format": "webp", "source": {"bytes": "YWJj"}}})),
            text(json!({"image": {"format": "webp", "source": {"bytes": "<0>"}}})),
            "image/webp",
        ),
        (
            text(json!({"inline_data": {"mime_type": null, "data": "YWJj"}})),
            text(json!({"inline_data": {"mime_type": null, "data": "<0>"}})),
            "application/octet-stream",
        ),
        (
            text(json!({"inline_data": {"mime_type": "x/y", "data": "b'a\\x62c'"}})),
            text(json!({"inline_data": {"mime_type": "x/y", "data": "<0>"}})),
            "x/y",
        ),
        (
            text(json!({"type": "image_generation_call", "result": "YWJj", "output_format": ""})),
            text(json!({"type": "image_generation_call", "result": "<0>", "output_format": ""})),
            "image/png",
        ),
    ] {
        let (edit, found) = extracted(&before, usize::MAX);
        assert_eq!(edit.text.as_deref(), Some(after.as_str()), "{before}");
        assert_eq!(found, [(content_type.to_owned(), b"abc".to_vec())]);
    }
}

#[test]
fn what_is_left_alone() {
    for text in [
        "",
        "data:image/png,YWJj",
        "data:;base64,YWJj",
        "see data:image/png;base64,YWJj",
        "DATA:image/png;base64,YWJj",
        r#"{"b64_json": ""}"#,
        r#"{"b64_json": 3}"#,
        r#"{"b64_json": "YWJ"}"#,
        r#"{"b64_json": "YW Jj"}"#,
        r#"{"b64_json": "YWJj\n"}"#,
        r#"{"b64_json": "YW-_"}"#,
        r#"{"b64_json": "YWJj="}"#,
        r#"{"b64_json": "YQ==YQ=="}"#,
        r#"{"b64_json": "mlflow-attachment://x"}"#,
        r#"{"type": "image", "source": {"type": "url", "data": "YWJj"}}"#,
        r#"{"type": "audio", "input_audio": {"data": "YWJj"}}"#,
        r#"{"audio": "YWJj", "image": {"bytes": "YWJj"}, "result": "YWJj"}"#,
        r#"{"inline_data": {"data": "b'a\\q'"}}"#,
        r#"{"b64_json": "YWJj""#,
        r#"{"data:image/png;base64,YWJj": 1}"#,
    ] {
        let (edit, found) = extracted(text, usize::MAX);
        assert_eq!((edit, found), (Edit::default(), vec![]), "{text}");
    }
}

#[test]
fn all_else_in_the_text_stays_as_it_was_recorded() {
    let before = r#"{ "n":1e5,"big":123456789012345678901, "b64_json" :"YWJj","k":1,"k":2,
        "l":["\u00e9","data:a\/b;base64,YQ=="] }"#;
    let after = r#"{ "n":1e5,"big":123456789012345678901, "b64_json" :"<0>","k":1,"k":2,
        "l":["\u00e9","<1>"] }"#;
    let (edit, found) = extracted(before, usize::MAX);
    assert_eq!(edit.text.as_deref(), Some(after));
    assert_eq!(found[1], ("a/b".to_owned(), b"a".to_vec()));
}

#[test]
fn an_object_has_two_shapes_at_most_and_a_broken_one_ends_the_search() {
    let three = json!({"audio": {"data": "YQ=="}, "image": {"source": {"bytes": "Yg=="}}, "inline_data": {"data": "Yw=="}});
    let (edit, found) = extracted(&three.to_string(), usize::MAX);
    let expected = json!({"audio": {"data": "<0>"}, "image": {"source": {"bytes": "<1>"}}, "inline_data": {"data": "Yw=="}});
    assert_eq!(edit.text.unwrap(), expected.to_string());
    assert_eq!(found.len(), 2);
    for alone in [
        json!({"b64_json": "YQ==", "audio": {"data": "YQ=="}}),
        json!({"audio": {"data": "YQ=="}, "image": {"source": {"bytes": "?"}}}),
    ] {
        assert_eq!(extracted(&alone.to_string(), usize::MAX).1.len(), 1);
    }
    let broken = json!({"b64_json": "?", "audio": {"data": "YQ=="}});
    assert_eq!(extracted(&broken.to_string(), usize::MAX).1, []);
}

#[test]
fn bits_after_the_last_byte_do_not_matter() {
    for (text, bytes) in [
        ("YR==", b"a".as_slice()),
        ("YWJ=", b"ab"),
        ("/+==", b"\xff"),
    ] {
        let (_, found) = extracted(&json!({"b64_json": text}).to_string(), usize::MAX);
        assert_eq!(found[0].1, bytes, "{text}");
    }
}

/// A span with these inputs, as it is on the wire.
fn span(inputs: Attribute<'_>, level: i64) -> Vec<u8> {
    let mut run = Vec::new();
    wire::message_field(&mut run, SCOPE_SPANS_SPANS, |out| {
        encode_key_value(out, field::ATTRIBUTES, keys::SPAN_INPUTS, inputs);
        let level = Attribute::Int(level);
        encode_key_value(out, field::ATTRIBUTES, keys::SPAN_LOG_LEVEL, level);
        let other = Attribute::Str("data:a/b;base64,YQ==");
        encode_key_value(out, field::ATTRIBUTES, "other", other);
        wire::bytes_field(out, field::NAME, b"name");
        wire::fixed64_field(out, field::END, 7);
        wire::message_field(out, field::STATUS, |out| wire::varint_field(out, 3, 1));
    });
    run
}

fn decoded(run: &[u8]) -> Vec<SpanData> {
    spans_of(run)
        .map(|span| SpanData::decode(span).unwrap())
        .collect()
}

#[test]
fn only_inputs_and_outputs_of_candidates_change() {
    let image = Attribute::Json(r#"{"b64_json": "YWJj"}"#);
    let plain = span(Attribute::Str("plain base64"), 20);
    let unreadable = [0x12, 0x7f, 1];
    let mut run = [plain.clone(), span(image, 20)].concat();
    run.extend_from_slice(&unreadable);
    let (changed, found) = extract(&run, &trace_id(), 3).unwrap();
    assert!(changed.starts_with(&plain) && changed.ends_with(&unreadable));
    let (before, after) = (decoded(&run), decoded(&changed));
    let reference = json!({"b64_json": found[0].uri(&trace_id())});
    let inputs: Value = serde_json::from_str(
        after[1]
            .attribute(keys::SPAN_INPUTS)
            .unwrap()
            .as_str()
            .unwrap(),
    )
    .unwrap();
    assert_eq!(inputs, reference);
    let rest = |span: &SpanData| SpanData {
        attributes: (span.attributes.iter())
            .filter(|(key, _)| key != keys::SPAN_INPUTS)
            .cloned()
            .collect(),
        ..span.clone()
    };
    assert_eq!(rest(&after[1]), rest(&before[1]));
    assert!(extract(&changed, &trace_id(), 3).is_none());
    assert!(extract(&plain, &trace_id(), 3).is_none());
}

#[test]
fn native_lists_become_their_json_text() {
    let items = [Attribute::Int(1), Attribute::Str("data:a/b;base64,YQ==")];
    let (changed, found) = extract(&span(Attribute::Array(&items), 20), &trace_id(), 9).unwrap();
    let expected = format!(r#"[1, "{}"]"#, found[0].uri(&trace_id()));
    let spans = decoded(&changed);
    assert_eq!(
        spans[0].attribute(keys::SPAN_INPUTS),
        Some(&expected.into())
    );
}

#[test]
fn what_is_too_large_is_discarded_and_fails_its_span() {
    let placeholder = "[Attachment too large: 3 bytes exceeds 2 bytes limit]";
    let problem = "Attachment too large (3 bytes > 2 bytes limit). Content discarded.";
    let image = Attribute::Json(r#"[{"b64_json": "YWJj"}, {"b64_json": "YWI="}]"#);
    for (level, raised) in [(20, 40), (50, 50)] {
        let (changed, found) = extract(&span(image, level), &trace_id(), 2).unwrap();
        let span = &decoded(&changed)[0];
        assert_eq!(found.len(), 1);
        let uri = found[0].uri(&trace_id());
        let inputs = format!(r#"[{{"b64_json": "{placeholder}"}}, {{"b64_json": "{uri}"}}]"#);
        assert_eq!(span.attribute(keys::SPAN_INPUTS), Some(&inputs.into()));
        assert_eq!(
            span.attribute(keys::SPAN_LOG_LEVEL),
            Some(&Value::from(raised))
        );
        assert_eq!(span.status_code, 2);
        assert_eq!(span.status_message, format!("Exception: {problem}"));
        let event = &span.events[0];
        assert_eq!((event.name.as_str(), event.time), ("exception", 7));
        let attributes: Value = Value::Object(event.attributes.iter().cloned().collect());
        assert_eq!(
            attributes,
            json!({
                "exception.message": problem,
                "exception.type": "Exception",
                "exception.stacktrace": format!("Exception: {problem}"),
            })
        );
    }
}

#[test]
fn explicit_attachments_can_be_put_inline_or_discarded() {
    let small = Attachment::new("a/\"b\"", b"a");
    let large = Attachment::new("c/d", b"abc");
    let (small_uri, large_uri) = (small.uri(&trace_id()), large.uri(&trace_id()));
    // As JSON that is too deep holds it.
    let deep = json!({ "a": small_uri }).to_string();
    let text = json!({"small": small_uri, "large": large_uri, "deep": deep}).to_string();
    // As some hosts write JSON.
    let text = text.replace('&', "\\u0026");
    let mut attachments = vec![small, large, Attachment::new("e/f", b"abcd")];
    let run = span(Attribute::Json(&text), 20);
    drop_unreferenced(&run, &mut attachments);
    assert_eq!(attachments.len(), 2);
    let run = discard_oversized(&run, &trace_id(), 2, &mut attachments).unwrap();
    assert_eq!(attachments.len(), 1);
    assert!(discard_oversized(&run, &trace_id(), 2, &mut attachments).is_none());
    let run = put_inline(&run, &trace_id(), &attachments).unwrap();
    let span = &decoded(&run)[0];
    assert_eq!(span.status_code, 2);
    let text = span.attribute(keys::SPAN_INPUTS).unwrap().as_str().unwrap();
    let inputs: Value = serde_json::from_str(text).unwrap();
    assert_eq!(inputs["small"], "data:a/\"b\";base64,YQ==");
    assert_eq!(
        inputs["large"],
        "[Attachment too large: 3 bytes exceeds 2 bytes limit]"
    );
    assert!(inputs["deep"].as_str().unwrap().contains("base64,YQ=="));
}

#[test]
fn what_was_extracted_goes_back_in_the_form_that_it_had() {
    for text in [
        r#"{"b64_json": "YWJj", "l": ["data:a/b;base64,YQ=="]}"#,
        "data:a/b;base64,YQ==",
    ] {
        let run = span(Attribute::Str(text), 20);
        let (changed, found) = extract(&run, &trace_id(), usize::MAX).unwrap();
        assert_eq!(put_inline(&changed, &trace_id(), &found), Some(run));
    }
}

#[test]
fn truncated_spans_are_passed_on() {
    let run = span(Attribute::Json(r#"{"b64_json": "YWJj"}"#), 20);
    for end in 0..run.len() {
        assert!(extract(&run[..end], &trace_id(), usize::MAX).is_none());
    }
    let mut broken = Vec::new();
    let message = &run[2..run.len() - 1];
    wire::bytes_field(&mut broken, SCOPE_SPANS_SPANS, message);
    assert!(extract(&broken, &trace_id(), usize::MAX).is_none());
}
