"""Compares what was recorded for a case with what MLflow's own integration recorded for it.

golden/<library>/<case>.json   what MLflow 3.17.2 stored, with what the caller saw
better/<library>/<case>.json   where ours differs: the reason, and the tree as it should be
"""

from __future__ import annotations

import difflib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deviations import expected
from trees import Tree, again, canonical, plain

HERE = Path(__file__).resolve().parent
EQUAL = "equal"
NOT_COVERED = "not covered by MLflow"


@dataclass
class Verdict:
    """How a case compares: `verdict` for the table, and the difference where there should be none."""

    verdict: str
    difference: str = ""


def names(library: str) -> list[str]:
    """The cases of a library."""
    found = {
        path.stem
        for kind in ("golden", "better")
        for path in (HERE / kind / library).glob("*.json")
    }
    return sorted(found)


def libraries() -> list[str]:
    return sorted(path.stem for path in (HERE / "cases").glob("[!_]*.py"))


def read(kind: str, library: str, case: str) -> dict[str, Any] | None:
    path = HERE / kind / library / f"{case}.json"
    if not path.exists():
        return None
    found = json.loads(path.read_text())
    assert isinstance(found, dict)
    seen = {part: plain(found[part]) for part in ("raised", "result") if part in found}
    return {**found, **seen, "traces": [again(tree) for tree in found["traces"]]}


def outline(spans: list[Tree]) -> list[Tree]:
    """Names and types of spans, and which are below which."""
    found: list[Tree] = [
        {"name": span["name"], "type": span["type"], "children": outline(span.get("children", []))}
        for span in spans
    ]
    return sorted(found, key=canonical)


def compare(library: str, case: str, recorded: dict[str, Any], whole: bool = True) -> Verdict:
    """Compare `traces` of a case, and what its caller saw: `raised` and `result`.

    Unless `whole`, no more than names and types of spans, which other versions of a library have too.
    """
    better = read("better", library, case)
    golden = read("golden", library, case) or {**(better or {}), "traces": []}
    as_mlflow, reasons = expected(golden["traces"])
    verdict = f"better: {'; '.join(reasons)}" if reasons else EQUAL
    wanted = {**golden, "traces": as_mlflow}
    if better is not None:
        assert better["reason"], f"better/{library}/{case}.json gives no reason"
        if "result" not in better and ordered(better["traces"]) == ordered(as_mlflow):
            return Verdict("FAILED", "what should be better is the same as MLflow's")
        wanted["traces"] = better["traces"]
        if golden["traces"]:
            verdict = "better: " + "; ".join([better["reason"], *reasons])
        else:
            verdict = f"{NOT_COVERED}: {better['reason']}"
    parts = ("raised", "result", "traces") if whole else ("traces",)
    if not whole:
        if (recorded.get("raised") or "").startswith("AttributeError") and not wanted.get("raised"):
            return Verdict("not in this version")
        wanted, recorded = (
            {"traces": [outline(trace["spans"]) for trace in each["traces"]]}
            for each in (wanted, recorded)
        )
    lines = [
        line
        for part in parts
        for line in difference(part, ordered(wanted.get(part)), ordered(plain(recorded.get(part))))
    ]
    return Verdict("FAILED", "\n".join(lines)) if lines else Verdict(verdict)


def ordered(value: Any) -> Any:
    return sorted(value, key=canonical) if isinstance(value, list) else value


def difference(what: str, wanted: Any, found: Any) -> list[str]:
    if wanted == found:
        return []
    before, after = (
        json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False).splitlines()
        for value in (wanted, found)
    )
    names = (f"{what} wanted", f"{what} found")
    return list(difflib.unified_diff(before, after, *names, lineterm="", n=4))


def write(library: str, case: str, recorded: dict[str, Any]) -> None:
    """Write what was recorded to `better/`, for a review; the reason is to be filled in."""
    old = read("better", library, case) or {}
    path = HERE / "better" / library / f"{case}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {"reason": old.get("reason", ""), "traces": ordered(recorded["traces"])}
    if read("golden", library, case) is None:
        content |= {part: recorded.get(part) for part in ("raised", "result")}
    path.write_text(json.dumps(content, indent=1, sort_keys=True, ensure_ascii=False) + "\n")
