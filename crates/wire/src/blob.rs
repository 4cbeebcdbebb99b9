//! Tails with a structure: lists and records of variable length.
//!
//! Numbers are little endian; a string or list is preceded by its length as `u32`. Readers take hostile bytes: every length is
//! checked against what is there, and nothing is allocated by a length alone.
//!
//! ```text
//!  string    │ u32 bytes │ bytes … │
//!  list      │ u32 items │ item … │
//!  VgpuInfo  │ name │ uuid │ gpu_uuid │ pci_bus_id │ u32 major │ u32 minor │ u64 memory │ u32 SMs │ list of (i32, i32) │ type name │ driver │
//!  Process   │ u32 pid │ name │ u64 bytes │
//!  Image     │ u32 place │ u64 offset │ u64 bytes │ name │  bytes of all PLACE_TAIL images follow the list, `offset` counts from there
//!  Parameter │ u32 offset │ u32 size │
//!  NameList  │ list of strings │
//! ```

use crate::{PLACE_STAGING, PLACE_TAIL, WireError};

/// Builds a tail.
#[derive(Debug, Default)]
pub struct TailWriter(Vec<u8>);

impl TailWriter {
    /// An empty tail.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends a number.
    pub fn u32(&mut self, value: u32) -> &mut Self {
        self.0.extend_from_slice(&value.to_le_bytes());
        self
    }

    /// Appends a number.
    pub fn u64(&mut self, value: u64) -> &mut Self {
        self.0.extend_from_slice(&value.to_le_bytes());
        self
    }

    /// Appends a string, cut at 4 GiB.
    pub fn bytes(&mut self, value: &[u8]) -> &mut Self {
        let length = u32::try_from(value.len()).unwrap_or(u32::MAX);
        self.u32(length);
        self.0
            .extend_from_slice(value.get(..length as usize).unwrap_or(value));
        self
    }

    /// Appends bytes without their length.
    pub fn raw(&mut self, value: &[u8]) -> &mut Self {
        self.0.extend_from_slice(value);
        self
    }

    /// Bytes so far.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether nothing was appended yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The tail.
    #[must_use]
    pub fn finish(self) -> Vec<u8> {
        self.0
    }
}

/// Reads a tail.
#[derive(Clone, Copy, Debug)]
pub struct TailReader<'a> {
    rest: &'a [u8],
    what: &'static str,
}

impl<'a> TailReader<'a> {
    /// A reader of `tail`; `what` names it in errors.
    #[must_use]
    pub fn new(tail: &'a [u8], what: &'static str) -> Self {
        Self { rest: tail, what }
    }

    fn take(&mut self, bytes: usize) -> Result<&'a [u8], WireError> {
        let (head, rest) = self
            .rest
            .split_at_checked(bytes)
            .ok_or(WireError::Blob(self.what))?;
        self.rest = rest;
        Ok(head)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], WireError> {
        let what = self.what;
        self.take(N)?.try_into().map_err(|_| WireError::Blob(what))
    }

    /// Next number.
    ///
    /// # Errors
    /// The tail ends.
    pub fn u32(&mut self) -> Result<u32, WireError> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    /// Next number.
    ///
    /// # Errors
    /// The tail ends.
    pub fn i32(&mut self) -> Result<i32, WireError> {
        Ok(i32::from_le_bytes(self.array()?))
    }

    /// Next number.
    ///
    /// # Errors
    /// The tail ends.
    pub fn u64(&mut self) -> Result<u64, WireError> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    /// Next string as bytes.
    ///
    /// # Errors
    /// The tail ends.
    pub fn bytes(&mut self) -> Result<&'a [u8], WireError> {
        let length = self.u32()?;
        self.take(length as usize)
    }

    /// Next string.
    ///
    /// # Errors
    /// The tail ends, or the string is not UTF-8.
    pub fn string(&mut self) -> Result<String, WireError> {
        let what = self.what;
        std::str::from_utf8(self.bytes()?)
            .map(str::to_owned)
            .map_err(|_| WireError::Blob(what))
    }

    /// Next count of a list whose items have at least `least` bytes each.
    ///
    /// # Errors
    /// The tail ends or cannot hold so many items.
    pub fn count(&mut self, least: usize) -> Result<usize, WireError> {
        let count = self.u32()? as usize;
        match count.checked_mul(least) {
            Some(bytes) if bytes <= self.rest.len() => Ok(count),
            _ => Err(WireError::Blob(self.what)),
        }
    }

    /// What was not read yet.
    #[must_use]
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Checks that everything was read.
    ///
    /// # Errors
    /// Bytes are left.
    pub fn end(self) -> Result<(), WireError> {
        if self.rest.is_empty() {
            Ok(())
        } else {
            Err(WireError::Blob(self.what))
        }
    }
}

/// The vGPU as a guest sees it; tail of the answer to Hello.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VgpuInfo {
    /// Name of the device, `NVIDIA H100-20C`.
    pub name: String,
    /// UUID of the vGPU.
    pub uuid: String,
    /// UUID of the physical GPU.
    pub gpu_uuid: String,
    /// PCI address, `00000000:06:00.0`.
    pub pci_bus_id: String,
    /// Compute capability: major, minor.
    pub compute_capability: (u32, u32),
    /// Frame buffer, bytes.
    pub memory_bytes: u64,
    /// Streaming multiprocessors.
    pub sm_count: u32,
    /// Values of `CUdevice_attribute`, by number.
    pub attributes: Vec<(i32, i32)>,
    /// vGPU type of the catalogue, `H100-20C`.
    pub vgpu_type: String,
    /// Version that NVML gives for the driver, `581.12.05`.
    pub driver_version: String,
}

impl VgpuInfo {
    /// As a tail.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = TailWriter::new();
        out.bytes(self.name.as_bytes())
            .bytes(self.uuid.as_bytes())
            .bytes(self.gpu_uuid.as_bytes())
            .bytes(self.pci_bus_id.as_bytes())
            .u32(self.compute_capability.0)
            .u32(self.compute_capability.1)
            .u64(self.memory_bytes)
            .u32(self.sm_count);
        out.u32(u32::try_from(self.attributes.len()).unwrap_or(u32::MAX));
        for (number, value) in &self.attributes {
            out.raw(&number.to_le_bytes()).raw(&value.to_le_bytes());
        }
        out.bytes(self.vgpu_type.as_bytes())
            .bytes(self.driver_version.as_bytes());
        out.finish()
    }

    /// From a tail.
    ///
    /// # Errors
    /// The bytes are no such record.
    pub fn decode(tail: &[u8]) -> Result<Self, WireError> {
        let mut reader = TailReader::new(tail, "description of the vGPU");
        let mut info = Self {
            name: reader.string()?,
            uuid: reader.string()?,
            gpu_uuid: reader.string()?,
            pci_bus_id: reader.string()?,
            compute_capability: (reader.u32()?, reader.u32()?),
            memory_bytes: reader.u64()?,
            sm_count: reader.u32()?,
            ..Self::default()
        };
        for _ in 0..reader.count(8)? {
            info.attributes.push((reader.i32()?, reader.i32()?));
        }
        info.vgpu_type = reader.string()?;
        info.driver_version = reader.string()?;
        reader.end()?;
        Ok(info)
    }
}

/// A guest process that uses the vGPU.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Process {
    /// Process id as the asking guest should see it.
    pub pid: u32,
    /// Name of the program.
    pub name: String,
    /// Frame buffer it holds.
    pub bytes: u64,
}

/// Tail of the answer to QueryVgpu.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProcessList(pub Vec<Process>);

impl ProcessList {
    /// As a tail.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = TailWriter::new();
        out.u32(u32::try_from(self.0.len()).unwrap_or(u32::MAX));
        for process in &self.0 {
            out.u32(process.pid)
                .bytes(process.name.as_bytes())
                .u64(process.bytes);
        }
        out.finish()
    }

    /// From a tail.
    ///
    /// # Errors
    /// The bytes are no such list.
    pub fn decode(tail: &[u8]) -> Result<Self, WireError> {
        let mut reader = TailReader::new(tail, "list of processes");
        let mut list = Vec::new();
        for _ in 0..reader.count(16)? {
            list.push(Process {
                pid: reader.u32()?,
                name: reader.string()?,
                bytes: reader.u64()?,
            });
        }
        reader.end()?;
        Ok(Self(list))
    }
}

/// Use of the vGPU by a guest process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProcessUse {
    /// Process id as the asking guest should see it.
    pub pid: u32,
    /// Percent of the period in which its kernels ran.
    pub kernels: u32,
    /// Percent of the period in which its copies ran.
    pub copies: u32,
}

/// Tail of the answer to QueryUse.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UseList(pub Vec<ProcessUse>);

impl UseList {
    /// As a tail.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = TailWriter::new();
        out.u32(u32::try_from(self.0.len()).unwrap_or(u32::MAX));
        for process in &self.0 {
            out.u32(process.pid).u32(process.kernels).u32(process.copies);
        }
        out.finish()
    }

    /// From a tail.
    ///
    /// # Errors
    /// The bytes are no such list.
    pub fn decode(tail: &[u8]) -> Result<Self, WireError> {
        let mut reader = TailReader::new(tail, "use by processes");
        let mut list = Vec::new();
        for _ in 0..reader.count(12)? {
            list.push(ProcessUse {
                pid: reader.u32()?,
                kernels: reader.u32()?,
                copies: reader.u32()?,
            });
        }
        reader.end()?;
        Ok(Self(list))
    }
}

/// Tail of the answer to ContextWaits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AddressList(pub Vec<u64>);

impl AddressList {
    /// As a tail.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = TailWriter::new();
        out.u32(u32::try_from(self.0.len()).unwrap_or(u32::MAX));
        for address in &self.0 {
            out.u64(*address);
        }
        out.finish()
    }

    /// From a tail.
    ///
    /// # Errors
    /// The bytes are no such list.
    pub fn decode(tail: &[u8]) -> Result<Self, WireError> {
        let mut reader = TailReader::new(tail, "list of addresses");
        let mut list = Vec::new();
        for _ in 0..reader.count(8)? {
            list.push(reader.u64()?);
        }
        reader.end()?;
        Ok(Self(list))
    }
}

/// One image of a module: PTX text, fatbin or linked container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image<'a> {
    /// [`PLACE_STAGING`] or [`PLACE_TAIL`].
    pub place: u32,
    /// In the staging heap, or in [`ImageList::inline`].
    pub offset: u64,
    /// Length.
    pub bytes: u64,
    /// Name for messages, may be empty.
    pub name: &'a str,
}

/// Tail of ModuleLoad and LinkCheck.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImageList<'a> {
    /// The images, to be linked together.
    pub images: Vec<Image<'a>>,
    /// Bytes of the images that come with the message.
    pub inline: &'a [u8],
}

impl<'a> ImageList<'a> {
    /// As a tail.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = TailWriter::new();
        out.u32(u32::try_from(self.images.len()).unwrap_or(u32::MAX));
        for image in &self.images {
            out.u32(image.place)
                .u64(image.offset)
                .u64(image.bytes)
                .bytes(image.name.as_bytes());
        }
        out.raw(self.inline);
        out.finish()
    }

    /// From a tail. Whether a staging range exists is for the worker to check; inline ranges are checked here.
    ///
    /// # Errors
    /// The bytes are no such list.
    pub fn decode(tail: &'a [u8]) -> Result<Self, WireError> {
        const WHAT: &str = "list of images";
        let mut reader = TailReader::new(tail, WHAT);
        let mut images = Vec::new();
        for _ in 0..reader.count(24)? {
            images.push(Image {
                place: reader.u32()?,
                offset: reader.u64()?,
                bytes: reader.u64()?,
                name: std::str::from_utf8(reader.bytes()?).map_err(|_| WireError::Blob(WHAT))?,
            });
        }
        let list = Self {
            images,
            inline: reader.rest(),
        };
        for image in &list.images {
            let sound = match image.place {
                PLACE_STAGING => true,
                PLACE_TAIL => list.inline_bytes(image).is_some(),
                _ => false,
            };
            if !sound {
                return Err(WireError::Blob(WHAT));
            }
        }
        Ok(list)
    }

    /// The bytes of an inline image; `None` where its range is not inside.
    #[must_use]
    pub fn inline_bytes(&self, image: &Image<'_>) -> Option<&'a [u8]> {
        let start = usize::try_from(image.offset).ok()?;
        let end = start.checked_add(usize::try_from(image.bytes).ok()?)?;
        self.inline.get(start..end)
    }
}

/// One kernel parameter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Parameter {
    /// Bytes from the start of the parameter block.
    pub offset: u32,
    /// Bytes.
    pub size: u32,
}

/// Tail of the answer to FunctionGet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ParameterList(pub Vec<Parameter>);

impl ParameterList {
    /// As a tail.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = TailWriter::new();
        out.u32(u32::try_from(self.0.len()).unwrap_or(u32::MAX));
        for parameter in &self.0 {
            out.u32(parameter.offset).u32(parameter.size);
        }
        out.finish()
    }

    /// From a tail.
    ///
    /// # Errors
    /// The bytes are no such list.
    pub fn decode(tail: &[u8]) -> Result<Self, WireError> {
        let mut reader = TailReader::new(tail, "list of parameters");
        let mut list = Vec::new();
        for _ in 0..reader.count(8)? {
            list.push(Parameter {
                offset: reader.u32()?,
                size: reader.u32()?,
            });
        }
        reader.end()?;
        Ok(Self(list))
    }
}

/// Tail of the answer to FunctionList.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NameList(pub Vec<String>);

impl NameList {
    /// As a tail.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = TailWriter::new();
        out.u32(u32::try_from(self.0.len()).unwrap_or(u32::MAX));
        for name in &self.0 {
            out.bytes(name.as_bytes());
        }
        out.finish()
    }

    /// From a tail.
    ///
    /// # Errors
    /// The bytes are no such list.
    pub fn decode(tail: &[u8]) -> Result<Self, WireError> {
        let mut reader = TailReader::new(tail, "list of names");
        let mut list = Vec::new();
        for _ in 0..reader.count(4)? {
            list.push(reader.string()?);
        }
        reader.end()?;
        Ok(Self(list))
    }
}
