//! What findings say together.

use super::section::Section;
use crate::report::{
    ReportInput,
    text::{markdown, shard},
    together,
};

/// Common causes, and families of bugs that findings look like.
pub(super) fn together(input: &ReportInput) -> String {
    let (common, alike) = (together::common(input), together::looks_like(input));
    if common.is_empty() && alike.is_empty() {
        return String::new();
    }
    let mut section = Section::new("What they have in common", 2_500);
    for one in &common {
        section.line(&format!("- {}", markdown(&one.summary, 300)));
    }
    if !alike.is_empty() {
        section.line("");
        section.heading(&["looks like", "where", "met before", "look at"]);
        section.rows(alike, |one| {
            let shards: Vec<String> = one.shards.iter().take(8).map(|of| shard(*of)).collect();
            vec![
                format!(
                    "{}: {}",
                    markdown(&one.family, 40),
                    markdown(&one.title, 120)
                ),
                shards.join(", "),
                markdown(&one.met, 160),
                markdown(&one.look, 240),
            ]
        });
    }
    section.finish(0, "findings.json")
}
