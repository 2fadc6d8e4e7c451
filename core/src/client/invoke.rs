//! The client's methods by name, with arguments and results as JSON: one crossing for every other language.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::{
    Assessment, AssessmentUpdate, Client, Deletion, ExperimentSearch, Page, Trace, TraceData,
    TraceInfo, TraceSearch, ViewType,
};
use crate::error::{Error, ErrorKind, Result};

/// The arguments of a call.
struct Arguments<'a> {
    method: &'a str,
    given: &'a Value,
}

impl Client {
    /// Calls a method by its name. `arguments` is an object with the names of its parameters; entities are in MLflow's
    /// JSON, pages are `{"items", "next_page_token", "unreadable"}`, and bytes are in base64.
    ///
    /// Fails as the method, and with `InvalidArgument` for an unknown one and for arguments that it does not take.
    pub fn invoke(&self, method: &str, arguments: &Value) -> Result<Value> {
        let given = Arguments {
            method,
            given: arguments,
        };
        match method {
            "create_experiment"
            | "find_experiment"
            | "find_experiment_by_name"
            | "search_experiments"
            | "delete_experiment" => self.on_experiments(&given),
            "log_assessment" | "get_assessment" | "update_assessment" | "override_feedback"
            | "delete_assessment" => self.on_assessments(&given),
            "download_attachment" | "upload_attachment" => self.on_attachments(&given),
            _ => self.on_traces(&given),
        }
    }

    fn on_experiments(&self, given: &Arguments<'_>) -> Result<Value> {
        Ok(match given.method {
            "create_experiment" => {
                let location = given.optional("artifact_location")?;
                let tags = given.pairs("tags")?;
                self.create_experiment(given.text("name")?, location, &tags)?
                    .into()
            }
            "find_experiment" => self
                .find_experiment(given.text("experiment_id")?)?
                .to_json(),
            "find_experiment_by_name" => self
                .find_experiment_by_name(given.text("name")?)?
                .map_or(Value::Null, |found| found.to_json()),
            "search_experiments" => {
                let view_type = match given.optional("view_type")? {
                    None | Some("ACTIVE_ONLY") => ViewType::ActiveOnly,
                    Some("DELETED_ONLY") => ViewType::DeletedOnly,
                    Some("ALL") => ViewType::All,
                    Some(_) => return Err(given.wrong("view_type")),
                };
                let search = ExperimentSearch {
                    view_type,
                    filter: given.optional("filter")?.unwrap_or_default().to_owned(),
                    order_by: given.texts("order_by")?,
                    max_results: given.number("max_results")?,
                    page_token: given.optional("page_token")?.map(str::to_owned),
                };
                page(self.search_experiments(&search)?, |item| item.to_json())
            }
            _ => {
                self.delete_experiment(given.text("experiment_id")?)?;
                Value::Null
            }
        })
    }

    fn on_traces(&self, given: &Arguments<'_>) -> Result<Value> {
        let id = || given.text("trace_id");
        Ok(match given.method {
            "get_trace_info" => self.get_trace_info(id()?)?.to_json(),
            "get_trace" => self.get_trace(id()?)?.to_json(),
            "get_traces" => {
                let traces = self.get_traces(&given.texts("trace_ids")?)?;
                traces.iter().map(Trace::to_json).collect()
            }
            "search_traces" => {
                let search = TraceSearch {
                    locations: given.texts("locations")?,
                    filter: given.optional("filter")?.unwrap_or_default().to_owned(),
                    order_by: given.texts("order_by")?,
                    max_results: given.number("max_results")?,
                    page_token: given.optional("page_token")?.map(str::to_owned),
                    include_spans: given.flag("include_spans")?.unwrap_or(true),
                    run_id: given.optional("run_id")?.map(str::to_owned),
                    model_id: given.optional("model_id")?.map(str::to_owned),
                };
                page(self.search_traces(&search)?, |item| item.to_json())
            }
            "delete_traces" => {
                let which = match given.number("max_timestamp_millis")? {
                    Some(timestamp_ms) => Deletion::UpTo {
                        timestamp_ms,
                        max_traces: given.number("max_traces")?,
                    },
                    None => Deletion::Ids(given.texts("trace_ids")?),
                };
                self.delete_traces(given.text("experiment_id")?, &which)?
                    .into()
            }
            "set_trace_tag" => {
                self.set_trace_tag(id()?, given.text("key")?, given.text("value")?)?;
                Value::Null
            }
            "delete_trace_tag" => {
                self.delete_trace_tag(id()?, given.text("key")?)?;
                Value::Null
            }
            "link_traces_to_run" => {
                self.link_traces_to_run(&given.texts("trace_ids")?, given.text("run_id")?)?;
                Value::Null
            }
            "create_trace" => {
                let info = TraceInfo::from_json(&given.given["trace_info"])?;
                self.create_trace(&info)?.to_json()
            }
            "upload_trace_data" => {
                let info = TraceInfo::from_json(&given.given["trace_info"])?;
                let data = TraceData::from_json(&given.given["trace_data"])?;
                self.upload_trace_data(&info, &data)?;
                Value::Null
            }
            "export_spans" => {
                self.export_spans(given.text("experiment_id")?, given.bytes("content")?)?;
                Value::Null
            }
            "import_trace" => {
                let trace = Trace::from_json(&given.given["trace"])?;
                self.import_trace(&trace, given.text("experiment_id")?)?
                    .to_json()
            }
            other => {
                let text = format!("the client has no method '{other}'");
                return Err(Error::new(ErrorKind::InvalidArgument, text));
            }
        })
    }

    fn on_assessments(&self, given: &Arguments<'_>) -> Result<Value> {
        let trace_id = given.text("trace_id")?;
        let id = || given.text("assessment_id");
        let assessment = || Assessment::from_json(&given.given["assessment"]);
        let stored = match given.method {
            "log_assessment" => self.log_assessment(trace_id, &assessment()?),
            "get_assessment" => self.get_assessment(trace_id, id()?),
            "update_assessment" => {
                let update = AssessmentUpdate::from(&assessment()?);
                self.update_assessment(trace_id, id()?, &update)
            }
            "override_feedback" => self.override_feedback(trace_id, id()?, &assessment()?),
            _ => {
                self.delete_assessment(trace_id, id()?)?;
                return Ok(Value::Null);
            }
        };
        Ok(stored?.to_json())
    }

    fn on_attachments(&self, given: &Arguments<'_>) -> Result<Value> {
        let info = self.get_trace_info(given.text("trace_id")?)?;
        let id = given.text("attachment_id")?;
        if given.method == "download_attachment" {
            let content = self.download_attachment(&info, id)?;
            return Ok(STANDARD.encode(content).into());
        }
        self.upload_attachment(&info, id, given.bytes("content")?)?;
        Ok(Value::Null)
    }
}

fn page<T>(page: Page<T>, to_json: impl Fn(&T) -> Value) -> Value {
    json!({
        "items": page.items.iter().map(to_json).collect::<Value>(),
        "next_page_token": page.next_page_token,
        "unreadable": page.unreadable,
    })
}

impl<'a> Arguments<'a> {
    fn member(&self, name: &str) -> Option<&'a Value> {
        self.given.get(name).filter(|value| !value.is_null())
    }

    fn text(&self, name: &str) -> Result<&'a str> {
        self.optional(name)?.ok_or_else(|| self.wrong(name))
    }

    fn optional(&self, name: &str) -> Result<Option<&'a str>> {
        let Some(value) = self.member(name) else {
            return Ok(None);
        };
        value.as_str().map(Some).ok_or_else(|| self.wrong(name))
    }

    fn bytes(&self, name: &str) -> Result<Vec<u8>> {
        let content = STANDARD.decode(self.text(name)?);
        content.map_err(|_| self.wrong(name))
    }

    fn texts(&self, name: &str) -> Result<Vec<String>> {
        let Some(value) = self.member(name) else {
            return Ok(Vec::new());
        };
        let items = value.as_array().ok_or_else(|| self.wrong(name))?.iter();
        items
            .map(|item| item.as_str().map(str::to_owned))
            .collect::<Option<_>>()
            .ok_or_else(|| self.wrong(name))
    }

    fn pairs(&self, name: &str) -> Result<Vec<(String, String)>> {
        let Some(value) = self.member(name) else {
            return Ok(Vec::new());
        };
        let members = value.as_object().ok_or_else(|| self.wrong(name))?.iter();
        members
            .map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())))
            .collect::<Option<_>>()
            .ok_or_else(|| self.wrong(name))
    }

    fn number<T: TryFrom<u64>>(&self, name: &str) -> Result<Option<T>> {
        let Some(value) = self.member(name) else {
            return Ok(None);
        };
        let number = value.as_u64().and_then(|number| T::try_from(number).ok());
        number.map(Some).ok_or_else(|| self.wrong(name))
    }

    fn flag(&self, name: &str) -> Result<Option<bool>> {
        let Some(value) = self.member(name) else {
            return Ok(None);
        };
        value.as_bool().map(Some).ok_or_else(|| self.wrong(name))
    }

    #[cold]
    fn wrong(&self, name: &str) -> Error {
        let text = format!(
            "'{name}' of {} is missing or of the wrong kind",
            self.method
        );
        Error::new(ErrorKind::InvalidArgument, text)
    }
}
