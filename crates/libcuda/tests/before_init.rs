//! What functions answer before initialisation and without a vGPU, as the real driver does without a device.

mod common;

use std::path::Path;

#[test]
fn states_before_init_are_those_of_the_real_driver() {
    let directory = tempfile::tempdir().expect("a directory can be made");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/c/before_init.c");
    let program = common::compile(&source, directory.path());
    let output = common::run(&program, &[], None);
    let stdout = String::from_utf8_lossy(&output.stdout);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stdout}{stderr}");
    // One line says why there is no device and what to do, however often the program asks.
    assert_eq!(
        stderr.matches("TESSERA_VGPU_SOCKET is not set").count(),
        1,
        "{stderr}"
    );
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
}

#[test]
fn a_dead_socket_is_no_device() {
    let directory = tempfile::tempdir().expect("a directory can be made");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/c/before_init.c");
    let program = common::compile(&source, directory.path());
    let socket = directory.path().join("guest.sock");
    drop(std::os::unix::net::UnixListener::bind(&socket).expect("a socket can be made"));
    let output = common::run(&program, &[], Some(&socket));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{}{stderr}",
        String::from_utf8_lossy(&output.stdout)
    );
    assert!(stderr.contains("no worker answers"), "{stderr}");
}
