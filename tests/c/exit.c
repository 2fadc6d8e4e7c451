/* A destination that does not keep up holds up neither recording nor the end of the process. */

#define _POSIX_C_SOURCE 200809L

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "check.h"

/* The promise is 2 s; the rest is starting a process. */
#define EXIT_LIMIT_MS 2100

static long long now_ms(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1000LL + time.tv_nsec / 1000000;
}

/* A loopback port that nobody accepts on: connections are refused, or hang when `listening`. */
static int dead_port(int listening, int *port)
{
    struct sockaddr_in address;
    socklen_t size = sizeof address;
    int server = socket(AF_INET, SOCK_STREAM, 0);

    memset(&address, 0, sizeof address);
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    CHECK(bind(server, (struct sockaddr *)&address, sizeof address) == 0);
    CHECK(getsockname(server, (struct sockaddr *)&address, &size) == 0);
    if (listening)
        CHECK(listen(server, 16) == 0);
    *port = ntohs(address.sin_port);
    return server;
}

static mlflow_tracer_t *unreachable_tracer(int port)
{
    char uri[64];
    mlflow_config_t *config;
    mlflow_tracer_t *tracer = NULL;

    snprintf(uri, sizeof uri, "http://127.0.0.1:%d", port);
    config = check_config("tracking_uri", uri);
    CHECK_OK(mlflow_tracer_new(config, &tracer, NULL));
    mlflow_config_free(config);
    return tracer;
}

enum ending { SHUT_DOWN, FREE_ONLY, JUST_EXIT };

/* Records in a process of its own and returns how long that took until it was gone. */
static long long run_process(int port, enum ending ending)
{
    long long start = now_ms();
    int status = 0;
    pid_t child;

    fflush(stdout);
    child = fork();

    if (child == 0) {
        mlflow_tracer_t *tracer = unreachable_tracer(port);
        int i;

        for (i = 0; i < 100; i++)
            mlflow_span_end(check_start(tracer, "lost"), NULL);
        if (ending == SHUT_DOWN)
            mlflow_tracer_shutdown(tracer, MLFLOW_TIMEOUT_DEFAULT, NULL, NULL);
        if (ending != JUST_EXIT)
            mlflow_tracer_free(tracer);
        exit(check_failures_in_case ? 1 : 0);
    }
    CHECK(child > 0 && waitpid(child, &status, 0) == child);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    return now_ms() - start;
}

static void check_endings(int listening)
{
    int port = 0;
    int server = dead_port(listening, &port);
    long long taken;

    taken = run_process(port, SHUT_DOWN);
    printf("  shutdown and exit took %lld ms\n", taken);
    CHECK(taken <= EXIT_LIMIT_MS);
    CHECK(run_process(port, FREE_ONLY) <= 500);
    CHECK(run_process(port, JUST_EXIT) <= 500);
    close(server);
}

CASE(exit_with_a_server_that_refuses)
{
    check_endings(0);
}

CASE(exit_with_a_server_that_hangs)
{
    check_endings(1);
}

CASE(flush_reports_what_is_pending)
{
    int port = 0;
    int server = dead_port(0, &port);
    mlflow_tracer_t *tracer = unreachable_tracer(port);
    mlflow_error_t *error = NULL;
    uint64_t pending = 0;
    long long start;

    CHECK_OK(mlflow_span_end(check_start(tracer, "one"), NULL));
    start = now_ms();
    CHECK_STATUS(mlflow_tracer_flush(tracer, 200, &pending, &error), MLFLOW_ERROR_TIMEOUT);
    CHECK(now_ms() - start < 1000);
    CHECK(pending == 1);
    CHECK(mlflow_error_get_retryable(error) == 1);
    mlflow_error_free(error);
    CHECK(check_stat(tracer, "pending") == 1);

    /* Recording goes on as if nothing had happened. */
    CHECK_OK(mlflow_span_end(check_start(tracer, "two"), NULL));
    CHECK_STATUS(mlflow_tracer_shutdown(tracer, 200, NULL, NULL), MLFLOW_ERROR_TIMEOUT);
    CHECK(check_stat(tracer, "created") == 2);
    mlflow_tracer_free(tracer);
    close(server);
}

CASE(free_does_not_wait)
{
    int port = 0;
    int server = dead_port(1, &port);
    mlflow_tracer_t *tracer = unreachable_tracer(port);
    long long start;

    CHECK_OK(mlflow_span_end(check_start(tracer, "one"), NULL));
    CHECK_STATUS(mlflow_tracer_flush(tracer, 50, NULL, NULL), MLFLOW_ERROR_TIMEOUT);
    start = now_ms();
    mlflow_tracer_free(tracer);
    CHECK(now_ms() - start < 100);
    close(server);
}

CASE(what_shutdown_has_no_time_for_is_dropped)
{
    mlflow_config_t *config = check_config("exporter", "memory");
    mlflow_tracer_t *tracer = NULL;
    uint64_t left = 0;
    uint64_t later = 0;
    int i;

    /* Small batches: the one on its way when the time is up is soon done. */
    CHECK_OK(mlflow_config_set(config, MLFLOW_STR("batch.max_spans"), MLFLOW_STR("16"), NULL));
    CHECK_OK(mlflow_tracer_new(config, &tracer, NULL));
    mlflow_config_free(config);
    for (i = 0; i < 100000; i++)
        mlflow_span_end(check_start(tracer, "one of many"), NULL);
    CHECK_STATUS(mlflow_tracer_shutdown(tracer, 0, &left, NULL), MLFLOW_ERROR_TIMEOUT);
    CHECK_STATUS(mlflow_tracer_shutdown(tracer, 10000, &later, NULL), MLFLOW_ERROR_TIMEOUT);
    CHECK(left > 0 && later == left);
    CHECK(check_stat(tracer, "dropped.shutdown") == left);
    CHECK(check_stat(tracer, "created") ==
          check_stat(tracer, "delivered") + check_stat(tracer, "dropped"));
    mlflow_tracer_free(tracer);
}

CASE(an_unreachable_server_is_told_of)
{
    int port = 0;
    int server = dead_port(0, &port);
    mlflow_tracer_t *tracer = unreachable_tracer(port);
    mlflow_text_t *message = NULL;

    CHECK_OK(mlflow_span_end(check_start(tracer, "one"), NULL));
    mlflow_tracer_flush(tracer, 300, NULL, NULL);
    CHECK_OK(mlflow_tracer_next_diagnostic(tracer, &message, NULL));
    CHECK_CONTAINS(mlflow_text_get(message).ptr, "unreachable: ");
    mlflow_text_free(message);
    mlflow_tracer_free(tracer);
    close(server);
}

int main(void)
{
    RUN(exit_with_a_server_that_refuses);
    RUN(exit_with_a_server_that_hangs);
    RUN(flush_reports_what_is_pending);
    RUN(free_does_not_wait);
    RUN(what_shutdown_has_no_time_for_is_dropped);
    RUN(an_unreachable_server_is_told_of);
    return DONE();
}
