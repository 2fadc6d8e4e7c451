//! More than fits, and what does not end.

use std::collections::HashMap;
use std::time::Duration;

use serde_json::json;

use super::Settings;
use super::row::{Counting, Row};
use super::scene::{Outcome, Scene, in_order};

const AFTERWARDS: Duration = Duration::from_secs(30);

/// F22.
pub(super) fn overflow(settings: &Settings, row: &mut Row) -> Outcome {
    flood(settings, row, None)
}

/// F22: the other way round.
pub(super) fn policy(settings: &Settings, row: &mut Row) -> Outcome {
    flood(settings, row, Some("queue.drop=oldest"))
}

/// Ten times more than fits, while nobody takes it; the newest are dropped unless told otherwise.
fn flood(settings: &Settings, row: &mut Row, policy: Option<&str>) -> Outcome {
    let mut options = vec!["--bytes", "2000", "queue.max_bytes=1048576"];
    options.extend(policy);
    let mut scene = Scene::start(settings, &options)?;
    scene.script(&json!({"refuse_ms": 600_000}))?;
    scene.producer.ask("burst 500")?;
    let full = scene.producer.read()?;
    let dropped = full.dropped_for("queue_full");
    row.require(
        dropped == full.dropped && dropped > full.created / 2,
        "not dropped for being too many",
    );
    scene.script(&json!({}))?;
    scene.producer.settle(AFTERWARDS)?;
    let mut order = in_order(&scene.producer.listed()?);
    if policy.is_some() {
        order.reverse();
    }
    let stored = scene.sink.ledger().spans();
    let mut whole: HashMap<[u8; 16], usize> = HashMap::new();
    for (trace, _) in stored.keys() {
        *whole.entry(*trace).or_default() += 1;
    }
    let partial = whole.values().filter(|spans| **spans != 10).count();
    row.require(partial == 0, format!("{partial} traces came in part"));
    let wanted = order.iter().take(stored.len());
    let others = wanted.filter(|key| !stored.contains_key(*key)).count();
    // A batch may have been on its way when the queue filled up.
    let in_flight = if policy.is_some() { 512 } else { 0 };
    row.require(
        others <= in_flight,
        format!("{others} of the wrong spans dropped"),
    );
    row.judge(settings, &mut scene, Counting::Lossy)
}

/// F24.
pub(super) fn endless(settings: &Settings, row: &mut Row) -> Outcome {
    let mut part = Row::default();
    let options = ["trace.ttl_s=2", "trace.max_open=10000", "batch.delay_ms=50"];
    let mut scene = Scene::start(settings, &options)?;
    scene.producer.ask("open 10500")?;
    scene.producer.ask("stale 100")?;
    let (reading, _) = scene.producer.settle(AFTERWARDS)?;
    let number = |key: &str| reading.stats[key].as_u64().unwrap_or(0);
    part.fact(format!("{} abandoned", number("abandoned")));
    part.require(
        number("abandoned") == 10_500,
        format!("{} closed as abandoned", number("abandoned")),
    );
    part.require(
        number("ignored") == 100,
        format!("{} ignored calls", number("ignored")),
    );
    // Nobody listed what nobody ended.
    part.count(&reading);
    part.require(
        reading.delivered == 10_501 && scene.sink.ledger().spans().len() == 10_501,
        format!("{} delivered", reading.delivered),
    );
    row.absorb(part, "left open");

    let mut part = Row::default();
    let mut scene = Scene::start(settings, &["--bytes", "20"])?;
    let before = scene.producer.memory("VmRSS")?;
    let spans = settings.times(10_000_000).max(1_000_000);
    scene.producer.ask(&format!("large {spans}"))?;
    let (reading, _) = scene.producer.settle(Duration::from_secs(120))?;
    let grown = scene.producer.memory("VmHWM")?.saturating_sub(before) >> 10;
    part.fact(format!("{spans} spans, memory + {grown} MiB"));
    part.require(grown <= 96, format!("memory + {grown} MiB"));
    part.require(reading.pending == 0, "not settled after 120 s");
    part.judge(settings, &mut scene, Counting::Lossy)?;
    row.absorb(part, "one large trace");
    Ok(())
}
