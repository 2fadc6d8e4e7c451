"""Reads the functions that include/mlflow_trace.h declares, with what their documentation says of errors."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path


@dataclass
class Parameter:
    type: str
    name: str


@dataclass
class Function:
    result: str
    name: str
    parameters: list[Parameter]
    # The statuses that it returns besides MLFLOW_OK, without their prefix.
    statuses: list[str]

    def types(self) -> str:
        return ", ".join(parameter.type for parameter in self.parameters) or "void"


def read_parameter(declaration: str) -> Parameter:
    found = re.fullmatch(r"(.*?)(\w+)", " ".join(declaration.split()))
    assert found, declaration
    return Parameter(found[1].strip(), found[2])


def read(header: Path, symbols: Path) -> list[Function]:
    """The functions in their order; all that the list of exports names, or it fails."""
    text = header.read_text()
    names = re.findall(r"#define MLFLOW_ERROR_(\w+) ", text)
    pattern = r"/\*\*((?:(?!\*/).)*)\*/\n((?:const )?\w+ \**)(mlflow_\w+)\(([^{};]*)\);"
    functions = []
    for doc, result, name, parameters in re.findall(pattern, text, re.DOTALL):
        errors = doc[doc.index("Errors:") : doc.index("Since:")]
        functions.append(
            Function(
                result.strip(),
                name,
                [] if parameters == "void" else [read_parameter(p) for p in parameters.split(",")],
                [status for status in names if re.search(rf"\b{status}\b", errors)],
            )
        )
    lines = symbols.read_text().splitlines()
    exported = {line.split()[0] for line in lines if not line.startswith("#")}
    escaped = exported ^ {function.name for function in functions}
    if escaped:
        raise SystemExit(f"only in one of {header} and {symbols}: {', '.join(sorted(escaped))}")
    return functions
