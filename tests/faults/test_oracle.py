"""The oracle sink from Python, through the binding."""

from __future__ import annotations

import mlflow_trace
from oracle import Oracle


def test_a_passing_fault_loses_nothing_and_repeats_nothing() -> None:
    with Oracle() as oracle:
        oracle.faults({"rules": [{"on": "spans", "do": {"status": {"code": 503}}, "times": 1}]})
        mlflow_trace.configure(tracking_uri=oracle.url, experiment_id="0")
        try:
            with mlflow_trace.start_span("root") as root, mlflow_trace.start_span("child"):
                pass
            assert mlflow_trace.flush(timeout=20) == 0
        finally:
            mlflow_trace.shutdown(timeout=5)
        ledger = oracle.ledger()
        trace = ledger["traces"][root.trace_id]
        assert trace["infos"] == ["OK"]
        assert [span["copies"] for span in trace["spans"].values()] == [1, 1]
        statuses = [r["status"] for r in ledger["requests"] if r["endpoint"] == "spans"]
        assert statuses == [503, 200]
        assert oracle.stats()["spans"] == 2
        oracle.reset()
        assert oracle.ledger()["traces"] == {}
