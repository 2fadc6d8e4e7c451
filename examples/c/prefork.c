/* A server that forks its workers, as many web servers do: one tracer, made before the forks,
 * serves all of them. Nothing has to be done about it in the child but to shut down before it ends.
 *
 *     cc prefork.c -lmlflow_trace && ./a.out
 */

#define _POSIX_C_SOURCE 200809L

#include <mlflow_trace.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define WORKERS 4
#define JOBS 20

/* What the parent sends to a worker, in one write of fewer bytes than PIPE_BUF. */
struct job {
    int number;
    char traceparent[MLFLOW_TRACEPARENT_CAPACITY];
};

static int work(const mlflow_tracer_t *tracer, int jobs)
{
    struct job job;
    uint64_t pending = 0;

    while (read(jobs, &job, sizeof job) == (ssize_t)sizeof job) {
        mlflow_span_options_t options = MLFLOW_SPAN_OPTIONS_INIT;
        mlflow_span_t span;
        options.traceparent = mlflow_str(job.traceparent);
        mlflow_span_start(tracer, MLFLOW_STR("job"), &options, &span, NULL);
        mlflow_span_set_attribute_i64(span, MLFLOW_STR("number"), job.number, NULL);
        mlflow_span_set_attribute_i64(span, MLFLOW_STR("worker"), getpid(), NULL);
        mlflow_span_end(span, NULL);
    }
    /* Sends what this worker recorded; what the parent recorded is the parent's to send. */
    mlflow_tracer_shutdown(tracer, MLFLOW_TIMEOUT_DEFAULT, &pending, NULL);
    return pending == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

int main(void)
{
    mlflow_config_t *config = NULL;
    mlflow_tracer_t *tracer = NULL;
    mlflow_error_t *error = NULL;
    mlflow_span_t span;
    uint64_t pending = 0;
    int jobs[2];
    int failed = 0;
    int i;

    if (mlflow_config_new(&config, &error) || mlflow_config_set_env(config, &error) ||
        mlflow_tracer_new(config, &tracer, &error)) {
        fprintf(stderr, "not traced: %s\n", mlflow_error_get_message(error));
        mlflow_error_free(error);
    }
    mlflow_config_free(config);
    if (pipe(jobs) != 0) {
        perror("no pipe");
        return EXIT_FAILURE;
    }

    mlflow_span_start(tracer, MLFLOW_STR("dispatch"), NULL, &span, NULL);
    for (i = 0; i < WORKERS; i++) {
        pid_t worker = fork();
        if (worker == 0) {
            close(jobs[1]);
            /* _exit: the parent's atexit handlers and buffers are not the child's. */
            _exit(work(tracer, jobs[0]));
        }
        failed |= worker < 0;
    }
    close(jobs[0]);
    for (i = 0; i < JOBS; i++) {
        struct job job;
        memset(&job, 0, sizeof job);
        job.number = i;
        mlflow_span_inject(span, MLFLOW_STR("traceparent"), job.traceparent, sizeof job.traceparent,
                           NULL, NULL);
        failed |= write(jobs[1], &job, sizeof job) != (ssize_t)sizeof job;
    }
    close(jobs[1]);
    for (i = 0; i < WORKERS; i++) {
        int status = 0;
        failed |= wait(&status) < 0 || status != 0;
    }
    mlflow_span_set_attribute_i64(span, MLFLOW_STR("jobs"), JOBS, NULL);
    mlflow_span_end(span, NULL);
    mlflow_tracer_shutdown(tracer, MLFLOW_TIMEOUT_DEFAULT, &pending, NULL);
    mlflow_tracer_free(tracer);
    return failed || pending > 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
