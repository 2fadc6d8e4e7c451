//! Reserved names of span attributes, trace metadata and trace tags (MLflow 3.17.2).

/// What MLflow's own attributes begin with.
pub(crate) const RESERVED: &str = "mlflow.";
pub(crate) const TRACE_REQUEST_ID: &str = "mlflow.traceRequestId";
pub(crate) const SPAN_TYPE: &str = "mlflow.spanType";
pub(crate) const SPAN_INPUTS: &str = "mlflow.spanInputs";
pub(crate) const SPAN_OUTPUTS: &str = "mlflow.spanOutputs";
pub(crate) const SPAN_LOG_LEVEL: &str = "mlflow.spanLogLevel";
pub(crate) const SPAN_START_TIME_NS: &str = "mlflow.spanStartTimeNs";
pub(crate) const CHAT_TOKEN_USAGE: &str = "mlflow.chat.tokenUsage";

pub(crate) const EVENT_EXCEPTION: &str = "exception";
pub(crate) const EXCEPTION_MESSAGE: &str = "exception.message";
pub(crate) const EXCEPTION_TYPE: &str = "exception.type";
pub(crate) const EXCEPTION_STACKTRACE: &str = "exception.stacktrace";

pub(crate) const META_SCHEMA_VERSION: &str = "mlflow.trace_schema.version";
pub(crate) const META_INPUTS: &str = "mlflow.traceInputs";
pub(crate) const META_OUTPUTS: &str = "mlflow.traceOutputs";
pub(crate) const META_TOKEN_USAGE: &str = "mlflow.trace.tokenUsage";
pub(crate) const META_SIZE_BYTES: &str = "mlflow.trace.sizeBytes";
pub(crate) const META_SIZE_STATS: &str = "mlflow.trace.sizeStats";
pub(crate) const META_SESSION: &str = "mlflow.trace.session";
pub(crate) const META_TRACE_USER: &str = "mlflow.trace.user";
pub(crate) const META_MODEL_ID: &str = "mlflow.modelId";
pub(crate) const META_USER: &str = "mlflow.user";
pub(crate) const META_SOURCE_NAME: &str = "mlflow.source.name";
pub(crate) const META_GIT_COMMIT: &str = "mlflow.source.git.commit";
pub(crate) const META_GIT_BRANCH: &str = "mlflow.source.git.branch";
pub(crate) const META_GIT_REPO_URL: &str = "mlflow.source.git.repoURL";
pub(crate) const META_SOURCE_TYPE: &str = "mlflow.source.type";

/// What the name of a tag begins with where a root span carries it to a server (3.13 and later).
pub(crate) const TRACE_TAG: &str = "mlflow.traceTag.";
/// OpenTelemetry's names, which servers read from any span (3.10 and later).
pub(crate) const SESSION_ID: &str = "session.id";
pub(crate) const USER_ID: &str = "user.id";

pub(crate) const TAG_TRACE_NAME: &str = "mlflow.traceName";
pub(crate) const TAG_SPANS_LOCATION: &str = "mlflow.trace.spansLocation";
pub(crate) const TAG_ARTIFACT_LOCATION: &str = "mlflow.artifactLocation";

/// Set by servers (3.12 and later) when they have stored the information of a trace.
pub(crate) const META_INFO_FINALIZED: &str = "mlflow.trace.infoFinalized";

/// Written by the file exporter on the scope of each trace; holds the TraceInfo V3 as JSON text.
pub(crate) const SCOPE_TRACE_INFO: &str = "mlflow.traceInfo";
