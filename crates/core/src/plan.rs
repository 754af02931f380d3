//! What should hold on the whole system.

use hn_types::plan::{ApPlan, FirewallPlan, ForwardingPlan, LinkPlan, ServicePlan};

/// One plan for each lane. The default plan: nothing of ours is there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SystemPlan {
    /// The access point.
    pub ap: Option<ApPlan>,
    /// Bridge and addresses.
    pub links: LinkPlan,
    /// The firewall table.
    pub firewall: FirewallPlan,
    /// Per-interface forwarding.
    pub forwarding: ForwardingPlan,
    /// The protocol servers.
    pub services: ServicePlan,
}
