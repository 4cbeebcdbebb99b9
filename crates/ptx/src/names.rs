//! Names at module scope.

use std::collections::HashMap;

use crate::module::Symbol;

/// A map from names of a text. The hasher is seeded per process, so a hostile text cannot choose colliding names.
pub(crate) type NameMap = HashMap<Box<[u8]>, Symbol, foldhash::fast::RandomState>;
