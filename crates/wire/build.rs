//! Generates the messages from the table in `tessera-api`.

use std::{env, error::Error, fs, path::PathBuf};

fn main() -> Result<(), Box<dyn Error>> {
    // The table itself is compiled into `tessera-api`, so a changed table rebuilds and reruns this program.
    println!("cargo::rerun-if-changed=build.rs");
    let table = tessera_api::messages::Table::load()?;
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("OUT_DIR is not set")?);
    fs::write(out.join("messages.rs"), tessera_api::messages::emit(&table))?;
    Ok(())
}
