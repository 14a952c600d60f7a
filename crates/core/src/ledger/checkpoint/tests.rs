//! The examples of C2SP tlog-checkpoint and of Go's `golang.org/x/mod/sumdb/tlog`.

use proptest::prelude::{any, proptest};

use super::{Checkpoint, CheckpointError};
use crate::ledger::tree::{Hash, leaf_hash};

/// The example of the specification.
const SOFA: &str =
    "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n";
/// Of Go's tests: the root is the hash of the leaf `hello world`.
const GO: &str =
    "go.sum database tree\n123456789012\nTszzRgjTG6xce+z2AG31kAXYKBgQVtCSCE40HmuwBb0=\n";

#[test]
fn published_checkpoints_are_read_and_printed() {
    let sofa = Checkpoint::parse(SOFA).expect("a checkpoint");
    assert_eq!(sofa.origin(), "example.com/behind-the-sofa");
    assert_eq!((sofa.size(), sofa.extensions()), (20_852_163, &[][..]));
    assert_eq!(sofa.to_string(), SOFA);
    let root = leaf_hash(b"hello world");
    let made = Checkpoint::new("go.sum database tree", 123_456_789_012, root);
    assert_eq!(made, Checkpoint::parse(GO));
    assert_eq!(made.map(|made| made.to_string()), Ok(GO.to_owned()));
}

#[test]
fn further_lines_are_kept_and_mean_nothing() {
    let text = [SOFA, "timestamp 12\nother\n"].concat();
    let parsed = Checkpoint::parse(&text).expect("a checkpoint");
    assert_eq!(parsed.extensions(), ["timestamp 12", "other"]);
    assert_eq!(parsed.to_string(), text);
}

#[test]
fn what_is_written_otherwise_is_no_checkpoint() {
    let fails = |text: &str, error| assert_eq!(Checkpoint::parse(text), Err(error), "{text:?}");
    for text in [
        "",
        "\n",
        "\n\n\n",
        "a\n1\n",
        SOFA.trim_end(),
        "a\n\n1\n",
        &[SOFA, "\n"].concat(),
    ] {
        fails(text, CheckpointError::Lines);
    }
    fails(&["\n", SOFA].concat(), CheckpointError::Lines);
    fails(&[SOFA, "\nx\n"].concat(), CheckpointError::Lines);
    fails(&[SOFA, "x\n\n"].concat(), CheckpointError::Lines);
    fails(&[SOFA, "x\ty\n"].concat(), CheckpointError::Lines);
    fails(&SOFA.replace('\n', "\r\n"), CheckpointError::Lines);
    for size in [
        "020852163",
        "+1",
        "-1",
        "",
        " 1",
        "1 ",
        "0x1",
        "00",
        "1e3",
        "18446744073709551616",
    ] {
        let text = SOFA.replace("20852163", size);
        let is_empty = size.is_empty();
        let error = if is_empty {
            CheckpointError::Lines
        } else {
            CheckpointError::Size
        };
        fails(&text, error);
    }
    for root in [
        "CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I",
        "CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2J=",
        "CsUYapGGPo4dkMgIAUqom_Xajj7h2fB2MPA3j2jxq2I=",
        "CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxqw==",
        "TszzRgjTG6xce+z2AG31kAXYKBgQVtCSCE40HmuwBTOOBIG=",
        "x",
    ] {
        fails(
            &SOFA.replace("CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=", root),
            CheckpointError::Root,
        );
    }
    fails(
        &[SOFA, &"x\n".repeat(40_000)].concat(),
        CheckpointError::TooLong,
    );
    let root = leaf_hash(b"x");
    for origin in ["", "a\nb", "a\tb"] {
        assert_eq!(
            Checkpoint::new(origin, 0, root),
            Err(CheckpointError::Lines)
        );
    }
}

proptest! {
    #[test]
    fn parse_inverts_print(origin in "[ -~é]{1,20}", size in any::<u64>(), root in any::<[u8; 32]>()) {
        for size in [size, 0, u64::MAX] {
            let made = Checkpoint::new(&origin, size, Hash::from_bytes(root)).expect("a checkpoint");
            assert_eq!(Checkpoint::parse(&made.to_string()), Ok(made));
        }
    }
}
