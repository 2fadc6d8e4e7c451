//! Where traces are read.

use mlflow_trace_core::client::{Trace, TraceSearch, Traces};
use mlflow_trace_core::{Client, Config};

use crate::Failure;
use crate::arguments::Common;

/// The experiment of a server in which traces land that name none.
const DEFAULT_EXPERIMENT: &str = "0";
/// What servers allow on a page.
const PAGE: usize = 500;

pub(crate) struct Store {
    config: Config,
    client: Client,
    experiments: Vec<String>,
}

impl Store {
    pub(crate) fn new(common: &Common) -> Result<Self, Failure> {
        let mut config = Config::from_env()?;
        for option in &common.options {
            let (key, value) = option.split_once('=').ok_or_else(|| {
                Failure::Usage(format!("--set takes OPTION=VALUE, and not '{option}'"))
            })?;
            config.set(key, value)?;
        }
        if let Some(uri) = &common.tracking_uri {
            config.set("tracking_uri", uri)?;
        }
        if let Some(directory) = &common.directory {
            read_files(&mut config, directory)?;
        }
        Ok(Store {
            client: Client::new(&config),
            config,
            experiments: common.experiment.clone(),
        })
    }

    /// The same, reading the files of a directory.
    pub(crate) fn of_files(&self, directory: &str) -> Result<Self, Failure> {
        let mut config = self.config.clone();
        read_files(&mut config, directory)?;
        Ok(Store {
            client: Client::new(&config),
            config,
            experiments: self.experiments.clone(),
        })
    }

    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    pub(crate) fn config(&self) -> &Config {
        &self.config
    }

    /// Fails where there is no server, which a command needs.
    pub(crate) fn needs_server(&self) -> Result<(), Failure> {
        match self.client.server() {
            Some(_) => Ok(()),
            None => Err(Failure::Usage(
                "this needs a tracking server: set MLFLOW_TRACKING_URI, or give --tracking-uri"
                    .to_owned(),
            )),
        }
    }

    /// The id of the one experiment that traces are sent to; one that is named and missing is made.
    pub(crate) fn destination(&self) -> Result<String, Failure> {
        let made = |name: &str| Ok(self.client.set_experiment(name)?.experiment_id);
        match &self.experiments[..] {
            [] => {}
            [name] if is_id(name) && self.client.find_experiment_by_name(name)?.is_none() => {
                return Ok(self.client.get_experiment(name)?.experiment_id);
            }
            [name] => return made(name),
            _ => {
                let message = "traces are sent to one experiment: give --experiment once";
                return Err(Failure::Usage(message.to_owned()));
            }
        }
        match (
            self.configured("experiment_id"),
            self.configured("experiment_name"),
        ) {
            (Some(id), _) => Ok(id.to_owned()),
            (None, Some(name)) => made(name),
            (None, None) => Ok(DEFAULT_EXPERIMENT.to_owned()),
        }
    }

    fn configured(&self, key: &str) -> Option<&str> {
        self.config.get(key).ok().filter(|value| !value.is_empty())
    }

    pub(crate) fn trace(&self, id: &str) -> Result<Trace, Failure> {
        Ok(self.client.get_trace(id)?)
    }

    /// The traces that match, page by page; `limit` is how many will be asked for, 0 if all.
    pub(crate) fn search(
        &self,
        filter: &str,
        order_by: &[String],
        limit: usize,
        with_spans: bool,
    ) -> Result<impl Iterator<Item = mlflow_trace_core::Result<Trace>>, Failure> {
        let found: Traces = self.client.traces(TraceSearch {
            locations: self.locations()?,
            filter: filter.to_owned(),
            order_by: order_by.to_vec(),
            max_results: Some(if limit == 0 { PAGE } else { limit.min(PAGE) }),
            include_spans: with_spans,
            ..TraceSearch::default()
        });
        Ok(found.take(if limit == 0 { usize::MAX } else { limit }))
    }

    /// Ids of the experiments in question; none in files where all are.
    fn locations(&self) -> Result<Vec<String>, Failure> {
        if !self.experiments.is_empty() {
            return self.experiments.iter().map(|name| self.id(name)).collect();
        }
        if self.client.directory().is_some() {
            return Ok(Vec::new());
        }
        if let Some(id) = self.configured("experiment_id") {
            return Ok(vec![id.to_owned()]);
        }
        let name = self.configured("experiment_name").map(|name| self.id(name));
        Ok(vec![
            name.transpose()?
                .unwrap_or_else(|| DEFAULT_EXPERIMENT.to_owned()),
        ])
    }

    /// The id of an experiment: a number is one, unless an experiment has it for its name.
    fn id(&self, name: &str) -> Result<String, Failure> {
        let is_number = is_id(name);
        if self.client.directory().is_some() {
            return match is_number {
                true => Ok(name.to_owned()),
                false => Err(Failure::Usage(format!(
                    "files know experiments by id, and '{name}' is none"
                ))),
            };
        }
        match self.client.find_experiment_by_name(name)? {
            Some(found) => Ok(found.experiment_id),
            None if is_number => Ok(name.to_owned()),
            None => Err(mlflow_trace_core::Error::new(
                mlflow_trace_core::ErrorKind::NotFound,
                format!("there is no experiment '{name}'"),
            )
            .into()),
        }
    }
}

fn is_id(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Has a client read files, whatever server is configured.
fn read_files(config: &mut Config, directory: &str) -> Result<(), Failure> {
    config.set("tracking_uri", "")?;
    Ok(config.set("file.directory", directory)?)
}
