//! Samplers, id generators and resources of the host.
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::process::Command;

use mlflow_trace_core::{Parent, Span, SpanStart, Tracer, TracerBuilder, extract};
use opentelemetry::trace::{Link, SpanKind};
use opentelemetry::{Context, KeyValue, SpanId, TraceId};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{IdGenerator, Sampler, SamplingResult, ShouldSample};
use serde_json::{Value, json};
use support::{PATIENCE, assert_conserved, child, config, names, traces};

const MEMORY: [(&str, &str); 2] = [("exporter", "memory"), ("batch.delay_ms", "0")];

fn builder() -> TracerBuilder {
    TracerBuilder::new(config(&MEMORY))
}

/// A root with a child.
fn record(tracer: &Tracer) {
    let root = tracer.start(SpanStart::new("root"));
    tracer.start(child(root, "inner")).end().unwrap();
    root.end().unwrap();
}

#[test]
fn always_off_records_no_trace_that_begins_here() {
    let tracer = builder().sampler(Sampler::AlwaysOff).build().unwrap();
    assert_eq!(tracer.start(SpanStart::new("root")), Span::UNSAMPLED);
    record(&tracer);
    assert_eq!(tracer.stats().created, 0);
    // One that began elsewhere follows the decision made there.
    let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let entry = tracer.start(SpanStart {
        parent: Parent::Remote(extract(parent, None).unwrap()),
        ..SpanStart::new("entry")
    });
    entry.end().unwrap();
    assert_eq!(names(&traces(&tracer)[0]), ["entry"]);
    assert_conserved(&tracer);
}

#[test]
fn a_sampler_replaces_the_ratio_and_decides_for_whole_traces() {
    let config = config(&[MEMORY.as_slice(), &[("sampling.ratio", "0")]].concat());
    let tracer = TracerBuilder::new(config)
        .sampler(Sampler::TraceIdRatioBased(0.5))
        .build()
        .unwrap();
    const ROOTS: usize = 2000;
    (0..ROOTS).for_each(|_| record(&tracer));
    let traces = traces(&tracer);
    // Nine standard deviations around the half.
    assert!((800..1200).contains(&traces.len()), "{}", traces.len());
    assert!(traces.iter().all(|trace| names(trace) == ["inner", "root"]));
    assert_conserved(&tracer);
}

/// Looks at the name.
#[derive(Clone, Debug)]
struct Named(&'static str);

impl ShouldSample for Named {
    fn should_sample(
        &self,
        parent: Option<&Context>,
        trace_id: TraceId,
        name: &str,
        kind: &SpanKind,
        attributes: &[KeyValue],
        links: &[Link],
    ) -> SamplingResult {
        assert_ne!(name, "panic", "as it should");
        let sampler = match name == self.0 {
            true => Sampler::AlwaysOn,
            false => Sampler::AlwaysOff,
        };
        sampler.should_sample(parent, trace_id, name, kind, attributes, links)
    }
}

#[test]
fn a_sampler_sees_the_name_and_its_panic_drops_nothing() {
    let tracer = builder().sampler(Named("wanted")).build().unwrap();
    for name in ["wanted", "other", "panic", "wanted"] {
        tracer.start(SpanStart::new(name)).end().unwrap();
    }
    let found: Vec<String> = traces(&tracer)
        .iter()
        .flat_map(names)
        .map(str::to_owned)
        .collect();
    assert_eq!(found, ["wanted", "panic", "wanted"]);
    assert_conserved(&tracer);
}

/// Generates what it is told, or panics.
#[derive(Debug)]
struct Ids(Option<(u128, u64)>);

impl IdGenerator for Ids {
    fn new_trace_id(&self) -> TraceId {
        self.0.unwrap().0.into()
    }

    fn new_span_id(&self) -> SpanId {
        self.0.unwrap().1.into()
    }
}

/// The ids of a new root: of its trace and its own.
fn ids(generator: Ids) -> (String, String) {
    let tracer = builder().id_generator(generator).build().unwrap();
    let root = tracer.start(SpanStart::new("root"));
    let context = root.context().unwrap();
    root.end().unwrap();
    assert_eq!(
        traces(&tracer)[0]["info"]["trace_id"],
        context.trace_id.to_mlflow()
    );
    assert_conserved(&tracer);
    (context.trace_id.to_string(), context.span_id.to_string())
}

#[test]
fn ids_come_from_the_generator() {
    let (trace, span) = ids(Ids(Some((0xabc, 0xdef))));
    assert_eq!(trace, "00000000000000000000000000000abc");
    assert_eq!(span, "0000000000000def");
}

#[test]
fn ids_that_the_generator_cannot_give_are_random() {
    for generator in [|| Ids(Some((0, 0))), || Ids(None)] {
        let (first, second) = (ids(generator()), ids(generator()));
        assert!(first.0 != second.0 && first.1 != second.1);
        for id in [first.0, first.1, second.0, second.1] {
            assert!(id.bytes().any(|digit| digit != b'0'), "{id}");
        }
    }
}

#[test]
fn a_panic_while_a_child_starts_leaves_its_parent_usable() {
    let tracer = builder().id_generator(Ids(None)).build().unwrap();
    record(&tracer);
    assert_eq!(names(&traces(&tracer)[0]), ["inner", "root"]);
}

/// The attributes of the resource, as the file exporter writes it.
fn written(
    builder: impl FnOnce(TracerBuilder) -> TracerBuilder,
    tag: &str,
) -> Vec<(String, Value)> {
    let name = format!("mlflow-trace-plugins-{tag}-{}", std::process::id());
    let directory = std::env::temp_dir().join(name);
    let mut config = config(&[("exporter", "file"), ("service.name", "shop")]);
    let path = directory.to_str().unwrap();
    config.set("file.directory", path).unwrap();
    let tracer = builder(TracerBuilder::new(config)).build().unwrap();
    record(&tracer);
    assert_eq!(tracer.flush(PATIENCE), 0);
    let file = std::fs::read_dir(&directory).unwrap().next().unwrap();
    let text = std::fs::read_to_string(file.unwrap().path()).unwrap();
    std::fs::remove_dir_all(&directory).unwrap();
    let line: Value = serde_json::from_str(&text).unwrap();
    let attributes = &line["resourceSpans"][0]["resource"]["attributes"];
    let pairs = attributes.as_array().unwrap().iter();
    pairs
        .map(|pair| {
            (
                pair["key"].as_str().unwrap().to_owned(),
                pair["value"].clone(),
            )
        })
        .collect()
}

#[test]
fn a_resource_is_merged_with_ours() {
    let given = Resource::builder_empty()
        .with_attribute(KeyValue::new("host.cpus", 8))
        .with_attribute(KeyValue::new("service.name", "unknown_service:x"))
        .with_attribute(KeyValue::new("telemetry.sdk.language", "other"))
        .build();
    let found = written(|builder| builder.resource(given), "given");
    let text = |text: &str| json!({"stringValue": text});
    let expected = [
        ("host.cpus", json!({"intValue": "8"})),
        ("service.name", text("shop")),
        ("telemetry.sdk.language", text("rust")),
        ("telemetry.sdk.name", text("mlflow-trace")),
        ("telemetry.sdk.version", text(mlflow_trace_core::VERSION)),
    ];
    assert_eq!(found, expected.map(|(key, value)| (key.to_owned(), value)));
}

/// The test below with a variable of the environment; run by it.
#[test]
#[ignore = "needs a variable of the environment"]
fn with_the_variable() {
    let given = Resource::builder_empty()
        .with_attribute(KeyValue::new("both", "given"))
        .build();
    let found = written(|builder| builder.resource(given), "environment");
    let get = |key: &str| {
        let found = found.iter().find(|(known, _)| known == key);
        found.unwrap().1["stringValue"].as_str().unwrap()
    };
    assert_eq!(get("deployment.environment"), "test");
    assert_eq!(get("both"), "given");
    // The option comes from another variable, which wins (OpenTelemetry, "General SDK Configuration").
    assert_eq!(get("service.name"), "shop");
}

#[test]
fn attributes_of_the_environment_count_less_than_given_ones() {
    let attributes = "deployment.environment=test,both=detected,service.name=detected";
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "with_the_variable", "--ignored"])
        .env("OTEL_RESOURCE_ATTRIBUTES", attributes)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && text.contains("1 passed"),
        "{text}"
    );
}
