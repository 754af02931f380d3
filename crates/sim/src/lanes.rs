//! The lanes of the simulated platform. Each obeys the fault the console set for it, then acts on the world.

use std::{cell::RefCell, rc::Rc};

use hn_ports::{
    Changed, Dependencies, Examiner, Firewall, Forwarding, Lanes, Links, Neighbours, Radio, Services,
    Stations,
};
use hn_types::{
    DriverError, DriverErrorKind, MacAddr, Step,
    plan::{ApPlan, ApStarted, Counts, FirewallPlan, ForwardingPlan, KeySet, LinkPlan, ServicePlan},
};

use crate::world::{Fault, World};

type Shared = Rc<RefCell<World>>;

/// The simulated radio.
#[derive(Debug)]
pub struct SimRadio(Shared);

/// The simulated links.
#[derive(Debug)]
pub struct SimLinks(Shared);

/// The simulated forwarding switches.
#[derive(Debug)]
pub struct SimForwarding(Shared);

/// The simulated firewall.
#[derive(Debug)]
pub struct SimFirewall(Shared);

/// The simulated protocol servers.
#[derive(Debug)]
pub struct SimServices(Shared);

pub(crate) fn lanes(world: &Shared) -> Lanes<SimRadio, SimLinks, SimForwarding, SimFirewall, SimServices> {
    let (measured, looked, examined) = (Rc::clone(world), Rc::clone(world), Rc::clone(world));
    Lanes {
        radio: SimRadio(Rc::clone(world)),
        links: SimLinks(Rc::clone(world)),
        forwarding: SimForwarding(Rc::clone(world)),
        firewall: SimFirewall(Rc::clone(world)),
        services: SimServices(Rc::clone(world)),
        stations: Stations::new(move || measured.borrow().stations()),
        dependencies: Dependencies::new(move || looked.borrow().missing()),
        examiner: Examiner::new(move |question| {
            let findings = examined.borrow().findings(&question);
            Box::pin(async move { findings })
        }),
        neighbours: Neighbours::new(Vec::new),
    }
}

/// Does what the console set for the lane's next operation.
async fn obey(world: &Shared, lane: Step) -> Result<(), DriverError> {
    let fault = world.borrow_mut().take_fault(lane);
    match fault {
        None => Ok(()),
        Some(Fault::Hang(release)) => {
            release.notified().await;
            Ok(())
        }
        Some(Fault::Fail(cause)) => {
            Err(DriverError::new(DriverErrorKind::Io, "change the simulated machine", lane, cause)
                .with_remedy("the fault was set on the console; try again"))
        }
    }
}

const fn changed(changed: bool) -> Changed {
    if changed { Changed::Yes } else { Changed::No }
}

impl Radio for SimRadio {
    async fn start(&mut self, plan: &ApPlan) -> Result<ApStarted, DriverError> {
        obey(&self.0, Step::Radio).await?;
        self.0.borrow_mut().start_ap(plan)
    }

    async fn move_to(&mut self, plan: &ApPlan) -> Result<ApStarted, DriverError> {
        obey(&self.0, Step::Radio).await?;
        self.0.borrow_mut().move_ap(plan)
    }

    async fn stop(&mut self) -> Result<Changed, Vec<DriverError>> {
        obey(&self.0, Step::Radio).await.map_err(|error| vec![error])?;
        Ok(changed(self.0.borrow_mut().stop_ap()))
    }

    async fn set_keys(&mut self, keys: &KeySet) -> Result<Changed, DriverError> {
        obey(&self.0, Step::Radio).await?;
        self.0.borrow_mut().set_keys(keys).map(changed)
    }

    async fn disconnect(&mut self, station: MacAddr) -> Result<Changed, DriverError> {
        obey(&self.0, Step::Radio).await?;
        let gone = self.0.borrow_mut().leave(station, false);
        gone.map(|()| Changed::Yes)
            .map_err(|cause| DriverError::new(DriverErrorKind::Gone, "disconnect the device", station, cause))
    }

    async fn poll_stations(&mut self) {
        self.0.borrow().poll_stations();
    }
}

impl Links for SimLinks {
    async fn apply(&mut self, plan: &LinkPlan) -> Result<Changed, DriverError> {
        obey(&self.0, Step::Links).await?;
        self.0.borrow_mut().apply_links(plan).map(changed)
    }
}

impl Forwarding for SimForwarding {
    async fn apply(&mut self, plan: &ForwardingPlan) -> Result<Changed, DriverError> {
        obey(&self.0, Step::Forwarding).await?;
        Ok(changed(self.0.borrow_mut().apply_forwarding(plan)))
    }
}

impl Firewall for SimFirewall {
    async fn apply(&mut self, plan: &FirewallPlan) -> Result<Changed, DriverError> {
        obey(&self.0, Step::Firewall).await?;
        Ok(changed(self.0.borrow_mut().apply_firewall(plan)))
    }

    async fn count(&mut self) -> Result<Counts, DriverError> {
        obey(&self.0, Step::Firewall).await?;
        Ok(self.0.borrow().counted())
    }

    fn counted(&self) -> Counts {
        self.0.borrow().counted()
    }
}

impl Services for SimServices {
    async fn apply(&mut self, plan: &ServicePlan) -> Result<Changed, DriverError> {
        obey(&self.0, Step::Services).await?;
        Ok(changed(self.0.borrow_mut().apply_services(plan)))
    }
}
