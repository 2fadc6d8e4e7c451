use super::*;

#[test]
fn defaults_are_accepted_by_their_own_option() {
    for option in OPTIONS.iter().filter(|option| !option.default.is_empty()) {
        check(option, option.default).unwrap();
    }
}

#[test]
fn errors_name_the_option() {
    let mut config = Config::new();
    for (key, value) in [
        ("no.such", "1"),
        ("tracking_uri", "localhost:5000"),
        ("tracking_uri", "ftp://host"),
        ("tracking_uri", "http://"),
        ("experiment_id", "../1"),
        ("batch.max_spans", "0"),
        ("batch.delay_ms", "soon"),
        ("exporter", "carrier-pigeon"),
        ("sampling.ratio", "1.5"),
        ("sdk.disabled", "maybe"),
        ("attachments.extract", "yes"),
        ("attachments.max_bytes", "-1"),
        ("workspace", "a\r\nX-Evil: 1"),
        ("workspace", "w\u{f6}rk"),
        ("http.headers", "x-a=1%0d%0aX-Evil: 1"),
        ("http.headers", "Host=elsewhere"),
        ("http.proxy", "proxy:8080"),
        ("http.proxy", "ftp://proxy"),
        ("tls.insecure", "maybe"),
        ("tracking_uri", "databricks://"),
        ("tracking_uri", "databricks://scope:prefix"),
        ("tracking_uri", "databricks-uc"),
        ("capture_content", "no"),
        ("redact.keys", "[\"password\"]"),
        ("redact.paths", "inputs.messages[-1]"),
        ("redact.patterns", "(secret"),
        ("otlp.endpoint", "localhost:4317"),
        ("otlp.endpoint", "databricks"),
        ("otlp.traces_endpoint", "http://host/#part"),
        ("otlp.headers", "api-key"),
        ("otlp.protocol", "grpc"),
        ("otlp.compression", "zstd"),
    ] {
        let error = config.set(key, value).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidConfig);
        assert!(error.message().contains(key), "{error}");
    }
    assert_eq!(config.values, Config::new().values);
}

#[test]
fn a_refused_value_about_content_withholds_content() {
    for (key, bad, good) in [
        ("capture_content", "no", "on"),
        ("redact.keys", ",", "password"),
        ("redact.paths", "messages", "inputs"),
        ("redact.patterns", "(", "secret"),
    ] {
        let mut config = Config::new();
        assert!(config.captures_content());
        config.set(key, bad).unwrap_err();
        config.set("batch.max_spans", "1").unwrap();
        assert!(!config.captures_content(), "{key}");
        config.set(key, good).unwrap();
        assert!(config.captures_content(), "{key}");
        config.set(key, "\0").unwrap_err();
        config.set(key, "").unwrap();
        assert!(config.captures_content(), "{key}");
    }
    let mut config = Config::new();
    config.set("batch.max_spans", "many").unwrap_err();
    assert!(config.captures_content());
    config.set("redact.pattern", "secret").unwrap_err();
    config.set("batch.max_spans", "1").unwrap();
    assert!(!config.captures_content());
    config.set("redact.patterns", "secret").unwrap();
    assert!(config.captures_content());
}

#[test]
fn userinfo_becomes_credentials_and_is_never_shown() {
    let mut config = Config::new();
    config
        .set("tracking_uri", "http://me:p%40ss@host:5000/base/")
        .unwrap();
    config.set("tracking_token", "hunter2").unwrap();
    config.set("redact.patterns", "hunter2").unwrap();
    config.set("otlp.headers", "api-key=hunter2").unwrap();
    let endpoint = "http://me:hunter2@host/v1/traces?key=hunter2";
    config.set("otlp.traces_endpoint", endpoint).unwrap();
    let base = "http://host:5000/base".to_owned();
    assert_eq!(config.target(), Some(Target::Server(base)));
    assert_eq!(config.basic(), Some(("me".into(), "p@ss".into())));
    for (key, value) in [
        ("http.proxy", "http://me:hunter2@proxy:8080"),
        ("http.headers", "x-api-key=hunter2"),
        ("databricks.client_secret", "hunter2"),
    ] {
        config.set(key, value).unwrap();
    }
    let shown = format!("{config:?}");
    assert!(
        !shown.contains("p%40ss") && !shown.contains("hunter2"),
        "{shown}"
    );
}

#[test]
fn switches_and_limits_of_attachments() {
    let mut config = Config::new();
    assert!(config.extracts_attachments());
    for (text, on) in [("False", false), ("1", true), ("OFF", false), ("", true)] {
        config.set("attachments.extract", text).unwrap();
        assert_eq!(config.extracts_attachments(), on, "{text}");
    }
    for (text, limit) in [("", usize::MAX), ("0", usize::MAX), ("7", 7)] {
        config.set("attachments.max_bytes", text).unwrap();
        assert_eq!(config.attachment_limit(), limit, "{text}");
    }
}

#[test]
fn requests_to_this_machine_are_not_compressed_by_themselves() {
    let mut config = Config::new();
    for (uri, option, compressed) in [
        ("http://localhost:5000", "auto", false),
        ("http://127.0.0.1", "", false),
        ("https://[::1]:5000/base", "auto", false),
        ("http://10.0.0.1:5000", "auto", true),
        ("https://mlflow.example.com", "auto", true),
        ("https://mlflow.example.com", "none", false),
        ("http://localhost:5000", "gzip", true),
    ] {
        config.set("tracking_uri", uri).unwrap();
        config.set("export.compression", option).unwrap();
        assert_eq!(config.compresses(), compressed, "{uri} {option}");
    }
}

#[test]
fn auto_follows_what_is_named() {
    let mlflow = ("tracking_uri", "http://localhost:5000");
    let collector = ("otlp.endpoint", "http://localhost:4318");
    let traces = ("otlp.traces_endpoint", "http://localhost:4318/?key=1");
    let (dual, disabled) = (("otlp.dual_export", "true"), ("otlp.enabled", "false"));
    let otlp = ("exporter", "otlp");
    for (options, exporter, mirrors) in [
        (&[][..], "file", false),
        (&[mlflow], "mlflow", false),
        (&[mlflow, ("tracking_uri", "")], "file", false),
        // As MLflow's SDK has it, a collector takes precedence.
        (&[mlflow, collector], "otlp", false),
        (&[traces], "otlp", false),
        (&[mlflow, traces, disabled], "mlflow", false),
        (&[mlflow, collector, dual], "mlflow", true),
        (&[traces, dual], "file", true),
        (&[mlflow, dual], "mlflow", false),
        (&[mlflow, collector, dual, disabled], "mlflow", false),
        (
            &[mlflow, collector, ("exporter", "mlflow")],
            "mlflow",
            false,
        ),
        (&[mlflow, collector, dual, otlp], "otlp", false),
        (&[mlflow, disabled, otlp], "otlp", false),
    ] {
        let mut config = Config::new();
        for (key, value) in options {
            config.set(key, value).unwrap();
        }
        assert_eq!(config.exporter(), exporter, "{options:?}");
        assert_eq!(config.mirrors(), mirrors, "{options:?}");
    }
}
