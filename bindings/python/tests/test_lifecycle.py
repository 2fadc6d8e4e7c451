"""Delivery, unreachable servers, the end of the process, and forks."""

from __future__ import annotations

import importlib.util
import json
import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import mlflow_trace
from mlflow_trace import _native

# What an interpreter needs to start and stop on a busy machine, on top of what is measured.
SLACK_S = 3.0


@pytest.fixture
def silent_server():
    """An address that accepts connections and never answers."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(64)
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


def record(count=1):
    for _ in range(count):
        with mlflow_trace.start_span("root"), mlflow_trace.start_span("child"):
            pass


def counters():
    """Created, delivered, pending and dropped spans; their balance holds at every moment."""
    stats = mlflow_trace.stats()
    dropped = sum(stats["dropped"].values())
    assert stats["created"] == stats["delivered"] + stats["pending"] + dropped
    return Counter(
        created=stats["created"],
        delivered=stats["delivered"],
        pending=stats["pending"],
        dropped=dropped,
    )


def test_flush_says_what_is_pending(recording, silent_server):
    mlflow_trace.configure(exporter="mlflow", tracking_uri=silent_server)
    before = counters()
    record(10)
    started = time.monotonic()
    assert mlflow_trace.flush(timeout=0.3) == 20
    assert time.monotonic() - started < 2
    assert counters() - before == {"created": 20, "pending": 20}
    record(1)
    assert mlflow_trace.shutdown(timeout=0.3) == 22
    assert mlflow_trace.flush(timeout=10) == 0
    assert counters() - before == {"created": 22, "dropped": 22}
    mlflow_trace.configure(exporter="memory", tracking_uri=None)
    assert counters() - before == {"created": 22, "dropped": 22}


def test_flush_without_anything_to_send(recording):
    assert mlflow_trace.flush() == 0
    assert mlflow_trace.flush_trace_async_logging() is None
    record()
    assert mlflow_trace.flush_trace_async_logging(terminate=True) is None
    assert len(_native.memory_traces()) == 1


def test_counters(recording):
    before = counters()
    ignored = mlflow_trace.stats()["ignored"]
    record(3)
    with mlflow_trace.start_span() as span:
        assert (counters() - before)["created"] == 7
    span.set_outputs(1)
    assert mlflow_trace.flush() == 0
    assert counters() - before == {"created": 7, "delivered": 7}
    assert mlflow_trace.stats()["ignored"] == ignored + 1


def test_counters_of_the_spool(run_python, silent_server, tmp_path):
    done = run_python(
        f"""
        import mlflow_trace as mlflow
        mlflow.configure(exporter="mlflow", tracking_uri={silent_server!r},
                         spool="write-through", spool_dir={str(tmp_path / "spool")!r})
        with mlflow.start_span("kept"):
            pass
        assert mlflow.shutdown(timeout=0.2) == 1
        stats = mlflow.stats()
        assert stats["spooled"] == stats["pending"] == 1, stats
        assert stats["spool_degraded"] is False
        none = {{"adopted": 0, "delivered": 0, "dropped": 0, "pending": 0}}
        assert stats["recovered"] == none, stats
        """
    )
    assert done.returncode == 0, done.stderr


def test_other_threads_run_while_one_waits(recording, silent_server):
    mlflow_trace.configure(exporter="mlflow", tracking_uri=silent_server)
    record()
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(mlflow_trace.flush, 1.0)
        turns = 0
        while not waiting.done():
            time.sleep(0.01)
            turns += 1
        assert waiting.result() == 2
    assert turns > 20
    mlflow_trace.shutdown(timeout=0)
    mlflow_trace.configure(exporter="memory", tracking_uri=None)


def test_an_interrupt_ends_a_wait(recording, silent_server):
    mlflow_trace.configure(exporter="mlflow", tracking_uri=silent_server)
    record()
    previous = signal.signal(signal.SIGALRM, signal.default_int_handler)
    signal.setitimer(signal.ITIMER_REAL, 0.2)
    started = time.monotonic()
    try:
        with pytest.raises(KeyboardInterrupt):
            mlflow_trace.flush(timeout=20)
        assert time.monotonic() - started < 5
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
        mlflow_trace.shutdown(timeout=0)
        mlflow_trace.configure(exporter="memory", tracking_uri=None)


@pytest.mark.parametrize("server", ["silent", "closed"])
def test_a_process_ends_in_time_with_an_unreachable_server(run_python, silent_server, server):
    uri = silent_server if server == "silent" else "http://127.0.0.1:1"
    code = """
        import time
        import mlflow_trace
        for _ in range(1000):
            with mlflow_trace.start_span("root"):
                with mlflow_trace.start_span("child"):
                    pass
        print(time.monotonic())
    """
    done = run_python(code, MLFLOW_TRACKING_URI=uri)
    took = time.monotonic() - float(done.stdout)
    assert done.returncode == 0
    assert "Traceback" not in done.stderr
    assert took < 2.1 + SLACK_S


def test_the_end_of_the_program_delivers(run_python, tmp_path):
    code = """
        import mlflow_trace
        with mlflow_trace.start_span("last words"):
            pass
    """
    done = run_python(code, MLFLOW_TRACE_BATCH_DELAY_MS="600000")
    assert done.returncode == 0
    (file,) = (tmp_path / "mlflow-traces").iterdir()
    assert "last words" in file.read_text()


def test_a_failing_program_delivers_too(run_python, tmp_path):
    code = """
        import mlflow_trace
        with mlflow_trace.start_span("failing"):
            raise SystemExit(3)
    """
    assert run_python(code).returncode == 3
    (file,) = (tmp_path / "mlflow-traces").iterdir()
    assert "SystemExit" in file.read_text()


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="threads are not listed here")
def test_importing_starts_nothing(run_python, tmp_path):
    code = """
        import os
        import mlflow_trace
        assert len(os.listdir("/proc/self/task")) == 1
    """
    done = run_python(code)
    assert (done.returncode, done.stderr) == (0, "")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_child_records_and_flushes_on_its_own(recording):
    record()
    with mlflow_trace.start_span("parent") as parent:
        readable, writable = os.pipe()
        child = os.fork()
        if child == 0:
            status = 1
            try:
                with mlflow_trace.start_span("in the child"):
                    pass
                pending = mlflow_trace.flush(timeout=10)
                traces = [json.loads(text)["spans"] for text in _native.memory_traces()]
                result = {
                    "pending": pending,
                    "spans": [span for spans in traces for span in spans],
                    "stats": mlflow_trace.stats(),
                }
                os.write(writable, json.dumps(result).encode())
                status = 0
            finally:
                os._exit(status)
        os.close(writable)
        with os.fdopen(readable) as pipe:
            result = json.load(pipe)
        assert os.waitpid(child, 0)[1] == 0
    # Only its own span, and that in the trace that it was forked in.
    (span,) = result["spans"]
    assert span["name"] == "in the child"
    assert span["parent_span_id"] == parent.to_dict()["span_id"]
    assert result["pending"] == 0
    assert result["stats"]["delivered"] == 1
    first, second = recording.traces()
    assert first.tree() == {"root": None, "child": "root"}
    assert second.tree() == {"parent": None}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_child_delivers_for_a_trace_from_before_a_change(recording):
    with mlflow_trace.start_span("parent"):
        mlflow_trace.configure(service_name="other")
        readable, writable = os.pipe()
        child = os.fork()
        if child == 0:
            status = 1
            try:
                with mlflow_trace.start_span("in the child"):
                    pass
                mlflow_trace.flush(timeout=10)
                os.write(writable, "".join(_native.memory_traces()).encode())
                status = 0
            finally:
                os._exit(status)
        os.close(writable)
        with os.fdopen(readable) as pipe:
            trace = json.load(pipe)
        assert os.waitpid(child, 0)[1] == 0
    assert [span["name"] for span in trace["spans"]] == ["in the child"]
    mlflow_trace.configure(service_name=None)


@pytest.mark.skipif(
    "fork" not in multiprocessing.get_all_start_methods(), reason="there is no fork here"
)
def test_workers_of_multiprocessing_deliver_when_they_end(run_python, tmp_path):
    code = """
        import multiprocessing
        import mlflow_trace

        def work():
            with mlflow_trace.start_span("worker"):
                pass

        with mlflow_trace.start_span("main"):
            fork = multiprocessing.get_context("fork")
            workers = [fork.Process(target=work) for _ in range(2)]
            for worker in workers:
                worker.start()
            for worker in workers:
                worker.join()
            assert [worker.exitcode for worker in workers] == [0, 0]
    """
    done = run_python(code, MLFLOW_TRACE_BATCH_DELAY_MS="600000")
    assert done.returncode == 0, done.stderr
    assert written(tmp_path / "mlflow-traces") == ["main", "worker", "worker"]


def written(folder):
    """Names of the spans in the files of a folder."""
    return sorted(
        span["name"]
        for file in folder.iterdir()
        for line in file.read_text().splitlines()
        for span in json.loads(line)["resourceSpans"][0]["scopeSpans"][0]["spans"]
    )


ENDINGS = {
    "the end": "",
    "sys.exit": "import sys; sys.exit(0)",
    "an interrupt": "import os, signal; os.kill(os.getpid(), signal.SIGINT)",
    "SIGTERM with a handler": """import os, signal, sys
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
os.kill(os.getpid(), signal.SIGTERM)""",
    "_exit after a flush": "import os; mlflow_trace.flush(); os._exit(0)",
    "a daemon thread that records": """import threading, time
def forever():
    while True:
        with mlflow_trace.start_span("daemon"):
            pass
threading.Thread(target=forever, daemon=True).start()
time.sleep(0.01)""",
}


@pytest.mark.parametrize("ending", ENDINGS)
def test_all_traces_arrive_however_a_program_ends(run_python, tmp_path, ending):
    code = """
import mlflow_trace
for n in range(50):
    with mlflow_trace.start_span(f"trace {n:02}"):
        pass
"""
    done = run_python(code + ENDINGS[ending], MLFLOW_TRACE_BATCH_DELAY_MS="600000")
    assert done.returncode >= 0 or ending == "an interrupt", done.stderr
    found = [name for name in written(tmp_path / "mlflow-traces") if name != "daemon"]
    assert found == [f"trace {n:02}" for n in range(50)]


@pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])
def test_pools_of_processes_deliver(tmp_path, method, own_environment):
    if method not in multiprocessing.get_all_start_methods():
        pytest.skip(f"there is no {method} here")
    program = tmp_path / "program.py"
    program.write_text(f"""
import multiprocessing
import mlflow_trace

def work(n):
    with mlflow_trace.start_span(f"work {{n}}"):
        return n

if __name__ == "__main__":
    with mlflow_trace.start_span("main"):
        pool = multiprocessing.get_context("{method}").Pool(2)
        assert pool.map(work, range(6)) == list(range(6))
        pool.close()
        pool.join()
""")
    done = subprocess.run(
        [sys.executable, str(program)],
        env=os.environ | {"MLFLOW_TRACE_BATCH_DELAY_MS": "600000"},
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert written(tmp_path / "mlflow-traces") == ["main", *(f"work {n}" for n in range(6))]


@pytest.mark.skipif(importlib.util.find_spec("gunicorn") is None, reason="there is no gunicorn")
def test_workers_of_gunicorn_deliver_what_was_loaded_before_their_fork(tmp_path, own_environment):
    (tmp_path / "service.py").write_text("""
import mlflow_trace

with mlflow_trace.start_span("load"):
    pass

@mlflow_trace.trace
def handle(path):
    return path.encode()

def app(environ, start_response):
    start_response("200 OK", [])
    return [handle(environ["PATH_INFO"])]
""")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = subprocess.Popen(
        [
            *(sys.executable, "-m", "gunicorn", "--preload", "--workers", "2"),
            *("--bind", f"127.0.0.1:{port}", "--no-control-socket", "service:app"),
        ],
        cwd=tmp_path,
        env=os.environ | {"MLFLOW_TRACE_BATCH_DELAY_MS": "600000"},
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        deadline = time.monotonic() + 30
        answers = 0
        while answers < 8 and time.monotonic() < deadline:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/{answers}", timeout=5) as r:
                    answers += r.status == 200
            except OSError:
                time.sleep(0.05)
                assert server.poll() is None, server.communicate()[1]
        assert answers == 8
    finally:
        server.terminate()
        server.communicate(timeout=20)
    assert written(tmp_path / "mlflow-traces") == ["handle"] * 8 + ["load"]


def test_subinterpreters_are_refused(run_python):
    done = run_python("""
        try:
            import _interpreters as interpreters
        except ImportError:
            import _xxsubinterpreters as interpreters
        import mlflow_trace
        code = "try: import mlflow_trace\\nexcept ImportError as e: print(e, flush=True)"
        interpreters.run_string(interpreters.create(), code)
    """)
    assert "subinterpreter" in done.stdout, done.stderr
