//! What is said to a witness, and what it answers: one who signs that a tree only grew
//! (C2SP tlog-witness). Its signatures are lines of a note like others.

use std::fmt::Write as _;

use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::{
    note::{Note, NoteError, OpenError, Signature, VerifierKey, Verify},
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

/// Why the answer of a witness holds no signature of it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CosignError {
    /// It is not signature lines.
    #[error("the answer is not signature lines: {0}")]
    Lines(#[from] NoteError),
    /// None of the lines is a good one of the witness.
    #[error("{0}")]
    Signature(#[from] OpenError),
}

/// The signature of a witness over a checkpoint, from the body of its answer with the status 200. Lines
/// of other keys are ignored.
///
/// # Errors
/// Unless the answer has one that verifies.
pub fn cosignature(
    checkpoint: &Note,
    answer: &str,
    key: &VerifierKey,
    verify: &impl Verify,
) -> Result<Signature, CosignError> {
    let mut unsigned = Note::new(checkpoint.text())?.to_string();
    unsigned.push_str(answer);
    let note = Note::parse(unsigned.as_bytes())?;
    note.open(std::slice::from_ref(key), verify)?;
    let own = note.signatures().iter().rfind(|line| line.is_of(key));
    Ok(own.ok_or(OpenError::Unknown)?.clone())
}

#[cfg(test)]
mod tests {
    use super::{CosignError, add_checkpoint, cosignature, signed_size};
    use crate::ledger::{
        note::{Kind, Note, OpenError, VerifierKey},
        tree::Hash,
    };

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

    #[test]
    fn signature_of_the_witness_is_taken_from_its_answer() {
        let note = Note::new("example.com/log\n1\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n");
        let note = note.expect("a text");
        let key = |name| VerifierKey::new(name, Kind::Cosignature, [7; 32]).expect("a name");
        let (own, other) = (key("witness.example/w"), key("witness.example/x"));
        let sign = |key: &VerifierKey, mark: u8| {
            let signed = key.sign(note.text(), 5, |_| Ok::<_, ()>([mark; 64]));
            signed.expect("signed")
        };
        let verify = |_: &[u8; 32], _: &[u8], signature: &[u8; 64]| signature[0] == 1;
        let take = |answer: &str| cosignature(&note, answer, &own, &verify);
        let (good, bad, theirs) = (sign(&own, 1), sign(&own, 2), sign(&other, 2));
        assert_eq!(take(&format!("{good}\n")), Ok(good.clone()));
        assert_eq!(take(&format!("{theirs}\n{good}\n")), Ok(good.clone()));
        let refused = |answer: &str| take(answer).expect_err("refused");
        assert!(matches!(
            refused(&format!("{good}\n{bad}\n")),
            CosignError::Signature(OpenError::Invalid { .. })
        ));
        assert_eq!(
            refused(&format!("{theirs}\n")),
            CosignError::Signature(OpenError::Unknown)
        );
        for wrong in ["", "nonsense\n", "— a b", &good.to_string()] {
            assert!(matches!(refused(wrong), CosignError::Lines(_)), "{wrong:?}");
        }
    }
}
