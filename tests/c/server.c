/* Sends a nested trace to the server in MLFLOW_TRACE_TEST_SERVER and prints the trace's id.
 * read_back.py runs this program and reads the trace with MLflow's own client. */

#include "check.h"

static const char *experiment;
static char trace_id[MLFLOW_TRACE_ID_CAPACITY];

/* Makes a call about the trace, with its id in the place of %s. */
static void say(const mlflow_tracer_t *tracer, const char *method, const char *format)
{
    char arguments[512];
    mlflow_text_t *json = NULL;
    mlflow_error_t *error = NULL;
    const char *place = strstr(format, "%s");

    snprintf(arguments, sizeof arguments, "%.*s%s%s", (int)(place - format), format, trace_id,
             place + 2);
    CHECK_OK(mlflow_client_call(tracer, mlflow_str(method), mlflow_str(arguments), &json, &error));
    printf("%s%s\n", mlflow_error_get_message(error), mlflow_text_get(json).ptr);
    mlflow_error_free(error);
    mlflow_text_free(json);
}

CASE(a_nested_trace_is_delivered)
{
    mlflow_config_t *config = check_config("tracking_uri", getenv("MLFLOW_TRACE_TEST_SERVER"));
    mlflow_tracer_t *tracer = NULL;
    mlflow_span_options_t options = MLFLOW_SPAN_OPTIONS_INIT;
    mlflow_span_t root = {0};
    mlflow_span_t search = {0};
    mlflow_span_t model;
    mlflow_attribute_t inputs[2];
    mlflow_attribute_t token;
    mlflow_text_t *message = NULL;

    CHECK_OK(
        mlflow_config_set(config, MLFLOW_STR("experiment_name"), mlflow_str(experiment), NULL));
    CHECK_OK(
        mlflow_config_set(config, MLFLOW_STR("service.name"), MLFLOW_STR("native-test"), NULL));
    CHECK_OK(mlflow_tracer_new(config, &tracer, NULL));
    mlflow_config_free(config);

    options.span_type = MLFLOW_STR("AGENT");
    CHECK_OK(mlflow_span_start(tracer, MLFLOW_STR("answer"), &options, &root, NULL));
    inputs[0] =
        mlflow_attribute_str(MLFLOW_STR("question"), MLFLOW_STR("who said \"h\u00e9llo\"?"));
    inputs[1] = mlflow_attribute_i64(MLFLOW_STR("limit"), 2);
    CHECK_OK(mlflow_span_set_inputs_fields(root, inputs, 2, NULL));
    CHECK_OK(mlflow_trace_set_tag(root, MLFLOW_STR("suite"), MLFLOW_STR("native"), NULL));
    CHECK_OK(mlflow_trace_set_metadata(root, MLFLOW_STR("build"), MLFLOW_STR("7"), NULL));
    CHECK_OK(mlflow_trace_set(root, MLFLOW_STR("session_id"), MLFLOW_STR("session-1"), NULL));
    CHECK_OK(mlflow_trace_set(root, MLFLOW_STR("user"), MLFLOW_STR("ada"), NULL));
    CHECK_OK(mlflow_span_get_trace_id(root, trace_id, sizeof trace_id, NULL, NULL));

    options.span_type = MLFLOW_STR("RETRIEVER");
    options.parent = root;
    CHECK_OK(mlflow_span_start(tracer, MLFLOW_STR("search"), &options, &search, NULL));
    CHECK_OK(mlflow_span_set_attribute_f64(search, MLFLOW_STR("score"), 0.5, NULL));
    CHECK_OK(mlflow_span_set_attribute_bool(search, MLFLOW_STR("cached"), 0, NULL));
    CHECK_OK(
        mlflow_span_set_attribute_json(search, MLFLOW_STR("shards"), MLFLOW_STR("[1, 2]"), NULL));
    CHECK_OK(mlflow_span_set_outputs(search, MLFLOW_STR("[{\"id\": 1}]"), NULL));
    CHECK_OK(mlflow_span_end(search, NULL));

    model = check_child(tracer, "model", root);
    CHECK_OK(mlflow_span_set_type(model, MLFLOW_STR("LLM"), NULL));
    token = mlflow_attribute_str(MLFLOW_STR("text"), MLFLOW_STR("he"));
    CHECK_OK(mlflow_span_add_event(model, MLFLOW_STR("token"), 0, &token, 1, NULL));
    CHECK_OK(mlflow_span_record_exception(model, MLFLOW_STR("Overload"), MLFLOW_STR("too many"),
                                          MLFLOW_STR(""), NULL));
    CHECK_OK(mlflow_span_end(model, NULL));

    say(tracer, "log_assessment",
        "{\"trace_id\": \"%s\", \"assessment\": {\"assessment_name\": \"early\","
        " \"feedback\": {\"value\": true}}}");
    CHECK_OK(mlflow_span_set_outputs_str(root, MLFLOW_STR("nobody"), NULL));
    CHECK_OK(mlflow_span_end(root, NULL));
    /* Delivered before it is read. */
    say(tracer, "get_trace", "{\"trace_id\": \"%s\"}");
    CHECK_OK(mlflow_tracer_shutdown(tracer, 60000, NULL, NULL));
    say(tracer, "set_trace_tag", "{\"trace_id\": \"%s\", \"key\": \"late\", \"value\": \"yes\"}");
    say(tracer, "log_assessment",
        "{\"trace_id\": \"%s\", \"assessment\": {\"assessment_name\": \"late\","
        " \"expectation\": {\"value\": \"somebody\"}}}");
    CHECK(check_stat(tracer, "delivered") == 3);
    while (mlflow_tracer_next_diagnostic(tracer, &message, NULL) == MLFLOW_OK) {
        printf("%s\n", mlflow_text_get(message).ptr);
        mlflow_text_free(message);
    }
    mlflow_tracer_free(tracer);
}

int main(int count, char **arguments)
{
    experiment = count > 1 ? arguments[1] : "native";
    RUN(a_nested_trace_is_delivered);
    printf("trace %s\n", trace_id);
    return DONE();
}
