//! Annotations of traces of this process: kept with a trace that is still recorded, and sent with its information;
//! otherwise sent to the server at once.

use std::time::Duration;

use serde_json::Value;

use super::{Assessment, Client};
use crate::error::{Error, ErrorKind, Result};
use crate::id::TraceId;
use crate::process::Process;
use crate::tracer::Tracer;
use crate::update::TraceUpdate;

/// How long a call waits for the delivery of what it is about.
const DELIVERY: Duration = Duration::from_secs(30);
/// What spans that are not recorded have as the id of their trace, as with MLflow.
const NOT_RECORDED: &str = "MLFLOW_NO_OP_SPAN_TRACE_ID";

impl Tracer {
    /// Adds an assessment to a trace. One that is still recorded here takes it along, and one that was not delivered
    /// yet is delivered first. Redaction applies to it as to the trace.
    ///
    /// Returns it with its id; fails as [`Client::log_assessment`].
    pub fn log_assessment(&self, trace_id: &str, assessment: &Assessment) -> Result<Assessment> {
        let mut assessment = assessment.clone();
        assessment.identify();
        assessment.trace_id = Some(trace_id.to_owned());
        if trace_id == NOT_RECORDED {
            return Ok(assessment);
        }
        let assessment = self.redacted(assessment)?;
        let keep = |trace: &mut TraceUpdate| trace.assessments.push(assessment.clone());
        match self.revise(trace_id, keep) {
            Some(()) => Ok(assessment),
            None => self.delivered(|client| client.log_assessment(trace_id, &assessment)),
        }
    }

    /// Sets a tag of a trace, as [`Self::log_assessment`] does. Fails as [`Client::set_trace_tag`].
    pub fn set_trace_tag(&self, trace_id: &str, key: &str, value: &str) -> Result<()> {
        super::traces::check_settable(key)?;
        let mut update = TraceUpdate {
            tags: vec![(key.to_owned(), value.to_owned())],
            ..TraceUpdate::default()
        };
        self.state().shared.protect_update(&mut update);
        let Some((key, value)) = update.tags.first() else {
            return Err(withheld());
        };
        match self.revise(trace_id, |trace| trace.merge(&update)) {
            Some(()) => Ok(()),
            None => self.delivered(|client| client.set_trace_tag(trace_id, key, value)),
        }
    }

    /// Deletes a tag of a trace, as [`Self::log_assessment`] adds. Fails as [`Client::delete_trace_tag`].
    pub fn delete_trace_tag(&self, trace_id: &str, key: &str) -> Result<()> {
        super::traces::check_deletable(key)?;
        let removed = self.revise(trace_id, |trace| {
            let before = trace.tags.len();
            trace.tags.retain(|(name, _)| name != key);
            trace.tags.len() < before
        });
        match removed {
            Some(true) => Ok(()),
            Some(false) => Err(Error::new(
                ErrorKind::NotFound,
                format!("Tag with key {key} not found in trace with ID {trace_id}."),
            )),
            None => self.delivered(|client| client.delete_trace_tag(trace_id, key)),
        }
    }

    /// As [`Client::invoke`], with the annotations above, and with traces that were not delivered yet delivered first
    /// where one is asked for.
    pub fn invoke(&self, method: &str, arguments: &Value) -> Result<Value> {
        let text = |name: &str| arguments[name].as_str().unwrap_or_default();
        let trace_id = text("trace_id");
        match method {
            "log_assessment" if !trace_id.is_empty() => {
                let assessment = Assessment::from_json(&arguments["assessment"])?;
                Ok(self.log_assessment(trace_id, &assessment)?.to_json())
            }
            "set_trace_tag" if arguments["value"].is_string() => {
                self.set_trace_tag(trace_id, text("key"), text("value"))?;
                Ok(Value::Null)
            }
            "delete_trace_tag" => {
                self.delete_trace_tag(trace_id, text("key"))?;
                Ok(Value::Null)
            }
            "override_feedback" | "update_assessment" => {
                let assessment = Assessment::from_json(&arguments["assessment"])?;
                let mut arguments = arguments.clone();
                arguments["assessment"] = self.redacted(assessment)?.to_json();
                self.delivered(|client| client.invoke(method, &arguments))
            }
            _ if trace_id.is_empty() => self.client().invoke(method, arguments),
            _ => self.delivered(|client| client.invoke(method, arguments)),
        }
    }

    /// What redaction leaves of an assessment.
    fn redacted(&self, assessment: Assessment) -> Result<Assessment> {
        let mut update = TraceUpdate {
            assessments: vec![assessment],
            ..TraceUpdate::default()
        };
        self.state().shared.protect_update(&mut update);
        update.assessments.pop().ok_or_else(withheld)
    }

    /// Changes what was set of a trace that is recorded here and whose information is sent from here.
    fn revise<R>(&self, trace_id: &str, change: impl FnOnce(&mut TraceUpdate) -> R) -> Option<R> {
        let id = TraceId::from_hex(trace_id.strip_prefix("tr-")?)?;
        self.state().find(id)?.open_trace()?.revise(change)
    }

    /// Makes a call about a trace, and again once everything is delivered if there was none.
    fn delivered<T>(&self, call: impl Fn(&Client) -> Result<T>) -> Result<T> {
        let client = self.client();
        // Asked before: it may be delivered while the call finds that it is not.
        let is_pending = self.stats().pending > 0;
        match call(&client) {
            Err(error) if error.kind() == ErrorKind::NotFound && is_pending => {
                self.flush(DELIVERY);
                call(&client)
            }
            result => result,
        }
    }
}

#[cold]
fn withheld() -> Error {
    let text = "redaction failed; what it was to change is not sent";
    Error::new(ErrorKind::Internal, text)
}

impl Process {
    /// A blocking client of what is configured now.
    pub fn client(&self) -> Result<Client> {
        Ok(self.current()?.client())
    }

    /// As [`Tracer::invoke`], where the trace may also belong to a tracer before the current one. With options that
    /// differ from the configured ones, as [`Client::invoke`] of a client with these instead; what is configured besides
    /// holds for it as well.
    pub fn invoke(
        &self,
        options: &[(&str, &str)],
        method: &str,
        arguments: &Value,
    ) -> Result<Value> {
        let current = self.current()?;
        let mut config = current.config().clone();
        let mut differs = false;
        for (key, value) in options {
            differs |= config.get(key)? != *value;
            config.set(key, value)?;
        }
        if differs {
            return Client::new(&config).invoke(method, arguments);
        }
        let id = arguments["trace_id"].as_str().unwrap_or_default();
        let id = id.strip_prefix("tr-").and_then(TraceId::from_hex);
        let owner = id.and_then(|id| {
            let records = |tracer: &Tracer| tracer.state().find(id).is_some();
            self.replaced().into_iter().find(records)
        });
        owner.unwrap_or(current).invoke(method, arguments)
    }
}
