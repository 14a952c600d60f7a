//! The vectors of Go's `golang.org/x/mod/sumdb/note` and of C2SP tlog-cosignature.

use std::cell::RefCell;

use proptest::prelude::{any, proptest};

use super::{
    Kind, NAME_BYTES_MAX, Note, NoteError, OpenError, SIGNATURES_MAX, Signer, VerifierKey,
};

const PETER: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
const ENOCH: &str = "EnochRoot+af0cfe78+ATtqJ7zOtqQtYqOo0CpvDXNlMhV3HeJDpjrASKGLWdop";
const TEXT: &str = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n";
const PETER_LINE: &str = "— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";
const ENOCH_LINE: &str = "— EnochRoot rwz+eBzmZa0SO3NbfRGzPCpDckykFXSdeX+MNtCOXm2/5n2tiOHp+vAF1aGrQ5ovTG01oOTGwnWLox33WWd1RvMc+QQ=\n";

/// The example of C2SP tlog-cosignature.
const COSIGNED: &str = "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n\
    — example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n\
    — witness.example.com/w1 jWbPPwAAAABkGFDLEZMHwSRaJNiIDoe9DYn/zXcrtPHeolMI5OWXEhZCB9dlrDJsX3b2oyin1nPZqhf5nNo0xUe+mbIUBkBIfZ+qnA==\n";

fn key(text: &str) -> VerifierKey {
    text.parse().expect("a key")
}

fn note(lines: &[&str]) -> Note {
    let whole = [&[TEXT, "\n"], lines].concat().concat();
    Note::parse(whole.as_bytes()).expect("a note")
}

/// Stands for the arithmetic: every signature holds.
fn all_hold(_: &[u8; 32], _: &[u8], _: &[u8; 64]) -> bool {
    true
}

fn none_holds(_: &[u8; 32], _: &[u8], _: &[u8; 64]) -> bool {
    false
}

#[test]
fn published_keys_are_read_and_no_part_or_other_spelling_of_them() {
    for text in [PETER, ENOCH] {
        let parsed = key(text);
        assert_eq!(parsed.to_string(), text);
        assert_eq!(parsed.kind(), Kind::Ed25519);
        for begin in 0..text.len() {
            for end in begin..=text.len() {
                let is_all = (begin, end) == (0, text.len());
                let part = text.get(begin..end).expect("ASCII");
                assert_eq!(part.parse::<VerifierKey>().is_ok(), is_all);
            }
        }
        for place in 0..text.len() {
            let mut bytes = text.as_bytes().to_vec();
            bytes[place] += 1;
            let changed = String::from_utf8(bytes).expect("text");
            assert!(changed.parse::<VerifierKey>().is_err(), "{changed}");
        }
    }
    assert_eq!(key(PETER).id(), [0xc7, 0x4f, 0x20, 0xa3]);
    let fails = |text: &str, error| assert_eq!(text.parse::<VerifierKey>(), Err(error), "{text}");
    let long = "PeterNeumann+cc469956+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TWBADKEY==";
    fails(long, NoteError::Key);
    let other = "PeterNeumann+173116ae+ZRpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
    fails(other, NoteError::Kind { kind: 0x65 });
    fails(&PETER.replace("c74f", "C74F"), NoteError::KeyId);
    fails(&PETER.replace("Peter", "Peter "), NoteError::Name);
    fails(&PETER.replace("Peter", "peter"), NoteError::KeyId);
    fails("", NoteError::Key);
}

#[test]
fn key_name_is_one_word() {
    for name in [
        "",
        "a b",
        "a+b",
        "a\u{a0}b",
        "a\u{2028}b",
        "a\tb",
        "a\nb",
        &"x".repeat(256),
    ] {
        let made = VerifierKey::new(name, Kind::Ed25519, [0; 32]);
        assert_eq!(made, Err(NoteError::Name), "{name:?}");
    }
    let made = VerifierKey::new("witness.example/ü", Kind::Cosignature, [7; 32]).expect("a key");
    assert_eq!(key(&made.to_string()), made);
    // The same name and bytes for another purpose are another key.
    let log = VerifierKey::new("witness.example/ü", Kind::Ed25519, [7; 32]).expect("a key");
    assert_ne!(log.id(), made.id());
}

#[test]
fn note_is_printed_as_published() {
    let whole = [TEXT, "\n", PETER_LINE].concat();
    let parsed = Note::parse(whole.as_bytes()).expect("a note");
    assert_eq!(parsed.text(), TEXT);
    assert_eq!(parsed.to_string(), whole);
    let [line] = parsed.signatures() else {
        panic!("{parsed:?}")
    };
    assert_eq!(
        (line.name(), line.id()),
        ("PeterNeumann", [0xc7, 0x4f, 0x20, 0xa3])
    );

    let bytes: [u8; 64] = line.bytes.as_slice().try_into().expect("a signature");
    let mut message = Vec::new();
    let made = key(PETER).sign(TEXT, 7, |signed| {
        message = signed.to_vec();
        Ok::<_, ()>(bytes)
    });
    assert_eq!(message, TEXT.as_bytes());
    let mut signed = Note::new(TEXT).expect("a note");
    // A signature of the same key gives way.
    signed.add(line.clone()).expect("room");
    signed.add(made.expect("a signature")).expect("room");
    assert_eq!(signed.to_string(), whole);
    let refused = key(PETER).sign(TEXT, 7, |_| Err("no key"));
    assert_eq!(refused, Err("no key"));
}

#[test]
fn opened_note_names_who_is_known() {
    let (peter, enoch) = (key(PETER), key(ENOCH));
    let both = note(&[PETER_LINE, ENOCH_LINE]);
    let names = |known: &[VerifierKey]| {
        let opened = both.open(known, &all_hold)?;
        let names = opened.iter().map(|signer| signer.key.name().to_owned());
        Ok::<_, OpenError>(names.collect::<Vec<_>>())
    };
    assert_eq!(
        names(std::slice::from_ref(&peter)),
        Ok(vec!["PeterNeumann".to_owned()])
    );
    let expected = vec!["PeterNeumann".to_owned(), "EnochRoot".to_owned()];
    assert_eq!(names(&[enoch.clone(), peter.clone()]), Ok(expected));
    assert_eq!(names(&[]), Err(OpenError::Unknown));
    let name = "EnochRoot".to_owned();
    let ambiguous = Err(OpenError::Ambiguous { name: name.clone() });
    assert_eq!(names(&[enoch.clone(), enoch.clone()]), ambiguous);
    // A pair of which nothing is signed does no harm.
    let known = [enoch.clone(), peter.clone(), enoch.clone()];
    assert!(note(&[PETER_LINE]).open(&known, &all_hold).is_ok());

    // One that is known and wrong spoils the note, whatever else holds.
    let first_only = |key: &[u8; 32], _: &[u8], _: &[u8; 64]| key == peter.bytes();
    let known = [peter.clone(), enoch];
    let opened = both.open(&known, &first_only);
    assert_eq!(opened, Err(OpenError::Invalid { name }));
    let twice = note(&[PETER_LINE, PETER_LINE]);
    let signer = Signer {
        key: &peter,
        seconds: None,
    };
    let known = std::slice::from_ref(&peter);
    assert_eq!(twice.open(known, &all_hold), Ok(vec![signer]));
    let longer = PETER_LINE.replace("x08go/ZJ", "x08go/ZJABCD");
    let invalid = note(&[&longer]).open(known, &all_hold);
    assert!(matches!(invalid, Err(OpenError::Invalid { .. })));
}

#[test]
fn key_of_another_name_or_id_is_another_key() {
    let known = [key(PETER)];
    for line in [
        PETER_LINE.replace("PeterNeumann", "CarmenSandiego"),
        PETER_LINE.replace("x08g", "xxxx"),
    ] {
        let opened = note(&[&line]).open(&known, &none_holds);
        assert_eq!(opened, Err(OpenError::Unknown));
    }
}

#[test]
fn rotated_key_and_its_successor_are_both_known() {
    let old = key(PETER);
    let new = VerifierKey::new("PeterNeumann", Kind::Ed25519, [9; 32]).expect("a key");
    let line = new.sign(TEXT, 0, |_| Ok::<_, ()>([5; 64])).expect("a line");
    let mut both = note(&[PETER_LINE]);
    both.add(line).expect("room");
    let known = [old.clone(), new.clone()];
    for keys in [&known[..], &known[..1], &known[1..]] {
        let opened = both.open(keys, &all_hold).expect("signed");
        assert_eq!(opened.len(), keys.len());
    }
}

#[test]
fn cosignature_is_over_the_time_and_the_text() {
    let parsed = Note::parse(COSIGNED.as_bytes()).expect("a note");
    assert_eq!(parsed.to_string(), COSIGNED);
    let witness = &parsed.signatures()[1];
    assert_eq!(witness.id(), [0x8d, 0x66, 0xcf, 0x3f]);
    // The key of the example is not published: any key that is taken for it will do for the message.
    let name = "witness.example.com/w1";
    let stand_in = VerifierKey::new(name, Kind::Cosignature, [3; 32]).expect("a key");
    let seen = RefCell::new(Vec::new());
    let verify = |_: &[u8; 32], message: &[u8], signature: &[u8; 64]| {
        seen.borrow_mut()
            .push((message.to_vec(), signature.to_vec()));
        true
    };
    let time = stand_in.verify(parsed.text(), &witness.bytes, &verify);
    assert_eq!(time, Some(Some(1_679_315_147)));
    let message = "cosignature/v1\ntime 1679315147\nexample.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n";
    let signature = witness.bytes[8..].to_vec();
    assert_eq!(seen.take(), [(message.as_bytes().to_vec(), signature)]);

    let made = stand_in.sign(parsed.text(), 1_679_315_147, |signed| {
        assert_eq!(signed, message.as_bytes());
        Ok::<_, ()>([1; 64])
    });
    let mut note = Note::new(parsed.text()).expect("a note");
    note.add(made.expect("a signature")).expect("room");
    let known = [stand_in];
    let opened = note.open(&known, &all_hold).expect("signed");
    assert_eq!(opened[0].seconds, Some(1_679_315_147));
    // A time that other tools could not read.
    let late = known[0].sign("x\n", 1 << 63, |_| Ok::<_, ()>([1; 64]));
    let mut note = Note::new("x\n").expect("a note");
    note.add(late.expect("a signature")).expect("room");
    assert!(note.open(&known, &all_hold).is_err());
}

#[test]
fn malformed_notes_are_refused() {
    let parse = |text: &str| Note::parse(text.as_bytes()).err();
    let good = [TEXT, "\n", PETER_LINE].concat();
    assert_eq!(parse(&good), None);
    assert_eq!(parse(""), Some(NoteError::Unsigned));
    assert_eq!(parse(TEXT), Some(NoteError::Unsigned));
    let unsigned = [TEXT, "\n"].concat();
    assert_eq!(parse(&unsigned), Some(NoteError::Unsigned));
    assert_eq!(parse(good.trim_end()), Some(NoteError::Unsigned));
    for control in ["\x01", "\t", "\r", "\x00", "\x1f"] {
        assert_eq!(parse(&[control, &good].concat()), Some(NoteError::Text));
        let below = PETER_LINE.replace(" x08", &[" ", control, "x08"].concat());
        let line = Some(NoteError::Line { line: 1 });
        assert_eq!(parse(&[TEXT, "\n", &below].concat()), line);
    }
    let not_utf8 = [b"\xff", good.as_bytes()].concat();
    assert_eq!(Note::parse(&not_utf8).err(), Some(NoteError::Text));
    let line = Some(NoteError::Line { line: 1 });
    for wrong in [
        PETER_LINE.replace("PeterNeumann", "Bad Name"),
        PETER_LINE.replace("PeterNeumann", "Bad+Name"),
        PETER_LINE.replace("PeterNeumann ", ""),
        PETER_LINE.replace("— ", "- "),
        PETER_LINE.replace("— ", "—"),
        PETER_LINE.replace("nAM=", "nAM"),
        PETER_LINE.replace("nAM=", "nAN="),
        PETER_LINE.replace("nAM=", "nAM= "),
        PETER_LINE.replace("nAM=", "nAM=="),
        PETER_LINE.replace('/', "_"),
        "— PeterNeumann x08gow==\n".to_owned(),
        "— PeterNeumann \n".to_owned(),
        "Unexpected line.\n".to_owned(),
    ] {
        assert_eq!(parse(&[TEXT, "\n", &wrong].concat()), line, "{wrong}");
    }
    let more = [&good, "Unexpected line.\n"].concat();
    assert_eq!(parse(&more), Some(NoteError::Line { line: 2 }));
    let most = [TEXT, "\n", &PETER_LINE.repeat(SIGNATURES_MAX)].concat();
    assert_eq!(parse(&most), None);
    assert_eq!(
        parse(&[&most, PETER_LINE].concat()),
        Some(NoteError::TooMany)
    );
    let long = ["x".repeat(1_000_000), good].concat();
    assert_eq!(parse(&long), Some(NoteError::TooLong));
    assert_eq!(Note::new("no line break"), Err(NoteError::Text));
    assert_eq!(Note::new("a\tb\n"), Err(NoteError::Text));
}

#[test]
fn foreign_line_with_a_long_name_does_not_void_the_others() {
    let longest = "x".repeat(NAME_BYTES_MAX);
    let long = format!("{longest}x");
    let foreign = PETER_LINE.replace("PeterNeumann", &long);
    let parsed = note(&[&foreign, PETER_LINE]);
    assert_eq!(parsed.signatures()[0].name(), long);
    let known = [key(PETER)];
    let opened = parsed.open(&known, &all_hold).expect("signed");
    assert_eq!(opened.len(), 1);
    // A key that is to be trusted is written by people, and has a bound.
    let made = |name: &str| VerifierKey::new(name, Kind::Ed25519, [9; 32]).err();
    assert_eq!(made(&long), Some(NoteError::Name));
    assert_eq!(made(&longest), None);
}

#[test]
fn text_may_have_empty_lines() {
    // The example of C2SP signed-note.
    let whole = "Ognuno sta solo sul cuor della terra\ntrafitto da un raggio di sole:\n\ned è subito sera.\n\n\
        — quasimodo.example/salvatore NnugSzTjtVAewIS+Z/iJhUPeFDkO/5QQ2i5ddnGITLlC+EhfLW9oJKONrMouFSQU0xMcXxj99ihAQwaqP3ZekRwNtIc=\n";
    let parsed = Note::parse(whole.as_bytes()).expect("a note");
    assert!(parsed.text().ends_with("sole:\n\ned è subito sera.\n"));
    assert_eq!(parsed.to_string(), whole);
    assert_eq!(parsed.signatures()[0].name(), "quasimodo.example/salvatore");
}

proptest! {
    #[test]
    fn parse_inverts_print(text in "([ -~é]{0,9}\n){1,4}", names in "[a-z]{1,5}", bytes in any::<[u8; 32]>()) {
        let mut note = Note::new(&text).expect("a text");
        for kind in [Kind::Ed25519, Kind::Cosignature] {
            let key = VerifierKey::new(&names, kind, bytes).expect("a key");
            note.add(key.sign(&text, 5, |_| Ok::<_, ()>([2; 64])).expect("a signature")).expect("room");
        }
        assert_eq!(Note::parse(note.to_string().as_bytes()), Ok(note));
    }

    #[test]
    fn what_parses_prints_the_same(bytes in any::<Vec<u8>>(), text in "(\n|a|— a AAAAAAA=){0,9}") {
        for bytes in [bytes, text.into_bytes()] {
            if let Ok(note) = Note::parse(&bytes) {
                assert_eq!(note.to_string().as_bytes(), bytes);
            }
        }
    }
}
