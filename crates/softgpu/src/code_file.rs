//! Machine code that outlives the process: one file of bounded size.
//!
//! ```text
//!  0        header   "TSRACODE", version, block bytes, sets, ways, data blocks
//!  4 KiB    index    512 sets of 8 entries of 64 bytes; the set is the key's first bytes
//!                    │ key, 32 │ first block, u32 │ bytes, u32; 0: free │ last use, u64 ns │ 0, 16 │
//!  260 KiB  data     16,384 blocks of 4 KiB; a record begins a block: │ digest of key and code, 32 │ code │
//! ```
//!
//! Numbers are little-endian. Readers take no lock: a record counts only if its digest, over key and code, is right, so what is torn,
//! cut off, overwritten meanwhile or no cache at all is as if it were not there. Writers exclude each other by a lock on the
//! open file; one that does not get it at once leaves its code unkept. What was used longest ago goes when room is wanted. A file with
//! another header is begun anew.
//!
//! The file is never mapped, let alone executed: code is copied out of it, and then mapped as if just compiled.
//!
//! Everything here goes through one open descriptor, so that a worker can open the file before it gives up the right to open any.
//! A digest does not say who wrote a record. Therefore a file is for one trust domain: a worker's own, for one vGPU, or that of a
//! user, which no other user may write to ([`CodeFile::open`] refuses it then).

use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use tessera_engine::{CodeKey, CodeStore};

const MARK: [u8; 8] = *b"TSRACODE";
const VERSION: u32 = 1;
const BLOCK_BYTES: usize = 4096;
const BLOCK: u64 = BLOCK_BYTES as u64;
const SETS: u64 = 512;
const WAYS: usize = 8;
const ENTRY: usize = 64;
const SET_BYTES: usize = WAYS * ENTRY;
const INDEX_AT: u64 = BLOCK;
const INDEX_BYTES: usize = 512 * SET_BYTES;
const DATA_AT: u64 = INDEX_AT + INDEX_BYTES as u64;
const DATA_BLOCKS: u32 = 16_384;
const DIGEST: usize = 32;
/// Longest record: an eighth of the file.
const MOST_BYTES: usize = (DATA_BLOCKS as usize / 8) * BLOCK_BYTES;

/// The variable that says where the cache of a user is: a directory, or `off`.
pub const CODE_CACHE_VARIABLE: &str = "TESSERA_CODE_CACHE";
/// Name of the file in such a directory, and in that of a vGPU.
pub const CODE_FILE: &str = "code.cache";

/// Where the machine code of this user's programs is kept: what [`CODE_CACHE_VARIABLE`] says, else `$XDG_CACHE_HOME/tessera`, else
/// `~/.cache/tessera`. `None` when that is `off`, or nothing says where home is.
#[must_use]
pub fn user_code_file() -> Option<PathBuf> {
    let absolute = |name| {
        let path = PathBuf::from(std::env::var_os(name)?);
        path.is_absolute().then_some(path)
    };
    let directory = match std::env::var_os(CODE_CACHE_VARIABLE) {
        Some(value) if value == "off" => return None,
        Some(value) if !value.is_empty() => std::path::absolute(value).ok()?,
        _ => absolute("XDG_CACHE_HOME")
            .or_else(|| Some(absolute("HOME")?.join(".cache")))?
            .join("tessera"),
    };
    Some(directory.join(CODE_FILE))
}

/// What a file holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CodeFigures {
    /// Kernels, one for each way in which threads of a block can lie.
    pub kernels: u64,
    /// Bytes of their records.
    pub bytes: u64,
    /// Bytes of records that there is room for.
    pub room: u64,
}

/// An open file of machine code.
#[derive(Debug)]
pub struct CodeFile {
    file: File,
    /// One writer of this process at a time: the lock on the file is the process's.
    writer: Mutex<()>,
}

impl PartialEq for CodeFile {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self, other)
    }
}

impl Eq for CodeFile {}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Entry {
    key: CodeKey,
    first: u32,
    bytes: u32,
    used: u64,
}

fn word(bytes: &[u8], at: usize) -> u32 {
    bytes
        .get(at..at + 4)
        .and_then(|word| word.try_into().ok())
        .map_or(0, u32::from_le_bytes)
}

impl Entry {
    /// The entry in its bytes; `None` for a free one, and for one that cannot be.
    fn decode(bytes: &[u8]) -> Option<Self> {
        let entry = Self {
            key: bytes.get(..32)?.try_into().ok()?,
            first: word(bytes, 32),
            bytes: word(bytes, 36),
            used: u64::from(word(bytes, 40)) | u64::from(word(bytes, 44)) << 32,
        };
        let size = entry.bytes as usize;
        let fits = (DIGEST..=MOST_BYTES).contains(&size)
            && entry
                .first
                .checked_add(entry.blocks())
                .is_some_and(|end| end <= DATA_BLOCKS);
        fits.then_some(entry)
    }

    fn encode(&self) -> [u8; ENTRY] {
        let mut out = [0; ENTRY];
        out[..32].copy_from_slice(&self.key);
        out[32..36].copy_from_slice(&self.first.to_le_bytes());
        out[36..40].copy_from_slice(&self.bytes.to_le_bytes());
        out[40..48].copy_from_slice(&self.used.to_le_bytes());
        out
    }

    fn blocks(&self) -> u32 {
        blocks_of(self.bytes as usize)
    }
}

fn blocks_of(bytes: usize) -> u32 {
    u32::try_from((bytes as u64).div_ceil(BLOCK)).unwrap_or(u32::MAX)
}

fn header() -> [u8; 28] {
    let mut out = [0; 28];
    out[..8].copy_from_slice(&MARK);
    let numbers = [VERSION, 4096, 512, 8, DATA_BLOCKS];
    for (i, number) in numbers.iter().enumerate() {
        out[8 + 4 * i..12 + 4 * i].copy_from_slice(&number.to_le_bytes());
    }
    out
}

fn set_of(key: &CodeKey) -> u64 {
    u64::from(u16::from_le_bytes([key[0], key[1]])) % SETS
}

fn digest(key: &CodeKey, code: &[u8]) -> [u8; DIGEST] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(key).update(code);
    *hasher.finalize().as_bytes()
}

fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

/// The lock on the open file, until it is dropped.
struct Locked<'a>(&'a File);

impl Drop for Locked<'_> {
    fn drop(&mut self) {
        lock(self.0, libc::F_UNLCK);
    }
}

/// Takes or gives back the lock that goes with the open file, without waiting.
fn lock(file: &File, kind: libc::c_int) -> bool {
    // SAFETY: a flock of zeros is valid: the whole file.
    let mut range: libc::flock = unsafe { std::mem::zeroed() };
    range.l_type = libc::c_short::try_from(kind).unwrap_or(0);
    // SAFETY: the descriptor is open, and the call reads one flock.
    unsafe { libc::fcntl(file.as_raw_fd(), libc::F_OFD_SETLK, &raw const range) == 0 }
}

impl CodeFile {
    /// Opens a file, or makes it and its directory for this user alone.
    ///
    /// # Errors
    /// What the system says; a file that is no plain one, is another user's, or that others may write to.
    pub fn open(path: &Path) -> io::Result<Self> {
        if let Some(directory) = path.parent() {
            DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
        }
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .custom_flags(libc::O_NOFOLLOW)
            .open(path)?;
        let facts = file.metadata()?;
        // SAFETY: geteuid takes nothing.
        let own = facts.uid() == unsafe { libc::geteuid() };
        if !facts.is_file() || !own || facts.mode() & 0o022 != 0 {
            let text = "not this user's own file that nobody else may write to";
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, text));
        }
        let file = Self {
            file,
            writer: Mutex::new(()),
        };
        if !file.is_ours() {
            file.with_lock(|| file.begin());
        }
        Ok(file)
    }

    fn is_ours(&self) -> bool {
        let mut found = [0; 28];
        let length = self.file.metadata().map_or(0, |facts| facts.len());
        length >= DATA_AT && self.file.read_exact_at(&mut found, 0).is_ok() && found == header()
    }

    /// Makes it an empty one.
    fn begin(&self) -> io::Result<()> {
        self.file.set_len(0)?;
        self.file.set_len(DATA_AT)?;
        self.file.write_all_at(&header(), 0)
    }

    /// Does something as the only writer; not at all when there is another one.
    fn with_lock<T>(&self, work: impl FnOnce() -> io::Result<T>) -> Option<T> {
        let _writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        if !lock(&self.file, libc::F_WRLCK) {
            return None;
        }
        let _locked = Locked(&self.file);
        match work() {
            Ok(done) => Some(done),
            Err(error) => {
                tracing::debug!(%error, "machine code is not kept");
                None
            }
        }
    }

    /// Forgets everything. False when another process writes to it just now.
    pub fn clear(&self) -> bool {
        self.with_lock(|| self.begin()).is_some()
    }

    /// What is in it.
    #[must_use]
    pub fn figures(&self) -> CodeFigures {
        let entries = self.entries().unwrap_or_default();
        CodeFigures {
            kernels: entries.len() as u64,
            bytes: entries.iter().map(|(_, entry)| u64::from(entry.bytes)).sum(),
            room: u64::from(DATA_BLOCKS) * BLOCK,
        }
    }

    /// All entries with their places in the index.
    fn entries(&self) -> io::Result<Vec<(u64, Entry)>> {
        let mut index = vec![0; INDEX_BYTES];
        self.file.read_exact_at(&mut index, INDEX_AT)?;
        let places = (0u64..).zip(index.chunks_exact(ENTRY));
        Ok(places
            .filter_map(|(place, bytes)| Some((place, Entry::decode(bytes)?)))
            .collect())
    }

    fn entry_at(place: u64) -> u64 {
        INDEX_AT + place * ENTRY as u64
    }

    fn find(&self, key: &CodeKey) -> Option<(u64, Entry)> {
        let mut set = [0; SET_BYTES];
        let first = set_of(key) * WAYS as u64;
        self.file.read_exact_at(&mut set, Self::entry_at(first)).ok()?;
        let entries = (first..).zip(set.chunks_exact(ENTRY));
        entries
            .filter_map(|(place, bytes)| Some((place, Entry::decode(bytes)?)))
            .find(|(_, entry)| entry.key == *key)
    }

    /// Writes a record where there is room, makes room where there is none.
    fn put(&self, key: &CodeKey, code: &[u8]) -> io::Result<()> {
        if !self.is_ours() {
            self.begin()?;
        }
        let bytes = DIGEST + code.len();
        let wanted = blocks_of(bytes) as usize;
        let mut entries = self.entries()?;
        let own_set = |place: u64| place / WAYS as u64 == set_of(key);
        let same = |(_, entry): &(u64, Entry)| entry.key == *key;
        let full = entries.iter().filter(|(place, _)| own_set(*place)).count() == WAYS;
        let oldest = |entries: &[(u64, Entry)], of: &dyn Fn(u64) -> bool| {
            let candidates = entries.iter().enumerate().filter(|(_, (place, _))| of(*place));
            candidates
                .min_by_key(|(_, (_, entry))| entry.used)
                .map(|(at, _)| at)
        };
        let mut goes = entries.iter().position(same);
        if goes.is_none() && full {
            goes = oldest(&entries, &own_set);
        }
        let first = loop {
            if let Some(at) = goes.take() {
                let (place, _) = entries.swap_remove(at);
                self.file.write_all_at(&[0; ENTRY], Self::entry_at(place))?;
            }
            match gap(&entries, wanted) {
                Some(first) => break first,
                None => goes = oldest(&entries, &|_| true),
            }
            if goes.is_none() {
                return Ok(());
            }
        };
        let mut record = Vec::with_capacity(bytes);
        record.extend(digest(key, code));
        record.extend(code);
        self.file
            .write_all_at(&record, DATA_AT + u64::from(first) * BLOCK)?;
        let taken = |place: &u64| entries.iter().any(|(other, _)| other == place);
        let set = set_of(key) * WAYS as u64;
        let place = (set..set + WAYS as u64).find(|place| !taken(place));
        let entry = Entry {
            key: *key,
            first,
            bytes: u32::try_from(bytes).unwrap_or(0),
            used: now(),
        };
        match place {
            Some(place) => self.file.write_all_at(&entry.encode(), Self::entry_at(place)),
            None => Ok(()),
        }
    }
}

/// The first of so many blocks in a row that no entry has.
fn gap(entries: &[(u64, Entry)], wanted: usize) -> Option<u32> {
    let mut taken: Vec<(u32, u32)> = entries
        .iter()
        .map(|(_, entry)| (entry.first, entry.first + entry.blocks()))
        .collect();
    taken.sort_unstable();
    let mut free = 0;
    for (from, to) in taken.into_iter().chain([(DATA_BLOCKS, DATA_BLOCKS)]) {
        if from.saturating_sub(free) as usize >= wanted {
            return Some(free);
        }
        free = free.max(to);
    }
    None
}

impl CodeStore for CodeFile {
    fn load(&self, key: &CodeKey) -> Option<Vec<u8>> {
        let (place, entry) = self.find(key)?;
        let mut record = vec![0; entry.bytes as usize];
        let at = DATA_AT + u64::from(entry.first) * BLOCK;
        self.file.read_exact_at(&mut record, at).ok()?;
        let code = record.split_off(DIGEST);
        if record != digest(key, &code) {
            return None;
        }
        // Should the entry be another one by now, that one is taken for used.
        let _ = self
            .file
            .write_all_at(&now().to_le_bytes(), Self::entry_at(place) + 40);
        Some(code)
    }

    fn store(&self, key: &CodeKey, code: &[u8]) {
        if DIGEST + code.len() <= MOST_BYTES {
            self.with_lock(|| self.put(key, code));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;
    use std::sync::atomic::{AtomicU32, Ordering};

    /// A directory that goes with the test.
    struct Scratch(PathBuf);

    impl Scratch {
        fn new() -> Self {
            static NEXT: AtomicU32 = AtomicU32::new(0);
            let name = format!(
                "tessera-code-{}-{}",
                std::process::id(),
                NEXT.fetch_add(1, Ordering::Relaxed)
            );
            Self(std::env::temp_dir().join(name))
        }

        fn file(&self) -> PathBuf {
            self.0.join(CODE_FILE)
        }

        fn open(&self) -> CodeFile {
            CodeFile::open(&self.file()).unwrap()
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    fn key(number: u32) -> CodeKey {
        *blake3::hash(&number.to_le_bytes()).as_bytes()
    }

    fn code(number: u32, bytes: usize) -> Vec<u8> {
        (0..bytes)
            .map(|i| i.to_le_bytes()[0] ^ number.to_le_bytes()[0])
            .collect()
    }

    #[test]
    fn what_one_process_stores_another_finds() {
        let scratch = Scratch::new();
        let one = scratch.open();
        for number in 0..20 {
            assert_eq!(one.load(&key(number)), None);
            one.store(&key(number), &code(number, 1000 * number as usize));
        }
        let other = scratch.open();
        for number in 0..20 {
            assert_eq!(
                other.load(&key(number)),
                Some(code(number, 1000 * number as usize)),
                "{number}"
            );
        }
        assert_eq!(other.figures().kernels, 20);
        // Stored again: the newer one counts, the older one is gone.
        other.store(&key(3), &code(77, 5000));
        assert_eq!(one.load(&key(3)), Some(code(77, 5000)));
        assert_eq!(one.figures().kernels, 20);
        assert!(one.clear());
        assert_eq!((one.figures().kernels, one.load(&key(3))), (0, None));
    }

    #[test]
    fn any_damage_is_as_if_nothing_were_there() {
        let scratch = Scratch::new();
        scratch.open().store(&key(1), &code(1, 6000));
        let whole = std::fs::read(scratch.file()).unwrap();
        let place = |at: u64| usize::try_from(at).unwrap();
        let index = place(INDEX_AT + set_of(&key(1)) * SET_BYTES as u64);
        let data = place(DATA_AT);
        let places = (0..28)
            .chain(index..index + 40)
            .chain((data..whole.len()).step_by(97));
        for at in places {
            let mut damaged = whole.clone();
            damaged[at] ^= 0x10;
            std::fs::write(scratch.file(), &damaged).unwrap();
            let file = scratch.open();
            assert_eq!(file.load(&key(1)), None, "byte {at}");
            file.store(&key(1), &code(1, 6000));
            assert_eq!(
                file.load(&key(1)),
                Some(code(1, 6000)),
                "stored again over byte {at}"
            );
        }
        for cut in [0, 1, 27, 28, 4096, 5000, data, data + 100] {
            std::fs::write(scratch.file(), &whole[..cut]).unwrap();
            let file = scratch.open();
            assert_eq!(file.load(&key(1)), None, "cut to {cut} bytes");
            file.store(&key(2), &code(2, 10));
            assert_eq!(file.load(&key(2)), Some(code(2, 10)), "cut to {cut} bytes");
        }
    }

    #[test]
    fn a_record_is_good_under_its_own_key_only() {
        let scratch = Scratch::new();
        let file = scratch.open();
        file.store(&key(1), &code(1, 100));
        let (place, entry) = file.find(&key(1)).unwrap();
        // The same set, another key: planted by somebody who can write to the index only.
        let mut other = key(1);
        other[31] ^= 1;
        let planted = Entry { key: other, ..entry };
        file.file
            .write_all_at(&planted.encode(), CodeFile::entry_at(place))
            .unwrap();
        assert!(file.find(&other).is_some());
        assert_eq!(file.load(&other), None);
    }

    #[test]
    fn the_size_is_bounded_and_what_was_used_longest_ago_goes() {
        let scratch = Scratch::new();
        let file = scratch.open();
        // Nine eighths of what there is room for, with number 0 in use all the time.
        let bytes = MOST_BYTES / 4 - DIGEST;
        let count = 36;
        for number in 0..count {
            file.store(&key(number), &code(number, bytes));
            assert!(file.load(&key(0)).is_some(), "after {number}");
        }
        let length = std::fs::metadata(scratch.file()).unwrap().len();
        assert!(length <= DATA_AT + u64::from(DATA_BLOCKS) * BLOCK);
        let gone: Vec<u32> = (0..count).filter(|n| file.load(&key(*n)).is_none()).collect();
        assert_eq!(gone, [1, 2, 3, 4]);
        // Too large for the file: not kept, and nothing goes for it.
        file.store(&key(99), &vec![0; MOST_BYTES]);
        assert_eq!(file.load(&key(99)), None);
        assert_eq!(file.figures().kernels, u64::from(count) - 4);
    }

    #[test]
    fn a_full_set_gives_up_its_oldest() {
        let scratch = Scratch::new();
        let file = scratch.open();
        let same_set = |number: u8| {
            let mut key = [0; 32];
            key[31] = number;
            key
        };
        for number in 0..=u8::try_from(WAYS).unwrap() {
            file.store(&same_set(number), &[number]);
        }
        assert_eq!(file.load(&same_set(0)), None);
        for number in 1..=u8::try_from(WAYS).unwrap() {
            assert_eq!(file.load(&same_set(number)), Some(vec![number]));
        }
    }

    #[test]
    fn writers_exclude_each_other_and_none_waits() {
        let scratch = Scratch::new();
        let (one, other) = (scratch.open(), scratch.open());
        let inside = one.with_lock(|| {
            other.store(&key(1), &code(1, 10));
            Ok(other.clear())
        });
        assert_eq!(inside, Some(false));
        assert_eq!(one.load(&key(1)), None);
        other.store(&key(1), &code(1, 10));
        assert!(one.load(&key(1)).is_some());
    }

    #[test]
    fn a_file_that_others_may_write_to_is_refused_and_so_is_a_link() {
        let scratch = Scratch::new();
        drop(scratch.open());
        std::fs::set_permissions(scratch.file(), PermissionsExt::from_mode(0o620)).unwrap();
        let refused = |path: &Path| CodeFile::open(path).map(|_| ()).unwrap_err().kind();
        assert_eq!(refused(&scratch.file()), io::ErrorKind::PermissionDenied);
        let link = scratch.0.join("link");
        std::os::unix::fs::symlink("/etc/passwd", &link).unwrap();
        assert!(CodeFile::open(&link).is_err());
        assert!(CodeFile::open(&scratch.0).is_err(), "a directory");
    }
}
