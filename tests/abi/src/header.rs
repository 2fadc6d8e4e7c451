//! Makes the text of `include/mlflow_trace.h`.
//!
//! cbindgen translates the declarations; this module puts them in the order of the modules, each under the
//! prose of its module, and adds the helpers of `ffi/abi/*.h`. cbindgen alone would list all types, then all
//! functions, which nobody reads from top to bottom.

use std::collections::HashMap;
use std::fmt::Write;
use std::fs;
use std::sync::Mutex;

use crate::source::{self, Module};

const PROLOGUE: &str = "\
/* mlflow-trace: records MLflow traces from C and C++.
 *
 * Generated from the sources of the library; do not edit.
 *
 *     mlflow_config_t *config = NULL;
 *     mlflow_tracer_t *tracer = NULL;
 *     mlflow_span_t span;
 *
 *     mlflow_config_new(&config, NULL);
 *     mlflow_config_set_env(config, NULL);
 *     mlflow_tracer_new(config, &tracer, NULL);
 *     mlflow_config_free(config);
 *
 *     mlflow_span_start(tracer, MLFLOW_STR(\"answer\"), NULL, &span, NULL);
 *     mlflow_span_set_inputs_str(span, MLFLOW_STR(\"What is tracing?\"), NULL);
 *     mlflow_span_end(span, NULL);
 *
 *     mlflow_tracer_shutdown(tracer, MLFLOW_TIMEOUT_DEFAULT, NULL, NULL);
 *     mlflow_tracer_free(tracer);
 *
 * Every function says what it does, then four things: who owns what (Ownership); from where it may be called,
 * fork() included (Threads); which statuses it returns besides MLFLOW_OK, without their prefix MLFLOW_ERROR_
 * (Errors); and the ABI version, major and minor, that it came with (Since). Any function that returns a status
 * may also return MLFLOW_ERROR_PANIC.
 *
 * The library checks pointers for NULL and alignment, lengths, and handles of spans. What it cannot check is the
 * caller's part: memory behind a pointer is as large as said and stays alive until the call returns; what goes
 * in is initialised, and nobody writes to it meanwhile; an object comes from this library and is not used after
 * its `_free`.
 */

/* clang-format off */

#ifndef MLFLOW_TRACE_H
#define MLFLOW_TRACE_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifdef __cplusplus
extern \"C\" {
#endif
";

const EPILOGUE: &str = "
#ifdef __cplusplus
} /* extern \"C\" */
#endif

#endif /* MLFLOW_TRACE_H */
";

/// Makes the header, or says what cbindgen found wrong.
pub fn render() -> Result<String, Box<dyn std::error::Error>> {
    let modules = source::modules()?;
    let mut declarations = declarations(&modules)?;
    let mut out = PROLOGUE.to_owned();
    for module in &modules {
        write_heading(&mut out, module)?;
        if module.name == "version" {
            write_version(&mut out)?;
        }
        write_module(&mut out, module, &mut declarations)?;
    }
    if let Some(name) = declarations.keys().next() {
        return Err(format!("{name} belongs to no module").into());
    }
    out.push_str(EPILOGUE);
    Ok(out)
}

fn write_heading(out: &mut String, module: &Module) -> std::fmt::Result {
    out.push('\n');
    let doc = source::doc(&module.file.attrs);
    let mut start = "/* ";
    for line in doc.lines() {
        writeln!(out, "{}", format!("{start}{line}").trim_end())?;
        start = " * ";
    }
    out.push_str(" */\n\n");
    Ok(())
}

fn write_version(out: &mut String) -> std::fmt::Result {
    writeln!(
        out,
        "/** The version of the library that this header came with. */"
    )?;
    writeln!(
        out,
        "#define MLFLOW_TRACE_VERSION \"{}\"",
        env!("CARGO_PKG_VERSION")
    )?;
    writeln!(
        out,
        "#define MLFLOW_TRACE_VERSION_MAJOR {}",
        env!("CARGO_PKG_VERSION_MAJOR")
    )?;
    writeln!(
        out,
        "#define MLFLOW_TRACE_VERSION_MINOR {}",
        env!("CARGO_PKG_VERSION_MINOR")
    )?;
    writeln!(
        out,
        "#define MLFLOW_TRACE_VERSION_PATCH {}",
        env!("CARGO_PKG_VERSION_PATCH")
    )
}

/// Types before constants before helpers before functions: what comes later uses what came earlier.
fn write_module(
    out: &mut String,
    module: &Module,
    declarations: &mut HashMap<String, String>,
) -> Result<(), Box<dyn std::error::Error>> {
    let mut types = Vec::new();
    let mut constants = Vec::new();
    let mut functions = Vec::new();
    for name in source::names(module) {
        let text = declarations
            .remove(&name)
            .ok_or_else(|| format!("cbindgen left out {name}"))?;
        if text.contains("#define") {
            constants.push(text);
        } else if text.contains("typedef") {
            types.push(text);
        } else {
            functions.push(text);
        }
    }
    let mut parts = types;
    if !constants.is_empty() {
        parts.push(constants.join("\n"));
    }
    let helpers = source::root().join(format!("ffi/abi/{}.h", module.name));
    if helpers.exists() {
        parts.push(fs::read_to_string(helpers)?.trim_end().to_owned());
    }
    parts.append(&mut functions);
    writeln!(out, "{}", parts.join("\n\n"))?;
    Ok(())
}

/// Every declaration by its C name, with its comment.
fn declarations(modules: &[Module]) -> Result<HashMap<String, String>, Box<dyn std::error::Error>> {
    let text = cbindgen(modules)?;
    text.split("\n\n")
        .map(str::trim)
        .filter(|block| !block.is_empty())
        .map(|block| {
            let name = declared(block).ok_or_else(|| format!("cannot name this:\n{block}"))?;
            Ok((name.to_owned(), compact(block)))
        })
        .collect()
}

/// The name that a block of cbindgen's output declares.
fn declared(block: &str) -> Option<&str> {
    let code = block.rsplit_once("*/\n").map_or(block, |(_, code)| code);
    if block.contains("typedef") {
        // A pointer to a function has its name in the middle.
        return match code.split_once("(*") {
            Some((_, rest)) => rest.split(')').next(),
            None => code.trim_end_matches(';').rsplit([' ', '\n']).next(),
        };
    }
    match code.strip_prefix("#define ") {
        Some(rest) => rest.split_whitespace().next(),
        None => code.split_once('(')?.0.rsplit([' ', '*']).next(),
    }
}

/// Puts comments of one line on one line, and leaves out `struct` where the typedef will do.
fn compact(block: &str) -> String {
    let block = block
        .replace("struct mlflow_", "mlflow_")
        .replace("union mlflow_", "mlflow_")
        .replace(
            "typedef mlflow_",
            &format!("typedef {} mlflow_", aggregate(block)),
        );
    let lines: Vec<&str> = block.lines().collect();
    let mut out = Vec::new();
    let mut at = 0;
    while at < lines.len() {
        let single = lines[at].trim_start() == "/**"
            && lines
                .get(at + 2)
                .is_some_and(|line| line.trim_start() == "*/");
        if single {
            let indent = &lines[at][..lines[at].len() - "/**".len()];
            let text = lines[at + 1].trim_start().trim_start_matches('*').trim();
            out.push(format!("{indent}/** {text} */"));
            at += 3;
        } else {
            out.push(lines[at].to_owned());
            at += 1;
        }
    }
    out.join("\n")
}

fn aggregate(block: &str) -> &'static str {
    if block.contains("typedef union") {
        "union"
    } else {
        "struct"
    }
}

/// cbindgen's translation; any warning is an error.
fn cbindgen(modules: &[Module]) -> Result<String, Box<dyn std::error::Error>> {
    Warnings::install();
    let config = cbindgen::Config {
        language: cbindgen::Language::C,
        no_includes: true,
        documentation_style: cbindgen::DocumentationStyle::Doxy,
        sort_by: cbindgen::SortKey::None,
        line_length: 110,
        tab_width: 4,
        usize_is_size_t: true,
        ..cbindgen::Config::default()
    };
    let builder = modules
        .iter()
        .fold(cbindgen::Builder::new(), |builder, module| {
            builder.with_src(&module.path)
        });
    let mut out = Vec::new();
    builder.with_config(config).generate()?.write(&mut out);
    match Warnings::take().as_slice() {
        [] => Ok(String::from_utf8(out)?),
        warnings => Err(format!("cbindgen warns:\n{}", warnings.join("\n")).into()),
    }
}

/// A logger that keeps what cbindgen warns of.
struct Warnings(Mutex<Vec<String>>);

static WARNINGS: Warnings = Warnings(Mutex::new(Vec::new()));

impl Warnings {
    fn install() {
        // A second installation in one process changes nothing.
        if log::set_logger(&WARNINGS).is_ok() {
            log::set_max_level(log::LevelFilter::Warn);
        }
    }

    fn take() -> Vec<String> {
        match WARNINGS.0.lock() {
            Ok(mut lines) => std::mem::take(&mut *lines),
            Err(poisoned) => std::mem::take(&mut *poisoned.into_inner()),
        }
    }
}

impl log::Log for Warnings {
    fn enabled(&self, metadata: &log::Metadata<'_>) -> bool {
        metadata.level() <= log::Level::Warn
    }

    fn log(&self, record: &log::Record<'_>) {
        if let Ok(mut lines) = self.0.lock() {
            lines.push(record.args().to_string());
        }
    }

    fn flush(&self) {}
}
