//! On processors without a code generator: there is no machine code, and nothing here is ever made.

use crate::cta::Block;
use crate::decode::{Analysed, Code};
use crate::exec::Cx;
use crate::exec::isa::Level;

/// Machine code of a fast decoding.
#[derive(Debug)]
pub(crate) struct Compiled {
    pub(crate) bytes: usize,
    pub(crate) pays: bool,
    never: std::convert::Infallible,
}

/// Memory of one executor that machine code uses.
#[derive(Debug, Default)]
pub(crate) struct State;

impl State {
    pub(crate) fn forget(&mut self, _sites: usize) {}

    /// # Safety
    /// None is needed: there is no machine code.
    pub(crate) unsafe fn run(
        &mut self,
        code: &Compiled,
        _cx: &mut Cx,
        _block: *mut Block,
        _g: usize,
    ) -> Option<usize> {
        match code.never {}
    }
}

pub(crate) fn compile(_analysed: &Analysed, _code: &Code, _level: Level) -> Option<Compiled> {
    None
}
