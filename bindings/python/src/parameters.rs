//! The parameters of a traced function, by which the arguments of its calls get their names.

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple, PyType};

use crate::span::LiveSpan;

/// The attribute that names the function.
const FUNCTION_NAME: &str = "mlflow.spanFunctionName";

/// The first parameter of methods, which is not recorded.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Receiver {
    /// `self`
    Instance,
    /// `cls`, where a class is given.
    Class,
    None,
}

/// Named parameters alone: no positional-only ones, no `*args`, no `**kwargs`.
#[pyclass(frozen, module = "mlflow_trace._native")]
pub(crate) struct Parameters {
    function_name: Py<PyAny>,
    names: Py<PyTuple>,
    defaults: Py<PyDict>,
    /// How many may be given by position.
    positional: usize,
    receiver: Receiver,
}

#[pymethods]
impl Parameters {
    #[new]
    fn new(
        function_name: Py<PyAny>,
        names: Bound<'_, PyTuple>,
        defaults: Bound<'_, PyDict>,
        positional: usize,
    ) -> PyResult<Self> {
        let first = names.get_item(0).ok();
        let receiver = match first.map(|name| name.extract::<String>()).transpose()? {
            Some(name) if name == "self" => Receiver::Instance,
            Some(name) if name == "cls" => Receiver::Class,
            _ => Receiver::None,
        };
        Ok(Parameters {
            function_name,
            names: names.unbind(),
            defaults: defaults.unbind(),
            positional,
            receiver,
        })
    }

    /// Takes down the function's name and the arguments of a call; nothing in a span that is not recorded.
    fn record(
        &self,
        span: &Bound<'_, PyAny>,
        args: &Bound<'_, PyTuple>,
        kwargs: &Bound<'_, PyDict>,
    ) -> PyResult<()> {
        let Ok(span) = span.cast::<LiveSpan>() else {
            return Ok(());
        };
        let py = span.py();
        let span = span.get();
        span.set_value(FUNCTION_NAME, self.function_name.bind(py))?;
        match self.bind(py, args, kwargs)? {
            Some(inputs) => span.set_inputs(&inputs),
            None => span.set_inputs(py.None().bind(py)),
        }
    }

    /// The arguments of a call by name, in the order of the parameters, without the receiver; None where the call
    /// does not fit.
    fn bind<'py>(
        &self,
        py: Python<'py>,
        args: &Bound<'py, PyTuple>,
        kwargs: &Bound<'py, PyDict>,
    ) -> PyResult<Option<Bound<'py, PyDict>>> {
        if args.len() > self.positional {
            return Ok(None);
        }
        let defaults = self.defaults.bind(py);
        let bound = PyDict::new(py);
        let mut by_name = 0;
        for (index, name) in self.names.bind(py).iter().enumerate() {
            let value = if index < args.len() {
                args.get_item(index)?
            } else if let Some(value) = kwargs.get_item(&name)? {
                by_name += 1;
                value
            } else if let Some(value) = defaults.get_item(&name)? {
                value
            } else {
                return Ok(None);
            };
            let is_receiver = index == 0
                && match self.receiver {
                    Receiver::Instance => true,
                    Receiver::Class => value.is_instance_of::<PyType>(),
                    Receiver::None => false,
                };
            if !is_receiver {
                bound.set_item(name, value)?;
            }
        }
        Ok((by_name == kwargs.len()).then_some(bound))
    }
}
