//! Experiments by name: looked up once, made when missing.

use reqwest::Method;
use serde_json::{Value, json};

use super::http::{DELETED, Failure, Http, Request};
use crate::client::Experiment;
use crate::uri;

/// The experiment of this name, made if there is none.
pub(crate) async fn by_name(
    http: &Http,
    workspace: Option<&str>,
    name: &str,
) -> Result<Experiment, Failure> {
    match find(http, workspace, name).await {
        Err(failure) if failure.is_missing("RESOURCE_DOES_NOT_EXIST") => {}
        found => return found,
    }
    let path = "/api/2.0/mlflow/experiments/create";
    let create = Request::json(Method::POST, path, &json!({"name": name})).workspace(workspace);
    match http.json(create).await {
        Ok(reply) => {
            let created = read(&reply)?;
            Ok(Experiment {
                name: name.to_owned(),
                ..created
            })
        }
        // Another process was quicker.
        Err(Failure::Refused { code, .. }) if code == "RESOURCE_ALREADY_EXISTS" => {
            find(http, workspace, name).await
        }
        Err(failure) => Err(failure),
    }
}

/// The experiment of this name.
pub(crate) async fn find(
    http: &Http,
    workspace: Option<&str>,
    name: &str,
) -> Result<Experiment, Failure> {
    let query = uri::encode(name);
    let path = format!("/api/2.0/mlflow/experiments/get-by-name?experiment_name={query}");
    active(http.json(Request::get(&path).workspace(workspace)).await?)
}

/// The experiment of this id.
pub(crate) async fn by_id(
    http: &Http,
    workspace: Option<&str>,
    id: &str,
) -> Result<Experiment, Failure> {
    let path = path_of(id);
    active(http.json(Request::get(&path).workspace(workspace)).await?)
}

/// Where artifacts of an experiment lie; empty when the server does not say.
pub(crate) async fn artifact_location(
    http: &Http,
    workspace: Option<&str>,
    id: &str,
) -> Result<String, Failure> {
    let path = path_of(id);
    let reply = http.json(Request::get(&path).workspace(workspace)).await?;
    let location = &reply["experiment"]["artifact_location"];
    Ok(location.as_str().unwrap_or_default().to_owned())
}

fn path_of(id: &str) -> String {
    format!(
        "/api/2.0/mlflow/experiments/get?experiment_id={}",
        uri::encode(id)
    )
}

fn active(reply: Value) -> Result<Experiment, Failure> {
    let experiment = read(&reply["experiment"])?;
    match experiment.is_deleted() {
        false => Ok(experiment),
        true => Err(Failure::Refused {
            status: 400,
            code: DELETED.to_owned(),
            message: format!(
                "experiment '{}' is deleted; restore it (mlflow experiments restore -x {}) or choose another",
                experiment.name, experiment.experiment_id
            ),
        }),
    }
}

/// An experiment without an id is the answer of somebody else, for instance of a proxy that wants a login.
fn read(value: &Value) -> Result<Experiment, Failure> {
    Experiment::from_json(value).ok_or_else(|| Failure::Retry {
        status: 200,
        after: None,
        message: "the reply is not that of an MLflow server".to_owned(),
    })
}
