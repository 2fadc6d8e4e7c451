"""Binary content that is stored beside a span, as MLflow's attachments."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mlflow_trace._logging import logger
from mlflow_trace._native import Content

if TYPE_CHECKING:
    from pathlib import Path

    from typing_extensions import Self

__all__ = ["Attachment"]

_SCHEME = "mlflow-attachment"


class Attachment:
    """An image, sound or other binary content in the inputs or outputs of a span, at any depth.

    The span holds a reference in its place, and the content is stored as an artifact of the trace.
    """

    def __init__(self, *, content_type: str, content_bytes: bytes) -> None:
        """Take content from memory.

        Args:
            content_type: Its MIME type, for instance `image/png`.
            content_bytes: The content: bytes or anything with a buffer of bytes.

        """
        self._content_type = content_type
        self._content = Content(str(content_type), _bytes_of(content_bytes))

    @classmethod
    def from_file(cls, path: str | Path, content_type: str | None = None) -> Self:
        """Read the content from a file, whose name tells the type where none is given.

        Raises:
            OSError: Where the file cannot be read.

        """
        import mimetypes
        from pathlib import Path

        path = Path(path)
        if content_type is None:
            guessed, _ = mimetypes.guess_type(str(path))
            content_type = guessed or "application/octet-stream"
        return cls(content_type=content_type, content_bytes=path.read_bytes())

    @property
    def id(self) -> str:
        """The name of the artifact, a UUID."""
        return self._content.id

    @property
    def content_type(self) -> str:
        """The MIME type."""
        return self._content_type

    @property
    def content_bytes(self) -> bytes:
        """A copy of the content."""
        return self._content.content_bytes

    def ref(self, trace_id: str) -> str:
        """Return what stands for the content in the spans of a trace."""
        from urllib.parse import urlencode

        query = {
            "content_type": self._content_type,
            "trace_id": trace_id,
            "size": len(self._content),
        }
        return f"{_SCHEME}://{self.id}?{urlencode(query)}"

    @staticmethod
    def parse_ref(ref_uri: str) -> dict[str, str | int | None] | None:
        """Return `attachment_id`, `content_type`, `trace_id` and `size` of what `ref` returned.

        None for anything else; a size that is missing or no positive number is None.
        """
        from urllib.parse import parse_qs, urlparse

        parsed = urlparse(ref_uri)
        parts = {name: values[0] for name, values in parse_qs(parsed.query).items()}
        attachment_id = parsed.hostname
        content_type, trace_id = parts.get("content_type"), parts.get("trace_id")
        if parsed.scheme != _SCHEME or not (attachment_id and content_type and trace_id):
            return None
        try:
            size = int(parts.get("size", ""))
        except ValueError:
            size = 0
        return {
            "attachment_id": attachment_id,
            "content_type": content_type,
            "trace_id": trace_id,
            "size": size if size > 0 else None,
        }


def _bytes_of(content: Any) -> bytes:
    if isinstance(content, bytes):
        return content
    try:
        return memoryview(content).tobytes()
    except TypeError:
        logger.warning("the content of an attachment is not bytes; str(content) is used")
        return str(content).encode("utf-8", "replace")
