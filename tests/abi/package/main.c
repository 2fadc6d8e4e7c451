/* A program of somebody who has the installed files and nothing else. */

#include <mlflow_trace.h>
#include <stdio.h>
#include <string.h>

int main(void)
{
    mlflow_config_t *config = NULL;
    mlflow_tracer_t *tracer = NULL;
    mlflow_text_t *json = NULL;
    mlflow_span_t span;
    int good;

    mlflow_config_new(&config, NULL);
    mlflow_config_set(config, MLFLOW_STR("exporter"), MLFLOW_STR("memory"), NULL);
    mlflow_tracer_new(config, &tracer, NULL);
    mlflow_config_free(config);
    mlflow_span_start(tracer, MLFLOW_STR("packaged"), NULL, &span, NULL);
    mlflow_span_end(span, NULL);
    mlflow_tracer_flush(tracer, 10000, NULL, NULL);
    good = mlflow_tracer_next_trace(tracer, &json, NULL) == MLFLOW_OK &&
           strstr(mlflow_text_get(json).ptr, "packaged") != NULL &&
           strcmp(mlflow_version(), MLFLOW_TRACE_VERSION) == 0 &&
           mlflow_abi_version() == MLFLOW_TRACE_ABI_VERSION &&
           mlflow_panic_provoke(NULL) == MLFLOW_ERROR_PANIC;
    mlflow_text_free(json);
    mlflow_tracer_free(tracer);
    puts(good ? "good" : "bad");
    return good ? 0 : 1;
}
