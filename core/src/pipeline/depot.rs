//! The spool of a tracer: what ended is on disk before it is queued, and goes from there when it is settled.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::mem;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{SystemTime, UNIX_EPOCH};

use tokio::sync::Notify;

use super::stats::{Counters, Drop};
use crate::config::Config;
use crate::destination::{Destination, Experiment};
use crate::finished::Finished;
use crate::lock::Mutex;
use crate::record::{self, Origin};
use crate::spool::{Entry, Fingerprint, Kind, PART, Record, Refused, Spool, SpoolOptions, Ticket};
use crate::spool::{Maintained, default_directory};

/// A record of the spool that a trace in memory stands for. Parts of a trace that was taken apart share it.
pub(crate) struct Receipt {
    ticket: Ticket,
    depot: Arc<Depot>,
}

impl fmt::Debug for Receipt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.ticket.fmt(f)
    }
}

impl Receipt {
    /// Has the records acknowledged that nobody else stands for.
    pub(crate) fn settle(receipts: &mut Vec<Arc<Receipt>>) {
        for receipt in mem::take(receipts) {
            if let Some(Receipt { ticket, depot }) = Arc::into_inner(receipt) {
                depot.settled.lock().push(ticket);
            }
        }
    }

    fn is_on_disk(&self) -> bool {
        !self.depot.gone.lock().contains(&self.ticket)
    }
}

/// What is made of the configuration when it is first needed: not before, since that reads and writes files.
struct Store {
    spool: Spool,
    /// The fields of this process in each record.
    origin: Vec<u8>,
}

pub(crate) struct Depot {
    config: Config,
    resource: Vec<u8>,
    store: OnceLock<Result<Store, String>>,
    /// Destinations of this tracer.
    known: Mutex<Vec<(&'static Destination, Fingerprint)>>,
    /// Processes of which records were adopted.
    origins: Mutex<Vec<Arc<Origin>>>,
    /// What is to be acknowledged.
    settled: Mutex<Vec<Ticket>>,
    /// Records that the disk may have lost; their traces are in memory.
    gone: Mutex<HashSet<Ticket>>,
    /// Records for whose traces there was no room in memory, and their spans.
    left: Mutex<HashMap<Ticket, u32>>,
    /// Spans that are on disk alone.
    spooled: AtomicU64,
    /// The last record was refused.
    refusing: AtomicBool,
    /// Something was appended since the disk was last looked after.
    dirty: AtomicBool,
    /// Wakes who looks after the disk.
    pub(super) appended: Notify,
    /// Wakes who reads records: something was acknowledged, or left to the disk.
    pub(super) acknowledged: Notify,
    /// What became of the spans of others, apart from our own.
    pub(crate) recovered: Counters,
    /// Spans that were adopted.
    adopted: AtomicU64,
    /// Spans that were adopted and had to make room for others.
    returned: AtomicU64,
    /// Spans that were adopted and are kept for the rest of their trace.
    pub(crate) held: AtomicU64,
}

impl Depot {
    /// `None` where the configuration asks for none, or sends traces where a spool is of no use.
    pub(crate) fn new(config: &Config, resource: &[u8]) -> Option<Arc<Self>> {
        let is_of_use = config.spools() && matches!(config.exporter(), "mlflow" | "otlp");
        is_of_use.then(|| {
            Arc::new(Depot {
                config: config.clone(),
                resource: resource.to_vec(),
                store: OnceLock::new(),
                known: Mutex::default(),
                origins: Mutex::default(),
                settled: Mutex::default(),
                gone: Mutex::default(),
                left: Mutex::default(),
                spooled: AtomicU64::new(0),
                refusing: AtomicBool::new(false),
                dirty: AtomicBool::new(false),
                appended: Notify::new(),
                acknowledged: Notify::new(),
                recovered: Counters::default(),
                adopted: AtomicU64::new(0),
                returned: AtomicU64::new(0),
                held: AtomicU64::new(0),
            })
        })
    }

    /// Opens the spool, unless that was done. The error is the text for people.
    pub(super) fn open(&self) -> Result<&Spool, &str> {
        match self.store() {
            Ok(store) => Ok(&store.spool),
            Err(why) => Err(why),
        }
    }

    fn store(&self) -> &Result<Store, String> {
        self.store.get_or_init(|| {
            let directory = self.config.path("spool.dir").or_else(default_directory);
            let directory = directory.ok_or("option 'spool.dir': there is no home directory")?;
            let mut options = SpoolOptions::new(directory);
            options.max_bytes = self.config.number("spool.max_bytes");
            let spool = Spool::open(options).map_err(|error| error.message().to_owned())?;
            Ok(Store {
                spool,
                origin: Origin::of_process(&self.resource, &self.config).encode(),
            })
        })
    }

    fn spool(&self) -> Option<&Spool> {
        self.open().ok()
    }

    /// Appends a trace, on the thread that ended it. Where that fails, it is in memory alone, as without a spool.
    pub(crate) fn append(self: &Arc<Self>, trace: &mut Finished) {
        let Ok(store) = self.store() else { return };
        let head = record::head(trace, trace.spans.len());
        let payload: [&[u8]; 3] = [&store.origin, &head, &trace.spans];
        let appended = store.spool.append(
            &self.fingerprint(trace.destination),
            &entry(trace, &payload),
        );
        let is_refused = matches!(appended, Err(Refused::Full | Refused::Degraded));
        self.refusing.store(is_refused, Ordering::Relaxed);
        if let Ok(ticket) = appended {
            trace.progress.receipts.push(self.receipt(ticket));
        }
        if !self.dirty.swap(true, Ordering::AcqRel) {
            self.appended.notify_one();
        }
    }

    fn receipt(self: &Arc<Self>, ticket: Ticket) -> Arc<Receipt> {
        Arc::new(Receipt {
            ticket,
            depot: self.clone(),
        })
    }

    /// Which records are for a destination.
    fn fingerprint(&self, destination: &'static Destination) -> Fingerprint {
        let mut known = self.known.lock();
        // Destinations are interned: equal ones are the same.
        let own = known
            .iter()
            .find(|(one, _)| std::ptr::eq(*one, destination));
        if let Some((_, fingerprint)) = own {
            return *fingerprint;
        }
        let experiment = match &destination.experiment {
            Experiment::Id(id) => format!("id:{id}"),
            Experiment::Name(name) => format!("name:{name}"),
        };
        let (url, credential) = self.config.spool_target();
        let workspace = destination.workspace.as_deref();
        let fingerprint = Fingerprint::new(&url, &experiment, workspace, &credential);
        known.push((destination, fingerprint));
        fingerprint
    }

    /// Has records for a destination adopted.
    pub(crate) fn expect(&self, destination: &'static Destination) {
        self.fingerprint(destination);
    }

    pub(super) fn is_known(&self, fingerprint: &Fingerprint) -> bool {
        let known = self.known.lock();
        known.iter().any(|(_, known)| known == fingerprint)
    }

    /// A record as a trace; one that cannot be read is put aside.
    pub(super) fn restore(self: &Arc<Self>, record: Record) -> Option<(Finished, Origin)> {
        let spool = self.spool()?;
        if record.kind != Kind::Trace {
            // Nothing of it ended.
            self.settled.lock().push(record.ticket);
            return None;
        }
        let decoded = record::decode(record.trace_id, &record.payload);
        if let Some((mut trace, origin)) = decoded {
            trace.progress.receipts.push(self.receipt(record.ticket));
            return Some((trace, origin));
        }
        let entry = Entry {
            kind: record.kind,
            flags: record.flags,
            class: record.class,
            trace_id: record.trace_id,
            created_ms: record.created_ms,
            payload: &[&record.payload],
        };
        let why = "not readable by this version";
        // What cannot be put aside stays, and is met again by the next process.
        let _ = spool.park(Some(record.ticket), &record.destination, &entry, why);
        None
    }

    /// A record of another process as a trace.
    pub(super) fn adopt(self: &Arc<Self>, record: Record) -> Option<Finished> {
        let (mut trace, origin) = self.restore(record)?;
        let mut origins = self.origins.lock();
        let known = origins.iter().find(|known| ***known == origin).cloned();
        trace.origin = Some(known.unwrap_or_else(|| {
            let new = Arc::new(origin);
            origins.push(new.clone());
            new
        }));
        self.adopted
            .fetch_add(u64::from(trace.span_count), Ordering::Release);
        Some(trace)
    }

    /// Spans of other processes that are on their way.
    pub(crate) fn recovering(&self) -> u64 {
        let pending = self.recovered.read(|| self.adopted()).pending;
        pending.saturating_sub(self.returned.load(Ordering::Acquire))
    }

    pub(crate) fn adopted(&self) -> u64 {
        self.adopted.load(Ordering::Acquire)
    }

    /// Leaves a trace to the disk, where it is: to this process, or to the next one if it is another's.
    pub(crate) fn leave(&self, trace: &mut Finished) {
        if trace.origin.is_some() {
            self.returned
                .fetch_add(u64::from(trace.span_count), Ordering::Release);
            return;
        }
        self.spooled
            .fetch_add(u64::from(trace.span_count), Ordering::Release);
        let receipts = mem::take(&mut trace.progress.receipts);
        let mut left = self.left.lock();
        for receipt in receipts {
            left.insert(receipt.ticket, trace.span_count);
        }
        self.acknowledged.notify_one();
    }

    /// Counts spans that are on disk alone when the tracer has closed.
    pub(crate) fn keep(&self, spans: u64) {
        self.spooled.fetch_add(spans, Ordering::Release);
    }

    /// Whether something was left to the disk alone.
    pub(super) fn has_left(&self) -> bool {
        !self.left.lock().is_empty()
    }

    /// Takes a record back that was left to the disk.
    pub(super) fn take_back(self: &Arc<Self>, record: Record) -> Option<Finished> {
        let spans = self.left.lock().remove(&record.ticket)?;
        self.spooled.fetch_sub(u64::from(spans), Ordering::Release);
        self.restore(record).map(|(trace, _)| trace)
    }

    /// Puts a trace that was refused for good among the dead letters; the record is done with as the trace is settled.
    pub(crate) fn bury(&self, trace: &Finished, why: &str) {
        if let Ok(store) = self.store() {
            let own = trace.origin.as_ref().map(|origin| origin.encode());
            let head = record::head(trace, trace.spans.len());
            let origin = own.as_deref().unwrap_or(&store.origin);
            let payload: [&[u8]; 3] = [origin, &head, &trace.spans];
            let fingerprint = self.fingerprint(trace.destination);
            // Without room for it, it is given up like any other.
            let _ = store
                .spool
                .park(None, &fingerprint, &entry(trace, &payload), why);
        }
    }

    /// Acknowledges what was settled.
    pub(crate) fn acknowledge(&self) {
        let settled = mem::take(&mut *self.settled.lock());
        if settled.is_empty() {
            return;
        }
        let mut gone = self.gone.lock();
        if !gone.is_empty() {
            settled.iter().for_each(|ticket| {
                gone.remove(ticket);
            });
        }
        drop(gone);
        if let Some(spool) = self.spool() {
            spool.ack(&settled);
        }
        self.acknowledged.notify_one();
    }

    /// Looks after the disk. What was left to it and is not there any more is given up.
    pub(super) fn maintain(&self, spool: &Spool, own: &Counters) -> Maintained {
        self.dirty.store(false, Ordering::Release);
        let kept = spool.maintain(std::time::Instant::now());
        let mut left = self.left.lock();
        let mut gone = self.gone.lock();
        for ticket in kept.keep.iter().chain(&kept.dropped) {
            match left.remove(ticket) {
                Some(spans) => {
                    let spans = u64::from(spans);
                    self.spooled.fetch_sub(spans, Ordering::Release);
                    own.drop(Drop::QueueFull, spans);
                }
                None => {
                    gone.insert(*ticket);
                }
            }
        }
        drop((left, gone));
        kept
    }

    /// Has everything that was appended outlast a power cut.
    pub(crate) fn sync(&self) {
        if let Some(spool) = self.spool() {
            let unsure = spool.sync();
            self.gone.lock().extend(unsure);
        }
    }

    /// Ends the spool; what is pending is for the next process.
    pub(super) fn close(&self) {
        self.acknowledge();
        if let Some(Ok(store)) = self.store.get() {
            self.sync();
            store.spool.close();
        }
    }

    /// Spans that are on disk alone.
    pub(crate) fn spooled(&self) -> u64 {
        self.spooled.load(Ordering::Acquire)
    }

    /// Whether what ends now is in memory alone.
    pub(crate) fn is_degraded(&self) -> bool {
        let is_failing = || match self.store.get() {
            Some(Ok(store)) => store.spool.stats().degraded,
            Some(Err(_)) => true,
            None => false,
        };
        self.refusing.load(Ordering::Relaxed) || is_failing()
    }
}

fn entry<'a>(trace: &Finished, payload: &'a [&'a [u8]]) -> Entry<'a> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    Entry {
        kind: Kind::Trace,
        flags: u8::from(trace.goes_on) * PART,
        class: 0,
        trace_id: trace.id,
        created_ms: now.map_or(0, |now| now.as_millis() as u64),
        payload,
    }
}

impl Finished {
    /// Whether a record has it, as far as is known.
    pub(crate) fn is_on_disk(&self) -> bool {
        let receipts = &self.progress.receipts;
        !receipts.is_empty() && receipts.iter().all(|receipt| receipt.is_on_disk())
    }
}
