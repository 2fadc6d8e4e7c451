//! How long calls took.

use serde_json::{Value, json};

/// Steps in each power of two: a figure is at most 1/16 too high.
const STEPS: usize = 16;

/// Durations in nanoseconds, in buckets that grow with them.
#[derive(Clone)]
pub struct Histogram {
    counts: Vec<u64>,
    total: u64,
    longest: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Histogram {
            counts: vec![0; 64 * STEPS],
            total: 0,
            longest: 0,
        }
    }
}

impl Histogram {
    /// Adds a duration.
    #[inline]
    pub fn add(&mut self, nanos: u64) {
        self.counts[bucket(nanos)] += 1;
        self.total += 1;
        self.longest = self.longest.max(nanos);
    }

    /// Adds those of another thread.
    pub fn merge(&mut self, other: &Histogram) {
        for (mine, theirs) in self.counts.iter_mut().zip(&other.counts) {
            *mine += theirs;
        }
        self.total += other.total;
        self.longest = self.longest.max(other.longest);
    }

    /// The duration that this share of them does not exceed.
    pub fn quantile(&self, share: f64) -> u64 {
        let wanted = (self.total as f64 * share).ceil() as u64;
        let mut seen = 0;
        for (index, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= wanted && seen > 0 {
                return limit(index).min(self.longest);
            }
        }
        0
    }

    /// `{"calls": n, "p50": ns, "p99": ns, "p999": ns, "max": ns}`.
    pub fn to_json(&self) -> Value {
        json!({
            "calls": self.total,
            "p50": self.quantile(0.5),
            "p99": self.quantile(0.99),
            "p999": self.quantile(0.999),
            "max": self.longest,
        })
    }
}

fn bucket(nanos: u64) -> usize {
    if nanos < STEPS as u64 {
        return nanos as usize;
    }
    let power = nanos.ilog2() as usize;
    let step = (nanos >> (power - STEPS.ilog2() as usize)) as usize - STEPS;
    (power - STEPS.ilog2() as usize + 1) * STEPS + step
}

/// The highest value of a bucket.
fn limit(index: usize) -> u64 {
    let (power, step) = (index / STEPS, index % STEPS);
    match power {
        0 => step as u64,
        power => (((STEPS + step + 1) as u64) << (power - 1)) - 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_is_in_its_bucket() {
        for nanos in (0..100_000).chain([u64::MAX >> 2, 1 << 40]) {
            let limit = limit(bucket(nanos));
            assert!(
                limit >= nanos && limit <= nanos + nanos / 16,
                "{nanos}: {limit}"
            );
        }
    }

    #[test]
    fn quantiles() {
        let mut histogram = Histogram::default();
        (1..=1000).for_each(|nanos| histogram.add(nanos));
        assert!((500..=532).contains(&histogram.quantile(0.5)));
        assert_eq!(histogram.quantile(1.0), 1000);
        assert_eq!(Histogram::default().quantile(0.5), 0);
    }
}
