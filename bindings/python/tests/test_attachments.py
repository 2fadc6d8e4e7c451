"""Binary content of the program's own in inputs and outputs."""

from __future__ import annotations

import base64
import copy
import dataclasses
import pickle
from typing import Any
from urllib.parse import parse_qs, urlparse

import pydantic
import pytest

import mlflow_trace
from mlflow_trace.tracing.attachments import Attachment

PNG = b"\x89PNG\r\n\x1a\n\x00"
URI = "data:image/png;base64," + base64.b64encode(PNG).decode()


@pytest.fixture
def image():
    return Attachment(content_type="image/png", content_bytes=PNG)


def test_an_attachment(image, tmp_path):
    assert (image.content_type, image.content_bytes) == ("image/png", PNG)
    assert len(image.id) == 36
    assert image.id != Attachment(content_type="image/png", content_bytes=PNG).id
    path = tmp_path / "picture.jpeg"
    path.write_bytes(b"jpeg")
    for given in (path, str(path)):
        assert Attachment.from_file(given).content_type == "image/jpeg"
    assert Attachment.from_file(path, content_type="a/b").content_type == "a/b"
    assert Attachment.from_file(path).content_bytes == b"jpeg"
    (tmp_path / "nothing").write_bytes(b"")
    assert Attachment.from_file(tmp_path / "nothing").content_type == "application/octet-stream"
    with pytest.raises(FileNotFoundError):
        Attachment.from_file(tmp_path / "missing")
    with pytest.raises(TypeError):
        Attachment("image/png", PNG)


def test_references(image):
    reference = image.ref("tr-1")
    assert reference == (
        f"mlflow-attachment://{image.id}?content_type=image%2Fpng&trace_id=tr-1&size={len(PNG)}"
    )
    assert Attachment.parse_ref(reference) == {
        "attachment_id": image.id,
        "content_type": "image/png",
        "trace_id": "tr-1",
        "size": len(PNG),
    }
    assert Attachment.parse_ref("mlflow-attachment://a?content_type=b&trace_id=c")["size"] is None
    for wrong in ("", "http://a?content_type=b&trace_id=c", "mlflow-attachment://a?trace_id=c"):
        assert Attachment.parse_ref(wrong) is None
    for size in ("0", "-1", "x"):
        uri = f"mlflow-attachment://a?content_type=b&trace_id=c&size={size}"
        assert Attachment.parse_ref(uri)["size"] is None


@dataclasses.dataclass
class Point:
    image: Any


class Model(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(arbitrary_types_allowed=True)
    image: Attachment


def test_references_stand_for_attachments_at_any_depth(recording, image):
    odd = Attachment(content_type="text/plain; charset=é b", content_bytes=b"")
    with mlflow_trace.start_span("span") as span:
        span.set_inputs(image)
        span.set_outputs(
            {
                "list": [1, image, {"deep": (odd, None)}],
                "dataclass": Point(image),
                "model": Model(image=image),
            }
        )
        assert span.inputs == image.ref(span.trace_id)
        assert span.outputs == {
            "list": [1, image.ref(span.trace_id), {"deep": [odd.ref(span.trace_id), None]}],
            "dataclass": {"image": image.ref(span.trace_id)},
            "model": {"image": image.ref(span.trace_id)},
        }
    # Where there is no server, the content stands in the span.
    recorded = recording.span()
    assert recorded.inputs == URI
    assert recorded.outputs["list"][1] == recorded.outputs["model"]["image"] == URI


def test_every_way_into_inputs_and_outputs(recording, image):
    @mlflow_trace.trace
    def function(picture):
        return [picture]

    @mlflow_trace.trace
    def generator(picture):
        yield picture

    function(image)
    list(generator(image))
    span = mlflow_trace.start_span_no_context("detached", inputs={"picture": image})
    span.end(outputs=[image])
    traces = recording.traces()
    assert len(traces) == 3
    for trace in traces:
        assert (trace.root.inputs, trace.root.outputs) == ({"picture": URI}, [URI])


def test_elsewhere_an_attachment_is_an_object_like_any_other(recording, image):
    with mlflow_trace.start_span("span") as span:
        span.set_attribute("picture", image)
        span.set_outputs({image.id: {1, 2}, "set": {image}})
    recorded = recording.span()
    assert recorded.own["picture"] == str(image)
    assert "Attachment object" in recorded.outputs["set"]
    assert "mlflow-attachment" not in str(recorded.json)


def test_content_may_be_anything(recording, caplog):
    for content in (bytearray(PNG), memoryview(PNG)):
        attachment = Attachment(content_type="image/png", content_bytes=content)
        assert attachment.content_bytes == PNG
    assert caplog.text == ""
    attachment = Attachment(content_type="text/plain", content_bytes="é\udcff")
    assert attachment.content_bytes == "é?".encode()
    assert Attachment(content_type="text/plain", content_bytes=5).content_bytes == b"5"
    assert caplog.text.count("is not bytes") == 2
    with mlflow_trace.start_span("span") as span:
        span.set_inputs(Attachment(content_type=None, content_bytes=PNG))
        assert parse_qs(urlparse(span.inputs).query)["content_type"] == ["None"]
        span.set_inputs(Attachment(content_type="a/\udcff", content_bytes=PNG))
        assert parse_qs(urlparse(span.inputs).query)["content_type"] == ["a/?"]


class Photo(Attachment):
    def __init__(self, content):
        super().__init__(content_type="image/png", content_bytes=content)


class Broken(Attachment):
    def __init__(self):
        """Forget to initialise."""

    def __str__(self):
        return "broken"


def test_heirs(recording):
    with mlflow_trace.start_span("span") as span:
        span.set_inputs([Photo(PNG), Broken()])
    assert recording.span().inputs == [URI, "broken"]


def test_attachments_can_be_copied(image):
    for copied in (copy.copy(image), copy.deepcopy([image])[0]):
        assert copied.id == image.id
    pickled = pickle.loads(pickle.dumps(image))
    assert (pickled.content_type, pickled.content_bytes) == ("image/png", PNG)


def test_a_span_that_has_ended_or_is_not_recorded_stores_nothing(recording, image):
    with mlflow_trace.start_span("ended") as span:
        pass
    span.set_inputs(image)
    mlflow_trace.trace(len, name="dropped", sampling_ratio_override=0.0)([image])
    assert recording.span().inputs is None


def test_what_is_taken_out_is_not_stored(recording, image):
    mlflow_trace.configure(redact_paths=["inputs.picture"])
    try:
        with mlflow_trace.start_span("span") as span:
            span.set_inputs({"picture": image})
        assert recording.span().inputs == {"picture": "[redacted]"}
    finally:
        mlflow_trace.configure(redact_paths=None)


def test_content_that_is_too_large_is_discarded(recording, image):
    mlflow_trace.configure(attachments_max_bytes=3)
    try:
        with mlflow_trace.start_span("span") as span:
            span.set_inputs(image)
        recorded = recording.span()
        assert recorded.inputs == (
            f"[Attachment too large: {len(PNG)} bytes exceeds 3 bytes limit]"
        )
        assert recorded.status[0] == "ERROR"
    finally:
        mlflow_trace.configure(attachments_max_bytes=None)
