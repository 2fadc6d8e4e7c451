/* The smallest test harness: cases, checks, and one line for each case.
 *
 *     CASE(zero_is_no_span) { CHECK(...); }
 *     int main(void) { RUN(zero_is_no_span); return DONE(); }
 */

#ifndef MLFLOW_TRACE_TESTS_CHECK_H
#define MLFLOW_TRACE_TESTS_CHECK_H

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mlflow_trace.h"

static int check_failures_in_case;
static int check_failed_cases;

#define CASE(name) static void name(void)

#define RUN(name)                                                                                  \
    do {                                                                                           \
        check_failures_in_case = 0;                                                                \
        name();                                                                                    \
        printf("%s %s: %s\n", check_failures_in_case ? "not ok" : "ok", __FILE__, #name);          \
        fflush(stdout);                                                                            \
        check_failed_cases += check_failures_in_case != 0;                                         \
    } while (0)

#define DONE() (check_failed_cases ? EXIT_FAILURE : EXIT_SUCCESS)

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            check_failures_in_case++;                                                              \
            printf("  %s:%d: %s\n", __FILE__, __LINE__, #condition);                               \
        }                                                                                          \
    } while (0)

#define CHECK_STATUS(call, expected)                                                               \
    do {                                                                                           \
        mlflow_status_t check_status = (call);                                                     \
        if (check_status != (expected)) {                                                          \
            check_failures_in_case++;                                                              \
            printf("  %s:%d: %s is %s\n", __FILE__, __LINE__, #call,                               \
                   mlflow_status_name(check_status));                                              \
        }                                                                                          \
    } while (0)

#define CHECK_OK(call) CHECK_STATUS(call, MLFLOW_OK)

#define CHECK_CONTAINS(text, fragment)                                                             \
    do {                                                                                           \
        const char *check_text = (text);                                                           \
        if (check_text == NULL || strstr(check_text, (fragment)) == NULL) {                        \
            check_failures_in_case++;                                                              \
            printf("  %s:%d: %s is not in: %s\n", __FILE__, __LINE__, #fragment,                   \
                   check_text ? check_text : "(null)");                                            \
        }                                                                                          \
    } while (0)

/* A configuration with one option. */
static inline mlflow_config_t *check_config(const char *key, const char *value)
{
    mlflow_config_t *config = NULL;
    CHECK_OK(mlflow_config_new(&config, NULL));
    CHECK_OK(mlflow_config_set(config, mlflow_str(key), mlflow_str(value), NULL));
    return config;
}

/* A tracer that keeps its traces in memory. */
static inline mlflow_tracer_t *check_memory_tracer(void)
{
    mlflow_config_t *config = check_config("exporter", "memory");
    mlflow_tracer_t *tracer = NULL;
    CHECK_OK(mlflow_tracer_new(config, &tracer, NULL));
    mlflow_config_free(config);
    return tracer;
}

/* A root span. */
static inline mlflow_span_t check_start(const mlflow_tracer_t *tracer, const char *name)
{
    mlflow_span_t span = {0};
    CHECK_OK(mlflow_span_start(tracer, mlflow_str(name), NULL, &span, NULL));
    return span;
}

/* A child. */
static inline mlflow_span_t check_child(const mlflow_tracer_t *tracer, const char *name,
                                        mlflow_span_t parent)
{
    mlflow_span_options_t options = MLFLOW_SPAN_OPTIONS_INIT;
    mlflow_span_t span = {0};
    options.parent = parent;
    CHECK_OK(mlflow_span_start(tracer, mlflow_str(name), &options, &span, NULL));
    return span;
}

/* The only trace that the tracer has in memory, as JSON that mlflow_text_free releases. */
static inline mlflow_text_t *check_only_trace(const mlflow_tracer_t *tracer)
{
    mlflow_text_t *json = NULL;
    mlflow_text_t *more = NULL;
    CHECK_OK(mlflow_tracer_flush(tracer, 60000, NULL, NULL));
    CHECK_OK(mlflow_tracer_next_trace(tracer, &json, NULL));
    CHECK_STATUS(mlflow_tracer_next_trace(tracer, &more, NULL), MLFLOW_ERROR_NOT_FOUND);
    return json;
}

static inline uint64_t check_stat(const mlflow_tracer_t *tracer, const char *name)
{
    uint64_t value = UINT64_MAX;
    CHECK_OK(mlflow_tracer_get_stat(tracer, mlflow_str(name), &value, NULL));
    return value;
}

#endif
