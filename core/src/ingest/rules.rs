//! What a host that encodes its spans itself has to know before it starts one.

use crate::config::Config;
use crate::sampler::Sampler;

/// What a tracer prescribes to a host that encodes its spans itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HostRules {
    /// Nothing is recorded (`sdk.disabled`).
    pub disabled: bool,
    /// Every root is recorded: [`Tracer::samples`](crate::Tracer::samples) need not be asked, unless for
    /// a ratio of the root's own.
    pub takes_all: bool,
    /// Traces that are not sampled may be recorded all the same (`sampling.keep_errors`).
    pub keeps_errors: bool,
    /// Events that a span may have (`limits.events`); a host need not hold on to more.
    pub max_events: u32,
    /// What has ended is to be on disk before the host goes on (`spool`): it hands each span over as it ends.
    pub writes_through: bool,
}

impl HostRules {
    pub(crate) fn new(config: &Config, sampler: &Sampler) -> Self {
        HostRules {
            disabled: config.is_disabled(),
            takes_all: sampler.takes_all(),
            keeps_errors: sampler.keeps_errors(),
            max_events: config.limits().events,
            writes_through: config.writes_through(),
        }
    }
}
