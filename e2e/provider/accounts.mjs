// The people that the provider knows, and what it says of them.

/** Accounts by what is typed into the login form. `org` and `role` are the claims that count. */
export const ACCOUNTS = {
  admin: person('admin', 'Ada Admin', { role: 'admin', groups: ['staff', 'claviger-admin'] }),
  editor: person('editor', 'Edgar Editor', { role: 'editor', groups: ['staff', 'claviger-editor'] }),
  reader: person('reader', 'Rita Reader', { role: 'reader', groups: ['staff'] }),
  // Of the org, and without any role.
  nobody: person('nobody', 'Noah Nobody', {}),
  // An admin, of an org that does not exist here.
  stranger: person('stranger', 'Stella Stranger', { org: 'elsewhere', role: 'admin', groups: [] }),
};

/** Which claims come with which scope. */
export const CLAIMS_OF_SCOPES = {
  openid: ['sub', 'org', 'role', 'groups'],
  profile: ['name', 'preferred_username'],
  email: ['email', 'email_verified'],
};

/** The claims that access tokens carry beside the registered ones. */
export const CLAIMS_OF_ACCESS_TOKENS = ['org', 'role', 'groups', 'email'];

function person(login, name, more) {
  return {
    sub: `user_${login}`,
    name,
    preferred_username: login,
    email: `${login}@example.com`,
    email_verified: true,
    org: 'default',
    ...more,
  };
}
