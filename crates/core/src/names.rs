//! Interfaces of ours that somebody calls by another name get theirs back: at once while that is rare, and ever more seldom
//! when somebody keeps at it.
//!
//! We find them by their index. But rules of the firewall match names, and who was told to leave us alone
//! (NetworkManager, networkd, firewalld's zones) was told a name: an interface under another one is a stranger to all of them.

use alloc::{format, string::String};

use hn_types::{ErrorCode, Failure, IfName, Monotonic, Reason, Step, network::NetworkView, view::Event};

use crate::{core::Core, effect::Output, guard::Losses};

/// How often interfaces of ours were renamed.
#[derive(Debug, Default)]
pub(crate) struct Names {
    ap: Losses,
    bridge: Losses,
}

impl Core {
    /// `view` is about to become what is known of the network. Whatever of ours has another name in it is applied again, and
    /// that puts the name back.
    pub(crate) fn check_names(&mut self, view: &NetworkView, now: Monotonic) {
        if let Some((name, other)) = self.lanes.renamed_ap(view) {
            let pause = self.names.ap.add(now);
            if pause.is_zero() {
                self.lanes.radio.doubt();
            } else {
                let cause = keeps_renaming(name, Some(other), pause.as_secs());
                let goal = self.goal().ap;
                self.lanes.radio.hold(None, goal, now + pause, cause.clone());
                self.say_renamed(Step::Radio, name, cause);
            }
        }
        if let Some(name) = self.lanes.missing_bridge(&self.network, view) {
            let pause = self.names.bridge.add(now);
            if pause.is_zero() {
                self.lanes.links.doubt();
            } else {
                let cause = keeps_renaming(name, None, pause.as_secs());
                let goal = self.goal().links;
                self.lanes.links.hold(None, goal, now + pause, cause.clone());
                self.say_renamed(Step::Links, name, cause);
            }
        }
    }

    fn say_renamed(&mut self, step: Step, name: IfName, cause: String) {
        let failure = Failure {
            step,
            ..Failure::check(ErrorCode::GenFailure, Reason::Unspecified, name, cause)
        }
        .with_remedy(
            "have whoever names interfaces (a rule of udev, a .link file) leave hnap* and hnbr* alone",
        );
        self.out.push_back(Output::Event(Event::Trouble { failure }));
    }
}

fn keeps_renaming(name: IfName, other: Option<IfName>, seconds: u64) -> String {
    let other = other.map_or_else(|| "something else".into(), |other| format!("{other}"));
    format!("another program keeps calling {name} {other}; it gets its name back in {seconds} s")
}
