// The same in C++.

#include <cstdio>
#include <mlflow_trace.hpp>

int main()
{
    mlflow::Tracer tracer(mlflow::Config().set("exporter", "memory"));
    mlflow::traced(tracer, "packaged", [] { mlflow::traced("inner", [] {}); });
    tracer.flush(std::chrono::seconds(10));
    const std::string json = tracer.next_trace().value_or("");
    const bool good =
        json.find("packaged") != std::string::npos && json.find("inner") != std::string::npos;
    std::puts(good ? "good" : "bad");
    return good ? 0 : 1;
}
