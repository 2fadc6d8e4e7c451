//! What lies beside the information of a trace: its spans on servers that store them as a file, and its attachments.

use bytes::Bytes;
use reqwest::Method;

use super::server::Server;
use super::{Client, TraceData, TraceInfo};
use crate::error::{Error, ErrorKind, Result};
use crate::export::http::Failure;
use crate::export::mlflow::artifacts::path_of;
use crate::mlflow::keys;
use crate::uri::encode;

impl Client {
    /// The spans of a trace that are stored as a file. Fails with `NotFound` and `Damaged`.
    pub fn download_trace_data(&self, info: &TraceInfo) -> Result<TraceData> {
        self.call(async |server| download(server, info).await)
    }

    /// Stores the spans of a trace as a file, which servers that store spans themselves do not read.
    pub fn upload_trace_data(&self, info: &TraceInfo, data: &TraceData) -> Result<()> {
        self.call(async |server| upload(server, info, data).await)
    }

    /// The content of an attachment. Fails with `NotFound`.
    pub fn download_attachment(&self, info: &TraceInfo, attachment_id: &str) -> Result<Vec<u8>> {
        self.call(async |server| {
            let file = format!("attachments/{}", encode(attachment_id));
            let query = format!("&path={}", encode(attachment_id));
            Ok(fetch(server, info, &file, &query).await?)
        })
    }

    /// Stores the content of an attachment.
    pub fn upload_attachment(
        &self,
        info: &TraceInfo,
        attachment_id: &str,
        content: Vec<u8>,
    ) -> Result<()> {
        let content = Bytes::from(content);
        self.call(async |server| {
            let file = format!("attachments/{}", encode(attachment_id));
            let kind = "application/octet-stream";
            put(server, info, &file, kind, content.clone()).await
        })
    }
}

/// The path of the artifacts of a trace; `None` when they are not on the server.
fn folder(info: &TraceInfo) -> Option<String> {
    path_of(info.tag(keys::TAG_ARTIFACT_LOCATION)?, &info.trace_id)
}

/// A file of a trace, from where it lies or by way of the server, which gets at all places.
async fn fetch(
    server: &Server<'_>,
    info: &TraceInfo,
    file: &str,
    query: &str,
) -> std::result::Result<Vec<u8>, Failure> {
    if let Some(folder) = folder(info) {
        match server.bytes(&format!("{folder}/{file}")).await {
            Err(Failure::Refused { .. } | Failure::Server { .. }) => {}
            reply => return reply,
        }
    }
    let id = encode(&info.trace_id);
    let path = format!("/ajax-api/2.0/mlflow/get-trace-artifact?request_id={id}{query}");
    server.bytes(&path).await
}

pub(super) async fn download(server: &Server<'_>, info: &TraceInfo) -> Result<TraceData> {
    match fetch(server, info, "traces.json", "").await {
        Ok(body) => TraceData::from_text(&body).map_err(|error| {
            let text = format!("trace {}: {}", info.trace_id, error.message());
            Error::new(error.kind(), text)
        }),
        Err(Failure::Refused { status: 404, .. } | Failure::Server { .. }) => {
            let text = format!(
                "the spans of trace {} are missing: they were not delivered, or not yet",
                info.trace_id
            );
            Err(Error::new(ErrorKind::NotFound, text))
        }
        Err(failure) => Err(failure.into()),
    }
}

pub(super) async fn upload(server: &Server<'_>, info: &TraceInfo, data: &TraceData) -> Result<()> {
    let body = Bytes::from(data.to_json().to_string());
    put(server, info, "traces.json", "text/plain", body).await
}

async fn put(
    server: &Server<'_>,
    info: &TraceInfo,
    file: &str,
    content_type: &'static str,
    body: Bytes,
) -> Result<()> {
    let folder = folder(info).ok_or_else(|| {
        let text = format!(
            "the artifacts of trace {} are not on the server",
            info.trace_id
        );
        Error::new(ErrorKind::Unsupported, text)
    })?;
    let path = format!("{folder}/{file}");
    server.send(Method::PUT, &path, content_type, body).await?;
    Ok(())
}
