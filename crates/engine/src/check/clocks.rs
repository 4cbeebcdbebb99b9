//! What is ordered before what among the threads of a block.
//!
//! Time is a counter that every synchronisation advances. An access carries the time at which it was made; thread `b` may rely on
//! an access of thread `a` when something has told `b` of `a`'s doings at a later time: a barrier of the whole block, a barrier of
//! some warps, `bar.warp.sync`, or an atomic on a variable that `a` used before.
//!
//! Knowledge between threads of one warp is kept thread by thread, between warps by warp. Where only a part of a warp took part, the
//! whole warp is taken to have: that can hide a race but never makes one up.

use std::collections::HashMap;

/// A time for each warp.
type Known = [u32; 32];
/// Lanes that take part, by warp of the block.
pub(crate) type Party = [u32; 32];

/// The order of a block.
#[derive(Debug, Clone, Default)]
pub(crate) struct Clocks {
    time: u32,
    /// When the whole block last came together.
    whole: u32,
    /// What each lane of a warp knows of the other lanes, for warps that came together by themselves.
    own: HashMap<u32, Box<[[u32; 32]; 32]>>,
    /// What a thread knows of warps.
    known: HashMap<u32, Known>,
    /// What was known to those who used a variable with an atomic.
    variables: HashMap<u64, Known>,
    /// What was known to those who arrived at a barrier without waiting.
    arrived: HashMap<usize, Known>,
}

fn join(a: &mut Known, b: &Known) {
    for (a, b) in a.iter_mut().zip(b) {
        *a = (*a).max(*b);
    }
}

fn lanes(mask: u32) -> impl Iterator<Item = u32> {
    (0..32).filter(move |lane| mask >> lane & 1 != 0)
}

impl Clocks {
    pub(crate) const fn time(&self) -> u32 {
        self.time
    }

    /// Time goes on: accesses from here on are later than what was released.
    pub(crate) const fn tick(&mut self) -> u32 {
        self.time += 1;
        self.time
    }

    /// Whether what thread `from` did at `time` is ordered before what thread `to` does now.
    pub(crate) fn ordered(&self, from: u32, time: u32, to: u32) -> bool {
        if from == to || time < self.whole {
            return true;
        }
        let (warp, known) = (from / 32, self.known.get(&to));
        if warp == to / 32
            && self
                .own
                .get(&warp)
                .is_some_and(|own| own[(to % 32) as usize][(from % 32) as usize] > time)
        {
            return true;
        }
        known.is_some_and(|known| known[(warp % 32) as usize] > time)
    }

    /// All threads of the block came together.
    pub(crate) fn all(&mut self) {
        self.whole = self.tick();
        self.own.clear();
        self.known.clear();
        self.variables.clear();
        self.arrived.clear();
    }

    /// Lanes of a warp came together.
    pub(crate) fn warp(&mut self, warp: u32, mask: u32) {
        let now = self.tick();
        let own = self.own.entry(warp).or_insert_with(|| Box::new([[0; 32]; 32]));
        let mut sum = [0; 32];
        for lane in lanes(mask) {
            join(&mut sum, &own[lane as usize]);
        }
        for lane in lanes(mask) {
            sum[lane as usize] = now;
        }
        for lane in lanes(mask) {
            own[lane as usize] = sum;
        }
        let mut known = [0; 32];
        let mut any = false;
        for thread in lanes(mask).map(|lane| warp * 32 + lane) {
            if let Some(of) = self.known.get(&thread) {
                join(&mut known, of);
                any = true;
            }
        }
        if any {
            for thread in lanes(mask).map(|lane| warp * 32 + lane) {
                self.known.insert(thread, known);
            }
        }
    }

    /// What the threads of a party know together.
    fn sum(&self, party: &Party) -> Known {
        let mut sum = [0; 32];
        for (warp, &mask) in (0u32..).zip(party) {
            for lane in lanes(mask) {
                if let Some(known) = self.known.get(&(warp * 32 + lane)) {
                    join(&mut sum, known);
                }
            }
        }
        sum
    }

    /// Threads arrived at barrier `id` and did not wait.
    pub(crate) fn arrive(&mut self, id: usize, party: &Party) {
        let now = self.tick();
        let mut sum = self.sum(party);
        for (known, &mask) in sum.iter_mut().zip(party) {
            if mask != 0 {
                *known = now;
            }
        }
        join(self.arrived.entry(id).or_insert([0; 32]), &sum);
    }

    /// Barrier `id` opened for a party that is not the whole block.
    pub(crate) fn some(&mut self, id: usize, party: &Party) {
        let now = self.tick();
        let mut sum = self.sum(party);
        if let Some(arrived) = self.arrived.remove(&id) {
            join(&mut sum, &arrived);
        }
        for (known, &mask) in sum.iter_mut().zip(party) {
            if mask != 0 {
                *known = now;
            }
        }
        for (warp, &mask) in (0u32..).zip(party) {
            for lane in lanes(mask) {
                self.known.insert(warp * 32 + lane, sum);
            }
        }
    }

    /// Thread `thread` used a variable in a way that can publish what it did before.
    pub(crate) fn release(&mut self, thread: u32, variable: u64) {
        let mut sum = self.known.get(&thread).copied().unwrap_or([0; 32]);
        sum[(thread / 32 % 32) as usize] = self.time;
        join(self.variables.entry(variable).or_insert([0; 32]), &sum);
    }

    /// Thread `thread` looked at a variable in a way that can tell it what others did before.
    pub(crate) fn acquire(&mut self, thread: u32, variable: u64) {
        if let Some(of) = self.variables.get(&variable) {
            join(self.known.entry(thread).or_insert([0; 32]), of);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn barriers_order_and_nothing_else_does() {
        let mut clocks = Clocks::default();
        let then = clocks.time();
        assert!(clocks.ordered(3, then, 3), "a thread knows itself");
        assert!(!clocks.ordered(3, then, 4) && !clocks.ordered(3, then, 40));
        clocks.all();
        assert!(clocks.ordered(3, then, 4) && clocks.ordered(3, then, 40));
        assert!(
            !clocks.ordered(3, clocks.time(), 4),
            "what comes after the barrier is not ordered by it"
        );
    }

    #[test]
    fn a_warp_barrier_orders_its_lanes_only() {
        let mut clocks = Clocks::default();
        let then = clocks.time();
        clocks.warp(1, 0b11);
        assert!(clocks.ordered(32, then, 33));
        assert!(
            !clocks.ordered(32, then, 34) && !clocks.ordered(32, then, 0) && !clocks.ordered(34, then, 32)
        );
        // What a lane heard it passes on.
        clocks.warp(1, 0b110);
        assert!(clocks.ordered(32, then, 34));
    }

    #[test]
    fn a_barrier_of_some_warps_and_one_way_arrivals() {
        let mut clocks = Clocks::default();
        let then = clocks.time();
        let mut party = [0; 32];
        (party[0], party[2]) = (u32::MAX, u32::MAX);
        clocks.some(1, &party);
        assert!(clocks.ordered(0, then, 64) && clocks.ordered(64, then, 1));
        assert!(!clocks.ordered(32, then, 64) && !clocks.ordered(0, then, 32));
        let (mut producer, mut consumer) = ([0; 32], [0; 32]);
        (producer[1], consumer[3]) = (u32::MAX, u32::MAX);
        let then = clocks.time();
        clocks.arrive(2, &producer);
        clocks.some(2, &consumer);
        assert!(clocks.ordered(32, then, 96));
        assert!(!clocks.ordered(96, then, 32), "who only arrives learns nothing");
    }

    #[test]
    fn an_atomic_passes_on_what_was_before_it() {
        let mut clocks = Clocks::default();
        let then = clocks.time();
        clocks.tick();
        clocks.release(0, 8);
        clocks.acquire(64, 8);
        assert!(clocks.ordered(0, then, 64));
        assert!(!clocks.ordered(64, then, 0) && !clocks.ordered(0, clocks.time(), 64));
    }
}
