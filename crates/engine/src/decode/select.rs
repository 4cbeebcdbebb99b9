//! Which handler carries out an instruction.

use crate::exec::Handler;
use crate::exec::atomics::{Atomic, AtomicLocal, W16, W32, W64};
use crate::exec::bulk::BulkOp;
use crate::exec::isa::Level;
use crate::exec::mbarrier::MbarrierOp;
use crate::exec::memory::{
    B32, B64, Generic, Global, Load, LoadLocal, Mixed, S8, S16, Shared, Store, StoreLocal, U8, U16, WideS8,
    WideS16, WideS32, WideU8, WideU16, WideU32,
};
use crate::exec::thread::{CopyAsync, ThreadOp};
use crate::exec::wide::WideOp;
use crate::lir::{MemType, Space};

/// The handler of a load (or store) of `ty` to (or from) registers of 64 bits (`wide`) or 32.
macro_rules! access {
    ($level:ident, $space:ident, $op:ident, $local:ident, $ty:ident, $wide:ident, [$($mem:ident $is_wide:literal $element:ident),+]) => {
        match ($ty, $wide) {
            $((MemType::$mem, $is_wide) => match $space {
                Space::Global => $level.handler::<$op<Global, $element>>(),
                Space::Shared => $level.handler::<$op<Shared, $element>>(),
                Space::Local => $level.handler::<$local<$element>>(),
                Space::Generic => $level.handler::<Mixed<$op<Generic, $element>, $local<$element>>>(),
            },)+
        }
    };
}

pub(super) fn load(level: Level, space: Space, ty: MemType, wide: bool) -> Handler {
    access!(level, space, Load, LoadLocal, ty, wide, [
        U8 false U8, S8 false S8, U16 false U16, S16 false S16, B32 false B32, S32 false B32, B64 false B32,
        U8 true WideU8, S8 true WideS8, U16 true WideU16, S16 true WideS16, B32 true WideU32, S32 true WideS32, B64 true B64
    ])
}

pub(super) fn store(level: Level, space: Space, ty: MemType, wide: bool) -> Handler {
    // A register wider than the access gives its low bits; the lowering has seen to it that these combinations do not occur.
    let wide = wide && matches!(ty, MemType::B64);
    access!(level, space, Store, StoreLocal, ty, wide, [
        U8 false U8, S8 false U8, U16 false U16, S16 false U16, B32 false B32, S32 false B32, B64 false B32,
        U8 true B64, S8 true B64, U16 true B64, S16 true B64, B32 true B64, S32 true B64, B64 true B64
    ])
}

pub(super) fn atomic(level: Level, space: Space, bytes: u8) -> Handler {
    macro_rules! width {
        ($w:ident) => {
            match space {
                Space::Global => level.handler::<Atomic<Global, $w>>(),
                Space::Shared => level.handler::<Atomic<Shared, $w>>(),
                Space::Generic | Space::Local => {
                    level.handler::<Mixed<Atomic<Generic, $w>, AtomicLocal<$w>>>()
                }
            }
        };
    }
    match bytes {
        2 => width!(W16),
        8 => width!(W64),
        _ => width!(W32),
    }
}

pub(super) fn thread(level: Level, what: ThreadOp) -> Handler {
    match what {
        ThreadOp::CopyAsync(_) => level.handler::<CopyAsync>(),
        ThreadOp::Mbarrier(_) => level.handler::<MbarrierOp>(),
        ThreadOp::Bulk(_) => level.handler::<BulkOp>(),
        ThreadOp::Wide(_) => level.handler::<WideOp>(),
    }
}
