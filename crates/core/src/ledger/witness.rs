//! What is said to a witness, and what it answers: one who signs that a tree only grew
//! (C2SP tlog-witness). Its signatures are lines of a note like others.

use std::fmt::Write as _;

use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::{
    note::Note,
    tree::{Hash, tile::plain_number},
};

/// The media type of the answer of a witness that knows another size: status 409.
pub const SIZE_MEDIA_TYPE: &str = "text/x.tlog.size";
/// The most hashes that a witness takes. No tree of fewer than 2 to the power of 62 leaves needs more.
pub const PROOF_HASHES_MAX: usize = 63;

/// The body of `POST <prefix>/add-checkpoint`: the size that the witness signed last (0 for none), the
/// proof from it to the checkpoint, and the checkpoint with the signature of the log. `None` if the
/// proof has more hashes than may be sent.
#[must_use]
pub fn add_checkpoint(old_size: u64, proof: &[Hash], checkpoint: &Note) -> Option<String> {
    if proof.len() > PROOF_HASHES_MAX {
        return None;
    }
    let mut body = format!("old {old_size}\n");
    for hash in proof {
        body.push_str(&STANDARD.encode(hash.as_bytes()));
        body.push('\n');
    }
    write!(body, "\n{checkpoint}").ok()?;
    Some(body)
}

/// The size that a witness says it signed last, from the body of its answer with the status 409.
#[must_use]
pub fn signed_size(body: &str) -> Option<u64> {
    plain_number(body.strip_suffix('\n')?)
}

#[cfg(test)]
mod tests {
    use super::{add_checkpoint, signed_size};
    use crate::ledger::{note::Note, tree::Hash};

    /// The example of C2SP tlog-witness.
    const BODY: &str = "old 20852014\n\
        PlRNCrwHpqhGrupue0L7gxbjbMiKA9temvuZZDDpkaw=\n\
        jrJZDmY8Y7SyJE0MWLpLozkIVMSMZcD5kvuKxPC3swk=\n\
        5+pKlUdi2LeF/BcMHBn+Ku6yhPGNCswZZD1X/6QgPd8=\n\
        /6WVhPs2CwSsb5rYBH5cjHV/wSmA79abXAwhXw3Kj/0=\n\
        \n\
        example.com/behind-the-sofa\n\
        20852163\n\
        CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\
        \n\
        — example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n\
        — example.com/behind-the-sofa opLqBQsREYCgu6xQkYQwJr9fo45a62DN9EdmHXnZdXNqlcVGlCum2Wks+49/V6267UEjw6QUXTS5Rovnzv++qbSzm9Q=\n";

    #[test]
    fn request_is_the_published_one() {
        let (head, note) = BODY.split_once("\n\n").expect("two parts");
        let note = Note::parse(note.as_bytes()).expect("a note");
        let lines = head.lines().skip(1);
        let hash = |line| {
            let bytes = base64::Engine::decode(&super::STANDARD, line).expect("base64");
            Hash::from_slice(&bytes).expect("a hash")
        };
        let proof: Vec<_> = lines.map(hash).collect();
        assert_eq!(proof.len(), 4);
        let body = add_checkpoint(20_852_014, &proof, &note);
        assert_eq!(body.as_deref(), Some(BODY));
        let first = add_checkpoint(0, &[], &note).expect("a body");
        assert!(first.starts_with("old 0\n\nexample.com/"), "{first}");
        assert_eq!(add_checkpoint(1, &[proof[0]; 64], &note), None);
    }

    #[test]
    fn answer_with_another_size_is_read() {
        assert_eq!(signed_size("20852163\n"), Some(20_852_163));
        assert_eq!(signed_size("0\n"), Some(0));
        for wrong in ["", "\n", "1", "01\n", "1\n\n", "-1\n", "1 \n", "x\n"] {
            assert_eq!(signed_size(wrong), None, "{wrong:?}");
        }
    }
}
