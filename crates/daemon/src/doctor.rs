//! Diagnoses: what the core knows goes in, the platform looks, the core judges, the answer goes out.
//!
//! | task | owns | waits on | its end |
//! |---|---|---|---|
//! | doctor | the examiner | questions, then the platform | the loop ends |
//!
//! One at a time, and not more often than `PAUSE` allows: an examination sends packets, and any user may ask for
//! one. The loop never waits for it.

use std::time::Duration;

use hn_core::{Case, diagnose};
use hn_ports::Examiner;
use hn_types::{ErrorCode, Failure, Reason, diagnosis::Diagnosis};
use tokio::{
    sync::{mpsc, oneshot},
    task::spawn_local,
    time::{Instant, sleep_until, timeout},
};

/// Questions that may wait.
const QUEUE: usize = 4;
/// From the beginning of one examination to the next.
const PAUSE: Duration = Duration::from_secs(1);
/// An examination that takes longer is given up.
const LIMIT: Duration = Duration::from_secs(20);

/// Where the answer to a question goes.
pub type Answer = oneshot::Sender<Result<Diagnosis, Failure>>;

/// The way to the task.
#[derive(Debug)]
pub struct Doctor {
    questions: mpsc::Sender<(Case, Answer)>,
}

impl Doctor {
    /// Starts the task.
    pub fn start(examiner: Examiner) -> Self {
        let (questions, mut waiting) = mpsc::channel::<(Case, Answer)>(QUEUE);
        spawn_local(async move {
            let mut next = Instant::now();
            while let Some((case, answer)) = waiting.recv().await {
                // Nobody waits for it any more.
                if answer.is_closed() {
                    continue;
                }
                sleep_until(next).await;
                next = Instant::now() + PAUSE;
                let found = timeout(LIMIT, examiner.examine(case.examination().clone())).await;
                let diagnosis = found.map(|findings| diagnose(&case, &findings)).map_err(|_| late());
                let _ = answer.send(diagnosis);
            }
        });
        Self { questions }
    }

    /// Has a case examined; the answer comes later, or at once that too many wait.
    pub fn examine(&self, case: Case, answer: Answer) {
        if let Err(error) = self.questions.try_send((case, answer)) {
            let (_, answer) = error.into_inner();
            let _ = answer.send(Err(busy()));
        }
    }
}

fn busy() -> Failure {
    let cause = "several examinations are waiting already";
    Failure::check(ErrorCode::LimitExceeded, Reason::Unspecified, "doctor", cause)
        .with_remedy("try again in a few seconds")
}

fn late() -> Failure {
    let cause = "the examination did not come to its end in time";
    Failure::check(ErrorCode::Timeout, Reason::Unspecified, "doctor", cause)
        .with_remedy("try again; the service's log may say what hangs")
}
