//! The system bus, where neighbours are met.
//!
//! It may not be there, and whoever is on it may be silent: every question has a limit, and an absent bus is an absent
//! neighbour. Nobody is ever started by a question: ask [`SystemBus::present`] first, which asks the bus alone.

use std::{cell::RefCell, fmt, rc::Rc, time::Duration};

use hn_types::{DriverError, DriverErrorKind};
use tokio::time::timeout;
use zbus::{
    Connection, DynamicType, MatchRule, MessageStream, Proxy, connection,
    proxy::{Builder, CacheProperties, MethodFlags},
    wire::DynamicDeserialize,
};

/// For the bus to greet: it does at once, or it is stuck.
const CONNECT: Duration = Duration::from_secs(3);
/// For a neighbour to answer. One that reloads everything it has takes seconds.
const ANSWER: Duration = Duration::from_secs(15);
/// Signals of one subscription that may wait to be read; more are of no use.
const QUEUE: usize = 64;

/// The bus's own name.
const BUS: Object<'static> =
    Object { name: "org.freedesktop.DBus", path: "/org/freedesktop/DBus", interface: "org.freedesktop.DBus" };

/// Whom to ask.
#[derive(Clone, Copy, Debug)]
pub struct Object<'a> {
    /// The well-known name.
    pub name: &'a str,
    /// The object's path.
    pub path: &'a str,
    /// The interface.
    pub interface: &'a str,
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// There is no bus, or it does not let us in.
    Absent(String),
    /// The neighbour says no.
    Refused {
        /// The name of the D-Bus error.
        name: String,
        /// Its words.
        text: String,
    },
    /// Nobody answered in time.
    Silent,
    /// The conversation broke off, or the answer makes no sense.
    Broken(String),
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent(cause) => write!(f, "the system bus cannot be reached: {cause}"),
            Self::Refused { name, text } if text.is_empty() => write!(f, "refused with {name}"),
            Self::Refused { text, .. } => f.write_str(text.trim_end_matches('.')),
            Self::Silent => write!(f, "no answer within {} s", ANSWER.as_secs()),
            Self::Broken(cause) => write!(f, "the conversation broke off: {cause}"),
        }
    }
}

impl Trouble {
    /// As the failure of an action on `object`.
    pub fn into_error(self, op: &str, object: impl fmt::Display) -> DriverError {
        let kind = match &self {
            Self::Absent(_) => DriverErrorKind::Unsupported,
            Self::Refused { .. } => DriverErrorKind::Denied,
            Self::Silent => DriverErrorKind::Timeout,
            Self::Broken(_) => DriverErrorKind::Io,
        };
        DriverError::new(kind, op, object, self)
    }
}

impl From<zbus::Error> for Trouble {
    fn from(error: zbus::Error) -> Self {
        if let zbus::Error::MethodError(name, text, _) = error {
            return Self::Refused { name: name.to_string(), text: text.unwrap_or_default() };
        }
        if let zbus::Error::FDO(error) = error {
            let name = zbus::DBusError::name(error.as_ref()).to_string();
            return Self::Refused { name, text: error.to_string() };
        }
        Self::Broken(error.to_string())
    }
}

/// The system bus, connected when it is first needed and again when the connection was lost.
///
/// Its address is `DBUS_SYSTEM_BUS_ADDRESS`, else the usual one. Clones share one connection.
#[derive(Clone, Debug, Default)]
pub struct SystemBus {
    connection: Rc<RefCell<Option<Connection>>>,
}

impl SystemBus {
    /// The connection.
    ///
    /// # Errors
    ///
    /// [`Trouble::Absent`].
    pub async fn connection(&self) -> Result<Connection, Trouble> {
        let living = self.connection.borrow().clone().filter(|connection| !connection.is_closed());
        if let Some(connection) = living {
            return Ok(connection);
        }
        let built = timeout(CONNECT, connection::Builder::system().method_timeout(ANSWER).build()).await;
        let connection = match built {
            Ok(Ok(connection)) => connection,
            Ok(Err(error)) => return Err(Trouble::Absent(error.to_string())),
            Err(_) => return Err(Trouble::Absent(format!("no greeting within {} s", CONNECT.as_secs()))),
        };
        self.connection.replace(Some(connection.clone()));
        Ok(connection)
    }

    /// Whether somebody has this name now. Nobody is started for the question; without a bus nobody has it.
    pub async fn present(&self, name: &str) -> bool {
        self.call::<_, bool>(BUS, "NameHasOwner", &(name,)).await.unwrap_or(false)
    }

    /// Asks `whom` and reads the answer. Nobody is started for it.
    ///
    /// # Errors
    ///
    /// Why there is no answer.
    pub async fn call<B, R>(&self, whom: Object<'_>, method: &str, body: &B) -> Result<R, Trouble>
    where
        B: serde::Serialize + DynamicType,
        R: for<'d> DynamicDeserialize<'d>,
    {
        let connection = self.connection().await?;
        let answered = timeout(ANSWER, async {
            let proxy = Builder::<Proxy<'_>>::new(&connection)
                .destination(whom.name)
                .path(whom.path)
                .interface(whom.interface)
                .cache_properties(CacheProperties::No)
                .build()
                .await?;
            proxy.call_with_flags(method, MethodFlags::NO_AUTO_START, body).await
        });
        let answer = answered.await.map_err(|_| Trouble::Silent)?.map_err(Trouble::from)?;
        answer.ok_or_else(|| Trouble::Broken("there was no answer".to_owned()))
    }

    /// Signals that fit `rule`, from here on. The stream ends when the connection does.
    ///
    /// # Errors
    ///
    /// Why there is no subscription.
    pub async fn follow(&self, rule: MatchRule<'static>) -> Result<MessageStream, Trouble> {
        let connection = self.connection().await?;
        let queue = std::num::NonZeroUsize::new(QUEUE);
        let subscribed = timeout(ANSWER, MessageStream::for_match_rule(rule, &connection, queue)).await;
        subscribed.map_err(|_| Trouble::Silent)?.map_err(Trouble::from)
    }
}

/// Carries out `work` on a thread of its own and waits for it: for what has to be undone outside of any runtime.
///
/// # Errors
///
/// When there is no thread or runtime to be had.
pub fn apart<T: Send>(work: impl AsyncFnOnce(SystemBus) -> T + Send) -> std::io::Result<T> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name("bus".to_owned()).spawn_scoped(scope, || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            Ok(runtime.block_on(work(SystemBus::default())))
        })?;
        thread.join().unwrap_or_else(|_| Err(std::io::Error::other("the thread for the bus panicked")))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_that_is_a_refusal_keeps_its_words() {
        let trouble = Trouble::Refused { name: "org.x.No".into(), text: "INVALID_ZONE: guests.".into() };
        let error = trouble.into_error("put it into a zone", "lan0");
        assert_eq!(error.kind, DriverErrorKind::Denied);
        assert_eq!(error.cause, "INVALID_ZONE: guests");
    }

    #[test]
    fn work_apart_needs_no_runtime_around_it() {
        assert_eq!(apart(async |_| 7).ok(), Some(7));
    }
}
