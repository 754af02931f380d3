//! One lane: what holds, what is under way, what failed.

use alloc::{
    string::{String, ToString},
    vec,
    vec::Vec,
};
use core::{fmt::Debug, time::Duration};

use hn_types::{DriverError, DriverErrorKind, Monotonic, Step};

use crate::effect::EffectDone;

/// Longest pause between attempts of a lane that keeps failing.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// One lane.
#[derive(Debug)]
pub(crate) struct Lane<P> {
    pub(crate) step: Step,
    /// What holds; `None`: not known. While an effect is out, what held before it.
    pub(crate) state: Option<P>,
    pub(crate) flight: Option<Flight<P>>,
    pub(crate) blocked: Option<Blocked<P>>,
    pub(crate) attempts: u32,
}

/// An effect that is out.
#[derive(Debug)]
pub(crate) struct Flight<P> {
    pub(crate) number: u64,
    pub(crate) target: P,
    pub(crate) deadline: Monotonic,
    /// Something happened meanwhile that makes the result doubtful.
    pub(crate) spoiled: bool,
}

/// The last attempt failed; the same one is not repeated before its time.
#[derive(Debug)]
pub(crate) struct Blocked<P> {
    target: P,
    retry_at: Monotonic,
    /// The time has come.
    due: bool,
    /// Why, one sentence.
    pub(crate) failure: String,
}

/// How an effect ended.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) lane: Step,
    pub(crate) result: Result<EffectDone, Vec<DriverError>>,
    /// How often the lane has failed in a row, this time included.
    pub(crate) attempts: u32,
    /// The access point is down by our own doing.
    pub(crate) ap_stopped: bool,
}

impl<P: Clone + PartialEq + Debug> Lane<P> {
    pub(crate) const fn new(step: Step, state: P) -> Self {
        Self { step, state: Some(state), flight: None, blocked: None, attempts: 0 }
    }

    /// Whether `goal` holds and nothing is under way.
    pub(crate) fn at(&self, goal: &P) -> bool {
        self.flight.is_none() && self.state.as_ref() == Some(goal)
    }

    /// Whether an effect is out.
    pub(crate) const fn busy(&self) -> bool {
        self.flight.is_some()
    }

    /// Whether the last attempt failed.
    pub(crate) const fn blocked(&self) -> bool {
        self.flight.is_none() && self.blocked.is_some()
    }

    /// Whether `target` should be applied and may be.
    pub(crate) fn wants(&self, target: &P) -> bool {
        !self.at(target)
            && self.flight.is_none()
            && self.blocked.as_ref().is_none_or(|blocked| blocked.due || blocked.target != *target)
    }

    pub(crate) fn doubt(&mut self) {
        if let Some(flight) = &mut self.flight {
            flight.spoiled = true;
        } else {
            self.state = None;
        }
    }

    /// What holds is `state` (`None`: not known), and `target` is not applied before `retry_at`; `failure` says why.
    /// Nothing is under way.
    pub(crate) fn hold(&mut self, state: Option<P>, target: P, retry_at: Monotonic, failure: String) {
        self.state = state;
        self.blocked = Some(Blocked { target, retry_at, due: false, failure });
    }

    pub(crate) fn finish(
        &mut self,
        result: Result<EffectDone, Vec<DriverError>>,
        now: Monotonic,
    ) -> Option<Finished> {
        let flight = self.flight.take()?;
        match &result {
            Ok(_) => {
                self.state = (!flight.spoiled).then_some(flight.target);
                self.blocked = None;
                self.attempts = 0;
            }
            Err(errors) => {
                self.state = None;
                self.attempts = self.attempts.saturating_add(1);
                let pause = Duration::from_secs(1_u64 << (self.attempts - 1).min(6)).min(LONGEST_PAUSE);
                let failure = errors.first().map(ToString::to_string).unwrap_or_default();
                self.blocked =
                    Some(Blocked { target: flight.target, retry_at: now + pause, due: false, failure });
            }
        }
        Some(Finished { lane: self.step, result, attempts: self.attempts, ap_stopped: false })
    }

    pub(crate) fn expire(&mut self, now: Monotonic) -> Option<Finished> {
        if let Some(blocked) = &mut self.blocked
            && blocked.retry_at <= now
        {
            blocked.due = true;
        }
        self.flight.as_ref().filter(|flight| flight.deadline <= now)?;
        let error = DriverError::new(
            DriverErrorKind::Timeout,
            "wait for an answer",
            self.step,
            "the step did not answer in time",
        );
        self.finish(Err(vec![error]), now)
    }

    pub(crate) fn wake(&self) -> Option<(Monotonic, &'static str)> {
        match (&self.flight, &self.blocked) {
            (Some(flight), _) => Some((flight.deadline, "deadline of an effect")),
            (None, Some(blocked)) if !blocked.due => Some((blocked.retry_at, "retry of a failed step")),
            (None, _) => None,
        }
    }
}
