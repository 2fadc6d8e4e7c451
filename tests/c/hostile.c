/* Sends one trace for each hostile value to the server in MLFLOW_TRACE_TEST_SERVER and prints the
 * traces' ids. read_hostile.py runs this program and compares what the server gives back with
 * docs/values.md. */

#include <math.h>

#include "check.h"

#define DEPTH ((size_t)100000)
#define HUNDRED_MEGABYTES ((size_t)100 << 20)

static mlflow_tracer_t *tracer;

/* A span of the case, whose trace is announced. */
static mlflow_span_t begin(const char *name)
{
    char trace_id[MLFLOW_TRACE_ID_CAPACITY];
    mlflow_span_t span = check_start(tracer, name);
    CHECK_OK(mlflow_span_get_trace_id(span, trace_id, sizeof trace_id, NULL, NULL));
    printf("case %s %s\n", trace_id, name);
    return span;
}

/* Inputs, an attribute and an attribute of an event, all of the same JSON text. */
static void record_json(const char *name, mlflow_str_t json)
{
    mlflow_span_t span = begin(name);
    mlflow_attribute_t attribute = mlflow_attribute_json(MLFLOW_STR("value"), json);
    CHECK_OK(mlflow_span_set_inputs(span, json, NULL));
    CHECK_OK(mlflow_span_set_attribute_json(span, MLFLOW_STR("value"), json, NULL));
    CHECK_OK(mlflow_span_add_event(span, MLFLOW_STR("event"), 1, &attribute, 1, NULL));
    CHECK_OK(mlflow_span_end(span, NULL));
}

/* As record_json, of plain text. */
static void record_text(const char *name, mlflow_str_t text)
{
    mlflow_span_t span = begin(name);
    mlflow_attribute_t attribute = mlflow_attribute_str(MLFLOW_STR("value"), text);
    CHECK_OK(mlflow_span_set_inputs_str(span, text, NULL));
    CHECK_OK(mlflow_span_set_attribute_str(span, MLFLOW_STR("value"), text, NULL));
    CHECK_OK(mlflow_span_add_event(span, MLFLOW_STR("event"), 1, &attribute, 1, NULL));
    CHECK_OK(mlflow_span_end(span, NULL));
}

static void record_double(const char *name, double number)
{
    mlflow_span_t span = begin(name);
    mlflow_attribute_t attribute = mlflow_attribute_f64(MLFLOW_STR("value"), number);
    CHECK_OK(mlflow_span_set_inputs_fields(span, &attribute, 1, NULL));
    CHECK_OK(mlflow_span_set_attribute_f64(span, MLFLOW_STR("value"), number, NULL));
    CHECK_OK(mlflow_span_add_event(span, MLFLOW_STR("event"), 1, &attribute, 1, NULL));
    CHECK_OK(mlflow_span_end(span, NULL));
}

CASE(numbers)
{
    record_double("nan", (double)NAN);
    record_double("infinity", (double)INFINITY);
    record_double("minus infinity", -(double)INFINITY);
    record_double("minus zero", -0.0);
    record_json("json nan", MLFLOW_STR("{\"a\": NaN}"));
    record_json("json 1e400", MLFLOW_STR("{\"a\": [1e400, -1e400, 1e-400]}"));
    record_json("json scalar 2^64", MLFLOW_STR("18446744073709551616"));
    record_json("json scalar nan", MLFLOW_STR("NaN"));
}

CASE(text)
{
    record_text("invalid utf-8", MLFLOW_STR("a\xff\xc0\xaf\xed\xa0\x80z\xf0\x9f"));
    record_text("nul", MLFLOW_STR("a\0b"));
    record_text("controls", MLFLOW_STR("\x01\x1f\x7f"));
    record_text("text of json", MLFLOW_STR("{\"a\": [1]}"));
    record_json("json of invalid utf-8", MLFLOW_STR("{\"a\": \"\xff\"}"));
    record_json("json of escaped surrogates", MLFLOW_STR("{\"a\": \"\\ud800\"}"));
    record_json("json of nul", MLFLOW_STR("{\"a\": \"\\u0000\"}"));
    record_json("json that is broken", MLFLOW_STR("{\"a\": 1,}"));
    record_json("json with a raw nul", MLFLOW_STR("{\"a\": \"x\0y\"}"));
}

CASE(depth)
{
    char *json = (char *)malloc(2 * DEPTH);
    memset(json, '[', DEPTH);
    memset(json + DEPTH, ']', DEPTH);
    record_json("json of lists", mlflow_str_n(json, 2 * DEPTH));
    free(json);
}

CASE(a_hundred_megabytes)
{
    char *text = (char *)malloc(HUNDRED_MEGABYTES);
    mlflow_span_t span = begin("a hundred megabytes");
    memset(text, '\n', HUNDRED_MEGABYTES);
    CHECK_OK(mlflow_span_set_inputs_str(span, mlflow_str_n(text, HUNDRED_MEGABYTES), NULL));
    text[0] = '"';
    text[HUNDRED_MEGABYTES - 1] = '"';
    CHECK_OK(mlflow_span_set_attribute_json(span, MLFLOW_STR("value"),
                                            mlflow_str_n(text, HUNDRED_MEGABYTES), NULL));
    memset(text, '\xff', HUNDRED_MEGABYTES);
    CHECK_OK(mlflow_span_set_outputs_str(span, mlflow_str_n(text, HUNDRED_MEGABYTES), NULL));
    CHECK_OK(mlflow_span_end(span, NULL));
    free(text);
}

CASE(names)
{
    mlflow_span_t span = begin("names \xff");
    CHECK_OK(mlflow_span_set_type(span, MLFLOW_STR("type \xff"), NULL));
    CHECK_OK(mlflow_span_set_status(span, MLFLOW_SPAN_STATUS_ERROR, MLFLOW_STR("no \xff\0"), NULL));
    CHECK_OK(mlflow_trace_set_tag(span, MLFLOW_STR("tag"), MLFLOW_STR("value \xff"), NULL));
    CHECK_STATUS(mlflow_trace_set_tag(span, MLFLOW_STR("tag \xff"), MLFLOW_STR("value"), NULL),
                 MLFLOW_ERROR_INVALID_ARGUMENT);
    CHECK_OK(mlflow_span_end(span, NULL));
}

int main(int count, char **arguments)
{
    mlflow_config_t *config = check_config("tracking_uri", getenv("MLFLOW_TRACE_TEST_SERVER"));
    CHECK_OK(mlflow_config_set(config, MLFLOW_STR("experiment_name"),
                               mlflow_str(count > 1 ? arguments[1] : "hostile"), NULL));
    CHECK_OK(mlflow_tracer_new(config, &tracer, NULL));
    mlflow_config_free(config);
    RUN(numbers);
    RUN(text);
    RUN(depth);
    RUN(a_hundred_megabytes);
    RUN(names);
    CHECK_OK(mlflow_tracer_shutdown(tracer, 120000, NULL, NULL));
    CHECK(check_stat(tracer, "created") == check_stat(tracer, "delivered"));
    mlflow_tracer_free(tracer);
    return check_failures_in_case ? EXIT_FAILURE : DONE();
}
