// Exceptions: recorded where they can be seen, and never stopped.

#include "check.hpp"

#include <stdexcept>

namespace {

struct Wrong : std::runtime_error {
    using std::runtime_error::runtime_error;
};

struct Bare {
    int number;
};

template <typename Exception, typename Body> bool throws(Body body)
{
    try {
        body();
    } catch (const Exception &) {
        return true;
    } catch (...) {
    }
    return false;
}

} // namespace

CASE(traced_records_type_and_message_and_rethrows)
{
    mlflow::Tracer tracer = memory_tracer();
    CHECK(
        throws<Wrong>([&] { mlflow::traced(tracer, "fails", [] { throw Wrong("disk full"); }); }));
    const std::string json = trace_of(tracer);
    CHECK_IN(json, "Wrong: disk full");
    CHECK_IN(json, "exception.message");
    CHECK_IN(json, "\"ERROR\"");
}

CASE(traced_names_what_is_no_std_exception)
{
    mlflow::Tracer tracer = memory_tracer();
    CHECK(throws<Bare>([&] { mlflow::traced(tracer, "fails", [] { throw Bare{1}; }); }));
    CHECK_IN(trace_of(tracer), "Bare");
}

CASE(traced_passes_values_and_references)
{
    mlflow::Tracer tracer = memory_tracer();
    int number = 1;
    int &same = mlflow::traced(tracer, "reference", [&]() -> int & { return number; });
    CHECK(&same == &number);
    auto owner = mlflow::traced(tracer, "move-only", [] { return std::make_unique<int>(2); });
    CHECK(*owner == 2);
    mlflow::traced(tracer, "parent", [](mlflow::Span &span) {
        mlflow::traced(span, "child", [](mlflow::Span &child) { child.set_type("TOOL"); });
    });
    CHECK(tracer.flush(std::chrono::seconds(60)) == 0);
    CHECK(tracer.stat("delivered") == 4);
}

CASE(unwinding_marks_a_span)
{
    mlflow::Tracer tracer = memory_tracer();
    CHECK(throws<Wrong>([&] {
        mlflow::Span span = tracer.start_span("unwound");
        throw Wrong("unseen");
    }));
    const std::string json = trace_of(tracer);
    CHECK_IN(json, "\"ERROR\"");
    CHECK_IN(json, "ended by an exception");
}

CASE(a_status_of_ones_own_survives_unwinding)
{
    mlflow::Tracer tracer = memory_tracer();
    CHECK(throws<Wrong>([&] {
        mlflow::Span span = tracer.start_span("explained");
        span.set_status(MLFLOW_SPAN_STATUS_ERROR, "out of paper");
        throw Wrong("unseen");
    }));
    const std::string json = trace_of(tracer);
    CHECK_IN(json, "out of paper");
    CHECK(json.find("ended by an exception") == std::string::npos);
}

CASE(a_span_inside_a_destructor_during_unwinding_is_fine)
{
    struct Cleanup {
        mlflow::Tracer &tracer;
        ~Cleanup()
        {
            tracer.start_span("cleanup").set_outputs("done");
        }
    };
    mlflow::Tracer tracer = memory_tracer();
    CHECK(throws<Wrong>([&] {
        Cleanup cleanup{tracer};
        throw Wrong("unrelated");
    }));
    const std::string json = trace_of(tracer);
    CHECK_IN(json, "\"cleanup\"");
    CHECK(json.find("\"ERROR\"") == std::string::npos);
}

CASE(a_handled_exception_leaves_the_span_alone)
{
    mlflow::Tracer tracer = memory_tracer();
    {
        mlflow::Span span = tracer.start_span("robust");
        CHECK(throws<Wrong>([] { throw Wrong("handled"); }));
    }
    CHECK(trace_of(tracer).find("\"ERROR\"") == std::string::npos);
}

CASE(a_catch_block_records_for_itself)
{
    mlflow::Tracer tracer = memory_tracer();
    {
        mlflow::Span span = tracer.start_span("caught");
        try {
            throw std::out_of_range("no such shelf");
        } catch (const std::exception &exception) {
            span.record_exception(exception);
        }
    }
    CHECK_IN(trace_of(tracer), "std::out_of_range: no such shelf");
}

int main()
{
    RUN(traced_records_type_and_message_and_rethrows);
    RUN(traced_names_what_is_no_std_exception);
    RUN(traced_passes_values_and_references);
    RUN(unwinding_marks_a_span);
    RUN(a_status_of_ones_own_survives_unwinding);
    RUN(a_span_inside_a_destructor_during_unwinding_is_fine);
    RUN(a_handled_exception_leaves_the_span_alone);
    RUN(a_catch_block_records_for_itself);
    return DONE();
}
