//! Content of the program's own that is stored beside a span (`mlflow_trace.tracing.attachments`).

use mlflow_trace_core::{Attachment, Span, TraceId};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBytes, PyString, PyType};

use crate::text::{contain, utf8};

/// What an `Attachment` of Python holds: the engine's attachment, whose id is the same in every span.
#[pyclass(frozen, module = "mlflow_trace._native")]
pub(crate) struct Content(Attachment);

#[pymethods]
impl Content {
    #[new]
    fn new(content_type: &Bound<'_, PyString>, content_bytes: &[u8]) -> Self {
        Content(Attachment::new(utf8(content_type), content_bytes))
    }

    /// A random UUID.
    #[getter]
    fn id(&self) -> &str {
        self.0.id()
    }

    /// A copy of the content.
    #[getter]
    fn content_bytes<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, self.0.bytes())
    }

    /// In bytes.
    fn __len__(&self) -> usize {
        self.0.bytes().len()
    }

    /// Nothing of it ever changes.
    fn __copy__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    #[expect(unused_variables, reason = "the protocol fixes the arguments")]
    fn __deepcopy__(slf: Py<Self>, memo: &Bound<'_, PyAny>) -> Py<Self> {
        slf
    }

    /// In another process it is another attachment.
    fn __reduce__<'py>(
        &self,
        py: Python<'py>,
    ) -> (Bound<'py, PyType>, (&str, Bound<'py, PyBytes>)) {
        let content = (self.0.content_type(), self.content_bytes(py));
        (py.get_type::<Content>(), content)
    }
}

/// Stores the attachments that lie in the inputs and outputs of a span.
pub(crate) struct Keeper {
    pub(crate) span: Span,
    pub(crate) trace_id: TraceId,
}

impl Keeper {
    /// Stores an attachment and returns its reference; `None` for anything else.
    pub(crate) fn keep(&self, value: &Bound<'_, PyAny>) -> PyResult<Option<String>> {
        match content_of(value) {
            Ok(None) => Ok(None),
            Ok(Some(content)) => {
                let attachment = &content.get().0;
                let _ = self.span.attach(attachment.clone());
                Ok(Some(attachment.uri(&self.trace_id)))
            }
            // An heir that was never initialised, for instance.
            Err(error) => contain(value.py(), error).map(|()| None),
        }
    }
}

fn content_of<'py>(value: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, Content>>> {
    static CLASS: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    let py = value.py();
    let class = CLASS.import(py, "mlflow_trace.tracing.attachments", "Attachment")?;
    if !value.is_instance(class)? {
        return Ok(None);
    }
    let content = value.getattr(intern!(py, "_content"))?;
    Ok(Some(content.cast_into::<Content>()?))
}
