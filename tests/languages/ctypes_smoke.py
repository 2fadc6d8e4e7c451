"""The C ABI from Python's standard library alone: python3 ctypes_smoke.py libmlflow_trace.so.1"""

from __future__ import annotations

import ctypes
import json
import sys
from ctypes import (
    POINTER,
    byref,
    c_char_p,
    c_double,
    c_int32,
    c_size_t,
    c_uint32,
    c_uint64,
    c_void_p,
)


class Text(ctypes.Structure):
    """mlflow_str_t."""

    _fields_ = [("ptr", c_char_p), ("len", c_size_t)]

    @classmethod
    def of(cls, text: str) -> Text:
        encoded = text.encode()
        return cls(encoded, len(encoded))


class Span(ctypes.Structure):
    """mlflow_span_t."""

    _fields_ = [("id", c_uint64)]


class Options(ctypes.Structure):
    """mlflow_span_options_t, as far as the first version of it went: struct_size says so."""

    _fields_ = [
        ("struct_size", c_size_t),
        ("span_type", Text),
        ("parent", Span),
        ("traceparent", Text),
        ("tracestate", Text),
        ("start_time_ns", c_uint64),
    ]


# Function, result, parameters; handles and errors are c_void_p.
FUNCTIONS = {
    "mlflow_abi_version": (c_uint32, []),
    "mlflow_config_new": (c_int32, [POINTER(c_void_p), c_void_p]),
    "mlflow_config_set": (c_int32, [c_void_p, Text, Text, POINTER(c_void_p)]),
    "mlflow_config_free": (None, [c_void_p]),
    "mlflow_error_get_message": (c_char_p, [c_void_p]),
    "mlflow_error_free": (None, [c_void_p]),
    "mlflow_tracer_new": (c_int32, [c_void_p, POINTER(c_void_p), c_void_p]),
    "mlflow_tracer_flush": (c_int32, [c_void_p, c_uint64, POINTER(c_uint64), c_void_p]),
    "mlflow_tracer_next_trace": (c_int32, [c_void_p, POINTER(c_void_p), c_void_p]),
    "mlflow_tracer_free": (None, [c_void_p]),
    "mlflow_text_get": (Text, [c_void_p]),
    "mlflow_text_free": (None, [c_void_p]),
    "mlflow_span_start": (c_int32, [c_void_p, Text, POINTER(Options), POINTER(Span), c_void_p]),
    "mlflow_span_set_attribute_f64": (c_int32, [Span, Text, c_double, c_void_p]),
    "mlflow_span_set_inputs": (c_int32, [Span, Text, c_void_p]),
    "mlflow_span_enter": (c_int32, [Span, c_void_p]),
    "mlflow_span_exit": (c_int32, [Span, c_void_p]),
    "mlflow_span_get_current": (Span, []),
    "mlflow_span_end": (c_int32, [Span, c_void_p]),
}


def load(path: str) -> ctypes.CDLL:
    library = ctypes.CDLL(path)
    for name, (result, parameters) in FUNCTIONS.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, parameters
    assert library.mlflow_abi_version() == 1
    return library


def main() -> None:
    library = load(sys.argv[1])
    config, tracer, error, text = c_void_p(), c_void_p(), c_void_p(), c_void_p()
    assert library.mlflow_config_new(byref(config), None) == 0
    assert library.mlflow_config_set(config, Text.of("colour"), Text.of("red"), byref(error)) == 2
    assert b"colour" in library.mlflow_error_get_message(error)
    library.mlflow_error_free(error)
    set_exporter = (config, Text.of("exporter"), Text.of("memory"), None)
    assert library.mlflow_config_set(*set_exporter) == 0
    assert library.mlflow_tracer_new(config, byref(tracer), None) == 0
    library.mlflow_config_free(config)

    root, child = Span(), Span()
    assert library.mlflow_span_start(tracer, Text.of("wurzel ä"), None, byref(root), None) == 0
    assert library.mlflow_span_enter(root, None) == 0
    options = Options(struct_size=ctypes.sizeof(Options), span_type=Text.of("TOOL"))
    options.parent = library.mlflow_span_get_current()
    assert options.parent.id == root.id
    assert (
        library.mlflow_span_start(tracer, Text.of("child"), byref(options), byref(child), None) == 0
    )
    assert library.mlflow_span_set_attribute_f64(child, Text.of("ratio"), 0.25, None) == 0
    assert library.mlflow_span_set_inputs(root, Text.of('{"a": [1, null]}'), None) == 0
    assert library.mlflow_span_end(child, None) == 0
    assert library.mlflow_span_end(child, None) == 3
    assert library.mlflow_span_exit(root, None) == 0
    assert library.mlflow_span_end(root, None) == 0

    pending = c_uint64(7)
    assert library.mlflow_tracer_flush(tracer, 10_000, byref(pending), None) == 0
    assert pending.value == 0
    assert library.mlflow_tracer_next_trace(tracer, byref(text), None) == 0
    lent = library.mlflow_text_get(text)
    assert lent.ptr is not None
    trace = json.loads(lent.ptr[: lent.len])
    library.mlflow_text_free(text)
    library.mlflow_tracer_free(tracer)
    spans = {span["name"]: span for span in trace["spans"]}
    assert spans["child"]["parent_span_id"] == spans["wurzel ä"]["span_id"]
    assert spans["child"]["attributes"]["ratio"] == "0.25"


if __name__ == "__main__":
    main()
