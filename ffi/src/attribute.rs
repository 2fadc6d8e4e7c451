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
use std::mem::MaybeUninit;

use mlflow_trace_core::Value;

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

impl mlflow_attribute_t {
    /// Writes the key and the value in core's form, both checked; `text` stands in for text that is not UTF-8.
    ///
    /// Every kind writes for itself: a value that is handed on through memory is slow to read again.
    ///
    /// # Safety
    /// `kind` names the member of `data` that is set, and the texts are readable for `'a`.
    #[inline]
    pub(crate) unsafe fn write<'a>(
        &self,
        text: Option<&'a str>,
        place: &mut MaybeUninit<(&'a str, Value<'a>)>,
    ) -> Result<(), Failure> {
        // SAFETY: this function's caller promises that the key is readable.
        let key = unsafe { self.key.key("attribute key") }?;
        if self.reserved != 0 {
            return Err(Failure::Argument("attribute reserved", "must be 0"));
        }
        // SAFETY: each arm reads the member that `kind` says is set; numbers have no invalid bytes, and a text is
        // checked before it is followed.
        unsafe {
            match self.kind {
                MLFLOW_ATTRIBUTE_NULL => place.write((key, Value::Null)),
                MLFLOW_ATTRIBUTE_STR => place.write((key, Value::Str(self.text_or(text)?))),
                MLFLOW_ATTRIBUTE_I64 => place.write((key, Value::Int(self.data.integer))),
                MLFLOW_ATTRIBUTE_F64 => place.write((key, Value::Double(self.data.number))),
                MLFLOW_ATTRIBUTE_BOOL => place.write((key, Value::Bool(self.data.integer != 0))),
                MLFLOW_ATTRIBUTE_JSON => place.write((key, Value::Json(self.text_or(text)?))),
                _ => return Err(Failure::Argument("attribute kind", "is not known")),
            }
        };
        Ok(())
    }

    /// # Safety
    /// `data.text` is set and readable for `'a`.
    #[inline]
    unsafe fn text_or<'a>(&self, text: Option<&'a str>) -> Result<&'a str, Failure> {
        match text {
            Some(text) => Ok(text),
            // SAFETY: the same promise, passed on.
            None => unsafe { self.data.text.option("attribute text") },
        }
    }

    /// What stands in for text that is not UTF-8.
    ///
    /// # Safety
    /// As [`mlflow_attribute_t::write`].
    pub(crate) unsafe fn replacement(&self) -> Option<String> {
        match self.kind {
            MLFLOW_ATTRIBUTE_STR | MLFLOW_ATTRIBUTE_JSON => {
                // SAFETY: the kind says that the text is set; the caller promises that it is readable.
                match unsafe { self.data.text.value("attribute text") } {
                    Ok(Cow::Owned(text)) => Some(text),
                    _ => None,
                }
            }
            _ => None,
        }
    }
}
