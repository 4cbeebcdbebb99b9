//! The worker: one sandboxed process per vGPU.
