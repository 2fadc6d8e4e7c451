/* What the library reads in requests to model providers and in their replies. */

#include "check.h"

static void asked(const char *dialect, const char *question, const char *text, const char *answer)
{
    mlflow_text_t *json = NULL;
    mlflow_error_t *error = NULL;
    CHECK_OK(mlflow_dialect_ask(mlflow_str(dialect), mlflow_str(question), mlflow_str(text), &json,
                                &error));
    CHECK(error == NULL);
    CHECK_CONTAINS(mlflow_text_get(json).ptr, answer);
    CHECK(mlflow_text_get(json).len == strlen(answer));
    mlflow_text_free(json);
}

static void refused(const char *dialect, const char *question, const char *words)
{
    mlflow_text_t *json = NULL;
    mlflow_error_t *error = NULL;
    CHECK_STATUS(mlflow_dialect_ask(mlflow_str(dialect), mlflow_str(question), MLFLOW_STR("{}"),
                                    &json, &error),
                 MLFLOW_ERROR_INVALID_ARGUMENT);
    CHECK(json == NULL);
    CHECK_CONTAINS(mlflow_error_get_message(error), words);
    mlflow_error_free(error);
}

CASE(requests_and_replies_are_understood)
{
    asked("anthropic", "request",
          "{\"model\": \"claude\", \"tools\": [{\"name\": \"now\", \"input_schema\": {}}]}",
          "{\"model\": \"claude\", \"tools\": [{\"type\": \"function\", \"function\": "
          "{\"name\": \"now\", \"parameters\": {}}}]}");
    asked("openai.chat", "reply", "{\"usage\": {\"prompt_tokens\": 2, \"completion_tokens\": 3}}",
          "{\"usage\": {\"input_tokens\": 2, \"output_tokens\": 3, \"total_tokens\": 5}}");
    asked("ollama", "reply", "{\"error\": \"no such model\"}", "{\"error\": \"no such model\"}");
}

CASE(bodies_of_streams_are_folded)
{
    const char *reply = "{\"choices\": [{\"index\": 0, \"message\": {\"content\": \"Hello\", "
                        "\"role\": \"assistant\"}, \"logprobs\": null}]}";
    asked("openai.chat", "fold",
          "data: {\"choices\": [{\"delta\": {\"content\": \"Hel\"}}]}\r\n\r\n"
          "data: {\"choices\": [{\"index\": 0, \"delta\": {\"content\": \"lo\"}}]}\r\n\r\n"
          "data: [DONE]\r\n\r\n",
          reply);
    asked("openai.chat", "fold",
          "[{\"choices\": [{\"index\": 0, \"delta\": {\"content\": \"Hel\"}}]},\n"
          " {\"choices\": [{\"index\": 0, \"delta\": {\"content\": \"lo\"}}]}]",
          reply);
    asked("ollama", "fold",
          "{\"response\": \"Hel\", \"done\": false}\n{\"response\": \"lo\", \"done\": true}\n",
          "{\"response\": \"Hello\", \"done\": true}");
}

CASE(what_is_not_understood_is_no_error)
{
    asked("gemini", "request", "", "{}");
    asked("gemini", "reply", "no JSON", "{}");
    asked("gemini", "fold", "[1, 2]", "null");
}

CASE(what_does_not_exist_is_refused)
{
    refused("openai", "reply", "openai.chat, openai.responses");
    refused("gemini", "usage", "request, reply, fold");
    refused("gemini", "", "question");
}

int main(void)
{
    RUN(requests_and_replies_are_understood);
    RUN(bodies_of_streams_are_folded);
    RUN(what_is_not_understood_is_no_error);
    RUN(what_does_not_exist_is_refused);
    return DONE();
}
