// The current span of a thread.

#include "check.hpp"

#include <stdexcept>
#include <thread>

// Code in the middle of a program, which is handed no tracer.
static int rank()
{
    return mlflow::traced("rank", [](mlflow::Span &span) {
        span.set_attribute("found", 3);
        return 3;
    });
}

CASE(traced_calls_nest_by_themselves)
{
    mlflow::Tracer tracer = memory_tracer();
    const int found = mlflow::traced(tracer, "answer", [&] {
        return mlflow::traced(tracer, "search", [](mlflow::Span &search) {
            CHECK(mlflow_span_get_current().id == search.get().id);
            CHECK(mlflow::active_trace_id() == search.trace_id());
            return rank();
        });
    });
    CHECK(found == 3);
    CHECK(mlflow_span_get_current().id == 0 && mlflow::active_trace_id().empty());
    const std::string json = trace_of(tracer); // one trace
    for (const char *name : {"answer", "search", "rank", "found"}) {
        CHECK_IN(json, name);
    }
    CHECK(json.find(mlflow::last_trace_id()) != std::string::npos);
    CHECK(tracer.stat("delivered") == 3);
}

CASE(outside_of_any_span_traced_only_calls)
{
    CHECK(rank() == 3);
    int called = 0;
    mlflow::traced("nobody", [&](mlflow::Span &span) { called += span ? 0 : 1; });
    CHECK(called == 1);
}

CASE(scopes_end_with_the_block_and_by_exceptions)
{
    mlflow::Tracer tracer = memory_tracer();
    mlflow::Span root = tracer.start_span("root");
    {
        const mlflow::Scope scope(root);
        mlflow::Span child = tracer.start_child("child");
        CHECK(child.trace_id() == root.trace_id());
        try {
            mlflow::traced("throws", [] { throw std::runtime_error("no index"); });
        } catch (const std::runtime_error &) {
            CHECK(mlflow_span_get_current().id == root.get().id);
        }
        std::thread([&] {
            CHECK(mlflow_span_get_current().id == 0);
            const mlflow::Scope here(root);
            mlflow::traced("thread", [] {});
        }).join();
    }
    CHECK(mlflow_span_get_current().id == 0);
    CHECK(tracer.start_child("alone").trace_id() != root.trace_id());
    root.add_link(root.trace_id(), root.span_id(), {{"to", "itself"}});
    CHECK(root.is_recording() && root.status() == MLFLOW_OK);
    root.end();
    CHECK(!root.is_recording());
    CHECK(tracer.flush(std::chrono::seconds(60)) == 0);
    CHECK(tracer.stat("delivered") == 5);
    CHECK_IN(*tracer.next_trace(), "alone");
    const std::string json = *tracer.next_trace();
    CHECK_IN(json, "no index");
    CHECK_IN(json, "thread");
    CHECK_IN(json, "itself");
}

CASE(scopes_of_no_span_change_nothing)
{
    mlflow::Tracer tracer = memory_tracer();
    mlflow::Span root = tracer.start_span("root");
    const mlflow::Scope outer(root);
    {
        const mlflow::Span none;
        const mlflow::Scope scope(none);
        mlflow::traced("child",
                       [&](mlflow::Span &child) { CHECK(child.trace_id() == root.trace_id()); });
    }
    CHECK(mlflow_span_get_current().id == root.get().id);
}

CASE(batches_of_otlp)
{
    mlflow::Tracer tracer = memory_tracer();
    std::uint64_t accepted = 7;
    CHECK(tracer.submit_otlp("", &accepted) == MLFLOW_OK && accepted == 0);
    CHECK(tracer.submit_otlp("{}") == MLFLOW_ERROR_INVALID_ARGUMENT);
}

int main()
{
    RUN(traced_calls_nest_by_themselves);
    RUN(outside_of_any_span_traced_only_calls);
    RUN(scopes_end_with_the_block_and_by_exceptions);
    RUN(scopes_of_no_span_change_nothing);
    RUN(batches_of_otlp);
    return DONE();
}
