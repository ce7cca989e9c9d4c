//! `RESULTS.md`: a section a benchmark, replaced by the newest run.

use std::path::Path;

use anyhow::{Context, Result};

use crate::figures::Section;

/// Puts a section into the file, in place of the one of the same name.
///
/// # Errors
/// When the file cannot be read or written.
pub fn write(file: &Path, section: &Section) -> Result<()> {
    let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    let new = with(&text, section.name, &section.to_string());
    std::fs::write(file, new).with_context(|| format!("cannot write {}", file.display()))
}

/// `text` with this body below the heading of this name; a heading that is missing is put at the end.
fn with(text: &str, name: &str, body: &str) -> String {
    let heading = format!("## {name}");
    let lines: Vec<&str> = text.lines().collect();
    let begin = lines.iter().position(|line| *line == heading);
    let (before, after) = match begin {
        None => (lines.as_slice(), &[][..]),
        Some(begin) => {
            let rest = &lines[begin + 1..];
            let end = rest.iter().position(|line| line.starts_with("## ")).unwrap_or(rest.len());
            (&lines[..begin], &rest[end..])
        }
    };
    let mut parts =
        vec![before.join("\n").trim_end().to_owned(), format!("{heading}\n\n{}", body.trim_end())];
    parts.extend((!after.is_empty()).then(|| after.join("\n").trim_end().to_owned()));
    parts.join("\n\n").trim_start().to_owned() + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_section_takes_the_place_of_the_one_before() {
        let text = "# Results\n\n## a\n\nold\n\n| x |\n\n## b\n\nkept\n";
        assert_eq!(with(text, "a", "new\n"), "# Results\n\n## a\n\nnew\n\n## b\n\nkept\n");
        assert_eq!(with(text, "b", "new"), "# Results\n\n## a\n\nold\n\n| x |\n\n## b\n\nnew\n");
    }

    #[test]
    fn a_section_that_is_new_comes_last() {
        assert_eq!(with("# Results\n", "a", "new"), "# Results\n\n## a\n\nnew\n");
        assert_eq!(with(&with("# Results\n", "a", "1"), "a", "2"), "# Results\n\n## a\n\n2\n");
    }
}
