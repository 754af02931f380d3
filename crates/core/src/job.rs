//! Transactions: what a command does as a whole or not at all.
//!
//! One runs at a time; the others wait. A job is a list of stages; each changes what is wanted and
//! is over when the lanes have followed. A failed stage ends the job: what is wanted becomes
//! what was wanted before, and the caller hears of the failure once the lanes have followed back.
//! Stages that only take away cannot be undone; they go on to their end and report what remained.

use alloc::{
    collections::VecDeque,
    string::{String, ToString},
    vec::Vec,
};

use hn_types::{
    DriverError, DriverErrorKind, ErrorCode, Failure, Key, Reason, Step, StoredSettings,
    settings::SharingPair,
};

use crate::{
    command::{RequestId, SessionId},
    plan::Intent,
    roles::Half,
    subnet::Subnets,
};

/// What happens to the hosted network in a stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HostedChange {
    Keep,
    Start,
    Stop(Reason),
}

/// A change of what is wanted.
#[derive(Clone, Debug)]
pub(crate) struct Change {
    pub(crate) hosted: HostedChange,
    /// `Some(None)`: full sharing off.
    pub(crate) full: Option<Option<SharingPair>>,
    /// Standalone sharing off.
    pub(crate) standalone_off: bool,
    /// A new temporary secondary key, or none.
    pub(crate) temporary: Option<Option<Key>>,
    /// Other networks for the segments that are served.
    pub(crate) renumber: Option<Subnets>,
}

impl Change {
    /// Nothing but waiting until the lanes have followed the settings.
    pub(crate) const KEEP: Self = Self {
        hosted: HostedChange::Keep,
        full: None,
        standalone_off: false,
        temporary: None,
        renumber: None,
    };

    pub(crate) const fn hosted(hosted: HostedChange) -> Self {
        Self { hosted, ..Self::KEEP }
    }

    pub(crate) const fn sharing(full: Option<SharingPair>) -> Self {
        Self { full: Some(full), ..Self::KEEP }
    }

    /// Only takes away: goes on to its end whatever fails.
    pub(crate) const fn teardown(&self) -> bool {
        matches!(self.hosted, HostedChange::Stop(_)) || matches!(self.full, Some(None)) || self.standalone_off
    }
}

/// One step of a job.
#[derive(Clone, Debug)]
#[expect(clippy::large_enum_variant, reason = "a job has a few, and there are few jobs")]
pub(crate) enum Stage {
    /// New settings, durable before anything else happens. `keep`: they stay even if the job fails later.
    Save { settings: StoredSettings, keep: bool },
    /// See [`Change`].
    Change(Change),
}

/// What a caller gets when the job succeeds, beside the answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Claim {
    Nothing,
    /// A reference.
    Reference,
    /// The network runs for good.
    Forced,
    /// Its `up` is in effect.
    Up(UpRecord),
    /// It is told the number of its new port mapping.
    Mapping(u32),
}

impl Claim {
    /// Needs the hosted network.
    pub(crate) const fn needs_hosted(&self) -> bool {
        match self {
            Self::Nothing | Self::Mapping(_) => false,
            Self::Reference | Self::Forced => true,
            Self::Up(record) => record.reference,
        }
    }
}

/// What a session's `up` did and what undoing it means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct UpRecord {
    /// It holds a reference.
    pub(crate) reference: bool,
    /// The pair it wanted.
    pub(crate) pair: Option<SharingPair>,
    /// It changed sharing; this was there before.
    pub(crate) restore: Option<Option<SharingPair>>,
}

/// Somebody who waits for the end of a job.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    pub(crate) session: SessionId,
    /// Whom to answer; nobody when the session is gone but what it claimed stays.
    pub(crate) request: Option<RequestId>,
    pub(crate) claim: Claim,
}

/// To what a failed job returns.
#[derive(Clone, Debug)]
pub(crate) struct Before {
    pub(crate) intent: Intent,
    pub(crate) settings: StoredSettings,
    pub(crate) temporary: Option<Key>,
    pub(crate) subnets: Subnets,
    pub(crate) half: Half,
}

/// A transaction under way.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) callers: Vec<Caller>,
    pub(crate) waiting: VecDeque<Stage>,
    pub(crate) current: Option<Stage>,
    pub(crate) before: Before,
    /// It failed and is being undone.
    pub(crate) failure: Option<Failure>,
    /// What a teardown or an undoing could not do.
    pub(crate) residue: Vec<Failure>,
    /// It has no purpose when nobody is left who wants the network.
    pub(crate) needs_claim: bool,
    /// It ends everything; failures are tried again a few times.
    pub(crate) last: bool,
}

impl Job {
    pub(crate) const fn new(stages: VecDeque<Stage>, before: Before) -> Self {
        Self {
            callers: Vec::new(),
            waiting: stages,
            current: None,
            before,
            failure: None,
            residue: Vec::new(),
            needs_claim: false,
            last: false,
        }
    }

    /// Whether other callers who want the network may join.
    pub(crate) fn starts_hosted(&self) -> bool {
        let starts = |stage: &Stage| match stage {
            Stage::Change(change) => change.hosted == HostedChange::Start,
            Stage::Save { .. } => false,
        };
        self.failure.is_none() && self.current.iter().chain(&self.waiting).any(starts)
    }

    /// What remained, as one text.
    pub(crate) fn residue_text(&self) -> Option<String> {
        let texts: Vec<String> = self
            .residue
            .iter()
            .map(|failure| alloc::format!("{}: {}", failure.object, failure.cause))
            .collect();
        (!texts.is_empty()).then(|| texts.join("; "))
    }
}

/// What a failed effect means to a caller.
pub(crate) fn failure_of(lane: Step, reason: Reason, errors: &[DriverError]) -> Failure {
    let mut failure = Failure {
        code: ErrorCode::GenFailure,
        reason,
        step: lane,
        object: lane.to_string(),
        cause: "the step failed without saying why".to_string(),
        remedy: String::new(),
        rollback: None,
    };
    if let Some(first) = errors.first() {
        failure.code = match first.kind {
            DriverErrorKind::Timeout => ErrorCode::Timeout,
            DriverErrorKind::Denied => ErrorCode::SystemDenied,
            DriverErrorKind::Busy
            | DriverErrorKind::Gone
            | DriverErrorKind::Invalid
            | DriverErrorKind::Io
            | DriverErrorKind::Unsupported => ErrorCode::GenFailure,
        };
        failure.object.clone_from(&first.target);
        failure.cause = alloc::format!("cannot {}: {}", first.op, first.cause);
        failure.remedy.clone_from(&first.remedy);
    }
    for error in errors.iter().skip(1).take(4) {
        failure.cause.push_str("; ");
        failure.cause.push_str(&error.to_string());
    }
    failure
}
