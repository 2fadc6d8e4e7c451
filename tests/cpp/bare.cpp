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

int main()
{
    RUN(everything_works_without_exceptions);
    return DONE();
}
