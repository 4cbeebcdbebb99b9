//! Version 1 of every message, as bytes that are committed: what this version reads, every later one must read the same.
//!
//! A line of `version-1.txt` is a message: its frame in hexadecimal, a bar, what it means. The bytes of the fields count up
//! from 1, so that a field that moves or changes its width reads differently. A new message gets a new line (print it with
//! `cargo test -p tessera-wire --test samples -- --ignored --nocapture`); lines that are there never change.

use tessera_wire::messages::*;
use tessera_wire::{MESSAGES, decode, decode_reply, encode, encode_refusal, encode_reply};
use zerocopy::FromBytes;

const SAMPLES: &str = include_str!("version-1.txt");
const CALL: u64 = 0x0001_0203_0405_0001;

/// A fixed part whose bytes count up from 1.
fn counting<T: FromBytes>() -> T {
    let bytes: Vec<u8> = (1..=u8::MAX).cycle().take(size_of::<T>()).collect();
    T::read_from_bytes(&bytes).unwrap_or_else(|_| panic!("size"))
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn bytes(text: &str) -> Vec<u8> {
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap())
        .collect()
}

fn request<M: Message>(call: u64) -> (Vec<u8>, String) {
    let tail: &[u8] = if M::MAX_TAIL > 0 { b"tail" } else { b"" };
    let mut frame = Vec::new();
    encode(&counting::<M>(), call, tail, &mut frame).unwrap();
    let meaning = format!("{:?}", decode(&frame).unwrap().1);
    (frame, meaning)
}

fn reply<M: Call>() -> (Vec<u8>, String) {
    let tail: &[u8] = if M::REPLY_HAS_TAIL { b"tail" } else { b"" };
    let mut frame = Vec::new();
    encode_reply::<M>(CALL, &counting::<M::Reply>(), tail, &mut frame).unwrap();
    let (value, tail) = decode_reply::<M>(&frame, CALL).unwrap().unwrap();
    let meaning = format!("{value:?} {tail:?}");
    (frame, meaning)
}

/// Every message and every reply, made now.
fn made() -> Vec<(Vec<u8>, String)> {
    let mut samples = Vec::new();
    macro_rules! add {
        ($(($name:ident, $opcode:literal, $class:ident),)*) => { $( add!(@ $class $name); )* };
        (@ posted $name:ident) => { samples.push(request::<$name>(0)) };
        (@ call $name:ident) => { samples.push(request::<$name>(CALL)); samples.push(reply::<$name>()) };
    }
    tessera_wire::for_each_message!(add);
    samples
}

#[test]
#[ignore = "prints version-1.txt, for lines to be added"]
fn print() {
    use std::io::Write;
    let mut out = std::io::stdout().lock();
    for (frame, meaning) in made() {
        writeln!(out, "{}|{meaning}", hexadecimal(&frame)).unwrap();
    }
}

#[test]
fn version_1_reads_as_ever() {
    let made = made();
    let calls = MESSAGES.iter().filter(|row| row.class == Class::Call).count();
    assert_eq!(SAMPLES.lines().count(), MESSAGES.len() + calls);
    for (line, (frame, meaning)) in SAMPLES.lines().zip(made) {
        let (sample, said) = line.split_once('|').unwrap();
        assert_eq!(bytes(sample), frame, "{said}");
        assert_eq!(said, meaning);
    }
}

#[test]
fn every_frame_that_is_not_whole_is_refused() {
    for line in SAMPLES.lines() {
        let frame = bytes(line.split_once('|').unwrap().0);
        for length in 0..frame.len() {
            assert!(decode(&frame[..length]).is_err(), "{line}");
            // Cut, with a length that says so: too short for the fixed part, or a tail that is cut, which is for the reader of the tail.
            let mut cut = frame[..length].to_vec();
            if length >= 4 {
                cut[..4].copy_from_slice(&u32::try_from(length).unwrap().to_le_bytes());
                let _ = decode(&cut);
                let _ = decode_reply::<ModuleLoad>(&cut, CALL);
            }
        }
        let mut long = frame.clone();
        long.push(0);
        assert!(decode(&long).is_err());
    }
}

#[test]
fn rules_of_the_frame() {
    let (frame, _) = request::<Marker>(0);
    let with = |at: usize, byte: u8| {
        let mut frame = frame.clone();
        frame[at] = byte;
        decode(&frame).unwrap_err().to_string()
    };
    assert!(with(4, 0xee).contains("Unknown opcode"));
    assert!(with(6, 1).contains("flags"));
    assert!(with(8, 1).contains("call number"));
    // A tail where the table has none, and one that is too long.
    let mut tail = Vec::new();
    assert!(encode(&counting::<Marker>(), 0, b"x", &mut tail).is_err());
    assert!(encode(&counting::<Launch>(), 0, &[0; 32_769], &mut tail).is_err());
    assert!(tail.is_empty());
    let mut long = frame.clone();
    long.extend_from_slice(&[0; 8]);
    long[0] += 8;
    assert!(decode(&long).unwrap_err().to_string().contains("Tail of 8 bytes"));
    // A refusal has its code and reason; 0 would be success and is never sent.
    let mut refusal = Vec::new();
    encode_refusal(Opcode::MemAlloc, CALL, 0, "no", &mut refusal).unwrap();
    let refused = decode_reply::<MemAlloc>(&refusal, CALL).unwrap().unwrap_err();
    assert_eq!(refused, (1, "no".to_owned()));
    assert!(decode_reply::<MemAlloc>(&refusal, CALL + 1).is_err());
    assert!(decode_reply::<MemInfo>(&refusal, CALL).is_err());
}
