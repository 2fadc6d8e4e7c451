//! `tail`: traces as they arrive.

use std::collections::HashSet;
use std::thread::sleep;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use mlflow_trace_core::client::TraceInfo;

use crate::arguments::Tail;
use crate::list::line;
use crate::output::Output;
use crate::store::Store;
use crate::{Failure, Outcome};

/// How long a trace may have run before it is stored: what began earlier is not looked for.
const WINDOW: Duration = Duration::from_secs(3600);

pub(crate) fn run(tail: &Tail, store: &Store, output: &mut Output) -> Outcome {
    let interval = Duration::try_from_secs_f64(tail.interval).map_err(|_| {
        Failure::Usage(format!(
            "--interval {} is no number of seconds",
            tail.interval
        ))
    })?;
    let mut seen = HashSet::new();
    let mut known = recent(store)?;
    let first = known.split_off(known.len().saturating_sub(tail.lines));
    // A trace is worth another line when it has ended.
    let key = |info: &TraceInfo| (info.trace_id.clone(), info.state.name());
    seen.extend(known.iter().map(key));
    let mut news = first;
    loop {
        for info in &news {
            if seen.insert(key(info)) {
                line(info, output)?;
            }
        }
        sleep(interval);
        news = recent(store)?;
    }
}

/// What began within the window, the oldest first.
fn recent(store: &Store) -> Result<Vec<TraceInfo>, Failure> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let since = now.unwrap_or_default().saturating_sub(WINDOW).as_millis();
    let filter = format!("timestamp_ms >= {since}");
    let order = ["timestamp_ms ASC".to_owned()];
    let found = store.search(&filter, &order, 0, false)?;
    let infos = found.map(|trace| Ok(trace?.info));
    infos.collect()
}
