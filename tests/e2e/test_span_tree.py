"""The demo's own check must notice every way in which a joined trace can be wrong."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import file_store
import pytest
from span_tree import SpanRecord, SpanTree

SERVICES = {"1": "JavaScript", "4": "Python", "7": "C++"}
PARENTS = {"1": None, "2": "1", "3": "1", "4": "3", "5": "4", "6": "4", "7": "6", "8": "7"}


def record(span_id: str) -> SpanRecord:
    start = int(span_id) * 1_000_000
    language = SERVICES.get(span_id)
    return SpanRecord(
        trace_id="t",
        span_id=span_id,
        parent_id=PARENTS[span_id],
        name=f"span {span_id}",
        span_type="TOOL",
        status="OK",
        start_ns=start,
        end_ns=start + 2_500_000,
        inputs={},
        outputs=0,
        attributes={"service.language": language, "service.name": "s"} if language else {},
    )


SOUND = [record(span_id) for span_id in PARENTS]


def changed(span_id: str, **fields: object) -> list[SpanRecord]:
    return [replace(s, **fields) if s.span_id == span_id else s for s in SOUND]  # type: ignore[arg-type]


def test_a_sound_trace_has_no_problems() -> None:
    assert SpanTree(SOUND).problems() == []


@pytest.mark.parametrize(
    ("spans", "problem"),
    [
        (SOUND[:-1], "7 spans where at least 8 were expected"),
        ([*SOUND, SOUND[-1]], "a span id occurs twice"),
        (changed("8", trace_id="u"), "the spans belong to several traces"),
        (changed("2", parent_id=None), "2 roots where one was expected"),
        ([s for s in SOUND if s.span_id != "6"], "the parent of 'span 7' is missing"),
        (changed("7", attributes={}), "no span from C++"),
        (changed("5", status="ERROR"), "'span 5' has status ERROR"),
        (changed("5", end_ns=0), "'span 5' ends before it starts"),
        (changed("5", span_type="UNKNOWN"), "'span 5' has no span type"),
        (changed("5", outputs=None), "'span 5' lacks inputs or outputs"),
    ],
)
def test_every_fault_is_named(spans: list[SpanRecord], problem: str) -> None:
    assert problem in SpanTree(spans).problems()


def test_nothing_recorded_is_a_problem() -> None:
    assert "0 roots where one was expected" in SpanTree([]).problems()
    assert SpanTree([]).render() == ""


def test_the_tree_is_drawn_in_order_of_time() -> None:
    lines = SpanTree(list(reversed(SOUND))).render().splitlines()
    assert [line.split("  TOOL")[0].rstrip() for line in lines] == [
        "span 1",
        "├─ span 2",
        "└─ span 3",
        "   └─ span 4",
        "      ├─ span 5",
        "      └─ span 6",
        "         └─ span 7",
        "            └─ span 8",
    ]
    assert lines[0].split() == ["span", "1", "TOOL", "s", "JavaScript", "2.50", "ms"]
    assert lines[-1].split()[-3:] == ["C++", "2.50", "ms"]


def test_the_file_store_is_joined_from_all_files(tmp_path: Path) -> None:
    span = (
        '{"traceId": "0a", "spanId": "%s", "name": "n", "startTimeUnixNano": "1", '
        '"endTimeUnixNano": "2", "status": {"code": 2, "message": "m"}, "attributes": ['
        '{"key": "mlflow.spanInputs", "value": {"stringValue": "{\\"q\\": [1]}"}}, '
        '{"key": "mlflow.spanOutputs", "value": {"stringValue": "[not JSON"}}, '
        '{"key": "k", "value": {"intValue": "3"}}]%s}'
    )
    line = '{"resourceSpans": [{"resource": {}, "scopeSpans": [{"scope": {}, "spans": [%s]}]}]}\n'
    (tmp_path / "a.jsonl").write_text(line % (span % ("01", "")))
    (tmp_path / "b.jsonl").write_text(line % (span % ("02", ', "parentSpanId": "01"')))
    (tmp_path / "b.txt").write_text("no trace")
    first, second = file_store.read(tmp_path)
    assert (first.span_id, first.parent_id, second.span_id, second.parent_id) == (
        "01",
        None,
        "02",
        "01",
    )
    assert (first.status, first.inputs, first.outputs) == ("ERROR", {"q": [1]}, "[not JSON")
    assert first.attributes["k"] == 3
