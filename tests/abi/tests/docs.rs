//! Every function of the ABI says what it does, who owns what, from where it may be called, how it fails and
//! since when.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use mlflow_trace_abi_tests::source;

const LABELS: [&str; 4] = ["Ownership: ", "Threads: ", "Errors: ", "Since: "];

fn problem(doc: &str) -> Option<String> {
    let first = doc.lines().next().unwrap_or_default();
    if first.is_empty() || LABELS.iter().any(|label| first.starts_with(label)) {
        return Some("does not say what it does".to_owned());
    }
    let lines: Vec<_> = doc
        .lines()
        .filter(|line| LABELS.iter().any(|label| line.starts_with(label)))
        .collect();
    let labels: Vec<_> = lines
        .iter()
        .filter_map(|line| LABELS.iter().find(|label| line.starts_with(**label)))
        .collect();
    if labels != LABELS.iter().collect::<Vec<_>>() {
        return Some(format!(
            "needs, once each and in this order: {}",
            LABELS.concat()
        ));
    }
    (!doc.ends_with('.')).then(|| "does not end with a full stop".to_owned())
}

#[test]
fn every_function_is_documented() {
    let modules = source::modules().unwrap();
    for export in source::exports(&modules) {
        if let Some(problem) = problem(&export.doc()) {
            panic!("{}: {problem}", export.name());
        }
        let fallible = export.function.sig.inputs.iter().any(|input| {
            matches!(input, syn::FnArg::Typed(input) if matches!(&*input.pat, syn::Pat::Ident(name) if name.ident == "error"))
                && export.name() != "mlflow_error_free"
                && !export.name().starts_with("mlflow_error_get")
        });
        assert_eq!(
            fallible,
            !export.doc().contains("\nErrors: none."),
            "{}: the line Errors does not fit the parameters",
            export.name()
        );
    }
}

#[test]
fn every_module_has_a_heading_and_prose() {
    for module in source::modules().unwrap() {
        let doc = source::doc(&module.file.attrs);
        let mut lines = doc.lines();
        assert!(
            lines.next().is_some_and(|title| !title.is_empty()),
            "{}",
            module.name
        );
        assert!(lines.next().is_some_and(str::is_empty), "{}", module.name);
        assert!(lines.next().is_some(), "{}: a title alone", module.name);
    }
}

#[test]
fn the_check_can_fail() {
    let good = "Does it.\n\nOwnership: none.\nThreads: any.\nErrors: none.\nSince: 1.0.";
    assert_eq!(problem(good), None);
    assert!(problem("").is_some());
    assert!(problem(&good.replace("Threads: any.\n", "")).is_some());
    assert!(problem(&good.replace("Does it.\n\n", "")).is_some());
    assert!(problem(good.trim_end_matches('.')).is_some());
}
