//! Rules that another program took away: they are put back, at once while that is rare, and ever more seldom
//! when somebody keeps at it. Until they are back nothing is forwarded then.
//!
//! And rules of another program that drop what a segment needs: that is said, and ends nothing. Who can be asked to let
//! it through is asked again, by applying the plan again.

use alloc::{format, string::String, vec::Vec};
use core::time::Duration;

use hn_types::{
    ErrorCode, Failure, Monotonic, Reason, Step, observed::Obstacle, plan::FirewallPlan, view::Event,
};

use crate::{core::Core, effect::Output, job::Stage, lanes::Lanes, plan::SystemPlan};

/// So many losses in a row are repaired at once: a firewall that restarts flushes more than once.
const AT_ONCE: u32 = 3;
/// The longest pause before the rules are put back. Shorter than [`CALM`], or no row of losses would ever go on.
const LONGEST_PAUSE: Duration = Duration::from_secs(32);
/// After so long without a loss the next one is the first again.
const CALM: Duration = Duration::from_secs(60);

/// How often somebody took away what is ours.
#[derive(Debug, Default)]
pub(crate) struct Losses {
    /// In a row.
    row: u32,
    last: Option<Monotonic>,
}

impl Losses {
    /// One more; how long to wait before it is put back.
    pub(crate) fn add(&mut self, now: Monotonic) -> Duration {
        if self.last.is_none_or(|last| last + CALM <= now) {
            self.row = 0;
        }
        self.row = self.row.saturating_add(1);
        self.last = Some(now);
        match self.row.checked_sub(AT_ONCE + 1) {
            None => Duration::ZERO,
            Some(more) => Duration::from_secs(1 << more.min(5)).min(LONGEST_PAUSE),
        }
    }
}

/// What is known of losses of rules.
#[derive(Debug, Default)]
pub(crate) struct Guard {
    losses: Losses,
    /// What was found, until the rules are back.
    found: Option<Found>,
    /// How often they were put back, ever.
    restored: u32,
    /// What others drop.
    obstacles: Vec<Obstacle>,
}

/// What was found, in the platform's words.
#[derive(Debug)]
enum Found {
    /// Instead of our rules.
    Lost(String),
    /// In rules of somebody who can be asked.
    Blocked(String),
}

impl Guard {
    /// No rules are wanted.
    fn rest(&mut self) {
        *self = Self { restored: self.restored, ..Self::default() };
    }

    /// What others drop, one sentence each.
    pub(crate) fn obstacles(&self) -> impl Iterator<Item = String> {
        self.obstacles.iter().map(|obstacle| format!("{}; {}", obstacle.cause, obstacle.remedy))
    }

    /// How often rules were put back since the service started.
    pub(crate) const fn restored(&self) -> u32 {
        self.restored
    }
}

impl Lanes {
    /// The rules in force are none of ours any more. They may be put back at once, or not before `retry_at`.
    fn lose_firewall(&mut self, goal: &FirewallPlan, retry_at: Option<Monotonic>, failure: String) {
        match retry_at {
            _ if self.firewall.busy() => self.firewall.doubt(),
            // Nothing else is taken away meanwhile: putting the rules back is the fastest remedy.
            None => self.firewall.state = Some(FirewallPlan::default()),
            Some(retry_at) => self.firewall.hold(None, goal.clone(), retry_at, failure),
        }
    }
}

impl Core {
    /// The platform found rules that are not ours where ours should be.
    pub(crate) fn firewall_lost(&mut self, found: String, now: Monotonic) {
        let goal = self.goal().firewall;
        // Unknown already, or nothing to lose: whatever happens next makes it right.
        let held = self.lanes.firewall.busy() || self.lanes.firewall.state.is_some();
        if goal == FirewallPlan::default() || !held {
            return;
        }
        let pause = self.guard.losses.add(now);
        if pause.is_zero() {
            self.lanes.lose_firewall(&goal, None, String::new());
        } else {
            let cause = format!(
                "another program keeps removing or changing the rules ({found}); nothing is forwarded until they \
                 are put back in {} s",
                pause.as_secs()
            );
            self.lanes.lose_firewall(&goal, Some(now + pause), cause.clone());
            let failure = failure(cause);
            let building = self
                .job
                .as_ref()
                .is_some_and(|job| matches!(&job.current, Some(Stage::Change(change)) if !change.teardown()));
            if building {
                self.fail_job(failure.clone());
            }
            self.out.push_back(Output::Event(Event::Trouble { failure }));
        }
        self.guard.found = Some(Found::Lost(found));
    }

    /// The platform found out what others drop.
    pub(crate) fn firewall_blocked(&mut self, obstacles: Vec<Obstacle>, now: Monotonic) {
        let goal = self.goal().firewall;
        if goal == FirewallPlan::default() {
            return;
        }
        for obstacle in &obstacles {
            let known =
                self.guard.obstacles.iter().any(|known| known.cause == obstacle.cause && !known.askable);
            if !known && !obstacle.askable {
                let failure = Failure {
                    step: Step::Firewall,
                    ..Failure::check(
                        ErrorCode::GenFailure,
                        Reason::Unspecified,
                        "firewall",
                        obstacle.cause.as_str(),
                    )
                };
                let failure = failure.with_remedy(obstacle.remedy.as_str());
                self.out.push_back(Output::Event(Event::Trouble { failure }));
            }
        }
        let askable =
            obstacles.iter().find(|obstacle| obstacle.askable).map(|obstacle| obstacle.cause.clone());
        self.guard.obstacles = obstacles;
        // Whatever is being applied asks by itself.
        let Some(cause) =
            askable.filter(|_| self.lanes.firewall.state.is_some() && !self.lanes.firewall.busy())
        else {
            return;
        };
        let pause = self.guard.losses.add(now);
        // Our own rules are in force all the while, so nothing else has to change.
        let held = Some(FirewallPlan::default());
        if pause.is_zero() {
            self.lanes.firewall.state = held;
        } else {
            let failure = format!("{cause}; it is asked again in {} s", pause.as_secs());
            self.lanes.firewall.hold(held, goal, now + pause, failure);
        }
        self.guard.found = Some(Found::Blocked(cause));
    }

    /// The firewall lane has done something: if rules that were lost are back, that is said.
    pub(crate) fn firewall_applied(&mut self) {
        let back = self.lanes.firewall.state.as_ref().is_some_and(|held| *held != FirewallPlan::default());
        if back && let Some(found) = self.guard.found.take() {
            self.guard.restored = self.guard.restored.saturating_add(1);
            let what = match found {
                Found::Lost(found) => {
                    format!("another program removed or changed the rules ({found}); they were put back")
                }
                Found::Blocked(cause) => format!("{cause}; it was asked again to let it through"),
            };
            let cause = format!("{what} (time {} since the service started)", self.guard.restored);
            self.out.push_back(Output::Event(Event::Trouble { failure: failure(cause) }));
        }
    }

    /// Nothing is remembered while no rules are wanted.
    pub(crate) fn rest_guard(&mut self, goal: &SystemPlan) {
        if goal.firewall == FirewallPlan::default() {
            self.guard.rest();
        }
    }
}

fn failure(cause: String) -> Failure {
    Failure {
        step: Step::Firewall,
        ..Failure::check(ErrorCode::GenFailure, Reason::Unspecified, "firewall", cause)
    }
    .with_remedy("have whoever flushes or reloads firewall rules leave the table `inet hostednet` alone")
}
