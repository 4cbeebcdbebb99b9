//! The address space against the simplest thing that can be right: a map from page to host page and flags.

use proptest::prelude::*;
use std::collections::BTreeMap;
use tessera_mmu::{Access, AddressSpace, DIRTY_BYTES, FaultReason, Flags, MapError, PAGE_BYTES, Span};

/// Pages of the small world: 3 large pages, on both sides of a border of the upper tables.
const PAGES: u64 = 3 * 512;
const START: u64 = (1 << 37) - 512 * PAGE_BYTES;

#[derive(Clone, Debug)]
enum Step {
    Map(u64, u64, u64, bool),
    Unmap(u64, u64),
    Protect(u64, u64, bool),
}

fn range() -> impl Strategy<Value = (u64, u64)> {
    // Short ranges and ranges that hold whole large pages.
    prop_oneof![
        (0..PAGES, 1..20_u64),
        (0..3_u64, 1..4_u64).prop_map(|(at, n)| (at * 512, n * 512)),
        (0..PAGES, 400..1200_u64),
    ]
    .prop_map(|(at, n)| (at, n.min(PAGES - at)))
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (range(), 0..1_000_000_u64, any::<bool>()).prop_map(|((a, n), host, ro)| Step::Map(a, n, host, ro)),
        2 => range().prop_map(|(a, n)| Step::Unmap(a, n)),
        1 => (range(), any::<bool>()).prop_map(|((a, n), ro)| Step::Protect(a, n, ro)),
    ]
}

fn fake_host(page: u64) -> *mut u8 {
    std::ptr::without_provenance_mut(usize::try_from((page + 1) * PAGE_BYTES).expect("small"))
}

fn read_only(on: bool) -> Flags {
    if on { Flags::READ_ONLY } else { Flags::empty() }
}

#[derive(Default)]
struct Model(BTreeMap<u64, (*mut u8, Flags)>);

impl Model {
    fn apply(&mut self, space: &AddressSpace, step: &Step) {
        match *step {
            Step::Map(at, pages, host, ro) => {
                // SAFETY: nothing is accessed through the fake pointers.
                let got = unsafe {
                    space.map(
                        START + at * PAGE_BYTES,
                        fake_host(host),
                        pages * PAGE_BYTES,
                        read_only(ro),
                    )
                };
                if let Some((&first, _)) = self.0.range(at..at + pages).next() {
                    let address = START + first * PAGE_BYTES;
                    assert_eq!(got, Err(MapError::Occupied { address }));
                } else {
                    assert_eq!(got, Ok(()));
                    self.0
                        .extend((0..pages).map(|i| (at + i, (fake_host(host + i), read_only(ro)))));
                }
            }
            Step::Unmap(at, pages) => {
                let before = space.generation();
                let got = space.unmap(START + at * PAGE_BYTES, pages * PAGE_BYTES);
                assert_eq!(got, self.hole(at, pages));
                if got.is_ok() {
                    assert_ne!(space.generation(), before);
                    self.0.retain(|page, _| !(at..at + pages).contains(page));
                }
            }
            Step::Protect(at, pages, ro) => {
                let got = space.protect(
                    START + at * PAGE_BYTES,
                    pages * PAGE_BYTES,
                    read_only(ro),
                    Flags::READ_ONLY,
                );
                assert_eq!(got, self.hole(at, pages));
                if got.is_ok() {
                    for (_, (_, flags)) in self.0.range_mut(at..at + pages) {
                        *flags = read_only(ro);
                    }
                }
            }
        }
    }

    fn hole(&self, at: u64, pages: u64) -> Result<(), MapError> {
        match (at..at + pages).find(|page| !self.0.contains_key(page)) {
            Some(page) => Err(MapError::NotMapped {
                address: START + page * PAGE_BYTES,
            }),
            None => Ok(()),
        }
    }

    fn compare(&self, space: &AddressSpace) {
        for page in 0..PAGES {
            let address = START + page * PAGE_BYTES + page % PAGE_BYTES;
            let got = space.lookup(address);
            let Some(&(host, flags)) = self.0.get(&page) else {
                assert_eq!(got, None, "page {page}");
                continue;
            };
            let span = got.unwrap_or_else(|| panic!("page {page} is mapped"));
            assert_eq!(span.flags, flags);
            assert_eq!(span.pointer(START + page * PAGE_BYTES), host);
            self.compare_span(&span);
        }
        let total: u64 = space.spans().iter().map(|span| span.bytes).sum();
        assert_eq!(total, self.0.len() as u64 * PAGE_BYTES);
    }

    /// Every page that a span claims is mapped so: an access by span never reaches what a page by page check refuses.
    fn compare_span(&self, span: &Span) {
        let first = (span.base - START) / PAGE_BYTES;
        for page in [first, first + span.bytes / PAGE_BYTES - 1] {
            let expected = (span.pointer(START + page * PAGE_BYTES), span.flags);
            assert_eq!(self.0.get(&page), Some(&expected));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn agrees_with_a_map_of_pages(steps in proptest::collection::vec(step(), 1..40)) {
        let space = AddressSpace::new();
        let mut model = Model::default();
        for step in &steps {
            model.apply(&space, step);
        }
        model.compare(&space);
    }

    #[test]
    fn copies_and_fills_agree_with_a_slice(
        pieces in proptest::collection::vec(1..4_u64, 1..5),
        writes in proptest::collection::vec((0..40_000_u64, 0..9000_u64, any::<u32>(), 0..3_u32), 1..12),
    ) {
        // Pieces are mapped in order of addresses but lie in memory in the opposite order, with a page between them.
        let pages: u64 = pieces.iter().sum();
        let mut memory = vec![0_u8; usize::try_from((pages + pieces.len() as u64) * PAGE_BYTES).unwrap()];
        let space = AddressSpace::new();
        let base = memory.as_mut_ptr();
        let (mut at, mut offset) = (START, memory.len());
        for piece in &pieces {
            let bytes = piece * PAGE_BYTES;
            offset -= usize::try_from(bytes + PAGE_BYTES).unwrap();
            // SAFETY: the piece lies inside `memory`, which outlives the space's use and is not touched otherwise meanwhile.
            unsafe { space.map(at, base.add(offset), bytes, Flags::empty()).unwrap() };
            at += bytes;
        }
        let size = pages * PAGE_BYTES;
        let mut expected = vec![0_u8; usize::try_from(size).unwrap()];
        for (at, count, pattern, kind) in writes {
            let element = 1_u8 << kind;
            let address = START + at;
            let bytes = count * u64::from(element);
            let got = space.fill(address, pattern, element, count);
            if bytes > 0 && at + bytes > size {
                let fault = got.unwrap_err();
                prop_assert_eq!((fault.address, fault.reason), (address.max(START + size), FaultReason::NotMapped));
                continue;
            }
            got.unwrap();
            for i in 0..usize::try_from(bytes).unwrap() {
                expected[usize::try_from(at).unwrap() + i] = pattern.to_le_bytes()[i % usize::from(element)];
            }
        }
        let mut got = vec![0_u8; expected.len()];
        space.read_bytes(START, &mut got).unwrap();
        prop_assert!(got == expected);
        // The second half goes over the first through the tables.
        let half = size / 2;
        space.copy_within(START, START + half, half).unwrap();
        expected.copy_within(usize::try_from(half).unwrap()..usize::try_from(2 * half).unwrap(), 0);
        space.read_bytes(START, &mut got).unwrap();
        prop_assert!(got == expected);
    }
}

#[test]
fn refuses_bad_ranges_and_wild_addresses() {
    let space = AddressSpace::new();
    for (base, bytes) in [
        (0, 0),
        (1, 4096),
        (4096, 4097),
        (u64::MAX - 4095, 4096),
        (1 << 47, 4096),
    ] {
        // SAFETY: refused before anything is mapped.
        let got = unsafe { space.map(base, fake_host(0), bytes, Flags::empty()) };
        assert_eq!(got, Err(MapError::BadRange { base, bytes }));
    }
    for address in [0, 8, START, 1 << 47, u64::MAX, u64::MAX - 4095] {
        assert_eq!(space.lookup(address), None);
        assert!(space.check(address, 16, Access::Read).is_err());
    }
    // The last page of the space maps, and a range that wraps past it does not pass.
    let last = (1 << 47) - PAGE_BYTES;
    // SAFETY: nothing is accessed.
    unsafe {
        space
            .map(last, fake_host(0), PAGE_BYTES, Flags::empty())
            .expect("last page");
    }
    let fault = space
        .check(last, PAGE_BYTES + 1, Access::Read)
        .expect_err("past the end");
    assert_eq!(fault.address, 1 << 47);
    assert!(space.fill(last, 0, 4, u64::MAX / 2).is_err());
}

#[test]
fn read_only_pages_refuse_stores_and_nothing_is_written_before_a_fault() {
    let space = AddressSpace::new();
    let mut memory = vec![7_u8; 2 * 4096];
    // SAFETY: the memory outlives the space's use.
    unsafe {
        space
            .map(START, memory.as_mut_ptr(), 8192, Flags::HOST)
            .expect("map");
    }
    space
        .protect(START + 4096, 4096, Flags::READ_ONLY, Flags::empty())
        .expect("protect");
    let fault = space
        .write_bytes(START + 4000, &[1; 200])
        .expect_err("second page is read-only");
    assert_eq!(
        (fault.address, fault.reason),
        (START + 4096, FaultReason::ReadOnly)
    );
    let mut got = [0_u8; 8192];
    space.read_bytes(START, &mut got).expect("reads are allowed");
    assert!(got.iter().all(|&byte| byte == 7));
    assert_eq!(
        space.lookup(START + 4096).map(|span| span.flags),
        Some(Flags::HOST | Flags::READ_ONLY)
    );
}

#[test]
fn dirty_granules_are_reported_once_and_only_while_tracking() {
    let space = AddressSpace::new();
    let bytes = 4 << 20;
    // SAFETY: nothing is accessed through the fake pointer.
    unsafe {
        space
            .map(START, fake_host(0), bytes, Flags::empty())
            .expect("map");
    }
    let whole = space.lookup_for_write(START).expect("mapped");
    assert_eq!(whole.bytes, bytes);
    assert_eq!(space.take_dirty(), []);

    space.track_dirty(true);
    let generation = space.generation();
    let span = space.lookup_for_write(START + DIRTY_BYTES + 5).expect("mapped");
    assert_eq!((span.base, span.bytes), (START + DIRTY_BYTES, DIRTY_BYTES));
    assert_eq!(span.host, whole.pointer(START + DIRTY_BYTES));
    space.lookup_for_write(START + 2 * DIRTY_BYTES).expect("mapped");
    space.lookup_for_write(START + bytes - 1).expect("mapped");
    assert_eq!(
        space.take_dirty(),
        [
            START + DIRTY_BYTES..START + 3 * DIRTY_BYTES,
            START + bytes - DIRTY_BYTES..START + bytes
        ]
    );
    assert_ne!(space.generation(), generation, "spans for stores are void now");
    assert_eq!(space.take_dirty(), []);
}

#[test]
fn large_mappings_are_one_span_and_cost_no_leaf() {
    let space = AddressSpace::new();
    // Miri takes its time; a few tables of each kind are enough for it.
    let bytes = if cfg!(miri) { 1 << 30 } else { 20 << 30 };
    // SAFETY: nothing is accessed through the fake pointer.
    unsafe {
        space
            .map(1 << 45, fake_host(0), bytes, Flags::empty())
            .expect("map");
    }
    let span = space.lookup((1 << 45) + bytes / 3 + 123).expect("mapped");
    assert_eq!((span.base, span.bytes), (1 << 45, bytes));
    space.unmap(1 << 45, bytes).expect("unmap");
    assert_eq!(space.lookup(1 << 45), None);
}

/// Readers always see one of the mappings that existed: never a pointer of one extent with the base of another.
#[test]
fn readers_never_see_a_torn_extent() {
    let space = AddressSpace::new();
    let stop = std::sync::atomic::AtomicBool::new(false);
    let rounds = if cfg!(miri) { 50 } else { 20_000 };
    std::thread::scope(|scope| {
        for reader in 0..2_u64 {
            let (space, stop) = (&space, &stop);
            scope.spawn(move || {
                let mut at = reader;
                while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                    at = (at * 5 + 1) % 1024;
                    let address = START + at * PAGE_BYTES;
                    if let Some(span) = space.lookup(address) {
                        assert!(span.base <= address && address - span.base < span.bytes);
                        // Every mapping of this test is the identity shifted by START.
                        assert_eq!(span.pointer(address), fake_host(at));
                    }
                }
            });
        }
        for round in 0..rounds {
            let first = round % 700;
            let pages = 1 + round % 300;
            let (base, bytes) = (START + first * PAGE_BYTES, pages * PAGE_BYTES);
            // SAFETY: nothing is accessed through the fake pointers.
            unsafe {
                space
                    .map(base, fake_host(first), bytes, Flags::empty())
                    .expect("map");
            }
            if pages > 2 {
                space
                    .protect(base + PAGE_BYTES, PAGE_BYTES, Flags::READ_ONLY, Flags::empty())
                    .expect("protect");
            }
            space.unmap(base, bytes).expect("unmap");
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
    });
    assert_eq!(space.spans(), []);
}
