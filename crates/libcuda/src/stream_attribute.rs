//! Attributes of streams.
//!
//! They are remembered and given back. Of all only the priority changes what the device does: it has no cache that could keep lines, one domain of memory
//! order, and waits as its context was asked to.

use crate::abi::DefaultStream;
use crate::code::{Answer, Code};
use crate::device::attribute;
use crate::state;
use crate::stream::{self, Stream};
use crate::types::{CUlaunchAttributeValue, Caller, Handle};
use std::sync::{MutexGuard, PoisonError};

/// `CU_STREAM_ATTRIBUTE_*`
mod id {
    pub(super) const ACCESS_POLICY_WINDOW: i32 = 1;
    pub(super) const SYNCHRONIZATION_POLICY: i32 = 3;
    pub(super) const PRIORITY: i32 = 8;
    pub(super) const MEM_SYNC_DOMAIN_MAP: i32 = 9;
    pub(super) const MEM_SYNC_DOMAIN: i32 = 10;
}

/// `CU_SYNC_POLICY_AUTO` to `CU_SYNC_POLICY_BLOCKING_SYNC`
const POLICIES: std::ops::RangeInclusive<u32> = 1..=4;
/// `CU_ACCESS_PROPERTY_PERSISTING`
const PERSISTING: u32 = 2;

/// What was set on a stream.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Attributes {
    /// Address, bytes, ratio as bits of a float, property of hits, property of misses.
    window: [u32; 7],
    policy: u32,
    /// Default and remote domain, a byte each.
    domains: [u8; 2],
    domain: u32,
}

impl Default for Attributes {
    fn default() -> Self {
        Self {
            window: [0; 7],
            policy: *POLICIES.start(),
            domains: [0; 2],
            domain: 0,
        }
    }
}

fn attributes(stream: &Stream) -> MutexGuard<'_, Attributes> {
    stream.attributes.lock().unwrap_or_else(PoisonError::into_inner)
}

/// `cuStreamGetAttribute`
pub(crate) fn stream_get_attribute(
    default: DefaultStream,
    handle: Handle,
    attr: i32,
    out: Caller<CUlaunchAttributeValue>,
) -> Answer {
    let stream = stream::stream(default, handle)?;
    out.required()?;
    let attributes = *attributes(&stream);
    // Only the member that the attribute has is written: programs may give room for no more.
    match attr {
        id::ACCESS_POLICY_WINDOW => {
            let mut window = [0; 8];
            window[..7].copy_from_slice(&attributes.window);
            out.cast::<[u32; 8]>().put(window)
        }
        id::SYNCHRONIZATION_POLICY => out.cast::<u32>().put(attributes.policy),
        id::PRIORITY => out.cast::<i32>().put(stream.priority()),
        id::MEM_SYNC_DOMAIN_MAP => out.cast::<[u8; 2]>().put(attributes.domains),
        id::MEM_SYNC_DOMAIN => out.cast::<u32>().put(attributes.domain),
        _ => Err(Code::INVALID_VALUE),
    }
}

fn check_window(window: [u32; 8]) -> Answer<[u32; 7]> {
    let [address_low, address_high, low, high, ratio, hit, miss, _] = window;
    let bytes = u64::from(high) << 32 | u64::from(low);
    let most = state::driver()?.limit(attribute::MAX_ACCESS_POLICY_WINDOW_SIZE);
    let fraction = (0.0..=1.0).contains(&f32::from_bits(ratio));
    if bytes > u64::from(most) || !fraction || hit > PERSISTING || miss >= PERSISTING {
        return Err(Code::INVALID_VALUE);
    }
    Ok([address_low, address_high, low, high, ratio, hit, miss])
}

/// `cuStreamSetAttribute`
pub(crate) fn stream_set_attribute(
    default: DefaultStream,
    handle: Handle,
    attr: i32,
    value: Caller<CUlaunchAttributeValue>,
) -> Answer {
    let stream = stream::stream(default, handle)?;
    value.required()?;
    let number = value.cast::<u32>();
    let mut attributes = attributes(&stream);
    match attr {
        id::ACCESS_POLICY_WINDOW => attributes.window = check_window(value.cast().get()?)?,
        id::SYNCHRONIZATION_POLICY => {
            let policy = number.get()?;
            if !POLICIES.contains(&policy) {
                return Err(Code::INVALID_VALUE);
            }
            attributes.policy = policy;
        }
        id::PRIORITY => {
            stream.set_priority(state::driver()?, value.cast::<i32>().get()?)?;
        }
        id::MEM_SYNC_DOMAIN_MAP => {
            let domains = value.cast::<[u8; 2]>().get()?;
            let count = state::driver()?.limit(attribute::MEM_SYNC_DOMAIN_COUNT);
            if domains.iter().any(|&domain| u32::from(domain) >= count) {
                return Err(Code::INVALID_VALUE);
            }
            attributes.domains = domains;
        }
        id::MEM_SYNC_DOMAIN => {
            let domain = number.get()?;
            if domain > 1 {
                return Err(Code::INVALID_VALUE);
            }
            attributes.domain = domain;
        }
        _ => return Err(Code::INVALID_VALUE),
    }
    Ok(())
}

/// `cuStreamCopyAttributes`: both streams are of one context.
pub(crate) fn stream_copy_attributes(default: DefaultStream, dst: Handle, src: Handle) -> Answer {
    let (to, from) = (stream::stream(default, dst)?, stream::stream(default, src)?);
    if to.core.handle != from.core.handle {
        return Err(Code::INVALID_VALUE);
    }
    let copied = *attributes(&from);
    *attributes(&to) = copied;
    if to.priority() == from.priority() {
        return Ok(());
    }
    to.set_priority(state::driver()?, from.priority())
}
