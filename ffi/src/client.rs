//! Reading and annotating
//!
//! A client of the tracer's server reads what was recorded there and says things about it; without a server, it reads
//! the files in "file.directory". mlflow_client_call makes every call that there is, by the method's name, with
//! arguments and result as JSON. Entities are in MLflow's own JSON (Trace.to_dict, Assessment.to_dictionary), pages are
//! {"items": [], "next_page_token": null, "unreadable": []}, and bytes are in base64. Later versions may add methods,
//! arguments and members. docs/reading.md says more.
//!
//!     method                                      arguments ("?": may be left out)                result
//!     get_trace_info, get_trace                   trace_id                                        information; trace
//!     get_traces                                  trace_ids                                       list of traces
//!     search_traces                               locations?, filter?, order_by?, max_results?,   page of traces
//!                                                 page_token?, include_spans?, run_id?, model_id?
//!     delete_traces                               experiment_id, trace_ids; or experiment_id,     number
//!                                                 max_timestamp_millis, max_traces?
//!     set_trace_tag                               trace_id, key, value                            null
//!     delete_trace_tag                            trace_id, key                                   null
//!     link_traces_to_run                          trace_ids, run_id                               null
//!     create_trace                                trace_info                                      information
//!     upload_trace_data                           trace_info, trace_data                          null
//!     export_spans                                experiment_id, content (OTLP)                   null
//!     import_trace                                trace, experiment_id                            information
//!     log_assessment                              trace_id, assessment                            assessment
//!     get_assessment                              trace_id, assessment_id                         assessment
//!     update_assessment, override_feedback        trace_id, assessment_id, assessment             assessment
//!     delete_assessment                           trace_id, assessment_id                         null
//!     download_attachment                         trace_id, attachment_id                         base64
//!     upload_attachment                           trace_id, attachment_id, content                null
//!     create_experiment                           name, artifact_location?, tags?                 id
//!     find_experiment, find_experiment_by_name    experiment_id; name                             experiment; or null
//!     search_experiments                          view_type?, filter?, order_by?, max_results?,   page of experiments
//!                                                 page_token?
//!     delete_experiment                           experiment_id                                   null

use mlflow_trace_core::{Error, ErrorKind};
use serde_json::Value;

use crate::error::mlflow_error_t;
use crate::guard::{Failure, guard};
use crate::handle;
use crate::status::mlflow_status_t;
use crate::text::{mlflow_str_t, mlflow_text_t};
use crate::tracer::mlflow_tracer_t;

/// Calls a method of the client and waits for its result, which is JSON: each request at most the option
/// "http.timeout_ms", a call perhaps several. `arguments` is a JSON object, or empty for a call without any.
///
/// What a call says about a trace that the tracer still records is kept with it and sent along; redaction applies.
/// A trace that the server does not know, while there is something to deliver, is delivered first. A tracer that was
/// shut down can still be asked.
///
/// Ownership: the caller owns `*json` and releases it with mlflow_text_free; `method` and `arguments` are copied.
/// Threads: any thread, at any time, also in a forked child; blocks only the caller.
/// Errors: INVALID_ARGUMENT when `tracer` or `json` is NULL, for a bad length, text that is not UTF-8, an unknown
/// method, and for arguments that are no JSON object or not those of the method; NOT_FOUND for what there is not, or
/// not yet; DELETED; INVALID_FILTER in the server's words; UNAUTHORIZED; UNSUPPORTED when the server is too old, or
/// when there is none and files cannot do it; BAD_REPLY; DAMAGED; TRANSPORT when the server cannot be reached;
/// INVALID_CONFIG when the options do not lead to a server; REJECTED for anything else that the server refuses.
/// Since: 1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlflow_client_call(
    tracer: *const mlflow_tracer_t,
    method: mlflow_str_t,
    arguments: mlflow_str_t,
    json: *mut *mut mlflow_text_t,
    error: *mut *mut mlflow_error_t,
) -> mlflow_status_t {
    // SAFETY: by the header's contract `error` is NULL or writable, `tracer` is not freed, both texts are readable
    // and `json` is writable; `borrow` and `output` refuse NULL.
    unsafe {
        guard(error, || {
            let tracer = handle::borrow(tracer, "tracer")?;
            let method = method.key("method")?;
            let arguments = object(arguments.option("arguments")?)?;
            let output = handle::output(json, "json")?;
            let result = tracer.tracer.invoke(method, &arguments)?;
            output.give(mlflow_text_t::new(result.to_string()));
            Ok(())
        })
    }
}

fn object(text: &str) -> Result<Value, Failure> {
    if text.is_empty() {
        return Ok(Value::Object(serde_json::Map::new()));
    }
    let refused = |text: String| Failure::from(Error::new(ErrorKind::InvalidArgument, text));
    let value: Value = serde_json::from_str(text)
        .map_err(|error| refused(format!("arguments are no JSON: {error}")))?;
    match value.is_object() {
        true => Ok(value),
        false => Err(refused("arguments must be a JSON object".to_owned())),
    }
}
