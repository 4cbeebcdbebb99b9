//! Arithmetic of PTX instructions on one lane, exact to the bit.
#![forbid(unsafe_code)]
