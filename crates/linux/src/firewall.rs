//! The firewall lane: puts the table that [`hn_nft`] describes into the kernel and looks whether it is there.
//!
//! It owns the table `inet hostednet`, the one that holds connections while that is away (`anchor`), that of single devices
//! (`device`), and nothing else: other tables are read, to find what in them would drop the traffic of a segment (`foreign`),
//! and never changed; a program that keeps one and can be asked to let a segment through is asked. Whatever the rules mean is decided in `hn_nft`; this file only speaks netlink.
//!
//! The kernel carries a netlink request out inside of `send`, so these conversations are blocking. They take
//! microseconds. What takes ten milliseconds and more is closing any nfnetlink socket soon after a replacement:
//! the kernel first waits until no processor runs the old rules any more. So the socket of a replacement also
//! reads it back, and rests until the next one. There is a time limit for the case that the kernel is stuck.
//! Otherwise each conversation has a socket of its own: what an interrupted one left unread cannot reach the next.

use std::{
    cell::RefCell,
    collections::BTreeSet,
    io,
    os::fd::AsFd,
    rc::Rc,
    time::{Duration, Instant},
};

use hn_nft::{
    Batch, Blockade, Installed, Object, Probe, Request, Ruleset, compare,
    wire::{Content, Malformed, Record, replies},
};
use hn_ports::{Changed, EventSink, Firewall};
use hn_types::{
    DriverError, DriverErrorKind, IfName,
    plan::{Counts, FirewallPlan, FirewallSegment},
};
use netlink_sys::Socket;
use rustix::{
    io::Errno,
    net::{
        RecvFlags, recv,
        sockopt::{Timeout, set_socket_recv_buffer_size, set_socket_timeout},
    },
};

use self::{anchor::Anchor, device::Devices, pinhole::Pinholes, watch::Watch};
use crate::{
    neighbour::{bus::SystemBus, firewalld::Firewalld, manager::Manager},
    netlink::{NETFILTER, errno_text},
    undo::{EntryId, Undo, UndoJournal},
};

mod anchor;
mod device;
pub(crate) mod foreign;
mod pinhole;
mod watch;

/// How long the kernel may take for one answer. It answers at once or something holds its lock.
const PATIENCE: Duration = Duration::from_secs(2);
/// How often a transaction or a reading that was overtaken by somebody else's is begun again.
const ATTEMPTS: u32 = 8;
/// The pause before the second attempt; it doubles.
const PAUSE: Duration = Duration::from_millis(1);
/// The kernel's largest message of a dump is 32 KiB.
const BUFFER: usize = 64 * 1024;
/// Room for the answers to a whole transaction of failures.
const RECEIVE_BUFFER: usize = 1024 * 1024;

const INSTALL: &str = "install the firewall table";
const REMOVE: &str = "remove the firewall table";
const READ: &str = "read the firewall table";
/// Of an owner that let us through and drops all the same.
const NOT_ASKED: &str = "it was asked to let it through, and did";
const NEEDS: &str = "use a kernel with nf_tables, nft_ct, nft_masq and nft_chain_nat (CONFIG_NF_TABLES_INET, \
                     CONFIG_NFT_CT, CONFIG_NFT_MASQ, CONFIG_NFT_NAT), or load these modules";

/// The table as it was made last, with the indexes that interfaces had then.
pub(crate) type Made = Rc<RefCell<Option<Ruleset>>>;

/// The firewall lane of Linux.
#[derive(Debug)]
pub struct LinuxFirewall {
    journal: Rc<UndoJournal>,
    /// Our note in the journal that the table exists.
    entry: Option<EntryId>,
    /// The socket of the last replacement. It is never used again, only closed when that costs nothing any more.
    resting: Option<Socket>,
    made: Made,
    /// The segments in force, which were looked at when they began.
    held: Vec<FirewallSegment>,
    devices: Devices,
    pinholes: Pinholes,
    anchor: Anchor,
    /// Who is told when somebody else changes the table.
    events: Option<EventSink>,
    /// Since the first table was wanted.
    watch: Option<Watch>,
    firewalld: Firewalld,
    /// Who may share a connection there already.
    manager: Option<Manager>,
}

impl LinuxFirewall {
    /// A lane that writes down in `journal` that it is about to make the table.
    pub fn new(journal: Rc<UndoJournal>) -> Self {
        Self {
            firewalld: Firewalld::new(SystemBus::default(), Rc::clone(&journal)),
            journal,
            entry: None,
            resting: None,
            made: Made::default(),
            held: Vec::new(),
            devices: Devices::default(),
            pinholes: Pinholes::default(),
            anchor: Anchor::default(),
            events: None,
            watch: None,
            manager: None,
        }
    }

    /// The same lane, which reports to `events` when somebody else removes or changes the table. It needs a
    /// [`LocalSet`](tokio::task::LocalSet) then.
    #[must_use]
    pub fn watching(self, events: EventSink) -> Self {
        Self { events: Some(events), ..self }
    }

    /// The lane on a machine where NetworkManager may run.
    pub(crate) fn beside(self, manager: Manager) -> Self {
        Self { manager: Some(manager), ..self }
    }

    /// What [`difference`] is to compare with.
    pub(crate) fn made(&self) -> Made {
        Rc::clone(&self.made)
    }

    /// Makes the table be `wanted`: in one transaction, with the old one in force until it succeeds.
    ///
    /// # Errors
    ///
    /// Names the part of the table that the kernel refused. The table is as before then, except when it
    /// was installed and read back as something else.
    pub async fn install(&mut self, wanted: &Ruleset) -> Result<Changed, DriverError> {
        let remove = wanted.chains.is_empty();
        if remove {
            self.expect(None);
        } else {
            // The ears first, then the look.
            self.listen();
        }
        match read(wanted, None).await {
            Ok(Ok(())) => {
                self.expect(Some(wanted));
                self.remember(remove)?;
                return Ok(Changed::No);
            }
            // A machine without nf_tables has no table to remove.
            Err(error) if remove && error.kind == DriverErrorKind::Unsupported => return Ok(Changed::No),
            Ok(Err(_)) => {}
            Err(error) => return Err(error),
        }
        let begun = Instant::now();
        let fresh = self.entry.is_none() && !remove;
        if fresh {
            self.entry = Some(self.journal.record(Undo::FirewallTable)?);
        }
        let mut kernel = match transact(wanted, if remove { REMOVE } else { INSTALL }).await {
            Ok(kernel) => kernel,
            Err(error) => {
                if fresh {
                    self.forget();
                }
                return Err(error);
            }
        };
        self.expect(Some(wanted));
        let compared = read(wanted, Some(&mut kernel)).await;
        self.resting = Some(kernel.socket);
        if !matches!(compared, Ok(Ok(()))) {
            // Said by the answer.
            self.expect(None);
        }
        compared?.map_err(|difference| {
            DriverError::new(
                DriverErrorKind::Io,
                "read the firewall table back",
                &difference.place,
                format!("wanted {}, found {}", difference.wanted, difference.found),
            )
            .with_remedy("see whether another program edits the table `inet hostednet` and stop it")
        })?;
        self.remember(remove)?;
        tracing::debug!(elapsed_us = begun.elapsed().as_micros(), "firewall table replaced:\n{wanted}");
        Ok(Changed::Yes)
    }

    /// Begins to hear what others do, if somebody wants to know.
    fn listen(&mut self) {
        if self.watch.is_none()
            && let Some(events) = &self.events
        {
            self.watch = Watch::start(events.clone())
                .inspect_err(
                    |error| tracing::warn!(%error, "changes of the firewall by others are not followed"),
                )
                .ok();
        }
        if let Some(watch) = &self.watch {
            watch.listen();
        }
    }

    /// What the kernel has to have from here on.
    fn expect(&self, wanted: Option<&Ruleset>) {
        self.made.replace(wanted.cloned());
        if let Some(watch) = &self.watch {
            watch.expect(wanted.filter(|wanted| !wanted.chains.is_empty()));
        }
    }

    /// The journal says that the table exists exactly when it does.
    fn remember(&mut self, removed: bool) -> Result<(), DriverError> {
        if removed {
            self.forget();
        } else if self.entry.is_none() {
            self.entry = Some(self.journal.record(Undo::FirewallTable)?);
        }
        Ok(())
    }

    fn forget(&mut self) {
        if let Some(entry) = self.entry.take() {
            self.journal.done(entry);
        }
    }
}

impl Firewall for LinuxFirewall {
    async fn apply(&mut self, plan: &FirewallPlan) -> Result<Changed, DriverError> {
        // What was open when it began and is closed by somebody later is that somebody's decision; only what begins
        // is refused.
        let begins: Vec<_> =
            plan.segments.iter().filter(|segment| !self.held.contains(segment)).copied().collect();
        if !begins.is_empty() {
            if let Some(manager) = &self.manager {
                // Its rules would be accused next; but they are there because it shares, and that is what has to end.
                let interfaces = begins.iter().map(|segment| segment.interface).collect();
                manager.shares_none(&interfaces).await?;
            }
            let begins = FirewallPlan { segments: begins, ..plan.clone() };
            let (found, asked) = self.open(&begins).await;
            if let Some(refusal) = foreign::refusal(&found, asked.as_deref()) {
                let held: Vec<IfName> = self.held.iter().map(|segment| segment.interface).collect();
                self.firewalld.close_others(|name| held.contains(name)).await;
                return Err(refusal);
            }
        }
        // The record of the table stands for that of single devices too, so this one never is without that one.
        let without = plan.devices.is_empty();
        let mut changed = Changed::No;
        if without {
            changed = self.devices.apply(&plan.devices).await?;
        }
        self.pinholes.read();
        let table = self.install(&Ruleset::of(plan, index)).await?;
        self.pinholes.hold(&plan.pinholes, table == Changed::Yes);
        if table == Changed::Yes {
            changed = Changed::Yes;
        }
        self.anchor.apply(Ruleset::anchor(plan)).await;
        self.held.clone_from(&plan.segments);
        if !without && self.devices.apply(&plan.devices).await? == Changed::Yes {
            changed = Changed::Yes;
        }
        self.firewalld.close_others(|name| plan.open.contains(name)).await;
        if !plan.segments.is_empty() {
            let (found, asked) = self.open(plan).await;
            let obstacles = foreign::obstacles(&found, plan, asked.as_deref().or(Some(NOT_ASKED)));
            if let Some(watch) = &self.watch {
                watch.judge(plan, obstacles);
            }
        }
        Ok(changed)
    }

    async fn count(&mut self) -> Result<Counts, DriverError> {
        self.pinholes.read();
        Ok(Counts { devices: self.devices.count()?, pinholes: self.pinholes.counts() })
    }

    fn counted(&self) -> Counts {
        Counts { devices: self.devices.counts(), pinholes: self.pinholes.counts() }
    }
}

impl LinuxFirewall {
    /// What others drop of what `plan` needs after who can be asked was asked to let it through, and why somebody who was
    /// asked did not.
    async fn open(&mut self, plan: &FirewallPlan) -> (Vec<Blockade>, Option<String>) {
        let found = foreign::blockades(plan);
        let askable = found.iter().filter(|blockade| foreign::can_be_asked(blockade, plan));
        let interfaces: BTreeSet<IfName> = askable.map(|blockade| blockade.private).collect();
        if interfaces.is_empty() {
            return (found, None);
        }
        let mut asked = None;
        for interface in interfaces {
            if let Err(error) = self.firewalld.open(interface).await {
                tracing::warn!(%error, "firewalld does not let the private connection through");
                asked = Some(format!("asked to let it through: {}", error.cause));
            }
        }
        (foreign::blockades(plan), asked)
    }
}

/// The table as the kernel has it, with what its rules have counted.
///
/// # Errors
///
/// `Unsupported` without nf_tables, `Denied` without the right to ask.
pub fn installed() -> Result<Installed, DriverError> {
    let trouble = match Conversation::open().and_then(|mut kernel| kernel.table()) {
        Ok(installed) => return Ok(installed),
        Err(trouble) => trouble,
    };
    Err(trouble.into_error(READ, &Object::Table))
}

/// How the table in the kernel differs from what was made, or else from what `plan` means, in words; `None`: it does not.
///
/// An interface that came when its rules were there, or came back, has an index that they do not know. Those by its name
/// hold.
///
/// # Errors
///
/// As [`installed`].
pub(crate) async fn difference(plan: &FirewallPlan, made: &Made) -> Result<Option<String>, DriverError> {
    let made = made.borrow().clone();
    let found = read(&made.unwrap_or_else(|| Ruleset::of(plan, index)), None).await?;
    Ok(found.err().map(|it| format!("{}: wanted {}, found {}", it.place, it.wanted, it.found)))
}

/// The index of an interface of the calling thread's network namespace.
fn index(name: &IfName) -> Option<u32> {
    nix::net::if_::if_nametoindex(name.as_str()).ok()
}

/// Reads the table, in a conversation of its own unless one goes on, and compares. A difference seen while somebody
/// changed rules is looked at again.
async fn read(
    wanted: &Ruleset,
    mut kernel: Option<&mut Conversation>,
) -> Result<Result<(), hn_nft::Difference>, DriverError> {
    let mut pause = PAUSE;
    let mut attempt = 0;
    loop {
        attempt += 1;
        let reading = match &mut kernel {
            Some(kernel) => kernel.stable_table(),
            None => Conversation::open().and_then(|mut kernel| kernel.stable_table()),
        };
        let last = attempt >= ATTEMPTS;
        match reading {
            Ok((installed, stable)) => {
                let compared = compare(wanted, &installed);
                if compared.is_ok() || stable || last {
                    return Ok(compared);
                }
            }
            Err(trouble) if !trouble.passes() || last => {
                return Err(trouble.into_error(READ, &Object::Table));
            }
            Err(_) => {}
        }
        tokio::time::sleep(pause).await;
        pause *= 2;
    }
}

/// Sends the transaction, again if somebody else's was in the way. The conversation in which it succeeded goes on.
async fn transact(wanted: &Ruleset, op: &str) -> Result<Conversation, DriverError> {
    carry_out(&Batch::replace(wanted, 1), op).await
}

/// Has the packets of `probe` reported. The journal knows of the table already.
///
/// # Errors
///
/// What the kernel refused.
pub(crate) async fn trace(probe: &Probe) -> Result<(), DriverError> {
    carry_out(&probe.begin(1), "install the table of a trace").await.map(drop)
}

async fn carry_out(batch: &Batch, op: &str) -> Result<Conversation, DriverError> {
    let mut pause = PAUSE;
    let mut attempt = 0;
    loop {
        attempt += 1;
        match Conversation::open()
            .map_err(|trouble| (trouble, Object::Transaction))
            .and_then(|mut kernel| kernel.transact(batch).map(|()| kernel))
        {
            Ok(kernel) => return Ok(kernel),
            Err((trouble, object)) if !trouble.passes() || attempt >= ATTEMPTS => {
                return Err(trouble.into_error(op, &object));
            }
            Err(_) => {}
        }
        tokio::time::sleep(pause).await;
        pause *= 2;
    }
}

/// Why a conversation failed.
#[derive(Debug)]
enum Trouble {
    /// The kernel refused; its own words, if any.
    Refused(Errno, Option<String>),
    /// The kernel did not answer.
    Silence,
    /// The answer makes no sense.
    Malformed(Malformed),
}

impl From<Errno> for Trouble {
    fn from(errno: Errno) -> Self {
        Self::Refused(errno, None)
    }
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        Self::Refused(Errno::from_io_error(&error).unwrap_or(Errno::IO), None)
    }
}

impl From<Malformed> for Trouble {
    fn from(malformed: Malformed) -> Self {
        Self::Malformed(malformed)
    }
}

impl Trouble {
    /// Whether the same may succeed a moment later.
    fn passes(&self) -> bool {
        match self {
            Self::Refused(errno, _) => {
                matches!(*errno, Errno::BUSY | Errno::INTR | Errno::NOBUFS | Errno::AGAIN)
            }
            Self::Silence | Self::Malformed(_) => false,
        }
    }

    fn into_error(self, op: &str, object: &Object) -> DriverError {
        let (errno, text) = match self {
            Self::Refused(errno, text) => (errno, text),
            Self::Silence => {
                let cause = format!("the kernel did not answer within {} s", PATIENCE.as_secs());
                return DriverError::new(DriverErrorKind::Timeout, op, object, cause);
            }
            Self::Malformed(malformed) => {
                return DriverError::new(DriverErrorKind::Io, op, object, malformed);
            }
        };
        // ENOENT for a rule or chain: an expression or chain type whose module is not there, for the
        // chains that our rules name are in the same transaction.
        let part = matches!(object, Object::Chain(_) | Object::Rule(..));
        let (kind, remedy) = match errno {
            Errno::PERM | Errno::ACCESS => {
                (DriverErrorKind::Denied, "run the service as root or with CAP_NET_ADMIN")
            }
            Errno::OPNOTSUPP | Errno::PROTONOSUPPORT | Errno::AFNOSUPPORT => {
                (DriverErrorKind::Unsupported, NEEDS)
            }
            Errno::NOENT if part => (DriverErrorKind::Unsupported, NEEDS),
            Errno::NOENT | Errno::NODEV | Errno::NXIO => (DriverErrorKind::Gone, ""),
            Errno::BUSY | Errno::NOBUFS | Errno::INTR | Errno::AGAIN => {
                (DriverErrorKind::Busy, "stop the program that keeps changing firewall rules, then try again")
            }
            Errno::INVAL | Errno::RANGE | Errno::EXIST | Errno::MLINK | Errno::LOOP => {
                (DriverErrorKind::Invalid, "")
            }
            Errno::TIMEDOUT => (DriverErrorKind::Timeout, ""),
            _ => (DriverErrorKind::Io, ""),
        };
        let mut cause = errno_text(errno.raw_os_error());
        if let Some(text) =
            text.as_deref().map(|text| text.trim_end_matches('.')).filter(|text| !text.is_empty())
        {
            cause = format!("{cause}: {text}");
        }
        DriverError::new(kind, op, object, cause).with_remedy(remedy).with_errno(errno.raw_os_error())
    }
}

/// A blocking conversation with nfnetlink in the network namespace of the calling thread.
#[derive(Debug)]
struct Conversation {
    socket: Socket,
    sequence: u32,
    buffer: Vec<u8>,
}

impl Conversation {
    fn open() -> Result<Self, Trouble> {
        let mut socket = Socket::new(NETFILTER)?;
        socket.bind_auto()?;
        // Old kernels know neither; their answers are then longer and poorer, and are understood all the same.
        let _ = socket.set_ext_ack(true);
        let _ = socket.set_cap_ack(true);
        // The answers to a transaction wait in the socket until `send` returns. A smaller buffer loses answers only to
        // a transaction with hundreds of errors, and that is noticed (ENOBUFS).
        let _ = set_socket_recv_buffer_size(socket.as_fd(), RECEIVE_BUFFER);
        set_socket_timeout(socket.as_fd(), Timeout::Recv, Some(PATIENCE))?;
        Ok(Self { socket, sequence: 0, buffer: vec![0; BUFFER] })
    }

    /// One datagram; `None` when `flags` forbid to wait and there is none.
    fn receive(&mut self, flags: RecvFlags) -> Result<Option<&[u8]>, Trouble> {
        loop {
            match recv(self.socket.as_fd(), self.buffer.as_mut_slice(), flags | RecvFlags::TRUNC) {
                Ok((taken, length)) if taken == length => {
                    return Ok(Some(self.buffer.get(..taken).unwrap_or_default()));
                }
                Ok(_) => return Err(Malformed::Length.into()),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) if flags.contains(RecvFlags::DONTWAIT) => return Ok(None),
                Err(Errno::AGAIN) => return Err(Trouble::Silence),
                Err(errno) => return Err(errno.into()),
            }
        }
    }

    /// Asks and hands every record of the answer to `each`. `false`: the dump was overtaken by a change.
    fn ask(
        &mut self,
        request: Request,
        each: impl FnMut(Record<'_>) -> Result<(), Malformed>,
    ) -> Result<bool, Trouble> {
        self.converse(|sequence| request.encode(sequence), request.is_dump(), each)
    }

    /// As [`Self::ask`], for a question in bytes; `dump` says whether more than one record may come.
    fn converse(
        &mut self,
        question: impl FnOnce(u32) -> Vec<u8>,
        dump: bool,
        mut each: impl FnMut(Record<'_>) -> Result<(), Malformed>,
    ) -> Result<bool, Trouble> {
        self.sequence += 1;
        let sequence = self.sequence;
        self.socket.send(&question(sequence), 0)?;
        let mut consistent = true;
        loop {
            let datagram = self.receive(RecvFlags::empty())?.unwrap_or_default();
            for reply in replies(datagram) {
                let reply = reply?;
                if reply.sequence != sequence {
                    continue;
                }
                consistent &= !reply.interrupted;
                match reply.content {
                    Content::Status(0, _) | Content::Done(0) => return Ok(consistent),
                    Content::Status(errno, text) => {
                        return Err(Trouble::Refused(
                            Errno::from_raw_os_error(errno),
                            text.map(str::to_owned),
                        ));
                    }
                    Content::Done(errno) => return Err(Errno::from_raw_os_error(errno).into()),
                    Content::Record(record) => {
                        each(record)?;
                        if !dump {
                            return Ok(consistent);
                        }
                    }
                }
            }
        }
    }

    fn generation(&mut self) -> Result<Option<u32>, Trouble> {
        let mut generation = None;
        self.ask(Request::Generation, |record| {
            generation = record.generation();
            Ok(())
        })?;
        Ok(generation)
    }

    /// The table, and whether nobody changed any rule while it was read.
    fn stable_table(&mut self) -> Result<(Installed, bool), Trouble> {
        let before = self.generation()?;
        let mut installed = Installed::default();
        let mut stable = match self.ask(Request::Table, |record| installed.absorb(record)) {
            Err(Trouble::Refused(Errno::NOENT, _)) => return Ok((installed, true)),
            other => other?,
        };
        stable &= self.ask(Request::Chains, |record| installed.absorb(record))?;
        stable &= self.ask(Request::Rules, |record| installed.absorb(record))?;
        Ok((installed, stable && self.generation()? == before))
    }

    /// The table, read again while others change rules.
    fn table(&mut self) -> Result<Installed, Trouble> {
        for _ in 1..ATTEMPTS {
            if let (installed, true) = self.stable_table()? {
                return Ok(installed);
            }
        }
        Ok(self.stable_table()?.0)
    }

    /// Sends a transaction. The first part that was refused is the cause; what follows it is a consequence.
    fn transact(&mut self, batch: &Batch) -> Result<(), (Trouble, Object)> {
        let whole = |trouble: Trouble| (trouble, Object::Transaction);
        self.sequence = batch.next_sequence();
        self.socket.send(batch.bytes(), 0).map_err(|error| whole(error.into()))?;
        let mut refused: Option<(Trouble, Object)> = None;
        let mut acknowledged = false;
        let mut flags = RecvFlags::empty();
        // Everything the kernel has to say is there when `send` returns; waiting for the first datagram
        // covers a kernel that would do it later.
        while let Some(datagram) = self.receive(flags).map_err(whole)? {
            for reply in replies(datagram) {
                let reply = reply.map_err(|malformed| whole(malformed.into()))?;
                let (Content::Status(errno, text), Some(object)) =
                    (reply.content, batch.object(reply.sequence))
                else {
                    continue;
                };
                if errno == 0 {
                    acknowledged |= reply.sequence == batch.acknowledged();
                } else {
                    let trouble = Trouble::Refused(Errno::from_raw_os_error(errno), text.map(str::to_owned));
                    refused.get_or_insert_with(|| (trouble, object.clone()));
                }
            }
            if acknowledged || refused.is_some() {
                flags = RecvFlags::DONTWAIT;
            }
        }
        refused.map_or(Ok(()), Err)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_expression_is_a_missing_ability_of_the_kernel() {
        let rule = Object::Rule("postrouting".into(), "hnap0 behind eth0".into());
        let error = Trouble::Refused(Errno::NOENT, None).into_error(INSTALL, &rule);
        assert_eq!(error.kind, DriverErrorKind::Unsupported);
        assert_eq!(error.target, "inet hostednet / chain postrouting / rule \"hnap0 behind eth0\"");
        assert!(error.remedy.contains("nft_masq"));
        assert_eq!(error.errno, Some(Errno::NOENT.raw_os_error()));
    }

    #[test]
    fn the_words_of_the_kernel_reach_the_person() {
        let trouble = Trouble::Refused(Errno::PERM, Some("Table owned by another.".into()));
        let error = trouble.into_error(INSTALL, &Object::Table);
        assert_eq!(error.kind, DriverErrorKind::Denied);
        assert_eq!(error.cause, "operation not permitted: Table owned by another");
    }

    #[test]
    fn only_what_passes_is_tried_again() {
        for errno in [Errno::BUSY, Errno::INTR, Errno::NOBUFS] {
            assert!(Trouble::from(errno).passes());
        }
        for errno in [Errno::PERM, Errno::INVAL, Errno::NOENT, Errno::OPNOTSUPP] {
            assert!(!Trouble::from(errno).passes());
        }
        assert!(!Trouble::Silence.passes());
    }
}
