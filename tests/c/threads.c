/* Any handle from any thread. */

#define _POSIX_C_SOURCE 200809L

#include <pthread.h>

#include "check.h"

#define THREADS 8
#define SPANS 200

struct work {
    mlflow_tracer_t *tracer;
    mlflow_span_t span;
    pthread_barrier_t *start;
    int successes;
};

static void in_threads(struct work *work, void *(*body)(void *))
{
    pthread_t threads[THREADS];
    pthread_barrier_t start;
    int i;

    pthread_barrier_init(&start, NULL, THREADS);
    for (i = 0; i < THREADS; i++) {
        work[i].start = &start;
        CHECK(pthread_create(&threads[i], NULL, body, &work[i]) == 0);
    }
    for (i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    pthread_barrier_destroy(&start);
}

static void *record_children(void *argument)
{
    struct work *work = (struct work *)argument;
    mlflow_span_options_t options = MLFLOW_SPAN_OPTIONS_INIT;
    int i;

    options.parent = work->span;
    pthread_barrier_wait(work->start);
    for (i = 0; i < SPANS; i++) {
        mlflow_span_t span = {0};
        work->successes +=
            mlflow_span_start(work->tracer, MLFLOW_STR("child"), &options, &span, NULL) ==
                MLFLOW_OK &&
            mlflow_span_set_attribute_i64(span, MLFLOW_STR("number"), i, NULL) == MLFLOW_OK &&
            mlflow_trace_set_tag(work->span, MLFLOW_STR("last"), MLFLOW_STR("x"), NULL) ==
                MLFLOW_OK &&
            mlflow_span_end(span, NULL) == MLFLOW_OK;
    }
    return NULL;
}

CASE(children_from_many_threads)
{
    mlflow_tracer_t *tracer = check_memory_tracer();
    struct work work[THREADS];
    mlflow_span_t root = check_start(tracer, "root");
    int i;

    memset(work, 0, sizeof work);
    for (i = 0; i < THREADS; i++) {
        work[i].tracer = tracer;
        work[i].span = root;
    }
    in_threads(work, record_children);
    for (i = 0; i < THREADS; i++)
        CHECK(work[i].successes == SPANS);
    CHECK_OK(mlflow_span_end(root, NULL));
    CHECK_OK(mlflow_tracer_flush(tracer, 10000, NULL, NULL));
    CHECK(check_stat(tracer, "delivered") == THREADS * SPANS + 1);
    CHECK(check_stat(tracer, "created") == THREADS * SPANS + 1);
    mlflow_tracer_free(tracer);
}

static void *end_the_same(void *argument)
{
    struct work *work = (struct work *)argument;

    pthread_barrier_wait(work->start);
    work->successes = mlflow_span_end(work->span, NULL) == MLFLOW_OK;
    return NULL;
}

CASE(one_of_many_ends_wins)
{
    mlflow_tracer_t *tracer = check_memory_tracer();
    int round;

    for (round = 0; round < 50; round++) {
        struct work work[THREADS];
        mlflow_span_t span = check_start(tracer, "contended");
        int winners = 0;
        int i;

        memset(work, 0, sizeof work);
        for (i = 0; i < THREADS; i++)
            work[i].span = span;
        in_threads(work, end_the_same);
        for (i = 0; i < THREADS; i++)
            winners += work[i].successes;
        CHECK(winners == 1);
    }
    CHECK_OK(mlflow_tracer_flush(tracer, 10000, NULL, NULL));
    CHECK(check_stat(tracer, "delivered") == 50);
    mlflow_tracer_free(tracer);
}

static void *record_roots(void *argument)
{
    struct work *work = (struct work *)argument;
    int i;

    pthread_barrier_wait(work->start);
    for (i = 0; i < SPANS; i++) {
        mlflow_span_t span = {0};
        mlflow_span_start(work->tracer, MLFLOW_STR("root"), NULL, &span, NULL);
        mlflow_span_set_inputs_str(span, MLFLOW_STR("input"), NULL);
        mlflow_span_end(span, NULL);
    }
    return NULL;
}

static void *flush_and_stop(void *argument)
{
    struct work *work = (struct work *)argument;

    pthread_barrier_wait(work->start);
    mlflow_tracer_flush(work->tracer, 5, NULL, NULL);
    mlflow_tracer_shutdown(work->tracer, 60000, NULL, NULL);
    return NULL;
}

static void *record_or_stop(void *argument)
{
    struct work *work = (struct work *)argument;

    return work->successes ? flush_and_stop(argument) : record_roots(argument);
}

CASE(shutdown_amid_recording_loses_no_count)
{
    mlflow_tracer_t *tracer = check_memory_tracer();
    struct work work[THREADS];
    int i;

    memset(work, 0, sizeof work);
    for (i = 0; i < THREADS; i++) {
        work[i].tracer = tracer;
        work[i].successes = i % 4 == 0;
    }
    in_threads(work, record_or_stop);
    CHECK_OK(mlflow_tracer_shutdown(tracer, 60000, NULL, NULL));
    CHECK(check_stat(tracer, "created") ==
          check_stat(tracer, "delivered") + check_stat(tracer, "dropped"));
    CHECK(check_stat(tracer, "pending") == 0);
    mlflow_tracer_free(tracer);
}

static void *configure(void *argument)
{
    struct work *work = (struct work *)argument;
    mlflow_config_t *config = (mlflow_config_t *)(void *)work->tracer;
    char value[32];
    int i;

    pthread_barrier_wait(work->start);
    for (i = 0; i < SPANS; i++)
        work->successes += mlflow_config_set(config, MLFLOW_STR("service.name"), MLFLOW_STR("one"),
                                             NULL) == MLFLOW_OK &&
                           mlflow_config_get(config, MLFLOW_STR("service.name"), value,
                                             sizeof value, NULL, NULL) == MLFLOW_OK;
    return NULL;
}

CASE(one_configuration_from_many_threads)
{
    mlflow_config_t *config = check_config("exporter", "none");
    struct work work[THREADS];
    int i;

    memset(work, 0, sizeof work);
    for (i = 0; i < THREADS; i++)
        work[i].tracer = (mlflow_tracer_t *)(void *)config;
    in_threads(work, configure);
    for (i = 0; i < THREADS; i++)
        CHECK(work[i].successes == SPANS);
    mlflow_config_free(config);
}

int main(void)
{
    RUN(children_from_many_threads);
    RUN(one_of_many_ends_wins);
    RUN(shutdown_amid_recording_loses_no_count);
    RUN(one_configuration_from_many_threads);
    return DONE();
}
