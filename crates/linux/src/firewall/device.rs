//! The table of single devices: brought to what a plan says, and read.

use std::collections::BTreeMap;

use hn_nft::{DEVICE_QUESTIONS, DeviceTable, Object, device_question};
use hn_ports::Changed;
use hn_types::{
    DriverError, DriverErrorKind, MacAddr,
    device::{DeviceCount, DevicePlan},
};
use rustix::io::Errno;

use super::{ATTEMPTS, Conversation, PAUSE, Trouble, index};

const INSTALL: &str = "install the rules of single devices";
const READ: &str = "read the counters of devices";
const NEEDS: &str = "use a kernel from 5.16 on with nf_tables, nft_limit, nft_quota and hooks at devices \
                     (CONFIG_NF_TABLES_NETDEV, CONFIG_NETFILTER_INGRESS, CONFIG_NETFILTER_EGRESS), or remove what was \
                     decided about devices: `hostednet device forget`";

/// Devices whose counters are remembered although there are no rules for them at the moment.
const LIMIT: usize = 4096;

/// The table of single devices.
#[derive(Debug, Default)]
pub(super) struct Devices {
    /// The plan in force; `None` when nobody knows.
    held: Option<DevicePlan>,
    /// The socket that owns the table; when it is closed, the kernel removes the table.
    kernel: Option<Conversation>,
    /// What was counted until the last reading. Counters that have to be made anew go on from there.
    counts: BTreeMap<MacAddr, DeviceCount>,
}

impl Devices {
    /// What was counted until the last reading.
    pub(super) fn counts(&self) -> Vec<DeviceCount> {
        self.counts.values().copied().collect()
    }

    /// Makes the table be what `plan` asks for, as far as its interfaces exist.
    pub(super) async fn apply(&mut self, plan: &DevicePlan) -> Result<Changed, DriverError> {
        let mut plan = plan.clone();
        // One that went since the plan was made is no place for rules; one that came is in the next plan.
        plan.ports.retain(|port| index(&port.name) == Some(port.index));
        let mut pause = PAUSE;
        let mut attempt = 0;
        loop {
            attempt += 1;
            match self.replace(&plan) {
                Ok(changed) => {
                    self.held = Some(plan);
                    return Ok(changed);
                }
                Err((trouble, _)) if trouble.passes() && attempt < ATTEMPTS => {}
                // A machine without nf_tables has nothing to remove.
                Err((Trouble::Refused(Errno::OPNOTSUPP | Errno::PROTONOSUPPORT | Errno::INVAL, _), _))
                    if plan.is_empty() && self.counts.is_empty() =>
                {
                    return Ok(Changed::No);
                }
                Err((trouble, object)) => {
                    self.held = None;
                    return Err(explained(trouble, &object));
                }
            }
            tokio::time::sleep(pause).await;
            pause *= 2;
        }
    }

    fn replace(&mut self, plan: &DevicePlan) -> Result<Changed, (Trouble, Object)> {
        let there = self.read().map_err(|trouble| (trouble, whole()))?;
        let known = self.held.as_ref() == Some(plan) || plan.is_empty();
        if known && there.carries(plan) {
            return Ok(Changed::No);
        }
        let mut kernel = match self.kernel.take() {
            Some(kernel) => kernel,
            None => Conversation::open().map_err(|trouble| (trouble, whole()))?,
        };
        let batch = there.replaced(plan, &self.counts, kernel.sequence + 1);
        kernel.transact(&batch)?;
        // Without a table it rests until there is one again.
        self.kernel = Some(kernel);
        Ok(Changed::Yes)
    }

    /// Reads what was counted.
    ///
    /// # Errors
    ///
    /// `Gone` when the table is not what was applied.
    pub(super) fn count(&mut self) -> Result<Vec<DeviceCount>, DriverError> {
        let Some(held) = self.held.clone() else { return Ok(self.counts()) };
        let there = self.read().map_err(|trouble| explained(trouble, &whole()))?;
        if there.carries(&held) {
            return Ok(self.counts());
        }
        let cause = "an interface was made anew";
        Err(DriverError::new(DriverErrorKind::Gone, READ, whole(), cause))
    }

    /// The table as it is. What the counters of the plan in force say is taken over; one that is missing has not counted any
    /// more.
    fn read(&mut self) -> Result<DeviceTable, Trouble> {
        // Of an owner whose conversation failed nobody knows what is still to come; without it the table is gone, too.
        let there = match self.kernel.take() {
            Some(mut kernel) => {
                let there = kernel.devices()?;
                self.kernel = Some(kernel);
                there
            }
            None => Conversation::open()?.devices()?,
        };
        let Some(held) = &self.held else { return Ok(there) };
        if self.counts.len() > LIMIT {
            self.counts.retain(|mac, _| held.rules.iter().any(|rule| rule.mac == *mac));
        }
        for rule in held.rules.iter().filter(|_| !held.is_empty()) {
            let count = there.count(rule.mac);
            let known = self.counts.entry(rule.mac).or_insert(count);
            if count.total() >= known.total() {
                *known = count;
            }
        }
        Ok(there)
    }
}

/// The table as a whole.
const fn whole() -> Object {
    Object::Devices(String::new())
}

fn explained(trouble: Trouble, object: &Object) -> DriverError {
    let missing = matches!(
        &trouble,
        Trouble::Refused(Errno::NOENT | Errno::OPNOTSUPP | Errno::PROTONOSUPPORT | Errno::INVAL, _)
    );
    let mut error = trouble.into_error(INSTALL, object);
    if missing {
        error.kind = DriverErrorKind::Unsupported;
        error = error.with_remedy(NEEDS);
    }
    error
}

impl Conversation {
    /// The table of single devices.
    fn devices(&mut self) -> Result<DeviceTable, Trouble> {
        let mut table = DeviceTable::default();
        for kind in DEVICE_QUESTIONS {
            let absorb = |record: hn_nft::wire::Record<'_>| table.absorb(record);
            match self.converse(|sequence| device_question(kind, sequence), true, absorb) {
                Ok(_) => {}
                // There is no table of this family.
                Err(Trouble::Refused(Errno::NOENT, _)) => return Ok(DeviceTable::default()),
                Err(trouble) => return Err(trouble),
            }
        }
        Ok(table)
    }
}
