"""Runs the program of vectors.c on tests/vectors/values.json and compares what it recorded.

    read_vectors.py PROGRAM

prints one line for each value, as the C programs do.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

PROGRAM = Path(sys.argv[1])
VECTORS = Path(__file__).parent.parent / "vectors" / "values.json"

# Kinds of values that C has; everything else is given as JSON text.
NATIVE = ("bool", "int", "double", "text")


def quote(content: object) -> str:
    return json.dumps(content, ensure_ascii=False)


def json_text(description: dict[str, Any]) -> str:
    ((kind, content),) = description.items()
    match kind:
        case "int" | "double":
            return str(content)
        case "list":
            return f"[{','.join(map(json_text, content))}]"
        case "object":
            return "{" + ",".join(f"{quote(k)}:{json_text(v)}" for k, v in content) + "}"
        case "nested":
            ((container, depth),) = content.items()
            left, right = ("[", "]") if container == "list" else ('{"k":', "}")
            return f'{left * depth}"bottom"{right * depth}'
        case _:
            return quote(content)


def lines(vector: dict[str, Any]) -> list[str]:
    """The value natively, where C has its type, and as JSON text."""
    ((kind, content),) = vector["value"].items()
    name = vector["name"]
    text = json_text(vector["value"])
    given = [(f"{name} as JSON", "json", text)]
    fits = kind != "int" or -(2**63) <= int(content) < 2**63
    if kind in NATIVE and fits:
        given.append((name, kind, content if kind == "text" else text))
    return ["\t".join((n.encode().hex(), k, v.encode().hex())) for n, k, v in given]


def main() -> int:
    vectors = [vector for vector in json.loads(VECTORS.read_text())]
    vectors = [vector for vector in vectors if "c" not in vector.get("except", [])]
    given = "".join(f"{line}\n" for vector in vectors for line in lines(vector))
    run = subprocess.run(
        [PROGRAM], input=given, capture_output=True, text=True, timeout=60, check=False
    )
    found: dict[str, str] = {}
    for line in run.stdout.split("\n"):
        if line.startswith("trace "):
            (span,) = json.loads(line.removeprefix("trace "))["spans"]
            found = span["attributes"]
        elif line:
            print(line)
    failed = run.returncode != 0 or not found
    for vector in vectors:
        name, text = vector["name"], vector["text"]
        wrong = [
            f"{key} is {found.get(key)!r:.300} and not {text!r:.300}"
            for key in (name, f"{name} as JSON")
            if (key in found or key != name) and found.get(key) != text
        ]
        for problem in wrong:
            print(f"  {problem}")
        print(f"{'not ok' if wrong else 'ok'} {PROGRAM.name}: {name!a}")
        failed |= bool(wrong)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
