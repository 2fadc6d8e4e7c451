//! Feedback and expectations about traces.

use reqwest::Method;
use serde_json::{Value, json};

use super::server::{Server, bad_reply};
use super::traces::about;
use super::{Assessment, AssessmentValue, Client};
use crate::error::{Error, ErrorKind, Result};
use crate::export::http::Failure;
use crate::uri::encode;

/// A change to an assessment; what is not given stays as it is. Source, span and kind cannot change.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AssessmentUpdate {
    /// A new name.
    pub name: Option<String>,
    /// A new value, of the same kind.
    pub value: Option<AssessmentValue>,
    /// A new rationale.
    pub rationale: Option<String>,
    /// Added to the metadata that there is.
    pub metadata: Vec<(String, String)>,
}

impl From<&Assessment> for AssessmentUpdate {
    /// Everything that the assessment holds and an update can change.
    fn from(assessment: &Assessment) -> Self {
        AssessmentUpdate {
            name: Some(assessment.name.clone()),
            value: Some(assessment.value.clone()),
            rationale: assessment.rationale.clone(),
            metadata: assessment.metadata.clone(),
        }
    }
}

impl Client {
    /// Adds an assessment to a trace that the server has, and returns it as it is stored, with its id. Fails with
    /// `NotFound`.
    pub fn log_assessment(&self, trace_id: &str, assessment: &Assessment) -> Result<Assessment> {
        let mut assessment = assessment.clone();
        let id = assessment.identify().to_owned();
        assessment.trace_id = Some(trace_id.to_owned());
        let body = json!({"assessment": assessment.to_json()});
        self.call(async |server| {
            let path = path(trace_id, None);
            let failure = match server.json(Method::POST, &path, &body).await {
                Ok(reply) => return read(&reply),
                Err(failure) => failure,
            };
            // An attempt before this one may have come through, and a server takes an id only once.
            if matches!(failure, Failure::Server { .. } | Failure::Retry { .. })
                && let Ok(stored) = get(server, trace_id, &id).await
            {
                return Ok(stored);
            }
            Err(about(trace_id, failure))
        })
    }

    /// An assessment of a trace. Fails with `NotFound`.
    pub fn get_assessment(&self, trace_id: &str, assessment_id: &str) -> Result<Assessment> {
        self.call(async |server| get(server, trace_id, assessment_id).await)
    }

    /// Changes an assessment and returns it as it is stored. Fails with `NotFound` and, for a value of another kind,
    /// `Rejected`.
    pub fn update_assessment(
        &self,
        trace_id: &str,
        assessment_id: &str,
        update: &AssessmentUpdate,
    ) -> Result<Assessment> {
        let mut assessment = json!({"assessment_id": assessment_id, "trace_id": trace_id});
        let mut mask = Vec::new();
        if let Some(name) = &update.name {
            assessment["assessment_name"] = name.as_str().into();
            mask.push("assessmentName");
        }
        if let Some(value) = &update.value {
            let (kind, value) = value.to_json();
            assessment[kind] = value;
            mask.push(kind);
        }
        if let Some(rationale) = &update.rationale {
            assessment["rationale"] = rationale.as_str().into();
            mask.push("rationale");
        }
        if !update.metadata.is_empty() {
            for (key, value) in &update.metadata {
                assessment["metadata"][key] = value.as_str().into();
            }
            mask.push("metadata");
        }
        let body = json!({"assessment": assessment, "update_mask": mask.join(",")});
        self.call(async |server| {
            let path = path(trace_id, Some(assessment_id));
            read(&server.json(Method::PATCH, &path, &body).await?)
        })
    }

    /// Adds feedback that stands in for another one: same name and span, and what `with` says besides. The other one
    /// stays and is no longer valid; deleting this one makes it valid again.
    ///
    /// Fails with `NotFound`, and `InvalidArgument` where the other one is no feedback.
    pub fn override_feedback(
        &self,
        trace_id: &str,
        assessment_id: &str,
        with: &Assessment,
    ) -> Result<Assessment> {
        let old = self.get_assessment(trace_id, assessment_id)?;
        if !matches!(old.value, AssessmentValue::Feedback(_)) {
            let text =
                format!("The assessment with ID {assessment_id} is not a feedback assessment.");
            return Err(Error::new(ErrorKind::InvalidArgument, text));
        }
        let new = Assessment {
            name: old.name,
            span_id: old.span_id,
            overrides: Some(assessment_id.to_owned()),
            ..with.clone()
        };
        self.log_assessment(trace_id, &new)
    }

    /// Deletes an assessment. One that there is not is no error.
    pub fn delete_assessment(&self, trace_id: &str, assessment_id: &str) -> Result<()> {
        let body = json!({"trace_id": trace_id, "assessment_id": assessment_id});
        self.call(async |server| {
            let path = path(trace_id, Some(assessment_id));
            server.json(Method::DELETE, &path, &body).await?;
            Ok(())
        })
    }
}

fn path(trace_id: &str, assessment_id: Option<&str>) -> String {
    let id = encode(trace_id);
    match assessment_id {
        Some(assessment) => {
            let assessment = encode(assessment);
            format!("/api/3.0/mlflow/traces/{id}/assessments/{assessment}")
        }
        None => format!("/api/3.0/mlflow/traces/{id}/assessments"),
    }
}

async fn get(server: &Server<'_>, trace_id: &str, assessment_id: &str) -> Result<Assessment> {
    read(&server.get(&path(trace_id, Some(assessment_id))).await?)
}

fn read(reply: &Value) -> Result<Assessment> {
    match &reply["assessment"] {
        Value::Null => Err(bad_reply("the reply has no assessment").into()),
        assessment => Assessment::from_json(assessment),
    }
}
