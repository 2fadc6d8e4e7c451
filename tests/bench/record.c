/* The worker that records through the C ABI: what src/worker.rs does, in C.
 *
 * It reads requests from standard input and answers each on standard output; src/protocol.rs has
 * the lines, src/work.rs the workloads. */
#define _POSIX_C_SOURCE 200809L

#include <mlflow_trace.h>

#include <inttypes.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { CHILDREN = 10, TEXTS = 5, NUMBERS = 5, THREADS = 2 };

static const struct {
    const char *key;
    const char *value;
} texts[TEXTS] = {
    {"gen_ai.system", "openai-like"},       {"gen_ai.request.model", "model-large-2026"},
    {"http.route", "/v1/chat/completions"}, {"server.address", "inference-7.local"},
    {"app.tenant", "tenant-0042"},
};

static const struct {
    const char *key;
    int64_t value;
} numbers[NUMBERS] = {
    {"gen_ai.usage.input_tokens", 1234}, {"gen_ai.usage.output_tokens", 567},
    {"http.status_code", 200},           {"app.retries", 0},
    {"app.queue_us", 8123456},
};

/* The same with the lengths that a program knows. */
static mlflow_str_t text_keys[TEXTS], text_values[TEXTS], number_keys[NUMBERS];
static char payload_text[2048];
static mlflow_str_t payload;
static mlflow_tracer_t *tracer;

struct job {
    int work;
    bool together;
    size_t spans;
    uint64_t start;
};

struct producer {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool busy;
    struct job job;
    uint64_t begin;
    uint64_t end;
    uint64_t started;
    uint64_t failures;
};

static struct producer producers[THREADS];

static uint64_t unix_nanos(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void prepare(void)
{
    char *end = payload_text +
                sprintf(payload_text, "{\"messages\": [{\"role\": \"user\", \"content\": \"");
    for (int i = 0; i < 24; ++i) {
        end += sprintf(end, "All work and no play makes a dull trace. ");
    }
    strcpy(end, "\"}]}");
    payload = mlflow_str(payload_text);
    for (int i = 0; i < TEXTS; ++i) {
        text_keys[i] = mlflow_str(texts[i].key);
        text_values[i] = mlflow_str(texts[i].value);
    }
    for (int i = 0; i < NUMBERS; ++i) {
        number_keys[i] = mlflow_str(numbers[i].key);
    }
}

static uint64_t roots(size_t spans)
{
    uint64_t failures = 0;
    for (size_t i = 0; i < spans; ++i) {
        mlflow_span_t root = {0};
        failures += mlflow_span_start(tracer, MLFLOW_STR("root"), NULL, &root, NULL) != MLFLOW_OK;
        failures += mlflow_span_end(root, NULL) != MLFLOW_OK;
    }
    return failures;
}

static uint64_t set_together(mlflow_span_t span)
{
    mlflow_attribute_t attributes[TEXTS + NUMBERS];
    for (int i = 0; i < TEXTS; ++i) {
        attributes[i] = mlflow_attribute_str(text_keys[i], text_values[i]);
    }
    for (int i = 0; i < NUMBERS; ++i) {
        attributes[TEXTS + i] = mlflow_attribute_i64(number_keys[i], numbers[i].value);
    }
    return mlflow_span_set_attributes(span, attributes, TEXTS + NUMBERS, NULL) != MLFLOW_OK;
}

static uint64_t set_one_by_one(mlflow_span_t span)
{
    uint64_t failures = 0;
    for (int i = 0; i < TEXTS; ++i) {
        failures +=
            mlflow_span_set_attribute_str(span, text_keys[i], text_values[i], NULL) != MLFLOW_OK;
    }
    for (int i = 0; i < NUMBERS; ++i) {
        failures += mlflow_span_set_attribute_i64(span, number_keys[i], numbers[i].value, NULL) !=
                    MLFLOW_OK;
    }
    return failures;
}

static uint64_t children(const struct job *job)
{
    uint64_t failures = 0;
    for (size_t i = 0; i < job->spans / CHILDREN; ++i) {
        mlflow_span_options_t options = MLFLOW_SPAN_OPTIONS_INIT;
        failures +=
            mlflow_span_start(tracer, MLFLOW_STR("root"), NULL, &options.parent, NULL) != MLFLOW_OK;
        for (int child = 0; child < CHILDREN; ++child) {
            mlflow_span_t span = {0};
            failures += mlflow_span_start(tracer, MLFLOW_STR("child span"), &options, &span,
                                          NULL) != MLFLOW_OK;
            failures += job->together ? set_together(span) : set_one_by_one(span);
            if (job->work == 3) {
                failures += mlflow_span_set_inputs(span, payload, NULL) != MLFLOW_OK;
                failures += mlflow_span_set_outputs(span, payload, NULL) != MLFLOW_OK;
            }
            failures += mlflow_span_end(span, NULL) != MLFLOW_OK;
        }
        failures += mlflow_span_end(options.parent, NULL) != MLFLOW_OK;
    }
    return failures;
}

static void *produce(void *argument)
{
    struct producer *self = argument;
    for (;;) {
        pthread_mutex_lock(&self->lock);
        while (!self->busy) {
            pthread_cond_wait(&self->changed, &self->lock);
        }
        pthread_mutex_unlock(&self->lock);
        const struct job *job = &self->job;
        while (unix_nanos() < job->start) {
        }
        self->begin = unix_nanos();
        self->failures = job->work == 1 ? roots(job->spans) : children(job);
        self->end = unix_nanos();
        self->started = job->spans + (job->work == 1 ? 0 : job->spans / CHILDREN);
        pthread_mutex_lock(&self->lock);
        self->busy = false;
        pthread_cond_signal(&self->changed);
        pthread_mutex_unlock(&self->lock);
    }
    return NULL;
}

static uint64_t counter(mlflow_str_t name)
{
    uint64_t value = UINT64_MAX;
    mlflow_tracer_get_stat(tracer, name, &value, NULL);
    return value;
}

/* Runs the job on `threads` threads and answers. */
static void run(const struct job *job, int threads)
{
    static uint64_t started;
    uint64_t begin = UINT64_MAX, end = 0, failures = 0;
    for (int i = 0; i < threads; ++i) {
        struct producer *producer = &producers[i];
        pthread_mutex_lock(&producer->lock);
        producer->job = *job;
        producer->busy = true;
        pthread_cond_signal(&producer->changed);
        pthread_mutex_unlock(&producer->lock);
    }
    for (int i = 0; i < threads; ++i) {
        struct producer *producer = &producers[i];
        pthread_mutex_lock(&producer->lock);
        while (producer->busy) {
            pthread_cond_wait(&producer->changed, &producer->lock);
        }
        pthread_mutex_unlock(&producer->lock);
        begin = producer->begin < begin ? producer->begin : begin;
        end = producer->end > end ? producer->end : end;
        started += producer->started;
        failures += producer->failures;
    }
    mlflow_tracer_flush(tracer, 60000, NULL, NULL);
    uint64_t created = counter(MLFLOW_STR("created"));
    uint64_t delivered = counter(MLFLOW_STR("delivered"));
    uint64_t dropped = counter(MLFLOW_STR("dropped"));
    if (failures || dropped || created != started || delivered != started) {
        printf("failed %" PRIu64 " spans were recorded, but: %" PRIu64 " created, %" PRIu64
               " delivered, %" PRIu64 " dropped, %" PRIu64 " calls failed\n",
               started, created, delivered, dropped, failures);
        return;
    }
    printf("done %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 "\n", begin, end,
           started, delivered, dropped);
}

static void require(mlflow_status_t status, mlflow_error_t *error)
{
    if (status != MLFLOW_OK) {
        fprintf(stderr, "%s\n", mlflow_error_get_message(error));
        exit(1);
    }
}

int main(void)
{
    mlflow_config_t *config = NULL;
    mlflow_error_t *error = NULL;
    prepare();
    require(mlflow_config_new(&config, &error), error);
    require(mlflow_config_set(config, MLFLOW_STR("exporter"), MLFLOW_STR("none"), &error), error);
    require(
        mlflow_config_set(config, MLFLOW_STR("queue.max_bytes"), MLFLOW_STR("4294967296"), &error),
        error);
    require(mlflow_tracer_new(config, &tracer, &error), error);
    mlflow_config_free(config);
    for (int i = 0; i < THREADS; ++i) {
        pthread_t thread;
        pthread_mutex_init(&producers[i].lock, NULL);
        pthread_cond_init(&producers[i].changed, NULL);
        if (pthread_create(&thread, NULL, produce, &producers[i]) != 0) {
            fprintf(stderr, "no thread\n");
            return 1;
        }
    }
    char line[256];
    while (fgets(line, sizeof line, stdin)) {
        struct job job;
        char mode[16];
        int threads;
        if (sscanf(line, "run W%d %15s %d %zu %" SCNu64, &job.work, mode, &threads, &job.spans,
                   &job.start) == 5 &&
            job.work >= 1 && job.work <= 3 && threads >= 1 && threads <= THREADS) {
            job.together = strcmp(mode, "together") == 0;
            run(&job, threads);
        } else {
            printf("failed a request that it does not understand\n");
        }
        fflush(stdout);
    }
    return 0;
}
