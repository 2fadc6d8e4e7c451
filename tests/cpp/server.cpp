// The trace of tests/c/server.c, sent by way of the C++ layer.

#include "mlflow_trace.hpp"

#include <cstdlib>
#include <iostream>
#include <stdexcept>

namespace {

class Overload : public std::runtime_error {
    using std::runtime_error::runtime_error;
};

// Makes a call about the trace and tells whether it went well.
bool say(const mlflow::Tracer &tracer, std::string_view method, const std::string &trace_id,
         const std::string &more)
{
    const std::string arguments = "{\"trace_id\": \"" + trace_id + "\"" + more + "}";
    const mlflow::Reply reply = tracer.call(method, arguments);
    std::cout << reply.json << reply.error.message << '\n';
    return static_cast<bool>(reply);
}

} // namespace

int main(int count, char **arguments)
{
    if (count != 2) {
        return EXIT_FAILURE;
    }
    mlflow::Tracer tracer(mlflow::Config()
                              .set("tracking_uri", std::getenv("MLFLOW_TRACE_TEST_SERVER"))
                              .set("experiment_name", arguments[1])
                              .set("service.name", "native-test"));
    if (!tracer) {
        std::cerr << tracer.error().message << '\n';
        return EXIT_FAILURE;
    }
    std::string trace_id;
    bool said = true;
    {
        mlflow::Span root = tracer.start_span("answer", "AGENT");
        trace_id = root.trace_id();
        root.set_inputs({{"question", "who said \"h\u00e9llo\"?"}, {"limit", 2}})
            .set_trace_tag("suite", "native")
            .set_trace_metadata("build", "7")
            .set_trace("session_id", "session-1")
            .set_trace("user", "ada");
        {
            mlflow::Span search = root.start_child("search", "RETRIEVER");
            search.set_attributes(
                {{"score", 0.5}, {"cached", false}, {"shards", mlflow::json("[1, 2]")}});
            search.set_outputs(mlflow::json("[{\"id\": 1}]"));
        }
        try {
            mlflow::traced(root, "model", [](mlflow::Span &model) {
                model.set_type("LLM").add_event("token", {{"text", "he"}});
                throw Overload("too many");
            });
        } catch (const Overload &) {
            root.set_outputs("nobody");
        }
        said &= say(tracer, "log_assessment", trace_id,
                    R"(, "assessment": {"assessment_name": "early", "feedback": {"value": true}})");
        if (root.status() != MLFLOW_OK) {
            return EXIT_FAILURE;
        }
    }
    said &= say(tracer, "get_trace", trace_id, "");
    const std::uint64_t pending = tracer.shutdown(std::chrono::seconds(60));
    said &= say(tracer, "set_trace_tag", trace_id, R"(, "key": "late", "value": "yes")");
    said &=
        say(tracer, "log_assessment", trace_id,
            R"(, "assessment": {"assessment_name": "late", "expectation": {"value": "somebody"}})");
    while (const auto message = tracer.next_diagnostic()) {
        std::cout << *message << '\n';
    }
    std::cout << "trace " << trace_id << '\n';
    return said && pending == 0 && tracer.stat("delivered") == 3 ? EXIT_SUCCESS : EXIT_FAILURE;
}
