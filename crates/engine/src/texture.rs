//! Textures and surfaces: what an image is, and the header through which kernels find it.
//!
//! A handle that a kernel holds (`.u64` of a texture object, address of a `.texref` variable) is the device address of a
//! **header**: [`HEADER_BYTES`] bytes that describe an image and how it is read. The host writes it, instructions read it
//! through the context's memory, and so it lives, moves and dies like any other memory: a handle that was given back finds a
//! header that says nothing, or no memory at all, and the block faults.
//!
//! ```text
//!  handle ──▶ header (128 bytes) ── base ──▶ texels: level 0 │ level 1 │ ...   each level: slices, then rows, then texels
//! ```
//!
//! Invariant: a header is not trusted. [`Image::decode`] refuses what is out of range, and each texel is looked up like any
//! other access, so that the worst header reaches nothing but memory of its own context.

pub use tessera_arith::texture::{Format, Wrap};

/// Bytes of a header; it is aligned to as much.
pub const HEADER_BYTES: usize = 128;

/// Rows of an array begin at multiples of this.
const ROW_ALIGN: u64 = 16;
/// First word of a header that says something.
const MAGIC: u32 = 0x5445_5831;
/// Most texels along one axis of an array; linear memory may have more.
const MOST_TEXELS: u32 = 1 << 20;
/// Most levels of detail.
const MOST_LEVELS: u32 = 20;

/// What an image is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A line of texels, or a stack of them.
    OneD,
    /// Rows of texels, or a stack of them.
    TwoD,
    /// A box of texels.
    ThreeD,
    /// Six square faces, or a stack of sixes.
    Cube,
    /// A line in plain memory: reading beyond it gives zero.
    Linear,
}

impl Kind {
    const ALL: [Self; 5] = [Self::OneD, Self::TwoD, Self::ThreeD, Self::Cube, Self::Linear];
}

/// Extent of a level, in texels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Extent {
    /// Texels of a row.
    pub width: u32,
    /// Rows of a slice; 1 for lines.
    pub height: u32,
    /// Slices: depth of a box, layers of a stack, faces of cubes.
    pub slices: u32,
}

/// Where a level lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Level {
    /// Its extent.
    pub extent: Extent,
    /// Bytes from the base of the image.
    pub offset: u64,
    /// Bytes from row to row.
    pub pitch: u64,
}

impl Level {
    /// Bytes from slice to slice.
    #[must_use]
    pub const fn slice(&self) -> u64 {
        self.pitch * self.extent.height as u64
    }

    /// Bytes of the level.
    #[must_use]
    pub const fn bytes(&self) -> u64 {
        self.slice() * self.extent.slices as u64
    }
}

/// How an image is laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Shape {
    /// What it is.
    pub kind: Kind,
    /// Slices are layers: coordinates do not reach across them, and coarser levels have as many.
    pub layered: bool,
    /// Extent of the finest level.
    pub extent: Extent,
    /// Type of a channel.
    pub format: Format,
    /// Channels of a texel: 1, 2 or 4.
    pub channels: u32,
    /// Levels of detail.
    pub levels: u32,
    /// Bytes from row to row of plain memory; 0 for arrays, whose rows follow a rule.
    pub pitch: u64,
}

impl Shape {
    /// Bytes of a texel.
    #[inline]
    #[must_use]
    pub const fn texel_bytes(&self) -> u32 {
        self.format.bytes() * self.channels
    }

    /// Whether slices stay as many from level to level.
    #[must_use]
    pub const fn keeps_slices(&self) -> bool {
        self.layered || matches!(self.kind, Kind::Cube)
    }

    /// Layers, cubes counted by faces; 1 for what has none.
    #[must_use]
    pub const fn layers(&self) -> u32 {
        if self.keeps_slices() {
            self.extent.slices
        } else {
            1
        }
    }

    /// Level `n`, 0 being the finest.
    #[must_use]
    pub fn level(&self, n: u32) -> Level {
        let mut offset = 0;
        let mut level = self.level_at(0, 0);
        for i in 1..=n {
            offset += level.bytes();
            level = self.level_at(i, offset);
        }
        level
    }

    fn level_at(&self, n: u32, offset: u64) -> Level {
        let shrink = |texels: u32| (texels >> n.min(31)).max(1);
        let Extent {
            width,
            height,
            slices,
        } = self.extent;
        let extent = Extent {
            width: shrink(width),
            height: shrink(height),
            slices: if self.keeps_slices() {
                slices
            } else {
                shrink(slices)
            },
        };
        let row = u64::from(extent.width) * u64::from(self.texel_bytes());
        let pitch = if self.pitch > 0 {
            self.pitch
        } else {
            row.next_multiple_of(ROW_ALIGN)
        };
        Level {
            extent,
            offset,
            pitch,
        }
    }

    /// Bytes of all levels of an array.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        let last = self.level(self.levels.saturating_sub(1));
        last.offset + last.bytes()
    }

    /// Most levels that an image of this extent can have.
    #[must_use]
    pub fn most_levels(&self) -> u32 {
        let Extent {
            width,
            height,
            slices,
        } = self.extent;
        let depth = if self.keeps_slices() { 1 } else { slices };
        width.max(height).max(depth).max(1).ilog2() + 1
    }

    fn is_sound(&self) -> bool {
        let Extent {
            width,
            height,
            slices,
        } = self.extent;
        let linear = self.kind == Kind::Linear;
        let fits = |n: u32| n > 0 && n <= MOST_TEXELS;
        let flat = match self.kind {
            Kind::Linear => height == 1 && slices == 1 && !self.layered && self.levels == 1,
            Kind::OneD => height == 1 && (self.layered || slices == 1),
            Kind::TwoD => self.layered || slices == 1,
            Kind::ThreeD => !self.layered,
            Kind::Cube => width == height && slices.is_multiple_of(6) && (self.layered || slices == 6),
        };
        let row = u64::from(width) * u64::from(self.texel_bytes());
        flat && (linear && width > 0 || fits(width))
            && fits(height)
            && fits(slices)
            && matches!(self.channels, 1 | 2 | 4)
            && (1..=MOST_LEVELS).contains(&self.levels)
            && self.levels <= self.most_levels()
            && (self.pitch == 0 || self.pitch >= row && self.pitch < 1 << 32)
    }
}

/// How texels become a value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sampler {
    /// Beyond the edges, per axis.
    pub wrap: [Wrap; 3],
    /// Coordinates go from 0 to 1.
    pub normalized: bool,
    /// Between texels the value is interpolated.
    pub linear: bool,
    /// Between levels too.
    pub linear_levels: bool,
    /// Integers are read as numbers of 0 to 1 or -1 to 1.
    pub unit: bool,
    /// Colours of 8 bits are in the sRGB encoding.
    pub srgb: bool,
    /// Colour of the border.
    pub border: [f32; 4],
    /// Added to the level of detail.
    pub level_bias: f32,
    /// Least and most level of detail.
    pub level_clamp: [f32; 2],
}

impl Default for Sampler {
    fn default() -> Self {
        Self {
            wrap: [Wrap::Clamp; 3],
            normalized: false,
            linear: false,
            linear_levels: false,
            unit: false,
            srgb: false,
            border: [0.0; 4],
            level_bias: 0.0,
            level_clamp: [0.0; 2],
        }
    }
}

impl Sampler {
    /// The sampler that the initialiser of a `.samplerref` variable describes: names and values as written.
    ///
    /// # Errors
    /// The field that says nothing.
    pub fn of_fields(fields: &[(Box<str>, Box<str>)]) -> Result<Self, String> {
        let mut sampler = Self {
            normalized: true,
            ..Self::default()
        };
        for (name, value) in fields {
            let wrap = match &**value {
                "wrap" => Some(Wrap::Wrap),
                "mirror" => Some(Wrap::Mirror),
                "clamp_ogl" | "clamp_to_edge" => Some(Wrap::Clamp),
                "clamp_to_border" => Some(Wrap::Border),
                _ => None,
            };
            match (&**name, &**value, wrap) {
                ("addr_mode_0", _, Some(wrap)) => sampler.wrap[0] = wrap,
                ("addr_mode_1", _, Some(wrap)) => sampler.wrap[1] = wrap,
                ("addr_mode_2", _, Some(wrap)) => sampler.wrap[2] = wrap,
                ("filter_mode", "nearest", _) => sampler.linear = false,
                ("filter_mode", "linear", _) => sampler.linear = true,
                ("force_unnormalized_coords", "0" | "false", _) => sampler.normalized = true,
                ("force_unnormalized_coords", "1" | "true", _) => sampler.normalized = false,
                _ => return Err(format!("{name} = {value}")),
            }
        }
        Ok(sampler)
    }
}

/// An image and how it is read: what a header says.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Image {
    /// Device address of the texels.
    pub base: u64,
    /// Their layout.
    pub shape: Shape,
    /// How they are read.
    pub sampler: Sampler,
    /// It may be written; only surface instructions take it.
    pub surface: bool,
}

const fn wrap_number(wrap: Wrap) -> u32 {
    match wrap {
        Wrap::Wrap => 0,
        Wrap::Clamp => 1,
        Wrap::Mirror => 2,
        Wrap::Border => 3,
    }
}

fn wrap_of(number: u32) -> Wrap {
    match number & 3 {
        0 => Wrap::Wrap,
        1 => Wrap::Clamp,
        2 => Wrap::Mirror,
        _ => Wrap::Border,
    }
}

const LAYERED: u32 = 1 << 8;
const SURFACE: u32 = 1 << 9;
const NORMALIZED: u32 = 1 << 10;
const LINEAR: u32 = 1 << 11;
const LINEAR_LEVELS: u32 = 1 << 12;
const UNIT: u32 = 1 << 13;
const SRGB: u32 = 1 << 14;

impl Image {
    /// What the header of a `.samplerref` variable says: a sampler, and a line of nothing.
    #[must_use]
    pub const fn sampler_only(sampler: Sampler) -> Self {
        let extent = Extent {
            width: 1,
            height: 1,
            slices: 1,
        };
        Self {
            base: 0,
            shape: Shape {
                kind: Kind::Linear,
                layered: false,
                extent,
                format: Format::U8,
                channels: 1,
                levels: 1,
                pitch: 0,
            },
            sampler,
            surface: false,
        }
    }

    /// Puts a separate sampler in place of the image's own: addressing and filter. What texels mean stays.
    pub(crate) const fn take_sampler(&mut self, sampler: &Sampler) {
        self.sampler.wrap = sampler.wrap;
        self.sampler.linear = sampler.linear;
        self.sampler.normalized &= sampler.normalized;
    }

    /// The header: words of 32 bits, little endian.
    ///
    /// ```text
    ///  0 magic   1 kind, flags   2-3 base   4 format   5 channels   6 width   7 height   8 slices   9 levels   10-11 pitch
    ///  12 wrap, 2 bits per axis   13-16 border   17 level bias   18-19 least and most level   others zero
    /// ```
    #[must_use]
    pub fn encode(&self) -> [u8; HEADER_BYTES] {
        let (shape, sampler) = (&self.shape, &self.sampler);
        let flag = |set: bool, bit: u32| if set { bit } else { 0 };
        let flags = flag(shape.layered, LAYERED)
            | flag(self.surface, SURFACE)
            | flag(sampler.normalized, NORMALIZED)
            | flag(sampler.linear, LINEAR)
            | flag(sampler.linear_levels, LINEAR_LEVELS)
            | flag(sampler.unit, UNIT)
            | flag(sampler.srgb, SRGB);
        let mut words = [0u32; HEADER_BYTES / 4];
        let wide = |v: u64| [v & 0xffff_ffff, v >> 32].map(|half| u32::try_from(half).unwrap_or(0));
        words[0] = MAGIC;
        words[1] = shape.kind as u32 | flags;
        words[2..4].copy_from_slice(&wide(self.base));
        words[4] = shape.format.number();
        words[5] = shape.channels;
        words[6] = shape.extent.width;
        words[7] = shape.extent.height;
        words[8] = shape.extent.slices;
        words[9] = shape.levels;
        words[10..12].copy_from_slice(&wide(shape.pitch));
        for (axis, wrap) in sampler.wrap.into_iter().enumerate() {
            words[12] |= wrap_number(wrap) << (2 * axis);
        }
        words[13..17].copy_from_slice(&sampler.border.map(f32::to_bits));
        words[17] = sampler.level_bias.to_bits();
        words[18..20].copy_from_slice(&sampler.level_clamp.map(f32::to_bits));
        let mut bytes = [0; HEADER_BYTES];
        for (to, word) in bytes.chunks_exact_mut(4).zip(words) {
            to.copy_from_slice(&word.to_le_bytes());
        }
        bytes
    }

    /// Reads a header; `None` when it describes no image.
    #[must_use]
    pub fn decode(header: &[u8; HEADER_BYTES]) -> Option<Self> {
        let mut words = [0u32; HEADER_BYTES / 4];
        for (word, from) in words.iter_mut().zip(header.as_chunks::<4>().0) {
            *word = u32::from_le_bytes(*from);
        }
        if words[0] != MAGIC {
            return None;
        }
        let has = |bit: u32| words[1] & bit != 0;
        let wide = |at: usize| u64::from(words[at]) | u64::from(words[at + 1]) << 32;
        let float = |at: usize| f32::from_bits(words[at]);
        let shape = Shape {
            kind: *Kind::ALL.get((words[1] & 0xff) as usize)?,
            layered: has(LAYERED),
            extent: Extent {
                width: words[6],
                height: words[7],
                slices: words[8],
            },
            format: Format::from_number(words[4])?,
            channels: words[5],
            levels: words[9],
            pitch: wide(10),
        };
        let sampler = Sampler {
            wrap: [0, 2, 4].map(|bit| wrap_of(words[12] >> bit)),
            normalized: has(NORMALIZED),
            linear: has(LINEAR),
            linear_levels: has(LINEAR_LEVELS),
            unit: has(UNIT),
            srgb: has(SRGB),
            border: [float(13), float(14), float(15), float(16)],
            level_bias: float(17),
            level_clamp: [float(18), float(19)],
        };
        let image = Self {
            base: wide(2),
            shape,
            sampler,
            surface: has(SURFACE),
        };
        (shape.is_sound() && image.base < 1 << 62).then_some(image)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(kind: Kind, extent: [u32; 3]) -> Shape {
        let [width, height, slices] = extent;
        Shape {
            kind,
            layered: false,
            extent: Extent {
                width,
                height,
                slices,
            },
            format: Format::Float,
            channels: 1,
            levels: 1,
            pitch: 0,
        }
    }

    #[test]
    fn levels_lie_one_behind_the_other() {
        let cube = Shape {
            levels: 3,
            ..shape(Kind::Cube, [5, 5, 6])
        };
        assert_eq!(cube.level(0).pitch, 32);
        assert_eq!(cube.level(1).offset, 32 * 5 * 6);
        let coarse = cube.level(2);
        assert_eq!(
            (coarse.extent.width, coarse.extent.slices, coarse.pitch),
            (1, 6, 16)
        );
        assert_eq!(cube.bytes(), 32 * 5 * 6 + 16 * 2 * 6 + 16 * 6);
        let volume = Shape {
            levels: 2,
            ..shape(Kind::ThreeD, [4, 4, 4])
        };
        assert_eq!(volume.level(1).extent.slices, 2);
        assert_eq!(volume.most_levels(), 3);
    }

    #[test]
    fn a_header_says_what_was_put_in() {
        let image = Image {
            base: 0x2000_0000_1000,
            shape: Shape {
                layered: true,
                levels: 2,
                channels: 4,
                format: Format::S16,
                ..shape(Kind::TwoD, [7, 9, 3])
            },
            sampler: Sampler {
                wrap: [Wrap::Mirror, Wrap::Border, Wrap::Wrap],
                normalized: true,
                linear_levels: true,
                border: [1.0, -2.0, 0.5, 9.0],
                level_bias: 0.25,
                level_clamp: [0.5, 1.0],
                ..Sampler::default()
            },
            surface: true,
        };
        assert_eq!(Image::decode(&image.encode()), Some(image));
    }

    #[test]
    fn a_header_is_not_trusted() {
        assert_eq!(Image::decode(&[0; HEADER_BYTES]), None);
        let good = |shape| Image {
            base: 4096,
            shape,
            sampler: Sampler::default(),
            surface: false,
        };
        let refused = |shape| assert_eq!(Image::decode(&good(shape).encode()), None, "{shape:?}");
        refused(shape(Kind::TwoD, [0, 1, 1]));
        refused(shape(Kind::TwoD, [1, 1, 2]));
        refused(shape(Kind::Cube, [4, 3, 6]));
        refused(shape(Kind::Cube, [4, 4, 5]));
        refused(shape(Kind::Linear, [4, 2, 1]));
        refused(shape(Kind::ThreeD, [MOST_TEXELS + 1, 1, 1]));
        let mut other = shape(Kind::TwoD, [4, 4, 1]);
        other.channels = 3;
        refused(other);
        other.channels = 1;
        other.levels = 4;
        refused(other);
        other.levels = 1;
        other.pitch = 15;
        refused(other);
        other.pitch = 16;
        assert!(Image::decode(&good(other).encode()).is_some());
        let mut bytes = good(other).encode();
        bytes[16] = 7;
        assert_eq!(Image::decode(&bytes), None, "no such format");
    }
}
