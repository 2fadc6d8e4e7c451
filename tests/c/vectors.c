/* Records the values that it reads and prints the trace, for read_vectors.py.
 *
 * A line is a name, a kind and a value, separated by tabs; names and values are written in hex, so
 * that nothing needs to be parsed. Kinds: bool, int, double (as C writes them), text, json. */

#include "check.h"

#define LINE ((size_t)1 << 16)

static unsigned digit(char character)
{
    const char *digits = "0123456789abcdef";
    return (unsigned)(strchr(digits, character) - digits);
}

/* Turns hex digits into what they stand for, in place. */
static mlflow_str_t unhex(char *text)
{
    size_t length = strlen(text) / 2;
    size_t at;
    for (at = 0; at < length; at++) {
        text[at] = (char)(digit(text[2 * at]) << 4 | digit(text[2 * at + 1]));
    }
    text[length] = '\0';
    return mlflow_str_n(text, length);
}

static void record(mlflow_span_t span, mlflow_str_t name, const char *kind, mlflow_str_t value)
{
    if (strcmp(kind, "bool") == 0) {
        CHECK_OK(mlflow_span_set_attribute_bool(span, name, value.ptr[0] == 't', NULL));
    } else if (strcmp(kind, "int") == 0) {
        CHECK_OK(mlflow_span_set_attribute_i64(span, name, strtoll(value.ptr, NULL, 10), NULL));
    } else if (strcmp(kind, "double") == 0) {
        CHECK_OK(mlflow_span_set_attribute_f64(span, name, strtod(value.ptr, NULL), NULL));
    } else if (strcmp(kind, "text") == 0) {
        CHECK_OK(mlflow_span_set_attribute_str(span, name, value, NULL));
    } else {
        CHECK_OK(mlflow_span_set_attribute_json(span, name, value, NULL));
    }
}

CASE(values_are_recorded)
{
    char *line = (char *)malloc(LINE);
    mlflow_tracer_t *tracer = check_memory_tracer();
    mlflow_span_t span = check_start(tracer, "values");
    mlflow_text_t *json;

    while (fgets(line, (int)LINE, stdin) != NULL) {
        char *kind = strchr(line, '\t');
        char *value = kind == NULL ? NULL : strchr(kind + 1, '\t');
        CHECK(value != NULL && strchr(value, '\n') != NULL);
        if (value == NULL) {
            continue;
        }
        value[strcspn(value, "\n")] = '\0';
        *kind++ = '\0';
        *value++ = '\0';
        record(span, unhex(line), kind, unhex(value));
    }
    CHECK_OK(mlflow_span_end(span, NULL));
    json = check_only_trace(tracer);
    printf("trace %s\n", mlflow_text_get(json).ptr);
    mlflow_text_free(json);
    mlflow_tracer_free(tracer);
    free(line);
}

int main(void)
{
    RUN(values_are_recorded);
    return DONE();
}
