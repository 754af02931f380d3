//! The thread that writes the lease journal, so that the loop goes on while the disk works.
//!
//! Owner: [`Writer`], made once per worker before the system call filter is installed. The thread waits on
//! its job channel and on nothing else, and on the disk while it works. It ends when the `Writer` is dropped.
//! Should it end by itself, every later job fails and no lease is acknowledged any more.
//!
//! There is one job at a time: what arrives meanwhile is the next batch (group commit).

use std::{
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    sync::{
        Arc,
        mpsc::{Receiver, SyncSender, TryRecvError, sync_channel},
    },
    thread,
};

use rustix::{
    event::EventfdFlags,
    io::{self, Errno},
};

/// Stack of the thread in bytes; it calls a handful of functions.
const STACK: usize = 128 << 10;

/// Bytes to be put on disk.
#[derive(Debug)]
pub(crate) struct Job {
    /// The file.
    pub(crate) file: Arc<OwnedFd>,
    /// Length of what is valid in it: the bytes go there.
    pub(crate) length: u64,
    /// Something may stand behind the valid part: cut it off first.
    pub(crate) repair: bool,
    /// What is written.
    pub(crate) bytes: Vec<u8>,
}

/// A job that has ended.
#[derive(Debug)]
pub(crate) struct Done {
    /// The buffer of the job.
    pub(crate) bytes: Vec<u8>,
    /// Either everything is on disk, or nothing is promised.
    pub(crate) result: io::Result<()>,
}

/// The owner's end.
#[derive(Debug)]
pub(crate) struct Writer {
    jobs: Option<SyncSender<Job>>,
    done: Receiver<Done>,
    wake: Arc<OwnedFd>,
    thread: Option<thread::JoinHandle<()>>,
    busy: bool,
}

impl Writer {
    /// Starts the thread and returns when it waits for its first job: what a thread needs at its start may
    /// not be allowed any more a moment later.
    pub(crate) fn start() -> std::io::Result<Self> {
        let wake = Arc::new(rustix::event::eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?);
        let (jobs, work) = sync_channel::<Job>(1);
        let (finished, done) = sync_channel(1);
        let bell = Arc::clone(&wake);
        let thread =
            thread::Builder::new().name("journal".to_owned()).stack_size(STACK).spawn(move || {
                if finished.send(Done { bytes: Vec::new(), result: Ok(()) }).is_err() {
                    return;
                }
                while let Ok(job) = work.recv() {
                    let result = perform(&job);
                    if finished.send(Done { bytes: job.bytes, result }).is_err() {
                        return;
                    }
                    // Its counter cannot overflow: the owner takes each job's end before it gives the next.
                    let _ = io::write(&bell, &1_u64.to_ne_bytes());
                }
            })?;
        done.recv().map_err(|_| std::io::Error::other("the journal thread ended at once"))?;
        Ok(Self { jobs: Some(jobs), done, wake, thread: Some(thread), busy: false })
    }

    /// Becomes readable when a job has ended.
    pub(crate) fn as_fd(&self) -> BorrowedFd<'_> {
        self.wake.as_fd()
    }

    /// Whether a job is under way.
    pub(crate) fn is_busy(&self) -> bool {
        self.busy
    }

    /// Begins a job; the caller has seen that none is under way. Gives it back when the thread is gone.
    pub(crate) fn begin(&mut self, job: Job) -> Result<(), Done> {
        let lost = |job: Job| Done { bytes: job.bytes, result: Err(Errno::IO) };
        let Some(jobs) = &self.jobs else { return Err(lost(job)) };
        match jobs.try_send(job) {
            Ok(()) => {
                self.busy = true;
                Ok(())
            }
            Err(
                std::sync::mpsc::TrySendError::Full(job) | std::sync::mpsc::TrySendError::Disconnected(job),
            ) => Err(lost(job)),
        }
    }

    /// The job that has ended, if one has.
    pub(crate) fn finished(&mut self) -> Option<Done> {
        // An empty counter is as good as a full one.
        let _ = io::read(&self.wake, &mut [0; 8]);
        match self.done.try_recv() {
            Ok(done) => {
                self.busy = false;
                Some(done)
            }
            Err(TryRecvError::Empty) => None,
            Err(TryRecvError::Disconnected) => self.lost(),
        }
    }

    /// Waits for the job under way.
    pub(crate) fn wait(&mut self) -> Option<Done> {
        if !self.busy {
            return None;
        }
        match self.done.recv() {
            Ok(done) => {
                self.busy = false;
                Some(done)
            }
            Err(_) => self.lost(),
        }
    }

    fn lost(&mut self) -> Option<Done> {
        std::mem::take(&mut self.busy).then(|| Done { bytes: Vec::new(), result: Err(Errno::IO) })
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.jobs = None;
        // A job under way is finished: half a batch must not stay behind in the file.
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn perform(job: &Job) -> io::Result<()> {
    if job.repair {
        rustix::fs::ftruncate(&job.file, job.length)?;
    }
    let result = append(job).and_then(|()| rustix::fs::fdatasync(&job.file));
    if result.is_err() {
        // What stays when this fails too is cut off by the next job, or by the next reader.
        let _ = rustix::fs::ftruncate(&job.file, job.length);
    }
    result
}

fn append(job: &Job) -> io::Result<()> {
    let mut rest = job.bytes.as_slice();
    let mut at = job.length;
    while !rest.is_empty() {
        let written = io::retry_on_intr(|| io::pwrite(&job.file, rest, at))?;
        if written == 0 {
            return Err(Errno::IO);
        }
        at += written as u64;
        rest = rest.get(written..).unwrap_or_default();
    }
    Ok(())
}
