//! A link: inputs in, one image out, and what happened in two logs.

use crate::code::Code;
use crate::lto;
use crate::options::{Options, Refusal};
use std::fmt::Write as _;
use std::time::{Duration, Instant};
use tessera_fatbin::{Image, InputError, InputKind, InputText, LinkTarget, input_texts, pack_linked};
use tessera_ptx::{DEVICE_RUNTIME, LinkError, Module, Place, SUPPLIED, Target, Variant};

/// Bytes that one unpacked text may have.
const TEXT_LIMIT: usize = 1 << 30;

/// What the program says an input is (`nvJitLinkInputType`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Input {
    Cubin,
    Ptx,
    LtoIr,
    Fatbin,
    Object,
    Library,
    Index,
    Any,
}

impl Input {
    pub(crate) fn of(number: i32) -> Option<Self> {
        Some(match number {
            1 => Self::Cubin,
            2 => Self::Ptx,
            3 => Self::LtoIr,
            4 => Self::Fatbin,
            5 => Self::Object,
            6 => Self::Library,
            7 => Self::Index,
            10 => Self::Any,
            _ => return None,
        })
    }

    /// As the header writes it, behind `NVJITLINK_INPUT_`.
    fn name(self) -> &'static str {
        match self {
            Self::Cubin => "CUBIN",
            Self::Ptx => "PTX",
            Self::LtoIr => "LTOIR",
            Self::Fatbin => "FATBIN",
            Self::Object => "OBJECT",
            Self::Library => "LIBRARY",
            Self::Index => "INDEX",
            Self::Any => "ANY",
        }
    }
}

/// What to do with an input whose bytes were looked at.
enum Found {
    Texts(InputKind),
    LtoIr,
}

/// `EM_CUDA`, in the field of an ELF file that says for which machine it is.
const ELF_MACHINE_CUDA: [u8; 2] = [190, 0];
const ELF_MACHINE: usize = 18;

fn is_native(bytes: &[u8]) -> bool {
    bytes
        .get(ELF_MACHINE..)
        .is_some_and(|rest| rest.starts_with(&ELF_MACHINE_CUDA))
}

/// What an input is, by its bytes, where that agrees with what the program says.
fn find(input: Input, bytes: &[u8]) -> Option<Found> {
    let image = Image::detect(bytes);
    let any = input == Input::Any;
    match image {
        Image::Ptx if any || input == Input::Ptx => Some(Found::Texts(InputKind::Ptx)),
        Image::Fatbin if any || input == Input::Fatbin => Some(Found::Texts(InputKind::Fatbin)),
        Image::Linked if any || input == Input::Cubin => Some(Found::Texts(InputKind::Cubin)),
        Image::Cubin if is_native(bytes) && (any || input == Input::Cubin) => {
            Some(Found::Texts(InputKind::Cubin))
        }
        Image::Cubin if !is_native(bytes) && (any || input == Input::Object) => {
            Some(Found::Texts(InputKind::Object))
        }
        Image::Archive if any || input == Input::Library => Some(Found::Texts(InputKind::Library)),
        Image::LtoIr if any || input == Input::LtoIr => Some(Found::LtoIr),
        _ => None,
    }
}

/// What a completed link leaves.
enum Output {
    Cubin(Vec<u8>),
    Ptx(Vec<u8>),
}

/// A link under way.
pub(crate) struct Link {
    /// `None` where the options were refused: then there is only the log.
    options: Option<Options>,
    started: Instant,
    texts: Vec<InputText>,
    modules: Vec<Module>,
    lto: Vec<(String, Vec<u8>)>,
    completed: bool,
    output: Option<Output>,
    error_log: String,
    info_log: String,
}

impl Link {
    /// A link with these options, and why it is of no use where they were refused.
    pub(crate) fn new(options: &[String]) -> (Self, Result<(), Code>) {
        let read = Options::read(options);
        let result = match &read {
            Ok(_) => Ok(()),
            Err((code, _)) => Err(*code),
        };
        let (options, error_log) = match read {
            Ok(options) => (Some(options), String::new()),
            Err((_, line)) => (None, line),
        };
        let link = Self {
            options,
            started: Instant::now(),
            texts: Vec::new(),
            modules: Vec::new(),
            lto: Vec::new(),
            completed: false,
            output: None,
            error_log,
            info_log: String::new(),
        };
        (link, result)
    }

    pub(crate) fn error_log(&self) -> &str {
        &self.error_log
    }

    pub(crate) fn info_log(&self) -> &str {
        &self.info_log
    }

    /// The linked image.
    pub(crate) fn cubin(&self) -> Result<&[u8], Code> {
        match &self.output {
            Some(Output::Cubin(bytes)) => Ok(bytes),
            _ => Err(Code::Internal),
        }
    }

    /// The linked PTX, with its NUL.
    pub(crate) fn ptx(&self) -> Result<&[u8], Code> {
        match &self.output {
            Some(Output::Ptx(bytes)) => Ok(bytes),
            _ if self.options.as_ref().is_some_and(|options| options.ptx) => Err(Code::Internal),
            _ => Err(Code::InvalidInput),
        }
    }

    /// The linked LTO-IR: never there, since nothing here writes it.
    pub(crate) fn lto_ir(&self) -> Result<&[u8], Code> {
        match &self.options {
            Some(options) if options.lto => Err(Code::Internal),
            _ => Err(Code::InvalidInput),
        }
    }

    /// Says a failure in the log.
    pub(crate) fn tell(&mut self, (code, line): Refusal) -> Code {
        self.error_log.push_str(&line);
        code
    }

    fn options(&self) -> Result<&Options, Code> {
        self.options.as_ref().ok_or(Code::Internal)
    }

    /// Adds an input. One that is refused leaves the link as it was.
    pub(crate) fn add(&mut self, input: Option<Input>, name: &str, bytes: &[u8]) -> Result<(), Code> {
        self.try_add(input, name, bytes)
            .map_err(|refusal| self.tell(refusal))
    }

    fn try_add(&mut self, input: Option<Input>, name: &str, bytes: &[u8]) -> Result<(), Refusal> {
        let options = self.options().map_err(|code| (code, String::new()))?;
        if self.completed {
            let line = format!("ERROR: {name} is added to a link that is complete\n");
            return Err((Code::Internal, line));
        }
        let Some(input) = input else {
            let line = format!("unsupported input type: {name}\n");
            return Err((Code::IncorrectInputType, line));
        };
        let found = find(input, bytes).ok_or_else(|| match input {
            Input::Any => (
                Code::UnrecognizedInput,
                format!("unrecognized input type: {name}\n"),
            ),
            _ => {
                let kind = input.name();
                let line = format!("ERROR 1: bad input: {name} does not match type NVJITLINK_INPUT_{kind}\n");
                (Code::IncorrectInputType, line)
            }
        })?;
        let kind = match found {
            Found::Texts(kind) => kind,
            Found::LtoIr if options.lto => {
                self.lto.push((name.to_owned(), bytes.to_vec()));
                return Ok(());
            }
            Found::LtoIr => {
                let line = format!("ERROR 1: {name} is LTO-IR, which cannot be used without -lto\n");
                return Err((Code::LtoNotEnabled, line));
            }
        };
        let target = LinkTarget {
            capability: (options.sm / 10, options.sm % 10),
            limit: TEXT_LIMIT,
        };
        let texts = input_texts(kind, name, bytes, target).map_err(|error| refusal_of(kind, &error))?;
        let modules = texts
            .iter()
            .map(|text| compile(options, text))
            .collect::<Result<Vec<_>, _>>()?;
        self.texts.extend(texts);
        self.modules.extend(modules);
        Ok(())
    }

    /// Links what was added.
    pub(crate) fn complete(&mut self) -> Result<(), Code> {
        let until = self.started.elapsed();
        let start = Instant::now();
        let result = self.try_complete().map_err(|refusal| self.tell(refusal));
        if self.options.as_ref().is_some_and(|options| options.time) {
            self.tell_time(until, start.elapsed());
        }
        result
    }

    fn tell_time(&mut self, until: Duration, complete: Duration) {
        let milliseconds = |time: Duration| time.as_secs_f64() * 1e3;
        let _ = writeln!(
            self.info_log,
            "nvJitLink time until Complete: {:.6}\nnvJitLinkComplete time to finish: {:.6}",
            milliseconds(until),
            milliseconds(complete)
        );
    }

    fn try_complete(&mut self) -> Result<(), Refusal> {
        let options = self.options().map_err(|code| (code, String::new()))?.clone();
        if std::mem::replace(&mut self.completed, true) {
            return Err((Code::Internal, "ERROR: the link is complete already\n".to_owned()));
        }
        if options.lto {
            let ptx = self.compile_lto(&options)?;
            if options.ptx {
                self.output = Some(Output::Ptx(ptx));
                return Ok(());
            }
        }
        if self.texts.is_empty() {
            self.texts.push(nothing(options.sm));
        }
        let modules = std::mem::take(&mut self.modules);
        if options.verbose {
            self.tell_texts(&modules);
        }
        if !options.relocatable && !modules.is_empty() {
            let supplied = [SUPPLIED, DEVICE_RUNTIME].concat();
            tessera_ptx::link(modules, &supplied).map_err(|error| (Code::Internal, self.line_of(&error)))?;
        }
        let texts: Vec<(&str, &[u8])> = self
            .texts
            .iter()
            .map(|text| (text.name.as_str(), text.bytes.as_slice()))
            .collect();
        let image = pack_linked(&texts, options.max_registers)
            .map_err(|error| (Code::Internal, format!("ERROR: {error}\n")))?;
        self.output = Some(Output::Cubin(image));
        Ok(())
    }

    /// Compiles the LTO-IR to one more text; answers it with its NUL.
    fn compile_lto(&mut self, options: &Options) -> Result<Vec<u8>, Refusal> {
        if options.ptx && (!self.texts.is_empty() || self.lto.is_empty()) {
            let line = "ERROR: -ptx requires that all inputs have LTOIR\n".to_owned();
            return Err((Code::IncorrectInputType, line));
        }
        if self.lto.is_empty() {
            let line = "ERROR: -lto, but no input is LTO-IR\n".to_owned();
            return Err((Code::NvvmCompile, line));
        }
        let compiled = lto::compile(options, &self.lto).map_err(|line| (Code::NvvmCompile, line))?;
        self.info_log.push_str(&compiled.info);
        if !options.ptx {
            let end = compiled.ptx.iter().position(|&byte| byte == 0);
            let text = InputText {
                name: "lto".to_owned(),
                bytes: compiled.ptx[..end.unwrap_or(compiled.ptx.len())].to_vec(),
            };
            self.modules.push(compile(options, &text)?);
            self.texts.push(text);
        }
        Ok(compiled.ptx)
    }

    fn tell_texts(&mut self, modules: &[Module]) {
        for (text, module) in self.texts.iter().zip(modules) {
            let bytes: u64 = module.vars.values().map(|var| var.size).sum();
            let _ = writeln!(
                self.info_log,
                "info    : {}: {} kernels, {bytes} bytes of variables",
                text.name,
                module.entries().count(),
            );
        }
    }

    /// The linker's words, as the vendor's linker says them.
    fn line_of(&self, error: &LinkError) -> String {
        let file = |place: &Place| self.texts.get(place.module).map_or("", |text| text.name.as_str());
        let line = match error {
            LinkError::Undefined { name, place } => {
                format!("Undefined reference to '{name}' in '{}'", file(place))
            }
            LinkError::Duplicate { name, first, second } => format!(
                "Multiple definition of '{name}' in '{}', first defined in '{}'",
                file(second),
                file(first)
            ),
            other => other.to_string(),
        };
        format!("error   : {line}\nERROR 9: complete\n")
    }
}

fn refusal_of(kind: InputKind, error: &InputError) -> Refusal {
    let code = match error {
        InputError::Broken(..) if kind == InputKind::Library => Code::Internal,
        InputError::Kind(_) => Code::IncorrectInputType,
        _ => Code::InvalidInput,
    };
    (code, format!("ERROR: {error}\n"))
}

/// A text without anything in it, for a link without inputs: its result can be loaded.
fn nothing(sm: u32) -> InputText {
    InputText {
        name: "nothing".to_owned(),
        bytes: format!(".version 7.0\n.target sm_{sm}\n.address_size 64\n").into_bytes(),
    }
}

/// Parses a text with all its functions, as far as it is for the architecture of the link.
fn compile(options: &Options, text: &InputText) -> Result<Module, Refusal> {
    let name = &text.name;
    let refuse = |line: String| {
        let line = format!("{line}\nERROR NVJITLINK_ERROR_PTX_COMPILE: JIT the PTX ({name})\n");
        (Code::PtxCompile, line)
    };
    if options.virtual_arch {
        return Err(refuse(
            "ERROR: PTX cannot be compiled for a virtual arch".to_owned(),
        ));
    }
    let wrong = |error: tessera_ptx::Error| refuse(format!("ptxas {name}; error   : {error}"));
    let module = tessera_ptx::parse_module(text.bytes.as_slice()).map_err(wrong)?;
    if !runs(&module.target, options.sm) {
        return Err(refuse(
            "ptxas fatal   : SM version specified by .target is higher than default SM version assumed"
                .to_owned(),
        ));
    }
    for (id, _) in module.funcs.iter().filter(|(_, func)| func.defined) {
        module.body(id).map_err(wrong)?;
    }
    Ok(module)
}

/// Whether a text for a target runs on an architecture.
fn runs(target: &Target, sm: u32) -> bool {
    match target.variant {
        Variant::Portable => target.sm <= sm,
        Variant::Specific => target.sm == sm,
        Variant::Family => target.sm <= sm && target.sm / 10 == sm / 10,
    }
}

#[cfg(test)]
mod tests;
