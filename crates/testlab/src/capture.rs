//! What passes an interface, as tcpdump tells it.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use rustix::process::Signal;

use crate::command::{Background, SHORT};
use crate::ns::Namespace;
use crate::{tier, wait};

/// tcpdump at work.
#[derive(Debug)]
pub struct Capture {
    tcpdump: Background,
    interface: String,
}

impl Capture {
    /// Listens at `interface` of `place` for what `filter` lets through (`pcap-filter(7)`), and returns when it hears.
    ///
    /// # Errors
    /// If tcpdump cannot be started or does not like the filter.
    pub fn begin(place: &Namespace, interface: &str, filter: &str) -> Result<Self> {
        let mut command = place.command(tier::program("tcpdump").context("tcpdump is not installed")?);
        // Numbers, a line at once, no other user, and the interface stays as it is.
        command.args(["-nn", "-l", "-p", "--immediate-mode", "-Z", "root", "-B", "8192", "-i", interface]);
        let mut tcpdump = Background::spawn(command.arg(filter))?;
        tcpdump.await_log("listening on", SHORT)?;
        Ok(Self { tcpdump, interface: interface.to_owned() })
    }

    /// One line for each packet so far.
    #[must_use]
    pub fn packets(&self) -> Vec<String> {
        packets(&self.tcpdump.log())
    }

    /// Waits until each of `kinds` (a part of its line) was heard twice more, from this moment on.
    ///
    /// # Errors
    /// If one is not in time: names it.
    pub fn await_each(&self, kinds: &[&str], limit: Duration) -> Result<()> {
        let skip = self.packets().len();
        let mut missing = Vec::new();
        wait::holds(&format!("packets at {}", self.interface), limit, || {
            let heard = self.packets();
            let heard = heard.get(skip..).unwrap_or_default();
            missing = kinds
                .iter()
                .filter(|kind| heard.iter().filter(|line| line.contains(**kind)).count() < 2)
                .copied()
                .collect();
            Ok(missing.is_empty())
        })
        .with_context(|| format!("nothing like {missing:?}"))
    }

    /// Stops, and yields every packet.
    ///
    /// # Errors
    /// If tcpdump fails, or the kernel could not hand it every packet.
    pub fn end(mut self) -> Result<Vec<String>> {
        self.tcpdump.end(Signal::INT, SHORT)?;
        let log = self.tcpdump.log();
        ensure!(log.contains("\n0 packets dropped by kernel"), "tcpdump says:\n{log}");
        Ok(packets(&log))
    }
}

/// Lines that begin with the time of day; the others are tcpdump's own.
fn packets(log: &str) -> Vec<String> {
    let timed = |line: &&str| line.as_bytes().get(2) == Some(&b':') && line.as_bytes().get(5) == Some(&b':');
    log.lines().filter(timed).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_packets_are_packets() {
        let log = "tcpdump: verbose output suppressed, use -v[v]... for full protocol decode\n\
                   listening on lo, link-type EN10MB (Ethernet), snapshot length 262144 bytes\n\
                   10:58:13.123456 IP 192.168.137.5 > 198.51.100.80: ICMP echo request, id 1, seq 1, length 64\n\
                   1 packet captured\n0 packets dropped by kernel\n";
        assert_eq!(packets(log).len(), 1);
    }
}
