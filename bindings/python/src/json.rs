//! Host objects as JSON text, in the format of `json.dumps(value, ensure_ascii=False)`.
//!
//! The mapping is that of MLflow's encoder (pydantic models and dataclasses become objects,
//! everything unknown becomes `str(value)`), except where MLflow would raise, write invalid JSON or make
//! the trace unreadable; `docs/values.md` has all of it.

use std::cell::{Cell, RefCell};
use std::fmt::Write;

use mlflow_trace_core::{Value, json};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{
    PyBool, PyByteArray, PyBytes, PyDict, PyFloat, PyInt, PyList, PyString, PyTuple, PyType,
};

use crate::attachment::Keeper;
use crate::text::{bytes_repr, contain, repr_of, str_of, utf8};

/// Containers inside each other; readers in wide use stop at 128.
const MAX_DEPTH: usize = 100;
const TOO_DEEP: &str = "<nested too deeply>";
/// Text beyond this is not written: the engine keeps no more of a value, and says how much it was given.
const MAX_LENGTH: usize = (48 << 20) + 1;
/// A buffer larger than this is not kept for the next value.
const SCRATCH_LIMIT: usize = 1 << 20;

thread_local! {
    static SCRATCH: Cell<String> = const { Cell::new(String::new()) };
}

enum Failure {
    /// A cycle or a key that JSON has no form for: the whole value is recorded as its `repr`.
    Unwritable,
    Interrupted(PyErr),
}

impl From<PyErr> for Failure {
    fn from(error: PyErr) -> Self {
        Failure::Interrupted(error)
    }
}

/// Hands `value` to `record` in the form that the engine takes. Fails only on an interrupt.
#[inline]
pub(crate) fn with_value<R>(
    value: &Bound<'_, PyAny>,
    record: impl FnOnce(Value<'_>) -> R,
) -> PyResult<R> {
    with_content(value, None, record)
}

/// As [`with_value`], where `keeper` takes the attachments out of the value.
#[inline]
pub(crate) fn with_content<R>(
    value: &Bound<'_, PyAny>,
    keeper: Option<&Keeper>,
    record: impl FnOnce(Value<'_>) -> R,
) -> PyResult<R> {
    if let Some(plain) = plain(value) {
        return Ok(record(plain));
    }
    if let Ok(text) = value.cast::<PyString>() {
        return Ok(record(Value::Str(&utf8(text))));
    }
    if let Ok(number) = value.cast::<PyInt>() {
        return Ok(record(Value::Str(&wide(number)?)));
    }
    with_json(value, keeper, record)
}

/// A scalar that the engine takes as it is: no text with lone surrogates, no integer beyond 64 bits.
#[inline]
pub(crate) fn plain<'a>(value: &'a Bound<'_, PyAny>) -> Option<Value<'a>> {
    if let Ok(text) = value.cast::<PyString>() {
        return text.to_str().ok().map(Value::Str);
    }
    if value.is_none() {
        return Some(Value::Null);
    }
    if let Ok(flag) = value.cast::<PyBool>() {
        return Some(Value::Bool(flag.is_true()));
    }
    if let Ok(number) = value.cast::<PyInt>() {
        return number.extract().ok().map(Value::Int);
    }
    let number = value.cast::<PyFloat>().ok()?;
    Some(Value::Double(number.value()))
}

fn with_json<R>(
    value: &Bound<'_, PyAny>,
    keeper: Option<&Keeper>,
    record: impl FnOnce(Value<'_>) -> R,
) -> PyResult<R> {
    let fields = match Shape::of(value, keeper)? {
        Shape::Text(text) => return Ok(record(Value::Str(&text))),
        Shape::Container => None,
        Shape::Fields(fields) => Some(fields),
    };
    let mut out = SCRATCH.take();
    out.clear();
    let mut writer = Writer::new(&mut out, false);
    writer.keeper = keeper;
    let written = writer.write(fields.as_ref().unwrap_or(value));
    let recorded = match written {
        Ok(()) => record(Value::Json(&out)),
        Err(Failure::Unwritable) => record(Value::Str(&repr_of(value)?)),
        Err(Failure::Interrupted(error)) => return Err(error),
    };
    if out.capacity() <= SCRATCH_LIMIT {
        SCRATCH.set(out);
    }
    Ok(recorded)
}

/// JSON text of any value, with non-ASCII characters escaped when `ascii` is set.
pub(crate) fn text(value: &Bound<'_, PyAny>, ascii: bool) -> PyResult<String> {
    let mut out = String::new();
    match Writer::new(&mut out, ascii).write(value) {
        Ok(()) => {}
        Err(Failure::Unwritable) => {
            out.clear();
            Writer::new(&mut out, ascii).string(&repr_of(value)?);
        }
        Err(Failure::Interrupted(error)) => return Err(error),
    }
    Ok(out)
}

/// The JSON text that is recorded for `value`.
#[pyfunction]
#[pyo3(signature = (value, *, ensure_ascii = false))]
pub(crate) fn to_json(value: &Bound<'_, PyAny>, ensure_ascii: bool) -> PyResult<String> {
    text(value, ensure_ascii)
}

/// The text of an integer that 64 bits cannot hold. As a number it would make the trace unreadable: a
/// server stores it, and then fails to give it back.
#[cold]
fn wide(number: &Bound<'_, PyInt>) -> PyResult<String> {
    let py = number.py();
    let decimal = py
        .get_type::<PyInt>()
        .call_method1(intern!(py, "__repr__"), (number,));
    // Python refuses decimal text of very long numbers; hexadecimal has no such limit.
    let digits = match decimal {
        Ok(digits) => digits,
        Err(error) => {
            contain(py, error)?;
            let builtins = py.import(intern!(py, "builtins"))?;
            builtins.call_method1(intern!(py, "hex"), (number,))?
        }
    };
    str_of(&digits)
}

/// What a value that is no JSON scalar becomes.
enum Shape<'py> {
    Container,
    Fields(Bound<'py, PyAny>),
    Text(String),
}

impl<'py> Shape<'py> {
    fn of(value: &Bound<'py, PyAny>, keeper: Option<&Keeper>) -> PyResult<Self> {
        if value.is_instance_of::<PyDict>()
            || value.is_instance_of::<PyList>()
            || value.is_instance_of::<PyTuple>()
        {
            return Ok(Shape::Container);
        }
        Shape::of_object(value, keeper)
    }

    fn of_object(value: &Bound<'py, PyAny>, keeper: Option<&Keeper>) -> PyResult<Self> {
        if let Some(keeper) = keeper
            && let Some(reference) = keeper.keep(value)?
        {
            return Ok(Shape::Text(reference));
        }
        if value.is_instance_of::<PyBytes>() || value.is_instance_of::<PyByteArray>() {
            return bytes_repr(value).map(Shape::Text);
        }
        match fields_of(value) {
            Ok(Some(fields)) => return Ok(Shape::Fields(fields)),
            Ok(None) => {}
            Err(error) => contain(value.py(), error)?,
        }
        str_of(value).map(Shape::Text)
    }
}

fn fields_of<'py>(value: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyAny>>> {
    let py = value.py();
    let class = value.get_type();
    if class.hasattr(intern!(py, "__pydantic_validator__"))?
        && class.hasattr(intern!(py, "model_dump"))?
    {
        return value.call_method0(intern!(py, "model_dump")).map(Some);
    }
    // A dataclass itself, not an object of one, has those of its fields that have defaults.
    let class = value.cast::<PyType>().unwrap_or(&class);
    if !class.hasattr(intern!(py, "__dataclass_fields__"))? {
        return Ok(None);
    }
    let members = PyDict::new(py);
    let fields = py
        .import(intern!(py, "dataclasses"))?
        .call_method1(intern!(py, "fields"), (value,))?;
    for field in fields.try_iter()? {
        let name = field?
            .getattr(intern!(py, "name"))?
            .cast_into::<PyString>()?;
        members.set_item(&name, value.getattr(&name)?)?;
    }
    Ok(Some(members.into_any()))
}

struct Writer<'a> {
    out: &'a mut String,
    ascii: bool,
    keeper: Option<&'a Keeper>,
    /// Addresses of the containers that are being written, outermost first.
    path: Vec<usize>,
}

impl<'a> Writer<'a> {
    fn new(out: &'a mut String, ascii: bool) -> Self {
        Writer {
            out,
            ascii,
            keeper: None,
            path: Vec::new(),
        }
    }

    fn write(&mut self, value: &Bound<'_, PyAny>) -> Result<(), Failure> {
        if let Ok(text) = value.cast::<PyString>() {
            self.string(&utf8(text));
        } else if value.is_none() {
            self.out.push_str("null");
        } else if let Ok(flag) = value.cast::<PyBool>() {
            self.out
                .push_str(if flag.is_true() { "true" } else { "false" });
        } else if let Ok(number) = value.cast::<PyInt>() {
            self.int(number)?;
        } else if let Ok(number) = value.cast::<PyFloat>() {
            json::write_f64(self.out, number.value());
        } else if let Ok(dict) = value.cast::<PyDict>() {
            self.nested(value, |writer| writer.dict(dict))?;
        } else if let Ok(list) = value.cast::<PyList>() {
            self.nested(value, |writer| writer.items(list.iter()))?;
        } else if let Ok(tuple) = value.cast::<PyTuple>() {
            self.nested(value, |writer| writer.items(tuple.iter()))?;
        } else {
            self.object(value)?;
        }
        Ok(())
    }

    fn string(&mut self, text: &str) {
        let text = head(text, MAX_LENGTH);
        if !self.ascii {
            return json::write_string(self.out, text);
        }
        let start = self.out.len();
        json::write_string(self.out, text);
        let quoted = self.out.split_off(start);
        for character in quoted.chars() {
            if matches!(character, ' '..='~') {
                self.out.push(character);
                continue;
            }
            for unit in character.encode_utf16(&mut [0; 2]) {
                let _ = write!(self.out, "\\u{unit:04x}");
            }
        }
    }

    fn int(&mut self, number: &Bound<'_, PyInt>) -> Result<(), Failure> {
        if let Ok(number) = number.extract::<i64>() {
            self.out.push_str(itoa::Buffer::new().format(number));
            return Ok(());
        }
        self.string(&wide(number)?);
        Ok(())
    }

    fn nested(
        &mut self,
        value: &Bound<'_, PyAny>,
        write: impl FnOnce(&mut Self) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let address = value.as_ptr() as usize;
        if self.path.contains(&address) {
            return Err(Failure::Unwritable);
        }
        if self.path.len() == MAX_DEPTH {
            self.string(TOO_DEEP);
            return Ok(());
        }
        self.path.push(address);
        let written = write(self);
        self.path.pop();
        written
    }

    fn object(&mut self, value: &Bound<'_, PyAny>) -> Result<(), Failure> {
        match Shape::of_object(value, self.keeper)? {
            Shape::Text(text) => self.string(&text),
            Shape::Fields(fields) => self.nested(value, |writer| writer.write(&fields))?,
            Shape::Container => self.write(value)?,
        }
        Ok(())
    }

    fn items<'py>(
        &mut self,
        items: impl Iterator<Item = Bound<'py, PyAny>>,
    ) -> Result<(), Failure> {
        self.out.push('[');
        for (index, item) in items.enumerate() {
            if self.out.len() > MAX_LENGTH {
                break;
            }
            if index > 0 {
                self.out.push_str(", ");
            }
            self.write(&item)?;
        }
        self.out.push(']');
        Ok(())
    }

    fn dict(&mut self, dict: &Bound<'_, PyDict>) -> Result<(), Failure> {
        self.out.push('{');
        for (index, (key, item)) in members(dict)?.into_iter().enumerate() {
            if self.out.len() > MAX_LENGTH {
                break;
            }
            if index > 0 {
                self.out.push_str(", ");
            }
            self.key(&key)?;
            self.out.push_str(": ");
            self.write(&item)?;
        }
        self.out.push('}');
        Ok(())
    }

    fn key(&mut self, key: &Bound<'_, PyAny>) -> Result<(), Failure> {
        if let Ok(text) = key.cast::<PyString>() {
            self.string(&utf8(text));
            return Ok(());
        }
        if !(key.is_none() || key.is_instance_of::<PyInt>() || key.is_instance_of::<PyFloat>()) {
            return Err(Failure::Unwritable);
        }
        let mut text = String::new();
        Writer::new(&mut text, self.ascii).write(key)?;
        match text.starts_with('"') {
            true => self.out.push_str(&text),
            false => self.string(&text),
        }
        Ok(())
    }
}

/// The first `length` bytes of a text, or up to three less where a character lies across.
fn head(text: &str, length: usize) -> &str {
    let ends = (0..4).map(|less| length.saturating_sub(less));
    match text.len() <= length {
        true => text,
        false => ends
            .filter_map(|end| text.get(..end))
            .next()
            .unwrap_or(text),
    }
}

pub(crate) type Member<'py> = (Bound<'py, PyAny>, Bound<'py, PyAny>);

/// The members as they are now: writing a value may run host code that changes the dictionary.
pub(crate) fn members<'py>(dict: &Bound<'py, PyDict>) -> PyResult<Vec<Member<'py>>> {
    if !dict.is_exact_instance_of::<PyDict>() {
        // As json does: a subclass may keep its members elsewhere.
        let items = dict.call_method0(intern!(dict.py(), "items"));
        match items.and_then(|items| items.try_iter()?.map(|item| item?.extract()).collect()) {
            Ok(items) => return Ok(items),
            Err(error) => contain(dict.py(), error)?,
        }
    }
    let members = RefCell::new(Vec::with_capacity(dict.len()));
    dict.locked_for_each(|key, value| {
        members.borrow_mut().push((key, value));
        Ok(())
    })?;
    Ok(members.into_inner())
}
