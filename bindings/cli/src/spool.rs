//! `spool`: what waits on disk for its server.

use std::collections::BTreeMap;
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use mlflow_trace_core::spool::{self, RunStatus, SpoolOptions, SpoolStatus};
use mlflow_trace_core::{RecoveredStats, Tracer};
use serde_json::{Value, json};

use crate::arguments::{Replay, Spool, SpoolCommand};
use crate::output::{Output, Tone, duration};
use crate::store::Store;
use crate::{Failure, Outcome};

/// Between looks at what was delivered.
const LOOK: Duration = Duration::from_millis(50);
/// How long nothing new may turn up before all of it is taken to have been found.
const QUIET: Duration = Duration::from_secs(2);

pub(crate) fn run(spool: &Spool, store: &Store, output: &mut Output) -> Outcome {
    match &spool.command {
        SpoolCommand::Status => status(store, output),
        SpoolCommand::Replay(options) => replay(options, store, output),
    }
}

fn status(store: &Store, output: &mut Output) -> Outcome {
    let status = spool::status(&SpoolOptions::of(store.config())?)?;
    if output.json {
        return Ok(output.json(&to_json(&status))?);
    }
    let SpoolStatus {
        directory,
        runs,
        dead,
        bad,
    } = &status;
    let title = directory.display().to_string();
    output.line(&output.paint(Tone::Strong, &title))?;
    if runs.is_empty() && dead.is_empty() && bad.0 == 0 {
        return Ok(output.line(&output.paint(Tone::Faint, "  nothing waits"))?);
    }
    for run in runs {
        print(run, output)?;
    }
    let mut reasons: BTreeMap<&str, u64> = BTreeMap::new();
    for letter in dead {
        *reasons.entry(&letter.reason).or_default() += 1;
    }
    for (reason, count) in reasons {
        let count = output.paint(Tone::Bad, &format!("  {count} dead"));
        output.line(&format!("{count}  {}", output.paint(Tone::Plain, reason)))?;
    }
    if bad.0 > 0 {
        let text = format!("  {} files that nobody can read, {} bytes", bad.0, bad.1);
        output.line(&output.paint(Tone::Doubtful, &text))?;
    }
    Ok(())
}

fn print(run: &RunStatus, output: &mut Output) -> Outcome {
    let state = match run.is_live {
        true => output.paint(Tone::Good, "  live    "),
        false => output.paint(Tone::Doubtful, "  orphaned"),
    };
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now = now.unwrap_or_default().as_millis() as u64;
    let age = |since: u64| duration(now.saturating_sub(since).saturating_mul(1_000_000));
    let mut text = format!(
        "process {}, begun {} ago: {} pending, {} open, {} bytes",
        run.process,
        age(run.begun_ms),
        run.pending,
        run.open,
        run.bytes
    );
    if let Some(oldest) = run.oldest_ms {
        text += &format!(", the oldest {} old", age(oldest));
    }
    if run.damaged > 0 {
        text += &format!(", {} places damaged", run.damaged);
    }
    let text = output.paint(Tone::Plain, &text);
    Ok(output.line(&format!("{state}  {text}"))?)
}

fn to_json(status: &SpoolStatus) -> Value {
    let runs = status.runs.iter().map(|run| {
        json!({
            "name": run.name,
            "process": run.process,
            "begun_ms": run.begun_ms,
            "live": run.is_live,
            "bytes": run.bytes,
            "pending": run.pending,
            "open": run.open,
            "oldest_ms": run.oldest_ms,
            "damaged": run.damaged,
        })
    });
    let dead = status.dead.iter().map(|letter| {
        json!({
            "name": letter.name,
            "reason": letter.reason,
            "trace_id": letter.trace_id,
            "created_ms": letter.created_ms,
            "bytes": letter.bytes,
        })
    });
    json!({
        "directory": status.directory.display().to_string(),
        "runs": runs.collect::<Value>(),
        "dead": dead.collect::<Value>(),
        "bad": {"files": status.bad.0, "bytes": status.bad.1},
    })
}

fn replay(replay: &Replay, store: &Store, output: &mut Output) -> Outcome {
    store.needs_server()?;
    let timeout = Duration::try_from_secs_f64(replay.timeout).map_err(|_| {
        Failure::Usage(format!(
            "--timeout {} is no number of seconds",
            replay.timeout
        ))
    })?;
    let options = SpoolOptions::of(store.config())?;
    let mut before = spool::status(&options)?;
    if let Some(unknown) = replay
        .letters
        .iter()
        .find(|name| before.dead.iter().all(|letter| letter.name != **name))
    {
        return Err(Failure::Usage(format!("there is no dead letter {unknown}")));
    }
    before
        .dead
        .retain(|letter| replay.letters.is_empty() || replay.letters.contains(&letter.name));
    let names: Vec<String> = before.dead.into_iter().map(|letter| letter.name).collect();
    let (revived, failures) = spool::revive(&options, &names)?;
    let mut config = store.config().clone();
    if !matches!(config.get("spool")?, "write-through" | "sync" | "spill") {
        config.set("spool", "spill")?;
    }
    let tracer = Tracer::new(config)?;
    let recovered = deliver(&tracer, timeout);
    tracer.shutdown(timeout.min(QUIET));
    let after = spool::status(&options)?;
    let waiting: u64 = after
        .runs
        .iter()
        .filter(|run| !run.is_live)
        .map(|run| run.pending)
        .sum();
    let RecoveredStats {
        delivered, dropped, ..
    } = recovered;
    if output.json {
        let failures = failures.iter();
        let failures = failures.map(|(name, why)| json!({"name": name, "reason": why}));
        output.json(&json!({
            "letters": revived,
            "failed": failures.collect::<Value>(),
            "spans_delivered": delivered,
            "spans_refused": dropped,
            "waiting": waiting,
            "dead": after.dead.len(),
        }))?;
    } else {
        let text = format!(
            "{revived} dead letters tried again; {delivered} spans delivered, {dropped} refused"
        );
        output.line(&output.paint(Tone::Plain, &text))?;
        for (name, why) in &failures {
            output.line(&output.paint(Tone::Bad, &format!("{name}: {why}")))?;
        }
        if waiting > 0 {
            let text = format!(
                "{waiting} traces still wait: the server is away, or they are for another server, experiment or user"
            );
            output.line(&output.paint(Tone::Doubtful, &text))?;
        }
    }
    match failures.is_empty() && waiting == 0 && dropped == 0 {
        true => Ok(()),
        false => Err(Failure::Incomplete),
    }
}

/// Waits until what was left for this server is settled.
fn deliver(tracer: &Tracer, timeout: Duration) -> RecoveredStats {
    let begun = Instant::now();
    let mut changed = begun;
    let mut last = RecoveredStats::default();
    loop {
        let now = tracer.stats().recovered.unwrap_or_default();
        if now != last {
            changed = Instant::now();
            last = now;
        }
        let is_over = last.pending == 0 && changed.elapsed() > QUIET;
        if is_over || begun.elapsed() > timeout {
            return last;
        }
        sleep(LOOK);
    }
}
