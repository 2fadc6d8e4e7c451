//! Lists of attributes on their way in.

use std::fmt::Write;
use std::mem::MaybeUninit;

use mlflow_trace_core::{Value, json};

use crate::attribute::mlflow_attribute_t;
use crate::guard::Failure;

/// A list of so many attributes is converted without allocating.
const FEW: usize = 16;

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

    /// Calls `work` with the good members in their order, and with the first failure among the others.
    ///
    /// # Safety
    /// Each `kind` names the member of `data` that is set, and all texts are readable until the call returns.
    #[inline]
    pub(crate) unsafe fn with<R>(
        &self,
        work: impl FnOnce(&[(&str, Value<'_>)], Result<(), Failure>) -> R,
    ) -> R {
        let mut few = [const { MaybeUninit::uninit() }; FEW];
        // SAFETY: the same promise, passed on.
        match unsafe { self.convert(&mut few) } {
            Some(good) => work(good, Ok(())),
            // SAFETY: the same promise, passed on.
            None => unsafe { self.with_many(work) },
        }
    }

    /// The list in core's form, unless it is long or something about it is not as it should be.
    ///
    /// # Safety
    /// As [`Fields::with`].
    #[inline]
    unsafe fn convert<'b>(
        &self,
        places: &'b mut [MaybeUninit<(&'a str, Value<'a>)>; FEW],
    ) -> Option<&'b [(&'a str, Value<'a>)]> {
        let places = places.get_mut(..self.0.len())?;
        for (place, attribute) in places.iter_mut().zip(self.0) {
            // SAFETY: the caller promises for every attribute what `write` asks of one.
            unsafe { attribute.write(None, place) }.ok()?;
        }
        // SAFETY: there are as many places as attributes, and the loop wrote to each.
        Some(unsafe { &*(&raw const *places as *const [(&str, Value<'_>)]) })
    }

    /// # Safety
    /// As [`Fields::with`].
    #[cold]
    unsafe fn with_many<R>(
        &self,
        work: impl FnOnce(&[(&str, Value<'_>)], Result<(), Failure>) -> R,
    ) -> R {
        let replacements: Vec<Option<String>> = self
            .0
            .iter()
            // SAFETY: the caller promises for every attribute what `replacement` asks of one.
            .map(|attribute| unsafe { attribute.replacement() })
            .collect();
        let mut good = Vec::with_capacity(self.0.len());
        let mut outcome = Ok(());
        for (attribute, text) in self.0.iter().zip(&replacements) {
            let mut place = MaybeUninit::uninit();
            // SAFETY: the caller promises for every attribute what `write` asks of one.
            match unsafe { attribute.write(text.as_deref(), &mut place) } {
                // SAFETY: it was written.
                Ok(()) => good.push(unsafe { place.assume_init() }),
                Err(failure) => outcome = outcome.and(Err(failure)),
            }
        }
        work(&good, outcome)
    }

    /// The list as the text of a JSON object.
    ///
    /// # Safety
    /// As [`Fields::with`].
    pub(crate) unsafe fn object(&self) -> Result<String, Failure> {
        let write = |fields: &[(&str, Value<'_>)], outcome: Result<(), Failure>| {
            outcome?;
            let mut out = String::from("{");
            for (index, (key, value)) in fields.iter().enumerate() {
                if index > 0 {
                    out.push_str(", ");
                }
                json::write_string(&mut out, key);
                out.push_str(": ");
                write_value(&mut out, *value);
            }
            out.push('}');
            Ok(out)
        };
        // SAFETY: the same promise, passed on.
        unsafe { self.with(write) }
    }
}

fn write_value(out: &mut String, value: Value<'_>) {
    match value {
        // C has no lists of values.
        Value::Null | Value::Array(_) => out.push_str("null"),
        Value::Bool(flag) => out.push_str(if flag { "true" } else { "false" }),
        Value::Int(int) => {
            let _ = write!(out, "{int}");
        }
        Value::Double(double) => json::write_f64(out, double),
        Value::Str(text) => json::write_string(out, text),
        Value::Json(text) => json::write_json(out, text),
    }
}
