//! Makes tracers to which the host contributes code of its own.

use opentelemetry_sdk::trace::{IdGenerator, ShouldSample};

use crate::config::Config;
use crate::error::Result;
use crate::plugins::Plugins;
use crate::processor::SpanProcessor;
use crate::sampler::Sampler;
use crate::tracer::Tracer;

/// Collects what a [`Tracer`] is made from.
pub struct TracerBuilder {
    config: Config,
    sampler: Option<Box<dyn ShouldSample>>,
    ids: Option<Box<dyn IdGenerator>>,
    processors: Vec<Box<dyn SpanProcessor>>,
}

impl TracerBuilder {
    /// A tracer of this configuration and nothing else.
    pub fn new(config: Config) -> Self {
        TracerBuilder {
            config,
            sampler: None,
            ids: None,
            processors: Vec::new(),
        }
    }

    /// Decides which traces begun here are recorded, instead of `sampling.ratio`. It is asked on the thread
    /// that starts a root, with the root's trace id and name; a decision other than to record and sample
    /// drops the trace. The other options of sampling apply as well.
    pub fn sampler(mut self, sampler: impl ShouldSample + 'static) -> Self {
        self.sampler = Some(Box::new(sampler));
        self
    }

    /// Makes the ids of traces and spans begun here, on the thread that starts them.
    pub fn id_generator(mut self, ids: impl IdGenerator + 'static) -> Self {
        self.ids = Some(Box::new(ids));
        self
    }

    /// Adds a processor; they run in the order in which they were added.
    pub fn processor(mut self, processor: impl SpanProcessor + 'static) -> Self {
        self.processors.push(Box::new(processor));
        self
    }

    /// Makes the tracer. Starts no thread and does no I/O; those come with the first trace.
    pub fn build(self) -> Result<Tracer> {
        let (config, plugins) = self.into_parts();
        Tracer::with_plugins(config, plugins)
    }

    pub(crate) fn into_parts(self) -> (Config, Plugins) {
        let plugins = Plugins {
            processors: self.processors,
            sampler: Sampler::new(&self.config, self.sampler),
            ids: self.ids,
        };
        (self.config, plugins)
    }
}
