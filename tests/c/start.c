/* What a span may start with, and spans of traces that are not sampled. */

#define _POSIX_C_SOURCE 200809L

#include <math.h>

#include "check.h"

#define BAD MLFLOW_ERROR_INVALID_ARGUMENT

/* mlflow_span_options_t as it was before it had attributes. */
struct first_options {
    size_t struct_size;
    mlflow_str_t span_type;
    mlflow_span_t parent;
    mlflow_str_t traceparent;
    mlflow_str_t tracestate;
    uint64_t start_time_ns;
};

static mlflow_tracer_t *memory_tracer_with(const char *key, const char *value)
{
    mlflow_config_t *config = check_config("exporter", "memory");
    mlflow_tracer_t *tracer = NULL;

    CHECK_OK(mlflow_config_set(config, mlflow_str(key), mlflow_str(value), NULL));
    CHECK_OK(mlflow_tracer_new(config, &tracer, NULL));
    mlflow_config_free(config);
    return tracer;
}

static mlflow_span_t start_with(const mlflow_tracer_t *tracer, const mlflow_attribute_t *attributes,
                                size_t count)
{
    mlflow_span_options_t options = MLFLOW_SPAN_OPTIONS_INIT;
    mlflow_span_t span = {0};

    options.attributes = attributes;
    options.attribute_count = count;
    CHECK_OK(mlflow_span_start(tracer, MLFLOW_STR("with"), &options, &span, NULL));
    return span;
}

CASE(attributes_to_begin_with)
{
    mlflow_tracer_t *tracer = check_memory_tracer();
    mlflow_attribute_t list[] = {
        mlflow_attribute_str(MLFLOW_STR("text"), MLFLOW_STR("plain")),
        mlflow_attribute_i64(MLFLOW_STR("number"), -7),
        mlflow_attribute_f64(MLFLOW_STR("ratio"), 0.5),
        mlflow_attribute_bool(MLFLOW_STR("flag"), 1),
        mlflow_attribute_json(MLFLOW_STR("list"), MLFLOW_STR("[1, 2]")),
        mlflow_attribute_str(MLFLOW_STR("twice"), MLFLOW_STR("first")),
        mlflow_attribute_str(MLFLOW_STR("twice"), MLFLOW_STR("last")),
        mlflow_attribute_str(MLFLOW_STR("later"), MLFLOW_STR("before")),
    };
    mlflow_span_t span = start_with(tracer, list, sizeof list / sizeof *list);
    mlflow_text_t *json;
    const char *text;

    CHECK_OK(mlflow_span_set_attribute_str(span, MLFLOW_STR("later"), MLFLOW_STR("after"), NULL));
    CHECK_OK(mlflow_span_end(span, NULL));
    json = check_only_trace(tracer);
    text = mlflow_text_get(json).ptr;
    CHECK_CONTAINS(text, "\"text\":\"\\\"plain\\\"\"");
    CHECK_CONTAINS(text, "\"number\":\"-7\"");
    CHECK_CONTAINS(text, "\"ratio\":\"0.5\"");
    CHECK_CONTAINS(text, "\"flag\":\"true\"");
    CHECK_CONTAINS(text, "\"list\":\"[1, 2]\"");
    CHECK_CONTAINS(text, "\"twice\":\"\\\"last\\\"\"");
    CHECK_CONTAINS(text, "\"later\":\"\\\"after\\\"\"");
    CHECK(strstr(text, "first") == NULL && strstr(text, "before") == NULL);
    mlflow_text_free(json);
    mlflow_tracer_free(tracer);
}

/* Lists on both sides of what is converted without allocating. */
CASE(lists_of_any_length)
{
    enum { MOST = 40 };
    char keys[MOST][8];
    mlflow_attribute_t list[MOST];
    int count, i;

    for (i = 0; i < MOST; i++) {
        snprintf(keys[i], sizeof keys[i], "key%02d", i);
        list[i] = mlflow_attribute_i64(mlflow_str(keys[i]), 1000 + i);
    }
    for (count = 0; count <= MOST; count++) {
        mlflow_tracer_t *tracer = check_memory_tracer();
        mlflow_span_t root = start_with(tracer, list, (size_t)count);
        mlflow_span_t child = check_child(tracer, "child", root);
        mlflow_text_t *json;
        const char *text;
        int found = 0;

        CHECK_OK(mlflow_span_set_attributes(child, list, (size_t)count, NULL));
        CHECK_OK(mlflow_span_add_event(child, MLFLOW_STR("event"), 0, list, (size_t)count, NULL));
        CHECK_OK(mlflow_span_set_inputs_fields(child, list, (size_t)count, NULL));
        CHECK_OK(mlflow_span_end(child, NULL));
        CHECK_OK(mlflow_span_end(root, NULL));
        json = check_only_trace(tracer);
        for (text = mlflow_text_get(json).ptr; (text = strstr(text, "key")) != NULL; text++)
            found++;
        /* In attributes of both spans, in the event and in the inputs; previews may show some
         * again. */
        CHECK(found >= 4 * count && (count > 0 || found == 0));
        if (count > 0)
            CHECK_CONTAINS(mlflow_text_get(json).ptr, keys[count - 1]);
        mlflow_text_free(json);
        mlflow_tracer_free(tracer);
    }
}

CASE(replaced_text_is_counted_once_in_short_and_long_lists)
{
    enum { MANY = 30 };
    mlflow_tracer_t *tracer = check_memory_tracer();
    mlflow_attribute_t list[MANY];
    size_t lengths[] = {1, 16, 17, MANY};
    size_t i;

    for (i = 0; i < MANY; i++)
        list[i] = mlflow_attribute_i64(MLFLOW_STR("same"), (int64_t)i);
    list[0] = mlflow_attribute_str(MLFLOW_STR("odd"), MLFLOW_STR("x\xff"));
    for (i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        uint64_t before = check_stat(tracer, "invalid_utf8");
        mlflow_span_t span = start_with(tracer, list, lengths[i]);
        mlflow_text_t *json;

        CHECK(check_stat(tracer, "invalid_utf8") == before + 1);
        CHECK_OK(mlflow_span_set_attributes(span, list, lengths[i], NULL));
        CHECK(check_stat(tracer, "invalid_utf8") == before + 2);
        CHECK_OK(mlflow_span_end(span, NULL));
        json = check_only_trace(tracer);
        CHECK_CONTAINS(mlflow_text_get(json).ptr, "x\xef\xbf\xbd");
        mlflow_text_free(json);
    }
    mlflow_tracer_free(tracer);
}

CASE(bad_attributes_start_nothing)
{
    mlflow_tracer_t *tracer = check_memory_tracer();
    mlflow_span_options_t options = MLFLOW_SPAN_OPTIONS_INIT;
    mlflow_attribute_t list[2];
    mlflow_span_t span = {7};
    mlflow_error_t *error = NULL;
    char bytes[2 * sizeof *list];
    mlflow_attribute_t *odd = (mlflow_attribute_t *)(void *)((uintptr_t)bytes | 1);

    list[0] = mlflow_attribute_i64(MLFLOW_STR("good"), 1);
    list[1] = mlflow_attribute_i64(MLFLOW_STR(""), 2);
    options.attributes = list;
    options.attribute_count = 2;
    CHECK_STATUS(mlflow_span_start(tracer, MLFLOW_STR("x"), &options, &span, &error), BAD);
    CHECK_CONTAINS(mlflow_error_get_message(error), "attribute key");
    mlflow_error_free(error);
    CHECK(span.id == 0);
    list[1] = mlflow_attribute_i64(MLFLOW_STR("kind"), 2);
    list[1].kind = 99;
    CHECK_STATUS(mlflow_span_start(tracer, MLFLOW_STR("x"), &options, &span, NULL), BAD);
    list[1] = mlflow_attribute_str(MLFLOW_STR("text"), mlflow_str_n(NULL, 3));
    CHECK_STATUS(mlflow_span_start(tracer, MLFLOW_STR("x"), &options, &span, NULL), BAD);
    options.attribute_count = SIZE_MAX;
    CHECK_STATUS(mlflow_span_start(tracer, MLFLOW_STR("x"), &options, &span, NULL), BAD);
    options.attribute_count = 1;
    options.attributes = NULL;
    CHECK_STATUS(mlflow_span_start(tracer, MLFLOW_STR("x"), &options, &span, NULL), BAD);
    options.attributes = odd;
    CHECK_STATUS(mlflow_span_start(tracer, MLFLOW_STR("x"), &options, &span, NULL), BAD);
    CHECK(span.id == 0);
    CHECK(check_stat(tracer, "created") == 0);
    options.attribute_count = 0; /* then nobody looks where it points */
    CHECK_OK(mlflow_span_start(tracer, MLFLOW_STR("x"), &options, &span, NULL));
    CHECK_OK(mlflow_span_end(span, NULL));
    mlflow_tracer_free(tracer);
}

CASE(callers_of_the_first_version_go_on)
{
    mlflow_tracer_t *tracer = memory_tracer_with("sampling.ratio", "1");
    struct {
        struct first_options known;
        /* Not theirs: it must not be read. */
        unsigned char beyond[64];
    } old;
    size_t size;
    mlflow_span_t span = {0};
    mlflow_text_t *json;

    memset(&old, 0xff, sizeof old);
    memset(&old.known, 0, sizeof old.known);
    old.known.struct_size = sizeof old.known;
    old.known.span_type = MLFLOW_STR("TOOL");
    old.known.start_time_ns = 1700000000000000000u;
    CHECK_OK(mlflow_span_start(tracer, MLFLOW_STR("old"),
                               (const mlflow_span_options_t *)(const void *)&old, &span, NULL));
    CHECK_OK(mlflow_span_end(span, NULL));
    json = check_only_trace(tracer);
    CHECK_CONTAINS(mlflow_text_get(json).ptr, "TOOL");
    CHECK_CONTAINS(mlflow_text_get(json).ptr, "1700000000000000000");
    mlflow_text_free(json);

    /* No header ever had a size between the versions. */
    for (size = 0; size < sizeof(mlflow_span_options_t); size++) {
        if (size == sizeof old.known)
            continue;
        old.known.struct_size = size;
        CHECK_STATUS(mlflow_span_start(tracer, MLFLOW_STR("x"),
                                       (const mlflow_span_options_t *)(const void *)&old, &span,
                                       NULL),
                     BAD);
    }
    mlflow_tracer_free(tracer);
}

static mlflow_status_t start_sampled(const mlflow_tracer_t *tracer, int32_t has, double ratio,
                                     mlflow_span_t *span)
{
    mlflow_span_options_t options = MLFLOW_SPAN_OPTIONS_INIT;

    options.has_sampling_ratio = has;
    options.sampling_ratio = ratio;
    return mlflow_span_start(tracer, MLFLOW_STR("sampled"), &options, span, NULL);
}

CASE(a_ratio_for_one_trace)
{
    mlflow_tracer_t *all = check_memory_tracer();
    mlflow_tracer_t *none = memory_tracer_with("sampling.ratio", "0");
    mlflow_span_options_t options = MLFLOW_SPAN_OPTIONS_INIT;
    mlflow_span_t span = {0};
    mlflow_span_t child = {0};

    CHECK_OK(start_sampled(all, 1, 0.0, &span));
    CHECK_OK(mlflow_span_end(span, NULL));
    CHECK(check_stat(all, "created") == 0);
    CHECK_OK(start_sampled(none, -1, 1.0, &span));
    CHECK(check_stat(none, "created") == 1);

    /* The root decides. */
    options.parent = span;
    options.has_sampling_ratio = 1;
    CHECK_OK(mlflow_span_start(none, MLFLOW_STR("child"), &options, &child, NULL));
    CHECK(check_stat(none, "created") == 2);
    CHECK_OK(mlflow_span_end(child, NULL));
    CHECK_OK(mlflow_span_end(span, NULL));

    /* Without the flag the ratio is not looked at. */
    CHECK_OK(start_sampled(all, 0, 0.0, &span));
    CHECK_OK(mlflow_span_end(span, NULL));
    CHECK_OK(start_sampled(all, 0, NAN, &span));
    CHECK_OK(mlflow_span_end(span, NULL));
    CHECK(check_stat(all, "created") == 2);

    span.id = 7;
    CHECK_STATUS(start_sampled(all, 1, NAN, &span), BAD);
    CHECK_STATUS(start_sampled(all, 1, -0.1, &span), BAD);
    CHECK_STATUS(start_sampled(all, 1, 1.5, &span), BAD);
    CHECK_STATUS(start_sampled(all, 1, INFINITY, &span), BAD);
    CHECK(span.id == 0);
    options.parent.id = 0;
    options.reserved = 1;
    CHECK_STATUS(mlflow_span_start(all, MLFLOW_STR("x"), &options, &span, NULL), BAD);
    CHECK(check_stat(all, "created") == 2);
    mlflow_tracer_free(all);
    mlflow_tracer_free(none);
}

/* "00-<trace>-<span>-<flags>" with ids that are not zero. */
static void check_traceparent(const char *text, const char *flags)
{
    CHECK(strlen(text) == MLFLOW_TRACEPARENT_CAPACITY - 1);
    CHECK(strncmp(text, "00-", 3) == 0 && text[35] == '-' && text[52] == '-');
    CHECK(strspn(text + 3, "0123456789abcdef") == 32);
    CHECK(strspn(text + 36, "0123456789abcdef") == 16);
    CHECK(strspn(text + 3, "0") < 32 && strspn(text + 36, "0") < 16);
    CHECK(strcmp(text + 53, flags) == 0);
}

static void inject(mlflow_span_t span, char *traceparent)
{
    CHECK_OK(mlflow_span_inject(span, MLFLOW_STR("traceparent"), traceparent,
                                MLFLOW_TRACEPARENT_CAPACITY, NULL, NULL));
}

CASE(an_unsampled_trace_costs_nothing_and_is_no_fault)
{
    mlflow_tracer_t *tracer = memory_tracer_with("sampling.ratio", "0");
    mlflow_attribute_t attribute = mlflow_attribute_i64(MLFLOW_STR("a"), 1);
    mlflow_span_t span = start_with(tracer, &attribute, 1);
    mlflow_span_t child = check_child(tracer, "child", span);
    uint64_t ignored = check_stat(tracer, "ignored");
    char buffer[64];

    CHECK(span.id != 0 && child.id != 0);
    CHECK_OK(mlflow_span_set_name(child, MLFLOW_STR("x"), NULL));
    CHECK_OK(mlflow_span_set_attributes(child, &attribute, 1, NULL));
    CHECK_OK(mlflow_span_set_inputs_fields(child, &attribute, 1, NULL));
    CHECK_OK(mlflow_span_add_event(child, MLFLOW_STR("x"), 0, &attribute, 1, NULL));
    CHECK_OK(mlflow_trace_set_tag(child, MLFLOW_STR("x"), MLFLOW_STR("y"), NULL));
    CHECK_STATUS(mlflow_span_get_trace_id(child, buffer, sizeof buffer, NULL, NULL),
                 MLFLOW_ERROR_NOT_FOUND);
    CHECK_STATUS(mlflow_span_get_span_id(child, buffer, sizeof buffer, NULL, NULL),
                 MLFLOW_ERROR_NOT_FOUND);
    CHECK_OK(mlflow_span_end(child, NULL));
    CHECK_OK(mlflow_span_end(span, NULL));
    CHECK_OK(mlflow_tracer_flush(tracer, 60000, NULL, NULL));
    CHECK(check_stat(tracer, "created") == 0 && check_stat(tracer, "ignored") == ignored);
    mlflow_tracer_free(tracer);
}

CASE(an_unsampled_trace_tells_other_processes)
{
    mlflow_tracer_t *tracer = memory_tracer_with("sampling.ratio", "0");
    mlflow_tracer_t *server = check_memory_tracer();
    mlflow_span_t span = check_start(tracer, "unsampled");
    mlflow_span_t child = check_child(tracer, "child", span);
    mlflow_span_options_t options = MLFLOW_SPAN_OPTIONS_INIT;
    mlflow_span_t handler = {0};
    char first[MLFLOW_TRACEPARENT_CAPACITY];
    char second[MLFLOW_TRACEPARENT_CAPACITY];
    char beyond[MLFLOW_TRACEPARENT_CAPACITY];
    char tracestate[8];

    inject(span, first);
    inject(child, second);
    check_traceparent(first, "02");
    check_traceparent(second, "02");
    CHECK(strcmp(first, second) != 0);
    CHECK_STATUS(mlflow_span_inject(span, MLFLOW_STR("tracestate"), tracestate, sizeof tracestate,
                                    NULL, NULL),
                 MLFLOW_ERROR_NOT_FOUND);

    options.traceparent = mlflow_str(first);
    CHECK_OK(mlflow_span_start(server, MLFLOW_STR("handler"), &options, &handler, NULL));
    inject(handler, beyond);
    check_traceparent(beyond, "02");
    CHECK(strncmp(first, beyond, 36) == 0);
    CHECK_OK(mlflow_span_end(handler, NULL));
    CHECK_OK(mlflow_span_end(child, NULL));
    CHECK_OK(mlflow_span_end(span, NULL));
    CHECK(check_stat(server, "created") == 0);
    mlflow_tracer_free(server);
    mlflow_tracer_free(tracer);
}

CASE(an_unsampled_parent_elsewhere_is_passed_on)
{
    static const char *const flags[] = {"00", "02"};
    mlflow_tracer_t *tracer = check_memory_tracer();
    size_t i;

    for (i = 0; i < 2; i++) {
        mlflow_span_options_t options = MLFLOW_SPAN_OPTIONS_INIT;
        mlflow_span_t span = {0};
        mlflow_span_t child;
        char incoming[MLFLOW_TRACEPARENT_CAPACITY];
        char traceparent[MLFLOW_TRACEPARENT_CAPACITY];
        char of_child[MLFLOW_TRACEPARENT_CAPACITY];
        char expected[MLFLOW_TRACEPARENT_CAPACITY];
        char span_id[MLFLOW_SPAN_ID_CAPACITY];
        char tracestate[32];

        snprintf(incoming, sizeof incoming,
                 "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-%s", flags[i]);
        options.traceparent = mlflow_str(incoming);
        options.tracestate = MLFLOW_STR("vendor=value");
        CHECK_OK(mlflow_span_start(tracer, MLFLOW_STR("remote"), &options, &span, NULL));
        CHECK_OK(mlflow_span_set_outputs_str(span, MLFLOW_STR("nobody sees it"), NULL));
        inject(span, traceparent);
        check_traceparent(traceparent, flags[i]);
        CHECK_OK(mlflow_span_get_span_id(span, span_id, sizeof span_id, NULL, NULL));
        snprintf(expected, sizeof expected, "00-0af7651916cd43dd8448eb211c80319c-%s-%s", span_id,
                 flags[i]);
        CHECK(strcmp(traceparent, expected) == 0 && strcmp(traceparent, incoming) != 0);
        CHECK_OK(mlflow_span_inject(span, MLFLOW_STR("tracestate"), tracestate, sizeof tracestate,
                                    NULL, NULL));
        CHECK(strcmp(tracestate, "vendor=value") == 0);

        child = check_child(tracer, "child", span);
        inject(child, of_child);
        check_traceparent(of_child, flags[i]);
        CHECK(strncmp(traceparent, of_child, 36) == 0 && strcmp(traceparent, of_child) != 0);
        CHECK_OK(mlflow_span_end(child, NULL));
        CHECK_OK(mlflow_span_end(span, NULL));
        CHECK_STATUS(mlflow_span_end(span, NULL), MLFLOW_ERROR_INVALID_STATE);
    }
    CHECK(check_stat(tracer, "created") == 0);
    mlflow_tracer_free(tracer);
}

CASE(traces_kept_for_their_errors_are_counted)
{
    mlflow_config_t *config = check_config("exporter", "memory");
    mlflow_tracer_t *tracer = NULL;
    mlflow_span_t span;
    mlflow_text_t *json;

    CHECK_OK(mlflow_config_set(config, MLFLOW_STR("sampling.ratio"), MLFLOW_STR("0"), NULL));
    CHECK_OK(
        mlflow_config_set(config, MLFLOW_STR("sampling.keep_errors"), MLFLOW_STR("true"), NULL));
    CHECK_OK(mlflow_tracer_new(config, &tracer, NULL));
    mlflow_config_free(config);
    CHECK_OK(mlflow_span_end(check_start(tracer, "fine"), NULL));
    span = check_start(tracer, "broken");
    CHECK_OK(mlflow_span_set_status(span, MLFLOW_SPAN_STATUS_ERROR, MLFLOW_STR("why"), NULL));
    CHECK_OK(mlflow_span_end(span, NULL));
    json = check_only_trace(tracer);
    CHECK_CONTAINS(mlflow_text_get(json).ptr, "broken");
    mlflow_text_free(json);
    CHECK(check_stat(tracer, "dropped.unsampled") == 1 && check_stat(tracer, "dropped") == 1);
    CHECK(check_stat(tracer, "delivered") == 1 && check_stat(tracer, "pending") == 0);
    CHECK_OK(mlflow_tracer_get_stats(tracer, &json, NULL));
    CHECK_CONTAINS(mlflow_text_get(json).ptr, "\"unsampled\":1");
    CHECK_CONTAINS(mlflow_text_get(json).ptr, "\"abandoned\":0");
    CHECK_CONTAINS(mlflow_text_get(json).ptr, "\"redaction_failed\":0");
    mlflow_text_free(json);
    mlflow_tracer_free(tracer);
}

int main(void)
{
    RUN(attributes_to_begin_with);
    RUN(lists_of_any_length);
    RUN(replaced_text_is_counted_once_in_short_and_long_lists);
    RUN(bad_attributes_start_nothing);
    RUN(callers_of_the_first_version_go_on);
    RUN(a_ratio_for_one_trace);
    RUN(an_unsampled_trace_costs_nothing_and_is_no_fault);
    RUN(an_unsampled_trace_tells_other_processes);
    RUN(an_unsampled_parent_elsewhere_is_passed_on);
    RUN(traces_kept_for_their_errors_are_counted);
    return DONE();
}
