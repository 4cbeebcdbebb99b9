//! Which values are in which registers of the processor, at one place of the code.

use super::flow::Set;

/// Halves of the 32 vector registers, then the halves of the vector forms of the 8 mask registers.
pub(super) const VALUES: usize = 80;
/// The first half of the vector form of mask register 0.
pub(super) const FORMS: u8 = 64;
/// No register, no value.
pub(super) const NONE: u8 = u8::MAX;

/// The vector registers.
#[derive(Debug, Clone)]
pub(super) struct Bank {
    /// Register of each value.
    at: [u8; VALUES],
    /// Value of each register.
    value: [u8; 16],
    /// Registers whose value memory does not hold.
    dirty: u16,
}

impl Bank {
    /// Everything is in memory.
    pub(super) const EMPTY: Self = Self {
        at: [NONE; VALUES],
        value: [NONE; 16],
        dirty: 0,
    };

    pub(super) fn register(&self, value: u8) -> Option<u8> {
        Some(self.at[usize::from(value)]).filter(|&r| r != NONE)
    }

    pub(super) fn value(&self, register: u8) -> Option<u8> {
        Some(self.value[usize::from(register)]).filter(|&v| v != NONE)
    }

    pub(super) const fn is_dirty(&self, register: u8) -> bool {
        self.dirty >> register & 1 != 0
    }

    pub(super) const fn set_clean(&mut self, register: u8) {
        self.dirty &= !(1 << register);
    }

    /// Forgets what a register holds.
    pub(super) fn free(&mut self, register: u8) {
        if let Some(value) = self.value(register) {
            self.at[usize::from(value)] = NONE;
        }
        self.value[usize::from(register)] = NONE;
        self.set_clean(register);
    }

    /// Forgets a value.
    pub(super) fn forget(&mut self, value: u8) {
        if let Some(register) = self.register(value) {
            self.free(register);
        }
    }

    /// From now on the register holds the value, and no other does.
    pub(super) fn bind(&mut self, value: u8, register: u8, dirty: bool) {
        self.forget(value);
        self.free(register);
        self.at[usize::from(value)] = register;
        self.value[usize::from(register)] = value;
        self.dirty |= u16::from(dirty) << register;
    }

    /// Only what is wanted of the vector registers: forms of masks do not outlive a label.
    pub(super) fn only(&self, wanted: Set) -> Self {
        let mut kept = self.clone();
        for register in 0..16 {
            if let Some(value) = kept.value(register)
                && (value >= FORMS || !wanted.has_half(value))
            {
                kept.free(register);
            }
        }
        kept
    }
}

/// Where the bits and the vector form of a mask register are.
#[derive(Debug, Clone, Copy)]
pub(super) struct Mask {
    /// Integer register with the bits.
    pub(super) register: u8,
    /// Memory holds the bits.
    pub(super) stored: bool,
    /// Bytes of a lane of the vector form, 0 without one.
    pub(super) width: u8,
}

impl Mask {
    /// The bits are in memory.
    pub(super) const STORED: Self = Self {
        register: NONE,
        stored: true,
        width: 0,
    };

    /// Whether the bits are anywhere.
    pub(super) const fn has_bits(self) -> bool {
        self.stored || self.register != NONE
    }
}
