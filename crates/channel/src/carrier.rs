//! Carriers: what a channel rests on.

use crate::{ChannelError, FutexWake, Wake};
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use tessera_wire::{HEADER_BYTES, Header, MAX_STREAM_MESSAGE_BYTES, WireError};

/// Descriptors taken with one frame; a sender never passes more.
const MAX_DESCRIPTORS: usize = 4;

/// How long the rest of a frame that has begun to arrive may take.
const FRAME_TIME: std::time::Duration = std::time::Duration::from_secs(1);

/// A frame from the control stream with what came along.
#[derive(Debug, Default)]
pub struct Received {
    /// The whole frame, header included.
    pub frame: Vec<u8>,
    /// Descriptors, in the order sent.
    pub descriptors: Vec<OwnedFd>,
}

/// Who is at the other end, as the kernel says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Process id in the namespace of the asking process; 0 where it has none there.
    pub pid: u32,
    /// User id.
    pub uid: u32,
}

/// A control byte stream with a way to sleep and wake. Whether an aperture exists is settled in the answer to Hello.
pub trait Carrier: Send + Sync {
    /// Sends one frame, with descriptors where the carrier can.
    ///
    /// # Errors
    /// The other side is gone.
    fn send(&self, frame: &[u8], descriptors: &[BorrowedFd<'_>]) -> Result<(), ChannelError>;

    /// Receives one frame; waits for it.
    ///
    /// # Errors
    /// The stream ends ([`ChannelError::Disconnected`]) or carries no frame.
    fn receive(&self) -> Result<Received, ChannelError>;

    /// Waits until the stream ends, or, where `frames` are looked for, until one begins to arrive; whether one does. From then on a frame
    /// that does not arrive whole soon is the end of the stream.
    fn wait(&self, frames: bool) -> bool;

    /// Whether the other side is still there; never waits.
    fn is_open(&self) -> bool;

    /// Ends the stream for both sides.
    fn close(&self);

    /// Who is at the other end, where known.
    fn peer(&self) -> Option<Peer>;

    /// How to sleep and wake.
    fn waker(&self) -> &dyn Wake;
}

/// A unix socket between two processes under one kernel.
#[derive(Debug)]
pub struct UnixCarrier {
    stream: UnixStream,
    sending: Mutex<()>,
    receiving: Mutex<()>,
    /// Becomes readable when the peer's process ends, even while a forked child of it still holds the socket.
    process: Option<OwnedFd>,
    wake: FutexWake,
}

impl UnixCarrier {
    /// Connects to a worker.
    ///
    /// # Errors
    /// Nobody listens there.
    pub fn connect(path: &Path) -> Result<Self, ChannelError> {
        let stream = UnixStream::connect(path).map_err(|source| ChannelError::Connect {
            path: path.display().to_string(),
            source,
        })?;
        Ok(Self::new(stream, false))
    }

    /// Takes over a connected socket. `watch_process`: the end of the peer's process counts as the end of the stream.
    #[must_use]
    pub fn new(stream: UnixStream, watch_process: bool) -> Self {
        let process = if watch_process {
            peer_of(&stream).and_then(|peer| pidfd(peer.pid))
        } else {
            None
        };
        Self {
            stream,
            sending: Mutex::new(()),
            receiving: Mutex::new(()),
            process,
            wake: FutexWake,
        }
    }
}

fn peer_of(stream: &UnixStream) -> Option<Peer> {
    let mut credentials = libc::ucred {
        pid: 0,
        uid: 0,
        gid: 0,
    };
    let mut length = libc::socklen_t::try_from(size_of::<libc::ucred>()).ok()?;
    // SAFETY: `credentials` and `length` are valid for writing and `length` says how long the buffer is.
    let result = unsafe {
        libc::getsockopt(
            stream.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_PEERCRED,
            std::ptr::from_mut(&mut credentials).cast(),
            &raw mut length,
        )
    };
    (result == 0).then(|| Peer {
        pid: u32::try_from(credentials.pid).unwrap_or(0),
        uid: credentials.uid,
    })
}

fn pidfd(pid: u32) -> Option<OwnedFd> {
    let pid = libc::pid_t::try_from(pid).ok().filter(|&pid| pid > 0)?;
    // SAFETY: pidfd_open takes two integers and returns a new descriptor or -1.
    let raw = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
    let raw = i32::try_from(raw).ok().filter(|&raw| raw >= 0)?;
    // SAFETY: the call returned a new descriptor that nobody else owns.
    Some(unsafe { OwnedFd::from_raw_fd(raw) })
}

impl Carrier for UnixCarrier {
    fn send(&self, frame: &[u8], descriptors: &[BorrowedFd<'_>]) -> Result<(), ChannelError> {
        let _turn = self.sending.lock().unwrap_or_else(PoisonError::into_inner);
        let sent = if descriptors.is_empty() {
            0
        } else {
            send_with_descriptors(&self.stream, frame, descriptors)?
        };
        let rest = frame.get(sent..).unwrap_or(&[]);
        (&self.stream)
            .write_all(rest)
            .map_err(|_| ChannelError::Disconnected)
    }

    fn receive(&self) -> Result<Received, ChannelError> {
        let _turn = self.receiving.lock().unwrap_or_else(PoisonError::into_inner);
        let mut received = Received {
            frame: vec![0; HEADER_BYTES],
            descriptors: Vec::new(),
        };
        let got = receive_with_descriptors(&self.stream, &mut received)?;
        let mut stream = &self.stream;
        stream
            .read_exact(received.frame.get_mut(got..).unwrap_or(&mut []))
            .map_err(|_| ChannelError::Disconnected)?;
        let (header, _) = Header::read(&received.frame)?;
        let rest = usize::try_from(header.length)
            .ok()
            .filter(|_| header.length <= MAX_STREAM_MESSAGE_BYTES)
            .and_then(|length| length.checked_sub(HEADER_BYTES))
            .ok_or(WireError::Length {
                length: u64::from(header.length),
                limit: u64::from(MAX_STREAM_MESSAGE_BYTES),
            })?;
        // Grows with what really arrives, so that a length alone makes nobody allocate.
        let read = stream
            .take(rest as u64)
            .read_to_end(&mut received.frame)
            .map_err(|_| ChannelError::Disconnected)?;
        if read != rest {
            return Err(ChannelError::Disconnected);
        }
        Ok(received)
    }

    fn wait(&self, frames: bool) -> bool {
        let mut waits = [
            libc::pollfd {
                fd: self.stream.as_raw_fd(),
                events: if frames {
                    libc::POLLIN | libc::POLLRDHUP
                } else {
                    libc::POLLRDHUP
                },
                revents: 0,
            },
            libc::pollfd {
                // poll ignores entries with a negative descriptor.
                fd: self.process.as_ref().map_or(-1, AsRawFd::as_raw_fd),
                events: libc::POLLIN,
                revents: 0,
            },
        ];
        loop {
            // SAFETY: `waits` is an array of two valid pollfd.
            let ready = unsafe { libc::poll(waits.as_mut_ptr(), 2, -1) };
            let interrupted =
                ready < 0 && std::io::Error::last_os_error().raw_os_error() == Some(libc::EINTR);
            if !interrupted {
                break;
            }
        }
        const ENDED: libc::c_short = libc::POLLRDHUP | libc::POLLHUP | libc::POLLERR;
        // Whoever has sent a part of a frame must not hold up the one who watches for the end.
        frames
            && waits[0].revents & libc::POLLIN != 0
            && waits[0].revents & ENDED == 0
            && self.stream.set_read_timeout(Some(FRAME_TIME)).is_ok()
    }

    fn is_open(&self) -> bool {
        let mut wait = libc::pollfd {
            fd: self.stream.as_raw_fd(),
            events: libc::POLLRDHUP,
            revents: 0,
        };
        // SAFETY: `wait` is one valid pollfd; a timeout of 0 returns at once.
        let ready = unsafe { libc::poll(&raw mut wait, 1, 0) };
        ready <= 0 || wait.revents & (libc::POLLRDHUP | libc::POLLHUP | libc::POLLERR) == 0
    }

    fn close(&self) {
        // An error means that it is closed already.
        let _ = self.stream.shutdown(std::net::Shutdown::Both);
    }

    fn peer(&self) -> Option<Peer> {
        peer_of(&self.stream)
    }

    fn waker(&self) -> &dyn Wake {
        &self.wake
    }
}

/// Room for the control message with descriptors, aligned as the kernel wants it.
#[repr(C, align(8))]
struct Ancillary([u8; 64]);

fn send_with_descriptors(
    stream: &UnixStream,
    frame: &[u8],
    descriptors: &[BorrowedFd<'_>],
) -> Result<usize, ChannelError> {
    if descriptors.len() > MAX_DESCRIPTORS {
        return Err(ChannelError::TooLarge("descriptors"));
    }
    let raw: Vec<i32> = descriptors.iter().map(AsRawFd::as_raw_fd).collect();
    let payload =
        u32::try_from(size_of_val(raw.as_slice())).map_err(|_| ChannelError::TooLarge("descriptors"))?;
    let mut ancillary = Ancillary([0; 64]);
    let mut part = libc::iovec {
        iov_base: frame.as_ptr().cast_mut().cast(),
        iov_len: frame.len(),
    };
    // SAFETY: msghdr is a C struct of integers and pointers for which all zeros is valid.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = &raw mut part;
    message.msg_iovlen = 1;
    message.msg_control = ancillary.0.as_mut_ptr().cast();
    // SAFETY: CMSG_SPACE only computes; at most 4 descriptors need 32 bytes, the buffer has 64.
    message.msg_controllen = unsafe { libc::CMSG_SPACE(payload) } as usize;
    // SAFETY: the control buffer is aligned, large enough and referred to by `message`; the header and payload written lie in it.
    unsafe {
        let head = libc::CMSG_FIRSTHDR(&raw const message);
        (*head).cmsg_level = libc::SOL_SOCKET;
        (*head).cmsg_type = libc::SCM_RIGHTS;
        (*head).cmsg_len = libc::CMSG_LEN(payload) as usize;
        std::ptr::copy_nonoverlapping(
            raw.as_ptr().cast::<u8>(),
            libc::CMSG_DATA(head),
            size_of_val(raw.as_slice()),
        );
    }
    loop {
        // SAFETY: `message` and all it points to live through the call; the frame is only read.
        let sent = unsafe { libc::sendmsg(stream.as_raw_fd(), &raw const message, libc::MSG_NOSIGNAL) };
        match usize::try_from(sent) {
            Ok(sent) => return Ok(sent),
            Err(_) if std::io::Error::last_os_error().raw_os_error() == Some(libc::EINTR) => {}
            Err(_) => return Err(ChannelError::Disconnected),
        }
    }
}

/// Receives the first bytes of a frame and the descriptors that come with them; says how many bytes.
fn receive_with_descriptors(stream: &UnixStream, received: &mut Received) -> Result<usize, ChannelError> {
    let mut ancillary = Ancillary([0; 64]);
    let mut part = libc::iovec {
        iov_base: received.frame.as_mut_ptr().cast(),
        iov_len: received.frame.len(),
    };
    // SAFETY: msghdr is a C struct of integers and pointers for which all zeros is valid.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = &raw mut part;
    message.msg_iovlen = 1;
    message.msg_control = ancillary.0.as_mut_ptr().cast();
    message.msg_controllen = ancillary.0.len();
    let got = loop {
        // SAFETY: `message` and the buffers it points to live through the call.
        let got = unsafe { libc::recvmsg(stream.as_raw_fd(), &raw mut message, libc::MSG_CMSG_CLOEXEC) };
        match usize::try_from(got) {
            Ok(0) => return Err(ChannelError::Disconnected),
            Ok(got) => break got,
            Err(_) if std::io::Error::last_os_error().raw_os_error() == Some(libc::EINTR) => {}
            Err(_) => return Err(ChannelError::Disconnected),
        }
    };
    // SAFETY: the kernel filled the control buffer and set its length; the macros walk it within that length.
    unsafe {
        let mut head = libc::CMSG_FIRSTHDR(&raw const message);
        while !head.is_null() {
            if (*head).cmsg_level == libc::SOL_SOCKET && (*head).cmsg_type == libc::SCM_RIGHTS {
                let payload = (*head).cmsg_len.saturating_sub(libc::CMSG_LEN(0) as usize);
                for index in 0..payload / size_of::<i32>() {
                    let raw = libc::CMSG_DATA(head)
                        .add(index * size_of::<i32>())
                        .cast::<i32>()
                        .read_unaligned();
                    // Owned from here on, so that none is leaked whatever comes next.
                    received.descriptors.push(OwnedFd::from_raw_fd(raw));
                }
            }
            head = libc::CMSG_NXTHDR(&raw const message, head);
        }
    }
    Ok(got)
}
