//! `mlflow.chat.tokenUsage`: the tokens of one call, in which the input includes what a cache had.

use std::fmt::Write;

use super::Object;

/// Counts of tokens. `None` is not known, which MLflow tells from 0.
#[derive(Default)]
pub(super) struct Usage {
    pub(super) input: Option<u64>,
    pub(super) output: Option<u64>,
    pub(super) total: Option<u64>,
    pub(super) cache_read: Option<u64>,
    pub(super) cache_creation: Option<u64>,
    pub(super) cache_creation_above_1hr: Option<u64>,
}

impl Usage {
    /// The counts of a provider that leaves cached tokens out of the input, and so out of its total.
    pub(super) fn beside_cache(self) -> Self {
        let parts = [self.input, self.cache_read, self.cache_creation];
        Usage {
            input: parts.into_iter().flatten().reduce(u64::saturating_add),
            total: None,
            ..self
        }
    }

    /// As JSON text: all three sums, and the tiers of the cache that are known; `None` if nothing is.
    pub(super) fn into_text(self) -> Option<String> {
        self.input.or(self.output).or(self.total)?;
        let input = self.input.unwrap_or_default();
        let output = self.output.unwrap_or_default();
        let total = self.total.unwrap_or(input.saturating_add(output));
        let mut text = format!(
            "{{\"input_tokens\": {input}, \"output_tokens\": {output}, \"total_tokens\": {total}"
        );
        let tiers = [
            ("cache_read_input_tokens", self.cache_read),
            ("cache_creation_input_tokens", self.cache_creation),
            (
                "cache_creation_input_tokens_above_1hr",
                self.cache_creation_above_1hr,
            ),
        ];
        for (key, count) in tiers {
            if let Some(count) = count {
                let _ = write!(text, ", \"{key}\": {count}");
            }
        }
        text.push('}');
        Some(text)
    }
}

/// The first of these members that is a count.
#[inline(never)]
pub(super) fn count(object: &Object, names: &[&str]) -> Option<u64> {
    names.iter().find_map(|name| object.get(*name)?.as_u64())
}

/// The first of these members that is an object.
#[inline(never)]
pub(super) fn part<'a>(object: &'a Object, names: &[&str]) -> Option<&'a Object> {
    names.iter().find_map(|name| object.get(*name)?.as_object())
}
