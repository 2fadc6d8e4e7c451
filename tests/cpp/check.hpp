// The harness of tests/c/check.h for C++.

#ifndef MLFLOW_TRACE_TESTS_CHECK_HPP
#define MLFLOW_TRACE_TESTS_CHECK_HPP

#include "../c/check.h"
#include "mlflow_trace.hpp"

// A tracer that keeps its traces in memory.
inline mlflow::Tracer memory_tracer()
{
    return mlflow::Tracer(mlflow::Config().set("exporter", "memory"));
}

// The oldest trace in memory as JSON; empty where there is none.
inline std::string trace_of(const mlflow::Tracer &tracer)
{
    CHECK(tracer.flush(std::chrono::seconds(60)) == 0);
    return tracer.next_trace().value_or("");
}

// CHECK_CONTAINS for a std::string, which may be a temporary.
#define CHECK_IN(text, fragment)                                                                   \
    do {                                                                                           \
        const std::string check_owner = (text);                                                    \
        CHECK_CONTAINS(check_owner.c_str(), fragment);                                             \
    } while (0)

#endif
