//! Boards, vGPU types and MIG geometry: facts with their sources.
