//! Texture fetches: headers, coordinates to texels, filtering, gathering.
//!
//! ```text
//!  handle of each lane ─▶ header (read once per run of equal handles) ─▶ 2D floats, one level, in one span? ─▶ 16 lanes at once
//!                                                                            └ no ─▶ lane by lane
//! ```
//!
//! The arithmetic is that of `tessera_arith::texture`, in both ways the same to the bit.

use tessera_arith::texture::{
    WEIGHT_ONE, Wrap, between, between_levels, cube_face, element, from_srgb, in_texels, level_of_detail,
    nearest, nearest_level, texel, to_half, unit, weights,
};

use super::isa::{Body, CHUNK, Isa};
use super::{Cx, NUMBER, Op, Site};
use crate::env::{Access, Memory};
use crate::error::FaultKind;
use crate::lir::{Geom, Lod, Out, TexOp};
use crate::texture::{HEADER_BYTES, Image, Kind, Level};

/// What went wrong in a lane, and where.
pub(super) type LaneFault = (FaultKind, u64);

/// Memory of the context, with the span that was used last.
pub(super) struct Reader<'a> {
    memory: &'a dyn Memory,
    access: Access,
    span: Site,
}

impl<'a> Reader<'a> {
    pub(super) fn new(memory: &'a dyn Memory, access: Access) -> Self {
        Self {
            memory,
            access,
            span: Site::EMPTY,
        }
    }

    /// Host address of `bytes` bytes.
    #[inline]
    pub(super) fn at(&mut self, address: u64, bytes: u64) -> Result<*mut u8, LaneFault> {
        if let Some(p) = self.span.at(address, bytes) {
            return Ok(p);
        }
        let fault = (FaultKind::IllegalAddress, address);
        let span = self.memory.lookup(address, self.access).ok_or(fault)?;
        self.span = Site {
            lo: span.lo,
            len: span.len,
            host: span.host,
        };
        self.span.at(address, bytes).ok_or(fault)
    }
}

/// The image of a handle.
pub(super) fn image_of(memory: &dyn Memory, handle: u64) -> Result<Image, LaneFault> {
    let fault = (FaultKind::IllegalAddress, handle);
    if !handle.is_multiple_of(8) {
        return Err(fault);
    }
    let p = Reader::new(memory, Access::Read).at(handle, HEADER_BYTES as u64)?;
    let mut header = [0; HEADER_BYTES];
    for i in 0..HEADER_BYTES / 8 {
        // SAFETY: the header lies in a span that is mapped for reading. The host may write it at the same time: each word is
        // read once, and what they say together is checked.
        let word = unsafe { p.add(8 * i).cast::<u64>().read_volatile() };
        header[8 * i..8 * i + 8].copy_from_slice(&word.to_le_bytes());
    }
    Image::decode(&header).ok_or(fault)
}

/// The last image that a lane used, with its handles.
pub(super) struct Found {
    handles: (u64, u64),
    pub(super) image: Image,
}

impl Found {
    /// The image of texture `handle`, read as the header `sampler` says.
    pub(super) fn find<'f>(
        last: &'f mut Option<Self>,
        memory: &dyn Memory,
        handles: (u64, u64),
    ) -> Result<&'f Self, LaneFault> {
        match last {
            Some(found) if found.handles == handles => {}
            _ => {
                let mut image = image_of(memory, handles.0)?;
                if handles.1 != handles.0 {
                    image.take_sampler(&image_of(memory, handles.1)?.sampler);
                }
                *last = Some(Self { handles, image });
            }
        }
        last.as_ref().ok_or((FaultKind::IllegalAddress, handles.0))
    }
}

/// Sixteen lanes of a 32-bit operand.
///
/// # Safety
/// `operand` is one, made by the decoder; the group has chunk `c`.
#[inline(always)]
pub(super) unsafe fn chunk32(cx: &Cx, operand: u32, c: usize) -> [u32; CHUNK] {
    // SAFETY: the caller's promise.
    unsafe {
        let (p, step) = cx.source(operand, 64);
        *p.add(c * step).cast()
    }
}

/// Sixteen lanes of a 64-bit operand.
///
/// # Safety
/// As [`chunk32`].
#[inline(always)]
pub(super) unsafe fn chunk64(cx: &Cx, operand: u32, c: usize) -> [u64; CHUNK] {
    // SAFETY: the caller's promise.
    unsafe {
        let (p, step) = cx.source(operand, 128);
        *p.add(c * step).cast()
    }
}

/// The operands of sixteen lanes.
struct Lanes {
    layer: [u32; CHUNK],
    coords: [[u32; CHUNK]; 3],
    /// Level, or both gradients.
    lod: [[u32; CHUNK]; 6],
    offsets: [[u32; CHUNK]; 3],
}

/// The operands of one lane.
struct Lane {
    layer: u32,
    coords: [u32; 3],
    lod: [u32; 6],
    offsets: [i32; 3],
}

impl Lanes {
    /// # Safety
    /// `list` has the operands of `t` from the coordinates on.
    #[inline(always)]
    unsafe fn load(cx: &Cx, t: TexOp, list: *const u32, c: usize) -> Self {
        let mut lanes = Self {
            layer: [0; CHUNK],
            coords: [[0; CHUNK]; 3],
            lod: [[0; CHUNK]; 6],
            offsets: [[0; CHUNK]; 3],
        };
        // SAFETY: the caller's promise.
        unsafe {
            let mut list = list;
            let mut next = || {
                let operand = *list;
                list = list.add(1);
                chunk32(cx, operand, c)
            };
            if t.geom.layered() {
                lanes.layer = next();
            }
            for row in lanes.coords.iter_mut().take(t.geom.coords()) {
                *row = next();
            }
            for row in lanes.lod.iter_mut().take(t.lod_operands()) {
                *row = next();
            }
            for row in lanes.offsets.iter_mut().take(usize::from(t.offsets)) {
                *row = next();
            }
        }
        lanes
    }

    fn lane(&self, i: usize) -> Lane {
        Lane {
            layer: self.layer[i],
            coords: self.coords.map(|row| row[i]),
            lod: self.lod.map(|row| row[i]),
            offsets: self.offsets.map(|row| row[i].cast_signed()),
        }
    }
}

/// `tex` and `tld4`. `imm` is where the operands stand in the table: texture, maybe sampler, coordinates, level or gradients,
/// offsets, results; the flags hold the [`TexOp`].
pub(crate) struct Fetch;
impl Body for Fetch {
    #[inline(always)]
    unsafe fn run<I: Isa>(cx: &mut Cx, op: *const Op) -> *const Op {
        // SAFETY: the contract of `Body`; the decoder wrote as many operands as `t` says.
        unsafe {
            let o = *op;
            let t = TexOp::unpack(o.flags >> NUMBER);
            let list = cx.targets.add(o.imm.cast_unsigned() as usize);
            let args = list.add(1 + usize::from(t.sampler));
            let results = args.add(t.operands());
            let mut last = None;
            for c in 0..cx.chunks {
                let m = cx.chunk_mask(c);
                if m == 0 {
                    continue;
                }
                let texture = chunk64(cx, *list, c);
                let sampler = chunk64(cx, *list.add(usize::from(t.sampler)), c);
                let lanes = Lanes::load(cx, t, args, c);
                let mut out = [[0u32; CHUNK]; 4];
                let first = m.trailing_zeros() as usize % CHUNK;
                let handles = (texture[first], sampler[first]);
                let one = I::on_line(&texture, handles.0, 0) & I::on_line(&sampler, handles.1, 0) & m == m;
                let found = Found::find(&mut last, cx.env().memory, handles);
                let flat = match found {
                    Ok(found) if one => Flat::of(t, &found.image, cx.env().memory),
                    _ => None,
                };
                if let Some(flat) = flat {
                    flat.sample(&lanes.coords, m, &mut out);
                } else if let Err((lane, fault)) = each(
                    cx.env().memory,
                    t,
                    (&texture, &sampler),
                    &lanes,
                    m,
                    &mut last,
                    &mut out,
                ) {
                    let number = u32::try_from(c * CHUNK + lane).unwrap_or(0);
                    return cx.fail(op, fault.0, number, fault.1);
                }
                for (k, row) in out.iter().enumerate().take(usize::from(t.results)) {
                    I::store32(cx.destination(*results.add(k)).add(c * 64).cast(), row, m);
                }
            }
            op.add(1)
        }
    }
}

/// Lane by lane.
#[inline(never)]
fn each(
    memory: &dyn Memory,
    t: TexOp,
    (texture, sampler): (&[u64; CHUNK], &[u64; CHUNK]),
    lanes: &Lanes,
    m: u16,
    last: &mut Option<Found>,
    out: &mut [[u32; CHUNK]; 4],
) -> Result<(), (usize, LaneFault)> {
    let mut reader = Reader::new(memory, Access::Read);
    for i in 0..CHUNK {
        if m >> i & 1 == 0 {
            continue;
        }
        let value = Found::find(last, memory, (texture[i], sampler[i]))
            .and_then(|found| sample(&mut reader, &found.image, texture[i], t, &lanes.lane(i)))
            .map_err(|fault| (i, fault))?;
        for (row, v) in out.iter_mut().zip(finish(value, &t)) {
            row[i] = v;
        }
    }
    Ok(())
}

/// Registers of the result.
fn finish(value: [u32; 4], t: &TexOp) -> [u32; 4] {
    match t.out {
        Out::Words => value,
        Out::Half => value.map(to_half),
        Out::HalfPairs => {
            let [a, b, c, d] = value.map(to_half);
            [a | b << 16, c | d << 16, 0, 0]
        }
    }
}

/// Whether an instruction of this geometry may read the image.
fn fits(t: TexOp, image: &Image) -> bool {
    let shape = &image.shape;
    let kind = match t.geom {
        Geom::D1 | Geom::A1 => matches!(shape.kind, Kind::OneD | Kind::Linear),
        Geom::D2 | Geom::A2 => shape.kind == Kind::TwoD,
        Geom::D3 => shape.kind == Kind::ThreeD,
        Geom::Cube | Geom::ACube => shape.kind == Kind::Cube,
    };
    kind && shape.layered == t.geom.layered() && !image.surface
}

/// How texels of an image are read: what is the same for all taps of a lane.
struct View<'a> {
    image: &'a Image,
    /// Texels are numbers that can be interpolated.
    floats: bool,
    /// Colour of the border as registers hold it.
    border: [u32; 4],
}

impl<'a> View<'a> {
    fn new(image: &'a Image) -> Self {
        let format = image.shape.format;
        let floats = format.is_float() || image.sampler.unit && format.has_unit();
        let colour = if image.shape.kind == Kind::Linear {
            [0.0; 4]
        } else {
            image.sampler.border
        };
        #[allow(
            clippy::cast_possible_truncation,
            reason = "what a border of an integer image is"
        )]
        let border = colour.map(|v| {
            if floats {
                v.to_bits()
            } else {
                (v as i32).cast_unsigned()
            }
        });
        Self {
            image,
            floats,
            border,
        }
    }

    /// One channel as a register holds it.
    fn channel(&self, k: usize, raw: u32) -> u32 {
        let (format, sampler) = (self.image.shape.format, &self.image.sampler);
        if !self.floats || format.is_float() {
            element(format, raw)
        } else if sampler.srgb && k < 3 {
            from_srgb(raw).to_bits()
        } else {
            unit(format, raw).to_bits()
        }
    }

    /// A texel; `None` is the border. Channels that the image lacks are 0, the last one 1.
    fn texel(
        &self,
        reader: &mut Reader<'_>,
        level: &Level,
        at: [Option<u32>; 3],
    ) -> Result<[u32; 4], LaneFault> {
        let [Some(x), Some(y), Some(z)] = at.map(|i| i.map(u64::from)) else {
            return Ok(self.border);
        };
        let shape = &self.image.shape;
        let bytes = u64::from(shape.texel_bytes());
        let offset = level.offset + z * level.slice() + y * level.pitch + x * bytes;
        let p = reader.at(self.image.base.wrapping_add(offset), bytes)?;
        let mut value = [0, 0, 0, if self.floats { 1f32.to_bits() } else { 1 }];
        for (k, v) in value.iter_mut().enumerate().take(shape.channels as usize) {
            // SAFETY: the texel lies in a span that is mapped for reading.
            let raw = unsafe {
                match shape.format.bytes() {
                    1 => u32::from(p.add(k).read()),
                    2 => u32::from(p.add(2 * k).cast::<u16>().read_unaligned()),
                    _ => p.add(4 * k).cast::<u32>().read_unaligned(),
                }
            };
            *v = self.channel(k, raw);
        }
        Ok(value)
    }
}

/// Texels along one axis with their weights.
#[derive(Clone, Copy)]
struct Taps {
    index: [Option<u32>; 2],
    weight: [f64; 2],
}

/// Along an axis that the image does not have, or across layers.
const fn fixed(index: u32) -> Taps {
    Taps {
        index: [Some(index), None],
        weight: [1.0, 0.0],
    }
}

/// A place in an image, before a level is chosen.
struct Place {
    /// Coordinates as `f32`, or `i32` where `ints`.
    coords: [u32; 3],
    ints: bool,
    axes: usize,
    slice: u32,
    normalized: bool,
    wrap: [Wrap; 3],
    offsets: [i32; 3],
}

impl Place {
    fn new(image: &Image, t: TexOp, lane: &Lane) -> Self {
        let (shape, sampler) = (&image.shape, &image.sampler);
        let layers = shape.layers();
        let clamped = |count: u32| lane.layer.cast_signed().max(0).cast_unsigned().min(count - 1);
        let mut place = Self {
            coords: lane.coords,
            ints: t.ints,
            axes: t.geom.axes(),
            slice: clamped(layers.max(1)),
            normalized: sampler.normalized && !t.ints && shape.kind != Kind::Linear,
            wrap: sampler.wrap,
            offsets: lane.offsets,
        };
        if shape.kind == Kind::Cube {
            let (face, u, v) = cube_face(lane.coords.map(f32::from_bits));
            place.coords = [u.to_bits(), v.to_bits(), 0];
            place.slice = clamped((layers / 6).max(1)) * 6 + face;
            place.normalized = true;
            place.wrap = [Wrap::Clamp; 3];
        }
        for wrap in &mut place.wrap {
            if shape.kind == Kind::Linear {
                *wrap = Wrap::Border;
            } else if !place.normalized && *wrap != Wrap::Border {
                // Coordinates in texels do not repeat.
                *wrap = Wrap::Clamp;
            }
        }
        place
    }

    fn taps(&self, axis: usize, n: u32, linear: bool) -> Taps {
        let (raw, wrap) = (self.coords[axis], self.wrap[axis]);
        let offset = i64::from(self.offsets[axis]);
        if self.ints {
            let index = texel(i64::from(raw.cast_signed()) + offset, n, wrap);
            return Taps {
                index: [index, None],
                weight: [1.0, 0.0],
            };
        }
        let u = in_texels(f32::from_bits(raw), n, self.normalized, wrap);
        if !linear {
            return Taps {
                index: [texel(nearest(u) + offset, n, wrap), None],
                weight: [1.0, 0.0],
            };
        }
        let (i, upper) = between(u);
        Taps {
            index: [i + offset, i + offset + 1].map(|i| texel(i, n, wrap)),
            weight: weights(upper),
        }
    }

    /// Taps along x, y and z.
    fn all_taps(&self, level: &Level, linear: bool) -> [Taps; 3] {
        let extent = level.extent;
        let along = |axis: usize, n: u32| {
            if axis < self.axes {
                self.taps(axis, n, linear)
            } else {
                fixed(if axis == 2 { self.slice } else { 0 })
            }
        };
        [
            along(0, extent.width),
            along(1, extent.height),
            along(2, extent.slices),
        ]
    }
}

/// The value that one lane gets.
#[inline(never)]
fn sample(
    reader: &mut Reader<'_>,
    image: &Image,
    handle: u64,
    t: TexOp,
    lane: &Lane,
) -> Result<[u32; 4], LaneFault> {
    if !fits(t, image) {
        return Err((FaultKind::IllegalInstruction, handle));
    }
    let (view, place) = (View::new(image), Place::new(image, t, lane));
    let linear = image.sampler.linear && view.floats && !t.ints && image.shape.kind != Kind::Linear;
    if let Some(component) = t.gather {
        return gather(reader, &view, &place, usize::from(component));
    }
    let (level, coarser) = levels(image, t, lane);
    let fine = image.shape.level(level);
    if coarser == 0 || !view.floats {
        return if linear {
            blend(reader, &view, &fine, &place.all_taps(&fine, true)).map(|v| v.map(round))
        } else {
            let at = place.all_taps(&fine, false).map(|taps| taps.index[0]);
            view.texel(reader, &fine, at)
        };
    }
    let coarse = image.shape.level(level + 1);
    let near = blend(reader, &view, &fine, &place.all_taps(&fine, linear))?;
    let far = blend(reader, &view, &coarse, &place.all_taps(&coarse, linear))?;
    let [low, high] = weights(coarser);
    let mut value = [0; 4];
    for (k, v) in value.iter_mut().enumerate() {
        *v = round(near[k] * low + far[k] * high);
    }
    Ok(value)
}

#[allow(clippy::cast_possible_truncation, reason = "rounding is what is wanted")]
fn round(v: f64) -> u32 {
    (v as f32).to_bits()
}

/// Level of detail: the finer level, and the weight of the next one.
fn levels(image: &Image, t: TexOp, lane: &Lane) -> (u32, u32) {
    let (shape, sampler) = (&image.shape, &image.sampler);
    if shape.levels <= 1 {
        return (0, 0);
    }
    let asked = match t.lod {
        Lod::Base => return (0, 0),
        Lod::Zero => 0.0,
        Lod::Level if t.ints => {
            #[allow(clippy::cast_precision_loss, reason = "levels are few")]
            let level = lane.lod[0].cast_signed() as f32;
            level
        }
        Lod::Level => f32::from_bits(lane.lod[0]),
        Lod::Grad => gradient(image, t, lane),
    };
    let [least, most] = sampler.level_clamp;
    let lod = (asked + sampler.level_bias).max(least).min(most);
    if sampler.linear_levels {
        between_levels(lod, shape.levels)
    } else {
        (nearest_level(lod, shape.levels), 0)
    }
}

fn gradient(image: &Image, t: TexOp, lane: &Lane) -> f32 {
    let extent = image.shape.extent;
    let axes = t.geom.axes();
    let step = |from: usize| {
        let mut step = [0.0; 3];
        for (axis, n) in [extent.width, extent.height, extent.slices]
            .into_iter()
            .enumerate()
            .take(axes)
        {
            #[allow(clippy::cast_precision_loss, reason = "images are shorter than 2^24 texels")]
            let scale = if image.sampler.normalized { n as f32 } else { 1.0 };
            step[axis] = f32::from_bits(lane.lod[from + axis]) * scale;
        }
        step
    };
    level_of_detail(step(0), step(axes))
}

/// The weighted sum of up to eight texels. A texel without weight is not read: what it holds does not matter.
fn blend(
    reader: &mut Reader<'_>,
    view: &View<'_>,
    level: &Level,
    taps: &[Taps; 3],
) -> Result<[f64; 4], LaneFault> {
    let mut sum = [0.0; 4];
    let [tx, ty, tz] = taps;
    for (z, y, x) in (0..8).map(|n| (n >> 2, n >> 1 & 1, n & 1)) {
        let weight = tx.weight[x] * ty.weight[y] * tz.weight[z];
        if weight > 0.0 {
            let at = [tx.index[x], ty.index[y], tz.index[z]];
            let value = view.texel(reader, level, at)?;
            for (s, v) in sum.iter_mut().zip(value) {
                *s += weight * f64::from(f32::from_bits(v));
            }
        }
    }
    Ok(sum)
}

/// One channel of the four texels that linear filtering would weigh, counter-clockwise from the lower left one.
fn gather(
    reader: &mut Reader<'_>,
    view: &View<'_>,
    place: &Place,
    component: usize,
) -> Result<[u32; 4], LaneFault> {
    let level = view.image.shape.level(0);
    let [tx, ty, tz] = place.all_taps(&level, true);
    let mut value = [0; 4];
    for (v, (x, y)) in value.iter_mut().zip([(0, 1), (1, 1), (1, 0), (0, 0)]) {
        let at = [tx.index[x], ty.index[y], tz.index[0]];
        *v = view.texel(reader, &level, at)?[component & 3];
    }
    Ok(value)
}

/// A flat image of floats that lies in one span: all its texels can be read without a further look.
struct Flat {
    texels: *const u8,
    pitch: usize,
    size: [i32; 2],
    channels: usize,
    normalized: bool,
    repeats: [bool; 2],
    linear: bool,
}

/// Longest side of an image for which positions in 256ths of a texel are exact in `f32`.
const MOST_FLAT: u32 = 1 << 14;

impl Flat {
    #[inline]
    fn of(t: TexOp, image: &Image, memory: &dyn Memory) -> Option<Self> {
        let (shape, sampler) = (&image.shape, &image.sampler);
        let plain = t.geom == Geom::D2
            && !t.ints
            && t.offsets == 0
            && t.gather.is_none()
            && t.out == Out::Words
            && shape.kind == Kind::TwoD
            && !shape.layered
            && !image.surface
            && shape.levels == 1
            && shape.format == tessera_arith::texture::Format::Float
            && shape.extent.width.max(shape.extent.height) <= MOST_FLAT;
        let simple = |wrap: Wrap| match wrap {
            Wrap::Clamp => true,
            Wrap::Wrap => true,
            Wrap::Mirror => !sampler.normalized,
            Wrap::Border => false,
        };
        if !plain || !simple(sampler.wrap[0]) || !simple(sampler.wrap[1]) {
            return None;
        }
        let level = shape.level(0);
        let row = u64::from(shape.extent.width) * u64::from(shape.texel_bytes());
        let bytes = level.pitch * u64::from(shape.extent.height - 1) + row;
        let texels = Reader::new(memory, Access::Read).at(image.base, bytes).ok()?;
        let side = |n: u32| i32::try_from(n).ok();
        Some(Self {
            texels,
            pitch: usize::try_from(level.pitch).ok()?,
            size: [side(shape.extent.width)?, side(shape.extent.height)?],
            channels: shape.channels as usize,
            normalized: sampler.normalized,
            repeats: [0, 1].map(|axis| sampler.normalized && sampler.wrap[axis] == Wrap::Wrap),
            linear: sampler.linear,
        })
    }

    /// Lower and upper texel and the upper one's weight along an axis.
    #[inline(always)]
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_precision_loss,
        reason = "bounded just before"
    )]
    fn axis(&self, axis: usize, coords: &[u32; CHUNK]) -> ([i32; CHUNK], [i32; CHUNK], [i32; CHUNK]) {
        let n = self.size[axis];
        let (mut low, mut high, mut weight) = ([0; CHUNK], [0; CHUNK], [0; CHUNK]);
        let one = WEIGHT_ONE.cast_signed();
        for i in 0..CHUNK {
            let x = f32::from_bits(coords[i]);
            let near = if self.repeats[axis] { x - x.floor() } else { x };
            let u = if self.normalized { near * n as f32 } else { near };
            let u = if u.is_nan() {
                0.0
            } else {
                u.clamp(-2.0, n as f32 + 2.0)
            };
            let (at, upper) = if self.linear {
                // A weight of one for the upper texel is one of none for that texel and the next: the sum is the same.
                let fixed = (u * one as f32 + 0.5).floor() as i32 - one / 2;
                (fixed.div_euclid(one), fixed.rem_euclid(one))
            } else {
                (u.floor() as i32, 0)
            };
            let inside = |at: i32| {
                if self.repeats[axis] {
                    let at = if at < 0 { at + n } else { at };
                    if at >= n { at - n } else { at }
                } else {
                    at.clamp(0, n - 1)
                }
            };
            // A length of one may leave an index that repeats outside by one.
            low[i] = inside(at).clamp(0, n - 1);
            high[i] = inside(at + 1).clamp(0, n - 1);
            weight[i] = upper;
        }
        (low, high, weight)
    }

    /// # Safety
    /// `x` and `y` lie in the image.
    #[inline(always)]
    #[allow(clippy::cast_sign_loss, reason = "not negative")]
    unsafe fn texel(&self, x: i32, y: i32, k: usize) -> u32 {
        let offset = y as usize * self.pitch + (x as usize * self.channels + k) * 4;
        // SAFETY: all texels lie in the span that `of` looked up.
        unsafe { self.texels.add(offset).cast::<u32>().read_unaligned() }
    }

    /// Reads the lanes of `m`.
    ///
    /// # Safety
    /// The span is still mapped: the run of the group has not reached a safe point since [`Flat::of`].
    #[inline(always)]
    #[allow(clippy::cast_possible_truncation, reason = "rounding is what is wanted")]
    unsafe fn sample(&self, coords: &[[u32; CHUNK]; 3], m: u16, out: &mut [[u32; CHUNK]; 4]) {
        let (x0, x1, wx) = self.axis(0, &coords[0]);
        let (y0, y1, wy) = self.axis(1, &coords[1]);
        out[3] = [1f32.to_bits(); CHUNK];
        let one = f64::from(WEIGHT_ONE);
        for i in 0..CHUNK {
            if m >> i & 1 == 0 {
                continue;
            }
            for k in 0..self.channels {
                // SAFETY: `axis` gives texels of the image only.
                unsafe {
                    if !self.linear {
                        out[k][i] = self.texel(x0[i], y0[i], k);
                        continue;
                    }
                    let (ux, uy) = (f64::from(wx[i]) / one, f64::from(wy[i]) / one);
                    let tap = |x, y, weight: f64| {
                        let v = f64::from(f32::from_bits(self.texel(x, y, k)));
                        if weight > 0.0 { weight * v } else { 0.0 }
                    };
                    let sum = tap(x0[i], y0[i], (1.0 - ux) * (1.0 - uy))
                        + tap(x1[i], y0[i], ux * (1.0 - uy))
                        + tap(x0[i], y1[i], (1.0 - ux) * uy)
                        + tap(x1[i], y1[i], ux * uy);
                    out[k][i] = (sum as f32).to_bits();
                }
            }
        }
    }
}
