//! Applies rules to what the user set of a trace.

use serde_json::Value;

use super::REDACTED;
use super::paths::{Place, Step};
use super::span::Pass;
use crate::mlflow::entity::{Assessment, AssessmentValue};
use crate::mlflow::keys;
use crate::trace::TraceUpdate;

/// Takes out what repeats inputs and outputs. Tags, metadata and ids are labels, not content.
pub(super) fn drop_content(update: &mut TraceUpdate) {
    update.request_preview = None;
    update.response_preview = None;
    update
        .metadata
        .retain(|(key, _)| key != keys::META_INPUTS && key != keys::META_OUTPUTS);
}

impl Pass<'_> {
    pub(super) fn update(&mut self, update: &mut TraceUpdate) {
        for (key, value) in update.tags.iter_mut().chain(&mut update.metadata) {
            self.field(key, value, &Place::default());
            // Names of MLflow have a meaning for servers.
            if !key.starts_with("mlflow.")
                && let Some(changed) = self.text(key, &Place::default())
            {
                *key = changed;
            }
        }
        for (key, value) in [
            (keys::META_SESSION, &mut update.session_id),
            (keys::META_TRACE_USER, &mut update.user),
            (keys::META_MODEL_ID, &mut update.model_id),
            ("client_request_id", &mut update.client_request_id),
        ] {
            if let Some(value) = value {
                self.field(key, value, &Place::default());
            }
        }
        for assessment in &mut update.assessments {
            self.assessment(assessment);
        }
        // A preview stands for the inputs or outputs of the root.
        for (key, attribute, value) in [
            (
                "request_preview",
                keys::SPAN_INPUTS,
                &mut update.request_preview,
            ),
            (
                "response_preview",
                keys::SPAN_OUTPUTS,
                &mut update.response_preview,
            ),
        ] {
            let Some(value) = value else { continue };
            let paths = &self.rules.paths;
            let (place, selected) = paths.step(&paths.root(), Step::Name(attribute));
            if selected {
                REDACTED.clone_into(value);
            } else {
                self.field(key, value, &place);
            }
        }
    }

    fn assessment(&mut self, assessment: &mut Assessment) {
        let value = match &mut assessment.value {
            AssessmentValue::Feedback(feedback) => {
                if let Some(error) = &mut feedback.error {
                    let texts = [&mut error.error_message, &mut error.stack_trace];
                    for text in texts.into_iter().flatten() {
                        self.field("error", text, &Place::default());
                    }
                }
                &mut feedback.value
            }
            AssessmentValue::Expectation(expectation) => &mut expectation.value,
            AssessmentValue::Issue(_) => &mut Value::Null,
        };
        self.value(&assessment.name, value);
        if let Some(rationale) = &mut assessment.rationale {
            self.field("rationale", rationale, &Place::default());
        }
        for (key, value) in &mut assessment.metadata {
            self.field(key, value, &Place::default());
        }
    }

    /// A value that stands under a name; what was parsed is no deeper than its parser allows.
    fn value(&mut self, key: &str, value: &mut Value) {
        match value {
            value if self.names(key) => *value = REDACTED.into(),
            Value::String(text) => self.field(key, text, &Place::default()),
            Value::Array(items) => items.iter_mut().for_each(|item| self.value(key, item)),
            Value::Object(members) => members
                .iter_mut()
                .for_each(|(key, item)| self.value(key, item)),
            _ => {}
        }
    }

    fn field(&mut self, key: &str, value: &mut String, place: &Place) {
        if self.names(key) {
            REDACTED.clone_into(value);
        } else if let Some(changed) = self.text(value, place) {
            *value = changed;
        }
    }
}
