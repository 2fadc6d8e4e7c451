/* A host that traces where the library is installed and runs as well where it is not: it loads it
 * with dlopen, as a plugin host does, and links with nothing.
 *
 *     cc plugin_host.c -ldl && ./a.out libmlflow_trace.so.1
 */

#define _POSIX_C_SOURCE 200809L

#include <dlfcn.h>
#include <mlflow_trace.h> /* types and macros; no function of it is linked */
#include <stdio.h>
#include <stdlib.h>

/* The functions that this host uses, with the types of the header. */
#define FUNCTIONS(X)                                                                               \
    X(uint32_t, mlflow_abi_version, (void))                                                        \
    X(mlflow_status_t, mlflow_config_new, (mlflow_config_t **, mlflow_error_t **))                 \
    X(mlflow_status_t, mlflow_config_set_env, (const mlflow_config_t *, mlflow_error_t **))        \
    X(void, mlflow_config_free, (mlflow_config_t *))                                               \
    X(mlflow_status_t, mlflow_tracer_new,                                                          \
      (const mlflow_config_t *, mlflow_tracer_t **, mlflow_error_t **))                            \
    X(mlflow_status_t, mlflow_tracer_shutdown,                                                     \
      (const mlflow_tracer_t *, uint64_t, uint64_t *, mlflow_error_t **))                          \
    X(void, mlflow_tracer_free, (mlflow_tracer_t *))                                               \
    X(const char *, mlflow_error_get_message, (const mlflow_error_t *))                            \
    X(void, mlflow_error_free, (mlflow_error_t *))                                                 \
    X(mlflow_status_t, mlflow_span_start,                                                          \
      (const mlflow_tracer_t *, mlflow_str_t, const mlflow_span_options_t *, mlflow_span_t *,      \
       mlflow_error_t **))                                                                         \
    X(mlflow_status_t, mlflow_span_set_attribute_i64,                                              \
      (mlflow_span_t, mlflow_str_t, int64_t, mlflow_error_t **))                                   \
    X(mlflow_status_t, mlflow_span_end, (mlflow_span_t, mlflow_error_t **))

#define MEMBER(result, name, parameters) result(*name) parameters;

static struct {
    FUNCTIONS(MEMBER)
} api;

/* POSIX lets a pointer to a function travel as a pointer to data; ISO C has no cast for it. */
#define FIND(result, name, parameters)                                                             \
    *(void **)(void *)&api.name = dlsym(library, #name);                                           \
    if (api.name == NULL) {                                                                        \
        return dlerror();                                                                          \
    }

static const char *find_all(void *library)
{
    FUNCTIONS(FIND)
    if (api.mlflow_abi_version() != MLFLOW_TRACE_ABI_VERSION) {
        return "another version of the ABI";
    }
    return NULL;
}

static mlflow_tracer_t *start_tracing(const char *path)
{
    mlflow_config_t *config = NULL;
    mlflow_tracer_t *tracer = NULL;
    mlflow_error_t *error = NULL;
    /* Local: no other plugin sees its names. */
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    const char *problem = library ? find_all(library) : dlerror();

    if (problem != NULL) {
        fprintf(stderr, "not traced: %s\n", problem);
        return NULL;
    }
    if (api.mlflow_config_new(&config, &error) || api.mlflow_config_set_env(config, &error) ||
        api.mlflow_tracer_new(config, &tracer, &error)) {
        fprintf(stderr, "not traced: %s\n", api.mlflow_error_get_message(error));
        api.mlflow_error_free(error);
    }
    api.mlflow_config_free(config);
    /* Closing it is allowed and unloads nothing: its thread runs until the process ends. */
    dlclose(library);
    return tracer;
}

/* What the host is there for, traced or not. */
static int64_t run_plugin(mlflow_tracer_t *tracer, int64_t number)
{
    mlflow_span_t span = {0};
    int64_t square;

    if (tracer != NULL) {
        api.mlflow_span_start(tracer, MLFLOW_STR("plugin"), NULL, &span, NULL);
    }
    square = number * number;
    if (tracer != NULL) {
        api.mlflow_span_set_attribute_i64(span, MLFLOW_STR("square"), square, NULL);
        api.mlflow_span_end(span, NULL);
    }
    return square;
}

int main(int count, char **arguments)
{
    mlflow_tracer_t *tracer = start_tracing(count > 1 ? arguments[1] : "libmlflow_trace.so.1");
    int failed = run_plugin(tracer, 12) != 144;

    if (tracer != NULL) {
        failed |=
            api.mlflow_tracer_shutdown(tracer, MLFLOW_TIMEOUT_DEFAULT, NULL, NULL) != MLFLOW_OK;
        api.mlflow_tracer_free(tracer);
    }
    printf("%s\n", tracer ? "traced" : "not traced");
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
