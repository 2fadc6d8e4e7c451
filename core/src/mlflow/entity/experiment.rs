//! The group that traces belong to.

use serde_json::{Map, Value};

use super::member::{filled, number, object, optional, pairs, put};

/// An MLflow experiment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Experiment {
    /// Its id, decimal.
    pub experiment_id: String,
    /// Its name.
    pub name: String,
    /// Where its artifacts lie.
    pub artifact_location: Option<String>,
    /// `active` or `deleted`.
    pub lifecycle_stage: Option<String>,
    /// Its tags.
    pub tags: Vec<(String, String)>,
    /// In milliseconds since the Unix epoch.
    pub creation_time: Option<u64>,
    /// In milliseconds since the Unix epoch.
    pub last_update_time: Option<u64>,
    /// The workspace that it is in, on servers that have them.
    pub workspace: Option<String>,
}

impl Experiment {
    /// Whether it was deleted, and takes no traces until it is restored.
    pub fn is_deleted(&self) -> bool {
        self.lifecycle_stage.as_deref() == Some("deleted")
    }

    /// MLflow's JSON, with the tags as an object.
    pub fn to_json(&self) -> Value {
        let mut json = Map::new();
        put(&mut json, "experiment_id", self.experiment_id.as_str());
        put(&mut json, "name", self.name.as_str());
        put(
            &mut json,
            "artifact_location",
            self.artifact_location.clone(),
        );
        put(&mut json, "lifecycle_stage", self.lifecycle_stage.clone());
        put(&mut json, "tags", object(&self.tags));
        put(&mut json, "creation_time", self.creation_time);
        put(&mut json, "last_update_time", self.last_update_time);
        put(&mut json, "workspace", self.workspace.clone());
        Value::Object(json)
    }

    /// Reads a server's JSON. `None` without an id: then it is somebody else's, for instance a proxy's.
    pub fn from_json(value: &Value) -> Option<Self> {
        Some(Experiment {
            experiment_id: filled(value, "experiment_id")?,
            name: optional(value, "name").unwrap_or_default(),
            artifact_location: optional(value, "artifact_location"),
            lifecycle_stage: optional(value, "lifecycle_stage"),
            tags: pairs(value, "tags"),
            creation_time: value.get("creation_time").and_then(number),
            last_update_time: value.get("last_update_time").and_then(number),
            workspace: optional(value, "workspace"),
        })
    }
}
