//! Messages between guest and worker, generated from the API table.
