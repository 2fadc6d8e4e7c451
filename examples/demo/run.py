"""One question through three services in three languages, and the one trace that they leave.

Without --server every service writes to the embedded file store, whose files are then joined.
With --server the services send to an MLflow server (one is started when no URL is given), and the
trace is read back with MLflow's own client.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import file_store
from services import REPOSITORY, RETRIEVAL_PROGRAM, DemoError, Reply, Services, check_built
from span_tree import SpanTree

sys.path.insert(0, str(REPOSITORY / "tests" / "server"))
from mlflow_server import MlflowServer, ServerError, signals_as_exit

QUESTIONS = [
    "How does the James Webb Space Telescope stay cold?",
    "Who wrote the first computer program?",
]


@dataclass(frozen=True)
class Plan:
    questions: list[str]
    retrieval_program: Path


def ask_all(settings: dict[str, str], plan: Plan) -> list[tuple[str, Reply]]:
    print("Starting the services", flush=True)
    replies = []
    with Services(settings, plan.retrieval_program) as services:
        for question in plan.questions:
            print(f"Question: {question}")
            reply = services.ask(question)
            print(f"Answer:   {reply.body['answer']}")
            replies.append((question, reply))
    return replies


def require(problems: list[str]) -> None:
    if problems:
        raise DemoError("the trace is not as it should be:\n  " + "\n  ".join(problems))


def run_with_files(directory: Path, plan: Plan) -> None:
    replies = ask_all({"MLFLOW_TRACE_FILE_DIRECTORY": str(directory)}, plan)
    spans = file_store.read(directory)
    files = len(list(directory.glob("*.jsonl")))
    for question, reply in replies:
        tree = SpanTree([span for span in spans if f"tr-{span.trace_id}" == reply.trace_id])
        print(f"\n{question}\n{reply.trace_id}: {len(tree.spans)} spans joined from {files} files")
        print(tree.render())
        require(tree.problems())


def run_with_server(url: str, plan: Plan) -> None:
    import server_store

    store = server_store.ServerStore(url)
    settings = {"MLFLOW_TRACKING_URI": url, "MLFLOW_EXPERIMENT_ID": store.experiment_id}
    for question, reply in ask_all(settings, plan):
        trace = store.read(reply.trace_id)
        tree = SpanTree(server_store.records(trace))
        print(
            f"\n{question}\n{reply.trace_id}: {len(tree.spans)} spans read back by MLflow's client"
        )
        print(tree.render())
        print(server_store.describe(trace))
        print(f"link             {store.link(reply.trace_id)}")
        require(tree.problems() + server_store.problems(trace, question, reply.body))


@contextmanager
def directory_for(path: Path | None) -> Iterator[Path]:
    if path is None:
        with tempfile.TemporaryDirectory(prefix="mlflow-traces-") as temporary:
            yield Path(temporary)
    else:
        path.mkdir(parents=True, exist_ok=True)
        yield path


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--question", action="append", metavar="TEXT", help="may be repeated")
    parser.add_argument("--directory", type=Path, help="keep the trace files there")
    parser.add_argument(
        "--server", nargs="?", const="", metavar="URL", help="send to an MLflow server"
    )
    parser.add_argument(
        "--wait", action="store_true", help="leave the started server up until Enter is pressed"
    )
    parser.add_argument(
        "--retrieval", type=Path, default=RETRIEVAL_PROGRAM, help="another build of the service"
    )
    options = parser.parse_args()
    plan = Plan(options.question or QUESTIONS, options.retrieval)
    try:
        check_built(plan.retrieval_program)
        with signals_as_exit(), ExitStack() as stack:
            if options.server is None:
                run_with_files(stack.enter_context(directory_for(options.directory)), plan)
            else:
                url = options.server or stack.enter_context(MlflowServer()).url
                run_with_server(url, plan)
                if options.wait:
                    input("Press Enter to stop the server. ")
    except (DemoError, ServerError) as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1
    print("\nOK: each question left one trace from three languages, with every parent found")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
