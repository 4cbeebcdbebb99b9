//! CUDA fatbin containers: headers, compressed payloads, choice of the best PTX.
//!
//! ```text
//!  fatbin:  magic 0xba55ed50 u32 │ version u16 = 1 │ header bytes u16 = 16 │ bytes of all entries u64 │ entry │ entry │ ...
//!
//!  entry:    0  kind u16           1 PTX, 2 ELF cubin
//!            2  version u16
//!            4  header bytes u32   not constant: 64 and up
//!            8  payload bytes u64  in the file, padded to 8; the next entry is at header + payload
//!           16  compressed bytes u32    0: not compressed
//!           20  offset of options u32   from the entry's start, 0: none
//!           24  minor u16, major u16    ISA version of PTX
//!           28  sm u32
//!           32  name offset u32, name bytes u32
//!           40  flags u64          0x2000 LZ4 block, 0x8000 zstd frame, 0x100000 `a` target, 0x200000 `f` target
//!           56  bytes when unpacked u64; 0 when not compressed
//! ```
//!
//! Everything here comes from a guest: no size is believed before it is checked against what is there, and the caller says how
//! many bytes an entry may have when it is unpacked. Nothing is unpacked before it is asked for.
//!
//! The layout was determined from files that the public compilers write; `builder` writes the same for tests and fuzzers.
#![forbid(unsafe_code)]

mod choice;
mod container;
mod detect;
mod error;
mod host;
mod inputs;
mod linked;
mod unpack;

pub mod builder;

pub use choice::{NoImage, best_ptx};
pub use container::{Compression, Entry, Fatbin, Kind, MAGIC, Target};
pub use detect::Image;
pub use error::FatbinError;
pub use inputs::{InputError, InputKind, InputText, LinkTarget, input_texts};
pub use linked::{LINKED_MAGIC, linked_registers, pack_linked, unpack_linked};
