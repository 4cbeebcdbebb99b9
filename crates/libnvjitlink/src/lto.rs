//! LTO-IR: compiled to PTX by the vendor's own nvJitLink, where the program's environment has one.
//!
//! LTO-IR is the vendor's compiler in the middle of its work; nobody else reads it. Its nvJitLink can stop at PTX (`-lto -ptx`), which is
//! what a device that runs PTX wants. So the LTO-IR of a link goes through that library, by its public interface, and the text that comes
//! back is linked with the rest.
//!
//! Where the library is looked for, in this order:
//! 1. `TESSERA_NVJITLINK`, the path of its file, and nowhere else when that is set;
//! 2. beside the libraries that the process has loaded: the compiler that wrote the LTO-IR is one of them;
//! 3. in the toolkits that `CUDA_HOME` and `CUDA_PATH` name, and in `/usr/local/cuda`.

use crate::options::Options;
use crate::version::major;
use std::collections::BTreeSet;
use std::ffi::{CString, c_char, c_void};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::ptr::{null, null_mut};

/// Names the file of the vendor's library.
const VARIABLE: &str = "TESSERA_NVJITLINK";

/// Exported by this library and not by the vendor's.
const OURS: &str = "tessera_nvjitlink";

/// `NVJITLINK_INPUT_LTOIR`.
const LTO_IR: i32 = 3;

/// PTX from LTO-IR, and what the vendor's library said.
pub(crate) struct Compiled {
    /// With its NUL.
    pub(crate) ptx: Vec<u8>,
    pub(crate) info: String,
}

/// Compiles inputs to one text.
///
/// # Errors
/// Lines for the log.
pub(crate) fn compile(options: &Options, inputs: &[(String, Vec<u8>)]) -> Result<Compiled, String> {
    let vendor = Vendor::find().map_err(|looked| {
        let name = inputs.first().map_or("an input", |(name, _)| name.as_str());
        let text = if looked.is_empty() {
            "none is beside the libraries of this program".to_owned()
        } else {
            format!("looked at {}", looked.join(", "))
        };
        format!(
            "ERROR: {name} is LTO-IR, which only NVIDIA's own nvJitLink compiles, and there is none ({text}); {VARIABLE} names its file, or \
             compile to PTX (without -dlto, -gen-lto, lto=True)\n"
        )
    })?;
    let mut list: Vec<&str> = options.given.iter().map(String::as_str).collect();
    if !options.ptx {
        list.push("-ptx");
    }
    // It would link again what is not there yet.
    list.retain(|option| *option != "-r" && *option != "-relocatable-device-code");
    let job = Job::new(&vendor, &list)?;
    for (name, bytes) in inputs {
        job.add(name, bytes)?;
    }
    job.complete()
}

type Handle = *mut c_void;
type Create = unsafe extern "C" fn(*mut Handle, u32, *const *const c_char) -> i32;
type Destroy = unsafe extern "C" fn(*mut Handle) -> i32;
type AddData = unsafe extern "C" fn(Handle, i32, *const c_void, usize, *const c_char) -> i32;
type Complete = unsafe extern "C" fn(Handle) -> i32;
type Size = unsafe extern "C" fn(Handle, *mut usize) -> i32;
type Get = unsafe extern "C" fn(Handle, *mut u8) -> i32;

/// Functions of the vendor's library; it stays loaded.
struct Vendor {
    create: Create,
    destroy: Destroy,
    add_data: AddData,
    complete: Complete,
    ptx: (Size, Get),
    error_log: (Size, Get),
    info_log: (Size, Get),
}

impl Vendor {
    /// Looks for it. Fails with the files that are there and are none of it.
    fn find() -> Result<Self, Vec<String>> {
        let mut looked = Vec::new();
        for path in candidates() {
            let Some(library) = open(&path) else {
                looked.push(path.display().to_string());
                continue;
            };
            // A file of this name may be ours.
            if symbol(library, OURS).is_some() {
                continue;
            }
            match Self::of(library) {
                Some(vendor) => return Ok(vendor),
                None => looked.push(path.display().to_string()),
            }
        }
        Err(looked)
    }

    fn of(library: *mut c_void) -> Option<Self> {
        let pair = |name: &str| {
            let size = symbol(library, &format!("nvJitLinkGet{name}Size"))?;
            let get = symbol(library, &format!("nvJitLinkGet{name}"))?;
            // SAFETY: the functions of these names have these types in every version of the public header.
            Some(unsafe {
                (
                    std::mem::transmute::<*mut c_void, Size>(size),
                    std::mem::transmute::<*mut c_void, Get>(get),
                )
            })
        };
        let (create, destroy) = (
            symbol(library, "nvJitLinkCreate")?,
            symbol(library, "nvJitLinkDestroy")?,
        );
        let (add_data, complete) = (
            symbol(library, "nvJitLinkAddData")?,
            symbol(library, "nvJitLinkComplete")?,
        );
        // SAFETY: as above.
        unsafe {
            Some(Self {
                create: std::mem::transmute::<*mut c_void, Create>(create),
                destroy: std::mem::transmute::<*mut c_void, Destroy>(destroy),
                add_data: std::mem::transmute::<*mut c_void, AddData>(add_data),
                complete: std::mem::transmute::<*mut c_void, Complete>(complete),
                ptx: pair("LinkedPtx")?,
                error_log: pair("ErrorLog")?,
                info_log: pair("InfoLog")?,
            })
        }
    }
}

fn open(path: &Path) -> Option<*mut c_void> {
    let file = CString::new(path.as_os_str().as_bytes()).ok()?;
    // SAFETY: the path is a text that ends; the library's initialisers are those of a library that the program's environment has for the
    // same purpose. Its names stay its own.
    let library = unsafe { libc::dlopen(file.as_ptr(), libc::RTLD_NOW | libc::RTLD_LOCAL) };
    (!library.is_null()).then_some(library)
}

fn symbol(library: *mut c_void, name: &str) -> Option<*mut c_void> {
    let name = CString::new(name).ok()?;
    // SAFETY: the handle is of a library that is loaded, the name is a text that ends.
    let address = unsafe { libc::dlsym(library, name.as_ptr()) };
    (!address.is_null()).then_some(address)
}

/// Files of this name that exist where the library may be.
fn candidates() -> Vec<PathBuf> {
    if let Some(file) = std::env::var_os(VARIABLE).filter(|file| !file.is_empty()) {
        return vec![file.into()];
    }
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap_or_default();
    let loaded: BTreeSet<&Path> = maps
        .lines()
        .filter_map(|line| line.find('/').map(|at| Path::new(&line[at..])))
        .collect();
    let mut directories: Vec<PathBuf> = loaded.iter().flat_map(|path| beside(path)).collect();
    let homes = ["CUDA_HOME", "CUDA_PATH"].map(std::env::var_os);
    let homes = homes.into_iter().flatten().map(PathBuf::from);
    directories.extend(
        homes
            .chain([PathBuf::from("/usr/local/cuda")])
            .map(|home| home.join("lib64")),
    );
    let name = format!("libnvJitLink.so.{}", major());
    let mut seen = BTreeSet::new();
    directories
        .into_iter()
        .map(|directory| directory.join(&name))
        .filter(|path| path.exists() && seen.insert(path.clone()))
        .collect()
}

/// Directories that may have it when a library lies here: its own, and those of the vendor's Python packages.
fn beside(library: &Path) -> Vec<PathBuf> {
    let mut directories: Vec<PathBuf> = library.parent().map(Path::to_path_buf).into_iter().collect();
    let packages = library
        .ancestors()
        .find(|path| path.file_name().is_some_and(|name| name == "nvidia"));
    if let Some(packages) = packages {
        directories.push(packages.join(format!("cu{}/lib", major())));
        directories.push(packages.join("nvjitlink/lib"));
    }
    directories
}

/// One link in the vendor's library.
struct Job<'a> {
    vendor: &'a Vendor,
    handle: Handle,
}

impl<'a> Job<'a> {
    fn new(vendor: &'a Vendor, options: &[&str]) -> Result<Self, String> {
        let options: Vec<CString> = options
            .iter()
            .filter_map(|&option| CString::new(option).ok())
            .collect();
        let addresses: Vec<*const c_char> = options.iter().map(|option| option.as_ptr()).collect();
        let count = u32::try_from(addresses.len()).unwrap_or(0);
        let mut handle = null_mut();
        // SAFETY: the handle's place and the array are locals that outlive the call, the texts end.
        let code = unsafe { (vendor.create)(&raw mut handle, count, addresses.as_ptr()) };
        let job = Self { vendor, handle };
        job.check(code, "nvJitLinkCreate").map(|()| job)
    }

    fn check(&self, code: i32, what: &str) -> Result<(), String> {
        if code == 0 {
            return Ok(());
        }
        let log = if self.handle.is_null() {
            String::new()
        } else {
            self.text(self.vendor.error_log)
        };
        Err(format!("{log}ERROR {code} in {what} of NVIDIA's nvJitLink\n"))
    }

    fn add(&self, name: &str, bytes: &[u8]) -> Result<(), String> {
        let name = CString::new(name).unwrap_or_default();
        // SAFETY: the handle is of this library; bytes and name are valid during the call, which copies what it keeps.
        let code = unsafe {
            (self.vendor.add_data)(
                self.handle,
                LTO_IR,
                bytes.as_ptr().cast(),
                bytes.len(),
                name.as_ptr(),
            )
        };
        self.check(code, "nvJitLinkAddData")
    }

    fn complete(&self) -> Result<Compiled, String> {
        // SAFETY: the handle is of this library.
        let code = unsafe { (self.vendor.complete)(self.handle) };
        self.check(code, "nvJitLinkComplete")?;
        let (code, ptx) = self.get(self.vendor.ptx);
        self.check(code, "nvJitLinkGetLinkedPtx")?;
        Ok(Compiled {
            ptx,
            info: self.text(self.vendor.info_log),
        })
    }

    fn text(&self, functions: (Size, Get)) -> String {
        let (_, bytes) = self.get(functions);
        let end = bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len());
        String::from_utf8_lossy(&bytes[..end]).into_owned()
    }

    fn get(&self, (size, get): (Size, Get)) -> (i32, Vec<u8>) {
        let mut bytes = 0;
        // SAFETY: the handle is of this library, the place is a local.
        let code = unsafe { size(self.handle, &raw mut bytes) };
        if code != 0 {
            return (code, Vec::new());
        }
        let mut buffer = vec![0; bytes];
        // SAFETY: the buffer has as many bytes as the library said.
        let code = unsafe { get(self.handle, buffer.as_mut_ptr()) };
        (code, buffer)
    }
}

impl Drop for Job<'_> {
    fn drop(&mut self) {
        if self.handle != null::<c_void>().cast_mut() {
            // SAFETY: the handle is of this library and is not used again.
            unsafe { (self.vendor.destroy)(&raw mut self.handle) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_of_both_layouts_are_looked_at() {
        let found = beside(Path::new(
            "/v/site-packages/nvidia/cuda_nvcc/nvvm/lib64/libnvvm.so",
        ));
        for directory in [
            "nvidia/cu13/lib",
            "nvidia/nvjitlink/lib",
            "nvidia/cuda_nvcc/nvvm/lib64",
        ] {
            assert!(
                found.contains(&Path::new("/v/site-packages").join(directory)),
                "{directory}"
            );
        }
        assert_eq!(beside(Path::new("/opt/lib/libx.so")), [Path::new("/opt/lib")]);
    }
}
