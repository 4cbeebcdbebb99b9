//! The channel between a guest process and its worker.
//!
//! A channel is a control byte stream (a [`Carrier`]) and, where the carrier can pass memory, an **aperture**: one sealed
//! memfd that both sides map. With an aperture, messages go through a ring, progress is read from completion records and bulk
//! data goes through the staging heap; without one, the same messages go over the stream (NVML sessions do that).
//!
//! ```text
//!  guest: Client                            aperture                             worker: Session
//!  ┌──────────────┐   post, call   ┌───────────────────────────┐  receive   ┌──────────────────┐
//!  │ any thread,  │───────────────▶│ ring (guest ▶ worker)     │───────────▶│ one dispatcher   │
//!  │ one ring lock│◀───────────────│ reply slots               │◀───────────│                  │
//!  │              │◀───────────────│ completion records        │◀───────────│ executor threads │
//!  │              │◀──────────────▶│ staging heap (guest owns) │◀──────────▶│ copies           │
//!  └──────┬───────┘                └───────────────────────────┘            └────────┬─────────┘
//!         └──────────────── control stream: Hello, descriptors, end of file ─────────┘
//! ```
//!
//! **Waking.** Nobody makes a system call to wake a peer that is awake. Both directions use the same store-then-look protocol
//! (Dekker): each side first stores what it has to say, then fences, then loads what the other side said. In every order of
//! the four steps at least one side sees the other's store, so no wake-up is lost:
//!
//! ```text
//!   producer                              sleeper
//!   1 store data (ring head, record)      1 store "I sleep" (flag or waiter count)
//!   2 fence SeqCst                        2 fence SeqCst
//!   3 load "sleeps?" ── yes: futex wake   3 load data ── there: do not sleep;  else futex wait
//! ```
//!
//! **Trust.** The guest can write every byte of the aperture at any time. The worker keeps its own indices in private memory,
//! copies each frame once and validates the copy ([`ring`]); what it reads back of flags and waiter counts is only ever a hint
//! to make a futex call. Descriptors are sealed against shrinking, so that no access of the worker can fault.
//!
//! **Death.** Whoever waits in the guest looks at the control stream four times a second; its end is [`ChannelError::Disconnected`].
//! An idle guest and an idle worker have nobody waiting with a timeout and use no processor time.
#![deny(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    clippy::ptr_as_ptr
)]

mod arena;
mod carrier;
mod client;
mod error;
mod fuzz;
mod layout;
mod memory;
mod pool;
mod record;
pub mod ring;
mod server;
mod slots;
mod spin;
mod staging;
mod wake;

pub use arena::{Arena, HostMapping};
pub use carrier::{Carrier, Peer, Received, UnixCarrier};
pub use client::{CallError, Client, ClientOptions, Reply};
pub use error::ChannelError;
pub use fuzz::fuzz_session_bytes;
pub use layout::{Layout, LayoutOptions};
pub use memory::{Shared, SharedRange};
pub use pool::RangePool;
pub use record::{Completion, Progress, RecordWriter, Records};
pub use server::{Offer, Pending, Receiver, Session};
pub use staging::{Staging, StagingHeap};
pub use wake::{FutexWake, Wake};
