//! Options of a command line by name, so that one can be changed without writing all of them again.

use std::collections::BTreeMap;

/// The command with these options: the word after an option that it has is replaced, another option is added with its
/// value at the end.
#[must_use]
pub fn with(command: &[String], options: &BTreeMap<String, String>) -> Vec<String> {
    let mut words = command.to_vec();
    for (option, value) in options {
        match words.iter().position(|word| word == option) {
            Some(place) if place + 1 < words.len() => words[place + 1].clone_from(value),
            _ => words.extend([option.clone(), value.clone()]),
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_replaced_or_added() {
        let words = |text: &str| -> Vec<String> { text.split(' ').map(str::to_owned).collect() };
        let options = [("--load", "0"), ("--new", "7")];
        let options = options
            .map(|(option, value)| (option.to_owned(), value.to_owned()))
            .into();
        assert_eq!(
            with(&words("node --load 50 --archive"), &options),
            words("node --load 0 --archive --new 7")
        );
        assert_eq!(with(&words("node"), &BTreeMap::new()), words("node"));
    }
}
