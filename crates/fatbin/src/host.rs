//! Device code in files of the host: object files and static libraries.
//!
//! ```text
//!  ELF64, little endian:  header ─▶ section headers ─▶ "__nv_relfatbin" (to be linked), ".nv_fatbin" (whole): fatbins, one behind the other
//!  archive:               "!<arch>\n" │ member │ member │ ...
//!  member:                header, 60 bytes of text: name 16 │ ... │ size 10 at 48 │ "`\n" ; then the file, padded to even
//! ```

use crate::FatbinError;
use crate::container::Reader;

/// First bytes of an archive.
pub(crate) const ARCHIVE_MAGIC: &[u8] = b"!<arch>\n";
const MEMBER_HEADER: usize = 60;
/// Members of an archive, at most.
const MAX_MEMBERS: usize = 65_536;

/// Sections that hold fatbins.
const SECTIONS: [&[u8]; 2] = [b"__nv_relfatbin", b".nv_fatbin"];
/// Class and byte order of an ELF file: 64 bits, little endian.
const ELF_FORM: u16 = 0x0102;
const SECTION_HEADER: u16 = 64;

/// The fatbins in an object file; none where it has no device code.
pub(crate) fn object_fatbins(bytes: &[u8]) -> Result<Vec<&[u8]>, FatbinError> {
    let file = Reader { bytes, base: 0 };
    let field = |offset, what, value: u64| FatbinError::Field { offset, what, value };
    let form = file.u16(4, "form of an object file")?;
    if form != ELF_FORM {
        return Err(field(4, "form of an object file", form.into()));
    }
    let (table, count) = (
        file.u64(40, "section headers")?,
        file.u16(60, "number of sections")?,
    );
    if count == 0 {
        return Ok(Vec::new());
    }
    let size = file.u16(58, "size of a section header")?;
    if size != SECTION_HEADER {
        return Err(field(58, "size of a section header", size.into()));
    }
    let place = |at: u64| usize::try_from(at).unwrap_or(usize::MAX);
    let table = file.span(
        place(table),
        u64::from(count) * u64::from(size),
        "section headers",
    )?;
    let section = |index: u16| {
        let at = usize::from(index) * usize::from(size);
        let span = table.span(at, size.into(), "section header")?;
        Ok::<_, FatbinError>((
            span.u32(0, "name of a section")?,
            span.u64(24, "place of a section")?,
            span.u64(32, "size of a section")?,
        ))
    };
    let (_, at, length) = section(file.u16(62, "section of names")?)?;
    let names = file.span(place(at), length, "names of sections")?;
    let mut fatbins = Vec::new();
    for index in 0..count {
        let (name, at, length) = section(index)?;
        let name = names.bytes.get(place(name.into())..).unwrap_or_default();
        let name = name.split(|&byte| byte == 0).next().unwrap_or_default();
        if SECTIONS.contains(&name) {
            split(file.span(place(at), length, "device code")?, &mut fatbins)?;
        }
    }
    Ok(fatbins)
}

/// Takes the fatbins of a section apart.
fn split<'a>(mut rest: Reader<'a>, fatbins: &mut Vec<&'a [u8]>) -> Result<(), FatbinError> {
    // Padding is zero.
    while rest.bytes.iter().any(|&byte| byte != 0) {
        let zeros = rest.bytes.iter().take_while(|&&byte| byte == 0).count();
        let left = rest.bytes.len() - zeros;
        rest = rest.span(zeros, left as u64, "fatbin")?;
        let header = u64::from(rest.u16(6, "header size")?);
        let bytes = rest.u64(8, "size of all entries")?.saturating_add(header);
        let fatbin = rest.span(0, bytes, "fatbin")?.bytes;
        fatbins.push(fatbin);
        // A header of no bytes would not get on.
        let next = fatbin.len().max(1);
        rest = rest.span(next, (left.saturating_sub(next)) as u64, "fatbin")?;
    }
    Ok(())
}

/// The files in an archive with their names, without its tables.
pub(crate) fn members(bytes: &[u8]) -> Result<Vec<(String, &[u8])>, FatbinError> {
    let archive = Reader { bytes, base: 0 };
    let mut at = ARCHIVE_MAGIC.len();
    let mut members = Vec::new();
    let mut long_names: &[u8] = &[];
    while at < bytes.len() {
        if members.len() == MAX_MEMBERS {
            return Err(FatbinError::TooManyEntries(MAX_MEMBERS));
        }
        let header = archive
            .span(at, MEMBER_HEADER as u64, "header of a member")?
            .bytes;
        let (name, size) = (trimmed(&header[..16]), trimmed(&header[48..58]));
        let size = size.parse::<u64>().map_err(|_| FatbinError::Field {
            offset: at + 48,
            what: "first letter of a member's size",
            value: u64::from(header[48]),
        })?;
        let member = archive.span(at + MEMBER_HEADER, size, "member")?.bytes;
        match name.as_str() {
            "//" => long_names = member,
            "/" | "/SYM64/" => {}
            _ => members.push((member_name(&name, long_names), member)),
        }
        at = (at + MEMBER_HEADER + member.len()).next_multiple_of(2);
    }
    Ok(members)
}

fn trimmed(field: &[u8]) -> String {
    String::from_utf8_lossy(field).trim_end().to_owned()
}

/// `name/`, or `/` and where the name begins in the table of long ones.
fn member_name(name: &str, long_names: &[u8]) -> String {
    let long = name
        .strip_prefix('/')
        .and_then(|digits| digits.parse::<usize>().ok())
        .and_then(|at| long_names.get(at..));
    let name = match long {
        Some(rest) => {
            let name = rest.split(|&byte| byte == b'\n').next().unwrap_or_default();
            String::from_utf8_lossy(name).into_owned()
        }
        None => name.to_owned(),
    };
    name.trim_end_matches('/').to_owned()
}
