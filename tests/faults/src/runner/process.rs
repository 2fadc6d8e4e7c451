//! What happens to the process: forks, ends, clocks that jump.

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, SystemTime};

use serde_json::json;

use super::Settings;
use super::replies::side_by_side;
use super::row::{Counting, Row};
use super::scene::{Outcome, Producer, Scene, text};
use crate::report;
use crate::script::Endpoint;
use crate::sink::{Options, Sink};

const AFTERWARDS: Duration = Duration::from_secs(30);

/// F19. Children flush, exit, abort or exec while four threads of the parent record.
pub(super) fn forks(settings: &Settings, row: &mut Row) -> Outcome {
    let options = ["--rate", "1000", "--threads", "4", "batch.delay_ms=50"];
    let mut scene = Scene::start(settings, &options)?;
    let count = settings.times(1000);
    let mut hangs = 0;
    for number in 0..count {
        let how = ["flush", "exit", "flush", "abort", "exec"][number as usize % 5];
        let reply = scene.producer.ask(&format!("fork {how}"))?;
        hangs += u64::from(reply["hung"] == true);
        let failed = how == "flush" && reply["status"] != 0;
        row.require(!failed, "a child could not deliver what it recorded");
    }
    scene.producer.ask("stop")?;
    let (reading, _) = scene.producer.settle(AFTERWARDS)?;
    row.fact(format!("{count} forks, {hangs} hangs"));
    row.require(hangs == 0, format!("{hangs} children hung"));
    row.count(&reading);
    row.require(
        reading.created == reading.started && reading.created == reading.delivered,
        "the parent's spans were not all delivered once",
    );
    let listed = scene.producer.listed()?;
    let unflushed = scene.producer.list.with_extension("unflushed");
    let unflushed = report::read(&unflushed).map_err(text)?;
    let ledger = scene.sink.ledger();
    let (summary, stored) = (ledger.summary(), ledger.spans());
    let lost = listed
        .keys()
        .filter(|key| !stored.contains_key(*key))
        .count();
    let invented = stored
        .keys()
        .filter(|key| !listed.contains_key(*key) && !unflushed.contains_key(*key))
        .count();
    for (count, what) in [
        (lost, "lost"),
        (invented, "invented"),
        (summary.duplicates + summary.info_duplicates, "sent twice"),
        (summary.broken, "changed"),
    ] {
        row.require(count == 0, format!("{count} {what}"));
    }
    Ok(())
}

/// F20, in memory: what ended a delay and a half before the death has to be there.
pub(super) fn deaths(settings: &Settings, row: &mut Row) -> Outcome {
    row.fact("interpreters and workers are the bindings' tests");
    let run = |how: &str| -> Outcome<(String, Row)> {
        let mut row = Row::default();
        let mut scene = Scene::start(settings, &["--rate", "500"])?;
        std::thread::sleep(Duration::from_secs(4));
        let at = SystemTime::now();
        match how {
            "SIGTERM" => scene.producer.signal("TERM")?,
            "SIGINT" => scene.producer.signal("INT")?,
            how => scene.producer.send(&format!("die {how}"))?,
        }
        row.exit_took(scene.producer.ended(Duration::from_secs(10))?);
        std::thread::sleep(Duration::from_millis(300));
        let at = at.duration_since(SystemTime::UNIX_EPOCH).map_err(text)?;
        let old = at.saturating_sub(Duration::from_millis(1500)).as_nanos() as u64;
        let listed = scene.producer.listed()?;
        let stored = scene.sink.ledger().spans();
        let due = listed
            .iter()
            .filter(|(_, ended)| how == "exit" || **ended < old);
        let lost = due.filter(|(key, _)| !stored.contains_key(*key)).count();
        let invented = stored
            .keys()
            .filter(|key| !listed.contains_key(*key))
            .count();
        row.fact(format!("{} of {} there", stored.len(), listed.len()));
        row.require(lost == 0, format!("{lost} older spans lost"));
        // A thread may be in the middle of a trace that it has not listed.
        row.require(invented <= 20, format!("{invented} invented"));
        row.require(
            scene.sink.ledger().summary().broken == 0,
            "spans were changed",
        );
        Ok((how.to_owned(), row))
    };
    side_by_side(
        ["SIGTERM", "SIGINT", "_exit", "abort", "panic", "exit"],
        run,
        row,
    );
    Ok(())
}

/// A library to be loaded first, in which the wall clock is off by what a file says.
fn shim(settings: &Settings) -> Outcome<PathBuf> {
    let library = settings.fresh_path("clock.so");
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/clock.c");
    let built = Command::new("cc")
        .args(["-O1", "-shared", "-fPIC", "-o"])
        .arg(&library)
        .arg(source)
        .status();
    match built.map_err(text)?.success() {
        true => Ok(library),
        false => Err(format!("{source} does not compile")),
    }
}

/// F21. The wall clock is shifted in the producer only; its machine is suspended by stopping the process.
pub(super) fn clocks(settings: &Settings, row: &mut Row) -> Outcome {
    row.fact("simulated: the clock by LD_PRELOAD, the suspension by SIGSTOP");
    let library = shim(settings)?.display().to_string();
    let offset = settings.fresh_path("offset");
    let shift = |seconds: i64| std::fs::write(&offset, seconds.to_ne_bytes()).map_err(text);
    shift(0)?;
    let path = offset.display().to_string();
    let variables = [
        ("LD_PRELOAD", library.as_str()),
        ("CLOCK_OFFSET_FILE", path.as_str()),
    ];
    let sink = Sink::start(&Options::default()).map_err(text)?;
    let options = ["--rate", "500", "--live-times", "batch.delay_ms=100"];
    let producer = Producer::start(settings, &sink.url(), &options, &variables)?;
    let mut scene = Scene { sink, producer };
    let years = 10 * 365 * 86_400;
    for seconds in [3600, -3600, years, -years, 0] {
        shift(seconds)?;
        std::thread::sleep(Duration::from_millis(500));
    }
    // The wish of the server is for time that passes, not for a time of day.
    scene.script(&json!({"rules": [{"on": "spans", "times": 1,
        "do": {"status": {"code": 429, "retry_after": "3"}}}]}))?;
    std::thread::sleep(Duration::from_millis(500));
    shift(3600)?;
    std::thread::sleep(Duration::from_secs(4));
    let longest = scene.sink.ledger().summary().longest_ms;
    scene.producer.signal("STOP")?;
    std::thread::sleep(settings.seconds(60.0).max(Duration::from_secs(2)));
    scene.producer.signal("CONT")?;
    std::thread::sleep(Duration::from_millis(500));
    shift(0)?;
    scene.producer.ask("stop")?;
    scene.producer.settle(AFTERWARDS)?;
    let wait = {
        let ledger = scene.sink.ledger();
        let requests: Vec<_> = ledger.requests_for(Endpoint::Spans).collect();
        let refused = requests.iter().position(|request| request.status == 429);
        let pair = refused.and_then(|at| Some((requests[at], *requests.get(at + 1)?)));
        pair.and_then(|(refused, next)| Some(next.begun_ms - refused.ended_ms?))
    };
    row.fact(format!("longest span {longest} ms"));
    row.require(longest < 2_000, "durations follow the wall clock");
    match wait {
        Some(wait) => {
            row.fact(format!("Retry-After 3: {:.2} s", wait / 1000.0));
            row.require(wait >= 2_950.0, "retried early");
        }
        None => row.problem("not retried"),
    }
    row.judge(settings, &mut scene, Counting::Exact)
}
