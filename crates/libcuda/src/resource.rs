//! Resources of the device, and how they are split.
//!
//! ```text
//!   device, context, green context ── asked ─▶ resource ── split ─▶ groups + remainder ── described ─▶ descriptor ─▶ green context
//! ```
//!
//! The one kind is multiprocessors. A split is an account of numbers: the device has its executors for all contexts, and no kernel is
//! kept from any of them. What a split made is marked, so that a descriptor is made of parts of one split, each once.

use crate::code::{Answer, Code};
use crate::context;
use crate::device::{attribute, device};
use crate::state::{self, Driver};
use crate::types::{CU_DEV_SM_RESOURCE_GROUP_PARAMS, CUdevResource, Caller, Handle};
use std::sync::{Mutex, PoisonError};

/// `CU_DEV_RESOURCE_TYPE_*`
mod kind {
    pub(super) const SM: i32 = 1;
    pub(super) const WORKQUEUE_CONFIG: i32 = 1000;
    pub(super) const WORKQUEUE: i32 = 10000;
}

/// `CU_DEV_SM_RESOURCE_SPLIT_IGNORE_SM_COSCHEDULING`, and the flag for largest clusters.
const SPLIT_FINE: u32 = 1;
const SPLIT_FLAGS: u32 = 3;
/// `CU_DEV_SM_RESOURCE_GROUP_BACKFILL`
const BACKFILL: u32 = 1;
/// Most multiprocessors that are scheduled together, from compute capability 9.0 on.
const MOST_TOGETHER: u32 = 32;
/// Least of them, and what their numbers are multiples of, whatever the board.
const PAIR: u32 = 2;

/// What a resource of ours carries where programs do not look.
const MARK: u32 = 0x7e55_e7a1;

/// Where a resource is from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Origin {
    /// Number of the split; 0 where it was asked for.
    split: u64,
    /// Which part of the split; the remainder is 0.
    part: u32,
}

impl Origin {
    const ASKED: Self = Self { split: 0, part: 0 };
}

/// Multiprocessors: how many, and in what numbers they can be split.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Processors {
    count: u32,
    least: u32,
    together: u32,
    flags: u32,
}

impl Processors {
    /// Those of the device.
    pub(crate) fn of_device(driver: &Driver) -> Self {
        let (least, together) = match driver.info().compute_capability.0 {
            9.. => (8, 8),
            8 => (4, PAIR),
            _ => (PAIR, PAIR),
        };
        Self {
            count: driver.limit(attribute::MULTIPROCESSOR_COUNT),
            least,
            together,
            flags: 0,
        }
    }

    fn resource(self, origin: Origin) -> CUdevResource {
        let mut resource = CUdevResource {
            kind: kind::SM,
            ..CUdevResource::default()
        };
        resource.internal[0] = MARK;
        resource.internal[1] = u32::try_from(origin.split & 0xffff_ffff).unwrap_or(0);
        resource.internal[2] = u32::try_from(origin.split >> 32).unwrap_or(0);
        resource.internal[3] = origin.part;
        resource.values[..4].copy_from_slice(&[self.count, self.least, self.together, self.flags]);
        resource
    }

    /// Reads a resource that this library made.
    fn read(driver: &Driver, resource: &CUdevResource) -> Answer<(Self, Origin)> {
        if resource.kind != kind::SM {
            return Err(Code::INVALID_RESOURCE_TYPE);
        }
        let [count, least, together, flags, ..] = resource.values;
        let [mark, low, high, part, ..] = resource.internal;
        if mark != MARK || count == 0 || count > driver.limit(attribute::MULTIPROCESSOR_COUNT) {
            return Err(Code::INVALID_VALUE);
        }
        let origin = Origin {
            split: u64::from(high) << 32 | u64::from(low),
            part,
        };
        let processors = Self {
            count,
            least,
            together,
            flags,
        };
        Ok((processors, origin))
    }

    /// Groups of equal size that `wanted` multiprocessors or a few more make: size, how many.
    fn groups(self, wanted: u32, fine: bool) -> (u32, u32) {
        let (least, together) = if fine {
            (PAIR, PAIR)
        } else {
            (self.least, self.together)
        };
        let size = wanted.max(least).next_multiple_of(together.max(1));
        (size, self.count / size)
    }
}

/// Answers a question for a resource.
pub(crate) fn answer(out: Caller<CUdevResource>, wanted: i32, processors: Processors) -> Answer {
    match wanted {
        kind::SM => out.put(processors.resource(Origin::ASKED)),
        kind::WORKQUEUE_CONFIG | kind::WORKQUEUE => Err(Code::NOT_SUPPORTED),
        _ => Err(Code::INVALID_RESOURCE_TYPE),
    }
}

/// `cuDeviceGetDevResource`
pub(crate) fn device_get_dev_resource(dev: i32, out: Caller<CUdevResource>, wanted: i32) -> Answer {
    let driver = device(dev)?;
    out.required()?;
    answer(out, wanted, Processors::of_device(driver))
}

/// `cuCtxGetDevResource`
pub(crate) fn ctx_get_dev_resource(ctx: Handle, out: Caller<CUdevResource>, wanted: i32) -> Answer {
    let context = context::context(ctx)?;
    context.core.check_alive()?;
    out.required()?;
    answer(out, wanted, context.processors(state::driver()?))
}

/// Puts what is left of a split, where the program wants it; nothing left is no resource.
fn put_rest(out: Caller<CUdevResource>, left: Processors, split: u64) {
    out.put_if_wanted(if left.count == 0 {
        CUdevResource::default()
    } else {
        left.resource(Origin { split, part: 0 })
    });
}

/// What can be split: not a part of a split, but for its remainder.
fn splittable(driver: &Driver, input: Caller<CUdevResource>) -> Answer<Processors> {
    let (processors, origin) = Processors::read(driver, &input.get()?)?;
    if origin.part != 0 {
        return Err(Code::INVALID_RESOURCE_CONFIGURATION);
    }
    Ok(processors)
}

/// `cuDevSmResourceSplitByCount`
pub(crate) fn dev_sm_resource_split_by_count(
    result: Caller<CUdevResource>,
    count: Caller<u32>,
    input: Caller<CUdevResource>,
    remainder: Caller<CUdevResource>,
    flags: u32,
    least: u32,
) -> Answer {
    let driver = state::driver()?;
    let wanted = count.get()?;
    let processors = splittable(driver, input)?;
    if flags & !SPLIT_FLAGS != 0 || least > processors.count {
        return Err(Code::INVALID_VALUE);
    }
    let (size, possible) = processors.groups(least, flags & SPLIT_FINE != 0);
    if result.is_null() {
        return count.put(possible);
    }
    if wanted == 0 {
        return Err(Code::INVALID_VALUE);
    }
    let made = wanted.min(possible);
    if made == 0 {
        return Err(Code::INVALID_RESOURCE_CONFIGURATION);
    }
    let split = driver.next_identity();
    for index in 0..made {
        let group = Processors {
            count: size,
            ..processors
        };
        let origin = Origin {
            split,
            part: index + 1,
        };
        result.put_at(index as usize, group.resource(origin))?;
    }
    let left = Processors {
        count: processors.count - made * size,
        ..processors
    };
    put_rest(remainder, left, split);
    count.put(made)
}

/// A group of `cuDevSmResourceSplit`, of `left` multiprocessors.
fn group(
    input: Processors,
    left: u32,
    params: &CU_DEV_SM_RESOURCE_GROUP_PARAMS,
    discover: bool,
) -> Answer<Processors> {
    let modern = input.least >= 8;
    let most = if modern { MOST_TOGETHER } else { PAIR };
    let together = match params.together {
        0 if modern => 8,
        0 => PAIR,
        given => given,
    };
    let preferred = match params.preferred {
        0 => together,
        given => given,
    };
    // Localities are there on boards of several dies.
    let backfill = params.flags & BACKFILL != 0;
    if params.flags & !BACKFILL != 0
        || together > most
        || !together.is_multiple_of(PAIR)
        || !preferred.is_multiple_of(together)
        || !params.count.is_multiple_of(PAIR)
        || params.count > input.count
    {
        return Err(Code::INVALID_VALUE);
    }
    let unit = if backfill { PAIR } else { together };
    let count = match params.count {
        0 => left - left % unit,
        given if given.is_multiple_of(unit) => given,
        // It could be had, but not together.
        _ => return Err(Code::INVALID_RESOURCE_CONFIGURATION),
    };
    let possible = count <= left && (discover || count != 0 && (backfill || count >= together));
    if !possible {
        return Err(Code::INVALID_RESOURCE_CONFIGURATION);
    }
    Ok(Processors {
        count,
        least: input.least,
        together,
        flags: params.flags,
    })
}

/// `cuDevSmResourceSplit`
pub(crate) fn dev_sm_resource_split(
    result: Caller<CUdevResource>,
    count: u32,
    input: Caller<CUdevResource>,
    remainder: Caller<CUdevResource>,
    flags: u32,
    params: Caller<CU_DEV_SM_RESOURCE_GROUP_PARAMS>,
) -> Answer {
    let driver = state::driver()?;
    let processors = splittable(driver, input)?;
    params.required()?;
    if flags != 0 || count == 0 {
        return Err(Code::INVALID_VALUE);
    }
    let mut left = processors.count;
    let mut groups = Vec::new();
    for index in 0..count as usize {
        let group = group(processors, left, &params.at(index)?, result.is_null())?;
        left -= group.count;
        groups.push(group);
    }
    let split = driver.next_identity();
    for (part, group) in (1..).zip(&groups) {
        let index = part as usize - 1;
        let found = CU_DEV_SM_RESOURCE_GROUP_PARAMS {
            count: group.count,
            ..params.at(index)?
        };
        params.put_at(index, found)?;
        if !result.is_null() {
            result.put_at(index, group.resource(Origin { split, part }))?;
        }
    }
    let left = Processors {
        count: left,
        ..processors
    };
    put_rest(remainder, left, split);
    Ok(())
}

/// Descriptors; they live as long as the process.
static DESCRIPTORS: Mutex<Vec<Processors>> = Mutex::new(Vec::new());

/// `cuDevResourceGenerateDesc`
pub(crate) fn dev_resource_generate_desc(
    out: Caller<Handle>,
    resources: Caller<CUdevResource>,
    count: u32,
) -> Answer {
    let driver = state::driver()?;
    out.required()?;
    if count == 0 {
        return Err(Code::INVALID_VALUE);
    }
    let (first, origin) = Processors::read(driver, &resources.get()?)?;
    let mut total = first;
    let mut parts = vec![origin.part];
    for index in 1..count as usize {
        let (next, other) = Processors::read(driver, &resources.at(index)?)?;
        let apart = origin.split == 0
            || other.split != origin.split
            || parts.contains(&other.part)
            || next.together != first.together;
        if apart {
            return Err(Code::INVALID_RESOURCE_CONFIGURATION);
        }
        parts.push(other.part);
        total.count = total.count.saturating_add(next.count);
    }
    let mut descriptors = DESCRIPTORS.lock().unwrap_or_else(PoisonError::into_inner);
    descriptors.push(total);
    out.put((descriptors.len() as u64) << 4)
}

/// What a descriptor describes.
pub(crate) fn described(descriptor: Handle) -> Answer<Processors> {
    let descriptors = DESCRIPTORS.lock().unwrap_or_else(PoisonError::into_inner);
    let index = usize::try_from(descriptor >> 4)
        .ok()
        .filter(|_| descriptor & 15 == 0);
    index
        .and_then(|index| index.checked_sub(1))
        .and_then(|index| descriptors.get(index).copied())
        .ok_or(Code::INVALID_VALUE)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOARD: Processors = Processors {
        count: 114,
        least: 8,
        together: 8,
        flags: 0,
    };

    #[test]
    fn groups_are_rounded_up_to_what_is_scheduled_together() {
        assert_eq!(BOARD.groups(0, false), (8, 14));
        assert_eq!(BOARD.groups(9, false), (16, 7));
        assert_eq!(BOARD.groups(9, true), (10, 11));
        assert_eq!(BOARD.groups(114, false), (120, 0));
    }

    fn params(count: u32, together: u32, flags: u32) -> CU_DEV_SM_RESOURCE_GROUP_PARAMS {
        CU_DEV_SM_RESOURCE_GROUP_PARAMS {
            count,
            together,
            preferred: 0,
            flags,
            rest: [0; 12],
        }
    }

    #[test]
    fn groups_are_found_or_taken_as_asked() {
        let count = |left, given, discover| group(BOARD, left, &given, discover).map(|group| group.count);
        assert_eq!(count(114, params(0, 0, 0), false), Ok(112));
        assert_eq!(count(2, params(0, 0, BACKFILL), false), Ok(2));
        assert_eq!(count(2, params(0, 0, 0), true), Ok(0));
        assert_eq!(
            count(2, params(0, 0, 0), false),
            Err(Code::INVALID_RESOURCE_CONFIGURATION)
        );
        assert_eq!(count(114, params(10, 2, 0), false), Ok(10));
        assert_eq!(
            count(114, params(10, 4, 0), false),
            Err(Code::INVALID_RESOURCE_CONFIGURATION)
        );
        assert_eq!(count(114, params(10, 4, BACKFILL), false), Ok(10));
        assert_eq!(
            count(8, params(10, 2, 0), false),
            Err(Code::INVALID_RESOURCE_CONFIGURATION)
        );
        assert_eq!(count(114, params(11, 2, 0), false), Err(Code::INVALID_VALUE));
        assert_eq!(count(114, params(8, 64, 0), false), Err(Code::INVALID_VALUE));
        assert_eq!(count(114, params(8, 8, 2), false), Err(Code::INVALID_VALUE));
    }
}
