//! The test vectors of `docs/spec/token.md`: what the page says is what the code does.

use claviger_core::token::{Brand, Secret, digest_of_presented};

const PAGE: &str = include_str!("../../../docs/spec/token.md");

fn bytes_of(hex: &str) -> [u8; 32] {
    let digits: Vec<u32> = hex.chars().filter_map(|c| c.to_digit(16)).collect();
    assert_eq!(digits.len(), 64, "{hex}");
    let mut bytes = [0; 32];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        let value = pair.iter().fold(0, |all, digit| all * 16 + digit);
        *byte = u8::try_from(value).unwrap_or_default();
    }
    bytes
}

#[test]
fn secrets_are_written_as_the_page_says() {
    let (_, block) = PAGE.split_once("```vectors\n").expect("a block of vectors");
    let (block, _) = block.split_once("```").expect("its end");
    let vectors: Vec<_> = block
        .lines()
        .filter_map(|line| line.split_once(' '))
        .collect();
    assert!(vectors.len() >= 5, "{} vectors", vectors.len());
    for (hex, expected) in vectors {
        let secret = Secret::from_entropy(&Brand::ORG_KEY, &bytes_of(hex));
        assert_eq!(secret.expose(), expected);
        assert!(digest_of_presented(&Brand::ORG_KEY, expected) == Ok(secret.digest()));
    }
}
