"""Writes the misuse of every function of include/mlflow_trace.h as C, for misuse.c to run.

    misuse.py include/mlflow_trace.h ffi/abi/symbols.txt > misuse_table.h

What can be done wrong with a parameter follows from its type, sometimes from its name. A function with a parameter of
a kind that is not known here stops the build, so that none escapes.
"""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass, field
from pathlib import Path

from header import Function, Parameter, read

# What a row expects: OK or BAD (INVALID_ARGUMENT) or SHORT (BUFFER_TOO_SMALL), STALE (INVALID_STATE, where the
# documentation has it), or any status that the documentation has.
OK, BAD, SHORT, STALE, ANY = "OK", "BAD", "SHORT", "STALE", "ANY"

Rows = list[tuple[str, str, str]]


@dataclass
class Kind:
    """A good argument, and others with a name and what is expected of them."""

    good: str
    rows: Rows = field(default_factory=list)


def handle(good: str) -> Kind:
    return Kind(good, [("NULL", "NULL", BAD), ("misaligned", "ODD", BAD)])


def neutral(good: str) -> Kind:
    return Kind(good, [("NULL", "NULL", OK), ("misaligned", "ODD", OK)])


def output(good: str) -> Kind:
    return handle(good)


def optional(good: str) -> Kind:
    return Kind(good, [("NULL", "NULL", ANY), ("misaligned", "ODD", BAD)])


def number(good: str, *others: str) -> Kind:
    return Kind(good, [(other, other, ANY) for other in others])


def text(good: str) -> Kind:
    hostile = ["empty", "unterminated", "invalid_utf8", "embedded_nul", "huge"]
    rows = [
        ("NULL with a length", "NULL_WITH_LENGTH", BAD),
        ("longer than any object", "ENDLESS", BAD),
        ("one longer than any object", "ENDLESS_BY_ONE", BAD),
        ("NULL without a length", "mlflow_str_n(NULL, 0)", ANY),
    ]
    return Kind(good, rows + [(name, f"w->{name}", ANY) for name in hostile])


SPANS: Rows = [
    ("{0}", "NO_SPAN", STALE),
    ("never issued", "FORGED", STALE),
    ("of a slot that does not exist", "FAR", STALE),
    ("all bits set", "ALL_BITS", STALE),
    ("of no span, by its own number", "NONE_ITSELF", STALE),
    ("ended", "w->ended", STALE),
    ("of a tracer that was shut down", "w->shut_down", ANY),
    ("of a tracer that was freed", "w->orphan", ANY),
    ("of another tracer", "w->foreign", ANY),
]

LISTS: Rows = [
    (name, f"w->{name}", BAD)
    for name in ["unknown_kind", "reserved_set", "no_key", "bad_key", "bad_text"]
]

OPTIONS: Rows = [("NULL", "NULL", OK), ("misaligned", "ODD", BAD)] + [
    (f"options {name}", f"options_{name}(w)", expected)
    for name, expected in [
        ("of_no_size", BAD),
        ("of_a_size_between", BAD),
        ("of_the_first_size", OK),
        ("of_the_future", OK),
        ("with_reserved", BAD),
        ("with_a_bad_ratio", BAD),
        ("with_nan_as_ratio", BAD),
        ("with_a_bad_list", BAD),
        ("with_a_bad_type", BAD),
        ("with_a_bad_traceparent", BAD),
        ("with_a_bad_tracestate", BAD),
        ("with_garbage_headers", OK),
        ("with_an_ended_parent", OK),
        ("with_a_forged_parent", OK),
        ("with_a_foreign_parent", OK),
        ("with_the_last_time", OK),
    ]
]

# By type and name; by type alone where the name is "".
KINDS: dict[tuple[str, str], Kind] = {
    ("const mlflow_tracer_t *", ""): handle("w->tracer"),
    ("const mlflow_config_t *", ""): handle("w->config"),
    ("const mlflow_error_t *", ""): neutral("w->error"),
    ("const mlflow_text_t *", ""): neutral("w->text_object"),
    ("mlflow_tracer_t *", ""): neutral("fresh_tracer()"),
    ("mlflow_config_t *", ""): neutral("fresh_config()"),
    ("mlflow_error_t *", ""): neutral("fresh_error()"),
    ("mlflow_text_t *", ""): neutral("fresh_text(w)"),
    ("mlflow_tracer_t **", ""): output("&w->out.tracer"),
    ("mlflow_config_t **", ""): output("&w->out.config"),
    ("mlflow_text_t **", ""): output("&w->out.text"),
    ("mlflow_span_t *", ""): output("&w->out.span"),
    ("uint64_t *", "value"): output("&w->out.number"),
    ("uint64_t *", "pending"): optional("&w->out.number"),
    ("uint64_t *", "accepted"): optional("&w->out.number"),
    ("size_t *", "length"): optional("&w->out.length"),
    ("mlflow_span_t", ""): Kind("w->span", SPANS),
    ("mlflow_str_t", ""): text('MLFLOW_STR("text")'),
    ("mlflow_str_t", "content_type"): text('MLFLOW_STR("image/png")'),
    ("mlflow_str_t", "field"): text('MLFLOW_STR("user")'),
    ("mlflow_str_t", "header"): text('MLFLOW_STR("traceparent")'),
    ("mlflow_str_t", "span_id"): text('MLFLOW_STR("b7ad6b7169203331")'),
    ("mlflow_str_t", "trace_id"): text('MLFLOW_STR("tr-0af7651916cd43dd8448eb211c80319c")'),
    ("const mlflow_span_options_t *", ""): Kind("options_good(w)", OPTIONS),
    ("const mlflow_attribute_t *", ""): Kind(
        "w->attributes", [("NULL with a count", "NULL", BAD), ("misaligned", "ODD", BAD), *LISTS]
    ),
    ("size_t", "count"): Kind("2", [("longer than any object", "SIZE_MAX", BAD)]),
    ("char *", "buffer"): Kind("w->out.buffer", [("NULL with a capacity", "NULL", BAD)]),
    ("size_t", "capacity"): Kind(
        "sizeof w->out.buffer",
        [("longer than any object", "SIZE_MAX", BAD), ("0", "0", SHORT), ("1", "1", SHORT)],
    ),
    ("const void *", "bytes"): Kind('"\\x89PNG"', [("NULL with a size", "NULL", BAD)]),
    ("const void *", "request"): Kind("OTLP", [("NULL with a size", "NULL", BAD)]),
    ("size_t", "size"): Kind("3", [("longer than any object", "SIZE_MAX", BAD)]),
    ("uint64_t", "timeout_ms"): number("0", "1"),
    ("uint64_t", "time_ns"): number("0", "1", "UINT64_MAX"),
    ("uint64_t", "end_time_ns"): number("0", "1", "UINT64_MAX"),
    ("int64_t", "value"): number("1", "INT64_MIN", "INT64_MAX"),
    ("double", "value"): number("0.5", "NAN", "INFINITY", "-DBL_MAX", "DBL_TRUE_MIN"),
    ("int32_t", "value"): number("1", "0", "INT32_MIN"),
    ("int32_t", "status"): Kind(
        "MLFLOW_SPAN_STATUS_OK", [(bad, bad, BAD) for bad in ["-1", "3", "INT32_MIN", "INT32_MAX"]]
    ),
    ("mlflow_status_t", "status"): number("MLFLOW_OK", "-1", "INT32_MIN", "INT32_MAX"),
    ("mlflow_processor_t", ""): Kind("look_on", [("NULL", "NULL", BAD)]),
    ("void *", "user_data"): number("NULL", "ODD"),
    ("mlflow_user_data_free_t", ""): number("NULL", "look_away"),
    ("mlflow_error_t **", "error"): Kind("error", [("misaligned", "ODD", ANY)]),
}

# Good texts that depend on the function.
PARTICULAR: dict[tuple[str, str], str] = {
    ("mlflow_config_set", "key"): 'MLFLOW_STR("service.name")',
    ("mlflow_config_get", "key"): 'MLFLOW_STR("exporter")',
    ("mlflow_tracer_get_stat", "name"): 'MLFLOW_STR("created")',
    ("mlflow_client_call", "method"): 'MLFLOW_STR("search_traces")',
    ("mlflow_client_call", "arguments"): 'MLFLOW_STR("{}")',
    ("mlflow_dialect_ask", "dialect"): 'MLFLOW_STR("anthropic")',
    ("mlflow_dialect_ask", "question"): 'MLFLOW_STR("request")',
}


def good(function: Function, parameter: Parameter) -> str:
    particular = PARTICULAR.get((function.name, parameter.name))
    return particular or kind(function, parameter).good


def reports(function: Function) -> int:
    """Whether it fills an error."""
    return int(any(parameter.type == "mlflow_error_t **" for parameter in function.parameters))


def body(function: Function, *replaced: tuple[str, str]) -> str:
    """Calls it with good arguments but for these, and answers a status."""
    values = {parameter.name: good(function, parameter) for parameter in function.parameters}
    values.update(replaced)
    call = f"{function.name}({', '.join(values.values())})"
    unused = [name for name in ("w", "error") if not re.search(rf"(?<!->)\b{name}\b", call)]
    ignored = "".join(f"(void){name}; " for name in unused)
    if function.result == "mlflow_status_t" and function.statuses:
        return f"{ignored}return {call};"
    discard = "" if function.result == "void" else "(void)"
    return f"{ignored}{discard}{call}; return MLFLOW_OK;"


def kind(function: Function, parameter: Parameter) -> Kind:
    found = KINDS.get((parameter.type, parameter.name)) or KINDS.get((parameter.type, ""))
    if found is None:
        sys.exit(
            f"misuse.py does not know how to misuse `{parameter.type} {parameter.name}` of {function.name}"
        )
    return found


def rows(function: Function) -> Rows:
    """Every misuse of every parameter, each with otherwise good arguments, as code."""
    found: Rows = []
    for parameter in function.parameters:
        for what, value, expected in kind(function, parameter).rows:
            replaced = [(parameter.name, value)]
            if (parameter.name, what) == ("capacity", "0"):
                replaced.append(("buffer", "NULL"))
            if expected == STALE and "INVALID_STATE" not in function.statuses:
                expected = ANY
            found.append((f"{parameter.name}: {what}", body(function, *replaced), expected))
    return found


def write(functions: list[Function]) -> None:
    print("/* Written by tests/c/misuse.py. */")
    print("#ifdef MISUSE_DLOPEN\nstatic struct {")
    for function in functions:
        print(f"    {function.result} (*{function.name})({function.types()});")
    print("} api;\nstatic const char *misuse_load(void *library)\n{")
    for function in functions:
        print(f'    if (!LOAD(library, api.{function.name}, "{function.name}"))')
        print(f'        return "{function.name}";')
    print("    return NULL;\n}")
    for function in functions:
        print(f"#define {function.name} api.{function.name}")
    print("#endif")
    print('#include "misuse.h"')
    table = []
    cases = []
    for function in functions:
        head = "(struct world *w, mlflow_error_t **error)"
        print(f"static mlflow_status_t use_{function.name}{head}\n{{\n    {body(function)}\n}}")
        documented = " | ".join(f"BIT({status})" for status in function.statuses) or "0"
        table.append(
            f'    {{"{function.name}", use_{function.name}, {documented}, {reports(function)}}},'
        )
        for index, (what, code, expected) in enumerate(rows(function)):
            row = f"row_{function.name}_{index}"
            print(f"static mlflow_status_t {row}{head}\n{{\n    {code}\n}}")
            escaped = what.replace('"', '\\"')
            cases.append(
                f'    {{"{function.name}", "{escaped}", {row}, EXPECT_{expected}, {documented}, '
                f"{reports(function) if 'error:' not in what else 0}}},"
            )
    print("static const struct use uses[] = {", *table, "};", sep="\n")
    print("static const struct misuse misuses[] = {", *cases, "};", sep="\n")


def main() -> None:
    write(read(Path(sys.argv[1]), Path(sys.argv[2])))


if __name__ == "__main__":
    main()
