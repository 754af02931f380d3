//! What the radio does to an access point that runs: the station beside it moves, radar is listened for.

use core::time::Duration;

use hn_types::{
    IfName, Monotonic,
    radio::channel_of,
    view::{Event, RadarCheckView},
};

use crate::{
    core::Core,
    effect::Output,
    hosted::Phase,
    radio::{follow, moved},
};

/// A station that said it would move has moved by then, or will not.
const MOVE_PATIENCE: Duration = Duration::from_secs(10);

/// A station of this machine that is about to move.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moving {
    interface: IfName,
    frequency_mhz: u32,
    until: Monotonic,
}

/// Radar that is listened for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RadarCheck {
    channel: u32,
    seconds: u32,
    until: Monotonic,
}

impl Core {
    /// A station of this machine said where it is about to go. An access point that must share its channel goes
    /// at the same time: the radio cannot be in two places, and a station that finds it elsewhere is disconnected.
    pub(crate) fn station_moving(&mut self, interface: IfName, frequency_mhz: u32, now: Monotonic) {
        self.moving = Some(Moving { interface, frequency_mhz, until: now + MOVE_PATIENCE });
    }

    /// Moves the access point after the station beside it, when the radio has no channel to spare. One that cannot
    /// go there cannot go on.
    pub(crate) fn follow(&mut self, now: Monotonic) {
        self.moving = self.moving.filter(|moving| moving.until > now);
        if self.hosted.phase() != Phase::Active || self.job.is_some() || self.moved_itself {
            return;
        }
        let (Some(view), Some(ap)) = (&self.radio, &self.intent.ap) else { return };
        let ahead = self.moving.map(|moving| moved(view, moving.interface, moving.frequency_mhz));
        let view = ahead.as_ref().unwrap_or(view);
        match follow(view, &self.network, &self.config.radio, &ap.radio) {
            Ok(None) => {}
            Ok(Some(plan)) => {
                if let Some(ap) = &mut self.intent.ap {
                    ap.radio = plan;
                }
            }
            Err(refusal) => self.lost(refusal.reason(), refusal.object(), refusal.cause()),
        }
    }

    /// The access point that runs is on another channel than before.
    pub(crate) fn channel_changed(&mut self, frequency_mhz: u32) {
        let Some(channel) = channel_of(frequency_mhz) else { return };
        let shared = self.intent.ap.as_ref().filter(|ap| ap.radio.frequency_mhz == frequency_mhz);
        let following = shared.and_then(|ap| ap.radio.beside);
        self.out.push_back(Output::Event(Event::ChannelChanged { channel, frequency_mhz, following }));
    }

    /// The driver listens for radar.
    pub(crate) fn radar_check(&mut self, frequency_mhz: u32, seconds: u32, now: Monotonic) {
        let Some(channel) = channel_of(frequency_mhz) else { return };
        let until = now + Duration::from_secs(seconds.into());
        self.listening = Some(RadarCheck { channel, seconds, until });
        self.out.push_back(Output::Event(Event::RadarCheck { channel, seconds }));
    }

    /// Radar that is listened for at this moment.
    pub(crate) fn radar_check_view(&self, now: Monotonic) -> Option<RadarCheckView> {
        let RadarCheck { channel, seconds, until } = self.listening?;
        let left = until.since(now);
        let remaining_s = u32::try_from(left.as_millis().div_ceil(1000)).unwrap_or(seconds);
        Some(RadarCheckView { channel, total_s: seconds, remaining_s })
    }
}
