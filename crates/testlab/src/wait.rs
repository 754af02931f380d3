//! Waiting for a condition: short polls against a deadline, never a fixed sleep.

use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};

/// First pause between two looks; it doubles up to [`SLOWEST`].
const FASTEST: Duration = Duration::from_millis(5);
/// Longest pause between two looks.
const SLOWEST: Duration = Duration::from_millis(100);

/// Calls `look` until it yields a value, for at most `limit`.
///
/// # Errors
/// After `limit`: names `what` was waited for and the last error `look` gave, if any.
pub fn until<T>(what: &str, limit: Duration, mut look: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let started = Instant::now();
    let mut pause = FASTEST;
    loop {
        let last = match look() {
            Ok(Some(value)) => return Ok(value),
            Ok(None) => None,
            Err(error) => Some(error),
        };
        if started.elapsed() >= limit {
            let base = match last {
                Some(error) => error,
                None => anyhow!("the condition did not hold"),
            };
            return Err(base.context(format!("waited {:.1} s for {what}", limit.as_secs_f64())));
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(SLOWEST);
    }
}

/// [`until`] for conditions without a value.
///
/// # Errors
/// As [`until`].
pub fn holds(what: &str, limit: Duration, mut look: impl FnMut() -> Result<bool>) -> Result<()> {
    until(what, limit, || Ok(look()?.then_some(())))
}
