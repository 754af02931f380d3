//! What drivers advertise for an access point and cannot keep (peers §3 no. 13).

/// One driver's broken promises.
#[derive(Clone, Copy, Debug)]
struct Quirk {
    /// As `/sys/class/ieee80211/*/device/driver` names it.
    driver: &'static str,
    /// Devices fail the handshake as soon as the access point offers to protect management frames.
    management_frames: bool,
    /// The firmware relays frames from station to station whatever hostapd asks for.
    isolation: bool,
}

/// A row is here only with public reports of several machines; what one firmware does is for `weaker_security`, which
/// finds out by trying.
const QUIRKS: &[Quirk] = &[
    // raspberrypi/linux#3619 (the handshake names other capabilities than the beacon), raspberrypi/linux#2453 and
    // RaspAP/raspap-docs#17 (stations reach each other).
    Quirk { driver: "brcmfmac", management_frames: true, isolation: true },
];

fn quirk(driver: &str) -> Option<&'static Quirk> {
    QUIRKS.iter().find(|quirk| quirk.driver == driver)
}

/// Whether protected management frames are advertised and do not work.
pub(super) fn fails_management_frames(driver: &str) -> bool {
    quirk(driver).is_some_and(|quirk| quirk.management_frames)
}

/// Whether stations reach each other past this machine, isolated or not.
pub(super) fn relays(driver: &str) -> bool {
    quirk(driver).is_some_and(|quirk| quirk.isolation)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_driver_without_a_row_is_believed() {
        assert!(fails_management_frames("brcmfmac") && relays("brcmfmac"));
        for driver in ["", "iwlwifi", "ath9k", "mac80211_hwsim", "brcm"] {
            assert!(!fails_management_frames(driver) && !relays(driver), "{driver}");
        }
    }

    #[test]
    fn every_driver_has_one_row_that_says_something() {
        for (index, row) in QUIRKS.iter().enumerate() {
            assert!(row.management_frames || row.isolation, "{row:?}");
            assert!(QUIRKS.iter().skip(index + 1).all(|other| other.driver != row.driver), "{row:?}");
        }
    }
}
