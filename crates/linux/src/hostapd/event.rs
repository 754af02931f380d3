//! What hostapd says: events on the control socket, answers to `STA`, and the lines it prints. Whatever is not
//! known is passed over; nothing here can fail.

use hn_types::{DriverErrorKind, KeyRole, MacAddr};

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// It beacons.
    Enabled,
    /// It ceased to.
    Disabled,
    /// The interface is down or gone.
    InterfaceDisabled,
    /// hostapd ends.
    Terminating,
    /// It listens for radar.
    RadarCheck { frequency_mhz: u32, seconds: u32 },
    /// It heard radar, or could not listen.
    RadarCheckFailed,
    /// It is on its new channel.
    Moved { frequency_mhz: u32 },
    /// A station completed the handshake.
    Joined {
        mac: MacAddr,
        /// Absent when hostapd names no key, or one that is none of ours.
        key: Option<KeyRole>,
    },
    /// A station is not authorised any more.
    Left { mac: MacAddr },
    /// A station used a key that is none of ours.
    KeyMismatch { mac: MacAddr },
}

/// Reads one datagram of an attached control socket: `IFNAME=hnap0 <3>AP-STA-CONNECTED 02:… keyid=primary`.
pub(super) fn parse(datagram: &[u8]) -> Option<Event> {
    let text = std::str::from_utf8(datagram).ok()?;
    let text = match text.strip_prefix("IFNAME=") {
        Some(rest) => rest.split_once(' ')?.1,
        None => text,
    };
    let text = match text.strip_prefix('<') {
        Some(rest) => rest.split_once('>')?.1,
        None => text,
    };
    let mut words = text.split_ascii_whitespace();
    let name = words.next()?;
    let mut mac = || words.next()?.parse::<MacAddr>().ok();
    Some(match name {
        "AP-ENABLED" => Event::Enabled,
        "AP-DISABLED" => Event::Disabled,
        "INTERFACE-DISABLED" => Event::InterfaceDisabled,
        "CTRL-EVENT-TERMINATING" => Event::Terminating,
        "DFS-CAC-START" => {
            let number = |name: &str| {
                let value = text.split_ascii_whitespace().find_map(|word| word.strip_prefix(name))?;
                value.trim_end_matches(['s', ',']).parse().ok()
            };
            // hostapd writes the seconds with their unit, and some versions without a listening time at all.
            Event::RadarCheck { frequency_mhz: number("freq=")?, seconds: number("cac_time=").unwrap_or(60) }
        }
        "DFS-CAC-COMPLETED" if text.contains("success=0") => Event::RadarCheckFailed,
        "AP-CSA-FINISHED" => {
            let frequency = words.find_map(|word| word.strip_prefix("freq="))?;
            Event::Moved { frequency_mhz: frequency.parse().ok()? }
        }
        "AP-STA-CONNECTED" => Event::Joined { mac: mac()?, key: words.find_map(key_id) },
        "AP-STA-DISCONNECTED" => Event::Left { mac: mac()? },
        "AP-STA-POSSIBLE-PSK-MISMATCH" => Event::KeyMismatch { mac: mac()? },
        _ => return None,
    })
}

/// The key in an answer to `STA`.
pub(super) fn key_of_station(answer: &str) -> Option<KeyRole> {
    answer.lines().find_map(key_id)
}

fn key_id(word: &str) -> Option<KeyRole> {
    let id = word.strip_prefix("keyid=")?;
    [KeyRole::Primary, KeyRole::Secondary].into_iter().find(|role| role.as_str() == id)
}

/// The station that hostapd prints to have been silent too long:
/// `hnap0: STA 02:… IEEE 802.11: disassociated due to inactivity`.
pub(super) fn inactive_station(line: &str) -> Option<MacAddr> {
    let (head, tail) = line.split_once(" IEEE 802.11: ")?;
    if !tail.contains("due to inactivity") {
        return None;
    }
    head.split_once(": STA ")?.1.trim().parse().ok()
}

/// What a person is told about a start that failed.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Diagnosis {
    pub(super) kind: DriverErrorKind,
    pub(super) cause: String,
    pub(super) remedy: &'static str,
}

/// Printed by hostapd on every way down; says nothing of the reason.
const NOISE: [&str; 8] = [
    "interface state",
    "AP-DISABLED",
    "AP-ENABLED",
    "CTRL-EVENT-TERMINATING",
    "Unable to setup interface",
    "Enabling of interface failed",
    "nl80211: deinit",
    "Add interface",
];

/// What helps a hostapd that is confined.
const CONFINED: &str = "look for a denial by AppArmor or SELinux in the journal of the kernel; for AppArmor, install \
    dist/apparmor/local/hostapd as /etc/apparmor.d/local/hostapd and load the profile of hostapd again";

/// Why hostapd did not start an access point, from the lines that it printed.
pub(super) fn diagnose(lines: &[String]) -> Diagnosis {
    known(lines).unwrap_or_else(|| {
        let detail = told(lines);
        let cause = if detail.is_empty() {
            "hostapd gave no reason".to_owned()
        } else {
            format!("hostapd: {detail}")
        };
        Diagnosis { kind: DriverErrorKind::Io, cause, remedy: "" }
    })
}

/// The same, if the lines hold a reason that is known here.
pub(super) fn known(lines: &[String]) -> Option<Diagnosis> {
    // It was not let make its socket, and says that the old one, which there never was in a directory of ours, is missing.
    if lines.iter().any(|line| line.contains("Could not unlink existing ctrl_iface socket")) {
        let cause =
            "hostapd runs, but this system does not let it make the socket that it is driven by".to_owned();
        return Some(Diagnosis { kind: DriverErrorKind::Denied, cause, remedy: CONFINED });
    }
    let find = |words: &[&str]| lines.iter().find(|line| words.iter().any(|word| line.contains(word)));
    let known: [(&[&str], DriverErrorKind, &str, &'static str); 7] = [
        (
            // Root is denied a file by nothing but a mandatory access control.
            &["Permission denied"],
            DriverErrorKind::Denied,
            "hostapd runs, but this system denies it what it needs",
            CONFINED,
        ),
        (
            &["RF-kill", "rfkill"],
            DriverErrorKind::Busy,
            "the radio is switched off",
            "switch it on (rfkill unblock wifi)",
        ),
        (
            &["not allowed for AP mode", "Could not select hw_mode and channel"],
            DriverErrorKind::Invalid,
            "the channel may not be used by an access point here",
            "use another channel, or set the country of this machine (iw reg set)",
        ),
        (
            &["Driver does not support configured"],
            DriverErrorKind::Unsupported,
            "the driver cannot do what it said it could",
            "",
        ),
        (
            &["Device or resource busy", "(16)"],
            DriverErrorKind::Busy,
            "the driver is busy",
            "disconnect the radio from its network, or put both on one channel",
        ),
        (
            &["Operation not permitted", "Permission denied"],
            DriverErrorKind::Denied,
            "the system denies hostapd access to the driver",
            "look for a denial by AppArmor or SELinux in the journal of the kernel",
        ),
        (
            &[
                "Failed to set beacon parameters",
                "Could not set driver mode",
                "Could not connect to kernel driver",
            ],
            DriverErrorKind::Io,
            "the driver refused the access point",
            "put the access point on the channel of the radio's own connection, or end that connection",
        ),
    ];
    known.into_iter().find_map(|(words, kind, cause, remedy)| {
        let line = find(words)?;
        Some(Diagnosis { kind, cause: format!("{cause} (hostapd: {})", tidy(line)), remedy })
    })
}

/// The last lines that say something.
pub(super) fn told(lines: &[String]) -> String {
    let mut telling: Vec<&str> = lines
        .iter()
        .rev()
        .filter(|line| !NOISE.iter().any(|noise| line.contains(noise)))
        .take(3)
        .map(|line| tidy(line))
        .collect();
    telling.reverse();
    telling.join("; ")
}

fn tidy(line: &str) -> &str {
    line.trim().trim_end_matches('.')
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use proptest::prelude::*;

    use super::*;

    const MAC: MacAddr = MacAddr([2, 0, 0, 0, 1, 0]);

    #[test]
    fn failure_8_a_denial_that_hostapd_calls_a_missing_file_is_not_called_so() {
        let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
        // What hostapd 2.10 prints when AppArmor denies it its socket.
        let said = "Could not unlink existing ctrl_iface socket '/run/hostednet/hostapd/global': \
                    No such file or directory";
        for said in [said, "bind(PF_UNIX): Permission denied\nFailed to initialize control interface"] {
            let denied = diagnose(&lines(said));
            assert_eq!(denied.kind, DriverErrorKind::Denied);
            assert!(!denied.cause.contains("No such file"), "{denied:?}");
            assert!(denied.remedy.contains("/etc/apparmor.d/local"), "{denied:?}");
        }
        assert!(known(&lines("bind(PF_UNIX): No such file or directory")).is_none());
    }

    #[test]
    fn events_are_read_with_and_without_their_prefixes() {
        for (text, expected) in [
            ("<3>AP-ENABLED ", Some(Event::Enabled)),
            ("AP-ENABLED", Some(Event::Enabled)),
            ("IFNAME=hnap0 <3>AP-DISABLED ", Some(Event::Disabled)),
            ("<3>INTERFACE-DISABLED ", Some(Event::InterfaceDisabled)),
            ("<3>CTRL-EVENT-TERMINATING ", Some(Event::Terminating)),
            (
                "<3>AP-STA-CONNECTED 02:00:00:00:01:00 keyid=secondary",
                Some(Event::Joined { mac: MAC, key: Some(KeyRole::Secondary) }),
            ),
            (
                "<3>AP-STA-CONNECTED 02:00:00:00:01:00 auth_alg=open keyid=primary dpp=1",
                Some(Event::Joined { mac: MAC, key: Some(KeyRole::Primary) }),
            ),
            ("<3>AP-STA-CONNECTED 02:00:00:00:01:00", Some(Event::Joined { mac: MAC, key: None })),
            ("<3>AP-STA-CONNECTED 02:00:00:00:01:00 keyid=x", Some(Event::Joined { mac: MAC, key: None })),
            (
                "<3>DFS-CAC-START freq=5260 chan=52 sec_chan=1, width=1, seg0=58, seg1=0, cac_time=60s",
                Some(Event::RadarCheck { frequency_mhz: 5260, seconds: 60 }),
            ),
            ("<3>DFS-CAC-START chan=52", None),
            ("<3>DFS-CAC-COMPLETED success=0 freq=5260 ht_enabled=0", Some(Event::RadarCheckFailed)),
            ("<3>DFS-CAC-COMPLETED success=1 freq=5260 ht_enabled=0", None),
            ("<3>AP-CSA-FINISHED freq=2462 dfs=0", Some(Event::Moved { frequency_mhz: 2462 })),
            ("<3>AP-CSA-FINISHED", None),
            ("<3>AP-STA-DISCONNECTED 02:00:00:00:01:00", Some(Event::Left { mac: MAC })),
            ("<3>AP-STA-POSSIBLE-PSK-MISMATCH 02:00:00:00:01:00", Some(Event::KeyMismatch { mac: MAC })),
            ("<3>AP-STA-CONNECTED", None),
            ("<3>AP-STA-CONNECTED 02:00:00", None),
            ("<3>AP-STA-POLL-OK 02:00:00:00:01:00", None),
            ("<3>SOMETHING-NEW 1 2 3", None),
            ("<3", None),
            ("IFNAME=hnap0", None),
            ("", None),
        ] {
            assert_eq!(parse(text.as_bytes()), expected, "{text}");
        }
    }

    #[test]
    fn the_key_of_a_station_is_in_its_answer() {
        let answer = "02:00:00:00:01:00\nflags=[AUTH][ASSOC]\nkeyid=secondary\n";
        assert_eq!(key_of_station(answer), Some(KeyRole::Secondary));
        assert_eq!(key_of_station("FAIL\n"), None);
    }

    #[test]
    fn a_silent_station_is_told_from_one_that_said_goodbye() {
        let line = "hnap0: STA 02:00:00:00:01:00 IEEE 802.11: disassociated due to inactivity";
        assert_eq!(inactive_station(line), Some(MAC));
        assert_eq!(inactive_station("hnap0: STA 02:00:00:00:01:00 IEEE 802.11: disassociated"), None);
        assert_eq!(inactive_station("hnap0: STA nobody IEEE 802.11: gone due to inactivity"), None);
    }

    fn lines(text: &str) -> Vec<String> {
        text.lines().map(str::to_owned).collect()
    }

    #[test]
    fn a_forbidden_channel_is_named_as_the_cause() {
        // What hostapd 2.10 prints.
        let log = lines(
            "Add interface 'hnap0'\nFrequency 5260 (primary) not allowed for AP mode, flags: 0x97b NO-IR RADAR\n\
             Primary frequency not allowed\nCould not select hw_mode and channel. (-3)\n\
             hnap0: interface state DISABLED->DISABLED\nhnap0: AP-DISABLED \nhnap0: Unable to setup interface.\n\
             nl80211: deinit ifname=hnap0 disabled_11b_rates=0\nEnabling of interface failed",
        );
        let diagnosis = diagnose(&log);
        assert_eq!(diagnosis.kind, DriverErrorKind::Invalid);
        assert!(diagnosis.cause.contains("Frequency 5260"), "{}", diagnosis.cause);
        assert!(diagnosis.remedy.contains("channel"));
    }

    #[test]
    fn a_failure_that_nobody_knows_keeps_the_words_of_hostapd() {
        let diagnosis = diagnose(&lines("Add interface 'hnap0'\nThe moon is full.\nhnap0: AP-DISABLED "));
        assert_eq!(diagnosis.cause, "hostapd: The moon is full");
        assert_eq!(diagnose(&[]).cause, "hostapd gave no reason");
    }

    proptest! {
        #[test]
        fn no_datagram_and_no_line_can_make_the_reader_panic(
            bytes in proptest::collection::vec(any::<u8>(), 0..200), text in "\\PC{0,80}",
            name in prop::sample::select(vec!["AP-STA-CONNECTED", "AP-STA-DISCONNECTED", "<3>AP-ENABLED"]),
        ) {
            parse(&bytes);
            parse(text.as_bytes());
            parse(format!("{name} {text}").as_bytes());
            key_of_station(&text);
            inactive_station(&text);
            inactive_station(&format!("hnap0: STA {text} IEEE 802.11: due to inactivity"));
            diagnose(&[text]);
        }

        #[test]
        fn every_address_survives_the_way_through_an_event(octets: [u8; 6]) {
            let mac = MacAddr(octets);
            let event = format!("<3>AP-STA-CONNECTED {mac} keyid=primary");
            prop_assert_eq!(parse(event.as_bytes()).unwrap(), Event::Joined { mac, key: Some(KeyRole::Primary) });
        }
    }
}
