/* Signals are the program's: none reaches the library's thread, and those that interrupt its calls
 * do no harm. */

#define _POSIX_C_SOURCE 200809L

#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "check.h"

static mlflow_tracer_t *started_tracer(void)
{
    mlflow_tracer_t *tracer = check_memory_tracer();
    /* Its thread exists from here on. */
    CHECK_OK(mlflow_span_end(check_start(tracer, "first"), NULL));
    CHECK_OK(mlflow_tracer_flush(tracer, 60000, NULL, NULL));
    return tracer;
}

CASE(a_signal_that_the_program_waits_for_is_not_taken_elsewhere)
{
    int status = -1;
    pid_t child;

    fflush(stdout);
    child = fork();
    if (child == 0) {
        mlflow_tracer_t *tracer = started_tracer();
        struct timespec moment = {0, 50000000};
        sigset_t set;
        int number = 0;
        sigemptyset(&set);
        sigaddset(&set, SIGUSR1);
        /* As programs do that have a loop for signals; the library's thread came before. */
        pthread_sigmask(SIG_BLOCK, &set, NULL);
        kill(getpid(), SIGUSR1); /* would end the process on a thread that does not block it */
        nanosleep(&moment, NULL);
        sigwait(&set, &number);
        mlflow_tracer_free(tracer);
        _exit(number == SIGUSR1 ? 0 : 1);
    }
    CHECK(child > 0 && waitpid(child, &status, 0) == child && status == 0);
}

CASE(starting_a_thread_leaves_the_callers_mask_alone)
{
    sigset_t before, after;
    mlflow_tracer_t *tracer;
    int number;

    sigemptyset(&before);
    sigaddset(&before, SIGUSR2);
    CHECK(pthread_sigmask(SIG_BLOCK, &before, NULL) == 0);
    CHECK(pthread_sigmask(SIG_BLOCK, NULL, &before) == 0);
    tracer = started_tracer();
    CHECK(pthread_sigmask(SIG_BLOCK, NULL, &after) == 0);
    for (number = 1; number < 32; number++) {
        CHECK(sigismember(&before, number) == sigismember(&after, number));
    }
    mlflow_tracer_free(tracer);
}

static atomic_int interruptions;

static void interrupt(int number)
{
    (void)number;
    atomic_fetch_add(&interruptions, 1);
}

static atomic_int done;

static void *pester(void *argument)
{
    pthread_t *thread = argument;
    struct timespec moment = {0, 1000000};
    while (!atomic_load(&done)) {
        pthread_kill(*thread, SIGALRM);
        nanosleep(&moment, NULL);
    }
    return NULL;
}

CASE(calls_that_wait_are_not_cut_short)
{
    struct sigaction action;
    struct timespec begin, end;
    pthread_t self = pthread_self();
    pthread_t thread;
    struct sockaddr_in address;
    socklen_t size = sizeof address;
    char uri[64];
    mlflow_config_t *config;
    mlflow_tracer_t *tracer = NULL;
    int silent = socket(AF_INET, SOCK_STREAM, 0);
    double waited;

    /* A server that never answers. */
    memset(&address, 0, sizeof address);
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    CHECK(bind(silent, (struct sockaddr *)&address, size) == 0 && listen(silent, 16) == 0);
    CHECK(getsockname(silent, (struct sockaddr *)&address, &size) == 0);
    snprintf(uri, sizeof uri, "http://127.0.0.1:%d", ntohs(address.sin_port));
    config = check_config("tracking_uri", uri);
    CHECK_OK(mlflow_tracer_new(config, &tracer, NULL));
    mlflow_config_free(config);
    CHECK_OK(mlflow_span_end(check_start(tracer, "stuck"), NULL));

    memset(&action, 0, sizeof action);
    action.sa_handler = interrupt; /* without SA_RESTART */
    CHECK(sigaction(SIGALRM, &action, NULL) == 0);
    CHECK(pthread_create(&thread, NULL, pester, &self) == 0);
    clock_gettime(CLOCK_MONOTONIC, &begin);
    CHECK_STATUS(mlflow_tracer_flush(tracer, 300, NULL, NULL), MLFLOW_ERROR_TIMEOUT);
    clock_gettime(CLOCK_MONOTONIC, &end);
    atomic_store(&done, 1);
    CHECK(pthread_join(thread, NULL) == 0);
    waited = (double)(end.tv_sec - begin.tv_sec) + (double)(end.tv_nsec - begin.tv_nsec) / 1e9;
    CHECK(waited >= 0.3);
    CHECK(atomic_load(&interruptions) > 0);
    mlflow_tracer_shutdown(tracer, 0, NULL, NULL);
    mlflow_tracer_free(tracer);
    close(silent);
}

int main(void)
{
    RUN(a_signal_that_the_program_waits_for_is_not_taken_elsewhere);
    RUN(starting_a_thread_leaves_the_callers_mask_alone);
    RUN(calls_that_wait_are_not_cut_short);
    return DONE();
}
