//! The headers of W3C Trace Context level 2 and W3C Baggage: the rules of the recommendations, case by case, and
//! what must hold for any headers at all. `tests/w3c/cases.json` holds the cases that all languages share.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::sync::Arc;

use mlflow_trace_core::{
    Baggage, ErrorKind, Parent, SpanContext, SpanId, SpanStart, TraceId, extract, extract_baggage,
    extract_headers, inject, inject_baggage,
};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use reqwest::header::{HeaderMap, HeaderValue};
use serde_json::Value;

const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

fn shared_cases() -> Value {
    serde_json::from_str(include_str!("../../tests/w3c/cases.json")).unwrap()
}

fn headers_of(case: &Value) -> Vec<(&str, &str)> {
    let headers = case["headers"].as_array().unwrap();
    headers
        .iter()
        .map(|pair| (pair[0].as_str().unwrap(), pair[1].as_str().unwrap()))
        .collect()
}

fn state(headers: &[&str]) -> Option<Arc<str>> {
    let states = headers.iter().map(|value| ("tracestate", *value));
    let headers = std::iter::once(("traceparent", PARENT)).chain(states);
    extract_headers(headers).unwrap().trace_state
}

fn baggage(headers: &[&str]) -> Baggage {
    extract_baggage(headers.iter().map(|value| ("baggage", *value)))
}

#[test]
fn shared_cases_are_read_and_passed_on() {
    let shared = shared_cases();
    for case in shared["cases"].as_array().unwrap() {
        let name = &case["name"];
        let found = extract_headers(headers_of(case));
        let parent = &case["parent"];
        if parent.is_null() {
            assert!(found.is_err(), "{name}: {found:?}");
            continue;
        }
        let context = found.unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(context.trace_id.to_string(), shared["trace_id"], "{name}");
        assert_eq!(context.span_id.to_string(), shared["span_id"], "{name}");
        assert_eq!(u64::from(context.flags), parent["flags"], "{name}");
        assert_eq!(
            context.trace_state.as_deref(),
            parent["tracestate"].as_str(),
            "{name}"
        );
        assert!(context.remote, "{name}");
        assert_eq!(
            extract_headers(inject(&context)).unwrap(),
            context,
            "{name}"
        );
    }
}

#[test]
fn a_missing_traceparent_is_told_from_a_malformed_one() {
    let kind =
        |headers: &[(&str, &str)]| extract_headers(headers.iter().copied()).unwrap_err().kind();
    assert_eq!(kind(&[("tracestate", "a=1")]), ErrorKind::NotFound);
    assert_eq!(kind(&[("traceparent", "")]), ErrorKind::InvalidArgument);
    let twice = [("traceparent", PARENT), ("TraceParent", PARENT)];
    assert_eq!(kind(&twice), ErrorKind::InvalidArgument);
    assert_eq!(
        extract("", Some("a=1")).unwrap_err().kind(),
        ErrorKind::InvalidArgument
    );
}

#[test]
fn names_and_values_may_be_bytes() {
    let parent = PARENT.as_bytes().to_vec();
    let headers = [
        (b"traceparent".to_vec(), parent.clone()),
        (b"tracestate".to_vec(), b"a=\xff".to_vec()),
    ];
    let context = extract_headers(headers.iter().map(|(name, value)| (name, value))).unwrap();
    assert_eq!(context.trace_state, None);

    let mut map = HeaderMap::new();
    map.append("traceparent", HeaderValue::from_static(PARENT));
    map.append("tracestate", HeaderValue::from_static("b=2"));
    map.append("tracestate", HeaderValue::from_static("a=1"));
    let context = extract_headers(map.iter()).unwrap();
    assert_eq!(context.trace_state.as_deref(), Some("b=2,a=1"));

    let mut broken = parent;
    broken[20] = 0xff;
    assert!(extract_headers([(b"traceparent", broken)]).is_err());
}

#[test]
fn tracestate_keys_and_values_have_256_characters_at_most() {
    let cases = [
        ("k".repeat(256), "v".to_owned(), true),
        ("k".repeat(257), "v".to_owned(), false),
        (
            format!("{}@{}", "k".repeat(120), "s".repeat(135)),
            "v".to_owned(),
            true,
        ),
        (
            format!("{}@{}", "k".repeat(120), "s".repeat(136)),
            "v".to_owned(),
            false,
        ),
        ("k".to_owned(), "v".repeat(256), true),
        ("k".to_owned(), "v".repeat(257), false),
    ];
    for (key, value, valid) in cases {
        let member = format!("{key}={value}");
        let found = state(&[&member]);
        assert_eq!(found.as_deref(), valid.then_some(member.as_str()));
    }
}

#[test]
fn the_longest_tracestate_is_passed_on() {
    let members: Vec<String> = (0..32)
        .map(|index| format!("{index:0>256}={}", "v".repeat(256)))
        .collect();
    let list = members.join(",");
    assert_eq!(list.len(), 16_447);
    assert_eq!(state(&[&list]).as_deref(), Some(list.as_str()));
}

#[test]
fn what_a_program_made_itself_is_checked_before_it_is_sent() {
    let context = |trace: u8, span: u8, flags: u8, state: &str| SpanContext {
        trace_id: TraceId::from_bytes([trace; 16]),
        span_id: SpanId::from_bytes([span; 8]),
        flags,
        trace_state: Some(state.into()),
        remote: false,
    };
    assert!(inject(&context(0, 1, 1, "a=1")).is_empty());
    assert!(inject(&context(1, 0, 1, "a=1")).is_empty());
    let headers = inject(&context(1, 2, 0xff, "a=1\r\nset-cookie: b=2"));
    let expected = format!("00-{}-{}-03", "01".repeat(16), "02".repeat(8));
    assert_eq!(headers, [("traceparent", expected)]);
}

#[test]
fn children_of_a_remote_parent_keep_trace_flags_and_state() {
    let tracer = support::memory_tracer();
    for flags in 0..4 {
        let header = format!("{}{flags}", &PARENT[..54]);
        let parent = extract(&header, Some("b=2, a=1")).unwrap();
        let server = tracer.start(SpanStart {
            parent: Parent::Remote(parent.clone()),
            ..SpanStart::new("server")
        });
        let child = tracer.start(SpanStart {
            parent: Parent::Span(server),
            ..SpanStart::new("child")
        });
        let mut seen = vec![parent.span_id];
        for span in [server, child] {
            let context = span.context().unwrap();
            assert_eq!(context.trace_id, parent.trace_id);
            assert!(!seen.contains(&context.span_id));
            seen.push(context.span_id);
            let expected = format!("00-{}-{}-0{flags}", parent.trace_id, context.span_id);
            assert_eq!(
                inject(&context),
                [("traceparent", expected), ("tracestate", "b=2,a=1".into())]
            );
        }
        child.end().unwrap();
        server.end().unwrap();
    }
}

#[test]
fn baggage_headers_are_read_and_passed_on() {
    let cases: &[(&[&str], &str)] = &[
        (&["key=value"], "key=value"),
        (&["a=1,b=2"], "a=1,b=2"),
        (&["b=2", "a=1,c=3"], "b=2,a=1,c=3"),
        (&["", "a=1", " , "], "a=1"),
        (&[], ""),
        (&[""], ""),
        // White space around every delimiter.
        (&[" a = 1 ; p ; q = 2 \t,\tb\t=\t2 "], "a=1;p;q=2,b=2"),
        // Encoded text stays as it came.
        (&["a=%20x%C3%A9%zz"], "a=%20x%C3%A9%zz"),
        (&["a=1=2==,b="], "a=1=2==,b="),
        (&["!#$%&'*+-.^_`|~09azAZ=1"], "!#$%&'*+-.^_`|~09azAZ=1"),
        (&["a=1;p=1=2;;p;"], "a=1;p=1=2;p"),
        // Keys may repeat, and their case matters.
        (&["a=1,A=2,a=3"], "a=1,A=2,a=3"),
        // A malformed member is dropped whole, alone.
        (&["a=1,b,c=3"], "a=1,c=3"),
        (&["a=1,=2,c=3"], "a=1,c=3"),
        (&["a=1,b b=2,c=3"], "a=1,c=3"),
        (&["a=1,b=2 2,c=3"], "a=1,c=3"),
        (&["a=1,b=\"2\",c=3"], "a=1,c=3"),
        (&["a=1,b=\\,c=3"], "a=1,c=3"),
        (&["a=1,b=é,c=3"], "a=1,c=3"),
        (&["a=1,é=2,c=3"], "a=1,c=3"),
        (&["a=1,b=\u{7f},c=3"], "a=1,c=3"),
        (&["a=1,b=2;p q,c=3"], "a=1,c=3"),
        (&["a=1,b=2;p=q r,c=3"], "a=1,c=3"),
        (&["a=1,b=2;=q,c=3"], "a=1,c=3"),
    ];
    for (headers, expected) in cases {
        let baggage = baggage(headers);
        assert_eq!(baggage.to_string(), *expected, "{headers:?}");
        assert_eq!(
            inject_baggage(&baggage),
            (!expected.is_empty()).then(|| ("baggage", (*expected).to_owned()))
        );
    }
}

#[test]
fn baggage_is_found_by_its_name_in_any_case() {
    let headers = [("Baggage", "a=1"), ("x-baggage", "b=2"), ("BAGGAGE", "c=3")];
    assert_eq!(extract_baggage(headers).to_string(), "a=1,c=3");
}

#[test]
fn baggage_values_are_decoded() {
    let cases = [
        ("a=Am%C3%A9lie", "Amélie"),
        ("a=DF%2028", "DF 28"),
        ("a=%20x%20", " x "),
        ("a=1+1", "1+1"),
        ("a=b=c", "b=c"),
        ("a=%c3%a9%2c", "é,"),
        ("a=x%FFy%C3", "x\u{fffd}y\u{fffd}"),
        ("a=50%", "50%"),
        ("a=", ""),
        ("a=1,a=2", "2"),
    ];
    for (header, value) in cases {
        assert_eq!(baggage(&[header]).get("a").unwrap(), value, "{header}");
    }
    assert_eq!(baggage(&["a=1"]).get("A"), None);
    let read = baggage(&["a=1;p;q=%C3%A9;q="]);
    let properties: Vec<_> = read.iter().next().unwrap().properties().collect();
    let expected = [("p", None), ("q", Some("é".into())), ("q", Some("".into()))];
    assert_eq!(properties, expected);
}

#[test]
fn baggage_is_set_and_removed() {
    let mut baggage = baggage(&["a=1,b=2;p,a=3,c=4"]);
    baggage.set("a", "é ,;=+%\"\\\t").unwrap();
    let encoded = "a=%C3%A9%20%2C%3B%3D%2B%25%22%5C%09";
    assert_eq!(baggage.to_string(), format!("{encoded},b=2;p,c=4"));
    assert_eq!(baggage.get("a").unwrap(), "é ,;=+%\"\\\t");
    baggage
        .set_with_properties("b", "5", &[("q", None), ("r", Some("6 "))])
        .unwrap();
    baggage.set("d", "").unwrap();
    assert!(baggage.remove("a"));
    assert!(!baggage.remove("a"));
    assert_eq!(baggage.to_string(), "b=5;q;r=6%20,c=4,d=");
    let keys: Vec<_> = baggage.iter().map(|member| member.key()).collect();
    assert_eq!(
        (keys.as_slice(), baggage.len()),
        (["b", "c", "d"].as_slice(), 3)
    );

    let before = baggage.clone();
    for key in ["", " ", "a b", "a=b", "a,b", "a;b", "\"", "é", "a\r\n"] {
        let kind = |result: Result<(), mlflow_trace_core::Error>| result.unwrap_err().kind();
        assert_eq!(
            kind(baggage.set(key, "1")),
            ErrorKind::InvalidArgument,
            "{key:?}"
        );
        let property = baggage.set_with_properties("k", "1", &[(key, None)]);
        assert_eq!(kind(property), ErrorKind::InvalidArgument, "{key:?}");
    }
    assert_eq!(baggage, before);
}

#[test]
fn baggage_of_64_members_and_8192_bytes_passes_and_no_more() {
    let members = |count: usize| {
        let members: Vec<String> = (0..count).map(|index| format!("k{index}=v")).collect();
        members.join(",")
    };
    let mut full = baggage(&[&members(64)]);
    assert_eq!(full.to_string(), members(64));
    assert_eq!(baggage(&[&members(65)]), full);
    assert_eq!(baggage(&[&members(64), "more=1"]), full);
    assert_eq!(
        full.set("more", "1").unwrap_err().kind(),
        ErrorKind::Capacity
    );
    full.set("k7", "changed").unwrap();
    assert_eq!(full.len(), 64);

    let value = |bytes: usize| "v".repeat(bytes);
    let exact = format!("a={},b=1", value(8192 - "a=,b=1".len()));
    assert_eq!(baggage(&[&exact]).to_string(), exact);
    // White space does not count: what is sent matters.
    assert_eq!(baggage(&[&format!(" {exact} , ")]).to_string(), exact);
    // A member that does not fit is dropped whole; smaller ones after it may still fit.
    let over = format!("a={},b={},c=1", value(8000), value(200));
    assert_eq!(
        baggage(&[&over]).to_string(),
        format!("a={},c=1", value(8000))
    );

    let mut large = Baggage::new();
    large.set("a", &value(8190)).unwrap();
    assert_eq!(
        large.set("a", &value(8191)).unwrap_err().kind(),
        ErrorKind::Capacity
    );
    assert_eq!(large.set("b", "").unwrap_err().kind(), ErrorKind::Capacity);
    assert_eq!(large.to_string().len(), 8192);
}

/// Everything that is sent obeys the grammar, read here by other means than the library's own.
fn assert_sendable(headers: &[(&'static str, String)]) {
    for (name, value) in headers {
        assert!(
            value.bytes().all(|byte| matches!(byte, b' '..=b'~')),
            "{value:?}"
        );
        let members: Vec<&str> = value.split(',').collect();
        let keys: Vec<&str> = members
            .iter()
            .map(|member| member.split('=').next().unwrap())
            .collect();
        match *name {
            "traceparent" => {
                let lengths: Vec<usize> = value.split('-').map(str::len).collect();
                assert_eq!(lengths, [2, 32, 16, 2], "{value}");
                assert!(value.starts_with("00-"), "{value}");
                let lower = value
                    .bytes()
                    .all(|b| matches!(b, b'-' | b'0'..=b'9' | b'a'..=b'f'));
                assert!(lower, "{value}");
            }
            "tracestate" => {
                assert!(members.len() <= 32, "{value}");
                for (index, key) in keys.iter().enumerate() {
                    assert!((1..=256).contains(&key.len()), "{value}");
                    assert!(!keys[..index].contains(key), "{value}");
                    assert!(!key.starts_with(['_', '-', '*', '/', '@']), "{value}");
                }
                for member in &members {
                    assert_eq!(member.matches('=').count(), 1, "{value}");
                    assert!(!member.ends_with([' ', '=']), "{value}");
                }
            }
            _ => {
                assert_eq!(*name, "baggage");
                assert!(members.len() <= 64 && value.len() <= 8192, "{value}");
                assert!(!value.contains([' ', '"', '\\']), "{value}");
                assert!(keys.iter().all(|key| !key.is_empty()), "{value}");
            }
        }
    }
}

/// Reads what arrived, sends it on, and reads that again: the next process must see the same.
fn pass_on(headers: &[(Vec<u8>, Vec<u8>)]) {
    let pairs = || headers.iter().map(|(name, value)| (name, value));
    if let Ok(context) = extract_headers(pairs()) {
        let sent = inject(&context);
        assert_sendable(&sent);
        assert_eq!(extract_headers(sent).unwrap(), context);
    }
    let baggage = extract_baggage(pairs());
    let sent: Vec<_> = inject_baggage(&baggage).into_iter().collect();
    assert_sendable(&sent);
    assert_eq!(extract_baggage(sent), baggage);
    for member in &baggage {
        assert!(member.value().len() <= 3 * 8192);
        assert!(member.properties().count() <= 8192);
    }
}

fn names() -> impl Strategy<Value = Vec<u8>> {
    let known = [
        "traceparent",
        "Tracestate",
        "tracestate",
        "BAGGAGE",
        "baggage",
        "host",
        "",
    ];
    select(known.to_vec()).prop_map(|name| name.as_bytes().to_vec())
}

/// Values made of pieces of valid ones, so that they come close to being valid.
fn soup() -> impl Strategy<Value = Vec<u8>> {
    let pieces = [
        PARENT,
        "00",
        "cc",
        "ff",
        "-",
        "4bf92f3577b34da6a3ce929d0e0e4736",
        "00f067aa0ba902b7",
        "00000000000000000000000000000000",
        "01",
        "key",
        "a@b",
        "K",
        "=",
        "=",
        "value",
        ",",
        ",",
        ";",
        " ",
        "\t",
        "%41",
        "%ff",
        "%",
        "é",
        "\r\n",
        "\0",
        "\"",
        "\\",
    ];
    vec(select(pieces.to_vec()), 0..40).prop_map(|pieces| pieces.concat().into_bytes())
}

fn contexts() -> impl Strategy<Value = SpanContext> {
    let key = "[a-z0-9][a-z0-9_*/@-]{0,30}";
    let value = "[ -+\\--<>-~]{0,30}[!-+\\--<>-~]";
    let state = proptest::collection::btree_map(key, value, 0..=32).prop_map(|members| {
        let members: Vec<String> = members
            .iter()
            .map(|(key, value)| format!("{key}={value}"))
            .collect();
        (!members.is_empty()).then(|| Arc::from(members.join(",")))
    });
    (any::<[u8; 16]>(), any::<[u8; 8]>(), 0..4u8, state)
        .prop_filter("valid ids", |(trace, span, ..)| {
            *trace != [0; 16] && *span != [0; 8]
        })
        .prop_map(|(trace, span, flags, trace_state)| SpanContext {
            trace_id: TraceId::from_bytes(trace),
            span_id: SpanId::from_bytes(span),
            flags,
            trace_state,
            remote: true,
        })
}

fn hosts_baggage() -> impl Strategy<Value = Baggage> {
    let token = || "[!#$%&'*+.^_`|~0-9a-zA-Z-]{1,8}";
    let properties = vec((token(), proptest::option::of(any::<String>())), 0..3);
    vec((token(), any::<String>(), properties), 0..70).prop_map(|members| {
        let mut baggage = Baggage::new();
        for (key, value, properties) in &members {
            let properties: Vec<_> = properties
                .iter()
                .map(|(key, value)| (key.as_str(), value.as_deref()))
                .collect();
            if let Err(error) = baggage.set_with_properties(key, value, &properties) {
                assert_eq!(error.kind(), ErrorKind::Capacity);
                continue;
            }
            assert_eq!(baggage.get(key).unwrap(), value.as_str());
        }
        baggage
    })
}

proptest! {
    #[test]
    fn a_context_arrives_as_it_was_sent(context in contexts()) {
        let sent = inject(&context);
        assert_sendable(&sent);
        prop_assert_eq!(extract_headers(sent).unwrap(), context);
    }

    #[test]
    fn baggage_arrives_as_it_was_set(baggage in hosts_baggage()) {
        let sent: Vec<_> = inject_baggage(&baggage).into_iter().collect();
        assert_sendable(&sent);
        prop_assert_eq!(extract_baggage(sent), baggage);
    }

    #[test]
    fn any_bytes_are_survived(headers in vec((names(), vec(any::<u8>(), 0..300)), 0..6)) {
        pass_on(&headers);
    }

    #[test]
    fn header_soup_is_survived(headers in vec((names(), soup()), 0..6)) {
        pass_on(&headers);
    }

    #[test]
    fn damaged_headers_are_survived(
        context in contexts(),
        baggage in hosts_baggage(),
        damage in vec((any::<Index>(), any::<u8>()), 1..4),
    ) {
        let sent = inject(&context).into_iter().chain(inject_baggage(&baggage));
        let mut headers: Vec<(Vec<u8>, Vec<u8>)> = sent
            .map(|(name, value)| (name.into(), value.into_bytes()))
            .collect();
        for (index, byte) in damage {
            for (_, value) in &mut headers {
                let at = index.index(value.len());
                value[at] = byte;
            }
        }
        pass_on(&headers);
    }
}
