//! Containers as the compilers write them, and as nobody should.

use proptest::prelude::*;
use tessera_fatbin::builder::{NewEntry, fatbin};
use tessera_fatbin::{
    Compression, Fatbin, FatbinError, Image, Kind, Target, best_ptx, linked_registers, pack_linked,
    unpack_linked,
};

const LIMIT: usize = 1 << 20;
const PTX: &[u8] = b".version 8.3\n.target sm_80\n.address_size 64\n.visible .entry k() { ret; }\n\0\0\0";

fn text() -> &'static [u8] {
    PTX.trim_ascii_end().split(|&b| b == 0).next().unwrap()
}

#[test]
fn every_compression_gives_back_the_text() {
    for compression in [Compression::None, Compression::Lz4, Compression::Zstd] {
        let bytes = fatbin(&[NewEntry {
            name: "a.cu",
            ..NewEntry::ptx(80, PTX).packed(compression)
        }]);
        let parsed = Fatbin::parse(&bytes).unwrap();
        let [entry] = parsed.entries() else {
            panic!("one entry")
        };
        assert_eq!(
            (entry.kind, entry.sm, entry.name, entry.version),
            (Kind::Ptx, 80, "a.cu", (8, 3))
        );
        assert_eq!(
            entry.bytes(LIMIT).unwrap().trim_ascii_end(),
            text().trim_ascii_end()
        );
        let limit = 10;
        assert!(
            matches!(entry.bytes(limit), Err(FatbinError::TooLarge { .. })),
            "{compression:?}"
        );
    }
}

#[test]
fn the_highest_target_that_runs_is_chosen() {
    let family = |sm| NewEntry {
        target: Target::Family,
        ..NewEntry::ptx(sm, PTX)
    };
    let exact = |sm| NewEntry {
        target: Target::ArchSpecific,
        ..NewEntry::ptx(sm, PTX)
    };
    let sass = |sm| NewEntry {
        kind: 2,
        ..NewEntry::ptx(sm, b"\x7fELF")
    };
    let bytes = fatbin(&[
        sass(90),
        NewEntry::ptx(80, PTX),
        exact(90),
        NewEntry::ptx(75, PTX),
        family(100),
        family(103),
    ]);
    let parsed = Fatbin::parse(&bytes).unwrap();
    let chosen = |cc| best_ptx(&parsed, cc).map(|e| (e.sm, e.target)).ok();
    assert_eq!(chosen((7, 0)), None);
    assert_eq!(chosen((7, 5)), Some((75, Target::Plain)));
    assert_eq!(chosen((8, 9)), Some((80, Target::Plain)));
    assert_eq!(chosen((9, 0)), Some((90, Target::ArchSpecific)));
    assert_eq!(chosen((10, 0)), Some((100, Target::Family)));
    assert_eq!(chosen((10, 3)), Some((103, Target::Family)));
    assert_eq!(chosen((12, 0)), Some((80, Target::Plain)));
}

#[test]
fn machine_code_alone_is_named_in_the_error() {
    let sass = |sm| NewEntry {
        kind: 2,
        ..NewEntry::ptx(sm, b"\x7fELF")
    };
    let bytes = fatbin(&[sass(80), sass(90)]);
    let error = best_ptx(&Fatbin::parse(&bytes).unwrap(), (9, 0)).unwrap_err();
    assert_eq!(error.contents, "only machine code (SASS) for sm_80, sm_90");
    assert!(error.to_string().contains("compute_90"), "{error}");
}

#[test]
fn images_are_told_apart() {
    let linked = pack_linked(&[("a", text())], 0).unwrap();
    let bytes = fatbin(&[]);
    for (image, kind) in [
        (&bytes[..], Image::Fatbin),
        (PTX, Image::Ptx),
        (b"  // comment\n /* .version */\n\t.version 8.0", Image::Ptx),
        (b"\x7fELF\x02", Image::Cubin),
        (b"!<arch>\nx", Image::Archive),
        (b"\xed\x43\x4e\x7f\x01", Image::LtoIr),
        (&linked, Image::Linked),
        (b"", Image::Unknown),
        (b"/* .version 8.0", Image::Unknown),
        (b"/*/ .version 8.0", Image::Unknown),
        (b"hello", Image::Unknown),
    ] {
        assert_eq!(Image::detect(image), kind, "{:?}", String::from_utf8_lossy(image));
    }
}

#[test]
fn a_linked_image_gives_back_its_texts() {
    let texts: [(&str, &[u8]); 3] = [("one", b".version 8.0"), ("", b""), ("drei", b"x")];
    let packed = pack_linked(&texts, 38).unwrap();
    assert_eq!(linked_registers(&packed), 38);
    assert_eq!(linked_registers(b".version 8.0 .target sm_90"), 0);
    assert_eq!(unpack_linked(&packed).unwrap(), texts);
    for cut in 0..packed.len() {
        assert!(unpack_linked(&packed[..cut]).is_err(), "cut at {cut}");
    }
}

#[test]
fn every_truncation_is_an_error() {
    let bytes = fatbin(&[
        NewEntry::ptx(80, PTX).packed(Compression::Lz4),
        NewEntry::ptx(90, PTX),
    ]);
    for cut in 0..bytes.len() {
        assert!(Fatbin::parse(&bytes[..cut]).is_err(), "cut at {cut}");
    }
}

#[test]
fn a_claim_of_gigabytes_costs_nothing() {
    let mut bytes = fatbin(&[NewEntry::ptx(80, PTX).packed(Compression::Lz4)]);
    bytes[16 + 56..16 + 64].copy_from_slice(&(1_u64 << 30).to_le_bytes());
    let parsed = Fatbin::parse(&bytes).unwrap();
    assert!(matches!(
        parsed.entries()[0].bytes(usize::MAX),
        Err(FatbinError::TooLarge { .. })
    ));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn flipped_bits_never_panic(at in 0_usize..400, bit in 0_u8..8, packing in 0_u8..3) {
        let compression = [Compression::None, Compression::Lz4, Compression::Zstd][usize::from(packing)];
        let mut bytes = fatbin(&[NewEntry::ptx(80, PTX).packed(compression), NewEntry::ptx(90, PTX)]);
        let at = at % bytes.len();
        bytes[at] ^= 1 << bit;
        if let Ok(parsed) = Fatbin::parse(&bytes) {
            for entry in parsed.entries() {
                let _ = entry.bytes(LIMIT);
            }
            let _ = best_ptx(&parsed, (9, 0));
        }
    }

    #[test]
    fn noise_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let mut fat = tessera_fatbin::MAGIC.to_le_bytes().to_vec();
        fat.extend_from_slice(&[1, 0, 16, 0]);
        fat.extend_from_slice(&(bytes.len() as u64).to_le_bytes());
        fat.extend_from_slice(&bytes);
        let _ = Fatbin::parse(&fat);
        let _ = Image::detect(&bytes);
        let _ = unpack_linked(&bytes);
    }
}
