//! Hostile text made harmless: what nodes, engines and users say may not inject into a terminal, a page or a path.

/// The text without control characters, bidirectional overrides and other invisible marks, cut at `limit` bytes on a
/// character boundary. Each such character becomes `\u{fffd}`; tabs and line ends become a space.
#[must_use]
pub fn clean(text: &str, limit: usize) -> String {
    // Nearly all that is said is short and plain already.
    let plain = |sum, byte: &u8| sum & matches!(byte, b' '..=b'~');
    if text.len() <= limit && text.as_bytes().iter().fold(true, plain) {
        return text.to_owned();
    }
    let mut cleaned = String::with_capacity(text.len().min(limit));
    for character in text.chars() {
        let character = match character {
            '\t' | '\n' | '\r' => ' ',
            // C0, C1 and DEL; zero-width and bidirectional controls; line separators; tags and the byte-order mark.
            c if c.is_control() => '\u{fffd}',
            '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{feff}'
            | '\u{e0000}'..='\u{e007f}' => '\u{fffd}',
            c => c,
        };
        if cleaned.len() + character.len_utf8() > limit {
            break;
        }
        cleaned.push(character);
    }
    cleaned
}

/// [`clean`] of bytes that need not be UTF-8.
#[must_use]
pub fn clean_bytes(bytes: &[u8], limit: usize) -> String {
    // A replacement character is at most three bytes for one bad byte, so four times the limit is enough input.
    let bytes = &bytes[..bytes.len().min(limit.saturating_mul(4))];
    clean(&String::from_utf8_lossy(bytes), limit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_and_overrides_are_gone_and_length_is_bounded() {
        assert_eq!(
            clean("a\u{1b}[31mb\u{202e}c\td", 100),
            "a\u{fffd}[31mb\u{fffd}c d"
        );
        assert_eq!(clean("ääää", 5), "ää");
        assert_eq!(clean("plain ~ text", 12), "plain ~ text");
        assert_eq!(clean("plain ~ text", 11), "plain ~ tex");
        assert_eq!(clean("\u{7f}", 9), "\u{fffd}");
        assert_eq!(clean_bytes(&[b'x', 0xff, b'y'], 100), "x\u{fffd}y");
    }
}
