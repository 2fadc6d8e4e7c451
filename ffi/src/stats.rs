//! Statistics
//!
//! created = delivered + dropped + pending, counted in spans. While a batch is being delivered, spans of it may
//! be counted both as delivered and as pending.

use mlflow_trace_core::{Error, ErrorKind, MirrorStats, Stats};

use crate::counters;
use crate::error::mlflow_error_t;
use crate::guard::{Failure, guard};
use crate::handle;
use crate::status::mlflow_status_t;
use crate::text::{mlflow_str_t, mlflow_text_t};
use crate::tracer::mlflow_tracer_t;

/// Reads one counter of the tracer: "created", "delivered", "pending", "dropped" (the sum) or "dropped.<reason>",
/// with the reasons that mlflow_tracer_get_stats lists, for instance "dropped.unsampled"; "abandoned" (spans that
/// the library ended because the program did not), "redaction_failed" (spans whose content was withheld) or "odd_2xx"
/// (replies of success that made no sense, as of a proxy that answers in the server's place). With "mirror." before the
/// first four, the same of the copies that dual export sends to a collector; 0 without it. With a spool (option
/// "spool") "spooled", those of "pending" that are on disk and not in memory; "spool_degraded", 1 while what ends is in
/// memory alone; and of the spans that other processes left there "recovered.adopted", "recovered.delivered",
/// "recovered.dropped" and "recovered.pending", which are in none of the others; 0 without it. Or one of the whole process:
/// "ignored" (recording calls without effect, for instance on an ended span), "panics"
/// (caught before they reached the program) or "invalid_utf8" (values with bytes replaced).
///
/// Ownership: none.
/// Threads: any thread, at any time. In a forked child the tracer's counters start at 0; the process's go on.
/// Errors: INVALID_ARGUMENT when `tracer` or `value` is NULL or for a bad name; NOT_FOUND naming an unknown
/// counter.
/// Since: 1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlflow_tracer_get_stat(
    tracer: *const mlflow_tracer_t,
    name: mlflow_str_t,
    value: *mut u64,
    error: *mut *mut mlflow_error_t,
) -> mlflow_status_t {
    // SAFETY: by the header's contract `error` is NULL or writable, `tracer` is not freed, `name` is readable
    // and `value` is writable; `borrow` and `output` refuse NULL.
    unsafe {
        guard(error, || {
            let tracer = handle::borrow(tracer, "tracer")?;
            let name = name.key("name")?;
            let output = handle::output(value, "value")?;
            output.write(counter(name, || tracer.tracer.stats())?);
            Ok(())
        })
    }
}

/// Reads "ignored" and every counter of the tracer at once, as JSON:
/// {"created": 3, "delivered": 2, "pending": 1, "dropped": {"queue_full": 0, ...}, "ignored": 0, "abandoned": 0,
/// "redaction_failed": 0, "odd_2xx": 0}; with dual export also "mirror", with the first four for the copies;
/// with a spool also "spooled", "spool_degraded" and "recovered": {"adopted": 0, "delivered": 0, "pending": 0, "dropped": 0}.
///
/// Ownership: the caller owns `*json` and releases it with mlflow_text_free.
/// Threads: any thread, at any time. In a forked child the tracer's counters start at 0; the process's go on.
/// Errors: INVALID_ARGUMENT when `tracer` or `json` is NULL.
/// Since: 1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlflow_tracer_get_stats(
    tracer: *const mlflow_tracer_t,
    json: *mut *mut mlflow_text_t,
    error: *mut *mut mlflow_error_t,
) -> mlflow_status_t {
    // SAFETY: by the header's contract `error` is NULL or writable, `tracer` is not freed and `json` is
    // writable; `borrow` and `output` refuse NULL.
    unsafe {
        guard(error, || {
            let tracer = handle::borrow(tracer, "tracer")?;
            let output = handle::output(json, "json")?;
            output.give(mlflow_text_t::new(tracer.tracer.stats().to_json()));
            Ok(())
        })
    }
}

/// Tells how delivery goes, as JSON:
/// {"circuit": "open", "last_success_ms": 1795226049477, "last_error": {"class": "unreachable", "message": "...",
/// "time_ms": 1795226055102}, "pending": 120, "dropped": {"queue_full": 0, ...}}.
///
/// "circuit" is "closed" while all is well, "open" while the destination is away, or "parked" while it takes nothing
/// because of the credentials. "last_success_ms" and "last_error" are null until there is something to tell; the error
/// stays when all is well again. "class" is "unreachable" (no reply), "unavailable" (HTTP 408, 425, 429, 502, 503, 504),
/// "server_error" (500), "unauthorized" (401, 403), "rejected" (refused for good), "exporter" (of the host) or "file".
/// Times are milliseconds since the Unix epoch; "pending" and "dropped" are numbers of spans.
///
/// Ownership: the caller owns `*json` and releases it with mlflow_text_free.
/// Threads: any thread, at any time. In a forked child it begins anew.
/// Errors: INVALID_ARGUMENT when `tracer` or `json` is NULL.
/// Since: 1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlflow_tracer_get_health(
    tracer: *const mlflow_tracer_t,
    json: *mut *mut mlflow_text_t,
    error: *mut *mut mlflow_error_t,
) -> mlflow_status_t {
    // SAFETY: by the header's contract `error` is NULL or writable, `tracer` is not freed and `json` is
    // writable; `borrow` and `output` refuse NULL.
    unsafe {
        guard(error, || {
            let tracer = handle::borrow(tracer, "tracer")?;
            let output = handle::output(json, "json")?;
            output.give(mlflow_text_t::new(tracer.tracer.health().to_json()));
            Ok(())
        })
    }
}

fn counter(name: &str, stats: impl FnOnce() -> Stats) -> Result<u64, Failure> {
    let found = match name {
        "panics" => Some(counters::PANICS.get()),
        "invalid_utf8" => Some(counters::INVALID_UTF8.get()),
        "created" => Some(stats().created),
        "delivered" => Some(stats().delivered),
        "pending" => Some(stats().pending),
        "ignored" => Some(stats().ignored),
        "abandoned" => Some(stats().abandoned),
        "redaction_failed" => Some(stats().redaction_failed),
        "odd_2xx" => Some(stats().odd_2xx),
        "spooled" => Some(stats().spooled),
        "spool_degraded" => Some(stats().spool_degraded.into()),
        _ => {
            let stats = stats();
            match name.split_once('.') {
                Some(("mirror", name)) => mirrored(name, &stats),
                Some(("recovered", name)) => recovered(name, &stats),
                _ => dropped(name, &stats.dropped),
            }
        }
    };
    found.ok_or_else(|| {
        Error::new(
            ErrorKind::NotFound,
            format!("no counter is called {name:?}"),
        )
        .into()
    })
}

/// A counter of the copies; without dual export there are none.
fn mirrored(name: &str, stats: &Stats) -> Option<u64> {
    let mirror = stats.mirror.clone().unwrap_or_else(|| MirrorStats {
        dropped: stats
            .dropped
            .iter()
            .map(|(reason, _)| (*reason, 0))
            .collect(),
        ..MirrorStats::default()
    });
    match name {
        "created" => Some(mirror.created),
        "delivered" => Some(mirror.delivered),
        "pending" => Some(mirror.pending),
        _ => dropped(name, &mirror.dropped),
    }
}

/// A counter of the spans of other processes; without a spool there are none.
fn recovered(name: &str, stats: &Stats) -> Option<u64> {
    let recovered = stats.recovered.clone().unwrap_or_default();
    match name {
        "adopted" => Some(recovered.adopted),
        "delivered" => Some(recovered.delivered),
        "dropped" => Some(recovered.dropped),
        "pending" => Some(recovered.pending),
        _ => None,
    }
}

/// "dropped" is the sum, "dropped.<reason>" a part of it.
fn dropped(name: &str, reasons: &[(&str, u64)]) -> Option<u64> {
    if name == "dropped" {
        return Some(reasons.iter().map(|(_, spans)| spans).sum());
    }
    let reason = name.strip_prefix("dropped.")?;
    let found = reasons.iter().find(|(known, _)| *known == reason);
    found.map(|(_, spans)| *spans)
}
