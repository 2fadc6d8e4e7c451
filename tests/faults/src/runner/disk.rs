//! The spool: what the disk refuses, what a kill leaves behind, what somebody changed.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::json;

use super::row::{Counting, Row};
use super::scene::{Outcome, Producer, directory, spool_dir, text};
use super::{Settings, replies::side_by_side};
use crate::crash;
use crate::report::Ended;
use crate::sink::{Options, Sink};

const WRITE_THROUGH: &str = "spool=write-through";

/// Spans of a list that the sink has not got, and spans that it has and nobody listed.
fn compare(sink: &Sink, listed: &Ended) -> (usize, usize) {
    let stored = sink.ledger().spans();
    let lost = listed
        .keys()
        .filter(|key| !stored.contains_key(*key))
        .count();
    let invented = stored
        .keys()
        .filter(|key| !listed.contains_key(*key))
        .count();
    (lost, invented)
}

/// Starts a process that has nothing to do but to deliver what others left, until the sink has it all.
fn recover(settings: &Settings, sink: &Sink, spool: &Path, listed: &Ended) -> Outcome<Producer> {
    let options = [WRITE_THROUGH, &spool_dir(spool), "batch.delay_ms=50"];
    let mut heir = Producer::start(settings, &sink.url(), &options, &[])?;
    heir.ask("burst 1")?;
    let start = Instant::now();
    while compare(sink, listed).0 > 0 && start.elapsed() < Duration::from_secs(30) {
        std::thread::sleep(Duration::from_millis(20));
    }
    heir.ask("flush 5000")?;
    Ok(heir)
}

/// A file system of 8 MiB; unmounted when it goes.
struct Small(PathBuf);

impl Small {
    fn mount(settings: &Settings) -> Outcome<Self> {
        let path = directory(settings)?;
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=8m,mode=700", "none"])
            .arg(&path)
            .status();
        match mounted.map_err(text)?.success() {
            true => Ok(Small(path)),
            false => Err("mounting a small file system takes privileges".into()),
        }
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

/// Records while the sink is away and the spool is of no use; everything is delivered all the same.
fn without_disk(
    settings: &Settings,
    row: &mut Row,
    spool: &Path,
    heals: bool,
    meanwhile: impl FnOnce() -> Outcome,
) -> Outcome {
    let sink = Sink::start(&Options::default()).map_err(text)?;
    let options = [
        WRITE_THROUGH,
        &spool_dir(spool),
        "--rate",
        "2000",
        "--bytes",
        "2000",
    ];
    let producer = Producer::start(settings, &sink.url(), &options, &[])?;
    let mut scene = super::scene::Scene { sink, producer };
    std::thread::sleep(Duration::from_millis(500));
    scene.script(&json!({"refuse_ms": 600_000}))?;
    meanwhile()?;
    std::thread::sleep(Duration::from_secs(5));
    scene.producer.ask("stop")?;
    let degraded = scene.producer.read()?.stats["spool_degraded"].as_u64();
    row.require(
        degraded == Some(u64::from(!heals)),
        format!("spool_degraded = {degraded:?}"),
    );
    scene.script(&json!({}))?;
    scene.producer.settle(Duration::from_secs(60))?;
    row.judge(settings, &mut scene, Counting::Repeated)
}

/// F15.
pub(super) fn full(settings: &Settings, row: &mut Row) -> Outcome {
    let small = Small::mount(settings)?;
    without_disk(settings, row, &small.0, false, || Ok(()))
}

/// F16. Errors of `write` and `fsync` are injected by the engine's own tests.
pub(super) fn unusable(settings: &Settings, row: &mut Row) -> Outcome {
    row.fact("EIO of write and fsync: in core's own tests");
    let file = settings.fresh_path("file");
    std::fs::write(&file, "").map_err(text)?;
    let deleted = directory(settings)?;
    let cases = [
        ("below a file", file.join("spool"), None),
        ("read-only", PathBuf::from("/proc/self/spool"), None),
        ("deleted", deleted.clone(), Some(deleted)),
    ];
    // One after the other: callers of several producers at once would feel each other.
    for (name, spool, delete) in cases {
        let mut part = Row::default();
        // A directory that was removed is made again.
        let heals = delete.is_some();
        without_disk(settings, &mut part, &spool, heals, || match delete {
            Some(path) => std::fs::remove_dir_all(path).map_err(text),
            None => Ok(()),
        })?;
        row.absorb(part, name);
    }
    Ok(())
}

/// F17.
pub(super) fn killed(settings: &Settings, row: &mut Row) -> Outcome {
    let runs = settings.times(1000);
    let found = crash::run(settings, runs, 17, |_, _| ())?;
    row.fact(found.to_string());
    row.require(found.is_clean(), "not everything came back as it was");
    Ok(())
}

/// F18.
pub(super) fn power_cut(settings: &Settings, row: &mut Row) -> Outcome {
    let programs = settings.times(10_000);
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let model = Command::new(cargo)
        .args(["test", "--locked", "-p", "mlflow-trace-core"])
        .args(["--test", "spool", "model::"])
        .env("PROPTEST_CASES", programs.to_string())
        .output()
        .map_err(text)?;
    let said = String::from_utf8_lossy(&model.stdout).into_owned();
    let result = said.lines().find(|line| line.starts_with("test result"));
    row.fact(format!(
        "simulated: {programs} programs on a disk that forgets, as many on one that fails as well"
    ));
    row.require(
        model.status.success() && said.contains("2 passed"),
        format!("the model: {}", result.unwrap_or("could not be run")),
    );
    Ok(())
}

/// F20 with a spool.
pub(super) fn deaths(settings: &Settings, row: &mut Row) -> Outcome {
    let run = |how: &str| -> Outcome<(String, Row)> {
        let mut row = Row::default();
        let spool = directory(settings)?;
        let sink = Sink::start(&Options::default()).map_err(text)?;
        sink.script(&json!({"refuse_ms": 600_000})).map_err(text)?;
        let options = [WRITE_THROUGH, &spool_dir(&spool), "--rate", "500"];
        let mut producer = Producer::start(settings, &sink.url(), &options, &[])?;
        std::thread::sleep(Duration::from_secs(2));
        match how {
            "SIGTERM" => producer.signal("TERM")?,
            "SIGINT" => producer.signal("INT")?,
            "SIGKILL" => producer.signal("KILL")?,
            how => producer.send(&format!("die {how}"))?,
        }
        row.exit_took(producer.ended(Duration::from_secs(10))?);
        sink.script(&json!({})).map_err(text)?;
        let listed = producer.listed()?;
        let heir = recover(settings, &sink, &spool, &listed)?;
        let mut all = heir.listed()?;
        all.extend(&listed);
        let (lost, invented) = compare(&sink, &all);
        row.fact(format!(
            "{} recovered",
            listed.len() - lost.min(listed.len())
        ));
        row.require(lost == 0, format!("{lost} of {} lost", listed.len()));
        row.require(invented <= 20, format!("{invented} invented"));
        row.require(sink.ledger().summary().broken == 0, "spans were changed");
        Ok((how.to_owned(), row))
    };
    let ways = [
        "SIGTERM", "SIGINT", "SIGKILL", "_exit", "abort", "panic", "exit",
    ];
    side_by_side(ways, run, row);
    Ok(())
}

/// F26.
pub(super) fn shared(settings: &Settings, row: &mut Row) -> Outcome {
    let rounds = settings.times(200);
    let spool = directory(settings)?;
    let sink = Sink::start(&Options::default()).map_err(text)?;
    let options = [WRITE_THROUGH, &spool_dir(&spool), "--rate", "500"];
    let mut listed = Ended::default();
    let mut crew: Vec<Producer> = Vec::new();
    for round in 0..rounds {
        crew.push(Producer::start(settings, &sink.url(), &options, &[])?);
        std::thread::sleep(Duration::from_millis(20 + round * 7 % 40));
        if crew.len() == 8 {
            let mut victim = crew.swap_remove((round * 5 % 8) as usize);
            victim.kill()?;
            listed.extend(victim.listed()?);
        }
    }
    for mut victim in crew {
        victim.kill()?;
        listed.extend(victim.listed()?);
    }
    let heir = recover(settings, &sink, &spool, &listed)?;
    listed.extend(heir.listed()?);
    let (lost, _) = compare(&sink, &listed);
    let summary = sink.ledger().summary();
    row.fact(format!(
        "{rounds} rounds, {} spans, {} twice",
        listed.len(),
        summary.duplicates
    ));
    row.require(lost == 0, format!("{lost} lost"));
    row.require(
        summary.concurrent_per_trace <= 1,
        "a trace was sent by two processes at once",
    );
    row.require(
        summary.broken + summary.conflicts == 0,
        "spans were changed",
    );
    Ok(())
}

/// F27. One byte changed, or the end cut off, in copies of what a killed process left.
pub(super) fn changed(settings: &Settings, row: &mut Row) -> Outcome {
    row.fact("every truncation and flip of a small segment: in core's own tests");
    let spool = directory(settings)?;
    let away = Sink::start(&Options::default()).map_err(text)?;
    away.script(&json!({"refuse_ms": 600_000})).map_err(text)?;
    let url = away.url();
    let options = [WRITE_THROUGH, &spool_dir(&spool), "--spans", "1"];
    let mut producer = Producer::start(settings, &url, &options, &[])?;
    producer.ask("burst 20")?;
    std::thread::sleep(Duration::from_millis(1500));
    producer.kill()?;
    let listed = producer.listed()?;
    let (mut lost, mut most) = (0, 0);
    for round in 0..settings.times(1000) {
        let copy = settings.fresh_path("copy");
        let copied = Command::new("cp").arg("-a").arg(&spool).arg(&copy).status();
        copied.map_err(text)?;
        damage(&copy, round)?;
        // A sink of the same address, since records know where they belong.
        away.script(&json!({})).map_err(text)?;
        let options = [WRITE_THROUGH, &spool_dir(&copy), "batch.delay_ms=20"];
        let mut heir = Producer::start(settings, &url, &options, &[])?;
        heir.ask("burst 1")?;
        adopted(&mut heir)?;
        heir.ask("flush 2000")?;
        let mut all = heir.listed()?;
        all.extend(&listed);
        let (missing, invented) = compare(&away, &all);
        row.require(invented == 0, format!("{invented} invented"));
        row.require(away.ledger().summary().broken == 0, "spans were changed");
        let is_cut = round % 4 == 0;
        row.require(
            missing <= 1 || is_cut,
            format!("one byte cost {missing} records"),
        );
        lost += missing;
        most = most.max(missing);
        drop(heir);
        crate::client::control(&away.control_url(), "POST", "/__reset", &json!(null))
            .map_err(text)?;
        std::fs::remove_dir_all(&copy).map_err(text)?;
    }
    row.fact(format!(
        "{lost} lost in all, {most} at most by one cut, 1 by one byte"
    ));
    Ok(())
}

/// Waits until what is readable of one segment was taken over and delivered; not for ever, because nothing may be.
fn adopted(heir: &mut Producer) -> Outcome {
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(5) {
        let recovered = &heir.read()?.stats["recovered"];
        if recovered["adopted"] != 0 && recovered["pending"] == 0 {
            break;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}

fn damage(spool: &Path, round: u64) -> Outcome {
    let found = Command::new("find")
        .arg(spool)
        .args(["-name", "*.seg"])
        .output()
        .map_err(text)?;
    let files = String::from_utf8_lossy(&found.stdout).into_owned();
    let file = files.lines().next().ok_or("there is no segment")?;
    let mut bytes = std::fs::read(file).map_err(text)?;
    let place = (round.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 16) as usize % bytes.len().max(1);
    match round % 4 {
        0 => bytes.truncate(place),
        _ => bytes[place] ^= 1 << (round % 8),
    }
    std::fs::write(file, bytes).map_err(text)
}
