// mlflow-trace for C++17: the C ABI of mlflow_trace.h with owners, std::string_view and RAII.
//
//     mlflow::Tracer tracer(mlflow::Config::from_env());
//     if (!tracer) {
//         std::cerr << tracer.error().message << '\n';
//     }
//     mlflow::Span span = tracer.start_span("answer", "AGENT");
//     span.set_inputs({{"question", question}, {"limit", 5}});
//     std::string answer = mlflow::traced(span, "search", [&](mlflow::Span &child) {
//         return mlflow::traced("rank", [&] { ... }); // a child of "search"
//     });
//     span.set_outputs(answer);
//
// Nothing here throws but std::bad_alloc, and that only where a std::string or a list of more than
// 16 attributes is made. Failures of configuration are objects without content and an error();
// failures of recording are counted by the library and kept as status(). Everything works with
// -fno-exceptions and -fno-rtti.
//
// Texts are copied by the library before a call returns. Objects may be used from any thread as far
// as one thread at a time uses the same object; different spans of one trace may be recorded in
// parallel.

#ifndef MLFLOW_TRACE_HPP
#define MLFLOW_TRACE_HPP

#include "mlflow_trace.h"

#include <array>
#include <charconv>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <initializer_list>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <typeinfo>
#include <utility>
#include <vector>

#if defined(__has_include)
#if __has_include(<cxxabi.h>)
#include <cstdlib>
#include <cxxabi.h>
#define MLFLOW_TRACE_HAS_CXXABI 1
#endif
#endif

namespace mlflow {

using Status = mlflow_status_t;

// What went wrong while configuring; converts to true when something did.
struct Error {
    Status code = MLFLOW_OK;
    std::string message;
    bool retryable = false;

    explicit operator bool() const noexcept
    {
        return code != MLFLOW_OK;
    }
};

// What a call came to: JSON, or why there is none. Converts to true when there is.
struct Reply {
    std::string json;
    Error error;

    explicit operator bool() const noexcept
    {
        return !error;
    }
};

// JSON text of any kind, where plain text would be taken as text.
struct Json {
    std::string_view text;
};

inline Json json(std::string_view text) noexcept
{
    return Json{text};
}

namespace detail {

inline mlflow_str_t view(std::string_view text) noexcept
{
    return mlflow_str_n(text.data(), text.size());
}

inline std::uint64_t nanoseconds(std::chrono::system_clock::time_point time) noexcept
{
    const auto since =
        std::chrono::duration_cast<std::chrono::nanoseconds>(time.time_since_epoch());
    return since.count() > 0 ? static_cast<std::uint64_t>(since.count()) : 0;
}

inline std::uint64_t milliseconds(std::chrono::milliseconds time) noexcept
{
    return time.count() > 0 ? static_cast<std::uint64_t>(time.count()) : 0;
}

inline Error take(mlflow_error_t *raw)
{
    Error error;
    error.code = mlflow_error_get_code(raw);
    error.message = mlflow_error_get_message(raw);
    error.retryable = mlflow_error_get_retryable(raw) != 0;
    mlflow_error_free(raw);
    return error;
}

inline std::string take(mlflow_text_t *raw)
{
    const std::unique_ptr<mlflow_text_t, decltype(&mlflow_text_free)> owner(raw, &mlflow_text_free);
    const mlflow_str_t text = mlflow_text_get(raw);
    return std::string(text.ptr, text.len);
}

// Calls read(buffer, capacity, &length) once, or twice for text that is longer than usual.
template <std::size_t Usual = 64, typename Read> std::string read_text(Read read)
{
    std::array<char, Usual> buffer;
    std::size_t length = 0;
    Status status = read(buffer.data(), buffer.size(), &length);
    if (status == MLFLOW_OK) {
        return std::string(buffer.data(), length);
    }
    if (status != MLFLOW_ERROR_BUFFER_TOO_SMALL) {
        return std::string();
    }
    std::string text(length + 1, '\0');
    status = read(&text[0], text.size(), &length);
    text.resize(status == MLFLOW_OK ? length : 0);
    return text;
}

inline std::string demangle(const char *name)
{
#ifdef MLFLOW_TRACE_HAS_CXXABI
    int status = 0;
    const std::unique_ptr<char, decltype(&std::free)> readable(
        abi::__cxa_demangle(name, nullptr, nullptr, &status), &std::free);
    if (readable) {
        return readable.get();
    }
#endif
    return name;
}

template <typename Exception> std::string type_name(const Exception &exception)
{
#if defined(__cpp_rtti) || defined(_CPPRTTI)
    return demangle(typeid(exception).name());
#else
    static_cast<void>(exception);
    return "std::exception";
#endif
}

} // namespace detail

// A named value: {"limit", 5}, {"ratio", 0.5}, {"cached", true}, {"text", "plain"}, {"list",
// json("[1, 2]")}. Holds views; make it where it is used.
class Attribute {
public:
    Attribute(std::string_view key, std::string_view value) noexcept
        : value_(mlflow_attribute_str(detail::view(key), detail::view(value)))
    {
    }

    Attribute(std::string_view key, const char *value) noexcept
        : value_(mlflow_attribute_str(detail::view(key), mlflow_str(value)))
    {
    }

    Attribute(std::string_view key, Json value) noexcept
        : value_(mlflow_attribute_json(detail::view(key), detail::view(value.text)))
    {
    }

    template <typename Number, std::enable_if_t<std::is_arithmetic_v<Number>, int> = 0>
    Attribute(std::string_view key, Number value) noexcept
    {
        if constexpr (std::is_same_v<Number, bool>) {
            value_ = mlflow_attribute_bool(detail::view(key), value ? 1 : 0);
        } else if constexpr (std::is_floating_point_v<Number>) {
            value_ = mlflow_attribute_f64(detail::view(key), static_cast<double>(value));
        } else if (fits(value)) {
            value_ = mlflow_attribute_i64(detail::view(key), static_cast<std::int64_t>(value));
        } else {
            const auto end = std::to_chars(digits_.data(), digits_.data() + digits_.size(), value);
            digits_length_ = static_cast<std::size_t>(end.ptr - digits_.data());
            value_ = mlflow_attribute_str(detail::view(key), mlflow_str_n(nullptr, 0));
        }
    }

    // The C form; valid as long as this object and what it views.
    mlflow_attribute_t get() const noexcept
    {
        mlflow_attribute_t value = value_;
        if (digits_length_ > 0) {
            value.data.text = mlflow_str_n(digits_.data(), digits_length_);
        }
        return value;
    }

private:
    template <typename Number> static constexpr bool fits(Number value) noexcept
    {
        if constexpr (std::is_unsigned_v<Number>) {
            return value <= static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
        } else {
            return true;
        }
    }

    mlflow_attribute_t value_;
    // Unsigned numbers beyond int64_t are recorded as their digits.
    std::array<char, 20> digits_{};
    std::size_t digits_length_ = 0;
};

namespace detail {

// The C form of a list; allocates only for long ones.
class AttributeList {
public:
    explicit AttributeList(std::initializer_list<Attribute> attributes) : count_(attributes.size())
    {
        if (count_ > few_.size()) {
            many_.resize(count_);
        }
        mlflow_attribute_t *next = start();
        for (const Attribute &attribute : attributes) {
            *next++ = attribute.get();
        }
    }

    const mlflow_attribute_t *data() noexcept
    {
        return start();
    }

    std::size_t size() const noexcept
    {
        return count_;
    }

private:
    mlflow_attribute_t *start() noexcept
    {
        return many_.empty() ? few_.data() : many_.data();
    }

    std::size_t count_;
    std::array<mlflow_attribute_t, 16> few_;
    std::vector<mlflow_attribute_t> many_;
};

template <typename Text>
using EnableIfText = std::enable_if_t<std::is_convertible_v<const Text &, std::string_view>, int>;

} // namespace detail

class Scope;
class Span;

namespace detail {

struct Here;
struct Processing;

} // namespace detail

// When a processor sees a span.
enum class Moment : std::int32_t {
    // It has started, with the attributes that it was started with.
    start = MLFLOW_PROCESSOR_START,
    // It is about to end.
    end = MLFLOW_PROCESSOR_END,
};

// Sees a span and may change it. False, or an exception, says that the span may still hold what
// must not be sent: its content is replaced by "[redaction failed]".
using Processor = std::function<bool(Span &span, Moment moment)>;

namespace detail {

template <typename See>
using EnableIfSees =
    std::enable_if_t<std::is_void_v<std::invoke_result_t<See &, Span &, Moment>>, int>;

} // namespace detail

// Options of a tracer to be. A failed call is kept in error() and makes the tracer fail with it.
class Config {
public:
    // The built-in defaults.
    Config()
    {
        mlflow_config_t *raw = nullptr;
        mlflow_error_t *error = nullptr;
        if (mlflow_config_new(&raw, &error) == MLFLOW_OK) {
            config_.reset(raw);
        }
        keep(error);
    }

    // The defaults, then the options' environment variables.
    static Config from_env()
    {
        Config config;
        mlflow_error_t *error = nullptr;
        mlflow_config_set_env(config.get(), &error);
        config.keep(error);
        return config;
    }

    Config &set(std::string_view key, std::string_view value) &
    {
        mlflow_error_t *error = nullptr;
        mlflow_config_set(get(), detail::view(key), detail::view(value), &error);
        keep(error);
        return *this;
    }

    Config &&set(std::string_view key, std::string_view value) &&
    {
        return std::move(set(key, value));
    }

    // Has every recorded span of the tracers to come shown to `processor` when it starts and before
    // it ends, on the thread that starts or ends it, possibly on several at once. It must not end
    // the span, and the span starts no children. It is destroyed with the last of this
    // configuration and the tracers made from it.
    Config &add_processor(Processor processor) &;

    // The same for one that returns nothing and fails by exceptions alone.
    template <typename See, detail::EnableIfSees<See> = 0> Config &add_processor(See see) &
    {
        return add_processor(Processor([see = std::move(see)](Span &span, Moment moment) mutable {
            see(span, moment);
            return true;
        }));
    }

    template <typename See> Config &&add_processor(See see) &&
    {
        return std::move(add_processor(std::move(see)));
    }

    // The present value of an option; empty for an unknown one.
    std::string get(std::string_view key) const
    {
        return detail::read_text([&](char *buffer, std::size_t capacity, std::size_t *length) {
            return mlflow_config_get(get(), detail::view(key), buffer, capacity, length, nullptr);
        });
    }

    // The first failure.
    const Error &error() const noexcept
    {
        return error_;
    }

    explicit operator bool() const noexcept
    {
        return config_ && !error_;
    }

    mlflow_config_t *get() const noexcept
    {
        return config_.get();
    }

private:
    struct Free {
        void operator()(mlflow_config_t *config) const noexcept
        {
            mlflow_config_free(config);
        }
    };

    void keep(mlflow_error_t *raw)
    {
        Error error = detail::take(raw);
        if (error && !error_) {
            error_ = std::move(error);
        }
    }

    std::unique_ptr<mlflow_config_t, Free> config_;
    Error error_;
};

// What a span may be told when it starts. Give traceparent and tracestate as they came with a
// request.
struct SpanOptions {
    std::string_view type = {};
    std::string_view traceparent = {};
    std::string_view tracestate = {};
    // The epoch itself means now.
    std::chrono::system_clock::time_point start_time = {};
    // The probability, from 0 to 1, with which a new trace is recorded, instead of sampling.ratio.
    std::optional<double> sampling_ratio = {};
};

// A live span, ended by the destructor at the latest.
//
// A span that is destroyed by an exception on its way up ends with the status ERROR. C++ does not
// tell a destructor which exception that is; traced() records type and message as well, and so does
// calling record_exception() in a catch block.
class Span {
public:
    // No span: every call on it does nothing.
    Span() noexcept = default;

    Span(Span &&other) noexcept
        : tracer_(std::move(other.tracer_)), span_(std::exchange(other.span_, mlflow_span_t{0})),
          status_(other.status_), exceptions_(other.exceptions_), failed_(other.failed_)
    {
    }

    Span &operator=(Span &&other) noexcept
    {
        if (this != &other) {
            end();
            tracer_ = std::move(other.tracer_);
            span_ = std::exchange(other.span_, mlflow_span_t{0});
            status_ = other.status_;
            exceptions_ = other.exceptions_;
            failed_ = other.failed_;
        }
        return *this;
    }

    Span(const Span &) = delete;
    Span &operator=(const Span &) = delete;

    ~Span()
    {
        if (*this && !failed_ && std::uncaught_exceptions() > exceptions_) {
            set_status(MLFLOW_SPAN_STATUS_ERROR, "ended by an exception");
        }
        end();
    }

    // Whether it was started and not ended through this object.
    explicit operator bool() const noexcept
    {
        return span_.id != 0;
    }

    // Whether it is live and its trace is recorded; else describing it is lost work.
    bool is_recording() const noexcept
    {
        return mlflow_span_get_recording(span_) != 0;
    }

    // The first failure of a call on this span.
    Status status() const noexcept
    {
        return status_;
    }

    mlflow_span_t get() const noexcept
    {
        return span_;
    }

    // Processors see the attributes at the start.
    Span start_child(std::string_view name, const SpanOptions &options = {},
                     std::initializer_list<Attribute> attributes = {}) const
    {
        return Span(tracer_, name, options, attributes, span_);
    }

    template <typename Text, detail::EnableIfText<Text> = 0>
    Span start_child(std::string_view name, const Text &type,
                     std::initializer_list<Attribute> attributes = {}) const
    {
        return Span(tracer_, name, SpanOptions{type}, attributes, span_);
    }

    Span &set_name(std::string_view name) noexcept
    {
        return keep(mlflow_span_set_name(span_, detail::view(name), nullptr));
    }

    Span &set_type(std::string_view type) noexcept
    {
        return keep(mlflow_span_set_type(span_, detail::view(type), nullptr));
    }

    // Inputs and outputs: named values, plain text, or json("...").
    Span &set_inputs(std::initializer_list<Attribute> fields)
    {
        detail::AttributeList list(fields);
        return keep(mlflow_span_set_inputs_fields(span_, list.data(), list.size(), nullptr));
    }

    Span &set_inputs(Json value) noexcept
    {
        return keep(mlflow_span_set_inputs(span_, detail::view(value.text), nullptr));
    }

    template <typename Text, detail::EnableIfText<Text> = 0>
    Span &set_inputs(const Text &text) noexcept
    {
        return keep(mlflow_span_set_inputs_str(span_, detail::view(text), nullptr));
    }

    Span &set_outputs(std::initializer_list<Attribute> fields)
    {
        detail::AttributeList list(fields);
        return keep(mlflow_span_set_outputs_fields(span_, list.data(), list.size(), nullptr));
    }

    Span &set_outputs(Json value) noexcept
    {
        return keep(mlflow_span_set_outputs(span_, detail::view(value.text), nullptr));
    }

    template <typename Text, detail::EnableIfText<Text> = 0>
    Span &set_outputs(const Text &text) noexcept
    {
        return keep(mlflow_span_set_outputs_str(span_, detail::view(text), nullptr));
    }

    template <typename Value> Span &set_attribute(std::string_view key, const Value &value) noexcept
    {
        const Attribute attribute(key, value);
        const mlflow_attribute_t one = attribute.get();
        return keep(mlflow_span_set_attributes(span_, &one, 1, nullptr));
    }

    Span &set_attributes(std::initializer_list<Attribute> attributes)
    {
        detail::AttributeList list(attributes);
        return keep(mlflow_span_set_attributes(span_, list.data(), list.size(), nullptr));
    }

    // The epoch itself means now.
    Span &add_event(std::string_view name, std::initializer_list<Attribute> attributes = {},
                    std::chrono::system_clock::time_point time = {})
    {
        detail::AttributeList list(attributes);
        return keep(mlflow_span_add_event(span_, detail::view(name), detail::nanoseconds(time),
                                          list.data(), list.size(), nullptr));
    }

    // Links it to another span, by ids as trace_id() and span_id() give them.
    Span &add_link(std::string_view trace_id, std::string_view span_id,
                   std::initializer_list<Attribute> attributes = {})
    {
        detail::AttributeList list(attributes);
        return keep(mlflow_span_add_link(span_, detail::view(trace_id), detail::view(span_id),
                                         list.data(), list.size(), nullptr));
    }

    Span &record_exception(std::string_view type, std::string_view message,
                           std::string_view stacktrace = {}) noexcept
    {
        failed_ = true;
        return keep(mlflow_span_record_exception(span_, detail::view(type), detail::view(message),
                                                 detail::view(stacktrace), nullptr));
    }

    Span &record_exception(const std::exception &exception)
    {
        return record_exception(detail::type_name(exception), exception.what());
    }

    // MLFLOW_SPAN_STATUS_OK or MLFLOW_SPAN_STATUS_ERROR; the message is kept for ERROR.
    Span &set_status(std::int32_t status, std::string_view message = {}) noexcept
    {
        failed_ = status == MLFLOW_SPAN_STATUS_ERROR;
        return keep(mlflow_span_set_status(span_, status, detail::view(message), nullptr));
    }

    // Stores content beside the trace and returns its URI, for inputs or outputs; empty on failure.
    std::string attach(std::string_view content_type, const void *bytes, std::size_t size)
    {
        Status status = MLFLOW_OK;
        std::string uri = detail::read_text<MLFLOW_ATTACHMENT_URI_CAPACITY>(
            [&](char *buffer, std::size_t capacity, std::size_t *length) {
                status = mlflow_span_attach(span_, detail::view(content_type), bytes, size, buffer,
                                            capacity, length, nullptr);
                return status;
            });
        keep(status);
        return uri;
    }

    std::string attach(std::string_view content_type, std::string_view bytes)
    {
        return attach(content_type, bytes.data(), bytes.size());
    }

    Span &set_trace_tag(std::string_view key, std::string_view value) noexcept
    {
        return keep(mlflow_trace_set_tag(span_, detail::view(key), detail::view(value), nullptr));
    }

    Span &set_trace_metadata(std::string_view key, std::string_view value) noexcept
    {
        return keep(
            mlflow_trace_set_metadata(span_, detail::view(key), detail::view(value), nullptr));
    }

    // A field of the trace: "session_id", "user", "client_request_id", "request_preview",
    // "response_preview", "model_id" or "state".
    Span &set_trace(std::string_view field, std::string_view value) noexcept
    {
        return keep(mlflow_trace_set(span_, detail::view(field), detail::view(value), nullptr));
    }

    // Ids and headers; empty once the span has ended, and tracestate where there is none.
    std::string trace_id() const
    {
        return detail::read_text([this](char *buffer, std::size_t capacity, std::size_t *length) {
            return mlflow_span_get_trace_id(span_, buffer, capacity, length, nullptr);
        });
    }

    std::string span_id() const
    {
        return detail::read_text([this](char *buffer, std::size_t capacity, std::size_t *length) {
            return mlflow_span_get_span_id(span_, buffer, capacity, length, nullptr);
        });
    }

    std::string traceparent() const
    {
        return header("traceparent");
    }

    std::string tracestate() const
    {
        return header("tracestate");
    }

    // Ends the span; a second call does nothing.
    void end() noexcept
    {
        if (*this) {
            keep(mlflow_span_end(std::exchange(span_, mlflow_span_t{0}), nullptr));
        }
    }

    void end(std::chrono::system_clock::time_point time) noexcept
    {
        if (*this) {
            const mlflow_span_t span = std::exchange(span_, mlflow_span_t{0});
            keep(mlflow_span_end_at(span, detail::nanoseconds(time), nullptr));
        }
    }

private:
    friend class Scope;
    friend class Tracer;
    friend struct detail::Here;
    friend struct detail::Processing;

    // A span of somebody else.
    explicit Span(mlflow_span_t span) noexcept
        : span_(span), exceptions_(std::uncaught_exceptions())
    {
    }

    Span(std::shared_ptr<mlflow_tracer_t> tracer, std::string_view name, const SpanOptions &options,
         std::initializer_list<Attribute> attributes, mlflow_span_t parent)
        : tracer_(std::move(tracer)), exceptions_(std::uncaught_exceptions())
    {
        detail::AttributeList list(attributes);
        mlflow_span_options_t start = MLFLOW_SPAN_OPTIONS_INIT;
        start.span_type = detail::view(options.type);
        start.parent = parent;
        start.traceparent = detail::view(options.traceparent);
        start.tracestate = detail::view(options.tracestate);
        start.start_time_ns = detail::nanoseconds(options.start_time);
        start.attributes = list.data();
        start.attribute_count = list.size();
        start.has_sampling_ratio = options.sampling_ratio.has_value() ? 1 : 0;
        start.sampling_ratio = options.sampling_ratio.value_or(0.0);
        keep(mlflow_span_start(tracer_.get(), detail::view(name), &start, &span_, nullptr));
    }

    Span &keep(Status status) noexcept
    {
        if (status_ == MLFLOW_OK) {
            status_ = status;
        }
        return *this;
    }

    std::string header(std::string_view name) const
    {
        return detail::read_text([&](char *buffer, std::size_t capacity, std::size_t *length) {
            return mlflow_span_inject(span_, detail::view(name), buffer, capacity, length, nullptr);
        });
    }

    // Keeps the tracer's memory alive for start_child.
    std::shared_ptr<mlflow_tracer_t> tracer_;
    mlflow_span_t span_{0};
    Status status_ = MLFLOW_OK;
    int exceptions_ = 0;
    bool failed_ = false;
};

#if defined(__GNUC__)
// One for the whole program, also where code is compiled with hidden visibility.
#define MLFLOW_TRACE_SHARED __attribute__((visibility("default")))
#else
#define MLFLOW_TRACE_SHARED
#endif

namespace detail {

MLFLOW_TRACE_SHARED inline thread_local const Scope *innermost = nullptr;

} // namespace detail

// Makes a span the current one of this thread as long as it exists: traced(name, ...) and
// Tracer::start_child start their spans under it, and so does C code that asks
// mlflow_span_get_current. Destroy scopes on the thread that made them, the newest first.
class Scope {
public:
    explicit Scope(const Span &span)
        : tracer_(span.tracer_), span_(span.get()), outer_(detail::innermost),
          entered_(mlflow_span_enter(span_, nullptr) == MLFLOW_OK)
    {
        if (entered_) {
            detail::innermost = this;
        }
    }

    ~Scope()
    {
        if (entered_) {
            detail::innermost = outer_;
            mlflow_span_exit(span_, nullptr);
        }
    }

    Scope(const Scope &) = delete;
    Scope &operator=(const Scope &) = delete;

private:
    friend struct detail::Here;

    std::shared_ptr<mlflow_tracer_t> tracer_;
    mlflow_span_t span_;
    const Scope *outer_;
    bool entered_;
};

// The id of the trace of this thread's current span; empty where there is none, or it is not
// sampled.
inline std::string active_trace_id()
{
    return detail::read_text([](char *buffer, std::size_t capacity, std::size_t *length) {
        return mlflow_trace_get_active_id(buffer, capacity, length, nullptr);
    });
}

// The id of the trace that this thread ended last; empty before the first.
inline std::string last_trace_id()
{
    return detail::read_text([](char *buffer, std::size_t capacity, std::size_t *length) {
        return mlflow_trace_get_last_id(buffer, capacity, length, nullptr);
    });
}

namespace detail {

struct Here {
    // A child of this thread's current span, by that one's tracer; an empty span outside of any.
    static Span start(std::string_view name)
    {
        if (innermost == nullptr) {
            return Span();
        }
        return Span(innermost->tracer_, name, {}, {}, mlflow_span_get_current());
    }
};

// A processor behind the callback that the library calls.
struct Processing {
    Processor processor;

    static std::int32_t see(void *self, mlflow_span_t raw, std::int32_t moment) noexcept
    {
        Span span(raw);
        const bool done =
            attempt(static_cast<Processing *>(self)->processor, span, static_cast<Moment>(moment));
        // It is not ours to end.
        span.span_ = mlflow_span_t{0};
        return done ? 0 : 1;
    }

    static void free(void *self) noexcept
    {
        delete static_cast<Processing *>(self);
    }

private:
    static bool attempt(Processor &processor, Span &span, Moment moment) noexcept
    {
#if defined(__cpp_exceptions) || defined(_CPPUNWIND)
        try {
            return processor(span, moment);
        } catch (...) {
            return false;
        }
#else
        return processor(span, moment);
#endif
    }
};

} // namespace detail

inline Config &Config::add_processor(Processor processor) &
{
    const bool callable = static_cast<bool>(processor);
    auto processing =
        std::make_unique<detail::Processing>(detail::Processing{std::move(processor)});
    mlflow_error_t *error = nullptr;
    if (mlflow_config_add_processor(get(), callable ? &detail::Processing::see : nullptr,
                                    processing.get(), &detail::Processing::free,
                                    &error) == MLFLOW_OK) {
        processing.release();
    }
    keep(error);
    return *this;
}

// Records spans and sends finished traces. The destructor sends what has ended, within the option
// shutdown.timeout_ms (2 s unless set).
class Tracer {
public:
    explicit Tracer(const Config &config) : error_(config.error())
    {
        if (error_) {
            return;
        }
        mlflow_tracer_t *raw = nullptr;
        mlflow_error_t *error = nullptr;
        if (mlflow_tracer_new(config.get(), &raw, &error) == MLFLOW_OK) {
            tracer_.reset(raw, &mlflow_tracer_free);
        }
        error_ = detail::take(error);
    }

    Tracer(Tracer &&) noexcept = default;

    Tracer &operator=(Tracer &&other) noexcept
    {
        if (this != &other) {
            shutdown();
            tracer_ = std::move(other.tracer_);
            error_ = std::move(other.error_);
        }
        return *this;
    }

    Tracer(const Tracer &) = delete;
    Tracer &operator=(const Tracer &) = delete;

    ~Tracer()
    {
        shutdown();
    }

    explicit operator bool() const noexcept
    {
        return static_cast<bool>(tracer_);
    }

    // Why there is no tracer.
    const Error &error() const noexcept
    {
        return error_;
    }

    mlflow_tracer_t *get() const noexcept
    {
        return tracer_.get();
    }

    // Starts a root, or the child of a span in another process when options hold a traceparent.
    // Without a tracer the span does nothing. Processors see the attributes at the start.
    Span start_span(std::string_view name, const SpanOptions &options = {},
                    std::initializer_list<Attribute> attributes = {}) const
    {
        return Span(tracer_, name, options, attributes, mlflow_span_t{0});
    }

    template <typename Text, detail::EnableIfText<Text> = 0>
    Span start_span(std::string_view name, const Text &type,
                    std::initializer_list<Attribute> attributes = {}) const
    {
        return Span(tracer_, name, SpanOptions{type}, attributes, mlflow_span_t{0});
    }

    // Starts a child of this thread's current span (see Scope), or what start_span() does where
    // there is none.
    Span start_child(std::string_view name, const SpanOptions &options = {},
                     std::initializer_list<Attribute> attributes = {}) const
    {
        return Span(tracer_, name, options, attributes, mlflow_span_get_current());
    }

    // Takes an OTLP ExportTraceServiceRequest in protobuf, for hosts that record by other means.
    Status submit_otlp(std::string_view request, std::uint64_t *accepted = nullptr) const noexcept
    {
        return mlflow_tracer_submit_otlp(get(), request.data(), request.size(), accepted, nullptr);
    }

    // Reads and annotates what was recorded: calls a method of the client by name, with arguments
    // as a JSON object, and waits. mlflow_trace.h lists the methods.
    Reply call(std::string_view method, std::string_view arguments = {}) const
    {
        mlflow_text_t *text = nullptr;
        mlflow_error_t *error = nullptr;
        Reply reply;
        if (mlflow_client_call(get(), detail::view(method), detail::view(arguments), &text,
                               &error) == MLFLOW_OK) {
            reply.json = detail::take(text);
        }
        reply.error = detail::take(error);
        return reply;
    }

    // Waits until complete traces are delivered; returns how many ended spans are still pending.
    std::uint64_t flush(std::chrono::milliseconds timeout) const noexcept
    {
        std::uint64_t pending = 0;
        mlflow_tracer_flush(get(), detail::milliseconds(timeout), &pending, nullptr);
        return pending;
    }

    // Stops recording for good and waits; returns how many ended spans were not delivered.
    std::uint64_t shutdown(std::chrono::milliseconds timeout) const noexcept
    {
        return stop(detail::milliseconds(timeout));
    }

    std::uint64_t shutdown() const noexcept
    {
        return stop(MLFLOW_TIMEOUT_DEFAULT);
    }

    // A counter by name: "created", "delivered", "pending", "dropped", ...; 0 for an unknown one.
    std::uint64_t stat(std::string_view name) const noexcept
    {
        std::uint64_t value = 0;
        mlflow_tracer_get_stat(get(), detail::view(name), &value, nullptr);
        return value;
    }

    // All counters as JSON.
    std::string stats() const
    {
        mlflow_text_t *text = nullptr;
        mlflow_tracer_get_stats(get(), &text, nullptr);
        return detail::take(text);
    }

    // How delivery goes, as JSON.
    std::string health() const
    {
        mlflow_text_t *text = nullptr;
        mlflow_tracer_get_health(get(), &text, nullptr);
        return detail::take(text);
    }

    // The library's oldest message about itself.
    std::optional<std::string> next_diagnostic() const
    {
        mlflow_text_t *text = nullptr;
        if (mlflow_tracer_next_diagnostic(get(), &text, nullptr) != MLFLOW_OK) {
            return std::nullopt;
        }
        return detail::take(text);
    }

    // The oldest trace that the memory exporter keeps, as JSON.
    std::optional<std::string> next_trace() const
    {
        mlflow_text_t *text = nullptr;
        if (mlflow_tracer_next_trace(get(), &text, nullptr) != MLFLOW_OK) {
            return std::nullopt;
        }
        return detail::take(text);
    }

private:
    std::uint64_t stop(std::uint64_t timeout_ms) const noexcept
    {
        std::uint64_t pending = 0;
        mlflow_tracer_shutdown(get(), timeout_ms, &pending, nullptr);
        return pending;
    }

    std::shared_ptr<mlflow_tracer_t> tracer_;
    Error error_;
};

namespace detail {

template <typename Body> decltype(auto) invoke(Body &&body, Span &span)
{
    if constexpr (std::is_invocable_v<Body, Span &>) {
        return std::forward<Body>(body)(span);
    } else {
        return std::forward<Body>(body)();
    }
}

template <typename Body> decltype(auto) run(Span span, Body &&body)
{
    const Scope scope(span);
#if defined(__cpp_exceptions) || defined(_CPPUNWIND)
    try {
        return invoke(std::forward<Body>(body), span);
    } catch (const std::exception &exception) {
        span.record_exception(exception);
        throw;
    } catch (...) {
#ifdef MLFLOW_TRACE_HAS_CXXABI
        const std::type_info *type = abi::__cxa_current_exception_type();
        span.record_exception(type ? demangle(type->name()) : "unknown", "not a std::exception");
#else
        span.record_exception("unknown", "not a std::exception");
#endif
        throw;
    }
#else
    return invoke(std::forward<Body>(body), span);
#endif
}

} // namespace detail

// Runs body() or body(Span &) inside a span of its own, which is the thread's current one
// meanwhile, and returns what it returns. An exception is recorded with its type and message, and
// goes on.
//
// The span is a child of the thread's current one, and a root where there is none.
template <typename Body>
decltype(auto) traced(const Tracer &tracer, std::string_view name, Body &&body)
{
    return detail::run(tracer.start_child(name), std::forward<Body>(body));
}

// The same as a child of a span.
template <typename Body>
decltype(auto) traced(const Span &parent, std::string_view name, Body &&body)
{
    return detail::run(parent.start_child(name), std::forward<Body>(body));
}

// The same without a tracer at hand: a child of the thread's current span, by that one's tracer.
// Where there is none the body runs with an empty span, which records nothing.
template <typename Body> decltype(auto) traced(std::string_view name, Body &&body)
{
    return detail::run(detail::Here::start(name), std::forward<Body>(body));
}

// Answers a question about a request to a model provider or its reply, as JSON: "request", "reply"
// or "fold". mlflow_trace.h lists the dialects and says what is in an answer.
inline Reply ask(std::string_view dialect, std::string_view question, std::string_view text)
{
    mlflow_text_t *json = nullptr;
    mlflow_error_t *error = nullptr;
    Reply reply;
    if (mlflow_dialect_ask(detail::view(dialect), detail::view(question), detail::view(text), &json,
                           &error) == MLFLOW_OK) {
        reply.json = detail::take(json);
    }
    reply.error = detail::take(error);
    return reply;
}

} // namespace mlflow

#endif // MLFLOW_TRACE_HPP
