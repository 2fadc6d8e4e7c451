//! Bytes whose checksums hold wherever something looks like a header: what is behind them gets fuzzed too.

/// The run and the segment that the bytes are to be.
pub const RUN: u64 = 0x0123_4567_89ab_cdef;
pub const SEGMENT: u32 = 1;

const HEADER: usize = 96;
const RECORD: usize = 52;

fn masked(crc: u32) -> [u8; 4] {
    crc.rotate_right(15).wrapping_add(0xa282_ead8).to_le_bytes()
}

/// Makes the checksums of headers hold, and those of payloads that are there.
pub fn seal(bytes: &mut [u8]) {
    for at in 0..bytes.len() {
        let rest = &mut bytes[at..];
        if rest.starts_with(b"MLFTSPL1") && rest.len() >= HEADER {
            rest[12..16].copy_from_slice(&SEGMENT.to_le_bytes());
            rest[16..24].copy_from_slice(&RUN.to_le_bytes());
            let check = masked(crc32c::crc32c(&rest[..HEADER - 4]));
            rest[HEADER - 4..HEADER].copy_from_slice(&check);
        } else if rest.starts_with(b"\xF5MLR") && rest.len() >= RECORD {
            let len = u32::from_le_bytes([rest[8], rest[9], rest[10], rest[11]]) as usize;
            if let Some(payload) = rest[RECORD..].get(..len) {
                let check = masked(crc32c::crc32c(payload));
                rest[12..16].copy_from_slice(&check);
            }
            let crc = crc32c::crc32c(&rest[8..RECORD]);
            let check = masked(crc32c::crc32c_append(crc, &RUN.to_le_bytes()));
            rest[4..8].copy_from_slice(&check);
        }
    }
}
