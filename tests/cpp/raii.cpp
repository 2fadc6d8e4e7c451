// Owners: what they own, how they move, when they end.

#include "check.hpp"

#include <thread>
#include <type_traits>
#include <vector>

static_assert(!std::is_copy_constructible_v<mlflow::Span> &&
              !std::is_copy_assignable_v<mlflow::Span>);
static_assert(std::is_nothrow_move_constructible_v<mlflow::Span>);
static_assert(std::is_nothrow_move_assignable_v<mlflow::Span>);
static_assert(!std::is_copy_constructible_v<mlflow::Tracer>);
static_assert(std::is_nothrow_move_constructible_v<mlflow::Tracer>);
static_assert(!std::is_copy_constructible_v<mlflow::Config>);
static_assert(std::is_move_constructible_v<mlflow::Config>);

CASE(a_scope_is_a_span)
{
    mlflow::Tracer tracer = memory_tracer();
    {
        mlflow::Span root = tracer.start_span("root", {"AGENT"});
        CHECK(root);
        mlflow::Span child = root.start_child("child", "TOOL");
        CHECK(tracer.stat("pending") == 2);
        CHECK(root.trace_id() == child.trace_id());
        CHECK(root.span_id() != child.span_id());
    }
    const std::string json = trace_of(tracer);
    CHECK_IN(json, "AGENT");
    CHECK_IN(json, "TOOL");
    CHECK(tracer.stat("delivered") == 2);
    CHECK_IN(tracer.stats(), "\"delivered\":2");
    CHECK_IN(tracer.health(), "\"last_error\":null");
}

CASE(a_call_gives_json_or_an_error)
{
    mlflow::Tracer tracer = memory_tracer();
    std::string id;
    {
        mlflow::Span span = tracer.start_span("called");
        id = span.trace_id();
        const mlflow::Reply tagged =
            tracer.call("set_trace_tag",
                        "{\"trace_id\": \"" + id + "\", \"key\": \"k\", \"value\": \"of a call\"}");
        CHECK(tagged);
        CHECK(tagged.json == "null" && !tagged.error);
    }
    CHECK_IN(trace_of(tracer), "of a call");
    const mlflow::Reply refused = tracer.call("no_such");
    CHECK(!refused);
    CHECK(refused.json.empty() && refused.error.code == MLFLOW_ERROR_INVALID_ARGUMENT);
    CHECK_IN(refused.error.message, "no_such");
    const mlflow::Tracer none(mlflow::Config().set("no.such", "option"));
    CHECK(none.call("search_traces").error.code == MLFLOW_ERROR_INVALID_ARGUMENT);
    CHECK(mlflow::ask("ollama", "reply", "{\"error\": \"away\"}").json == "{\"error\": \"away\"}");
    CHECK(mlflow::ask("none", "reply", "{}").error.code == MLFLOW_ERROR_INVALID_ARGUMENT);
}

CASE(moving_a_span_moves_its_end)
{
    mlflow::Tracer tracer = memory_tracer();
    mlflow::Span kept;
    CHECK(!kept);
    {
        mlflow::Span span = tracer.start_span("moved");
        kept = std::move(span);
    }
    CHECK(kept);
    CHECK(tracer.stat("pending") == 1);
    kept = tracer.start_span("replaced");
    CHECK(tracer.flush(std::chrono::seconds(60)) == 0);
    CHECK(tracer.stat("delivered") == 1);
    std::thread([span = std::move(kept)]() mutable { span.set_name("elsewhere"); }).join();
    CHECK(tracer.flush(std::chrono::seconds(60)) == 0);
    CHECK(tracer.stat("delivered") == 2);
}

CASE(values_of_every_kind)
{
    mlflow::Tracer tracer = memory_tracer();
    const std::string text = "from a std::string";
    {
        mlflow::Span span = tracer.start_span("values");
        span.set_attributes({{"literal", "quoted \""},
                             {"string", text},
                             {"view", std::string_view("seen and unseen", 4)},
                             {"int", -1},
                             {"size", sizeof(int)},
                             {"beyond", UINT64_MAX},
                             {"double", 0.5},
                             {"float", 0.25F},
                             {"yes", true},
                             {"list", mlflow::json("[1, null]")}});
        span.set_attribute("single", 7).set_attribute("flag", false);
        span.set_inputs({{"question", text}, {"limit", 5}}).set_outputs("plain");
        CHECK(span.status() == MLFLOW_OK);
    }
    const std::string json = trace_of(tracer);
    CHECK_IN(json, "\"literal\":\"\\\"quoted \\\\\\\"\\\"\"");
    CHECK_IN(json, "\"view\":\"\\\"seen\\\"\"");
    CHECK_IN(json, "\"int\":\"-1\"");
    CHECK_IN(json, "\"size\":\"4\"");
    CHECK_IN(json, "18446744073709551615");
    CHECK_IN(json, "\"double\":\"0.5\"");
    CHECK_IN(json, "\"float\":\"0.25\"");
    CHECK_IN(json, "\"yes\":\"true\"");
    CHECK_IN(json, "\"list\":\"[1, null]\"");
    CHECK_IN(json, "\"single\":\"7\"");
    CHECK_IN(json, "\"flag\":\"false\"");
    CHECK_IN(json, "{\\\"question\\\": \\\"from a std::string\\\", \\\"limit\\\": 5}");
}

CASE(long_lists)
{
    mlflow::Tracer tracer = memory_tracer();
    {
        mlflow::Span span = tracer.start_span("long");
        span.set_inputs({{"a", 1},
                         {"b", 2},
                         {"c", 3},
                         {"d", 4},
                         {"e", 5},
                         {"f", 6},
                         {"g", 7},
                         {"h", 8},
                         {"i", 9},
                         {"j", 10},
                         {"k", 11},
                         {"l", 12},
                         {"m", 13},
                         {"n", 14},
                         {"o", 15},
                         {"p", 16},
                         {"q", 17},
                         {"r", 18}});
        CHECK(span.status() == MLFLOW_OK);
    }
    CHECK_IN(trace_of(tracer), "\\\"q\\\": 17, \\\"r\\\": 18}");
}

CASE(a_trace_continues_across_processes)
{
    mlflow::Tracer client = memory_tracer();
    mlflow::Tracer server = memory_tracer();
    mlflow::Span request = client.start_span("request");
    const std::string traceparent = request.traceparent();
    CHECK(traceparent.size() == 55);
    CHECK(request.tracestate().empty());
    mlflow::Span handler = server.start_span("handler", {"TOOL", traceparent, "vendor=1"});
    CHECK(handler.trace_id() == request.trace_id());
    CHECK(handler.tracestate() == "vendor=1");
}

CASE(explicit_times)
{
    mlflow::Tracer tracer = memory_tracer();
    const std::chrono::system_clock::time_point start(std::chrono::seconds(1700000000));
    mlflow::Span span = tracer.start_span("timed", {{}, {}, {}, start});
    span.add_event("tick", {}, start + std::chrono::milliseconds(250));
    span.end(start + std::chrono::seconds(1));
    CHECK(!span);
    const std::string json = trace_of(tracer);
    CHECK_IN(json, "1700000000000000000");
    CHECK_IN(json, "1700000000250000000");
    CHECK_IN(json, "1700000001000000000");
}

CASE(attributes_to_begin_with)
{
    mlflow::Tracer tracer = memory_tracer();
    {
        mlflow::Span root = tracer.start_span("root", "AGENT", {{"tenant", "acme"}, {"limit", 5}});
        mlflow::Span child = root.start_child("child", {"TOOL"}, {{"cached", true}});
        CHECK(root.status() == MLFLOW_OK && child.status() == MLFLOW_OK);
        mlflow::Span bad = root.start_child("bad", {}, {{"", 1}});
        CHECK(!bad && bad.status() == MLFLOW_ERROR_INVALID_ARGUMENT);
    }
    const std::string json = trace_of(tracer);
    CHECK_IN(json, "AGENT");
    CHECK_IN(json, "\"tenant\":\"\\\"acme\\\"\"");
    CHECK_IN(json, "\"limit\":\"5\"");
    CHECK_IN(json, "\"cached\":\"true\"");
    CHECK(tracer.stat("delivered") == 2);
}

CASE(a_ratio_for_one_trace)
{
    mlflow::Tracer tracer = memory_tracer();
    mlflow::SpanOptions options;
    options.sampling_ratio = 0.0;
    mlflow::Span span = tracer.start_span("unsampled", options);
    CHECK(span.set_inputs("nobody sees it").status() == MLFLOW_OK);
    CHECK(span.trace_id().empty());
    CHECK(span.traceparent().size() == 55);
    CHECK(span.traceparent().substr(52) == "-02");
    span.end();
    CHECK(span.status() == MLFLOW_OK);
    CHECK(tracer.stat("created") == 0);
    options.sampling_ratio = 2.0;
    CHECK(tracer.start_span("x", options).status() == MLFLOW_ERROR_INVALID_ARGUMENT);
}

CASE(attachments)
{
    mlflow::Tracer tracer = memory_tracer();
    {
        mlflow::Span span = tracer.start_span("attached");
        const std::vector<unsigned char> bytes = {1, 2, 3};
        const std::string uri = span.attach("image/png", bytes.data(), bytes.size());
        CHECK_IN(uri, "mlflow-attachment://");
        CHECK_IN(uri, "&size=3");
        const std::string type(2000, 'x');
        const std::string note = span.attach(type, "abc");
        CHECK(note.size() > type.size());
        span.set_inputs({{"image", uri}, {"note", note}});
        CHECK(span.status() == MLFLOW_OK);
        CHECK(span.attach("", "abc").empty());
        CHECK(span.status() == MLFLOW_ERROR_INVALID_ARGUMENT);
    }
    const std::string json = trace_of(tracer);
    CHECK_IN(json, "data:image/png;base64,AQID");
    CHECK_IN(json, "x;base64,YWJj");
    CHECK(mlflow::Span().attach("a/b", "abc").empty());
}

CASE(failures_are_kept_not_thrown)
{
    mlflow::Config config = mlflow::Config().set("no.such.option", "1").set("exporter", "memory");
    CHECK(!config);
    CHECK(config.error().code == MLFLOW_ERROR_INVALID_CONFIG);
    CHECK_IN(config.error().message, "no.such.option");
    CHECK(config.get("exporter") == "memory");
    CHECK(config.get("no.such.option").empty());

    mlflow::Tracer tracer(config);
    CHECK(!tracer);
    CHECK_IN(tracer.error().message, "no.such.option");

    mlflow::Span span = tracer.start_span("nothing");
    CHECK(!span);
    CHECK(span.status() == MLFLOW_ERROR_INVALID_ARGUMENT);
    CHECK(span.set_inputs({{"a", 1}}).trace_id().empty());
    CHECK(span.traceparent().empty());
    span.start_child("nothing either").end();
    span.end();
    CHECK(tracer.flush(std::chrono::milliseconds(1)) == 0);
    CHECK(tracer.stat("created") == 0);
    CHECK(tracer.stats().empty() && tracer.health().empty());
    CHECK(!tracer.next_trace() && !tracer.next_diagnostic());
    CHECK(mlflow::traced(tracer, "nothing", [] { return 5; }) == 5);
}

CASE(a_span_keeps_its_first_failure)
{
    mlflow::Tracer tracer = memory_tracer();
    mlflow::Span span = tracer.start_span("strict");
    span.set_trace("no such field", "x").set_attribute("", 1).set_name("fine");
    CHECK(span.status() == MLFLOW_ERROR_INVALID_ARGUMENT);
}

CASE(long_options_are_read_whole)
{
    const std::string name(500, 'n');
    CHECK(mlflow::Config().set("service.name", name).get("service.name") == name);
}

CASE(a_span_may_outlive_its_tracer)
{
    mlflow::Span span;
    {
        mlflow::Tracer tracer = memory_tracer();
        span = tracer.start_span("survivor");
    }
    span.set_name("still harmless");
    mlflow::Span child = span.start_child("after the end");
    child.set_name("harmless as well");
}

CASE(a_tracer_delivers_when_it_goes)
{
    mlflow::Tracer tracer = memory_tracer();
    tracer.start_span("one").end();
    tracer = memory_tracer();
    CHECK(tracer.stat("created") == 0);
    CHECK(tracer.shutdown() == 0);
    CHECK(tracer.shutdown(std::chrono::milliseconds(0)) == 0);
}

int main()
{
    RUN(a_scope_is_a_span);
    RUN(a_call_gives_json_or_an_error);
    RUN(moving_a_span_moves_its_end);
    RUN(values_of_every_kind);
    RUN(long_lists);
    RUN(a_trace_continues_across_processes);
    RUN(explicit_times);
    RUN(attributes_to_begin_with);
    RUN(a_ratio_for_one_trace);
    RUN(attachments);
    RUN(failures_are_kept_not_thrown);
    RUN(a_span_keeps_its_first_failure);
    RUN(long_options_are_read_whole);
    RUN(a_span_may_outlive_its_tracer);
    RUN(a_tracer_delivers_when_it_goes);
    return DONE();
}
