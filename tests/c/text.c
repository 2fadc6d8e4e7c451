/* Text in both directions: lengths, NULs, bytes that are not UTF-8, buffers that are too small. */

#include "check.h"

CASE(invalid_utf8_is_replaced_in_values_and_counted)
{
    mlflow_tracer_t *tracer = check_memory_tracer();
    mlflow_span_t span = {0};
    uint64_t before = check_stat(tracer, "invalid_utf8");
    mlflow_text_t *json;

    CHECK_OK(mlflow_span_start(tracer, MLFLOW_STR("n\xff"), NULL, &span, NULL));
    CHECK_OK(mlflow_span_set_attribute_str(span, MLFLOW_STR("cut"), MLFLOW_STR("\xe2\x82"), NULL));
    CHECK_OK(mlflow_span_set_inputs_str(span, MLFLOW_STR("surrogate \xed\xa0\x80"), NULL));
    CHECK_OK(mlflow_trace_set_tag(span, MLFLOW_STR("tag"), MLFLOW_STR("t\xc0\xaf"), NULL));
    CHECK_OK(mlflow_span_end(span, NULL));
    CHECK(check_stat(tracer, "invalid_utf8") == before + 4);

    json = check_only_trace(tracer);
    CHECK_CONTAINS(mlflow_text_get(json).ptr, "\"n\xef\xbf\xbd\"");
    CHECK_CONTAINS(mlflow_text_get(json).ptr, "surrogate \xef\xbf\xbd");
    CHECK(strstr(mlflow_text_get(json).ptr, "\xff") == NULL);
    mlflow_text_free(json);
    mlflow_tracer_free(tracer);
}

CASE(invalid_utf8_is_refused_in_keys_and_options)
{
    mlflow_config_t *config = check_config("exporter", "memory");
    mlflow_tracer_t *tracer = check_memory_tracer();
    mlflow_span_t span = check_start(tracer, "keys");
    mlflow_str_t bad = MLFLOW_STR("k\xff");
    mlflow_error_t *error = NULL;

    CHECK_STATUS(mlflow_config_set(config, bad, MLFLOW_STR("x"), NULL),
                 MLFLOW_ERROR_INVALID_ARGUMENT);
    CHECK_STATUS(mlflow_config_set(config, MLFLOW_STR("service.name"), bad, &error),
                 MLFLOW_ERROR_INVALID_ARGUMENT);
    CHECK_CONTAINS(mlflow_error_get_message(error), "UTF-8");
    mlflow_error_free(error);
    CHECK_STATUS(mlflow_span_set_attribute_i64(span, bad, 1, NULL), MLFLOW_ERROR_INVALID_ARGUMENT);
    CHECK_STATUS(mlflow_trace_set_tag(span, bad, MLFLOW_STR("x"), NULL),
                 MLFLOW_ERROR_INVALID_ARGUMENT);
    CHECK_OK(mlflow_span_end(span, NULL));
    mlflow_config_free(config);
    mlflow_tracer_free(tracer);
}

CASE(lengths_rule_not_terminators)
{
    mlflow_tracer_t *tracer = check_memory_tracer();
    mlflow_span_t span = {0};
    const char unterminated[4] = {'a', 'b', 'c', 'd'};
    mlflow_text_t *json;

    CHECK_OK(mlflow_span_start(tracer, mlflow_str_n(unterminated, 4), NULL, &span, NULL));
    CHECK_OK(mlflow_span_set_inputs_str(span, mlflow_str_n("in\0side", 7), NULL));
    CHECK_OK(mlflow_span_set_outputs_str(span, mlflow_str_n(unterminated, 0), NULL));
    CHECK_OK(mlflow_span_end(span, NULL));
    json = check_only_trace(tracer);
    CHECK_CONTAINS(mlflow_text_get(json).ptr, "\"abcd\"");
    CHECK_CONTAINS(mlflow_text_get(json).ptr, "in\\\\u0000side");
    mlflow_text_free(json);
    mlflow_tracer_free(tracer);
}

CASE(empty_texts_are_fine)
{
    mlflow_tracer_t *tracer = check_memory_tracer();
    mlflow_span_t span = {0};

    CHECK(mlflow_str(NULL).ptr == NULL && mlflow_str(NULL).len == 0);
    CHECK(MLFLOW_STR("").len == 0);
    CHECK(MLFLOW_STR("a\0b").len == 3);
    CHECK_OK(mlflow_span_start(tracer, mlflow_str(NULL), NULL, &span, NULL));
    CHECK_OK(mlflow_span_set_attribute_str(span, MLFLOW_STR("empty"), mlflow_str(NULL), NULL));
    CHECK_OK(mlflow_span_set_inputs(span, mlflow_str(NULL), NULL));
    CHECK_OK(mlflow_span_set_type(span, mlflow_str(NULL), NULL));
    CHECK_OK(mlflow_span_end(span, NULL));
    mlflow_tracer_free(tracer);
}

CASE(inputs_are_copied_before_the_call_returns)
{
    mlflow_tracer_t *tracer = check_memory_tracer();
    mlflow_span_t span = check_start(tracer, "copied");
    char *text = (char *)malloc(16);
    mlflow_text_t *json;

    strcpy(text, "before");
    CHECK_OK(mlflow_span_set_inputs_str(span, mlflow_str(text), NULL));
    strcpy(text, "after");
    free(text);
    CHECK_OK(mlflow_span_end(span, NULL));
    json = check_only_trace(tracer);
    CHECK_CONTAINS(mlflow_text_get(json).ptr, "before");
    mlflow_text_free(json);
    mlflow_tracer_free(tracer);
}

CASE(a_megabyte_arrives)
{
    mlflow_tracer_t *tracer = check_memory_tracer();
    mlflow_span_t span = check_start(tracer, "large");
    const size_t size = 1 << 20;
    char *text = (char *)malloc(size);
    mlflow_text_t *json;

    memset(text, 'x', size);
    memcpy(text + size - 4, "tail", 4);
    CHECK_OK(mlflow_span_set_outputs_str(span, mlflow_str_n(text, size), NULL));
    CHECK_OK(mlflow_span_end(span, NULL));
    free(text);
    json = check_only_trace(tracer);
    CHECK(mlflow_text_get(json).len > size);
    CHECK(strstr(mlflow_text_get(json).ptr, "xtail") != NULL);
    mlflow_text_free(json);
    mlflow_tracer_free(tracer);
}

CASE(short_buffers_tell_the_length)
{
    mlflow_tracer_t *tracer = check_memory_tracer();
    mlflow_span_t span = check_start(tracer, "buffers");
    char buffer[MLFLOW_TRACE_ID_CAPACITY + 1];
    size_t capacity;
    size_t length = 0;

    CHECK_STATUS(mlflow_span_get_trace_id(span, NULL, 0, &length, NULL),
                 MLFLOW_ERROR_BUFFER_TOO_SMALL);
    CHECK(length + 1 == MLFLOW_TRACE_ID_CAPACITY);
    for (capacity = 0; capacity < MLFLOW_TRACE_ID_CAPACITY; capacity++) {
        memset(buffer, '#', sizeof buffer);
        CHECK_STATUS(mlflow_span_get_trace_id(span, buffer, capacity, NULL, NULL),
                     MLFLOW_ERROR_BUFFER_TOO_SMALL);
        CHECK(buffer[0] == '#' && buffer[capacity] == '#');
    }
    memset(buffer, '#', sizeof buffer);
    CHECK_OK(mlflow_span_get_trace_id(span, buffer, MLFLOW_TRACE_ID_CAPACITY, &length, NULL));
    CHECK(strlen(buffer) == length && strncmp(buffer, "tr-", 3) == 0);
    CHECK(buffer[MLFLOW_TRACE_ID_CAPACITY] == '#');

    CHECK_STATUS(mlflow_span_get_span_id(span, buffer, 1, &length, NULL),
                 MLFLOW_ERROR_BUFFER_TOO_SMALL);
    CHECK(length + 1 == MLFLOW_SPAN_ID_CAPACITY);
    CHECK_STATUS(mlflow_span_inject(span, MLFLOW_STR("TraceParent"), buffer, 1, &length, NULL),
                 MLFLOW_ERROR_BUFFER_TOO_SMALL);
    CHECK(length + 1 == MLFLOW_TRACEPARENT_CAPACITY);
    CHECK_OK(mlflow_span_end(span, NULL));
    mlflow_tracer_free(tracer);
}

int main(void)
{
    RUN(invalid_utf8_is_replaced_in_values_and_counted);
    RUN(invalid_utf8_is_refused_in_keys_and_options);
    RUN(lengths_rule_not_terminators);
    RUN(empty_texts_are_fine);
    RUN(inputs_are_copied_before_the_call_returns);
    RUN(a_megabyte_arrives);
    RUN(short_buffers_tell_the_length);
    return DONE();
}
