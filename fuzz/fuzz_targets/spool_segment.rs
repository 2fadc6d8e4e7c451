//! Reads any bytes as a segment: whatever they are, the reader ends, and gives nothing that is not in them.
#![no_main]

mod forge;
#[path = "../../core/tests/spool/bytes.rs"]
mod bytes;

use std::sync::Arc;

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use mlflow_trace_core::spool::{Opened, SegmentReader};

fuzz_target!(|data: &[u8]| {
    let Some((how, data)) = data.split_first() else {
        return;
    };
    let mut content = data.to_vec();
    if how & 1 == 1 {
        forge::seal(&mut content);
    }
    let file = Arc::new(Bytes(content.clone()));
    let Ok(Opened::Segment(mut reader)) = SegmentReader::open(file, forge::RUN, forge::SEGMENT)
    else {
        return;
    };
    let mut last = None;
    let mut records = 0;
    while let Some(header) = reader.next_header() {
        records += 1;
        assert!(records <= content.len(), "more records than bytes");
        assert!(last < Some(header.offset), "it went back");
        last = Some(header.offset);
        // Not reading a payload is what is done with acknowledged records.
        if how & 2 == 0
            && let Some(payload) = reader.payload(&header)
        {
            let at = header.offset as usize + 52;
            assert_eq!(content[at..at + payload.len()], payload);
        }
    }
});
