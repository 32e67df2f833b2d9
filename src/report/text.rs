//! Words and numbers as people read them, and hostile text made harmless for each place it is shown in.
//!
//! Invariant: every text that did not come from this program's own source passes through [`plain`] or [`markdown`]
//! before it is shown. What the journal's writer already cleaned is cleaned again: a report may be rendered from a
//! journal that somebody edited.

use std::time::Duration;

use crate::{
    ids::ShardId,
    journal::text::clean,
    time::{WallTime, human},
};

/// The text on one line without control characters or invisible marks, cut at `limit` bytes; a cut is shown by `...`.
#[must_use]
pub fn plain(text: &str, limit: usize) -> String {
    let mut cleaned = clean(text, limit);
    // Cleaning maps one character to one, so a cut shows as one more that went in. Long texts are not walked through.
    if text.chars().nth(cleaned.chars().count()).is_some() {
        while cleaned.len() + 3 > limit && cleaned.pop().is_some() {}
        cleaned.push_str("...");
    }
    if cleaned.contains(is_invisible) {
        cleaned = cleaned.replace(is_invisible, "\u{fffd}");
    }
    cleaned
}

/// Marks that change how neighbours are shown and that the journal's own cleaning lets pass.
fn is_invisible(character: char) -> bool {
    matches!(
        character,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
            | '\u{180b}'..='\u{180f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{ffa0}'
            | '\u{fff0}'..='\u{fffb}' | '\u{e0100}'..='\u{e01ef}'
    )
}

/// [`plain`] for a place where Markdown and HTML would be understood, a table cell included: it is shown as text,
/// starts no markup, mentions nobody and becomes no link. `limit` bounds the bytes written, escapes included.
#[must_use]
pub fn markdown(text: &str, limit: usize) -> String {
    let text = plain(text, limit);
    let pieces = || {
        let escape = |(at, character)| escape(character, &text[..at], &text[at..]);
        text.char_indices().map(escape)
    };
    let whole: String = pieces().collect();
    if whole.len() <= limit {
        return whole;
    }
    let mut cut = String::with_capacity(limit);
    for piece in pieces() {
        // An escape is written whole or not at all.
        if cut.len() + piece.len() + 3 > limit {
            break;
        }
        cut.push_str(&piece);
    }
    cut + "..."
}

/// One character as Markdown shows it, knowing what stands before it and what follows from it on.
fn escape(character: char, before: &str, from: &str) -> String {
    match character {
        '&' => "&amp;".to_owned(),
        '<' => "&lt;".to_owned(),
        '>' => "&gt;".to_owned(),
        // An empty comment parts what a forge would otherwise turn into a mention, an issue or a link.
        '@' => "@<!-- -->".to_owned(),
        '#' => "\\#<!-- -->".to_owned(),
        ':' if from.starts_with("://") => ":<!-- -->".to_owned(),
        '.' if before.to_ascii_lowercase().ends_with("www") => "<!-- -->.".to_owned(),
        '\\' | '`' | '*' | '_' | '[' | ']' | '{' | '}' | '|' | '~' | '$' | '!' => {
            format!("\\{character}")
        }
        character => character.to_string(),
    }
}

/// A count with thousands separated: `193,210`.
#[must_use]
pub fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Bytes in binary units with at most three figures: `41 MiB`, `1.2 GiB`.
#[must_use]
pub fn bytes(number: u64) -> String {
    let mut value = number as f64;
    for unit in ["B", "KiB", "MiB", "GiB"] {
        if value < 1000.0 {
            return if value < 10.0 && unit != "B" {
                format!("{value:.1} {unit}")
            } else {
                format!("{value:.0} {unit}")
            };
        }
        value /= 1024.0;
    }
    format!("{value:.1} TiB")
}

/// A share of 1 in percent: `61 %`, `3.1 %`, `0.02 %`; never a rounded-away zero.
#[must_use]
pub fn percent(share: f64) -> String {
    let value = share * 100.0;
    if !value.is_finite() {
        return "-".to_owned();
    }
    match value.abs() {
        0.0 => "0 %".to_owned(),
        v if v < 0.005 => "under 0.01 %".to_owned(),
        v if v < 1.0 => format!("{value:.2} %"),
        v if v < 10.0 => format!("{value:.1} %"),
        _ => format!("{value:.0} %"),
    }
}

/// A ratio with three figures: `39.8`; `-` where it is no number.
#[must_use]
pub fn ratio(value: f64) -> String {
    if !value.is_finite() {
        return "-".to_owned();
    }
    let text = match value.abs() {
        v if v < 10.0 => format!("{value:.2}"),
        v if v < 100.0 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    };
    match text.split_once('.') {
        Some((whole, zeros)) if zeros.chars().all(|digit| digit == '0') => whole.to_owned(),
        _ => text,
    }
}

/// A duration in whole or tenth milliseconds, for columns of intervals: `303`, `1.4`.
#[must_use]
pub fn millis(duration: Duration) -> String {
    let value = duration.as_secs_f64() * 1e3;
    if value < 10.0 {
        format!("{value:.1}")
    } else {
        format!("{value:.0}")
    }
}

/// A duration for people; `0 s` where it is nothing.
#[must_use]
pub fn span(duration: Duration) -> String {
    if duration.is_zero() {
        return "0 s".to_owned();
    }
    human(duration)
}

/// `1 block`, `2 blocks`.
#[must_use]
pub fn plural(number: u64, noun: &str) -> String {
    if number == 1 {
        format!("1 {noun}")
    } else {
        format!("{} {noun}s", count(number))
    }
}

/// A shard's name in tables: shard 0 is the beacon.
#[must_use]
pub fn shard(shard: ShardId) -> String {
    format!("shard {shard}")
}

/// Wall time to the second without the date: `02:59:04`.
#[must_use]
pub fn clock(wall: WallTime) -> String {
    let text = wall.to_string();
    text.split_once('T').map_or_else(
        || text.clone(),
        |(_, time)| time.chars().take(8).collect::<String>(),
    )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn numbers_are_readable() {
        assert_eq!(count(0), "0");
        assert_eq!(count(999), "999");
        assert_eq!(count(193_210), "193,210");
        assert_eq!(count(1_000_000), "1,000,000");
        assert_eq!(bytes(17), "17 B");
        assert_eq!(bytes(41 << 20), "41 MiB");
        assert_eq!(bytes(1_288_490_189), "1.2 GiB");
        assert_eq!(bytes(u64::MAX), "16777216.0 TiB");
        assert_eq!(percent(0.61), "61 %");
        assert_eq!(percent(0.031), "3.1 %");
        assert_eq!(percent(0.0002), "0.02 %");
        assert_eq!(percent(0.000_001), "under 0.01 %");
        assert_eq!(percent(f64::NAN), "-");
        assert_eq!(ratio(40.0), "40");
        assert_eq!(ratio(39.84), "39.8");
        assert_eq!(plural(1, "block"), "1 block");
        assert_eq!(plural(2_000, "block"), "2,000 blocks");
        assert_eq!(clock(WallTime(1_574_304_544_000)), "02:49:04");
    }

    #[test]
    fn markdown_is_shown_as_text() {
        assert_eq!(markdown("a|b", 80), "a\\|b");
        assert_eq!(markdown("<script>&", 80), "&lt;script&gt;&amp;");
        assert_eq!(markdown("@team #12", 80), "@<!-- -->team \\#<!-- -->12");
        assert_eq!(markdown("http://x.y", 80), "http:<!-- -->//x.y");
        assert_eq!(markdown("![a](b)", 80), "\\!\\[a\\](b)");
        assert_eq!(markdown("two\n# lines", 80), "two \\#<!-- --> lines");
    }

    #[test]
    fn a_cut_is_shown() {
        assert_eq!(plain("abcdefgh", 6), "abc...");
        assert_eq!(plain("abcdef", 6), "abcdef");
        assert_eq!(
            plain("soft\u{ad}hyphen\u{61c}", 80),
            "soft\u{fffd}hyphen\u{fffd}"
        );
    }

    proptest! {
        #[test]
        fn plain_text_is_one_line_and_bounded(text in any::<String>(), limit in 4usize..200) {
            let shown = plain(&text, limit);
            prop_assert!(shown.len() <= limit + 2, "{} > {limit}", shown.len());
            prop_assert!(!shown.chars().any(|c| c.is_control() || is_invisible(c)));
        }

        #[test]
        fn markdown_starts_no_markup(text in "[<>@#|`*_\\[\\]a-z:/.&]{0,60}", limit in 8usize..700) {
            let shown = markdown(&text, limit);
            prop_assert!(shown.len() <= limit);
            let shown = shown.replace("<!-- -->", "\u{1}");
            prop_assert!(!shown.contains(['<', '>']));
            prop_assert!(!shown.contains("://"));
            let mut previous = ' ';
            for character in shown.chars() {
                if matches!(character, '|' | '`' | '*' | '[' | ']') {
                    prop_assert_eq!(previous, '\\');
                }
                // An escaped backslash escapes nothing.
                previous = if previous == '\\' && character == '\\' { ' ' } else { character };
            }
        }
    }
}
