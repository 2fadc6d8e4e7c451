// The retrieval service: `GET /search?q=words&limit=8` ranks the passages of a file with BM25.
//
// It listens on a free loopback port and prints its address first. SIGTERM finishes the request in
// hand, flushes the spans and ends the process.
#include "http.hpp"
#include "index.hpp"

#include <mlflow_trace.hpp>

#include <chrono>
#include <iostream>

namespace {

using demo::array;
using demo::Hit;
using demo::Passage;
using demo::quoted;
using demo::Request;
using demo::Response;
using mlflow::json;

constexpr std::size_t default_limit = 8;
constexpr std::size_t max_limit = 50;
constexpr std::chrono::seconds flush_timeout{5};

std::string field(const std::map<std::string, std::string> &fields, const std::string &name)
{
    auto found = fields.find(name);
    return found == fields.end() ? "" : found->second;
}

std::size_t parse_limit(const std::string &text)
{
    std::size_t limit = default_limit;
    if (!text.empty() && text.size() < 6 &&
        text.find_first_not_of("0123456789") == std::string::npos)
        limit = std::stoul(text);
    return std::min(limit, max_limit);
}

std::string number(double value)
{
    char text[32];
    std::snprintf(text, sizeof text, "%.4f", value);
    return text;
}

class Retrieval {
public:
    Retrieval(const std::string &path, mlflow::Tracer &tracer) : index_(path), tracer_(tracer)
    {
    }

    Response handle(const Request &request)
    {
        if (request.method != "GET" || request.path != "/search")
            return {404, "{\"error\": \"not found\"}"};
        const std::string query = field(request.query, "q");
        if (query.empty())
            return {400, "{\"error\": \"q is missing\"}"};
        mlflow::SpanOptions options;
        options.type = "RETRIEVER";
        const std::string traceparent = field(request.headers, "traceparent");
        const std::string tracestate = field(request.headers, "tracestate");
        options.traceparent = traceparent;
        options.tracestate = tracestate;
        mlflow::Span span = tracer_.start_span("GET /search", options);
        span.set_attributes({{"service.name", "retrieval"}, {"service.language", "C++"}});
        try {
            return search(span, query, parse_limit(field(request.query, "limit")));
        } catch (const std::exception &error) {
            span.record_exception(error);
            return {500, "{\"error\": " + quoted(error.what()) + "}"};
        }
    }

private:
    Response search(mlflow::Span &span, const std::string &query, std::size_t limit)
    {
        span.set_inputs({{"query", query}, {"limit", limit}});
        const auto tokens = tokenise(span, query);
        const auto hits = score(span, tokens, limit);
        const auto passages = load(span, hits);
        std::string summary = "[";
        std::string body = "{\"hits\": [";
        for (std::size_t i = 0; i < hits.size(); ++i) {
            const std::string separator = i == 0 ? "" : ", ";
            const std::string entry = "{\"id\": " + quoted(passages[i].id) +
                                      ", \"title\": " + quoted(passages[i].title) +
                                      ", \"score\": " + number(hits[i].score);
            summary += separator + entry + "}";
            body += separator + entry + ", \"text\": " + quoted(passages[i].text) + "}";
        }
        summary += "]";
        span.set_outputs(json(summary));
        return {200, body + "]}"};
    }

    std::vector<std::string> tokenise(mlflow::Span &parent, const std::string &query)
    {
        mlflow::Span span = parent.start_child("tokenise", "PARSER");
        span.set_inputs({{"query", query}});
        auto tokens = demo::tokenise(query);
        span.set_outputs(json(array(tokens, quoted)));
        return tokens;
    }

    std::vector<Hit> score(mlflow::Span &parent, const std::vector<std::string> &tokens,
                           std::size_t limit)
    {
        mlflow::Span span = parent.start_child("score", "TOOL");
        span.set_inputs({{"tokens", json(array(tokens, quoted))}, {"passages", index_.size()}});
        auto hits = index_.search(tokens, limit);
        const std::string scores = array(hits, [](const Hit &hit) {
            return "{\"document\": " + std::to_string(hit.document) +
                   ", \"score\": " + number(hit.score) + "}";
        });
        span.set_outputs(json(scores));
        return hits;
    }

    std::vector<Passage> load(mlflow::Span &parent, const std::vector<Hit> &hits)
    {
        mlflow::Span span = parent.start_child("load_passages", "TOOL");
        const std::string documents =
            array(hits, [](const Hit &hit) { return std::to_string(hit.document); });
        span.set_inputs({{"documents", json(documents)}});
        auto passages = index_.load(hits);
        span.set_outputs(json(array(passages, [](const Passage &p) { return quoted(p.id); })));
        return passages;
    }

    demo::PassageIndex index_;
    mlflow::Tracer &tracer_;
};

int run(const std::string &path)
{
    mlflow::Tracer tracer(mlflow::Config::from_env());
    if (!tracer)
        throw std::runtime_error(tracer.error().message);
    Retrieval retrieval(path, tracer);
    demo::HttpServer server(0);
    std::cout << "http://127.0.0.1:" << server.port() << std::endl;
    server.serve([&](const Request &request) { return retrieval.handle(request); });
    const std::uint64_t pending = tracer.flush(flush_timeout);
    while (const auto message = tracer.next_diagnostic())
        std::cerr << *message << "\n";
    std::cout << "pending spans: " << pending << std::endl;
    return 0;
}

} // namespace

int main(int count, char **arguments)
{
    if (count != 2) {
        std::cerr << "usage: retrieval PASSAGES.jsonl\n";
        return 2;
    }
    try {
        return run(arguments[1]);
    } catch (const std::exception &error) {
        std::cerr << "retrieval: " << error.what() << "\n";
        return 1;
    }
}
