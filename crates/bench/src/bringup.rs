//! From the command that shares a connection to the first client that is online.

use std::process::Command;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use hn_testlab::command::{self, SHORT};

use crate::bed::{Bed, Lab, PRIVATE, PUBLIC, SUBNET};
use crate::knock::{self, Seen};
use crate::machine::pin;
use crate::peers;
use crate::report::{Frame, Metric, Sheet, Subject};
use crate::service::{PATIENCE, Service, Setting};

pub(crate) const OURS: &str = "ours";
pub(crate) const OURS_UNCHECKED: &str = "ours, no check";
pub(crate) const OURS_COLD: &str = "ours, from nothing";
pub(crate) const SCRIPT: &str = "script with dnsmasq";
pub(crate) const SCRIPT_UNCHECKED: &str = "script with dnsmasq, no check";
pub(crate) const SCRIPT_KEA: &str = "script with Kea";

pub(crate) const OFFER: Metric = Metric::less("first offer", "ms", 1);
pub(crate) const LEASE: Metric = Metric::less("first lease", "ms", 1);
pub(crate) const REPLY: Metric = Metric::less("first reply through NAT", "ms", 1);
pub(crate) const RETURNED: Metric = Metric::less("the command returns", "ms", 1);

/// The comparison.
pub(crate) const FRAME: Frame = Frame {
    name: "bringup",
    title: "Bring-up",
    note: "Time since the command was started. A client knocks every 5 ms from before; when it has a lease it sends \
           a datagram every 5 ms to a host that can only answer translated packets. *ours*: `hostednet share` with \
           `hostednetd` running; *from nothing*: `hostednetd` and then `hostednet share`. *script*: the leanest we \
           know, one batch of `ip`, one transaction of `nft`, one server; without *no check*, dnsmasq pings for \
           three seconds. Ours asks for its first addresses by ARP for 200 ms; a client that comes later than that does \
           not wait.",
    subjects: &[
        Subject { name: OURS, needs: None },
        Subject { name: OURS_UNCHECKED, needs: None },
        Subject { name: OURS_COLD, needs: None },
        Subject { name: SCRIPT, needs: Some("dnsmasq") },
        Subject { name: SCRIPT_UNCHECKED, needs: Some("dnsmasq") },
        Subject { name: SCRIPT_KEA, needs: Some("kea-dhcp4") },
    ],
    metrics: &[&OFFER, &LEASE, &REPLY, &RETURNED],
    pairs: &[(OURS, SCRIPT), (OURS_UNCHECKED, SCRIPT_UNCHECKED), (OURS_UNCHECKED, SCRIPT_KEA)],
};

/// Measures one subject once.
pub(crate) fn measure(lab: &Lab, subject: &str, sheet: &mut Sheet<'_>) -> Result<()> {
    let bed = Bed::make(lab)?;
    let socket = bed.world.enter(knock::echo_socket)??;
    let echo = knock::echo(socket, lab.cores.generator)?;
    // What a kernel loads at the first use of nft is nobody's merit.
    bed.router.run("nft list ruleset")?;
    pin(lab.cores.server)?;
    let folder = lab.folder()?;
    let ours = |probe| Service::install(lab, &bed.router, Setting { probe });
    let timed = match subject {
        OURS | OURS_UNCHECKED => {
            let mut service = ours(subject == OURS)?;
            service.start()?;
            let timed = time(&bed, || service.share_command().spawned())?;
            if timed.seen.reply.is_none() {
                bail!("nothing came back\n{}", service.log());
            }
            service.stop()?;
            timed
        }
        OURS_COLD => {
            let mut service = ours(true)?;
            let timed = time(&bed, || {
                service.launch()?;
                let began = Instant::now();
                while !service.socket().exists() {
                    ensure!(began.elapsed() < SHORT, "no socket\n{}", service.log());
                    std::thread::sleep(Duration::from_millis(1));
                }
                service.share_command().spawned()
            })?;
            service.stop()?;
            timed
        }
        SCRIPT | SCRIPT_UNCHECKED | SCRIPT_KEA => {
            let at = folder.path().display();
            let server = match subject {
                SCRIPT_KEA => {
                    let program = peers::copy("kea-dhcp4", folder.path())?;
                    let configuration = peers::kea_configuration(folder.path())?;
                    format!(
                        "KEA_PIDFILE_DIR={at} KEA_LOCKFILE_DIR={at} {} -c {} >/dev/null 2>&1 &",
                        program.display(),
                        configuration.display()
                    )
                }
                _ => {
                    let check = if subject == SCRIPT { "" } else { "--no-ping" };
                    let program = peers::copy("dnsmasq", folder.path())?;
                    format!(
                        "exec {} -C /dev/null -x {at}/pid -l {at}/leases --user=root --interface={PRIVATE} \
                         --bind-interfaces {check} --no-resolv --dhcp-authoritative \
                         --dhcp-range=10.77.1.0,10.77.1.254,255.255.0.0,1h",
                        program.display()
                    )
                }
            };
            let script = folder.path().join("share");
            std::fs::write(&script, script_text(&server))?;
            time(&bed, || bed.router.command("sh").arg(&script).spawned())?
        }
        other => bail!("no way to share called {other}"),
    };
    let since =
        |at: Option<Instant>| at.map(|at| at.saturating_duration_since(timed.began).as_secs_f64() * 1e3);
    sheet.put(&OFFER, since(timed.seen.offer));
    sheet.put(&LEASE, since(timed.seen.lease));
    sheet.put(&REPLY, since(timed.seen.reply));
    sheet.put(&RETURNED, since(Some(timed.returned)));
    ensure!(timed.seen.reply.is_some(), "nothing came back: {:?}", timed.seen);
    echo.finish()
}

/// The leanest script that shares [`PUBLIC`] with [`PRIVATE`].
fn script_text(server: &str) -> String {
    format!(
        "set -e\n\
         ip -batch - <<B\n\
         addr replace {SUBNET} broadcast 10.77.255.255 dev {PRIVATE}\n\
         link set up dev {PRIVATE}\n\
         B\n\
         nft -f - <<N\n\
         table ip share {{\n\
         chain post {{ type nat hook postrouting priority 100; oifname \"{PUBLIC}\" masquerade; }}\n\
         chain forward {{ type filter hook forward priority 0; policy drop; \
         ct state vmap {{ established : accept, related : accept, new : jump fresh }}; }}\n\
         chain fresh {{ iifname \"{PRIVATE}\" oifname \"{PUBLIC}\" accept; }}\n\
         }}\n\
         N\n\
         echo 1 >/proc/sys/net/ipv4/ip_forward\n\
         {server}\n"
    )
}

struct Timed {
    began: Instant,
    returned: Instant,
    seen: Seen,
}

/// Lets the client knock, starts the command and waits for both.
fn time(bed: &Bed, start: impl FnOnce() -> Result<std::process::Child>) -> Result<Timed> {
    let (ready, waiting) = mpsc::channel();
    std::thread::scope(|scope| {
        let client = scope.spawn(|| {
            bed.in_client(|| {
                knock::run(bed.client_mac, PATIENCE, || {
                    let _ = ready.send(());
                })
            })
        });
        waiting.recv().context("the client did not begin")?;
        let began = Instant::now();
        let started = start();
        let ended = started.and_then(|mut child| {
            let status = command::wait_child(&mut child, SHORT)?.context("the command does not end")?;
            Ok((status, Instant::now()))
        });
        let seen = client.join().map_err(|_| anyhow!("the client panicked"))??;
        let (status, returned) = ended?;
        ensure!(status.success(), "the command ended with {status}");
        Ok(Timed { began, returned, seen })
    })
}

/// Starts a command whose words nobody reads.
trait Spawned {
    fn spawned(&mut self) -> Result<std::process::Child>;
}

impl Spawned for Command {
    fn spawned(&mut self) -> Result<std::process::Child> {
        use std::process::Stdio;
        let line = format!("{self:?}");
        let quiet = self.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        quiet.spawn().with_context(|| format!("cannot start {line}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_script_names_both_interfaces_and_ends_in_its_server() {
        let text = script_text("exec server");
        assert!(text.contains("iifname \"lan0\" oifname \"wan0\" accept"));
        assert!(text.ends_with("exec server\n"));
        assert!(text.contains("addr replace 10.77.0.1/16"));
    }
}
