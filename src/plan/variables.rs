//! `${NAME}` in the strings of plans and profiles. Replaced after parsing, so that a value never becomes syntax.

use std::collections::BTreeMap;

use super::error::did_you_mean;

/// What `${NAME}` stands for.
#[derive(Debug, Clone, Copy)]
pub struct Variables<'a> {
    /// The environment.
    pub environment: &'a BTreeMap<String, String>,
    /// `${DATE}`, as `2026-11-22`, where the environment has none.
    pub date: &'a str,
}

impl Variables<'_> {
    /// The text with all variables replaced; `None` if it has none. `$${` stands for a literal `${`.
    ///
    /// # Errors
    /// The name of a variable that is not defined, or the text after a `${` that is no name.
    pub fn expand(&self, text: &str) -> Result<Option<String>, String> {
        if !text.contains("${") {
            return Ok(None);
        }
        let mut expanded = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(at) = rest.find("${") {
            let (before, after) = rest.split_at(at);
            let after = &after[2..];
            if let Some(before) = before.strip_suffix('$') {
                expanded.push_str(before);
                expanded.push_str("${");
                rest = after;
                continue;
            }
            let Some((name, after)) = after.split_once('}') else {
                return Err(after.chars().take(40).collect());
            };
            expanded.push_str(before);
            expanded.push_str(
                self.value(name)
                    .ok_or_else(|| name.chars().take(80).collect::<String>())?,
            );
            rest = after;
        }
        expanded.push_str(rest);
        Ok(Some(expanded))
    }

    /// `; did you mean `X`?` for a variable that is defined and called nearly like this.
    #[must_use]
    pub fn near(&self, name: &str) -> String {
        did_you_mean(name, self.environment.keys().map(String::as_str))
    }

    fn value(&self, name: &str) -> Option<&str> {
        let own = || (name == "DATE").then_some(self.date);
        self.environment.get(name).map(String::as_str).or_else(own)
    }
}

/// The variables that a text names, as `${A}, ${B}`.
#[must_use]
pub fn names(text: &str) -> String {
    let parts = text.split("${").skip(1);
    let names = parts.filter_map(|part| Some(format!("${{{}}}", part.split_once('}')?.0)));
    names.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_replaced_once_and_unknown_ones_are_errors() {
        let environment = BTreeMap::from([("A".to_owned(), "${B} \"".to_owned())]);
        let variables = Variables {
            environment: &environment,
            date: "2026-11-22",
        };
        let expand = |text: &str| variables.expand(text);
        assert_eq!(expand("plain $ { }"), Ok(None));
        assert_eq!(
            expand("x-${A}-${DATE}").unwrap().unwrap(),
            "x-${B} \"-2026-11-22"
        );
        assert_eq!(expand("$${A}").unwrap().unwrap(), "${A}");
        assert_eq!(expand("${B}"), Err("B".to_owned()));
        assert_eq!(expand("${"), Err(String::new()));
    }
}
