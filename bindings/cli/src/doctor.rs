//! `doctor`: what stands between the configuration and its traces.

use mlflow_trace_core::client::{Finding, Severity};
use serde_json::{Map, Value, json};

use crate::output::{Output, Tone};
use crate::store::Store;
use crate::{Failure, Outcome};

pub(crate) fn run(store: &Store, output: &mut Output) -> Outcome {
    let shown = store.config().shown();
    let findings = store.client().diagnose();
    let worst = findings.iter().map(|finding| finding.severity).max();
    if output.json {
        let options = shown.into_iter();
        let options: Map<String, Value> = options
            .map(|(key, value)| (key.to_owned(), value.into()))
            .collect();
        let findings: Value = findings.iter().map(to_json).collect();
        output.json(&json!({"configuration": options, "findings": findings}))?;
    } else {
        output.line(&output.paint(Tone::Strong, "Configuration"))?;
        if shown.is_empty() {
            output.line(&output.paint(Tone::Faint, "  all options have their defaults"))?;
        }
        for (key, value) in shown {
            let key = output.paint(Tone::Faint, &format!("  {key} ="));
            output.line(&format!("{key} {}", output.paint(Tone::Plain, &value)))?;
        }
        output.line("")?;
        output.line(&output.paint(Tone::Strong, "Findings"))?;
        for finding in &findings {
            print(finding, output)?;
        }
    }
    match worst {
        Some(Severity::Problem) => Err(Failure::Incomplete),
        _ => Ok(()),
    }
}

fn print(finding: &Finding, output: &mut Output) -> Outcome {
    let tone = match finding.severity {
        Severity::Ok => Tone::Good,
        Severity::Warning => Tone::Doubtful,
        Severity::Problem => Tone::Bad,
    };
    let severity = output.paint(tone, &format!("{:8}", finding.severity.name()));
    let subject = output.paint(Tone::Strong, &format!("{:11}", finding.subject));
    let text = output.paint(Tone::Plain, &finding.text);
    output.line(&format!("  {severity} {subject} {text}"))?;
    if !finding.advice.is_empty() {
        let advice = output.paint(Tone::Faint, &format!("{:23}→ {}", "", finding.advice));
        output.line(&advice)?;
    }
    Ok(())
}

fn to_json(finding: &Finding) -> Value {
    json!({
        "subject": finding.subject,
        "severity": finding.severity.name(),
        "text": finding.text,
        "advice": finding.advice,
    })
}
