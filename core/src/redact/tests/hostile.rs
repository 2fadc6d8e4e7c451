//! Input that was made to break rules, or that broke on its way.

use super::*;

#[test]
fn json_that_cannot_be_read_is_given_up_when_it_names_what_is_asked_for() {
    for text in [
        r#"{"password": "hunter2", "rest": "cut of"#,
        r#"{"a": "{\"password\": \"hunter2\", "#,
        "{'password' : 'hunter2'}",
        "{\"a\": 1}\n{\"password\": \"hunter2\"}",
        r#"[He said "hi] {"p\u0061ssword": "hunter2"}"#,
    ] {
        let redacted = redact_value(PASSWORD, "x", Value::Str(text));
        assert_eq!(redacted, (FAILED.into(), true), "{text}");
    }
    let paths = [("redact.paths", "inputs.messages[*].content")];
    let cut = r#"{"messages": [{"role": "user", "content": "hunt"#;
    let redacted = redact_value(&paths, names::SPAN_INPUTS, Value::Str(cut));
    assert_eq!(redacted, (FAILED.into(), true));
    for harmless in [
        "[INFO] the password is wrong",
        r#"{"messages": [{"role": "us"#,
    ] {
        let options = [PASSWORD[0], paths[0]];
        assert_eq!(redact_inputs(&options, harmless), harmless);
    }
}

#[test]
fn what_only_looks_like_bookkeeping_is_content() {
    let options = [("redact.keys", "*"), ("capture_content", "off")];
    for (key, value) in [
        (
            names::CHAT_TOKEN_USAGE,
            Value::Str(r#"{"input_tokens": "hunter2", "input_tokens": 1}"#),
        ),
        (names::CHAT_TOKEN_USAGE, Value::Str(r#"{"hunter2": 1}"#)),
        (names::TRACE_REQUEST_ID, Value::Str("tr-hunter2")),
        (names::SPAN_LOG_LEVEL, Value::Str("hunter2")),
        (names::SPAN_TYPE, Value::Json(r#"["LLM"]"#)),
        ("gen_ai.usage.x", Value::Str("hunter2")),
    ] {
        for option in options {
            let mut message = span(&[]);
            wire::message_field(&mut message, field::ATTRIBUTES, |out| {
                wire::bytes_field(out, 2, &encoded(value));
                wire::bytes_field(out, 1, key.as_bytes());
            });
            assert!(!redactor(&[option]).span(&mut message).failed);
            assert!(!contains(&message, "hunter2"), "{option:?} {key}");
        }
    }
}

#[test]
fn an_attribute_with_two_keys_falls_under_the_rules_of_both() {
    for keys in [
        ["password", "x"],
        ["x", "password"],
        ["password", names::SPAN_TYPE],
    ] {
        let mut message = span(&[]);
        wire::message_field(&mut message, field::ATTRIBUTES, |out| {
            wire::bytes_field(out, 1, keys[0].as_bytes());
            wire::bytes_field(out, 2, &encoded(Value::Str("hunter2")));
            wire::bytes_field(out, 1, keys[1].as_bytes());
        });
        redactor(PASSWORD).span(&mut message);
        assert!(!contains(&message, "hunter2"), "{keys:?}");
    }
}

#[test]
fn fields_that_cannot_be_looked_into_are_dropped() {
    let mut message = span(&[]);
    let known = message.len();
    // An unknown field, a time that is a text, an id that is too long, a member of no known kind.
    wire::bytes_field(&mut message, 100, b"hunter2");
    wire::bytes_field(&mut message, field::START, b"hunter2");
    wire::bytes_field(&mut message, field::PARENT_SPAN_ID, b"hunter2 hunter2");
    let before = message[..known].to_vec();
    assert!(!redactor(PASSWORD).span(&mut message).failed);
    assert!(message == before);
    let mut value = Vec::new();
    wire::bytes_field(&mut value, 99, b"hunter2");
    wire::message_field(&mut message, field::ATTRIBUTES, |out| {
        wire::bytes_field(out, 1, b"k");
        wire::bytes_field(out, 2, &value);
        wire::bytes_field(out, 7, b"hunter2");
    });
    redactor(PASSWORD).span(&mut message);
    assert!(!contains(&message, "hunter2"));
    assert_eq!(
        decode(&message).attribute("k"),
        Some(&serde_json::Value::Null)
    );
}

#[test]
fn text_that_is_no_utf8_is_matched_as_it_is_read() {
    let mut message = span(&[]);
    wire::message_field(&mut message, field::ATTRIBUTES, |out| {
        wire::bytes_field(out, 1, b"k\xff");
        wire::message_field(out, 2, |out| {
            wire::bytes_field(out, any_value::STRING, b"\xff secret")
        });
    });
    redactor(SECRET).span(&mut message);
    let data = decode(&message);
    assert_eq!(
        data.attribute("k\u{fffd}"),
        Some(&"\u{fffd} [redacted]".into())
    );
    let lone = r#"{"a": "\ud800 secret", "b": "\udc00"}"#;
    assert_eq!(
        redact_inputs(SECRET, lone),
        "{\"a\": \"\u{fffd}\u{fffd}\u{fffd} [redacted]\", \"b\": \"\\udc00\"}"
    );
}

#[test]
fn json_of_any_depth_is_walked_and_beyond_memory_given_up() {
    let deep = |depth: usize| format!("{}\"secret\"{}", "[".repeat(depth), "]".repeat(depth));
    let text = deep(100_000);
    assert_eq!(
        redact_inputs(SECRET, &text),
        text.replace("secret", REDACTED)
    );
    // As the engine writes it: what is too deep becomes a string that holds its text.
    let objects = format!(
        "{}\"hunter2\"{}",
        "{\"password\": ".repeat(500),
        "}".repeat(500)
    );
    let limited = Value::Json(&objects);
    let inner = [("redact.paths", "inputs..password.password.password")];
    for options in [PASSWORD, &inner] {
        let (value, failed) = redact_value(options, names::SPAN_INPUTS, limited);
        assert!(!failed && !value.as_str().unwrap().contains("hunter2"));
    }
    let redacted = redact_value(SECRET, "x", Value::Str(&deep(200_000)));
    assert_eq!(redacted, (FAILED.into(), true));
    let open = "[".repeat(1000);
    assert_eq!(redact_inputs(SECRET, &open), open);
}

#[test]
fn json_within_json_is_followed_for_sixteen_levels() {
    let nested = |levels: usize| {
        let mut text = "{\"k\": \"secret\"}".to_owned();
        for _ in 0..levels {
            // Quotes written so that escapes do not double.
            let escaped = text.replace('\\', "\\u005c").replace('"', "\\u0022");
            text = format!("[\"{escaped}\"]");
        }
        text
    };
    for (levels, fails) in [(3, false), (15, false), (17, true), (300, true)] {
        let (value, failed) = redact_value(SECRET, "x", Value::Str(&nested(levels)));
        assert_eq!(failed, fails, "{levels}");
        assert!(!value.as_str().unwrap().contains("secret"));
        assert_eq!(value.as_str().unwrap().contains(FAILED), fails);
    }
}

#[test]
fn members_nested_too_deeply_in_native_form_are_given_up() {
    let mut value = encoded(Value::Str("hunter2"));
    for _ in 0..100 {
        let mut outer = Vec::new();
        wire::message_field(&mut outer, any_value::ARRAY, |out| {
            wire::bytes_field(out, 1, &value)
        });
        value = outer;
    }
    let mut message = span(&[]);
    wire::message_field(&mut message, field::ATTRIBUTES, |out| {
        wire::bytes_field(out, 1, b"k");
        wire::bytes_field(out, 2, &value);
    });
    assert!(redactor(PASSWORD).span(&mut message).failed);
    assert!(!contains(&message, "hunter2") && contains(&message, FAILED));
}

#[test]
fn what_is_no_protobuf_keeps_ids_and_times() {
    let whole = with_text_everywhere(span(&[("k", Value::Str("hunter2"))]), "hunter2");
    let mut message = whole.clone();
    message.truncate(whole.len() - 3);
    assert_eq!(
        redactor(PASSWORD).span(&mut message),
        Outcome { failed: true }
    );
    let data = decode(&message);
    assert_eq!(
        (data.trace_id, data.start, data.end),
        (TRACE_ID.to_vec(), 5, 9)
    );
    assert_eq!(data.name, FAILED);
    let kept = [
        (names::TRACE_REQUEST_ID, REQUEST_ID),
        (names::SPAN_TYPE, "UNKNOWN"),
    ];
    assert_eq!(
        data.attributes,
        kept.map(|(key, value)| (key.into(), value.into()))
    );
}

#[test]
fn a_panic_fails_closed() {
    let broken = Redactor {
        captures_content: true,
        rules: Some(Rules {
            keys: None,
            paths: Paths::broken(),
            patterns: None,
        }),
    };
    let mut message = span(&[("k", Value::Str("hunter2"))]);
    assert!(broken.span(&mut message).failed);
    assert!(!contains(&message, "hunter2"));
    assert_eq!(decode(&message).span_id, b"12345678");
    let json = r#"{"request_preview": "hunter2", "tags": {"a": "hunter2"}, "state": "ERROR"}"#;
    let mut update = TraceUpdate::from_json(json).unwrap();
    assert!(broken.update(&mut update).failed);
    let state = Some(TraceState::Error);
    assert_eq!(
        update,
        TraceUpdate {
            state,
            ..TraceUpdate::default()
        }
    );
}
