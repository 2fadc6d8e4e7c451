//! The layout of the public structures, frozen. `tests/c/layout.c` asserts the same from the other side.

use std::mem::offset_of;

use crate::attribute::{mlflow_attribute_data_t, mlflow_attribute_t};
use crate::span::{mlflow_span_options_t, mlflow_span_t};
use crate::status::mlflow_status_t;
use crate::text::mlflow_str_t;

const WORD: usize = size_of::<usize>();
const STR: usize = 2 * WORD;

const _: () = {
    assert!(size_of::<mlflow_status_t>() == 4);

    assert!(size_of::<mlflow_span_t>() == 8);

    assert!(size_of::<mlflow_str_t>() == STR);
    assert!(offset_of!(mlflow_str_t, len) == WORD);

    assert!(size_of::<mlflow_attribute_data_t>() == 16 || WORD < 8);
    assert!(offset_of!(mlflow_attribute_t, kind) == STR);
    assert!(offset_of!(mlflow_attribute_t, reserved) == STR + 4);
    assert!(offset_of!(mlflow_attribute_t, data) == STR + 8);

    assert!(offset_of!(mlflow_span_options_t, span_type) == WORD);
};

#[cfg(target_pointer_width = "64")]
const _: () = {
    assert!(size_of::<mlflow_attribute_t>() == 40);
    assert!(offset_of!(mlflow_span_options_t, parent) == 24);
    assert!(offset_of!(mlflow_span_options_t, traceparent) == 32);
    assert!(offset_of!(mlflow_span_options_t, tracestate) == 48);
    assert!(offset_of!(mlflow_span_options_t, start_time_ns) == 64);
    assert!(offset_of!(mlflow_span_options_t, attributes) == 72);
    assert!(offset_of!(mlflow_span_options_t, attribute_count) == 80);
    assert!(offset_of!(mlflow_span_options_t, has_sampling_ratio) == 88);
    assert!(offset_of!(mlflow_span_options_t, reserved) == 92);
    assert!(offset_of!(mlflow_span_options_t, sampling_ratio) == 96);
    assert!(size_of::<mlflow_span_options_t>() == 104);
};
