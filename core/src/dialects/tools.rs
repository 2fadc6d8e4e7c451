//! `mlflow.chat.tools`: the tools that a request declares, in the one shape that MLflow has for them.

use serde_json::Value;

use super::Object;
use super::read::{listed, set, slot, take, take_object};

/// The tools of OpenAI's, Anthropic's and Ollama's requests, which differ in names alone.
#[inline(never)]
pub(super) fn declared(tools: Value) -> Vec<Value> {
    let mut declared = Vec::new();
    for mut tool in listed(tools) {
        let inner = take_object(&mut tool, &["function", "custom"]);
        let mut name = take(&mut tool, &["name"]);
        if name.is_null() {
            // A tool of the provider's own need not have one.
            name = take(&mut tool, &["type"]);
            if name == "function" || name == "custom" {
                name = Value::Null;
            }
        }
        let mut function = if inner.is_empty() { tool } else { inner };
        let own = slot(&mut function, "name");
        if own.is_null() {
            *own = name;
        }
        add(&mut declared, function);
    }
    declared
}

/// Adds a function by its declaration; not one without a name.
pub(super) fn add(tools: &mut Vec<Value>, mut declaration: Object) {
    let name = take(&mut declaration, &["name"]);
    if !name.is_string() {
        return;
    }
    let mut function = Object::new();
    set(&mut function, "name", name);
    let description = take(&mut declaration, &["description"]);
    if description.is_string() {
        set(&mut function, "description", description);
    }
    let parameters = take(&mut declaration, &["parameters", "input_schema"]);
    if parameters.is_object() {
        set(&mut function, "parameters", parameters);
    }
    let strict = take(&mut declaration, &["strict"]);
    if strict.is_boolean() {
        set(&mut function, "strict", strict);
    }
    let mut tool = Object::new();
    set(&mut tool, "type", "function".into());
    set(&mut tool, "function", function.into());
    tools.push(tool.into());
}
