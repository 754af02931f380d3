//! The document in which the figures are kept: what is between the markers is written by this program.

use std::path::Path;

use anyhow::{Context as _, Result};

const BEGIN: &str = "<!-- measured: begin -->";
const END: &str = "<!-- measured: end -->";

/// Puts `text` between the markers of the document at `path`.
pub(crate) fn write(path: &Path, text: &str) -> Result<()> {
    let document = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
    let new = replace(&document, text).with_context(|| format!("{} lacks its markers", path.display()))?;
    Ok(std::fs::write(path, new)?)
}

fn replace(document: &str, text: &str) -> Option<String> {
    let (before, rest) = document.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{BEGIN}\n\n{}\n\n{END}{after}", text.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_between_the_markers_changes() {
        let document = format!("# A\n{BEGIN}\nold\n{END}\n# B\n");
        let new = replace(&document, "new\n").unwrap_or_default();
        assert_eq!(new, format!("# A\n{BEGIN}\n\nnew\n\n{END}\n# B\n"));
        assert_eq!(replace(&new, "new").unwrap_or_default(), new);
        assert_eq!(replace("# A\n", "new"), None);
    }
}
