//! Searches, page by page or as one lazy sequence.

use std::collections::VecDeque;

use reqwest::Method;
use serde_json::{Value, json};

use super::server::Server;
use super::{Client, Store, Trace, TraceData, TraceInfo, traces};
use crate::error::{Error, ErrorKind, Result};
use crate::export::http::Failure;

/// What servers allow on a page.
const LARGEST_PAGE: usize = 500;
/// MLflow's default.
const PAGE: usize = 100;

/// A search for traces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceSearch {
    /// Ids of experiments. In files, all where there are none.
    pub locations: Vec<String>,
    /// MLflow's filter, for instance `status = 'ERROR' AND tags.env = 'prod'`; empty for all. Files know the part of
    /// its grammar that `docs/reading.md` lists.
    pub filter: String,
    /// For instance `timestamp DESC`, which is the default.
    pub order_by: Vec<String>,
    /// At most so many on a page, and at most 500; 100 where it is `None`.
    pub max_results: Option<usize>,
    /// Of the page before.
    pub page_token: Option<String>,
    /// Whether the traces come with their spans, or with their information alone.
    pub include_spans: bool,
    /// Only traces of this run.
    pub run_id: Option<String>,
    /// Only traces of this logged model.
    pub model_id: Option<String>,
}

impl Default for TraceSearch {
    fn default() -> Self {
        TraceSearch {
            locations: Vec::new(),
            filter: String::new(),
            order_by: Vec::new(),
            max_results: None,
            page_token: None,
            include_spans: true,
            run_id: None,
            model_id: None,
        }
    }
}

impl TraceSearch {
    /// The filter with those of run and model.
    fn whole_filter(&self) -> Result<String> {
        let mut parts = vec![self.filter.trim().to_owned()];
        if let Some(model) = &self.model_id {
            if !self.filter.is_empty() {
                return Err(invalid(
                    "Cannot specify both `model_id` or `filter_string` in the search_traces call.",
                ));
            }
            parts.push(format!("request_metadata.`mlflow.modelId` = '{model}'"));
        }
        if let Some(run) = &self.run_id {
            parts.push(format!("attribute.run_id = '{run}'"));
        }
        parts.retain(|part| !part.is_empty());
        Ok(parts.join(" AND "))
    }

    fn size(&self) -> usize {
        self.max_results.unwrap_or(PAGE).min(LARGEST_PAGE)
    }
}

/// A page of what a search found.
#[derive(Clone, Debug, PartialEq)]
pub struct Page<T> {
    /// What was found.
    pub items: Vec<T>,
    /// For the next page; `None` on the last.
    pub next_page_token: Option<String>,
    /// Ids of traces that were found and whose spans cannot be read, perhaps not yet; in files, lines that cannot be
    /// read. They are not among the items.
    pub unreadable: Vec<String>,
}

impl Client {
    /// A page of the traces that match.
    ///
    /// Fails with `InvalidFilter`, in the server's words, and `NotFound` for an unknown experiment.
    pub fn search_traces(&self, search: &TraceSearch) -> Result<Page<Trace>> {
        let filter = search.whole_filter()?;
        if let Store::Files(directory) = self.store() {
            return super::files::search(directory, search, &filter, search.size());
        }
        self.call(async |server| {
            let found = infos(server, search, &filter).await?;
            let (items, unreadable) = match search.include_spans {
                true => traces::load_all(server, found.items).await?,
                false => {
                    let infos = found.items.into_iter();
                    let data = TraceData::default;
                    let bare = infos.map(|info| Trace { info, data: data() });
                    (bare.collect(), Vec::new())
                }
            };
            Ok(Page {
                items,
                next_page_token: found.next_page_token,
                unreadable,
            })
        })
    }

    /// All traces that match, asked for page by page as they are needed.
    pub fn traces(&self, search: TraceSearch) -> Traces {
        Traces {
            client: self.clone(),
            search,
            waiting: VecDeque::new(),
            done: false,
        }
    }
}

/// The traces of a search, one after the other. Ends after the first error.
#[derive(Clone, Debug)]
pub struct Traces {
    client: Client,
    search: TraceSearch,
    waiting: VecDeque<Trace>,
    done: bool,
}

impl Iterator for Traces {
    type Item = Result<Trace>;

    fn next(&mut self) -> Option<Result<Trace>> {
        while self.waiting.is_empty() && !self.done {
            match self.client.search_traces(&self.search) {
                Ok(page) => {
                    self.waiting.extend(page.items);
                    self.done = page.next_page_token.is_none();
                    self.search.page_token = page.next_page_token;
                }
                Err(error) => {
                    self.done = true;
                    return Some(Err(error));
                }
            }
        }
        self.waiting.pop_front().map(Ok)
    }
}

async fn infos(server: &Server<'_>, search: &TraceSearch, filter: &str) -> Result<Page<TraceInfo>> {
    if search.locations.is_empty() {
        return Err(invalid("a search on a server needs an experiment"));
    }
    let locations = search.locations.iter();
    let locations = locations.map(|id| super::TraceLocation::experiment(id).to_json());
    let mut body = json!({
        "locations": locations.collect::<Value>(),
        "max_results": search.size(),
    });
    if !filter.is_empty() {
        body["filter"] = filter.into();
    }
    if !search.order_by.is_empty() {
        body["order_by"] = search.order_by.clone().into();
    }
    if let Some(token) = &search.page_token {
        body["page_token"] = token.as_str().into();
    }
    let path = "/api/3.0/mlflow/traces/search";
    let reply = server.json(Method::POST, path, &body).await;
    page(&reply.map_err(refused)?, "traces", TraceInfo::from_json)
}

/// Reads a page of a reply.
pub(super) fn page<T>(
    reply: &Value,
    member: &str,
    read: impl Fn(&Value) -> Result<T>,
) -> Result<Page<T>> {
    let items = reply[member].as_array().map_or(&[][..], Vec::as_slice);
    let token = reply["next_page_token"].as_str();
    Ok(Page {
        items: items.iter().map(read).collect::<Result<_>>()?,
        next_page_token: token.filter(|token| !token.is_empty()).map(str::to_owned),
        unreadable: Vec::new(),
    })
}

/// What a refused search means.
pub(super) fn refused(failure: Failure) -> Error {
    match &failure {
        Failure::Refused {
            status: 400,
            code,
            message,
        } => invalid(message.as_str()).replied(400, code),
        _ => failure.into(),
    }
}

/// A search that is not understood.
pub(super) fn invalid(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidFilter, message)
}
