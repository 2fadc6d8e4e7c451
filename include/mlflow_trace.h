/* mlflow-trace: records MLflow traces from C and C++.
 *
 * Generated from the sources of the library; do not edit.
 *
 *     mlflow_config_t *config = NULL;
 *     mlflow_tracer_t *tracer = NULL;
 *     mlflow_span_t span;
 *
 *     mlflow_config_new(&config, NULL);
 *     mlflow_config_set_env(config, NULL);
 *     mlflow_tracer_new(config, &tracer, NULL);
 *     mlflow_config_free(config);
 *
 *     mlflow_span_start(tracer, MLFLOW_STR("answer"), NULL, &span, NULL);
 *     mlflow_span_set_inputs_str(span, MLFLOW_STR("What is tracing?"), NULL);
 *     mlflow_span_end(span, NULL);
 *
 *     mlflow_tracer_shutdown(tracer, MLFLOW_TIMEOUT_DEFAULT, NULL, NULL);
 *     mlflow_tracer_free(tracer);
 *
 * Every function says what it does, then four things: who owns what (Ownership); from where it may be called,
 * fork() included (Threads); which statuses it returns besides MLFLOW_OK, without their prefix MLFLOW_ERROR_
 * (Errors); and the ABI version, major and minor, that it came with (Since). Any function that returns a status
 * may also return MLFLOW_ERROR_PANIC.
 *
 * The library checks pointers for NULL and alignment, lengths, and handles of spans. What it cannot check is the
 * caller's part: memory behind a pointer is as large as said and stays alive until the call returns; what goes
 * in is initialised, and nobody writes to it meanwhile; an object comes from this library and is not used after
 * its `_free`.
 */

/* clang-format off */

#ifndef MLFLOW_TRACE_H
#define MLFLOW_TRACE_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Version
 *
 * The macros say what a program was compiled against, the functions what it runs with. Within one
 * MLFLOW_TRACE_ABI_VERSION, which is the major, the ABI only grows: a program also runs with every later
 * library of that major.
 */

/** The version of the library that this header came with. */
#define MLFLOW_TRACE_VERSION "0.1.0"
#define MLFLOW_TRACE_VERSION_MAJOR 0
#define MLFLOW_TRACE_VERSION_MINOR 1
#define MLFLOW_TRACE_VERSION_PATCH 0
/** The version of the ABI that this header describes; the shared library's name carries it. */
#define MLFLOW_TRACE_ABI_VERSION 1

/**
 * Tells the version of the library that is loaded, for instance "0.1.0".
 *
 * Ownership: static text; never free it.
 * Threads: any thread, at any time, also in a forked child.
 * Errors: none.
 * Since: 1.0.
 */
const char *mlflow_version(void);

/**
 * Tells the ABI version of the library that is loaded; compare it with MLFLOW_TRACE_ABI_VERSION.
 *
 * Ownership: none.
 * Threads: any thread, at any time, also in a forked child.
 * Errors: none.
 * Since: 1.0.
 */
uint32_t mlflow_abi_version(void);

/* Status
 *
 * Every function that can fail returns an mlflow_status_t: MLFLOW_OK, or one of the numbers below. The
 * numbers never change meaning, and later versions may add some: treat an unknown one as a failure.
 */

/** The outcome of a call. */
typedef int32_t mlflow_status_t;

/** The call did what it says. */
#define MLFLOW_OK 0
/** A NULL or misaligned pointer, a bad length or key, or another argument that the call cannot use. */
#define MLFLOW_ERROR_INVALID_ARGUMENT 1
/** An unknown option, or a value outside its range. */
#define MLFLOW_ERROR_INVALID_CONFIG 2
/** The handle is no live span: it has ended, is {0}, was never issued, or is that of a parent process. */
#define MLFLOW_ERROR_INVALID_STATE 3
/** A bound was reached and the item was dropped (and counted). */
#define MLFLOW_ERROR_CAPACITY 4
/** A flush or shutdown left spans undelivered. */
#define MLFLOW_ERROR_TIMEOUT 5
/** The server could not be reached; trying again may help. */
#define MLFLOW_ERROR_TRANSPORT 6
/** The server refused for good. */
#define MLFLOW_ERROR_REJECTED 7
/** The caller's buffer is too small; `*length` tells the length of the text. */
#define MLFLOW_ERROR_BUFFER_TOO_SMALL 8
/** Not available with this configuration, server or platform. */
#define MLFLOW_ERROR_UNSUPPORTED 9
/** A fault of this library, contained. */
#define MLFLOW_ERROR_INTERNAL 10
/** A panic of this library, caught. */
#define MLFLOW_ERROR_PANIC 11
/** What was asked for does not exist, or nothing is left of it. */
#define MLFLOW_ERROR_NOT_FOUND 12
/** The experiment is deleted: restore it or choose another. */
#define MLFLOW_ERROR_DELETED 13
/** A filter or an order of a search that is not understood; the message is the server's. */
#define MLFLOW_ERROR_INVALID_FILTER 14
/** The server does not accept the credentials; they may have expired. */
#define MLFLOW_ERROR_UNAUTHORIZED 15
/** What answered is no MLflow server, or one that is broken. */
#define MLFLOW_ERROR_BAD_REPLY 16
/** Stored data cannot be read, for instance a file that was written by half. */
#define MLFLOW_ERROR_DAMAGED 17

/**
 * Names a status, for instance "INVALID_ARGUMENT"; "OK" for MLFLOW_OK, "UNKNOWN" for any other number.
 *
 * Ownership: static text; never free it.
 * Threads: any thread, at any time, also in a forked child.
 * Errors: none.
 * Since: 1.0.
 */
const char *mlflow_status_name(mlflow_status_t status);

/* Text
 *
 * Text goes in as a pointer and a length, needs no final NUL, and is copied before the call returns. NULL
 * with length 0 is the empty text. A bad length is one above PTRDIFF_MAX, or any but 0 with NULL. In values
 * (names, attributes, inputs, tags) bytes that are not UTF-8 become U+FFFD; in keys and options they are
 * refused.
 *
 * Short text comes out into the caller's buffer, always with a final NUL; `*length` (optional) receives its
 * length without that NUL. When it does not fit, the status is MLFLOW_ERROR_BUFFER_TOO_SMALL, the buffer is
 * untouched, and `*length` still tells the length: `*length` + 1 bytes will do. To ask for the length alone,
 * pass NULL with capacity 0, which gives that same status. A bad buffer is NULL with another capacity, or has
 * a capacity above PTRDIFF_MAX.
 *
 * Text that may be long comes out as an mlflow_text_t.
 */

/** Text that somebody else owns. MLFLOW_STR("literal"), mlflow_str(pointer) and mlflow_str_n make one. */
typedef struct mlflow_str_t {
    /** The first byte; NULL only where `len` is 0. */
    const char *ptr;
    /** The number of bytes, at most PTRDIFF_MAX. */
    size_t len;
} mlflow_str_t;

/** Text that the library made and the caller owns. */
typedef struct mlflow_text_t mlflow_text_t;

/** Text of `len` bytes at `ptr`. */
static inline mlflow_str_t mlflow_str_n(const char *ptr, size_t len)
{
    mlflow_str_t text;
    text.ptr = ptr;
    text.len = len;
    return text;
}

/** Text up to the NUL; NULL is the empty text. */
static inline mlflow_str_t mlflow_str(const char *terminated)
{
    return mlflow_str_n(terminated, terminated ? strlen(terminated) : 0);
}

/** The text of a string literal; anything else does not compile. It is a call: not for static initialisers. */
#define MLFLOW_STR(literal) mlflow_str_n("" literal "", sizeof(literal) - 1)

/**
 * Lends the text; the empty text for NULL. `ptr` is never NULL, and a NUL follows the `len` bytes.
 *
 * Ownership: borrowed; valid until mlflow_text_free.
 * Threads: any thread, at any time, also in a forked child.
 * Errors: none.
 * Since: 1.0.
 */
mlflow_str_t mlflow_text_get(const mlflow_text_t *text);

/**
 * Releases a text.
 *
 * Ownership: takes `text`; NULL is a no-op.
 * Threads: any thread, once, after every other use; also in a forked child.
 * Errors: none.
 * Since: 1.0.
 */
void mlflow_text_free(mlflow_text_t *text);

/* Errors
 *
 * The last parameter of a function that can fail is `mlflow_error_t **error`. Pass NULL to have the status
 * alone, which costs nothing. Otherwise `*error` is overwritten, whatever it held: with NULL on success, and on
 * failure with an object that the caller releases with mlflow_error_free. Other outputs are written only on
 * success, unless a function says otherwise.
 */

/** What went wrong, for programs and for people. */
typedef struct mlflow_error_t mlflow_error_t;

/**
 * Tells the status that came with the error; MLFLOW_OK for NULL.
 *
 * Ownership: none.
 * Threads: any thread, at any time, also in a forked child.
 * Errors: none.
 * Since: 1.0.
 */
mlflow_status_t mlflow_error_get_code(const mlflow_error_t *error);

/**
 * Lends the message, NUL-terminated, for instance "unknown option 'colour'"; "" for NULL.
 *
 * Ownership: borrowed; valid until mlflow_error_free.
 * Threads: any thread, at any time, also in a forked child.
 * Errors: none.
 * Since: 1.0.
 */
const char *mlflow_error_get_message(const mlflow_error_t *error);

/**
 * Tells whether the same call may succeed later without any change: 1 or 0; 0 for NULL.
 *
 * Ownership: none.
 * Threads: any thread, at any time, also in a forked child.
 * Errors: none.
 * Since: 1.0.
 */
int32_t mlflow_error_get_retryable(const mlflow_error_t *error);

/**
 * Releases an error.
 *
 * Ownership: takes `error`; NULL is a no-op.
 * Threads: any thread, once, after every other use; also in a forked child.
 * Errors: none.
 * Since: 1.0.
 */
void mlflow_error_free(mlflow_error_t *error);

/* Configuration
 *
 * Options are text keys and text values, the same in every language; docs/options.md lists them. The usual
 * order is: mlflow_config_new, then mlflow_config_set_env, then mlflow_config_set for what the program itself
 * decides. Without the option "tracking_uri", traces are written to files in "file.directory", by default
 * ./mlflow-traces.
 *
 * A forked child may go on with a configuration, unless another thread was in a call on it during fork().
 */

/** The options for a new tracer. */
typedef struct mlflow_config_t mlflow_config_t;

/**
 * Makes a configuration that holds the built-in defaults.
 *
 * Ownership: the caller owns `*config` and releases it with mlflow_config_free.
 * Threads: any thread, at any time, also in a forked child.
 * Errors: INVALID_ARGUMENT when `config` is NULL.
 * Since: 1.0.
 */
mlflow_status_t mlflow_config_new(mlflow_config_t **config, mlflow_error_t **error);

/**
 * Reads the options' environment variables (MLFLOW_TRACKING_URI, MLFLOW_EXPERIMENT_NAME, ...). They replace
 * what was set before; variables that are absent or empty change nothing. On failure some may be set already.
 *
 * Ownership: none.
 * Threads: any thread, as long as none changes the environment meanwhile; in a forked child as said above.
 * Errors: INVALID_ARGUMENT when `config` is NULL; INVALID_CONFIG naming a variable with a bad value.
 * Since: 1.0.
 */
mlflow_status_t mlflow_config_set_env(const mlflow_config_t *config, mlflow_error_t **error);

/**
 * Sets one option; the empty value restores its default. Tracers made before do not change.
 *
 * After a failure with a key that begins with "redact" or "capture", tracers made from the configuration withhold
 * content (docs/redaction.md) until such an option is accepted: a slip there must not send what was to stay.
 *
 * Ownership: `key` and `value` are copied.
 * Threads: any thread, at any time; in a forked child as said above.
 * Errors: INVALID_ARGUMENT when `config` is NULL, for a bad length, an empty key, or text that is not UTF-8;
 * INVALID_CONFIG naming an unknown option, or one whose value is malformed or out of range.
 * Since: 1.0.
 */
mlflow_status_t mlflow_config_set(const mlflow_config_t *config,
                                  mlflow_str_t key,
                                  mlflow_str_t value,
                                  mlflow_error_t **error);

/**
 * Copies the value of an option into `buffer` (see Text above): what was set, or else its default, which may
 * be empty. Passwords and tokens are not hidden.
 *
 * Ownership: none.
 * Threads: any thread, at any time; in a forked child as said above.
 * Errors: INVALID_ARGUMENT when `config` is NULL, for a bad key or buffer; INVALID_CONFIG naming an unknown
 * option; BUFFER_TOO_SMALL.
 * Since: 1.0.
 */
mlflow_status_t mlflow_config_get(const mlflow_config_t *config,
                                  mlflow_str_t key,
                                  char *buffer,
                                  size_t capacity,
                                  size_t *length,
                                  mlflow_error_t **error);

/**
 * Releases a configuration. Tracers made from it are not affected.
 *
 * Ownership: takes `config`; NULL is a no-op.
 * Threads: any thread, once, after every other use; also in a forked child.
 * Errors: none.
 * Since: 1.0.
 */
void mlflow_config_free(mlflow_config_t *config);

/* Tracer
 *
 * A tracer records spans and sends finished traces from a thread of its own. A process usually has one.
 * Handles may be used from any thread at any time; only the `_free` of an object must be its last use.
 * fork() needs no help: a child starts with an empty queue, never sends what its parent recorded, and may
 * use the same tracer right away. No function may be called from a signal handler.
 *
 * The end of the process sends nothing: call mlflow_tracer_shutdown before it. The tracer's thread reads
 * environment variables (proxy settings, the user's name), so do not change the environment while it runs.
 */

/** Records spans and sends finished traces. */
typedef struct mlflow_tracer_t mlflow_tracer_t;

/** As `timeout_ms`: the value of the tracer's option "shutdown.timeout_ms", which is 2000 unless it was set. */
#define MLFLOW_TIMEOUT_DEFAULT 18446744073709551615ull

/**
 * Makes a tracer from a copy of `config`. Its thread starts with the first trace that is complete.
 *
 * Ownership: the caller owns `*tracer` and releases it with mlflow_tracer_free; `config` stays the caller's.
 * Threads: any thread, at any time; in a forked child as said of configurations.
 * Errors: INVALID_ARGUMENT when `config` or `tracer` is NULL; INVALID_CONFIG naming the option at fault.
 * Since: 1.0.
 */
mlflow_status_t mlflow_tracer_new(const mlflow_config_t *config,
                                  mlflow_tracer_t **tracer,
                                  mlflow_error_t **error);

/**
 * Waits until every trace that is complete by now was delivered or dropped, at most `timeout_ms` milliseconds.
 *
 * `*pending` (optional) receives the number of ended spans that are still to be delivered, also on TIMEOUT.
 * It includes those of traces with open spans and those that ended meanwhile, which are not waited for.
 *
 * Ownership: none.
 * Threads: any thread, at any time; blocks only the caller. In a forked child it waits for the child's own.
 * Errors: INVALID_ARGUMENT when `tracer` is NULL; TIMEOUT when `*pending` is not 0, even before the time is up.
 * Since: 1.0.
 */
mlflow_status_t mlflow_tracer_flush(const mlflow_tracer_t *tracer,
                                    uint64_t timeout_ms,
                                    uint64_t *pending,
                                    mlflow_error_t **error);

/**
 * Stops recording, and waits at most `timeout_ms` milliseconds until what has ended is delivered; the rest is
 * dropped. Recording calls may go on, without effect.
 *
 * `*pending` (optional) receives the number of ended spans that were not delivered, also on TIMEOUT. Spans that
 * are open are dropped as "unfinished" and not included. A second call is harmless.
 *
 * Ownership: none; the handle stays valid until mlflow_tracer_free.
 * Threads: any thread, at any time; blocks only the caller. A forked child shuts down its own side only.
 * Errors: INVALID_ARGUMENT when `tracer` is NULL; TIMEOUT when `*pending` is not 0.
 * Since: 1.0.
 */
mlflow_status_t mlflow_tracer_shutdown(const mlflow_tracer_t *tracer,
                                       uint64_t timeout_ms,
                                       uint64_t *pending,
                                       mlflow_error_t **error);

/**
 * Releases a tracer without ever waiting. As long as the process lives, what has ended is still sent, for at
 * most the option "shutdown.timeout_ms"; to be sure, call mlflow_tracer_shutdown first. Open spans are dropped;
 * calls on them do no harm.
 *
 * Ownership: takes `tracer`; NULL is a no-op.
 * Threads: any thread, once, after every other use; also in a forked child.
 * Errors: none.
 * Since: 1.0.
 */
void mlflow_tracer_free(mlflow_tracer_t *tracer);

/* Statistics
 *
 * created = delivered + dropped + pending, counted in spans. While a batch is being delivered, spans of it may
 * be counted both as delivered and as pending.
 */

/**
 * Reads one counter of the tracer: "created", "delivered", "pending", "dropped" (the sum) or "dropped.<reason>",
 * with the reasons that mlflow_tracer_get_stats lists, for instance "dropped.unsampled"; "abandoned" (spans that
 * the library ended because the program did not), "redaction_failed" (spans whose content was withheld) or "odd_2xx"
 * (replies of success that made no sense, as of a proxy that answers in the server's place). With "mirror." before the
 * first four, the same of the copies that dual export sends to a collector; 0 without it. With a spool (option
 * "spool") "spooled", those of "pending" that are on disk and not in memory; "spool_degraded", 1 while what ends is in
 * memory alone; and of the spans that other processes left there "recovered.adopted", "recovered.delivered",
 * "recovered.dropped" and "recovered.pending", which are in none of the others; 0 without it. Or one of the whole process:
 * "ignored" (recording calls without effect, for instance on an ended span), "panics"
 * (caught before they reached the program) or "invalid_utf8" (values with bytes replaced).
 *
 * Ownership: none.
 * Threads: any thread, at any time. In a forked child the tracer's counters start at 0; the process's go on.
 * Errors: INVALID_ARGUMENT when `tracer` or `value` is NULL or for a bad name; NOT_FOUND naming an unknown
 * counter.
 * Since: 1.0.
 */
mlflow_status_t mlflow_tracer_get_stat(const mlflow_tracer_t *tracer,
                                       mlflow_str_t name,
                                       uint64_t *value,
                                       mlflow_error_t **error);

/**
 * Reads "ignored" and every counter of the tracer at once, as JSON:
 * {"created": 3, "delivered": 2, "pending": 1, "dropped": {"queue_full": 0, ...}, "ignored": 0, "abandoned": 0,
 * "redaction_failed": 0, "odd_2xx": 0}; with dual export also "mirror", with the first four for the copies;
 * with a spool also "spooled", "spool_degraded" and "recovered": {"adopted": 0, "delivered": 0, "pending": 0, "dropped": 0}.
 *
 * Ownership: the caller owns `*json` and releases it with mlflow_text_free.
 * Threads: any thread, at any time. In a forked child the tracer's counters start at 0; the process's go on.
 * Errors: INVALID_ARGUMENT when `tracer` or `json` is NULL.
 * Since: 1.0.
 */
mlflow_status_t mlflow_tracer_get_stats(const mlflow_tracer_t *tracer,
                                        mlflow_text_t **json,
                                        mlflow_error_t **error);

/**
 * Tells how delivery goes, as JSON:
 * {"circuit": "open", "last_success_ms": 1795226049477, "last_error": {"class": "unreachable", "message": "...",
 * "time_ms": 1795226055102}, "pending": 120, "dropped": {"queue_full": 0, ...}}.
 *
 * "circuit" is "closed" while all is well, "open" while the destination is away, or "parked" while it takes nothing
 * because of the credentials. "last_success_ms" and "last_error" are null until there is something to tell; the error
 * stays when all is well again. "class" is "unreachable" (no reply), "unavailable" (HTTP 408, 425, 429, 502, 503, 504),
 * "server_error" (500), "unauthorized" (401, 403), "rejected" (refused for good), "exporter" (of the host) or "file".
 * Times are milliseconds since the Unix epoch; "pending" and "dropped" are numbers of spans.
 *
 * Ownership: the caller owns `*json` and releases it with mlflow_text_free.
 * Threads: any thread, at any time. In a forked child it begins anew.
 * Errors: INVALID_ARGUMENT when `tracer` or `json` is NULL.
 * Since: 1.0.
 */
mlflow_status_t mlflow_tracer_get_health(const mlflow_tracer_t *tracer,
                                         mlflow_text_t **json,
                                         mlflow_error_t **error);

/* Diagnostics
 *
 * The library never writes to the program's streams or logs, but for a panic, which is reported on standard
 * error. What else it has to say about itself waits in a bounded ring until the program asks. When the ring is
 * full the oldest message goes, and a message with the same first word comes at most every 30 s.
 *
 *     mlflow_text_t *message;
 *     while (mlflow_tracer_next_diagnostic(tracer, &message, NULL) == MLFLOW_OK) {
 *         fprintf(stderr, "%s\n", mlflow_text_get(message).ptr);
 *         mlflow_text_free(message);
 *     }
 */

/**
 * Takes the oldest message of the library about itself: a stable word, a colon and text for people. The word
 * "file" tells where traces are written. Every other one is about a problem: "unreachable", "rejected",
 * "refused_spans", "attachment", "queue_full", "file_error", "shutdown", "too_many_spans", "ended_parent",
 * "abandoned", "redaction_failed", "partial_success", "environment", "insecure_tls", "thread", "internal"; more may come.
 *
 * Ownership: the caller owns `*message` and releases it with mlflow_text_free.
 * Threads: any thread, at any time; each message is given once. A forked child has its own ring.
 * Errors: INVALID_ARGUMENT when `tracer` or `message` is NULL; NOT_FOUND when there is none.
 * Since: 1.0.
 */
mlflow_status_t mlflow_tracer_next_diagnostic(const mlflow_tracer_t *tracer,
                                              mlflow_text_t **message,
                                              mlflow_error_t **error);

/**
 * Takes the oldest trace that the memory exporter (option "exporter" with the value "memory") keeps, as JSON:
 * {"info": {...}, "spans": [...]} with MLflow's own field names; "info" is null where another process began the
 * trace. Flush before, to be sure that it is there. Traces that nobody takes stay in memory.
 *
 * Ownership: the caller owns `*json` and releases it with mlflow_text_free.
 * Threads: any thread, at any time; each trace is given once. A forked child has its own.
 * Errors: INVALID_ARGUMENT when `tracer` or `json` is NULL; NOT_FOUND when there is none.
 * Since: 1.0.
 */
mlflow_status_t mlflow_tracer_next_trace(const mlflow_tracer_t *tracer,
                                         mlflow_text_t **json,
                                         mlflow_error_t **error);

/* Attributes
 *
 * Lists of named values, for calls that take several at once. Make them with mlflow_attribute_str,
 * mlflow_attribute_i64, mlflow_attribute_f64, mlflow_attribute_bool and mlflow_attribute_json:
 *
 *     mlflow_attribute_t inputs[] = {
 *         mlflow_attribute_str(MLFLOW_STR("question"), mlflow_str(question)),
 *         mlflow_attribute_i64(MLFLOW_STR("limit"), 5),
 *     };
 *     mlflow_span_set_inputs_fields(span, inputs, 2, NULL);
 */

/** The value of an attribute; `kind` tells which member holds it. */
typedef union mlflow_attribute_data_t {
    /** For MLFLOW_ATTRIBUTE_STR and MLFLOW_ATTRIBUTE_JSON. */
    mlflow_str_t text;
    /** For MLFLOW_ATTRIBUTE_I64 and MLFLOW_ATTRIBUTE_BOOL. */
    int64_t integer;
    /** For MLFLOW_ATTRIBUTE_F64. */
    double number;
} mlflow_attribute_data_t;

/** A named value. */
typedef struct mlflow_attribute_t {
    /** The name, valid UTF-8 and not empty. */
    mlflow_str_t key;
    /** One of MLFLOW_ATTRIBUTE_*; any other number is refused. */
    int32_t kind;
    /** Must be 0. */
    uint32_t reserved;
    /** The value, in the member that belongs to `kind`. */
    mlflow_attribute_data_t data;
} mlflow_attribute_t;

/** JSON null; `data` is not read. */
#define MLFLOW_ATTRIBUTE_NULL 0
/** Text in `data.text`. */
#define MLFLOW_ATTRIBUTE_STR 1
/** A whole number in `data.integer`. */
#define MLFLOW_ATTRIBUTE_I64 2
/** A number in `data.number`; NaN and the infinities are kept as the texts NaN, Infinity, -Infinity. */
#define MLFLOW_ATTRIBUTE_F64 3
/** A truth value in `data.integer`: 0 is false, anything else true. */
#define MLFLOW_ATTRIBUTE_BOOL 4
/** Any JSON value, as text in `data.text`; text that is not JSON is kept as plain text. */
#define MLFLOW_ATTRIBUTE_JSON 5

/** A named text. */
static inline mlflow_attribute_t mlflow_attribute_str(mlflow_str_t key, mlflow_str_t value)
{
    mlflow_attribute_t attribute;
    attribute.key = key;
    attribute.kind = MLFLOW_ATTRIBUTE_STR;
    attribute.reserved = 0;
    attribute.data.text = value;
    return attribute;
}

/** A named whole number. */
static inline mlflow_attribute_t mlflow_attribute_i64(mlflow_str_t key, int64_t value)
{
    mlflow_attribute_t attribute;
    attribute.key = key;
    attribute.kind = MLFLOW_ATTRIBUTE_I64;
    attribute.reserved = 0;
    attribute.data.integer = value;
    return attribute;
}

/** A named number. */
static inline mlflow_attribute_t mlflow_attribute_f64(mlflow_str_t key, double value)
{
    mlflow_attribute_t attribute;
    attribute.key = key;
    attribute.kind = MLFLOW_ATTRIBUTE_F64;
    attribute.reserved = 0;
    attribute.data.number = value;
    return attribute;
}

/** A named truth value: 0 is false, anything else true. */
static inline mlflow_attribute_t mlflow_attribute_bool(mlflow_str_t key, int32_t value)
{
    mlflow_attribute_t attribute = mlflow_attribute_i64(key, value != 0);
    attribute.kind = MLFLOW_ATTRIBUTE_BOOL;
    return attribute;
}

/** A named JSON value, given as text; text that is not JSON is kept as plain text. */
static inline mlflow_attribute_t mlflow_attribute_json(mlflow_str_t key, mlflow_str_t json)
{
    mlflow_attribute_t attribute = mlflow_attribute_str(key, json);
    attribute.kind = MLFLOW_ATTRIBUTE_JSON;
    return attribute;
}

/* Spans
 *
 * A span is a value of 64 bits that the library checks on every call. A handle that is {0}, was never
 * issued, has ended, or belongs to the parent of a forked process gives MLFLOW_ERROR_INVALID_STATE and does
 * nothing else. Recording calls never block and never do I/O; a program may ignore what they return.
 *
 * The caller says which span is the parent (Current span below helps); one without a parent is the root of a new
 * trace. A trace is complete, and ready to be sent, when its root and all its other spans have ended.
 */

/** A span, from mlflow_span_start until mlflow_span_end. {0} is no span. */
typedef struct mlflow_span_t {
    /** Opaque; 0 is no span. */
    uint64_t id;
} mlflow_span_t;

/**
 * What mlflow_span_start may be told beyond the name. Start from MLFLOW_SPAN_OPTIONS_INIT: all is 0 but the size.
 *
 * Later versions add members at the end; `struct_size` tells which ones the caller knows.
 */
typedef struct mlflow_span_options_t {
    /** sizeof(mlflow_span_options_t). */
    size_t struct_size;
    /** The span type, for instance "LLM", "TOOL", "RETRIEVER" or one of your own; empty is UNKNOWN. */
    mlflow_str_t span_type;
    /** The parent. Without one, {0}, the span becomes a root; so it does under a parent that is no longer live. */
    mlflow_span_t parent;
    /**
     * The `traceparent` header of an incoming request, used when `parent` is {0}: the span becomes a child of
     * the other process's. A malformed one, or one with an id of zeros, is ignored, as W3C Trace Context
     * asks: the span becomes a root.
     */
    mlflow_str_t traceparent;
    /** The `tracestate` header that came with it; a malformed one is ignored. */
    mlflow_str_t tracestate;
    /** When the span started, in nanoseconds since the Unix epoch; 0 is now, and beyond INT64_MAX is INT64_MAX. */
    uint64_t start_time_ns;
    /** Attributes to begin with, which processors see at the start; may be NULL when there is none. */
    const mlflow_attribute_t *attributes;
    /** The number of `attributes`. */
    size_t attribute_count;
    /** Whether `sampling_ratio` counts: 0 is no, anything else yes. */
    int32_t has_sampling_ratio;
    /** Must be 0. */
    uint32_t reserved;
    /**
     * The probability, from 0 to 1, with which the new trace is recorded, instead of the option
     * "sampling.ratio"; ignored for a span that is no root.
     */
    double sampling_ratio;
} mlflow_span_options_t;

/** Options that ask for nothing: mlflow_span_options_t options = MLFLOW_SPAN_OPTIONS_INIT; */
#define MLFLOW_SPAN_OPTIONS_INIT                                                                   \
    {                                                                                              \
        sizeof(mlflow_span_options_t), {NULL, 0}, {0}, {NULL, 0}, {NULL, 0}, 0, NULL, 0, 0, 0, 0   \
    }

/**
 * Starts a span. `options` may be NULL; the span is then the root of a new trace.
 *
 * On failure `*span` becomes {0}, so that later calls on it do nothing. After mlflow_tracer_shutdown, and while
 * a million spans are live, the status is MLFLOW_OK and the span is not recorded; that is counted, as "ignored"
 * or as "dropped.too_many_spans". Where the trace is not sampled, the status is MLFLOW_OK, and calls on the span
 * and its children succeed without effect.
 *
 * Ownership: end the span with mlflow_span_end; `name`, `options` and all that it leads to are copied.
 * Threads: any thread, at any time, also in a forked child.
 * Errors: INVALID_ARGUMENT when `tracer` or `span` is NULL, for a bad length, attribute or `sampling_ratio`, or
 * for a `struct_size` that no version had.
 * Since: 1.0.
 */
mlflow_status_t mlflow_span_start(const mlflow_tracer_t *tracer,
                                  mlflow_str_t name,
                                  const mlflow_span_options_t *options,
                                  mlflow_span_t *span,
                                  mlflow_error_t **error);

/**
 * Ends a span now. A status that is not ERROR becomes OK. Its handle, and every copy, is no longer live.
 *
 * Ownership: takes the span; nothing is left to release.
 * Threads: any thread, at any time, also in a forked child for its own spans; of several threads that end one
 * span exactly one succeeds.
 * Errors: INVALID_STATE when the span is not live.
 * Since: 1.0.
 */
mlflow_status_t mlflow_span_end(mlflow_span_t span, mlflow_error_t **error);

/**
 * As mlflow_span_end, at `end_time_ns` nanoseconds since the Unix epoch; 0 is now, a time before the span's
 * start counts as that start, and one beyond INT64_MAX as INT64_MAX.
 *
 * Ownership: takes the span; nothing is left to release.
 * Threads: any thread, at any time, also in a forked child for its own spans; of several threads that end one
 * span exactly one succeeds.
 * Errors: INVALID_STATE when the span is not live.
 * Since: 1.0.
 */
mlflow_status_t mlflow_span_end_at(mlflow_span_t span,
                                   uint64_t end_time_ns,
                                   mlflow_error_t **error);

/* Recording
 *
 * What a live span can be told. Setting the same thing again replaces it; events and exceptions add up.
 */

/** No status was set; becomes OK when the span ends. */
#define MLFLOW_SPAN_STATUS_UNSET 0
/** The span succeeded. */
#define MLFLOW_SPAN_STATUS_OK 1
/** The span failed. */
#define MLFLOW_SPAN_STATUS_ERROR 2

/**
 * Tells whether the span is live and recorded: 1 or 0. Where it is not, because its trace is not sampled for instance,
 * a program may save itself the work of describing it.
 *
 * Ownership: none.
 * Threads: any thread, at any time, also in a forked child.
 * Errors: none.
 * Since: 1.0.
 */
int32_t mlflow_span_get_recording(mlflow_span_t span);

/**
 * Renames the span.
 *
 * Ownership: `name` is copied.
 * Threads: any thread, at any time, also in a forked child for its own spans.
 * Errors: INVALID_ARGUMENT for a bad length; INVALID_STATE when the span is not live.
 * Since: 1.0.
 */
mlflow_status_t mlflow_span_set_name(mlflow_span_t span,
                                     mlflow_str_t name,
                                     mlflow_error_t **error);

/**
 * Sets the span type, for instance "LLM", "TOOL", "RETRIEVER" or one of your own.
 *
 * Ownership: `span_type` is copied.
 * Threads: any thread, at any time, also in a forked child for its own spans.
 * Errors: INVALID_ARGUMENT for a bad length; INVALID_STATE when the span is not live.
 * Since: 1.0.
 */
mlflow_status_t mlflow_span_set_type(mlflow_span_t span,
                                     mlflow_str_t span_type,
                                     mlflow_error_t **error);

/**
 * Sets the inputs to any JSON value, given as text; text that is not JSON is kept as plain text.
 *
 * Ownership: `json` is copied.
 * Threads: any thread, at any time, also in a forked child for its own spans.
 * Errors: INVALID_ARGUMENT for a bad length; INVALID_STATE when the span is not live.
 * Since: 1.0.
 */
mlflow_status_t mlflow_span_set_inputs(mlflow_span_t span,
                                       mlflow_str_t json,
                                       mlflow_error_t **error);

/**
 * Sets the inputs to plain text.
 *
 * Ownership: `text` is copied.
 * Threads: any thread, at any time, also in a forked child for its own spans.
 * Errors: INVALID_ARGUMENT for a bad length; INVALID_STATE when the span is not live.
 * Since: 1.0.
 */
mlflow_status_t mlflow_span_set_inputs_str(mlflow_span_t span,
                                           mlflow_str_t text,
                                           mlflow_error_t **error);

/**
 * Sets the inputs to a JSON object of `count` named values.
 *
 * Ownership: `fields` and their texts are copied.
 * Threads: any thread, at any time, also in a forked child for its own spans.
 * Errors: INVALID_ARGUMENT for NULL with a `count`, or a field with a bad length, key or kind; INVALID_STATE
 * when the span is not live.
 * Since: 1.0.
 */
mlflow_status_t mlflow_span_set_inputs_fields(mlflow_span_t span,
                                              const mlflow_attribute_t *fields,
                                              size_t count,
                                              mlflow_error_t **error);

/**
 * Sets the outputs to any JSON value, given as text; text that is not JSON is kept as plain text.
 *
 * Ownership: `json` is copied.
 * Threads: any thread, at any time, also in a forked child for its own spans.
 * Errors: INVALID_ARGUMENT for a bad length; INVALID_STATE when the span is not live.
 * Since: 1.0.
 */
mlflow_status_t mlflow_span_set_outputs(mlflow_span_t span,
                                        mlflow_str_t json,
                                        mlflow_error_t **error);

/**
 * Sets the outputs to plain text.
 *
 * Ownership: `text` is copied.
 * Threads: any thread, at any time, also in a forked child for its own spans.
 * Errors: INVALID_ARGUMENT for a bad length; INVALID_STATE when the span is not live.
 * Since: 1.0.
 */
mlflow_status_t mlflow_span_set_outputs_str(mlflow_span_t span,
                                            mlflow_str_t text,
                                            mlflow_error_t **error);

/**
 * Sets the outputs to a JSON object of `count` named values.
 *
 * Ownership: `fields` and their texts are copied.
 * Threads: any thread, at any time, also in a forked child for its own spans.
 * Errors: INVALID_ARGUMENT for NULL with a `count`, or a field with a bad length, key or kind; INVALID_STATE
 * when the span is not live.
 * Since: 1.0.
 */
mlflow_status_t mlflow_span_set_outputs_fields(mlflow_span_t span,
                                               const mlflow_attribute_t *fields,
                                               size_t count,
                                               mlflow_error_t **error);

/**
 * Sets an attribute to text.
 *
 * Ownership: `key` and `value` are copied.
 * Threads: any thread, at any time, also in a forked child for its own spans.
 * Errors: INVALID_ARGUMENT for a bad length or a key that is empty or not UTF-8; INVALID_STATE when the
 * span is not live.
 * Since: 1.0.
 */
mlflow_status_t mlflow_span_set_attribute_str(mlflow_span_t span,
                                              mlflow_str_t key,
                                              mlflow_str_t value,
                                              mlflow_error_t **error);

/**
 * Sets an attribute to a whole number.
 *
 * Ownership: `key` is copied.
 * Threads: any thread, at any time, also in a forked child for its own spans.
 * Errors: INVALID_ARGUMENT for a bad length or a key that is empty or not UTF-8; INVALID_STATE when the
 * span is not live.
 * Since: 1.0.
 */
mlflow_status_t mlflow_span_set_attribute_i64(mlflow_span_t span,
                                              mlflow_str_t key,
                                              int64_t value,
                                              mlflow_error_t **error);

/**
 * Sets an attribute to a floating-point number; NaN and the infinities are kept as the texts NaN,
 * Infinity and -Infinity.
 *
 * Ownership: `key` is copied.
 * Threads: any thread, at any time, also in a forked child for its own spans.
 * Errors: INVALID_ARGUMENT for a bad length or a key that is empty or not UTF-8; INVALID_STATE when the
 * span is not live.
 * Since: 1.0.
 */
mlflow_status_t mlflow_span_set_attribute_f64(mlflow_span_t span,
                                              mlflow_str_t key,
                                              double value,
                                              mlflow_error_t **error);

/**
 * Sets an attribute to a truth value: 0 is false, anything else true.
 *
 * Ownership: `key` is copied.
 * Threads: any thread, at any time, also in a forked child for its own spans.
 * Errors: INVALID_ARGUMENT for a bad length or a key that is empty or not UTF-8; INVALID_STATE when the
 * span is not live.
 * Since: 1.0.
 */
mlflow_status_t mlflow_span_set_attribute_bool(mlflow_span_t span,
                                               mlflow_str_t key,
                                               int32_t value,
                                               mlflow_error_t **error);

/**
 * Sets an attribute to any JSON value, given as text; text that is not JSON is kept as plain text.
 *
 * Ownership: `key` and `json` are copied.
 * Threads: any thread, at any time, also in a forked child for its own spans.
 * Errors: INVALID_ARGUMENT for a bad length or a key that is empty or not UTF-8; INVALID_STATE when the
 * span is not live.
 * Since: 1.0.
 */
mlflow_status_t mlflow_span_set_attribute_json(mlflow_span_t span,
                                               mlflow_str_t key,
                                               mlflow_str_t json,
                                               mlflow_error_t **error);

/**
 * Sets `count` attributes at once. A bad one does not keep the others from being set; the status is that of
 * the first failure.
 *
 * Ownership: `attributes` and their texts are copied.
 * Threads: any thread, at any time, also in a forked child for its own spans.
 * Errors: INVALID_ARGUMENT for NULL with a `count`, or an attribute with a bad length, key or kind;
 * INVALID_STATE when the span is not live.
 * Since: 1.0.
 */
mlflow_status_t mlflow_span_set_attributes(mlflow_span_t span,
                                           const mlflow_attribute_t *attributes,
                                           size_t count,
                                           mlflow_error_t **error);

/**
 * Adds an event with `count` attributes, at `time_ns` nanoseconds since the Unix epoch; 0 is now.
 *
 * Ownership: `name`, `attributes` and their texts are copied.
 * Threads: any thread, at any time, also in a forked child for its own spans.
 * Errors: INVALID_ARGUMENT for a bad name, NULL with a `count`, or an attribute with a bad length, key or kind;
 * INVALID_STATE when the span is not live.
 * Since: 1.0.
 */
mlflow_status_t mlflow_span_add_event(mlflow_span_t span,
                                      mlflow_str_t name,
                                      uint64_t time_ns,
                                      const mlflow_attribute_t *attributes,
                                      size_t count,
                                      mlflow_error_t **error);

/**
 * Links the span to another one, of this trace or any other, by its ids as mlflow_span_get_trace_id and
 * mlflow_span_get_span_id give them; the trace id may lack its "tr-", as in a `traceparent`. `count` attributes describe
 * the link.
 *
 * Ownership: the ids, `attributes` and their texts are copied.
 * Threads: any thread, at any time, also in a forked child for its own spans.
 * Errors: INVALID_ARGUMENT for a bad id, NULL with a `count`, or an attribute with a bad length, key or kind;
 * INVALID_STATE when the span is not live.
 * Since: 1.0.
 */
mlflow_status_t mlflow_span_add_link(mlflow_span_t span,
                                     mlflow_str_t trace_id,
                                     mlflow_str_t span_id,
                                     const mlflow_attribute_t *attributes,
                                     size_t count,
                                     mlflow_error_t **error);

/**
 * Records an exception: adds an event called "exception" and sets the status to ERROR, with the message
 * "<exception_type>: <message>". `stacktrace` may be empty.
 *
 * Ownership: the texts are copied.
 * Threads: any thread, at any time, also in a forked child for its own spans.
 * Errors: INVALID_ARGUMENT for a bad length; INVALID_STATE when the span is not live.
 * Since: 1.0.
 */
mlflow_status_t mlflow_span_record_exception(mlflow_span_t span,
                                             mlflow_str_t exception_type,
                                             mlflow_str_t message,
                                             mlflow_str_t stacktrace,
                                             mlflow_error_t **error);

/**
 * Sets the status to one of MLFLOW_SPAN_STATUS_*; `message` is kept for ERROR alone.
 *
 * Ownership: `message` is copied.
 * Threads: any thread, at any time, also in a forked child for its own spans.
 * Errors: INVALID_ARGUMENT for a bad length or an unknown status; INVALID_STATE when the span is not live.
 * Since: 1.0.
 */
mlflow_status_t mlflow_span_set_status(mlflow_span_t span,
                                       int32_t status,
                                       mlflow_str_t message,
                                       mlflow_error_t **error);

/* Current span
 *
 * Each thread keeps a stack of the spans that were entered on it, for code that is not handed its parent. A span
 * becomes nobody's parent by itself: the caller says so.
 *
 *     mlflow_span_enter(request, NULL);
 *     ...
 *     mlflow_span_options_t options = MLFLOW_SPAN_OPTIONS_INIT;
 *     options.parent = mlflow_span_get_current();
 *     mlflow_span_start(tracer, MLFLOW_STR("query"), &options, &query, NULL);
 *     ...
 *     mlflow_span_exit(request, NULL);
 *
 * A span may be entered on several threads, and several times on one. What ended without an exit is passed over.
 */

/**
 * Makes a span the current one of this thread until mlflow_span_exit.
 *
 * Ownership: none; it does not keep the span from ending.
 * Threads: any thread, for that thread alone; also in a forked child, which has the stack of the thread that
 * forked, without its parent's spans.
 * Errors: INVALID_STATE when the span is not live, or its thread is about to end; CAPACITY when 65536 live spans are
 * entered on this thread.
 * Since: 1.0.
 */
mlflow_status_t mlflow_span_enter(mlflow_span_t span,
                                  mlflow_error_t **error);

/**
 * Takes a span off this thread's stack: the innermost of its entries, also when others were entered after it.
 *
 * Ownership: none.
 * Threads: any thread, for that thread alone; also in a forked child.
 * Errors: INVALID_STATE when the span is not entered on this thread.
 * Since: 1.0.
 */
mlflow_status_t mlflow_span_exit(mlflow_span_t span, mlflow_error_t **error);

/**
 * Tells the innermost live span that was entered on this thread; {0}, no span, when there is none.
 *
 * Ownership: none; the span is still its starter's to end.
 * Threads: any thread, at any time, also in a forked child.
 * Errors: none.
 * Since: 1.0.
 */
mlflow_span_t mlflow_span_get_current(void);

/* Attachments
 *
 * Images, audio and other content that is stored beside the spans of a trace. Inputs or outputs hold its URI,
 * which MLflow's user interface resolves:
 *
 *     char uri[MLFLOW_ATTACHMENT_URI_CAPACITY];
 *     mlflow_span_attach(span, MLFLOW_STR("image/png"), png, png_size, uri, sizeof uri, NULL, NULL);
 *     mlflow_attribute_t image = mlflow_attribute_str(MLFLOW_STR("image"), mlflow_str(uri));
 *     mlflow_span_set_inputs_fields(span, &image, 1, NULL);
 *
 * docs/attachments.md tells where content goes, and which is found without being attached.
 */

/**
 * The capacity of a buffer for the URI of any attachment and its NUL whose content type has up to 255 bytes,
 * which is all that RFC 6838 permits without parameters.
 */
#define MLFLOW_ATTACHMENT_URI_CAPACITY 1024

/**
 * Stores `size` bytes of a content type such as "image/png" with the trace, and copies their URI into `buffer`
 * (see Text above). What no inputs or outputs of a span refer to by its URI is not sent.
 *
 * When the URI does not fit, nothing is stored; each call that succeeds stores an attachment of its own. Where
 * the trace is not sampled there is a URI, and nothing is stored.
 *
 * Ownership: `content_type` and `bytes` are copied.
 * Threads: any thread, at any time, also in a forked child for its own spans.
 * Errors: INVALID_ARGUMENT for a content type that is empty, has a bad length or is not UTF-8, for a bad `size`
 * (above PTRDIFF_MAX, or any but 0 with NULL) or a bad buffer; INVALID_STATE when the span is not live;
 * BUFFER_TOO_SMALL.
 * Since: 1.0.
 */
mlflow_status_t mlflow_span_attach(mlflow_span_t span,
                                   mlflow_str_t content_type,
                                   const void *bytes,
                                   size_t size,
                                   char *buffer,
                                   size_t capacity,
                                   size_t *length,
                                   mlflow_error_t **error);

/* Traces
 *
 * What belongs to the whole trace is set through any live span of it. Where another process began the trace (see
 * `traceparent` in mlflow_span_options_t), that process tells the server of it: here such calls have no effect.
 */

/**
 * Sets a tag of the trace. Tags may still be changed on the server later. A key is cut to 250 characters, a
 * value to 4096.
 *
 * Ownership: `key` and `value` are copied.
 * Threads: any thread, at any time, also in a forked child for its own spans.
 * Errors: INVALID_ARGUMENT for a bad length or a key that is empty or not UTF-8; INVALID_STATE when the span
 * is not live.
 * Since: 1.0.
 */
mlflow_status_t mlflow_trace_set_tag(mlflow_span_t span,
                                     mlflow_str_t key,
                                     mlflow_str_t value,
                                     mlflow_error_t **error);

/**
 * Sets a metadata entry of the trace. Metadata cannot be changed once the trace is sent. Key and value are cut
 * to 250 characters.
 *
 * Ownership: `key` and `value` are copied.
 * Threads: any thread, at any time, also in a forked child for its own spans.
 * Errors: INVALID_ARGUMENT for a bad length or a key that is empty or not UTF-8; INVALID_STATE when the span
 * is not live.
 * Since: 1.0.
 */
mlflow_status_t mlflow_trace_set_metadata(mlflow_span_t span,
                                          mlflow_str_t key,
                                          mlflow_str_t value,
                                          mlflow_error_t **error);

/**
 * Sets a field of the trace: "session_id", "user", "client_request_id", "request_preview",
 * "response_preview", "model_id", or "state" ("OK" or "ERROR", instead of what the root's status says). An
 * empty value changes nothing; an empty state is an error.
 *
 * Ownership: `field` and `value` are copied.
 * Threads: any thread, at any time, also in a forked child for its own spans.
 * Errors: INVALID_ARGUMENT for a bad length, an unknown field or state; INVALID_STATE when the span is not
 * live.
 * Since: 1.0.
 */
mlflow_status_t mlflow_trace_set(mlflow_span_t span,
                                 mlflow_str_t field,
                                 mlflow_str_t value,
                                 mlflow_error_t **error);

/* Identity and propagation
 *
 * To continue a trace in another process, send what mlflow_span_inject gives as HTTP headers; there, put
 * them into `traceparent` and `tracestate` of mlflow_span_options_t.
 *
 * Several `tracestate` headers of one request are one list: join them with commas in their order. Several
 * `traceparent` headers are as good as none. Baggage is the host's to pass on.
 */

/** The capacity of a buffer for any trace id and its NUL. */
#define MLFLOW_TRACE_ID_CAPACITY 36
/** The capacity of a buffer for any span id and its NUL. */
#define MLFLOW_SPAN_ID_CAPACITY 17
/** The capacity of a buffer for any `traceparent` and its NUL. */
#define MLFLOW_TRACEPARENT_CAPACITY 56

/**
 * Copies the id of the span's trace into `buffer` (see Text above), as MLflow spells it: "tr-" and 32 hex
 * digits.
 *
 * Ownership: none.
 * Threads: any thread, at any time, also in a forked child for its own spans.
 * Errors: INVALID_ARGUMENT for a bad buffer; INVALID_STATE when the span is not live; NOT_FOUND when its trace
 * began here and is not sampled; BUFFER_TOO_SMALL.
 * Since: 1.0.
 */
mlflow_status_t mlflow_span_get_trace_id(mlflow_span_t span,
                                         char *buffer,
                                         size_t capacity,
                                         size_t *length,
                                         mlflow_error_t **error);

/**
 * Copies the id of the span into `buffer` (see Text above): 16 hex digits.
 *
 * Ownership: none.
 * Threads: any thread, at any time, also in a forked child for its own spans.
 * Errors: INVALID_ARGUMENT for a bad buffer; INVALID_STATE when the span is not live; NOT_FOUND when its trace
 * began here and is not sampled; BUFFER_TOO_SMALL.
 * Since: 1.0.
 */
mlflow_status_t mlflow_span_get_span_id(mlflow_span_t span,
                                        char *buffer,
                                        size_t capacity,
                                        size_t *length,
                                        mlflow_error_t **error);

/**
 * Copies the id of the trace of this thread's current span into `buffer` (see Text and Current span above), as
 * mlflow_span_get_trace_id does for any span.
 *
 * Ownership: none.
 * Threads: any thread, at any time, also in a forked child for its own spans.
 * Errors: INVALID_ARGUMENT for a bad buffer; NOT_FOUND when this thread has no current span, or its trace began here and
 * is not sampled; BUFFER_TOO_SMALL.
 * Since: 1.0.
 */
mlflow_status_t mlflow_trace_get_active_id(char *buffer,
                                           size_t capacity,
                                           size_t *length,
                                           mlflow_error_t **error);

/**
 * Copies the id of the trace that this thread ended last into `buffer` (see Text above): the one whose root it ended,
 * or the last open span of one that began in another process.
 *
 * Ownership: none.
 * Threads: any thread, at any time; a forked child has ended none at first.
 * Errors: INVALID_ARGUMENT for a bad buffer; NOT_FOUND when this thread has ended no recorded trace;
 * BUFFER_TOO_SMALL.
 * Since: 1.0.
 */
mlflow_status_t mlflow_trace_get_last_id(char *buffer,
                                         size_t capacity,
                                         size_t *length,
                                         mlflow_error_t **error);

/**
 * Copies the value of the outgoing header that `header` names into `buffer` (see Text above). "traceparent"
 * always exists, "tracestate" only where the trace came with one. Upper and lower case are the same.
 *
 * Where the trace is not sampled, "traceparent" says so to the other process: with the ids of a trace that came
 * from elsewhere, and of one that began here with new ids in each call.
 *
 * Ownership: none.
 * Threads: any thread, at any time, also in a forked child for its own spans.
 * Errors: INVALID_ARGUMENT for a bad name or buffer; INVALID_STATE when the span is not live; NOT_FOUND when the
 * span has no such header; BUFFER_TOO_SMALL.
 * Since: 1.0.
 */
mlflow_status_t mlflow_span_inject(mlflow_span_t span,
                                   mlflow_str_t header,
                                   char *buffer,
                                   size_t capacity,
                                   size_t *length,
                                   mlflow_error_t **error);

/* Span processors
 *
 * A program may see every recorded span when it starts and just before it ends, to set what all spans should
 * carry or to take out what must not be sent:
 *
 *     static int32_t add_region(void *user_data, mlflow_span_t span, int32_t moment)
 *     {
 *         const char *region = user_data;
 *         if (moment != MLFLOW_PROCESSOR_START)
 *             return 0;
 *         return mlflow_span_set_attribute_str(span, MLFLOW_STR("region"), mlflow_str(region), NULL);
 *     }
 *
 *     mlflow_config_add_processor(config, add_region, "eu-1", NULL, NULL);
 */

/**
 * Sees a span; `moment` is one of MLFLOW_PROCESSOR_*. 0 is success. Anything else says that the span may still
 * hold what must not be sent: what the option "capture_content" takes out where it is false is replaced by
 * "[redaction failed]".
 */
typedef int32_t (*mlflow_processor_t)(void *user_data, mlflow_span_t span, int32_t moment);

/** Releases the user data of a callback. */
typedef void (*mlflow_user_data_free_t)(void *user_data);

/** The span has started, with the attributes that it was started with. */
#define MLFLOW_PROCESSOR_START 1
/** The span is about to end. */
#define MLFLOW_PROCESSOR_END 2

/**
 * Has `processor` called at the start and at the end of every recorded span of the tracers that are made from
 * the configuration later. Several processors are called in the order in which they were added, also after one
 * that failed, which is counted as "redaction_failed".
 *
 * It is called on the thread that starts or ends the span, or on the tracer's for a span that the library ends
 * (options "trace.timeout_s", "trace.ttl_s", "trace.max_open"), possibly on several at once, and no lock is held.
 * It may call any function with the span but mlflow_span_end and mlflow_span_end_at; those, and recording on the
 * span by other threads meanwhile, give MLFLOW_ERROR_INVALID_STATE. It must return: not throw, jump or end the
 * thread. A span that it starts is shown to it as well. It must not wait for the tracer, with mlflow_tracer_flush
 * or mlflow_tracer_shutdown. Redaction by options comes after it.
 *
 * Ownership: takes `user_data`, unless it fails. `free_user_data` (optional) is called with it once: when the
 * configuration and all tracers made from it are freed and no call is under way, on the thread for which that
 * comes true. In a forked child it may be left out.
 * Threads: any thread, at any time; in a forked child as said of configurations.
 * Errors: INVALID_ARGUMENT when `config` or `processor` is NULL; in the latter case it counts as one that always fails.
 * Since: 1.0.
 */
mlflow_status_t mlflow_config_add_processor(const mlflow_config_t *config,
                                            mlflow_processor_t processor,
                                            void *user_data,
                                            mlflow_user_data_free_t free_user_data,
                                            mlflow_error_t **error);

/* Spans from elsewhere
 *
 * For a host that records by other means, such as an OpenTelemetry SDK of any language: it hands over the batches that
 * it would send to a collector.
 */

/**
 * Takes the spans of an OTLP ExportTraceServiceRequest (version 1) in protobuf, `size` bytes, not compressed, and
 * treats them as its own: redaction by options, limits, attachments, statistics. Span processors and sampling are not
 * asked. Nothing blocks.
 *
 * The spans of a trace wait for its root, at most five minutes, and are sent as one trace; they do not wait where
 * one's flags say that its parent is in another process (OTLP 1.1). mlflow_tracer_flush and mlflow_tracer_shutdown send
 * what waits as it is. The tracer's resource is used, not the request's.
 *
 * `*accepted` (optional) receives the number of spans in the request.
 *
 * Ownership: `request` is copied.
 * Threads: any thread, at any time, also in a forked child, which has nothing of what its parent took.
 * Errors: INVALID_ARGUMENT when `tracer` is NULL, for a bad `size` (above PTRDIFF_MAX, or any but 0 with NULL) and for
 * bytes that are no such request, of which nothing is taken; REJECTED when spans were left out because their ids are
 * zero or in use, and the others taken; INVALID_STATE after mlflow_tracer_shutdown.
 * Since: 1.0.
 */
mlflow_status_t mlflow_tracer_submit_otlp(const mlflow_tracer_t *tracer,
                                          const void *request,
                                          size_t size,
                                          uint64_t *accepted,
                                          mlflow_error_t **error);

/* Reading and annotating
 *
 * A client of the tracer's server reads what was recorded there and says things about it; without a server, it reads
 * the files in "file.directory". mlflow_client_call makes every call that there is, by the method's name, with
 * arguments and result as JSON. Entities are in MLflow's own JSON (Trace.to_dict, Assessment.to_dictionary), pages are
 * {"items": [], "next_page_token": null, "unreadable": []}, and bytes are in base64. Later versions may add methods,
 * arguments and members. docs/reading.md says more.
 *
 *     method                                      arguments ("?": may be left out)                result
 *     get_trace_info, get_trace                   trace_id                                        information; trace
 *     get_traces                                  trace_ids                                       list of traces
 *     search_traces                               locations?, filter?, order_by?, max_results?,   page of traces
 *                                                 page_token?, include_spans?, run_id?, model_id?
 *     delete_traces                               experiment_id, trace_ids; or experiment_id,     number
 *                                                 max_timestamp_millis, max_traces?
 *     set_trace_tag                               trace_id, key, value                            null
 *     delete_trace_tag                            trace_id, key                                   null
 *     link_traces_to_run                          trace_ids, run_id                               null
 *     create_trace                                trace_info                                      information
 *     upload_trace_data                           trace_info, trace_data                          null
 *     export_spans                                experiment_id, content (OTLP)                   null
 *     import_trace                                trace, experiment_id                            information
 *     log_assessment                              trace_id, assessment                            assessment
 *     get_assessment                              trace_id, assessment_id                         assessment
 *     update_assessment, override_feedback        trace_id, assessment_id, assessment             assessment
 *     delete_assessment                           trace_id, assessment_id                         null
 *     download_attachment                         trace_id, attachment_id                         base64
 *     upload_attachment                           trace_id, attachment_id, content                null
 *     create_experiment                           name, artifact_location?, tags?                 id
 *     find_experiment, find_experiment_by_name    experiment_id; name                             experiment; or null
 *     search_experiments                          view_type?, filter?, order_by?, max_results?,   page of experiments
 *                                                 page_token?
 *     delete_experiment                           experiment_id                                   null
 */

/**
 * Calls a method of the client and waits for its result, which is JSON: each request at most the option
 * "http.timeout_ms", a call perhaps several. `arguments` is a JSON object, or empty for a call without any.
 *
 * What a call says about a trace that the tracer still records is kept with it and sent along; redaction applies.
 * A trace that the server does not know, while there is something to deliver, is delivered first. A tracer that was
 * shut down can still be asked.
 *
 * Ownership: the caller owns `*json` and releases it with mlflow_text_free; `method` and `arguments` are copied.
 * Threads: any thread, at any time, also in a forked child; blocks only the caller.
 * Errors: INVALID_ARGUMENT when `tracer` or `json` is NULL, for a bad length, text that is not UTF-8, an unknown
 * method, and for arguments that are no JSON object or not those of the method; NOT_FOUND for what there is not, or
 * not yet; DELETED; INVALID_FILTER in the server's words; UNAUTHORIZED; UNSUPPORTED when the server is too old, or
 * when there is none and files cannot do it; BAD_REPLY; DAMAGED; TRANSPORT when the server cannot be reached;
 * INVALID_CONFIG when the options do not lead to a server; REJECTED for anything else that the server refuses.
 * Since: 1.0.
 */
mlflow_status_t mlflow_client_call(const mlflow_tracer_t *tracer,
                                   mlflow_str_t method,
                                   mlflow_str_t arguments,
                                   mlflow_text_t **json,
                                   mlflow_error_t **error);

/* Model providers
 *
 * Reads what programs send to model providers and what comes back, and says it as MLflow records it: for programs that
 * trace their calls of models by themselves. Nothing is sent. docs/c.md has an example.
 *
 *     dialect              of the provider's HTTP interface
 *     openai.chat          POST /v1/chat/completions, which Groq, Mistral, vLLM and many more have, too
 *     openai.responses     POST /v1/responses
 *     openai.completions   POST /v1/completions
 *     openai.embeddings    POST /v1/embeddings
 *     anthropic            POST /v1/messages
 *     gemini               generateContent, streamGenerateContent
 *     bedrock.converse     Converse, ConverseStream; an event is an object whose one member is named after its type
 *     ollama               POST /api/chat, /api/generate, /api/embed
 *
 *     question             text                  answer, whose members are there if there is something to say
 *     request              a request             {"model", "tools"}
 *     reply                a reply               {"usage", "model", "error"}
 *     fold                 a streamed reply      what the reply would have been without streaming; or null
 *
 * "tools", "usage" and "model" are for the attributes "mlflow.chat.tools", "mlflow.chat.tokenUsage" and
 * "mlflow.llm.model", where the model of the reply comes before that of the request; "error" is for the status. A
 * streamed reply is its body as it came, server-sent events or lines of JSON, or a list of the events; of one that was
 * cut, what there was.
 */

/**
 * Answers a question about a request or a reply. The answer is JSON. What is not understood is left out of it and is no
 * error, nor is text that is no JSON: providers change their formats.
 *
 * Ownership: the caller owns `*json` and releases it with mlflow_text_free; the other texts are copied.
 * Threads: any thread, at any time, also in a forked child.
 * Errors: INVALID_ARGUMENT when `json` is NULL, for a bad length, and for a dialect or a question that does not exist.
 * Since: 1.0.
 */
mlflow_status_t mlflow_dialect_ask(mlflow_str_t dialect,
                                   mlflow_str_t question,
                                   mlflow_str_t text,
                                   mlflow_text_t **json,
                                   mlflow_error_t **error);

/* Testing
 *
 * For a program that wants to see the library's last line of defence work.
 */

/**
 * Panics inside the library on purpose. The panic is caught, counted in the statistic "panics" and returned as
 * a status; the process goes on. Like any panic it is first reported on standard error.
 *
 * Ownership: none.
 * Threads: any thread, at any time, also in a forked child.
 * Errors: always PANIC.
 * Since: 1.0.
 */
mlflow_status_t mlflow_panic_provoke(mlflow_error_t **error);

#ifdef __cplusplus
} /* extern "C" */
#endif

#endif /* MLFLOW_TRACE_H */
