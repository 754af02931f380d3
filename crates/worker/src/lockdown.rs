//! Giving up everything the worker does not need, before it reads the first byte from a stranger.
//!
//! Two steps, because threads inherit the first and must exist before the second: [`drop_privilege`], then
//! the journal thread is started, then [`filter_syscalls`] for all threads. Nothing here can be undone.

use std::{collections::BTreeMap, io, os::fd::AsFd};

use caps::CapSet;
use landlock::{
    ABI, Access, AccessFs, AccessNet, CompatLevel, Compatible, Ruleset, RulesetAttr, RulesetStatus, Scope,
};
use nix::unistd::{Gid, Uid};
use rustix::{
    fs::{Mode, OFlags},
    process::{DumpableBehavior, Resource, Rlimit, Signal},
    thread::CapabilitiesSecureBits,
};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
};

/// Whom the worker becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Real, effective and saved user id.
    pub uid: u32,
    /// Real, effective and saved group id.
    pub gid: u32,
}

/// What could be given up. Everything that is not listed here succeeded, or the worker did not start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The root directory is an empty one that no longer exists. Needs to have been started by root.
    pub chroot: bool,
    /// What the kernel's Landlock enforces: `full`, `partial` or `none`.
    pub landlock: &'static str,
    /// The capability bounding set is empty. Needs to have been started by root.
    pub bounding: bool,
    /// No supplementary groups are left. Needs to have been started by root.
    pub groups: bool,
}

/// Why the worker refuses to run: something could not be given up.
#[derive(Debug, thiserror::Error)]
#[error("cannot {step}: {cause}")]
pub struct LockdownError {
    step: &'static str,
    cause: String,
}

trait Step<T> {
    fn step(self, step: &'static str) -> Result<T, LockdownError>;
}

impl<T, E: ToString> Step<T> for Result<T, E> {
    fn step(self, step: &'static str) -> Result<T, LockdownError> {
        self.map_err(|error| LockdownError { step, cause: error.to_string() })
    }
}

/// Descriptors the worker may hold: sockets towards resolvers and clients, and a handful of others.
const OPEN_FILES: u64 = 1_024;
/// Address space in bytes, far above what the bounded tables can take.
const ADDRESS_SPACE: u64 = 1 << 30;

/// Gives up users, groups, capabilities, the file system and the right to gain any of it back.
///
/// # Errors
///
/// When something that always works for a process started by root (or already running as `identity`) fails.
pub fn drop_privilege(identity: Identity) -> Result<Report, LockdownError> {
    let privileged = rustix::process::geteuid().is_root();
    limit(Resource::Core, 0)?;
    limit(Resource::Nofile, OPEN_FILES)?;
    limit(Resource::As, ADDRESS_SPACE)?;
    rustix::thread::set_no_new_privs(true).step("forbid new privileges")?;

    let chroot = privileged && enter_nowhere().is_ok();
    let landlock = deny_files()?;

    rustix::thread::clear_ambient_capability_set().step("clear the ambient capabilities")?;
    if privileged {
        caps::clear(None, CapSet::Bounding).step("empty the capability bounding set")?;
        let bits = CapabilitiesSecureBits::NO_ROOT
            | CapabilitiesSecureBits::NO_ROOT_LOCKED
            | CapabilitiesSecureBits::NO_CAP_AMBIENT_RAISE
            | CapabilitiesSecureBits::NO_CAP_AMBIENT_RAISE_LOCKED;
        rustix::thread::set_capabilities_secure_bits(bits).step("lock the secure bits")?;
        nix::unistd::setgroups(&[]).step("leave the supplementary groups")?;
    }
    let (uid, gid) = (Uid::from_raw(identity.uid), Gid::from_raw(identity.gid));
    nix::unistd::setresgid(gid, gid, gid).step("change the group")?;
    nix::unistd::setresuid(uid, uid, uid).step("change the user")?;
    for (set, step) in [
        (CapSet::Effective, "drop the effective capabilities"),
        (CapSet::Permitted, "drop the permitted capabilities"),
        (CapSet::Inheritable, "drop the inheritable capabilities"),
    ] {
        caps::clear(None, set).step(step)?;
    }

    // A change of user resets both, so they come last.
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable).step("forbid core dumps")?;
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))
        .step("follow the parent into death")?;
    Ok(Report { chroot, landlock, bounding: privileged, groups: privileged })
}

fn limit(resource: Resource, value: u64) -> Result<(), LockdownError> {
    let old = rustix::process::getrlimit(resource);
    let value = old.maximum.map_or(value, |maximum| maximum.min(value));
    rustix::process::setrlimit(resource, Rlimit { current: Some(value), maximum: Some(value) })
        .step("limit its resources")
}

/// Makes a directory that is removed before it is entered the root: nothing can be created in it.
fn enter_nowhere() -> io::Result<()> {
    let path = nix::unistd::mkdtemp(&std::env::temp_dir().join("hostednet-worker-XXXXXX"))?;
    let opened = rustix::fs::open(&path, OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::RDONLY, Mode::empty());
    std::fs::remove_dir(&path)?;
    rustix::process::fchdir(opened?.as_fd())?;
    rustix::process::chroot(".")?;
    Ok(rustix::process::chdir("/")?)
}

/// Denies every access to files, listening, and speaking to processes outside, as far as the kernel knows
/// Landlock.
fn deny_files() -> Result<&'static str, LockdownError> {
    let status = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(ABI::V6))
        .and_then(|ruleset| ruleset.handle_access(AccessNet::BindTcp))
        .and_then(|ruleset| ruleset.scope(Scope::from_all(ABI::V6)))
        .and_then(Ruleset::create)
        .and_then(landlock::RulesetCreated::restrict_self)
        .step("deny access to files")?;
    Ok(match status.ruleset {
        RulesetStatus::FullyEnforced => "full",
        RulesetStatus::PartiallyEnforced => "partial",
        RulesetStatus::NotEnforced => "none",
    })
}

/// Allows every thread of the process the system calls of the loop and kills it at any other.
///
/// # Errors
///
/// When the kernel refuses the filter.
pub fn filter_syscalls() -> Result<(), LockdownError> {
    limit(Resource::Nproc, 0)?;
    let program = filter().step("build the system call filter")?;
    seccompiler::apply_filter_all_threads(&program).step("install the system call filter")
}

/// System calls allowed with any argument. What they can reach is decided by the descriptors the worker has.
const ALLOWED: &[libc::c_long] = &[
    // The loop.
    libc::SYS_epoll_pwait,
    libc::SYS_epoll_pwait2,
    libc::SYS_epoll_ctl,
    libc::SYS_recvmsg,
    libc::SYS_recvmmsg,
    libc::SYS_recvfrom,
    libc::SYS_sendmsg,
    libc::SYS_sendmmsg,
    libc::SYS_sendto,
    libc::SYS_read,
    libc::SYS_write,
    libc::SYS_writev,
    libc::SYS_accept4,
    libc::SYS_connect,
    libc::SYS_shutdown,
    libc::SYS_getsockopt,
    libc::SYS_close,
    libc::SYS_clock_gettime,
    libc::SYS_getrandom,
    libc::SYS_restart_syscall,
    // The journal.
    libc::SYS_pread64,
    libc::SYS_pwrite64,
    libc::SYS_fdatasync,
    libc::SYS_ftruncate,
    libc::SYS_fstat,
    // Memory and threads.
    libc::SYS_brk,
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_madvise,
    libc::SYS_futex,
    libc::SYS_sched_yield,
    libc::SYS_rt_sigreturn,
    libc::SYS_rt_sigprocmask,
    libc::SYS_sigaltstack,
    libc::SYS_exit,
    libc::SYS_exit_group,
];

fn filter() -> Result<BpfProgram, seccompiler::BackendError> {
    let is = |argument, value: libc::c_int| {
        SeccompCondition::new(argument, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, value as u64)
    };
    let without = |argument, mask: libc::c_int| {
        SeccompCondition::new(argument, SeccompCmpArgLen::Dword, SeccompCmpOp::MaskedEq(mask as u64), 0)
    };
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> = ALLOWED.iter().map(|&call| (call, Vec::new())).collect();
    #[cfg(target_arch = "x86_64")]
    rules.insert(libc::SYS_epoll_wait, Vec::new());

    // No memory is ever made executable.
    for call in [libc::SYS_mmap, libc::SYS_mprotect] {
        rules.insert(call, vec![SeccompRule::new(vec![without(2, libc::PROT_EXEC)?])?]);
    }
    // Sockets towards resolvers only.
    let kind = |kind: libc::c_int| {
        let mask = !(libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC);
        SeccompCondition::new(
            1,
            SeccompCmpArgLen::Dword,
            SeccompCmpOp::MaskedEq(u64::from(mask as u32)),
            kind as u64,
        )
    };
    let mut sockets = Vec::new();
    for family in [libc::AF_INET, libc::AF_INET6] {
        for socket in [libc::SOCK_DGRAM, libc::SOCK_STREAM] {
            sockets.push(SeccompRule::new(vec![is(0, family)?, kind(socket)?])?);
        }
    }
    rules.insert(libc::SYS_socket, sockets);
    let nagle = SeccompRule::new(vec![is(1, libc::IPPROTO_TCP)?, is(2, libc::TCP_NODELAY)?])?;
    let pin = SeccompRule::new(vec![is(1, libc::SOL_SOCKET)?, is(2, libc::SO_BINDTODEVICE)?])?;
    rules.insert(libc::SYS_setsockopt, vec![nagle, pin]);
    // A socket that was handed over may have to be made non-blocking.
    // (And std asks for F_GETFD in debug builds before it closes anything.)
    let flags =
        [libc::F_GETFD, libc::F_GETFL, libc::F_SETFL].map(|command| SeccompRule::new(vec![is(1, command)?]));
    rules.insert(libc::SYS_fcntl, flags.into_iter().collect::<Result<_, _>>()?);
    SeccompFilter::new(
        rules,
        SeccompAction::KillProcess,
        SeccompAction::Allow,
        std::env::consts::ARCH.try_into()?,
    )?
    .try_into()
}
