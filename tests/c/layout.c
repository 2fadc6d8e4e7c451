/* The layout of the public structures, as ffi/src/layout.rs asserts it from the other side. */

#include "check.h"

_Static_assert(sizeof(mlflow_status_t) == 4, "a status is an int32_t");
_Static_assert((mlflow_status_t)-1 < 0, "a status is signed");
_Static_assert(sizeof(mlflow_span_t) == 8, "a span is 64 bits");

_Static_assert(sizeof(mlflow_str_t) == 2 * sizeof(void *), "a text is a pointer and a length");
_Static_assert(offsetof(mlflow_str_t, ptr) == 0, "pointer first");
_Static_assert(offsetof(mlflow_str_t, len) == sizeof(void *), "then the length");

_Static_assert(offsetof(mlflow_attribute_t, key) == 0, "key first");
_Static_assert(offsetof(mlflow_attribute_t, kind) == 2 * sizeof(void *), "then the kind");
_Static_assert(offsetof(mlflow_attribute_t, reserved) == 2 * sizeof(void *) + 4, "then room");
_Static_assert(offsetof(mlflow_attribute_t, data) == 2 * sizeof(void *) + 8, "then the value");

_Static_assert(offsetof(mlflow_span_options_t, struct_size) == 0, "the size first");
_Static_assert(offsetof(mlflow_span_options_t, span_type) == sizeof(size_t), "then the type");

#if UINTPTR_MAX == UINT64_MAX
_Static_assert(sizeof(mlflow_attribute_t) == 40, "64-bit size");
_Static_assert(offsetof(mlflow_span_options_t, parent) == 24, "64-bit offset");
_Static_assert(offsetof(mlflow_span_options_t, traceparent) == 32, "64-bit offset");
_Static_assert(offsetof(mlflow_span_options_t, tracestate) == 48, "64-bit offset");
_Static_assert(offsetof(mlflow_span_options_t, start_time_ns) == 64, "64-bit offset");
_Static_assert(offsetof(mlflow_span_options_t, attributes) == 72, "64-bit offset");
_Static_assert(offsetof(mlflow_span_options_t, attribute_count) == 80, "64-bit offset");
_Static_assert(offsetof(mlflow_span_options_t, has_sampling_ratio) == 88, "64-bit offset");
_Static_assert(offsetof(mlflow_span_options_t, reserved) == 92, "64-bit offset");
_Static_assert(offsetof(mlflow_span_options_t, sampling_ratio) == 96, "64-bit offset");
_Static_assert(sizeof(mlflow_span_options_t) == 104, "64-bit size");
#endif

CASE(no_options_are_all_zero_but_the_size)
{
    mlflow_span_options_t options = MLFLOW_SPAN_OPTIONS_INIT;
    mlflow_span_options_t zero;

    memset(&zero, 0, sizeof zero);
    zero.struct_size = sizeof zero;
    CHECK(memcmp(&options, &zero, sizeof zero) == 0);
}

int main(void)
{
    RUN(no_options_are_all_zero_but_the_size);
    return DONE();
}
