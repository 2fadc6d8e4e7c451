"""Reading and annotating: files without a server, and what a server's replies become."""

from __future__ import annotations

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

import mlflow_trace
from mlflow_trace import entities, exceptions

TRACE = "tr-" + "ab" * 16
NO_TRACE = "MLFLOW_NO_OP_SPAN_TRACE_ID"


@pytest.fixture
def files(own_environment, tmp_path):
    """Write traces to files of the test's own."""
    mlflow_trace.shutdown(timeout=5)
    mlflow_trace.configure(exporter=None, tracking_uri="", file_directory=str(tmp_path / "traces"))
    yield tmp_path / "traces"
    mlflow_trace.shutdown(timeout=5)
    mlflow_trace.configure(tracking_uri=None, file_directory=None)


@pytest.fixture
def server(own_environment):
    """Answer as `replies` says, by method and path; otherwise 404 as a server of MLflow."""
    replies, seen = {}, []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self):
            length = int(self.headers.get("Content-Length") or 0)
            body = self.rfile.read(length)
            sent = json.loads(body) if body[:1] == b"{" else None
            path = self.path.split("?")[0]
            seen.append((self.command, self.path, sent))
            status, reply = replies.get((self.command, path), (404, not_found(path)))
            text = reply(sent) if callable(reply) else reply
            text = text if isinstance(text, str) else json.dumps(text)
            self.send_response(status)
            self.send_header("Content-Length", str(len(text.encode())))
            self.end_headers()
            self.wfile.write(text.encode())

        do_GET = do_POST = do_PATCH = do_DELETE = do_PUT = answer

        def log_message(self, *_arguments):
            pass

    def not_found(path):
        return {"error_code": "RESOURCE_DOES_NOT_EXIST", "message": f"no {path}"}

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=http.serve_forever, daemon=True).start()
    mlflow_trace.shutdown(timeout=5)
    uri = f"http://127.0.0.1:{http.server_address[1]}"
    mlflow_trace.configure(exporter=None, tracking_uri=uri, experiment_id="1")
    yield replies, seen
    mlflow_trace.shutdown(timeout=1)
    mlflow_trace.configure(tracking_uri=None, experiment_id=None, experiment_name=None)
    http.shutdown()
    http.server_close()


def record(name, **tags):
    with mlflow_trace.start_span(name) as span:
        span.set_inputs({"q": name})
        mlflow_trace.update_current_trace(tags=tags)
        with mlflow_trace.start_span("child"):
            # The order of traces is one of milliseconds.
            time.sleep(0.002)
    return span.trace_id


def test_files_are_read_back(files):
    ids = [record("first", env="prod"), record("second", env="test")]
    trace = mlflow_trace.get_trace(ids[0])
    assert [span.name for span in trace.data.spans] == ["first", "child"]
    assert trace.data.spans[0].inputs == {"q": "first"}
    assert trace.data.spans[1].parent_id == trace.data.spans[0].span_id
    assert trace.info.tags["env"] == "prod"
    found = mlflow_trace.search_traces(
        filter_string="tags.env = 'test'", return_type="list", flush=True
    )
    assert [found.info.trace_id for found in found] == ids[1:]
    client = mlflow_trace.MlflowClient()
    page = client.search_traces(max_results=1, order_by=["timestamp_ms ASC"])
    assert page[0].info.trace_id == ids[0]
    rest = client.search_traces(page_token=page.token, order_by=["timestamp_ms ASC"])
    assert [trace.info.trace_id for trace in rest] == ids[1:]
    assert rest.token is None
    assert client.tracking_uri == ""
    assert [t.info.trace_id for t in client.get_traces([ids[1], "tr-none"])] == ids[1:]
    assert client.get_trace_info(ids[0]) == trace.info
    assert len(list(client.iterate_traces(1, include_spans=False))) == 2


def test_what_files_cannot_do_is_said(files, caplog):
    with pytest.raises(exceptions.InvalidFilterError, match=r"span\.name"):
        mlflow_trace.search_traces(filter_string="span.name = 'x'")
    with pytest.raises(exceptions.UnsupportedError, match="tracking_uri"):
        mlflow_trace.create_experiment("n")
    with pytest.raises(exceptions.NotFoundError):
        mlflow_trace.MlflowClient().get_trace(TRACE)
    assert mlflow_trace.get_trace(TRACE) is None
    assert TRACE in caplog.text
    trace_id = record("whole")
    mlflow_trace.flush()
    [path] = files.iterdir()
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(exceptions.DamagedError, match="half"):
        mlflow_trace.MlflowClient().get_trace(trace_id)


def test_an_open_trace_keeps_what_is_said_about_it(recording):
    with mlflow_trace.start_span("root") as span:
        feedback = mlflow_trace.log_feedback(
            trace_id=span.trace_id, name="f", value=True, rationale="r", metadata={"n": 5}
        )
        mlflow_trace.log_expectation(trace_id=span.trace_id, name="e", value={"a": 1})
        mlflow_trace.set_trace_tag(span.trace_id, "kept", 1)
        mlflow_trace.set_trace_tag(span.trace_id, "gone", "1")
        mlflow_trace.delete_trace_tag(span.trace_id, "gone")
        with pytest.raises(exceptions.NotFoundError):
            mlflow_trace.delete_trace_tag(span.trace_id, "gone")
    assert feedback.assessment_id.startswith("a-")
    [trace] = recording.traces()
    said = map(entities.Assessment.from_dictionary, trace.info["assessments"])
    kept = {assessment.name: assessment for assessment in said}
    assert kept["f"] == feedback
    assert kept["f"].metadata == {"n": "5"}
    assert kept["e"].value == {"a": 1}
    assert trace.info["tags"] == {"mlflow.traceName": "root", "kept": "1"}


def test_spans_that_are_not_recorded_take_what_is_said(recording):
    with mlflow_trace.tracing.context(enabled=False), mlflow_trace.start_span("off") as span:
        assert span.trace_id == NO_TRACE
        assert mlflow_trace.log_feedback(trace_id=span.trace_id, value=1).value == 1


@pytest.mark.parametrize("value", [float("nan"), object(), {"a": b"x"}])
def test_what_json_cannot_hold_is_refused(recording, value):
    with pytest.raises(exceptions.InvalidArgumentError):
        mlflow_trace.log_feedback(trace_id=TRACE, value=value)


def test_assessments_of_a_server(server):
    replies, seen = server
    path = f"/api/3.0/mlflow/traces/{TRACE}/assessments"

    def stored(sent):
        return {"assessment": {"metadata": {"server": "1"}, **sent["assessment"]}}

    replies["POST", path] = 200, stored
    replies["GET", f"{path}/a-1"] = (
        200,
        {
            "assessment": {
                "assessment_id": "a-1",
                "assessment_name": "f",
                "source": {"source_type": "CODE", "source_id": "c"},
                "create_time": "2026-11-21T01:57:23.311Z",
                "last_update_time": "2026-11-21T01:57:23.311Z",
                "feedback": {"value": 0.5},
                "span_id": "ab" * 8,
            }
        },
    )
    replies["DELETE", f"{path}/a-1"] = 200, {}
    source = entities.AssessmentSource("HUMAN", "bob")
    logged = mlflow_trace.log_feedback(trace_id=TRACE, value=0.3, source=source)
    assert logged.source == source
    assert logged.metadata == {"server": "1"}
    read = mlflow_trace.get_assessment(TRACE, "a-1")
    assert isinstance(read, entities.Feedback)
    assert read.value == 0.5
    override = mlflow_trace.override_feedback(trace_id=TRACE, assessment_id="a-1", value=1)
    assert (override.name, override.span_id, override.overrides) == ("f", "ab" * 8, "a-1")
    mlflow_trace.delete_assessment(TRACE, "a-1")
    with pytest.raises(exceptions.NotFoundError):
        mlflow_trace.get_assessment(TRACE, "a-2")
    assert seen[0][2]["assessment"]["assessment_id"] == logged.assessment_id


def test_each_failure_has_its_exception(server):
    replies, _ = server
    path = f"/api/3.0/mlflow/traces/{TRACE}"
    client = mlflow_trace.MlflowClient()
    for status, reply, expected in [
        (404, {"error_code": "RESOURCE_DOES_NOT_EXIST"}, exceptions.NotFoundError),
        (404, "<html>", exceptions.UnsupportedError),
        (401, "<html>", exceptions.UnauthorizedError),
        (200, "<html>", exceptions.BadReplyError),
        (200, {"trace": {"trace_info": {"trace_id": 5}}}, exceptions.DamagedError),
    ]:
        replies["GET", path] = status, reply
        with pytest.raises(expected):
            client.get_trace(TRACE)
        assert mlflow_trace.get_trace(TRACE, silent=True) is None
    refusal = {"error_code": "INVALID_PARAMETER_VALUE", "message": "Invalid clause: é"}
    replies["POST", "/api/3.0/mlflow/traces/search"] = 400, refusal
    with pytest.raises(exceptions.InvalidFilterError) as caught:
        mlflow_trace.search_traces(filter_string="x")
    assert str(caught.value) == "Invalid clause: é"
    unreachable = mlflow_trace.MlflowClient("http://127.0.0.1:9")
    assert unreachable.tracking_uri == "http://127.0.0.1:9"
    with pytest.raises(exceptions.TransportError):
        unreachable.get_trace(TRACE)


def test_experiments(server):
    replies, seen = server
    api = "/api/2.0/mlflow/experiments"
    found = {"experiment_id": "7", "name": "n", "lifecycle_stage": "active"}
    found["tags"] = [{"key": "a", "value": "b"}]
    replies["POST", f"{api}/create"] = 200, {"experiment_id": "7"}
    replies["GET", f"{api}/get"] = 200, {"experiment": found}
    replies["GET", f"{api}/get-by-name"] = 200, {"experiment": found}
    replies["POST", f"{api}/search"] = 200, {"experiments": [found]}
    replies["POST", f"{api}/delete"] = 200, {}
    assert mlflow_trace.create_experiment("n", tags={"a": 1}) == "7"
    assert seen[-1][2]["tags"] == [{"key": "a", "value": "1"}]
    experiment = mlflow_trace.get_experiment("7")
    assert experiment == mlflow_trace.get_experiment_by_name("é n")
    assert experiment.tags == {"a": "b"}
    assert mlflow_trace.search_experiments(entities.ViewType.ALL) == [experiment]
    assert seen[-1][2]["view_type"] == "ALL"
    mlflow_trace.delete_experiment("7")
    assert mlflow_trace.set_experiment("n") == experiment
    replies["GET", f"{api}/get-by-name"] = (
        200,
        {"experiment": found | {"lifecycle_stage": "deleted"}},
    )
    with pytest.raises(exceptions.DeletedError, match="restore"):
        mlflow_trace.set_experiment("n")
    with pytest.raises(exceptions.InvalidArgumentError):
        mlflow_trace.search_experiments(5)


def test_arguments_that_do_not_go_together(recording):
    search, client = mlflow_trace.search_traces, mlflow_trace.MlflowClient()
    for wrong in (
        lambda: search(return_type="table"),
        lambda: search(return_type="list", extract_fields=["a.inputs"]),
        lambda: search(extract_fields=["nothing"]),
        lambda: client.delete_traces("1"),
        lambda: client.delete_traces("1", max_timestamp_millis=1, trace_ids=["a"]),
        lambda: client.delete_traces("1", max_traces=1, trace_ids=["a"]),
        lambda: client.link_traces_to_run(["a"], ""),
        lambda: mlflow_trace.search_experiments(7),
    ):
        with pytest.raises(exceptions.InvalidArgumentError):
            wrong()
    for unsupported in (
        lambda: search(sql_warehouse_id="w"),
        lambda: mlflow_trace.create_experiment("n", trace_location="x"),
        lambda: mlflow_trace.MlflowClient(registry_uri="x"),
    ):
        with pytest.raises(exceptions.UnsupportedError):
            unsupported()


def test_tables(files):
    pandas = pytest.importorskip("pandas")
    trace_id = record("a.b")
    table = mlflow_trace.search_traces(
        extract_fields=["`a.b`.inputs.q", "`a.b`.inputs", "a.outputs.`x.y`"], flush=True
    )
    assert isinstance(table, pandas.DataFrame)
    assert list(table.columns)[-3:] == ["a.b.inputs.q", "a.b.inputs", "a.outputs.x.y"]
    assert table["a.b.inputs.q"][0] == "a.b"
    assert table["trace_id"][0] == trace_id
    assert json.loads(table["trace"][0])["info"]["trace_id"] == trace_id


def test_sessions(files):
    for name, session in [("1", "a"), ("2", "b"), ("3", "a")]:
        with (
            mlflow_trace.tracing.context(session_id=session),
            mlflow_trace.start_span(name),
        ):
            # Their order is one of milliseconds.
            time.sleep(0.002)
    mlflow_trace.flush()
    sessions = mlflow_trace.search_sessions()
    assert [(session.id, len(session)) for session in sessions] == [("a", 2), ("b", 1)]
    assert [trace.data.spans[0].name for trace in sessions[0]] == ["1", "3"]
    assert sessions[0][1] is sessions[0].traces[1]
    assert len(mlflow_trace.search_sessions(max_results=1)) == 1


def test_issues_are_read(recording):
    issue = entities.IssueReference("iss-1", "slow", rationale="r")
    read = entities.Assessment.from_dictionary(issue.to_dictionary())
    assert isinstance(read, entities.IssueReference)
    assert (read.issue_id, read.issue_name, read.rationale) == ("iss-1", "slow", "r")


def test_tags_of_the_server_stay(recording, caplog):
    mlflow_trace.set_trace_tag(TRACE, "mlflow.artifactLocation", "x")
    mlflow_trace.delete_trace_tag(TRACE, "mlflow.trace.spansLocation")
    assert caplog.text.count("immutable") == 2
