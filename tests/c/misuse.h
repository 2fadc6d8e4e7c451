/* What the table of misuses is written in terms of: a world of objects, good and bad, for one call.
 */

#ifndef MLFLOW_TRACE_TESTS_MISUSE_H
#define MLFLOW_TRACE_TESTS_MISUSE_H

#include <float.h>
#include <math.h>

#include "check.h"

/* Outputs, filled with a pattern that no call may change unless it succeeds. */
struct outputs {
    mlflow_tracer_t *tracer;
    mlflow_config_t *config;
    mlflow_text_t *text;
    mlflow_span_t span;
    uint64_t number;
    size_t length;
    char buffer[2048];
};

struct world {
    mlflow_config_t *config;
    mlflow_tracer_t *tracer;
    mlflow_tracer_t *other;
    mlflow_error_t *error;
    mlflow_text_t *text_object;
    mlflow_span_t span, ended, shut_down, orphan, foreign;
    mlflow_attribute_t attributes[2], unknown_kind[2], reserved_set[2], no_key[2], bad_key[2],
        bad_text[2];
    mlflow_str_t empty, unterminated, invalid_utf8, embedded_nul, huge;
    char *heap, *mebibyte;
    mlflow_span_options_t options;
    struct {
        mlflow_span_options_t known;
        uint64_t unknown[4];
    } future;
    struct outputs out;
};

/* A call with good arguments. */
struct use {
    const char *function;
    mlflow_status_t (*call)(struct world *w, mlflow_error_t **error);
    unsigned documented; /* the statuses besides MLFLOW_OK, a bit each */
    int reports;         /* takes an error to fill */
};

enum expected { EXPECT_OK, EXPECT_BAD, EXPECT_SHORT, EXPECT_STALE, EXPECT_ANY };

/* A call with one bad argument. */
struct misuse {
    const char *function;
    const char *what;
    mlflow_status_t (*call)(struct world *w, mlflow_error_t **error);
    enum expected expected;
    unsigned documented;
    int reports;
};

#define BIT(status) (1u << MLFLOW_ERROR_##status)

static union {
    uint64_t numbers[512];
    char bytes[4096];
} misaligned;

#define ODD ((void *)(misaligned.bytes + 1))
#define NULL_WITH_LENGTH mlflow_str_n(NULL, 3)
#define ENDLESS mlflow_str_n("x", SIZE_MAX)
#define ENDLESS_BY_ONE mlflow_str_n("x", (size_t)PTRDIFF_MAX + 1)
#define OTLP "\x80\x01\x00" /* a field that no version has */

static inline mlflow_span_t span_of(uint64_t id)
{
    mlflow_span_t span;
    span.id = id;
    return span;
}

#define NO_SPAN span_of(0)
#define FORGED span_of(0x000000030badcafe)
#define FAR span_of(0x7fffffff00000001)
#define ALL_BITS span_of(UINT64_MAX)
#define NONE_ITSELF span_of(UINT64_MAX - 1)

static inline int32_t look_on(void *user_data, mlflow_span_t span, int32_t moment)
{
    (void)user_data;
    (void)span;
    (void)moment;
    return 0;
}

static inline void look_away(void *user_data)
{
    (void)user_data;
}

static inline mlflow_tracer_t *fresh_tracer(void)
{
    return check_memory_tracer();
}

static inline mlflow_config_t *fresh_config(void)
{
    return check_config("exporter", "none");
}

static inline mlflow_error_t *fresh_error(void)
{
    mlflow_error_t *error = NULL;
    mlflow_config_new(NULL, &error);
    return error;
}

static inline mlflow_text_t *fresh_text(const struct world *w)
{
    mlflow_text_t *text = NULL;
    mlflow_tracer_get_stats(w->tracer, &text, NULL);
    return text;
}

static inline mlflow_span_options_t *options_good(struct world *w)
{
    const mlflow_span_options_t good = MLFLOW_SPAN_OPTIONS_INIT;
    w->options = good;
    w->options.parent = w->span;
    w->options.attributes = w->attributes;
    w->options.attribute_count = 2;
    return &w->options;
}

#define OPTIONS(name, change)                                                                      \
    static inline mlflow_span_options_t *options_##name(struct world *w)                           \
    {                                                                                              \
        mlflow_span_options_t *options = options_good(w);                                          \
        change;                                                                                    \
        return options;                                                                            \
    }

OPTIONS(of_no_size, options->struct_size = 0)
OPTIONS(of_a_size_between, options->struct_size = sizeof *options - 1)
OPTIONS(of_the_first_size, options->struct_size = offsetof(mlflow_span_options_t, attributes))
OPTIONS(with_reserved, options->reserved = 1)
OPTIONS(with_a_bad_ratio, (options->has_sampling_ratio = 1, options->sampling_ratio = -0.5))
OPTIONS(with_nan_as_ratio, (options->has_sampling_ratio = -1, options->sampling_ratio = NAN))
OPTIONS(with_a_bad_list, options->attributes = NULL)
OPTIONS(with_a_bad_type, options->span_type = NULL_WITH_LENGTH)
OPTIONS(with_a_bad_traceparent, (options->parent = NO_SPAN, options->traceparent = ENDLESS))
OPTIONS(with_a_bad_tracestate, (options->parent = NO_SPAN, options->tracestate = NULL_WITH_LENGTH))
OPTIONS(with_garbage_headers, (options->parent = NO_SPAN, options->traceparent = w->invalid_utf8,
                               options->tracestate = w->huge))
OPTIONS(with_an_ended_parent, options->parent = w->ended)
OPTIONS(with_a_forged_parent, options->parent = FORGED)
OPTIONS(with_a_foreign_parent, options->parent = w->foreign)
OPTIONS(with_the_last_time, options->start_time_ns = UINT64_MAX)

/* Of a caller that was compiled against a later version of the library. */
static inline mlflow_span_options_t *options_of_the_future(struct world *w)
{
    memset(&w->future, 0xff, sizeof w->future);
    w->future.known = *options_good(w);
    w->future.known.struct_size = sizeof w->future;
    return &w->future.known;
}

#endif
