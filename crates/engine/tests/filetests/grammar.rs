//! The `// run:` lines of a test file; `tests/ptx/README.md` describes them.

use tessera_engine::texture::{Extent, Format, Image, Kind, Sampler, Wrap};

/// An element type of a buffer or parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Type {
    pub(crate) float: bool,
    pub(crate) bits: u32,
}

impl Type {
    pub(crate) const fn bytes(self) -> usize {
        self.bits as usize / 8
    }
}

/// A value that a test expects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    Bits(u64),
    /// `nan`: any NaN.
    Nan,
    /// `_`: not looked at.
    Any,
}

/// Memory that the kernel gets the address of.
#[derive(Clone, Debug)]
pub(crate) struct Buffer {
    pub(crate) ty: Type,
    /// Contents before the launch; `None` for a result.
    pub(crate) before: Option<Vec<u64>>,
    /// Contents after it.
    pub(crate) after: Vec<Value>,
}

/// A parameter.
#[derive(Clone, Debug)]
pub(crate) enum Arg {
    Scalar(Type, u64),
    Buffer(Buffer),
    Picture(Picture),
}

/// An image: the kernel gets its handle, or a variable of the module does.
#[derive(Clone, Debug)]
pub(crate) struct Picture {
    /// The `.texref` or `.surfref` variable.
    pub(crate) bound: Option<String>,
    /// Everything but the base.
    pub(crate) image: Image,
    /// Channels of all texels of all levels, without gaps.
    pub(crate) texels: Buffer,
}

/// Grid, block, dynamic shared memory.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    pub(crate) grid: [u32; 3],
    pub(crate) block: [u32; 3],
    pub(crate) shared: u32,
}

/// What a launch has to come to.
#[derive(Clone, Debug)]
pub(crate) enum Outcome {
    /// The buffers hold what they say; floats may be off by this.
    Done(Tolerance),
    /// The launch ends with the fault of this name.
    Fault(String),
}

/// How far a float may be from what is expected.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Tolerance {
    Exact,
    Ulp(u64),
    Absolute(f64),
    Relative(f64),
}

/// One `// run:` line.
#[derive(Clone, Debug)]
pub(crate) struct Run {
    pub(crate) line: usize,
    pub(crate) entry: String,
    /// `None`: thread `i` of one block handles element `i`.
    pub(crate) shape: Option<Shape>,
    pub(crate) args: Vec<Arg>,
    pub(crate) outcome: Outcome,
}

/// A test file.
#[derive(Clone, Debug)]
pub(crate) struct Tests {
    pub(crate) runs: Vec<Run>,
    /// `// refuses NAME: TEXT`: compiling the kernel fails with an error that contains the text.
    pub(crate) refusals: Vec<(usize, String, String)>,
}

/// Reads the comments of a test file.
pub(crate) fn parse(text: &str) -> Result<Tests, String> {
    let mut tests = Tests {
        runs: Vec::new(),
        refusals: Vec::new(),
    };
    let mut lines = text.lines().enumerate().peekable();
    while let Some((number, line)) = lines.next() {
        let line = line.trim();
        if let Some(rest) = line.strip_prefix("// refuses ") {
            let (name, why) = rest
                .split_once(": ")
                .ok_or(format!("line {}: `refuses NAME: TEXT`", number + 1))?;
            tests
                .refusals
                .push((number + 1, name.trim().to_owned(), why.trim().to_owned()));
        }
        let Some(first) = line.strip_prefix("// run:") else {
            continue;
        };
        let mut all = first.to_owned();
        // Deeper comments that follow belong to the line.
        while let Some((_, next)) = lines.peek() {
            let Some(more) = next.trim().strip_prefix("//     ") else {
                break;
            };
            all.push(' ');
            all.push_str(more);
            lines.next();
        }
        let run = Cursor { rest: all.trim() }.run(number + 1);
        tests
            .runs
            .push(run.map_err(|e| format!("line {}: {e}", number + 1))?);
    }
    Ok(tests)
}

struct Cursor<'a> {
    rest: &'a str,
}

type Result<T, E = String> = std::result::Result<T, E>;

impl<'a> Cursor<'a> {
    fn space(&mut self) {
        self.rest = self.rest.trim_start();
    }

    fn eat(&mut self, token: &str) -> bool {
        self.space();
        match self.rest.strip_prefix(token) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn expect(&mut self, token: &str) -> Result<()> {
        if self.eat(token) {
            Ok(())
        } else {
            Err(format!("`{token}` expected at `{}`", self.rest))
        }
    }

    fn word(&mut self) -> Result<&'a str> {
        self.space();
        let end = self
            .rest
            .find(|c: char| !(c.is_alphanumeric() || "_.-+$".contains(c)))
            .unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest;
        if word.is_empty() {
            Err(format!("a word expected at `{rest}`"))
        } else {
            Ok(word)
        }
    }

    fn number<T: std::str::FromStr>(&mut self) -> Result<T> {
        let word = self.word()?;
        word.parse().map_err(|_| format!("`{word}` is not a number here"))
    }

    /// `8` or `(8, 4, 2)`.
    fn dimensions(&mut self) -> Result<[u32; 3]> {
        if !self.eat("(") {
            return Ok([self.number()?, 1, 1]);
        }
        let mut all = [1; 3];
        for (i, one) in all.iter_mut().enumerate() {
            if i > 0 && !self.eat(",") {
                break;
            }
            *one = self.number()?;
        }
        self.expect(")")?;
        Ok(all)
    }

    fn shape(&mut self) -> Result<Option<Shape>> {
        if !self.eat("<<<") {
            return Ok(None);
        }
        let grid = self.dimensions()?;
        self.expect(",")?;
        let block = self.dimensions()?;
        let shared = if self.eat(",") { self.number()? } else { 0 };
        self.expect(">>>")?;
        Ok(Some(Shape { grid, block, shared }))
    }

    fn ty(&mut self) -> Result<Type> {
        let word = self.word()?;
        let (kind, bits) = word.split_at(1);
        let bits = bits.parse().map_err(|_| format!("`{word}` is not a type"))?;
        match (kind, bits) {
            ("u" | "s" | "b", 8 | 16 | 32 | 64) => Ok(Type { float: false, bits }),
            ("f", 32 | 64) => Ok(Type { float: true, bits }),
            _ => Err(format!("`{word}` is not a type")),
        }
    }

    fn value(&mut self, ty: Type) -> Result<Value> {
        let word = self.word()?;
        let bad = || format!("`{word}` is not a value of this type");
        let (negative, digits) = word.strip_prefix('-').map_or((false, word), |d| (true, d));
        let bits = match word {
            "_" => return Ok(Value::Any),
            "nan" => return Ok(Value::Nan),
            _ => match digits.strip_prefix("0x") {
                Some(hex) => u64::from_str_radix(hex, 16).map_err(|_| bad())?,
                None if ty.float && ty.bits == 32 => {
                    return word
                        .parse()
                        .map(|x: f32| Value::Bits(x.to_bits().into()))
                        .map_err(|_| bad());
                }
                None if ty.float => {
                    return word
                        .parse()
                        .map(|x: f64| Value::Bits(x.to_bits()))
                        .map_err(|_| bad());
                }
                None => digits.parse().map_err(|_| bad())?,
            },
        };
        let bits = if negative { bits.wrapping_neg() } else { bits };
        let mask = u64::MAX >> (64 - ty.bits);
        // Either the bits fit, or they are a negative number of this width.
        if bits & !mask != 0 && (bits as i64) >> (ty.bits - 1) != -1 {
            return Err(bad());
        }
        Ok(Value::Bits(bits & mask))
    }

    /// `[1, 2, 3..6, 7 x 4]`
    fn list(&mut self, ty: Type) -> Result<Vec<Value>> {
        self.expect("[")?;
        let mut all = Vec::new();
        while !self.eat("]") {
            if !all.is_empty() {
                self.expect(",")?;
            }
            self.space();
            // A range is told by its dots, which `word` would swallow.
            let end = self.rest.find([',', ']']).unwrap_or(self.rest.len());
            if let Some((first, last)) = self.rest[..end].split_once("..") {
                let parse = |s: &str| {
                    s.trim()
                        .parse::<u64>()
                        .map_err(|_| format!("`{s}` is no bound of a range"))
                };
                all.extend((parse(first)?..parse(last)?).map(Value::Bits));
                self.rest = &self.rest[end..];
                continue;
            }
            let value = self.value(ty)?;
            let times = if self.eat("x ") { self.number()? } else { 1 };
            all.extend(std::iter::repeat_n(value, times));
        }
        Ok(all)
    }

    fn arg(&mut self) -> Result<Arg> {
        let bound = if self.eat("bind ") {
            Some(self.word()?.to_owned())
        } else {
            None
        };
        self.space();
        if bound.is_some() || self.rest.starts_with("texture(") || self.rest.starts_with("surface(") {
            return self.picture(bound).map(Arg::Picture);
        }
        let ty = self.ty()?;
        self.space();
        if !self.rest.starts_with('[') {
            let Value::Bits(bits) = self.value(ty)? else {
                return Err("a parameter needs a value".into());
            };
            return Ok(Arg::Scalar(ty, bits));
        }
        self.buffer(ty)
    }

    /// `[before]` or `[before] -> [after]`
    fn buffer(&mut self, ty: Type) -> Result<Arg> {
        let before = self.list(ty)?;
        let after = if self.eat("->") {
            self.list(ty)?
        } else {
            before.clone()
        };
        if after.len() != before.len() {
            return Err("both sides of `->` need the same number of elements".into());
        }
        let bits = |v: &Value| match (v, ty.bits) {
            (Value::Bits(bits), _) => Ok(*bits),
            (Value::Nan, 32) => Ok(f32::NAN.to_bits().into()),
            (Value::Nan, 64) => Ok(f64::NAN.to_bits()),
            _ => Err("an argument needs values".to_owned()),
        };
        let before = before.iter().map(bits).collect::<Result<_>>()?;
        Ok(Arg::Buffer(Buffer {
            ty,
            before: Some(before),
            after,
        }))
    }

    /// `texture(2d f32x4 8x4 linear wrap normalized) [texels]`, or `surface(...)`.
    fn picture(&mut self, bound: Option<String>) -> Result<Picture> {
        let surface = self.eat("surface");
        if !surface {
            self.expect("texture")?;
        }
        self.expect("(")?;
        let (kind, layered) = match self.word()? {
            "1d" => (Kind::OneD, false),
            "2d" => (Kind::TwoD, false),
            "3d" => (Kind::ThreeD, false),
            "a1d" => (Kind::OneD, true),
            "a2d" => (Kind::TwoD, true),
            "cube" => (Kind::Cube, false),
            "acube" => (Kind::Cube, true),
            "buffer" => (Kind::Linear, false),
            other => return Err(format!("`{other}` is no kind of image")),
        };
        let word = self.word()?;
        let (name, channels) = word.split_once('x').unwrap_or((word, "1"));
        let format = match name {
            "u8" => Format::U8,
            "u16" => Format::U16,
            "u32" => Format::U32,
            "s8" => Format::S8,
            "s16" => Format::S16,
            "s32" => Format::S32,
            "f16" => Format::Half,
            "f32" => Format::Float,
            other => return Err(format!("`{other}` is no format of texels")),
        };
        let number = |text: &str| {
            text.parse::<u32>()
                .map_err(|_| format!("`{text}` is not a number"))
        };
        let mut extent = [1; 3];
        for (to, text) in extent.iter_mut().zip(self.word()?.split('x')) {
            *to = number(text)?;
        }
        // Layers of lines are slices, not rows.
        let [width, height, slices] = match kind {
            Kind::OneD => [extent[0], 1, extent[1]],
            _ => extent,
        };
        let mut image = Image {
            base: 0,
            shape: tessera_engine::texture::Shape {
                kind,
                layered,
                extent: Extent {
                    width,
                    height,
                    slices,
                },
                format,
                channels: number(channels)?,
                levels: 1,
                pitch: 0,
            },
            sampler: Sampler::default(),
            surface,
        };
        while !self.eat(")") {
            self.trait_of(&mut image)?;
        }
        let ty = Type {
            float: format == Format::Float,
            bits: format.bytes() * 8,
        };
        let Arg::Buffer(texels) = self.buffer(ty)? else {
            return Err("an image needs texels".into());
        };
        Ok(Picture { bound, image, texels })
    }

    fn trait_of(&mut self, image: &mut Image) -> Result<()> {
        let sampler = &mut image.sampler;
        match self.word()? {
            "linear" => sampler.linear = true,
            "wrap" => sampler.wrap = [Wrap::Wrap; 3],
            "mirror" => sampler.wrap = [Wrap::Mirror; 3],
            "border" => sampler.wrap = [Wrap::Border; 3],
            "normalized" => sampler.normalized = true,
            "unit" => sampler.unit = true,
            "srgb" => (sampler.unit, sampler.srgb) = (true, true),
            "linear_levels" => sampler.linear_levels = true,
            "bias" => sampler.level_bias = self.number()?,
            "pitch" => image.shape.pitch = self.number()?,
            "colour" => {
                for channel in &mut sampler.border {
                    *channel = self.number()?;
                }
            }
            "levels" => {
                image.shape.levels = self.number()?;
                sampler.level_clamp[1] = 100.0;
            }
            "most" => sampler.level_clamp[1] = self.number()?,
            "least" => sampler.level_clamp[0] = self.number()?,
            other => return Err(format!("`{other}` says nothing about an image")),
        }
        Ok(())
    }

    fn tolerance(&mut self) -> Result<Tolerance> {
        if !self.eat("within") {
            return Ok(Tolerance::Exact);
        }
        let amount = self.word()?;
        let bad = |_| format!("`{amount}` is not a number here");
        if self.eat("ulp") {
            Ok(Tolerance::Ulp(
                amount
                    .parse()
                    .map_err(|_| format!("`{amount}` is not a number here"))?,
            ))
        } else if self.eat("relative") {
            Ok(Tolerance::Relative(amount.parse().map_err(bad)?))
        } else {
            Ok(Tolerance::Absolute(amount.parse().map_err(bad)?))
        }
    }

    fn run(mut self, line: usize) -> Result<Run> {
        let entry = self.word()?.to_owned();
        let shape = self.shape()?;
        self.expect("(")?;
        let mut args = Vec::new();
        while !self.eat(")") {
            if !args.is_empty() {
                self.expect(",")?;
            }
            args.push(self.arg()?);
        }
        let outcome = if self.eat("faults") {
            self.space();
            let name = std::mem::take(&mut self.rest);
            Outcome::Fault(name.trim().to_owned())
        } else {
            if self.eat("==") {
                loop {
                    let ty = self.ty()?;
                    let after = self.list(ty)?;
                    args.push(Arg::Buffer(Buffer {
                        ty,
                        before: None,
                        after,
                    }));
                    if !self.eat(",") {
                        break;
                    }
                }
            }
            Outcome::Done(self.tolerance()?)
        };
        self.space();
        if !self.rest.is_empty() {
            return Err(format!("what is `{}`?", self.rest));
        }
        let checks = args.iter().any(|a| matches!(a, Arg::Buffer(_)));
        if !checks && matches!(outcome, Outcome::Done(_)) {
            return Err("nothing is checked".into());
        }
        Ok(Run {
            line,
            entry,
            shape,
            args,
            outcome,
        })
    }
}
