//! Credentials, certificates and proxies.

use std::time::Duration;

use serde_json::{Value, json};

use super::Settings;
use super::replies::side_by_side;
use super::row::{Counting, Row};
use super::scene::{Outcome, Producer, Scene, directory, text};
use crate::sink::{Options, Sink};

const AFTERWARDS: Duration = Duration::from_secs(30);
/// Nobody but a server or a proxy may see it.
const CANARY: &str = "hunter2-canary";

/// F10.
pub(super) fn unauthorized(settings: &Settings, row: &mut Row) -> Outcome {
    for code in [401, 403] {
        let mut part = Row::default();
        let options = ["--rate", "500", &format!("tracking_token={CANARY}")];
        let script = json!({ "token": CANARY });
        let mut scene = Scene::with(settings, &Options::default(), &script, &options)?;
        std::thread::sleep(Duration::from_secs(1));
        let before = scene.sink.ledger().requests.len();
        scene.script(
            &json!({"token": CANARY, "rules": [{"do": {"status": {"code": code,
            "body": format!("{CANARY} is not a token")}}}]}),
        )?;
        let length = settings.seconds(30.0).max(Duration::from_secs(3));
        std::thread::sleep(length);
        let tries = scene.sink.ledger().requests.len() - before;
        part.fact(format!("{tries} requests in {:.0} s", length.as_secs_f64()));
        part.require(
            tries as f64 <= 4.0 + length.as_secs_f64() / 20.0,
            format!("{tries} requests"),
        );
        let reading = scene.producer.read()?;
        part.require(
            reading.diagnostics.len() == 1,
            format!("{} messages", reading.diagnostics.len()),
        );
        let told = format!("{:?}{}", reading.diagnostics, scene.producer.said());
        part.require(!told.contains(CANARY), "the token was shown");
        part.require(reading.dropped == 0, "spans were given up");
        scene.script(&json!({ "token": CANARY }))?;
        scene.producer.ask("stop")?;
        // The probe of every minute is not waited for: a flush asks at once.
        scene.producer.ask("flush 10000")?;
        scene.producer.settle(AFTERWARDS)?;
        part.judge(settings, &mut scene, Counting::Exact)?;
        row.absorb(part, &code.to_string());
    }
    renewed(settings, row)
}

/// The credentials are renewed where the engine reads them again.
fn renewed(settings: &Settings, row: &mut Row) -> Outcome {
    let file = directory(settings)?.join("token");
    std::fs::write(&file, "old").map_err(text)?;
    let options = [
        "--rate",
        "500",
        &format!("tracking_token_file={}", file.display()),
    ];
    let script = json!({"token": "old"});
    let mut scene = Scene::with(settings, &Options::default(), &script, &options)?;
    std::thread::sleep(Duration::from_secs(1));
    std::fs::write(&file, "new").map_err(text)?;
    scene.script(&json!({"token": "new"}))?;
    std::thread::sleep(Duration::from_secs(2));
    scene.producer.ask("stop")?;
    let mut part = Row::default();
    let (_, took) = scene.producer.settle(Duration::from_secs(5))?;
    part.fact(format!("delivered {:.1} s after", took.as_secs_f64()));
    part.judge(settings, &mut scene, Counting::Exact)?;
    row.absorb(part, "renewed");
    Ok(())
}

/// F11. The producer trusts the sink's authority through `SSL_CERT_FILE`.
pub(super) fn tls(settings: &Settings, row: &mut Row) -> Outcome {
    let cases = [
        "expired",
        "wrong_host",
        "self_signed",
        "old_protocol",
        "cut",
        "client_cert",
    ];
    let run = |name: &str| -> Outcome<(String, Row)> {
        let mut row = Row::default();
        let tls = serde_json::from_value(name.into()).map_err(text)?;
        let options = Options {
            tls: Some(tls),
            ..Options::default()
        };
        let sink = Sink::start(&options).map_err(text)?;
        let certificates = directory(settings)?;
        sink.write_certificates(&certificates).map_err(text)?;
        let root = certificates.join("ca.pem").display().to_string();
        let trust = [("SSL_CERT_FILE", root.as_str())];
        let producer = Producer::start(settings, &sink.url(), &["batch.delay_ms=50"], &trust)?;
        let mut scene = Scene { sink, producer };
        scene.producer.ask("burst 5")?;
        let length = settings.seconds(60.0).max(Duration::from_secs(4));
        std::thread::sleep(length);
        let stats = scene.sink.stats();
        let number = |key: &str| stats[key].as_u64().unwrap_or(0);
        row.require(number("requests") == 0, "a request went out");
        let tries = number("connections");
        row.fact(format!("{tries} handshakes"));
        row.require(tries > 0, "nothing was tried");
        row.require(tries <= 12, format!("{tries} connects"));
        let reading = scene.producer.read()?;
        let told = reading.diagnostics.first();
        let told = told.map_or("", |(_, text)| text.as_str()).to_lowercase();
        let classes = ["certificate", "tls", "handshake", "protocol"];
        row.require(
            classes.iter().any(|class| told.contains(class)),
            format!("told as: {}", told.chars().take(80).collect::<String>()),
        );
        scene.script(&json!({"tls": "valid"}))?;
        let (reading, took) = scene.producer.settle(AFTERWARDS)?;
        row.fact(format!("delivered {:.1} s after", took.as_secs_f64()));
        row.require(
            reading.pending == 0,
            "not delivered with a good certificate",
        );
        row.judge(settings, &mut scene, Counting::Exact)?;
        Ok((name.to_owned(), row))
    };
    side_by_side(cases, run, row);
    mutual(settings, row)
}

/// With a certificate of the client.
fn mutual(settings: &Settings, row: &mut Row) -> Outcome {
    let options = Options {
        tls: Some(crate::script::Tls::ClientCert),
        ..Options::default()
    };
    let sink = Sink::start(&options).map_err(text)?;
    let certificates = directory(settings)?;
    sink.write_certificates(&certificates).map_err(text)?;
    let root = certificates.join("ca.pem").display().to_string();
    let own = certificates.join("client.pem");
    let own = format!("tls.client_certificate={}", own.display());
    let trust = [("SSL_CERT_FILE", root.as_str())];
    let producer = Producer::start(settings, &sink.url(), &[&own], &trust)?;
    let mut scene = Scene { sink, producer };
    scene.producer.ask("burst 5")?;
    scene.producer.ask("flush 5000")?;
    let mut part = Row::default();
    part.judge(settings, &mut scene, Counting::Exact)?;
    row.absorb(part, "with a client certificate");
    Ok(())
}

/// F14. The sink is the proxy: it answers for whatever host it is asked for.
pub(super) fn proxies(settings: &Settings, row: &mut Row) -> Outcome {
    let elsewhere = "http://mlflow.nonexistent.invalid";
    let part = |script: Value, url: Option<&str>, variable: &str| -> Outcome<(Scene, u64)> {
        let sink = Sink::start(&Options::default()).map_err(text)?;
        sink.script(&script).map_err(text)?;
        let own = sink.url();
        let proxy = own.replace("http://", &format!("http://user:{CANARY}@"));
        let nobody = "http://127.0.0.1:1".to_owned();
        let here = url.is_none();
        let variables = [
            (
                variable,
                if here {
                    nobody.as_str()
                } else {
                    proxy.as_str()
                },
            ),
            ("NO_PROXY", if here { "127.0.0.1" } else { "" }),
        ];
        let producer = Producer::start(
            settings,
            url.unwrap_or(&own),
            &["batch.delay_ms=50"],
            &variables,
        )?;
        let mut scene = Scene { sink, producer };
        scene.producer.ask("burst 5")?;
        let left = scene.producer.ask("flush 3000")?["left"].as_u64();
        Ok((scene, left.unwrap_or(u64::MAX)))
    };
    let hidden = |row: &mut Row, scene: &mut Scene| -> Outcome {
        let told = format!("{:?}{}", scene.producer.read()?, scene.producer.said());
        row.require(!told.contains(CANARY), "the password was shown");
        Ok(())
    };

    let mut found = Row::default();
    let (mut scene, _) = part(json!({}), Some(elsewhere), "http_proxy")?;
    let proxied = {
        let ledger = scene.sink.ledger();
        !ledger.requests.is_empty() && ledger.requests.iter().all(|request| request.proxied)
    };
    found.require(proxied, "not asked through the proxy");
    hidden(&mut found, &mut scene)?;
    found.judge(settings, &mut scene, Counting::Exact)?;
    row.absorb(found, "http_proxy");

    let mut found = Row::default();
    let (mut scene, _) = part(json!({}), None, "http_proxy")?;
    found.judge(settings, &mut scene, Counting::Exact)?;
    row.absorb(found, "NO_PROXY");

    let secure = elsewhere.replace("http:", "https:");
    for (name, url, variable) in [
        ("407", elsewhere, "http_proxy"),
        ("CONNECT 407", secure.as_str(), "https_proxy"),
    ] {
        let mut found = Row::default();
        let refusal = format!("{CANARY} is wrong");
        let script = json!({"rules": [{"do": {"status": {"code": 407, "body": refusal}}}]});
        let (mut scene, left) = part(script, Some(url), variable)?;
        found.require(
            !scene.sink.ledger().requests.is_empty(),
            "the proxy was not asked",
        );
        found.fact(format!("{left} of 50 spans wait"));
        found.require(left == 50 || url == elsewhere, "not kept");
        hidden(&mut found, &mut scene)?;
        found.judge(settings, &mut scene, Counting::Lossy)?;
        row.absorb(found, name);
    }
    Ok(())
}
