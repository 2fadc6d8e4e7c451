//! Link arguments of the shared library: its name carries the ABI major, and it is never unloaded.

use std::env;

/// The major of `MLFLOW_TRACE_ABI_VERSION` in `src/version.rs`; a test compares the two.
const ABI_MAJOR: u32 = 1;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    match env::var("CARGO_CFG_TARGET_OS").as_deref() {
        Ok("linux") => {
            link(&format!("-Wl,-soname,libmlflow_trace.so.{ABI_MAJOR}"));
            // The exporter's thread runs this code until the process ends, whatever dlclose says.
            link("-Wl,-z,nodelete");
        }
        Ok("macos") => link(&format!(
            "-Wl,-install_name,@rpath/libmlflow_trace.{ABI_MAJOR}.dylib"
        )),
        _ => {}
    }
}

fn link(argument: &str) {
    println!("cargo:rustc-cdylib-link-arg={argument}");
}
