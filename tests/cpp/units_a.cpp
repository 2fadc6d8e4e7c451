// Both headers in two translation units of one program.

#include "check.hpp"

std::string record_elsewhere(mlflow::Tracer &tracer);

CASE(two_units_share_one_tracer)
{
    mlflow::Tracer tracer = memory_tracer();
    const std::string elsewhere = record_elsewhere(tracer);
    mlflow::traced(tracer, "here", [] {});
    CHECK(elsewhere.size() == 35);
    CHECK(tracer.flush(std::chrono::seconds(60)) == 0);
    CHECK(tracer.stat("delivered") == 2);
}

int main()
{
    RUN(two_units_share_one_tracer);
    return DONE();
}
