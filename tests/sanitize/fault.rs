//! One deliberate fault, which the argument names: whoever watches this program has to report it.
#![allow(unsafe_code)]

use std::hint::black_box;
use std::process::ExitCode;

/// Reads behind a block of the heap.
fn read_behind() {
    let block = vec![0_u8; black_box(8)];
    // SAFETY: none, this is the fault.
    black_box(unsafe { block.as_ptr().add(8).read_volatile() });
}

/// Reads a block of the heap that is free again.
fn read_freed() {
    let block = vec![0_u8; black_box(8)];
    let address = block.as_ptr();
    drop(block);
    // SAFETY: none, this is the fault.
    black_box(unsafe { address.read_volatile() });
}

/// Loses blocks of the heap: many, for the last may still be in a register.
fn leak() {
    for _ in 0..100 {
        std::mem::forget(black_box(vec![0_u8; 8]));
    }
}

fn main() -> ExitCode {
    match std::env::args().nth(1).as_deref() {
        Some("read-behind") => read_behind(),
        Some("read-freed") => read_freed(),
        Some("leak") => leak(),
        _ => return ExitCode::from(2),
    }
    ExitCode::SUCCESS
}
