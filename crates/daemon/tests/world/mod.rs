//! A daemon of its own for each test, in folders of its own.

use std::{
    cell::RefCell,
    fs,
    os::unix::fs::PermissionsExt,
    path::PathBuf,
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use futures_util::StreamExt;
use hostednet::{EventStream, Session, blocking, types::view::Event};
use rustix::process::{Gid, Uid};
use rustix::thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::UnixStream,
    time::{sleep, timeout},
};

/// Nothing here takes longer, on the slowest machine.
const LIMIT: Duration = Duration::from_secs(60);

/// A running daemon on the simulated platform.
pub(crate) struct World {
    folder: tempfile::TempDir,
    daemon: RefCell<Option<Child>>,
}

/// A user other than the test's.
#[derive(Clone, Copy)]
pub(crate) struct Who {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

/// Runs a test in a world of its own.
pub(crate) fn run(test: impl AsyncFnOnce(&World)) {
    run_within(LIMIT, test);
}

/// The same for a test that may take longer.
pub(crate) fn run_within(limit: Duration, test: impl AsyncFnOnce(&World)) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let folder = tempfile::tempdir().unwrap();
        // Other users have to reach the socket.
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let world = World { folder, daemon: RefCell::new(None) };
        world.start().await;
        timeout(limit, test(&world)).await.expect("the test takes too long");
    });
}

impl World {
    fn spawn(&self) -> Child {
        let log = fs::File::options().create(true).append(true).open(self.folder.path().join("log")).unwrap();
        Command::new(env!("CARGO_BIN_EXE_hostednetd"))
            .arg("--simulate")
            .arg("--config")
            .arg(self.folder.path().join("hostednet.toml"))
            .arg("--state-dir")
            .arg(self.folder.path().join("state"))
            .arg("--runtime-dir")
            .arg(self.folder.path().join("run"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap()
    }

    async fn start(&self) {
        *self.daemon.borrow_mut() = Some(self.spawn());
        timeout(LIMIT, async {
            while Session::connect(&self.socket()).await.is_err() {
                sleep(Duration::from_millis(5)).await;
            }
        })
        .await
        .expect("the daemon does not answer");
    }

    /// Its socket.
    pub(crate) fn socket(&self) -> PathBuf {
        self.folder.path().join("run/bus")
    }

    /// A new session.
    pub(crate) async fn session(&self) -> Session {
        Session::connect(&self.socket()).await.unwrap()
    }

    /// Does `work` with a session of another user: of a thread that becomes that user and never anybody else again.
    /// It cannot record evidence; whoever calls this can.
    pub(crate) fn act_as(&self, who: Who, work: impl FnOnce(&blocking::Session) + Send + 'static) {
        let socket = self.socket();
        let thread = thread::spawn(move || {
            let (uid, gid) = (Uid::from_raw(who.uid), Gid::from_raw(who.gid));
            set_thread_groups(&[]).unwrap();
            set_thread_res_gid(gid, gid, gid).unwrap();
            set_thread_res_uid(uid, uid, uid).unwrap();
            work(&blocking::Session::connect(&socket).unwrap());
        });
        thread.join().expect("the other user's part");
    }

    /// One command on the console and its answer.
    pub(crate) async fn ask(&self, line: &str) -> String {
        let mut stream = UnixStream::connect(self.folder.path().join("run/sim")).await.unwrap();
        stream.write_all(format!("{line}\n").as_bytes()).await.unwrap();
        let mut answer = String::new();
        BufReader::new(stream).read_line(&mut answer).await.unwrap();
        answer.trim_end().to_owned()
    }

    /// One command on the console that succeeds.
    pub(crate) async fn console(&self, line: &str) {
        assert_eq!(self.ask(line).await, "ok", "{line}");
    }

    /// The plans that hold on the simulated machine.
    pub(crate) async fn show(&self) -> String {
        self.ask("show").await
    }

    /// Waits until exactly these plans hold.
    pub(crate) async fn settles(&self, plans: &str) {
        while self.show().await != plans {
            sleep(Duration::from_millis(5)).await;
        }
    }

    /// What the daemons of this world said.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap()
    }

    /// Where the administrator's policy is.
    pub(crate) fn policy_file(&self) -> PathBuf {
        self.folder.path().join("policy.toml")
    }

    /// Writes the policy and tells the daemon (SIGHUP).
    pub(crate) fn set_policy(&self, text: &str) {
        fs::write(self.policy_file(), text).unwrap();
        fs::set_permissions(self.policy_file(), fs::Permissions::from_mode(0o644)).unwrap();
        self.hang_up();
    }

    /// SIGHUP.
    pub(crate) fn hang_up(&self) {
        let daemon = self.daemon.borrow();
        let pid = rustix::process::Pid::from_child(daemon.as_ref().unwrap());
        rustix::process::kill_process(pid, rustix::process::Signal::HUP).unwrap();
    }

    /// Waits until it comes to hold.
    pub(crate) async fn until(&self, holds: impl AsyncFn() -> bool) {
        while !holds().await {
            sleep(Duration::from_millis(5)).await;
        }
    }

    /// Ends the daemon and starts another, which refuses to run. What it says.
    pub(crate) async fn refuses_to_start(&self) -> String {
        self.terminate().await;
        let mut daemon = self.spawn();
        let status = loop {
            if let Some(status) = daemon.try_wait().unwrap() {
                break status;
            }
            sleep(Duration::from_millis(5)).await;
        };
        assert!(!status.success() && !self.socket().exists());
        self.log()
    }

    /// SIGTERM, and waits for the end.
    pub(crate) async fn terminate(&self) {
        let mut daemon = self.daemon.borrow_mut().take().unwrap();
        let pid = rustix::process::Pid::from_child(&daemon);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        let status = loop {
            if let Some(status) = daemon.try_wait().unwrap() {
                break status;
            }
            sleep(Duration::from_millis(5)).await;
        };
        assert!(status.success(), "{status}");
    }

    /// Ends the daemon and starts another on the same folders.
    pub(crate) async fn restart(&self) {
        self.terminate().await;
        self.start().await;
    }
}

#[expect(clippy::print_stderr, reason = "a failed test shows what the daemon said")]
impl Drop for World {
    fn drop(&mut self) {
        if let Some(mut daemon) = self.daemon.borrow_mut().take() {
            let _ = daemon.kill();
            let _ = daemon.wait();
        }
        if thread::panicking() {
            eprintln!("hostednetd said:\n{}", self.log());
        }
    }
}

/// The next event that fits.
pub(crate) async fn next_event(events: &mut EventStream, fits: impl Fn(&Event) -> bool) -> Event {
    loop {
        let event = timeout(LIMIT, events.next())
            .await
            .expect("the event does not come")
            .expect("the stream ended")
            .event;
        if fits(&event) {
            return event;
        }
    }
}
