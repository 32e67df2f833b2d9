//! Eight bytes of text looked at together, as the bytes of one number: half of a journal is digits.

/// This byte eight times.
const fn eight(byte: u8) -> u64 {
    u64::from_le_bytes([byte; 8])
}

const HIGH_BITS: u64 = eight(0x80);

/// Marks the high bit of bytes that are no digits; above the lowest of them it may mark digits too. `digits` are bytes
/// of which `0` was taken away bit by bit.
const fn not_digits(digits: u64) -> u64 {
    (digits.wrapping_add(eight(0x80 - 10)) | digits) & HIGH_BITS
}

/// Marks the high bit of bytes that do not stand for themselves in a text: its end, escapes, control characters, and
/// whatever is not ASCII; above the lowest of them it may mark others too.
pub(super) const fn not_plain(bytes: u64) -> u64 {
    let below_space = bytes.wrapping_sub(eight(b' ')) & !bytes;
    (bytes | below_space | zeros(bytes ^ eight(b'"')) | zeros(bytes ^ eight(b'\\'))) & HIGH_BITS
}

/// Marks the high bit of bytes that are zero; above the lowest of them it may mark others too.
const fn zeros(bytes: u64) -> u64 {
    bytes.wrapping_sub(eight(1)) & !bytes
}

/// Powers of ten, up to that of eight digits.
const TENS: [u64; 9] = [
    1,
    10,
    100,
    1_000,
    10_000,
    100_000,
    1_000_000,
    10_000_000,
    100_000_000,
];

/// The next eight bytes, the first one lowest; behind the end of the line zeros.
#[inline(always)]
pub(super) fn next(left: &[u8]) -> u64 {
    let last = || {
        left.iter()
            .rev()
            .fold(0, |bytes, byte| bytes << 8 | u64::from(*byte))
    };
    left.first_chunk()
        .map_or_else(last, |bytes| u64::from_le_bytes(*bytes))
}

/// The number of the digits that come next, eight of them at most, and how many these are.
#[inline(always)]
fn digits(left: &[u8]) -> (u64, usize) {
    let digits = next(left) ^ eight(b'0');
    let length = not_digits(digits).trailing_zeros() as usize / 8;
    // The digits as the last ones of eight, behind zeros: then as pairs, as fours, as one number.
    let digits = digits.checked_shl(64 - 8 * length as u32).unwrap_or(0);
    let pairs = (digits.wrapping_mul(10) + (digits >> 8)) & 0x00ff_00ff_00ff_00ff;
    let fours = (pairs.wrapping_mul(100) + (pairs >> 16)) & 0x0000_ffff_0000_ffff;
    let number = (fours.wrapping_mul(10_000) + (fours >> 32)) & 0xffff_ffff;
    (number, length)
}

/// The whole number that comes next, as JSON has it (no leading zeros, at most nineteen digits), and how many bytes it
/// takes: none if there is no such number. Not put in line: lines are full of numbers, and a parser that fits the
/// processor's cache for code is quicker than one that saves the calls.
#[inline(never)]
pub(super) fn whole(left: &[u8]) -> (u64, usize) {
    let (first, mut length) = digits(left);
    let mut number = first;
    if length == 8 && left.get(8).is_some_and(u8::is_ascii_digit) {
        let (second, more) = digits(&left[8..]);
        number = number * TENS[more] + second;
        length += more;
        if more == 8 {
            let (third, more) = digits(&left[16..]);
            // Nineteen digits always fit; more are rare enough for the long way.
            if more > 3 {
                return (0, 0);
            }
            number = number * TENS[more] + third;
            length += more;
        }
    }
    if length > 1 && left[0] == b'0' {
        return (0, 0);
    }
    (number, length)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn bytes() -> impl Strategy<Value = Vec<u8>> {
        let byte = prop_oneof![
            b'0'..=b'9',
            any::<u8>(),
            prop::sample::select(b"\"\\ \x1f~\x7f/:\x80\xff\0".to_vec())
        ];
        prop::collection::vec(byte, 0..12)
    }

    proptest! {
        #[test]
        fn digits_are_those_that_one_counts_by_hand(text in bytes()) {
            let begin: Vec<u8> = text.iter().copied().take(8).take_while(u8::is_ascii_digit).collect();
            let number = begin.iter().fold(0, |number, digit| number * 10 + u64::from(digit - b'0'));
            prop_assert_eq!(digits(&text), (number, begin.len()));
        }

        #[test]
        fn texts_end_where_a_byte_does_not_stand_for_itself(text in bytes()) {
            let plain = |byte: &u8| matches!(byte, b' '..=0x7f) && !b"\"\\".contains(byte);
            let length = text.iter().take(8).take_while(|byte| plain(byte)).count();
            prop_assert_eq!(not_plain(next(&text)).trailing_zeros() as usize / 8, length);
        }
    }
}
