//! Resident memory of this process.

/// In bytes; exact, where `/proc/self/statm` may lag.
pub(crate) fn resident() -> Result<u64, String> {
    let path = "/proc/self/smaps_rollup";
    let text = std::fs::read_to_string(path).map_err(|error| format!("{path}: {error}"))?;
    parse(&text).ok_or_else(|| format!("{path}: no Rss"))
}

fn parse(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("Rss:"))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_the_kernel_writes() {
        assert_eq!(
            parse("55d0-7ffc ---p 00000000 00:00 0 [rollup]\nRss:     1524 kB\nPss: 3 kB\n"),
            Some(1524 * 1024)
        );
        assert_eq!(parse("Pss: 3 kB\n"), None);
    }
}
