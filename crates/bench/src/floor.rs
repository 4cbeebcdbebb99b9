//! Floors: the least that each measured thing could cost on this machine, measured in the same run.

use crate::stats::{each, median, ns};
use std::hint::{black_box, spin_loop};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::Instant;

/// An indirect call that does nothing.
pub(crate) fn empty_call() -> f64 {
    extern "C" fn nothing(argument: usize) -> usize {
        argument
    }
    let pointer: extern "C" fn(usize) -> usize = black_box(nothing);
    median(9, || each(1_000_000, || _ = black_box(pointer(black_box(1)))))
}

/// Writing one message of 128 bytes to memory and publishing it.
pub(crate) fn post() -> f64 {
    let mut ring = vec![0_u64; 1 << 14];
    let head = AtomicU64::new(0);
    let message = black_box([1_u64; 16]);
    median(9, || {
        let mut at = 0;
        each(1_000_000, || {
            ring[at..at + 16].copy_from_slice(black_box(&message));
            at = (at + 16) & ((1 << 14) - 16);
            head.store(at as u64, Ordering::Release);
        })
    })
}

/// A round trip between two threads that spin on shared memory.
pub(crate) fn spin_round_trip() -> f64 {
    let (ping, pong, stop) = (AtomicU32::new(0), AtomicU32::new(0), AtomicBool::new(false));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut seen = 0;
            while !stop.load(Ordering::Relaxed) {
                let now = ping.load(Ordering::Acquire);
                if now != seen {
                    seen = now;
                    pong.store(now, Ordering::Release);
                }
                spin_loop();
            }
        });
        let mut turn = 0_u32;
        let time = median(9, || {
            each(20_000, || {
                turn = turn.wrapping_add(1);
                ping.store(turn, Ordering::Release);
                while pong.load(Ordering::Acquire) != turn {
                    spin_loop();
                }
            })
        });
        stop.store(true, Ordering::Relaxed);
        time
    })
}

fn futex(word: &AtomicU32, operation: libc::c_int, value: u32) {
    // SAFETY: the word is a live, aligned u32; waiting and waking do not touch other memory; a null timeout waits for ever.
    unsafe {
        libc::syscall(
            libc::SYS_futex,
            word.as_ptr(),
            operation,
            value,
            std::ptr::null::<libc::timespec>(),
        )
    };
}

/// A round trip to a thread that sleeps on a futex, the caller spinning: one wake-up.
pub(crate) fn wake_round_trip() -> f64 {
    let (ping, pong, stop) = (AtomicU32::new(0), AtomicU32::new(0), AtomicBool::new(false));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut seen = 0;
            while !stop.load(Ordering::Relaxed) {
                futex(&ping, libc::FUTEX_WAIT, seen);
                seen = ping.load(Ordering::Acquire);
                pong.store(seen, Ordering::Release);
            }
        });
        let mut turn = 0_u32;
        let time = median(201, || {
            std::thread::sleep(std::time::Duration::from_millis(2));
            let start = Instant::now();
            turn = turn.wrapping_add(1);
            ping.store(turn, Ordering::Release);
            futex(&ping, libc::FUTEX_WAKE, 1);
            while pong.load(Ordering::Acquire) != turn {
                spin_loop();
            }
            ns(start)
        });
        stop.store(true, Ordering::Relaxed);
        ping.fetch_add(1, Ordering::Release);
        futex(&ping, libc::FUTEX_WAKE, 1);
        time
    })
}

/// `memcpy` of this many bytes between two warm buffers.
pub(crate) fn copy(bytes: usize, rounds: usize) -> f64 {
    let from = vec![1_u8; bytes];
    let mut to = vec![2_u8; bytes];
    median(rounds, || {
        let start = Instant::now();
        black_box(&mut to).copy_from_slice(black_box(&from));
        ns(start)
    })
}
