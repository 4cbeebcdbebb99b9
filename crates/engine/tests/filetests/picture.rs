//! Images of a test: their texels and headers in memory.

use tessera_engine::Symbols as _;
use tessera_engine::texture::{HEADER_BYTES, Image};
use tessera_ptx::Module;

use crate::grammar::Picture;
use crate::machine::{Image as Variables, Ram};

/// Calls `row` with the place of each row of an image in memory and in its list of texels, and its length; says how long the list is.
fn each_row(image: &Image, mut row: impl FnMut(usize, usize, usize)) -> usize {
    let small = |n: u64| usize::try_from(n).expect("a small image");
    let mut listed = 0;
    for level in (0..image.shape.levels).map(|n| image.shape.level(n)) {
        let bytes = small(u64::from(level.extent.width) * u64::from(image.shape.texel_bytes()));
        for line in 0..u64::from(level.extent.slices) * u64::from(level.extent.height) {
            row(small(level.offset + line * level.pitch), listed, bytes);
            listed += bytes;
        }
    }
    listed
}

/// Puts an image and its header into memory: its handle, and where its texels begin.
pub(crate) fn place(
    picture: &Picture,
    ram: &mut Ram,
    module: &Module,
    variables: &Variables,
) -> Result<(u64, u64), String> {
    let mut image = picture.image;
    let listed: Vec<u8> = (picture.texels.before.iter().flatten())
        .flat_map(|v| v.to_le_bytes()[..picture.texels.ty.bytes()].to_vec())
        .collect();
    let mut memory = vec![0xcd; usize::try_from(image.shape.bytes()).expect("a small image")];
    let mut fits = true;
    let wanted = each_row(&image, |to, from, bytes| {
        fits &= from + bytes <= listed.len();
        if fits {
            memory[to..to + bytes].copy_from_slice(&listed[from..from + bytes]);
        }
    });
    if !fits || wanted != listed.len() {
        return Err(format!(
            "{} bytes of texels, {wanted} make the image",
            listed.len()
        ));
    }
    image.base = ram.allocate(memory.len());
    ram.write(image.base, &memory);
    let handle = match &picture.bound {
        Some(name) => (module.var_by_name(name).and_then(|id| variables.variable(id)))
            .ok_or_else(|| format!("no variable `{name}`"))?,
        None => ram.allocate(HEADER_BYTES),
    };
    ram.write(handle, &image.encode());
    Ok((handle, image.base))
}

/// The texels of an image as its list has them.
pub(crate) fn texels(picture: &Picture, base: u64, ram: &Ram) -> Vec<u8> {
    let shape = picture.image.shape;
    let memory = ram.read(base, usize::try_from(shape.bytes()).expect("a small image"));
    let mut listed = Vec::new();
    each_row(&picture.image, |at, _, bytes| {
        listed.extend_from_slice(&memory[at..at + bytes]);
    });
    listed
}
