//! `mlflow.chat.tools`: the tools that a request declares, in the one shape that MLflow has for them.

use serde_json::{Value, json};

use super::Object;
use super::read::{list, object, take};

/// The tools of OpenAI's, Anthropic's and Ollama's requests, which differ in names alone.
pub(super) fn declared(tools: Option<&mut Value>) -> Vec<Value> {
    let tools = list(tools).into_iter().filter_map(object);
    tools.filter_map(tool).collect()
}

fn tool(mut tool: Object) -> Option<Value> {
    let mut inner = take(&mut tool, &["function", "custom"]).and_then(object);
    let declaration = inner.as_mut().unwrap_or(&mut tool);
    let name = take(declaration, &["name"]);
    let description = take(declaration, &["description"]);
    let parameters = take(declaration, &["parameters", "input_schema"]);
    let strict = take(declaration, &["strict"]);
    // A tool of the provider's own need not have a name.
    let name =
        name.or_else(|| take(&mut tool, &["name", "type"]).filter(|kind| kind != "function"));
    function(name, description, parameters, strict)
}

/// A tool; `None` without a name.
pub(super) fn function(
    name: Option<Value>,
    description: Option<Value>,
    parameters: Option<Value>,
    strict: Option<Value>,
) -> Option<Value> {
    let mut function = Object::new();
    function.insert("name".to_owned(), name.filter(Value::is_string)?);
    let rest = [
        ("description", description.filter(Value::is_string)),
        ("parameters", parameters.filter(Value::is_object)),
        ("strict", strict.filter(Value::is_boolean)),
    ];
    for (key, value) in rest {
        if let Some(value) = value {
            function.insert(key.to_owned(), value);
        }
    }
    Some(json!({"type": "function", "function": function}))
}
