//! Attributes
//!
//! Lists of named values, for calls that take several at once. Make them with mlflow_attribute_str,
//! mlflow_attribute_i64, mlflow_attribute_f64, mlflow_attribute_bool and mlflow_attribute_json:
//!
//!     mlflow_attribute_t inputs[] = {
//!         mlflow_attribute_str(MLFLOW_STR("question"), mlflow_str(question)),
//!         mlflow_attribute_i64(MLFLOW_STR("limit"), 5),
//!     };
//!     mlflow_span_set_inputs_fields(span, inputs, 2, NULL);

use std::borrow::Cow;
use std::fmt::Write;

use mlflow_trace_core::{Value, json};

use crate::guard::Failure;
use crate::text::mlflow_str_t;

/// JSON null; `data` is not read.
pub const MLFLOW_ATTRIBUTE_NULL: i32 = 0;
/// Text in `data.text`.
pub const MLFLOW_ATTRIBUTE_STR: i32 = 1;
/// A whole number in `data.integer`.
pub const MLFLOW_ATTRIBUTE_I64: i32 = 2;
/// A number in `data.number`; NaN and the infinities are kept as the texts NaN, Infinity, -Infinity.
pub const MLFLOW_ATTRIBUTE_F64: i32 = 3;
/// A truth value in `data.integer`: 0 is false, anything else true.
pub const MLFLOW_ATTRIBUTE_BOOL: i32 = 4;
/// Any JSON value, as text in `data.text`; text that is not JSON is kept as plain text.
pub const MLFLOW_ATTRIBUTE_JSON: i32 = 5;

/// The value of an attribute; `kind` tells which member holds it.
#[repr(C)]
#[derive(Clone, Copy)]
pub union mlflow_attribute_data_t {
    /// For MLFLOW_ATTRIBUTE_STR and MLFLOW_ATTRIBUTE_JSON.
    pub text: mlflow_str_t,
    /// For MLFLOW_ATTRIBUTE_I64 and MLFLOW_ATTRIBUTE_BOOL.
    pub integer: i64,
    /// For MLFLOW_ATTRIBUTE_F64.
    pub number: f64,
}

/// A named value.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct mlflow_attribute_t {
    /// The name, valid UTF-8 and not empty.
    pub key: mlflow_str_t,
    /// One of MLFLOW_ATTRIBUTE_*; any other number is refused.
    pub kind: i32,
    /// Must be 0.
    pub reserved: u32,
    /// The value, in the member that belongs to `kind`.
    pub data: mlflow_attribute_data_t,
}

/// A value of an attribute with its text made valid.
pub(crate) enum Field<'a> {
    Null,
    Bool(bool),
    Int(i64),
    Double(f64),
    Str(Cow<'a, str>),
    Json(Cow<'a, str>),
}

impl Field<'_> {
    pub(crate) fn value(&self) -> Value<'_> {
        match self {
            Field::Null => Value::Null,
            Field::Bool(flag) => Value::Bool(*flag),
            Field::Int(int) => Value::Int(*int),
            Field::Double(double) => Value::Double(*double),
            Field::Str(text) => Value::Str(text),
            Field::Json(text) => Value::Json(text),
        }
    }

    fn write(&self, out: &mut String) {
        match self {
            Field::Null => out.push_str("null"),
            Field::Bool(flag) => out.push_str(if *flag { "true" } else { "false" }),
            Field::Int(int) => {
                let _ = write!(out, "{int}");
            }
            Field::Double(double) => json::write_f64(out, *double),
            Field::Str(text) => json::write_string(out, text),
            Field::Json(text) => json::write_json(out, text),
        }
    }
}

impl mlflow_attribute_t {
    /// The key and the value, both checked.
    ///
    /// # Safety
    /// `kind` names the member of `data` that is set, and the texts are readable until the call returns.
    unsafe fn field<'a>(&self) -> Result<(&'a str, Field<'a>), Failure> {
        // SAFETY: this function's caller promises that the key is readable.
        let key = unsafe { self.key.key("attribute key") }?;
        if self.reserved != 0 {
            return Err(Failure::Argument("attribute reserved", "must be 0"));
        }
        // SAFETY: each arm reads the member that `kind` says is set; numbers have no invalid bytes, and a text is
        // checked before it is followed.
        let field = unsafe {
            match self.kind {
                MLFLOW_ATTRIBUTE_NULL => Field::Null,
                MLFLOW_ATTRIBUTE_STR => Field::Str(self.data.text.value("attribute text")?),
                MLFLOW_ATTRIBUTE_I64 => Field::Int(self.data.integer),
                MLFLOW_ATTRIBUTE_F64 => Field::Double(self.data.number),
                MLFLOW_ATTRIBUTE_BOOL => Field::Bool(self.data.integer != 0),
                MLFLOW_ATTRIBUTE_JSON => Field::Json(self.data.text.value("attribute text")?),
                _ => return Err(Failure::Argument("attribute kind", "is not known")),
            }
        };
        Ok((key, field))
    }
}

/// A list from C, checked as a whole; its members are checked one by one as they are read.
pub(crate) struct Fields<'a>(&'a [mlflow_attribute_t]);

impl<'a> Fields<'a> {
    /// Checks the pointer and the count.
    ///
    /// # Safety
    /// A non-null `start` leads to `count` attributes that nobody writes to or frees until the call returns.
    pub(crate) unsafe fn new(
        start: *const mlflow_attribute_t,
        count: usize,
    ) -> Result<Self, Failure> {
        if count == 0 {
            return Ok(Fields(&[]));
        }
        if start.is_null() {
            return Err(Failure::Argument("attributes", "is NULL but has a count"));
        }
        if !start.is_aligned() {
            return Err(Failure::Argument("attributes", "is misaligned"));
        }
        if count > isize::MAX as usize / size_of::<mlflow_attribute_t>() {
            return Err(Failure::Argument("count", "is larger than any object"));
        }
        // SAFETY: not null, aligned and no larger than any object, as checked; that the attributes are there and
        // stay as they are is the caller's promise.
        Ok(Fields(unsafe { std::slice::from_raw_parts(start, count) }))
    }

    /// The members in their order.
    ///
    /// # Safety
    /// Each `kind` names the member of `data` that is set, and all texts are readable until the call returns.
    pub(crate) unsafe fn iter(
        &self,
    ) -> impl Iterator<Item = Result<(&'a str, Field<'a>), Failure>> {
        // SAFETY: this function's caller promises for every attribute what `field` asks of one.
        self.0.iter().map(|attribute| unsafe { attribute.field() })
    }

    /// The list as the text of a JSON object.
    ///
    /// # Safety
    /// As [`Fields::iter`].
    pub(crate) unsafe fn object(&self) -> Result<String, Failure> {
        let mut out = String::from("{");
        // SAFETY: the same promise, passed on.
        for (index, field) in unsafe { self.iter() }.enumerate() {
            let (key, field) = field?;
            if index > 0 {
                out.push_str(", ");
            }
            json::write_string(&mut out, key);
            out.push_str(": ");
            field.write(&mut out);
        }
        out.push('}');
        Ok(out)
    }
}
