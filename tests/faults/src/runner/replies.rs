//! Faults of the reply: refusals, pleas for patience, nonsense.

use std::time::{Duration, Instant, SystemTime};

use serde_json::{Value, json};

use super::Settings;
use super::row::{Counting, Row};
use super::scene::{Outcome, Scene};
use crate::script::Endpoint;
use crate::sink::Options;

const AFTERWARDS: Duration = Duration::from_secs(30);
/// Each trace at once and alone.
const ONE: &[&str] = &["--spans", "1", "batch.delay_ms=0"];

/// Runs parts side by side, and collects what each found.
pub(super) fn side_by_side<T: Send>(
    parts: impl IntoIterator<Item = T>,
    run: impl Fn(T) -> Outcome<(String, Row)> + Sync,
    row: &mut Row,
) {
    let results: Vec<_> = std::thread::scope(|scope| {
        let run = &run;
        let threads: Vec<_> = parts
            .into_iter()
            .map(|part| scope.spawn(move || run(part)))
            .collect();
        let joined = threads.into_iter().map(|thread| thread.join());
        joined.collect()
    });
    for result in results {
        match result {
            Ok(Ok((name, part))) => row.absorb(part, &name),
            Ok(Err(problem)) => row.problem(problem),
            Err(_) => row.problem("a part panicked"),
        }
    }
}

/// Milliseconds from the end of each failed request for spans to the beginning of the next.
fn waits(scene: &Scene) -> Vec<f64> {
    let ledger = scene.sink.ledger();
    let requests: Vec<_> = ledger.requests_for(Endpoint::Spans).collect();
    let pairs = requests.windows(2);
    let failed = pairs.filter(|pair| pair[0].fault.is_some());
    failed
        .filter_map(|pair| Some(pair[1].begun_ms - pair[0].ended_ms?))
        .collect()
}

/// F3.
pub(super) fn storm(settings: &Settings, row: &mut Row) -> Outcome {
    let length = settings.seconds(300.0).max(Duration::from_secs(3));
    let storm = json!({"seed": 3, "rules": [{"do": {"status": {"code": 503}}, "ratio": 0.5}]});
    let mut scene = Scene::start(settings, &["--rate", "1000"])?;
    scene.script(&storm)?;
    std::thread::sleep(length);
    let (failed, went) = {
        let ledger = scene.sink.ledger();
        let failed = ledger.requests.iter();
        let failed = failed.filter(|request| request.status == 503).count();
        (failed, ledger.requests.len() - failed)
    };
    row.fact(format!("{failed} extra requests for {went}"));
    row.require(
        failed as f64 <= 1.6 * went as f64 + 10.0,
        format!("{failed} extra requests for {went}"),
    );
    scene.script(&json!({}))?;
    scene.producer.ask("stop")?;
    scene.producer.settle(AFTERWARDS)?;
    row.judge(settings, &mut scene, Counting::Exact)?;
    jitter(settings, row)
}

/// Ten clients retry once each round; their waits have to be uniform from 0 to 1 s.
fn jitter(settings: &Settings, row: &mut Row) -> Outcome {
    let rounds = settings.times(50) / 2;
    let script = json!({"rules": [
        {"on": "spans", "do": {"status": {"code": 503}}, "once_per_trace": true}]});
    let client = || -> Outcome<Vec<f64>> {
        let mut scene = Scene::with(settings, &Options::default(), &script, ONE)?;
        for _ in 0..rounds {
            scene.producer.ask("burst 1")?;
            scene.producer.settle(AFTERWARDS)?;
        }
        Ok(waits(&scene))
    };
    let found: Vec<Outcome<Vec<f64>>> = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..10).map(|_| scope.spawn(client)).collect();
        clients
            .into_iter()
            .map(|client| client.join().unwrap_or_else(|_| Err("panicked".into())))
            .collect()
    });
    let mut waits = Vec::new();
    for found in found {
        waits.extend(found?);
    }
    let distance = from_uniform(&mut waits, 1000.0);
    // The Kolmogorov-Smirnov bound for p = 0.01.
    let bound = 1.63 / (waits.len() as f64).sqrt();
    row.fact(format!(
        "{} retries, KS {distance:.2} of {bound:.2}",
        waits.len()
    ));
    row.require(
        waits.len() as u64 >= rounds * 9 && distance <= bound,
        "retries are not uniform between 0 and 1 s",
    );
    Ok(())
}

/// The largest distance between the distribution of these and the uniform one from 0 to `limit`.
fn from_uniform(values: &mut [f64], limit: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let count = values.len() as f64;
    let each = values.iter().enumerate().map(|(index, value)| {
        let wanted = (value / limit).clamp(0.0, 1.0);
        let below = (wanted - index as f64 / count).abs();
        below.max((wanted - (index + 1) as f64 / count).abs())
    });
    each.fold(0.0, f64::max)
}

/// F4.
pub(super) fn retry_after(settings: &Settings, row: &mut Row) -> Outcome {
    let asked = settings.seconds(20.0).max(Duration::from_secs(2)).as_secs();
    let long = if settings.scale >= 1.0 { 70 } else { 4 };
    let date = || {
        let then = SystemTime::now() + Duration::from_secs(asked + 1);
        httpdate::fmt_http_date(then)
    };
    let seconds = asked as f64;
    // The header, and the shortest and the longest wait in seconds.
    let cases = [
        (asked.to_string(), seconds, seconds * 1.1 + 0.5),
        (date(), seconds - 0.2, (seconds + 1.0) * 1.1 + 0.5),
        ("-1".to_owned(), 0.0, 1.3),
        ("soon".to_owned(), 0.0, 1.3),
        (
            "1000000000".to_owned(),
            if long == 4 { 3.5 } else { 59.5 },
            66.5,
        ),
    ];
    let run = |(header, least, most): (String, f64, f64)| -> Outcome<(String, Row)> {
        let mut row = Row::default();
        let script = json!({"rules": [{"on": "spans", "times": 1,
            "do": {"status": {"code": 429, "retry_after": header}}}]});
        let mut scene = Scene::with(settings, &Options::default(), &script, ONE)?;
        scene.producer.ask("burst 1")?;
        let endless = header.len() > 9 && header.parse::<u64>().is_ok();
        let patience = if endless { long as f64 } else { most + 2.0 };
        scene.producer.settle(Duration::from_secs_f64(patience))?;
        match waits(&scene).first() {
            Some(wait) => {
                let wait = wait / 1000.0;
                row.fact(format!("{wait:.2} s"));
                row.require(
                    (least..=most).contains(&wait),
                    format!("not between {least:.1} and {most:.1} s"),
                );
            }
            None if endless && long < 60 => row.fact(format!("none in {long} s, not waited for")),
            None => row.problem("not tried again"),
        }
        // The end is worth an attempt, whatever the server asked for; a flush is not.
        let left = scene.producer.ask("flush 500")?["left"].as_u64();
        let early = endless && long < 60;
        row.require(
            left == Some(early.into()),
            format!("{left:?} left by a flush"),
        );
        scene.producer.ask("shutdown 5000")?;
        row.judge(settings, &mut scene, Counting::Exact)?;
        Ok((format!("`{header}`"), row))
    };
    side_by_side(cases, run, row);
    Ok(())
}

/// F6.
pub(super) fn broken(settings: &Settings, row: &mut Row) -> Outcome {
    let megabytes = if settings.scale >= 1.0 { 10_240 } else { 256 };
    let html = "<!doctype html><title>Welcome to the captive portal</title>";
    let cases = [
        ("truncated", json!("truncate"), true),
        ("wrong length", json!("wrong_length"), true),
        ("garbage", json!("garbage"), true),
        (
            "HTML",
            json!({"status": {"code": 200, "content_type": "text/html", "body": html}}),
            true,
        ),
        (
            "endless",
            json!({"endless": {"code": 200, "megabytes": megabytes}}),
            true,
        ),
        (
            "bomb",
            json!({"bomb": {"code": 200, "megabytes": megabytes}}),
            true,
        ),
        (
            "endless 503",
            json!({"endless": {"code": 503, "megabytes": megabytes}}),
            false,
        ),
    ];
    let run = |(name, action, kept): (&str, Value, bool)| -> Outcome<(String, Row)> {
        let mut row = Row::default();
        let mut scene = Scene::start(settings, ONE)?;
        scene.producer.ask("burst 20")?;
        scene.producer.ask("flush 5000")?;
        scene.producer.forget_peak()?;
        let before = scene.producer.memory("VmRSS")?;
        scene.script(&json!({"rules": [{"on": "spans", "do": action, "times": 1}]}))?;
        scene.producer.ask("burst 1")?;
        let (reading, _) = scene.producer.settle(Duration::from_secs(15))?;
        let grown = scene.producer.memory("VmHWM")?.saturating_sub(before);
        row.require(
            grown <= 8 << 10,
            format!("memory + {:.1} MiB", grown as f64 / 1024.0),
        );
        let (sent, tries) = {
            let ledger = scene.sink.ledger();
            let bad = ledger
                .requests_for(Endpoint::Spans)
                .find(|request| request.fault.is_some());
            (
                bad.map_or(0, |request| request.sent),
                ledger.requests_for(Endpoint::Spans).count(),
            )
        };
        // What the systems on both sides hold is beyond the client's control.
        row.require(sent <= 12 << 20, format!("{} MiB went out", sent >> 20));
        row.require(reading.pending == 0, "the span is still pending");
        let odd = reading.stats["odd_2xx"].as_u64();
        if kept && !["garbage", "wrong length"].contains(&name) {
            row.require(odd > Some(0), "not counted as odd_2xx");
        }
        if !kept {
            row.require(
                reading.dropped == 1,
                format!("tried again: {tries} requests, {} dropped", reading.dropped),
            );
        }
        scene.producer.ask("burst 1")?;
        scene.producer.ask("flush 5000")?;
        let counting = if kept {
            Counting::Repeated
        } else {
            Counting::Lossy
        };
        row.judge(settings, &mut scene, counting)?;
        Ok((name.to_owned(), row))
    };
    side_by_side(cases, run, row);
    Ok(())
}

/// F7. MLflow's server never answers so; a collector does.
pub(super) fn partial_success(settings: &Settings, row: &mut Row) -> Outcome {
    let options = [
        "batch.delay_ms=0",
        "exporter=otlp",
        "otlp.headers=x-api-key=hunter2-canary",
    ];
    let message = "token hunter2-canary rejected ".repeat(100);
    let script = json!({"collector": true, "rules": [{"on": "spans", "times": 1,
        "do": {"partial_success": {"rejected": 3, "message": message}}}]});
    let mut scene = Scene::with(settings, &Options::default(), &script, &options)?;
    scene.producer.ask("burst 1")?;
    let (reading, _) = scene.producer.settle(Duration::from_secs(5))?;
    let requests = scene.sink.ledger().requests_for(Endpoint::Spans).count();
    row.require(requests == 1, format!("{requests} requests"));
    let dropped = reading.dropped_for("server_rejected");
    row.require(dropped == 3, format!("server_rejected = {dropped}"));
    let longest = reading.diagnostics.iter().map(|(_, text)| text.len()).max();
    row.require(
        longest.is_none_or(|length| length <= 400),
        "the server's message is not cut",
    );
    let told = format!("{:?}{}", reading.diagnostics, scene.producer.said());
    row.require(
        told.contains("rejected") && !told.contains("hunter2"),
        "the server's message is not told, or tells the key",
    );
    row.judge(settings, &mut scene, Counting::Lossy)
}

/// F8.
pub(super) fn poison(settings: &Settings, row: &mut Row) -> Outcome {
    let run = |code: u16| -> Outcome<(String, Row)> {
        let mut row = Row::default();
        let script = json!({"rules": [
            {"on": "spans", "do": {"status": {"code": code}}, "span_name": "poison"}]});
        let options = ["--spans", "1", "batch.max_spans=512", "batch.delay_ms=3000"];
        let mut scene = Scene::with(settings, &Options::default(), &script, &options)?;
        scene.producer.ask("burst 255")?;
        scene.producer.ask("record poison")?;
        scene.producer.ask("burst 256")?;
        let (reading, _) = scene.producer.settle(AFTERWARDS)?;
        let (stored, aside, requests) = {
            let ledger = scene.sink.ledger();
            let requests = ledger.requests_for(Endpoint::Spans).count();
            (ledger.spans().len(), ledger.artifacts.len(), requests)
        };
        row.fact(format!(
            "{stored} delivered in {requests} requests, {}",
            if aside == 1 {
                "1 as an artifact"
            } else {
                "1 dropped"
            }
        ));
        row.require(stored == 511, "not 511");
        row.require(requests <= 22, format!("{requests} requests"));
        row.require(
            aside as u64 + reading.dropped == 1,
            format!("{aside} in artifacts, {} dropped", reading.dropped),
        );
        row.judge(settings, &mut scene, Counting::Lossy)?;
        Ok((code.to_string(), row))
    };
    side_by_side([400, 413, 422], run, row);
    Ok(())
}

/// F9.
pub(super) fn server_error(settings: &Settings, row: &mut Row) -> Outcome {
    let script = json!({"rules": [
        {"on": "spans", "do": {"status": {"code": 500}}, "span_name": "poison"}]});
    let mut scene = Scene::with(settings, &Options::default(), &script, &["--rate", "500"])?;
    std::thread::sleep(Duration::from_secs(2));
    scene.producer.ask("record poison")?;
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(40) {
        let reading = scene.producer.read()?;
        let aside = scene.sink.ledger().artifacts.len() as u64;
        if reading.dropped + aside > 0 {
            break;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    std::thread::sleep(Duration::from_secs(1));
    scene.producer.ask("stop")?;
    let (reading, _) = scene.producer.settle(AFTERWARDS)?;
    let (stall, tries, aside) = {
        let ledger = scene.sink.ledger();
        let all = || ledger.requests_for(Endpoint::Spans);
        let good: Vec<f64> = all()
            .filter(|request| request.stored > 0)
            .map(|request| request.begun_ms)
            .collect();
        let stalls = good.windows(2).map(|pair| pair[1] - pair[0]);
        let tries = all().filter(|request| request.status == 500).count();
        (stalls.fold(0.0, f64::max), tries, ledger.artifacts.len())
    };
    row.fact(format!(
        "500 {tries} times; others waited {:.1} s at most",
        stall / 1000.0
    ));
    row.require(stall <= 5000.0, "others were held up for more than 5 s");
    row.require(
        aside as u64 + reading.dropped == 1,
        format!("{aside} in artifacts, {} dropped", reading.dropped),
    );
    row.judge(settings, &mut scene, Counting::Lossy)
}

/// F28.
pub(super) fn upgrade(settings: &Settings, row: &mut Row) -> Outcome {
    let mut part = Row::default();
    let old = Options {
        version: "3.6.0".into(),
        ..Options::default()
    };
    let mut scene = Scene::with(settings, &old, &json!({}), &["--rate", "500"])?;
    std::thread::sleep(Duration::from_secs(2));
    scene.script(&json!({"version": "3.17.2", "refuse_ms": 500}))?;
    std::thread::sleep(Duration::from_secs(2));
    scene.producer.ask("stop")?;
    scene.producer.settle(AFTERWARDS)?;
    part.judge(settings, &mut scene, Counting::Exact)?;
    row.absorb(part, "3.6 to 3.17");
    for code in [501, 404] {
        let mut part = Row::default();
        let script = json!({"rules": [{"on": "spans", "do": {"status": {"code": code,
            "body": "{\"detail\": \"REST OTLP span logging is not supported by FileStore\"}"}}}]});
        let mut scene = Scene::with(settings, &Options::default(), &script, &["--spans", "2"])?;
        for _ in 0..3 {
            scene.producer.ask("burst 5")?;
            scene.producer.ask("flush 5000")?;
        }
        let (asked, artifacts) = {
            let ledger = scene.sink.ledger();
            let asked = ledger.requests_for(Endpoint::Spans).count();
            (asked, ledger.artifacts.len())
        };
        part.fact(format!("asked {asked} times, {artifacts} artifacts"));
        part.require(asked == 1, "not remembered");
        part.judge(settings, &mut scene, Counting::Exact)?;
        row.absorb(part, &code.to_string());
    }
    row.fact("asking again after an hour is not waited for");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::from_uniform;

    #[test]
    fn distances_from_uniform() {
        let mut even: Vec<f64> = (0..100).map(|number| f64::from(number) * 10.0).collect();
        assert!(from_uniform(&mut even, 1000.0) < 0.02);
        assert!(from_uniform(&mut [0.0; 50], 1000.0) > 0.9);
        let mut late: Vec<f64> = (0..100).map(|n| 500.0 + f64::from(n) * 5.0).collect();
        assert!(from_uniform(&mut late, 1000.0) > 0.4);
    }
}
