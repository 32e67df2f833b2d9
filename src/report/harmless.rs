//! JSON in which no text can do harm to the terminal or page that shows it after the next reader has unescaped it.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::ser::{CharEscape, CompactFormatter, Formatter, PrettyFormatter, Serializer};

use super::text::plain;

/// Longest run of characters that is kept: journal texts are shorter, and an edited journal must not make a report
/// grow without bound.
const TEXT: usize = 4_000;

/// Passes structure on to another formatter and cleans every text on its way, keys included.
struct Harmless<F>(F);

/// A method of [`Formatter`] that is passed on as it is.
macro_rules! pass {
    ($($method:ident($($argument:ident: $kind:ty),*);)*) => {
        $(fn $method<W: ?Sized + Write>(&mut self, writer: &mut W $(, $argument: $kind)*) -> io::Result<()> {
            self.0.$method(writer $(, $argument)*)
        })*
    };
}

impl<F: Formatter> Formatter for Harmless<F> {
    pass! {
        begin_array();
        end_array();
        begin_array_value(first: bool);
        end_array_value();
        begin_object();
        end_object();
        begin_object_key(first: bool);
        end_object_key();
        begin_object_value();
        end_object_value();
    }

    fn write_string_fragment<W: ?Sized + Write>(
        &mut self,
        writer: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        self.0.write_string_fragment(writer, &plain(fragment, TEXT))
    }

    fn write_char_escape<W: ?Sized + Write>(
        &mut self,
        writer: &mut W,
        escape: CharEscape,
    ) -> io::Result<()> {
        match escape {
            CharEscape::Quote | CharEscape::ReverseSolidus | CharEscape::Solidus => {
                self.0.write_char_escape(writer, escape)
            }
            CharEscape::LineFeed | CharEscape::CarriageReturn | CharEscape::Tab => {
                writer.write_all(b" ")
            }
            CharEscape::Backspace | CharEscape::FormFeed | CharEscape::AsciiControl(_) => {
                writer.write_all("\u{fffd}".as_bytes())
            }
        }
    }
}

/// Indented, fields in their order, with a line end.
///
/// # Errors
/// What the serializer reports.
pub(super) fn pretty(content: &impl Serialize) -> serde_json::Result<String> {
    let mut text = write(content, PrettyFormatter::new())?;
    text.push('\n');
    Ok(text)
}

/// On one line, without a line end.
///
/// # Errors
/// What the serializer reports.
pub(super) fn compact(content: &impl Serialize) -> serde_json::Result<String> {
    write(content, CompactFormatter)
}

fn write(content: &impl Serialize, formatter: impl Formatter) -> serde_json::Result<String> {
    let mut bytes = Vec::new();
    content.serialize(&mut Serializer::with_formatter(
        &mut bytes,
        Harmless(formatter),
    ))?;
    // The serializer writes UTF-8; a lossy conversion of it loses nothing.
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn texts_are_cleaned_and_structure_is_kept() {
        let content = json!({"a\u{1b}": ["x\ny\"\\", 1.5, null, {"b": "\u{202e}"}]});
        let text = compact(&content).unwrap();
        assert_eq!(
            text,
            "{\"a\u{fffd}\":[\"x y\\\"\\\\\",1.5,null,{\"b\":\"\u{fffd}\"}]}"
        );
        let plain = json!({"a": [], "b": {"c": [1, "two"]}, "d": {}});
        assert_eq!(
            pretty(&plain).unwrap(),
            serde_json::to_string_pretty(&plain).unwrap() + "\n"
        );
    }

    proptest! {
        #[test]
        fn any_text_stays_json_without_controls(key in any::<String>(), text in any::<String>()) {
            let written = compact(&json!({ key: [text] })).unwrap();
            prop_assert!(serde_json::from_str::<Value>(&written).is_ok());
            prop_assert!(!written.chars().any(char::is_control));
            // A backslash of the text itself is written as two.
            prop_assert!(!written.replace(r"\\", "").contains(r"\u"));
        }
    }
}
