/* Records one trace. Without MLFLOW_TRACKING_URI it is written to ./mlflow-traces.
 *
 *     cc quickstart.c -lmlflow_trace && MLFLOW_TRACKING_URI=http://127.0.0.1:5000 ./a.out
 */

#include <mlflow_trace.h>
#include <stdio.h>

int main(void)
{
    mlflow_config_t *config = NULL;
    mlflow_tracer_t *tracer = NULL;
    mlflow_error_t *error = NULL;
    if (mlflow_config_new(&config, &error) || mlflow_config_set_env(config, &error) ||
        mlflow_tracer_new(config, &tracer, &error)) {
        fprintf(stderr, "%s\n", mlflow_error_get_message(error));
        mlflow_error_free(error);
    }
    mlflow_config_free(config);

    mlflow_span_t answer, search;
    mlflow_span_start(tracer, MLFLOW_STR("answer"), NULL, &answer, NULL);
    mlflow_span_set_type(answer, MLFLOW_STR("AGENT"), NULL);
    mlflow_attribute_t question =
        mlflow_attribute_str(MLFLOW_STR("question"), MLFLOW_STR("What is tracing?"));
    mlflow_span_set_inputs_fields(answer, &question, 1, NULL);

    mlflow_span_options_t child = MLFLOW_SPAN_OPTIONS_INIT;
    child.parent = answer;
    child.span_type = MLFLOW_STR("RETRIEVER");
    mlflow_span_start(tracer, MLFLOW_STR("search"), &child, &search, NULL);
    mlflow_span_set_attribute_i64(search, MLFLOW_STR("found"), 3, NULL);
    mlflow_span_end(search, NULL);

    mlflow_span_set_outputs_str(answer, MLFLOW_STR("Seeing what a program did."), NULL);
    mlflow_span_end(answer, NULL);

    int failed = mlflow_tracer_shutdown(tracer, MLFLOW_TIMEOUT_DEFAULT, NULL, NULL);
    mlflow_tracer_free(tracer);
    return failed ? 1 : 0;
}
