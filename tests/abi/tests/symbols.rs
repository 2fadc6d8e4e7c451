//! The shared library exports what `ffi/abi/symbols.txt` lists and nothing else.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::env;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use mlflow_trace as _;
use mlflow_trace_abi_tests::source;

/// The shared library that cargo built for this very test.
fn library() -> PathBuf {
    let test = env::current_exe().unwrap();
    test.parent().unwrap().join("libmlflow_trace.so")
}

fn run(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().unwrap();
    assert!(output.status.success(), "{program} failed: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn listed() -> Vec<(String, String)> {
    let text = fs::read_to_string(source::root().join("ffi/abi/symbols.txt")).unwrap();
    text.lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| {
            let (name, since) = line.split_once(' ').unwrap();
            (name.to_owned(), since.trim().to_owned())
        })
        .collect()
}

#[test]
fn exports_are_the_list() {
    let library = library();
    let output = run("nm", &["-D", "--defined-only", library.to_str().unwrap()]);
    let mut exported: Vec<_> = output
        .lines()
        .map(|line| line.split_whitespace().nth(2).unwrap().to_owned())
        .collect();
    exported.sort();
    let names: Vec<_> = listed().into_iter().map(|(name, _)| name).collect();
    assert_eq!(exported, names);
    assert!(names.is_sorted());
    assert!(names.iter().all(|name| name.starts_with("mlflow_")));
}

#[test]
fn the_list_agrees_with_the_documentation() {
    let modules = source::modules().unwrap();
    let mut documented: Vec<_> = source::exports(&modules)
        .iter()
        .map(|export| (export.name(), export.since().unwrap()))
        .collect();
    documented.sort();
    assert_eq!(documented, listed());
}

#[test]
fn the_soname_carries_the_abi_version_and_the_library_stays() {
    let library = library();
    let dynamic = run("readelf", &["-d", library.to_str().unwrap()]);
    let soname = format!(
        "libmlflow_trace.so.{}",
        mlflow_trace::version::MLFLOW_TRACE_ABI_VERSION
    );
    assert!(dynamic.contains(&format!("[{soname}]")), "{dynamic}");
    assert!(dynamic.contains("NODELETE"), "{dynamic}");
}
