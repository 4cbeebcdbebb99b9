//! The soft MMU: page tables of device address spaces.
