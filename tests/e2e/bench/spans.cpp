// What a span costs the thread that records it, in C++; the sink drops everything.
#include <mlflow_trace.hpp>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <string>
#include <vector>

namespace {

constexpr int spans_per_round = 200'000;
constexpr int rounds = 5;
constexpr int children = 10;

void set_attributes(mlflow::Span &span, int number)
{
    span.set_attributes({{"model", "gpt-4o-mini"},
                         {"provider", "openai"},
                         {"region", "europe-west-1"},
                         {"tenant", "customer-00017"},
                         {"endpoint", "/v1/chat/completions"},
                         {"attempt", 1},
                         {"shard", 7},
                         {"limit", 1024},
                         {"offset", number},
                         {"total", 123456789}});
}

template <typename Work> void measure(const char *name, int spans_per_call, Work work)
{
    std::vector<double> costs;
    for (int round = 0; round < rounds; ++round) {
        const auto start = std::chrono::steady_clock::now();
        for (int done = 0; done < spans_per_round; done += spans_per_call) {
            work();
        }
        const std::chrono::duration<double, std::nano> elapsed =
            std::chrono::steady_clock::now() - start;
        costs.push_back(elapsed.count() / spans_per_round);
    }
    std::sort(costs.begin(), costs.end());
    std::printf("C++         %s %8.0f ns\n", name, costs[rounds / 2]);
}

} // namespace

int main()
{
    const mlflow::Tracer tracer(mlflow::Config().set("exporter", "none"));
    const std::string text = "{\"text\": \"" + std::string(1000, 'x') + "\"}";
    measure("W1", 1, [&] { tracer.start_span("root"); });
    measure("W2", children + 1, [&] {
        const mlflow::Span root = tracer.start_span("root");
        for (int i = 0; i < children; ++i) {
            mlflow::Span span = root.start_child("child");
            set_attributes(span, i);
        }
    });
    measure("W3", children + 1, [&] {
        const mlflow::Span root = tracer.start_span("root");
        for (int i = 0; i < children; ++i) {
            mlflow::Span span = root.start_child("child");
            set_attributes(span, i);
            span.set_inputs(mlflow::json(text)).set_outputs(mlflow::json(text));
        }
    });
    return tracer.stat("created") > 0 ? 0 : 1;
}
