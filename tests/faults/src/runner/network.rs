//! Faults of the connection: nobody there, nobody answering, connections that end.

use std::time::{Duration, Instant};

use serde_json::json;

use super::Settings;
use super::row::{Counting, Row};
use super::scene::{Outcome, Producer, Scene};
use crate::script::Endpoint;

const AFTERWARDS: Duration = Duration::from_secs(30);

fn ms(time: Duration) -> u64 {
    time.as_millis() as u64
}

/// F0.
pub(super) fn nothing(settings: &Settings, row: &mut Row) -> Outcome {
    let mut scene = Scene::start(settings, &["--rate", "2000"])?;
    std::thread::sleep(Duration::from_secs(4));
    scene.producer.ask("stop")?;
    scene.producer.settle(AFTERWARDS)?;
    row.judge(settings, &mut scene, Counting::Exact)
}

/// Spans are acknowledged in part and kept in part, without a word.
pub(super) fn forgetful(settings: &Settings, row: &mut Row) -> Outcome {
    let script = json!({"rules": [{"on": "spans", "times": 1,
        "do": {"partial_success": {"rejected": 1, "silent": true}}}]});
    let mut scene = Scene::with(settings, &Default::default(), &script, &[])?;
    scene.producer.ask("burst 3")?;
    scene.producer.ask("flush 5000")?;
    row.judge(settings, &mut scene, Counting::Exact)
}

/// Ends a fault: what was recorded until now has to be delivered within 30 s.
fn recover(settings: &Settings, row: &mut Row, scene: &mut Scene) -> Outcome {
    scene.script(&json!({}))?;
    scene.producer.ask("stop")?;
    let (reading, took) = scene.producer.settle(AFTERWARDS)?;
    row.fact(format!("delivered {:.1} s after", took.as_secs_f64()));
    row.require(
        reading.pending == 0,
        format!("{} spans pending 30 s after", reading.pending),
    );
    row.judge(settings, scene, Counting::Exact)
}

/// F1. While nobody listens, attempts cannot be counted: for the second half, connections are accepted and reset.
pub(super) fn refused(settings: &Settings, row: &mut Row) -> Outcome {
    let length = settings.seconds(60.0).max(Duration::from_secs(4));
    let mut scene = Scene::start(settings, &["--rate", "1000"])?;
    std::thread::sleep(Duration::from_millis(500));
    let before = scene.producer.memory("VmRSS")?;
    scene.script(&json!({"refuse_ms": ms(length / 2)}))?;
    std::thread::sleep(length / 2);
    let connections = |scene: &Scene| scene.sink.stats()["connections"].as_u64().unwrap_or(0);
    let until_now = connections(&scene);
    scene.script(&json!({"rules": [{"on": "accept", "do": {"reset": {}}}]}))?;
    std::thread::sleep(length / 2);
    let connects = connections(&scene) - until_now;
    row.fact(format!(
        "{connects} connects in {:.0} s (reset; refused ones cannot be counted)",
        (length / 2).as_secs_f64()
    ));
    row.require(connects <= 12, format!("{connects} connects"));
    row.stays_small(&scene.producer, before)?;
    recover(settings, row, &mut scene)
}

/// F2.
pub(super) fn black_hole(settings: &Settings, row: &mut Row) -> Outcome {
    let length = settings.seconds(60.0).max(Duration::from_secs(4));
    let limit = settings.seconds(10.0).max(Duration::from_millis(500));
    let timeout = format!("http.timeout_ms={}", ms(limit));
    let mut scene = Scene::start(settings, &["--rate", "1000", &timeout])?;
    std::thread::sleep(Duration::from_millis(500));
    let before = scene.producer.memory("VmRSS")?;
    scene.script(&json!({"rules": [{"do": "black_hole"}]}))?;
    // With the usual limit, so that its request has not ended when the process wants to.
    let hole = json!({"rules": [{"do": "black_hole"}]});
    let mut leaving = Scene::with(settings, &Default::default(), &hole, &[])?;
    leaving.producer.ask("burst 20")?;
    std::thread::sleep(length);
    let left = row.exits(leaving.producer)?;
    row.require(
        left.pending == 0 && left.dropped == 200,
        "a shutdown did not count what it gave up",
    );
    let longest = {
        let ledger = scene.sink.ledger();
        let held = ledger.requests.iter();
        let held = held.filter(|request| request.fault == Some("black_hole"));
        let times = held.filter_map(|request| Some(request.ended_ms? - request.begun_ms));
        times.fold(0.0, f64::max)
    };
    row.fact(format!(
        "longest request {longest:.0} ms, limit {} ms",
        ms(limit)
    ));
    row.require(
        longest > 0.0 && longest <= limit.as_secs_f64() * 1000.0 + 500.0,
        "a request did not end at its limit",
    );
    row.stays_small(&scene.producer, before)?;
    recover(settings, row, &mut scene)
}

/// F5.
pub(super) fn slow(settings: &Settings, row: &mut Row) -> Outcome {
    let limit = settings.seconds(10.0).max(Duration::from_millis(500));
    let timeout = format!("http.timeout_ms={}", ms(limit));
    let options = ["--rate", "500", "batch.delay_ms=100", &timeout];
    let mut scene = Scene::start(settings, &options)?;
    std::thread::sleep(Duration::from_millis(500));
    let infos = |scene: &Scene| scene.sink.ledger().infos.len();
    scene.script(&json!({"rules": [{"on": "spans", "do": {"slow": {"interval_ms": 1000}}}]}))?;
    std::thread::sleep(Duration::from_millis(200));
    let before = infos(&scene);
    std::thread::sleep(limit * 4);
    let meanwhile = infos(&scene) - before;
    row.fact(format!("{meanwhile} infos meanwhile"));
    row.require(meanwhile > 0, "other endpoints were held up");
    let cut = {
        let ledger = scene.sink.ledger();
        let held = ledger.requests.iter();
        let held = held.filter(|request| request.fault == Some("slow"));
        let times = held.filter_map(|request| Some(request.ended_ms? - request.begun_ms));
        times.fold(0.0, f64::max)
    };
    row.fact(format!("cut after {cut:.0} ms, limit {} ms", ms(limit)));
    row.require(
        cut > 0.0 && cut <= limit.as_secs_f64() * 1000.0 + 500.0,
        "not cut at the limit",
    );
    scene.script(&json!({}))?;
    scene.producer.ask("stop")?;
    let (reading, _) = scene.producer.settle(AFTERWARDS)?;
    row.require(reading.pending == 0, "not delivered afterwards");
    // The sink had stored what it answered so slowly.
    row.judge(settings, &mut scene, Counting::Repeated)
}

/// F12. A resolver of our own would need privileges, so only a name that does not exist is tried.
pub(super) fn names(settings: &Settings, row: &mut Row) -> Outcome {
    row.fact("simulated: only a name that does not exist; SERVFAIL, hangs and changing addresses are not");
    let url = "http://mlflow.nonexistent.invalid";
    let mut producer = Producer::start(settings, url, &["--rate", "2000"], &[])?;
    std::thread::sleep(Duration::from_secs(2));
    producer.ask("stop")?;
    let reading = producer.read()?;
    row.require(
        reading.pending == reading.created && reading.created == reading.started,
        "spans were given up before the exit",
    );
    row.patience(settings, &reading);
    row.require(
        reading.messages("unreachable") == 1,
        format!("{} messages", reading.messages("unreachable")),
    );
    let last = row.exits(producer)?;
    row.count(&last);
    row.require(
        last.dropped_for("shutdown") == last.created,
        "the exit did not count what it gave up",
    );
    Ok(())
}

/// F13.
pub(super) fn resets(settings: &Settings, row: &mut Row) -> Outcome {
    let mut part = Row::default();
    idle(settings, &mut part)?;
    row.absorb(part, "keep-alive");
    let mut part = Row::default();
    reset(settings, &mut part)?;
    row.absorb(part, "resets");
    Ok(())
}

/// Eight producers send at about the moment at which the server closes the connection that it left idle.
fn idle(settings: &Settings, row: &mut Row) -> Outcome {
    let each = settings.times(1000) / 8;
    let one = |seed: u64| -> Outcome<(Row, usize)> {
        let mut row = Row::default();
        let script = json!({"keep_alive_ms": 1000});
        let options = ["--spans", "1", "batch.delay_ms=0"];
        let mut scene = Scene::with(settings, &Default::default(), &script, &options)?;
        for round in 0..each {
            scene.producer.ask("burst 1")?;
            scene.producer.settle(Duration::from_secs(10))?;
            let off = (round * 37 + seed * 25) % 201;
            std::thread::sleep(Duration::from_millis(900 + off));
        }
        row.judge(settings, &mut scene, Counting::Repeated)?;
        let visible = scene.producer.read()?.diagnostics.len();
        Ok((row, visible))
    };
    let results = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8).map(|seed| scope.spawn(move || one(seed))).collect();
        let joined = threads.into_iter().map(|thread| thread.join());
        joined
            .map(|result| result.unwrap_or_else(|_| Err("a part panicked".into())))
            .collect::<Vec<_>>()
    });
    let mut visible = 0;
    for result in results {
        let (part, messages) = result?;
        row.absorb(part, "producer");
        visible += messages;
    }
    row.fact(format!("{} sends, {visible} visible errors", each * 8));
    row.require(visible == 0, "errors were visible");
    Ok(())
}

fn reset(settings: &Settings, row: &mut Row) -> Outcome {
    let mut scene = Scene::with(
        settings,
        &Default::default(),
        &json!({"rules": [
            {"on": "spans", "do": {"reset": {"before": true}}, "ratio": 0.1},
            {"on": "spans", "do": {"reset": {"stored": true}}, "ratio": 0.1},
            {"on": "info", "do": {"reset": {"stored": true}}, "ratio": 0.01},
        ]}),
        &["--rate", "1000", "batch.delay_ms=50"],
    )?;
    let end = Instant::now() + settings.seconds(60.0).max(Duration::from_secs(3));
    while Instant::now() < end {
        std::thread::sleep(Duration::from_millis(100));
    }
    scene.producer.ask("stop")?;
    scene.script(&json!({}))?;
    scene.producer.settle(AFTERWARDS)?;
    row.judge(settings, &mut scene, Counting::Repeated)?;
    let ledger = scene.sink.ledger();
    let (mut resets, mut at_risk) = (0, 0);
    for request in ledger.requests_for(Endpoint::Spans) {
        if request.fault == Some("reset") {
            resets += 1;
            at_risk += request.stored;
        }
    }
    let twice = ledger.summary().duplicates;
    row.fact(format!("{resets} resets, {twice} spans twice"));
    row.require(resets > 0, "nothing was reset");
    row.require(twice <= at_risk, format!("{twice} duplicates of {at_risk}"));
    Ok(())
}
