//! The vGPU Manager: the daemon that owns a host's GPUs, vGPUs and workers.
