//! TLS: what is trusted, what goes wrong, and how it comes right again (reliability F11).
#![allow(clippy::unwrap_used)]

mod support;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::{Arc, Mutex};

use mlflow_trace_core::{Error, ErrorKind, SpanStart, TracerBuilder};
use rustls::version::{TLS12, TLS13};
use support::certs::{Authority, Files, Issued};
use support::raw::{Raw, TlsServer};
use support::{PATIENCE, config, tracer, until};

const BOTH: &[&rustls::SupportedProtocolVersion] = &[&TLS12, &TLS13];

/// What a client gets from a server.
fn ask(url: &str, options: &[(&str, &str)]) -> Result<String, Error> {
    let tracer = tracer(&[&[("tracking_uri", url)], options].concat());
    let experiment = tracer.client().get_experiment("7")?;
    Ok(experiment.experiment_id)
}

fn serve(issued: &Issued) -> TlsServer {
    TlsServer::start(issued.server(None, BOTH))
}

#[test]
fn a_server_of_a_private_authority_is_trusted_where_that_is_named() {
    let files = Files::new("private");
    let authority = Authority::new("ours");
    let ca = files.write("ca.pem", &authority.pem);
    let server = serve(&authority.issue("localhost"));
    assert_eq!(
        ask(&server.url(), &[("tls.certificate", &ca)]).unwrap(),
        "7"
    );
    for versions in [&[&TLS12][..], &[&TLS13]] {
        server.change(authority.issue("localhost").server(None, versions));
        assert!(ask(&server.url(), &[("tls.certificate", &ca)]).is_ok());
    }
    let error = ask(&server.url(), &[]).unwrap_err();
    assert!(
        error
            .message()
            .contains("issuer of the server's certificate is not trusted"),
        "{error}"
    );
    assert_eq!(error.kind(), ErrorKind::Transport);
}

#[test]
fn what_is_wrong_with_a_certificate_is_told() {
    let files = Files::new("wrong");
    let (authority, other) = (Authority::new("ours"), Authority::new("theirs"));
    let ca = files.write("ca.pem", &authority.pem);
    for (issued, problem) in [
        (authority.issue_until("localhost", 1999), "has expired"),
        (authority.issue("elsewhere.example"), "is for another host"),
        (other.issue("localhost"), "is not trusted"),
    ] {
        let server = serve(&issued);
        let error = ask(&server.url(), &[("tls.certificate", &ca)]).unwrap_err();
        assert!(error.message().contains(problem), "{problem}: {error}");
        assert!(server.seen().is_empty());
        // One who asked for it gets through all the same.
        assert!(ask(&server.url(), &[("tls.insecure", "true")]).is_ok());
    }
}

#[test]
fn what_is_no_tls_is_told_and_nothing_is_sent_in_the_clear() {
    let hello = Arc::new(Mutex::new(Vec::new()));
    for (what, reply, problem) in [
        // An alert of TLS 1.0: protocol_version, fatal.
        (
            "old",
            &b"\x15\x03\x01\x00\x02\x02\x46"[..],
            "does not speak TLS 1.2 or 1.3",
        ),
        (
            "plain",
            b"HTTP/1.1 400 Bad Request\r\n\r\n",
            "does not speak TLS 1.2 or 1.3",
        ),
        ("cut", b"", "cut during the handshake"),
    ] {
        let seen = hello.clone();
        let server = Raw::start(move |mut stream: TcpStream, _| {
            let mut buffer = [0; 4096];
            let read = stream.read(&mut buffer).unwrap_or(0);
            seen.lock().unwrap().push(buffer[..read].to_vec());
            let _ = stream.write_all(reply);
        });
        let url = format!("https://localhost:{}", server.port);
        let error = ask(&url, &[("tracking_token", "hunter2")]).unwrap_err();
        assert!(error.message().contains(problem), "{what}: {error}");
        assert_eq!(server.connections(), 1, "{what}");
    }
    for bytes in hello.lock().unwrap().iter() {
        // A handshake record, and nothing that could be read.
        assert_eq!(bytes.first(), Some(&0x16));
        assert!(!String::from_utf8_lossy(bytes).contains("hunter2"));
    }
}

#[test]
fn clients_show_a_certificate_where_one_is_wanted() {
    let files = Files::new("client");
    let (authority, other) = (Authority::new("ours"), Authority::new("theirs"));
    let ca = files.write("ca.pem", &authority.pem);
    let mine = authority.issue("client");
    let both = files.write("both.pem", &mine.pem());
    let cert = files.write("cert.pem", &mine.cert_pem());
    let key = files.write("key.pem", &mine.key_pem());
    let foreign = files.write("foreign.pem", &other.issue("client").pem());
    for versions in [&[&TLS12][..], &[&TLS13]] {
        let config = authority
            .issue("localhost")
            .server(Some(&authority), versions);
        let server = TlsServer::start(config);
        let with = |more: &[(&str, &str)]| {
            ask(
                &server.url(),
                &[&[("tls.certificate", ca.as_str())], more].concat(),
            )
        };
        assert!(with(&[("tls.client_certificate", &both)]).is_ok());
        assert!(with(&[("tls.client_certificate", &cert), ("tls.client_key", &key)]).is_ok());
        let missing = with(&[]).unwrap_err();
        assert!(
            missing.message().contains("a client certificate"),
            "{missing}"
        );
        let refused = with(&[("tls.client_certificate", &foreign)]).unwrap_err();
        assert!(
            refused
                .message()
                .contains("does not accept the client certificate"),
            "{refused}"
        );
    }
}

#[test]
fn files_that_cannot_be_used_are_told_and_may_be_put_right() {
    let files = Files::new("files");
    let authority = Authority::new("ours");
    let server = serve(&authority.issue("localhost"));
    let empty = files.write("empty.pem", "");
    let ca = files.write("ca.pem", &authority.pem);
    let torn = "-----BEGIN PRIVATE KEY-----\nhunter2\n";
    let torn = files.write("torn.pem", torn);
    for (options, problem) in [
        (
            &[("tls.certificate", "/no/such.pem")][..],
            "'/no/such.pem' cannot be read",
        ),
        (&[("tls.certificate", &empty)], "holds no certificate"),
        (
            &[("tls.client_certificate", &empty)],
            "holds no certificate",
        ),
        (&[("tls.client_certificate", &ca)], "holds no private key"),
        (
            &[("tls.client_certificate", &ca), ("tls.client_key", &torn)],
            "torn.pem'",
        ),
    ] {
        let error = ask(&server.url(), options).unwrap_err();
        assert!(error.message().contains(problem), "{problem}: {error}");
        assert!(
            error.retryable() && !error.message().contains("hunter2"),
            "{error}"
        );
    }
    for (options, key) in [
        (
            &[("tls.insecure", "true"), ("tls.certificate", &ca)][..],
            "tls.insecure",
        ),
        (&[("tls.client_key", &ca)], "tls.client_key"),
    ] {
        let error = ask(&server.url(), options).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidConfig);
        assert!(error.message().contains(key), "{error}");
    }
}

#[test]
fn delivery_goes_on_once_certificates_are_right() {
    let files = Files::new("again");
    let (old, new) = (Authority::new("old"), Authority::new("new"));
    let ca = files.write("ca.pem", &old.pem);
    let expired = old.issue_until("localhost", 1999);
    let server = serve(&expired);
    let tracer = tracer(&[
        ("tracking_uri", &server.url()),
        ("tls.certificate", &ca),
        ("batch.delay_ms", "0"),
    ]);
    tracer.start(SpanStart::new("one")).end().unwrap();
    let mut told = None;
    until("the problem is told", || {
        told = tracer.next_diagnostic();
        told.is_some()
    });
    assert!(told.unwrap().message.contains("has expired"));
    // The server gets a new certificate.
    server.change(old.issue("localhost").server(None, BOTH));
    assert_eq!(tracer.flush(PATIENCE), 0);
    // It moves to another authority, which then comes to be trusted here.
    server.change(new.issue("localhost").server(None, BOTH));
    tracer.start(SpanStart::new("two")).end().unwrap();
    tracer.flush(std::time::Duration::from_millis(200));
    assert_eq!(tracer.stats().delivered, 1);
    files.write("ca.pem", &format!("{}{}", old.pem, new.pem));
    assert_eq!(tracer.flush(PATIENCE), 0);
    assert_eq!(tracer.stats().delivered, 2);
}

#[test]
fn leaving_certificates_unchecked_is_told_once() {
    let told = |options: &[(&str, &str)]| -> Vec<&'static str> {
        let tracer = TracerBuilder::new(config(options)).build().unwrap();
        tracer.flush(PATIENCE);
        std::iter::from_fn(|| tracer.next_diagnostic())
            .map(|line| line.reason)
            .collect()
    };
    let insecure = ("tls.insecure", "true");
    let uri = ("tracking_uri", "https://localhost:1");
    assert_eq!(told(&[uri, insecure]), ["insecure_tls"]);
    assert!(told(&[uri]).is_empty());
    assert!(told(&[insecure]).is_empty());
}
