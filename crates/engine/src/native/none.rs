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

impl Compiled {
    pub(crate) fn is_entry(&self, _pc: u32) -> bool {
        match self.never {}
    }

    pub(crate) fn is_place(&self, _pc: u32) -> bool {
        match self.never {}
    }
}

/// Memory of one executor that machine code uses.
#[derive(Debug, Default)]
pub(crate) struct State;

impl State {
    pub(crate) fn forget(&mut self, _sites: usize, _generation: u64) {}

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

pub(crate) const fn extensions() -> u8 {
    0
}

/// Machine code with its tables.
#[derive(Debug)]
pub(crate) enum Parts {}

impl Parts {
    pub(crate) fn encode(&self) -> Vec<u8> {
        match *self {}
    }

    pub(crate) fn decode(_bytes: &[u8], _code: &Code) -> Option<Self> {
        None
    }

    pub(crate) fn map(self) -> Option<Compiled> {
        match self {}
    }
}

pub(crate) fn compile(_analysed: &Analysed, _code: &Code, _level: Level) -> Option<Parts> {
    None
}
