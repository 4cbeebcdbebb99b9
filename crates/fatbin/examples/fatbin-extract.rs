//! Finds the fatbins in any file (program, library), lists their entries and writes the PTX ones to a directory:
//! `fatbin-extract FILE DIRECTORY`.
#![allow(clippy::print_stdout, reason = "a command for developers")]

use std::path::Path;

use tessera_fatbin::{Fatbin, Kind, MAGIC};

const LIMIT: usize = 256 << 20;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(file), Some(directory)) = (arguments.next(), arguments.next()) else {
        return Err("usage: fatbin-extract FILE DIRECTORY".into());
    };
    std::fs::create_dir_all(&directory)?;
    let bytes = std::fs::read(&file)?;
    let stem = Path::new(&file)
        .file_stem()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    let magic = MAGIC.to_le_bytes();
    let starts = bytes
        .windows(4)
        .enumerate()
        .filter(|(_, window)| *window == magic);
    for (at, _) in starts {
        let Ok(fatbin) = Fatbin::parse(&bytes[at..]) else {
            continue;
        };
        for (n, entry) in fatbin.entries().iter().enumerate() {
            println!(
                "{at:#x} {n}: {:?} sm_{} {:?} {:?} {}",
                entry.kind, entry.sm, entry.target, entry.compression, entry.name
            );
            if entry.kind == Kind::Ptx {
                let name = format!("{stem}-{at:x}-{n}-sm{}.ptx", entry.sm);
                std::fs::write(Path::new(&directory).join(name), entry.bytes(LIMIT)?)?;
            }
        }
    }
    Ok(())
}
