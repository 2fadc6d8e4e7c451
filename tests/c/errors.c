/* What errors say, and what calls on spans that are not live do. misuse.c tries every argument of
 * every function. */

#define _POSIX_C_SOURCE 200809L

#include "check.h"

#define BAD MLFLOW_ERROR_INVALID_ARGUMENT
#define STALE MLFLOW_ERROR_INVALID_STATE

static mlflow_str_t null_with_length(void)
{
    return mlflow_str_n(NULL, 3);
}

CASE(static_texts_exist_for_every_number)
{
    CHECK(mlflow_version() != NULL);
    CHECK(mlflow_abi_version() > 0);
    CHECK(strcmp(mlflow_status_name(MLFLOW_OK), "OK") == 0);
    CHECK(strcmp(mlflow_status_name(MLFLOW_ERROR_NOT_FOUND), "NOT_FOUND") == 0);
    CHECK(strcmp(mlflow_status_name(INT32_MIN), "UNKNOWN") == 0);
    CHECK(strcmp(mlflow_status_name(4711), "UNKNOWN") == 0);
}

CASE(freeing_null_does_nothing)
{
    mlflow_error_free(NULL);
    mlflow_text_free(NULL);
    mlflow_config_free(NULL);
    mlflow_tracer_free(NULL);
}

CASE(null_errors_and_texts_are_empty)
{
    CHECK(mlflow_error_get_code(NULL) == MLFLOW_OK);
    CHECK(strcmp(mlflow_error_get_message(NULL), "") == 0);
    CHECK(mlflow_error_get_retryable(NULL) == 0);
    CHECK(mlflow_text_get(NULL).len == 0);
    CHECK(strcmp(mlflow_text_get(NULL).ptr, "") == 0);
}

CASE(errors_name_the_culprit)
{
    mlflow_config_t *config = NULL;
    mlflow_error_t *error = (mlflow_error_t *)&config; /* overwritten, also on success */

    CHECK_OK(mlflow_config_new(&config, &error));
    CHECK(error == NULL);

    CHECK_STATUS(mlflow_config_set(config, MLFLOW_STR("no.such.option"), MLFLOW_STR("1"), &error),
                 MLFLOW_ERROR_INVALID_CONFIG);
    CHECK(mlflow_error_get_code(error) == MLFLOW_ERROR_INVALID_CONFIG);
    CHECK_CONTAINS(mlflow_error_get_message(error), "no.such.option");
    CHECK(mlflow_error_get_retryable(error) == 0);
    mlflow_error_free(error);

    CHECK_STATUS(
        mlflow_config_set(config, MLFLOW_STR("batch.max_spans"), MLFLOW_STR("many"), &error),
        MLFLOW_ERROR_INVALID_CONFIG);
    CHECK_CONTAINS(mlflow_error_get_message(error), "batch.max_spans");
    mlflow_error_free(error);

    CHECK_STATUS(
        mlflow_config_set(config, MLFLOW_STR("tracking_uri"), MLFLOW_STR("http://[bad"), &error),
        MLFLOW_ERROR_INVALID_CONFIG);
    CHECK_CONTAINS(mlflow_error_get_message(error), "tracking_uri");
    mlflow_error_free(error);

    CHECK_STATUS(mlflow_config_set(NULL, MLFLOW_STR("exporter"), MLFLOW_STR("none"), &error), BAD);
    CHECK_CONTAINS(mlflow_error_get_message(error), "config");
    mlflow_error_free(error);
    mlflow_config_free(config);
}

CASE(a_malformed_variable_is_named)
{
    mlflow_config_t *config = NULL;
    mlflow_error_t *error = NULL;

    setenv("MLFLOW_TRACKING_URI", "not a uri", 1);
    CHECK_OK(mlflow_config_new(&config, NULL));
    CHECK_STATUS(mlflow_config_set_env(config, &error), MLFLOW_ERROR_INVALID_CONFIG);
    CHECK_CONTAINS(mlflow_error_get_message(error), "MLFLOW_TRACKING_URI");
    unsetenv("MLFLOW_TRACKING_URI");
    mlflow_error_free(error);
    mlflow_config_free(config);
}

CASE(names_that_mean_nothing_are_refused)
{
    mlflow_config_t *config = check_config("exporter", "memory");
    mlflow_tracer_t *tracer = check_memory_tracer();
    mlflow_span_t span = check_start(tracer, "checked");
    const mlflow_str_t text = MLFLOW_STR("x");
    char buffer[64];
    uint64_t number = 7;

    CHECK_STATUS(mlflow_config_get(config, MLFLOW_STR("nonsense"), buffer, 8, NULL, NULL),
                 MLFLOW_ERROR_INVALID_CONFIG);
    CHECK_STATUS(mlflow_tracer_get_stat(tracer, MLFLOW_STR("nonsense"), &number, NULL),
                 MLFLOW_ERROR_NOT_FOUND);
    CHECK_STATUS(mlflow_tracer_get_stat(tracer, MLFLOW_STR("dropped.nonsense"), &number, NULL),
                 MLFLOW_ERROR_NOT_FOUND);
    CHECK_STATUS(mlflow_tracer_get_stat(tracer, MLFLOW_STR("recovered.nonsense"), &number, NULL),
                 MLFLOW_ERROR_NOT_FOUND);
    CHECK(number == 7);
    CHECK_STATUS(mlflow_span_set_attribute_str(span, MLFLOW_STR(""), text, NULL), BAD);
    CHECK_STATUS(mlflow_trace_set_tag(span, MLFLOW_STR(""), text, NULL), BAD);
    CHECK_STATUS(mlflow_trace_set(span, MLFLOW_STR("nonsense"), text, NULL), BAD);
    CHECK_STATUS(mlflow_trace_set(span, MLFLOW_STR("state"), MLFLOW_STR("MAYBE"), NULL), BAD);
    CHECK_STATUS(mlflow_span_inject(span, MLFLOW_STR("baggage"), buffer, sizeof buffer, NULL, NULL),
                 MLFLOW_ERROR_NOT_FOUND);
    CHECK_OK(mlflow_span_end(span, NULL));
    mlflow_config_free(config);
    mlflow_tracer_free(tracer);
}

/* Every call that takes a span, on one that is not live. */
static void check_dead(mlflow_span_t span)
{
    const mlflow_str_t text = MLFLOW_STR("x");
    const mlflow_attribute_t attribute = mlflow_attribute_i64(text, 1);
    char buffer[64] = "untouched";
    size_t length = 7;

    CHECK_STATUS(mlflow_span_set_name(span, text, NULL), STALE);
    CHECK_STATUS(mlflow_span_set_type(span, text, NULL), STALE);
    CHECK_STATUS(mlflow_span_set_inputs(span, text, NULL), STALE);
    CHECK_STATUS(mlflow_span_set_inputs_str(span, text, NULL), STALE);
    CHECK_STATUS(mlflow_span_set_inputs_fields(span, &attribute, 1, NULL), STALE);
    CHECK_STATUS(mlflow_span_set_outputs(span, text, NULL), STALE);
    CHECK_STATUS(mlflow_span_set_outputs_str(span, text, NULL), STALE);
    CHECK_STATUS(mlflow_span_set_outputs_fields(span, &attribute, 1, NULL), STALE);
    CHECK_STATUS(mlflow_span_set_attribute_str(span, text, text, NULL), STALE);
    CHECK_STATUS(mlflow_span_set_attribute_i64(span, text, 1, NULL), STALE);
    CHECK_STATUS(mlflow_span_set_attribute_f64(span, text, 1.0, NULL), STALE);
    CHECK_STATUS(mlflow_span_set_attribute_bool(span, text, 1, NULL), STALE);
    CHECK_STATUS(mlflow_span_set_attribute_json(span, text, text, NULL), STALE);
    CHECK_STATUS(mlflow_span_set_attributes(span, &attribute, 1, NULL), STALE);
    CHECK_STATUS(mlflow_span_add_event(span, text, 0, &attribute, 1, NULL), STALE);
    CHECK_STATUS(mlflow_span_record_exception(span, text, text, text, NULL), STALE);
    CHECK_STATUS(mlflow_span_set_status(span, MLFLOW_SPAN_STATUS_ERROR, text, NULL), STALE);
    CHECK_STATUS(mlflow_trace_set_tag(span, text, text, NULL), STALE);
    CHECK_STATUS(mlflow_trace_set_metadata(span, text, text, NULL), STALE);
    CHECK_STATUS(mlflow_trace_set(span, MLFLOW_STR("user"), text, NULL), STALE);
    CHECK_STATUS(mlflow_span_get_trace_id(span, buffer, sizeof buffer, &length, NULL), STALE);
    CHECK_STATUS(mlflow_span_get_span_id(span, buffer, sizeof buffer, &length, NULL), STALE);
    CHECK_STATUS(
        mlflow_span_inject(span, MLFLOW_STR("traceparent"), buffer, sizeof buffer, &length, NULL),
        STALE);
    CHECK_STATUS(mlflow_span_attach(span, text, "x", 1, buffer, sizeof buffer, &length, NULL),
                 STALE);
    CHECK(strcmp(buffer, "untouched") == 0 && length == 7);
    CHECK_STATUS(mlflow_span_end_at(span, 1, NULL), STALE);
    CHECK_STATUS(mlflow_span_end(span, NULL), STALE);
}

CASE(handles_that_are_no_live_span)
{
    mlflow_tracer_t *tracer = check_memory_tracer();
    mlflow_span_t span = check_start(tracer, "ended");
    mlflow_span_t forged = span;
    mlflow_error_t *error = NULL;
    uint64_t bit;

    CHECK_OK(mlflow_span_end(span, NULL));
    check_dead(span);
    forged.id = 0;
    check_dead(forged);
    forged.id = UINT64_MAX;
    check_dead(forged);
    for (bit = 1; bit != 0; bit <<= 1) {
        forged.id = span.id ^ bit;
        check_dead(forged);
    }
    CHECK_STATUS(mlflow_span_end(span, &error), STALE);
    CHECK_CONTAINS(mlflow_error_get_message(error), "span");
    mlflow_error_free(error);
    CHECK(check_stat(tracer, "ignored") > 0);
    mlflow_tracer_free(tracer);
}

CASE(a_second_end_changes_nothing)
{
    mlflow_tracer_t *tracer = check_memory_tracer();
    mlflow_span_options_t options = MLFLOW_SPAN_OPTIONS_INIT;
    mlflow_span_t span = {0};
    mlflow_text_t *json;

    options.start_time_ns = 1700000000000000000u;
    CHECK_OK(mlflow_span_start(tracer, MLFLOW_STR("once"), &options, &span, NULL));
    CHECK_OK(mlflow_span_end_at(span, 1700000001000000000u, NULL));
    CHECK_STATUS(mlflow_span_end_at(span, 1700000002000000000u, NULL), STALE);
    json = check_only_trace(tracer);
    CHECK_CONTAINS(mlflow_text_get(json).ptr, "1700000001000000000");
    CHECK(strstr(mlflow_text_get(json).ptr, "1700000002000000000") == NULL);
    mlflow_text_free(json);
    mlflow_tracer_free(tracer);
}

CASE(a_reused_slot_does_not_revive_an_old_handle)
{
    mlflow_tracer_t *tracer = check_memory_tracer();
    mlflow_span_t old = check_start(tracer, "old");
    mlflow_span_t young;
    int round;

    CHECK_OK(mlflow_span_end(old, NULL));
    for (round = 0; round < 1000; round++) {
        young = check_start(tracer, "young");
        CHECK(young.id != old.id);
        CHECK_STATUS(mlflow_span_set_name(old, MLFLOW_STR("mine"), NULL), STALE);
        CHECK_OK(mlflow_span_end(young, NULL));
    }
    mlflow_tracer_free(tracer);
}

CASE(an_ended_parent_makes_a_root)
{
    mlflow_tracer_t *tracer = check_memory_tracer();
    mlflow_span_t parent = check_start(tracer, "parent");
    mlflow_span_t child;
    mlflow_text_t *message = NULL;

    CHECK_OK(mlflow_span_end(parent, NULL));
    child = check_child(tracer, "orphan", parent);
    CHECK(child.id != 0);
    CHECK_OK(mlflow_span_end(child, NULL));
    CHECK_OK(mlflow_tracer_next_diagnostic(tracer, &message, NULL));
    CHECK_CONTAINS(mlflow_text_get(message).ptr, "ended_parent: ");
    mlflow_text_free(message);
    CHECK_OK(mlflow_tracer_flush(tracer, 60000, NULL, NULL));
    CHECK(check_stat(tracer, "delivered") == 2);
    mlflow_tracer_free(tracer);
}

CASE(a_parent_of_another_tracer_is_accepted)
{
    mlflow_tracer_t *one = check_memory_tracer();
    mlflow_tracer_t *two = check_memory_tracer();
    mlflow_span_t parent = check_start(one, "parent");
    mlflow_span_t child = check_child(two, "child", parent);
    char trace_of_parent[MLFLOW_TRACE_ID_CAPACITY];
    char trace_of_child[MLFLOW_TRACE_ID_CAPACITY];

    CHECK_OK(mlflow_span_get_trace_id(parent, trace_of_parent, sizeof trace_of_parent, NULL, NULL));
    CHECK_OK(mlflow_span_get_trace_id(child, trace_of_child, sizeof trace_of_child, NULL, NULL));
    CHECK(strcmp(trace_of_parent, trace_of_child) == 0);
    CHECK_OK(mlflow_span_end(child, NULL));
    CHECK_OK(mlflow_span_end(parent, NULL));
    CHECK_OK(mlflow_tracer_flush(one, 60000, NULL, NULL));
    CHECK_OK(mlflow_tracer_flush(two, 60000, NULL, NULL));
    CHECK(check_stat(one, "delivered") == 1 && check_stat(two, "delivered") == 1);
    mlflow_tracer_free(one);
    mlflow_tracer_free(two);
}

CASE(lists_of_attributes_are_checked)
{
    mlflow_tracer_t *tracer = check_memory_tracer();
    mlflow_span_t span = check_start(tracer, "lists");
    mlflow_attribute_t list[3];
    mlflow_text_t *json;

    list[0] = mlflow_attribute_i64(MLFLOW_STR("first"), 1);
    list[1] = mlflow_attribute_i64(MLFLOW_STR(""), 2);
    list[2] = mlflow_attribute_str(MLFLOW_STR("last"), MLFLOW_STR("kept"));
    CHECK_STATUS(mlflow_span_set_attributes(span, list, 3, NULL), BAD);
    CHECK_STATUS(mlflow_span_add_event(span, MLFLOW_STR("e"), 0, list, 3, NULL), BAD);
    CHECK_STATUS(mlflow_span_set_inputs_fields(span, list, 3, NULL), BAD);
    CHECK_STATUS(mlflow_span_set_outputs_fields(span, list, 3, NULL), BAD);
    CHECK_STATUS(mlflow_span_set_attributes(span, NULL, 1, NULL), BAD);
    CHECK_STATUS(mlflow_span_set_attributes(span, list, SIZE_MAX, NULL), BAD);
    CHECK_STATUS(mlflow_span_add_event(span, MLFLOW_STR("e"), 0, NULL, 1, NULL), BAD);
    CHECK_STATUS(mlflow_span_set_inputs_fields(span, NULL, 1, NULL), BAD);
    CHECK_STATUS(mlflow_span_set_outputs_fields(span, NULL, SIZE_MAX, NULL), BAD);
    CHECK_OK(mlflow_span_set_attributes(span, NULL, 0, NULL));
    list[1] = mlflow_attribute_i64(MLFLOW_STR("odd"), 2);
    list[1].kind = 99;
    CHECK_STATUS(mlflow_span_set_attributes(span, list, 3, NULL), BAD);
    list[1].kind = MLFLOW_ATTRIBUTE_I64;
    list[1].reserved = 1;
    CHECK_STATUS(mlflow_span_set_attributes(span, list, 3, NULL), BAD);
    list[1] = mlflow_attribute_str(MLFLOW_STR("odd"), null_with_length());
    CHECK_STATUS(mlflow_span_set_attributes(span, list, 3, NULL), BAD);
    CHECK_OK(mlflow_span_end(span, NULL));

    json = check_only_trace(tracer);
    CHECK_CONTAINS(mlflow_text_get(json).ptr, "\"first\"");
    CHECK_CONTAINS(mlflow_text_get(json).ptr, "kept");
    CHECK(strstr(mlflow_text_get(json).ptr, "\"odd\"") == NULL);
    mlflow_text_free(json);
    mlflow_tracer_free(tracer);
}

CASE(after_shutdown_everything_is_a_counted_no_op)
{
    mlflow_tracer_t *tracer = check_memory_tracer();
    mlflow_span_t before = check_start(tracer, "before");
    mlflow_span_t after = {7};
    uint64_t pending = 7;

    CHECK_OK(mlflow_tracer_shutdown(tracer, 2000, &pending, NULL));
    CHECK(pending == 0);
    CHECK_OK(mlflow_tracer_shutdown(tracer, MLFLOW_TIMEOUT_DEFAULT, NULL, NULL));
    CHECK_OK(mlflow_tracer_flush(tracer, UINT64_MAX - 1, NULL, NULL));
    CHECK_OK(mlflow_span_start(tracer, MLFLOW_STR("after"), NULL, &after, NULL));
    check_dead(after);
    CHECK(check_stat(tracer, "dropped") == 1);
    CHECK(check_stat(tracer, "ignored") > 0);
    CHECK(check_stat(tracer, "pending") == 0);
    mlflow_span_end(before, NULL);
    mlflow_tracer_free(tracer);
}

CASE(spans_outlive_their_tracer_without_harm)
{
    mlflow_tracer_t *tracer = check_memory_tracer();
    mlflow_span_t span = check_start(tracer, "outlives");

    mlflow_tracer_free(tracer);
    mlflow_span_set_name(span, MLFLOW_STR("still here"), NULL);
    mlflow_span_set_inputs_str(span, MLFLOW_STR("still here"), NULL);
    mlflow_span_end(span, NULL);
    check_dead(span);
}

CASE(many_tracers_at_once)
{
    mlflow_tracer_t *tracers[16];
    int i;

    for (i = 0; i < 16; i++) {
        tracers[i] = check_memory_tracer();
        CHECK_OK(mlflow_span_end(check_start(tracers[i], "one"), NULL));
    }
    for (i = 0; i < 16; i++) {
        CHECK_OK(mlflow_tracer_shutdown(tracers[i], 60000, NULL, NULL));
        CHECK(check_stat(tracers[i], "delivered") == 1);
        mlflow_tracer_free(tracers[i]);
    }
}

int main(void)
{
    RUN(static_texts_exist_for_every_number);
    RUN(freeing_null_does_nothing);
    RUN(null_errors_and_texts_are_empty);
    RUN(errors_name_the_culprit);
    RUN(a_malformed_variable_is_named);
    RUN(names_that_mean_nothing_are_refused);
    RUN(handles_that_are_no_live_span);
    RUN(a_second_end_changes_nothing);
    RUN(a_reused_slot_does_not_revive_an_old_handle);
    RUN(an_ended_parent_makes_a_root);
    RUN(a_parent_of_another_tracer_is_accepted);
    RUN(lists_of_attributes_are_checked);
    RUN(after_shutdown_everything_is_a_counted_no_op);
    RUN(spans_outlive_their_tracer_without_harm);
    RUN(many_tracers_at_once);
    return DONE();
}
