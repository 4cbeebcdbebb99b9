//! Many ranges of managed memory in one call, and where they are.
//!
//! All ranges of a batch are checked before anything is posted.

use super::{HOST, Place, common, managed, pages, place, supported};
use crate::abi::{DefaultStream, STREAM_LEGACY};
use crate::code::{Answer, Code};
use crate::current;
use crate::state::{self, Driver};
use crate::stream::{self, Stream};
use crate::types::{CUmemLocation, Caller, Handle};
use std::sync::Arc;
use tessera_wire::messages::Marker;

/// Ranges of a batch, each with the location that it is to have, where the batch says one.
struct Ranges {
    list: Vec<(u64, usize, Option<Place>)>,
}

impl Ranges {
    fn read(driver: &Driver, dptrs: Caller<u64>, sizes: Caller<usize>, count: usize) -> Answer<Self> {
        dptrs.required()?;
        sizes.required()?;
        if count == 0 {
            return Err(Code::INVALID_VALUE);
        }
        let mut list = Vec::new();
        for index in 0..count {
            let (address, bytes) = (dptrs.at(index)?, sizes.at(index)?);
            managed(driver, address, bytes)?;
            list.push((address, bytes, None));
        }
        Ok(Self { list })
    }

    /// Gives each range its location: those from `firsts[k]` on have the `k`th.
    fn locate(&mut self, locations: Caller<CUmemLocation>, firsts: Caller<usize>, count: usize) -> Answer {
        locations.required()?;
        firsts.required()?;
        if count == 0 || count > self.list.len() || firsts.at(0)? != 0 {
            return Err(Code::INVALID_VALUE);
        }
        for index in 0..count {
            let first = firsts.at(index)?;
            let end = match index + 1 {
                next if next < count => firsts.at(next)?,
                _ => self.list.len(),
            };
            let place = place(locations.at(index)?)?;
            let ranges = self.list.get_mut(first..end).filter(|ranges| !ranges.is_empty());
            for range in ranges.ok_or(Code::INVALID_VALUE)? {
                range.2 = Some(place);
            }
        }
        Ok(())
    }

    /// Nothing has to move, and what is discarded may keep its contents.
    fn submit(&self, driver: &Driver, stream: &Stream) -> Answer {
        stream.submit(driver, &[], |seq| Marker {
            stream: stream.handle(),
            seq,
        })?;
        driver.managed.with(|advised| {
            for &(address, bytes, place) in &self.list {
                let (start, end) = pages(address, bytes);
                if place.is_some() {
                    advised.change(start, end, |said| said.prefetched = place);
                }
            }
        });
        Ok(())
    }
}

/// The stream of a batch, which must not be the legacy one.
fn batch(default: DefaultStream, handle: Handle, flags: u64) -> Answer<(&'static Driver, Arc<Stream>)> {
    let driver = state::driver()?;
    current::current()?;
    supported(driver)?;
    if flags != 0 || default.resolve(handle) == STREAM_LEGACY {
        return Err(Code::INVALID_VALUE);
    }
    Ok((driver, stream::stream(default, handle)?))
}

/// `cuMemPrefetchBatchAsync`
#[allow(clippy::too_many_arguments)]
pub(crate) fn mem_prefetch_batch_async(
    default: DefaultStream,
    dptrs: Caller<u64>,
    sizes: Caller<usize>,
    count: usize,
    locations: Caller<CUmemLocation>,
    location_firsts: Caller<usize>,
    num_locations: usize,
    flags: u64,
    stream: Handle,
) -> Answer {
    let (driver, stream) = batch(default, stream, flags)?;
    let mut ranges = Ranges::read(driver, dptrs, sizes, count)?;
    ranges.locate(locations, location_firsts, num_locations)?;
    ranges.submit(driver, &stream)
}

/// `cuMemDiscardBatchAsync`
pub(crate) fn mem_discard_batch_async(
    default: DefaultStream,
    dptrs: Caller<u64>,
    sizes: Caller<usize>,
    count: usize,
    flags: u64,
    stream: Handle,
) -> Answer {
    let (driver, stream) = batch(default, stream, flags)?;
    Ranges::read(driver, dptrs, sizes, count)?.submit(driver, &stream)
}

/// `cuMemDiscardAndPrefetchBatchAsync`
#[allow(clippy::too_many_arguments)]
pub(crate) fn mem_discard_and_prefetch_batch_async(
    default: DefaultStream,
    dptrs: Caller<u64>,
    sizes: Caller<usize>,
    count: usize,
    locations: Caller<CUmemLocation>,
    location_firsts: Caller<usize>,
    num_locations: usize,
    flags: u64,
    stream: Handle,
) -> Answer {
    mem_prefetch_batch_async(
        default,
        dptrs,
        sizes,
        count,
        locations,
        location_firsts,
        num_locations,
        flags,
        stream,
    )
}

/// `cuMemGetLocationInfo`: the pages are the host's; what was prefetched is where it was asked to be, as far as a program can tell.
pub(crate) fn mem_get_location_info(
    ptr: u64,
    size: usize,
    summary_granularity: usize,
    sampling_granularity: usize,
    location_out: Caller<CUmemLocation>,
) -> Answer {
    location_out.required()?;
    let driver = state::driver()?;
    supported(driver)?;
    if summary_granularity == 0 || summary_granularity > size || sampling_granularity > summary_granularity {
        return Err(Code::INVALID_VALUE);
    }
    managed(driver, ptr, size)?;
    for (index, offset) in (0..size).step_by(summary_granularity).enumerate() {
        let (start, end) = pages(ptr + offset as u64, summary_granularity.min(size - offset));
        let (kind, id) = driver.managed.with(|advised| {
            let prefetched = common(advised.pieces(start, end).map(|said| said.prefetched));
            prefetched.unwrap_or((HOST, 0))
        });
        location_out.put_at(index, CUmemLocation { kind, id })?;
    }
    Ok(())
}
