//! What the service does. Every operation takes the permit of its own action; none knows HTTP.

pub mod channels;
pub mod keys;
pub mod orgs;
pub mod secrets;
pub mod workspace_tokens;
pub mod workspaces;
