//! The linker: inputs are collected, linked once by the worker to find what is wrong with them, and handed back as one image.

use crate::code::{Answer, Code};
use crate::current;
use crate::image::Image;
use crate::jit::Jit;
use crate::module;
use crate::state;
use crate::types::{Caller, Handle, c_char, c_void};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tessera_fatbin::{InputError, InputKind, LinkTarget, input_texts, pack_linked};

/// `CUjitInputType`
mod input {
    pub(super) const CUBIN: i32 = 0;
    pub(super) const PTX: i32 = 1;
    pub(super) const FATBINARY: i32 = 2;
    pub(super) const OBJECT: i32 = 3;
    pub(super) const LIBRARY: i32 = 4;
}

#[derive(Default)]
struct State {
    inputs: Vec<Image>,
    /// What `cuLinkComplete` made; lives until the linker is destroyed, as documented.
    output: Option<Vec<u8>>,
}

/// A link under way.
pub(crate) struct Linker {
    handle: Handle,
    /// Handle of the context that it was made in.
    context: Handle,
    jit: Jit,
    state: Mutex<State>,
}

impl Linker {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn refuse(&self, what: &str, code: Code) -> Code {
        if self.jit.takes_errors() {
            let _ = self.jit.fill("", what);
        } else {
            tessera_guest::log(&format!("linking: {what}"));
        }
        code
    }

    /// Adds one input.
    fn add(&self, kind: i32, name: &str, bytes: &[u8]) -> Answer {
        let kind = match kind {
            input::PTX => InputKind::Ptx,
            input::FATBINARY => InputKind::Fatbin,
            input::LIBRARY => InputKind::Library,
            input::CUBIN => InputKind::Cubin,
            input::OBJECT => InputKind::Object,
            _ => return Err(Code::INVALID_VALUE),
        };
        let session = &state::driver()?.session;
        let target = LinkTarget {
            capability: session.info().compute_capability,
            limit: usize::try_from(session.welcome().max_image_bytes).unwrap_or(usize::MAX),
        };
        let texts = input_texts(kind, name, bytes, target)
            .map_err(|error| self.refuse(&error.to_string(), code_of(&error)))?;
        for text in texts {
            let image = Image {
                name: text.name,
                bytes: text.bytes,
            };
            module::check_apart(
                state::driver()?,
                self.context,
                std::slice::from_ref(&image),
                &self.jit,
            )?;
            self.state().inputs.push(image);
        }
        Ok(())
    }
}

/// The driver's code for an input that cannot be linked.
fn code_of(error: &InputError) -> Code {
    match error {
        InputError::NativeCode(_) | InputError::NoImage(..) => Code::NO_BINARY_FOR_GPU,
        InputError::Empty(_) | InputError::Kind(_) | InputError::Broken(..) => Code::INVALID_IMAGE,
    }
}

fn linker(handle: Handle) -> Answer<Arc<Linker>> {
    state::driver()?.linkers.get(handle)
}

/// `cuLinkCreate`
pub(crate) fn link_create(
    num_options: u32,
    options: Caller<i32>,
    option_values: Caller<Caller<c_void>>,
    state_out: Caller<Handle>,
) -> Answer {
    state_out.required()?;
    let context = current::current()?.handle();
    let jit = Jit::read(num_options, options, option_values)?;
    let linker = state::driver()?.linkers.insert(|handle| {
        Ok(Linker {
            handle,
            context,
            jit,
            state: Mutex::new(State::default()),
        })
    })?;
    state_out.put(linker.handle)
}

/// `cuLinkAddData`
#[allow(clippy::too_many_arguments)]
pub(crate) fn link_add_data(
    state: Handle,
    kind: i32,
    data: Caller<c_void>,
    size: usize,
    name: Caller<c_char>,
    _num_options: u32,
    _options: Caller<i32>,
    _option_values: Caller<Caller<c_void>>,
) -> Answer {
    let linker = linker(state)?;
    if size == 0 {
        return Err(Code::INVALID_VALUE);
    }
    let bytes = data.copy_bytes(size)?;
    let name = if name.is_null() {
        "input".to_owned()
    } else {
        name.text()?
    };
    linker.add(kind, &name, &bytes)
}

/// `cuLinkAddFile`
pub(crate) fn link_add_file(
    state: Handle,
    kind: i32,
    path: Caller<c_char>,
    _num_options: u32,
    _options: Caller<i32>,
    _option_values: Caller<Caller<c_void>>,
) -> Answer {
    let linker = linker(state)?;
    let path = path.text()?;
    let bytes = std::fs::read(&path).map_err(|_| Code::FILE_NOT_FOUND)?;
    linker.add(kind, &path, &bytes)
}

/// `cuLinkComplete`: the result belongs to the linker.
pub(crate) fn link_complete(
    state: Handle,
    cubin_out: Caller<Caller<c_void>>,
    size_out: Caller<usize>,
) -> Answer {
    cubin_out.required()?;
    let linker = linker(state)?;
    let driver = state::driver()?;
    let context = current::current()?;
    let mut state = linker.state();
    if state.inputs.is_empty() {
        return Err(Code::INVALID_VALUE);
    }
    let log = module::check_link(driver, &context, &state.inputs, &linker.jit)?;
    linker.jit.fill(&log, "")?;
    let texts: Vec<(&str, &[u8])> = state
        .inputs
        .iter()
        .map(|input| (input.name.as_str(), input.bytes.as_slice()))
        .collect();
    let output = pack_linked(&texts, linker.jit.max_registers)
        .map_err(|error| linker.refuse(&error.to_string(), Code::OUT_OF_MEMORY))?;
    size_out.put_if_wanted(output.len());
    let output = state.output.insert(output);
    cubin_out.put(Caller::from_raw(output.as_mut_ptr().cast()))
}

/// `cuLinkDestroy`
pub(crate) fn link_destroy(state: Handle) -> Answer {
    state::driver()?.linkers.remove(state).map(drop)
}
