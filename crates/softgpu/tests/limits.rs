//! What a launch may ask for on each board of the catalogue: exactly as much as the board's attributes say is accepted, one more refused, with
//! the error that CUDA gives.

mod common;

use common::*;
use std::collections::BTreeSet;
use std::sync::Arc;
use tessera_catalogue::catalogue;
use tessera_device::{Context, Device, DeviceError, Dim3, Function, Launch, Operation};
use tessera_softgpu::{Options, SoftGpu};

/// `CU_DEVICE_ATTRIBUTE_*`
const THREADS: i32 = 1;
const BLOCK: [i32; 3] = [2, 3, 4];
const GRID: [i32; 3] = [5, 6, 7];
const SHARED_OPTIN: i32 = 97;
const CLUSTERS: i32 = 120;

const PTX: &str = ".version 8.0\n.target sm_75\n.address_size 64
    .shared .align 4 .b8 own[1024];
    .visible .entry plain() { ret; }
    .visible .entry takes() { .reg .b32 %a; mov.u32 %a, own; st.shared.u32 [%a], 1; ret; }
    .visible .entry small() .maxntid 64, 1, 1 { ret; }
    .visible .entry exact() .reqntid 8, 4, 1 { ret; }";

struct Board {
    gpu: SoftGpu,
    context: Arc<dyn Context>,
}

impl Board {
    fn attribute(&self, number: i32) -> u32 {
        let all = &self.gpu.properties().attributes;
        let found = all.iter().find(|entry| entry.0 == number).expect("there");
        u32::try_from(found.1).expect("not negative")
    }

    fn run(&self, function: &Arc<dyn Function>, change: impl Fn(&mut Launch)) -> Result<(), DeviceError> {
        let mut operation = launch(function, 1, 1, &[]);
        if let Operation::Launch(launch) = &mut operation {
            change(launch);
        }
        let stream = TestStream::plain(&self.context);
        stream.stream.submit(1, operation)
    }
}

fn extent(d: usize, value: u32) -> Dim3 {
    let at = |n| if n == d { value } else { 1 };
    Dim3 {
        x: at(0),
        y: at(1),
        z: at(2),
    }
}

fn each_board(check: impl Fn(&str, &Board)) {
    let mut seen = BTreeSet::new();
    for board in catalogue().boards() {
        let mut options = Options::for_board(board, &board.name, 1 << 30, None);
        options.executors = Some(2);
        // Limits go with the compute capability; one board of each.
        if options.compute_capability >= (7, 5) && seen.insert(options.compute_capability) {
            let gpu = SoftGpu::open(&options).expect("device");
            let context = context(&gpu);
            check(&board.id.to_string(), &Board { gpu, context });
        }
    }
    assert!(seen.len() >= 4, "boards of several generations: {seen:?}");
}

#[test]
fn threads_and_extents() {
    each_board(|name, board| {
        let module = load(&board.context, PTX);
        let plain = kernel(&module, "plain");
        let most = board.attribute(THREADS);
        board
            .run(&plain, |l| l.block = extent(0, most))
            .unwrap_or_else(|e| panic!("{name}: {e}"));
        let invalid = |what: &str, result: Result<(), DeviceError>| {
            assert!(
                matches!(result, Err(DeviceError::InvalidValue(_))),
                "{name}, {what}: {result:?}"
            );
        };
        invalid(
            "threads",
            board.run(&plain, |l| {
                l.block = Dim3 {
                    x: most / 2,
                    y: 2,
                    z: 2,
                }
            }),
        );
        for d in 0..3 {
            let (block, grid) = (board.attribute(BLOCK[d]), board.attribute(GRID[d]));
            board
                .run(&plain, |l| l.block = extent(d, block))
                .unwrap_or_else(|e| panic!("{name}: {e}"));
            invalid("block", board.run(&plain, |l| l.block = extent(d, block + 1)));
            invalid("grid", board.run(&plain, |l| l.grid = extent(d, grid + 1)));
            invalid("no blocks", board.run(&plain, |l| l.grid = extent(d, 0)));
            invalid("no threads", board.run(&plain, |l| l.block = extent(d, 0)));
        }
        // The longest grids in y and z; the one in x would take long.
        for (d, &attribute) in GRID.iter().enumerate().skip(1) {
            let grid = board.attribute(attribute);
            board
                .run(&plain, |l| l.grid = extent(d, grid))
                .unwrap_or_else(|e| panic!("{name}: {e}"));
        }
    });
}

#[test]
fn what_the_kernel_itself_says() {
    each_board(|name, board| {
        let module = load(&board.context, PTX);
        let (small, exact) = (kernel(&module, "small"), kernel(&module, "exact"));
        assert_eq!(small.info().max_threads_per_block, 64);
        board.run(&small, |l| l.block = extent(0, 64)).expect("fits");
        let result = board.run(&small, |l| l.block = extent(0, 65));
        assert!(result.is_err(), "{name}");
        board
            .run(&exact, |l| l.block = Dim3 { x: 8, y: 4, z: 1 })
            .expect("fits");
        let result = board.run(&exact, |l| l.block = Dim3 { x: 4, y: 8, z: 1 });
        assert!(result.is_err(), "{name}");
    });
}

#[test]
fn shared_memory() {
    each_board(|name, board| {
        let module = load(&board.context, PTX);
        let (plain, takes) = (kernel(&module, "plain"), kernel(&module, "takes"));
        let most = board.attribute(SHARED_OPTIN);
        assert_eq!(takes.info().shared_bytes, 1024);
        for (function, room) in [(&plain, most), (&takes, most - 1024)] {
            board
                .run(function, |l| l.dynamic_shared_bytes = room)
                .unwrap_or_else(|e| panic!("{name}: {e}"));
            let result = board.run(function, |l| l.dynamic_shared_bytes = room + 1);
            assert!(
                matches!(result, Err(DeviceError::LaunchOutOfResources(_))),
                "{name}: {result:?}"
            );
        }
    });
}

#[test]
fn clusters() {
    each_board(|name, board| {
        let plain = kernel(&load(&board.context, PTX), "plain");
        let run = |cluster| {
            board.run(&plain, |l| {
                l.grid = extent(0, 32);
                l.cluster = cluster;
            })
        };
        run([1, 1, 1]).unwrap_or_else(|e| panic!("{name}: {e}"));
        let result = run([8, 1, 1]);
        if board.attribute(CLUSTERS) == 0 {
            assert!(
                matches!(result, Err(DeviceError::NotSupported(_))),
                "{name}: {result:?}"
            );
        } else {
            result.unwrap_or_else(|e| panic!("{name}: {e}"));
            for wrong in [[32, 1, 1], [3, 1, 1], [1, 2, 1]] {
                let result = run(wrong);
                assert!(
                    matches!(result, Err(DeviceError::InvalidValue(_))),
                    "{name}: {result:?}"
                );
            }
        }
    });
}
