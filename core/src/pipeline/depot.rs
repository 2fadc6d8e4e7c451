//! The spool of a tracer: what ended is on disk before it is queued, and goes from there when it is settled.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::mem;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use tokio::sync::Notify;

use super::signals;
use super::stats::{Counters, Drop};
use crate::config::Config;
use crate::destination::{Destination, Experiment};
use crate::finished::Finished;
use crate::id::TraceId;
use crate::lock::{Condvar, Mutex};
use crate::otlp::reader;
use crate::record::{self, Origin};
use crate::shared::Shared;
use crate::spool::Maintained;
use crate::spool::{Entry, Fingerprint, Kind, PART, Record, Refused, Spool, SpoolOptions, Ticket};

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
    /// Whether a trace goes to the disk as soon as it has ended, whatever becomes of it. Otherwise it does where memory
    /// gets short, and when the tracer closes.
    writes_through: bool,
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
    /// Traces of which parts were read back, and when the last of these was made.
    heard: Mutex<HashMap<TraceId, u64>>,
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
    syncs: Mutex<Syncs>,
    synced: Condvar,
    /// What dead processes left was looked for.
    looked: Mutex<bool>,
    seen: Condvar,
    /// The spool has ended.
    closed: Mutex<bool>,
    ended: Condvar,
}

/// The syncs that flushes wait for. They have a thread of their own while there are any, because a disk may hang.
#[derive(Default)]
struct Syncs {
    asked: u64,
    done: u64,
    is_running: bool,
}

impl Depot {
    /// `None` where the configuration asks for none, or sends traces where a spool is of no use.
    pub(crate) fn new(config: &Config, resource: &[u8]) -> Option<Arc<Self>> {
        config.has_depot().then(|| {
            Arc::new(Depot {
                config: config.clone(),
                writes_through: config.writes_through(),
                resource: resource.to_vec(),
                store: OnceLock::new(),
                known: Mutex::default(),
                origins: Mutex::default(),
                settled: Mutex::default(),
                gone: Mutex::default(),
                left: Mutex::default(),
                heard: Mutex::default(),
                spooled: AtomicU64::new(0),
                refusing: AtomicBool::new(false),
                dirty: AtomicBool::new(false),
                appended: Notify::new(),
                acknowledged: Notify::new(),
                recovered: Counters::default(),
                adopted: AtomicU64::new(0),
                returned: AtomicU64::new(0),
                held: AtomicU64::new(0),
                syncs: Mutex::default(),
                synced: Condvar::default(),
                looked: Mutex::default(),
                seen: Condvar::default(),
                closed: Mutex::default(),
                ended: Condvar::default(),
            })
        })
    }

    /// Appends a trace that has ended, if it is to be on disk before it is sent: while it `is_hard` to get rid of traces,
    /// all of them are.
    pub(crate) fn keep_safe(
        self: &Arc<Self>,
        trace: &mut Finished,
        is_hard: impl FnOnce() -> bool,
    ) {
        if self.writes_through || is_hard() {
            self.append(trace);
        }
    }

    /// Appends a trace that memory has no room or no time for, unless that was done; whether it is on disk.
    pub(crate) fn rescue(self: &Arc<Self>, trace: &mut Finished) -> bool {
        if trace.progress.receipts.is_empty() && !self.writes_through {
            self.append(trace);
        }
        trace.is_on_disk()
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
            let options = SpoolOptions::of(&self.config);
            let options = options.map_err(|error| error.message().to_owned())?;
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
    fn append(self: &Arc<Self>, trace: &mut Finished) {
        let receipt = self.write(trace, Kind::Trace);
        trace.progress.receipts.extend(receipt);
    }

    /// Whether the spool is to know of traces that are open.
    pub(super) fn notes_open(&self) -> bool {
        self.writes_through && self.config.closes_orphans()
    }

    /// Appends that a trace is open; it has its root as it is.
    pub(crate) fn append_open(self: &Arc<Self>, trace: &Finished) -> Option<Arc<Receipt>> {
        self.write(trace, Kind::RootOpen)
    }

    fn write(self: &Arc<Self>, trace: &Finished, kind: Kind) -> Option<Arc<Receipt>> {
        let store = self.store().as_ref().ok()?;
        let head = record::head(trace, trace.span_count, trace.spans.len());
        let payload: [&[u8]; 3] = [&store.origin, &head, &trace.spans];
        let appended = store.spool.append(
            &self.fingerprint(trace.destination),
            &entry(kind, trace, &payload),
        );
        let is_refused = matches!(appended, Err(Refused::Full | Refused::Degraded));
        self.refusing.store(is_refused, Ordering::Relaxed);
        if !self.dirty.swap(true, Ordering::AcqRel) {
            self.appended.notify_one();
        }
        appended.ok().map(|ticket| self.receipt(ticket))
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
        let is_orphan = record.kind == Kind::RootOpen;
        if is_orphan && !self.config.closes_orphans() {
            self.settled.lock().push(record.ticket);
            return None;
        }
        let decoded = record::decode(record.trace_id, &record.payload);
        let last = self.heard_of(&record);
        let decoded = decoded.and_then(|(mut trace, origin)| {
            if is_orphan {
                record::close(&mut trace, last)?;
            }
            Some((trace, origin))
        });
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

    /// When something was last heard of the trace of a record, in milliseconds since the Unix epoch. Remembered as long
    /// as it may have been left open.
    fn heard_of(&self, record: &Record) -> u64 {
        let mut heard = self.heard.lock();
        let before = heard.remove(&record.trace_id).unwrap_or(0);
        let last = before.max(record.created_ms);
        if record.flags & PART != 0 {
            heard.insert(record.trace_id, last);
        }
        last
    }

    /// Everything that dead processes left was read.
    pub(super) fn forget_heard(&self) {
        self.heard.lock().clear();
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
            self.acknowledged.notify_one();
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

    /// Takes a record back that was left to the disk. Its spans count as being there alone until it is queued.
    pub(super) fn take_back(self: &Arc<Self>, record: Record, own: &Counters) -> Option<Finished> {
        let spans = self.left.lock().remove(&record.ticket)?;
        let restored = self.restore(record).map(|(trace, _)| trace);
        if restored.is_none() {
            self.spooled.fetch_sub(u64::from(spans), Ordering::Release);
            own.drop(Drop::Rejected, u64::from(spans));
        }
        restored
    }

    /// Notes that a trace is queued that was read from the disk.
    pub(super) fn queued(&self, trace: &Finished) {
        if trace.origin.is_none() {
            self.spooled
                .fetch_sub(u64::from(trace.span_count), Ordering::Release);
        }
    }

    /// Puts spans of a trace that were refused for good among the dead letters; the record is done with as the trace is
    /// settled. Of its head, the number of spans is that of `spans`.
    pub(crate) fn bury(&self, trace: &Finished, spans: &[u8], why: &str) {
        if let Ok(store) = self.store() {
            let own = trace.origin.as_ref().map(|origin| origin.encode());
            let count = reader::spans(spans).count() as u32;
            let head = record::head(trace, count, spans.len());
            let origin = own.as_deref().unwrap_or(&store.origin);
            let payload: [&[u8]; 3] = [origin, &head, spans];
            let fingerprint = self.fingerprint(trace.destination);
            // Without room for it, it is given up like any other.
            let _ = store.spool.park(
                None,
                &fingerprint,
                &entry(Kind::Trace, trace, &payload),
                why,
            );
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
        let kept = spool.maintain(Instant::now());
        self.miss(kept.keep.iter().chain(&kept.dropped), own);
        kept
    }

    /// Notes that the disk may not have these records.
    fn miss<'a>(&self, tickets: impl Iterator<Item = &'a Ticket>, own: &Counters) {
        let mut left = self.left.lock();
        let mut gone = self.gone.lock();
        for ticket in tickets {
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
    }

    fn sync(&self, own: &Counters) {
        if let Some(spool) = self.spool() {
            self.miss(spool.sync().iter(), own);
        }
    }

    /// Has everything that was appended outlast a power cut; whether it did so before the deadline. One sync serves all
    /// who wait.
    pub(crate) fn sync_until(shared: &Arc<Shared>, depot: &Arc<Self>, deadline: Instant) -> bool {
        let mut syncs = depot.syncs.lock();
        syncs.asked += 1;
        let own = syncs.asked;
        if !syncs.is_running {
            let (shared, depot) = (shared.clone(), depot.clone());
            let thread = std::thread::Builder::new().name("mlflow-sync".into());
            let work = move || depot.serve_syncs(&shared.counters);
            syncs.is_running = signals::start_without(|| thread.spawn(work)).is_ok();
            if !syncs.is_running {
                return false;
            }
        }
        depot
            .synced
            .wait_until(syncs, deadline, |syncs| syncs.done >= own)
            .done
            >= own
    }

    fn serve_syncs(&self, own: &Counters) {
        let mut syncs = self.syncs.lock();
        while syncs.done < syncs.asked {
            let asked = syncs.asked;
            drop(syncs);
            self.sync(own);
            syncs = self.syncs.lock();
            syncs.done = asked;
            self.synced.notify_all();
        }
        syncs.is_running = false;
    }

    /// Ends the spool; what is pending is for the next process.
    pub(super) fn close(&self, own: &Counters) {
        self.acknowledge();
        if let Some(Ok(store)) = self.store.get() {
            self.sync(own);
            store.spool.close();
        }
        self.note_looked();
        *self.closed.lock() = true;
        self.ended.notify_all();
    }

    /// Notes that what dead processes left is queued, or that it will not be soon.
    pub(super) fn note_looked(&self) {
        *self.looked.lock() = true;
        self.seen.notify_all();
    }

    /// Waits until then: a process that ends as soon as it began delivers it all the same, or, if all processes were
    /// like this, nobody would.
    pub(crate) fn wait_looked(&self, deadline: Instant) {
        let looked = self.looked.lock();
        drop(self.seen.wait_until(looked, deadline, |looked| *looked));
    }

    /// Waits until what is pending is free for the next process, at most until the deadline.
    pub(crate) fn wait_closed(&self, deadline: Instant) {
        let closed = self.closed.lock();
        drop(self.ended.wait_until(closed, deadline, |closed| *closed));
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

fn entry<'a>(kind: Kind, trace: &Finished, payload: &'a [&'a [u8]]) -> Entry<'a> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    Entry {
        kind,
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
