//! The software GPU: a device that executes PTX on the CPU.
