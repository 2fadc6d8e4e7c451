//! The process-wide tracer of a language binding: made on first use, replaced by configuration.
//!
//! A binding's users configure at any time, before and after the first span. Options that the program
//! set win over the environment, the environment over what the binding knows (the program's name), that
//! over the built-in defaults. Traces that have started keep the tracer they started with, which goes on
//! delivering until it has nothing left.

use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::{ArcSwapOption, Guard};
use once_cell::sync::OnceCell;

use crate::client::Experiment;
use crate::config::{Config, OPTIONS, Target};
use crate::diagnostics::Diagnostic;
use crate::error::{Error, ErrorKind, Result};
use crate::lock::{Mutex, MutexGuard};
use crate::pipeline::fork::{self, ForkCell};
use crate::pipeline::health::Health;
use crate::pipeline::stats::Stats;
use crate::tracer::Tracer;

/// The tracers of a process, of which one is current.
pub struct Process {
    current: ArcSwapOption<Tracer>,
    /// Values that the binding supplies where nobody else does.
    defaults: OnceCell<Vec<(&'static str, String)>>,
    /// Options that the program set. As the tracers, outside the lock, so that a fork's child has them.
    chosen: ArcSwapOption<Vec<(&'static str, String)>>,
    /// Tracers before the current one that may still have something to deliver.
    replaced: ArcSwapOption<Vec<Tracer>>,
    /// Serialises changes, one of its own in every fork generation. Holds the counters of the tracers
    /// that were let go of.
    changes: ForkCell<Mutex<Stats>>,
}

impl Default for Process {
    fn default() -> Self {
        Self::new()
    }
}

impl Process {
    /// No tracer yet.
    pub const fn new() -> Self {
        Process {
            current: ArcSwapOption::const_empty(),
            defaults: OnceCell::new(),
            chosen: ArcSwapOption::const_empty(),
            replaced: ArcSwapOption::const_empty(),
            changes: ForkCell::new(),
        }
    }

    fn changes(&self) -> MutexGuard<'_, Stats> {
        // A thread may hold the lock at a fork before there is any tracer.
        fork::install();
        self.changes.get_or_init(Mutex::default).lock()
    }

    /// Supplies values for options that neither the program nor the environment sets. Only the first
    /// call counts; values that an option does not accept are left out.
    pub fn set_defaults(&self, defaults: &[(&str, &str)]) {
        self.defaults.get_or_init(|| {
            let known = defaults.iter().filter_map(|(name, value)| {
                Config::new().set(name, value).ok()?;
                Some((key(name).ok()?, (*value).to_owned()))
            });
            known.collect()
        });
    }

    /// The current tracer, for recording: one load when it exists. The first call makes it; a variable
    /// of the environment that is malformed is left out then, with a message.
    pub fn tracer(&self) -> Result<Guard<Option<Arc<Tracer>>>> {
        let current = self.current.load();
        if current.is_some() {
            return Ok(current);
        }
        {
            let _changes = self.changes();
            if self.current.load().is_none() {
                let mut faults = Vec::new();
                let config = self.config(&self.chosen(), &mut |fault| {
                    faults.push(fault);
                    Ok(())
                })?;
                let tracer = Tracer::new(config)?;
                if !faults.is_empty() {
                    // Together: messages of one reason that follow each other at once are left out.
                    let faults: Vec<String> = faults.iter().map(Error::to_string).collect();
                    tracer.note(format!("ignored: {}", faults.join("; ")));
                }
                self.current.store(Some(Arc::new(tracer)));
            }
        }
        Ok(self.current.load())
    }

    /// The current tracer, as a clone of its own.
    fn cloned(&self) -> Option<Tracer> {
        self.current.load().as_deref().cloned()
    }

    /// The current tracer, made if there is none.
    pub(crate) fn current(&self) -> Result<Tracer> {
        let missing = || Error::new(ErrorKind::InvalidState, "there is no tracer");
        self.tracer()?.as_deref().cloned().ok_or_else(missing)
    }

    pub(crate) fn replaced(&self) -> Vec<Tracer> {
        self.replaced.load().as_deref().cloned().unwrap_or_default()
    }

    /// Lets go of replaced tracers that have nothing left.
    fn forget(&self, past: &mut Stats) {
        let mut tracers = self.replaced();
        tracers.retain(|tracer| {
            let last = tracer.stats();
            let done =
                last.is_settled() && !tracer.has_diagnostics() && !tracer.has_memory_traces();
            if done {
                past.add(&last);
            }
            !done
        });
        self.replaced.store(Some(Arc::new(tracers)));
    }

    fn chosen(&self) -> Vec<(&'static str, String)> {
        self.chosen.load().as_deref().cloned().unwrap_or_default()
    }

    /// Built-in defaults, the binding's, the environment, the program's. `fault` decides about a bad
    /// variable.
    fn config(
        &self,
        chosen: &[(&'static str, String)],
        fault: &mut dyn FnMut(Error) -> Result<()>,
    ) -> Result<Config> {
        let mut config = Config::new();
        for (key, value) in self.defaults.get().into_iter().flatten() {
            config.set(key, value)?;
        }
        for option in OPTIONS {
            // A variable that the program overrides may hold anything.
            if chosen.iter().all(|(key, _)| *key != option.key) {
                config.set_variable(option).or_else(&mut *fault)?;
            }
        }
        for (key, value) in chosen {
            config.set(key, value)?;
        }
        Ok(config)
    }

    /// Sets options for the traces that start from now on: all or none. `None` gives an option back to
    /// the environment and its default; keys may have `_` for `.`.
    ///
    /// Fails with `InvalidConfig`, naming the option or the variable.
    pub fn configure(&self, changes: &[(&str, Option<&str>)]) -> Result<()> {
        let mut past = self.changes();
        let mut chosen = self.chosen();
        let changes: Vec<(&'static str, Option<&str>)> = changes
            .iter()
            .map(|(name, value)| Ok((key(name)?, *value)))
            .collect::<Result<_>>()?;
        let moves = changes
            .iter()
            .any(|(key, value)| *key == "tracking_uri" && choice(&chosen, key) != *value);
        if moves && choice(&chosen, "experiment_name").is_some_and(|name| !name.is_empty()) {
            // The id that the name had belongs to the server before.
            choose(&mut chosen, "experiment_id", Some(""));
        }
        for (key, value) in changes {
            choose(&mut chosen, key, value);
        }
        let config = self.config(&chosen, &mut Err)?;
        self.replace(&mut past, config, chosen)
    }

    /// Sets exactly these options for the traces that start from now on; earlier choices are forgotten.
    ///
    /// Fails as [`Self::configure`].
    pub fn init(&self, options: &[(&str, &str)]) -> Result<()> {
        let mut past = self.changes();
        let mut chosen = Vec::new();
        for (name, value) in options {
            choose(&mut chosen, key(name)?, Some(value));
        }
        let config = self.config(&chosen, &mut Err)?;
        self.replace(&mut past, config, chosen)
    }

    fn replace(
        &self,
        past: &mut Stats,
        config: Config,
        chosen: Vec<(&'static str, String)>,
    ) -> Result<()> {
        let current = self.cloned();
        let unchanged = current
            .as_ref()
            .is_some_and(|tracer| *tracer.config() == config && !tracer.is_stopped());
        if !unchanged {
            let tracer = Tracer::new(config)?;
            let mut replaced = self.replaced();
            replaced.extend(current);
            self.replaced.store(Some(Arc::new(replaced)));
            self.current.store(Some(Arc::new(tracer)));
            self.forget(past);
        }
        self.chosen.store(Some(Arc::new(chosen)));
        Ok(())
    }

    /// The value of an option as it is in force; empty when it is not set and has no default.
    pub fn option(&self, name: &str) -> Result<String> {
        let key = key(name)?;
        let config = self.config(&self.chosen(), &mut |_| Ok(()))?;
        config.get(key).map(str::to_owned)
    }

    /// The tracking URI as it is in force, without credentials; empty without one.
    pub fn tracking_server(&self) -> Result<String> {
        let config = self.config(&self.chosen(), &mut |_| Ok(()))?;
        Ok(match config.target() {
            Some(Target::Server(base)) => base,
            Some(Target::Databricks(_)) => config.get("tracking_uri")?.to_owned(),
            None => String::new(),
        })
    }

    /// Makes an experiment the one of later traces: found or made by name, or found by id. Waits for the
    /// server, at most `http.timeout_ms`; without one, the choice holds for the server that is set later.
    ///
    /// Fails with `NotFound`, `Transport` or `Rejected`, and with `InvalidArgument` for neither.
    pub fn set_experiment(&self, name: Option<&str>, id: Option<&str>) -> Result<Experiment> {
        if name.is_none() && id.is_none() {
            return Err(Error::new(
                ErrorKind::InvalidArgument,
                "neither a name nor an id of an experiment",
            ));
        }
        if self.option("tracking_uri")?.is_empty() {
            // What is not given must not come from the environment: it would name another experiment.
            self.configure(&[
                ("experiment_name", Some(name.unwrap_or_default())),
                ("experiment_id", Some(id.unwrap_or_default())),
            ])?;
            return Ok(Experiment {
                experiment_id: id.unwrap_or_default().to_owned(),
                name: name.unwrap_or_default().to_owned(),
                ..Experiment::default()
            });
        }
        self.configure(&[])?;
        let missing = || Error::new(ErrorKind::InvalidState, "there is no tracer");
        let tracer = self.cloned().ok_or_else(missing)?;
        let client = tracer.client();
        let experiment = match (id, name) {
            (Some(id), _) => client.get_experiment(id)?,
            (None, name) => client.set_experiment(name.unwrap_or_default())?,
        };
        let _changes = self.changes();
        // The tracer stays: its traces go elsewhere from now on. It may be another one than before.
        if let Some(tracer) = self.cloned() {
            tracer.set_experiment_id(&experiment.experiment_id)?;
        }
        let mut chosen = self.chosen();
        choose(&mut chosen, "experiment_name", Some(&experiment.name));
        choose(
            &mut chosen,
            "experiment_id",
            Some(&experiment.experiment_id),
        );
        self.chosen.store(Some(Arc::new(chosen)));
        Ok(experiment)
    }

    /// Every tracer that may hold something, the current one last.
    fn all(&self) -> Vec<Tracer> {
        self.all_during(&self.changes())
    }

    /// As [`Self::all`], for who holds the lock: without it, one could be missed or seen twice.
    fn all_during(&self, _changes: &MutexGuard<'_, Stats>) -> Vec<Tracer> {
        let mut tracers = self.replaced();
        tracers.extend(self.cloned());
        tracers
    }

    /// As [`Tracer::flush`], for all tracers together.
    pub fn flush(&self, timeout: Duration) -> u64 {
        self.settle(timeout, Tracer::flush)
    }

    /// As [`Tracer::shutdown`], for all tracers together. [`Self::configure`] begins anew.
    pub fn shutdown(&self, timeout: Duration) -> u64 {
        self.settle(timeout, Tracer::shutdown)
    }

    fn settle(&self, timeout: Duration, wait: fn(&Tracer, Duration) -> u64) -> u64 {
        let deadline = Instant::now() + timeout.min(Duration::from_secs(86_400));
        let left =
            |tracer: &Tracer| wait(tracer, deadline.saturating_duration_since(Instant::now()));
        let tracers = self.all();
        let pending = match tracers.as_slice() {
            [tracer] => left(tracer),
            // At once: one that cannot deliver must not use up the time of the others.
            several => std::thread::scope(|scope| {
                let threads: Vec<_> = several
                    .iter()
                    .map(|tracer| scope.spawn(|| left(tracer)))
                    .collect();
                threads
                    .into_iter()
                    .filter_map(|thread| thread.join().ok())
                    .sum()
            }),
        };
        self.forget(&mut self.changes());
        pending
    }

    /// The counters of all tracers of this process together.
    pub fn stats(&self) -> Stats {
        let past = self.changes();
        let mut stats = past.clone();
        for tracer in self.all_during(&past) {
            stats.add(&tracer.stats());
        }
        stats
    }

    /// As [`Tracer::health`], of the current tracer, with the counters of all of them.
    pub fn health(&self) -> Health {
        let stats = self.stats();
        let current = self.cloned().map(|tracer| tracer.health());
        Health {
            pending: stats.pending,
            dropped: stats.dropped,
            ..current.unwrap_or_default()
        }
    }

    /// As [`Tracer::next_diagnostic`], of all tracers.
    pub fn next_diagnostic(&self) -> Option<Diagnostic> {
        self.all().iter().find_map(Tracer::next_diagnostic)
    }

    /// As [`Tracer::next_memory_trace`], of all tracers.
    pub fn next_memory_trace(&self) -> Option<String> {
        self.all().iter().find_map(Tracer::next_memory_trace)
    }
}

/// The key of an option by its name in any language.
fn key(name: &str) -> Result<&'static str> {
    OPTIONS
        .iter()
        .map(|option| option.key)
        .find(|key| *key == name || key.replace('.', "_") == name)
        .ok_or_else(|| Error::new(ErrorKind::InvalidConfig, format!("unknown option '{name}'")))
}

fn choice<'a>(chosen: &'a [(&'static str, String)], key: &str) -> Option<&'a str> {
    let (_, value) = chosen.iter().find(|(name, _)| *name == key)?;
    Some(value)
}

fn choose(chosen: &mut Vec<(&'static str, String)>, key: &'static str, value: Option<&str>) {
    chosen.retain(|(name, _)| *name != key);
    chosen.extend(value.map(|value| (key, value.to_owned())));
}
