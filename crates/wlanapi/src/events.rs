//! The pump of a handle: from the service's events to notifications in its queue.
//!
//! It never waits for the callback and reads every event at once, since answers come on the same connection.
//! What cannot be told now, because the queue is full or events were missed, is told later from the status.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use futures_util::StreamExt;
use hostednet::{
    EventStream,
    types::view::{Event, HostedState, Snapshot},
};
use tokio::{sync::oneshot, time::sleep};

use crate::{client::Client, mirror::Mirror, notify::Notifier};

/// How often a pump without a service looks for one.
const LOOK: Duration = Duration::from_secs(1);

/// Events kept while the status is being asked for.
const HELD: usize = 1_024;

/// Runs until it is aborted. Owned by [`Client`], whose end ends it; nothing is lost by that but its events.
pub(crate) async fn pump(
    client: Arc<Client>,
    notifier: Arc<Notifier>,
    mirror: Mirror,
    mut stream: EventStream,
) {
    let mut pump = Pump { client, notifier, mirror, held: VecDeque::new(), question: None, behind: false };
    loop {
        pump.follow(&mut stream).await;
        drop(stream);
        pump.push(Mirror::lost);
        stream = pump.again().await;
    }
}

struct Pump {
    client: Arc<Client>,
    notifier: Arc<Notifier>,
    mirror: Mirror,
    /// Events that wait for the answer to `question`.
    held: VecDeque<Event>,
    question: Option<oneshot::Receiver<Snapshot>>,
    /// The callback knows less than happened: it catches up from a status.
    behind: bool,
}

impl Pump {
    /// Takes events until the service goes away.
    async fn follow(&mut self, stream: &mut EventStream) {
        loop {
            let asking = self.question.is_some();
            tokio::select! {
                event = stream.next() => match event {
                    Some(event) => self.take(event.event),
                    None => break,
                },
                answer = answered(&mut self.question), if asking => self.answer(answer),
                () = self.notifier.emptied(), if self.behind && !asking => self.ask(),
            }
        }
        self.question = None;
        self.held.clear();
        self.behind = false;
    }

    fn take(&mut self, event: Event) {
        let named = !self.mirror.nameless();
        if self.question.is_some() {
            if event == Event::Resync || self.held.len() >= HELD {
                self.behind = true;
                self.held.clear();
            } else {
                self.held.push_back(event);
            }
        } else if event == Event::Resync {
            self.behind = true;
        } else if self.behind {
            // The status will tell.
        } else if named || !matches!(event, Event::StateChanged { new: HostedState::Active, .. }) {
            self.deliver(&event);
        } else {
            // The first start ever made the adapter: its GUID goes into the notification.
            self.held.push_back(event);
            self.ask();
        }
    }

    fn ask(&mut self) {
        let (sender, question) = oneshot::channel();
        let client = Arc::clone(&self.client);
        tokio::spawn(async move {
            if let Ok(snapshot) = client.snapshot().await {
                // The pump may have lost interest.
                let _ = sender.send(snapshot);
            }
        });
        self.question = Some(question);
    }

    fn answer(&mut self, snapshot: Option<Snapshot>) {
        self.question = None;
        if let Some(snapshot) = snapshot {
            self.mirror.learn_guid(&snapshot);
            if self.behind {
                self.behind = false;
                self.push(|mirror| mirror.catch_up(&snapshot));
            }
        }
        for event in std::mem::take(&mut self.held) {
            self.deliver(&event);
        }
    }

    fn deliver(&mut self, event: &Event) {
        if self.notifier.room() < self.mirror.most() {
            self.behind = true;
        }
        if !self.behind {
            self.push(|mirror| mirror.apply(event));
        }
    }

    fn push(&mut self, tell: impl FnOnce(&mut Mirror) -> Vec<crate::notify::Notice>) {
        self.notifier.push(tell(&mut self.mirror));
    }

    /// Waits for the service to come back and tells what changed.
    async fn again(&mut self) -> EventStream {
        loop {
            tokio::select! {
                () = sleep(LOOK) => {}
                () = self.client.reconnected() => {}
            }
            if let Ok((snapshot, stream)) = self.client.subscribe().await {
                self.push(|mirror| mirror.catch_up(&snapshot));
                return stream;
            }
        }
    }
}

/// The answer to the question; `None` if it could not be asked.
async fn answered(question: &mut Option<oneshot::Receiver<Snapshot>>) -> Option<Snapshot> {
    match question {
        Some(question) => question.await.ok(),
        None => std::future::pending().await,
    }
}
