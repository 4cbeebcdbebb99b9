//! Numbers for people.

/// Bytes: `20 GiB`, `1.5 GiB`, `312 MiB`, `4 KiB`, `17 B`.
pub(crate) fn bytes(value: u64) -> String {
    let units = [(1u64 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    for (size, name) in units {
        if value >= size {
            let tenths = u128::from(value) * 10 / u128::from(size);
            return if tenths % 10 == 0 {
                format!("{} {name}", tenths / 10)
            } else {
                format!("{}.{} {name}", tenths / 10, tenths % 10)
            };
        }
    }
    format!("{value} B")
}

/// How long ago a time was, both in Unix milliseconds: `12 s`, `5 min`, `3 h`, `9 d`.
pub(crate) fn age(then_ms: u64, now_ms: u64) -> String {
    match now_ms.saturating_sub(then_ms) / 1000 {
        seconds @ 0..120 => format!("{seconds} s"),
        seconds @ 120..7_200 => format!("{} min", seconds / 60),
        seconds @ 7_200..172_800 => format!("{} h", seconds / 3_600),
        seconds => format!("{} d", seconds / 86_400),
    }
}

/// The time now, Unix milliseconds.
pub(crate) fn now_ms() -> u64 {
    let since = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// A Unix time in milliseconds as `2026-11-20 21:35:24Z`.
pub(crate) fn timestamp(ms: u64) -> String {
    let (days, seconds) = (ms / 86_400_000, ms / 1000 % 86_400);
    let (year, month, day) = civil(days);
    let (hour, minute, second) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}Z")
}

/// Days since 1970-01-01 as a date. Counts in years that begin in March, where leap days come last.
fn civil(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468; // days from 0000-03-01
    let era = shifted / 146_097;
    let of_era = shifted % 146_097;
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 {
        march_month + 3
    } else {
        march_month - 9
    };
    (year_of_era + era * 400 + u64::from(month <= 2), month, day)
}

/// A share of a whole as a bar of eight cells: `███▌    `.
pub(crate) fn bar(part: u64, whole: u64) -> String {
    const CELLS: u128 = 8;
    const EIGHTHS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
    let filled = (u128::from(part.min(whole)) * CELLS * 8)
        .checked_div(u128::from(whole))
        .unwrap_or(0);
    let (full, rest) = (filled / 8, filled % 8);
    let mut bar = "█".repeat(usize::try_from(full).unwrap_or(0));
    bar.push_str(
        usize::try_from(rest)
            .ok()
            .and_then(|rest| EIGHTHS.get(rest))
            .unwrap_or(&""),
    );
    format!("{bar:<8}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        for (value, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1536, "1.5 KiB"),
            (20 << 30, "20 GiB"),
            ((94 << 30) - (10 << 20), "93.9 GiB"),
        ] {
            assert_eq!(bytes(value), text);
        }
        assert_eq!(bytes(u64::MAX), "17179869183.9 GiB");
    }

    #[test]
    fn times() {
        assert_eq!(timestamp(0), "1970-01-01 00:00:00Z");
        assert_eq!(timestamp(951_782_400_000), "2000-02-29 00:00:00Z");
        assert_eq!(timestamp(1_795_210_524_000), "2026-11-20 21:35:24Z");
        let ages: Vec<String> = [0, 119, 120, 7_200, 172_800].map(|s| age(0, s * 1000)).into();
        assert_eq!(ages, ["0 s", "119 s", "2 min", "2 h", "2 d"]);
        assert_eq!(age(5, 0), "0 s");
    }

    #[test]
    fn bars() {
        assert_eq!(bar(0, 0), "        ");
        assert_eq!(bar(1, 2), "████    ");
        assert_eq!(bar(9, 8), "████████");
        assert_eq!(bar(1, 128), "        ");
        assert_eq!(bar(1, 64), "▏       ");
    }
}
