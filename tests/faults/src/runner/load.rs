//! Load: how much the engine takes, what it costs beside the callers, and what it costs while nothing happens.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use serde_json::json;

use super::Settings;
use super::row::{Counting, Row};
use super::scene::{Outcome, Producer, Scene, directory, spool_dir};
use crate::sink::Options;

const AFTERWARDS: Duration = Duration::from_secs(30);
/// The longest that a measurement without a length of its own takes.
const WHILE: Duration = Duration::from_secs(5);

/// Records at a rate for so long; says how many spans a second it was.
fn sustain(settings: &Settings, row: &mut Row, rate: u64, options: &[&str]) -> Outcome {
    let length = settings.seconds(60.0).max(WHILE);
    let wanted = rate.to_string();
    let mut arguments = vec!["--rate", &wanted, "--threads", "4", "--bytes", "2000"];
    arguments.extend(options);
    let script = json!({"collector": arguments.contains(&"exporter=otlp")});
    let mut scene = Scene::with(settings, &Options::default(), &script, &arguments)?;
    let start = Instant::now();
    std::thread::sleep(length);
    scene.producer.ask("stop")?;
    let took = start.elapsed().as_secs_f64();
    let (reading, settled) = scene.producer.settle(AFTERWARDS)?;
    let offered = reading.created as f64 / took;
    row.fact(format!(
        "{offered:.0} spans/s for {took:.0} s, settled {:.1} s after",
        settled.as_secs_f64()
    ));
    row.require(
        offered >= rate as f64 * 0.97,
        format!("only {offered:.0} spans/s were recorded"),
    );
    row.require(reading.dropped == 0, format!("{} dropped", reading.dropped));
    row.judge(settings, &mut scene, Counting::Exact)
}

/// L1, to a collector: with a request for every trace, as MLflow's servers want it, a core is busy with 4,000 a second.
pub(super) fn memory(settings: &Settings, row: &mut Row) -> Outcome {
    sustain(settings, row, 50_000, &["exporter=otlp"])
}

/// L2.
pub(super) fn disk(settings: &Settings, row: &mut Row) -> Outcome {
    let spool = directory(settings)?;
    let options = ["spool=write-through", &spool_dir(&spool)];
    sustain(settings, row, 20_000, &options)
}

/// L5, with the server away.
pub(super) fn outage(settings: &Settings, row: &mut Row) -> Outcome {
    let length = settings.seconds(600.0).max(WHILE);
    let mut scene = Scene::start(settings, &["--rate", "5000", "--bytes", "2000"])?;
    std::thread::sleep(Duration::from_secs(1));
    let before = scene.producer.memory("VmRSS")?;
    scene.script(&json!({"refuse_ms": 3_600_000}))?;
    std::thread::sleep(length);
    row.stays_small(&scene.producer, before)?;
    scene.producer.ask("stop")?;
    scene.script(&json!({}))?;
    scene.producer.settle(AFTERWARDS)?;
    row.judge(settings, &mut scene, Counting::Lossy)
}

/// Open files of a process, by what they are.
fn files(producer: &Producer, kind: &str) -> usize {
    let open = std::fs::read_dir(producer.proc("fd")).into_iter().flatten();
    let targets = open.filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok());
    targets
        .filter(|target| target.to_string_lossy().starts_with(kind))
        .count()
}

/// L6: one fault after the other while recording goes on, with a spool.
pub(super) fn soak(settings: &Settings, row: &mut Row) -> Outcome {
    let length = settings.seconds(8.0 * 3600.0).max(Duration::from_secs(30));
    let faults = [
        json!({"refuse_ms": 5_000}),
        json!({"rules": [{"do": {"status": {"code": 503}}, "ratio": 0.5}]}),
        json!({"rules": [{"on": "accept", "do": {"reset": {}}}]}),
        json!({"rules": [{"do": {"status": {"code": 429}}, "ratio": 0.5}]}),
    ];
    let spool = directory(settings)?;
    let options = ["--rate", "2000", "spool=write-through", &spool_dir(&spool)];
    let mut scene = Scene::start(settings, &options)?;
    let turn = length / 24;
    let start = Instant::now();
    let mut sizes = Vec::new();
    let mut handles = Vec::new();
    for fault in faults.iter().cycle() {
        scene.script(fault)?;
        std::thread::sleep(turn / 5);
        scene.script(&json!({}))?;
        std::thread::sleep(turn - turn / 5);
        sizes.push((
            start.elapsed().as_secs_f64() / 3600.0,
            scene.producer.memory("VmRSS")? as f64 / 1024.0,
        ));
        handles.push(files(&scene.producer, ""));
        if start.elapsed() >= length {
            break;
        }
    }
    // The first half fills caches and the allocator's arenas.
    let grown = slope(&sizes[sizes.len() / 2..]);
    let most = handles.iter().max().copied().unwrap_or(0);
    row.fact(format!(
        "{:.0} s, memory {:.1} MiB and {grown:+.1} MiB/h in the second half, at most {most} open files",
        length.as_secs_f64(),
        sizes.last().map_or(0.0, |(_, size)| *size)
    ));
    // Of less than an hour, the noise of the allocator is all there is to see.
    row.require(
        grown < 1.0 || length < Duration::from_secs(3600),
        format!("memory grows by {grown:.1} MiB/h"),
    );
    row.require(most <= 32, format!("{most} open files"));
    scene.producer.ask("stop")?;
    scene.producer.settle(AFTERWARDS)?;
    row.judge(settings, &mut scene, Counting::Repeated)
}

/// Of a line through the points, by least squares.
fn slope(points: &[(f64, f64)]) -> f64 {
    let count = points.len() as f64;
    let mean = |of: fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / count;
    let (x, y) = (mean(|point| point.0), mean(|point| point.1));
    let spread: f64 = points.iter().map(|point| (point.0 - x).powi(2)).sum();
    let common: f64 = points
        .iter()
        .map(|point| (point.0 - x) * (point.1 - y))
        .sum();
    if spread > 0.0 { common / spread } else { 0.0 }
}

/// A thread of the engine: the time that it ran, in seconds, and how often it began to wait.
#[derive(Clone, Copy, Default)]
struct Thread {
    ran: f64,
    waited: u64,
}

/// The engine's threads in a process by their numbers.
fn threads(producer: &Producer) -> Outcome<HashMap<String, Thread>> {
    let mut found = HashMap::new();
    let tasks = std::fs::read_dir(producer.proc("task")).map_err(super::scene::text)?;
    for task in tasks.filter_map(Result::ok) {
        let read = |name: &str| std::fs::read_to_string(task.path().join(name)).unwrap_or_default();
        if !read("comm").starts_with("mlflow") {
            continue;
        }
        // Nanoseconds on a processor come first (Documentation/scheduler/sched-stats.rst).
        let ran = read("schedstat");
        let ran = ran
            .split_whitespace()
            .next()
            .and_then(|ran| ran.parse::<f64>().ok());
        let status = read("status");
        let mut lines = status.lines();
        let waited = lines.find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
        let thread = Thread {
            ran: ran.unwrap_or(0.0) / 1e9,
            waited: waited
                .and_then(|waited| waited.trim().parse().ok())
                .unwrap_or(0),
        };
        found.insert(task.file_name().to_string_lossy().into_owned(), thread);
    }
    Ok(found)
}

/// What the engine's threads did while the caller slept.
fn during(producer: &Producer, length: Duration) -> Outcome<(usize, Thread)> {
    let before = threads(producer)?;
    std::thread::sleep(length);
    let after = threads(producer)?;
    let mut sum = Thread::default();
    for (number, now) in &after {
        let then = before.get(number).copied().unwrap_or_default();
        sum.ran += now.ran - then.ran;
        sum.waited += now.waited - then.waited;
    }
    Ok((after.len(), sum))
}

/// L7.
pub(super) fn background(settings: &Settings, row: &mut Row) -> Outcome {
    let length = settings.seconds(60.0).max(WHILE);
    let mut scene = Scene::start(settings, &["--rate", "5000"])?;
    std::thread::sleep(Duration::from_secs(1));
    let (count, busy) = during(&scene.producer, length)?;
    let share = busy.ran / length.as_secs_f64() * 100.0;
    row.fact(format!("{share:.1} % of a core, {count} threads"));
    row.require(share <= 25.0, format!("{share:.1} % of a core"));
    row.require((1..=3).contains(&count), format!("{count} threads"));
    scene.producer.ask("stop")?;
    scene.producer.settle(AFTERWARDS)?;
    row.judge(settings, &mut scene, Counting::Exact)
}

/// L8.
pub(super) fn idle(settings: &Settings, row: &mut Row) -> Outcome {
    let mut scene = Scene::start(settings, &[])?;
    scene.producer.ask("burst 10")?;
    scene.producer.settle(AFTERWARDS)?;
    std::thread::sleep(Duration::from_secs(5));
    let sockets = files(&scene.producer, "socket:");
    let (count, busy) = during(&scene.producer, WHILE)?;
    row.fact(format!(
        "{sockets} sockets; {} wake-ups of {count} threads in {} s",
        busy.waited,
        WHILE.as_secs()
    ));
    row.require(sockets == 0, format!("{sockets} sockets"));
    row.require(count > 0, "the engine has no thread");
    row.require(busy.waited == 0, format!("{} wake-ups", busy.waited));
    row.judge(settings, &mut scene, Counting::Exact)
}

/// L9.
pub(super) fn burst(settings: &Settings, row: &mut Row) -> Outcome {
    let mut scene = Scene::start(settings, &["--bytes", "2000"])?;
    let start = Instant::now();
    scene.producer.ask("burst 20000")?;
    row.fact(format!(
        "recorded in {:.1} s",
        start.elapsed().as_secs_f64()
    ));
    scene.producer.settle(AFTERWARDS)?;
    let stored = scene.sink.ledger().spans();
    let mut whole: HashMap<[u8; 16], usize> = HashMap::new();
    for (trace, _) in stored.keys() {
        *whole.entry(*trace).or_default() += 1;
    }
    let partial = whole.values().filter(|spans| **spans != 10).count();
    row.require(partial == 0, format!("{partial} traces came in part"));
    row.judge(settings, &mut scene, Counting::Lossy)
}
