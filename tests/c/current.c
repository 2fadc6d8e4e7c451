/* The stack of spans that each thread keeps, and the ids of the active and the last trace. */

#define _POSIX_C_SOURCE 200809L

#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"

#define STALE MLFLOW_ERROR_INVALID_STATE

static mlflow_span_t current_child(const mlflow_tracer_t *tracer, const char *name)
{
    return check_child(tracer, name, mlflow_span_get_current());
}

CASE(spans_start_under_the_innermost_that_was_entered)
{
    mlflow_tracer_t *tracer = check_memory_tracer();
    mlflow_span_t outer = check_start(tracer, "outer");
    mlflow_span_t inner;
    char expected[MLFLOW_TRACE_ID_CAPACITY];
    char id[MLFLOW_TRACE_ID_CAPACITY];

    CHECK(mlflow_span_get_current().id == 0);
    CHECK_STATUS(mlflow_trace_get_active_id(id, sizeof id, NULL, NULL), MLFLOW_ERROR_NOT_FOUND);
    CHECK_OK(mlflow_span_enter(outer, NULL));
    CHECK(mlflow_span_get_current().id == outer.id);
    inner = current_child(tracer, "inner");
    CHECK_OK(mlflow_span_enter(inner, NULL));
    CHECK(mlflow_span_get_current().id == inner.id);
    CHECK_OK(mlflow_span_get_trace_id(outer, expected, sizeof expected, NULL, NULL));
    CHECK_OK(mlflow_trace_get_active_id(id, sizeof id, NULL, NULL));
    CHECK(strcmp(id, expected) == 0);
    CHECK_OK(mlflow_span_exit(inner, NULL));
    CHECK(mlflow_span_get_current().id == outer.id);
    CHECK_OK(mlflow_span_end(inner, NULL));
    CHECK_OK(mlflow_span_exit(outer, NULL));
    CHECK(mlflow_span_get_current().id == 0);
    CHECK_OK(mlflow_span_end(outer, NULL));
    mlflow_tracer_free(tracer);
}

CASE(a_span_may_be_entered_twice_and_left_in_any_order)
{
    mlflow_tracer_t *tracer = check_memory_tracer();
    mlflow_span_t one = check_start(tracer, "one");
    mlflow_span_t two = check_start(tracer, "two");

    CHECK_OK(mlflow_span_enter(one, NULL));
    CHECK_OK(mlflow_span_enter(two, NULL));
    CHECK_OK(mlflow_span_enter(one, NULL));
    CHECK_OK(mlflow_span_exit(two, NULL));
    CHECK(mlflow_span_get_current().id == one.id);
    CHECK_OK(mlflow_span_exit(one, NULL));
    CHECK(mlflow_span_get_current().id == one.id);
    CHECK_OK(mlflow_span_exit(one, NULL));
    CHECK_STATUS(mlflow_span_exit(one, NULL), STALE);
    CHECK_STATUS(mlflow_span_exit(two, NULL), STALE);
    CHECK_OK(mlflow_span_end(one, NULL));
    CHECK_OK(mlflow_span_end(two, NULL));
    mlflow_tracer_free(tracer);
}

CASE(what_ended_is_passed_over)
{
    mlflow_tracer_t *tracer = check_memory_tracer();
    mlflow_span_t outer = check_start(tracer, "outer");
    mlflow_span_t inner = check_child(tracer, "inner", outer);

    CHECK_OK(mlflow_span_enter(outer, NULL));
    CHECK_OK(mlflow_span_enter(inner, NULL));
    CHECK_OK(mlflow_span_end(inner, NULL));
    CHECK(mlflow_span_get_current().id == outer.id);
    CHECK_STATUS(mlflow_span_enter(inner, NULL), STALE);
    CHECK_OK(mlflow_span_exit(inner, NULL));
    CHECK_OK(mlflow_span_end(outer, NULL));
    CHECK(mlflow_span_get_current().id == 0);
    CHECK_OK(mlflow_span_exit(outer, NULL));
    mlflow_tracer_free(tracer);
}

CASE(the_stack_is_bounded)
{
    mlflow_tracer_t *tracer = check_memory_tracer();
    mlflow_span_t span = check_start(tracer, "often");
    mlflow_span_t next = check_start(tracer, "next");
    int i;

    for (i = 0; i < 65536; i++) {
        CHECK_OK(mlflow_span_enter(span, NULL));
    }
    CHECK_STATUS(mlflow_span_enter(span, NULL), MLFLOW_ERROR_CAPACITY);
    CHECK_OK(mlflow_span_end(span, NULL));
    CHECK_OK(mlflow_span_enter(next, NULL));
    CHECK(mlflow_span_get_current().id == next.id);
    CHECK_OK(mlflow_span_exit(next, NULL));
    CHECK_OK(mlflow_span_end(next, NULL));
    CHECK(mlflow_span_get_current().id == 0);
    mlflow_tracer_free(tracer);
}

CASE(what_starts_in_an_unsampled_trace_is_not_sampled)
{
    mlflow_config_t *config = check_config("exporter", "memory");
    mlflow_tracer_t *tracer = NULL;
    mlflow_span_t root, child;
    char id[MLFLOW_TRACE_ID_CAPACITY];

    CHECK_OK(mlflow_config_set(config, MLFLOW_STR("sampling.ratio"), MLFLOW_STR("0"), NULL));
    CHECK_OK(mlflow_tracer_new(config, &tracer, NULL));
    mlflow_config_free(config);
    root = check_start(tracer, "root");
    CHECK(mlflow_span_get_recording(root) == 0);
    CHECK_OK(mlflow_span_enter(root, NULL));
    CHECK_STATUS(mlflow_trace_get_active_id(id, sizeof id, NULL, NULL), MLFLOW_ERROR_NOT_FOUND);
    {
        mlflow_span_options_t options = MLFLOW_SPAN_OPTIONS_INIT;
        options.parent = mlflow_span_get_current();
        options.has_sampling_ratio = 1; /* would record a root */
        options.sampling_ratio = 1.0;
        CHECK_OK(mlflow_span_start(tracer, MLFLOW_STR("child"), &options, &child, NULL));
    }
    CHECK(mlflow_span_get_recording(child) == 0);
    CHECK_OK(mlflow_span_end(child, NULL));
    CHECK_OK(mlflow_span_exit(root, NULL));
    CHECK_OK(mlflow_span_end(root, NULL));
    CHECK(mlflow_span_get_current().id == 0);
    CHECK(check_stat(tracer, "created") == 0);
    mlflow_tracer_free(tracer);
}

CASE(a_span_that_is_recorded_says_so)
{
    mlflow_tracer_t *tracer = check_memory_tracer();
    mlflow_span_t span = check_start(tracer, "recorded");

    CHECK(mlflow_span_get_recording(span) == 1);
    CHECK_OK(mlflow_span_end(span, NULL));
    CHECK(mlflow_span_get_recording(span) == 0);
    mlflow_tracer_free(tracer);
}

struct thread {
    const mlflow_tracer_t *tracer;
    mlflow_span_t parent;
    int is_separate;
};

static void *run_thread(void *argument)
{
    struct thread *thread = argument;
    char id[MLFLOW_TRACE_ID_CAPACITY];

    thread->is_separate =
        mlflow_span_get_current().id == 0 && mlflow_span_exit(thread->parent, NULL) == STALE &&
        mlflow_trace_get_last_id(id, sizeof id, NULL, NULL) == MLFLOW_ERROR_NOT_FOUND &&
        mlflow_span_enter(thread->parent, NULL) == MLFLOW_OK;
    mlflow_span_end(current_child(thread->tracer, "elsewhere"), NULL);
    return NULL; /* without an exit, which is no fault */
}

CASE(threads_have_stacks_of_their_own)
{
    mlflow_tracer_t *tracer = check_memory_tracer();
    mlflow_span_t root = check_start(tracer, "root");
    struct thread thread = {tracer, root, 0};
    pthread_t id;
    mlflow_text_t *json;

    CHECK_OK(mlflow_span_enter(root, NULL));
    CHECK(pthread_create(&id, NULL, run_thread, &thread) == 0);
    CHECK(pthread_join(id, NULL) == 0);
    CHECK(thread.is_separate);
    CHECK(mlflow_span_get_current().id == root.id);
    CHECK_OK(mlflow_span_exit(root, NULL));
    CHECK_OK(mlflow_span_end(root, NULL));
    json = check_only_trace(tracer);
    CHECK_CONTAINS(mlflow_text_get(json).ptr, "elsewhere");
    mlflow_text_free(json);
    mlflow_tracer_free(tracer);
}

CASE(a_forked_child_has_none_of_its_parents_spans)
{
    mlflow_tracer_t *tracer = check_memory_tracer();
    mlflow_span_t span = check_start(tracer, "parent's");
    int status = -1;
    pid_t child;

    CHECK_OK(mlflow_span_enter(span, NULL));
    child = fork();
    if (child == 0) {
        mlflow_span_t own = {0};
        int good = mlflow_span_get_current().id == 0;
        good = good && mlflow_span_start(tracer, MLFLOW_STR("own"), NULL, &own, NULL) == MLFLOW_OK;
        good = good && mlflow_span_enter(own, NULL) == MLFLOW_OK;
        good = good && mlflow_span_get_current().id == own.id;
        _exit(good ? 0 : 1);
    }
    CHECK(child > 0 && waitpid(child, &status, 0) == child && status == 0);
    CHECK(mlflow_span_get_current().id == span.id);
    CHECK_OK(mlflow_span_exit(span, NULL));
    CHECK_OK(mlflow_span_end(span, NULL));
    mlflow_tracer_free(tracer);
}

CASE(the_last_trace_is_the_one_whose_root_ended_last)
{
    mlflow_tracer_t *tracer = check_memory_tracer();
    mlflow_span_t first = check_start(tracer, "first");
    mlflow_span_t second = check_start(tracer, "second");
    mlflow_span_options_t options = MLFLOW_SPAN_OPTIONS_INIT;
    char expected[MLFLOW_TRACE_ID_CAPACITY];
    char id[MLFLOW_TRACE_ID_CAPACITY];
    size_t length = 0;
    mlflow_span_t served;

    CHECK_OK(mlflow_span_get_trace_id(first, expected, sizeof expected, NULL, NULL));
    CHECK_OK(mlflow_span_end(second, NULL));
    CHECK_OK(mlflow_span_end(first, NULL));
    CHECK_OK(mlflow_trace_get_last_id(id, sizeof id, &length, NULL));
    CHECK(strcmp(id, expected) == 0 && length == strlen(id));
    CHECK_STATUS(mlflow_trace_get_last_id(id, 8, &length, NULL), MLFLOW_ERROR_BUFFER_TOO_SMALL);

    options.traceparent = MLFLOW_STR("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
    CHECK_OK(mlflow_span_start(tracer, MLFLOW_STR("served"), &options, &served, NULL));
    CHECK_OK(mlflow_span_end(served, NULL));
    CHECK_OK(mlflow_trace_get_last_id(id, sizeof id, NULL, NULL));
    CHECK(strcmp(id, "tr-0af7651916cd43dd8448eb211c80319c") == 0);
    mlflow_tracer_free(tracer);
}

int main(void)
{
    RUN(spans_start_under_the_innermost_that_was_entered);
    RUN(a_span_may_be_entered_twice_and_left_in_any_order);
    RUN(what_ended_is_passed_over);
    RUN(the_stack_is_bounded);
    RUN(what_starts_in_an_unsampled_trace_is_not_sampled);
    RUN(a_span_that_is_recorded_says_so);
    RUN(threads_have_stacks_of_their_own);
    RUN(a_forked_child_has_none_of_its_parents_spans);
    RUN(the_last_trace_is_the_one_whose_root_ended_last);
    return DONE();
}
