//! The arguments of this process as others see them in `/proc/PID/cmdline`.

use std::{
    fs::{self, OpenOptions},
    io,
    os::unix::fs::FileExt,
};

/// No command line is longer.
const LIMIT: u64 = 4 << 20;

/// Overwrites the values of these words (all of a word that has no `=`) where the kernel shows the arguments of this
/// process. The window between the start of the process and this call stays open; nothing this side of the caller can
/// close it.
///
/// It is done through `/proc/self/mem`, which needs no privilege: the arguments lie on this process's own stack.
/// `prctl(PR_SET_MM)` would need `CAP_SYS_RESOURCE`.
pub(crate) fn overwrite<'w>(words: impl Iterator<Item = &'w [u8]>) -> io::Result<()> {
    let (start, end) = range(&fs::read_to_string("/proc/self/stat")?)
        .ok_or_else(|| io::Error::other("the kernel does not tell where the arguments are"))?;
    let memory = OpenOptions::new().read(true).write(true).open("/proc/self/mem")?;
    let length = usize::try_from((end - start).min(LIMIT)).unwrap_or_default();
    let mut shown = zeroize::Zeroizing::new(vec![0; length]);
    memory.read_exact_at(&mut shown, start)?;
    for word in words {
        blank(&mut shown, word);
    }
    memory.write_all_at(&shown, start)
}

/// `arg_start` and `arg_end`, fields 48 and 49 (proc_pid_stat(5)). The second field may hold blanks and brackets.
fn range(stat: &str) -> Option<(u64, u64)> {
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace().skip(48 - 3);
    let start = fields.next()?.parse().ok()?;
    let end = fields.next()?.parse().ok()?;
    (0 < start && start < end).then_some((start, end))
}

/// Overwrites the value of every argument that is this word.
fn blank(shown: &mut [u8], word: &[u8]) {
    let value = word.iter().position(|byte| *byte == b'=').map_or(0, |sign| sign + 1);
    for argument in shown.split_mut(|byte| *byte == 0).filter(|argument| *argument == word) {
        argument.iter_mut().skip(value).for_each(|byte| *byte = b'*');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_is_found_whatever_the_program_is_called() {
        let fields: Vec<String> = (3..=52).map(|field| (field * 1000).to_string()).collect();
        let stat = format!("7 (a ) b) {}\n", fields.join(" "));
        assert_eq!(range(&stat), Some((48_000, 49_000)));
        assert_eq!(range("7 (x) 1 2 3"), None);
        assert_eq!(range(&stat.replace("48000", "0")), None, "hidden from us");
    }

    #[test]
    fn values_are_blanked_and_names_stay() {
        let mut shown = b"netsh\0key=secret\0secret\0secrets\0".to_vec();
        blank(&mut shown, b"key=secret");
        blank(&mut shown, b"secret");
        assert_eq!(shown, b"netsh\0key=******\0******\0secrets\0");
    }
}
