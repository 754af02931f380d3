//! The control socket of hostapd and of its sister wpa_supplicant: one datagram asks, one answers; events come to
//! a socket that is attached.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use tokio::{net::UnixDatagram, time::timeout};

/// The longest answer either gives is 4096 bytes.
const ANSWER_LIMIT: usize = 8192;

/// Tells the sockets of this process apart.
static NEXT: AtomicU64 = AtomicU64::new(0);

/// A control socket: hostapd's global one, or that of an interface.
#[derive(Clone, Debug)]
pub(crate) struct Control {
    server: PathBuf,
    /// Where our ends are bound; nobody else may enter it.
    dir: PathBuf,
}

impl Control {
    pub(crate) const fn new(server: PathBuf, dir: PathBuf) -> Self {
        Self { server, dir }
    }

    /// Asks and waits for the answer, without its line end. Every question has a socket of its own, so a late
    /// answer to a question that was given up can never be taken for the answer to the next.
    pub(crate) async fn ask(&self, question: &str, patience: Duration) -> io::Result<String> {
        let end = End::connect(&self.server, &self.dir)?;
        let asked = async {
            end.socket.send(question.as_bytes()).await?;
            let mut buffer = vec![0; ANSWER_LIMIT];
            let length = end.socket.recv(&mut buffer).await?;
            let answer = String::from_utf8_lossy(buffer.get(..length).unwrap_or_default());
            Ok(answer.trim_end().to_owned())
        };
        timeout(patience, asked).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
    }

    /// Has every event sent to us from here on.
    pub(crate) async fn attach(&self, patience: Duration) -> io::Result<Monitor> {
        let end = End::connect(&self.server, &self.dir)?;
        let attached = async {
            end.socket.send(b"ATTACH").await?;
            let mut buffer = [0; 64];
            let length = end.socket.recv(&mut buffer).await?;
            if buffer.get(..length).unwrap_or_default().starts_with(b"OK") {
                Ok(())
            } else {
                Err(io::Error::other("it does not let us listen"))
            }
        };
        timeout(patience, attached).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))?;
        Ok(Monitor { end })
    }
}

/// A socket to which the events are sent.
#[derive(Debug)]
pub(crate) struct Monitor {
    end: End,
}

impl Monitor {
    /// The next event, as it came. Safe to give up at any time.
    pub(crate) async fn next(&self) -> io::Result<Vec<u8>> {
        let mut buffer = vec![0; ANSWER_LIMIT];
        let length = self.end.socket.recv(&mut buffer).await?;
        buffer.truncate(length);
        Ok(buffer)
    }
}

/// Our end of a conversation; its name goes with it.
#[derive(Debug)]
struct End {
    socket: UnixDatagram,
    path: PathBuf,
}

impl End {
    fn connect(server: &Path, dir: &Path) -> io::Result<Self> {
        let path = dir.join(format!("c{}", NEXT.fetch_add(1, Ordering::Relaxed)));
        let end = Self { socket: UnixDatagram::bind(&path)?, path };
        end.socket.connect(server)?;
        Ok(end)
    }
}

impl Drop for End {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(5);

    #[tokio::test(flavor = "current_thread")]
    async fn a_question_gets_its_own_answer_and_leaves_no_name_behind() {
        let dir = tempfile::tempdir().unwrap();
        let server = dir.path().join("server");
        let socket = UnixDatagram::bind(&server).unwrap();
        let control = Control::new(server, dir.path().into());
        let serve = async {
            let mut buffer = [0; 64];
            let (_, first) = socket.recv_from(&mut buffer).await.unwrap();
            let (length, second) = socket.recv_from(&mut buffer).await.unwrap();
            assert_eq!(buffer.get(..length).unwrap(), b"SECOND");
            // The first answer is late: nobody waits for it.
            let _ = socket.send_to(b"LATE\n", first.as_pathname().unwrap()).await;
            socket.send_to(b"PONG\n", second.as_pathname().unwrap()).await.unwrap();
        };
        let ask = async {
            let given_up = control.ask("FIRST", Duration::from_millis(1)).await.unwrap_err();
            assert_eq!(given_up.kind(), io::ErrorKind::TimedOut);
            assert_eq!(control.ask("SECOND", PATIENCE).await.unwrap(), "PONG");
        };
        tokio::join!(serve, ask);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "only the server's socket is left");
    }

    #[tokio::test(flavor = "current_thread")]
    async fn events_come_after_attaching() {
        let dir = tempfile::tempdir().unwrap();
        let server = dir.path().join("server");
        let socket = UnixDatagram::bind(&server).unwrap();
        let control = Control::new(server, dir.path().into());
        let serve = async {
            let mut buffer = [0; 64];
            let (_, from) = socket.recv_from(&mut buffer).await.unwrap();
            socket.send_to(b"OK\n", from.as_pathname().unwrap()).await.unwrap();
            socket.send_to(b"<3>AP-ENABLED ", from.as_pathname().unwrap()).await.unwrap();
        };
        let listen = async {
            let monitor = control.attach(PATIENCE).await.unwrap();
            assert_eq!(monitor.next().await.unwrap(), b"<3>AP-ENABLED ");
        };
        tokio::join!(serve, listen);
    }

    #[tokio::test(flavor = "current_thread")]
    async fn a_server_that_is_not_there_is_an_error_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let control = Control::new(dir.path().join("server"), dir.path().into());
        assert_eq!(control.ask("PING", PATIENCE).await.unwrap_err().kind(), io::ErrorKind::NotFound);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
