//! Notices an access point that did not survive a sleep nobody announced.
//!
//! The kernel stops every access point when it suspends (`cfg80211_leave_all`) and tells nobody: hostapd goes on as if
//! it served. What the kernel does tell, by the clock, is that time has jumped. The access point is looked at then, and
//! reported lost when it does not beacon. A jump for another reason – somebody set the clock – costs one question.

use std::{
    io,
    os::fd::{AsFd as _, OwnedFd},
};

use hn_ports::EventSink;
use hn_types::observed::{ApEvent, PlatformEvent};
use rustix::{
    io::Errno,
    time::{
        Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
        timerfd_settime,
    },
};
use tokio::{io::unix::AsyncFd, task::JoinHandle};

use super::{nl80211::Nl80211, sys, watch::OwnInterface};

/// The year 3000, in seconds since 1970: it never rings.
const NEVER: i64 = 32_503_680_000;

/// The task that waits for jumps; it ends with this.
#[derive(Debug)]
pub(super) struct Wake(Option<JoinHandle<()>>);

impl Drop for Wake {
    fn drop(&mut self) {
        if let Some(task) = &self.0 {
            task.abort();
        }
    }
}

impl Wake {
    /// Watches over the interface that `beaconing` names while it names one. Needs a [`LocalSet`](tokio::task::LocalSet).
    pub(super) fn start(beaconing: OwnInterface, events: EventSink) -> Self {
        let alarm = match alarm() {
            Ok(alarm) => alarm,
            Err(error) => {
                tracing::debug!(%error, "there is no clock that tells of jumps");
                return Self(None);
            }
        };
        Self(Some(tokio::task::spawn_local(async move {
            while jump(&alarm).await.is_ok() {
                look(&beaconing, &events);
                if arm(alarm.get_ref()).is_err() {
                    break;
                }
            }
        })))
    }
}

/// A timer that never rings but ends early when the clock jumps (`TFD_TIMER_CANCEL_ON_SET`).
fn alarm() -> io::Result<AsyncFd<OwnedFd>> {
    let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
    let alarm = timerfd_create(TimerfdClockId::Realtime, flags)?;
    arm(&alarm)?;
    sys::readable(alarm)
}

fn arm(alarm: &OwnedFd) -> io::Result<()> {
    let never = Timespec { tv_sec: NEVER, tv_nsec: 0 };
    let once = Itimerspec { it_interval: Timespec::default(), it_value: never };
    let flags = TimerfdTimerFlags::ABSTIME | TimerfdTimerFlags::CANCEL_ON_SET;
    match timerfd_settime(alarm.as_fd(), flags, &once) {
        // It jumped between the last time and this; the timer is armed all the same.
        Ok(_) | Err(Errno::CANCELED) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Waits until the clock jumps.
async fn jump(alarm: &AsyncFd<OwnedFd>) -> io::Result<()> {
    let mut count = [0; 8];
    loop {
        let mut ready = alarm.readable().await?;
        match rustix::io::read(alarm.get_ref(), &mut count) {
            Ok(_) | Err(Errno::CANCELED) => return Ok(()),
            Err(Errno::AGAIN) => ready.clear_ready(),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

fn look(beaconing: &OwnInterface, events: &EventSink) {
    let Some(index) = beaconing.get() else { return };
    let asked = Nl80211::open().and_then(|nl80211| nl80211.map_or(Ok(None), |it| it.interface(index)));
    match asked {
        // An access point that was stopped holds no channel.
        Ok(Some(interface)) if interface.frequency_mhz.is_some() => {}
        Ok(_) => {
            let cause = "the kernel has stopped it, as it does when the machine sleeps".to_owned();
            events.emit(PlatformEvent::Ap(ApEvent::Lost { cause }));
        }
        Err(refusal) => tracing::debug!(cause = %refusal.cause(), "cannot look at the access point"),
    }
}
