//! Where a trace is stored.

use serde_json::{Value, json};

use super::member::{damaged, optional, text};
use crate::error::Result;

/// Where a trace is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TraceLocation {
    /// An experiment of an MLflow server.
    Experiment {
        /// Its id.
        experiment_id: String,
    },
    /// A table of Databricks.
    InferenceTable {
        /// Its full name.
        full_table_name: String,
    },
    /// A schema of Databricks Unity Catalog.
    UcSchema {
        /// The catalog.
        catalog_name: String,
        /// The schema.
        schema_name: String,
    },
    /// Tables of one prefix in a schema of Databricks Unity Catalog.
    UcTablePrefix {
        /// The catalog.
        catalog_name: String,
        /// The schema.
        schema_name: String,
        /// What the names of the tables begin with.
        table_prefix: String,
    },
    /// None that this version knows.
    Unspecified,
}

impl TraceLocation {
    /// An experiment of an MLflow server.
    pub fn experiment(id: impl Into<String>) -> Self {
        TraceLocation::Experiment {
            experiment_id: id.into(),
        }
    }

    /// The experiment, where it is one.
    pub fn experiment_id(&self) -> Option<&str> {
        match self {
            TraceLocation::Experiment { experiment_id } => Some(experiment_id),
            _ => None,
        }
    }

    /// MLflow's JSON.
    pub fn to_json(&self) -> Value {
        match self {
            TraceLocation::Experiment { experiment_id } => json!({
                "type": "MLFLOW_EXPERIMENT",
                "mlflow_experiment": {"experiment_id": experiment_id},
            }),
            TraceLocation::InferenceTable { full_table_name } => json!({
                "type": "INFERENCE_TABLE",
                "inference_table": {"full_table_name": full_table_name},
            }),
            TraceLocation::UcSchema {
                catalog_name,
                schema_name,
            } => json!({
                "type": "UC_SCHEMA",
                "uc_schema": {"catalog_name": catalog_name, "schema_name": schema_name},
            }),
            TraceLocation::UcTablePrefix {
                catalog_name,
                schema_name,
                table_prefix,
            } => json!({
                "type": "UC_TABLE_PREFIX",
                "uc_table_prefix": {
                    "catalog_name": catalog_name,
                    "schema_name": schema_name,
                    "table_prefix": table_prefix,
                },
            }),
            TraceLocation::Unspecified => json!({"type": "TRACE_LOCATION_TYPE_UNSPECIFIED"}),
        }
    }

    /// Reads [`Self::to_json`]. Fails with `Damaged`.
    pub fn from_json(value: &Value) -> Result<Self> {
        let kind = optional(value, "type").unwrap_or_default();
        Ok(match kind.as_str() {
            "MLFLOW_EXPERIMENT" => {
                TraceLocation::experiment(text(&value["mlflow_experiment"], "experiment_id")?)
            }
            "INFERENCE_TABLE" => TraceLocation::InferenceTable {
                full_table_name: text(&value["inference_table"], "full_table_name")?,
            },
            "UC_SCHEMA" => TraceLocation::UcSchema {
                catalog_name: text(&value["uc_schema"], "catalog_name")?,
                schema_name: text(&value["uc_schema"], "schema_name")?,
            },
            "UC_TABLE_PREFIX" => TraceLocation::UcTablePrefix {
                catalog_name: text(&value["uc_table_prefix"], "catalog_name")?,
                schema_name: text(&value["uc_table_prefix"], "schema_name")?,
                table_prefix: optional(&value["uc_table_prefix"], "table_prefix")
                    .unwrap_or_default(),
            },
            "" | "TRACE_LOCATION_TYPE_UNSPECIFIED" => TraceLocation::Unspecified,
            other => return Err(damaged(format!("'{other}' is no type of a trace location"))),
        })
    }
}
