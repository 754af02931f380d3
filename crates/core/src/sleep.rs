//! The machine's sleep (spec/hosted-network.md §1, "Power").
//!
//! The network is stopped in order before the machine sleeps: a radio that loses its power under a running access point
//! leaves programs behind that believe they still serve. Sharing stays as it is; devices on wires find everything where
//! it was. After the sleep the network is possible again as soon as its adapter is, and whoever wants it starts it again;
//! where the administrator says so, a network that was started for good starts by itself.

use hn_types::{Reason, observed::Sleep};

use crate::{
    command::SessionId,
    core::Core,
    dispatch::Stages,
    hosted::{Blocker, Phase},
    job::{Caller, Claim, Job},
};

/// What the core remembers of a sleep.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Rest {
    /// The machine is about to sleep, or does.
    asleep: bool,
    /// The network was started for good when the sleep came, and starts again when it can.
    resume: bool,
}

impl Rest {
    /// Somebody wants the network down: it stays down.
    pub(crate) const fn forget(&mut self) {
        self.resume = false;
    }

    /// Why the hosted network has to be down.
    pub(crate) fn blocker(self) -> Option<Blocker> {
        self.asleep.then(|| Blocker {
            reason: Reason::InterfaceUnavailable,
            end: Reason::InterfaceAvailable,
            object: "hosted network".into(),
            cause: "the machine is about to sleep".into(),
            remedy: "start it again when the machine is awake".into(),
        })
    }
}

impl Core {
    pub(crate) fn slept(&mut self, sleep: Sleep) {
        match sleep {
            Sleep::Coming => {
                self.rest.asleep = true;
                self.rest.resume |= self.config.resume && self.sessions.forced();
            }
            Sleep::Over => self.rest.asleep = false,
        }
    }

    /// The start that was put off until the machine is awake and its adapter is back.
    pub(crate) fn resuming(&mut self) -> Option<Job> {
        if !self.rest.resume || self.hosted.phase() != Phase::Idle {
            return None;
        }
        self.rest.resume = false;
        let stages: Stages = self.start().ok()?;
        let mut job = Job::new(stages, self.before());
        job.callers.push(Caller { session: SessionId(0), request: None, claim: Claim::Forced });
        Some(job)
    }
}
