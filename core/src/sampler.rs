//! Which traces are recorded. The root decides and its trace follows; a trace that began in another process
//! follows the decision made there (OpenTelemetry's parent-based sampling).

use std::sync::atomic::{AtomicU64, Ordering};

use opentelemetry::trace::SpanKind;
use opentelemetry_sdk::trace::{SamplingDecision, ShouldSample};

use crate::clock;
use crate::config::Config;
use crate::id::TraceId;
use crate::plugins::ask;

/// In nanoseconds.
const SECOND: u64 = 1_000_000_000;

/// What becomes of a new trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// It is recorded and sent.
    Sample,
    /// It is recorded, and sent only if a span of it fails.
    KeepErrors,
    /// It is not recorded.
    Drop,
}

/// A ratio as MLflow (3.17.2) applies it: the lower half of the trace id is below this bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Bound(u128);

impl Bound {
    const ALL: Bound = Bound(1 << 64);

    fn new(ratio: f64) -> Self {
        // Python's round() goes to the even neighbour; above 2^53 every double is whole anyway.
        Bound((ratio.clamp(0.0, 1.0) * 2f64.powi(64)).round_ties_even() as u128)
    }

    fn takes(self, id: TraceId) -> bool {
        u128::from(id.low()) < self.0
    }
}

/// At most so many traces begin in a second.
#[derive(Debug)]
struct Limiter {
    per_second: u32,
    /// The second, and in the lower half how many traces began in it.
    used: AtomicU64,
}

impl Limiter {
    fn allows(&self, second: u64) -> bool {
        let take = |used: u64| match used >> 32 == second {
            true if used as u32 >= self.per_second => None,
            true => Some(used + 1),
            false => Some(second << 32 | 1),
        };
        self.used
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, take)
            .is_ok()
    }
}

/// The sampler of one tracer.
pub(crate) struct Sampler {
    bound: Bound,
    limiter: Option<Limiter>,
    keep_errors: bool,
    disabled: bool,
    custom: Option<Box<dyn ShouldSample>>,
}

impl Sampler {
    pub(crate) fn new(config: &Config, custom: Option<Box<dyn ShouldSample>>) -> Self {
        let limiter = |per_second| Limiter {
            per_second,
            used: AtomicU64::new(0),
        };
        Sampler {
            bound: Bound::new(config.sampling_ratio()),
            limiter: config.max_traces_per_second().map(limiter),
            keep_errors: config.keeps_errors(),
            disabled: config.is_disabled(),
            custom,
        }
    }

    /// Whether every root is recorded, whatever it is.
    #[inline]
    pub(crate) fn takes_all(&self) -> bool {
        self.bound == Bound::ALL
            && self.limiter.is_none()
            && self.custom.is_none()
            && !self.disabled
    }

    /// Whether traces that are not sampled are recorded all the same.
    pub(crate) fn keeps_errors(&self) -> bool {
        self.keep_errors && !self.disabled
    }

    /// Whether nothing is recorded, also of traces that began elsewhere.
    pub(crate) fn is_disabled(&self) -> bool {
        self.disabled
    }

    /// Decides about a root; `ratio` overrides the configured one.
    pub(crate) fn decide(&self, id: TraceId, name: &str, ratio: Option<f64>) -> Decision {
        if self.disabled {
            return Decision::Drop;
        }
        let taken = match (ratio, &self.custom) {
            (Some(ratio), _) => Bound::new(ratio).takes(id),
            (None, Some(custom)) => asks(custom.as_ref(), id, name),
            (None, None) => self.bound.takes(id),
        };
        let allowed = |limiter: &Limiter| limiter.allows(clock::monotonic_nanos() / SECOND);
        match taken && self.limiter.as_ref().is_none_or(allowed) {
            true => Decision::Sample,
            false if self.keep_errors => Decision::KeepErrors,
            false => Decision::Drop,
        }
    }
}

/// A sampler that panics has decided nothing, and what nobody decided about is recorded.
fn asks(sampler: &dyn ShouldSample, id: TraceId, name: &str) -> bool {
    let id = opentelemetry::TraceId::from_bytes(*id.bytes());
    let result = ask(|| sampler.should_sample(None, id, name, &SpanKind::Internal, &[], &[]));
    result.is_none_or(|result| result.decision == SamplingDecision::RecordAndSample)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sampler(options: &[(&str, &str)]) -> Sampler {
        let mut config = Config::new();
        for (key, value) in options {
            config.set(key, value).unwrap();
        }
        Sampler::new(&config, None)
    }

    fn id(low: u64) -> TraceId {
        let mut bytes = [1; 16];
        bytes[8..].copy_from_slice(&low.to_be_bytes());
        TraceId::from_bytes(bytes)
    }

    #[test]
    fn the_ratio_bounds_the_lower_half_of_the_id() {
        let half = sampler(&[("sampling.ratio", "0.5")]);
        assert_eq!(half.decide(id((1 << 63) - 1), "", None), Decision::Sample);
        assert_eq!(half.decide(id(1 << 63), "", None), Decision::Drop);
        assert_eq!(half.decide(id(u64::MAX), "", Some(1.0)), Decision::Sample);
        assert_eq!(half.decide(id(1), "", Some(0.0)), Decision::Drop);
        let all = sampler(&[]);
        assert!(all.takes_all());
        assert_eq!(all.decide(id(u64::MAX), "", None), Decision::Sample);
        // round(0.1 * 2**64) in Python.
        assert_eq!(Bound::new(0.1).0, 1_844_674_407_370_955_264);
    }

    #[test]
    fn the_limit_holds_in_each_second() {
        let limiter = Limiter {
            per_second: 2,
            used: AtomicU64::new(0),
        };
        let allowed = [7, 7, 7, 8, 8, 8].map(|second| limiter.allows(second));
        assert_eq!(allowed, [true, true, false, true, true, false]);
    }

    #[test]
    fn errors_are_kept_and_disabling_wins() {
        let options = [("sampling.ratio", "0"), ("sampling.keep_errors", "true")];
        let errors = sampler(&options);
        assert_eq!(errors.decide(id(1), "", None), Decision::KeepErrors);
        let off = sampler(&[options[1], ("sdk.disabled", "true")]);
        assert_eq!(off.decide(id(1), "", None), Decision::Drop);
        assert_eq!(off.decide(id(1), "", Some(1.0)), Decision::Drop);
        assert!(off.is_disabled() && !off.keeps_errors());
        assert!(!sampler(&[("sdk.disabled", "true")]).takes_all());
    }

    #[test]
    fn any_sampler_of_opentelemetry_decides() {
        let off = Box::new(opentelemetry_sdk::trace::Sampler::AlwaysOff);
        let sampler = Sampler::new(&Config::new(), Some(off));
        assert!(!sampler.takes_all());
        assert_eq!(sampler.decide(id(1), "", None), Decision::Drop);
    }
}
