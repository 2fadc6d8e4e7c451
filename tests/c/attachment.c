/* Content beside a trace. The memory exporter has no artifacts: it shows content as data: URIs. */

#include "check.h"

#define BAD MLFLOW_ERROR_INVALID_ARGUMENT

CASE(an_attachment_is_stored_under_its_uri)
{
    mlflow_tracer_t *tracer = check_memory_tracer();
    mlflow_span_t root = check_start(tracer, "root");
    mlflow_span_t span = check_child(tracer, "child", root);
    char bytes[4] = {'\x89', 'P', '\0', 'G'};
    char uri[MLFLOW_ATTACHMENT_URI_CAPACITY];
    char second[MLFLOW_ATTACHMENT_URI_CAPACITY];
    char trace_id[MLFLOW_TRACE_ID_CAPACITY];
    mlflow_attribute_t field;
    size_t length = 0;
    mlflow_text_t *json;

    CHECK_OK(mlflow_span_attach(span, MLFLOW_STR("image/png"), bytes, sizeof bytes, uri, sizeof uri,
                                &length, NULL));
    CHECK(strlen(uri) == length);
    CHECK(strncmp(uri, "mlflow-attachment://", 20) == 0);
    CHECK_CONTAINS(uri, "?content_type=image%2Fpng&trace_id=");
    CHECK_OK(mlflow_span_get_trace_id(span, trace_id, sizeof trace_id, NULL, NULL));
    CHECK_CONTAINS(uri, trace_id);
    CHECK_CONTAINS(uri, "&size=4");
    CHECK_OK(mlflow_span_attach(span, MLFLOW_STR("image/png"), bytes, sizeof bytes, second,
                                sizeof second, NULL, NULL));
    CHECK(strcmp(uri, second) != 0);
    memset(bytes, 'x', sizeof bytes); /* the library has its own copy */

    field = mlflow_attribute_str(MLFLOW_STR("image"), mlflow_str(uri));
    CHECK_OK(mlflow_span_set_inputs_fields(span, &field, 1, NULL));
    CHECK_OK(mlflow_span_end(span, NULL));
    CHECK_OK(mlflow_span_end(root, NULL));
    json = check_only_trace(tracer);
    CHECK_CONTAINS(mlflow_text_get(json).ptr, "data:image/png;base64,iVAARw==");
    CHECK(strstr(mlflow_text_get(json).ptr, "mlflow-attachment") == NULL);
    mlflow_text_free(json);
    mlflow_tracer_free(tracer);
}

CASE(what_no_span_refers_to_is_left_out)
{
    mlflow_tracer_t *tracer = check_memory_tracer();
    mlflow_span_t span = check_start(tracer, "root");
    char uri[MLFLOW_ATTACHMENT_URI_CAPACITY];
    mlflow_text_t *json;

    CHECK_OK(
        mlflow_span_attach(span, MLFLOW_STR("text/plain"), "abc", 3, uri, sizeof uri, NULL, NULL));
    CHECK_OK(mlflow_span_end(span, NULL));
    json = check_only_trace(tracer);
    CHECK(strstr(mlflow_text_get(json).ptr, "YWJj") == NULL);
    mlflow_text_free(json);
    mlflow_tracer_free(tracer);
}

CASE(the_length_can_be_asked_for)
{
    mlflow_tracer_t *tracer = check_memory_tracer();
    mlflow_span_t span = check_start(tracer, "root");
    char *buffer;
    char longest[255];
    char uri[MLFLOW_ATTACHMENT_URI_CAPACITY];
    size_t length = 0;
    size_t again = 0;

    CHECK_STATUS(
        mlflow_span_attach(span, MLFLOW_STR("audio/wav"), "abc", 3, NULL, 0, &length, NULL),
        MLFLOW_ERROR_BUFFER_TOO_SMALL);
    CHECK(length > 100);
    buffer = (char *)malloc(length + 1);
    memset(buffer, '#', length + 1);
    CHECK_STATUS(
        mlflow_span_attach(span, MLFLOW_STR("audio/wav"), "abc", 3, buffer, length, &again, NULL),
        MLFLOW_ERROR_BUFFER_TOO_SMALL);
    CHECK(again == length && buffer[0] == '#');
    CHECK_OK(mlflow_span_attach(span, MLFLOW_STR("audio/wav"), "abc", 3, buffer, length + 1, &again,
                                NULL));
    CHECK(again == length && strlen(buffer) == length);
    free(buffer);

    memset(longest, '!', sizeof longest); /* three characters each in a URI */
    CHECK_OK(mlflow_span_attach(span, mlflow_str_n(longest, sizeof longest), "abc", 3, uri,
                                sizeof uri, NULL, NULL));
    CHECK_OK(mlflow_span_end(span, NULL));
    mlflow_tracer_free(tracer);
}

CASE(content_of_no_bytes_and_of_many)
{
    mlflow_tracer_t *tracer = check_memory_tracer();
    mlflow_span_t span = check_start(tracer, "root");
    const size_t size = 3 << 20;
    char *bytes = (char *)malloc(size);
    char uri[MLFLOW_ATTACHMENT_URI_CAPACITY];
    mlflow_text_t *json;

    CHECK_OK(mlflow_span_attach(span, MLFLOW_STR("a/b"), NULL, 0, uri, sizeof uri, NULL, NULL));
    CHECK_CONTAINS(uri, "&size=0");
    CHECK_OK(mlflow_span_set_inputs_str(span, mlflow_str(uri), NULL));
    memset(bytes, 0, size);
    CHECK_OK(mlflow_span_attach(span, MLFLOW_STR("a/b"), bytes, size, uri, sizeof uri, NULL, NULL));
    free(bytes);
    CHECK_OK(mlflow_span_set_outputs_str(span, mlflow_str(uri), NULL));
    CHECK_OK(mlflow_span_end(span, NULL));
    json = check_only_trace(tracer);
    CHECK(mlflow_text_get(json).len > size / 3 * 4);
    CHECK(strstr(mlflow_text_get(json).ptr, "mlflow-attachment") == NULL);
    mlflow_text_free(json);
    mlflow_tracer_free(tracer);
}

CASE(arguments_are_checked)
{
    mlflow_tracer_t *tracer = check_memory_tracer();
    mlflow_span_t span = check_start(tracer, "root");
    mlflow_str_t type = MLFLOW_STR("a/b");
    char uri[MLFLOW_ATTACHMENT_URI_CAPACITY] = "untouched";
    size_t length = 7;
    mlflow_error_t *error = NULL;

    CHECK_STATUS(mlflow_span_attach(span, mlflow_str(NULL), "x", 1, uri, sizeof uri, &length, NULL),
                 BAD);
    CHECK_STATUS(
        mlflow_span_attach(span, mlflow_str_n(NULL, 3), "x", 1, uri, sizeof uri, &length, NULL),
        BAD);
    CHECK_STATUS(
        mlflow_span_attach(span, MLFLOW_STR("a\xff"), "x", 1, uri, sizeof uri, &length, NULL), BAD);
    CHECK_STATUS(mlflow_span_attach(span, type, NULL, 1, uri, sizeof uri, &length, &error), BAD);
    CHECK_CONTAINS(mlflow_error_get_message(error), "bytes");
    mlflow_error_free(error);
    CHECK_STATUS(mlflow_span_attach(span, type, "x", SIZE_MAX, uri, sizeof uri, &length, NULL),
                 BAD);
    CHECK_STATUS(mlflow_span_attach(span, type, "x", 1, NULL, 64, &length, NULL), BAD);
    CHECK_STATUS(mlflow_span_attach(span, type, "x", 1, uri, SIZE_MAX, &length, NULL), BAD);
    CHECK(strcmp(uri, "untouched") == 0 && length == 7);
    CHECK_OK(mlflow_span_end(span, NULL));
    CHECK_STATUS(mlflow_span_attach(span, type, "x", 1, uri, sizeof uri, &length, NULL),
                 MLFLOW_ERROR_INVALID_STATE);
    CHECK(strcmp(uri, "untouched") == 0 && length == 7);
    mlflow_tracer_free(tracer);
}

CASE(unsampled_traces_take_attachments_without_effect)
{
    mlflow_config_t *config = check_config("sampling.ratio", "0");
    mlflow_tracer_t *tracer = NULL;
    mlflow_span_t span;
    char uri[MLFLOW_ATTACHMENT_URI_CAPACITY];

    CHECK_OK(mlflow_tracer_new(config, &tracer, NULL));
    mlflow_config_free(config);
    span = check_start(tracer, "unsampled");
    CHECK_OK(mlflow_span_attach(span, MLFLOW_STR("a/b"), "x", 1, uri, sizeof uri, NULL, NULL));
    CHECK(strncmp(uri, "mlflow-attachment://", 20) == 0);
    CHECK_OK(mlflow_span_end(span, NULL));
    mlflow_tracer_free(tracer);
}

int main(void)
{
    RUN(an_attachment_is_stored_under_its_uri);
    RUN(what_no_span_refers_to_is_left_out);
    RUN(the_length_can_be_asked_for);
    RUN(content_of_no_bytes_and_of_many);
    RUN(arguments_are_checked);
    RUN(unsampled_traces_take_attachments_without_effect);
    return DONE();
}
