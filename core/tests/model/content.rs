//! What a span should hold, from the calls that succeeded.

use std::collections::BTreeMap;

use mlflow_trace_core::{SpanContext, SpanId};
use serde_json::{Map, Value as Json, json};

use crate::delivery::{Checked, base64, ensure};
use crate::program::{Action, Status};
use crate::register::{Moment, Register};
use crate::run::{Answer, Call, Entry, On, big, message, name, renamed};
use crate::table::{IGNORED_KEYS, KEYS, LEVELS, NAMES, TIMES, TYPES, USAGES, VALUES};

const REQUEST_ID: &str = "mlflow.traceRequestId";
const SPAN_TYPE: &str = "mlflow.spanType";
const LOG_LEVEL: &str = "mlflow.spanLogLevel";
const ERROR_LEVEL: i64 = 40;

/// A clock that is wrong by more than this would be noticed.
const CLOCK_TOLERANCE: u64 = 3_600_000_000_000;

/// An event or a link, with the time that it was given.
#[derive(Clone, Debug)]
struct Addition {
    moment: Moment,
    time: Option<u64>,
    json: Json,
}

/// A span as the calls made it.
#[derive(Clone, Debug)]
pub(crate) struct Content {
    pub(crate) context: SpanContext,
    pub(crate) parent: Option<SpanId>,
    start: Option<u64>,
    /// How it ended, and at which given time.
    pub(crate) end: Option<(Moment, Option<u64>)>,
    pub(crate) record: Option<Json>,
    names: Register<String>,
    attributes: BTreeMap<String, Register<String>>,
    statuses: Vec<(Moment, Status, String)>,
    events: Vec<Addition>,
    links: Vec<Addition>,
    has_outputs: Register<bool>,
}

/// What every span of a program should hold, by its number.
pub(crate) type Contents = BTreeMap<usize, Content>;

/// Takes over what a call did to a span.
pub(crate) fn record(contents: &mut Contents, entry: &Entry) {
    let moment = Moment::of(entry);
    if let Some((var, content)) = started(entry, moment) {
        contents.insert(var, content);
    }
    if let Call::Act(On::Var(var), _) | Call::Link(On::Var(var), ..) = &entry.call
        && let Some(content) = contents.get_mut(var)
    {
        content.apply(entry, moment);
    }
}

fn started(entry: &Entry, moment: Moment) -> Option<(usize, Content)> {
    let Call::Start { var, start, .. } = &entry.call else {
        return None;
    };
    let Answer::Started(Some(context)) = &entry.answer else {
        return None;
    };
    let mut content = Content {
        context: context.clone(),
        parent: None,
        start: start.time.map(|index| TIMES[index].0),
        end: None,
        record: None,
        names: Register::default(),
        attributes: BTreeMap::new(),
        statuses: Vec::new(),
        events: Vec::new(),
        links: Vec::new(),
        has_outputs: Register::default(),
    };
    content.names.write(moment, name(*var));
    if let Some(index) = start.span_type {
        content.set(moment, SPAN_TYPE, json!(TYPES[index].0).to_string());
    }
    if let Some(time) = content.start {
        content.set(moment, "mlflow.spanStartTimeNs", time.to_string());
    }
    Some((*var, content))
}

impl Content {
    fn set(&mut self, moment: Moment, key: &str, text: String) {
        if !IGNORED_KEYS.contains(&key) {
            let register = self.attributes.entry(key.to_owned()).or_default();
            register.write(moment, text);
        }
    }

    /// Takes over a call that succeeded.
    fn apply(&mut self, entry: &Entry, moment: Moment) {
        match (&entry.call, &entry.answer) {
            (Call::Act(_, Action::EndWithRecord(time)), Answer::Ended(Ok(record))) => {
                self.end = Some((moment, time.map(|index| TIMES[index].0)));
                self.record = Some(record.clone().unwrap_or_default());
            }
            (Call::Link(_, trace_id, span_id, value), Answer::Done(Ok(()))) => {
                let attributes = value.map(
                    |index| json!({"serial": entry.serial, "v": native(VALUES[index].native)}),
                );
                self.links.push(Addition {
                    moment,
                    time: None,
                    json: json!({
                        "trace_id": format!("tr-{trace_id}"),
                        "span_id": span_id.to_string(),
                        "attributes": attributes,
                    }),
                });
            }
            (Call::Act(_, action), Answer::Done(Ok(()))) => {
                self.act(*action, moment, entry.serial);
            }
            _ => {}
        }
    }

    fn act(&mut self, action: Action, moment: Moment, serial: usize) {
        let text = |index: usize| VALUES[index].text.to_owned();
        match action {
            Action::Name(index) => self.names.write(moment, renamed(index, serial)),
            Action::Type(index) => {
                self.set(moment, SPAN_TYPE, json!(TYPES[index].0).to_string());
            }
            Action::Inputs(index) => self.set(moment, "mlflow.spanInputs", text(index)),
            Action::Outputs(index) => {
                self.set(moment, "mlflow.spanOutputs", text(index));
                self.has_outputs.write(moment, VALUES[index].text != "null");
            }
            Action::Attribute(key, index) => self.set(moment, KEYS[key], text(index)),
            Action::Serial(key) => self.set(moment, KEYS[key], serial.to_string()),
            Action::Level(index) => self.set(moment, LOG_LEVEL, LEVELS[index].to_string()),
            Action::Usage(index) => {
                self.set(moment, "mlflow.chat.tokenUsage", USAGES[index].to_owned());
            }
            Action::Big => self.set(moment, "big", json!(big()).to_string()),
            Action::Event {
                name,
                time,
                key,
                value,
            } => {
                let mut attributes = Map::from_iter([("serial".to_owned(), json!(serial))]);
                if !KEYS[key].is_empty() {
                    attributes.insert(KEYS[key].to_owned(), native(VALUES[value].native));
                }
                self.event(
                    moment,
                    time.map(|index| TIMES[index].0),
                    NAMES[name],
                    attributes,
                );
            }
            Action::Exception => {
                let attributes = Map::from_iter([
                    (
                        "exception.message".to_owned(),
                        json!(format!("bad {serial}")),
                    ),
                    ("exception.type".to_owned(), json!("ValueError")),
                    ("exception.stacktrace".to_owned(), json!("at line 1")),
                ]);
                self.event(moment, None, "exception", attributes);
                let message = format!("ValueError: bad {serial}");
                self.statuses.push((moment, Status::Error, message));
            }
            Action::Status(status) => self.statuses.push((moment, status, message(serial))),
            Action::End => self.end = Some((moment, None)),
            Action::EndAt(index) => self.end = Some((moment, Some(TIMES[index].0))),
            Action::Link { .. } | Action::Update(_) | Action::EndWithRecord(_) | Action::Read => {}
        }
    }

    fn event(
        &mut self,
        moment: Moment,
        time: Option<u64>,
        name: &str,
        attributes: Map<String, Json>,
    ) {
        self.events.push(Addition {
            moment,
            time,
            json: json!({"name": name, "attributes": attributes}),
        });
    }

    /// Whether outputs other than null were set, where that is settled.
    pub(crate) fn has_outputs(&self) -> bool {
        self.has_outputs.may_hold(Some(&true))
    }

    /// Compares a span that ended.
    pub(crate) fn check(&self, span: &Json) -> Checked {
        self.check_while(span, true)
            .map_err(|problem| format!("{problem}\n  in {span}"))
    }

    /// Compares a span that is still open.
    pub(crate) fn check_open(&self, span: &Json) -> Checked {
        self.check_while(span, false)
            .map_err(|problem| format!("{problem}\n  in the open span {span}"))
    }

    fn check_while(&self, span: &Json, ended: bool) -> Checked {
        let context = &self.context;
        ensure(span["trace_id"] == base64(context.trace_id.bytes()), || {
            format!("trace id, should be {}", context.trace_id)
        })?;
        ensure(span["span_id"] == base64(context.span_id.bytes()), || {
            format!("span id, should be {}", context.span_id)
        })?;
        let parent = self.parent.map(|parent| base64(parent.bytes()));
        ensure(span["parent_span_id"] == json!(parent), || {
            format!("parent, should be {parent:?}")
        })?;
        let name = span["name"].as_str().map(str::to_owned);
        ensure(self.names.may_hold(name.as_ref()), || {
            format!("name, may be {:?}", self.names.outcomes())
        })?;
        self.check_times(span, ended)?;
        self.check_status(&span["status"], ended)?;
        self.check_attributes(span, ended)?;
        self.check_additions("events", &self.events, span)?;
        self.check_additions("links", &self.links, span)
    }

    fn check_times(&self, span: &Json, ended: bool) -> Checked {
        let number = |value: &Json| value.as_u64().ok_or_else(|| format!("{value} is no time"));
        let start = number(&span["start_time_unix_nano"])?;
        let end = number(&span["end_time_unix_nano"])?;
        match self.start {
            Some(given) => ensure(start == given, || format!("start, should be {given}"))?,
            None => {
                let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
                let now = now.map_or(0, |since| since.as_nanos() as u64);
                ensure(start.abs_diff(now) < CLOCK_TOLERANCE, || "start".to_owned())?;
            }
        }
        if !ended {
            return ensure(end == 0, || "end, should be 0".to_owned());
        }
        ensure(start <= end, || "end before start".to_owned())?;
        match self.end {
            Some((_, Some(given))) => {
                let expected = given.max(start);
                ensure(end == expected, || format!("end, should be {expected}"))?;
            }
            _ => ensure(end - start < CLOCK_TOLERANCE, || "duration".to_owned())?,
        }
        for (event, expected) in items(&span["events"]).zip(self.sorted(&self.events)) {
            let time = number(&event["time_unix_nano"])?;
            let fits = match expected.time {
                Some(given) => time == given,
                None => start <= time && (time <= end || !self.precedes_end(expected)),
            };
            ensure(fits || self.is_shuffled(), || format!("time of {event}"))?;
        }
        Ok(())
    }

    /// Whether something was certainly added before the end, and the end has no time of its own.
    fn precedes_end(&self, addition: &Addition) -> bool {
        self.end.is_some_and(|(moment, given)| {
            let earlier = addition.moment.phase < moment.phase;
            given.is_none() && (earlier || addition.moment.thread == moment.thread)
        })
    }

    /// Whether several threads added something, so that its order is open.
    fn is_shuffled(&self) -> bool {
        self.events.iter().any(|event| event.moment.thread > 0)
    }

    fn sorted<'a>(&self, additions: &'a [Addition]) -> impl Iterator<Item = &'a Addition> {
        let mut sorted: Vec<_> = additions.iter().collect();
        sorted.sort_by_key(|addition| addition.moment.phase);
        sorted.into_iter()
    }

    fn check_status(&self, status: &Json, ended: bool) -> Checked {
        let real = || {
            let real = |(_, status, _): &&(Moment, Status, String)| *status != Status::Unset;
            self.statuses.iter().filter(real)
        };
        let mut failures = Register::default();
        for (moment, _, message) in real() {
            failures.write(*moment, message.clone());
        }
        let outcomes = failures.outcomes();
        // OK is final, whenever it came.
        let is_ok = real().any(|(_, status, _)| *status == Status::Ok);
        let code = match outcomes.as_slice() {
            _ if is_ok => "STATUS_CODE_OK",
            [None] if ended => "STATUS_CODE_OK",
            [None] => "STATUS_CODE_UNSET",
            _ => "STATUS_CODE_ERROR",
        };
        ensure(status["code"] == code, || {
            format!("status, should be {code}")
        })?;
        let message = status["message"].as_str().map(str::to_owned);
        let fits = match code {
            "STATUS_CODE_ERROR" => failures.may_hold(message.as_ref()),
            _ => message.as_deref() == Some(""),
        };
        ensure(fits, || {
            format!("message of the status, may be {outcomes:?}")
        })
    }

    fn check_attributes(&self, span: &Json, ended: bool) -> Checked {
        let none = Map::new();
        let attributes = span["attributes"].as_object().unwrap_or(&none);
        let request_id = format!("\"tr-{}\"", self.context.trace_id);
        for (key, value) in attributes {
            let text = value.as_str().map(str::to_owned);
            let register = self.attributes.get(key).cloned().unwrap_or_default();
            let fits = match key.as_str() {
                REQUEST_ID => text.as_ref() == Some(&request_id),
                SPAN_TYPE if !self.attributes.contains_key(key) => {
                    text.as_deref() == Some("\"UNKNOWN\"")
                }
                LOG_LEVEL if ended => self.is_level(text.as_deref(), &attributes[SPAN_TYPE]),
                _ => register.may_hold(text.as_ref()),
            };
            ensure(fits, || {
                format!("attribute {key}, may be {:?}", register.outcomes())
            })?;
        }
        let standard = [REQUEST_ID, SPAN_TYPE];
        let level = ended.then_some(LOG_LEVEL);
        let expected = self.attributes.keys().map(String::as_str);
        for key in expected.chain(standard).chain(level) {
            ensure(attributes.contains_key(key), || {
                format!("no attribute {key}")
            })?;
        }
        Ok(())
    }

    /// Whether the log level is what was set or what follows from the type, raised by an exception.
    fn is_level(&self, text: Option<&str>, span_type: &Json) -> bool {
        let of_type = TYPES
            .iter()
            .find(|(name, _)| span_type.as_str() == Some(&json!(name).to_string()))
            .map_or(10, |(_, level)| *level);
        let failed = self
            .events
            .iter()
            .any(|event| event.json["name"] == "exception");
        let register = self.attributes.get(LOG_LEVEL).cloned().unwrap_or_default();
        register.outcomes().iter().any(|set| {
            let set = set.as_ref().and_then(|text| text.parse::<i64>().ok());
            let level = set.unwrap_or(of_type);
            let level = if failed {
                level.max(ERROR_LEVEL)
            } else {
                level
            };
            text == Some(level.to_string().as_str())
        })
    }

    /// Everything that was added must be there, what one thread added in its order.
    fn check_additions(&self, field: &str, expected: &[Addition], span: &Json) -> Checked {
        let mut found: Vec<(Json, bool)> = items(&span[field])
            .map(|item| {
                let mut item = item.clone();
                if let Some(members) = item.as_object_mut() {
                    members.remove("time_unix_nano");
                }
                (item, false)
            })
            .collect();
        ensure(found.len() == expected.len(), || {
            format!("{} {field}, should be {}", found.len(), expected.len())
        })?;
        let mut threads: BTreeMap<(usize, usize), usize> = BTreeMap::new();
        for addition in self.sorted(expected) {
            let Moment { phase, thread } = addition.moment;
            // Links without attributes cannot be told apart.
            let is_plain = field == "links" && addition.json["attributes"].is_null();
            // Behind what the thread, and all of the phases before, added earlier.
            let earlier = threads
                .iter()
                .filter(|((p, t), _)| *p < phase || *t == thread);
            let after = match is_plain {
                true => 0,
                false => earlier.map(|(_, at)| *at).max().unwrap_or(0),
            };
            let at = (after..found.len())
                .find(|at| !found[*at].1 && found[*at].0 == addition.json)
                .ok_or_else(|| format!("{field}: {} is missing or misplaced", addition.json))?;
            found[at].1 = true;
            if !is_plain {
                threads.insert((phase, thread), at + 1);
            }
        }
        Ok(())
    }
}

fn items(list: &Json) -> impl Iterator<Item = &Json> {
    list.as_array().into_iter().flatten()
}

/// JSON of an event's attribute.
fn native(text: &str) -> Json {
    serde_json::from_str(text).unwrap()
}
