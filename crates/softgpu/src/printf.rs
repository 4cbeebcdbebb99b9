//! `printf` of kernels: a format string and packed arguments, both from device memory.
//!
//! Arguments lie one after the other as C pads them in a struct: 4 bytes for `int` and shorter, 8 for `long`, `long long`, pointers and
//! `double`. Nothing of the format string reaches the C library unchecked: each conversion is taken apart, its parts are bounded, and
//! a fresh specification is made of them. A conversion that is not understood is printed as it stands, and the rest of the string
//! with it, since nobody can say where the next argument lies.

use std::ffi::{CString, c_char, c_int};

/// Longest output of one call, bytes; the rest is cut off.
pub(crate) const MOST_OUTPUT: usize = 64 << 10;
/// Widths and precisions beyond are taken for this.
const MOST_WIDTH: i32 = 4096;

/// Where arguments come from.
pub(crate) trait Arguments {
    type Error;
    /// `size` bytes (4 or 8) at `offset` in the packed arguments, little endian.
    fn read(&self, offset: u64, size: u64) -> Result<u64, Self::Error>;
    /// The string at a device address, at most `most` bytes of it.
    fn string(&self, address: u64, most: usize) -> Result<Vec<u8>, Self::Error>;
}

/// One `%...` taken apart.
#[derive(Default, Debug, PartialEq, Eq)]
struct Conversion {
    flags: String,
    width: Option<i32>,
    precision: Option<i32>,
    /// `l` or `ll`, or `z`, `j`, `t`: 8 bytes.
    long: bool,
    /// `h` and `hh`: bits that count.
    short: Option<u32>,
    letter: u8,
}

/// The text, and how many arguments it used.
pub(crate) fn format<A: Arguments>(format: &[u8], arguments: &A) -> Result<(Vec<u8>, i32), A::Error> {
    let mut output = Vec::new();
    let mut packed = Packed {
        arguments,
        offset: 0,
        used: 0,
    };
    let mut rest = format;
    while let Some(percent) = rest.iter().position(|&byte| byte == b'%') {
        output.extend_from_slice(&rest[..percent]);
        let at = &rest[percent + 1..];
        if let Some(after) = at.strip_prefix(b"%") {
            output.push(b'%');
            rest = after;
            continue;
        }
        let Some((conversion, after)) = packed.parse(at)? else {
            rest = &rest[percent..];
            break;
        };
        packed.convert(&conversion, &mut output)?;
        rest = after;
        if output.len() > MOST_OUTPUT {
            break;
        }
    }
    output.extend_from_slice(rest);
    output.truncate(MOST_OUTPUT);
    Ok((output, packed.used))
}

struct Packed<'a, A> {
    arguments: &'a A,
    offset: u64,
    used: i32,
}

impl<A: Arguments> Packed<'_, A> {
    fn next(&mut self, size: u64) -> Result<u64, A::Error> {
        let offset = self.offset.next_multiple_of(size);
        self.offset = offset + size;
        self.used = self.used.saturating_add(1);
        self.arguments.read(offset, size)
    }

    fn next_int(&mut self) -> Result<i32, A::Error> {
        #[allow(clippy::cast_possible_truncation, reason = "four bytes were read")]
        Ok((self.next(4)? as u32).cast_signed())
    }

    /// A number or `*` at the start of `text`.
    fn number<'t>(&mut self, text: &'t [u8]) -> Result<(Option<i32>, &'t [u8]), A::Error> {
        if let Some(after) = text.strip_prefix(b"*") {
            return Ok((Some(self.next_int()?), after));
        }
        let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let (digits, after) = text.split_at(digits);
        let value = digits.iter().fold(0_i32, |value, digit| {
            value.saturating_mul(10).saturating_add(i32::from(digit - b'0'))
        });
        Ok(((!digits.is_empty()).then_some(value), after))
    }

    /// The conversion after a percent sign, and the text behind it.
    fn parse<'t>(&mut self, text: &'t [u8]) -> Result<Option<(Conversion, &'t [u8])>, A::Error> {
        let mut conversion = Conversion::default();
        let mut rest = text;
        while let [flag @ (b'-' | b'+' | b' ' | b'#' | b'0'), after @ ..] = rest {
            let flag = char::from(*flag);
            if !conversion.flags.contains(flag) {
                conversion.flags.push(flag);
            }
            rest = after;
        }
        (conversion.width, rest) = self.number(rest)?;
        if let Some(width) = conversion.width
            && width < 0
        {
            // A negative width from an argument means: to the left.
            conversion.flags.push('-');
            conversion.width = Some(width.saturating_neg());
        }
        if let Some(after) = rest.strip_prefix(b".") {
            let (precision, after) = self.number(after)?;
            // A negative one counts as absent, an empty one as zero.
            conversion.precision = Some(precision.unwrap_or(0)).filter(|&precision| precision >= 0);
            rest = after;
        }
        rest = match rest {
            [b'h', b'h', after @ ..] => {
                conversion.short = Some(8);
                after
            }
            [b'h', after @ ..] => {
                conversion.short = Some(16);
                after
            }
            [b'l', b'l', after @ ..] | [b'l' | b'z' | b'j' | b't', after @ ..] => {
                conversion.long = true;
                after
            }
            _ => rest,
        };
        let Some((&letter, after)) = rest.split_first() else {
            return Ok(None);
        };
        conversion.letter = letter;
        conversion.width = conversion.width.map(|width| width.min(MOST_WIDTH));
        conversion.precision = conversion.precision.map(|precision| precision.min(MOST_WIDTH));
        Ok(b"diouxXcspfFeEgGaA"
            .contains(&letter)
            .then_some((conversion, after)))
    }

    fn convert(&mut self, conversion: &Conversion, output: &mut Vec<u8>) -> Result<(), A::Error> {
        match conversion.letter {
            b'd' | b'i' => {
                let value = self.integer(conversion)?;
                conversion.print(output, "ll", Value::Integer(value));
            }
            b'o' | b'u' | b'x' | b'X' => {
                let value = self.integer(conversion)?;
                let kept = match (conversion.long, conversion.short) {
                    (true, _) => value,
                    (false, short) => {
                        value
                            & (-1_i64)
                                .cast_unsigned()
                                .unbounded_shr(64 - short.unwrap_or(32))
                                .cast_signed()
                    }
                };
                conversion.print(output, "ll", Value::Integer(kept));
            }
            b'c' => {
                let value = self.next_int()?;
                conversion.pad(output, &value.to_le_bytes()[..1]);
            }
            b's' => {
                let address = self.next(8)?;
                let most = conversion
                    .precision
                    .and_then(|precision| usize::try_from(precision).ok());
                let text = if address == 0 {
                    b"(null)".to_vec()
                } else {
                    self.arguments.string(address, most.unwrap_or(MOST_OUTPUT))?
                };
                conversion.pad(output, &text[..text.len().min(most.unwrap_or(usize::MAX))]);
            }
            b'p' => {
                let value = self.next(8)?;
                conversion.pad(output, format!("{value:#x}").as_bytes());
            }
            _ => {
                let value = f64::from_bits(self.next(8)?);
                conversion.print(output, "", Value::Float(value));
            }
        }
        Ok(())
    }

    /// A signed integer of the conversion's size, sign-extended.
    fn integer(&mut self, conversion: &Conversion) -> Result<i64, A::Error> {
        if conversion.long {
            return Ok(self.next(8)?.cast_signed());
        }
        let value = self.next_int()?;
        let drop = 32 - conversion.short.unwrap_or(32);
        Ok(i64::from(value << drop >> drop))
    }
}

#[derive(Clone, Copy)]
enum Value {
    Integer(i64),
    Float(f64),
}

impl Conversion {
    /// Text in the width asked for.
    fn pad(&self, output: &mut Vec<u8>, text: &[u8]) {
        let width = self
            .width
            .and_then(|width| usize::try_from(width).ok())
            .unwrap_or(0);
        let blanks = std::iter::repeat_n(b' ', width.saturating_sub(text.len()));
        if self.flags.contains('-') {
            output.extend_from_slice(text);
            output.extend(blanks);
        } else {
            output.extend(blanks);
            output.extend_from_slice(text);
        }
    }

    /// A number, by the C library.
    fn print(&self, output: &mut Vec<u8>, size: &str, value: Value) {
        let width = self.width.map(|width| width.to_string()).unwrap_or_default();
        let precision = self
            .precision
            .map(|precision| format!(".{precision}"))
            .unwrap_or_default();
        let letter = char::from(self.letter);
        let Ok(spec) = CString::new(format!("%{}{width}{precision}{size}{letter}", self.flags)) else {
            return;
        };
        // The longest number: 309 digits of an f64, a point, MOST_WIDTH digits.
        let mut buffer = [0_u8; 4096 + 512];
        let written = match value {
            // SAFETY: the specification has exactly one conversion, for a `long long`; the buffer's length is given.
            Value::Integer(value) => unsafe {
                libc::snprintf(
                    buffer.as_mut_ptr().cast::<c_char>(),
                    buffer.len(),
                    spec.as_ptr(),
                    value,
                )
            },
            // SAFETY: as above, for a `double`.
            Value::Float(value) => unsafe {
                libc::snprintf(
                    buffer.as_mut_ptr().cast::<c_char>(),
                    buffer.len(),
                    spec.as_ptr(),
                    value,
                )
            },
        };
        let length = usize::try_from(written.max(0 as c_int)).unwrap_or(0);
        output.extend_from_slice(&buffer[..length.min(buffer.len() - 1)]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Arguments packed as a kernel packs them.
    #[derive(Default)]
    struct Fake(Vec<u8>);

    impl Fake {
        fn int(mut self, value: i32) -> Self {
            self.0.resize(self.0.len().next_multiple_of(4), 0);
            self.0.extend(value.to_le_bytes());
            self
        }
        fn long(mut self, value: u64) -> Self {
            self.0.resize(self.0.len().next_multiple_of(8), 0);
            self.0.extend(value.to_le_bytes());
            self
        }
        fn double(self, value: f64) -> Self {
            self.long(value.to_bits())
        }
    }

    impl Arguments for Fake {
        type Error = u64;
        fn read(&self, offset: u64, size: u64) -> Result<u64, u64> {
            let at = usize::try_from(offset).map_err(|_| offset)?;
            let size = usize::try_from(size).map_err(|_| offset)?;
            let bytes = self.0.get(at..at + size).ok_or(offset)?;
            let mut word = [0; 8];
            word[..size].copy_from_slice(bytes);
            Ok(u64::from_le_bytes(word))
        }
        fn string(&self, address: u64, most: usize) -> Result<Vec<u8>, u64> {
            let text: &[u8] = if address == 16 {
                b"device text"
            } else {
                return Err(address);
            };
            Ok(text[..most.min(text.len())].to_vec())
        }
    }

    fn text(spec: &str, arguments: &Fake) -> String {
        let (bytes, _) = format(spec.as_bytes(), arguments).expect("arguments");
        String::from_utf8(bytes).expect("ascii")
    }

    #[test]
    fn integers() {
        let args = || Fake::default().int(-42);
        assert_eq!(text("[%d]", &args()), "[-42]");
        assert_eq!(text("[%6i]", &args()), "[   -42]");
        assert_eq!(text("[%-6d]", &args()), "[-42   ]");
        assert_eq!(text("[%06d]", &args()), "[-00042]");
        assert_eq!(text("[%.4d]", &args()), "[-0042]");
        assert_eq!(text("[%u]", &args()), "[4294967254]");
        assert_eq!(text("[%x]", &args()), "[ffffffd6]");
        assert_eq!(text("[%#X]", &args()), "[0XFFFFFFD6]");
        assert_eq!(text("[%hhd %+d]", &Fake::default().int(0x1ff).int(7)), "[-1 +7]");
        assert_eq!(text("[%hu]", &args()), "[65494]");
        assert_eq!(text("[%o]", &Fake::default().int(8)), "[10]");
        // A `long` after an `int` lies at the next multiple of eight.
        assert_eq!(
            text(
                "%d %lld %lu %d",
                &Fake::default().int(1).long(u64::MAX).long(u64::MAX).int(2)
            ),
            "1 -1 18446744073709551615 2"
        );
        assert_eq!(
            text("[%*d|%-*d]", &Fake::default().int(5).int(1).int(-4).int(2)),
            "[    1|2   ]"
        );
    }

    #[test]
    fn floating_point() {
        assert_eq!(
            text("%f %.2f", &Fake::default().double(1.5).double(2.345)),
            "1.500000 2.35"
        );
        assert_eq!(
            text("%e %G", &Fake::default().double(12345.678).double(1e-10)),
            "1.234568e+04 1E-10"
        );
        assert_eq!(
            text("%g %a", &Fake::default().double(100_000.0).double(1.0)),
            "100000 0x1p+0"
        );
        assert_eq!(
            text(
                "%5.1f|%f",
                &Fake::default().double(f64::NAN).double(f64::NEG_INFINITY)
            ),
            "  nan|-inf"
        );
    }

    #[test]
    fn characters_strings_pointers() {
        assert_eq!(text("%c%5c", &Fake::default().int(65).int(66)), "A    B");
        assert_eq!(
            text("%s|%8.3s|", &Fake::default().long(16).long(16)),
            "device text|     dev|"
        );
        assert_eq!(
            text("%s %p", &Fake::default().long(0).long(0xdead)),
            "(null) 0xdead"
        );
        assert_eq!(text("100%% sure", &Fake::default()), "100% sure");
    }

    #[test]
    fn hostile_formats_are_bounded_and_harmless() {
        // %n writes in C; here it is text.
        assert_eq!(text("a%n %d", &Fake::default().long(16).int(1)), "a%n %d");
        assert_eq!(text("%", &Fake::default()), "%");
        assert_eq!(text("%-", &Fake::default()), "%-");
        assert_eq!(
            text("%99999999999999999999d", &Fake::default().int(1)).len(),
            4096
        );
        assert_eq!(text("%.999999999f", &Fake::default().double(1.0)).len(), 4098);
        assert_eq!(text("%*d", &Fake::default().int(i32::MIN).int(1)).len(), 4096);
        assert_eq!(text("%.*f", &Fake::default().int(-1).double(1.0)), "1.000000");
        assert_eq!(
            text(
                &"%4096d".repeat(40),
                &(0..40).fold(Fake::default(), |fake, _| fake.int(1))
            )
            .len(),
            MOST_OUTPUT
        );
        // Arguments that are not there, strings that cannot be read.
        assert!(format(b"%d", &Fake::default()).is_err());
        assert_eq!(format(b"%s", &Fake::default().long(17)), Err(17));
    }

    #[test]
    fn counts_the_arguments_used() {
        let (_, used) = format(b"%d %*d %%", &Fake::default().int(1).int(2).int(3)).expect("arguments");
        assert_eq!(used, 3);
    }
}
