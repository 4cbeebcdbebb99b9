//! The shared library exports what the API table says, and `cuGetProcAddress` answers by the measured rule.

mod common;

use common::{Library, library_path};
use std::collections::BTreeSet;
use std::ffi::{CString, c_char, c_int, c_void};

type Lookup2 = unsafe extern "C" fn(*const c_char, *mut *mut c_void, c_int, u64, *mut c_int) -> c_int;
type Lookup1 = unsafe extern "C" fn(*const c_char, *mut *mut c_void, c_int, u64) -> c_int;

struct Lookups {
    library: Library,
    new: Lookup2,
    old: Lookup1,
}

impl Lookups {
    fn open() -> Self {
        let library = Library::open();
        let new = library.symbol("cuGetProcAddress_v2");
        let old = library.symbol("cuGetProcAddress");
        assert!(!new.is_null() && !old.is_null());
        // SAFETY: the library exports these two with the signatures of the driver API.
        let (new, old) = unsafe {
            (
                std::mem::transmute::<*mut c_void, Lookup2>(new),
                std::mem::transmute::<*mut c_void, Lookup1>(old),
            )
        };
        Self { library, new, old }
    }

    /// Result, pointer, status.
    fn ask(&self, name: &str, version: i32, flags: u64) -> (i32, *mut c_void, i32) {
        let name = CString::new(name).expect("a name without NUL");
        let mut pointer = std::ptr::dangling_mut();
        let mut status = -1;
        // SAFETY: all pointers are to locals.
        let result = unsafe { (self.new)(name.as_ptr(), &raw mut pointer, version, flags, &raw mut status) };
        (result, pointer, status)
    }

    fn ask_old(&self, name: &str, version: i32, flags: u64) -> (i32, *mut c_void) {
        let name = CString::new(name).expect("a name without NUL");
        let mut pointer = std::ptr::dangling_mut();
        // SAFETY: all pointers are to locals.
        let result = unsafe { (self.old)(name.as_ptr(), &raw mut pointer, version, flags) };
        (result, pointer)
    }
}

#[test]
fn exported_symbols_are_those_of_the_table() {
    let output = std::process::Command::new("nm")
        .args(["-D", "--defined-only", "--format=posix"])
        .arg(library_path())
        .output()
        .expect("nm runs");
    let exported: BTreeSet<String> = String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter_map(|line| line.split(' ').next().map(str::to_owned))
        .collect();
    let table: BTreeSet<String> = tessera_api::symbols()
        .expect("the table reads")
        .into_iter()
        .collect();
    assert_eq!(exported, table);
}

#[test]
fn the_library_is_named_as_programs_look_for_it() {
    let output = std::process::Command::new("readelf")
        .arg("-d")
        .arg(library_path())
        .output()
        .expect("readelf runs");
    assert!(String::from_utf8_lossy(&output.stdout).contains("Library soname: [libcuda.so.1]"));
}

/// Every name at every version around its steps, with every flag, against the rule.
#[test]
fn lookups_follow_the_rule() {
    let lookups = Lookups::open();
    for function in tessera_api::functions().expect("the table reads") {
        let listed: Vec<_> = function.entries.iter().filter(|entry| entry.lookup).collect();
        let mut versions: Vec<u32> = listed
            .iter()
            .flat_map(|entry| [entry.since - 1, entry.since, entry.since + 1])
            .chain([0, 13050, u32::MAX])
            .collect();
        versions.dedup();
        for version in versions {
            for flags in 0..=3u64 {
                let has_per_thread = listed.iter().any(|entry| entry.per_thread);
                let per_thread = flags & 2 != 0 && has_per_thread;
                let expected = listed
                    .iter()
                    .filter(|entry| entry.per_thread == per_thread && entry.since <= version)
                    .max_by_key(|entry| entry.since);
                let (result, pointer, status) = lookups.ask(&function.name, version.cast_signed(), flags);
                let (old_result, old_pointer) = lookups.ask_old(&function.name, version.cast_signed(), flags);
                assert_eq!(result, 0);
                match expected {
                    Some(entry) => {
                        let address = lookups.library.symbol(&entry.symbol);
                        assert_eq!(
                            (pointer, status),
                            (address, 0),
                            "{} {version} {flags}",
                            function.name
                        );
                        assert_eq!((old_result, old_pointer), (0, address));
                    }
                    None => {
                        assert!(pointer.is_null());
                        assert_eq!(status, 2, "{} {version} {flags}", function.name);
                        assert_eq!((old_result, old_pointer), (500, std::ptr::dangling_mut()));
                    }
                }
            }
        }
    }
}

#[test]
fn names_that_are_no_names_are_not_found() {
    let lookups = Lookups::open();
    for name in [
        "",
        "cuMemAlloc_v2",
        "cuMemcpyHtoDAsync_v2_ptsz",
        "cudbgGetAPI",
        "cuSubgridCreate",
        "memcpy",
    ] {
        assert_eq!(
            lookups.ask(name, 13050, 0),
            (0, std::ptr::null_mut(), 1),
            "{name}"
        );
        assert_eq!(
            lookups.ask_old(name, 13050, 0),
            (500, std::ptr::dangling_mut()),
            "{name}"
        );
    }
    assert_eq!(lookups.ask("cuInit", 13050, 4), (1, std::ptr::dangling_mut(), -1));
    assert_eq!(lookups.ask_old("cuInit", 13050, 8), (1, std::ptr::dangling_mut()));
    let name = c"cuInit";
    let mut pointer = std::ptr::null_mut();
    // SAFETY: a null status is allowed.
    let result = unsafe { (lookups.new)(name.as_ptr(), &raw mut pointer, 13050, 0, std::ptr::null_mut()) };
    assert_eq!((result, pointer), (0, lookups.library.symbol("cuInit")));
}
