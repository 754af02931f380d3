//! What the core wants done, and the one ordered queue it says it in.

use hn_types::{
    Failure, MacAddr, Step, StoredSettings,
    plan::{ApPlan, ApStarted, Counts, FirewallPlan, ForwardingPlan, KeySet, LinkPlan, ServicePlan},
    view::Event,
};

use crate::command::{Reply, RequestId};

/// Names one effect. Numbers count up, whatever the lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EffectId {
    pub(crate) number: u64,
    pub(crate) lane: Step,
}

impl EffectId {
    /// The lane the effect belongs to.
    pub const fn lane(self) -> Step {
        self.lane
    }

    /// Its number, for the log.
    pub const fn number(self) -> u64 {
        self.number
    }
}

/// Something to be done by the driver of a lane.
///
/// All drivers are level-triggered and idempotent: a plan that already holds is done at once, a plan
/// that differs replaces what holds, and the empty plan leaves nothing of ours. A driver that fails
/// leaves the old or the new plan, or something it can be asked to repair by either.
///
/// Effects of one lane must be carried out in the order they are emitted. The core emits the next one
/// of a lane only after the answer to the one before, or after its deadline: then the executor
/// may abandon the hung one but must not run both at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Make this access point run: create the interface, start it. If one runs that differs in keys only,
    /// exchange the keys; if it differs in more, replace it. Answered by [`EffectDone::ApStarted`].
    StartAp(ApPlan),
    /// Move the running access point to the channel of this plan, which differs in nothing else, and let its
    /// stations know. Answered by [`EffectDone::ApStarted`].
    MoveAp(ApPlan),
    /// No access point and no virtual interface of ours.
    StopAp,
    /// Exchange the keys of the running access point without disturbing stations.
    SetKeys(KeySet),
    /// Bridge and addresses.
    Links(LinkPlan),
    /// Per-interface forwarding; an interface no longer named gets its old value back.
    Forwarding(ForwardingPlan),
    /// The firewall table.
    Firewall(FirewallPlan),
    /// The protocol servers.
    Services(ServicePlan),
    /// Write the settings; durable when answered.
    Save(StoredSettings),
    /// Report [`hn_types::observed::ApEvent::StationStats`]. Answer [`EffectDone::Done`] after emitting it.
    PollStations,
    /// End the association of this station. It may come back at once.
    Disconnect(MacAddr),
    /// Answer [`EffectDone::Counted`]. Fails when the table of single devices is not there.
    Count,
}

impl Effect {
    /// The lane that does it.
    pub const fn lane(&self) -> Step {
        match self {
            Self::StartAp(_)
            | Self::MoveAp(_)
            | Self::StopAp
            | Self::SetKeys(_)
            | Self::PollStations
            | Self::Disconnect(_) => Step::Radio,
            Self::Links(_) => Step::Links,
            Self::Forwarding(_) => Step::Forwarding,
            Self::Firewall(_) | Self::Count => Step::Firewall,
            Self::Services(_) => Step::Services,
            Self::Save(_) => Step::Store,
        }
    }
}

/// How an effect succeeded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EffectDone {
    /// Every effect but one.
    Done,
    /// To [`Effect::StartAp`] and [`Effect::MoveAp`].
    ApStarted(ApStarted),
    /// To [`Effect::Count`], and to [`Effect::Firewall`] when something is or was counted.
    Counted(Counts),
}

/// What comes out of the core, in the one order that counts.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "at most one effect for each lane is on its way")]
pub enum Output {
    /// Do this and report with [`crate::Core::handle_effect_done`].
    Effect {
        /// Its name.
        id: EffectId,
        /// What.
        effect: Effect,
    },
    /// Answer a command.
    Reply {
        /// Which.
        request: RequestId,
        /// With what.
        result: Result<Reply, Failure>,
    },
    /// Publish this.
    Event(Event),
}
