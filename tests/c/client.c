/* What a program reads and says about traces, without a server and with one that is not there. */

#include "check.h"

static mlflow_text_t *call(const mlflow_tracer_t *tracer, const char *method, const char *arguments)
{
    mlflow_text_t *json = NULL;
    mlflow_error_t *error = NULL;
    CHECK_OK(mlflow_client_call(tracer, mlflow_str(method), mlflow_str(arguments), &json, &error));
    CHECK_CONTAINS(mlflow_error_get_message(error), "");
    CHECK(error == NULL);
    return json;
}

/* Checks that a call fails so and says this. */
static void refused(const mlflow_tracer_t *tracer, const char *method, const char *arguments,
                    mlflow_status_t status, const char *words)
{
    mlflow_text_t *json = NULL;
    mlflow_error_t *error = NULL;
    CHECK_STATUS(
        mlflow_client_call(tracer, mlflow_str(method), mlflow_str(arguments), &json, &error),
        status);
    CHECK(json == NULL);
    CHECK_CONTAINS(mlflow_error_get_message(error), words);
    mlflow_error_free(error);
}

static char *id_of(mlflow_span_t span)
{
    static char id[MLFLOW_TRACE_ID_CAPACITY];
    CHECK_OK(mlflow_span_get_trace_id(span, id, sizeof id, NULL, NULL));
    return id;
}

static mlflow_tracer_t *file_tracer(void)
{
    mlflow_config_t *config = check_config("file.directory", "client-traces");
    mlflow_tracer_t *tracer = NULL;
    CHECK_OK(mlflow_tracer_new(config, &tracer, NULL));
    mlflow_config_free(config);
    return tracer;
}

CASE(files_are_read_and_searched)
{
    mlflow_tracer_t *tracer = file_tracer();
    mlflow_span_t span = check_start(tracer, "in a file");
    char arguments[128];
    mlflow_text_t *json;

    snprintf(arguments, sizeof arguments, "{\"trace_id\": \"%s\"}", id_of(span));
    CHECK_OK(mlflow_span_set_outputs_str(span, MLFLOW_STR("42"), NULL));
    CHECK_OK(mlflow_span_end(span, NULL));
    /* It is written before it is read. */
    json = call(tracer, "get_trace", arguments);
    CHECK_CONTAINS(mlflow_text_get(json).ptr, "\"in a file\"");
    CHECK_CONTAINS(mlflow_text_get(json).ptr, "42");
    mlflow_text_free(json);
    json = call(tracer, "get_trace_info", arguments);
    CHECK_CONTAINS(mlflow_text_get(json).ptr, "\"state\":\"OK\"");
    mlflow_text_free(json);
    json =
        call(tracer, "search_traces", "{\"filter\": \"name = 'in a file'\", \"max_results\": 1}");
    CHECK_CONTAINS(mlflow_text_get(json).ptr, "{\"items\":[{");
    mlflow_text_free(json);
    json = call(tracer, "search_traces", "{\"filter\": \"name = 'no such'\"}");
    CHECK_CONTAINS(mlflow_text_get(json).ptr, "{\"items\":[]");
    mlflow_text_free(json);
    json = call(tracer, "search_traces", "");
    mlflow_text_free(json);
    CHECK_OK(mlflow_tracer_shutdown(tracer, 60000, NULL, NULL));
    mlflow_text_free(call(tracer, "get_trace", arguments));
    mlflow_tracer_free(tracer);
}

CASE(what_is_said_of_an_open_trace_goes_with_it)
{
    mlflow_tracer_t *tracer = check_memory_tracer();
    mlflow_span_t span = check_start(tracer, "open");
    const char *id = id_of(span);
    char arguments[256];
    mlflow_text_t *json;

    snprintf(arguments, sizeof arguments,
             "{\"trace_id\": \"%s\", \"assessment\": {\"assessment_name\": \"quality\","
             " \"feedback\": {\"value\": \"fine\"}}}",
             id);
    json = call(tracer, "log_assessment", arguments);
    CHECK_CONTAINS(mlflow_text_get(json).ptr, "\"assessment_id\":\"a-");
    CHECK_CONTAINS(mlflow_text_get(json).ptr, "\"CODE\"");
    mlflow_text_free(json);
    snprintf(arguments, sizeof arguments,
             "{\"trace_id\": \"%s\", \"key\": \"team\", \"value\": \"search\"}", id);
    json = call(tracer, "set_trace_tag", arguments);
    CHECK(strcmp(mlflow_text_get(json).ptr, "null") == 0);
    mlflow_text_free(json);
    CHECK_OK(mlflow_span_end(span, NULL));
    json = check_only_trace(tracer);
    CHECK_CONTAINS(mlflow_text_get(json).ptr, "quality");
    CHECK_CONTAINS(mlflow_text_get(json).ptr, "fine");
    CHECK_CONTAINS(mlflow_text_get(json).ptr, "search");
    mlflow_text_free(json);
    mlflow_tracer_free(tracer);
}

CASE(errors_have_a_status_and_words)
{
    mlflow_tracer_t *tracer = file_tracer();
    const char *unknown = "{\"trace_id\": \"tr-0af7651916cd43dd8448eb211c80319c\"}";

    refused(NULL, "get_trace", unknown, MLFLOW_ERROR_INVALID_ARGUMENT, "tracer must not be NULL");
    refused(tracer, "", "{}", MLFLOW_ERROR_INVALID_ARGUMENT, "method");
    refused(tracer, "no_such", "{}", MLFLOW_ERROR_INVALID_ARGUMENT, "no method 'no_such'");
    refused(tracer, "get_trace", "", MLFLOW_ERROR_INVALID_ARGUMENT, "'trace_id' of get_trace");
    refused(tracer, "get_trace", "{\"trace_id\": 5}", MLFLOW_ERROR_INVALID_ARGUMENT, "'trace_id'");
    refused(tracer, "get_trace", "{\"trace_id\"", MLFLOW_ERROR_INVALID_ARGUMENT, "no JSON");
    refused(tracer, "get_trace", "[]", MLFLOW_ERROR_INVALID_ARGUMENT, "a JSON object");
    refused(tracer, "get_trace", "null", MLFLOW_ERROR_INVALID_ARGUMENT, "a JSON object");
    refused(tracer, "get_trace", unknown, MLFLOW_ERROR_NOT_FOUND, "tr-0af7651916cd43dd");
    refused(tracer, "search_traces", "{\"filter\": \"= =\"}", MLFLOW_ERROR_INVALID_FILTER, "");
    refused(tracer, "find_experiment", "{\"experiment_id\": \"0\"}", MLFLOW_ERROR_UNSUPPORTED,
            "tracking_uri");
    CHECK_STATUS(
        mlflow_client_call(tracer, MLFLOW_STR("get_trace"), mlflow_str(unknown), NULL, NULL),
        MLFLOW_ERROR_INVALID_ARGUMENT);
    mlflow_tracer_free(tracer);
}

CASE(a_server_that_is_away_may_be_asked_again)
{
    mlflow_config_t *config = check_config("tracking_uri", "http://127.0.0.1:1");
    mlflow_tracer_t *tracer = NULL;
    mlflow_text_t *json = NULL;
    mlflow_error_t *error = NULL;

    CHECK_OK(mlflow_tracer_new(config, &tracer, NULL));
    mlflow_config_free(config);
    CHECK_STATUS(mlflow_client_call(tracer, MLFLOW_STR("find_experiment_by_name"),
                                    MLFLOW_STR("{\"name\": \"n\"}"), &json, &error),
                 MLFLOW_ERROR_TRANSPORT);
    CHECK(json == NULL && mlflow_error_get_retryable(error) == 1);
    mlflow_error_free(error);
    mlflow_tracer_free(tracer);
}

int main(void)
{
    RUN(files_are_read_and_searched);
    RUN(what_is_said_of_an_open_trace_goes_with_it);
    RUN(errors_have_a_status_and_words);
    RUN(a_server_that_is_away_may_be_asked_again);
    return DONE();
}
