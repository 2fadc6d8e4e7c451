//! The types in which threads meet. The models of `make loom` are built with those of `sync/model.rs` in their
//! place, with which loom tries every order of steps that the memory model allows.

#[cfg(all(test, mlflow_loom))]
mod model;
#[cfg(all(test, mlflow_loom))]
pub(crate) use model::*;

#[cfg(not(all(test, mlflow_loom)))]
mod real {
    pub(crate) use spin::mutex::{SpinMutex, SpinMutexGuard};
    pub(crate) use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize};
    pub(crate) use std::sync::{Condvar, Mutex, MutexGuard};
    pub(crate) use tokio::sync::Notify;

    /// Leaves the holder of a spin lock some time, more after many `attempts` to get it.
    pub(crate) fn relax<T>(_lock: &SpinMutex<T>, attempts: u32) {
        const SPINS: u32 = 64;
        const YIELDS: u32 = 128;
        match attempts {
            0..SPINS => std::hint::spin_loop(),
            SPINS..YIELDS => std::thread::yield_now(),
            // The holder copies something large, or is a thread of lower priority.
            _ => std::thread::sleep(std::time::Duration::from_micros(50)),
        }
    }
}
#[cfg(not(all(test, mlflow_loom)))]
pub(crate) use real::*;
