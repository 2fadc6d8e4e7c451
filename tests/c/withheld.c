/* A slip in what takes content out must not send that content, also from programs that look at no
 * status. */

#include "check.h"

/* Records a secret with a tracer of the configuration, and tells whether it was sent. */
static int is_sent(const mlflow_config_t *config)
{
    mlflow_tracer_t *tracer = NULL;
    mlflow_text_t *json;
    mlflow_span_t span;
    int sent;

    CHECK_OK(mlflow_tracer_new(config, &tracer, NULL));
    span = check_start(tracer, "confidential");
    CHECK_OK(mlflow_span_set_inputs_str(span, MLFLOW_STR("a secret"), NULL));
    CHECK_OK(mlflow_span_end(span, NULL));
    json = check_only_trace(tracer);
    CHECK_CONTAINS(mlflow_text_get(json).ptr, "confidential");
    sent = strstr(mlflow_text_get(json).ptr, "a secret") != NULL;
    mlflow_text_free(json);
    mlflow_tracer_free(tracer);
    return sent;
}

static void set(const mlflow_config_t *config, const char *key, mlflow_str_t value)
{
    CHECK_OK(mlflow_config_set(config, mlflow_str(key), value, NULL));
}

CASE(values_that_are_refused_withhold_content)
{
    static const char *const keys[] = {"capture_content", "redact.keys", "redact.paths",
                                       "redact.patterns"};
    const mlflow_str_t bad[] = {mlflow_str_n("(\xff", 2), mlflow_str_n(NULL, 3),
                                mlflow_str_n("x", SIZE_MAX), mlflow_str_n("a\0b", 3)};
    size_t i, j;

    for (i = 0; i < sizeof keys / sizeof *keys; i++) {
        for (j = 0; j < sizeof bad / sizeof *bad; j++) {
            mlflow_config_t *config = check_config("exporter", "memory");
            CHECK(is_sent(config));
            CHECK(mlflow_config_set(config, mlflow_str(keys[i]), bad[j], NULL) != MLFLOW_OK);
            set(config, "batch.max_spans", MLFLOW_STR("1"));
            CHECK(!is_sent(config));
            set(config, keys[i], MLFLOW_STR(""));
            CHECK(is_sent(config));
            mlflow_config_free(config);
        }
    }
}

CASE(a_slip_in_a_name_withholds_content)
{
    static const char *const keys[] = {"redact.pattern", "redact_keys", "capture.content"};
    size_t i;

    for (i = 0; i < sizeof keys / sizeof *keys; i++) {
        mlflow_config_t *config = check_config("exporter", "memory");
        CHECK_STATUS(mlflow_config_set(config, mlflow_str(keys[i]), MLFLOW_STR("zebra"), NULL),
                     MLFLOW_ERROR_INVALID_CONFIG);
        CHECK(!is_sent(config));
        set(config, "redact.patterns", MLFLOW_STR("zebra"));
        CHECK(is_sent(config));
        mlflow_config_free(config);
    }
}

CASE(other_slips_withhold_nothing)
{
    mlflow_config_t *config = check_config("exporter", "memory");

    CHECK_STATUS(mlflow_config_set(config, MLFLOW_STR("service.name"), mlflow_str_n(NULL, 1), NULL),
                 MLFLOW_ERROR_INVALID_ARGUMENT);
    CHECK_STATUS(mlflow_config_set(config, MLFLOW_STR("colour"), MLFLOW_STR("red"), NULL),
                 MLFLOW_ERROR_INVALID_CONFIG);
    CHECK(is_sent(config));
    mlflow_config_free(config);
}

static void never(void *user_data)
{
    CHECK(user_data == NULL);
    CHECK(!"the user data is still the caller's");
}

CASE(a_processor_that_is_missing_fails)
{
    mlflow_config_t *config = check_config("exporter", "memory");
    int data = 0;

    CHECK_STATUS(mlflow_config_add_processor(config, NULL, &data, never, NULL),
                 MLFLOW_ERROR_INVALID_ARGUMENT);
    CHECK(!is_sent(config));
    mlflow_config_free(config);
}

int main(void)
{
    RUN(values_that_are_refused_withhold_content);
    RUN(a_slip_in_a_name_withholds_content);
    RUN(other_slips_withhold_nothing);
    RUN(a_processor_that_is_missing_fails);
    return DONE();
}
