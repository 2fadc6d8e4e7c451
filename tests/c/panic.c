/* A panic inside the library that is shipped stays inside. */

#include "check.h"

CASE(a_panic_becomes_a_status)
{
    mlflow_tracer_t *tracer = check_memory_tracer();
    mlflow_error_t *error = NULL;
    uint64_t before = check_stat(tracer, "panics");

    CHECK_STATUS(mlflow_panic_provoke(NULL), MLFLOW_ERROR_PANIC);
    CHECK_STATUS(mlflow_panic_provoke(&error), MLFLOW_ERROR_PANIC);
    CHECK(mlflow_error_get_code(error) == MLFLOW_ERROR_PANIC);
    CHECK_CONTAINS(mlflow_error_get_message(error), "provoked");
    mlflow_error_free(error);
    CHECK(check_stat(tracer, "panics") == before + 2);
    mlflow_tracer_free(tracer);
}

CASE(recording_goes_on_after_a_panic)
{
    mlflow_tracer_t *tracer = check_memory_tracer();
    mlflow_span_t span = check_start(tracer, "goes on");
    mlflow_text_t *json;

    CHECK_STATUS(mlflow_panic_provoke(NULL), MLFLOW_ERROR_PANIC);
    CHECK_OK(mlflow_span_set_name(span, MLFLOW_STR("went on"), NULL));
    CHECK_OK(mlflow_span_end(span, NULL));
    json = check_only_trace(tracer);
    CHECK_CONTAINS(mlflow_text_get(json).ptr, "went on");
    mlflow_text_free(json);
    mlflow_tracer_free(tracer);
}

int main(void)
{
    RUN(a_panic_becomes_a_status);
    RUN(recording_goes_on_after_a_panic);
    return DONE();
}
