//! Experiments: the groups that traces belong to.

use reqwest::Method;
use serde_json::{Value, json};

use super::search::{self, Page};
use super::server::bad_reply;
use super::{Client, Experiment};
use crate::error::{ErrorKind, Result};
use crate::export::experiments;
use crate::uri::encode;

/// Which experiments a search is about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ViewType {
    /// Those that were not deleted.
    #[default]
    ActiveOnly,
    /// Those that were deleted.
    DeletedOnly,
    /// Both.
    All,
}

impl ViewType {
    fn name(self) -> &'static str {
        match self {
            ViewType::ActiveOnly => "ACTIVE_ONLY",
            ViewType::DeletedOnly => "DELETED_ONLY",
            ViewType::All => "ALL",
        }
    }
}

/// A search for experiments.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExperimentSearch {
    /// Whether deleted ones are meant.
    pub view_type: ViewType,
    /// MLflow's filter, for instance `name LIKE 'a%'`; empty for all.
    pub filter: String,
    /// For instance `name ASC`.
    pub order_by: Vec<String>,
    /// At most so many on a page; 1000 where it is `None`.
    pub max_results: Option<usize>,
    /// Of the page before.
    pub page_token: Option<String>,
}

const API: &str = "/api/2.0/mlflow/experiments";

impl Client {
    /// The experiment of this name, made if there is none.
    ///
    /// Fails with `Transport` when the server cannot be reached and `Deleted` when the experiment is deleted.
    pub fn set_experiment(&self, name: &str) -> Result<Experiment> {
        self.call(async |server| {
            let (http, workspace) = (server.http(), server.workspace());
            let found = experiments::by_name(http, workspace, name).await?;
            match found.lifecycle_stage {
                Some(_) => Ok(found),
                // Just made: the reply has nothing but its id.
                None => Ok(experiments::by_id(http, workspace, &found.experiment_id).await?),
            }
        })
    }

    /// Makes an experiment and returns its id. Fails with `Rejected` where there is one of this name.
    pub fn create_experiment(
        &self,
        name: &str,
        artifact_location: Option<&str>,
        tags: &[(String, String)],
    ) -> Result<String> {
        self.call(async |server| {
            let tags = tags.iter();
            let tags = tags.map(|(key, value)| json!({"key": key, "value": value}));
            let mut body = json!({"name": name, "tags": tags.collect::<Value>()});
            if let Some(location) = artifact_location {
                body["artifact_location"] = location.into();
            }
            let path = format!("{API}/create");
            let reply = server.json(Method::POST, &path, &body).await?;
            let id = reply["experiment_id"].as_str();
            let id = id.ok_or_else(|| bad_reply("the reply has no experiment"))?;
            Ok(id.to_owned())
        })
    }

    /// The experiment of this id. Fails with `NotFound` if there is none and `Deleted` if it is deleted.
    pub fn get_experiment(&self, id: &str) -> Result<Experiment> {
        self.call(async |server| {
            Ok(experiments::by_id(server.http(), server.workspace(), id).await?)
        })
    }

    /// The experiment of this id, deleted or not. Fails with `NotFound` if there is none.
    pub fn find_experiment(&self, id: &str) -> Result<Experiment> {
        let path = format!("{API}/get?experiment_id={}", encode(id));
        self.call(async |server| read(&server.get(&path).await?["experiment"]))
    }

    /// The experiment of this name, deleted or not; `None` if there is none.
    pub fn find_experiment_by_name(&self, name: &str) -> Result<Option<Experiment>> {
        let path = format!("{API}/get-by-name?experiment_name={}", encode(name));
        let found = self.call(async |server| read(&server.get(&path).await?["experiment"]));
        match found {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            found => found.map(Some),
        }
    }

    /// A page of the experiments that match. Fails with `InvalidFilter`.
    pub fn search_experiments(&self, search: &ExperimentSearch) -> Result<Page<Experiment>> {
        self.call(async |server| {
            let mut body = json!({
                "max_results": search.max_results.unwrap_or(1000),
                "view_type": search.view_type.name(),
            });
            if !search.filter.is_empty() {
                body["filter"] = search.filter.as_str().into();
            }
            if !search.order_by.is_empty() {
                body["order_by"] = search.order_by.clone().into();
            }
            if let Some(token) = &search.page_token {
                body["page_token"] = token.as_str().into();
            }
            let path = format!("{API}/search");
            let reply = server.json(Method::POST, &path, &body).await;
            search::page(&reply.map_err(search::refused)?, "experiments", read)
        })
    }

    /// Marks an experiment, and its traces, as deleted. Fails with `NotFound`.
    pub fn delete_experiment(&self, id: &str) -> Result<()> {
        self.call(async |server| {
            let body = json!({"experiment_id": id});
            server
                .json(Method::POST, &format!("{API}/delete"), &body)
                .await?;
            Ok(())
        })
    }
}

fn read(value: &Value) -> Result<Experiment> {
    let found = Experiment::from_json(value);
    Ok(found.ok_or_else(|| bad_reply("the reply has no experiment"))?)
}
