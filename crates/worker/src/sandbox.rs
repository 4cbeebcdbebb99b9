//! The sandbox. A worker enters it before it reads the first byte of a guest, and cannot leave.
//!
//! ```text
//!   bind sockets ─▶ first half: no core, no new privileges, not root, landlock ─▶ open device, start its threads
//!                ─▶ second half: seccomp for all threads ─▶ accept guests
//! ```
//!
//! The first half comes before any thread is made, since landlock holds for the calling thread and those it starts later. The
//! second half is an allow-list of system calls: what memory, threads, sleeping, and the two sockets' connections need. A call
//! that is not on it fails with `EPERM`. `clone3` fails with `ENOSYS`, so that the C library uses `clone`, whose flags the filter
//! can see: threads are allowed, processes are not. Memory may be executable only if it is a file mapped shared and not
//! writable, as the engine maps the code that it compiles; no mapping becomes executable later.

use crate::WorkerError;
use seccompiler::{
    SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule, TargetArch,
};
use std::collections::BTreeMap;

fn failed<E: std::error::Error + Send + Sync + 'static>(what: &'static str) -> impl FnOnce(E) -> WorkerError {
    move |source| WorkerError::Sandbox {
        what,
        source: Box::new(source),
    }
}

fn last_os(what: &'static str) -> WorkerError {
    failed(what)(std::io::Error::last_os_error())
}

/// First half: to be entered by the only thread, after the sockets are bound and before the device is opened.
pub(crate) fn enter_files() -> Result<(), WorkerError> {
    let none = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: `none` is a valid rlimit.
    if unsafe { libc::setrlimit(libc::RLIMIT_CORE, &raw const none) } != 0 {
        return Err(last_os("no core dumps"));
    }
    raise_descriptors();
    // SAFETY: PR_SET_DUMPABLE takes an integer; nobody of the same user can attach from here on.
    if unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 0, 0, 0, 0) } != 0 {
        return Err(last_os("not dumpable"));
    }
    // SAFETY: PR_SET_NO_NEW_PRIVS takes integers.
    if unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) } != 0 {
        return Err(last_os("no new privileges"));
    }
    leave_root();
    landlock()
}

/// A session has four descriptors; the usual soft limit of 1,024 would be the first thing that many sessions hit.
fn raise_descriptors() {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: `limit` is a valid rlimit, written and then read.
    unsafe {
        if libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) == 0 {
            limit.rlim_cur = limit.rlim_max.min(65_536);
            // Without it fewer sessions fit, nothing else.
            libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit);
        }
    }
}

/// Becomes nobody where it is root. In a user namespace without that id it stays, without the rights that a root outside has.
///
/// A process that changes its user is forgotten by the kernel as one to end with its parent; the worker of `tessera run` is one,
/// so that is said again afterwards.
fn leave_root() {
    const NOBODY: libc::uid_t = 65_534;
    let mut death_signal: libc::c_int = 0;
    // SAFETY: PR_GET_PDEATHSIG writes one int to the address given; getppid takes nothing.
    let parent = unsafe {
        libc::prctl(libc::PR_GET_PDEATHSIG, &raw mut death_signal);
        libc::getppid()
    };
    // SAFETY: these calls take integers and a list of length 0; no other thread runs yet.
    let left = unsafe {
        libc::geteuid() != 0
            || (libc::setgroups(0, std::ptr::null()) == 0
                && libc::setresgid(NOBODY, NOBODY, NOBODY) == 0
                && libc::setresuid(NOBODY, NOBODY, NOBODY) == 0)
    };
    if !left {
        let error = std::io::Error::last_os_error();
        tracing::warn!(%error, "the worker stays root; system calls and files are restricted all the same");
    }
    if death_signal != 0 {
        // SAFETY: PR_SET_PDEATHSIG takes an integer that the kernel gave; raise and getppid take integers or nothing.
        unsafe {
            libc::prctl(libc::PR_SET_PDEATHSIG, death_signal);
            if libc::getppid() != parent {
                libc::raise(death_signal); // it died in between
            }
        }
    }
}

/// No file can be opened, no TCP port be bound or connected to. Where the kernel lacks it, the second half still refuses both.
fn landlock() -> Result<(), WorkerError> {
    use landlock::{
        ABI, Access, AccessFs, AccessNet, CompatLevel, Compatible, Ruleset, RulesetAttr, RulesetStatus,
    };
    let status = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(ABI::V5))
        .and_then(|ruleset| ruleset.handle_access(AccessNet::from_all(ABI::V5)))
        .and_then(Ruleset::create)
        .and_then(landlock::RulesetCreated::restrict_self)
        .map_err(failed("landlock"))?;
    match status.ruleset {
        RulesetStatus::FullyEnforced => tracing::debug!("landlock is enforced"),
        RulesetStatus::PartiallyEnforced => tracing::info!("landlock of this kernel covers a part only"),
        RulesetStatus::NotEnforced => {
            tracing::warn!("this kernel has no landlock; the filter of system calls stands alone");
        }
    }
    Ok(())
}

/// System calls that are allowed whatever their arguments.
const ALLOWED: &[libc::c_long] = &[
    // memory
    libc::SYS_brk,
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_madvise,
    libc::SYS_memfd_create,
    libc::SYS_ftruncate,
    libc::SYS_fallocate,
    libc::SYS_mincore,
    // descriptors that are open
    libc::SYS_read,
    libc::SYS_readv,
    libc::SYS_write,
    libc::SYS_writev,
    libc::SYS_close,
    libc::SYS_dup,
    libc::SYS_fcntl,
    libc::SYS_fstat,
    libc::SYS_lseek,
    // the file of machine code
    libc::SYS_pread64,
    libc::SYS_pwrite64,
    libc::SYS_poll,
    libc::SYS_ppoll,
    // connections to the two sockets
    libc::SYS_accept4,
    libc::SYS_recvfrom,
    libc::SYS_recvmsg,
    libc::SYS_sendto,
    libc::SYS_sendmsg,
    libc::SYS_shutdown,
    libc::SYS_getsockopt,
    libc::SYS_pidfd_open,
    // threads
    libc::SYS_futex,
    libc::SYS_set_robust_list,
    libc::SYS_rseq,
    libc::SYS_gettid,
    libc::SYS_getpid,
    libc::SYS_sched_yield,
    libc::SYS_sched_getaffinity,
    libc::SYS_membarrier,
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_restart_syscall,
    // signals to itself: stack overflow, abort
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sigaltstack,
    // time and chance
    libc::SYS_clock_gettime,
    libc::SYS_clock_nanosleep,
    libc::SYS_nanosleep,
    libc::SYS_getrandom,
];

type Rules = BTreeMap<i64, Vec<SeccompRule>>;

/// A rule that holds where all arguments are as said: index, operator, value.
fn arguments(conditions: &[(u8, SeccompCmpOp, u64)]) -> Result<Vec<SeccompRule>, WorkerError> {
    let conditions: Result<Vec<_>, _> = conditions
        .iter()
        .map(|(index, operator, value)| {
            SeccompCondition::new(*index, SeccompCmpArgLen::Dword, operator.clone(), *value)
        })
        .collect();
    let conditions = conditions.map_err(failed("condition of the system call filter"))?;
    let rule = SeccompRule::new(conditions).map_err(failed("rule of the system call filter"))?;
    Ok(vec![rule])
}

fn argument(index: u8, operator: SeccompCmpOp, value: u64) -> Result<Vec<SeccompRule>, WorkerError> {
    arguments(&[(index, operator, value)])
}

/// Memory that is not executable, and the engine's code: a file mapped shared, to read and execute. Code that no mapping
/// can write is the engine's part (it seals the file); that none is both at once, and none becomes executable, is ours.
fn executable(rules: &mut Rules) -> Result<(), WorkerError> {
    let execute = u64::from(libc::PROT_EXEC.unsigned_abs());
    let both = execute | u64::from(libc::PROT_WRITE.unsigned_abs());
    let shared = u64::from(libc::MAP_SHARED.unsigned_abs());
    let kinds = u64::from((libc::MAP_TYPE | libc::MAP_ANONYMOUS).unsigned_abs());
    rules.insert(
        libc::SYS_mprotect,
        argument(2, SeccompCmpOp::MaskedEq(execute), 0)?,
    );
    let mut map = argument(2, SeccompCmpOp::MaskedEq(execute), 0)?;
    map.extend(arguments(&[
        (2, SeccompCmpOp::MaskedEq(both), execute),
        (3, SeccompCmpOp::MaskedEq(kinds), shared),
    ])?);
    rules.insert(libc::SYS_mmap, map);
    Ok(())
}

fn rules() -> Result<Rules, WorkerError> {
    // A number is an `i64` on every machine this runs on; the type alias of the C library says so too.
    let mut rules: Rules = ALLOWED.iter().map(|&call| (call, Vec::new())).collect();
    executable(&mut rules)?;
    let thread = u64::from(libc::CLONE_THREAD.unsigned_abs());
    rules.insert(
        libc::SYS_clone,
        argument(0, SeccompCmpOp::MaskedEq(thread), thread)?,
    );
    // Allowed here and answered with ENOSYS by the other filter: of two that refuse, it must be the one that decides.
    rules.insert(libc::SYS_clone3, Vec::new());
    let own = u64::from(std::process::id());
    rules.insert(libc::SYS_tgkill, argument(0, SeccompCmpOp::Eq, own)?);
    // Names of threads and of mappings; nothing that gains a right.
    const PR_SET_VMA: u64 = 0x5356_4d41;
    let mut names = argument(0, SeccompCmpOp::Eq, u64::from(libc::PR_SET_NAME.unsigned_abs()))?;
    names.extend(argument(0, SeccompCmpOp::Eq, PR_SET_VMA)?);
    rules.insert(libc::SYS_prctl, names);
    // How long a guest may take for the rest of what it began to send.
    rules.insert(
        libc::SYS_setsockopt,
        arguments(&[
            (1, SeccompCmpOp::Eq, u64::from(libc::SOL_SOCKET.unsigned_abs())),
            (2, SeccompCmpOp::Eq, u64::from(libc::SO_RCVTIMEO.unsigned_abs())),
        ])?,
    );
    // `fstat` of newer C libraries: only with the empty path, which means the descriptor itself, is of use to a worker; other
    // paths are refused by landlock, and show metadata at most where the kernel has none.
    rules.insert(
        libc::SYS_newfstatat,
        argument(3, SeccompCmpOp::MaskedEq(0x1000), 0x1000)?,
    );
    rules.insert(
        libc::SYS_statx,
        argument(2, SeccompCmpOp::MaskedEq(0x1000), 0x1000)?,
    );
    Ok(rules)
}

/// Second half: restricts the system calls of all threads.
pub(crate) fn enter_calls() -> Result<(), WorkerError> {
    let architecture = TargetArch::try_from(std::env::consts::ARCH).map_err(failed("machine"))?;
    let permission = SeccompAction::Errno(libc::EPERM.unsigned_abs());
    let missing = SeccompAction::Errno(libc::ENOSYS.unsigned_abs());
    let clone3 = BTreeMap::from([(libc::SYS_clone3, Vec::new())]);
    let filters = [
        SeccompFilter::new(clone3, SeccompAction::Allow, missing, architecture),
        SeccompFilter::new(rules()?, permission, SeccompAction::Allow, architecture),
    ];
    for filter in filters {
        let filter = filter.map_err(failed("system call filter"))?;
        let program: seccompiler::BpfProgram =
            filter.try_into().map_err(failed::<seccompiler::BackendError>(
                "program of the system call filter",
            ))?;
        seccompiler::apply_filter_all_threads(&program).map_err(failed("seccomp"))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::ErrorKind;
    use std::os::fd::AsRawFd;

    /// A file in memory with one page of `ret`, sealed against writing or not.
    fn code_file(sealed: bool) -> std::fs::File {
        use std::io::Write;
        use std::os::fd::FromRawFd;
        // SAFETY: the name ends with NUL; the descriptor is new and nobody else's.
        let mut file = unsafe {
            let fd = libc::memfd_create(c"code".as_ptr(), libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING);
            assert!(fd >= 0, "{}", std::io::Error::last_os_error());
            std::fs::File::from_raw_fd(fd)
        };
        file.write_all(&[0xc3; 4096]).unwrap();
        if sealed {
            let seals = libc::F_SEAL_WRITE | libc::F_SEAL_SHRINK | libc::F_SEAL_GROW | libc::F_SEAL_SEAL;
            // SAFETY: F_ADD_SEALS takes an int.
            let sealed = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_ADD_SEALS, seals) };
            assert_eq!(sealed, 0);
        }
        file
    }

    /// One page, of `file` where there is one.
    fn map(protection: i32, flags: i32, file: Option<&std::fs::File>) -> std::io::Result<*mut libc::c_void> {
        let fd = file.map_or(-1, AsRawFd::as_raw_fd);
        // SAFETY: a new mapping where the kernel likes; whoever reads or writes it here has the right to.
        let at = unsafe { libc::mmap(std::ptr::null_mut(), 4096, protection, flags, fd, 0) };
        if at == libc::MAP_FAILED {
            return Err(std::io::Error::last_os_error());
        }
        Ok(at)
    }

    /// What may be executed and what may not.
    fn executable_memory(denied: &dyn Fn(&str, std::io::Result<()>)) {
        let (read, write, execute) = (libc::PROT_READ, libc::PROT_WRITE, libc::PROT_EXEC);
        let (private, shared, nothing) = (libc::MAP_PRIVATE, libc::MAP_SHARED, libc::MAP_ANONYMOUS);
        let sealed = code_file(true);
        let at = map(read | execute, shared, Some(&sealed)).expect("code of the engine");
        // SAFETY: the page is full of `ret`, mapped executable.
        unsafe { std::mem::transmute::<*mut libc::c_void, extern "C" fn()>(at)() };
        // SAFETY: the last use of the mapping.
        assert_eq!(unsafe { libc::munmap(at, 4096) }, 0);

        let open = code_file(false);
        let refused = [
            (
                "anonymous executable memory",
                read | execute,
                private | nothing,
                None,
            ),
            ("the same, shared", read | execute, shared | nothing, None),
            (
                "a private copy of a file, executable",
                read | execute,
                private,
                Some(&sealed),
            ),
            (
                "a file, writable and executable",
                read | write | execute,
                shared,
                Some(&open),
            ),
            (
                "memory, writable and executable",
                read | write | execute,
                private | nothing,
                None,
            ),
        ];
        for (what, protection, flags, file) in refused {
            denied(what, map(protection, flags, file).map(|_| ()));
        }
        // Nothing becomes executable that was not.
        let files = [None, Some(&open), Some(&sealed)];
        for (file, flags) in files.into_iter().zip([private | nothing, shared, shared]) {
            let at = map(read, flags, file).unwrap();
            // SAFETY: changes the rights of a page of this test's own.
            let result = unsafe { libc::mprotect(at, 4096, read | execute) };
            let error = std::io::Error::last_os_error();
            denied(
                "executable afterwards",
                if result == 0 { Ok(()) } else { Err(error) },
            );
        }
    }

    /// Not a test of its own: enters the sandbox and tries to get out. Says what went wrong and exits with 1.
    #[test]
    #[ignore = "runs in the child of the test below"]
    fn probe() {
        let file = std::fs::File::open("/proc/self/status").unwrap();
        let work = || {
            enter_files().unwrap();
            let before = std::fs::read("/etc/passwd").map(|_| ());
            enter_calls().unwrap();
            let denied = |what: &str, result: std::io::Result<()>| {
                let kind = result.err().map(|error| error.kind());
                assert_eq!(kind, Some(ErrorKind::PermissionDenied), "{what}");
            };
            denied("a file, by landlock alone", before);
            denied("a file", std::fs::File::open("/etc/passwd").map(|_| ()));
            denied(
                "a new file",
                std::fs::File::create("/tmp/tessera-sandbox").map(|_| ()),
            );
            denied(
                "a TCP socket",
                std::net::TcpStream::connect("127.0.0.1:1").map(|_| ()),
            );
            denied(
                "a UDP socket",
                std::net::UdpSocket::bind("127.0.0.1:0").map(|_| ()),
            );
            denied(
                "a unix socket",
                std::os::unix::net::UnixStream::connect("/tmp/x").map(|_| ()),
            );
            denied(
                "a program",
                std::process::Command::new("/bin/true").status().map(|_| ()),
            );
            // SAFETY: fork makes a process only if the filter lets it; the child would leave at once.
            let child = unsafe { libc::fork() };
            if child == 0 {
                // SAFETY: leaves the child without running anything of the parent's.
                unsafe { libc::_exit(1) };
            }
            denied(
                "a process",
                if child < 0 {
                    Err(std::io::Error::last_os_error())
                } else {
                    Ok(())
                },
            );
            executable_memory(&denied);
            // What a worker needs still works: threads, descriptors that were open, memory.
            let thread = std::thread::Builder::new().name("inside".into());
            assert_eq!(
                thread.spawn(|| vec![1u8; 1 << 20].len()).unwrap().join().unwrap(),
                1 << 20
            );
            assert!(std::io::read_to_string(file).unwrap().contains("Name:"));
        };
        let inside = std::thread::spawn(work).join();
        // The harness would write files and start threads on its way out.
        std::process::exit(i32::from(inside.is_err()) * 3 + 7);
    }

    #[test]
    fn there_is_no_way_out() {
        let output = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "sandbox::tests::probe", "--ignored", "--nocapture"])
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(7), "{said}");
    }
}
