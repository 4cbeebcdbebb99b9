//! Calls, launches and copies through the guest driver.

use crate::driver::{Driver, Launch};
use crate::stats::{each, median, ns};
use crate::{figure, floor};
use anyhow::{Result, ensure};
use std::ffi::{c_int, c_void};
use std::hint::black_box;
use std::time::{Duration, Instant};

const EMPTY: &str = ".version 7.0\n.target sm_50\n.address_size 64\n\
    .visible .entry empty(.param .u64 a, .param .u64 b, .param .u32 n)\n{\n  ret;\n}\n";

pub(crate) fn run() -> Result<()> {
    let driver = Driver::open()?;
    calls(&driver)?;
    launches(&driver)?;
    copies(&driver)
}

fn calls(driver: &Driver) -> Result<()> {
    let current: unsafe extern "C" fn(*mut *mut c_void) -> c_int = driver.raw("cuCtxGetCurrent")?;
    let attribute: unsafe extern "C" fn(*mut c_int, c_int, c_int) -> c_int =
        driver.raw("cuDeviceGetAttribute")?;
    let info: unsafe extern "C" fn(*mut usize, *mut usize) -> c_int = driver.raw("cuMemGetInfo_v2")?;
    let nothing = floor::empty_call();
    let (mut context, mut value) = (std::ptr::null_mut(), 0);
    let mut ask_context = || {
        // SAFETY: the signature of the public header; the pointer is live.
        black_box(unsafe { current(&raw mut context) });
    };
    let time = median(9, || each(1_000_000, &mut ask_context));
    figure(
        "local call (cuCtxGetCurrent)",
        time,
        "indirect empty call",
        nothing,
    );
    let mut ask_attribute = || {
        // SAFETY: as above.
        black_box(unsafe { attribute(&raw mut value, 16, 0) });
    };
    let time = median(9, || each(1_000_000, &mut ask_attribute));
    figure(
        "local call (cuDeviceGetAttribute)",
        time,
        "indirect empty call",
        nothing,
    );

    let spin = floor::spin_round_trip();
    let (mut free, mut total) = (0_usize, 0_usize);
    // SAFETY: as above.
    let mut ask = || black_box(unsafe { info(&raw mut free, &raw mut total) });
    ensure!(ask() == 0, "cuMemGetInfo fails");
    let time = median(9, || each(20_000, || _ = ask()));
    figure(
        "blocking call, worker awake (cuMemGetInfo)",
        time,
        "round trip of two spinning threads",
        spin,
    );
    let time = median(201, || {
        std::thread::sleep(Duration::from_millis(5));
        let start = Instant::now();
        ask();
        ns(start)
    });
    figure(
        "blocking call, worker asleep (cuMemGetInfo)",
        time,
        "round trip with one futex wake",
        floor::wake_round_trip(),
    );
    Ok(())
}

fn launches(driver: &Driver) -> Result<()> {
    let function = driver.kernel(EMPTY, "empty")?;
    let launch: Launch = driver.raw("cuLaunchKernel")?;
    let (mut a, mut n) = (0_u64, 1_u32);
    let mut parameters = [
        (&raw mut a).cast::<c_void>(),
        (&raw mut a).cast(),
        (&raw mut n).cast(),
    ];
    let mut failed = 0;
    let mut once = || {
        // SAFETY: the signature of the public header; three parameters as the kernel declares them.
        let code = unsafe {
            launch(
                function,
                1,
                1,
                1,
                32,
                1,
                1,
                0,
                std::ptr::null_mut(),
                parameters.as_mut_ptr(),
                std::ptr::null_mut(),
            )
        };
        failed += i32::from(code != 0);
    };
    // A burst that the ring holds: what a launch costs the guest while nothing pushes back.
    let burst = median(51, || {
        let time = each(1000, &mut once);
        driver.synchronize().map_or(f64::INFINITY, |()| time)
    });
    let long = median(5, || {
        let start = Instant::now();
        each(200_000, &mut once);
        driver
            .synchronize()
            .map_or(f64::INFINITY, |()| ns(start) / 200_000.0)
    });
    ensure!(failed == 0, "{failed} launches were refused");
    let post = floor::post();
    figure(
        "posted launch, cost in the guest",
        burst,
        "writing 128 bytes and publishing them",
        post,
    );
    figure(
        "empty launches run to the end, each of 200,000",
        long,
        "writing 128 bytes and publishing them",
        post,
    );
    Ok(())
}

fn copies(driver: &Driver) -> Result<()> {
    for (bytes, name) in [
        (64 << 10, "64 KiB"),
        (1 << 20, "1 MiB"),
        (16 << 20, "16 MiB"),
        (256 << 20, "256 MiB"),
    ] {
        let rounds = if bytes >= 256 << 20 { 5 } else { 31 };
        let device = driver.alloc(bytes)?;
        driver.fill(device, 0, bytes / 4)?;
        let mut host = vec![1_u8; bytes];
        let pinned = driver.host_alloc(bytes)?;
        // SAFETY: the driver gave this many bytes.
        unsafe { pinned.write_bytes(1, bytes) };
        driver.synchronize()?;
        let base = floor::copy(bytes, rounds);
        let timed = |body: &mut dyn FnMut() -> Result<()>| -> Result<f64> {
            body()?;
            let mut result = Ok(());
            let time = median(rounds, || {
                let start = Instant::now();
                if let Err(error) = body().and_then(|()| driver.synchronize()) {
                    result = Err(error);
                }
                ns(start)
            });
            result.map(|()| time)
        };
        let time = timed(&mut || driver.copy_in(device, host.as_ptr(), bytes))?;
        figure(
            &format!("copy to the device, pageable, {name}"),
            time,
            "memcpy",
            base,
        );
        let time = timed(&mut || driver.copy_out(host.as_mut_ptr(), device, bytes))?;
        figure(
            &format!("copy from the device, pageable, {name}"),
            time,
            "memcpy",
            base,
        );
        let time = timed(&mut || driver.copy_in(device, pinned, bytes))?;
        figure(
            &format!("copy to the device, pinned, {name}"),
            time,
            "memcpy",
            base,
        );
        let time = timed(&mut || driver.copy_out(pinned, device, bytes))?;
        figure(
            &format!("copy from the device, pinned, {name}"),
            time,
            "memcpy",
            base,
        );
        driver.free(device)?;
    }
    Ok(())
}
