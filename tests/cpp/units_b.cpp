#include "mlflow_trace.h"
#include "mlflow_trace.hpp"

std::string record_elsewhere(mlflow::Tracer &tracer)
{
    return mlflow::traced(tracer, "elsewhere", [](mlflow::Span &span) { return span.trace_id(); });
}
