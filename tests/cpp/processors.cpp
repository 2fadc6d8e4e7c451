// Span processors in C++: callables of any kind, exceptions, and when they are destroyed.

#include "check.hpp"

#include <atomic>
#include <stdexcept>
#include <thread>
#include <vector>

namespace {

mlflow::Config memory_config()
{
    return mlflow::Config().set("exporter", "memory");
}

// Counts its copies that are alive.
struct Counted {
    std::shared_ptr<std::atomic<int>> alive;

    explicit Counted(std::shared_ptr<std::atomic<int>> count) : alive(std::move(count))
    {
        ++*alive;
    }

    Counted(const Counted &other) : alive(other.alive)
    {
        ++*alive;
    }

    Counted &operator=(const Counted &) = delete;

    ~Counted()
    {
        --*alive;
    }
};

} // namespace

CASE(a_lambda_sees_every_span)
{
    std::vector<mlflow::Moment> moments;
    mlflow::Config config = memory_config();
    config.add_processor([&](mlflow::Span &span, mlflow::Moment moment) {
        moments.push_back(moment);
        if (moment == mlflow::Moment::end) {
            span.set_attribute("region", "eu-1").set_trace_tag("tier", "gold");
        }
    });
    mlflow::Tracer tracer(config);
    tracer.start_span("seen").end();
    CHECK((moments == std::vector{mlflow::Moment::start, mlflow::Moment::end}));
    const std::string json = trace_of(tracer);
    CHECK_IN(json, "eu-1");
    CHECK_IN(json, "\"tier\":\"gold\"");
    CHECK(tracer.stat("redaction_failed") == 0);
}

CASE(a_processor_does_not_end_what_it_sees)
{
    mlflow::Config config = memory_config();
    config.add_processor([](mlflow::Span &span, mlflow::Moment) { CHECK(span); });
    mlflow::Tracer tracer(config);
    mlflow::Span span = tracer.start_span("live");
    CHECK(tracer.stat("pending") == 1 && span.set_name("still live").status() == MLFLOW_OK);
    span.end();
    CHECK(span.status() == MLFLOW_OK);
    CHECK_IN(trace_of(tracer), "still live");
}

CASE(an_exception_withholds_the_content)
{
    mlflow::Tracer tracer(memory_config().add_processor([](mlflow::Span &, mlflow::Moment moment) {
        if (moment == mlflow::Moment::end) {
            throw std::runtime_error("cannot mask this");
        }
    }));
    tracer.start_span("confidential").set_inputs("a secret").end();
    const std::string json = trace_of(tracer);
    CHECK_IN(json, "[redaction failed]");
    CHECK(json.find("secret") == std::string::npos);
    CHECK(tracer.stat("redaction_failed") == 1);
    CHECK_IN(tracer.stats(), "\"redaction_failed\":1");
}

CASE(what_is_no_std_exception_fails_as_well)
{
    mlflow::Tracer tracer(
        memory_config().add_processor([](mlflow::Span &, mlflow::Moment) { throw 7; }));
    tracer.start_span("confidential").set_inputs("a secret").end();
    CHECK_IN(trace_of(tracer), "[redaction failed]");
}

CASE(a_function_answers_whether_it_succeeded)
{
    const mlflow::Processor refuse = [](mlflow::Span &, mlflow::Moment moment) {
        return moment == mlflow::Moment::start;
    };
    mlflow::Tracer tracer(memory_config().add_processor(refuse));
    tracer.start_span("confidential").set_inputs("a secret").end();
    CHECK_IN(trace_of(tracer), "[redaction failed]");
}

CASE(an_empty_function_is_refused)
{
    mlflow::Config config = memory_config();
    config.add_processor(mlflow::Processor());
    CHECK(!config);
    CHECK(config.error().code == MLFLOW_ERROR_INVALID_ARGUMENT);
    CHECK_IN(config.error().message, "processor");
}

CASE(a_processor_is_destroyed_with_its_last_owner)
{
    const auto alive = std::make_shared<std::atomic<int>>(0);
    mlflow::Span open;
    {
        std::optional<mlflow::Config> config(memory_config());
        config->add_processor([counted = Counted(alive)](mlflow::Span &, mlflow::Moment) {
            CHECK(*counted.alive == 1);
        });
        CHECK(*alive == 1);
        mlflow::Tracer tracer(*config);
        config.reset();
        CHECK(*alive == 1);
        tracer.start_span("one").end();
    }
    CHECK(*alive == 0);
    // A span keeps its tracer, for its children.
    {
        mlflow::Tracer tracer(memory_config().add_processor(
            [counted = Counted(alive)](mlflow::Span &, mlflow::Moment) {}));
        open = tracer.start_span("open");
    }
    CHECK(*alive == 1);
    open = mlflow::Span();
    CHECK(*alive == 0);
    memory_config().add_processor([counted = Counted(alive)](mlflow::Span &, mlflow::Moment) {});
    CHECK(*alive == 0);
}

CASE(one_processor_on_many_threads)
{
    std::atomic<int> calls{0};
    mlflow::Tracer tracer(memory_config().add_processor([&](mlflow::Span &span, mlflow::Moment) {
        ++calls;
        span.set_attribute("call", calls.load());
    }));
    std::vector<std::thread> threads;
    for (int thread = 0; thread < 4; ++thread) {
        threads.emplace_back([&] {
            for (int i = 0; i < 200; ++i) {
                tracer.start_span("busy").end();
            }
        });
    }
    for (std::thread &thread : threads) {
        thread.join();
    }
    CHECK(calls == 4 * 200 * 2);
    CHECK(tracer.shutdown(std::chrono::seconds(60)) == 0);
    CHECK(tracer.stat("delivered") == 4 * 200);
}

int main()
{
    RUN(a_lambda_sees_every_span);
    RUN(a_processor_does_not_end_what_it_sees);
    RUN(an_exception_withholds_the_content);
    RUN(what_is_no_std_exception_fails_as_well);
    RUN(a_function_answers_whether_it_succeeded);
    RUN(an_empty_function_is_refused);
    RUN(a_processor_is_destroyed_with_its_last_owner);
    RUN(one_processor_on_many_threads);
    return DONE();
}
