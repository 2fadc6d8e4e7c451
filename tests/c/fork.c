/* fork() without the library's help: a child records at once and never sends its parent's spans. */

#define _POSIX_C_SOURCE 200809L

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"

#define FORKS 60
#define RECORDERS 3

/* What a child does; its exit code says what went wrong. */
static int child_records(const mlflow_tracer_t *tracer, mlflow_span_t of_parent)
{
    mlflow_span_t span = {0};
    mlflow_text_t *json = NULL;
    uint64_t value = 99;

    if (mlflow_tracer_get_stat(tracer, MLFLOW_STR("created"), &value, NULL) != MLFLOW_OK ||
        value != 0)
        return 1;
    if (mlflow_span_set_name(of_parent, MLFLOW_STR("mine?"), NULL) != MLFLOW_ERROR_INVALID_STATE)
        return 2;
    if (mlflow_span_end(of_parent, NULL) != MLFLOW_ERROR_INVALID_STATE)
        return 3;
    if (mlflow_span_start(tracer, MLFLOW_STR("in the child"), NULL, &span, NULL) != MLFLOW_OK)
        return 4;
    if (mlflow_span_end(span, NULL) != MLFLOW_OK)
        return 5;
    if (mlflow_tracer_flush(tracer, 60000, NULL, NULL) != MLFLOW_OK)
        return 6;
    if (mlflow_tracer_next_trace(tracer, &json, NULL) != MLFLOW_OK ||
        strstr(mlflow_text_get(json).ptr, "in the child") == NULL)
        return 7;
    mlflow_text_free(json);
    if (mlflow_tracer_next_trace(tracer, &json, NULL) != MLFLOW_ERROR_NOT_FOUND)
        return 8;
    if (mlflow_tracer_shutdown(tracer, 60000, NULL, NULL) != MLFLOW_OK)
        return 9;
    return 0;
}

/* Forks once; returns the child's exit code, or -1 when it hung or crashed. */
static int in_child(const mlflow_tracer_t *tracer, mlflow_span_t span)
{
    int status = 0;
    pid_t child = fork();

    if (child == 0) {
        alarm(20);
        _exit(child_records(tracer, span));
    }
    if (child < 0 || waitpid(child, &status, 0) != child)
        return -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

CASE(a_child_starts_afresh_and_the_parent_loses_nothing)
{
    mlflow_tracer_t *tracer = check_memory_tracer();
    mlflow_span_t span = check_start(tracer, "across the fork");
    mlflow_text_t *json;

    CHECK(in_child(tracer, span) == 0);
    CHECK_OK(mlflow_span_end(span, NULL));
    json = check_only_trace(tracer);
    CHECK_CONTAINS(mlflow_text_get(json).ptr, "across the fork");
    mlflow_text_free(json);
    mlflow_tracer_free(tracer);
}

#ifndef __SANITIZE_ADDRESS__
/* Forking while other threads allocate leaves the sanitizer's own allocator locked in the child. */

static atomic_bool stop;

/* Its queue is soon full, so what waits at the end is delivered well within the time limit. */
static mlflow_tracer_t *short_queue_tracer(void)
{
    mlflow_config_t *config = check_config("exporter", "memory");
    mlflow_tracer_t *tracer = NULL;

    CHECK_OK(mlflow_config_set(config, MLFLOW_STR("queue.max_bytes"), MLFLOW_STR("1048576"), NULL));
    CHECK_OK(mlflow_tracer_new(config, &tracer, NULL));
    mlflow_config_free(config);
    return tracer;
}

static void *record_until_stopped(void *argument)
{
    const mlflow_tracer_t *tracer = (const mlflow_tracer_t *)argument;

    while (!atomic_load(&stop)) {
        mlflow_span_t span = {0};
        mlflow_span_start(tracer, MLFLOW_STR("in the parent"), NULL, &span, NULL);
        mlflow_span_set_attribute_i64(span, MLFLOW_STR("n"), 1, NULL);
        mlflow_span_end(span, NULL);
    }
    return NULL;
}

CASE(forks_under_load)
{
    mlflow_tracer_t *tracer = short_queue_tracer();
    mlflow_span_t span = check_start(tracer, "held");
    pthread_t recorders[RECORDERS];
    int i;

    atomic_store(&stop, false);
    for (i = 0; i < RECORDERS; i++)
        CHECK(pthread_create(&recorders[i], NULL, record_until_stopped, tracer) == 0);
    for (i = 0; i < FORKS; i++)
        CHECK(in_child(tracer, span) == 0);
    atomic_store(&stop, true);
    for (i = 0; i < RECORDERS; i++)
        pthread_join(recorders[i], NULL);
    CHECK_OK(mlflow_span_end(span, NULL));
    CHECK_OK(mlflow_tracer_shutdown(tracer, 60000, NULL, NULL));
    CHECK(check_stat(tracer, "created") ==
          check_stat(tracer, "delivered") + check_stat(tracer, "dropped"));
    mlflow_tracer_free(tracer);
}

CASE(a_child_may_free_the_tracer)
{
    mlflow_tracer_t *tracer = check_memory_tracer();
    int status = 0;
    pid_t child;

    CHECK_OK(mlflow_span_end(check_start(tracer, "before"), NULL));
    child = fork();
    if (child == 0) {
        alarm(20);
        mlflow_tracer_free(tracer);
        _exit(0);
    }
    CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status));
    CHECK_OK(mlflow_tracer_flush(tracer, 60000, NULL, NULL));
    CHECK(check_stat(tracer, "delivered") == 1);
    mlflow_tracer_free(tracer);
}

#endif

int main(void)
{
    RUN(a_child_starts_afresh_and_the_parent_loses_nothing);
#ifndef __SANITIZE_ADDRESS__
    RUN(forks_under_load);
    RUN(a_child_may_free_the_tracer);
#endif
    return DONE();
}
