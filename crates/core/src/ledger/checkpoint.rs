//! Checkpoints: what is signed of a tree, its size and its root (C2SP tlog-checkpoint).

use std::fmt;

use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::tree::{Hash, tile::plain_number};

/// The longest text of a checkpoint, in bytes.
pub const CHECKPOINT_BYTES_MAX: usize = 64 * 1024;

/// Why a text is no checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CheckpointError {
    /// Longer than [`CHECKPOINT_BYTES_MAX`].
    #[error("a checkpoint has at most {CHECKPOINT_BYTES_MAX} bytes")]
    TooLong,
    /// Fewer than three lines, an empty one, or a control character.
    #[error("a checkpoint is three or more lines, none of them empty")]
    Lines,
    /// The second line.
    #[error("the size of the tree is not a plain number")]
    Size,
    /// The third line.
    #[error("the root is not 32 bytes in base64")]
    Root,
}

/// The size and the root of a tree, and whose tree it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    origin: String,
    size: u64,
    root: Hash,
    extensions: Vec<String>,
}

impl Checkpoint {
    /// The checkpoint of a tree. The origin names the log, and is the same in all its checkpoints.
    ///
    /// # Errors
    /// If the origin is not one line.
    pub fn new(origin: &str, size: u64, root: Hash) -> Result<Self, CheckpointError> {
        if origin.len() > CHECKPOINT_BYTES_MAX / 2 {
            return Err(CheckpointError::TooLong);
        }
        if !is_line(origin) {
            return Err(CheckpointError::Lines);
        }
        let (origin, extensions) = (origin.to_owned(), Vec::new());
        Ok(Self {
            origin,
            size,
            root,
            extensions,
        })
    }

    /// Reads the text of a signed note.
    ///
    /// # Errors
    /// Unless it is written as the specification says.
    pub fn parse(text: &str) -> Result<Self, CheckpointError> {
        if text.len() > CHECKPOINT_BYTES_MAX {
            return Err(CheckpointError::TooLong);
        }
        let Some(lines) = text.strip_suffix('\n') else {
            return Err(CheckpointError::Lines);
        };
        let lines: Vec<&str> = lines.split('\n').collect();
        let [origin, size, root, extensions @ ..] = lines.as_slice() else {
            return Err(CheckpointError::Lines);
        };
        if !lines.iter().all(|line| is_line(line)) {
            return Err(CheckpointError::Lines);
        }
        let Some(size) = plain_number(size) else {
            return Err(CheckpointError::Size);
        };
        let root = STANDARD.decode(root).ok();
        let Some(root) = root.and_then(|bytes| Hash::from_slice(&bytes)) else {
            return Err(CheckpointError::Root);
        };
        let origin = (*origin).to_owned();
        let extensions = extensions.iter().map(|line| (*line).to_owned()).collect();
        Ok(Self {
            origin,
            size,
            root,
            extensions,
        })
    }

    /// Whose tree it is.
    #[must_use]
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// How many leaves the tree has: the number of the last record that the checkpoint covers.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// The root of the tree.
    #[must_use]
    pub const fn root(&self) -> Hash {
        self.root
    }

    /// Further lines that were signed along. We write none, and give them no meaning.
    #[must_use]
    pub fn extensions(&self) -> &[String] {
        &self.extensions
    }
}

/// The text that is signed.
impl fmt::Display for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let root = STANDARD.encode(self.root.as_bytes());
        writeln!(f, "{}\n{}\n{root}", self.origin, self.size)?;
        let mut extensions = self.extensions.iter();
        extensions.try_for_each(|line| writeln!(f, "{line}"))
    }
}

fn is_line(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte >= b' ')
}

#[cfg(test)]
mod tests;
