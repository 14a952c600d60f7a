//! `claviger login-link`.

use claviger_wire::people::LoginLink;

use crate::{
    client::Client,
    error::Failure,
    output::{Output, Table},
};

/// Makes a one-time link into the Canvas.
pub(super) async fn run(client: &Client, out: &Output) -> Result<(), Failure> {
    let link = client.login_link().await?;
    out.show(&link, table)?;
    out.note("the first browser that opens it is signed in; nobody after it");
    Ok(())
}

fn table(link: &LoginLink) -> Table {
    let mut table = Table::fields();
    table.field("open", link.url.as_str());
    table.field("until", link.expires_at.as_str());
    table
}
