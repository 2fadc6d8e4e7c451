// The layer without exceptions and without run-time types.

#include "check.hpp"

#if defined(__cpp_exceptions) || defined(__cpp_rtti)
#error "compile this with -fno-exceptions -fno-rtti"
#endif

CASE(everything_works_without_exceptions)
{
    mlflow::Tracer tracer = memory_tracer();
    const int five = mlflow::traced(tracer, "bare", [](mlflow::Span &span) {
        span.set_inputs({{"a", 1}}).record_exception(std::exception());
        return 5;
    });
    CHECK(five == 5);
    CHECK_IN(trace_of(tracer), "std::exception: ");
    CHECK(!mlflow::Tracer(mlflow::Config().set("exporter", "teapot")));
}

CASE(a_processor_fails_without_exceptions)
{
    mlflow::Tracer tracer(
        mlflow::Config()
            .set("exporter", "memory")
            .add_processor([](mlflow::Span &span, mlflow::Moment) { span.set_attribute("a", 1); })
            .add_processor([](mlflow::Span &, mlflow::Moment) { return false; }));
    tracer.start_span("confidential").set_inputs("a secret").end();
    CHECK_IN(trace_of(tracer), "[redaction failed]");
}

int main()
{
    RUN(everything_works_without_exceptions);
    RUN(a_processor_fails_without_exceptions);
    return DONE();
}
