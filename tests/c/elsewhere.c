/* What comes from other programs: batches of OTLP, and links to their spans. */

#include "check.h"

/* ExportTraceServiceRequest { ResourceSpans { ScopeSpans { Span } } } with the fields that a span
 * needs: trace id, span id, parent (where there is one), name of five characters, start and end. */
static size_t request_of(unsigned char *out, unsigned char id, unsigned char parent,
                         const char *name)
{
    unsigned char span[128];
    size_t n = 0;
    size_t i;

    span[n++] = 0x0a;
    span[n++] = 16;
    for (i = 0; i < 16; i++) {
        span[n++] = 7;
    }
    for (i = 0; i < (parent ? 2 : 1); i++) {
        unsigned char value = i == 0 ? id : parent;
        span[n++] = i == 0 ? 0x12 : 0x22;
        span[n++] = 8;
        memset(span + n, value, 8);
        n += 8;
    }
    span[n++] = 0x2a;
    span[n++] = 5;
    memcpy(span + n, name, 5);
    n += 5;
    for (i = 0; i < 2; i++) {
        span[n++] = i == 0 ? 0x39 : 0x41;
        memset(span + n, (int)(i + 1), 8);
        n += 8;
    }
    out[0] = 0x0a;
    out[1] = (unsigned char)(n + 4);
    out[2] = 0x12;
    out[3] = (unsigned char)(n + 2);
    out[4] = 0x12;
    out[5] = (unsigned char)n;
    memcpy(out + 6, span, n);
    return n + 6;
}

CASE(a_trace_goes_when_its_root_has_come)
{
    mlflow_tracer_t *tracer = check_memory_tracer();
    unsigned char request[160];
    uint64_t accepted = 0;
    mlflow_text_t *json;
    size_t size = request_of(request, 2, 1, "child");

    CHECK_OK(mlflow_tracer_submit_otlp(tracer, request, size, &accepted, NULL));
    CHECK(accepted == 1);
    size = request_of(request, 1, 0, "theLd");
    CHECK_OK(mlflow_tracer_submit_otlp(tracer, request, size, NULL, NULL));
    json = check_only_trace(tracer);
    CHECK_CONTAINS(mlflow_text_get(json).ptr, "child");
    CHECK_CONTAINS(mlflow_text_get(json).ptr, "theLd");
    CHECK_CONTAINS(mlflow_text_get(json).ptr, "tr-07070707070707070707070707070707");
    mlflow_text_free(json);
    CHECK(check_stat(tracer, "delivered") == 2);
    mlflow_tracer_free(tracer);
}

CASE(a_flush_and_a_shutdown_send_what_waits)
{
    mlflow_tracer_t *tracer = check_memory_tracer();
    unsigned char request[160];
    mlflow_text_t *json;
    size_t size = request_of(request, 2, 1, "flush");

    CHECK_OK(mlflow_tracer_submit_otlp(tracer, request, size, NULL, NULL));
    json = check_only_trace(tracer);
    CHECK_CONTAINS(mlflow_text_get(json).ptr, "flush");
    mlflow_text_free(json);
    size = request_of(request, 3, 1, "close");
    CHECK_OK(mlflow_tracer_submit_otlp(tracer, request, size, NULL, NULL));
    CHECK_OK(mlflow_tracer_shutdown(tracer, 60000, NULL, NULL));
    CHECK(check_stat(tracer, "delivered") == 2);
    CHECK_STATUS(mlflow_tracer_submit_otlp(tracer, request, size, NULL, NULL),
                 MLFLOW_ERROR_INVALID_STATE);
    mlflow_tracer_free(tracer);
}

CASE(redaction_applies)
{
    mlflow_config_t *config = check_config("exporter", "memory");
    mlflow_tracer_t *tracer = NULL;
    /* A root whose inputs are "a secret". */
    unsigned char request[256];
    unsigned char inputs[40];
    size_t size = request_of(request, 1, 0, "root!");
    mlflow_text_t *json;

    CHECK_OK(mlflow_config_set(config, MLFLOW_STR("redact.patterns"), MLFLOW_STR("secret"), NULL));
    CHECK_OK(mlflow_tracer_new(config, &tracer, NULL));
    mlflow_config_free(config);
    memcpy(inputs,
           "\x4a\x1f\x0a\x11mlflow.spanInputs\x12\x0a\x0a\x08"
           "a secret",
           33);
    memcpy(request + size, inputs, 33);
    request[1] = (unsigned char)(request[1] + 33);
    request[3] = (unsigned char)(request[3] + 33);
    request[5] = (unsigned char)(request[5] + 33);
    CHECK_OK(mlflow_tracer_submit_otlp(tracer, request, size + 33, NULL, NULL));
    json = check_only_trace(tracer);
    CHECK_CONTAINS(mlflow_text_get(json).ptr, "[redacted]");
    CHECK(strstr(mlflow_text_get(json).ptr, "secret") == NULL);
    mlflow_text_free(json);
    mlflow_tracer_free(tracer);
}

CASE(what_is_no_request_is_refused)
{
    mlflow_tracer_t *tracer = check_memory_tracer();
    unsigned char request[160];
    uint64_t accepted = 7;
    size_t size = request_of(request, 1, 0, "whole");
    size_t end;

    for (end = 1; end < size; end++) {
        CHECK_STATUS(mlflow_tracer_submit_otlp(tracer, request, end, &accepted, NULL),
                     MLFLOW_ERROR_INVALID_ARGUMENT);
    }
    CHECK_STATUS(mlflow_tracer_submit_otlp(tracer, "{}", 2, &accepted, NULL),
                 MLFLOW_ERROR_INVALID_ARGUMENT);
    CHECK(accepted == 7 && check_stat(tracer, "created") == 0);
    CHECK_OK(mlflow_tracer_submit_otlp(tracer, NULL, 0, &accepted, NULL));
    CHECK(accepted == 0);
    size = request_of(request, 0, 0, "no id");
    CHECK_STATUS(mlflow_tracer_submit_otlp(tracer, request, size, NULL, NULL),
                 MLFLOW_ERROR_REJECTED);
    mlflow_tracer_free(tracer);
}

CASE(links_name_other_spans)
{
    mlflow_tracer_t *tracer = check_memory_tracer();
    mlflow_span_t other = check_start(tracer, "other");
    mlflow_span_t span = check_start(tracer, "linked");
    const mlflow_attribute_t kind = mlflow_attribute_str(MLFLOW_STR("kind"), MLFLOW_STR("retry"));
    const char *traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    char trace_id[MLFLOW_TRACE_ID_CAPACITY];
    char span_id[MLFLOW_SPAN_ID_CAPACITY];
    mlflow_text_t *json;

    CHECK_OK(mlflow_span_get_trace_id(other, trace_id, sizeof trace_id, NULL, NULL));
    CHECK_OK(mlflow_span_get_span_id(other, span_id, sizeof span_id, NULL, NULL));
    CHECK_OK(mlflow_span_add_link(span, mlflow_str(trace_id), mlflow_str(span_id), &kind, 1, NULL));
    CHECK_OK(mlflow_span_add_link(span, mlflow_str_n(traceparent + 3, 32),
                                  mlflow_str_n(traceparent + 36, 16), NULL, 0, NULL));
    CHECK_STATUS(mlflow_span_add_link(span, MLFLOW_STR("tr-1"), mlflow_str(span_id), NULL, 0, NULL),
                 MLFLOW_ERROR_INVALID_ARGUMENT);
    CHECK_STATUS(mlflow_span_add_link(span, mlflow_str(trace_id), MLFLOW_STR("0000000000000000"),
                                      NULL, 0, NULL),
                 MLFLOW_ERROR_INVALID_ARGUMENT);
    CHECK_OK(mlflow_span_end(span, NULL));
    json = check_only_trace(tracer);
    CHECK_CONTAINS(mlflow_text_get(json).ptr, "links");
    CHECK_CONTAINS(mlflow_text_get(json).ptr, trace_id);
    CHECK_CONTAINS(mlflow_text_get(json).ptr, "retry");
    CHECK_CONTAINS(mlflow_text_get(json).ptr, "0af7651916cd43dd8448eb211c80319c");
    mlflow_text_free(json);
    mlflow_tracer_free(tracer);
}

int main(void)
{
    RUN(a_trace_goes_when_its_root_has_come);
    RUN(a_flush_and_a_shutdown_send_what_waits);
    RUN(redaction_applies);
    RUN(what_is_no_request_is_refused);
    RUN(links_name_other_spans);
    return DONE();
}
