//! The stream of events of one session.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use futures_util::Stream;
use hn_ipc::{proxy::EventStream as Signals, tree::from_fields};
use hn_types::view::{Event, NumberedEvent};

/// Events after the snapshot they came with, in the one order of the service. Ends with the session.
///
/// [`Event::Resync`] says that events are missing: the subscriber was too slow. Ask for the status then.
#[derive(Debug)]
pub struct EventStream {
    signals: Signals,
    last: u64,
}

impl EventStream {
    pub(crate) fn new(signals: Signals, last: u64) -> Self {
        Self { signals, last }
    }
}

impl Stream for EventStream {
    type Item = NumberedEvent;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            let Poll::Ready(signal) = Pin::new(&mut self.signals).poll_next(context) else {
                return Poll::Pending;
            };
            let Some(signal) = signal else { return Poll::Ready(None) };
            // An event of a kind that a newer service knows and we do not is passed over.
            let Ok(args) = signal.args() else { continue };
            let Ok(event) = from_fields::<NumberedEvent>(args.event()) else { continue };
            if event.sequence > self.last || event.event == Event::Resync {
                self.last = self.last.max(event.sequence);
                return Poll::Ready(Some(event));
            }
        }
    }
}
