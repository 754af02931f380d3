//! Carries effects out: one task for each lane.
//!
//! | task | owns | waits on | its end |
//! |---|---|---|---|
//! | one per lane | the lane's driver | its queue of a few effects | the queue closed: the daemon ends |
//!
//! A driver that hangs holds up its own lane only; the core's deadline notices, and a late answer is
//! recognised by its id. A lane task is never cancelled while a driver works, so nothing is left half done.

use std::path::Path;

use hn_core::{Effect, EffectDone, EffectId};
use hn_ports::{
    Dependencies, Examiner, Firewall, Forwarding, Lanes, Links, Neighbours, Radio, Services, Stations,
};
use hn_types::{
    DriverError, DriverErrorKind, MacAddr, StoredSettings,
    plan::{ApPlan, FirewallPlan, ForwardingPlan, KeySet, LinkPlan, ServicePlan},
};
use tokio::{
    sync::mpsc::{self, Sender},
    task::spawn_local,
};

use crate::store::SettingsFile;

/// Effects a lane may have waiting: the one that undoes the one that hangs, and a few to spare.
const QUEUE: usize = 4;

/// What became of an effect.
pub type Outcome = (EffectId, Result<EffectDone, Vec<DriverError>>);

/// What the radio lane does.
#[derive(Debug)]
enum RadioJob {
    Start(ApPlan),
    Move(ApPlan),
    Stop,
    SetKeys(KeySet),
    PollStations,
    Disconnect(MacAddr),
}

/// What the firewall lane does.
#[derive(Debug)]
enum FirewallJob {
    Apply(Box<FirewallPlan>),
    Count,
}

/// The queue into one lane.
type Lane<T> = Sender<(EffectId, T)>;

/// The queues into the lane tasks.
#[derive(Debug)]
pub struct Executor {
    radio: Lane<RadioJob>,
    links: Lane<LinkPlan>,
    forwarding: Lane<ForwardingPlan>,
    firewall: Lane<FirewallJob>,
    services: Lane<ServicePlan>,
    store: Lane<StoredSettings>,
    outcomes: mpsc::UnboundedSender<Outcome>,
    stations: Stations,
    dependencies: Dependencies,
    examiner: Examiner,
    neighbours: Neighbours,
}

impl Executor {
    /// Starts the tasks. Outcomes come on the second value; their number is bounded by the queues.
    pub fn start<R, L, W, F, S>(
        lanes: Lanes<R, L, W, F, S>,
        state_dir: &Path,
    ) -> (Self, mpsc::UnboundedReceiver<Outcome>)
    where
        R: Radio + 'static,
        L: Links + 'static,
        W: Forwarding + 'static,
        F: Firewall + 'static,
        S: Services + 'static,
    {
        let (outcomes, receiver) = mpsc::unbounded_channel();
        let Lanes {
            mut radio,
            mut links,
            mut forwarding,
            mut firewall,
            mut services,
            stations,
            dependencies,
            examiner,
            neighbours,
        } = lanes;
        let file = SettingsFile::new(state_dir);
        let executor = Self {
            radio: lane(&outcomes, async move |job| match job {
                RadioJob::Start(plan) => {
                    radio.start(&plan).await.map(EffectDone::ApStarted).map_err(|error| vec![error])
                }
                RadioJob::Move(plan) => {
                    radio.move_to(&plan).await.map(EffectDone::ApStarted).map_err(|error| vec![error])
                }
                RadioJob::Stop => radio.stop().await.map(|_| EffectDone::Done),
                RadioJob::SetKeys(keys) => done(radio.set_keys(&keys).await),
                RadioJob::Disconnect(station) => done(radio.disconnect(station).await),
                RadioJob::PollStations => {
                    radio.poll_stations().await;
                    Ok(EffectDone::Done)
                }
            }),
            links: lane(&outcomes, async move |plan| done(links.apply(&plan).await)),
            forwarding: lane(&outcomes, async move |plan| done(forwarding.apply(&plan).await)),
            firewall: lane(&outcomes, async move |job| match job {
                FirewallJob::Apply(plan) => done(firewall.apply(&plan).await).map(|done| {
                    let counted = firewall.counted();
                    if counted.is_empty() { done } else { EffectDone::Counted(counted) }
                }),
                FirewallJob::Count => {
                    firewall.count().await.map(EffectDone::Counted).map_err(|error| vec![error])
                }
            }),
            services: lane(&outcomes, async move |plan| done(services.apply(&plan).await)),
            store: lane(&outcomes, async move |settings| done(file.save(&settings))),
            outcomes,
            stations,
            dependencies,
            examiner,
            neighbours,
        };
        (executor, receiver)
    }

    /// Measures the machine's Wi-Fi stations; needs no lane.
    pub const fn stations(&self) -> &Stations {
        &self.stations
    }

    /// Looks for what sharing cannot do without; needs no lane.
    pub const fn dependencies(&self) -> &Dependencies {
        &self.dependencies
    }

    /// Looks for other programs that have to do with the network; needs no lane.
    pub const fn neighbours(&self) -> &Neighbours {
        &self.neighbours
    }

    /// Looks for what keeps a device from being online; needs no lane.
    pub const fn examiner(&self) -> &Examiner {
        &self.examiner
    }

    /// Hands an effect to its lane. A lane that does not take it answers at once that it is busy.
    pub fn execute(&self, id: EffectId, effect: Effect) {
        tracing::debug!(id = id.number(), lane = %id.lane(), "effect");
        let taken = match effect {
            Effect::StartAp(plan) => hand(&self.radio, id, RadioJob::Start(plan)),
            Effect::MoveAp(plan) => hand(&self.radio, id, RadioJob::Move(plan)),
            Effect::StopAp => hand(&self.radio, id, RadioJob::Stop),
            Effect::SetKeys(keys) => hand(&self.radio, id, RadioJob::SetKeys(keys)),
            Effect::PollStations => hand(&self.radio, id, RadioJob::PollStations),
            Effect::Links(plan) => hand(&self.links, id, plan),
            Effect::Forwarding(plan) => hand(&self.forwarding, id, plan),
            Effect::Firewall(plan) => hand(&self.firewall, id, FirewallJob::Apply(Box::new(plan))),
            Effect::Count => hand(&self.firewall, id, FirewallJob::Count),
            Effect::Disconnect(station) => hand(&self.radio, id, RadioJob::Disconnect(station)),
            Effect::Services(plan) => hand(&self.services, id, plan),
            Effect::Save(settings) => hand(&self.store, id, settings),
        };
        if !taken {
            let cause = "the driver has not answered earlier ones";
            let error = DriverError::new(DriverErrorKind::Busy, "queue the next change", id.lane(), cause);
            let _ = self.outcomes.send((id, Err(vec![error])));
        }
    }
}

fn hand<T>(lane: &Lane<T>, id: EffectId, job: T) -> bool {
    lane.try_send((id, job)).is_ok()
}

fn lane<T: 'static>(
    outcomes: &mpsc::UnboundedSender<Outcome>,
    mut carry_out: impl AsyncFnMut(T) -> Result<EffectDone, Vec<DriverError>> + 'static,
) -> Lane<T> {
    let (sender, mut jobs) = mpsc::channel::<(EffectId, T)>(QUEUE);
    let outcomes = outcomes.clone();
    spawn_local(async move {
        while let Some((id, job)) = jobs.recv().await {
            let outcome = carry_out(job).await;
            for error in outcome.as_ref().err().into_iter().flatten() {
                tracing::warn!(id = id.number(), lane = %id.lane(), %error, "effect failed");
            }
            // The loop is gone only when the daemon ends; nobody waits for the answer then.
            let _ = outcomes.send((id, outcome));
        }
    });
    sender
}

fn done<T>(result: Result<T, DriverError>) -> Result<EffectDone, Vec<DriverError>> {
    result.map(|_| EffectDone::Done).map_err(|error| vec![error])
}
