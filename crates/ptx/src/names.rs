//! Names at module scope.

use std::collections::HashMap;

use crate::module::Symbol;

/// What the names of one text stand for.
pub(crate) type NameMap = HashMap<Box<[u8]>, Symbol>;
