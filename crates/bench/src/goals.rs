//! The project's goals, and how far away they are.
//!
//! A goal is a ratio to a peer inside one run wherever that is possible: such a figure hardly depends on the
//! machine. Peers that this program does not run are represented by one that it does, at the factor that lay
//! between the two when both were measured; the text of the goal says so.

use crate::report::{Align, Frame, Metric, Table, markdown, number, ratio};
use crate::{bringup, dhcp, dns, nat};

/// One thing to reach.
struct Goal {
    id: &'static str,
    what: &'static str,
    frame: &'static Frame,
    subject: &'static str,
    metric: &'static Metric,
    /// The figure is divided by this subject's.
    against: Option<&'static str>,
    target: f64,
    note: &'static str,
}

const fn goal(
    id: &'static str,
    what: &'static str,
    (frame, subject, metric): (&'static Frame, &'static str, &'static Metric),
    target: f64,
    against: Option<&'static str>,
) -> Goal {
    Goal { id, what, frame, subject, metric, against, target, note: "" }
}

impl Goal {
    const fn because(mut self, note: &'static str) -> Self {
        self.note = note;
        self
    }
}

const fn of(metric: &'static Metric) -> (&'static Frame, &'static str, &'static Metric) {
    (&dhcp::FRAME, dhcp::OURS_UNCHECKED, metric)
}

const fn dns(metric: &'static Metric) -> (&'static Frame, &'static str, &'static Metric) {
    (&dns::FRAME, dns::OURS, metric)
}

const fn quick(metric: &'static Metric) -> (&'static Frame, &'static str, &'static Metric) {
    (&bringup::FRAME, bringup::OURS_UNCHECKED, metric)
}

const KEA: Option<&str> = Some(dhcp::KEA);
const DNSMASQ: Option<&str> = Some(dhcp::DNSMASQ_UNCHECKED);
const SCRIPT: Option<&str> = Some(bringup::SCRIPT_UNCHECKED);

const GOALS: &[Goal] = &[
    goal("D1", "durable leases each second, 64 clients at once", of(&dhcp::RATE_64), 6.0, KEA),
    goal("D1", "the same", of(&dhcp::RATE_64), 250.0, DNSMASQ),
    goal("D1", "of these not served", of(&dhcp::LOST_64), 0.0, None),
    goal("D2", "durable leases each second, 256 clients at once", of(&dhcp::RATE_256), 18.0, KEA),
    goal("D2", "the same", of(&dhcp::RATE_256), 600.0, DNSMASQ),
    goal("D2", "of these not served", of(&dhcp::LOST_256), 0.0, None),
    goal("D3", "60,000 leases there: new clients each second", of(&dhcp::FULL_NEW), 3.0, KEA),
    goal("D3", "the same", of(&dhcp::FULL_NEW), 2_500.0, DNSMASQ),
    goal("D3", "60,000 leases there: returning clients each second", of(&dhcp::FULL_KNOWN), 3.0, KEA),
    goal("D4", "100,000 new clients each second: served", of(&dhcp::OPEN_100), 100.0, None),
    goal("D4", "the same, p99", of(&dhcp::OPEN_100_99), 4.0, None),
    goal("D4", "10,000 new clients each second, p99", of(&dhcp::OPEN_10_99), 1.5, None),
    goal("D4", "the same", of(&dhcp::OPEN_10_99), 0.06, KEA),
    goal("D5", "one client at a time, durable, p50", of(&dhcp::SINGLE), 0.42, DNSMASQ),
    goal("D6", "CPU for each durable lease", of(&dhcp::CPU_64), 0.10, KEA),
    goal("D6", "the same", of(&dhcp::CPU_64), 0.003, DNSMASQ),
    goal("D7", "60,000 leases there: memory", of(&dhcp::MEMORY), 0.12, KEA),
    goal("D7", "the same", of(&dhcp::MEMORY), 0.45, DNSMASQ),
    goal("D7", "60,000 leases there: restart to first lease", of(&dhcp::RESTART), 30.0, None),
    goal("D7", "the same", of(&dhcp::RESTART), 0.05, KEA),
    goal("D7", "the same", of(&dhcp::RESTART), 0.001, DNSMASQ),
    goal(
        "D8",
        "a new client's lease with the conflict check on",
        (&dhcp::FRAME, dhcp::OURS, &dhcp::QUIET),
        2.0,
        None,
    ),
    goal("D8", "the same", (&dhcp::FRAME, dhcp::OURS, &dhcp::QUIET), 0.001, Some(dhcp::DNSMASQ)),
    goal(
        "D9",
        "2,000 unicast clients at the kernel's default limits: not served",
        of(&dhcp::UNICAST),
        0.0,
        None,
    ),
    goal("S1", "hits each second, user space", dns(&dns::HITS), 1.25, Some(dns::UNBOUND)),
    goal("S1", "the same", dns(&dns::HITS), 3.0, Some(dns::DNSMASQ_LARGE)),
    goal("S2", "hits each second, in the kernel", dns(&dns::HITS), 15.0, Some(dns::UNBOUND))
        .because("no XDP path exists yet: this is the user-space figure"),
    goal("S2", "the same", dns(&dns::HITS), 40.0, Some(dns::DNSMASQ_LARGE)).because("as above"),
    goal("S3", "misses each second", dns(&dns::MISSES), 3.9, Some(dns::UNBOUND)).because("1.3 × dnsdist"),
    goal("S3", "the same", dns(&dns::MISSES), 2.9, Some(dns::DNSMASQ)),
    goal("S3", "the same", dns(&dns::MISSES), 15.0, Some(dns::DNSMASQ_LARGE)),
    goal("S4", "one hit at a time, p50", dns(&dns::HIT_SINGLE), 0.97, Some(dns::UNBOUND))
        .because("1.00 × dnsdist"),
    goal("S4", "one miss at a time, p50", dns(&dns::MISS_SINGLE), 0.83, Some(dns::UNBOUND))
        .because("0.95 × dnsdist"),
    goal("S5", "memory after all those names, the whole service", dns(&dns::MEMORY), 6.0, None),
    goal("B1", "command to first lease, no conflict check", quick(&bringup::LEASE), 0.70, SCRIPT),
    goal("B1", "the same", quick(&bringup::LEASE), 9.0, None).because("0.25 × NetworkManager with `no-ping`"),
    goal(
        "B1",
        "command to first lease, with conflict check",
        (&bringup::FRAME, bringup::OURS, &bringup::LEASE),
        0.004,
        Some(bringup::SCRIPT),
    )
    .because("as NetworkManager is shipped: with dnsmasq's ping"),
    goal("B2", "command to first reply through NAT, no conflict check", quick(&bringup::REPLY), 0.75, SCRIPT),
    goal(
        "N1",
        "CPU for a packet, 1 flow",
        (&nat::FRAME, nat::OURS, &nat::PACKET_1),
        0.97,
        Some(nat::MANAGER),
    ),
    goal(
        "N1",
        "CPU for a packet, 1,000 flows",
        (&nat::FRAME, nat::OURS, &nat::PACKET_1000),
        0.97,
        Some(nat::MANAGER),
    ),
];

impl Goal {
    fn wanted(&self) -> String {
        let sign = if self.metric.more { "≥" } else { "≤" };
        let note = if self.note.is_empty() { String::new() } else { format!(" ({})", self.note) };
        match self.against {
            Some(peer) => format!("{sign} {} × {peer}{note}", plain(self.target)),
            None => format!("{sign} {} {}{note}", plain(self.target), self.metric.unit),
        }
    }

    fn reached(&self, tables: &[Table]) -> Option<f64> {
        let table = tables.iter().find(|table| table.frame.name == self.frame.name)?;
        let spread = match self.against {
            Some(peer) => table.ratio(self.subject, peer, self.metric.name),
            None => table.spread(self.subject, self.metric.name),
        };
        Some(spread?.median)
    }

    fn line(&self, tables: &[Table]) -> Vec<String> {
        let (reached, distance) = match self.reached(tables) {
            Some(value) => {
                let shown = match self.against {
                    Some(_) => format!("{} ×", ratio(value)),
                    None => format!("{} {}", number(value, self.metric.digits), self.metric.unit),
                };
                (shown, distance(value, self.target, self.metric.more))
            }
            None => ("not measured".to_owned(), "–".to_owned()),
        };
        vec![self.id.to_owned(), self.what.to_owned(), self.wanted(), reached, distance]
    }
}

const REACHED: &str = "reached";

/// A target as a person would write it.
fn plain(target: f64) -> String {
    let text = format!("{target:.3}");
    let short = text.trim_end_matches('0').trim_end_matches('.');
    if target >= 1_000.0 { number(target, 0) } else { short.to_owned() }
}

/// How far a figure is from its goal.
fn distance(reached: f64, target: f64, more: bool) -> String {
    let met = if more { reached >= target } else { reached <= target };
    if met {
        REACHED.to_owned()
    } else if target == 0.0 {
        "not reached".to_owned()
    } else if more {
        format!("{} of it", ratio(reached / target))
    } else {
        format!("{} times it", ratio(reached / target))
    }
}

/// The goals of the comparisons that were made, beside what this run reached.
pub(crate) fn render(tables: &[Table]) -> String {
    let head = ["goal", "what", "wanted", "reached", "distance"].map(str::to_owned).to_vec();
    let asked: Vec<&Goal> =
        GOALS.iter().filter(|goal| tables.iter().any(|table| table.frame.name == goal.frame.name)).collect();
    let reached = asked
        .iter()
        .filter_map(|goal| Some((goal, goal.reached(tables)?)))
        .filter(|(goal, value)| distance(*value, goal.target, goal.metric.more) == REACHED)
        .count();
    let lines = asked.iter().map(|goal| goal.line(tables));
    let table = markdown(&std::iter::once(head).chain(lines).collect::<Vec<_>>(), Align::Words);
    format!("{table}\n{reached} of {} lines are reached.\n", asked.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_goal_names_figures_and_subjects_that_exist() {
        for goal in GOALS {
            assert!(
                goal.frame.metrics.iter().any(|metric| metric.name == goal.metric.name),
                "{}",
                goal.metric.name
            );
            let known = |name: &str| goal.frame.subjects.iter().any(|subject| subject.name == name);
            assert!(known(goal.subject) && goal.against.is_none_or(known), "{}: {}", goal.id, goal.what);
        }
    }

    #[test]
    fn a_distance_says_which_way_is_better() {
        assert_eq!(distance(6.5, 6.0, true), "reached");
        assert_eq!(distance(3.0, 6.0, true), "0.50 of it");
        assert_eq!(distance(3.0, 6.0, false), "reached");
        assert_eq!(distance(12.0, 6.0, false), "2.00 times it");
        assert_eq!(distance(0.1, 0.0, false), "not reached");
        assert_eq!(distance(0.0, 0.0, false), "reached");
    }

    #[test]
    fn targets_are_written_without_needless_digits() {
        assert_eq!((plain(0.003), plain(6.0), plain(2_500.0)), ("0.003".into(), "6".into(), "2,500".into()));
    }
}
