//! The table of the CUDA driver API: the single source of every list of functions.
