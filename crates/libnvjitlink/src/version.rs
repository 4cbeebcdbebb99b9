//! Which version of the library this is.
//!
//! One static library is linked into several shared ones; the linker adds a constant that says which it became.

#[cfg(not(test))]
unsafe extern "C" {
    /// The major version, from the object that `cargo xtask` links in.
    safe static tessera_nvjitlink_major: u32;
}

#[cfg(test)]
#[allow(non_upper_case_globals)]
static tessera_nvjitlink_major: u32 = 13;

/// Major version.
pub(crate) fn major() -> u32 {
    tessera_nvjitlink_major
}

/// Minor version: that of the newest header that the library was written from.
pub(crate) fn minor() -> u32 {
    match major() {
        12 => 9,
        13 => 5,
        _ => 0,
    }
}
