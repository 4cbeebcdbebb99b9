//! `fma.oob`: every half as a factor on either side.

use tessera_arith::half as h;

#[test]
fn the_nan_of_what_was_out_of_bounds_gives_zero() {
    for a in 0..=0xffffu32 {
        for (b, c) in [
            (0x3c00, 0x3c00),
            (0xbf80, 0x8000),
            (0x7ff7, 0x7c00),
            (0x7fff, 0x7ff7),
        ] {
            for (x, y) in [(a, b), (b, a)] {
                for relu in [false, true] {
                    let zero = x == 0x7ff7 || y == 0x7ff7;
                    let half = if zero {
                        0
                    } else {
                        h::fma_f16(x, y, c, false, false, relu)
                    };
                    let brain = if zero { 0 } else { h::fma_bf16(x, y, c, relu) };
                    // Bits above the halves must not be looked at.
                    let (x, y) = (x | 0x5a5a_0000, y | 0xa5a5_0000);
                    assert_eq!(h::fma_oob_f16(x, y, c, relu), half, "{x:#x} {y:#x}");
                    assert_eq!(h::fma_oob_bf16(x, y, c, relu), brain, "{x:#x} {y:#x}");
                }
            }
        }
    }
}
