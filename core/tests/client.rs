//! Reading and annotating: which requests the client makes of servers of every version, and what replies mean.
#![allow(clippy::unwrap_used)]

mod support;

use std::sync::atomic::{AtomicUsize, Ordering};

use mlflow_trace_core::client::{
    Assessment, AssessmentUpdate, AssessmentValue, Client, Deletion, TraceSearch, TraceStatus,
};
use mlflow_trace_core::{ErrorKind, Span, SpanStart, Tracer};
use serde_json::json;
use support::server::{Reply, Seen, Server, reply};
use support::{PATIENCE, tracer};

const ID: &str = "tr-0102030405060708090a0b0c0d0e0f10";

fn connected(url: &str, more: &[(&str, &str)]) -> Tracer {
    let options = [("tracking_uri", url), ("experiment_id", "0")];
    tracer(&[&options[..], more].concat())
}

fn id_of(span: Span) -> String {
    span.context().unwrap().trace_id.to_mlflow()
}

fn client(server: &Server) -> Client {
    connected(&server.url, &[]).client()
}

/// A server with this reply to every request.
fn always(status: u16, body: &str) -> Server {
    let body = body.to_owned();
    Server::start(move |_| reply(status, &body))
}

fn info(id: &str, tags: serde_json::Value) -> serde_json::Value {
    json!({
        "trace_id": id,
        "trace_location": {"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": "1"}},
        "request_time": "2026-11-21T01:54:09.477Z",
        "execution_duration": "0.118s",
        "state": "OK",
        "tags": tags,
    })
}

fn stored() -> serde_json::Value {
    info(ID, json!({"mlflow.trace.spansLocation": "TRACKING_STORE"}))
}

fn native_span() -> serde_json::Value {
    json!({
        "trace_id": "AQIDBAUGBwgJCgsMDQ4PEA==", "span_id": "AQIDBAUGBwg=", "name": "chat",
        "start_time_unix_nano": 1_795_226_127_322_459_177_u64,
        "end_time_unix_nano": 1_795_226_127_327_637_324_u64,
        "attributes": [
            {"key": "mlflow.spanType", "value": {"string_value": "CHAT_MODEL"}},
            {"key": "double", "value": {"double_value": 0.300_000_000_000_000_04}},
            {"key": "whole", "value": {"double_value": 3}},
            {"key": "nothing", "value": {}},
            {"key": "usage", "value": {"kvlist_value": {"values": [
                {"key": "n", "value": {"int_value": 10}}, {"key": "none"},
                {"key": "list", "value": {"array_value": {"values": [{"bool_value": true}]}}}]}}},
        ],
        "events": [{"time_unix_nano": 5, "name": "e", "attributes": [
            {"key": "x", "value": {"int_value": 1}}]}],
        "links": [{"trace_id": "AQIDBAUGBwgJCgsMDQ4PEA==", "span_id": "AQIDBAUGBwg="}],
        "status": {"code": "STATUS_CODE_ERROR", "message": "m"},
    })
}

fn artifact_span() -> serde_json::Value {
    json!({
        "trace_id": "AQIDBAUGBwgJCgsMDQ4PEA==", "span_id": "AQIDBAUGBwg=", "parent_span_id": null,
        "name": "chat", "start_time_unix_nano": 1, "end_time_unix_nano": "2",
        "status": {"code": "OK"}, "attributes": {"mlflow.spanInputs": "{\"q\": 1}", "raw": 5},
    })
}

fn missing() -> Reply {
    let body = json!({"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "Trace with ID 'get' not found."});
    reply(404, &body.to_string())
}

fn ok(body: serde_json::Value) -> Reply {
    reply(200, &body.to_string())
}

fn info_path() -> String {
    format!("/api/3.0/mlflow/traces/{ID}")
}

#[test]
fn spans_of_the_database_in_a_server_s_own_form() {
    let server = Server::start(|seen| match seen.path.as_str() {
        path if path.starts_with("/api/3.0/mlflow/traces/get?") => {
            ok(json!({"trace": {"trace_info": stored(), "spans": [native_span()]}}))
        }
        _ => ok(json!({"trace": {"trace_info": stored()}})),
    });
    let trace = client(&server).get_trace(ID).unwrap();
    assert_eq!(trace.info.state, TraceStatus::Ok);
    assert_eq!(trace.info.execution_duration, Some(118));
    let span = &trace.data.spans[0];
    assert_eq!(span.trace_id(), ID);
    assert_eq!(span.span_id(), "0102030405060708");
    assert_eq!(span.span_type().as_deref(), Some("CHAT_MODEL"));
    let texts =
        ["double", "whole", "nothing", "usage"].map(|key| span.attribute_text(key).unwrap());
    let expected = [
        "0.30000000000000004",
        "3.0",
        "null",
        "{\"n\": 10, \"none\": null, \"list\": [true]}",
    ];
    assert_eq!(texts, expected);
    assert_eq!(span.links[0].trace_id, ID);
    assert_eq!(span.events[0].attributes["x"], 1);
    assert_eq!(span.status.message, "m");
    let read = mlflow_trace_core::client::Trace::from_json(&trace.to_json()).unwrap();
    assert_eq!(read, trace);
}

#[test]
fn spans_where_servers_of_every_age_keep_them() {
    let batch = Server::start(|seen| match seen.path.as_str() {
        path if path.starts_with("/api/3.0/mlflow/traces/get?") => missing(),
        path if path.starts_with("/api/3.0/mlflow/traces/batchGet?") => {
            ok(json!({"traces": [{"trace_info": stored(), "spans": [native_span()]}]}))
        }
        _ => ok(json!({"trace": {"trace_info": stored()}})),
    });
    assert_eq!(client(&batch).get_trace(ID).unwrap().data.spans.len(), 1);

    let location = format!("mlflow-artifacts:/1/traces/{ID}/artifacts");
    let file = format!("/api/2.0/mlflow-artifacts/artifacts/1/traces/{ID}/artifacts/traces.json");
    let artifact = Server::start(move |seen| {
        let tags = json!({"mlflow.artifactLocation": location});
        match seen.path == file {
            true => ok(json!({"spans": [artifact_span()]})),
            false => ok(json!({"trace": {"trace_info": info(ID, tags)}})),
        }
    });
    let trace = client(&artifact).get_trace(ID).unwrap();
    assert_eq!(trace.data.request(), Some("{\"q\": 1}"));
    assert_eq!(trace.data.spans[0].attribute("raw"), Some(5.into()));
    assert_eq!(trace.data.spans[0].end_time_ns, Some(2));

    let elsewhere =
        Server::start(
            |seen| match seen.path.contains("get-trace-artifact?request_id=") {
                true => ok(json!({"spans": [artifact_span()]})),
                false => {
                    let tags = json!({"mlflow.artifactLocation": "s3://bucket/1"});
                    ok(json!({"trace": {"trace_info": info(ID, tags)}}))
                }
            },
        );
    assert_eq!(
        client(&elsewhere).get_trace(ID).unwrap().data.spans.len(),
        1
    );
}

#[test]
fn information_of_mlflow_2() {
    let server = Server::start(|seen| match seen.path.as_str() {
        "/api/2.0/mlflow/traces/abc/info" => ok(json!({"trace_info": {
            "request_id": "abc", "experiment_id": "1", "timestamp_ms": "5", "execution_time_ms": 7,
            "status": "ERROR", "request_metadata": [{"key": "m", "value": "1"}],
            "tags": [{"key": "t", "value": "2"}]}})),
        _ => reply(404, "<!doctype html>"),
    });
    let info = client(&server).get_trace_info("abc").unwrap();
    assert_eq!((info.request_time, info.execution_duration), (5, Some(7)));
    assert_eq!((info.metadata("m"), info.tag("t")), (Some("1"), Some("2")));
    assert_eq!(info.state, TraceStatus::Error);
}

#[test]
fn each_failure_has_its_kind() {
    let refusal = |code: &str, text: &str| json!({"error_code": code, "message": text}).to_string();
    let unknown = refusal("RESOURCE_DOES_NOT_EXIST", "Trace with ID 'x' not found.");
    let page = "<!doctype html><title>Log in</title>";
    for (status, body, kind, text) in [
        (
            404,
            unknown.as_str(),
            ErrorKind::NotFound,
            "Trace with ID 'x' not found.",
        ),
        (404, page, ErrorKind::Unsupported, "older"),
        (401, page, ErrorKind::Unauthorized, "renew"),
        (403, "{}", ErrorKind::Unauthorized, "renew"),
        (200, page, ErrorKind::BadReply, "no JSON"),
        (200, "{}", ErrorKind::BadReply, "no trace"),
        (200, "{\"trace\"", ErrorKind::BadReply, "no JSON"),
        (
            501,
            "{\"error_code\": \"NOT_IMPLEMENTED\"}",
            ErrorKind::Unsupported,
            "",
        ),
    ] {
        let server = always(status, body);
        let error = client(&server).get_trace("x").unwrap_err();
        assert_eq!(error.kind(), kind, "{status} {body}: {error}");
        assert!(error.message().contains(text), "{status} {body}: {error}");
    }
    let broken = Server::start(|_| {
        (
            500,
            "content-type: text/html\r\n".to_owned(),
            "<html>".to_owned(),
        )
    });
    let error = client(&broken).get_trace_info("x").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::BadReply);
    let login = Server::start(|_| {
        (
            200,
            "content-type: text/html\r\n".to_owned(),
            "<html>".to_owned(),
        )
    });
    let error = client(&login).get_trace_info("x").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::BadReply);

    let long = format!("Invalid clause(s) in filter string: '{}'", "x".repeat(1000));
    let body = refusal("INVALID_PARAMETER_VALUE", &long);
    let search = TraceSearch {
        locations: vec!["1".to_owned()],
        ..TraceSearch::default()
    };
    let error = client(&always(400, &body))
        .search_traces(&search)
        .unwrap_err();
    assert_eq!(
        (error.kind(), error.message()),
        (ErrorKind::InvalidFilter, long.as_str())
    );

    let deleted =
        json!({"experiment": {"experiment_id": "7", "name": "n", "lifecycle_stage": "deleted"}});
    let stranger = always(200, "{\"login\": true}");
    for result in [
        client(&stranger).set_experiment("n"),
        client(&stranger).find_experiment("7"),
    ] {
        assert_eq!(result.unwrap_err().kind(), ErrorKind::BadReply);
    }

    let deleted = always(200, &deleted.to_string());
    for result in [
        client(&deleted).set_experiment("n"),
        client(&deleted).get_experiment("7"),
    ] {
        assert_eq!(result.unwrap_err().kind(), ErrorKind::Deleted);
    }
    assert!(client(&deleted).find_experiment("7").unwrap().is_deleted());
}

#[test]
fn half_a_file_is_told_from_none() {
    for (body, kind) in [
        ("{\"spans\": [{\"trace_id\": \"AQ", ErrorKind::Damaged),
        ("{}", ErrorKind::Damaged),
        (
            "{\"spans\": [{\"trace_id\": \"AQ==\", \"attributes\": {}}]}",
            ErrorKind::Damaged,
        ),
    ] {
        let server = Server::start(move |seen| match seen.path.contains("get-trace-artifact") {
            true => reply(200, body),
            false => ok(json!({"trace": {"trace_info": info(ID, json!({}))}})),
        });
        let error = client(&server).get_trace(ID).unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
    }
    let server = Server::start(|seen| match seen.path == info_path() {
        true => ok(json!({"trace": {"trace_info": info(ID, json!({}))}})),
        false => missing(),
    });
    let error = client(&server).get_trace(ID).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
}

#[test]
fn busy_servers_are_asked_again() {
    let asked = AtomicUsize::new(0);
    let server = Server::start(move |_| match asked.fetch_add(1, Ordering::Relaxed) {
        0 => reply(503, "busy"),
        1 => (429, "retry-after: 0\r\n".to_owned(), String::new()),
        _ => ok(json!({"trace": {"trace_info": stored()}})),
    });
    assert!(client(&server).get_trace_info(ID).is_ok());
    assert_eq!(server.log().len(), 3);
    let error = client(&always(503, "busy")).get_trace_info(ID).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Transport);
}

/// Three pages of one trace each.
fn pages(seen: &Seen) -> Reply {
    if seen.path != "/api/3.0/mlflow/traces/search" {
        return ok(json!({"traces": [{"trace_info": stored(), "spans": [native_span()]}]}));
    }
    let body: serde_json::Value = serde_json::from_slice(&seen.body).unwrap();
    let number: usize = body["page_token"].as_str().unwrap_or("0").parse().unwrap();
    let mut page = json!({"traces": [stored()]});
    if number < 2 {
        page["next_page_token"] = (number + 1).to_string().into();
    }
    ok(page)
}

#[test]
fn searches_ask_for_pages_as_they_are_needed() {
    let server = Server::start(pages);
    let search = TraceSearch {
        locations: vec!["1".to_owned()],
        filter: "status = 'OK'".to_owned(),
        run_id: Some("r".to_owned()),
        ..TraceSearch::default()
    };
    let client = client(&server);
    let mut traces = client.traces(search);
    assert_eq!(traces.next().unwrap().unwrap().data.spans.len(), 1);
    let searches = || {
        server
            .log()
            .iter()
            .filter(|line| line.ends_with("/search"))
            .count()
    };
    assert_eq!(searches(), 1);
    assert_eq!(traces.filter_map(Result::ok).count(), 2);
    assert_eq!(searches(), 3);
    let first: serde_json::Value = serde_json::from_slice(&server.seen()[0].body).unwrap();
    assert_eq!(first["filter"], "status = 'OK' AND attribute.run_id = 'r'");
}

#[test]
fn a_trace_without_readable_spans_is_named() {
    let other = "tr-ffffffffffffffffffffffffffffffff";
    let server = Server::start(move |seen| match seen.path.as_str() {
        "/api/3.0/mlflow/traces/search" => ok(json!({"traces": [
            stored(), info(other, json!({"mlflow.trace.spansLocation": "TRACKING_STORE"}))]})),
        path if path.contains("batchGet") => reply(500, "{}"),
        path if path.contains(ID) => {
            ok(json!({"trace": {"trace_info": stored(), "spans": [native_span()]}}))
        }
        _ => reply(
            404,
            "{\"error_code\": \"RESOURCE_DOES_NOT_EXIST\", \"message\": \"m\"}",
        ),
    });
    let search = TraceSearch {
        locations: vec!["1".to_owned()],
        ..TraceSearch::default()
    };
    let page = client(&server).search_traces(&search).unwrap();
    assert_eq!(page.items.len(), 1);
    assert_eq!(page.unreadable, [other]);
}

fn echo(seen: &Seen) -> Reply {
    reply(200, &String::from_utf8_lossy(&seen.body))
}

#[test]
fn assessments_have_ids_before_they_are_sent() {
    let server = Server::start(echo);
    let feedback = Assessment::feedback("quality", json!(0.5));
    let stored = client(&server).log_assessment(ID, &feedback).unwrap();
    let id = stored.assessment_id.clone().unwrap();
    assert!(id.starts_with("a-") && id.len() == 34, "{id}");
    assert_eq!(stored.trace_id.as_deref(), Some(ID));

    // One that came through although its reply did not.
    let again = Server::start(move |seen| match seen.method.as_str() {
        "POST" => reply(500, "{\"error_code\": \"INTERNAL_ERROR\"}"),
        _ => {
            let id = seen.path.rsplit('/').next().unwrap();
            let mut found = Assessment::feedback("quality", json!(0.5));
            found.assessment_id = Some(id.to_owned());
            ok(json!({"assessment": found.to_json()}))
        }
    });
    assert!(client(&again).log_assessment(ID, &feedback).is_ok());
    let refused = always(
        500,
        "{\"error_code\": \"INTERNAL_ERROR\", \"message\": \"m\"}",
    );
    let error = client(&refused).log_assessment(ID, &feedback).unwrap_err();
    assert_eq!((error.kind(), error.message()), (ErrorKind::Rejected, "m"));
}

#[test]
fn a_database_that_knows_no_such_trace_is_understood() {
    let text = r#"{"error_code": "BAD_REQUEST", "message": "(sqlite3.IntegrityError) FOREIGN KEY constraint failed"}"#;
    let server = always(400, text);
    let client = client(&server);
    let feedback = Assessment::feedback("quality", json!(0.5));
    let errors = [
        client.log_assessment(ID, &feedback).unwrap_err(),
        client.set_trace_tag(ID, "key", "value").unwrap_err(),
    ];
    for error in errors {
        assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
        assert!(error.message().contains(ID), "{error}");
    }
}

#[test]
fn updates_name_what_they_change() {
    let server = Server::start(|seen| {
        let sent: serde_json::Value = serde_json::from_slice(&seen.body).unwrap();
        let assessment = Assessment::expectation("e", json!(1));
        match seen.method.as_str() {
            "PATCH" => ok(json!({"assessment": assessment.to_json(), "sent": sent})),
            _ => reply(200, "{}"),
        }
    });
    let client = client(&server);
    let update = AssessmentUpdate {
        value: Some(Assessment::expectation("", json!({"a": 1})).value),
        metadata: vec![("k".to_owned(), "v".to_owned())],
        ..AssessmentUpdate::default()
    };
    let stored = client.update_assessment(ID, "a-1", &update).unwrap();
    assert!(matches!(stored.value, AssessmentValue::Expectation(_)));
    client.delete_assessment(ID, "a-1").unwrap();
    let seen = server.seen();
    let sent: serde_json::Value = serde_json::from_slice(&seen[0].body).unwrap();
    assert_eq!(sent["update_mask"], "expectation,metadata");
    let value = &sent["assessment"]["expectation"]["serialized_value"]["value"];
    assert_eq!(value, "{\"a\": 1}");
    assert_eq!(seen[1].method, "DELETE");
}

#[test]
fn changes_of_traces() {
    let server = Server::start(|_| reply(200, "{\"traces_deleted\": 2}"));
    let client = client(&server);
    client.set_trace_tag("a/b?c", "k", "v").unwrap();
    client.delete_trace_tag(ID, "k").unwrap();
    let ids: Vec<String> = (0..101).map(|n| format!("tr-{n}")).collect();
    assert_eq!(
        client
            .delete_traces("1", &Deletion::Ids(ids.clone()))
            .unwrap(),
        4
    );
    client.link_traces_to_run(&ids, "r").unwrap();
    assert_eq!(
        server.log(),
        [
            "PATCH /api/2.0/mlflow/traces/a%2Fb%3Fc/tags",
            &format!("DELETE /api/2.0/mlflow/traces/{ID}/tags"),
            "POST /api/2.0/mlflow/traces/delete-traces",
            "POST /api/2.0/mlflow/traces/delete-traces",
            "POST /api/2.0/mlflow/traces/link-to-run",
            "POST /api/2.0/mlflow/traces/link-to-run",
        ]
    );
    let error = client
        .set_trace_tag(ID, "mlflow.artifactLocation", "x")
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    let sql = "(sqlite3.IntegrityError) FOREIGN KEY constraint failed";
    let refused = always(
        400,
        &json!({"error_code": "BAD_REQUEST", "message": sql}).to_string(),
    );
    let error = self::client(&refused)
        .set_trace_tag(ID, "k", "v")
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
}

#[test]
fn annotations_of_an_open_trace_travel_with_it() {
    let server = Server::mlflow("3.17.2", |_| None);
    let tracer = connected(&server.url, &[("redact.patterns", "hunter2")]);
    let root = tracer.start(SpanStart::new("root"));
    let id = id_of(root);
    let mut feedback = Assessment::feedback("quality", json!(true));
    feedback.rationale = Some("said hunter2".to_owned());
    let kept = tracer.log_assessment(&id, &feedback).unwrap();
    tracer.set_trace_tag(&id, "a", "1").unwrap();
    tracer.set_trace_tag(&id, "b", "2").unwrap();
    tracer.delete_trace_tag(&id, "a").unwrap();
    let error = tracer.delete_trace_tag(&id, "a").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    root.end().unwrap();
    assert_eq!(tracer.flush(PATIENCE), 0);
    let posted = server.seen();
    let posted = posted
        .iter()
        .find(|seen| seen.path == "/api/3.0/mlflow/traces");
    let body: serde_json::Value = serde_json::from_slice(&posted.unwrap().body).unwrap();
    let info = &body["trace"]["trace_info"];
    assert_eq!(info["assessments"], json!([kept.to_json()]));
    assert_eq!(info["tags"], json!({"mlflow.traceName": "root", "b": "2"}));
    assert!(!server.received().contains("hunter2"));
}

#[test]
fn annotations_wait_for_a_trace_that_is_on_its_way() {
    let server = Server::start(|seen| {
        static STORED: AtomicUsize = AtomicUsize::new(0);
        match (seen.method.as_str(), seen.path.as_str()) {
            ("POST", "/api/3.0/mlflow/traces") => {
                STORED.store(1, Ordering::Relaxed);
                support::server::usual("3.17.2", seen)
            }
            ("POST", path) if path.ends_with("/assessments") => {
                match STORED.load(Ordering::Relaxed) {
                    0 => missing(),
                    _ => echo(seen),
                }
            }
            _ => support::server::usual("3.17.2", seen),
        }
    });
    let tracer = connected(&server.url, &[("batch.delay_ms", "60000")]);
    let root = tracer.start(SpanStart::new("root"));
    let id = id_of(root);
    root.end().unwrap();
    let feedback = Assessment::feedback("quality", json!("fine"));
    assert!(tracer.log_assessment(&id, &feedback).is_ok());
}

#[test]
fn an_error_tells_what_the_server_answered() {
    let server = Server::start(|seen| match seen.path.as_str() {
        "/api/2.0/mlflow/experiments/search" => reply(
            400,
            r#"{"error_code": "INVALID_PARAMETER_VALUE", "message": "no such column"}"#,
        ),
        _ => reply(403, "{}"),
    });
    let client = client(&server);
    let error = client.search_experiments(&Default::default()).unwrap_err();
    assert_eq!(error.http_status(), Some(400));
    assert_eq!(error.server_code(), Some("INVALID_PARAMETER_VALUE"));
    let error = client.get_trace_info(ID).unwrap_err();
    assert_eq!(
        (error.http_status(), error.server_code()),
        (Some(403), None)
    );
    let away = connected("http://127.0.0.1:1", &[]).client();
    let error = away.get_trace_info(ID).unwrap_err();
    assert_eq!((error.http_status(), error.server_code()), (None, None));
}

#[test]
fn methods_by_name() {
    let server = Server::start(|seen| match seen.path.as_str() {
        "/api/2.0/mlflow/experiments/create" => ok(json!({"experiment_id": "7"})),
        "/api/2.0/mlflow/experiments/search" => ok(
            json!({"experiments": [{"experiment_id": "7", "name": "n"}], "next_page_token": "t"}),
        ),
        path if path.ends_with("/assessments") => echo(seen),
        _ => ok(json!({"trace": {"trace_info": stored()}})),
    });
    let client = client(&server);
    let call = |method: &str, arguments| client.invoke(method, &arguments);
    let created = call(
        "create_experiment",
        json!({"name": "n", "tags": {"a": "b"}}),
    );
    assert_eq!(created.unwrap(), "7");
    let page = call("search_experiments", json!({"max_results": 1})).unwrap();
    assert_eq!(page["items"][0]["name"], "n");
    assert_eq!(page["next_page_token"], "t");
    let info = call("get_trace_info", json!({"trace_id": ID})).unwrap();
    assert_eq!(info["execution_duration_ms"], 118);
    let assessment = json!({"assessment_name": "n", "feedback": {"value": 1}});
    let logged = call(
        "log_assessment",
        json!({"trace_id": ID, "assessment": assessment}),
    );
    assert_eq!(logged.unwrap()["source"]["source_type"], "CODE");
    let made = call("create_trace", json!({"trace_info": stored()})).unwrap();
    assert_eq!(made["trace_id"], ID);
    let nothing = json!({"experiment_id": "7", "content": ""});
    assert_eq!(call("export_spans", nothing).unwrap(), json!(null));
    for (method, arguments) in [
        ("get_trace", json!({})),
        ("get_trace", json!({"trace_id": 5})),
        (
            "export_spans",
            json!({"experiment_id": "7", "content": "?"}),
        ),
        ("no_such", json!({})),
        ("search_experiments", json!({"view_type": "SOME"})),
        ("get_traces", json!({"trace_ids": [1]})),
    ] {
        let error = call(method, arguments).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{method}");
    }
}
