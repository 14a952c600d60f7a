//! Plain JSON writing for what every request writes: bytes pushed one after the other, without the
//! machinery of formatting, which cost more than the rest of a record.

/// Adds a text as it is.
pub fn push(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(text.as_bytes());
}

/// Adds a JSON string (RFC 8259, 7) that is also safe on a terminal: what is not printable ASCII
/// is escaped.
pub fn push_string(out: &mut Vec<u8>, text: &str) {
    let is_plain = |b: u8| (b' '..0x7f).contains(&b) && b != b'"' && b != b'\\';
    out.push(b'"');
    if text.bytes().all(is_plain) {
        push(out, text);
    } else {
        text.chars().for_each(|c| push_escaped_char(out, c));
    }
    out.push(b'"');
}

fn push_escaped_char(out: &mut Vec<u8>, c: char) {
    let mut units = [0_u16; 2];
    match c {
        '"' => push(out, "\\\""),
        '\\' => push(out, "\\\\"),
        ' '..='~' => push(out, c.encode_utf8(&mut [0; 4])),
        _ => {
            for unit in c.encode_utf16(&mut units) {
                push(out, &format!("\\u{unit:04x}"));
            }
        }
    }
}

/// Adds a number in decimal.
pub fn push_number(out: &mut Vec<u8>, mut number: u64) {
    let mut digits = [b'0'; 20];
    let mut used = 0;
    for slot in digits.iter_mut().rev() {
        *slot = b'0'.saturating_add(u8::try_from(number % 10).unwrap_or(0));
        used += 1;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(digits.get(digits.len() - used..).unwrap_or_default());
}

/// Adds 128 bits in 32 hexadecimal digits.
pub fn push_hex(out: &mut Vec<u8>, bits: u128) {
    let mut digits = [b'0'; 32];
    for (pair, byte) in digits.chunks_exact_mut(2).zip(bits.to_be_bytes()) {
        for (digit, nibble) in pair.iter_mut().zip([byte >> 4, byte & 0xf]) {
            *digit = nibble + if nibble < 10 { b'0' } else { b'a' - 10 };
        }
    }
    out.extend_from_slice(&digits);
}

/// Adds an address as [`std::net::IpAddr`] prints it.
pub fn push_address(out: &mut Vec<u8>, address: std::net::IpAddr) {
    match address {
        std::net::IpAddr::V4(v4) => {
            for (at, octet) in v4.octets().into_iter().enumerate() {
                if at > 0 {
                    out.push(b'.');
                }
                push_number(out, u64::from(octet));
            }
        }
        std::net::IpAddr::V6(v6) => push(out, &v6.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, proptest};

    use super::{push_address, push_hex, push_number, push_string};

    fn text(push: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        push(&mut out);
        String::from_utf8(out).expect("text")
    }

    proptest! {
        #[test]
        fn strings_parse_back_and_are_printable(given in any::<String>()) {
            let written = text(|out| push_string(out, &given));
            assert!(written.bytes().all(|b| (b' '..0x7f).contains(&b)));
            let read: String = serde_json::from_str(&written).expect("JSON");
            assert_eq!(read, given);
        }

        #[test]
        fn numbers_bits_and_addresses_are_written_as_the_library_does(
            number in any::<u64>(), bits in any::<u128>(), address in any::<std::net::IpAddr>()
        ) {
            assert_eq!(text(|out| push_number(out, number)), number.to_string());
            assert_eq!(text(|out| push_hex(out, bits)), format!("{bits:032x}"));
            assert_eq!(text(|out| push_address(out, address)), address.to_string());
        }
    }
}
