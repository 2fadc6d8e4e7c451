//! `docs/options.md` is the table of options; `BLESS=1` rewrites it.
#![allow(clippy::unwrap_used)]

use std::fmt::Write;

use mlflow_trace_core::config::{Accepts, OPTIONS};

fn accepts(kind: Accepts) -> String {
    match kind {
        Accepts::Text | Accepts::Secret => "text".into(),
        Accepts::Uri => "`http://` or `https://` URI, `databricks`, `databricks://PROFILE`".into(),
        Accepts::Endpoint => "`http://` or `https://` URI".into(),
        Accepts::File => "file".into(),
        Accepts::Proxy => "URI or `direct`".into(),
        Accepts::Headers => "`name=value` separated by commas".into(),
        Accepts::Word => "visible ASCII characters".into(),
        Accepts::ExperimentId => "decimal number".into(),
        Accepts::Directory => "directory".into(),
        Accepts::Choice(words) => {
            let words: Vec<String> = words.iter().map(|word| format!("`{word}`")).collect();
            words.join(", ")
        }
        Accepts::Flag => "`true` or `false`".into(),
        Accepts::Ratio => "0 to 1".into(),
        Accepts::Integer(least, most) => format!("{least} to {most}"),
        Accepts::Keys => "names separated by commas, with `*`".into(),
        Accepts::Paths => "paths separated by commas".into(),
        Accepts::Patterns => "regular expressions, one per line or a JSON array".into(),
    }
}

fn page() -> String {
    let mut page = String::from(
        "# Options\n\n\
         The same keys in every language. Generated from `core/src/config.rs`; a test keeps it fresh.\n\n\
         | key | environment variable | default | accepts | meaning |\n|---|---|---|---|---|\n",
    );
    for option in OPTIONS {
        let default = match option.default {
            "" => "not set".to_owned(),
            default => format!("`{default}`"),
        };
        let general = match option.general {
            "" => String::new(),
            general => format!("; also from `{general}`"),
        };
        writeln!(
            page,
            "| `{}` | `{}` | {default} | {} | {}{general} |",
            option.key,
            option.variable,
            accepts(option.accepts),
            option.doc
        )
        .unwrap();
    }
    page
}

#[test]
fn the_page_is_fresh() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/options.md");
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(path, page()).unwrap();
    }
    let committed = std::fs::read_to_string(path).unwrap();
    assert!(
        committed == page(),
        "docs/options.md is stale: BLESS=1 cargo test -p mlflow-trace-core --test options"
    );
}
