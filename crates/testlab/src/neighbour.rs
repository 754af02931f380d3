//! Other people's software on the router: firewalls, name servers and network managers as their makers ship them,
//! each with its files and its buses in the namespace of one test.
//!
//! To add one to the matrix (`tests/t2_matrix.rs`): write a function that sets it up on a [`Machine`] and says what
//! people do to it ([`Neighbour`]).

use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use crate::command::{self, Background, SHORT};
use crate::lease::Client;
use crate::state::SystemState;
use crate::wait;
use crate::wired::{PRIVATE, PUBLIC, SETTLE, Wired};

/// A router with somebody else's software, and what its commands see in place of the machine's own files.
#[derive(Debug)]
pub struct Machine {
    /// Programs of neighbours that stay. They end before the network does.
    daemons: Vec<Background>,
    /// The scene; the service is installed, and runs when a test has started it.
    pub scene: Wired,
    /// Bind mounts and variables of every command.
    prelude: String,
}

/// What people do to a neighbour that was set up. A field that is empty means that there is no such thing.
#[derive(Debug, Clone, Default)]
pub struct Neighbour {
    /// A script that makes it read its configuration again.
    pub reload: String,
    /// A script that brings back what `nft flush ruleset` took from it.
    pub restore: String,
    /// It has to be opened by a person: with what the refusal of a start says.
    pub by_hand: bool,
}

impl Machine {
    /// A router without neighbours; the service is not started yet.
    ///
    /// # Errors
    /// If the scene cannot be set.
    pub fn new() -> Result<Self> {
        Ok(Self { daemons: Vec::new(), scene: Wired::prepare()?, prelude: String::new() })
    }

    fn shell(&self, script: &str) -> Command {
        let mut command = self.scene.router.command("sh");
        command.args(["-ec", &format!("{}\n{script}", self.prelude)]);
        command
    }

    /// Runs a script on the router; it must succeed.
    ///
    /// # Errors
    /// If it does not: with what it printed.
    pub fn sh(&self, script: &str) -> Result<String> {
        let done = command::run(&mut self.shell(script), SHORT)?;
        ensure!(done.status.success(), "{script}\n{}{}", done.stdout, done.stderr);
        Ok(done.stdout)
    }

    /// Whether a script on the router succeeds.
    ///
    /// # Errors
    /// If it cannot be started or hangs.
    pub fn holds(&self, script: &str) -> Result<bool> {
        Ok(command::run(&mut self.shell(script), SHORT)?.status.success())
    }

    /// Starts a program that stays, with `exec` in the last line of `script`.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn daemon(&mut self, script: &str) -> Result<()> {
        let daemon = Background::spawn(&mut self.shell(script))?;
        self.daemons.push(daemon);
        Ok(())
    }

    /// What the program that was started last has said.
    #[must_use]
    pub fn said(&self) -> String {
        self.daemons.last().map(Background::log_end).unwrap_or_default()
    }

    /// Ends the program that was started last.
    ///
    /// # Errors
    /// If it does not end.
    pub fn end_daemon(&mut self) -> Result<()> {
        let Some(mut daemon) = self.daemons.pop() else { return Ok(()) };
        daemon.end(rustix::process::Signal::TERM, SETTLE)?;
        Ok(())
    }

    /// Shows a private copy of a folder or file to every command from here on. Doing it twice changes nothing.
    ///
    /// # Errors
    /// If it cannot be copied.
    pub fn private_copy(&mut self, path: &str) -> Result<()> {
        let copy = self.scene.router.files().join(path.replace('/', "+"));
        let copy = copy.display();
        let mount = format!("mount --bind {copy} {path}\n");
        if self.prelude.contains(&mount) {
            return Ok(());
        }
        self.sh(&format!("cp -a {path} {copy}"))?;
        self.prelude.push_str(&mount);
        Ok(())
    }

    /// Starts a system bus, where nobody is started by being asked for and root may do everything, and shows it to every
    /// command, and to the service if `service` says so. Call it before the service is started.
    ///
    /// # Errors
    /// If it does not start.
    pub fn system_bus(&mut self, service: bool) -> Result<()> {
        let files = self.scene.router.files().to_owned();
        let (socket, config) = (files.join("bus"), files.join("bus.conf"));
        let address = format!("unix:path={}", socket.display());
        std::fs::write(
            &config,
            format!(
                "<!DOCTYPE busconfig PUBLIC \"-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN\"\n\
                 \"http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd\">\n\
                 <busconfig><type>system</type><listen>{address}</listen><auth>EXTERNAL</auth>\n\
                 <policy context=\"default\"><allow user=\"*\"/><allow own=\"*\"/><allow send_type=\"method_call\"/>\n\
                 <allow send_destination=\"*\" eavesdrop=\"true\"/><allow eavesdrop=\"true\"/></policy></busconfig>\n"
            ),
        )?;
        self.prelude.push_str(&format!("export DBUS_SYSTEM_BUS_ADDRESS={address}\n"));
        if service {
            self.scene.product.set_env("DBUS_SYSTEM_BUS_ADDRESS", &address);
        }
        self.daemon(&format!("exec dbus-daemon --config-file={} --nofork --nopidfile", config.display()))?;
        wait::holds("the bus", SETTLE, || Ok(socket.exists()))
    }

    /// The address of the system bus, for a program that is not started by a script.
    #[must_use]
    pub fn bus(&self) -> String {
        format!("unix:path={}", self.scene.router.files().join("bus").display())
    }

    /// `hostednet share`, which is refused and leaves nothing: what the refusal says, and the commands in it that open
    /// the way.
    ///
    /// # Errors
    /// If it is not refused so.
    pub fn refusal(&self) -> Result<(String, String)> {
        let before = SystemState::capture(&self.scene.router, &[])?;
        let refused = self.scene.product.attempt(["share", PUBLIC, PRIVATE[0]])?;
        ensure!(refused.status.code() == Some(1), "not refused: {refused:?}");
        let (difference, _) = before.restored(&self.scene.router, &[], SETTLE)?;
        ensure!(difference.is_empty(), "the refused start left:\n{difference}");
        let remedy =
            refused.stderr.lines().find_map(|line| line.trim().strip_prefix("try: ")).map(str::to_owned);
        let remedy = remedy.with_context(|| format!("no remedy in {}", refused.stderr))?;
        Ok((refused.stderr, remedy))
    }

    /// Sharing works: a client is really online.
    ///
    /// # Errors
    /// Names what is missing, with the service's log.
    pub fn online(&mut self) -> Result<()> {
        let lease = self.scene.online(0, Client::Udhcpc);
        lease
            .map(drop)
            .map_err(|error| error.context(format!("hostednetd says:\n{}", self.scene.product.log())))
    }
}

/// ufw as it is after `ufw enable`: everything from outside is dropped and nothing is forwarded.
///
/// # Errors
/// If it cannot be enabled.
pub fn ufw(machine: &mut Machine) -> Result<Neighbour> {
    for path in ["/etc/ufw", "/etc/default/ufw", "/var/log"] {
        machine.private_copy(path)?;
    }
    machine.sh("ufw --force enable")?;
    ensure!(machine.sh("ufw status")?.contains("active"), "ufw is not active");
    Ok(Neighbour {
        reload: "ufw reload".into(),
        restore: "ufw --force disable; ufw --force enable".into(),
        by_hand: true,
    })
}

/// firewalld with its default zone, which forwards nothing, on a bus that the service sees.
///
/// # Errors
/// If it does not start.
pub fn firewalld(machine: &mut Machine) -> Result<Neighbour> {
    machine.system_bus(true)?;
    firewalld_on_bus(machine)?;
    // firewalld keeps the chains of a zone it has used once until it reloads, although nothing leads there any more.
    // They are there before the first picture.
    machine.sh(PRIME)?;
    // It deletes its table first, and gives up when there is none.
    let restore = format!("nft add table inet firewalld\n{RELOAD}");
    Ok(Neighbour { reload: RELOAD.into(), restore, by_hand: false })
}

/// Makes firewalld write down the chains of the zone that we use.
const PRIME: &str = "firewall-cmd --zone=nm-shared --add-interface=none0
    firewall-cmd --zone=nm-shared --remove-interface=none0";
const RELOAD: &str = "firewall-cmd --reload";

/// firewalld on the bus that every command sees.
///
/// # Errors
/// If it does not start.
pub fn firewalld_on_bus(machine: &mut Machine) -> Result<()> {
    for path in ["/etc/firewalld", "/var/log"] {
        machine.private_copy(path)?;
    }
    machine.daemon("exec firewalld --nofork --nopid")?;
    let answers = wait::holds("firewalld", SETTLE, || machine.holds("firewall-cmd --state"));
    answers.map_err(|error| error.context(machine.said()))
}

/// The rules of Docker 24 as it gives them to iptables.
pub const DOCKER: &str = "
    iptables -t nat -N DOCKER
    iptables -t nat -A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
    iptables -t nat -A OUTPUT ! -d 127.0.0.0/8 -m addrtype --dst-type LOCAL -j DOCKER
    iptables -t nat -A POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE
    iptables -t nat -A DOCKER -i docker0 -j RETURN
    for chain in DOCKER DOCKER-ISOLATION-STAGE-1 DOCKER-ISOLATION-STAGE-2 DOCKER-USER; do iptables -N $chain; done
    iptables -P FORWARD DROP
    iptables -A FORWARD -j DOCKER-USER
    iptables -A FORWARD -j DOCKER-ISOLATION-STAGE-1
    iptables -A FORWARD -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
    iptables -A FORWARD -o docker0 -j DOCKER
    iptables -A FORWARD -i docker0 ! -o docker0 -j ACCEPT
    iptables -A FORWARD -i docker0 -o docker0 -j ACCEPT
    iptables -A DOCKER-ISOLATION-STAGE-1 -i docker0 ! -o docker0 -j DOCKER-ISOLATION-STAGE-2
    iptables -A DOCKER-ISOLATION-STAGE-1 -j RETURN
    iptables -A DOCKER-ISOLATION-STAGE-2 -o docker0 -j DROP
    iptables -A DOCKER-ISOLATION-STAGE-2 -j RETURN
    iptables -A DOCKER-USER -j RETURN";

/// Docker's rules. When it starts again it makes its chains anew, behind what its user keeps in `DOCKER-USER`.
///
/// # Errors
/// If iptables refuses them.
pub fn docker(machine: &mut Machine) -> Result<Neighbour> {
    machine.sh(DOCKER)?;
    let again = "
        iptables -D FORWARD -j DOCKER-ISOLATION-STAGE-1
        iptables -F DOCKER-ISOLATION-STAGE-1
        iptables -I FORWARD -j DOCKER-ISOLATION-STAGE-1
        iptables -A DOCKER-ISOLATION-STAGE-1 -i docker0 ! -o docker0 -j DOCKER-ISOLATION-STAGE-2
        iptables -A DOCKER-ISOLATION-STAGE-1 -j RETURN
        iptables -D FORWARD -j DOCKER-USER
        iptables -I FORWARD -j DOCKER-USER";
    Ok(Neighbour { reload: again.into(), restore: DOCKER.into(), by_hand: true })
}

/// NetworkManager on a bus that the service sees, with the private interfaces as its own. A profile with a fixed
/// address is active on the first, none on the second; the interface to the Internet is not its business.
///
/// # Errors
/// If it does not start or does not activate the profile.
pub fn network_manager(machine: &mut Machine) -> Result<Neighbour> {
    machine.system_bus(true)?;
    for path in ["/etc/NetworkManager", "/var/lib/NetworkManager"] {
        machine.private_copy(path)?;
    }
    // Its notes; and a machine without udev, which it recognises by this.
    let notes = machine.scene.router.files().join("run-NetworkManager");
    std::fs::create_dir(&notes)?;
    std::fs::create_dir_all("/run/NetworkManager")?;
    machine.prelude.push_str(&format!(
        "mount --bind {} /run/NetworkManager\nmount -o remount,ro /sys\n",
        notes.display()
    ));
    machine.sh(&format!(
        "rm -f /etc/NetworkManager/NetworkManager.conf /etc/NetworkManager/conf.d/*
        cat > /etc/NetworkManager/NetworkManager.conf <<'END'
[main]
plugins=keyfile
dns=none
no-auto-default=*
[keyfile]
unmanaged-devices=interface-name:{PUBLIC};interface-name:lo
END"
    ))?;
    network_manager_again(machine)?;
    machine.sh(&format!(
        "nmcli connection add type ethernet ifname {} con-name office ipv4.method manual \
         ipv4.addresses 10.9.9.1/24 ipv6.method disabled autoconnect no
        nmcli --wait 20 connection up office",
        PRIVATE[0]
    ))?;
    Ok(Neighbour { reload: "nmcli general reload".into(), ..Neighbour::default() })
}

/// NetworkManager starts again, with the files that it had.
///
/// # Errors
/// If it does not start.
pub fn network_manager_again(machine: &mut Machine) -> Result<()> {
    machine.daemon("exec NetworkManager --no-daemon")?;
    let answers = wait::holds("NetworkManager", SETTLE, || {
        machine.holds("nmcli --terse general status | grep -v asleep | grep -q connect")
    });
    answers.map_err(|error| error.context(machine.said()))
}

/// dnsmasq as the machine's own name server: at port 53 of every address, with a DHCP server for a network that is not
/// here, which waits at port 67 of every address.
///
/// # Errors
/// If it does not start.
pub fn dnsmasq(machine: &mut Machine) -> Result<Neighbour> {
    let pid = machine.scene.router.files().join("dnsmasq.pid");
    let leases = machine.scene.router.files().join("dnsmasq.leases");
    machine.daemon(&format!(
        "exec dnsmasq --keep-in-foreground --conf-file=/dev/null --user=root --pid-file={} --log-facility=- \
         --no-resolv --server={} --address=/{OWN_NAME}/{OWN_ANSWER} --dhcp-range=10.77.0.10,10.77.0.20 \
         --dhcp-leasefile={}",
        pid.display(),
        crate::internet::RESOLVER,
        leases.display()
    ))?;
    answers(machine)?;
    Ok(Neighbour { reload: format!("kill -HUP $(cat {})", pid.display()), ..Neighbour::default() })
}

/// Unbound as the machine's own name server, at port 53 of every address.
///
/// # Errors
/// If it does not start.
pub fn unbound(machine: &mut Machine) -> Result<Neighbour> {
    let files = machine.scene.router.files();
    let (pid, config) = (files.join("unbound.pid"), files.join("unbound.conf"));
    std::fs::write(
        &config,
        format!(
            "server:\n interface: 0.0.0.0\n interface: ::0\n access-control: 0.0.0.0/0 allow\n access-control: ::/0 allow\n \
             do-daemonize: no\n use-syslog: no\n chroot: \"\"\n username: \"\"\n module-config: iterator\n \
             local-zone: test. transparent\n local-data: \"{OWN_NAME}. A {OWN_ANSWER}\"\n\
             remote-control:\n control-enable: no\nforward-zone:\n name: .\n forward-addr: {}\n",
            crate::internet::RESOLVER
        ),
    )?;
    // It replaces the shell, so the number is its own.
    machine.daemon(&format!("echo $$ > {}; exec unbound -d -p -c {}", pid.display(), config.display()))?;
    answers(machine)?;
    Ok(Neighbour { reload: format!("kill -HUP $(cat {})", pid.display()), ..Neighbour::default() })
}

/// A name that only the machine's own name server knows.
pub const OWN_NAME: &str = "printer.office.test";
/// What it says.
pub const OWN_ANSWER: &str = "192.0.2.77";

/// Waits for the machine's own name server.
fn answers(machine: &Machine) -> Result<()> {
    let asked = format!("dig +short +time=2 +tries=1 @127.0.0.1 {OWN_NAME} | grep -qx {OWN_ANSWER}");
    let answers = wait::holds("the machine's name server", SETTLE, || machine.holds(&asked));
    answers.map_err(|error| error.context(machine.said()))
}

/// systemd-networkd with a DHCP client on `interface`, on a bus of its own.
///
/// # Errors
/// If it does not start.
pub fn networkd(machine: &mut Machine, interface: &str) -> Result<()> {
    machine.system_bus(true)?;
    let files = machine.scene.router.files().join("networkd");
    std::fs::create_dir(&files)?;
    std::fs::write(
        files.join("20-lan.network"),
        format!("[Match]\nName={interface}\n[Network]\nDHCP=ipv4\nLinkLocalAddressing=no\nIPv6AcceptRA=no\n"),
    )?;
    // It reads its own folders, runs as a user of its own, and takes a machine with a read-only /sys for one without udev.
    std::fs::set_permissions(
        machine.scene.router.files(),
        std::os::unix::fs::PermissionsExt::from_mode(0o755),
    )?;
    machine.prelude.push_str(&format!(
        "mount -o remount,ro /sys\nmkdir -p /run/systemd\nmount -t tmpfs none /run/systemd\n\
         mkdir -p /run/systemd/netif/links /run/systemd/netif/leases /run/systemd/netif/lldp\n\
         chown -R systemd-network /run/systemd/netif\nmount --bind {} /etc/systemd/network\n",
        files.display()
    ));
    machine.daemon("exec /lib/systemd/systemd-networkd")
}
