// One panel's state in the browser: a snapshot, then increments in order of `seq`.
// The same rules as `apply_increment` in monitoring/domain/panel.py.

export class SequenceGap extends Error {}

export class PanelState {
  constructor() {
    this.seq = null;
    this.state = {};
  }

  /** Take a fresh snapshot; every name counts as changed. */
  load(snapshot) {
    this.seq = snapshot.seq;
    this.state = snapshot.state;
    return new Set(Object.keys(this.state));
  }

  /** Apply one increment and return the names that changed. Throws SequenceGap when one is missing. */
  apply(increment) {
    if (this.seq === null || increment.seq !== this.seq + 1) {
      throw new SequenceGap(`have ${this.seq}, got ${increment.seq}`);
    }
    const changed = new Set();
    for (const operation of increment.ops) changed.add(this.#apply(operation));
    this.seq = increment.seq;
    return changed;
  }

  #apply(operation) {
    const [kind] = operation;
    if (kind === "a") {
      const [, name, items, limit] = operation;
      this.state[name] = [...(this.state[name] ?? []), ...items].slice(-limit);
      return name;
    }
    const [name, key] = operation[1];
    if (key === undefined) this.state[name] = operation[2];
    else if (kind === "d") delete this.state[name][key];
    else (this.state[name] ??= {})[key] = operation[2];
    return name;
  }
}
