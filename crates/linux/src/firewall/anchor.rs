//! The table that holds connections while the other one is away.

use hn_nft::{Batch, Object, Ruleset};

use super::{ATTEMPTS, Conversation, PAUSE, Trouble};

const INSTALL: &str = "install the table that holds connections through a flush";

/// The table. The journal needs to know nothing of it: it goes with the socket that owns it.
#[derive(Debug, Default)]
pub(super) struct Anchor {
    held: Ruleset,
    /// Who owns the table. Without a table it rests until there is one again.
    kernel: Option<Conversation>,
}

impl Anchor {
    /// Makes the table be `wanted`. A kernel that cannot (before 5.12) or will not is told, and refuses nothing: what is
    /// promised holds without it, only that connections end when somebody flushes all rules.
    pub(super) async fn apply(&mut self, wanted: Ruleset) {
        let mut pause = PAUSE;
        for attempt in 1.. {
            if self.held == wanted {
                return;
            }
            match self.replace(&wanted) {
                Ok(()) => self.held = wanted,
                Err((trouble, _)) if trouble.passes() && attempt < ATTEMPTS => {
                    tokio::time::sleep(pause).await;
                    pause *= 2;
                    continue;
                }
                Err((trouble, object)) => {
                    // With its owner the table goes, whatever it is.
                    *self = Self::default();
                    let error = trouble.into_error(INSTALL, &object);
                    tracing::warn!(%error, "connections of devices will end when somebody flushes all firewall rules");
                }
            }
            return;
        }
    }

    fn replace(&mut self, wanted: &Ruleset) -> Result<(), (Trouble, Object)> {
        let kernel = match &mut self.kernel {
            Some(kernel) => kernel,
            none => none.insert(Conversation::open().map_err(|trouble| (trouble, Object::Table))?),
        };
        kernel.transact(&Batch::anchor(wanted, kernel.sequence + 1))
    }
}
