use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::destination;
use crate::id::TraceId;

fn trace(bytes: usize) -> Finished {
    let mut trace = Finished::new(TraceId::generate(), destination::by_number(0));
    trace.has_info = true;
    trace.spans = Vec::with_capacity(bytes);
    trace.span_count = 1;
    trace
}

#[test]
fn what_makes_room_is_freed_by_the_worker_while_it_keeps_up() {
    let (each, limit) = (1000, 64_000);
    let queue = Queue::new(Bounds {
        max_bytes: limit,
        max_traces: None,
        drops_oldest: true,
        batch_bytes: limit,
        batch_spans: 1000,
        delay: Duration::from_secs(600),
        one_lane: false,
    });
    let outbox = Arc::new(Outbox::default());
    queue.register(outbox.clone());
    let put = || {
        let trace = trace(each);
        outbox.push(&queue, trace.size(), 1, |_| Some(trace))
    };
    while put().is_ok() {}
    let buried = || {
        let buried = queue.buried.lock();
        (buried.traces.len(), buried.bytes)
    };
    let evict = || queue.bury(queue.make_room(trace(each).size()));
    evict();
    assert_eq!(buried().0, 1);
    assert!(put().is_ok());
    (0..20).for_each(|_| evict());
    let (traces, bytes) = buried();
    assert!(
        traces < 21 && bytes <= limit / BURIED_SHARE + 2 * each,
        "{bytes}"
    );
    queue.look();
    assert_eq!(buried(), (0, 0));
}
