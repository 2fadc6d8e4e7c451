/* Span processors: what they see, how they fail, when their data goes. */

#define _POSIX_C_SOURCE 200809L

#include <pthread.h>
#include <stdatomic.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"

/* What the callbacks of a case know and note. */
struct watch {
    mlflow_tracer_t *tracer;
    atomic_int starts;
    atomic_int ends;
    atomic_int others;
    atomic_int freed;
    /* The moment at which the callback fails, 0 for never. */
    int32_t fail_at;
    /* The order in which callbacks were called, a letter each. */
    char *log;
    char letter;
    atomic_int busy;
    /* Ends on another thread than the one that made the tracer. */
    pthread_t home;
    atomic_int elsewhere;
};

static int32_t note(void *user_data, mlflow_span_t span, int32_t moment)
{
    struct watch *watch = (struct watch *)user_data;

    switch (moment) {
    case MLFLOW_PROCESSOR_START:
        watch->starts++;
        CHECK_OK(
            mlflow_span_set_attribute_str(span, MLFLOW_STR("region"), MLFLOW_STR("eu-1"), NULL));
        break;
    case MLFLOW_PROCESSOR_END:
        watch->ends++;
        watch->elsewhere += !pthread_equal(watch->home, pthread_self());
        CHECK_OK(mlflow_span_set_attribute_bool(span, MLFLOW_STR("seen"), 1, NULL));
        break;
    default:
        watch->others++;
    }
    if (watch->log)
        watch->log[strlen(watch->log)] = watch->letter;
    return moment == watch->fail_at ? 7 : 0;
}

static void count_free(void *user_data)
{
    ((struct watch *)user_data)->freed++;
}

static mlflow_config_t *config_with(struct watch *watch)
{
    mlflow_config_t *config = check_config("exporter", "memory");

    watch->home = pthread_self();
    CHECK_OK(mlflow_config_add_processor(config, note, watch, count_free, NULL));
    return config;
}

static mlflow_tracer_t *tracer_with(struct watch *watch)
{
    mlflow_config_t *config = config_with(watch);
    mlflow_tracer_t *tracer = NULL;

    CHECK_OK(mlflow_tracer_new(config, &tracer, NULL));
    mlflow_config_free(config);
    watch->tracer = tracer;
    return tracer;
}

CASE(every_span_is_seen_twice)
{
    struct watch watch = {0};
    mlflow_tracer_t *tracer = tracer_with(&watch);
    mlflow_span_t root = check_start(tracer, "root");
    mlflow_span_t child = check_child(tracer, "child", root);
    mlflow_text_t *json;

    CHECK(watch.starts == 2 && watch.ends == 0);
    CHECK_OK(mlflow_span_end(child, NULL));
    CHECK(watch.ends == 1);
    CHECK_OK(mlflow_span_end_at(root, 0, NULL));
    CHECK_STATUS(mlflow_span_end(root, NULL), MLFLOW_ERROR_INVALID_STATE);
    CHECK(watch.starts == 2 && watch.ends == 2 && watch.others == 0);
    CHECK(watch.elsewhere == 0);
    json = check_only_trace(tracer);
    CHECK_CONTAINS(mlflow_text_get(json).ptr, "eu-1");
    CHECK_CONTAINS(mlflow_text_get(json).ptr, "\"seen\":\"true\"");
    mlflow_text_free(json);
    CHECK(check_stat(tracer, "redaction_failed") == 0);
    CHECK(check_stat(tracer, "delivered") == 2);
    mlflow_tracer_free(tracer);
}

CASE(processors_are_called_in_their_order)
{
    char log[16] = "";
    struct watch one = {.log = log, .letter = 'a', .fail_at = MLFLOW_PROCESSOR_END};
    struct watch two = {.log = log, .letter = 'b'};
    mlflow_config_t *config = config_with(&one);
    mlflow_tracer_t *tracer = NULL;

    CHECK_OK(mlflow_config_add_processor(config, note, &two, count_free, NULL));
    CHECK_OK(mlflow_tracer_new(config, &tracer, NULL));
    CHECK_OK(mlflow_span_end(check_start(tracer, "ordered"), NULL));
    /* Also the one after a failure. */
    CHECK(strcmp(log, "abab") == 0);
    mlflow_config_free(config);
    mlflow_tracer_free(tracer);
    CHECK(one.freed == 1 && two.freed == 1);
}

static void check_fails_closed(int32_t moment)
{
    struct watch watch = {.fail_at = moment};
    mlflow_tracer_t *tracer = tracer_with(&watch);
    mlflow_span_t span = check_start(tracer, "confidential");
    mlflow_text_t *json;
    mlflow_text_t *message = NULL;

    CHECK_OK(mlflow_span_set_inputs_str(span, MLFLOW_STR("a secret"), NULL));
    CHECK_OK(mlflow_span_end(span, NULL));
    json = check_only_trace(tracer);
    CHECK_CONTAINS(mlflow_text_get(json).ptr, "[redaction failed]");
    CHECK(strstr(mlflow_text_get(json).ptr, "secret") == NULL);
    mlflow_text_free(json);
    CHECK(check_stat(tracer, "redaction_failed") == 1);
    CHECK(check_stat(tracer, "delivered") == 1);
    CHECK_OK(mlflow_tracer_next_diagnostic(tracer, &message, NULL));
    CHECK_CONTAINS(mlflow_text_get(message).ptr, "redaction_failed: ");
    CHECK_CONTAINS(mlflow_text_get(message).ptr, "returned 7");
    mlflow_text_free(message);
    mlflow_tracer_free(tracer);
}

CASE(failure_withholds_the_content)
{
    check_fails_closed(MLFLOW_PROCESSOR_START);
    check_fails_closed(MLFLOW_PROCESSOR_END);
}

CASE(null_is_refused_and_takes_nothing)
{
    struct watch watch = {0};
    mlflow_config_t *config = check_config("exporter", "memory");
    mlflow_error_t *error = NULL;

    CHECK_STATUS(mlflow_config_add_processor(NULL, note, &watch, count_free, NULL),
                 MLFLOW_ERROR_INVALID_ARGUMENT);
    CHECK_STATUS(mlflow_config_add_processor(config, NULL, &watch, count_free, &error),
                 MLFLOW_ERROR_INVALID_ARGUMENT);
    CHECK_CONTAINS(mlflow_error_get_message(error), "processor");
    mlflow_error_free(error);
    mlflow_config_free(config);
    CHECK(watch.freed == 0);
}

static int32_t count_calls(void *user_data, mlflow_span_t span, int32_t moment)
{
    static int calls;

    (void)span;
    (void)moment;
    CHECK(user_data == NULL);
    return ++calls == 0;
}

CASE(user_data_and_its_release_are_optional)
{
    mlflow_config_t *config = check_config("exporter", "memory");
    mlflow_tracer_t *tracer = NULL;

    CHECK_OK(mlflow_config_add_processor(config, count_calls, NULL, NULL, NULL));
    CHECK_OK(mlflow_tracer_new(config, &tracer, NULL));
    mlflow_config_free(config);
    CHECK_OK(mlflow_span_end(check_start(tracer, "bare"), NULL));
    CHECK(check_stat(tracer, "redaction_failed") == 0);
    mlflow_tracer_free(tracer);
}

CASE(user_data_goes_once_and_last)
{
    struct watch watch = {0};
    mlflow_config_t *config = config_with(&watch);
    mlflow_tracer_t *one = NULL;
    mlflow_tracer_t *two = NULL;
    mlflow_span_t open;

    CHECK_OK(mlflow_tracer_new(config, &one, NULL));
    CHECK_OK(mlflow_tracer_new(config, &two, NULL));
    open = check_start(one, "open");
    CHECK_OK(mlflow_span_end(check_start(two, "two"), NULL));
    mlflow_config_free(config);
    mlflow_tracer_free(one);
    CHECK(watch.freed == 0);
    CHECK_OK(mlflow_span_end(check_start(two, "two"), NULL));
    CHECK(watch.starts == 3 && watch.ends == 2);
    mlflow_tracer_free(two);
    CHECK(watch.freed == 1);
    mlflow_span_end(open, NULL);
    CHECK(watch.ends == 2 && watch.freed == 1);
}

CASE(a_configuration_alone_owns_too)
{
    struct watch watch = {0};
    mlflow_config_t *config = config_with(&watch);
    mlflow_tracer_t *tracer = NULL;

    CHECK_OK(mlflow_tracer_new(config, &tracer, NULL));
    mlflow_tracer_free(tracer);
    CHECK(watch.freed == 0);
    mlflow_config_free(config);
    CHECK(watch.freed == 1);
}

CASE(tracers_made_before_do_not_change)
{
    struct watch watch = {0};
    mlflow_config_t *config = check_config("exporter", "memory");
    mlflow_tracer_t *tracer = NULL;

    CHECK_OK(mlflow_tracer_new(config, &tracer, NULL));
    CHECK_OK(mlflow_config_add_processor(config, note, &watch, count_free, NULL));
    CHECK_OK(mlflow_span_end(check_start(tracer, "before"), NULL));
    CHECK(watch.starts == 0 && watch.ends == 0);
    mlflow_tracer_free(tracer);
    mlflow_config_free(config);
}

/* Calls back into everything that a processor may call. */
static int32_t reenter(void *user_data, mlflow_span_t span, int32_t moment)
{
    struct watch *watch = (struct watch *)user_data;
    mlflow_attribute_t field = mlflow_attribute_str(MLFLOW_STR("question"), MLFLOW_STR("why?"));
    char buffer[MLFLOW_ATTACHMENT_URI_CAPACITY];
    mlflow_text_t *json = NULL;
    mlflow_span_t child;

    if (watch->busy++ == 0) {
        CHECK_OK(mlflow_span_set_name(span, MLFLOW_STR("renamed"), NULL));
        CHECK_OK(mlflow_span_set_inputs_fields(span, &field, 1, NULL));
        CHECK_OK(mlflow_span_add_event(span, MLFLOW_STR("event"), 0, &field, 1, NULL));
        CHECK_OK(mlflow_trace_set_tag(span, MLFLOW_STR("tag"), MLFLOW_STR("of hook"), NULL));
        CHECK_OK(mlflow_span_get_trace_id(span, buffer, sizeof buffer, NULL, NULL));
        CHECK_OK(
            mlflow_span_inject(span, MLFLOW_STR("traceparent"), buffer, sizeof buffer, NULL, NULL));
        CHECK_OK(mlflow_span_attach(span, MLFLOW_STR("a/b"), "abc", 3, buffer, sizeof buffer, NULL,
                                    NULL));
        CHECK_OK(mlflow_span_set_outputs_str(span, mlflow_str(buffer), NULL));
        CHECK_OK(mlflow_tracer_get_stats(watch->tracer, &json, NULL));
        mlflow_text_free(json);
        child = check_child(watch->tracer, "of hook", span);
        CHECK_OK(mlflow_span_end(child, NULL));
    }
    watch->busy--;
    watch->ends += moment == MLFLOW_PROCESSOR_END;
    return 0;
}

CASE(processors_may_call_the_library)
{
    struct watch watch = {0};
    mlflow_config_t *config = check_config("exporter", "memory");
    mlflow_text_t *json;

    CHECK_OK(mlflow_config_add_processor(config, reenter, &watch, count_free, NULL));
    CHECK_OK(mlflow_tracer_new(config, &watch.tracer, NULL));
    mlflow_config_free(config);
    CHECK_OK(mlflow_span_end(check_start(watch.tracer, "original"), NULL));
    /* The span, and a child of each moment. */
    CHECK(watch.ends == 3);
    json = check_only_trace(watch.tracer);
    CHECK_CONTAINS(mlflow_text_get(json).ptr, "renamed");
    CHECK_CONTAINS(mlflow_text_get(json).ptr, "why?");
    CHECK_CONTAINS(mlflow_text_get(json).ptr, "base64,YWJj");
    CHECK_CONTAINS(mlflow_text_get(json).ptr, "\"tag\":\"of hook\"");
    CHECK(strstr(mlflow_text_get(json).ptr, "original") == NULL);
    mlflow_text_free(json);
    CHECK(check_stat(watch.tracer, "delivered") == 3);
    CHECK(check_stat(watch.tracer, "redaction_failed") == 0);
    mlflow_tracer_free(watch.tracer);
}

static int32_t try_to_end(void *user_data, mlflow_span_t span, int32_t moment)
{
    (void)user_data;
    (void)moment;
    CHECK_STATUS(mlflow_span_end(span, NULL), MLFLOW_ERROR_INVALID_STATE);
    CHECK_STATUS(mlflow_span_end_at(span, 1, NULL), MLFLOW_ERROR_INVALID_STATE);
    return 0;
}

CASE(a_processor_cannot_end_a_span)
{
    mlflow_config_t *config = check_config("exporter", "memory");
    mlflow_tracer_t *tracer = NULL;
    mlflow_span_t span;

    CHECK_OK(mlflow_config_add_processor(config, try_to_end, NULL, NULL, NULL));
    CHECK_OK(mlflow_tracer_new(config, &tracer, NULL));
    mlflow_config_free(config);
    span = check_start(tracer, "whole");
    CHECK_OK(mlflow_span_set_name(span, MLFLOW_STR("still live"), NULL));
    CHECK_OK(mlflow_span_end(span, NULL));
    CHECK_OK(mlflow_tracer_flush(tracer, 60000, NULL, NULL));
    CHECK(check_stat(tracer, "delivered") == 1);
    mlflow_tracer_free(tracer);
}

CASE(spans_that_are_not_recorded_are_not_shown)
{
    struct watch watch = {0};
    mlflow_config_t *config = config_with(&watch);
    mlflow_span_options_t options = MLFLOW_SPAN_OPTIONS_INIT;
    mlflow_tracer_t *tracer = NULL;
    mlflow_span_t span = {0};

    CHECK_OK(mlflow_config_set(config, MLFLOW_STR("sampling.ratio"), MLFLOW_STR("0"), NULL));
    CHECK_OK(mlflow_tracer_new(config, &tracer, NULL));
    mlflow_config_free(config);
    span = check_start(tracer, "unsampled");
    CHECK_OK(mlflow_span_end(check_child(tracer, "child", span), NULL));
    CHECK_OK(mlflow_span_end(span, NULL));
    options.traceparent = MLFLOW_STR("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00");
    CHECK_OK(mlflow_span_start(tracer, MLFLOW_STR("remote"), &options, &span, NULL));
    CHECK_OK(mlflow_span_end(check_child(tracer, "child", span), NULL));
    CHECK_OK(mlflow_span_end(span, NULL));
    CHECK(watch.starts == 0 && watch.ends == 0);
    mlflow_tracer_free(tracer);
}

CASE(options_redact_after_processors)
{
    struct watch watch = {0};
    mlflow_config_t *config = config_with(&watch);
    mlflow_tracer_t *tracer = NULL;
    mlflow_text_t *json;

    CHECK_OK(mlflow_config_set(config, MLFLOW_STR("redact.keys"), MLFLOW_STR("region"), NULL));
    CHECK_OK(mlflow_tracer_new(config, &tracer, NULL));
    mlflow_config_free(config);
    CHECK_OK(mlflow_span_end(check_start(tracer, "redacted"), NULL));
    json = check_only_trace(tracer);
    CHECK_CONTAINS(mlflow_text_get(json).ptr, "[redacted]");
    CHECK(strstr(mlflow_text_get(json).ptr, "eu-1") == NULL);
    mlflow_text_free(json);
    mlflow_tracer_free(tracer);
}

CASE(spans_that_the_library_ends_are_seen)
{
    struct watch watch = {0};
    mlflow_config_t *config = config_with(&watch);
    mlflow_tracer_t *tracer = NULL;
    struct timespec pause = {0, 50 * 1000 * 1000};
    mlflow_span_t span;
    int i;

    CHECK_OK(mlflow_config_set(config, MLFLOW_STR("trace.timeout_s"), MLFLOW_STR("1"), NULL));
    CHECK_OK(mlflow_tracer_new(config, &tracer, NULL));
    mlflow_config_free(config);
    span = check_start(tracer, "forgotten");
    for (i = 0; i < 200 && check_stat(tracer, "abandoned") == 0; i++)
        nanosleep(&pause, NULL);
    CHECK(check_stat(tracer, "abandoned") == 1);
    CHECK_STATUS(mlflow_span_end(span, NULL), MLFLOW_ERROR_INVALID_STATE);
    CHECK(watch.ends == 1);
    CHECK(watch.elsewhere == 1);
    mlflow_tracer_free(tracer);
}

enum { THREADS = 4, SPANS = 500 };

static void *record(void *argument)
{
    const mlflow_tracer_t *tracer = (const mlflow_tracer_t *)argument;
    int i;

    for (i = 0; i < SPANS; i++) {
        mlflow_span_t span = {0};
        mlflow_span_start(tracer, MLFLOW_STR("busy"), NULL, &span, NULL);
        mlflow_span_end(span, NULL);
    }
    return NULL;
}

CASE(many_threads_at_once)
{
    struct watch watch = {0};
    mlflow_tracer_t *tracer = tracer_with(&watch);
    pthread_t threads[THREADS];
    int i;

    for (i = 0; i < THREADS; i++)
        CHECK(pthread_create(&threads[i], NULL, record, tracer) == 0);
    for (i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    CHECK(watch.starts == THREADS * SPANS && watch.ends == THREADS * SPANS);
    CHECK_OK(mlflow_tracer_flush(tracer, 60000, NULL, NULL));
    CHECK(check_stat(tracer, "delivered") == THREADS * SPANS);
    mlflow_tracer_free(tracer);
    CHECK(watch.freed == 1);
}

/* A callback that does not return until it is let go. */
struct gate {
    atomic_int entered;
    atomic_int open;
    atomic_int freed;
    mlflow_span_t span;
};

static int32_t wait_at_gate(void *user_data, mlflow_span_t span, int32_t moment)
{
    struct gate *gate = (struct gate *)user_data;
    struct timespec pause = {0, 1000 * 1000};

    (void)span;
    if (moment == MLFLOW_PROCESSOR_END) {
        gate->entered = 1;
        while (!gate->open)
            nanosleep(&pause, NULL);
        CHECK(gate->freed == 0);
    }
    return 0;
}

static void free_gate(void *user_data)
{
    ((struct gate *)user_data)->freed++;
}

static void *end_span(void *argument)
{
    mlflow_span_end(((struct gate *)argument)->span, NULL);
    return NULL;
}

CASE(data_outlives_a_call_that_is_under_way)
{
    struct gate gate = {0};
    mlflow_config_t *config = check_config("exporter", "memory");
    mlflow_tracer_t *tracer = NULL;
    struct timespec pause = {0, 1000 * 1000};
    mlflow_span_t other;
    pthread_t thread;

    CHECK_OK(mlflow_config_add_processor(config, wait_at_gate, &gate, free_gate, NULL));
    CHECK_OK(mlflow_tracer_new(config, &tracer, NULL));
    mlflow_config_free(config);
    other = check_start(tracer, "other");
    gate.span = check_child(tracer, "slow", other);
    CHECK(pthread_create(&thread, NULL, end_span, &gate) == 0);
    while (!gate.entered)
        nanosleep(&pause, NULL);
    /* Neither recording nor freeing waits for the callback; what it may have seen stays as it is.
     */
    CHECK_STATUS(mlflow_span_set_name(gate.span, MLFLOW_STR("too late"), NULL),
                 MLFLOW_ERROR_INVALID_STATE);
    CHECK_STATUS(mlflow_span_end(gate.span, NULL), MLFLOW_ERROR_INVALID_STATE);
    CHECK_OK(mlflow_span_set_name(other, MLFLOW_STR("still live"), NULL));
    mlflow_tracer_free(tracer);
    CHECK(gate.freed == 0);
    gate.open = 1;
    pthread_join(thread, NULL);
    CHECK(gate.freed == 1);
}

CASE(a_forked_child_keeps_its_processors)
{
    struct watch watch = {0};
    mlflow_tracer_t *tracer = tracer_with(&watch);
    int status = 0;
    pid_t child;

    CHECK_OK(mlflow_span_end(check_start(tracer, "parent"), NULL));
    fflush(stdout);
    child = fork();
    if (child == 0) {
        CHECK_OK(mlflow_span_end(check_start(tracer, "child"), NULL));
        CHECK(watch.starts == 2 && watch.ends == 2);
        mlflow_tracer_free(tracer);
        CHECK(watch.freed == 1);
        fflush(stdout);
        _exit(check_failures_in_case ? 1 : 0);
    }
    CHECK(child > 0 && waitpid(child, &status, 0) == child);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    CHECK(watch.starts == 1 && watch.ends == 1 && watch.freed == 0);
    mlflow_tracer_free(tracer);
    CHECK(watch.freed == 1);
}

int main(void)
{
    RUN(every_span_is_seen_twice);
    RUN(processors_are_called_in_their_order);
    RUN(failure_withholds_the_content);
    RUN(null_is_refused_and_takes_nothing);
    RUN(user_data_and_its_release_are_optional);
    RUN(user_data_goes_once_and_last);
    RUN(a_configuration_alone_owns_too);
    RUN(tracers_made_before_do_not_change);
    RUN(processors_may_call_the_library);
    RUN(a_processor_cannot_end_a_span);
    RUN(spans_that_are_not_recorded_are_not_shown);
    RUN(options_redact_after_processors);
    RUN(spans_that_the_library_ends_are_seen);
    RUN(many_threads_at_once);
    RUN(data_outlives_a_call_that_is_under_way);
    RUN(a_forked_child_keeps_its_processors);
    return DONE();
}
