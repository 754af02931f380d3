//! What a callback has been told, and what it has to be told next.
//!
//! Programs keep a list of their own from these notifications and check it: a device joins once, leaves only
//! after it joined, and is gone before the network stops. This machine makes it so whatever was missed in between.

use std::collections::BTreeSet;

use hostednet::types::{
    MacAddr, Reason,
    view::{Event, HostedState, Snapshot},
};

use crate::{
    notify::Notice,
    types::{
        GUID, WLAN_HOSTED_NETWORK_DATA_PEER_STATE_CHANGE, WLAN_HOSTED_NETWORK_PEER_STATE,
        WLAN_HOSTED_NETWORK_RADIO_STATE, WLAN_HOSTED_NETWORK_STATE_CHANGE, dot11_radio_state_off,
        dot11_radio_state_on, reason_number, state_number, wlan_hosted_network_peer_state_authenticated,
        wlan_hosted_network_peer_state_invalid,
    },
};

/// State and devices as the callback knows them.
#[derive(Debug)]
pub(crate) struct Mirror {
    guid: GUID,
    state: HostedState,
    peers: BTreeSet<MacAddr>,
}

impl Mirror {
    /// The view of somebody who asks for the status now.
    pub(crate) fn new(snapshot: &Snapshot) -> Self {
        let mut mirror =
            Self { guid: GUID::default(), state: snapshot.hosted_network.state, peers: BTreeSet::new() };
        mirror.learn_guid(snapshot);
        mirror.peers.extend(snapshot.hosted_network.peers.iter().map(|peer| peer.mac));
        mirror
    }

    /// Whether the virtual adapter has no GUID yet.
    pub(crate) fn nameless(&self) -> bool {
        self.guid == GUID::default()
    }

    /// Takes note of the GUID of the virtual adapter.
    pub(crate) fn learn_guid(&mut self, snapshot: &Snapshot) {
        if let Some(guid) = snapshot.hosted_network.device_guid.as_deref().and_then(GUID::parse) {
            self.guid = guid;
        }
    }

    /// At most this many notifications come out of one event.
    pub(crate) fn most(&self) -> usize {
        self.peers.len() + 2
    }

    /// What an event means for the callback.
    pub(crate) fn apply(&mut self, event: &Event) -> Vec<Notice> {
        let mut notices = Vec::new();
        match event {
            Event::StateChanged { new, reason, .. } => self.change(*new, *reason, &mut notices),
            Event::PeerJoined { mac, .. } => self.join(*mac, &mut notices),
            Event::PeerLeft { mac, reason } => self.leave(*mac, *reason, &mut notices),
            Event::RadioChanged { software_on, hardware_on } => {
                let state = |on| if on { dot11_radio_state_on } else { dot11_radio_state_off };
                notices.push(Notice::radio(
                    self.guid,
                    WLAN_HOSTED_NETWORK_RADIO_STATE {
                        dot11SoftwareRadioState: state(*software_on),
                        dot11HardwareRadioState: state(*hardware_on),
                    },
                ));
            }
            Event::PeerRefused { .. }
            | Event::ChannelChanged { .. }
            | Event::RadarCheck { .. }
            | Event::SharingChanged { .. }
            | Event::LeaseBound { .. }
            | Event::LeaseEnded { .. }
            | Event::SettingsChanged
            | Event::DeviceChanged { .. }
            | Event::QuotaExhausted { .. }
            | Event::QuotaRenewed { .. }
            | Event::Trouble { .. }
            | Event::Resync => {}
        }
        notices
    }

    /// Events were missed: what leads from what was told to what is.
    pub(crate) fn catch_up(&mut self, snapshot: &Snapshot) -> Vec<Notice> {
        self.learn_guid(snapshot);
        let mut notices = Vec::new();
        let view = &snapshot.hosted_network;
        let present: BTreeSet<MacAddr> = view.peers.iter().map(|peer| peer.mac).collect();
        for mac in self.peers.difference(&present).copied().collect::<Vec<_>>() {
            self.leave(mac, Reason::PeerDeparted, &mut notices);
        }
        self.change(view.state, view.reason, &mut notices);
        for mac in present {
            self.join(mac, &mut notices);
        }
        notices
    }

    /// The service went away without a word.
    pub(crate) fn lost(&mut self) -> Vec<Notice> {
        let mut notices = Vec::new();
        self.change(HostedState::Unavailable, Reason::ServiceUnavailable, &mut notices);
        notices
    }

    fn change(&mut self, new: HostedState, reason: Reason, notices: &mut Vec<Notice>) {
        if new == self.state {
            return;
        }
        if new != HostedState::Active {
            while let Some(mac) = self.peers.first().copied() {
                self.leave(mac, Reason::PeerDeparted, notices);
            }
        }
        let change = WLAN_HOSTED_NETWORK_STATE_CHANGE {
            OldState: state_number(self.state),
            NewState: state_number(new),
            StateChangeReason: reason_number(reason),
        };
        self.state = new;
        notices.push(Notice::state(self.guid, change));
    }

    fn join(&mut self, mac: MacAddr, notices: &mut Vec<Notice>) {
        if self.peers.insert(mac) {
            notices.push(Notice::peer(self.guid, peer_change(mac, true, Reason::PeerArrived)));
        }
    }

    fn leave(&mut self, mac: MacAddr, reason: Reason, notices: &mut Vec<Notice>) {
        if self.peers.remove(&mac) {
            notices.push(Notice::peer(self.guid, peer_change(mac, false, reason)));
        }
    }
}

fn peer_change(mac: MacAddr, joined: bool, reason: Reason) -> WLAN_HOSTED_NETWORK_DATA_PEER_STATE_CHANGE {
    let peer = |there| WLAN_HOSTED_NETWORK_PEER_STATE {
        PeerMacAddress: mac.0,
        PeerAuthState: if there {
            wlan_hosted_network_peer_state_authenticated
        } else {
            wlan_hosted_network_peer_state_invalid
        },
    };
    WLAN_HOSTED_NETWORK_DATA_PEER_STATE_CHANGE {
        OldState: peer(!joined),
        NewState: peer(joined),
        PeerStateChangeReason: reason_number(reason),
    }
}

#[cfg(test)]
mod tests {
    use hostednet::types::KeyRole;

    use super::*;

    fn active() -> Mirror {
        Mirror { guid: GUID::default(), state: HostedState::Active, peers: BTreeSet::new() }
    }

    fn joined(last: u8) -> Event {
        Event::PeerJoined { mac: MacAddr([2, 0, 0, 0, 0, last]), key: KeyRole::Primary }
    }

    fn codes(notices: &[Notice]) -> Vec<u32> {
        notices.iter().map(Notice::code).collect()
    }

    #[test]
    fn departures_come_before_the_stop() {
        let mut mirror = active();
        mirror.apply(&joined(1));
        mirror.apply(&joined(2));
        let stop = Event::StateChanged {
            old: HostedState::Active,
            new: HostedState::Idle,
            reason: Reason::UserAction,
        };
        assert_eq!(codes(&mirror.apply(&stop)), [0x1001, 0x1001, 0x1000]);
        assert!(mirror.apply(&stop).is_empty(), "old and new never agree");
    }

    #[test]
    fn a_device_joins_once_and_leaves_only_after_it_joined() {
        let mut mirror = active();
        assert_eq!(codes(&mirror.apply(&joined(1))), [0x1001]);
        assert!(mirror.apply(&joined(1)).is_empty());
        let left = Event::PeerLeft { mac: MacAddr([2, 0, 0, 0, 0, 9]), reason: Reason::PeerDeparted };
        assert!(mirror.apply(&left).is_empty());
    }

    #[test]
    fn a_lost_service_is_a_stop() {
        let mut mirror = active();
        mirror.apply(&joined(1));
        assert_eq!(codes(&mirror.lost()), [0x1001, 0x1000]);
        assert!(mirror.lost().is_empty());
    }
}
