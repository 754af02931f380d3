//! Control over single devices: what was decided about each, what it has used, and what follows for the lanes.
//!
//! A device that something was decided about is counted. The firewall counts, from when it was opened; it is asked every
//! few seconds while there is anything to count. What comes here is added up ([`Accounts`]) and written down once a
//! minute, when a quota is used up, and when the table goes.
//!
//! A quota is enforced by the firewall itself, to the packet. It is told up to which reading of its own counters the
//! device may go on ([`DeviceRule::until`]), a number that does not change while the device uses its quota up.

use alloc::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    format,
    string::ToString,
    vec::Vec,
};
use core::{net::Ipv4Addr, time::Duration};

use hn_types::{
    DeviceSettings, DeviceUsage, DriverError, ErrorCode, Failure, MacAddr, Monotonic, Now, Quota, Reason,
    Step, StoredSettings, Subnet4,
    device::{DeviceChange, DeviceCount, DevicePlan, DevicePort, DeviceRule},
    network::NetworkView,
    plan::Counts,
    settings::Reservation,
    view::{DeviceView, Event},
};

use crate::{
    command::{Reply, RequestId},
    core::Core,
    devices::unseen,
    dispatch::{Stages, invalid},
    effect::{EffectDone, EffectId, Output},
    job::failure_of,
    keys,
    plan::SystemPlan,
};

/// How often what was used is written down.
const STORE_EVERY: Duration = Duration::from_secs(60);
/// Devices whose last reading is remembered.
const ROWS: usize = 4096;
const DAY: u64 = 86_400;

/// What devices have used.
#[derive(Debug, Default)]
pub(crate) struct Accounts {
    rows: BTreeMap<MacAddr, Account>,
    /// When the firewall is asked.
    poll_at: Option<Monotonic>,
    /// When it is written down; set while something is new.
    store_at: Option<Monotonic>,
    /// It is to be written down as soon as that is possible.
    store_now: bool,
    /// The last day, counted from 1970, on which periods were looked at.
    day: Option<u64>,
}

#[derive(Debug)]
struct Account {
    usage: DeviceUsage,
    /// What the firewall said last.
    seen: DeviceCount,
}

impl Account {
    const fn new(usage: DeviceUsage) -> Self {
        let seen = DeviceCount::new(usage.mac);
        Self { usage, seen }
    }

    /// Up to which reading of the firewall's counters the device may go on.
    const fn until(&self, quota: Quota) -> u64 {
        if self.usage.exhausted {
            return 0;
        }
        quota.bytes.saturating_add(self.seen.total()).saturating_sub(self.usage.spent)
    }
}

impl Accounts {
    pub(crate) fn new(stored: &StoredSettings) -> Self {
        let rows = stored.usage.iter().map(|usage| (usage.mac, Account::new(usage.clone()))).collect();
        Self { rows, ..Self::default() }
    }

    /// When the next thing is due.
    pub(crate) fn wake(&self) -> Option<(Monotonic, &'static str)> {
        self.poll_at.map(|at| (at, "device counters"))
    }

    fn row(&mut self, mac: MacAddr) -> &mut Account {
        self.rows.entry(mac).or_insert_with(|| Account::new(DeviceUsage::new(mac)))
    }

    /// Forgets what a device used. What the firewall said of it is kept as far as there is room: if the device is
    /// counted again, the firewall goes on from there.
    fn forget(&mut self, mac: MacAddr, devices: &[DeviceSettings]) {
        self.row(mac).usage = DeviceUsage::new(mac);
        if self.rows.len() > ROWS {
            self.rows.retain(|mac, _| devices.iter().any(|device| device.mac == *mac));
        }
    }

    pub(crate) fn usage(&self, mac: MacAddr) -> Option<&DeviceUsage> {
        self.rows.get(&mac).map(|row| &row.usage)
    }

    /// The rules that follow from what was decided.
    pub(crate) fn rules(&self, devices: &[DeviceSettings]) -> Vec<DeviceRule> {
        let fresh = |mac| Account::new(DeviceUsage::new(mac));
        let mut rules: Vec<DeviceRule> = devices
            .iter()
            .map(|device| DeviceRule {
                mac: device.mac,
                blocked: device.blocked,
                isolated: device.isolated,
                upload_limit: device.upload_limit,
                download_limit: device.download_limit,
                until: device.quota.map(|quota| {
                    self.rows
                        .get(&device.mac)
                        .map_or_else(|| fresh(device.mac).until(quota), |row| row.until(quota))
                }),
            })
            .collect();
        rules.sort_by_key(|rule| rule.mac);
        rules
    }
}

/// A request to end the association of a device.
#[derive(Debug)]
pub(crate) struct Kick {
    request: RequestId,
    mac: MacAddr,
    /// The effect it is under way as.
    number: Option<u64>,
}

/// What single devices mean for the firewall: `rules` at every port that devices of the plan's segments are attached to.
pub(crate) fn device_plan(plan: &SystemPlan, rules: &[DeviceRule], network: &NetworkView) -> DevicePlan {
    if rules.is_empty() {
        return DevicePlan::default();
    }
    let mut names = BTreeSet::new();
    let mut host = BTreeSet::new();
    for segment in &plan.firewall.segments {
        let bridge = plan.links.bridge.as_ref().filter(|bridge| bridge.name == segment.interface);
        match bridge {
            Some(bridge) => {
                names.extend(bridge.members.iter().copied());
                let member = plan.ap.as_ref().filter(|ap| ap.bridge == Some(bridge.name));
                names.extend(member.map(|ap| ap.interface));
            }
            None => {
                names.insert(segment.interface);
            }
        }
        host.extend(network.link(segment.interface.as_str()).and_then(|link| link.address));
    }
    let mut ports = Vec::new();
    for link in names.iter().filter_map(|name| network.link(name.as_str())) {
        // Without link-layer addresses there is nothing to know a device by.
        if let Some(address) = link.address {
            ports.push(DevicePort { name: link.name, index: link.index });
            host.insert(address);
        }
    }
    if ports.is_empty() {
        return DevicePlan::default();
    }
    DevicePlan { ports, host, rules: rules.to_vec() }
}

impl Core {
    // --- what somebody decides ------------------------------------------------------------------

    pub(crate) fn check_device(&self, mac: MacAddr, change: &DeviceChange) -> Result<(), Failure> {
        let object = mac.to_string();
        if mac.is_multicast() || mac == MacAddr::ZERO {
            return Err(invalid(&object, "this is not the address of a device"));
        }
        for (text, what, limit) in
            [(&change.name, "name", DeviceSettings::NAME), (&change.note, "note", DeviceSettings::NOTE)]
        {
            let Some(text) = text else { continue };
            if text.len() > limit {
                return Err(invalid(&object, &format!("the {what} has more than {limit} bytes")));
            }
            if text.chars().any(char::is_control) {
                return Err(invalid(&object, &format!("the {what} has control characters in it")));
            }
        }
        let least = DeviceSettings::LEAST_LIMIT;
        for limit in [change.upload_limit, change.download_limit].into_iter().flatten() {
            if limit != 0 && limit < least {
                return Err(invalid(
                    &object,
                    &format!("a limit is at least {least} bytes a second, or 0 for none"),
                ));
            }
        }
        let known = self.settings.devices.iter().find(|device| device.mac == mac);
        let has_quota = match change.quota_bytes {
            Some(bytes) => bytes != 0,
            None => known.is_some_and(|device| device.quota.is_some()),
        };
        if change.quota_period.is_some() && !has_quota {
            return Err(invalid(&object, "a period needs a quota"));
        }
        if let Some(host) = change.host.filter(|host| *host != 0) {
            self.check_reservation(&Reservation {
                mac,
                host,
                name: change.name.clone().unwrap_or_default(),
            })?;
        }
        if known.is_none() && self.settings.devices.len() >= self.config.limits.reservations {
            return Err(Failure::check(
                ErrorCode::LimitExceeded,
                Reason::InsufficientResources,
                object,
                "something was decided about too many devices",
            )
            .with_remedy("forget devices that do not come any more: `hostednet device forget`"));
        }
        Ok(())
    }

    pub(crate) fn set_device(&mut self, mac: MacAddr, change: &DeviceChange) -> Result<Stages, Failure> {
        self.check_device(mac, change)?;
        let mut settings = keys::versioned(&self.settings);
        let known = settings.devices.iter().position(|device| device.mac == mac);
        let mut device =
            known.map_or_else(|| DeviceSettings::new(mac), |index| settings.devices.swap_remove(index));
        let before = device.quota;
        change.apply(&mut device);
        if change.reset_counters {
            let account = self.accounts.row(mac);
            account.usage = DeviceUsage { spent: account.usage.spent, ..DeviceUsage::new(mac) };
        }
        if change.reset_quota || before.map(|quota| quota.period) != device.quota.map(|quota| quota.period) {
            self.accounts.row(mac).usage.period.clear();
            self.accounts.day = None;
        }
        if change.reset_quota || before.map(|quota| quota.bytes) != device.quota.map(|quota| quota.bytes) {
            let account = self.accounts.row(mac);
            if change.reset_quota || before.is_none() {
                account.usage.spent = 0;
            }
            account.usage.exhausted = false;
        }
        if let Some(host) = change.host {
            settings.reservations.retain(|other| other.mac != mac);
            if host != 0 {
                settings.reservations.push(Reservation { mac, host, name: device.name.clone() });
                settings.reservations.sort_by_key(|reservation| reservation.mac);
            }
        }
        settings.devices.push(device);
        settings.devices.sort_by_key(|device| device.mac);
        self.accounts.store_now = true;
        Ok(self.save_and_follow(settings))
    }

    pub(crate) fn forget_device(&mut self, mac: MacAddr) -> Result<Stages, Failure> {
        let mut settings = keys::versioned(&self.settings);
        let before = (settings.devices.len(), settings.reservations.len());
        settings.devices.retain(|device| device.mac != mac);
        settings.reservations.retain(|reservation| reservation.mac != mac);
        settings.usage.retain(|usage| usage.mac != mac);
        if (settings.devices.len(), settings.reservations.len()) == before {
            return Err(Failure::check(
                ErrorCode::NotFound,
                Reason::Unspecified,
                mac,
                "nothing was decided about this device",
            ));
        }
        Ok(self.save_and_follow(settings))
    }

    /// Says what changed between two states of the settings.
    pub(crate) fn announce_devices(&mut self, before: &[DeviceSettings]) {
        let found = |list: &[DeviceSettings], mac| list.iter().find(|device| device.mac == mac).cloned();
        let macs: BTreeSet<MacAddr> =
            before.iter().chain(&self.settings.devices).map(|device| device.mac).collect();
        for mac in macs {
            let settings = found(&self.settings.devices, mac);
            if found(before, mac) != settings {
                if settings.is_none() {
                    self.accounts.forget(mac, &self.settings.devices);
                }
                self.out.push_back(Output::Event(Event::DeviceChanged { mac, settings }));
            }
        }
    }

    // --- what devices use -----------------------------------------------------------------------

    /// What the firewall has counted.
    pub(crate) fn counted(&mut self, counts: &Counts, now: Monotonic) {
        self.portmap_passed(&counts.pinholes);
        for count in &counts.devices {
            let Some(device) = self.settings.devices.iter().find(|device| device.mac == count.mac) else {
                continue;
            };
            let quota = device.quota;
            let account = self.accounts.row(count.mac);
            let reached = quota.is_some_and(|quota| count.exhausted == Some(account.until(quota)));
            let upload = count.upload.since(account.seen.upload);
            let download = count.download.since(account.seen.download);
            let bytes = upload.bytes.saturating_add(download.bytes);
            let changed = account.seen != *count;
            account.seen = *count;
            let usage = &mut account.usage;
            usage.upload = usage.upload.plus(upload);
            usage.download = usage.download.plus(download);
            if let Some(quota) = quota {
                usage.spent = usage.spent.saturating_add(bytes);
                if !usage.exhausted && (reached || usage.spent >= quota.bytes) {
                    usage.exhausted = true;
                    self.accounts.store_now = true;
                    let event = Event::QuotaExhausted { mac: count.mac, bytes: quota.bytes };
                    self.out.push_back(Output::Event(event));
                }
            }
            if changed {
                self.accounts.store_at.get_or_insert(now + STORE_EVERY);
            }
        }
        if !counts.devices.is_empty() && !self.firewall_counts() {
            // The table is gone, and with it the last chance to ask.
            self.accounts.store_now = true;
        }
    }

    fn firewall_counts(&self) -> bool {
        self.lanes.firewall.state.as_ref().is_some_and(|plan| !plan.devices.is_empty())
    }

    /// Quotas begin anew when their period does. A clock that is set back renews nothing.
    pub(crate) fn renew_quotas(&mut self, now: Now) {
        let day = now.wall.as_unix() / DAY;
        if self.accounts.day == Some(day) {
            return;
        }
        self.accounts.day = Some(day);
        for device in &self.settings.devices {
            let Some(quota) = device.quota else { continue };
            let label = quota.period.label(now.wall);
            let usage = &mut self.accounts.row(device.mac).usage;
            if usage.period.is_empty() {
                // Nothing is known of an earlier one.
                usage.period = label;
            } else if label > usage.period && label.len() == usage.period.len() {
                usage.period = label;
                usage.spent = 0;
                self.accounts.store_now = true;
                if core::mem::take(&mut self.accounts.row(device.mac).usage.exhausted) {
                    self.out.push_back(Output::Event(Event::QuotaRenewed { mac: device.mac }));
                }
            } else if label.len() != usage.period.len() {
                usage.period = label;
            }
        }
    }

    /// Writes down what was used, when it is time and nothing else is on its way to the disk.
    pub(crate) fn store_usage(&mut self, now: Monotonic) {
        let due = self.accounts.store_now || self.accounts.store_at.is_some_and(|at| at <= now);
        if !due || self.staged.is_some() {
            return;
        }
        self.accounts.store_now = false;
        self.accounts.store_at = None;
        let usage: Vec<DeviceUsage> = self
            .settings
            .devices
            .iter()
            .filter_map(|device| self.accounts.usage(device.mac).cloned())
            .collect();
        if let Some(job) = &mut self.job {
            job.before.settings.usage.clone_from(&usage);
        }
        self.settings.usage = usage;
    }

    /// Asks the firewall now and then, while it counts.
    pub(crate) fn schedule_counting(&mut self, now: Monotonic) {
        let every = self.config.device_poll;
        self.accounts.poll_at = if self.firewall_counts() && !every.is_zero() {
            self.accounts.poll_at.or(Some(now + every))
        } else {
            None
        };
    }

    pub(crate) fn count_if_due(&mut self, now: Monotonic) {
        if self.accounts.poll_at.is_some_and(|at| at <= now) {
            self.accounts.poll_at = Some(now + self.config.device_poll);
            self.lanes.ask_counts(now, &mut self.out);
        }
    }

    /// The answer to a question for the counters. Counters that are not there are a table that is not there.
    pub(crate) fn count_answered(&mut self, outcome: Result<EffectDone, Vec<DriverError>>, now: Monotonic) {
        match outcome {
            Ok(EffectDone::Counted(counts)) => self.counted(&counts, now),
            Ok(EffectDone::Done | EffectDone::ApStarted(_)) => {}
            // Only they are applied again: nobody else's packets stop for that.
            Err(_) => self.lanes.forget_device_rules(),
        }
    }

    // --- ending an association ------------------------------------------------------------------

    pub(crate) fn kick(&mut self, request: RequestId, mac: MacAddr) {
        self.kicks.push_back(Kick { request, mac, number: None });
    }

    /// Hands the oldest wish to the radio once it has nothing else to do.
    pub(crate) fn drive_kicks(&mut self, now: Monotonic) {
        let mut waiting = VecDeque::new();
        for mut kick in core::mem::take(&mut self.kicks) {
            if kick.number.is_none() {
                match self.kickable(kick.mac) {
                    Err(failure) => {
                        self.out.push_back(Output::Reply { request: kick.request, result: Err(failure) });
                        continue;
                    }
                    Ok(()) => kick.number = self.lanes.disconnect(kick.mac, now, &mut self.out),
                }
            }
            waiting.push_back(kick);
        }
        self.kicks = waiting;
    }

    fn kickable(&self, mac: MacAddr) -> Result<(), Failure> {
        if self.hosted.peers().contains_key(&mac) {
            return Ok(());
        }
        if self.devices.has(mac) {
            return Err(Failure::check(
                ErrorCode::NotSupported,
                Reason::Unspecified,
                mac,
                "it is not on the access point, and a cable cannot be pulled from here",
            )
            .with_remedy(format!("block it: `hostednet device block {mac}`")));
        }
        Err(Failure::check(ErrorCode::NotFound, Reason::Unspecified, mac, "no such device is connected"))
    }

    /// An answer of the radio, if it is to such a wish.
    pub(crate) fn kicked(&mut self, id: EffectId, outcome: &Result<EffectDone, Vec<DriverError>>) {
        let Some(index) = self.kicks.iter().position(|kick| kick.number == Some(id.number())) else { return };
        if let Some(kick) = self.kicks.remove(index) {
            let result = match outcome {
                Ok(_) => Ok(Reply::Done),
                Err(errors) => Err(failure_of(Step::Radio, Reason::Unspecified, errors)),
            };
            self.out.push_back(Output::Reply { request: kick.request, result });
        }
    }

    /// Wishes that the radio did not answer in time.
    pub(crate) fn expire_kicks(&mut self) {
        let lanes = &self.lanes;
        let late = |kick: &Kick| kick.number.is_some_and(|number| !lanes.asks_radio(number));
        let (gone, rest): (VecDeque<_>, VecDeque<_>) =
            core::mem::take(&mut self.kicks).into_iter().partition(late);
        self.kicks = rest;
        for kick in gone {
            let failure = Failure {
                step: Step::Radio,
                ..Failure::check(
                    ErrorCode::Timeout,
                    Reason::Unspecified,
                    kick.mac,
                    "the access point did not answer in time",
                )
            };
            self.out.push_back(Output::Reply { request: kick.request, result: Err(failure) });
        }
    }

    // --- what callers see -----------------------------------------------------------------------

    /// Adds what was decided and counted to what is seen of the devices.
    pub(crate) fn decorate(&self, views: &mut [DeviceView]) {
        let segment = self.lanes.served().and_then(|plan| plan.segment.as_ref());
        let subnet = segment.map(|segment| segment.address);
        for view in views {
            view.random_mac = view.mac.is_local();
            view.settings = self.settings.devices.iter().find(|device| device.mac == view.mac).cloned();
            view.usage = view.settings.as_ref().and_then(|device| self.accounts.usage(device.mac)).cloned();
            view.fixed_ipv4 = self
                .settings
                .reservations
                .iter()
                .find(|reservation| reservation.mac == view.mac)
                .and_then(|reservation| address_in(subnet?, reservation.host));
        }
    }

    /// Everybody who is attached, and everybody else something was decided about.
    pub(crate) fn known_devices(&self, now: Now) -> Vec<DeviceView> {
        let mut views = self.snapshot(now).devices;
        let absent: BTreeSet<MacAddr> = self
            .settings
            .devices
            .iter()
            .map(|device| device.mac)
            .chain(self.settings.reservations.iter().map(|reservation| reservation.mac))
            .filter(|mac| !views.iter().any(|view| view.mac == *mac))
            .collect();
        let mut others: Vec<DeviceView> = absent.into_iter().map(|mac| unseen(mac, None)).collect();
        self.decorate(&mut others);
        views.append(&mut others);
        views
    }
}

fn address_in(subnet: Subnet4, host: u32) -> Option<Ipv4Addr> {
    let address = Ipv4Addr::from_bits(subnet.network().address().to_bits().checked_add(host)?);
    subnet.contains(address).then_some(address)
}
