//! Carries effects out: one task for each lane.
//!
//! | task | owns | waits on | its end |
//! |---|---|---|---|
//! | one per lane | the lane's driver | its queue of at most [`QUEUE`] effects | the queue closed: the daemon ends |
//!
//! A driver that hangs holds up its own lane only; the core's deadline notices, and a late answer is
//! recognised by its id. A lane task is never cancelled while a driver works, so nothing is left half done.

use std::path::Path;

use hn_core::{Effect, EffectDone, EffectId};
use hn_ports::{Firewall, Forwarding, Lanes, Links, Radio, Services};
use hn_types::{DriverError, DriverErrorKind, Step};
use tokio::{
    sync::mpsc::{self, Receiver, Sender, error::TrySendError},
    task::spawn_local,
};

use crate::store::SettingsFile;

/// Effects a lane may have waiting: the one that undoes the one that hangs, and a few to spare.
const QUEUE: usize = 4;

/// What became of an effect.
pub type Outcome = (EffectId, Result<EffectDone, Vec<DriverError>>);

/// The queues into the lane tasks.
#[derive(Debug)]
pub struct Executor {
    radio: Sender<(EffectId, Effect)>,
    links: Sender<(EffectId, Effect)>,
    forwarding: Sender<(EffectId, Effect)>,
    firewall: Sender<(EffectId, Effect)>,
    services: Sender<(EffectId, Effect)>,
    store: Sender<(EffectId, Effect)>,
    outcomes: mpsc::UnboundedSender<Outcome>,
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
        let Lanes { mut radio, mut links, mut forwarding, mut firewall, mut services } = lanes;
        let file = SettingsFile::new(state_dir);
        let executor = Self {
            radio: lane(outcomes.clone(), async move |effect| match effect {
                Effect::StartAp(plan) => {
                    radio.start(&plan).await.map(EffectDone::ApStarted).map_err(|error| vec![error])
                }
                Effect::StopAp => radio.stop().await.map(|_| EffectDone::Done),
                Effect::SetKeys(keys) => done(radio.set_keys(&keys).await),
                Effect::PollStations => {
                    radio.poll_stations().await;
                    Ok(EffectDone::Done)
                }
                Effect::Links(_)
                | Effect::Forwarding(_)
                | Effect::Firewall(_)
                | Effect::Services(_)
                | Effect::Save(_) => Err(vec![misrouted(Step::Radio)]),
            }),
            links: lane(outcomes.clone(), async move |effect| match effect {
                Effect::Links(plan) => done(links.apply(&plan).await),
                _ => Err(vec![misrouted(Step::Links)]),
            }),
            forwarding: lane(outcomes.clone(), async move |effect| match effect {
                Effect::Forwarding(plan) => done(forwarding.apply(&plan).await),
                _ => Err(vec![misrouted(Step::Forwarding)]),
            }),
            firewall: lane(outcomes.clone(), async move |effect| match effect {
                Effect::Firewall(plan) => done(firewall.apply(&plan).await),
                _ => Err(vec![misrouted(Step::Firewall)]),
            }),
            services: lane(outcomes.clone(), async move |effect| match effect {
                Effect::Services(plan) => done(services.apply(&plan).await),
                _ => Err(vec![misrouted(Step::Services)]),
            }),
            store: lane(outcomes.clone(), async move |effect| match effect {
                Effect::Save(settings) => done(file.save(&settings)),
                _ => Err(vec![misrouted(Step::Store)]),
            }),
            outcomes,
        };
        (executor, receiver)
    }

    /// Hands an effect to its lane. A lane that does not take it answers at once that it is busy.
    pub fn execute(&self, id: EffectId, effect: Effect) {
        let lane = match effect.lane() {
            Step::Radio => &self.radio,
            Step::Links => &self.links,
            Step::Forwarding => &self.forwarding,
            Step::Firewall => &self.firewall,
            Step::Services => &self.services,
            Step::Store | Step::Check => &self.store,
        };
        if let Err(TrySendError::Full(refused) | TrySendError::Closed(refused)) = lane.try_send((id, effect))
        {
            let step = refused.1.lane();
            let error = DriverError::new(
                DriverErrorKind::Busy,
                "queue the next change",
                step,
                "the driver has not answered earlier ones",
            );
            let _ = self.outcomes.send((id, Err(vec![error])));
        }
    }
}

fn lane(
    outcomes: mpsc::UnboundedSender<Outcome>,
    mut carry_out: impl AsyncFnMut(Effect) -> Result<EffectDone, Vec<DriverError>> + 'static,
) -> Sender<(EffectId, Effect)> {
    let (sender, mut effects): (_, Receiver<(EffectId, Effect)>) = mpsc::channel(QUEUE);
    spawn_local(async move {
        while let Some((id, effect)) = effects.recv().await {
            tracing::debug!(?id, lane = %effect.lane(), "effect");
            let outcome = carry_out(effect).await;
            if let Err(errors) = &outcome {
                for error in errors {
                    tracing::warn!(?id, %error, "effect failed");
                }
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

fn misrouted(step: Step) -> DriverError {
    DriverError::new(DriverErrorKind::Invalid, "carry out an effect", step, "it belongs to another lane")
}
