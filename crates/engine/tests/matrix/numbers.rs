//! Elements of matrices: random ones, and what they are worth.

/// A random number generator, so that a failure can be repeated.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let x = self.0 ^ self.0 >> 29;
        x.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ x >> 31
    }
}

/// Bits of an element in a register.
pub(crate) fn bits(ty: &str) -> usize {
    match ty {
        "b1" => 1,
        "s4" | "u4" => 4,
        "s8" | "u8" | "e4m3" | "e5m2" => 8,
        "f16" | "bf16" => 16,
        "f64" => 64,
        _ => 32,
    }
}

/// A small float with these fields, by its definition.
pub(crate) fn small(x: u64, exponent_bits: u32, fraction_bits: u32, bias: i32) -> f64 {
    let fraction = x & ((1 << fraction_bits) - 1);
    let exponent = (x >> fraction_bits) & ((1 << exponent_bits) - 1);
    let sign = if x >> (exponent_bits + fraction_bits) & 1 != 0 {
        -1.0
    } else {
        1.0
    };
    let scale = 2f64.powi(-i32::try_from(fraction_bits).unwrap());
    let exponent = i32::try_from(exponent).unwrap();
    sign * if exponent == 0 {
        fraction as f64 * scale * 2f64.powi(1 - bias)
    } else {
        (1.0 + fraction as f64 * scale) * 2f64.powi(exponent - bias)
    }
}

/// The value of an element.
pub(crate) fn value(ty: &str, x: u64) -> f64 {
    match ty {
        "f16" => half::f16::from_bits(x as u16).to_f64(),
        "bf16" => half::bf16::from_bits(x as u16).to_f64(),
        "tf32" => f64::from(f32::from_bits(x as u32 & 0xffff_e000)),
        "f32" => f64::from(f32::from_bits(x as u32)),
        "f64" => f64::from_bits(x),
        "e4m3" if x & 0x7f == 0x7f => f64::NAN,
        "e4m3" => small(x, 4, 3, 7),
        "e5m2" => half::f16::from_bits((x as u16) << 8).to_f64(),
        "s8" => f64::from(x as u8 as i8),
        "u8" => f64::from(x as u8),
        "s4" => f64::from(((x as i32) << 28) >> 28),
        "u4" => f64::from(x as u32 & 15),
        "b1" => (x & 1) as f64,
        "s32" => f64::from(x as u32 as i32),
        _ => panic!("{ty}"),
    }
}

/// A random element: of moderate size, or (`wild`) any bits at all.
pub(crate) fn element(ty: &str, r: &mut Random, wild: bool) -> u64 {
    let x = r.next();
    if wild {
        return x & (u64::MAX >> (64 - bits(ty)));
    }
    let moderate = (x % 4096) as f64 / 512.0 - 4.0;
    match ty {
        "f16" => u64::from(half::f16::from_f64(moderate).to_bits()),
        "bf16" => u64::from(half::bf16::from_f64(moderate).to_bits()),
        "tf32" | "f32" => u64::from((moderate as f32).to_bits()),
        "f64" => moderate.to_bits(),
        "e4m3" => x & 0x80 | (0x20 + x % 0x20),
        "e5m2" => x & 0x80 | (0x30 + x % 0x10),
        "s32" => u64::from((x as i32 >> 8).cast_unsigned()),
        _ => x & (u64::MAX >> (64 - bits(ty))),
    }
}
