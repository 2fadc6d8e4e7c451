//! The resource: what spans say about the program that they come from (OpenTelemetry, "Resource SDK").

use std::collections::BTreeMap;

use opentelemetry::{Key, KeyValue, Value};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::resource::{EnvResourceDetector, ResourceDetector};

use crate::config::Config;
use crate::otel::{SCOPE_NAME, encode};

const SERVICE_NAME: Key = Key::from_static_str("service.name");

/// What the specification has SDKs write where nobody named the service.
const UNNAMED: &str = "unknown_service";

/// `OTEL_RESOURCE_ATTRIBUTES`, then the option `service.name`, then what the host has `given`, then
/// `telemetry.sdk.*` of this library; the last value of a key counts.
pub(crate) fn merge(config: &Config, given: Option<&Resource>) -> Resource {
    let detected = EnvResourceDetector::new().detect();
    let mut attributes: BTreeMap<Key, Value> = pairs(&detected).collect();
    if let Some(name) = config.service_name() {
        attributes.insert(SERVICE_NAME, name.to_owned().into());
    }
    for (key, value) in given.into_iter().flat_map(pairs) {
        let is_filler = key == SERVICE_NAME && value.as_str().starts_with(UNNAMED);
        if !is_filler || !attributes.contains_key(&key) {
            attributes.insert(key, value);
        }
    }
    for (key, value) in [
        ("telemetry.sdk.language", "rust"),
        ("telemetry.sdk.name", SCOPE_NAME),
        ("telemetry.sdk.version", crate::VERSION),
    ] {
        attributes.insert(key.into(), value.into());
    }
    let attributes = attributes
        .into_iter()
        .map(|(key, value)| KeyValue::new(key, value));
    let merged = Resource::builder_empty().with_attributes(attributes);
    match given.and_then(Resource::schema_url) {
        Some(url) => merged.with_schema_url([], url.to_owned()).build(),
        None => merged.build(),
    }
}

fn pairs(resource: &Resource) -> impl Iterator<Item = (Key, Value)> {
    resource
        .iter()
        .map(|(key, value)| (key.clone(), value.clone()))
}

/// The fields of the OTLP `Resource` message, in the order of the keys.
pub(crate) fn message(resource: &Resource) -> Vec<u8> {
    let sorted: BTreeMap<Key, Value> = pairs(resource).collect();
    let attributes: Vec<KeyValue> = sorted
        .into_iter()
        .map(|(key, value)| KeyValue::new(key, value))
        .collect();
    let mut fields = Vec::new();
    encode::native_attributes(&mut fields, 1, &attributes);
    fields
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::otlp::reader;

    fn named(name: &str) -> Config {
        let mut config = Config::new();
        config.set("service.name", name).unwrap();
        config
    }

    fn text(resource: &Resource, key: &'static str) -> String {
        let value = resource.get(&Key::from_static_str(key));
        value.map_or_else(String::new, |value| value.as_str().into_owned())
    }

    #[test]
    fn the_host_wins_except_about_this_library() {
        let given = Resource::builder_empty()
            .with_service_name("given")
            .with_attribute(KeyValue::new("telemetry.sdk.name", "given"))
            .with_attribute(KeyValue::new("host.cpus", 8))
            .with_schema_url([], "https://example.org/schema")
            .build();
        let merged = merge(&named("configured"), Some(&given));
        assert_eq!(text(&merged, "service.name"), "given");
        assert_eq!(text(&merged, "telemetry.sdk.name"), "mlflow-trace");
        assert_eq!(text(&merged, "telemetry.sdk.version"), crate::VERSION);
        assert_eq!(merged.schema_url(), Some("https://example.org/schema"));
        let read = reader::key_values(&message(&merged));
        assert_eq!(read[0], ("host.cpus".to_owned(), 8.into()));
        assert!(read.is_sorted_by(|a, b| a.0 < b.0), "{read:?}");
    }

    #[test]
    fn a_name_that_stands_for_none_does_not_count() {
        let unnamed = Resource::builder_empty()
            .with_service_name("unknown_service:program")
            .build();
        let merged = merge(&named("configured"), Some(&unnamed));
        assert_eq!(text(&merged, "service.name"), "configured");
        let merged = merge(&Config::new(), Some(&unnamed));
        assert_eq!(text(&merged, "service.name"), "unknown_service:program");
    }
}
