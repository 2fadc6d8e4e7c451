/* The main path: configure, record a nested trace, read it back from memory. */

#define _POSIX_C_SOURCE 200809L

#include "check.h"

CASE(versions_of_header_and_library_agree)
{
    char version[32];
    CHECK(strcmp(mlflow_version(), MLFLOW_TRACE_VERSION) == 0);
    CHECK(mlflow_abi_version() == MLFLOW_TRACE_ABI_VERSION);
    snprintf(version, sizeof version, "%d.%d.%d", MLFLOW_TRACE_VERSION_MAJOR,
             MLFLOW_TRACE_VERSION_MINOR, MLFLOW_TRACE_VERSION_PATCH);
    CHECK(strncmp(version, MLFLOW_TRACE_VERSION, strlen(version)) == 0);
}

CASE(a_nested_trace_arrives_whole)
{
    mlflow_tracer_t *tracer = check_memory_tracer();
    mlflow_span_options_t options = MLFLOW_SPAN_OPTIONS_INIT;
    mlflow_span_t root = {0};
    mlflow_span_t child;
    mlflow_text_t *json;
    const char *text;

    options.span_type = MLFLOW_STR("AGENT");
    CHECK_OK(mlflow_span_start(tracer, MLFLOW_STR("answer"), &options, &root, NULL));
    CHECK_OK(mlflow_span_set_inputs(root, MLFLOW_STR("{\"question\": \"why?\"}"), NULL));
    CHECK_OK(mlflow_trace_set_tag(root, MLFLOW_STR("team"), MLFLOW_STR("search"), NULL));
    CHECK_OK(mlflow_trace_set_metadata(root, MLFLOW_STR("build"), MLFLOW_STR("abc123"), NULL));
    CHECK_OK(mlflow_trace_set(root, MLFLOW_STR("session_id"), MLFLOW_STR("session-7"), NULL));
    CHECK_OK(mlflow_trace_set(root, MLFLOW_STR("user"), MLFLOW_STR("ada"), NULL));
    CHECK_OK(mlflow_trace_set(root, MLFLOW_STR("client_request_id"), MLFLOW_STR("req-9"), NULL));

    child = check_child(tracer, "retrieve", root);
    CHECK_OK(mlflow_span_set_type(child, MLFLOW_STR("RETRIEVER"), NULL));
    CHECK_OK(mlflow_span_set_name(child, MLFLOW_STR("search"), NULL));
    CHECK_OK(mlflow_span_set_outputs_str(child, MLFLOW_STR("found it"), NULL));
    CHECK_OK(mlflow_span_end(child, NULL));

    CHECK_OK(mlflow_span_set_outputs_str(root, MLFLOW_STR("because"), NULL));
    CHECK_OK(mlflow_span_set_status(root, MLFLOW_SPAN_STATUS_OK, MLFLOW_STR(""), NULL));
    CHECK_OK(mlflow_span_end(root, NULL));

    json = check_only_trace(tracer);
    text = mlflow_text_get(json).ptr;
    CHECK(strlen(text) == mlflow_text_get(json).len);
    CHECK_CONTAINS(text, "\"answer\"");
    CHECK_CONTAINS(text, "\"search\"");
    CHECK_CONTAINS(text, "AGENT");
    CHECK_CONTAINS(text, "RETRIEVER");
    CHECK_CONTAINS(text, "why?");
    CHECK_CONTAINS(text, "found it");
    CHECK_CONTAINS(text, "\"team\":\"search\"");
    CHECK_CONTAINS(text, "\"build\":\"abc123\"");
    CHECK_CONTAINS(text, "session-7");
    CHECK_CONTAINS(text, "\"ada\"");
    CHECK_CONTAINS(text, "req-9");
    CHECK_CONTAINS(text, "\"OK\"");
    mlflow_text_free(json);
    mlflow_tracer_free(tracer);
}

CASE(attributes_keep_their_types)
{
    mlflow_tracer_t *tracer = check_memory_tracer();
    mlflow_span_t span = check_start(tracer, "typed");
    mlflow_attribute_t more[3];
    mlflow_text_t *json;
    const char *text;

    CHECK_OK(mlflow_span_set_attribute_str(span, MLFLOW_STR("a.str"), MLFLOW_STR("q\"uote"), NULL));
    CHECK_OK(mlflow_span_set_attribute_i64(span, MLFLOW_STR("a.i64"), INT64_MIN, NULL));
    CHECK_OK(mlflow_span_set_attribute_f64(span, MLFLOW_STR("a.f64"), 0.25, NULL));
    CHECK_OK(mlflow_span_set_attribute_bool(span, MLFLOW_STR("a.bool"), 2, NULL));
    CHECK_OK(
        mlflow_span_set_attribute_json(span, MLFLOW_STR("a.json"), MLFLOW_STR("[1, 2]"), NULL));
    more[0] = mlflow_attribute_bool(MLFLOW_STR("b.bool"), 0);
    more[1] = mlflow_attribute_f64(MLFLOW_STR("b.f64"), -1.5);
    more[2] = mlflow_attribute_json(MLFLOW_STR("b.json"), MLFLOW_STR("{\"k\": null}"));
    CHECK_OK(mlflow_span_set_attributes(span, more, 3, NULL));
    CHECK_OK(mlflow_span_end(span, NULL));

    json = check_only_trace(tracer);
    text = mlflow_text_get(json).ptr;
    CHECK_CONTAINS(text, "\"a.str\":\"\\\"q\\\\\\\"uote\\\"\"");
    CHECK_CONTAINS(text, "\"a.i64\":\"-9223372036854775808\"");
    CHECK_CONTAINS(text, "\"a.f64\":\"0.25\"");
    CHECK_CONTAINS(text, "\"a.bool\":\"true\"");
    CHECK_CONTAINS(text, "\"a.json\":\"[1, 2]\"");
    CHECK_CONTAINS(text, "\"b.bool\":\"false\"");
    CHECK_CONTAINS(text, "\"b.f64\":\"-1.5\"");
    CHECK_CONTAINS(text, "\"b.json\":\"{\\\"k\\\": null}\"");
    mlflow_text_free(json);
    mlflow_tracer_free(tracer);
}

CASE(inputs_and_outputs_as_fields)
{
    mlflow_tracer_t *tracer = check_memory_tracer();
    mlflow_span_t span = check_start(tracer, "fields");
    mlflow_attribute_t inputs[5];
    mlflow_attribute_t output;
    mlflow_attribute_t nothing;
    mlflow_text_t *json;

    inputs[0] = mlflow_attribute_str(MLFLOW_STR("question"), MLFLOW_STR("line\nbreak \"quoted\""));
    inputs[1] = mlflow_attribute_i64(MLFLOW_STR("limit"), 5);
    inputs[2] = mlflow_attribute_json(MLFLOW_STR("filter"), MLFLOW_STR("{\"year\":1999}"));
    inputs[3] = mlflow_attribute_json(MLFLOW_STR("broken"), MLFLOW_STR("{\"year\":"));
    memset(&nothing, 0, sizeof nothing);
    nothing.key = MLFLOW_STR("nothing");
    inputs[4] = nothing;
    output = mlflow_attribute_bool(MLFLOW_STR("found"), 1);
    CHECK_OK(mlflow_span_set_inputs_fields(span, inputs, 5, NULL));
    CHECK_OK(mlflow_span_set_outputs_fields(span, &output, 1, NULL));
    CHECK_OK(mlflow_span_end(span, NULL));

    json = check_only_trace(tracer);
    CHECK_CONTAINS(
        mlflow_text_get(json).ptr,
        "{\\\"question\\\": \\\"line\\\\nbreak \\\\\\\"quoted\\\\\\\"\\\", \\\"limit\\\": 5, "
        "\\\"filter\\\": {\\\"year\\\": 1999}, \\\"broken\\\": "
        "\\\"{\\\\\\\"year\\\\\\\":\\\", \\\"nothing\\\": null}");
    CHECK_CONTAINS(mlflow_text_get(json).ptr, "{\\\"found\\\": true}");
    mlflow_text_free(json);
    mlflow_tracer_free(tracer);
}

CASE(inputs_as_text_and_outputs_as_json)
{
    mlflow_tracer_t *tracer = check_memory_tracer();
    mlflow_span_t span = check_start(tracer, "texts");
    mlflow_text_t *json;

    CHECK_OK(mlflow_span_set_inputs_str(span, MLFLOW_STR("[not a list]"), NULL));
    CHECK_OK(mlflow_span_set_outputs(span, MLFLOW_STR("[1, 2, 3]"), NULL));
    CHECK_OK(mlflow_span_end(span, NULL));
    json = check_only_trace(tracer);
    CHECK_CONTAINS(mlflow_text_get(json).ptr, "\"mlflow.spanInputs\":\"\\\"[not a list]\\\"\"");
    CHECK_CONTAINS(mlflow_text_get(json).ptr, "\"mlflow.spanOutputs\":\"[1, 2, 3]\"");
    mlflow_text_free(json);
    mlflow_tracer_free(tracer);
}

CASE(events_and_exceptions)
{
    mlflow_tracer_t *tracer = check_memory_tracer();
    mlflow_span_t span = check_start(tracer, "eventful");
    mlflow_attribute_t token = mlflow_attribute_str(MLFLOW_STR("token"), MLFLOW_STR("a\"b"));
    mlflow_text_t *json;

    CHECK_OK(
        mlflow_span_add_event(span, MLFLOW_STR("token"), 1700000000000000000u, &token, 1, NULL));
    CHECK_OK(mlflow_span_add_event(span, MLFLOW_STR("bare"), 0, NULL, 0, NULL));
    CHECK_OK(mlflow_span_record_exception(span, MLFLOW_STR("IoError"), MLFLOW_STR("disk full"),
                                          MLFLOW_STR("at main.c:1"), NULL));
    CHECK_OK(mlflow_span_end(span, NULL));
    json = check_only_trace(tracer);
    CHECK_CONTAINS(mlflow_text_get(json).ptr, "1700000000000000000");
    CHECK_CONTAINS(mlflow_text_get(json).ptr, "\"bare\"");
    CHECK_CONTAINS(mlflow_text_get(json).ptr, "a\\\"b");
    CHECK_CONTAINS(mlflow_text_get(json).ptr, "exception.stacktrace");
    CHECK_CONTAINS(mlflow_text_get(json).ptr, "IoError: disk full");
    CHECK_CONTAINS(mlflow_text_get(json).ptr, "\"ERROR\"");
    mlflow_text_free(json);
    mlflow_tracer_free(tracer);
}

CASE(explicit_times_and_a_remote_parent)
{
    mlflow_tracer_t *tracer = check_memory_tracer();
    mlflow_span_options_t options = MLFLOW_SPAN_OPTIONS_INIT;
    mlflow_span_t span = {0};
    mlflow_text_t *json;
    char trace_id[MLFLOW_TRACE_ID_CAPACITY];
    char span_id[MLFLOW_SPAN_ID_CAPACITY];
    char traceparent[MLFLOW_TRACEPARENT_CAPACITY];
    char tracestate[32];
    char expected[MLFLOW_TRACEPARENT_CAPACITY];

    options.traceparent = MLFLOW_STR("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
    options.tracestate = MLFLOW_STR("vendor=value");
    options.start_time_ns = 1700000000000000000u;
    CHECK_OK(mlflow_span_start(tracer, MLFLOW_STR("remote"), &options, &span, NULL));
    CHECK_OK(mlflow_span_get_trace_id(span, trace_id, sizeof trace_id, NULL, NULL));
    CHECK(strcmp(trace_id, "tr-0af7651916cd43dd8448eb211c80319c") == 0);
    CHECK_OK(mlflow_span_get_span_id(span, span_id, sizeof span_id, NULL, NULL));
    CHECK(strlen(span_id) == 16 && strcmp(span_id, "b7ad6b7169203331") != 0);
    CHECK_OK(mlflow_span_inject(span, MLFLOW_STR("traceparent"), traceparent, sizeof traceparent,
                                NULL, NULL));
    snprintf(expected, sizeof expected, "00-0af7651916cd43dd8448eb211c80319c-%s-01", span_id);
    CHECK(strcmp(traceparent, expected) == 0);
    CHECK_OK(mlflow_span_inject(span, MLFLOW_STR("tracestate"), tracestate, sizeof tracestate, NULL,
                                NULL));
    CHECK(strcmp(tracestate, "vendor=value") == 0);
    CHECK_OK(mlflow_span_end_at(span, 1700000001500000000u, NULL));

    json = check_only_trace(tracer);
    CHECK_CONTAINS(mlflow_text_get(json).ptr, "1700000000000000000");
    CHECK_CONTAINS(mlflow_text_get(json).ptr, "1700000001500000000");
    CHECK_CONTAINS(mlflow_text_get(json).ptr, "\"remote\"");
    mlflow_text_free(json);
    mlflow_tracer_free(tracer);
}

CASE(a_malformed_traceparent_starts_a_new_trace)
{
    mlflow_tracer_t *tracer = check_memory_tracer();
    mlflow_span_options_t options = MLFLOW_SPAN_OPTIONS_INIT;
    mlflow_span_t span = {0};
    char trace_id[MLFLOW_TRACE_ID_CAPACITY];
    char tracestate[8];

    options.traceparent = MLFLOW_STR("00-00000000000000000000000000000000-b7ad6b7169203331-01");
    CHECK_OK(mlflow_span_start(tracer, MLFLOW_STR("root"), &options, &span, NULL));
    CHECK_OK(mlflow_span_get_trace_id(span, trace_id, sizeof trace_id, NULL, NULL));
    CHECK(strcmp(trace_id, "tr-00000000000000000000000000000000") != 0);
    CHECK_STATUS(mlflow_span_inject(span, MLFLOW_STR("tracestate"), tracestate, sizeof tracestate,
                                    NULL, NULL),
                 MLFLOW_ERROR_NOT_FOUND);
    CHECK_OK(mlflow_span_end(span, NULL));
    mlflow_tracer_free(tracer);
}

CASE(statistics_add_up)
{
    mlflow_tracer_t *tracer = check_memory_tracer();
    mlflow_span_t root = check_start(tracer, "root");
    mlflow_span_t child = check_child(tracer, "child", root);
    mlflow_text_t *stats = NULL;

    CHECK(check_stat(tracer, "created") == 2);
    CHECK(check_stat(tracer, "pending") == 2);
    CHECK_OK(mlflow_span_end(child, NULL));
    CHECK_OK(mlflow_span_end(root, NULL));
    CHECK_OK(mlflow_tracer_flush(tracer, 60000, NULL, NULL));
    CHECK(check_stat(tracer, "created") == 2);
    CHECK(check_stat(tracer, "delivered") == 2);
    CHECK(check_stat(tracer, "pending") == 0);
    CHECK(check_stat(tracer, "dropped") == 0);
    CHECK(check_stat(tracer, "dropped.queue_full") == 0);
    CHECK(check_stat(tracer, "panics") == 0);
    CHECK_OK(mlflow_tracer_get_stats(tracer, &stats, NULL));
    CHECK_CONTAINS(mlflow_text_get(stats).ptr, "\"created\":2");
    CHECK_CONTAINS(mlflow_text_get(stats).ptr, "\"delivered\":2");
    mlflow_text_free(stats);
    mlflow_tracer_free(tracer);
}

CASE(statistics_know_the_spool)
{
    char directory[] = "/tmp/mlflow-trace-c-XXXXXX";
    mlflow_config_t *config = check_config("exporter", "mlflow");
    mlflow_tracer_t *tracer = NULL;
    mlflow_text_t *stats = NULL;
    char command[64];

    CHECK(mkdtemp(directory) != NULL);
    CHECK_OK(mlflow_config_set(config, MLFLOW_STR("tracking_uri"), MLFLOW_STR("http://127.0.0.1:9"),
                               NULL));
    CHECK_OK(mlflow_config_set(config, MLFLOW_STR("spool"), MLFLOW_STR("write-through"), NULL));
    CHECK_OK(mlflow_config_set(config, MLFLOW_STR("spool.dir"),
                               (mlflow_str_t){directory, strlen(directory)}, NULL));
    CHECK_OK(mlflow_tracer_new(config, &tracer, NULL));
    mlflow_config_free(config);
    CHECK_OK(mlflow_span_end(check_start(tracer, "kept"), NULL));
    CHECK_STATUS(mlflow_tracer_shutdown(tracer, 1000, NULL, NULL), MLFLOW_ERROR_TIMEOUT);
    CHECK(check_stat(tracer, "spooled") == 1);
    CHECK(check_stat(tracer, "pending") == 1);
    CHECK(check_stat(tracer, "spool_degraded") == 0);
    CHECK(check_stat(tracer, "recovered.adopted") == 0);
    CHECK_OK(mlflow_tracer_get_stats(tracer, &stats, NULL));
    CHECK_CONTAINS(mlflow_text_get(stats).ptr, "\"spooled\":1");
    mlflow_text_free(stats);
    mlflow_tracer_free(tracer);
    snprintf(command, sizeof command, "rm -r %s", directory);
    CHECK(system(command) == 0);
}

CASE(health_tells_of_success_and_failure)
{
    mlflow_tracer_t *tracer = check_memory_tracer();
    mlflow_config_t *config = NULL;
    mlflow_text_t *health = NULL;
    mlflow_text_t *message = NULL;
    mlflow_error_t *error = NULL;

    CHECK_OK(mlflow_tracer_get_health(tracer, &health, NULL));
    CHECK_CONTAINS(mlflow_text_get(health).ptr, "\"last_success_ms\":null");
    mlflow_text_free(health);
    CHECK_OK(mlflow_span_end(check_start(tracer, "taken"), NULL));
    CHECK_OK(mlflow_tracer_flush(tracer, 60000, NULL, NULL));
    CHECK_OK(mlflow_tracer_get_health(tracer, &health, NULL));
    CHECK_CONTAINS(mlflow_text_get(health).ptr, "\"last_success_ms\":1");
    CHECK_CONTAINS(mlflow_text_get(health).ptr, "\"last_error\":null");
    CHECK_CONTAINS(mlflow_text_get(health).ptr, "\"circuit\":\"closed\"");
    mlflow_text_free(health);
    mlflow_tracer_free(tracer);

    CHECK_OK(mlflow_config_new(&config, NULL));
    CHECK_OK(mlflow_config_set(config, MLFLOW_STR("tracking_uri"),
                               MLFLOW_STR("http://me:canary@127.0.0.1:1"), NULL));
    CHECK(mlflow_config_set(config, MLFLOW_STR("tracking_uri"),
                            MLFLOW_STR("ftp://me:canary@127.0.0.1"),
                            &error) == MLFLOW_ERROR_INVALID_CONFIG);
    CHECK(strstr(mlflow_error_get_message(error), "canary") == NULL);
    mlflow_error_free(error);
    CHECK_OK(mlflow_tracer_new(config, &tracer, NULL));
    mlflow_config_free(config);
    CHECK_OK(mlflow_span_end(check_start(tracer, "waiting"), NULL));
    mlflow_tracer_flush(tracer, 5000, NULL, NULL);
    CHECK_OK(mlflow_tracer_get_health(tracer, &health, NULL));
    CHECK_CONTAINS(mlflow_text_get(health).ptr, "\"class\":\"unreachable\"");
    CHECK_CONTAINS(mlflow_text_get(health).ptr, "\"pending\":1");
    CHECK_CONTAINS(mlflow_text_get(health).ptr, "\"rejected\":0");
    CHECK(strstr(mlflow_text_get(health).ptr, "canary") == NULL);
    mlflow_text_free(health);
    while (mlflow_tracer_next_diagnostic(tracer, &message, NULL) == MLFLOW_OK) {
        CHECK(strstr(mlflow_text_get(message).ptr, "canary") == NULL);
        mlflow_text_free(message);
    }
    mlflow_tracer_free(tracer);
}

CASE(options_come_from_code_and_environment)
{
    mlflow_config_t *config = NULL;
    char value[64];
    size_t length = 0;

    CHECK_OK(mlflow_config_new(&config, NULL));
    CHECK_OK(mlflow_config_set(config, MLFLOW_STR("service.name"), MLFLOW_STR("in code"), NULL));
    CHECK_OK(
        mlflow_config_get(config, MLFLOW_STR("service.name"), value, sizeof value, &length, NULL));
    CHECK(strcmp(value, "in code") == 0 && length == 7);
    setenv("MLFLOW_EXPERIMENT_ID", "42", 1);
    CHECK_OK(mlflow_config_set_env(config, NULL));
    CHECK_OK(
        mlflow_config_get(config, MLFLOW_STR("experiment_id"), value, sizeof value, &length, NULL));
    CHECK(strcmp(value, "42") == 0 && length == 2);
    CHECK_OK(
        mlflow_config_get(config, MLFLOW_STR("service.name"), value, sizeof value, NULL, NULL));
    CHECK(strcmp(value, "in code") == 0);
    unsetenv("MLFLOW_EXPERIMENT_ID");
    mlflow_config_free(config);
}

int main(void)
{
    RUN(versions_of_header_and_library_agree);
    RUN(a_nested_trace_arrives_whole);
    RUN(attributes_keep_their_types);
    RUN(inputs_and_outputs_as_fields);
    RUN(inputs_as_text_and_outputs_as_json);
    RUN(events_and_exceptions);
    RUN(explicit_times_and_a_remote_parent);
    RUN(a_malformed_traceparent_starts_a_new_trace);
    RUN(statistics_add_up);
    RUN(statistics_know_the_spool);
    RUN(health_tells_of_success_and_failure);
    RUN(options_come_from_code_and_environment);
    return DONE();
}
