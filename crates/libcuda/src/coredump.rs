//! Settings of core dumps of the GPU, and who wants to hear of dumps.
//!
//! ```text
//!   environment, at cuInit ─▶ global settings ──copied when a context is created──▶ settings of the context
//!                                  ▲                                                     ▲
//!                         cuCoredumpSetAttributeGlobal                          cuCoredumpSetAttribute
//! ```
//!
//! Nothing here dumps: the settings are kept and given back, the callbacks are kept and never called. Where a dump was asked for and
//! its occasion comes (a fault in a kernel; the pipe that triggers dumps switched on), one line of the log says that none is made.
//! The process is not ended either, which on a board is part of dumping unless `CU_COREDUMP_SKIP_ABORT` is set.
//!
//! Invariant: what the environment sets stays; a program that sets it too gets success and no effect.

use crate::code::{Answer, Code};
use crate::current;
use crate::state::{self, Driver};
use crate::types::{CUcoredumpStatusCallback, Caller, Handle, c_void};
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// `CU_CTX_COREDUMP_ENABLE` and `CU_CTX_USER_COREDUMP_ENABLE`, which implies the other.
const CONTEXT_ENABLE: u32 = 0x20;
const CONTEXT_USER_ENABLE: u32 = 0x40;

/// Longest string, without its NUL.
const LONGEST: usize = 1023;

/// `CUCoredumpGenerationFlags`
mod flag {
    pub(super) const SKIP_ABORT: u32 = 1 << 4;
    /// ELF images, global, shared, local, constant and tensor memory.
    pub(super) const LIGHTWEIGHT: u32 = 0xf | 1 << 5 | 1 << 8;
    pub(super) const KNOWN: u32 = 0x1ff | 1 << 30 | 1 << 31;
    /// As `CUDA_COREDUMP_GENERATION_FLAGS` names them.
    pub(super) const NAMES: [(&str, u32); 7] = [
        ("skip_nonrelocated_elf_images", 1),
        ("skip_global_memory", 1 << 1),
        ("skip_shared_memory", 1 << 2),
        ("skip_local_memory", 1 << 3),
        ("skip_abort", SKIP_ABORT),
        ("skip_constbank_memory", 1 << 5),
        ("gzip_compress", 1 << 6),
    ];
}

/// `CUcoredumpSettings`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Attribute {
    EnableOnException,
    TriggerHost,
    Lightweight,
    EnableUserTrigger,
    File,
    Pipe,
    GenerationFlags,
}

impl Attribute {
    fn of(number: i32) -> Answer<Self> {
        Ok(match number {
            1 => Self::EnableOnException,
            2 => Self::TriggerHost,
            3 => Self::Lightweight,
            4 => Self::EnableUserTrigger,
            5 => Self::File,
            6 => Self::Pipe,
            7 => Self::GenerationFlags,
            _ => return Err(Code::INVALID_VALUE),
        })
    }

    /// Bytes that any value of it has room in.
    fn bytes(self) -> usize {
        match self {
            Self::File | Self::Pipe => LONGEST + 1,
            Self::GenerationFlags => size_of::<u32>(),
            _ => 1,
        }
    }
}

/// A value of an attribute.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Value {
    Switch(bool),
    Flags(u32),
    Text(Vec<u8>),
}

/// What was set, for the process or for a context.
#[derive(Clone, Debug, Default)]
pub(crate) struct Settings {
    on_exception: bool,
    user_trigger: bool,
    /// `TRIGGER_HOST` is the opposite of one of them, `LIGHTWEIGHT` stands for several.
    flags: u32,
    file: Option<Vec<u8>>,
    pipe: Option<Vec<u8>>,
    /// What the environment sets.
    fixed: Fixed,
}

#[derive(Clone, Copy, Debug, Default)]
struct Fixed {
    on_exception: bool,
    user_trigger: bool,
    flags: u32,
    file: bool,
    pipe: bool,
}

impl Settings {
    /// Those that `variable` gives, which answers the value of an environment variable.
    fn from_variables(variable: impl Fn(&str) -> Option<Vec<u8>>) -> Self {
        let mut settings = Self::default();
        let switch = |name: &str| variable(name).map(|value| value == b"1");
        let fixed = &mut settings.fixed;
        if let Some(on) = switch("CUDA_ENABLE_COREDUMP_ON_EXCEPTION") {
            (settings.on_exception, fixed.on_exception) = (on, true);
        }
        if let Some(on) = switch("CUDA_ENABLE_USER_TRIGGERED_COREDUMP") {
            (settings.user_trigger, fixed.user_trigger) = (on, true);
        }
        if let Some(names) = variable("CUDA_COREDUMP_GENERATION_FLAGS") {
            let names = String::from_utf8_lossy(&names);
            let named = names.split(',').filter_map(|name| {
                let found = flag::NAMES.iter().find(|(known, _)| *known == name.trim());
                found.map(|&(_, bit)| bit)
            });
            (settings.flags, fixed.flags) = (named.fold(0, |all, bit| all | bit), flag::KNOWN);
        }
        if let Some(on) = switch("CUDA_ENABLE_LIGHTWEIGHT_COREDUMP") {
            settings.flags |= if on { flag::LIGHTWEIGHT } else { 0 };
            fixed.flags |= flag::LIGHTWEIGHT;
        }
        if let Some(value) = variable("CUDA_ENABLE_CPU_COREDUMP_ON_EXCEPTION") {
            settings.flags |= if value == b"0" { flag::SKIP_ABORT } else { 0 };
            fixed.flags |= flag::SKIP_ABORT;
        }
        let text = |name: &str| variable(name).filter(|text| !text.is_empty() && text.len() <= LONGEST);
        settings.file = text("CUDA_COREDUMP_FILE");
        settings.pipe = text("CUDA_COREDUMP_PIPE");
        fixed.file = settings.file.is_some();
        fixed.pipe = settings.pipe.is_some();
        settings
    }

    /// Those of a process that begins.
    pub(crate) fn of_process() -> Self {
        use std::os::unix::ffi::OsStringExt;
        let settings = Self::from_variables(|name| std::env::var_os(name).map(OsStringExt::into_vec));
        settings.tell_of_pipe();
        settings
    }

    /// Those of a context that is created now.
    pub(crate) fn of_context(driver: &Driver, flags: u32) -> Self {
        let mut settings = lock(&driver.coredump).clone();
        if flags & (CONTEXT_ENABLE | CONTEXT_USER_ENABLE) != 0 && !settings.fixed.on_exception {
            settings.on_exception = true;
        }
        if flags & CONTEXT_USER_ENABLE != 0 && !settings.fixed.user_trigger {
            settings.user_trigger = true;
        }
        settings.tell_of_pipe();
        settings
    }

    fn value(&self, attribute: Attribute) -> Value {
        match attribute {
            Attribute::EnableOnException => Value::Switch(self.on_exception),
            Attribute::TriggerHost => Value::Switch(self.flags & flag::SKIP_ABORT == 0),
            Attribute::Lightweight => Value::Switch(self.flags & flag::LIGHTWEIGHT == flag::LIGHTWEIGHT),
            Attribute::EnableUserTrigger => Value::Switch(self.user_trigger),
            Attribute::File => Value::Text(self.file.clone().unwrap_or_else(|| default_name("core"))),
            Attribute::Pipe => Value::Text(self.pipe.clone().unwrap_or_else(|| default_name("corepipe"))),
            Attribute::GenerationFlags => Value::Flags(self.flags),
        }
    }

    fn set_flags(&mut self, mask: u32, bits: u32) {
        let mask = mask & !self.fixed.flags;
        self.flags = self.flags & !mask | bits & mask;
    }

    fn set(&mut self, attribute: Attribute, value: Value) -> Answer {
        match (attribute, value) {
            (Attribute::EnableOnException, Value::Switch(on)) if !self.fixed.on_exception => {
                self.on_exception = on;
            }
            (Attribute::EnableUserTrigger, Value::Switch(on)) if !self.fixed.user_trigger => {
                self.user_trigger = on;
            }
            (Attribute::TriggerHost, Value::Switch(on)) => {
                self.set_flags(flag::SKIP_ABORT, if on { 0 } else { flag::SKIP_ABORT });
            }
            (Attribute::Lightweight, Value::Switch(on)) => {
                self.set_flags(flag::LIGHTWEIGHT, if on { flag::LIGHTWEIGHT } else { 0 });
            }
            (Attribute::GenerationFlags, Value::Flags(flags)) if flags & !flag::KNOWN == 0 => {
                self.set_flags(flag::KNOWN, flags);
            }
            (Attribute::GenerationFlags, _) => return Err(Code::INVALID_VALUE),
            // The pipe has its name once it is watched.
            (Attribute::Pipe, _) if self.user_trigger => return Err(Code::NOT_PERMITTED),
            (Attribute::File, Value::Text(text)) if !self.fixed.file => self.file = Some(text),
            (Attribute::Pipe, Value::Text(text)) if !self.fixed.pipe => self.pipe = Some(text),
            // The environment's.
            _ => {}
        }
        Ok(())
    }

    /// Says once that no pipe triggers dumps, where one should.
    fn tell_of_pipe(&self) {
        static LOGGED: AtomicBool = AtomicBool::new(false);
        if self.user_trigger && !LOGGED.swap(true, Ordering::Relaxed) {
            tessera_guest::log(
                "a pipe that triggers core dumps of the GPU was asked for; this vGPU writes none and makes no pipe",
            );
        }
    }
}

fn default_name(start: &str) -> Vec<u8> {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    format!("{start}.cuda.{}.{}", host.trim_end(), std::process::id()).into_bytes()
}

fn lock(settings: &Mutex<Settings>) -> MutexGuard<'_, Settings> {
    settings.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A fault was found in a context with these settings: says once that it is not dumped, where it should be.
#[cold]
pub(crate) fn tell_of_fault(settings: &Mutex<Settings>) {
    static LOGGED: AtomicBool = AtomicBool::new(false);
    if lock(settings).on_exception && !LOGGED.swap(true, Ordering::Relaxed) {
        tessera_guest::log(
            "a kernel faulted and a core dump of the GPU was asked for; this vGPU writes none, and the process goes on",
        );
    }
}

fn get(settings: &Mutex<Settings>, attrib: i32, out: Caller<c_void>, size: Caller<usize>) -> Answer {
    let attribute = Attribute::of(attrib)?;
    size.required()?;
    if out.is_null() {
        return size.put(attribute.bytes());
    }
    let room = size.get()?;
    let fits = |bytes: usize| {
        if room < bytes {
            Err(Code::INVALID_VALUE)
        } else {
            Ok(())
        }
    };
    let value = lock(settings).value(attribute);
    match value {
        Value::Switch(on) => fits(1).and_then(|()| out.cast::<u8>().put(u8::from(on))),
        Value::Flags(flags) => fits(size_of::<u32>()).and_then(|()| out.cast::<u32>().put(flags)),
        Value::Text(text) => {
            fits(text.len() + 1)?;
            for (index, &byte) in text.iter().chain(&[0]).enumerate() {
                out.cast::<u8>().put_at(index, byte)?;
            }
            Ok(())
        }
    }
}

/// The value that a program sets, of `bytes` bytes. A string ends there or with its NUL.
fn read(attribute: Attribute, value: Caller<c_void>, bytes: usize) -> Answer<Value> {
    let text = matches!(attribute, Attribute::File | Attribute::Pipe);
    if !text && bytes < attribute.bytes() {
        return Err(Code::INVALID_VALUE);
    }
    if !text {
        return Ok(match attribute {
            Attribute::GenerationFlags => Value::Flags(value.cast::<u32>().get()?),
            _ => Value::Switch(value.cast::<u8>().get()? != 0),
        });
    }
    let mut text = Vec::new();
    for index in 0..bytes {
        match value.cast::<u8>().at(index)? {
            0 => break,
            _ if index == LONGEST => return Err(Code::INVALID_VALUE),
            byte => text.push(byte),
        }
    }
    Ok(Value::Text(text))
}

/// `None`: only the expected size was asked for.
fn asked(attribute: Attribute, value: Caller<c_void>, size: Caller<usize>) -> Answer<Option<Value>> {
    size.required()?;
    if value.is_null() {
        size.put(attribute.bytes())?;
        return Ok(None);
    }
    read(attribute, value, size.get()?).map(Some)
}

/// `cuCoredumpGetAttribute`: the current context's; a fault does not matter.
pub(crate) fn coredump_get_attribute(attrib: i32, value: Caller<c_void>, size: Caller<usize>) -> Answer {
    current::with_alive(|context| get(&context.core.coredump, attrib, value, size))
}

/// `cuCoredumpGetAttributeGlobal`
pub(crate) fn coredump_get_attribute_global(
    attrib: i32,
    value: Caller<c_void>,
    size: Caller<usize>,
) -> Answer {
    get(&state::driver()?.coredump, attrib, value, size)
}

/// `cuCoredumpSetAttribute`: a context has no pipe of its own.
pub(crate) fn coredump_set_attribute(attrib: i32, value: Caller<c_void>, size: Caller<usize>) -> Answer {
    current::with_alive(|context| {
        let attribute = Attribute::of(attrib)?;
        let Some(value) = asked(attribute, value, size)? else {
            return Ok(());
        };
        if matches!(attribute, Attribute::EnableUserTrigger | Attribute::Pipe) {
            return Err(Code::NOT_PERMITTED);
        }
        lock(&context.core.coredump).set(attribute, value)
    })
}

/// `cuCoredumpSetAttributeGlobal`: for contexts that are created from now on.
pub(crate) fn coredump_set_attribute_global(
    attrib: i32,
    value: Caller<c_void>,
    size: Caller<usize>,
) -> Answer {
    let driver = state::driver()?;
    let attribute = Attribute::of(attrib)?;
    let Some(value) = asked(attribute, value, size)? else {
        return Ok(());
    };
    let mut settings = lock(&driver.coredump);
    settings.set(attribute, value)?;
    settings.tell_of_pipe();
    Ok(())
}

/// Callbacks by their handles, of one kind. No dump begins or ends, so none is called.
type Callbacks = Mutex<BTreeSet<Handle>>;
static AT_START: Callbacks = Mutex::new(BTreeSet::new());
static AT_END: Callbacks = Mutex::new(BTreeSet::new());

fn register(kind: &Callbacks, callback: CUcoredumpStatusCallback, out: Caller<Handle>) -> Answer {
    let driver = state::driver()?;
    callback.ok_or(Code::INVALID_VALUE)?;
    let handle = driver.next_identity() << 4;
    let mut known = kind.lock().unwrap_or_else(PoisonError::into_inner);
    known.insert(handle);
    out.put_if_wanted(handle);
    Ok(())
}

fn deregister(kind: &Callbacks, callback: Handle) -> Answer {
    let mut known = kind.lock().unwrap_or_else(PoisonError::into_inner);
    if known.remove(&callback) {
        Ok(())
    } else {
        Err(Code::INVALID_VALUE)
    }
}

/// `cuCoredumpRegisterStartCallback`
pub(crate) fn coredump_register_start_callback(
    callback: CUcoredumpStatusCallback,
    _user_data: Caller<c_void>,
    callback_out: Caller<Handle>,
) -> Answer {
    register(&AT_START, callback, callback_out)
}

/// `cuCoredumpRegisterCompleteCallback`
pub(crate) fn coredump_register_complete_callback(
    callback: CUcoredumpStatusCallback,
    _user_data: Caller<c_void>,
    callback_out: Caller<Handle>,
) -> Answer {
    register(&AT_END, callback, callback_out)
}

/// `cuCoredumpDeregisterStartCallback`
pub(crate) fn coredump_deregister_start_callback(callback: Handle) -> Answer {
    deregister(&AT_START, callback)
}

/// `cuCoredumpDeregisterCompleteCallback`
pub(crate) fn coredump_deregister_complete_callback(callback: Handle) -> Answer {
    deregister(&AT_END, callback)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_stays() {
        let mut settings = Settings::from_variables(|name| match name {
            "CUDA_ENABLE_COREDUMP_ON_EXCEPTION" => Some(b"1".to_vec()),
            "CUDA_ENABLE_CPU_COREDUMP_ON_EXCEPTION" => Some(b"0".to_vec()),
            "CUDA_COREDUMP_FILE" => Some(b"/tmp/dump.%p".to_vec()),
            _ => None,
        });
        let set = [
            (Attribute::EnableOnException, Value::Switch(false)),
            (Attribute::TriggerHost, Value::Switch(true)),
            (Attribute::File, Value::Text(b"other".to_vec())),
            (Attribute::GenerationFlags, Value::Flags(1)),
        ];
        for (attribute, value) in set {
            assert_eq!(settings.set(attribute, value), Ok(()));
        }
        let is = |attribute| settings.value(attribute);
        assert_eq!(is(Attribute::EnableOnException), Value::Switch(true));
        assert_eq!(is(Attribute::TriggerHost), Value::Switch(false));
        assert_eq!(is(Attribute::File), Value::Text(b"/tmp/dump.%p".to_vec()));
        assert_eq!(is(Attribute::GenerationFlags), Value::Flags(flag::SKIP_ABORT | 1));
    }

    #[test]
    fn flags_are_read_by_name() {
        let settings = Settings::from_variables(|name| {
            (name == "CUDA_COREDUMP_GENERATION_FLAGS").then(|| b"skip_abort, skip_local_memory".to_vec())
        });
        assert_eq!(
            settings.value(Attribute::GenerationFlags),
            Value::Flags(flag::SKIP_ABORT | 1 << 3)
        );
    }

    #[test]
    fn the_pipe_is_fixed_once_it_triggers() {
        let mut settings = Settings::default();
        let name = || Value::Text(b"pipe".to_vec());
        assert_eq!(settings.set(Attribute::Pipe, name()), Ok(()));
        assert_eq!(
            settings.set(Attribute::EnableUserTrigger, Value::Switch(true)),
            Ok(())
        );
        assert_eq!(settings.set(Attribute::Pipe, name()), Err(Code::NOT_PERMITTED));
    }
}
