// What the provider remembers. It outlives a rotation of keys, which makes a new provider.

/** A store, and the class of adapters over it that oidc-provider wants. */
export function newStore() {
  const rows = new Map();

  class Adapter {
    constructor(model) {
      this.model = model;
    }

    key(id) {
      return `${this.model}:${id}`;
    }

    async upsert(id, payload, expiresInSeconds) {
      const ends = expiresInSeconds ? Date.now() + expiresInSeconds * 1000 : Infinity;
      rows.set(this.key(id), { model: this.model, id, payload, ends });
    }

    async find(id) {
      const row = rows.get(this.key(id));
      return row && row.ends > Date.now() ? row.payload : undefined;
    }

    async findByUid(uid) {
      return this.findBy((payload) => payload.uid === uid);
    }

    async findByUserCode(code) {
      return this.findBy((payload) => payload.userCode === code);
    }

    findBy(matches) {
      return all(this.model).find(matches);
    }

    async consume(id) {
      rows.get(this.key(id)).payload.consumed = Math.floor(Date.now() / 1000);
    }

    async destroy(id) {
      rows.delete(this.key(id));
    }

    async revokeByGrantId(grantId) {
      for (const [key, row] of rows) if (row.payload.grantId === grantId) rows.delete(key);
    }
  }

  /** Every living payload of a model. */
  function all(model) {
    const now = Date.now();
    return [...rows.values()]
      .filter((row) => row.model === model && row.ends > now)
      .map((row) => row.payload);
  }

  return { Adapter, all, clear: () => rows.clear() };
}
