/* A web server with a thread for each connection. Every request is a span: the child of its
 * caller's, where the request has a traceparent header. It stops on SIGTERM or SIGINT and delivers
 * what it has recorded.
 *
 *     cc -pthread server.c -lmlflow_trace && ./a.out
 *     curl "http://127.0.0.1:<the port it names>/What-is-tracing"
 */

#define _POSIX_C_SOURCE 200809L

#include <arpa/inet.h>
#include <mlflow_trace.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

static mlflow_tracer_t *tracer;

/* Signal handlers may not call the library: this one only asks the main loop to end. */
static volatile sig_atomic_t stop;

static void on_signal(int number)
{
    (void)number;
    stop = 1;
}

/* Connections that are being served: the server waits for them before it shuts the tracer down. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static int active;

static void count(int difference)
{
    pthread_mutex_lock(&lock);
    active += difference;
    pthread_cond_signal(&changed);
    pthread_mutex_unlock(&lock);
}

/* Code in the middle of a program, which is not handed the request's span, asks for it. */
static void search(const char *question, char *answer, size_t capacity)
{
    mlflow_span_options_t options = MLFLOW_SPAN_OPTIONS_INIT;
    mlflow_span_t span;

    options.parent = mlflow_span_get_current();
    options.span_type = MLFLOW_STR("RETRIEVER");
    mlflow_span_start(tracer, MLFLOW_STR("search"), &options, &span, NULL);
    mlflow_span_set_inputs_str(span, mlflow_str(question), NULL);
    snprintf(answer, capacity, "%s has %zu characters.", question, strlen(question));
    mlflow_span_set_outputs_str(span, mlflow_str(answer), NULL);
    mlflow_span_end(span, NULL);
}

/* The value of a header in a request, as a view into it. */
static mlflow_str_t header(const char *request, const char *name)
{
    const char *line = strchr(request, '\n');
    size_t length = strlen(name);

    while (line != NULL) {
        const char *start = line + 1;
        size_t i = 0;
        while (i < length && (start[i] | 0x20) == name[i]) {
            i++;
        }
        if (i == length && start[i] == ':') {
            start += length + 1;
            start += strspn(start, " ");
            return mlflow_str_n(start, strcspn(start, "\r\n"));
        }
        line = strchr(start, '\n');
    }
    return mlflow_str(NULL);
}

static void handle(int connection, const char *request)
{
    mlflow_span_options_t options = MLFLOW_SPAN_OPTIONS_INIT;
    mlflow_span_t span;
    char question[256] = "", answer[512], reply[1024];
    int length;

    options.traceparent = header(request, "traceparent");
    options.tracestate = header(request, "tracestate");
    mlflow_span_start(tracer, MLFLOW_STR("GET /"), &options, &span, NULL);
    mlflow_span_enter(span, NULL);
    if (sscanf(request, "GET /%255[^ ] HTTP", question) == 1) {
        mlflow_span_set_inputs_str(span, mlflow_str(question), NULL);
        search(question, answer, sizeof answer);
        mlflow_span_set_outputs_str(span, mlflow_str(answer), NULL);
        length = snprintf(reply, sizeof reply,
                          "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %zu\r\n\r\n%s",
                          strlen(answer), answer);
    } else {
        mlflow_span_set_status(span, MLFLOW_SPAN_STATUS_ERROR, MLFLOW_STR("not understood"), NULL);
        length =
            snprintf(reply, sizeof reply,
                     "HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
    }
    if (send(connection, reply, (size_t)length, MSG_NOSIGNAL) != length) {
        mlflow_span_add_event(span, MLFLOW_STR("the client went away"), 0, NULL, 0, NULL);
    }
    mlflow_span_exit(span, NULL);
    mlflow_span_end(span, NULL);
}

static void *serve(void *argument)
{
    int connection = (int)(intptr_t)argument;
    char request[4096];
    size_t used = 0;

    while (used < sizeof request - 1) {
        ssize_t got = recv(connection, request + used, sizeof request - 1 - used, 0);
        if (got <= 0) {
            break;
        }
        used += (size_t)got;
        request[used] = '\0';
        if (strstr(request, "\r\n\r\n") != NULL) {
            handle(connection, request);
            break;
        }
    }
    close(connection);
    count(-1);
    return NULL;
}

static int listen_somewhere(void)
{
    struct sockaddr_in address;
    socklen_t length = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM, 0);

    memset(&address, 0, sizeof address);
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (listener < 0 || bind(listener, (struct sockaddr *)&address, length) != 0 ||
        listen(listener, 64) != 0 ||
        getsockname(listener, (struct sockaddr *)&address, &length) != 0) {
        perror("no socket");
        exit(EXIT_FAILURE);
    }
    printf("listening on http://127.0.0.1:%d\n", ntohs(address.sin_port));
    fflush(stdout);
    return listener;
}

int main(void)
{
    mlflow_config_t *config = NULL;
    mlflow_error_t *error = NULL;
    struct sigaction action;
    const struct timeval patience = {10, 0};
    sigset_t stopping, waiting;
    uint64_t pending = 0;
    int listener;

    if (mlflow_config_new(&config, &error) || mlflow_config_set_env(config, &error) ||
        mlflow_tracer_new(config, &tracer, &error)) {
        fprintf(stderr, "not traced: %s\n", mlflow_error_get_message(error));
        mlflow_error_free(error);
    }
    mlflow_config_free(config);

    /* Signals come in while pselect waits and nowhere else, so that none is missed in between. */
    memset(&action, 0, sizeof action);
    action.sa_handler = on_signal;
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    sigemptyset(&stopping);
    sigaddset(&stopping, SIGTERM);
    sigaddset(&stopping, SIGINT);
    pthread_sigmask(SIG_BLOCK, &stopping, &waiting);

    listener = listen_somewhere();
    while (!stop) {
        pthread_t thread;
        fd_set ready;
        int connection;
        FD_ZERO(&ready);
        FD_SET(listener, &ready);
        if (pselect(listener + 1, &ready, NULL, NULL, NULL, &waiting) < 1) {
            continue;
        }
        connection = accept(listener, NULL, NULL);
        if (connection < 0) {
            continue;
        }
        setsockopt(connection, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
        count(1);
        if (pthread_create(&thread, NULL, serve, (void *)(intptr_t)connection) == 0) {
            pthread_detach(thread);
        } else {
            close(connection);
            count(-1);
        }
    }
    close(listener);
    pthread_mutex_lock(&lock);
    while (active > 0) {
        pthread_cond_wait(&changed, &lock);
    }
    pthread_mutex_unlock(&lock);

    mlflow_tracer_shutdown(tracer, MLFLOW_TIMEOUT_DEFAULT, &pending, NULL);
    if (pending > 0) {
        fprintf(stderr, "%llu spans were not delivered\n", (unsigned long long)pending);
    }
    mlflow_tracer_free(tracer);
    return EXIT_SUCCESS;
}
