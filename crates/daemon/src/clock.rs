//! The only place that reads a clock.

use hn_types::{Monotonic, Now, Wall};
use rustix::time::{ClockId, Timespec, clock_gettime};

/// Both clocks. `CLOCK_BOOTTIME` includes suspend, so deadlines and leases age while the lid is closed.
pub fn now() -> Now {
    Now { mono: Monotonic::from_nanos(nanos(clock_gettime(ClockId::Boottime))), wall: wall() }
}

fn wall() -> Wall {
    Wall::from_unix(u64::try_from(clock_gettime(ClockId::Realtime).tv_sec).unwrap_or_default())
}

fn nanos(time: Timespec) -> u64 {
    let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
    let rest = u64::try_from(time.tv_nsec).unwrap_or_default();
    seconds.saturating_mul(1_000_000_000).saturating_add(rest)
}
