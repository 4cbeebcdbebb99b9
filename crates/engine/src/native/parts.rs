//! Machine code and its tables before they are mapped, and as bytes that outlive the process.
//!
//! All numbers are little-endian:
//!
//! ```text
//!    0  "TSRA"     mark
//!    4  u32        version of this format
//!    8  u32        1: it pays
//!   12  u32        operations, n
//!   16  u32        offset of the function that enters
//!   20  u32        offset of what loads all homes
//!   24  u32        places, p
//!   28  u32        access sites, s
//!   32  u32        bytes of code, c
//!   36  u32        number of the barrier that is counted without leaving, all ones without one
//!   40  u32        operations that are it, b
//!   44  n × u32    offset by operation; all ones where nothing can be entered
//!       n × u32    offset of what loads the homes of an operation
//!       p × u32    operation of each place
//!       b × u32    operations that are the barrier
//!       s × 2 u64  bytes of the widest access, and of one lane, by site
//!       c bytes    code
//! ```
//!
//! What is read back comes from a store that has looked at a digest. It is looked at here all the same: every offset lies in the
//! code, every place is an operation that can be entered, and the tables are as long as the decoding wants them.

use super::code::Code as Mapped;
use super::compile::Compiled;
use crate::analysis::cfg::NONE;
use crate::decode::Code;

const MARK: [u8; 4] = *b"TSRA";
const VERSION: u32 = 1;

/// Machine code with its tables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Parts {
    pub(super) bytes: Vec<u8>,
    pub(super) enter: u32,
    pub(super) load_all: u32,
    /// By operation.
    pub(super) entries: Vec<u32>,
    pub(super) loaders: Vec<u32>,
    pub(super) pc_of_place: Vec<u32>,
    pub(super) barrier: u32,
    pub(super) barriers: Vec<u32>,
    pub(super) spans: Vec<(u64, u64)>,
    pub(super) pays: bool,
}

/// Takes numbers from the front of bytes.
struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn word(&mut self) -> Option<u32> {
        let (word, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u32::from_le_bytes(*word))
    }

    fn long(&mut self) -> Option<u64> {
        let (long, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u64::from_le_bytes(*long))
    }

    fn words(&mut self, count: usize) -> Option<Vec<u32>> {
        (0..count).map(|_| self.word()).collect()
    }
}

impl Parts {
    /// As bytes.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let len = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        let head = [
            u32::from_le_bytes(MARK),
            VERSION,
            u32::from(self.pays),
            len(self.entries.len()),
            self.enter,
            self.load_all,
            len(self.pc_of_place.len()),
            len(self.spans.len()),
            len(self.bytes.len()),
            self.barrier,
            len(self.barriers.len()),
        ];
        let tables = [
            &head[..],
            &self.entries,
            &self.loaders,
            &self.pc_of_place,
            &self.barriers,
        ];
        let mut out: Vec<u8> = tables.concat().iter().flat_map(|w| w.to_le_bytes()).collect();
        for (row, one) in &self.spans {
            out.extend(row.to_le_bytes());
            out.extend(one.to_le_bytes());
        }
        out.extend(&self.bytes);
        out
    }

    /// From bytes, when they are such parts and fit the decoding.
    pub(crate) fn decode(bytes: &[u8], code: &Code) -> Option<Self> {
        let mut from = Reader(bytes);
        let head = from.words(11)?;
        let &[
            mark,
            version,
            pays,
            ops,
            enter,
            load_all,
            places,
            sites,
            length,
            barrier,
            barriers,
        ] = &head[..]
        else {
            return None;
        };
        let known = mark == u32::from_le_bytes(MARK) && version == VERSION && pays <= 1;
        let sized = ops as usize == code.ops.len() && sites as usize == sites_of(code);
        if !known || !sized || places > ops || barriers > ops {
            return None;
        }
        let parts = Self {
            enter,
            load_all,
            pays: pays == 1,
            entries: from.words(ops as usize)?,
            loaders: from.words(ops as usize)?,
            pc_of_place: from.words(places as usize)?,
            barrier,
            barriers: from.words(barriers as usize)?,
            spans: (0..sites)
                .map(|_| Some((from.long()?, from.long()?)))
                .collect::<Option<_>>()?,
            bytes: from.0.to_vec(),
        };
        (parts.bytes.len() == length as usize && parts.is_sound()).then_some(parts)
    }

    fn is_sound(&self) -> bool {
        let inside = |offset: u32| (offset as usize) < self.bytes.len();
        let tables = self.entries.iter().chain(&self.loaders);
        let can_enter = |&pc: &u32| self.entries.get(pc as usize).is_some_and(|&entry| entry != NONE);
        inside(self.enter)
            && inside(self.load_all)
            && tables.filter(|o| **o != NONE).all(|&o| inside(o))
            && self.pc_of_place.iter().all(can_enter)
            && (self.barrier < 16 || self.barrier == NONE)
            // A warp goes on behind the barrier.
            && self.barriers.iter().all(|&pc| pc.checked_add(1).is_some_and(|next| can_enter(&next)))
    }

    /// Maps the code.
    pub(crate) fn map(self) -> Option<Compiled> {
        if !self.is_sound() {
            return None;
        }
        let mapped = Mapped::new(&self.bytes).ok()?;
        Some(Compiled::new(self, mapped))
    }
}

/// Access sites of a decoding.
pub(super) fn sites_of(code: &Code) -> usize {
    code.ops.iter().map(|o| o.site as usize + 1).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::native::compile;
    use crate::{Geometry, Launch, Options, Tier};

    struct Nowhere;

    impl crate::Symbols for Nowhere {
        fn variable(&self, _: tessera_ptx::VarId) -> Option<u64> {
            None
        }
        fn function(&self, _: tessera_ptx::FuncId) -> Option<u64> {
            None
        }
    }

    /// A launch of a kernel with a loop, a branch and accesses.
    fn launch() -> Arc<Launch> {
        let text = ".version 8.0 .target sm_90 .address_size 64 .visible .entry k(.param .u64 p) {
            .reg .b64 %d<4>; .reg .b32 %r<4>; .reg .pred %p; ld.param.u64 %d1, [p]; mov.u32 %r1, %tid.x;
            mul.wide.u32 %d2, %r1, 4; add.s64 %d3, %d1, %d2; L: ld.global.u32 %r2, [%d3]; add.u32 %r2, %r2, %r1;
            st.global.u32 [%d3], %r2; bar.sync 0; setp.lt.u32 %p, %r2, 100; @%p bra L; ret; }";
        launch_of(text)
    }

    fn launch_of(text: &str) -> Arc<Launch> {
        let module = tessera_ptx::parse_module(text.as_bytes()).unwrap();
        let entry = module.func_by_name("k").unwrap();
        let program = Arc::new(crate::compile(&module, entry, &Nowhere).unwrap());
        let options = Options {
            tier: Tier::Native,
            ..Options::default()
        };
        Launch::with_options(&program, Geometry::new([1; 3], [32, 1, 1]), &[0; 8], options).unwrap()
    }

    #[test]
    fn a_warp_that_stopped_at_a_safe_point_goes_on_behind_it() {
        if !crate::Level::Avx2.available() {
            return;
        }
        let head = ".version 8.0 .target sm_90 .address_size 64 .visible .entry k(.param .u64 p) {
            .reg .b64 %d<2>; .reg .b32 %r<4>; ld.param.u64 %d1, [p]; mov.u32 %r1, %tid.x; mov.u32 %r2, %ctaid.x;";
        let body = "mad.lo.u32 %r1, %r1, %r2, %r1; xor.b32 %r2, %r2, %r1;".repeat(2000);
        let launch = launch_of(&format!("{head} {body} st.global.u32 [%d1], %r1; ret; }}"));
        let (analysed, code) = (&launch.program().analysed, launch.code(false));
        let polls = || (0..code.ops.len()).filter(|&at| code.roles[at] == crate::decode::Role::Poll);
        assert!(polls().count() > 1);
        for level in [crate::Level::Avx512, crate::Level::Avx2] {
            let parts = compile(analysed, code, level).unwrap();
            assert!(polls().all(|at| parts.entries[at + 1] != NONE), "{level:?}");
        }
    }

    #[test]
    fn parts_come_back_from_bytes_and_nothing_else_does() {
        if !crate::Level::Avx512.available() {
            return;
        }
        let launch = launch();
        let (analysed, code) = (&launch.program().analysed, launch.code(false));
        let parts = compile(analysed, code, crate::Level::best()).unwrap();
        assert!(!parts.pc_of_place.is_empty() && !parts.spans.is_empty());
        let bytes = parts.encode();
        assert_eq!(Parts::decode(&bytes, code), Some(parts.clone()));
        for cut in 0..bytes.len() {
            assert_eq!(Parts::decode(&bytes[..cut], code), None, "cut to {cut} bytes");
        }
        let mut longer = bytes.clone();
        longer.push(0);
        assert_eq!(Parts::decode(&longer, code), None);
        let tables = 44 + 4 * (2 * parts.entries.len() + parts.pc_of_place.len() + parts.barriers.len());
        // A number of the head or of a table that is out of its range. Not the second half of a length of an access.
        for at in (0..tables).step_by(4) {
            let mut wrong = bytes.clone();
            wrong[at..at + 4].copy_from_slice(&0x7fff_fff0u32.to_le_bytes());
            assert_eq!(Parts::decode(&wrong, code), None, "word at {at}");
        }
    }
}
