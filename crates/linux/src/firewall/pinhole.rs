//! What has come in by pinholes, whichever table counted it.

use hn_types::plan::{Pinhole, PinholeCount};

use super::installed;

/// Pinholes of the table in force. A table that is made anew counts from nothing; what the last one had counted is read
/// before, so that what comes in between is all that is missed.
#[derive(Debug, Default)]
pub(super) struct Pinholes {
    held: Vec<Passed>,
}

#[derive(Clone, Copy, Debug)]
struct Passed {
    pinhole: Pinhole,
    /// When the table was made.
    before: u64,
    /// At the last reading.
    packets: u64,
}

impl Pinholes {
    /// What was counted until the last reading.
    pub(super) fn counts(&self) -> Vec<PinholeCount> {
        let count = |passed: &Passed| PinholeCount { pinhole: passed.pinhole, packets: passed.packets };
        self.held.iter().map(count).collect()
    }

    /// Reads what the table has counted. One that is not there has counted nothing more.
    pub(super) fn read(&mut self) {
        if self.held.is_empty() {
            return;
        }
        let table = match installed() {
            Ok(table) => table,
            Err(error) => {
                tracing::debug!(%error, "the counters of pinholes cannot be read");
                return;
            }
        };
        for passed in &mut self.held {
            let counted = hn_nft::passed(&table, &passed.pinhole);
            passed.packets = passed.packets.max(passed.before.saturating_add(counted));
        }
    }

    /// The table in force has these. `anew`: its counters are at nothing.
    pub(super) fn hold(&mut self, pinholes: &[Pinhole], anew: bool) {
        let before = std::mem::take(&mut self.held);
        let held = pinholes.iter().map(|pinhole| {
            let known = before.iter().find(|passed| passed.pinhole == *pinhole).copied();
            let mut passed = known.unwrap_or(Passed { pinhole: *pinhole, before: 0, packets: 0 });
            if anew {
                passed.before = passed.packets;
            }
            passed
        });
        self.held = held.collect();
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use hn_types::settings::Protocol;

    use super::*;

    fn pinhole(port: u16) -> Pinhole {
        Pinhole {
            public: "eth0".parse().unwrap(),
            private: "hnap0".parse().unwrap(),
            protocol: Protocol::Tcp,
            address: "2001:db8::9".parse().unwrap(),
            port,
            remote: None,
        }
    }

    #[test]
    fn a_table_that_is_made_anew_goes_on_counting_and_what_is_closed_is_forgotten() {
        let mut pinholes = Pinholes::default();
        pinholes.hold(&[pinhole(1), pinhole(2)], true);
        pinholes.held[0].packets = 7;
        pinholes.hold(&[pinhole(1), pinhole(3)], false);
        assert_eq!(pinholes.held[0].before, 0, "the same table");
        pinholes.hold(&[pinhole(3), pinhole(1)], true);
        let counts: Vec<_> =
            pinholes.counts().into_iter().map(|count| (count.pinhole.port, count.packets)).collect();
        assert_eq!(counts, [(3, 0), (1, 7)]);
        assert_eq!(pinholes.held[1].before, 7);
        pinholes.hold(&[], true);
        pinholes.hold(&[pinhole(1)], true);
        assert_eq!(pinholes.counts()[0].packets, 0, "another one");
    }
}
