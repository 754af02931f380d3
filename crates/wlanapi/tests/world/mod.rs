//! A process and a simulated service of its own for each test: the library reads its socket from the environment,
//! and what it holds belongs to the process.
#![allow(dead_code, reason = "each test program uses a part of it")]
#![expect(clippy::unwrap_used, reason = "tests")]

use std::{
    cell::RefCell,
    env,
    io::{BufRead, BufReader, Write},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

/// Nothing here takes longer, on the slowest machine.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);

const FOLDER: &str = "HOSTEDNET_TEST_WORLD";

/// Says which part a process of a test plays.
const PART: &str = "HOSTEDNET_TEST_PART";

/// A service on the simulated platform.
pub(crate) struct World {
    folder: PathBuf,
    service: RefCell<Option<Child>>,
}

/// Runs the test `name` in a process of its own.
pub(crate) fn run(name: &str, test: impl FnOnce(&World)) {
    if let Some(folder) = env::var_os(FOLDER) {
        let world = World { folder: folder.into(), service: RefCell::new(None) };
        world.start();
        test(&world);
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    // A test may go on as somebody else.
    std::fs::set_permissions(folder.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let output = Command::new(env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture", "--test-threads=1"])
        .env(FOLDER, folder.path())
        .env("HOSTEDNET_SOCKET", folder.path().join("run/bus"))
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && text.contains("1 passed"), "{name}:\n{text}\n{errors}");
}

/// Whether this process plays a part in a test; then it does so, and the test is not run in it.
pub(crate) fn plays(part: impl FnOnce()) -> bool {
    let plays = env::var_os(PART).is_some();
    if plays {
        part();
    }
    plays
}

/// A process that plays a part in the test `name`: the same program, told so by its environment.
pub(crate) fn part(name: &str) -> Command {
    let mut command = Command::new(env::current_exe().unwrap());
    command
        .args(["--exact", name, "--nocapture", "--test-threads=1"])
        .env(PART, "")
        .env_remove("HOSTEDNET_EVIDENCE")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    command
}

/// A file that cargo built.
pub(crate) fn built(name: &str) -> PathBuf {
    let tests = env::current_exe().unwrap();
    let folder = tests.ancestors().nth(2).unwrap();
    folder.join(name)
}

impl World {
    /// Starts the service.
    pub(crate) fn start(&self) {
        let program = built("hostednetd");
        assert!(
            program.exists(),
            "{} is missing: build it with `cargo build -p hn-daemon`",
            program.display()
        );
        let service = Command::new(program)
            .arg("--simulate")
            .args(["--config".into(), self.folder.join("hostednet.toml")])
            .args(["--state-dir".into(), self.folder.join("state")])
            .args(["--runtime-dir".into(), self.folder.join("run")])
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        *self.service.borrow_mut() = Some(service);
        wait("the service answers", || UnixStream::connect(self.folder.join("run/bus")).is_ok());
    }

    /// Ends it as a crash does.
    pub(crate) fn kill(&self) {
        let mut service = self.service.borrow_mut().take().unwrap();
        service.kill().unwrap();
        service.wait().unwrap();
    }

    /// Writes the administrator's policy and has it read.
    pub(crate) fn policy(&self, text: &str) {
        std::fs::write(self.folder.join("policy.toml"), text).unwrap();
        let id = self.service.borrow().as_ref().unwrap().id();
        let id = nix::unistd::Pid::from_raw(id.try_into().unwrap());
        nix::sys::signal::kill(id, nix::sys::signal::Signal::SIGHUP).unwrap();
    }

    /// Many commands on one connection to the console, each answered before the next is given.
    pub(crate) fn commands<'a>(&self, lines: impl IntoIterator<Item = &'a str>) {
        let mut stream = UnixStream::connect(self.folder.join("run/sim")).unwrap();
        let mut answers = BufReader::new(stream.try_clone().unwrap()).lines();
        for line in lines {
            writeln!(stream, "{line}").unwrap();
            assert_eq!(answers.next().unwrap().unwrap(), "ok", "{line}");
        }
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// One command on the console of the simulated machine that succeeds.
    pub(crate) fn console(&self, line: &str) {
        let mut stream = UnixStream::connect(self.folder.join("run/sim")).unwrap();
        writeln!(stream, "{line}").unwrap();
        let mut answer = String::new();
        BufReader::new(stream).read_line(&mut answer).unwrap();
        assert_eq!(answer.trim_end(), "ok", "{line}");
    }

    /// A session in the other language, for what C programs cannot ask.
    pub(crate) fn session(&self) -> hostednet::blocking::Session {
        hostednet::blocking::Session::connect(&self.folder.join("run/bus")).unwrap()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if let Some(mut service) = self.service.borrow_mut().take() {
            let _ = service.kill();
            let _ = service.wait();
        }
    }
}

/// Waits until something holds.
pub(crate) fn wait(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < LIMIT, "it does not come to hold: {what}");
        sleep(Duration::from_millis(5));
    }
}

/// Says that a test cannot run here, and counts it as `hn-testlab` does; fails where the tier is promised.
#[expect(clippy::print_stderr, reason = "a skipped test must be loud")]
pub(crate) fn skip(reason: &str) {
    let thread = std::thread::current();
    let test = thread.name().unwrap_or("a test");
    assert!(env::var_os("LAB_STRICT").is_none_or(|value| value != "1"), "{test} cannot run: {reason}");
    eprintln!("SKIPPED {test}: {reason}");
    if let Some(path) = env::var_os("LAB_SKIPS") {
        let mut file = std::fs::OpenOptions::new().create(true).append(true).open(path).unwrap();
        writeln!(file, "{test}\t{reason}").unwrap();
    }
}
