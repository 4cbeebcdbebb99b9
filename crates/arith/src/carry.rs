//! Extended-precision arithmetic: `add.cc addc sub.cc subc mad.cc madc` in 32 and 64 bits.
//!
//! The condition code `CC.CF` is a `bool`: carry-out of an addition, **borrow-out** of a subtraction (`subc` computes
//! `a - (b + CC.CF)`). Every function returns the result and the new `CC.CF`; an instruction without `.cc` drops the latter.
//! Signedness only matters for the product of `mad.hi`.

use crate::integer::{mul_hi_s32, mul_hi_s64, mul_hi_u32, mul_hi_u64};

macro_rules! carry_ops {
    ($ty:ty, $add:ident, $sub:ident, $mad_lo:ident, $mad_hi_u:ident, $mad_hi_s:ident, $hi_u:ident, $hi_s:ident) => {
        /// `add.cc` (`carry` false) and `addc{.cc}`: `a + b + carry`.
        #[inline(always)]
        #[must_use]
        pub const fn $add(a: $ty, b: $ty, carry: bool) -> ($ty, bool) {
            let (sum, first) = a.overflowing_add(b);
            let (sum, second) = sum.overflowing_add(carry as $ty);
            (sum, first | second)
        }

        /// `sub.cc` (`borrow` false) and `subc{.cc}`: `a - (b + borrow)`.
        #[inline(always)]
        #[must_use]
        pub const fn $sub(a: $ty, b: $ty, borrow: bool) -> ($ty, bool) {
            let (difference, first) = a.overflowing_sub(b);
            let (difference, second) = difference.overflowing_sub(borrow as $ty);
            (difference, first | second)
        }

        /// `mad.lo.cc` (`carry` false) and `madc.lo{.cc}`: low half of `a * b`, plus `c + carry`.
        #[inline(always)]
        #[must_use]
        pub const fn $mad_lo(a: $ty, b: $ty, c: $ty, carry: bool) -> ($ty, bool) {
            $add(a.wrapping_mul(b), c, carry)
        }

        /// `mad.hi.cc` (`carry` false) and `madc.hi{.cc}`, unsigned: high half of `a * b`, plus `c + carry`.
        #[inline(always)]
        #[must_use]
        pub const fn $mad_hi_u(a: $ty, b: $ty, c: $ty, carry: bool) -> ($ty, bool) {
            $add($hi_u(a, b), c, carry)
        }

        /// `mad.hi.cc` (`carry` false) and `madc.hi{.cc}`, signed: high half of `a * b`, plus `c + carry`.
        #[inline(always)]
        #[must_use]
        pub const fn $mad_hi_s(a: $ty, b: $ty, c: $ty, carry: bool) -> ($ty, bool) {
            $add($hi_s(a, b), c, carry)
        }
    };
}

carry_ops!(
    u32,
    addc32,
    subc32,
    madc_lo32,
    madc_hi_u32,
    madc_hi_s32,
    mul_hi_u32,
    mul_hi_s32
);
carry_ops!(
    u64,
    addc64,
    subc64,
    madc_lo64,
    madc_hi_u64,
    madc_hi_s64,
    mul_hi_u64,
    mul_hi_s64
);
