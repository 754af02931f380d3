//! The machine everything runs on: its cores, how quiet it is, and what a process has cost it.

use std::fmt;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use hn_testlab::command;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// The two cores: servers and everything they start on one, generators and sinks on the other.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cores {
    pub(crate) server: usize,
    pub(crate) generator: usize,
}

impl Cores {
    /// The first two cores this process may use; the same one twice when there is only one.
    pub(crate) fn find() -> Result<Self> {
        let allowed = sched_getaffinity(None)?;
        let mut cores = (0..CpuSet::MAX_CPU).filter(|core| allowed.is_set(*core));
        let server = cores.next().context("no core to run on")?;
        Ok(Self { server, generator: cores.next().unwrap_or(server) })
    }
}

/// Binds the calling thread, and what it starts from then on, to `core`.
pub(crate) fn pin(core: usize) -> Result<()> {
    let mut set = CpuSet::new();
    set.set(core);
    sched_setaffinity(None, &set).context("sched_setaffinity")
}

/// While it lives, this process and what it starts go before most of what else runs on the machine. All subjects
/// and generators are equal in it.
#[derive(Debug)]
pub(crate) struct Precedence {
    /// What the session's scheduling group had before, where there are such groups.
    group: Option<String>,
}

impl Precedence {
    /// A nice value that leaves the rest of the machine a tenth of a busy core.
    const NICE: i32 = -10;
    const GROUP: &str = "/proc/self/autogroup";

    /// Takes it as far as that is allowed; where it is not, the figures are noisier, and the noise is shown.
    pub(crate) fn take() -> Self {
        let _ = rustix::process::setpriority_process(None, Self::NICE);
        // With autogroups (sched(7)) a nice value only counts inside the session.
        let before = fs::read_to_string(Self::GROUP).ok();
        let group = before.and_then(|text| Some(text.trim().rsplit_once(' ')?.1.to_owned()));
        let changed = group.is_some() && fs::write(Self::GROUP, Self::NICE.to_string()).is_ok();
        Self { group: group.filter(|_| changed) }
    }
}

impl Drop for Precedence {
    fn drop(&mut self) {
        if let Some(nice) = &self.group {
            let _ = fs::write(Self::GROUP, nice);
        }
    }
}

/// The process and its descendants.
fn family(pid: u32) -> Vec<u32> {
    let mut found = vec![pid];
    let mut next = 0;
    while let Some(pid) = found.get(next).copied() {
        for task in tasks(pid) {
            let children =
                fs::read_to_string(format!("/proc/{pid}/task/{task}/children")).unwrap_or_default();
            found.extend(children.split_whitespace().filter_map(|word| word.parse::<u32>().ok()));
        }
        next += 1;
    }
    found
}

fn tasks(pid: u32) -> Vec<u32> {
    let Ok(entries) = fs::read_dir(format!("/proc/{pid}/task")) else { return Vec::new() };
    entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

/// The scheduler's own account of the time all threads of a process and its descendants have run.
pub(crate) fn cpu(pid: u32) -> Duration {
    let run = |pid: u32, task: u32| {
        let text = fs::read_to_string(format!("/proc/{pid}/task/{task}/schedstat")).ok()?;
        text.split_whitespace().next()?.parse::<u64>().ok()
    };
    let nanoseconds =
        family(pid).into_iter().flat_map(|pid| tasks(pid).into_iter().map(move |task| (pid, task)));
    Duration::from_nanos(nanoseconds.filter_map(|(pid, task)| run(pid, task)).sum())
}

/// Memory of a process and its descendants in MiB, shared pages divided among their users (PSS).
pub(crate) fn memory(pid: u32) -> f64 {
    let pss = |pid: u32| {
        let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
        let line = text.lines().find_map(|line| line.strip_prefix("Pss:"))?;
        line.split_whitespace().next()?.parse::<f64>().ok()
    };
    family(pid).into_iter().filter_map(pss).sum::<f64>() / 1024.0
}

/// Work that always costs the same, to see how much else the machine does: its time in milliseconds.
pub(crate) fn spin() -> f64 {
    let started = Instant::now();
    let mut state = 1_u64;
    for _ in 0..20_000_000_u32 {
        state = std::hint::black_box(state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1));
    }
    started.elapsed().as_secs_f64() * 1e3
}

/// Ticks of all cores since the machine started.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ticks {
    steal: u64,
    all: u64,
}

impl Ticks {
    pub(crate) fn read() -> Result<Self> {
        let text = fs::read_to_string("/proc/stat")?;
        let line = text.lines().next().context("/proc/stat is empty")?;
        let ticks: Vec<u64> = line.split_whitespace().skip(1).filter_map(|word| word.parse().ok()).collect();
        // user nice system idle iowait irq softirq steal; guest time is contained in user time.
        Ok(Self { steal: ticks.get(7).copied().unwrap_or(0), all: ticks.iter().take(8).sum() })
    }

    /// The share of time, in percent, that the hypervisor gave to others since `earlier`.
    pub(crate) fn stolen_since(self, earlier: Self) -> f64 {
        let share = |part: u64, whole: u64| 100.0 * part as f64 / whole.max(1) as f64;
        share(self.steal.saturating_sub(earlier.steal), self.all.saturating_sub(earlier.all))
    }
}

/// Times of small appends made durable in `folder`, in microseconds.
pub(crate) fn append_times(folder: &Path) -> Result<Vec<f64>> {
    use std::io::Write as _;
    let mut file = tempfile::tempfile_in(folder)?;
    let mut times = Vec::new();
    for _ in 0..50 {
        let started = Instant::now();
        file.write_all(&[0; 64])?;
        file.sync_data()?;
        times.push(started.elapsed().as_secs_f64() * 1e6);
    }
    Ok(times)
}

/// What the figures were taken on.
#[derive(Debug)]
pub(crate) struct Description(Vec<(&'static str, String)>);

impl Description {
    pub(crate) fn take(work: &Path) -> Result<Self> {
        let first = |text: String, key: &str| {
            let line = text.lines().find(|line| line.starts_with(key)).unwrap_or_default().to_owned();
            line.split_once(':').map(|(_, value)| value.trim().to_owned()).unwrap_or_default()
        };
        let said = |program: &str, words: &[&str]| {
            let done = command::run(Command::new(program).args(words), command::SHORT).ok()?;
            let text = if done.stdout.trim().is_empty() { done.stderr } else { done.stdout };
            Some(text.lines().next().unwrap_or_default().trim().to_owned())
        };
        let cpus = std::thread::available_parallelism()?.get();
        let memory = first(fs::read_to_string("/proc/meminfo")?, "MemTotal");
        let mib =
            memory.split_whitespace().next().and_then(|word| word.parse::<u64>().ok()).unwrap_or(0) / 1024;
        let file_system = said("stat", &["-f", "-c", "%T", &work.to_string_lossy()]).unwrap_or_default();
        let distribution = fs::read_to_string("/etc/os-release").unwrap_or_default();
        let distribution = distribution.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="));
        Ok(Self(vec![
            ("processor", format!("{cpus} × {}", first(fs::read_to_string("/proc/cpuinfo")?, "model name"))),
            ("memory", format!("{mib} MiB")),
            ("kernel", format!("Linux {}", fs::read_to_string("/proc/sys/kernel/osrelease")?.trim())),
            ("distribution", distribution.unwrap_or("unknown").trim_matches('"').to_owned()),
            ("disk for leases", file_system),
            ("network", "veth pairs between network namespaces".to_owned()),
        ]))
    }
}

impl fmt::Display for Description {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|(key, value)| writeln!(f, "* {key}: {value}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_works_is_seen_to_cost_time_and_memory() {
        let before = cpu(std::process::id());
        std::hint::black_box(spin());
        assert!(cpu(std::process::id()) > before);
        assert!(memory(std::process::id()) > 0.0);
    }

    #[test]
    fn stolen_time_is_a_share_of_all_time() {
        let (then, now) = (Ticks { steal: 10, all: 1_000 }, Ticks { steal: 15, all: 1_100 });
        assert!((now.stolen_since(then) - 5.0).abs() < f64::EPSILON);
    }
}
