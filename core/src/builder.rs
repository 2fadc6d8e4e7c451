//! Makes tracers to which the host contributes code of its own.

use std::sync::Arc;

use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{IdGenerator, ShouldSample, SpanExporter};

use crate::config::Config;
use crate::error::Result;
use crate::export::sink::Given;
use crate::plugins::Plugins;
use crate::processor::SpanProcessor;
use crate::resource;
use crate::sampler::Sampler;
use crate::token::TokenProvider;
use crate::tracer::Tracer;

/// Collects what a [`Tracer`] is made from.
pub struct TracerBuilder {
    config: Config,
    sampler: Option<Box<dyn ShouldSample>>,
    ids: Option<Box<dyn IdGenerator>>,
    processors: Vec<Box<dyn SpanProcessor>>,
    resource: Option<Resource>,
    exporter: Option<Given>,
}

impl TracerBuilder {
    /// A tracer of this configuration and nothing else.
    pub fn new(config: Config) -> Self {
        TracerBuilder {
            config,
            sampler: None,
            ids: None,
            processors: Vec::new(),
            resource: None,
            exporter: None,
        }
    }

    /// Decides which traces begun here are recorded, instead of `sampling.ratio`. It is asked on the thread
    /// that starts a root, with the root's trace id and name; a decision other than to record and sample
    /// drops the trace, and a panic does not. Attributes and trace state of its answer are not used. The other
    /// options of sampling apply as well.
    pub fn sampler(mut self, sampler: impl ShouldSample + 'static) -> Self {
        self.sampler = Some(Box::new(sampler));
        self
    }

    /// Makes the ids of traces and spans begun here, on the thread that starts them. Where it answers all zeros
    /// or panics, the id is random. It must not use spans itself.
    pub fn id_generator(mut self, ids: impl IdGenerator + 'static) -> Self {
        self.ids = Some(Box::new(ids));
        self
    }

    /// Adds a processor; they run in the order in which they were added.
    pub fn processor(mut self, processor: impl SpanProcessor + 'static) -> Self {
        self.processors.push(Box::new(processor));
        self
    }

    /// Describes the program that spans come from. Its attributes win over `service.name` and
    /// `OTEL_RESOURCE_ATTRIBUTES`, but for a `service.name` that begins with `unknown_service`, which stands for
    /// none; `telemetry.sdk.*` always names this library.
    pub fn resource(mut self, resource: Resource) -> Self {
        self.resource = Some(resource);
        self
    }

    /// Sends the spans of finished traces to an exporter of OpenTelemetry's SDK, and nowhere else: the options
    /// `exporter`, `tracking_uri` and `file.directory` are without effect. The information of traces (tags, metadata,
    /// previews) has no place in spans and is not sent.
    ///
    /// [`Self::build`] tells it the tracer's resource. After that it is called on a thread of the tracer's, one call
    /// at a time, within the context of a tokio runtime; it may block. A trace counts as delivered when `export`
    /// answers `Ok`. After a failure it is offered again, by growing pauses and for five minutes at most; it is
    /// `rejected` after that, after `AlreadyShutdown`, and when its spans make the exporter panic. A flush of the tracer
    /// is passed on, and a shutdown as well, after the last spans; a tracer that is dropped also shuts it down.
    ///
    /// In a fork's child the exporter is neither called nor dropped, since it belongs to the parent: spans that the
    /// child records through this tracer are `rejected`. A child that is to send makes a tracer of its own.
    pub fn exporter(mut self, exporter: impl SpanExporter + 'static) -> Self {
        self.exporter = Some(Given::new(exporter));
        self
    }

    /// Supplies the Bearer token of requests to the tracking server, also to those of [`Client`](crate::Client) calls. It
    /// wins over all options about credentials.
    pub fn token_provider(mut self, tokens: impl TokenProvider) -> Self {
        self.config.attached.tokens = Some(Arc::new(tokens));
        self
    }

    /// Makes the tracer. Starts no thread and does no I/O; those come with the first trace.
    ///
    /// Fails with `InvalidConfig` when the exporter panics as it is told the resource.
    pub fn build(self) -> Result<Tracer> {
        let (config, mut plugins) = self.into_parts();
        if let Some(exporter) = &mut plugins.exporter {
            exporter.introduce(&plugins.resource)?;
        }
        Tracer::with_plugins(config, plugins)
    }

    pub(crate) fn into_parts(self) -> (Config, Plugins) {
        let plugins = Plugins {
            processors: self.processors,
            sampler: Sampler::new(&self.config, self.sampler),
            ids: self.ids,
            resource: resource::merge(&self.config, self.resource.as_ref()),
            exporter: self.exporter,
        };
        (self.config, plugins)
    }
}
