//! Token usage of a trace: summed over its spans without counting a roll-up twice.
//!
//! Cost is not summed here. A server with a database computes `mlflow.trace.cost` by the same rule from the
//! spans' `mlflow.llm.cost`, and would take a sum of ours for the last word; MLflow's own client sends one
//! to Databricks and SageMaker only.

use std::collections::{HashMap, HashSet};

use serde_json::{Map, Number, Value};

use super::outline::Outline;

const BASE: [&str; 3] = ["input_tokens", "output_tokens", "total_tokens"];
const CACHE: [&str; 3] = [
    "cache_read_input_tokens",
    "cache_creation_input_tokens",
    "cache_creation_input_tokens_above_1hr",
];

/// The sum of `mlflow.chat.tokenUsage` over spans that have no ancestor with one; `None` if no span has.
pub(crate) fn total(spans: &[&Outline]) -> Option<Value> {
    if spans.iter().all(|span| span.usage.is_none()) {
        return None;
    }
    let by_id: HashMap<[u8; 8], &Outline> =
        spans.iter().map(|span| (span.span_id, *span)).collect();
    let mut sum: Option<Map<String, Value>> = None;
    for span in spans {
        let Some(usage) = &span.usage else { continue };
        if has_counted_ancestor(span, &by_id) {
            continue;
        }
        let sum =
            sum.get_or_insert_with(|| BASE.iter().map(|key| (key.to_string(), 0.into())).collect());
        for key in BASE.iter().chain(&CACHE) {
            if let Some(Value::Number(count)) = usage.get(*key) {
                let total = match sum.get(*key) {
                    Some(Value::Number(before)) => add(before, count),
                    _ => count.clone(),
                };
                sum.insert(key.to_string(), total.into());
            }
        }
    }
    sum.map(Value::Object)
}

/// Whole as long as both are; a server drops totals that are not.
fn add(a: &Number, b: &Number) -> Number {
    match (a.as_i64(), b.as_i64()) {
        (Some(a), Some(b)) => a.saturating_add(b).into(),
        _ => Number::from_f64(a.as_f64().unwrap_or(0.0) + b.as_f64().unwrap_or(0.0))
            .unwrap_or_else(|| a.clone()),
    }
}

fn has_counted_ancestor(span: &Outline, by_id: &HashMap<[u8; 8], &Outline>) -> bool {
    // Parents given by hand may form a cycle.
    let mut seen = HashSet::from([span.span_id]);
    let mut parent = span.parent;
    while let Some(ancestor) = by_id.get(&parent) {
        if !seen.insert(parent) {
            return false;
        }
        if ancestor.usage.is_some() {
            return true;
        }
        parent = ancestor.parent;
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(id: u8, parent: u8, usage: Option<&str>) -> Outline {
        Outline {
            span_id: [id; 8],
            parent: [parent; 8],
            size: 0,
            usage: usage.map(|text| Box::new(serde_json::from_str(text).unwrap())),
        }
    }

    fn total(spans: &[Outline]) -> Option<Value> {
        super::total(&spans.iter().collect::<Vec<_>>())
    }

    #[test]
    fn roll_ups_are_counted_once() {
        let one = r#"{"input_tokens": 1, "output_tokens": 2, "total_tokens": 3}"#;
        let cached = r#"{"input_tokens": 4, "output_tokens": 5, "total_tokens": 9, "cache_read_input_tokens": 2}"#;
        let spans = [
            span(1, 0, None),
            span(2, 1, Some(one)),
            span(3, 2, None),
            span(4, 3, Some(one)),
            span(5, 1, Some(cached)),
        ];
        let expected =
            r#"{"input_tokens":5,"output_tokens":7,"total_tokens":12,"cache_read_input_tokens":2}"#;
        assert_eq!(total(&spans).unwrap().to_string(), expected);
    }

    #[test]
    fn fractions_are_kept_and_what_is_no_number_counts_as_nothing() {
        let odd = r#"{"input_tokens": 1.5, "output_tokens": null, "total_tokens": 2}"#;
        let spans = [
            span(1, 0, None),
            span(2, 1, Some(odd)),
            span(3, 1, Some(odd)),
        ];
        let expected = r#"{"input_tokens":3.0,"output_tokens":0,"total_tokens":4}"#;
        assert_eq!(total(&spans).unwrap().to_string(), expected);
    }

    #[test]
    fn no_usage_and_cycles() {
        assert_eq!(total(&[span(1, 0, None)]), None);
        assert_eq!(
            total(&[span(1, 2, Some("{}")), span(2, 1, None)]).unwrap()["input_tokens"],
            0
        );
    }
}
