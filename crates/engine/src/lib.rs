//! Tier 0 of the execution engine: the warp-vectorised PTX interpreter.
