"""The engine behind the package; import `mlflow_trace` instead."""

from collections.abc import Callable, Iterable, Mapping
from types import TracebackType
from typing import Any, Final, TypeAlias, final

from typing_extensions import Self

from mlflow_trace.entities import (
    Link,
    NoOpSpan,
    SpanEvent,
    SpanLogLevel,
    SpanStatus,
    SpanStatusCode,
    TraceState,
)

__all__ = [
    "VERSION",
    "Content",
    "ContextScope",
    "LiveSpan",
    "OtelExporter",
    "SpanScope",
    "client",
    "configure",
    "diagnostics",
    "error_kinds",
    "flush",
    "get_active_trace_id",
    "get_current_active_span",
    "get_last_active_trace_id",
    "get_option",
    "headers",
    "is_enabled",
    "join_otel",
    "memory_traces",
    "merge_span",
    "otel_end",
    "otel_start",
    "refuse_end_hook",
    "remote_scope",
    "set_destination",
    "set_enabled",
    "set_end_hook",
    "set_experiment",
    "shutdown",
    "start_sampled_span",
    "start_span",
    "start_span_no_context",
    "stats",
    "supplement_trace",
    "to_json",
    "trace_scope",
    "update_current_trace",
]

VERSION: Final[str]

_Status: TypeAlias = SpanStatus | SpanStatusCode | str
_Level: TypeAlias = SpanLogLevel | str

@final
class LiveSpan:
    """A span that is being recorded; readable after its end as well."""

    @property
    def trace_id(self) -> str: ...
    @property
    def request_id(self) -> str: ...
    @property
    def span_id(self) -> str: ...
    @property
    def parent_id(self) -> str | None: ...
    @property
    def name(self) -> str: ...
    @property
    def span_type(self) -> str | None: ...
    @property
    def inputs(self) -> Any: ...
    @property
    def outputs(self) -> Any: ...
    @property
    def attributes(self) -> dict[str, Any]: ...
    @property
    def status(self) -> SpanStatus | None: ...
    @property
    def events(self) -> list[SpanEvent]: ...
    @property
    def links(self) -> list[Link]: ...
    @property
    def start_time_ns(self) -> int | None: ...
    @property
    def end_time_ns(self) -> int | None: ...
    @property
    def log_level(self) -> SpanLogLevel | None: ...
    @property
    def description(self) -> str | None: ...
    @property
    def model_name(self) -> str | None: ...
    @property
    def llm_cost(self) -> dict[str, float] | None: ...
    def get_attribute(self, key: str) -> Any: ...
    def to_dict(self) -> dict[str, Any] | None: ...
    def set_inputs(self, inputs: Any) -> None: ...
    def set_outputs(self, outputs: Any) -> None: ...
    def set_attribute(self, key: str, value: Any) -> None: ...
    def set_attributes(self, attributes: dict[str, Any]) -> None: ...
    def set_span_type(self, span_type: str) -> None: ...
    def set_status(self, status: _Status) -> None: ...
    def set_log_level(self, level: _Level) -> None: ...
    def set_description(self, description: str) -> None: ...
    def add_event(self, event: SpanEvent) -> None: ...
    def add_link(self, link: Link) -> None: ...
    def record_exception(self, exception: BaseException | str) -> None: ...
    def end(
        self,
        outputs: Any = None,
        attributes: dict[str, Any] | None = None,
        status: _Status | None = None,
        end_time_ns: int | None = None,
    ) -> None: ...
    def _has_outputs(self) -> bool: ...
    def _record_chunk(self, index: int, chunk: Any) -> None: ...

@final
class Content:
    """What an `Attachment` holds: the engine's attachment, whose id is the same in every span."""

    def __new__(cls, content_type: str, content_bytes: bytes) -> Self: ...
    @property
    def id(self) -> str: ...
    @property
    def content_bytes(self) -> bytes: ...
    def __len__(self) -> int: ...
    def __copy__(self) -> Self: ...
    def __deepcopy__(self, memo: Any) -> Self: ...
    def __reduce__(self) -> tuple[type[Content], tuple[str, bytes]]: ...

@final
class OtelExporter:
    """What takes batches of finished spans of an OpenTelemetry SDK."""

    def __new__(cls, root_wait: float) -> Self: ...
    def export(self, spans: Iterable[Any]) -> bool: ...
    def release(self) -> bool: ...

@final
class ContextScope:
    """Makes something current inside a `with` block."""

    def __enter__(self) -> None: ...
    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
        /,
    ) -> None: ...

@final
class SpanScope:
    """What `start_span` returns; the span starts when the `with` block is entered."""

    def __enter__(self) -> LiveSpan | NoOpSpan: ...
    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
        /,
    ) -> None: ...
    def detached(self) -> tuple[LiveSpan | NoOpSpan, ContextScope]: ...

def start_span(
    name: str = "span",
    span_type: str | None = "UNKNOWN",
    attributes: dict[str, Any] | None = None,
    trace_destination: Any = None,
    log_level: _Level | None = None,
    run_id: str | None = None,
    links: Iterable[Link] | None = None,
    description: str | None = None,
) -> SpanScope: ...
def start_sampled_span(
    sampling_ratio: float,
    name: str | None,
    span_type: str | None,
    attributes: dict[str, Any] | None,
    trace_destination: Any,
    log_level: _Level | None,
    run_id: str | None,
    links: Iterable[Link] | None,
    description: str | None,
) -> SpanScope: ...
def start_span_no_context(
    name: str,
    span_type: str | None = "UNKNOWN",
    parent_span: LiveSpan | NoOpSpan | None = None,
    inputs: Any = None,
    attributes: dict[str, Any] | None = None,
    tags: dict[str, str] | None = None,
    metadata: dict[str, str] | None = None,
    experiment_id: str | None = None,
    start_time_ns: int | None = None,
    log_level: _Level | None = None,
    links: Iterable[Link] | None = None,
    description: str | None = None,
) -> LiveSpan | NoOpSpan: ...
def get_active_trace_id() -> str | None: ...
def get_current_active_span() -> LiveSpan | None: ...
def get_last_active_trace_id(thread_local: bool = False) -> str | None: ...
def update_current_trace(
    tags: dict[str, str] | None = None,
    metadata: dict[str, str] | None = None,
    client_request_id: str | None = None,
    request_preview: str | None = None,
    response_preview: str | None = None,
    state: TraceState | str | None = None,
    model_id: str | None = None,
    session_id: str | None = None,
    user: str | None = None,
) -> None: ...
def headers() -> list[tuple[str, str]]: ...
def remote_scope(headers: list[tuple[str, bytes]]) -> ContextScope: ...
def trace_scope(
    metadata: dict[str, str] | None = None,
    tags: dict[str, str] | None = None,
    enabled: bool | None = None,
    session_id: str | None = None,
    user: str | None = None,
) -> ContextScope: ...
def set_destination(experiment_id: str | None, context_local: bool) -> None: ...
def join_otel(
    current: Callable[[], tuple[bytes, bytes, int, str | None, bool] | None],
    enter: Callable[[bytes, bytes, int, str | None], Any],
    leave: Callable[[Any], None],
) -> None: ...
def otel_start(span: Any) -> None: ...
def otel_end(span: Any) -> None: ...
def merge_span(
    target: LiveSpan,
    name: str,
    span_id: str,
    parent_id: str,
    start_time_ns: int,
    end_time_ns: int,
    span_attributes: Mapping[str, Any],
    events: list[tuple[str, int, Mapping[str, Any]]],
    failure: str | None,
) -> None: ...
def supplement_trace(target: LiveSpan, tags: dict[str, str], metadata: dict[str, str]) -> None: ...
def configure(options: Mapping[str, Any]) -> None: ...
def get_option(key: str) -> str: ...
def set_experiment(name: str | None = None, experiment_id: str | None = None) -> str: ...
def client(method: str, arguments: str, tracking_uri: str | None = None) -> str: ...
def set_enabled(enabled: bool) -> None: ...
def is_enabled() -> bool: ...
def refuse_end_hook() -> None: ...
def set_end_hook(hook: Callable[[LiveSpan], bool] | None, /) -> None: ...
def flush(timeout: float = 30.0) -> int: ...
def shutdown(timeout: float = 2.0) -> int: ...
def stats() -> dict[str, Any]: ...
def diagnostics() -> list[str]: ...
def memory_traces() -> list[str]: ...
def to_json(value: Any, *, ensure_ascii: bool = False) -> str: ...
def error_kinds() -> list[tuple[int, str]]: ...
