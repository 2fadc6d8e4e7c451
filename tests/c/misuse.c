/* Every function, misused in every way (reliability: C misuse). misuse_table.h has the calls; it is
 * written from the header by misuse.py, so that no function escapes.
 *
 * Built with MISUSE_DLOPEN, a path, it loads the library by itself, and calls it after dlclose as
 * well. */

#define _DEFAULT_SOURCE
#define _POSIX_C_SOURCE 200809L

#include <dlfcn.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/wait.h>
#include <unistd.h>

#include <mlflow_trace.h>

#define LOAD(library, place, name) ((*(void **)(void *)&(place) = dlsym(library, name)) != NULL)

#include "misuse_table.h"

#define USES (sizeof uses / sizeof *uses)
#define MISUSES (sizeof misuses / sizeof *misuses)
#define CANARY ((void *)misaligned.bytes)

static void fill(struct outputs *out)
{
    memset(out, 0, sizeof *out);
    out->tracer = CANARY;
    out->config = CANARY;
    out->text = CANARY;
    out->span.id = 7;
    out->number = 7;
    out->length = 7;
    memset(out->buffer, 'U', sizeof out->buffer);
}

/* Releases what a call made. */
static void collect(struct outputs *out)
{
    if (out->tracer != CANARY) {
        mlflow_tracer_free(out->tracer);
    }
    if (out->config != CANARY) {
        mlflow_config_free(out->config);
    }
    if (out->text != CANARY) {
        mlflow_text_free(out->text);
    }
    if (out->span.id != 7) {
        mlflow_span_end(out->span, NULL);
    }
    fill(out);
}

static int is_untouched(const struct outputs *out)
{
    struct outputs expected;
    fill(&expected);
    /* A span that could not be started is none. */
    expected.span = out->span.id == 0 ? out->span : expected.span;
    return memcmp(&expected, out, sizeof expected) == 0;
}

static void begin(struct world *w)
{
    mlflow_tracer_t *closed = check_memory_tracer();
    mlflow_tracer_t *freed = check_memory_tracer();
    const mlflow_attribute_t good = mlflow_attribute_str(MLFLOW_STR("key"), MLFLOW_STR("value"));
    mlflow_attribute_t *lists[] = {w->attributes, w->unknown_kind, w->reserved_set,
                                   w->no_key,     w->bad_key,      w->bad_text};
    size_t i;

    memset(w, 0, sizeof *w);
    w->config = check_config("exporter", "memory");
    w->tracer = check_memory_tracer();
    w->other = check_memory_tracer();
    w->error = fresh_error();
    w->text_object = fresh_text(w);
    w->span = check_start(w->tracer, "live");
    w->ended = check_start(w->tracer, "ended");
    w->shut_down = check_start(closed, "shut down");
    w->orphan = check_start(freed, "orphan");
    w->foreign = check_start(w->other, "foreign");
    CHECK_OK(mlflow_span_enter(w->span, NULL));
    CHECK_OK(mlflow_span_end(w->ended, NULL));
    CHECK_OK(mlflow_tracer_shutdown(closed, 0, NULL, NULL));
    mlflow_tracer_free(closed);
    mlflow_tracer_free(freed);
    for (i = 0; i < sizeof lists / sizeof *lists; i++) {
        lists[i][0] = good;
        lists[i][1] = good;
    }
    w->unknown_kind[1].kind = 99;
    w->reserved_set[1].reserved = 1;
    w->no_key[1].key = mlflow_str_n(NULL, 0);
    w->bad_key[1].key = ENDLESS;
    w->bad_text[1].data.text = NULL_WITH_LENGTH;
    w->heap = malloc(5);
    w->mebibyte = malloc(1 << 20);
    if (w->heap == NULL || w->mebibyte == NULL) {
        abort();
    }
    memcpy(w->heap, "bytes", 5);
    memset(w->mebibyte, 'x', 1 << 20);
    w->empty = MLFLOW_STR("");
    w->unterminated = mlflow_str_n(w->heap, 5);
    w->invalid_utf8 = mlflow_str_n("a\xff\xc3", 3);
    w->embedded_nul = mlflow_str_n("a\0b", 3);
    w->huge = mlflow_str_n(w->mebibyte, 1 << 20);
    fill(&w->out);
}

static void end(struct world *w)
{
    collect(&w->out);
    mlflow_span_exit(w->span, NULL);
    mlflow_span_end(w->span, NULL);
    mlflow_span_end(w->foreign, NULL);
    mlflow_text_free(w->text_object);
    mlflow_error_free(w->error);
    mlflow_config_free(w->config);
    mlflow_tracer_free(w->tracer);
    mlflow_tracer_free(w->other);
    free(w->heap);
    free(w->mebibyte);
}

static int is_documented(mlflow_status_t status, unsigned documented)
{
    return status == MLFLOW_OK || (status > 0 && status < 32 && documented >> status & 1);
}

static int is_expected(mlflow_status_t status, enum expected expected, unsigned documented)
{
    switch (expected) {
    case EXPECT_OK:
        return status == MLFLOW_OK;
    case EXPECT_BAD:
        return status == MLFLOW_ERROR_INVALID_ARGUMENT;
    case EXPECT_SHORT:
        return status == MLFLOW_ERROR_BUFFER_TOO_SMALL;
    case EXPECT_STALE:
        return status == MLFLOW_ERROR_INVALID_STATE;
    default:
        return is_documented(status, documented);
    }
}

/* An error goes with every failure, and nothing with success. */
static int is_told(mlflow_status_t status, mlflow_error_t *error)
{
    int told;
    if (status == MLFLOW_OK) {
        return error == NULL;
    }
    told = error != NULL && mlflow_error_get_code(error) == status &&
           mlflow_error_get_message(error)[0] != '\0';
    mlflow_error_free(error);
    return told;
}

static void try_misuse(const struct misuse *misuse, struct world *w)
{
    mlflow_error_t *error = CANARY;
    mlflow_status_t status = misuse->call(w, &error);
    int good = is_expected(status, misuse->expected, misuse->documented);

    good = good && (misuse->reports ? is_told(status, error) : error == CANARY);
    if (misuse->expected == EXPECT_BAD || misuse->expected == EXPECT_STALE) {
        good = good && is_untouched(&w->out);
    }
    if (!good) {
        check_failures_in_case++;
        printf("  %s, %s: %s\n", misuse->function, misuse->what, mlflow_status_name(status));
    }
    collect(&w->out);
}

static void try_use(const struct use *use, struct world *w)
{
    mlflow_error_t *error = CANARY;
    mlflow_status_t status = use->call(w, &error);
    int good = is_documented(status, use->documented);

    good = good && (use->reports ? is_told(status, error) : error == CANARY);
    if (!good) {
        check_failures_in_case++;
        printf("  %s: %s\n", use->function, mlflow_status_name(status));
    }
    collect(&w->out);
}

/* Shutting the tracer down would make everything after it moot. */
static int ends_tracer(const struct use *use)
{
    return strcmp(use->function, "mlflow_tracer_shutdown") == 0;
}

/* A panic is reported on standard error each time. */
static int is_loud(const struct use *use)
{
    return strcmp(use->function, "mlflow_panic_provoke") == 0;
}

static void use_all(struct world *w)
{
    size_t i;
    for (i = 0; i < USES; i++) {
        if (!ends_tracer(&uses[i]) && !is_loud(&uses[i])) {
            try_use(&uses[i], w);
        }
    }
}

CASE(good_arguments_give_what_is_documented)
{
    size_t i;
    for (i = 0; i < USES; i++) {
        struct world w;
        begin(&w);
        try_use(&uses[i], &w);
        try_use(&uses[i], &w); /* again, on what the first call left */
        end(&w);
    }
}

CASE(every_misuse_of_every_parameter_is_a_status)
{
    size_t i;
    for (i = 0; i < MISUSES; i++) {
        struct world w;
        begin(&w);
        try_misuse(&misuses[i], &w);
        end(&w);
    }
    printf("  %d misuses of %d functions\n", (int)MISUSES, (int)USES);
}

CASE(all_calls_are_legal_after_a_shutdown)
{
    struct world w;
    begin(&w);
    mlflow_span_end(w.span, NULL);
    CHECK_OK(mlflow_tracer_shutdown(w.tracer, 60000, NULL, NULL));
    use_all(&w);
    CHECK_OK(mlflow_tracer_shutdown(w.tracer, 0, NULL, NULL));
    use_all(&w);
    end(&w);
}

struct storm {
    struct world *shared;
    unsigned seed;
    int with_shutdown;
    int failures;
};

static void *rage(void *argument)
{
    struct storm *storm = argument;
    struct world w = *storm->shared; /* the same objects, outputs of its own */
    unsigned i;
    for (i = 0; i < 5 * USES; i++) {
        const struct use *use = &uses[(i * 7 + storm->seed) % USES];
        mlflow_error_t *error = NULL;
        mlflow_status_t status;
        if (is_loud(use) || (ends_tracer(use) && !storm->with_shutdown)) {
            continue;
        }
        status = use->call(&w, i % 2 ? &error : NULL);
        mlflow_error_free(error);
        collect(&w.out);
        if (!is_documented(status, use->documented)) {
            storm->failures++;
            printf("  %s: %s\n", use->function, mlflow_status_name(status));
        }
    }
    return NULL;
}

static void unleash(int with_shutdown)
{
    struct world w;
    struct storm storms[8];
    pthread_t threads[8];
    unsigned i;

    begin(&w);
    for (i = 0; i < 8; i++) {
        storms[i] = (struct storm){&w, i * 13, with_shutdown, 0};
        CHECK(pthread_create(&threads[i], NULL, rage, &storms[i]) == 0);
    }
    for (i = 0; i < 8; i++) {
        CHECK(pthread_join(threads[i], NULL) == 0);
        CHECK(storms[i].failures == 0);
    }
    end(&w);
}

CASE(all_calls_from_eight_threads_at_once)
{
    unleash(0);
}

CASE(all_calls_from_eight_threads_during_a_shutdown)
{
    unleash(1);
}

struct raid {
    mlflow_span_t span;
    atomic_int ready, won, late;
};

static void *finish(void *argument)
{
    struct raid *raid = argument;
    mlflow_status_t status;
    atomic_fetch_add(&raid->ready, 1);
    while (atomic_load(&raid->ready) < 8) {
    }
    status = mlflow_span_end(raid->span, NULL);
    atomic_fetch_add(status == MLFLOW_OK ? &raid->won : &raid->late,
                     status == MLFLOW_OK || status == MLFLOW_ERROR_INVALID_STATE);
    return NULL;
}

CASE(of_eight_ends_one_wins)
{
    mlflow_tracer_t *tracer = check_memory_tracer();
    int round, i;
    for (round = 0; round < 50; round++) {
        struct raid raid = {check_start(tracer, "contended"), 0, 0, 0};
        pthread_t threads[8];
        for (i = 0; i < 8; i++) {
            CHECK(pthread_create(&threads[i], NULL, finish, &raid) == 0);
        }
        for (i = 0; i < 8; i++) {
            CHECK(pthread_join(threads[i], NULL) == 0);
        }
        CHECK(raid.won == 1 && raid.late == 7);
    }
    CHECK_OK(mlflow_tracer_flush(tracer, 60000, NULL, NULL));
    CHECK(check_stat(tracer, "delivered") == 50);
    mlflow_tracer_free(tracer);
}

static struct world *inside;

static int32_t reenter(void *user_data, mlflow_span_t span, int32_t moment)
{
    struct world *w = inside;
    (void)user_data;
    (void)moment;
    if (w != NULL) {
        inside = NULL; /* spans that are started here come by as well */
        w->span = span;
        use_all(w);
        inside = w;
    }
    return 0;
}

CASE(all_calls_from_inside_a_processor)
{
    struct world w;
    mlflow_tracer_t *tracer = NULL;
    mlflow_config_t *config = check_config("exporter", "memory");
    mlflow_span_t span;

    begin(&w);
    CHECK_OK(mlflow_config_add_processor(config, reenter, NULL, NULL, NULL));
    CHECK_OK(mlflow_tracer_new(config, &tracer, NULL));
    mlflow_config_free(config);
    {
        mlflow_tracer_t *plain = w.tracer;
        mlflow_span_t own = w.span;
        w.tracer = tracer;
        inside = &w;
        span = check_start(tracer, "watched");
        CHECK_OK(mlflow_span_end(span, NULL));
        inside = NULL;
        w.tracer = plain;
        w.span = own;
    }
    CHECK_OK(mlflow_tracer_shutdown(tracer, 60000, NULL, NULL));
    mlflow_tracer_free(tracer);
    end(&w);
}

/* The library must stay usable while a process ends, in whatever order things go. */
static struct world ending;

static void use_while_ending(void *unused)
{
    (void)unused;
    use_all(&ending);
    if (check_failures_in_case > 0) {
        _exit(EXIT_FAILURE);
    }
}

static void use_at_exit(void)
{
    use_while_ending(NULL);
}

static int uses_in_destructors;

__attribute__((destructor)) static void use_in_a_destructor(void)
{
    if (uses_in_destructors) {
        use_while_ending(NULL);
        CHECK_OK(mlflow_tracer_shutdown(ending.tracer, 60000, NULL, NULL));
        CHECK(check_stat(ending.tracer, "delivered") > 0);
        use_while_ending(NULL);
    }
}

static void *leave_through_a_key(void *unused)
{
    pthread_key_t key;
    CHECK(pthread_key_create(&key, use_while_ending) == 0);
    CHECK(pthread_setspecific(key, &ending) == 0);
    mlflow_span_end(check_start(ending.tracer, "in a thread"), NULL);
    return unused;
}

CASE(all_calls_while_a_thread_ends)
{
    pthread_t thread;
    begin(&ending);
    CHECK(pthread_create(&thread, NULL, leave_through_a_key, NULL) == 0);
    CHECK(pthread_join(thread, NULL) == 0);
    end(&ending);
}

CASE(all_calls_in_a_forked_child)
{
    int status = -1;
    pid_t child;
    begin(&ending);
    child = fork();
    if (child == 0) {
        CHECK_STATUS(mlflow_span_end(ending.span, NULL), MLFLOW_ERROR_INVALID_STATE);
        use_all(&ending);
        _exit(check_failures_in_case > 0 ? EXIT_FAILURE : EXIT_SUCCESS);
    }
    CHECK(child > 0 && waitpid(child, &status, 0) == child && status == 0);
    CHECK_OK(mlflow_span_end(ending.span, NULL));
    end(&ending);
}

/* What a process of its own does, see below. */
static int leave(void)
{
    begin(&ending);
    uses_in_destructors = 1;
    return atexit(use_at_exit) == 0 && check_failures_in_case == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

static char **own_arguments;

CASE(all_calls_while_a_process_exits)
{
    int status = -1;
    pid_t child = fork();
    if (child == 0) {
        setenv("MISUSE_LEAVES", "1", 1);
        execv(own_arguments[0], own_arguments);
        _exit(EXIT_FAILURE);
    }
    CHECK(child > 0 && waitpid(child, &status, 0) == child && status == 0);
}

#ifdef MISUSE_DLOPEN
static void *library;

CASE(all_calls_after_dlclose)
{
    struct world w;
    begin(&w);
    use_all(&w);
    CHECK(dlclose(library) == 0);
    use_all(&w);
    end(&w);
}
#endif

int main(int count, char **arguments)
{
    (void)count;
    own_arguments = arguments;
#ifdef MISUSE_DLOPEN
    library = dlopen(MISUSE_DLOPEN, RTLD_NOW | RTLD_LOCAL);
    if (library == NULL || misuse_load(library) != NULL) {
        fprintf(stderr, "%s\n", dlerror());
        return EXIT_FAILURE;
    }
#endif
    if (getenv("MISUSE_LEAVES") != NULL) {
        return leave();
    }
    RUN(good_arguments_give_what_is_documented);
    RUN(every_misuse_of_every_parameter_is_a_status);
    RUN(all_calls_are_legal_after_a_shutdown);
    RUN(all_calls_from_eight_threads_at_once);
    RUN(all_calls_from_eight_threads_during_a_shutdown);
    RUN(of_eight_ends_one_wins);
    RUN(all_calls_from_inside_a_processor);
    RUN(all_calls_while_a_thread_ends);
    RUN(all_calls_in_a_forked_child);
    RUN(all_calls_while_a_process_exits);
#ifdef MISUSE_DLOPEN
    RUN(all_calls_after_dlclose);
#endif
    return DONE();
}
