"""What MLflow's own client reads of what a Node program said with ours."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping
from typing import Any

import pytest
from conftest import REPOSITORY
from mlflow import MlflowClient
from mlflow.entities import AssessmentSource, Expectation, Feedback, Trace

PROGRAM = """
import * as mlflow from 'mlflow-trace';

const client = new mlflow.MlflowClient();
const [name] = process.argv.slice(2);
const experimentId = await client.createExperiment(name, undefined, { team: 'a' });
mlflow.init({ experimentId });
const source = { sourceType: 'LLM_JUDGE', sourceId: 'small' };
const { traceId, spanId } = await mlflow.withSpan(async (span) => {
  const early = { traceId: span.traceId, name: 'early', value: { a: [1, null] }, source };
  await client.logFeedback(early);
  await client.setTraceTag(span.traceId, 'early', 'ü');
  return span;
}, { name: 'root', inputs: { question: 'why?' } });
await client.setTraceTag(traceId, 'late', 'yes');
const error = Object.assign(new RangeError('too long'), { stack: 'at line 1' });
await client.logFeedback({ traceId, spanId, name: 'failed', error, metadata: { k: 'v' } });
await client.logExpectation({ traceId, name: 'answer', value: ['because'] });
const tone = await client.logFeedback({ traceId, name: 'tone', value: 'rude', rationale: 'rough' });
const human = { sourceType: 'HUMAN', sourceId: 'ann' };
await client.overrideFeedback(traceId, tone.assessmentId, { value: 'dry', source: human });
const trace = await client.getTrace(traceId);
const copies = await client.createExperiment(`${name}-copies`);
const id = `tr-${traceId.slice(3).split('').reverse().join('')}`;
const made = mlflow.TraceInfo.fromJson({
  ...trace.info.toJson(),
  trace_id: id,
  trace_location: { type: 'MLFLOW_EXPERIMENT', mlflow_experiment: { experiment_id: copies } },
  tags: { made: 'by hand' },
  assessments: [],
});
await client.uploadTraceData(await client.createTrace(made), trace.data);
const seen = { state: trace.info.state, tags: trace.info.tags, metadata: trace.info.traceMetadata };
const spans = trace.data.spans.map((span) => [span.name, String(span.startTimeNs), span.inputs]);
console.log(JSON.stringify({ experimentId, traceId, spanId, tone: tone.assessmentId, copies, id, seen, spans }));
"""


@pytest.fixture(scope="module")
def said(server_url: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the program did, by its own account."""
    directory = tmp_path_factory.mktemp("node-client")
    packages = directory / "node_modules"
    packages.mkdir()
    (packages / "mlflow-trace").symlink_to(REPOSITORY / "bindings" / "node")
    program = directory / "program.mjs"
    program.write_text(PROGRAM)
    done = subprocess.run(
        ["node", str(program), f"node-client-{os.getpid()}"],
        env={"PATH": os.environ["PATH"], "MLFLOW_TRACKING_URI": server_url},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    account: dict[str, Any] = json.loads(done.stdout)
    return account


@pytest.fixture(scope="module")
def trace(server_url: str, said: Mapping[str, Any]) -> Trace:
    found: Trace = MlflowClient(server_url).get_trace(said["traceId"])
    return found


def test_the_trace_is_the_same(trace: Trace, said: Mapping[str, Any]) -> None:
    assert trace.info.experiment_id == said["experimentId"]
    assert trace.info.tags == said["seen"]["tags"]
    assert trace.info.trace_metadata == said["seen"]["metadata"]
    assert trace.info.state == said["seen"]["state"]
    assert (trace.info.tags["early"], trace.info.tags["late"]) == ("ü", "yes")
    spans = [[span.name, str(span.start_time_ns), span.inputs] for span in trace.data.spans]
    assert spans == said["spans"]


def test_assessments_are_the_same(trace: Trace, said: Mapping[str, Any]) -> None:
    by_name = {each.name: each for each in trace.info.assessments if each.name != "tone"}
    early, failed, answer = (by_name[name] for name in ("early", "failed", "answer"))
    assert isinstance(early, Feedback)
    # Numbers of a JSON value are doubles on their way through the server.
    assert json.dumps(early.value) == '{"a": [1.0, null]}'
    assert early.source == AssessmentSource("LLM_JUDGE", "small")
    assert isinstance(failed, Feedback)
    assert failed.error is not None
    assert (failed.error.error_code, failed.error.error_message) == ("RangeError", "too long")
    assert failed.error.stack_trace == "at line 1"
    assert (failed.span_id, failed.metadata) == (said["spanId"], {"k": "v"})
    assert failed.source == AssessmentSource("CODE", "default")
    assert isinstance(answer, Expectation)
    assert answer.value == ["because"]
    assert answer.source == AssessmentSource("HUMAN", "default")


def test_what_replaces_feedback_is_known_as_such(trace: Trace, said: Mapping[str, Any]) -> None:
    tones = [each for each in trace.info.assessments if each.name == "tone"]
    old = next(each for each in tones if each.assessment_id == said["tone"])
    new = next(each for each in tones if each.assessment_id != said["tone"])
    assert isinstance(old, Feedback)
    assert isinstance(new, Feedback)
    assert (old.value, old.valid, old.rationale) == ("rude", False, "rough")
    assert (new.value, new.valid, new.overrides) == ("dry", True, said["tone"])
    assert new.source == AssessmentSource("HUMAN", "ann")


def test_experiments_are_the_same(server_url: str, said: Mapping[str, Any]) -> None:
    experiment = MlflowClient(server_url).get_experiment(said["experimentId"])
    assert experiment.name.startswith("node-client-")
    assert experiment.tags["team"] == "a"


def test_a_trace_made_from_parts_is_whole(
    server_url: str, trace: Trace, said: Mapping[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    # MLflow's client looks for files by its global setting.
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server_url)
    made = MlflowClient(server_url).get_trace(said["id"])
    assert made.info.experiment_id == said["copies"]
    assert made.info.tags["made"] == "by hand"
    assert made.info.execution_duration == trace.info.execution_duration
    assert made.info.request_time == trace.info.request_time
    assert [span.inputs for span in made.data.spans] == [span.inputs for span in trace.data.spans]
