//! Time as a value: nothing below the daemon can ask a clock.

use alloc::{format, string::String};
use core::{
    ops::{Add, AddAssign, Sub},
    time::Duration,
};

use serde::{Deserialize, Serialize};

/// Nanoseconds since an arbitrary start (the boot of the machine), suspend included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Monotonic(u64);

impl Monotonic {
    /// The arbitrary start itself.
    pub const ZERO: Self = Self(0);

    /// The instant `nanos` nanoseconds after the start.
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// Nanoseconds since the start.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// The time from `earlier` to `self`; zero when `earlier` is later.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Monotonic {
    type Output = Self;

    fn add(self, rhs: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(rhs.as_nanos()).unwrap_or(u64::MAX)))
    }
}

impl AddAssign<Duration> for Monotonic {
    fn add_assign(&mut self, rhs: Duration) {
        *self = *self + rhs;
    }
}

impl Sub<Duration> for Monotonic {
    type Output = Self;

    fn sub(self, rhs: Duration) -> Self {
        Self(self.0.saturating_sub(u64::try_from(rhs.as_nanos()).unwrap_or(u64::MAX)))
    }
}

/// Seconds since 1970-01-01T00:00:00Z. Only for what must outlive a restart, such as a lease.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Wall(u64);

impl Wall {
    /// The time `seconds` after the Unix epoch.
    pub const fn from_unix(seconds: u64) -> Self {
        Self(seconds)
    }

    /// Seconds since the Unix epoch.
    pub const fn as_unix(self) -> u64 {
        self.0
    }

    /// The time from `earlier` to `self`; zero when `earlier` is later.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_secs(self.0.saturating_sub(earlier.0))
    }

    /// RFC 3339 in UTC, `2026-01-01T00:00:00Z`.
    pub fn to_rfc3339(self) -> String {
        let days = self.0 / 86_400;
        let second = self.0 % 86_400;
        // Days to civil date, Howard Hinnant's algorithm over a March-based year.
        let z = days + 719_468;
        let era = z / 146_097;
        let doe = z % 146_097;
        let yoe = (doe - doe / 1_460 + doe / 36_524 - doe / 146_096) / 365;
        let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
        let mp = (5 * doy + 2) / 153;
        let day = doy - (153 * mp + 2) / 5 + 1;
        let month = if mp < 10 { mp + 3 } else { mp - 9 };
        let year = yoe + era * 400 + u64::from(month <= 2);
        format!(
            "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z",
            second / 3_600,
            second / 60 % 60,
            second % 60
        )
    }
}

impl Add<Duration> for Wall {
    type Output = Self;

    fn add(self, rhs: Duration) -> Self {
        Self(self.0.saturating_add(rhs.as_secs()))
    }
}

/// Both clocks, read together by whoever drives a machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// For deadlines.
    pub mono: Monotonic,
    /// For records that outlive a restart.
    pub wall: Wall,
}

impl Add<Duration> for Now {
    type Output = Self;

    fn add(self, rhs: Duration) -> Self {
        Self { mono: self.mono + rhs, wall: self.wall + rhs }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wall_prints_rfc3339() {
        assert_eq!(Wall::from_unix(0).to_rfc3339(), "1970-01-01T00:00:00Z");
        assert_eq!(Wall::from_unix(1_767_225_600).to_rfc3339(), "2026-01-01T00:00:00Z");
        assert_eq!(Wall::from_unix(1_709_210_096).to_rfc3339(), "2024-02-29T12:34:56Z");
    }

    #[test]
    fn monotonic_never_wraps() {
        let late = Monotonic::from_nanos(u64::MAX - 1);
        assert_eq!((late + Duration::from_secs(5)).as_nanos(), u64::MAX);
        assert_eq!(Monotonic::ZERO - Duration::from_secs(1), Monotonic::ZERO);
        assert_eq!(Monotonic::ZERO.since(late), Duration::ZERO);
    }
}
