//! What is mapped in this process, as the kernel says.

use std::io::{BufRead, BufReader};
use std::ops::Range;

/// A line of `/proc/self/maps`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mapping {
    pub(super) range: Range<u64>,
    pub(super) read: bool,
    pub(super) write: bool,
    pub(super) execute: bool,
    /// Whether others see what is written.
    pub(super) shared: bool,
    /// In the file.
    pub(super) offset: u64,
    /// Of the file; 0 where there is none.
    pub(super) inode: u64,
    /// The kernel's own, or memory of large pages.
    pub(super) special: bool,
}

fn parse(line: &str) -> Option<Mapping> {
    let mut words = line.split_ascii_whitespace();
    let (start, end) = words.next()?.split_once('-')?;
    let flags = words.next()?.as_bytes();
    let offset = u64::from_str_radix(words.next()?, 16).ok()?;
    let _device = words.next()?;
    let inode = words.next()?.parse().ok()?;
    let name = words.next().unwrap_or("");
    Some(Mapping {
        range: u64::from_str_radix(start, 16).ok()?..u64::from_str_radix(end, 16).ok()?,
        read: flags.first() == Some(&b'r'),
        write: flags.get(1) == Some(&b'w'),
        execute: flags.get(2) == Some(&b'x'),
        shared: flags.get(3) == Some(&b's'),
        offset,
        inode,
        special: name.starts_with("[v") || name.starts_with("/anon_hugepage"),
    })
}

/// The mappings that a range touches, cut to it, by address.
pub(super) fn mappings(range: &Range<u64>) -> std::io::Result<Vec<Mapping>> {
    let mut found = Vec::new();
    for line in BufReader::new(std::fs::File::open("/proc/self/maps")?).lines() {
        let Some(mut mapping) = parse(&line?) else {
            continue;
        };
        if mapping.range.start >= range.end {
            break;
        }
        if mapping.range.end <= range.start {
            continue;
        }
        let cut = range.start.saturating_sub(mapping.range.start);
        mapping.offset += cut;
        mapping.range = mapping.range.start + cut..mapping.range.end.min(range.end);
        found.push(mapping);
    }
    Ok(found)
}

/// The stack of the calling thread; empty where that cannot be said.
pub(super) fn own_stack() -> Range<u64> {
    let mut attributes = std::mem::MaybeUninit::<libc::pthread_attr_t>::uninit();
    let (mut base, mut bytes) = (std::ptr::null_mut::<libc::c_void>(), 0);
    // SAFETY: the attributes are filled by the first call, read by the second and given up by the third; the thread is the caller.
    unsafe {
        if libc::pthread_getattr_np(libc::pthread_self(), attributes.as_mut_ptr()) != 0 {
            return 0..0;
        }
        let got = libc::pthread_attr_getstack(attributes.as_ptr(), &raw mut base, &raw mut bytes);
        libc::pthread_attr_destroy(attributes.as_mut_ptr());
        if got != 0 {
            return 0..0;
        }
    }
    let base = base.addr() as u64;
    base..base + bytes as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_say_what_is_mapped() {
        let line =
            "7f0000001000-7f0000003000 rw-s 00002000 00:01 77                 /memfd:tessera (deleted)";
        let mapping = parse(line).expect("a mapping");
        assert_eq!(mapping.range, 0x7f00_0000_1000..0x7f00_0000_3000);
        assert!(mapping.read && mapping.write && !mapping.execute && mapping.shared && !mapping.special);
        assert_eq!((mapping.offset, mapping.inode), (0x2000, 77));
        let own = parse("7ffc0-7ffd0 r-xp 00000000 00:00 0   [vdso]").expect("a mapping");
        assert!(own.special && own.execute && !own.shared && own.inode == 0);
        assert!(parse("no mapping").is_none());
    }

    #[test]
    fn a_range_is_cut_out() {
        let bytes = vec![1u8; 64 << 10];
        let start = (bytes.as_ptr().addr() as u64).next_multiple_of(4096);
        let found = mappings(&(start..start + 8192)).expect("readable");
        assert_eq!(found.first().map(|mapping| mapping.range.start), Some(start));
        assert_eq!(found.last().map(|mapping| mapping.range.end), Some(start + 8192));
        assert!(found.iter().all(|mapping| mapping.read && mapping.write));
    }

    #[test]
    fn a_thread_knows_its_stack() {
        let here = 0u8;
        assert!(own_stack().contains(&((&raw const here).addr() as u64)));
    }
}
