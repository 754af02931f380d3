//! Sharing, and `up`: the hosted network together with sharing (spec/sequences.md §2 and §4).

use alloc::{
    string::{String, ToString},
    vec::Vec,
};

use hn_types::{
    ConnectionSettings, ErrorCode, Failure, Reason, Ssid, StoredSettings,
    part::Part,
    settings::{PrivateChoice, SharingPair},
};

use crate::{
    command::{Actor, UpRequest},
    core::Core,
    dispatch::{Stages, invalid},
    hosted::Phase,
    job::{Change, Claim, HostedChange, Stage, UpRecord},
    keys,
    pair::checked,
    plan::ap_name,
    roles::Half,
};

impl Core {
    /// Whether sharing may be used at all.
    pub(crate) fn sharing_usable(&self) -> Result<(), Failure> {
        if self.policy.sharing == Some(false) {
            return Err(Failure::check(
                ErrorCode::AccessDenied,
                Reason::GpDenied,
                "sharing",
                "the administrator's policy forbids sharing",
            )
            .with_remedy("ask the administrator to change policy.toml"));
        }
        self.dependency_failure().map_or(Ok(()), Err)
    }

    /// What the SharedAccess part cannot do without and is not there.
    pub(crate) fn dependency_failure(&self) -> Option<Failure> {
        let first = self.missing.first()?;
        let causes: Vec<String> = self.missing.iter().map(ToString::to_string).collect();
        let code = ErrorCode::ServiceDependencyFail;
        let failure = Failure::check(code, Reason::ServiceUnavailable, Part::SharedAccess, causes.join("; "));
        Some(failure.with_remedy(&first.remedy))
    }

    pub(crate) fn share(&self, pair: &SharingPair) -> Result<Stages, Failure> {
        self.sharing_usable()?;
        let pair = checked(pair, &self.network, self.hosted_adapter())?;
        if self.intent.full.as_ref() == Some(&pair) {
            return Ok(Stages::new());
        }
        self.choose_subnets(&mut self.subnets.clone(), true, false)?;
        Ok([Stage::Change(Change::sharing(Some(pair)))].into())
    }

    pub(crate) fn unshare(&mut self) -> Result<Stages, Failure> {
        self.half = Half::default();
        if self.intent.full.is_some() {
            return Ok([Stage::Change(Change::sharing(None))].into());
        }
        if self.intent.standalone {
            return Err(Failure::check(
                ErrorCode::InvalidState,
                Reason::Unspecified,
                "sharing",
                "standalone sharing ends with the hosted network only",
            )
            .with_remedy("stop the hosted network"));
        }
        Ok(Stages::new())
    }

    pub(crate) fn up(&mut self, actor: &Actor, request: UpRequest) -> Result<(Stages, Claim), Failure> {
        let UpRequest { public, mut private, ssid, key } = request;
        if self.ups.contains_key(&actor.session) {
            return Err(Failure::check(
                ErrorCode::InvalidState,
                Reason::Unspecified,
                "session",
                "it has something up already",
            ));
        }
        if public.is_none() && !private.is_empty() {
            return Err(invalid("private", "without a public connection there is nothing to share"));
        }
        if private.is_empty() {
            private.push(PrivateChoice::HostedNetwork);
        }
        let adapter = self.intent.ap.as_ref().map_or_else(|| ap_name(&self.network), |ap| ap.interface);
        let over_hosted = Self::over_hosted(&private) || private.contains(&PrivateChoice::Interface(adapter));
        if !over_hosted && (ssid.is_some() || key.is_some()) {
            return Err(invalid(
                "private",
                "name and key are for the hosted network, which is not asked for",
            ));
        }
        if over_hosted {
            self.running(Part::Wlan)?;
            self.available()?;
        }
        let pair = match public {
            None => None,
            Some(public) => {
                self.sharing_usable()?;
                let adapter = over_hosted.then_some(adapter).or_else(|| self.hosted_adapter());
                Some(checked(&SharingPair { public, private }, &self.network, adapter)?)
            }
        };
        self.choose_subnets(&mut self.subnets.clone(), pair.is_some(), false)?;

        let mut stages = Stages::new();
        let mut change = Change { temporary: key.map(Some), ..Change::KEEP };
        if over_hosted {
            let saved = self.save_if_new();
            let configured = match saved.front() {
                Some(Stage::Save { settings, .. }) => settings.clone(),
                Some(Stage::Change(_)) | None => keys::versioned(&self.settings),
            };
            let renamed = ssid.and_then(|ssid| renamed(&configured, ssid));
            let active = self.hosted.phase() == Phase::Active;
            // Sequences §2 note a: devices must not be moved from one subnet to another behind their back.
            let clear = pair.is_some() && self.intent.full.is_none();
            if renamed.is_some() {
                stages.extend(self.stop(Reason::PropertiesChange));
            } else if clear {
                stages.extend(self.stop(Reason::UserAction));
            }
            if !active || !stages.is_empty() {
                change.hosted = HostedChange::Start;
            }
            stages.extend(saved);
            stages.extend(renamed.map(|settings| Stage::Save { settings, keep: false }));
        }
        let moves = pair.is_some() && pair != self.intent.full;
        if moves {
            change.full = Some(pair.clone());
        }
        if moves || change.hosted == HostedChange::Start || change.temporary.is_some() {
            stages.push_back(Stage::Change(change));
        }
        let restore = moves.then(|| self.intent.full.clone());
        Ok((stages, Claim::Up(UpRecord { reference: over_hosted, pair, restore })))
    }

    /// The stages that undo an `up`, after its reference was given back. First sharing, then the network; the
    /// lanes do it in one go.
    pub(crate) fn undo_up(&mut self, record: &UpRecord, reason: Reason) -> Stages {
        let mut full = None;
        if let Some(previous) = &record.restore {
            if self.intent.full == record.pair {
                // Whoever else wants this very pair becomes the one who restores.
                let heir =
                    self.ups.values_mut().chain(&mut self.abandoned).find(|other| other.pair == record.pair);
                match heir {
                    Some(heir) => heir.restore = Some(previous.clone()),
                    None => full = Some(previous.clone()),
                }
            } else {
                let restored_by = |other: &&mut UpRecord| {
                    other.restore.as_ref().is_some_and(|restore| *restore == record.pair)
                };
                for other in self.ups.values_mut().chain(&mut self.abandoned).filter(restored_by) {
                    other.restore = Some(previous.clone());
                }
            }
        }
        if matches!(full, Some(Some(_))) && self.sharing_usable().is_err() {
            full = Some(None);
        }
        let stop = self.hosted.phase() == Phase::Active && !self.sessions.wanted();
        if full.is_none() && !stop {
            return Stages::new();
        }
        let hosted = if stop { HostedChange::Stop(reason) } else { HostedChange::Keep };
        [Stage::Change(Change { full, ..Change::hosted(hosted) })].into()
    }

    /// Whether a pair counts on the hosted network.
    pub(crate) fn over_hosted(private: &[PrivateChoice]) -> bool {
        private.contains(&PrivateChoice::HostedNetwork)
    }
}

/// The settings under another name, unless that is the name already.
fn renamed(settings: &StoredSettings, ssid: Ssid) -> Option<StoredSettings> {
    let connection = settings.connection.as_ref().filter(|connection| connection.ssid != ssid)?;
    let connection = ConnectionSettings { ssid, ..connection.clone() };
    Some(StoredSettings { connection: Some(connection), ..settings.clone() })
}
